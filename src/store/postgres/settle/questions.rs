//! Settling's changes of conflicts.

use sqlx::PgConnection;

use crate::domain::plan::Question;
use crate::store::postgres::time::Time;
use crate::store::stored::question_to_json;
use crate::store::{Settlement, StoreResult};

/// Opens a conflict for each question, or updates the one that is open; its revision moves only if the question did.
///
/// Where the lead `moved` meanwhile, a question that a person has answered before is not asked again: the answer may be
/// what moved it, and the next attempt asks again if it must.
pub(super) async fn ask(db: &mut PgConnection, settlement: &Settlement, moved: bool) -> StoreResult<()> {
    for question in &settlement.questions {
        let json = question_to_json(question);
        match find_open(db, settlement, question).await? {
            Some((_, open)) if open == json => {}
            Some((id, _)) => {
                sqlx::query(
                    "UPDATE conflicts SET question = $2::json, revision = revision + 1, updated_at = $3 WHERE id = $1",
                )
                .bind(id)
                .bind(json)
                .bind(Time(settlement.now))
                .execute(&mut *db)
                .await?;
            }
            None if moved && was_answered(db, settlement, question).await? => {}
            None => open(db, settlement, question, &json).await?,
        }
    }
    Ok(())
}

/// Closes conflicts that planning no longer finds, unless they changed meanwhile.
pub(super) async fn close_moot(db: &mut PgConnection, settlement: &Settlement) -> StoreResult<()> {
    if settlement.moot.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE conflicts c SET state = 'moot', revision = c.revision + 1, updated_at = $6, closed_at = $6, closed_why = $7
           FROM unnest($4::bigint[], $5::bigint[]) AS u (id, revision)
          WHERE c.id = u.id AND c.revision = u.revision AND c.destination = $1 AND c.source = $2 AND c.lead_id = $3
            AND c.state = 'open'",
    )
    .bind(settlement.destination.as_str())
    .bind(settlement.lead.source.as_str())
    .bind(settlement.lead.id.as_str())
    .bind(settlement.moot.iter().map(|conflict| conflict.id).collect::<Vec<_>>())
    .bind(settlement.moot.iter().map(|conflict| conflict.revision).collect::<Vec<_>>())
    .bind(Time(settlement.now))
    .bind(settlement.moot_why)
    .execute(db)
    .await?;
    Ok(())
}

async fn find_open(
    db: &mut PgConnection,
    settlement: &Settlement,
    question: &Question,
) -> StoreResult<Option<(i64, String)>> {
    let found = sqlx::query_as(
        "SELECT id, question::text FROM conflicts
          WHERE destination = $1 AND source = $2 AND lead_id = $3 AND kind = $4 AND field = $5 AND state = 'open'",
    )
    .bind(settlement.destination.as_str())
    .bind(settlement.lead.source.as_str())
    .bind(settlement.lead.id.as_str())
    .bind(question.kind.as_str())
    .bind(field(question))
    .fetch_optional(db)
    .await?;
    Ok(found)
}

async fn was_answered(db: &mut PgConnection, settlement: &Settlement, question: &Question) -> StoreResult<bool> {
    let answered = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM conflicts
                         WHERE source = $2 AND lead_id = $3 AND destination = $1 AND kind = $4 AND field = $5
                           AND state = 'resolved')",
    )
    .bind(settlement.destination.as_str())
    .bind(settlement.lead.source.as_str())
    .bind(settlement.lead.id.as_str())
    .bind(question.kind.as_str())
    .bind(field(question))
    .fetch_one(db)
    .await?;
    Ok(answered)
}

async fn open(db: &mut PgConnection, settlement: &Settlement, question: &Question, json: &str) -> StoreResult<()> {
    sqlx::query(
        "INSERT INTO conflicts (destination, source, lead_id, kind, field, state, revision, question, opened_at,
                                updated_at)
         VALUES ($1, $2, $3, $4, $5, 'open', 1, $6::json, $7, $7)",
    )
    .bind(settlement.destination.as_str())
    .bind(settlement.lead.source.as_str())
    .bind(settlement.lead.id.as_str())
    .bind(question.kind.as_str())
    .bind(field(question))
    .bind(json)
    .bind(Time(settlement.now))
    .execute(db)
    .await?;
    Ok(())
}

/// The column's form of a question's field: empty where the kind has none.
fn field(question: &Question) -> &str {
    question.field.as_ref().map_or("", |field| field.as_str())
}
