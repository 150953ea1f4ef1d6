//! The people who work in the CRM: they made some records before leadrelay came, and edit others while it runs.

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::SAMPLES;
use crate::app::App;
use crate::clock::Clock;
use crate::domain::ids::{LeadKey, RecordId};
use crate::domain::job::Class;
use crate::domain::mapping::name;
use crate::store::DirtyMark;

/// What a record is there to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Made {
    /// Carries the lead's address: taken for the same person.
    SameEmail,
    /// Carries the lead's name and an address of the same company: taken for the same person.
    SameNameAndCompany,
    /// Carries the lead's address, but clearly another name: a person is asked.
    OtherPerson,
    /// One of two records with the lead's address: a person is asked.
    Double,
}

/// Which lines of the samples meet a record that is there already.
const RECORDS: [(usize, Made); 12] = [
    (1, Made::SameEmail),
    (2, Made::SameEmail),
    (7, Made::SameEmail),
    (9, Made::SameEmail),
    (5, Made::SameNameAndCompany),
    (6, Made::SameNameAndCompany),
    (10, Made::SameNameAndCompany),
    (12, Made::SameNameAndCompany),
    (3, Made::OtherPerson),
    (4, Made::OtherPerson),
    (11, Made::Double),
    (11, Made::Double),
];

/// Which field of which lead's record is edited midway, and to what.
const EDITS: [(usize, &str, &str); 5] = [
    (97, "Phone", "+12025550199"),
    (28, "Company", "Anh Duong Holding"),
    (2, "Status", "Working - Contacted"),
    (13, "LeadSource", "Purchased List"),
    (30, "Title", "Head of Purchasing"),
];

/// A record that a CRM user made.
pub(super) struct MadeRecord {
    pub id: RecordId,
    pub lead: LeadKey,
    pub made: Made,
}

/// A field that a CRM user edited.
pub(super) struct Edit {
    pub record: RecordId,
    pub lead: LeadKey,
    pub field: &'static str,
    pub value: &'static str,
}

pub(super) struct CrmUsers {
    client: reqwest::Client,
    url: String,
}

impl CrmUsers {
    pub fn new(url: String) -> Self {
        Self { client: reqwest::Client::new(), url }
    }

    pub async fn make_records(&self) -> Result<Vec<MadeRecord>> {
        let mut records = Vec::new();
        for (line, made) in RECORDS {
            let lead = sample(line)?;
            let made_record = self.call(self.client.post(self.at("records")), &record_of(&lead, made)?).await?;
            let id = made_record.get("id").and_then(Json::as_str).context("the sandbox made no record")?;
            records.push(MadeRecord { id: RecordId::from(id), lead: key(&lead)?, made });
        }
        Ok(records)
    }

    /// Edits records, and has their leads looked at again as an operator would with `POST /leads/…/sync`.
    pub async fn edit_records(&self, app: &App) -> Result<Vec<Edit>> {
        let mut edits = Vec::new();
        for (line, field, value) in EDITS {
            let lead = key(&sample(line)?)?;
            let view = app.store.load_lead(&lead).await?.with_context(|| format!("lead {lead} is not known"))?;
            let (destination, link) = view.links.first().with_context(|| format!("lead {lead} has no record"))?;
            let record = link.record.id.clone();
            let request = self.client.patch(format!("{}/{record}", self.at("records")));
            self.call(request, &json!({ "fields": { field: value } })).await?;
            let mark = DirtyMark {
                destination: destination.clone(),
                leads: vec![lead.clone()],
                class: Class::Live,
                now: Clock::system().now(),
                forced: true,
            };
            app.store.mark_dirty(&mark).await?;
            edits.push(Edit { record, lead, field, value });
        }
        Ok(edits)
    }

    /// The record's fields as they stand; `None` if it is not there.
    pub async fn fields(&self, record: &RecordId) -> Result<Option<Map<String, Json>>> {
        let records = self.get(&format!("records?id={record}")).await?;
        let fields = records.pointer("/items/0/fields").and_then(Json::as_object);
        Ok(fields.cloned())
    }

    /// Calls that counted against the CRM's allowance.
    pub async fn api_calls(&self) -> Result<u64> {
        self.get("stats").await?.get("calls").and_then(Json::as_u64).context("the sandbox did not count its calls")
    }

    async fn get(&self, path: &str) -> Result<Json> {
        Ok(self.client.get(self.at(path)).send().await?.error_for_status()?.json().await?)
    }

    async fn call(&self, request: reqwest::RequestBuilder, body: &Json) -> Result<Json> {
        let answer = request.json(body).send().await.context("cannot reach the sandbox")?;
        let (status, text) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            bail!("the sandbox answered {status}: {text}");
        }
        Ok(serde_json::from_str(&text).unwrap_or(Json::Null))
    }

    fn at(&self, path: &str) -> String {
        format!("{}/_sandbox/{path}", self.url)
    }
}

fn sample(line: usize) -> Result<Json> {
    let text = SAMPLES.lines().nth(line.saturating_sub(1)).context("there are fewer samples")?;
    let body: Json = serde_json::from_str(text)?;
    body.get("data").cloned().context("the sample has no lead")
}

fn key(lead: &Json) -> Result<LeadKey> {
    Ok(LeadKey::new("klozeo", text(lead, "id")?))
}

fn text<'a>(lead: &'a Json, field: &str) -> Result<&'a str> {
    lead.get(field).and_then(Json::as_str).with_context(|| format!("the sample has no {field}"))
}

fn record_of(lead: &Json, made: Made) -> Result<Json> {
    let email = text(lead, "email")?;
    let domain = email.rsplit('@').next().unwrap_or_default();
    let parts = name::split(text(lead, "name")?);
    let (first, last) = (parts.first.unwrap_or_default(), parts.last.unwrap_or_default());
    let fields = match made {
        Made::SameEmail | Made::Double => {
            json!({ "FirstName": first, "LastName": last, "Email": email, "Company": "Made by hand" })
        }
        Made::SameNameAndCompany => {
            let other = format!("sales@{domain}");
            json!({ "FirstName": first, "LastName": last, "Email": other, "Company": "Made by hand" })
        }
        Made::OtherPerson => {
            json!({ "FirstName": "Quentin", "LastName": "Blackwood", "Email": email, "Company": "Made by hand" })
        }
    };
    Ok(json!({ "object": "Lead", "fields": fields }))
}
