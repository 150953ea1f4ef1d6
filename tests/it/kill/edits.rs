//! People who work in the CRM while leads come in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::crm::Crm;

/// One row of each rule, and one that a trigger rewrites; never the mark.
pub const FIELDS: [&str; 5] = ["Description", "City", "Status", "LeadSource", "Company"];

/// Those in which the lead wins once it changes, too.
pub const LEAD_WINS: [&str; 2] = ["Description", "City"];

/// Edits records, rather late ones, until it is over. No two edits write the same.
pub async fn keep_editing(crm: Arc<Crm>, over: Arc<AtomicBool>, mut rng: Rng) {
    let mut records: Vec<String> = Vec::new();
    let (mut looked_at, mut took) = (Instant::now(), Duration::ZERO);
    let mut number = 0u64;
    while !over.load(Ordering::Relaxed) {
        // Looking costs more the more there is.
        if records.is_empty() || looked_at.elapsed() > (took * 20).max(Duration::from_millis(500)) {
            let began = Instant::now();
            records = crm.records("Lead").await.into_iter().map(|record| record.id).collect();
            (looked_at, took) = (Instant::now(), began.elapsed());
        }
        if !records.is_empty() {
            let recent = if rng.f64() < 0.7 { records.len().min(60) } else { records.len() };
            let record = &records[records.len() - 1 - rng.usize(0..recent)];
            let field = FIELDS[rng.usize(0..FIELDS.len())];
            number += 1;
            crm.edit(record, field, &format!("edit {number}")).await;
        }
        tokio::time::sleep(Duration::from_millis(rng.u64(5..40))).await;
    }
}
