//! Settling's changes of conflicts.

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::plan::Question;
use crate::store::stored::question_to_json;
use crate::store::{Settlement, StoreResult};

/// Opens a conflict for each question, or updates the one that is open; its revision moves only if the question did.
///
/// Where the lead `moved` meanwhile, a question that a person has answered before is not asked again: the answer may be
/// what moved it, and the next attempt asks again if it must.
pub(super) fn ask(db: &Connection, settlement: &Settlement, moved: bool) -> StoreResult<()> {
    for question in &settlement.questions {
        let json = question_to_json(question);
        match find_open(db, settlement, question)? {
            Some((_, open)) if open == json => {}
            Some((id, _)) => {
                db.prepare_cached(
                    "UPDATE conflicts SET question = ?2, revision = revision + 1, updated_at = ?3 WHERE id = ?1",
                )?
                .execute(params![id, json, settlement.now.as_micros()])?;
            }
            None if moved && was_answered(db, settlement, question)? => {}
            None => open(db, settlement, question, &json)?,
        }
    }
    Ok(())
}

/// Closes conflicts that planning no longer finds, unless they changed meanwhile.
pub(super) fn close_moot(db: &Connection, settlement: &Settlement) -> StoreResult<()> {
    for conflict in &settlement.moot {
        db.prepare_cached(
            "UPDATE conflicts SET state = 'moot', revision = revision + 1, updated_at = ?6, closed_at = ?6,
                                  closed_why = ?7
              WHERE id = ?1 AND revision = ?2 AND destination = ?3 AND source = ?4 AND lead_id = ?5 AND state = 'open'",
        )?
        .execute(params![
            conflict.id,
            conflict.revision,
            settlement.destination.as_str(),
            settlement.lead.source.as_str(),
            settlement.lead.id.as_str(),
            settlement.now.as_micros(),
            settlement.moot_why,
        ])?;
    }
    Ok(())
}

fn find_open(db: &Connection, settlement: &Settlement, question: &Question) -> StoreResult<Option<(i64, String)>> {
    let found = db
        .prepare_cached(
            "SELECT id, question FROM conflicts
              WHERE destination = ?1 AND source = ?2 AND lead_id = ?3 AND kind = ?4 AND field = ?5 AND state = 'open'",
        )?
        .query_row(
            params![
                settlement.destination.as_str(),
                settlement.lead.source.as_str(),
                settlement.lead.id.as_str(),
                question.kind.as_str(),
                field(question),
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    Ok(found)
}

fn was_answered(db: &Connection, settlement: &Settlement, question: &Question) -> StoreResult<bool> {
    Ok(db
        .prepare_cached(
            "SELECT 1 FROM conflicts
              WHERE source = ?2 AND lead_id = ?3 AND destination = ?1 AND kind = ?4 AND field = ?5
                AND state = 'resolved'",
        )?
        .exists(params![
            settlement.destination.as_str(),
            settlement.lead.source.as_str(),
            settlement.lead.id.as_str(),
            question.kind.as_str(),
            field(question),
        ])?)
}

fn open(db: &Connection, settlement: &Settlement, question: &Question, json: &str) -> StoreResult<()> {
    db.prepare_cached(
        "INSERT INTO conflicts (destination, source, lead_id, kind, field, state, revision, question, opened_at,
                                updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, 'open', 1, ?6, ?7, ?7)",
    )?
    .execute(params![
        settlement.destination.as_str(),
        settlement.lead.source.as_str(),
        settlement.lead.id.as_str(),
        question.kind.as_str(),
        field(question),
        json,
        settlement.now.as_micros(),
    ])?;
    Ok(())
}

/// The column's form of a question's field: empty where the kind has none.
fn field(question: &Question) -> &str {
    question.field.as_ref().map_or("", |field| field.as_str())
}
