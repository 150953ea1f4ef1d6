//! What a lead's record is looked up by.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::envelope::TimeFormat;
use crate::domain::ids::FieldName;
use crate::domain::lead::Lead;
use crate::domain::mapping::domain::company_domain;
use crate::domain::mapping::{FieldRow, FieldType, Given};
use crate::domain::matching::{MatchKeys, MatchedBy, NameAndDomain, chosen_record};
use crate::domain::merge::LeadSide;

use super::ask::Blanks;
use super::decide::{SyncRules, person};
use super::sides::{Sides, sides_of, text_of};
use super::{BasePair, Link, OwnKeys, Resolution, company, opportunity, owners};

/// The keys by which the lead's record is looked up. `asked_for`: what is taken to be known beside it is looked up, too.
pub fn match_keys(
    lead: &Lead,
    own: &OwnKeys,
    link: Option<&Link>,
    answers: &[Resolution],
    times: TimeFormat,
    asked_for: bool,
    rules: &SyncRules,
) -> MatchKeys {
    let company = company::keys(lead, link, answers, times, rules);
    let owners = owners::addresses(lead, answers, rules);
    if let Some(link) = link {
        let opportunity = opportunity::key(lead, own, link, times, asked_for, rules);
        return MatchKeys { linked: Some(link.record.clone()), company, opportunity, owners, ..MatchKeys::default() };
    }
    MatchKeys {
        company,
        owners,
        chosen: chosen_record(answers, &rules.matching),
        external_id: Some(own.now.clone()),
        former_ids: own.former.clone(),
        ..person_keys(&sides_of(lead, Blanks::Count, Given::times(times), rules), rules)
    }
}

/// The keys of the person whose record a create makes.
pub fn create_keys(announced: &BTreeMap<FieldName, BasePair>, rules: &SyncRules) -> MatchKeys {
    let says = |row: &FieldRow| {
        let written = announced.get(&row.crm).filter(|pair| !pair.crm.is_null());
        written.map(|pair| LeadSide::Says(pair.lead.clone(), None))
    };
    let sides = rules.rows.iter().filter_map(|row| Some((row, says(row)?))).collect();
    person_keys(&sides, rules)
}

/// What says who the person is.
fn person_keys(sides: &Sides<'_>, rules: &SyncRules) -> MatchKeys {
    let wants = |by: MatchedBy| rules.matching.by.contains(&by);
    let email = text_of(sides, FieldRow::is_address);
    let website = text_of(sides, |row| row.kind == FieldType::Url && row.take.is_none());
    let person = person(sides);
    let domain = company_domain(email.as_deref(), website.as_deref());
    MatchKeys {
        linked: None,
        chosen: None,
        external_id: None,
        former_ids: BTreeSet::new(),
        company: None,
        opportunity: None,
        owners: BTreeSet::new(),
        // One word is too little to tell a person by.
        name_and_domain: match (person.first, person.last, domain) {
            (Some(first), Some(last), Some(domain)) if wants(MatchedBy::NameAndCompanyDomain) => {
                Some(NameAndDomain { first: Some(first), last, domain })
            }
            _ => None,
        },
        email: email.filter(|_| wants(MatchedBy::Email)),
    }
}
