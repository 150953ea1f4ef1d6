//! Looking people up: one composite call for up to 200 leads, then every row to the leads whose keys it answers to.

use std::collections::{BTreeSet, HashMap};

use http::Method;
use url::Url;

use super::companies::{self, Companies};
use super::rows::{Reader, text};
use super::soql::{self, Key, NameAtDomain};
use super::transport::{Outgoing, SendError};
use super::wire::{CompositeAnswer, CompositeRequest, QueryPage, Row, Subrequest, full_id};
use super::{EMAIL, KnownObjects, LAST_NAME, Salesforce, USER, classify, follow, opportunities, owners};
use crate::crm::{CrmError, FindRequest};
use crate::domain::ids::{ObjectName, RecordId, RecordRef};
use crate::domain::mapping::Owners;
use crate::domain::matching::{Candidate, Candidates, MatchKeys, MatchedBy, NameAndDomain};
use crate::domain::record::{CrmRecord, folded_name, spellings_of_name};

/// The most queries that one composite may hold.
const QUERIES_PER_CALL: usize = 5;
/// More rows than this for one batch are no candidates but a lookup gone wrong.
const MOST_ROWS: usize = 20_000;

/// Looks all keys up; one answer per set of keys, in the order given.
pub(super) async fn find(crm: &Salesforce, request: &FindRequest) -> Result<Vec<Candidates>, CrmError> {
    let linked = request.keys.iter().filter_map(|keys| keys.linked.as_ref()).map(|link| &link.object);
    let companies = request.keys.iter().any(|keys| keys.company.is_some());
    let companies = request.reading.companies.as_ref().filter(|_| companies);
    let company = companies.map(|companies| &companies.object.object);
    let opportunity = request.reading.opportunities.as_ref().map(|opportunities| &opportunities.object.object);
    let objects = request.reading.fields.keys().chain(linked).chain(company).chain(opportunity);
    let objects: BTreeSet<&ObjectName> = objects.collect();
    let known = crm.known_objects(&objects).await?;
    let session = crm.transport.session().await?;
    let readers: Vec<Reader<'_>> = objects
        .into_iter()
        .map(|object| Reader::new(object, &request.reading, &known, session.user.as_ref()))
        .collect();

    let reader_of = |object: &ObjectName| readers.iter().find(|reader| reader.object == object);
    let accounts = companies.and_then(|companies| Some((companies, reader_of(&companies.object.object)?)));
    let user = ObjectName::from(USER);
    let of_users = Reader::new(&user, &request.reading, &known, None);
    let addresses = owners::addresses(&request.keys);
    let of_opportunities = opportunities::plan_queries(&readers, &request.keys);
    let fewer = accounts.is_some() || !addresses.is_empty() || !of_opportunities.is_empty();
    let mut queries = plan_queries(&readers, &request.keys, fewer)?;
    queries.extend(of_opportunities);
    queries.extend(owners::plan_queries(&user, &addresses).into_iter().map(|soql| Query::live(&of_users, soql)));
    if let Some((_, reader)) = accounts {
        queries.extend(companies::plan_queries(reader, &request.keys)?);
    }
    let mut found = Found::new(request, &known);
    let mut users = Vec::new();
    let mut known_companies = accounts.map(|(reading, _)| Companies::new(reading, request));
    for (reader, rows) in run_all(crm, request, &queries).await? {
        if reader.object == &user {
            users.extend(rows);
            continue;
        }
        match (&mut known_companies, company) {
            (Some(companies), Some(object)) if reader.object == object => companies.add(reader, &rows),
            _ => rows.iter().for_each(|row| found.add(reader, row)),
        }
    }
    follow::follow(crm, request, &readers, &mut found).await?;
    if let (Some(companies), Some((reading, reader))) = (&mut known_companies, accounts) {
        companies.look_for_colleagues(crm, request, reading, reader, &readers).await?;
    }
    let users = owners::read(&addresses, &users);
    let candidates = |keys: &MatchKeys| Candidates {
        owners: users.of(&keys.owners),
        companies: keys.company.as_ref().zip(known_companies.as_ref()).map(|(keys, known)| known.candidates(keys)),
        ..found.candidates(keys)
    };
    Ok(request.keys.iter().map(candidates).collect())
}

/// Runs queries, five to a call.
pub(super) async fn run_all<'a>(
    crm: &Salesforce,
    request: &FindRequest,
    queries: &[Query<'a>],
) -> Result<Vec<(&'a Reader<'a>, Vec<Row>)>, CrmError> {
    let mut results = Vec::with_capacity(queries.len());
    for batch in queries.chunks(QUERIES_PER_CALL) {
        results.extend(run_queries(crm, request, batch).await?);
    }
    Ok(results)
}

pub(super) struct Query<'a> {
    pub reader: &'a Reader<'a>,
    pub soql: String,
    /// Whether deleted and merged records are asked for as well.
    pub all: bool,
}

impl<'a> Query<'a> {
    /// A query over live records.
    pub fn live(reader: &'a Reader<'a>, soql: String) -> Self {
        Self { reader, soql, all: false }
    }
}

/// Every lookup that the keys need, split where it would be too long.
///
/// A key is never asked for by a field that its object does not show, nor left out for that: either way a person's record
/// would not be found and made again.
///
/// Ordinarily five: Leads by ID or our key, Leads by e-mail, Leads by name, Contacts by key or e-mail, Contacts by name.
/// `fewer`: four, so that one of another kind has room in the same call.
fn plan_queries<'a>(readers: &'a [Reader<'a>], keys: &[MatchKeys], fewer: bool) -> Result<Vec<Query<'a>>, CrmError> {
    let unlinked = || keys.iter().filter(|keys| keys.linked.is_none());
    let external_ids = || {
        let own = unlinked().flat_map(|keys| keys.external_id.iter().chain(&keys.former_ids));
        own.map(|text| Key::ExternalId(text.trim().to_owned()))
    };
    let emails: BTreeSet<Key> =
        unlinked().filter_map(|keys| keys.email.as_deref()).map(lower).map(Key::Email).collect();
    let names: BTreeSet<NameAtDomain> =
        unlinked().filter_map(|keys| keys.name_and_domain.as_ref()).flat_map(spellings).collect();
    let names: Vec<NameAtDomain> = names.into_iter().collect();

    let nobody = (BTreeSet::new(), Vec::new());
    let mut queries = Vec::new();
    let is_asked = |reader: &&Reader<'_>| {
        let is_linked = |link: &RecordRef| link.object == *reader.object;
        reader.may_be_people() || keys.iter().filter_map(|keys| keys.linked.as_ref()).any(is_linked)
    };
    for reader in readers.iter().filter(is_asked) {
        let target = reader.target();
        let (emails, names) = if reader.may_be_people() { (&emails, &names) } else { (&nobody.0, &nobody.1) };
        if !names.is_empty() {
            reader.ensure_shown(LAST_NAME)?;
        }
        if !(emails.is_empty() && names.is_empty()) {
            reader.ensure_shown(EMAIL)?;
        }
        let known = keys.iter().filter_map(|keys| keys.linked.as_ref().or(keys.chosen.as_ref()));
        let links = known.filter(|link| link.object == *reader.object);
        let mut own: BTreeSet<Key> = links.map(|link| Key::Id(full_id(link.id.as_str()))).collect();
        own.extend(external_ids());
        if reader.points_to_opportunities() {
            own.extend(opportunities::of_converted(keys));
        }
        // An OR over both stays quick; Leads, which are many, are kept apart all the same.
        let lists: Vec<Vec<Key>> = if reader.object.as_str() == "Lead" && !fewer {
            vec![own.into_iter().collect(), emails.iter().cloned().collect()]
        } else {
            vec![own.into_iter().chain(emails.iter().cloned()).collect()]
        };
        let by_keys = lists.iter().flat_map(|list| soql::find_by_keys(&target, list));
        let by_names = soql::find_by_names(&target, names);
        queries.extend(by_keys.chain(by_names).map(|soql| Query::live(reader, soql)));
    }
    Ok(queries)
}

/// One composite call, and one more for each further page of rows.
async fn run_queries<'a>(
    crm: &Salesforce,
    request: &FindRequest,
    batch: &[Query<'a>],
) -> Result<Vec<(&'a Reader<'a>, Vec<Row>)>, CrmError> {
    let parts = batch.iter().enumerate().map(|(place, query)| Subrequest {
        method: "GET",
        url: match query.all {
            true => soql::query_all_path(&crm.root, &query.soql),
            false => soql::query_path(&crm.root, &query.soql),
        },
        reference_id: format!("find{place}"),
        http_headers: Default::default(),
        body: None,
    });
    let body = CompositeRequest::in_order(parts.collect());
    let outgoing = Outgoing {
        method: Method::POST,
        json: Some(super::to_bytes(&body)?),
        request_id: Some(request.request_id.clone()),
        ..Outgoing::get("composite", format!("{}/composite", crm.root))
    };
    let answer = crm.transport.send(&outgoing).await.map_err(SendError::of_a_read)?;
    if answer.status != 200 {
        return Err(answer.error());
    }
    let composite: CompositeAnswer =
        serde_json::from_slice(&answer.body).map_err(|_| classify::unreadable(answer.status))?;

    let mut results = Vec::with_capacity(batch.len());
    for (place, query) in batch.iter().enumerate() {
        let reference = format!("find{place}");
        let Some(part) = composite.composite_response.iter().find(|part| part.reference_id == reference) else {
            return Err(classify::unreadable(answer.status));
        };
        if part.http_status_code != 200 {
            let errors = classify::read_errors(part.bytes());
            return Err(classify::classify(part.http_status_code, answer.retry_after, &errors));
        }
        let page = serde_json::from_slice(part.bytes()).map_err(|_| classify::unreadable(part.http_status_code))?;
        results.push((query.reader, all_pages(crm, page).await?));
    }
    Ok(results)
}

/// The rows of this page and of those that follow it.
async fn all_pages(crm: &Salesforce, first: QueryPage) -> Result<Vec<Row>, CrmError> {
    let QueryPage { mut done, next_records_url: mut next, records: mut rows } = first;
    while !done {
        let path = next.filter(|path| path.starts_with("/services/data/")).ok_or_else(|| classify::unreadable(200))?;
        let answer = crm.transport.send(&Outgoing::get("query_more", path)).await.map_err(SendError::of_a_read)?;
        if answer.status != 200 {
            return Err(answer.error());
        }
        let page: QueryPage = serde_json::from_slice(&answer.body).map_err(|_| classify::unreadable(answer.status))?;
        // A page without rows that is not the last one would go on for ever.
        if page.records.is_empty() && !page.done {
            return Err(classify::unreadable(answer.status));
        }
        rows.extend(page.records);
        (done, next) = (page.done, page.next_records_url);
        if rows.len() > MOST_ROWS {
            let message = format!("more than {MOST_ROWS} records answer to the keys of one batch");
            return Err(CrmError::Unfamiliar { code: "too_many_matches".into(), message });
        }
    }
    Ok(rows)
}

/// The rows of all queries, by the keys that they answer to.
pub(super) struct Found {
    pub records: Vec<CrmRecord>,
    /// First name and company domains beside each record.
    persons: Vec<Person>,
    places: HashMap<(ObjectName, RecordId), usize>,
    by_external_id: HashMap<String, Vec<usize>>,
    by_email: HashMap<String, Vec<usize>>,
    by_last_name: HashMap<String, Vec<usize>>,
    /// What was made of converted records.
    pub opportunities: HashMap<usize, RecordRef>,
    case_sensitive: bool,
}

struct Person {
    first: Option<String>,
    domains: Vec<String>,
}

impl Found {
    fn new(request: &FindRequest, known: &KnownObjects) -> Self {
        let case_sensitive = request.reading.external_id.as_ref().is_some_and(|field| {
            known.values().filter_map(|object| object.fields.get(field)).any(|field| field.case_sensitive)
        });
        Self {
            records: Vec::new(),
            persons: Vec::new(),
            places: HashMap::new(),
            by_external_id: HashMap::new(),
            by_email: HashMap::new(),
            by_last_name: HashMap::new(),
            opportunities: HashMap::new(),
            case_sensitive,
        }
    }

    pub fn add(&mut self, reader: &Reader<'_>, row: &Row) {
        let Some(record) = reader.record(row) else { return };
        let place = self.records.len();
        let key = (record.object.clone(), record.id.clone());
        if self.places.contains_key(&key) {
            return;
        }
        self.places.insert(key, place);
        if reader.is_opportunity() {
            self.persons.push(Person { first: None, domains: Vec::new() });
            self.records.push(record);
            return;
        }
        self.opportunities.extend(reader.opportunity(row).map(|opportunity| (place, opportunity)));
        if let Some(external_id) = reader.external_id(row) {
            self.by_external_id.entry(self.external_id_key(external_id)).or_default().push(place);
        }
        let email = text(row, "Email");
        if let Some(email) = email {
            self.by_email.entry(lower(email)).or_default().push(place);
        }
        if let Some(last) = text(row, "LastName") {
            self.by_last_name.entry(folded_name(last)).or_default().push(place);
        }
        let email_host = email.and_then(|email| email.rsplit_once('@')).map(|(_, host)| host.to_owned());
        let hosts = [email_host, text(row, "Website").and_then(website_host)];
        let domains = hosts.into_iter().flatten().filter_map(|host| registrable_domain(&host)).collect();
        self.persons.push(Person { first: text(row, "FirstName").map(folded_name), domains });
        self.records.push(record);
    }

    /// Notes that a record was merged into another.
    pub fn add_merged(&mut self, merged: RecordRef, into: RecordRef) {
        let place = self.records.len();
        self.places.insert((merged.object.clone(), merged.id.clone()), place);
        self.persons.push(Person { first: None, domains: Vec::new() });
        self.records.push(CrmRecord {
            id: merged.id,
            object: merged.object,
            fields: Default::default(),
            modified_at: None,
            created_at: None,
            modified_by_us: None,
            became: Some(into),
        });
    }

    /// The records that answer to the keys, each by its strongest, with what they became; for a linked lead only the
    /// linked record.
    fn candidates(&self, keys: &MatchKeys) -> Candidates {
        let mut found: Vec<(usize, MatchedBy)> = Vec::new();
        let mut add = |places: &[usize], by: MatchedBy| {
            for place in places {
                let mut next = Some(*place);
                while let Some(place) = next.filter(|place| !found.iter().any(|(known, _)| known == place)) {
                    found.push((place, by));
                    next = self.records.get(place).and_then(|record| self.place(record.became.as_ref()?));
                }
            }
        };
        if let Some(link) = &keys.linked {
            add(self.place(link).as_slice(), MatchedBy::Link);
        } else {
            let listed = |map: &'_ HashMap<String, Vec<usize>>, key: Option<String>| {
                key.and_then(|key| map.get(&key).cloned()).unwrap_or_default()
            };
            for own in keys.external_id.iter().chain(&keys.former_ids) {
                add(self.with_our_key(own), MatchedBy::ExternalId);
            }
            add(&listed(&self.by_email, keys.email.as_deref().map(lower)), MatchedBy::Email);
            if let Some(name) = &keys.name_and_domain {
                let mut namesakes = listed(&self.by_last_name, Some(folded_name(&name.last)));
                namesakes.retain(|place| self.persons.get(*place).is_some_and(|person| person.may_be(name)));
                add(&namesakes, MatchedBy::NameAndCompanyDomain);
            }
            let chosen = keys.chosen.as_ref().and_then(|chosen| self.place(chosen));
            add(chosen.as_slice(), MatchedBy::Link);
        }
        let candidate = |(place, by): (usize, MatchedBy)| {
            self.records.get(place).map(|record| Candidate { record: record.clone(), by })
        };
        Candidates {
            conversions: opportunities::conversions(self, keys, &found),
            found: found.into_iter().filter_map(candidate).collect(),
            companies: None,
            owners: Owners::default(),
        }
    }

    /// The records that carry this key of ours.
    pub fn with_our_key(&self, external_id: &str) -> &[usize] {
        self.by_external_id.get(&self.external_id_key(external_id)).map_or(&[], Vec::as_slice)
    }

    /// The records with this address.
    pub fn with_address(&self, email: &str) -> &[usize] {
        self.by_email.get(&lower(email)).map_or(&[], Vec::as_slice)
    }

    pub fn place(&self, record: &RecordRef) -> Option<usize> {
        self.places.get(&(record.object.clone(), full_id(record.id.as_str()))).copied()
    }

    fn external_id_key(&self, text: &str) -> String {
        if self.case_sensitive { text.trim().to_owned() } else { lower(text) }
    }
}

impl Person {
    /// Whether the company's domain is the same and the first names do not differ; one that is missing differs from none.
    fn may_be(&self, name: &NameAndDomain) -> bool {
        let first_differs =
            self.first.as_ref().zip(name.first.as_deref()).is_some_and(|(ours, theirs)| *ours != folded_name(theirs));
        !first_differs && self.domains.contains(&name.domain)
    }
}

/// The name in the spellings of its accents, at its domain in ASCII and, where that differs, as a person would write it.
fn spellings(name: &NameAndDomain) -> Vec<NameAtDomain> {
    let of_domain = soql::spellings_of_domain(&name.domain);
    let at =
        |last: String| of_domain.iter().map(move |domain| NameAtDomain { last: last.clone(), domain: domain.clone() });
    spellings_of_name(&name.last).into_iter().flat_map(at).collect()
}

pub(super) fn lower(text: &str) -> String {
    text.trim().to_lowercase()
}

/// The host of a website as people write it, with or without a scheme.
fn website_host(website: &str) -> Option<String> {
    let website = website.trim();
    let url = if website.contains("://") { Url::parse(website) } else { Url::parse(&format!("http://{website}")) };
    url.ok()?.host_str().map(str::to_owned)
}

/// The part of a host that somebody registered, in ASCII: `acme.co.uk` of `www.acme.co.uk`.
fn registrable_domain(host: &str) -> Option<String> {
    let host = idna::domain_to_ascii(host.trim().trim_end_matches('.')).ok()?;
    psl::domain_str(&host).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_company_is_known_by_its_domain_however_it_is_written() {
        let check = |website: &str, expected: Option<&str>| {
            let domain = website_host(website).and_then(|host| registrable_domain(&host));
            assert_eq!(domain.as_deref(), expected, "{website}");
        };
        check("acme.example", Some("acme.example"));
        check(" https://www.ACME.co.uk:8080/about?x#y ", Some("acme.co.uk"));
        check("http://bücher.example", Some("xn--bcher-kva.example"));
        check("XN--BCHER-KVA.example", Some("xn--bcher-kva.example"));
        check("co.uk", None);
        check("not a website", None);
        check("", None);
    }

    #[test]
    fn a_domain_is_looked_for_as_people_write_it_too() {
        let spelled = |domain: &str| {
            let name = NameAndDomain { first: None, last: " Weiß ".into(), domain: domain.into() };
            spellings(&name).iter().map(|name| format!("{}@{}", name.last, name.domain)).collect::<Vec<_>>()
        };
        assert_eq!(spelled("acme.example"), ["Weiß@acme.example"]);
        assert_eq!(spelled("xn--bcher-kva.example"), ["Weiß@xn--bcher-kva.example", "Weiß@bücher.example"]);
    }

    #[test]
    fn a_name_is_looked_for_with_composed_accents_and_as_it_was_sent() {
        let spelled = |last: &str| {
            let name = NameAndDomain { first: None, last: last.into(), domain: "acme.example".into() };
            spellings(&name).into_iter().map(|name| name.last).collect::<BTreeSet<_>>()
        };
        let (composed, decomposed) = ("Nov\u{e1}k", "Nova\u{301}k");
        assert_eq!(spelled("Novak"), ["Novak".to_owned()].into());
        assert_eq!(spelled(composed), [composed.to_owned()].into());
        assert_eq!(spelled(decomposed), [composed.to_owned(), decomposed.to_owned()].into());
        let (mixed, all) = ("Nova\u{301}k-Nov\u{e1}k", spelled("Nova\u{301}k-Nov\u{e1}k"));
        assert!(all.len() == 2 && all.contains(mixed), "{all:?}");
    }

    #[test]
    fn our_key_is_compared_as_its_field_compares() {
        let found = |case_sensitive: bool| {
            let field = serde_json::json!({"name": "Ext__c", "type": "string", "caseSensitive": case_sensitive});
            let answer = serde_json::json!({"createable": true, "updateable": true, "fields": [field]});
            let answer: crate::crm::salesforce::DescribeAnswer = serde_json::from_value(answer).unwrap();
            let lead = ObjectName::new("Lead");
            let known = KnownObjects::from([(lead.clone(), std::sync::Arc::new(answer.into_schema(&lead)))]);
            let reading = crate::crm::Reading { external_id: Some("Ext__c".into()), ..Default::default() };
            let keys = MatchKeys { external_id: Some("k-1".into()), ..MatchKeys::default() };
            let request = FindRequest { request_id: "r".into(), keys: vec![keys.clone()], reading };
            let mut found = Found::new(&request, &known);
            let row = serde_json::json!({"Id": "00Q5g00000AAAAAEA5", "Ext__c": "K-1"});
            found.add(&Reader::new(&lead, &request.reading, &known, None), row.as_object().unwrap());
            found.candidates(&keys).found.len()
        };
        assert_eq!((found(false), found(true)), (1, 0));
    }
}
