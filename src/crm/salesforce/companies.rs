//! Accounts: those that may be the leads' companies.

use std::collections::{BTreeMap, BTreeSet};

use super::find::{Query, run_all};
use super::rows::{Reader, text};
use super::soql::{self, CompanyKey};
use super::wire::{Row, full_id};
use super::{ACCOUNT, EMAIL, Salesforce, WEBSITE};
use crate::crm::{CompanyReading, CrmError, FindRequest};
use crate::domain::company::{CompanyKeys, CompanyObject, Facts, beginnings};
use crate::domain::ids::{FieldName, RecordId};
use crate::domain::mapping::domain::of_text;
use crate::domain::matching::{Candidate, MatchKeys, MatchedBy};
use crate::domain::record::CrmRecord;

/// The lookups of all companies in question: one query ordinarily.
pub(super) fn plan_queries<'a>(reader: &'a Reader<'a>, keys: &[MatchKeys]) -> Result<Vec<Query<'a>>, CrmError> {
    reader.ensure_shown("Name")?;
    reader.ensure_shown(WEBSITE)?;
    let mut wanted = BTreeSet::new();
    for company in keys.iter().filter_map(|keys| keys.company.as_ref()) {
        wanted.extend(company.known.iter().map(|known| CompanyKey::Id(full_id(known.id.as_str()))));
        wanted.extend(company.external_ids().into_iter().map(CompanyKey::ExternalId));
        wanted.extend(
            company.domains.iter().flat_map(|domain| soql::spellings_of_domain(domain)).map(CompanyKey::Domain),
        );
        wanted.extend(company.name.iter().flat_map(|name| beginnings(name)).map(CompanyKey::Name));
    }
    let queries = soql::find_companies(&reader.target(), &wanted);
    Ok(queries.into_iter().map(|soql| Query::live(reader, soql)).collect())
}

/// The Accounts found.
pub(super) struct Companies<'a> {
    object: &'a CompanyObject,
    external_id: Option<&'a FieldName>,
    records: BTreeMap<RecordId, (CrmRecord, Facts)>,
    /// By domain, the Account that most people of the domain belong to.
    by_people: BTreeMap<String, RecordId>,
}

impl<'a> Companies<'a> {
    pub fn new(reading: &'a CompanyReading, request: &'a FindRequest) -> Self {
        let external_id = request.reading.external_id.as_ref();
        Self { object: &reading.object, external_id, records: BTreeMap::new(), by_people: BTreeMap::new() }
    }

    pub fn add(&mut self, reader: &Reader<'_>, rows: &[Row]) {
        for record in rows.iter().filter_map(|row| reader.record(row)) {
            let facts = Facts::of(&record, self.object, self.external_id);
            self.records.insert(record.id.clone(), (record, facts));
        }
    }

    /// Those that may be this company.
    pub fn candidates(&self, keys: &CompanyKeys) -> Vec<Candidate> {
        let may_be = self.records.iter().filter(|(id, (_, facts))| keys.may_be(id, facts));
        let named = may_be.map(|(_, (record, _))| Candidate { record: record.clone(), by: MatchedBy::CompanyName });
        let of_people: BTreeSet<&RecordId> =
            keys.domains.iter().filter_map(|domain| self.by_people.get(domain)).collect();
        let people = of_people.into_iter().filter_map(|id| self.records.get(id));
        let people = people.map(|(record, _)| Candidate { record: record.clone(), by: MatchedBy::CompanyContacts });
        let mut all: Vec<Candidate> = named.collect();
        if all.is_empty() {
            all.extend(people);
        }
        all
    }

    /// Looks for the companies that are not found yet by the people of their domain, where the settings say so.
    pub async fn look_for_colleagues(
        &mut self,
        crm: &Salesforce,
        request: &FindRequest,
        reading: &CompanyReading,
        accounts: &Reader<'_>,
        readers: &[Reader<'_>],
    ) -> Result<(), CrmError> {
        let contacts = readers.iter().find(|reader| reader.may_be_people() && reader.has(ACCOUNT));
        let Some(contacts) = contacts.filter(|_| reading.by_contacts) else { return Ok(()) };
        let companies = request.keys.iter().filter_map(|keys| keys.company.as_ref());
        let unknown = companies.filter(|keys| self.candidates(keys).is_empty());
        let domains: BTreeSet<String> = unknown.flat_map(|keys| keys.domains.iter().cloned()).collect();
        let people = count_people(crm, request, contacts, &domains).await?;
        for domain in &domains {
            let of_domain = || people.iter().filter(|((of, _), _)| of == domain);
            let Some(((_, most), n)) = of_domain().max_by_key(|(_, n)| **n) else { continue };
            if of_domain().filter(|(_, others)| *others == n).count() == 1 {
                self.by_people.insert(domain.clone(), most.clone());
            }
        }
        let missing = self.by_people.values().filter(|id| !self.records.contains_key(*id)).cloned();
        let missing: BTreeSet<CompanyKey> = missing.map(CompanyKey::Id).collect();
        let queries = soql::find_companies(&accounts.target(), &missing);
        let queries: Vec<Query<'_>> = queries.into_iter().map(|soql| Query::live(accounts, soql)).collect();
        for (reader, rows) in run_all(crm, request, &queries).await? {
            self.add(reader, &rows);
        }
        Ok(())
    }
}

/// How many people of each domain belong to which Account. Domains whose people are more than one look reads are asked about
/// apart; of one that alone has so many nothing is known, since the rows that are read may be any.
async fn count_people(
    crm: &Salesforce,
    request: &FindRequest,
    contacts: &Reader<'_>,
    domains: &BTreeSet<String>,
) -> Result<BTreeMap<(String, RecordId), usize>, CrmError> {
    let mut people: BTreeMap<(String, RecordId), usize> = BTreeMap::new();
    let mut open: Vec<Vec<String>> = vec![domains.iter().cloned().collect()];
    while !open.is_empty() {
        let target = contacts.target_with(ACCOUNT);
        let asked = std::mem::take(&mut open);
        let asked = asked.iter().flat_map(|part| soql::find_colleagues(&target, ACCOUNT, part));
        let (parts, queries): (Vec<Vec<String>>, Vec<Query<'_>>) =
            asked.map(|(part, soql)| (part, Query::live(contacts, soql))).unzip();
        for (mut part, (_, rows)) in parts.into_iter().zip(run_all(crm, request, &queries).await?) {
            if rows.len() >= soql::MOST_COLLEAGUES {
                if part.len() > 1 {
                    let half = part.split_off(part.len() / 2);
                    open.extend([part, half]);
                }
                continue;
            }
            for row in &rows {
                let domain = text(row, EMAIL).and_then(of_text).filter(|domain| part.contains(domain));
                if let (Some(domain), Some(account)) = (domain, text(row, ACCOUNT)) {
                    *people.entry((domain, full_id(account))).or_default() += 1;
                }
            }
        }
    }
    Ok(people)
}
