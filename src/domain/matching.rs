//! Which CRM records could be this person?

use std::collections::BTreeSet;
use std::fmt;

use super::company::CompanyKeys;
use super::ids::{FieldName, ObjectName, RecordRef};
use super::mapping::Owners;
use super::opportunity::{Conversion, OpportunityKey};
use super::plan::{CandidateSummary, Choice, ConflictKind, Link, Resolution};
use super::record::{CrmRecord, CrmValue, folded_name, names_contradict, names_differ};

/// The keys by which one lead's record is looked up; what is `None` is not looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchKeys {
    /// The record that the lead is linked to. With it nothing else is looked up.
    pub linked: Option<RecordRef>,
    /// The record that a person said it is; looked up beside the others, since no other key need find it.
    pub chosen: Option<RecordRef>,
    /// Our key on the record.
    pub external_id: Option<String>,
    /// Keys of ours that it may carry since they were formed otherwise.
    pub former_ids: BTreeSet<String>,
    /// Looked up without regard to letter case.
    pub email: Option<String>,
    pub name_and_domain: Option<NameAndDomain>,
    /// The lead's company, where that is to be looked up as well.
    pub company: Option<CompanyKeys>,
    /// The opportunity that a sales rep made of the lead's record, where that is to be looked up as well.
    pub opportunity: Option<OpportunityKey>,
    /// Addresses of users of the CRM that the lead names as owners.
    pub owners: BTreeSet<String>,
}

/// A person's name and the domain of the company; free-mail and role addresses give none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAndDomain {
    pub first: Option<String>,
    pub last: String,
    /// Registrable domain, lower case, punycode.
    pub domain: String,
}

/// Every record that answered to one lead's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    pub found: Vec<Candidate>,
    /// Records that may be the lead's company; `None`: it was not looked up.
    pub companies: Option<Vec<Candidate>>,
    /// The opportunities that were made of the records found, by the strongest key, where opportunities are read.
    pub conversions: Vec<Conversion>,
    /// The users whose addresses were looked up.
    pub owners: Owners,
}

impl Candidates {
    /// What the record became in the end, itself if nothing: a converted Lead its Contact, a merged record the one that
    /// survived. `Err`: what it became, and is not among them.
    pub fn end_of<'a>(&'a self, hit: &'a Candidate) -> Result<&'a Candidate, RecordRef> {
        let mut last = hit;
        // As many steps as there are records: no chain that leads nowhere goes on for ever.
        for _ in 0..=self.found.len() {
            let Some(next) = &last.record.became else { return Ok(last) };
            last = candidate_of(next, self).ok_or_else(|| next.clone())?;
        }
        Err(last.record.reference())
    }
}

/// A record and the strongest key that it answered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub record: CrmRecord,
    pub by: MatchedBy,
}

/// How a record was recognised, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchedBy {
    Link,
    ExternalId,
    Email,
    NameAndCompanyDomain,
    /// A company, by the domain of its website or of our key on it.
    CompanyDomain,
    /// A company, by its name.
    CompanyName,
    /// A company, by the people of its domain who belong to it.
    CompanyContacts,
    /// The CRM's own duplicate rule named it.
    DuplicateRule,
}

impl MatchedBy {
    pub const ALL: [Self; 8] = [
        Self::Link,
        Self::ExternalId,
        Self::Email,
        Self::NameAndCompanyDomain,
        Self::CompanyDomain,
        Self::CompanyName,
        Self::CompanyContacts,
        Self::DuplicateRule,
    ];

    /// The word used in the log, the API and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            MatchedBy::Link => "link",
            MatchedBy::ExternalId => "external_id",
            MatchedBy::Email => "email",
            MatchedBy::NameAndCompanyDomain => "name_and_company_domain",
            MatchedBy::CompanyDomain => "company_domain",
            MatchedBy::CompanyName => "company_name",
            MatchedBy::CompanyContacts => "company_contacts",
            MatchedBy::DuplicateRule => "duplicate_rule",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|matched| matched.as_str() == word)
    }
}

/// A kind of CRM record that a person may be, and its fields that tell who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonObject {
    pub object: ObjectName,
    pub email: FieldName,
    pub first_name: FieldName,
    pub last_name: FieldName,
    pub website: Option<FieldName>,
}

impl PersonObject {
    /// Every field that tells who it is.
    pub fn identity(&self) -> impl Iterator<Item = &FieldName> {
        [&self.email, &self.first_name, &self.last_name].into_iter().chain(&self.website)
    }

    /// The fields without which records of this kind cannot be told apart by these keys.
    pub fn keys(&self, by: &[MatchedBy]) -> Vec<KeyField> {
        let by_email = by.contains(&MatchedBy::Email);
        let by_name = by.contains(&MatchedBy::NameAndCompanyDomain);
        // The domain of a company is the one of the address.
        let email = Some(&self.email).filter(|_| by_email || by_name);
        let names = [&self.last_name, &self.first_name].into_iter().filter(|_| by_name);
        let key = |field: &FieldName| KeyField { object: self.object.clone(), field: field.clone() };
        email.into_iter().chain(names).map(key).collect()
    }
}

/// A field by which records are recognised. Shown as `Contact.Email`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyField {
    pub object: ObjectName,
    pub field: FieldName,
}

impl fmt::Display for KeyField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.object, self.field)
    }
}

/// When several records could be the lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAmbiguous {
    /// A person chooses.
    Review,
    /// The record that was created first is taken.
    Oldest,
    /// The record that was created last is taken.
    Newest,
    /// None is taken; the lead gets a record of its own.
    Create,
}

/// When the record belongs to another lead already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnShared {
    /// The second lead fills blanks, and a person is asked.
    Review,
    /// The values of the lead that changed last win.
    Newest,
}

/// Who the lead says it is, for telling one person from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub first: Option<String>,
    pub last: Option<String>,
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = [&self.first, &self.last].into_iter().flatten().map(String::as_str).collect();
        f.write_str(&names.join(" "))
    }
}

/// What the search for the lead's record came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match<'a> {
    /// No record is this person: create one.
    Nobody,
    One(&'a Candidate),
    /// Only a person can tell which record it is.
    Ask {
        candidates: Vec<CandidateSummary>,
        detail: String,
    },
    /// The linked record, or what it became, is no longer there.
    Gone,
    /// The record became another one, which is not there, or of a kind that is not written to.
    Became(&'a Candidate, RecordRef),
    /// The record, linked before, became this one, which takes its place.
    Moved {
        from: RecordRef,
        to: &'a Candidate,
    },
    /// A person said that the lead is this record, of a kind that is not written to.
    Elsewhere(RecordRef),
}

impl MatchRules {
    /// Whether a lead may be a record of this kind: one that is written to.
    pub fn writes(&self, object: &ObjectName) -> bool {
        *object == self.object || self.others.contains(object)
    }
}

/// How records are chosen.
#[derive(Clone, Debug)]
pub struct MatchRules {
    /// The kind of record that a lead becomes.
    pub object: ObjectName,
    /// Other kinds of records that a lead may be: those that the mapping has rows for.
    pub others: BTreeSet<ObjectName>,
    /// Strongest first.
    pub by: Vec<MatchedBy>,
    pub on_ambiguous: OnAmbiguous,
    /// The fields that hold a person's first and last name.
    pub first_name: Option<FieldName>,
    pub last_name: Option<FieldName>,
}

/// Chooses the record that this person is: the link, else the first rule that hits.
///
/// Several hits of one rule, a hit on a record of another kind, and an address on a record of clearly another name go to
/// a person; an earlier answer counts while the same records are in question. A record that a person chose and no rule
/// finds is taken where no other one is in question.
pub fn choose<'a>(
    person: &Person,
    link: Option<&Link>,
    found: &'a Candidates,
    answers: &[Resolution],
    rules: &MatchRules,
) -> Match<'a> {
    if let Some(link) = link {
        let Some(linked) = candidate_of(&link.record, found) else { return Match::Gone };
        return match settled(linked, found, rules) {
            Match::One(to) if to.record.id != link.record.id => Match::Moved { from: link.record.clone(), to },
            Match::Became(_, missing) if rules.writes(&missing.object) => Match::Gone,
            settled => settled,
        };
    }
    let chosen = found.found.iter().find(|candidate| candidate.by == MatchedBy::Link);
    for by in &rules.by {
        let hits: Vec<&Candidate> = found
            .found
            .iter()
            .filter(|candidate| candidate.by == *by)
            .filter(|candidate| *by != MatchedBy::NameAndCompanyDomain || same_name(person, &candidate.record, rules))
            .collect();
        let hits = without_former_selves(hits);
        if !hits.is_empty() {
            let settled = |hit: &'a Candidate| settled(hit, found, rules);
            return among(person, &hits, chosen, *by, answers, rules, &settled);
        }
    }
    chosen.map_or(Match::Nobody, |hit| settled(hit, found, rules))
}

fn candidate_of<'a>(record: &RecordRef, found: &'a Candidates) -> Option<&'a Candidate> {
    found.found.iter().find(|candidate| candidate.record.id == record.id)
}

/// Leaves out records that became another one which is a hit itself: a converted Lead beside its Contact is one person.
fn without_former_selves(hits: Vec<&Candidate>) -> Vec<&Candidate> {
    let references: Vec<RecordRef> = hits.iter().map(|hit| hit.record.reference()).collect();
    hits.into_iter().filter(|hit| !hit.record.became.as_ref().is_some_and(|other| references.contains(other))).collect()
}

fn among<'a>(
    person: &Person,
    hits: &[&'a Candidate],
    chosen: Option<&'a Candidate>,
    by: MatchedBy,
    answers: &[Resolution],
    rules: &MatchRules,
    one: &dyn Fn(&'a Candidate) -> Match<'a>,
) -> Match<'a> {
    match answer_to(hits, answers) {
        Some(Choice::Create) => return Match::Nobody,
        Some(Choice::Record(answer)) if !rules.writes(&answer.object) => return Match::Elsewhere(answer.clone()),
        Some(Choice::Record(answer)) => {
            if let Some(hit) = hits.iter().copied().chain(chosen).find(|hit| hit.record.reference() == *answer) {
                return one(hit);
            }
        }
        _ => {}
    }
    let contradicts = |hit: &Candidate| by != MatchedBy::ExternalId && contradicts(person, &hit.record, rules);
    let is_ours = |hit: &Candidate| rules.writes(&hit.record.object);
    let detail = match hits {
        [hit] if !is_ours(hit) => {
            "the person is known to the CRM as a record of a kind that the mapping has no rows for"
        }
        [hit] if !contradicts(hit) => match one(hit) {
            // Of one that carries our key no other can be made.
            Match::Became(_, missing) if by != MatchedBy::ExternalId && rules.writes(&missing.object) => {
                "what the person's record was converted or merged into is not in the CRM any more"
            }
            settled => return settled,
        },
        [_] => "the record with this address is of a person with another name",
        _ => "several records could be this person",
    };
    let place = |hit: &&&Candidate| (hit.record.created_at, hit.record.id.clone());
    let in_doubt = |hit: &Candidate| doubt(person, &person_of(&hit.record, rules), by).is_some();
    let several = hits.len() > 1;
    let eligible = hits.iter().filter(|hit| several && !contradicts(hit));
    let chosen = match rules.on_ambiguous {
        // Whoever is known as a record of another kind never gets a second record.
        OnAmbiguous::Create if hits.iter().all(|hit| hit.record.object == rules.object) => return Match::Nobody,
        OnAmbiguous::Review | OnAmbiguous::Create => None,
        OnAmbiguous::Oldest => eligible.min_by_key(|hit| (in_doubt(hit), place(hit))),
        OnAmbiguous::Newest => eligible.max_by_key(|hit| (!in_doubt(hit), place(hit))),
    };
    chosen.filter(|hit| is_ours(hit)).map_or_else(|| ask(person, hits, rules, detail), |hit| one(hit))
}

/// The record, or what it became in the end.
fn settled<'a>(hit: &'a Candidate, found: &'a Candidates, rules: &MatchRules) -> Match<'a> {
    match found.end_of(hit) {
        Ok(last) if last.record.id == hit.record.id || rules.writes(&last.record.object) => Match::One(last),
        Ok(last) => Match::Became(hit, last.record.reference()),
        Err(missing) => Match::Became(hit, missing),
    }
}

/// The record that a person said the lead is, if that is one of a kind that is written to.
pub fn chosen_record(answers: &[Resolution], rules: &MatchRules) -> Option<RecordRef> {
    let newest = answers.iter().rev().find(|answer| answer.kind == ConflictKind::Match)?;
    match &newest.choice {
        Choice::Record(record) if rules.writes(&record.object) => Some(record.clone()),
        _ => None,
    }
}

/// The person's answer, while no record is in question that the person did not see.
fn answer_to<'r>(hits: &[&Candidate], answers: &'r [Resolution]) -> Option<&'r Choice> {
    answers
        .iter()
        .rev()
        .filter(|answer| answer.kind == ConflictKind::Match)
        .find(|answer| hits.iter().all(|hit| answer.seen_records.contains(&hit.record.reference())))
        .map(|answer| &answer.choice)
}

fn ask<'a>(person: &Person, hits: &[&Candidate], rules: &MatchRules, detail: &str) -> Match<'a> {
    let candidates = hits
        .iter()
        .map(|hit| {
            let verdict = if contradicts(person, &hit.record, rules) { "another name" } else { "no other name" };
            CandidateSummary {
                record: hit.record.reference(),
                by: hit.by,
                speaks: format!("found by {}; {verdict}", hit.by.as_str()),
            }
        })
        .collect();
    Match::Ask { candidates, detail: detail.to_owned() }
}

/// Who a record says it is.
pub fn person_of(record: &CrmRecord, rules: &MatchRules) -> Person {
    let text = |field: &Option<FieldName>| match field.as_ref().map(|field| record.value(field)) {
        Some(CrmValue::Text(text)) => Some(text.clone()),
        _ => None,
    };
    Person { first: text(&rules.first_name), last: text(&rules.last_name) }
}

/// Why a record that was recognised so may be another person's all the same: people of one family or firm share addresses.
/// `None`: nothing speaks against it.
pub fn doubt(person: &Person, record: &Person, by: MatchedBy) -> Option<&'static str> {
    let differs = by == MatchedBy::Email && compared(person, record, names_differ);
    differs.then_some("the record with this address may be of a person with another name")
}

fn contradicts(person: &Person, record: &CrmRecord, rules: &MatchRules) -> bool {
    compared(person, &person_of(record, rules), names_contradict)
}

fn compared(one: &Person, other: &Person, by: impl Fn(&str, &str, &str, &str) -> bool) -> bool {
    let [first, last, other_first, other_last] =
        [&one.first, &one.last, &other.first, &other.last].map(|name| name.as_deref().unwrap_or_default());
    by(first, last, other_first, other_last)
}

fn same_name(person: &Person, record: &CrmRecord, rules: &MatchRules) -> bool {
    let plain = |name: &Option<String>| folded_name(name.as_deref().unwrap_or_default());
    let other = person_of(record, rules);
    plain(&person.first) == plain(&other.first) && plain(&person.last) == plain(&other.last)
}

#[cfg(test)]
mod tests;
