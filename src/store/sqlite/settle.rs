//! Recording what came of attempts: log, link, conflicts, intents and job of each lead, together.

mod jobs;
mod left_alone;
pub(super) mod links;
mod questions;

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::append::append_decided;
use super::dirty::{self, Why};
use super::erase;
use super::recover::{Unsettled, open_unsettled};
use crate::domain::job::Class;
use crate::store::decided::Decided;
use crate::store::{IntentEnd, IntentId, JobEnd, Settled, Settlement, StoreError, StoreResult};

/// When a lead is tried again whose settlement the database refused.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(300);

/// A settlement, and the decisions of its log rows as they are stored.
struct Part {
    settlement: Settlement,
    decided: Vec<Decided>,
}

impl From<Settlement> for Part {
    fn from(settlement: Settlement) -> Self {
        Self { decided: settlement.log.iter().map(Decided::of).collect(), settlement }
    }
}

pub(super) async fn settle(store: &SqliteStore, settlements: Vec<Settlement>) -> Vec<StoreResult<Settled>> {
    let parts = settlements.into_iter().map(Part::from).collect();
    let settled = store.writer.run_pieces(parts, settle_one, settle_or_postpone).await;
    store.wake_workers();
    settled
}

/// Settles one lead. What the database refuses for a reason of this lead must neither take its neighbours with it nor be
/// tried again at once, since each try costs CRM calls.
fn settle_or_postpone(db: &mut Connection, part: &Part) -> StoreResult<Settled> {
    let settlement = &part.settlement;
    db.prepare_cached("SAVEPOINT settlement")?.execute([])?;
    let settled = match settle_one(db, part) {
        Err(error @ (StoreError::Database(_) | StoreError::Corrupt { .. })) => {
            db.prepare_cached("ROLLBACK TO settlement")?.execute([])?;
            let (lead, destination) = (&settlement.lead, &settlement.destination);
            tracing::error!(lead.id = %lead.id, %destination, "cannot record the sync of {lead} to {destination}: {error}");
            jobs::postpone(db, settlement, settlement.now.after(TRY_AGAIN_AFTER), &error)?;
            let not_recorded = Unsettled {
                of: Some(settlement.token),
                lead: Some(lead),
                code: "not_recorded",
                detail: "the database refused to record what became of it; the record is read again",
            };
            open_unsettled(db, &not_recorded, settlement.now)?;
            Ok(Settled::Failed)
        }
        settled => settled,
    };
    db.prepare_cached("RELEASE settlement")?.execute([])?;
    settled
}

fn settle_one(db: &mut Connection, Part { settlement, decided }: &Part) -> StoreResult<Settled> {
    let leased = leased(db, settlement)?;
    // One that was erased was in hand meanwhile: what the attempt knows of it goes, too.
    if leased.is_none() && (settlement.again || erase::erased_as(db, &settlement.lead)?.is_some()) {
        return Ok(Settled::LeaseLost);
    }
    for (row, decided) in settlement.log.iter().zip(decided) {
        append_decided(db, row, decided)?;
    }
    let Some(wanted) = leased else {
        for (intent, end) in &settlement.intents {
            end_intent(db, settlement, *intent, *end, false)?;
        }
        if settlement.wrote {
            dirty::touch(db, &settlement.destination, &settlement.lead, Class::Live, settlement.now, Why::News)?;
        }
        return Ok(Settled::LeaseLost);
    };
    let moved = wanted != settlement.wanted;
    let linked = links::change(db, settlement)?;
    if linked {
        questions::ask(db, settlement, moved)?;
        questions::close_moot(db, settlement)?;
        left_alone::note(db, settlement)?;
    }
    for (intent, end) in &settlement.intents {
        // Without the link its values are in no base, so the next attempt still has to know them.
        end_intent(db, settlement, *intent, *end, linked)?;
    }
    if settlement.looked && linked && !moved && !matches!(settlement.end, JobEnd::Retry { .. }) {
        drop_looked_at(db, settlement)?;
    }
    let again = if linked { jobs::end(db, settlement, moved)? } else { jobs::owe_again(db, settlement)? };
    Ok(Settled::Recorded { again })
}

/// The job's `wanted`, if the lease is still the one of this attempt.
fn leased(db: &Connection, settlement: &Settlement) -> StoreResult<Option<i64>> {
    let wanted = db
        .prepare_cached(
            "SELECT wanted FROM jobs
              WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND lease_token = ?4",
        )?
        .query_row(
            params![
                settlement.destination.as_str(),
                settlement.lead.source.as_str(),
                settlement.lead.id.as_str(),
                settlement.token.as_bytes().as_slice(),
            ],
            |row| row.get(0),
        )
        .optional()?;
    Ok(wanted)
}

fn end_intent(
    db: &Connection,
    settlement: &Settlement,
    intent: IntentId,
    end: IntentEnd,
    linked: bool,
) -> StoreResult<()> {
    let (destination, lead) = (settlement.destination.as_str(), &settlement.lead);
    let key = params![intent, destination, lead.source.as_str(), lead.id.as_str()];
    match end {
        IntentEnd::Closed if linked => db
            .prepare_cached("DELETE FROM intents WHERE id = ?1 AND destination = ?2 AND source = ?3 AND lead_id = ?4")?
            .execute(key)?,
        IntentEnd::Closed => db
            .prepare_cached(
                "UPDATE intents SET settled = 2, keep_open_until = NULL WHERE id = ?1 AND destination = ?2 AND source = ?3 AND lead_id = ?4",
            )?
            .execute(key)?,
        IntentEnd::OpenUntil(until) => db
            .prepare_cached(
                "UPDATE intents SET settled = 1, keep_open_until = ?5
                  WHERE id = ?1 AND destination = ?2 AND source = ?3 AND lead_id = ?4",
            )?
            .execute(params![intent, destination, lead.source.as_str(), lead.id.as_str(), until.as_micros()])?,
    };
    Ok(())
}

/// Deletes the intents that stood for the look which this attempt was.
fn drop_looked_at(db: &Connection, settlement: &Settlement) -> StoreResult<()> {
    let (destination, lead) = (settlement.destination.as_str(), &settlement.lead);
    db.prepare_cached("DELETE FROM intents WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND settled = 2")?
        .execute(params![destination, lead.source.as_str(), lead.id.as_str()])?;
    Ok(())
}
