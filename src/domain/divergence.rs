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
    /// One sentence for each holder whose rules are not known.
    pub unknown: Vec<String>,
}

impl Divergence {
    /// The rules of these holders side by side.
    pub fn of(holders: &[RuleHolder]) -> Self {
        let unknown = holders.iter().filter_map(|holder| {
            let why = holder.rules.as_ref().err()?;
            Some(format!("{}: {why}", holder.name))
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
        holders.iter().flat_map(rules).map(|rule| (rule.about, rule.same)).collect();
    let row = |(about, same): (About, BTreeSet<String>)| {
        let caught: Vec<Option<String>> = holders
            .iter()
            .map(|holder| {
                let alike = rules(holder).into_iter().filter(|rule| rule.about == about && rule.same == same);
                let then: Vec<String> = alike.map(|rule| rule.then).collect();
                (!then.is_empty()).then(|| then.join("; "))
            })
            .collect();
        let known = holders.iter().zip(&caught).filter(|(holder, caught)| holder.rules.is_ok() && caught.is_none());
        let missed_by = known.map(|(holder, _)| holder.name.clone()).collect();
        Criterion { about, same: same.into_iter().collect::<Vec<_>>().join(" and "), caught, missed_by }
    };
    let mut rows: Vec<Criterion> = criteria.into_iter().map(row).collect();
    rows.sort_by_key(|row| (row.about, row.missed_by.is_empty()));
    rows
}

/// A rule about persons, or companies.
pub fn rule(about: About, same: &[&str], then: &str) -> DuplicateRule {
    DuplicateRule { about, same: same.iter().map(|word| (*word).to_owned()).collect(), then: then.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::words::*;
    use super::*;

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
