//! Countries as people write them.

use std::collections::HashMap;
use std::sync::LazyLock;

use phonenumber::country::Id;
use unicode_normalization::UnicodeNormalization;

/// One country a line: ISO alpha-2, alpha-3, then names in English and as its people write them.
const NAMES: &str = include_str!("countries.txt");

/// The code of each folded name.
static CODES: LazyLock<HashMap<String, &str>> = LazyLock::new(|| {
    let names = NAMES.lines().filter_map(|line| Some((line.split('|').next()?, line)));
    names.flat_map(|(code, line)| line.split('|').map(move |name| (fold(name), code))).collect()
});

/// The country that a text names: an ISO 3166 code, an English name, or one of its own; case, accents and dots do not count.
pub(super) fn find(text: &str) -> Option<Id> {
    let wanted = fold(text);
    if wanted.is_empty() {
        return None;
    }
    match CODES.get(&wanted) {
        Some(code) => code.parse().ok(),
        None if wanted.len() == 2 => wanted.to_ascii_uppercase().parse().ok(),
        None => None,
    }
}

fn fold(text: &str) -> String {
    text.nfkd().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_found_by_code_and_by_name() {
        #[track_caller]
        fn check(text: &str, expected: Option<Id>) {
            assert_eq!(find(text), expected, "{text}");
        }
        for text in ["US", "us", "USA", "U.S.A.", "United States"] {
            check(text, Some(Id::US));
        }
        check("United Kingdom", Some(Id::GB));
        check("UK", Some(Id::GB));
        check("Deutschland", Some(Id::DE));
        check("日本", Some(Id::JP));
        check("Côte d'Ivoire", Some(Id::CI));
        check("Türkiye", Some(Id::TR));
        check("turkey", Some(Id::TR));
        check("Holland", Some(Id::NL));
        check("XK", Some(Id::XK));
        check("Atlantis", None);
        check("ZZ", None);
        check(" . ", None);
    }

    #[test]
    fn every_line_of_the_table_is_a_country_and_no_name_stands_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for line in NAMES.lines() {
            let code = line.split('|').next().unwrap();
            assert!(code.parse::<Id>().is_ok(), "{line}");
            for name in line.split('|').map(fold).collect::<std::collections::BTreeSet<_>>() {
                assert!(seen.insert(name.clone()), "{name} stands twice");
            }
        }
    }
}
