//! Quoted text: its escapes, and the patterns of `LIKE`.

use super::malformed;
use crate::sandbox::error::Refusal;

/// Longest text between quotes, in characters.
const LONGEST: usize = 4_000;

/// One place of a `LIKE` pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Wild {
    Char(char),
    /// `_`
    One,
    /// `%`
    Any,
}

/// The text that a quoted value stands for; any backslash that starts no known escape is refused.
pub(super) fn unescape(raw: &str) -> Result<String, Refusal> {
    let places = read(raw, false)?;
    Ok(places.into_iter().filter_map(|place| if let Wild::Char(c) = place { Some(c) } else { None }).collect())
}

/// The pattern that a quoted value stands for after `LIKE`.
pub(super) fn pattern(raw: &str) -> Result<Vec<Wild>, Refusal> {
    read(raw, true)
}

fn read(raw: &str, wild: bool) -> Result<Vec<Wild>, Refusal> {
    let mut places = Vec::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(c) = rest.next() {
        places.push(match c {
            '\\' => Wild::Char(escape(&mut rest, wild)?),
            '%' if wild => Wild::Any,
            '_' if wild => Wild::One,
            c => Wild::Char(c),
        });
    }
    if places.len() > LONGEST {
        return Err(malformed("string literals in a condition cannot be longer than 4000 characters"));
    }
    Ok(places)
}

fn escape(rest: &mut std::str::Chars<'_>, wild: bool) -> Result<char, Refusal> {
    let invalid = || malformed("Invalid string literal. Illegal character sequence in string literal.");
    match rest.next().ok_or_else(invalid)? {
        'n' | 'N' => Ok('\n'),
        'r' | 'R' => Ok('\r'),
        't' | 'T' => Ok('\t'),
        'b' | 'B' => Ok('\u{8}'),
        'f' | 'F' => Ok('\u{c}'),
        c @ ('"' | '\'' | '\\') => Ok(c),
        c @ ('%' | '_') if wild => Ok(c),
        'u' => {
            let mut unit = || -> Result<u32, Refusal> {
                let mut code = 0;
                for _ in 0..4 {
                    code = code * 16 + rest.next().and_then(|c| c.to_digit(16)).ok_or_else(invalid)?;
                }
                Ok(code)
            };
            let code = unit()?;
            char::from_u32(code).ok_or_else(invalid)
        }
        _ => Err(invalid()),
    }
}

/// Whether a text fits a pattern, ignoring case unless told otherwise; takes no more than length times length steps.
pub(in crate::sandbox) fn matches(pattern: &[Wild], text: &str, case_sensitive: bool) -> bool {
    let text: Vec<char> = text.chars().collect();
    let fits = |wild: Wild, c: char| match wild {
        Wild::Any => false,
        Wild::One => true,
        Wild::Char(wanted) => wanted == c || (!case_sensitive && wanted.to_lowercase().eq(c.to_lowercase())),
    };
    let (mut here, mut place) = (0, 0);
    // Where to take up again when what follows the latest `%` did not fit.
    let mut retry: Option<(usize, usize)> = None;
    while here < text.len() {
        match pattern.get(place) {
            Some(Wild::Any) => {
                retry = Some((here, place));
                place += 1;
            }
            Some(wild) if fits(*wild, text[here]) => {
                here += 1;
                place += 1;
            }
            _ => match retry {
                Some((from, any)) => {
                    retry = Some((from + 1, any));
                    here = from + 1;
                    place = any + 1;
                }
                None => return false,
            },
        }
    }
    pattern[place..].iter().all(|wild| *wild == Wild::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_an_org() {
        let check = |raw: &str, value: &str, expected: bool| {
            assert_eq!(matches(&pattern(raw).unwrap(), value, false), expected, "{raw} on {value}");
        };
        check("%@acme.example", "Ada@ACME.example", true);
        check("%@acme.example", "ada@acme.example.org", false);
        check("a_c", "abc", true);
        check("a_c", "ac", false);
        check("a\\_c", "abc", false);
        check("a\\_c", "a_c", true);
        check("100\\%", "100%", true);
        check("%a%b%", "xxaxxbxx", true);
        check("%a%b%", "xxbxxaxx", false);
        check("%", "anything", true);
        check("\\u00e9t%", "ÉTÉ", true);
        assert!(!matches(&pattern("A%").unwrap(), "ada", true));
    }

    #[test]
    fn unknown_escapes_are_refused() {
        for raw in ["\\x", "\\", "\\u12", "\\ud800", "\\u00zz", "\\%", "\\_", "\\0"] {
            assert!(unescape(raw).is_err(), "{raw}");
        }
        assert_eq!(unescape("a\\nb\\\\\\'\\\"\\u0041").unwrap(), "a\nb\\'\"A");
    }
}
