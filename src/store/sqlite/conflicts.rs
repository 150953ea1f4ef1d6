//! Conflicts: listed, read and resolved.

use rusqlite::{OptionalExtension, params};
use sqlx::QueryBuilder;

use super::dirty::{self, Why};
use super::people::append_audit;
use super::settle::links::owe_deleted_owner;
use super::walk::{Numbered, Span};
use super::{SqliteStore, strangers};
use crate::domain::ids::{DestinationName, FieldName, LeadKey};
use crate::domain::job::Class;
use crate::domain::plan::ConflictKind;
use crate::domain::time::Timestamp;
use crate::store::by_hand::{ASKED_AGAIN, NO_COMPANIES, NO_DESTINATION, VANISHED};
use crate::store::listed::read_conflict;
use crate::store::stored::{PersonsAnswer, answer_to_json};
use crate::store::{
    Answer, Answered, AuditEntry, ConflictFilter, ConflictRow, ConflictState, Listed, Page, StoreResult,
};

pub(super) const CONFLICTS: Numbered = Numbered {
    table: "conflicts",
    select: "SELECT id, destination, source, lead_id, kind, field, state, revision, question, answer, opened_at, updated_at, \
             closed_at, closed_why FROM conflicts WHERE ",
    bounds: "SELECT (SELECT min(id) FROM conflicts), (SELECT max(id) FROM conflicts)",
    probe: "SELECT id, opened_at FROM conflicts WHERE id >= ? ORDER BY id LIMIT 1",
};

/// One page of conflicts, newest first.
pub(super) async fn list(
    store: &SqliteStore,
    filter: &ConflictFilter,
    page: &Page,
) -> StoreResult<Listed<ConflictRow>> {
    let span = Span { from: None, to: None, narrow: filter.id.is_some() };
    let conditions = |query: &mut QueryBuilder<sqlx::Sqlite>| {
        if let Some(id) = filter.id {
            query.push(" AND id = ").push_bind(id);
        }
        let equal = [
            (" AND state = ", filter.state.as_deref()),
            (" AND +kind = ", filter.kind.map(ConflictKind::as_str)),
            (" AND +field = ", filter.field.as_deref()),
            (" AND source = ", filter.source.as_deref()),
            (" AND lead_id = ", filter.lead_id.as_deref()),
            (" AND +destination = ", filter.destination.as_deref()),
        ];
        for (condition, value) in equal {
            if let Some(value) = value {
                query.push(condition).push_bind(value.to_owned());
            }
        }
        if let Some(before) = filter.opened_before {
            query.push(" AND opened_at < ").push_bind(before.as_micros());
        }
    };
    CONFLICTS.page(&store.readers, page, &span, conditions, read_conflict).await
}

/// One conflict.
pub(super) async fn load(store: &SqliteStore, id: i64) -> StoreResult<Option<ConflictRow>> {
    let mut query = QueryBuilder::<sqlx::Sqlite>::new(CONFLICTS.select);
    query.push("id = ").push_bind(id);
    let row = query.build().fetch_optional(&store.readers).await?;
    row.as_ref().map(read_conflict).transpose()
}

/// Stores a person's answer beside the question that it answers, and makes the lead's job due, in one transaction; where it
/// tells two people apart, also that of the deleted lead whose record was kept for that.
///
/// Only an open conflict at the revision that the person saw is answered; repeating the answer finds it closed.
pub(super) async fn resolve(store: &SqliteStore, answer: &Answer) -> StoreResult<Answered> {
    let Some(seen) = load(store, answer.conflict).await? else { return Ok(Answered::NotFound) };
    let stale = answer.revision.is_some_and(|revision| revision != seen.revision);
    if stale || !matches!(seen.state, ConflictState::Open) {
        return Ok(Answered::Changed(Box::new(seen)));
    }
    if !seen.question.takes(&answer.choice) {
        return Ok(Answered::WrongChoice(Box::new(seen)));
    }
    let given = PersonsAnswer {
        choice: answer.choice.clone(),
        by: answer.by.clone(),
        at: answer.now,
        note: answer.note.clone(),
    };
    let (id, revision, now, stored) = (seen.id, seen.revision, answer.now, answer_to_json(&given));
    let told_apart = seen.question.tells_apart(&answer.choice).cloned();
    let entry = AuditEntry::of_answer(answer, &seen.lead);
    // What the answer was checked against is the question at this revision, so only that one is closed.
    let work = move |db: &mut rusqlite::Connection| {
        let lead: Option<(String, String, String)> = db
            .prepare_cached(
                "UPDATE conflicts SET state = 'resolved', revision = revision + 1, answer = ?, updated_at = ?2, closed_at = ?2
                  WHERE id = ? AND state = 'open' AND revision = ?
              RETURNING destination, source, lead_id",
            )?
            .query_row(params![stored, now.as_micros(), id, revision], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((destination, source, lead_id)) = lead else { return Ok(false) };
        let (lead, destination) = (LeadKey::new(source.as_str(), lead_id.as_str()), DestinationName::new(destination));
        append_audit(db, &entry)?;
        dirty::touch(db, &destination, &lead, Class::Live, now, Why::Forced)?;
        if let Some(record) = &told_apart {
            owe_deleted_owner(db, &destination, record, now)?;
        }
        Ok(true)
    };
    let closed = store.writer.run(work).await?;
    let Some(conflict) = load(store, id).await? else { return Ok(Answered::NotFound) };
    if closed {
        store.wake_workers();
        return Ok(Answered::Done(Box::new(conflict)));
    }
    Ok(Answered::Changed(Box::new(conflict)))
}

/// Closes open questions about fields that are none of these, and those about companies where none are looked up; has those
/// asked again that can be answered again.
pub(super) async fn close_vanished(
    store: &SqliteStore,
    destination: &DestinationName,
    fields: &[FieldName],
    companies: bool,
    now: Timestamp,
) -> StoreResult<u64> {
    let fields: Vec<&str> = fields.iter().map(FieldName::as_str).collect();
    let fields = serde_json::to_string(&fields).expect("a list of texts can be written");
    let matching = async |sql: &'static str| -> StoreResult<Vec<(i64, String)>> {
        let query = sqlx::query_as(sql).bind(destination.as_str()).bind(&fields).bind(companies);
        Ok(query.bind(VANISHED).bind(NO_COMPANIES).fetch_all(&store.readers).await?)
    };
    let vanished = matching(
        "SELECT id, CASE field WHEN '' THEN ?5 ELSE ?4 END FROM conflicts
          WHERE state = 'open' AND destination = ?1
            AND (field <> '' AND field NOT IN (SELECT value FROM json_each(?2)) OR kind = 'company' AND NOT ?3)",
    );
    let closed = close_each(store, vanished.await?, now).await?;
    let back = matching(
        "SELECT id, closed_why FROM conflicts
          WHERE destination = ?1 AND (closed_why = ?4 AND field IN (SELECT value FROM json_each(?2))
                                      OR closed_why = ?5 AND ?3)",
    );
    ask_again(store, back.await?, now).await?;
    Ok(closed)
}

/// Closes the open questions of every destination but these, and has those asked again of which the destination is back.
pub(super) async fn close_orphaned(
    store: &SqliteStore,
    destinations: &[DestinationName],
    now: Timestamp,
) -> StoreResult<u64> {
    let names: Vec<&str> = destinations.iter().map(DestinationName::as_str).collect();
    let names = serde_json::to_string(&names).expect("a list of texts can be written");
    let matching = async |sql: &'static str| -> StoreResult<Vec<(i64, String)>> {
        Ok(sqlx::query_as(sql).bind(&names).bind(NO_DESTINATION).fetch_all(&store.readers).await?)
    };
    let orphaned = matching(
        "SELECT id, ?2 FROM conflicts WHERE state = 'open' AND destination NOT IN (SELECT value FROM json_each(?1))",
    );
    let closed = close_each(store, orphaned.await?, now).await?;
    let back = matching(
        "SELECT id, closed_why FROM conflicts
          WHERE closed_why = ?2 AND destination IN (SELECT value FROM json_each(?1))",
    );
    ask_again(store, back.await?, now).await?;
    strangers::drop_orphaned(store, &names).await?;
    Ok(closed)
}

/// Closes those of these questions that are still open, each for its reason; answers how many.
async fn close_each(store: &SqliteStore, questions: Vec<(i64, String)>, now: Timestamp) -> StoreResult<u64> {
    let items = questions.into_iter().map(|(id, why)| (id, why, now)).collect();
    let outcomes = store.writer.run_each(items, |db, (id, why, now)| {
        let mut close = db.prepare_cached(
            "UPDATE conflicts SET state = 'moot', revision = revision + 1, updated_at = ?2, closed_at = ?2, closed_why = ?3
              WHERE id = ?1 AND state = 'open'",
        )?;
        Ok(close.execute(params![id, now.as_micros(), why])? as u64)
    });
    outcomes.await.into_iter().sum()
}

/// Owes the leads of those of these questions that are still closed for this reason.
async fn ask_again(store: &SqliteStore, questions: Vec<(i64, String)>, now: Timestamp) -> StoreResult<()> {
    if questions.is_empty() {
        return Ok(());
    }
    let items = questions.into_iter().map(|(id, why)| (id, why, now)).collect();
    let outcomes = store.writer.run_each(items, |db, (id, why, now)| {
        let lead: Option<(String, String, String)> = db
            .prepare_cached(
                "UPDATE conflicts SET revision = revision + 1, updated_at = ?2, closed_why = ?4
                  WHERE id = ?1 AND closed_why = ?3 RETURNING destination, source, lead_id",
            )?
            .query_row(params![id, now.as_micros(), why, ASKED_AGAIN], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((destination, source, lead_id)) = lead else { return Ok(()) };
        let lead = LeadKey::new(source.as_str(), lead_id.as_str());
        dirty::touch(db, &DestinationName::new(destination), &lead, Class::Backfill, *now, Why::Asked)
    });
    let outcomes = outcomes.await;
    store.wake_workers();
    outcomes.into_iter().collect()
}
