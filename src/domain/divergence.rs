//! What counts as a duplicate: the lead system's rules, ours and the CRM's side by side, and what each catches that the others
//! do not.

use std::collections::BTreeSet;

/// One rule of somebody about when two records are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateRule {
    pub about: About,
    /// What both must have in common, in the words of [`words`]; a field that has none by its API name.
    pub same: BTreeSet<String>,
    /// What follows, and how alike they must be.
    pub then: String,
    /// Whether it is known that anything follows. What is not known to be caught is not told to be missed either.
    pub known: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    Person,
    Company,
}

impl About {
    pub const fn as_str(self) -> &'static str {
        match self {
            About::Person => "person",
            About::Company => "company",
        }
    }
}

/// Somebody who has rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleHolder {
    pub name: String,
    /// Or why they are not known.
    pub rules: Result<Vec<DuplicateRule>, String>,
}

/// The words for what two records have in common.
pub mod words {
    pub const EXTERNAL_ID: &str = "external ID";
    pub const EMAIL: &str = "email";
    pub const NAME: &str = "name";
    pub const PHONE: &str = "phone";
    pub const CITY: &str = "city";
    pub const COMPANY_DOMAIN: &str = "company domain";
    pub const COMPANY_NAME: &str = "company name";
    pub const COMPANY_PEOPLE: &str = "people of the domain";
}

/// What two records may have in common, and who takes them for one by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Criterion {
    pub about: About,
    /// `company domain and name`
    pub same: String,
    /// What follows with each holder, in the holders' order; `None`: it does not catch this.
    pub caught: Vec<Option<String>>,
    /// The holders whose rules are known and that do not catch this.
    pub missed_by: Vec<String>,
}

/// All of it, as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Divergence {
    /// Whose rules these are.
    pub holders: Vec<String>,
    pub criteria: Vec<Criterion>,
    /// One sentence for each holder whose rules are not known, and for each rule that is not known to act.
    pub unknown: Vec<String>,
}

impl Divergence {
    /// The rules of these holders side by side.
    pub fn of(holders: &[RuleHolder]) -> Self {
        let unknown = holders.iter().flat_map(|holder| {
            let told: Vec<String> = match &holder.rules {
                Ok(rules) => rules.iter().filter(|rule| !rule.known).map(DuplicateRule::told).collect(),
                Err(why) => vec![why.clone()],
            };
            told.into_iter().map(|told| format!("{}: {told}", holder.name))
        });
        Self {
            holders: holders.iter().map(|holder| holder.name.clone()).collect(),
            criteria: compare(holders),
            unknown: unknown.collect(),
        }
    }
}

/// Puts the rules of all holders side by side, those that not all have in common first.
fn compare(holders: &[RuleHolder]) -> Vec<Criterion> {
    let rules = |holder: &'_ RuleHolder| holder.rules.clone().unwrap_or_default();
    let criteria: BTreeSet<(About, BTreeSet<String>)> =
        holders.iter().flat_map(rules).filter(|rule| rule.known).map(|rule| (rule.about, rule.same)).collect();
    let alike = |holder: &RuleHolder, about: About, same: &BTreeSet<String>| -> Vec<DuplicateRule> {
        rules(holder).into_iter().filter(|rule| rule.about == about && rule.same == *same).collect()
    };
    let row = |(about, same): (About, BTreeSet<String>)| {
        let caught: Vec<Option<String>> = holders
            .iter()
            .map(|holder| {
                let alike = alike(holder, about, &same).into_iter().filter(|rule| rule.known);
                let then: Vec<String> = alike.map(|rule| rule.then).collect();
                (!then.is_empty()).then(|| then.join("; "))
            })
            .collect();
        let misses = |holder: &&RuleHolder| holder.rules.is_ok() && alike(holder, about, &same).is_empty();
        let missed_by = holders.iter().filter(misses).map(|holder| holder.name.clone()).collect();
        Criterion { about, same: same.into_iter().collect::<Vec<_>>().join(" and "), caught, missed_by }
    };
    let mut rows: Vec<Criterion> = criteria.into_iter().map(row).collect();
    rows.sort_by_key(|row| (row.about, row.missed_by.is_empty()));
    rows
}

/// A rule about persons, or companies.
pub fn rule(about: About, same: &[&str], then: &str) -> DuplicateRule {
    let same = same.iter().map(|word| (*word).to_owned()).collect();
    DuplicateRule { about, same, then: then.to_owned(), known: true }
}

impl DuplicateRule {
    /// Of a rule that is not known to act.
    fn told(&self) -> String {
        let same = self.same.iter().map(String::as_str).collect::<Vec<_>>().join(" and ");
        format!("{} compares {same}; whether any duplicate rule acts by it is not known", self.then)
    }
}

#[cfg(test)]
mod tests {
    use super::words::*;
    use super::*;

    #[test]
    fn what_is_not_known_to_act_is_neither_caught_nor_missed() {
        let crm = [rule(About::Person, &[EMAIL], "Contact: B"), rule(About::Person, &[CITY], "Contact: C")];
        let holders = [
            RuleHolder { name: "klozeo".into(), rules: Ok(vec![rule(About::Person, &[EMAIL], "merged")]) },
            RuleHolder { name: "leadrelay".into(), rules: Ok(Vec::new()) },
            RuleHolder {
                name: "crm".into(),
                rules: Ok(crm.into_iter().map(|rule| DuplicateRule { known: false, ..rule }).collect()),
            },
        ];
        let told = Divergence::of(&holders);
        let email = Criterion {
            about: About::Person,
            same: EMAIL.to_owned(),
            caught: vec![Some("merged".to_owned()), None, None],
            missed_by: vec!["leadrelay".to_owned()],
        };
        assert_eq!(told.criteria, [email]);
        let unknown = ["Contact: B compares email", "Contact: C compares city"];
        let unknown = unknown.map(|rule| format!("crm: {rule}; whether any duplicate rule acts by it is not known"));
        assert_eq!(told.unknown, unknown);
    }

    #[test]
    fn what_one_catches_and_another_does_not_stands_in_a_row() {
        let person = |same: &[&str], then: &str| rule(About::Person, same, then);
        let holders = [
            RuleHolder {
                name: "klozeo".into(),
                rules: Ok(vec![person(&[EMAIL], "merged"), person(&[PHONE, NAME], "merged")]),
            },
            RuleHolder {
                name: "leadrelay".into(),
                rules: Ok(vec![person(&[EMAIL], "one record"), rule(About::Company, &[COMPANY_NAME], "one record")]),
            },
            RuleHolder {
                name: "crm".into(),
                rules: Ok(vec![person(&[EMAIL], "Lead: A"), person(&[EMAIL], "Contact: B")]),
            },
            RuleHolder { name: "other".into(), rules: Err("not shown".into()) },
        ];
        let told: Vec<String> = compare(&holders)
            .into_iter()
            .map(|row| {
                let caught: Vec<String> = row.caught.into_iter().map(Option::unwrap_or_default).collect();
                format!(
                    "{} {}: {} (not {})",
                    row.about.as_str(),
                    row.same,
                    caught.join(" | "),
                    row.missed_by.join(", ")
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "person name and phone: merged |  |  |  (not leadrelay, crm)",
                "person email: merged | one record | Lead: A; Contact: B |  (not )",
                "company company name:  | one record |  |  (not klozeo, crm)",
            ]
        );
    }
}
