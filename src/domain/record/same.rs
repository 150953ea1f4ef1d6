//! Whether two CRM values are the same to the CRM.

use super::{CrmFieldKind, CrmValue};

impl CrmValue {
    /// Whether there is nothing in it: empty, text of white space only, or no choice.
    pub fn is_blank(&self) -> bool {
        match self {
            CrmValue::Null => true,
            CrmValue::Text(text) => text.trim().is_empty(),
            CrmValue::Choices(choices) => choices.is_empty(),
            _ => false,
        }
    }
}

/// Whether two values of one field count as equal: e-mail without regard to case, phones by their digits, other text but for
/// its ends and line ends, moments by the second, numbers by value, choices as sets. All blanks are equal.
pub fn same_value(kind: CrmFieldKind, a: &CrmValue, b: &CrmValue) -> bool {
    match (a, b) {
        _ if a.is_blank() || b.is_blank() => a.is_blank() && b.is_blank(),
        (CrmValue::Text(a), CrmValue::Text(b)) => match kind {
            CrmFieldKind::Email => a.trim().to_lowercase() == b.trim().to_lowercase(),
            CrmFieldKind::Phone => {
                let (left, right) = (digits(a), digits(b));
                if left.is_empty() || right.is_empty() { a.trim() == b.trim() } else { left == right }
            }
            _ => a.trim().replace("\r\n", "\n") == b.trim().replace("\r\n", "\n"),
        },
        (CrmValue::DateTime(a), CrmValue::DateTime(b)) => a.as_seconds() == b.as_seconds(),
        _ => a == b,
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_as_their_field_means_them() {
        #[track_caller]
        fn check(kind: CrmFieldKind, a: &str, b: &str, same: bool) {
            assert_eq!(same_value(kind, &CrmValue::Text(a.into()), &CrmValue::Text(b.into())), same, "{a} and {b}");
        }
        check(CrmFieldKind::Email, "Anna@Acme.example", "anna@acme.example", true);
        check(CrmFieldKind::Text, "Anna", "anna", false);
        check(CrmFieldKind::Text, "a\r\nb ", "a\nb", true);
        check(CrmFieldKind::Phone, "+1 (202) 555-0118", "+12025550118", true);
        check(CrmFieldKind::Phone, "+12025550118 x45", "+12025550118", false);
        check(CrmFieldKind::Phone, "call", "ring", false);
        check(CrmFieldKind::Text, " ", "", true);
        let number = |text: &str| CrmValue::Number(text.parse().unwrap());
        assert!(same_value(CrmFieldKind::Decimal, &number("45.50"), &number("45.5")));
        assert!(!same_value(CrmFieldKind::Decimal, &number("0"), &CrmValue::Null));
        assert!(same_value(CrmFieldKind::Text, &CrmValue::Text("\t".into()), &CrmValue::Null));
    }
}
