//! Settling's changes of intents.

use sqlx::PgConnection;

use super::Fate;
use crate::store::postgres::keys::JobKeys;
use crate::store::postgres::time::Time;
use crate::store::{IntentEnd, JobEnd, Settlement, StoreResult};

/// Ends the intents of these attempts, and forgets those that stood for the look which an attempt was.
pub(super) async fn end(db: &mut PgConnection, settlements: &[(&Settlement, Fate)]) -> StoreResult<()> {
    let (mut closed, mut open) = (Vec::new(), Vec::new());
    for (settlement, fate) in settlements {
        for (intent, end) in &settlement.intents {
            match end {
                IntentEnd::Closed if matches!(fate, Fate::Linked { .. }) => closed.push((*settlement, *intent)),
                // Without the link its values are in no base, so the next attempt still has to know them.
                IntentEnd::Closed => open.push((*settlement, *intent, None)),
                IntentEnd::OpenUntil(until) => open.push((*settlement, *intent, Some(Time(*until)))),
            }
        }
    }
    let looked = settlements.iter().filter(|(settlement, fate)| {
        settlement.looked && *fate == Fate::Linked { moved: false } && !matches!(settlement.end, JobEnd::Retry { .. })
    });
    let looked: Vec<_> = looked.map(|(settlement, _)| *settlement).collect();
    keep_open(db, &open).await?;
    delete(db, &closed, &looked).await
}

/// Those with a time may land until then, the others go when the lead is read once more.
async fn keep_open(db: &mut PgConnection, intents: &[(&Settlement, i64, Option<Time>)]) -> StoreResult<()> {
    if intents.is_empty() {
        return Ok(());
    }
    let keys: JobKeys = intents.iter().map(|(settlement, ..)| (&settlement.destination, &settlement.lead)).collect();
    sqlx::query(
        "UPDATE intents i SET settled = CASE WHEN u.until IS NULL THEN 2 ELSE 1 END, keep_open_until = u.until
           FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[])
             AS u (destination, source, lead_id, id, until)
          WHERE i.id = u.id AND i.destination = u.destination AND i.source = u.source AND i.lead_id = u.lead_id",
    )
    .bind(keys.destinations)
    .bind(keys.sources)
    .bind(keys.leads)
    .bind(intents.iter().map(|(_, id, _)| *id).collect::<Vec<_>>())
    .bind(intents.iter().map(|(.., until)| *until).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

async fn delete(db: &mut PgConnection, closed: &[(&Settlement, i64)], looked: &[&Settlement]) -> StoreResult<()> {
    if closed.is_empty() && looked.is_empty() {
        return Ok(());
    }
    let of_closed: JobKeys = closed.iter().map(|(settlement, _)| (&settlement.destination, &settlement.lead)).collect();
    let of_looked: JobKeys = looked.iter().map(|settlement| (&settlement.destination, &settlement.lead)).collect();
    sqlx::query(
        "DELETE FROM intents WHERE id = ANY (ARRAY(
             SELECT i.id FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS u (destination, source, lead_id, id)
               JOIN intents i ON i.id = u.id AND i.destination = u.destination AND i.source = u.source
                             AND i.lead_id = u.lead_id
             UNION ALL
             SELECT i.id FROM unnest($5::text[], $6::text[], $7::text[]) AS u (destination, source, lead_id)
               JOIN intents i ON i.destination = u.destination AND i.source = u.source AND i.lead_id = u.lead_id
              WHERE i.settled = 2))",
    )
    .bind(of_closed.destinations)
    .bind(of_closed.sources)
    .bind(of_closed.leads)
    .bind(closed.iter().map(|(_, id)| *id).collect::<Vec<_>>())
    .bind(of_looked.destinations)
    .bind(of_looked.sources)
    .bind(of_looked.leads)
    .execute(db)
    .await?;
    Ok(())
}
