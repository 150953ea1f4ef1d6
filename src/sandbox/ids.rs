//! Record ids: 15 characters where case matters, and the 18 that answers carry.

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECKS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// Between the object's prefix and the number: the instance on which the org lives.
const INSTANCE: &str = "5e0";

/// The user that every API call acts as.
pub(super) const API_USER: u64 = 1;
/// The person who edits through the control API.
pub(super) const CRM_USER: u64 = 2;
/// One who left, and can own nothing any more.
pub(super) const INACTIVE_USER: u64 = 4;
/// The queue to which the assignment rules give leads.
pub(super) const RULES_QUEUE: u64 = 1;

/// The 18-character id of the `number`th record under a three-character prefix.
pub(super) fn make(prefix: &str, number: u64) -> String {
    let mut digits = [b'0'; 9];
    let mut rest = number;
    for place in digits.iter_mut().rev() {
        *place = DIGITS[usize::try_from(rest % 62).unwrap_or_default()];
        rest /= 62;
    }
    let short = format!("{prefix}{INSTANCE}{}", String::from_utf8_lossy(&digits));
    let checks = check_characters(short.as_bytes());
    short + &checks
}

/// Extends an id of 15 or 18 characters to 18; `None` if it is no id at all or its check characters are wrong.
pub(super) fn canonical(id: &str) -> Option<String> {
    let bytes = id.as_bytes();
    if !bytes.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let short = match bytes.len() {
        15 => id,
        18 => id.get(..15)?,
        _ => return None,
    };
    let checks = check_characters(short.as_bytes());
    if bytes.len() == 18 && !id.ends_with(&checks) {
        return None;
    }
    Some(format!("{short}{checks}"))
}

/// The number inside an id that [`make`] built for this prefix.
pub(super) fn number(canonical: &str, prefix: &str) -> Option<u64> {
    let digits = canonical.get(..15)?.strip_prefix(prefix)?.strip_prefix(INSTANCE)?;
    digits.bytes().try_fold(0u64, |sum, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        sum.checked_mul(62)?.checked_add(u64::try_from(digit).ok()?)
    })
}

/// The 15-character form, as the org's own messages quote it.
pub(super) fn short(canonical: &str) -> &str {
    canonical.get(..15).unwrap_or(canonical)
}

pub(super) fn user(number: u64) -> String {
    make("005", number)
}

pub(super) fn queue(number: u64) -> String {
    make("00G", number)
}

fn check_characters(short: &[u8]) -> String {
    short
        .chunks(5)
        .map(|group| {
            let index = group
                .iter()
                .enumerate()
                .filter(|(_, byte)| byte.is_ascii_uppercase())
                .fold(0usize, |bits, (place, _)| bits | (1 << place));
            char::from(CHECKS[index & 31])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_characters_are_those_of_recorded_ids() {
        for id in ["00D000000000062EAA", "012000000000000AAA", "0055e000000001AAAQ", "001D000000IqhSLIAZ"] {
            assert_eq!(canonical(&id[..15]).as_deref(), Some(id), "{id}");
            assert_eq!(canonical(id).as_deref(), Some(id), "{id}");
        }
    }

    #[test]
    fn a_made_id_is_canonical_and_gives_its_number_back() {
        for wanted in [0, 1, 61, 62, 10_000, 123_456_789] {
            let id = make("00Q", wanted);
            assert_eq!(id.len(), 18);
            assert_eq!(canonical(&id), Some(id.clone()));
            assert_eq!(number(&id, "00Q"), Some(wanted));
            assert_eq!(number(&id, "003"), None);
        }
    }

    #[test]
    fn what_is_no_id_is_not_taken_for_one() {
        for wrong in ["", "00Q", "00Q5e0000000001AAB", "00Q5e000000000-", "ééééééé5", "00Q5e00000000010"] {
            assert_eq!(canonical(wrong), None, "{wrong}");
        }
    }
}
