//! Conflicts: listed, read and resolved.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Postgres, QueryBuilder};

use super::dirty::{self, PIECE, Why};
use super::people::append_audit;
use super::rows::cannot_be;
use super::settle::heirs::find_deleted_owner;
use super::time::Time;
use super::walk::{Numbered, Span};
use super::{PostgresStore, strangers};
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
    select: "SELECT id, destination, source, lead_id, kind, field, state, revision, question::text AS question, \
             answer::text AS answer, opened_at, updated_at, closed_at, closed_why FROM conflicts WHERE ",
    bounds: "SELECT (SELECT min(id) FROM conflicts), (SELECT max(id) FROM conflicts)",
    probe: "SELECT id, opened_at FROM conflicts WHERE id >= $1 ORDER BY id LIMIT 1",
};

/// One page of conflicts, newest first.
pub(super) async fn list(
    store: &PostgresStore,
    filter: &ConflictFilter,
    page: &Page,
) -> StoreResult<Listed<ConflictRow>> {
    let equal = [
        (" AND state = ", filter.state.as_deref()),
        (" AND kind = ", filter.kind.map(ConflictKind::as_str)),
        (" AND field = ", filter.field.as_deref()),
        (" AND source = ", filter.source.as_deref()),
        (" AND lead_id = ", filter.lead_id.as_deref()),
        (" AND destination = ", filter.destination.as_deref()),
    ];
    if equal.iter().filter_map(|(_, value)| *value).any(cannot_be) {
        return Ok(Listed::nothing());
    }
    let span = Span { from: None, to: None, narrow: filter.id.is_some() };
    let conditions = |query: &mut QueryBuilder<Postgres>| {
        if let Some(id) = filter.id {
            query.push(" AND id = ").push_bind(id);
        }
        for (condition, value) in equal {
            if let Some(value) = value {
                query.push(condition).push_bind(value.to_owned());
            }
        }
        if let Some(before) = filter.opened_before {
            query.push(" AND opened_at < ").push_bind(Time(before));
        }
    };
    CONFLICTS.page(&store.pool, page, &span, conditions, read_conflict).await
}

/// One conflict.
pub(super) async fn load(store: &PostgresStore, id: i64) -> StoreResult<Option<ConflictRow>> {
    let mut query = QueryBuilder::<Postgres>::new(CONFLICTS.select);
    query.push("id = ").push_bind(id);
    let row = query.build().fetch_optional(&store.pool).await?;
    row.as_ref().map(read_conflict).transpose()
}

/// Stores a person's answer beside the question that it answers, and makes the lead's job due, in one transaction; where it
/// tells two people apart, also that of the deleted lead whose record was kept for that.
///
/// Only an open conflict at the revision that the person saw is answered; repeating the answer finds it closed.
pub(super) async fn resolve(store: &PostgresStore, answer: &Answer) -> StoreResult<Answered> {
    let Some(seen) = load(store, answer.conflict).await? else { return Ok(Answered::NotFound) };
    let stale = answer.revision.is_some_and(|revision| revision != seen.revision);
    if stale || !matches!(seen.state, ConflictState::Open) {
        return Ok(Answered::Changed(Box::new(seen)));
    }
    if !seen.question.takes(&answer.choice) {
        return Ok(Answered::WrongChoice(Box::new(seen)));
    }
    let closed = close(store, &seen, answer).await?;
    let Some(conflict) = load(store, seen.id).await? else { return Ok(Answered::NotFound) };
    if closed {
        store.wake_workers();
        return Ok(Answered::Done(Box::new(conflict)));
    }
    Ok(Answered::Changed(Box::new(conflict)))
}

/// Closes the conflict as it was seen: what the answer was checked against is the question at this revision.
async fn close(store: &PostgresStore, seen: &ConflictRow, answer: &Answer) -> StoreResult<bool> {
    let given = PersonsAnswer {
        choice: answer.choice.clone(),
        by: answer.by.clone(),
        at: answer.now,
        note: answer.note.clone(),
    };
    let mut tx = store.pool.begin().await?;
    let owner = match seen.question.tells_apart(&answer.choice) {
        Some(record) => find_deleted_owner(&mut tx, &seen.destination, record).await?,
        None => None,
    };
    // The jobs before the conflict, as settling locks them, and in key order.
    let asker = [(&seen.lead, Why::Forced)];
    let owed: BTreeMap<&LeadKey, Why> = owner.iter().map(|owner| (owner, Why::Asked)).chain(asker).collect();
    dirty::touch_each(&mut tx, &seen.destination, owed, answer.now).await?;
    let closed = sqlx::query(
        "UPDATE conflicts
            SET state = 'resolved', revision = revision + 1, answer = $3::json, updated_at = $4, closed_at = $4
          WHERE id = $1 AND state = 'open' AND revision = $2",
    )
    .bind(seen.id)
    .bind(seen.revision)
    .bind(answer_to_json(&given))
    .bind(Time(answer.now))
    .execute(&mut *tx)
    .await?;
    if closed.rows_affected() == 0 {
        tx.rollback().await?;
        return Ok(false);
    }
    append_audit(&mut tx, &AuditEntry::of_answer(answer, &seen.lead)).await?;
    tx.commit().await?;
    Ok(true)
}

/// Closes open questions about fields that are none of these, and those about companies where none are looked up; has those
/// asked again that can be answered again.
pub(super) async fn close_vanished(
    store: &PostgresStore,
    destination: &DestinationName,
    fields: &[FieldName],
    companies: bool,
    now: Timestamp,
) -> StoreResult<u64> {
    let fields: Vec<&str> = fields.iter().map(FieldName::as_str).collect();
    let vanished = sqlx::query_as(
        "SELECT id, CASE field WHEN '' THEN $5 ELSE $4 END FROM conflicts
          WHERE state = 'open' AND destination = $1
            AND (field <> '' AND field <> ALL ($2) OR kind = 'company' AND NOT $3) ORDER BY id",
    )
    .bind(destination.as_str())
    .bind(&fields)
    .bind(companies)
    .bind(VANISHED)
    .bind(NO_COMPANIES)
    .fetch_all(&store.pool);
    let closed = close_each(store, vanished.await?, now).await?;
    let back = sqlx::query_as(
        "SELECT id, source, lead_id FROM conflicts
          WHERE destination = $1 AND (closed_why = $3 AND field = ANY ($2) OR closed_why = $4 AND $5)",
    )
    .bind(destination.as_str())
    .bind(&fields)
    .bind(VANISHED)
    .bind(NO_COMPANIES)
    .bind(companies)
    .fetch_all(&store.pool);
    ask_again(store, destination, back.await?, now).await?;
    Ok(closed)
}

/// Closes the open questions of every destination but these, and has those asked again of which the destination is back.
pub(super) async fn close_orphaned(
    store: &PostgresStore,
    destinations: &[DestinationName],
    now: Timestamp,
) -> StoreResult<u64> {
    let names: Vec<&str> = destinations.iter().map(DestinationName::as_str).collect();
    let orphaned =
        sqlx::query_as("SELECT id, $2 FROM conflicts WHERE state = 'open' AND destination <> ALL ($1) ORDER BY id")
            .bind(&names)
            .bind(NO_DESTINATION)
            .fetch_all(&store.pool);
    let closed = close_each(store, orphaned.await?, now).await?;
    for destination in destinations {
        let back =
            sqlx::query_as("SELECT id, source, lead_id FROM conflicts WHERE closed_why = $2 AND destination = $1")
                .bind(destination.as_str())
                .bind(NO_DESTINATION)
                .fetch_all(&store.pool)
                .await?;
        ask_again(store, destination, back, now).await?;
    }
    strangers::drop_orphaned(store, &names).await?;
    Ok(closed)
}

/// Closes those of these questions that are still open and that nobody has in hand, each for its reason; answers how many.
async fn close_each(store: &PostgresStore, questions: Vec<(i64, String)>, now: Timestamp) -> StoreResult<u64> {
    let mut closed = 0;
    for piece in questions.chunks(PIECE) {
        let (ids, reasons): (Vec<i64>, Vec<&str>) = piece.iter().map(|(id, why)| (*id, why.as_str())).unzip();
        let done = sqlx::query(
            "UPDATE conflicts c
                SET state = 'moot', revision = c.revision + 1, updated_at = $3, closed_at = $3, closed_why = u.why
               FROM unnest($1::bigint[], $2::text[]) AS u (id, why)
              WHERE c.id = u.id
                AND c.id IN (SELECT id FROM conflicts WHERE id = ANY ($1) AND state = 'open'
                              ORDER BY id FOR UPDATE SKIP LOCKED)",
        )
        .bind(ids)
        .bind(reasons)
        .bind(Time(now))
        .execute(&store.pool)
        .await?;
        closed += done.rows_affected();
    }
    Ok(closed)
}

/// Owes the leads of these closed questions.
async fn ask_again(
    store: &PostgresStore,
    destination: &DestinationName,
    closed: Vec<(i64, String, String)>,
    now: Timestamp,
) -> StoreResult<()> {
    for piece in closed.chunks(PIECE) {
        let ids: Vec<i64> = piece.iter().map(|(id, ..)| *id).collect();
        let leads: BTreeSet<LeadKey> =
            piece.iter().map(|(_, source, lead)| LeadKey::new(source.as_str(), lead.as_str())).collect();
        let leads: Vec<LeadKey> = leads.into_iter().collect();
        let mut tx = store.pool.begin().await?;
        // The jobs before the conflicts, as settling locks them.
        dirty::touch_many(&mut tx, destination, &leads, Class::Backfill, now, Why::Asked).await?;
        sqlx::query(
            "UPDATE conflicts SET revision = revision + 1, updated_at = $2, closed_why = $3 WHERE id = ANY ($1)",
        )
        .bind(ids)
        .bind(Time(now))
        .bind(ASKED_AGAIN)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        store.wake_workers();
    }
    Ok(())
}
