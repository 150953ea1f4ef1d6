//! What is known of the leads that something befell, for whoever has to find out why.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
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
    let Some(file) = service.file() else { return };
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    for (name, sql) in [
        ("job", "SELECT * FROM jobs WHERE lead_id = ?1"),
        ("link", "SELECT * FROM links WHERE lead_id = ?1"),
        ("open intents", "SELECT * FROM intents WHERE lead_id = ?1 ORDER BY id"),
        ("conflicts", "SELECT * FROM conflicts WHERE lead_id = ?1 ORDER BY id"),
        (
            "events",
            "SELECT e.id, e.received_at, e.state, CAST(b.body AS TEXT) FROM events e JOIN bodies b ON b.event_id = e.id
              WHERE e.lead_id = ?1 ORDER BY e.id",
        ),
    ] {
        writeln!(text, "-- {name}").unwrap();
        let mut statement = db.prepare(sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([lead]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let shown = |column| match row.get_ref(column).unwrap() {
                ValueRef::Null => "-".to_owned(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => number.to_string(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                ValueRef::Blob(bytes) => hex::encode(bytes),
            };
            writeln!(text, "{}", (0..columns).map(shown).collect::<Vec<_>>().join(" | ")).unwrap();
        }
    }
}
