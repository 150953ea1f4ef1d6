//! What is known of the leads that something befell, for whoever has to find out why.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value as Json;

use super::checks::Violation;
use super::crm::{Crm, MARK, OUR_ID, Record};
use super::service::Service;

/// So many leads are told of in full.
const LEADS: usize = 3;
/// So many violations are listed.
const LISTED: usize = 20;

/// The violations, and of the first leads among them all that both sides know.
pub async fn about(violations: &[Violation], crm: &Crm, service: &Service) -> String {
    let mut text = String::new();
    for Violation { lead, what } in violations.iter().take(LISTED) {
        writeln!(text, "- {}: {what}", lead.as_deref().unwrap_or("?")).unwrap();
    }
    let mut leads: Vec<&str> = violations.iter().filter_map(|violation| violation.lead.as_deref()).collect();
    let mut seen = BTreeSet::new();
    leads.retain(|lead| seen.insert(*lead));
    let records = crm.records("Lead").await;
    for lead in leads.into_iter().take(LEADS) {
        writeln!(text, "\n==== lead {lead}").unwrap();
        about_lead(lead, &records, service, &mut text).await;
    }
    text
}

async fn about_lead(lead: &str, records: &[Record], service: &Service, text: &mut String) {
    let is_marked = |record: &Record, edit: &super::crm::Edit| {
        edit.changes.get(MARK).and_then(Json::as_str).is_some_and(|mark| mark.split(' ').next() == Some(lead))
            || record.text(OUR_ID) == Some(lead)
    };
    for record in records.iter().filter(|record| record.history.iter().any(|edit| is_marked(record, edit))) {
        let deleted = if record.deleted { ", deleted" } else { "" };
        writeln!(text, "-- record {}{deleted}: {}", record.id, Json::from_iter(record.fields.clone())).unwrap();
        for edit in &record.history {
            let request = edit.request.as_deref().unwrap_or_default();
            writeln!(text, "{} {} {request} {}", edit.at, edit.by, Json::from_iter(edit.changes.clone())).unwrap();
        }
    }
    writeln!(text, "-- sync log").unwrap();
    for entry in service.log_entries().await.into_iter().rev().filter(|entry| entry.lead_id == lead) {
        let mut row: Json = service.get(&format!("sync-log/{}", entry.id)).await;
        if let Some(row) = row.as_object_mut() {
            row.retain(|key, value| !value.is_null() && !matches!(key.as_str(), "request" | "response" | "source"));
        }
        writeln!(text, "{row}").unwrap();
    }
    for table in ["jobs", "links", "intents", "conflicts", "events JOIN bodies ON event_id = id"] {
        writeln!(text, "-- {table}").unwrap();
        for row in service.database.rows_of(table, lead).await {
            writeln!(text, "{row}").unwrap();
        }
    }
}
