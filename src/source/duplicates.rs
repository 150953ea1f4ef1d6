//! What lead systems take for duplicates themselves, where their documentation says so.

use crate::domain::divergence::words::{CITY, EMAIL, NAME, PHONE};
use crate::domain::divergence::{About, DuplicateRule, rule};

/// The rules of a preset's lead system; `None`: they are not known.
pub fn duplicate_rules(preset: &str) -> Option<Vec<DuplicateRule>> {
    let person = |same: &[&str], then: &str| rule(About::Person, same, then);
    match preset {
        "klozeo" => Some(vec![
            person(&[EMAIL], "merged (not in batch imports)"),
            person(&["source_id"], "merged (not in batch imports)"),
            person(&[PHONE, NAME], "merged, names more than 80 % alike (not in batch imports)"),
            person(&[NAME, CITY], "two leads, reported as a possible duplicate"),
        ]),
        _ => None,
    }
}
