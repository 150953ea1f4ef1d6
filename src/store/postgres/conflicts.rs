#![expect(unused, clippy::todo, reason = "not written yet")]
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::cells::Cells;
use super::walk::Numbered;
use crate::domain::ids::*;
use crate::domain::plan::*;
use crate::domain::time::Timestamp;
use crate::store::stored::{answer_from_json, question_from_json};
use crate::store::*;

pub(super) const CONFLICTS: Numbered = Numbered {
    select: "SELECT id, destination, source, lead_id, kind, field, state, revision, question::text AS question, \
             answer::text AS answer, opened_at, updated_at, closed_at FROM conflicts WHERE ",
    bounds: "SELECT (SELECT min(id) FROM conflicts), (SELECT max(id) FROM conflicts)",
    probe: "SELECT id, opened_at FROM conflicts WHERE id >= $1 ORDER BY id LIMIT 1",
};

pub(super) async fn list(
    store: &PostgresStore,
    filter: &ConflictFilter,
    page: &Page,
) -> StoreResult<Listed<ConflictRow>> {
    todo!()
}

pub(super) async fn load(store: &PostgresStore, id: i64) -> StoreResult<Option<ConflictRow>> {
    todo!()
}

pub(super) async fn resolve(store: &PostgresStore, answer: &Answer) -> StoreResult<Answered> {
    todo!()
}

pub(super) fn read_row(row: &PgRow) -> StoreResult<(i64, ConflictRow)> {
    let (cells, id) = Cells::numbered(row, "conflicts")?;
    let kind = cells.word("kind", ConflictKind::parse)?;
    let field = Some(cells.get::<&str>("field")?).filter(|field| !field.is_empty()).map(FieldName::from);
    let question = question_from_json(kind, field, cells.get("question")?).map_err(|_| cells.corrupt("question"))?;
    let state = match cells.get::<&str>("state")? {
        "open" => ConflictState::Open,
        "resolved" => {
            let answer = cells.get::<Option<&str>>("answer")?.and_then(|text| answer_from_json(text).ok());
            let answer = answer.ok_or_else(|| cells.corrupt("answer"))?;
            ConflictState::Resolved { choice: answer.choice, by: answer.by, at: answer.at, note: answer.note }
        }
        "moot" => ConflictState::Moot { at: cells.maybe_time("closed_at")?.ok_or_else(|| cells.corrupt("closed_at"))? },
        _ => return Err(cells.corrupt("state")),
    };
    let conflict = ConflictRow {
        id,
        destination: DestinationName::from(cells.get::<&str>("destination")?),
        lead: LeadKey::new(cells.get::<&str>("source")?, cells.get::<&str>("lead_id")?),
        question,
        state,
        revision: cells.get("revision")?,
        opened_at: cells.time("opened_at")?,
        updated_at: cells.time("updated_at")?,
    };
    Ok((id, conflict))
}
