//! Companies: by what one is known, and which record of the CRM it is.

mod beginnings;
mod legal_forms;

pub use beginnings::beginnings;

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

use super::ids::{FieldName, ObjectName, RecordId, RecordRef};
use super::mapping::domain::{is_free_mail, of_text};
use super::mapping::{Direction, FieldRow};
use super::matching::{Candidate, MatchedBy};
use super::plan::CandidateSummary;
use super::record::{CrmRecord, CrmValue, is_accent};
use legal_forms::{EAST_ASIAN_FORMS, LEGAL_FORMS, LEGAL_PHRASES, NO_NAMES, PHRASES_IN_FRONT, WORDS_IN_FRONT};

/// The kind of CRM record that a company is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompanyObject {
    pub object: ObjectName,
    pub name: FieldName,
    pub website: FieldName,
    /// The fields of a person's record that say the same, for a mapping without rows for these.
    pub name_of_person: FieldName,
    pub website_of_person: FieldName,
    /// The kinds of people's records that point to their company, and by which field.
    pub lookups: Vec<(ObjectName, FieldName)>,
}

impl CompanyObject {
    /// Under which a link keeps which company the lead's is.
    pub fn link_field(&self) -> FieldName {
        FieldName::new(format!("{}.Id", self.object))
    }
}

impl CompanyObject {
    /// The mapping with the rows of its name and website: where it has none of its own, they are those of people's records.
    pub fn with_own_rows(&self, mapping: &[FieldRow]) -> Vec<FieldRow> {
        let mut rows = mapping.to_vec();
        for (field, of_person) in [(&self.name, &self.name_of_person), (&self.website, &self.website_of_person)] {
            let is_own = |row: &FieldRow| row.on.contains(&self.object) && row.crm == *field;
            let of_people = |row: &&FieldRow| {
                row.direction == Direction::ToCrm && row.crm == *of_person && !row.on.contains(&self.object)
            };
            if let Some(row) = mapping.iter().find(of_people).filter(|_| !mapping.iter().any(is_own)) {
                // What stands for a missing name is no company's.
                let (crm, on) = (field.clone(), vec![self.object.clone()]);
                rows.push(FieldRow { crm, on, default: None, ..row.clone() });
            }
        }
        rows
    }
}

/// The keys by which a lead's company is looked up; there is at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompanyKeys {
    /// The record that it was before, or that a person chose.
    pub known: Option<RecordRef>,
    /// Registrable domains, lower case, punycode; of no free mail and no role address.
    pub domains: BTreeSet<String>,
    /// As the lead writes it.
    pub name: Option<String>,
    /// All that the lead says of it: with the same words there is nothing to look at again.
    pub said: String,
}

/// The most characters of a key that is written to the CRM.
const LONGEST_KEY: usize = 64;

impl CompanyKeys {
    /// The keys of this name and these domains; `None` without any.
    pub fn of(name: Option<String>, domains: BTreeSet<String>) -> Option<Self> {
        let name = name.filter(|name| !forms(name).is_empty());
        (name.is_some() || !domains.is_empty()).then(|| Self { domains, name, ..Self::default() })
    }

    /// The forms in which the name is compared.
    pub fn forms(&self) -> BTreeSet<String> {
        self.name.as_deref().map(forms).unwrap_or_default()
    }

    /// The keys that a company's record may carry, the strongest first. Two leads of one company have one in common.
    pub fn external_ids(&self) -> Vec<String> {
        let domains = self.domains.iter().map(|domain| key("domain", domain));
        domains.chain(self.forms().iter().map(|form| key("name", form))).collect()
    }

    /// Who it is, whatever else is said of it.
    pub fn identity(&self) -> String {
        self.external_ids().join(" ")
    }

    /// Whether this may be the company.
    pub fn may_be(&self, id: &RecordId, facts: &Facts) -> bool {
        self.known.as_ref().is_some_and(|known| known.id == *id)
            || facts.external_id.as_ref().is_some_and(|carried| self.external_ids().contains(carried))
            || facts.domain.as_ref().is_some_and(|domain| self.domains.contains(domain))
            || !facts.forms.is_disjoint(&self.forms())
    }
}

fn key(kind: &str, value: &str) -> String {
    let plain = format!("{kind}:{value}");
    if plain.chars().count() <= LONGEST_KEY {
        return plain;
    }
    format!("{kind}:sha256:{}", hex::encode(&Sha256::digest(value)[..24]))
}

/// What a record says of which company it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub external_id: Option<String>,
    pub domain: Option<String>,
    pub forms: BTreeSet<String>,
}

impl Facts {
    /// The record's, by the fields of its kind.
    pub fn of(record: &CrmRecord, object: &CompanyObject, external_id: Option<&FieldName>) -> Self {
        let text = |field: &FieldName| match record.value(field) {
            CrmValue::Text(text) => Some(text.as_str()),
            _ => None,
        };
        let external_id = external_id.and_then(text);
        // One that was made by our key has no website where the lead named none.
        let of_key = || external_id?.strip_prefix("domain:").filter(|domain| domain.contains('.')).map(str::to_owned);
        Self {
            external_id: external_id.map(str::to_owned),
            domain: text(&object.website).and_then(of_text).filter(|domain| !is_free_mail(domain)).or_else(of_key),
            forms: text(&object.name).map(forms).unwrap_or_default(),
        }
    }
}

/// What the search for the lead's company came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompanyMatch<'a> {
    Nothing,
    One(&'a CrmRecord, MatchedBy, String),
    /// Only a person can tell which one it is.
    Ask {
        candidates: Vec<CandidateSummary>,
        detail: String,
    },
}

/// Chooses the record that the company is: by our key for its domain, by the domain of its website, then by its name
/// without legal form, case, punctuation and accents; by the people of that domain where these were looked at.
///
/// Several that its name does not tell apart, and one that has its name and a website of quite another name, go to a
/// person.
pub fn choose<'a>(
    keys: &CompanyKeys,
    found: &'a [Candidate],
    object: &CompanyObject,
    external_id: &FieldName,
) -> CompanyMatch<'a> {
    let all: Vec<(&Candidate, Facts)> =
        found.iter().map(|hit| (hit, Facts::of(&hit.record, object, Some(external_id)))).collect();
    if let Some(known) = &keys.known
        && let Some((hit, _)) = all.iter().find(|(hit, _)| hit.record.id == known.id)
    {
        return CompanyMatch::One(&hit.record, MatchedBy::Link, "the lead's company before".to_owned());
    }
    let forms = keys.forms();
    let has_domain = |facts: &Facts| {
        let carries = |domain: &String| facts.external_id.as_ref() == Some(&key("domain", domain));
        keys.domains.iter().any(|domain| facts.domain.as_ref() == Some(domain) || carries(domain))
    };
    let has_name = |facts: &Facts| !forms.is_disjoint(&facts.forms);
    let by_domain: Vec<&(&Candidate, Facts)> = all.iter().filter(|(_, facts)| has_domain(facts)).collect();
    if !by_domain.is_empty() {
        let named: Vec<&&(&Candidate, Facts)> = by_domain.iter().filter(|(_, facts)| has_name(facts)).collect();
        return match (&by_domain[..], &named[..]) {
            ([(hit, _)], _) | (_, [(hit, _)]) => {
                let domains = keys.domains.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                CompanyMatch::One(&hit.record, MatchedBy::CompanyDomain, format!("found by the domain {domains}"))
            }
            _ => ask(&by_domain, MatchedBy::CompanyDomain, "several companies have this domain"),
        };
    }
    let by_name: Vec<&(&Candidate, Facts)> = all.iter().filter(|(_, facts)| has_name(facts)).collect();
    let fits = |facts: &Facts| !are_apart(&keys.domains, &facts.domain.iter().cloned().collect());
    let fitting: Vec<&&(&Candidate, Facts)> = by_name.iter().filter(|(_, facts)| fits(facts)).collect();
    match (&by_name[..], &fitting[..]) {
        ([], _) => {}
        (_, [(hit, _)]) => {
            let name = keys.name.as_deref().unwrap_or_default();
            return CompanyMatch::One(&hit.record, MatchedBy::CompanyName, format!("found by the name {name:?}"));
        }
        (_, []) => {
            return ask(&by_name, MatchedBy::CompanyName, "a company of this name has another website");
        }
        _ => return ask(&by_name, MatchedBy::CompanyName, "several companies have this name"),
    }
    let by_people: Vec<&Candidate> = found.iter().filter(|hit| hit.by == MatchedBy::CompanyContacts).collect();
    match by_people[..] {
        [hit] => {
            let reason = "found by the people with an address at its domain".to_owned();
            CompanyMatch::One(&hit.record, MatchedBy::CompanyContacts, reason)
        }
        _ => CompanyMatch::Nothing,
    }
}

fn ask<'a>(hits: &[&(&Candidate, Facts)], by: MatchedBy, detail: &str) -> CompanyMatch<'a> {
    let candidate = |(hit, facts): &&(&Candidate, Facts)| CandidateSummary {
        record: hit.record.reference(),
        by,
        speaks: match &facts.domain {
            Some(domain) => format!("found by {}; it is at {domain}", by.as_str()),
            None => format!("found by {}; it has no website", by.as_str()),
        },
    };
    CompanyMatch::Ask { candidates: hits.iter().map(candidate).collect(), detail: detail.to_owned() }
}

/// Whether companies of one name are not taken for one, since they are at other domains.
pub fn are_apart(one: &BTreeSet<String>, other: &BTreeSet<String>) -> bool {
    let meet = || one.iter().any(|domain| other.iter().any(|other| label(domain) == label(other)));
    !one.is_empty() && !other.is_empty() && !meet()
}

/// The part of a domain that is a name: `acme` of `acme.co.uk`.
fn label(domain: &str) -> &str {
    domain.split('.').next().unwrap_or(domain)
}

/// The forms in which a company's name is compared; none for what is no name. Two names are one company's if they have a
/// form in common: `ü` is written `u` by some and `ue` by others.
pub fn forms(name: &str) -> BTreeSet<String> {
    [plain(name, false), plain(name, true)].into_iter().flatten().collect()
}

fn plain(name: &str, umlauts_in_two: bool) -> Option<String> {
    let folded = without_east_asian_form(&fold(&name.to_lowercase(), umlauts_in_two));
    // Dots and apostrophes stand inside a word, everything else between two.
    let spaced: String = folded
        .chars()
        .filter(|c| !matches!(c, '.' | '\'' | '\u{2019}' | '`' | '\u{b4}'))
        .map(|c| if c.is_alphanumeric() { c } else { ' ' })
        .collect();
    let mut words: Vec<String> = Vec::new();
    let mut was_letter = false;
    for word in spaced.split_whitespace().filter(|word| !matches!(*word, "and" | "und" | "et")) {
        let is_letter = word.chars().count() == 1;
        match words.last_mut() {
            // `S. A.` is `SA`.
            Some(last) if is_letter && was_letter => last.push_str(word),
            _ => words.push(word.to_owned()),
        }
        was_letter = is_letter;
    }
    for phrase in LEGAL_PHRASES {
        if words.len() > phrase.len() && words.ends_with(&owned(phrase)) {
            words.truncate(words.len() - phrase.len());
        }
    }
    for phrase in PHRASES_IN_FRONT {
        if words.len() > phrase.len() && words.starts_with(&owned(phrase)) {
            words.drain(..phrase.len());
        }
    }
    let is_form = |word: &String| LEGAL_FORMS.contains(&word.as_str());
    while words.len() > 1 && words.last().is_some_and(is_form) {
        words.pop();
    }
    while words.len() > 1 && words.first().is_some_and(|word| is_form_in_front(word)) {
        words.remove(0);
    }
    let joined = words.join(" ");
    (!joined.is_empty() && !NO_NAMES.contains(&joined.as_str())).then_some(joined)
}

fn owned(phrase: &[&str]) -> Vec<String> {
    phrase.iter().map(ToString::to_string).collect()
}

/// Without the forms that are written in one with the name, before it or behind it.
fn without_east_asian_form(folded: &str) -> String {
    let mut name = folded.trim();
    for form in EAST_ASIAN_FORMS {
        let rest = name.strip_prefix(form).or_else(|| name.strip_suffix(form)).map(str::trim);
        name = rest.filter(|rest| !rest.is_empty()).unwrap_or(name);
    }
    name.to_owned()
}

/// Whether the word in front of a name is its legal form, as in `PT Astra`; `Company Seven` is called so.
fn is_form_in_front(word: &str) -> bool {
    LEGAL_FORMS.contains(&word) && !WORDS_IN_FRONT.contains(&word)
}

/// Without accents; `ü` as `u`, or as `ue`.
fn fold(text: &str, umlauts_in_two: bool) -> String {
    let umlauts = |c: char| match c {
        'ä' if umlauts_in_two => "ae".to_owned(),
        'ö' | 'ø' if umlauts_in_two => "oe".to_owned(),
        'ü' if umlauts_in_two => "ue".to_owned(),
        'Ä' if umlauts_in_two => "Ae".to_owned(),
        'Ö' | 'Ø' if umlauts_in_two => "Oe".to_owned(),
        'Ü' if umlauts_in_two => "Ue".to_owned(),
        'å' if umlauts_in_two => "aa".to_owned(),
        'ß' => "ss".to_owned(),
        'ø' => "o".to_owned(),
        'Ø' => "O".to_owned(),
        'æ' => "ae".to_owned(),
        'œ' => "oe".to_owned(),
        'ł' => "l".to_owned(),
        'Ł' => "L".to_owned(),
        'đ' => "d".to_owned(),
        'ı' => "i".to_owned(),
        other => other.to_string(),
    };
    text.nfc().map(umlauts).collect::<String>().nfkd().filter(|c| !is_accent(*c)).nfc().collect()
}

fn squeezed(word: &str) -> String {
    fold(&word.to_lowercase(), false).chars().filter(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
pub(crate) mod tests;
