//! What became of everything.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value as Json;

use super::crm_users::{CrmUsers, Edit, Made, MadeRecord};
use super::deliver::Answers;
use crate::app::App;
use crate::cli::output::table;
use crate::domain::ids::LeadKey;
use crate::domain::matching::MatchedBy;
use crate::store::{
    ConflictFilter, DeadLetterFilter, LeadFilter, Listed, LogFilter, LogRow, Operation, Outcome, Page, StoreResult,
};

/// The figures of one run of the demo.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    deliveries: u64,
    accepted: u64,
    duplicate: u64,
    quarantined: u64,
    ignored: u64,
    /// Leads that are known, deleted ones included.
    leads: usize,
    created: usize,
    updated: usize,
    unchanged: usize,
    /// Leads that were deleted in the lead system.
    deleted: usize,
    matched: Matched,
    conflicts: usize,
    dead_letters: usize,
    skipped: usize,
    api_calls: u64,
    api_calls_per_lead: f64,
    seconds: f64,
    /// What became of the records that CRM users had made before.
    made_before: Vec<RecordFate>,
    /// What became of the fields that CRM users edited midway.
    edited_midway: Vec<EditFate>,
}

/// Leads whose record was there already, by how it was recognised.
#[derive(Debug, Serialize)]
struct Matched {
    external_id: usize,
    email: usize,
    name_and_company_domain: usize,
}

#[derive(Debug, Serialize)]
struct RecordFate {
    record: String,
    made: Made,
    lead: String,
    became: String,
}

#[derive(Debug, Serialize)]
struct EditFate {
    record: String,
    lead: String,
    field: &'static str,
    edited_to: &'static str,
    now: String,
    rule: String,
}

impl Summary {
    pub async fn gather(
        app: &App,
        users: &CrmUsers,
        answers: &Answers,
        made: &[MadeRecord],
        edits: &[Edit],
        elapsed: Duration,
    ) -> Result<Self> {
        let log = all(async |page| app.store.search_sync_log(&LogFilter::default(), &page).await).await?;
        let leads = all(async |page| app.store.list_leads(&LeadFilter::default(), &page).await).await?;
        let open = ConflictFilter { state: Some("open".to_owned()), ..ConflictFilter::default() };
        let conflicts = all(async |page| app.store.list_conflicts(&open, &page).await).await?;
        let dead = all(async |page| app.store.list_dead_letters(&DeadLetterFilter::default(), &page).await).await?;
        let api_calls = users.api_calls().await?;
        let done = |operation: Operation| {
            log.iter().filter(|row| row.operation == operation && row.outcome == Outcome::Ok).count()
        };
        let matched = |by: MatchedBy| {
            let rows = log.iter().filter(|row| row.matched_by == Some(by) && row.record.is_some());
            rows.map(|row| &row.lead).collect::<BTreeSet<&LeadKey>>().len()
        };
        Ok(Self {
            deliveries: answers.accepted + answers.duplicate + answers.quarantined + answers.ignored,
            accepted: answers.accepted,
            duplicate: answers.duplicate,
            quarantined: answers.quarantined,
            ignored: answers.ignored,
            leads: leads.len(),
            created: done(Operation::Create),
            updated: done(Operation::Update),
            unchanged: done(Operation::Unchanged),
            deleted: leads.iter().filter(|lead| lead.deleted).count(),
            matched: Matched {
                external_id: matched(MatchedBy::ExternalId),
                email: matched(MatchedBy::Email),
                name_and_company_domain: matched(MatchedBy::NameAndCompanyDomain),
            },
            conflicts: conflicts.len(),
            dead_letters: dead.len(),
            skipped: done(Operation::Skip),
            api_calls,
            api_calls_per_lead: rounded(per_lead(api_calls, leads.len())),
            seconds: rounded(elapsed.as_secs_f64()),
            made_before: fates_of_records(app, made).await?,
            edited_midway: fates_of_edits(app, users, edits, &log).await?,
        })
    }

    /// Whether every delivery was answered and nothing is a dead letter.
    pub fn is_well(&self) -> bool {
        self.deliveries == 200 && self.dead_letters == 0
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of two small counts")]
fn per_lead(calls: u64, leads: usize) -> f64 {
    calls as f64 / leads.max(1) as f64
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// All pages of a list.
async fn all<T>(list: impl AsyncFn(Page) -> StoreResult<Listed<T>>) -> StoreResult<Vec<T>> {
    let (mut items, mut cursor) = (Vec::new(), None);
    loop {
        let page = list(Page { limit: 500, cursor }).await?;
        items.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(items);
        }
    }
}

async fn fates_of_records(app: &App, made: &[MadeRecord]) -> Result<Vec<RecordFate>> {
    let mut fates = Vec::new();
    for record in made {
        let view = app.store.load_lead(&record.lead).await?;
        let linked = view.as_ref().and_then(|view| view.links.iter().find(|(_, link)| link.record.id == record.id));
        let asked = view.as_ref().and_then(|view| {
            view.conflicts
                .iter()
                .find(|conflict| conflict.question.candidates.iter().any(|candidate| candidate.record.id == record.id))
        });
        let became = match (linked, asked) {
            (Some((_, link)), _) => format!("linked to the lead by {}", link.matched_by.as_str()),
            (None, Some(conflict)) => format!("conflict {}: {}", conflict.id, conflict.question.detail),
            (None, None) => "left alone".to_owned(),
        };
        let (id, lead) = (record.id.to_string(), record.lead.id.to_string());
        fates.push(RecordFate { record: id, made: record.made, lead, became });
    }
    Ok(fates)
}

async fn fates_of_edits(app: &App, users: &CrmUsers, edits: &[Edit], log: &[LogRow]) -> Result<Vec<EditFate>> {
    let mut fates = Vec::new();
    for edit in edits {
        let now = users.fields(&edit.record).await?.and_then(|fields| fields.get(edit.field).cloned());
        let mut rule = "not in the mapping; never touched".to_owned();
        for row in log.iter().filter(|row| row.lead == edit.lead) {
            let Some(detail) = app.store.load_log_row(row.id).await? else { continue };
            let is_shown = |value: &Option<_>| {
                value.as_ref().is_some_and(|value: &crate::domain::record::CrmValue| value.to_string() == edit.value)
            };
            let decided = detail
                .decisions
                .iter()
                .find(|decision| decision.field.as_str() == edit.field && is_shown(&decision.crm));
            if let Some(decided) = decided {
                rule = decided.rule.as_str().to_owned();
                break;
            }
        }
        let now = match now {
            Some(Json::String(text)) => text,
            other => other.unwrap_or(Json::Null).to_string(),
        };
        let (record, lead) = (edit.record.to_string(), edit.lead.id.to_string());
        fates.push(EditFate { record, lead, field: edit.field, edited_to: edit.value, now, rule });
    }
    Ok(fates)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("webhooks delivered", self.deliveries.to_string()),
            ("accepted, duplicate", format!("{}, {}", self.accepted, self.duplicate)),
            ("quarantined, ignored", format!("{}, {}", self.quarantined, self.ignored)),
            ("leads", self.leads.to_string()),
            ("created in the CRM", self.created.to_string()),
            ("updates, unchanged", format!("{}, {}", self.updated, self.unchanged)),
            ("deleted in the lead system", self.deleted.to_string()),
            ("recognised by external ID", self.matched.external_id.to_string()),
            ("recognised by e-mail", self.matched.email.to_string()),
            ("recognised by name and company", self.matched.name_and_company_domain.to_string()),
            ("conflicts for a person", self.conflicts.to_string()),
            ("dead letters", self.dead_letters.to_string()),
            ("skipped", self.skipped.to_string()),
            ("API calls, per lead", format!("{}, {}", self.api_calls, self.api_calls_per_lead)),
            ("seconds", self.seconds.to_string()),
        ];
        writeln!(f, "{}", table(["what", "how many"], rows.map(|(what, count)| [what.to_owned(), count])))?;
        let records = self.made_before.iter().map(|fate| {
            let made = serde_json::to_value(fate.made).ok().and_then(|word| word.as_str().map(str::to_owned));
            [fate.record.clone(), made.unwrap_or_default(), fate.became.clone()]
        });
        writeln!(f, "\nRecords that CRM users had made before:")?;
        writeln!(f, "{}", table(["record", "made as", "what became of it"], records))?;
        let edits = self
            .edited_midway
            .iter()
            .map(|fate| [fate.field.to_owned(), fate.edited_to.to_owned(), fate.now.clone(), fate.rule.clone()]);
        writeln!(f, "\nFields that CRM users edited midway:")?;
        write!(f, "{}", table(["field", "edited to", "is now", "rule"], edits))
    }
}
