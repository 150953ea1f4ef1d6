//! Locking jobs, and settling's changes of them.

use std::borrow::Cow;

use sqlx::PgConnection;
use uuid::Uuid;

use super::Fate;
use crate::domain::ids::{DestinationName, LeadKey};
use crate::domain::time::Timestamp;
use crate::store::postgres::keys::JobKeys;
use crate::store::postgres::rows::readable;
use crate::store::postgres::time::Time;
use crate::store::stored::refusal_to_json;
use crate::store::{JobEnd, LeaseToken, Refusal, Settlement, StoreError, StoreResult};

/// A job that is locked for this transaction, as it is now.
#[derive(Clone, Copy)]
pub(in crate::store::postgres) struct Locked {
    pub token: Option<LeaseToken>,
    pub wanted: i64,
    pub due_at: Timestamp,
    pub attempt: i32,
}

/// Locks the jobs of these leads in key order; answers in the order given, `None` where nothing is owed.
pub(in crate::store::postgres) async fn lock<'a>(
    db: &mut PgConnection,
    keys: impl Iterator<Item = (&'a DestinationName, &'a LeadKey)>,
) -> StoreResult<Vec<Option<Locked>>> {
    let mut in_order: Vec<_> = keys.enumerate().collect();
    in_order.sort_by_key(|(_, key)| *key);
    let columns: JobKeys = in_order.iter().map(|(_, key)| *key).collect();
    let rows: Vec<(i64, Option<Uuid>, i64, Time, i32)> = sqlx::query_as(
        "SELECT k.n, j.lease_token, j.wanted, j.due_at, j.attempt
           FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (destination, source, lead_id, n)
           JOIN jobs j ON j.destination = k.destination AND j.source = k.source AND j.lead_id = k.lead_id
          ORDER BY k.n FOR UPDATE OF j",
    )
    .bind(columns.destinations)
    .bind(columns.sources)
    .bind(columns.leads)
    .fetch_all(db)
    .await?;
    let mut locked = vec![None; in_order.len()];
    for (nth, token, wanted, due_at, attempt) in rows {
        let place = usize::try_from(nth - 1).ok().and_then(|nth| in_order.get(nth));
        if let Some((place, _)) = place {
            locked[*place] = Some(Locked { token, wanted, due_at: due_at.0, attempt });
        }
    }
    Ok(locked)
}

/// Ends the attempts as planned, or makes the jobs due again where the lead moved meanwhile.
pub(super) async fn end(db: &mut PgConnection, settlements: &[(&Settlement, Fate)]) -> StoreResult<()> {
    let (mut done, mut again, mut retried) = (Vec::new(), Vec::new(), Vec::new());
    let (mut stopped, mut remembered) = (Vec::new(), Vec::new());
    for (settlement, fate) in settlements {
        let moved = match fate {
            Fate::Lost | Fate::Over => continue,
            Fate::Unlinked => {
                again.push(*settlement);
                continue;
            }
            Fate::Linked { moved } => *moved,
        };
        match &settlement.end {
            // A back-off stays: a new event does not shorten it.
            JobEnd::Retry { due_at, code, detail, failed } => {
                let (code, detail) = (readable(code), readable(detail));
                retried.push(Retried { settlement, due_at: Time(*due_at), code, detail, failed: *failed });
                continue;
            }
            JobEnd::Done if moved => remembered.push((*settlement, None)),
            JobEnd::Done => done.push(*settlement),
            JobEnd::Held { code, detail, look_again_at } => {
                if !moved {
                    stopped.push(Stopped::new(settlement, "held", code, detail, *look_again_at));
                }
            }
            JobEnd::Dead { code, detail, refusal, look_again_at } => {
                remembered.push((*settlement, refusal.as_ref()));
                if !moved {
                    stopped.push(Stopped::new(settlement, "dead", code, detail, *look_again_at));
                }
            }
        }
        if moved {
            again.push(*settlement);
        }
    }
    remember(db, &remembered).await?;
    delete(db, &done).await?;
    owe_again(db, &again).await?;
    retry(db, &retried).await?;
    stop(db, &stopped).await
}

fn keys_of<'a>(settlements: impl Iterator<Item = &'a Settlement>) -> JobKeys<'a> {
    settlements.map(|settlement| (&settlement.destination, &settlement.lead)).collect()
}

async fn delete(db: &mut PgConnection, settlements: &[&Settlement]) -> StoreResult<()> {
    if settlements.is_empty() {
        return Ok(());
    }
    let keys = keys_of(settlements.iter().copied());
    sqlx::query(
        "DELETE FROM jobs j USING unnest($1::text[], $2::text[], $3::text[]) AS u (destination, source, lead_id)
          WHERE j.destination = u.destination AND j.source = u.source AND j.lead_id = u.lead_id",
    )
    .bind(keys.destinations)
    .bind(keys.sources)
    .bind(keys.leads)
    .execute(db)
    .await?;
    Ok(())
}

/// Makes jobs due now as a new debt: since the oldest event that was not folded yet, if there is one.
async fn owe_again(db: &mut PgConnection, settlements: &[&Settlement]) -> StoreResult<()> {
    if settlements.is_empty() {
        return Ok(());
    }
    let keys = keys_of(settlements.iter().copied());
    sqlx::query(
        "UPDATE jobs j
            SET state = 'owed', due_at = u.now, lease_token = NULL, attempt = 0, first_failed_at = NULL, code = NULL,
                detail = NULL, suspicion = 0, ended_at = NULL, look_again_at = NULL,
                owed_since = coalesce((SELECT e.received_at FROM events e
                                        WHERE e.source = u.source AND e.lead_id = u.lead_id AND e.state = 'stored'
                                        ORDER BY e.id LIMIT 1), u.now),
                lane = (EXISTS (SELECT 1 FROM links l WHERE l.destination = u.destination AND l.source = u.source
                                                        AND l.lead_id = u.lead_id))::integer
           FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS u (destination, source, lead_id, now)
          WHERE j.destination = u.destination AND j.source = u.source AND j.lead_id = u.lead_id",
    )
    .bind(keys.destinations)
    .bind(keys.sources)
    .bind(keys.leads)
    .bind(settlements.iter().map(|settlement| Time(settlement.now)).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

/// Tries again a lead whose settlement could not be recorded, if the lease is still its own.
pub(super) async fn postpone(
    db: &mut PgConnection,
    settlement: &Settlement,
    until: Timestamp,
    why: &StoreError,
) -> StoreResult<()> {
    sqlx::query(
        "UPDATE jobs SET due_at = $5, lease_token = NULL, code = 'not_recorded', detail = $6,
                         first_failed_at = coalesce(first_failed_at, $7)
          WHERE destination = $1 AND source = $2 AND lead_id = $3 AND lease_token = $4",
    )
    .bind(settlement.destination.as_str())
    .bind(settlement.lead.source.as_str())
    .bind(settlement.lead.id.as_str())
    .bind(settlement.token)
    .bind(Time(until))
    .bind(readable(&why.to_string()))
    .bind(Time(settlement.now))
    .execute(db)
    .await?;
    Ok(())
}

struct Retried<'a> {
    settlement: &'a Settlement,
    due_at: Time,
    code: Cow<'a, str>,
    detail: Cow<'a, str>,
    failed: bool,
}

/// Tries again later. A job stays as suspect as it was, unless the attempt got past what the process died of: its write.
async fn retry(db: &mut PgConnection, retried: &[Retried<'_>]) -> StoreResult<()> {
    if retried.is_empty() {
        return Ok(());
    }
    let keys = keys_of(retried.iter().map(|retried| retried.settlement));
    sqlx::query(
        "UPDATE jobs j
            SET due_at = u.due_at, lease_token = NULL, code = u.code, detail = u.detail,
                suspicion = CASE WHEN u.wrote THEN 0 ELSE j.suspicion END,
                first_failed_at = CASE WHEN u.failed THEN coalesce(j.first_failed_at, u.now) ELSE j.first_failed_at END,
                lane = (EXISTS (SELECT 1 FROM links l WHERE l.destination = u.destination AND l.source = u.source
                                                        AND l.lead_id = u.lead_id))::integer
           FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::boolean[],
                       $8::timestamptz[], $9::boolean[])
             AS u (destination, source, lead_id, due_at, code, detail, failed, now, wrote)
          WHERE j.destination = u.destination AND j.source = u.source AND j.lead_id = u.lead_id",
    )
    .bind(keys.destinations)
    .bind(keys.sources)
    .bind(keys.leads)
    .bind(retried.iter().map(|retried| retried.due_at).collect::<Vec<_>>())
    .bind(retried.iter().map(|retried| &*retried.code).collect::<Vec<_>>())
    .bind(retried.iter().map(|retried| &*retried.detail).collect::<Vec<_>>())
    .bind(retried.iter().map(|retried| retried.failed).collect::<Vec<_>>())
    .bind(retried.iter().map(|retried| Time(retried.settlement.now)).collect::<Vec<_>>())
    .bind(retried.iter().map(|retried| retried.settlement.wrote).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

struct Stopped<'a> {
    settlement: &'a Settlement,
    state: &'static str,
    code: Cow<'a, str>,
    detail: Cow<'a, str>,
    look_again_at: Option<Time>,
}

impl<'a> Stopped<'a> {
    fn new(
        settlement: &'a Settlement,
        state: &'static str,
        code: &'a str,
        detail: &'a str,
        look_again_at: Option<Timestamp>,
    ) -> Self {
        Self {
            settlement,
            state,
            code: readable(code),
            detail: readable(detail),
            look_again_at: look_again_at.map(Time),
        }
    }
}

async fn stop(db: &mut PgConnection, stopped: &[Stopped<'_>]) -> StoreResult<()> {
    if stopped.is_empty() {
        return Ok(());
    }
    let keys = keys_of(stopped.iter().map(|stopped| stopped.settlement));
    sqlx::query(
        "UPDATE jobs j
            SET state = u.state, code = u.code, detail = u.detail, look_again_at = u.look_again_at, ended_at = u.now,
                due_at = u.now, lease_token = NULL, suspicion = 0, forced = false,
                lane = (EXISTS (SELECT 1 FROM links l WHERE l.destination = u.destination AND l.source = u.source
                                                        AND l.lead_id = u.lead_id))::integer
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
                       $8::timestamptz[])
             AS u (destination, source, lead_id, state, code, detail, look_again_at, now)
          WHERE j.destination = u.destination AND j.source = u.source AND j.lead_id = u.lead_id",
    )
    .bind(keys.destinations)
    .bind(keys.sources)
    .bind(keys.leads)
    .bind(stopped.iter().map(|stopped| stopped.state).collect::<Vec<_>>())
    .bind(stopped.iter().map(|stopped| &*stopped.code).collect::<Vec<_>>())
    .bind(stopped.iter().map(|stopped| &*stopped.detail).collect::<Vec<_>>())
    .bind(stopped.iter().map(|stopped| stopped.look_again_at).collect::<Vec<_>>())
    .bind(stopped.iter().map(|stopped| Time(stopped.settlement.now)).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

/// Replaces the remembered refusals; whoever asked for these attempts has had them.
async fn remember(db: &mut PgConnection, remembered: &[(&Settlement, Option<&Refusal>)]) -> StoreResult<()> {
    if remembered.is_empty() {
        return Ok(());
    }
    let keys = keys_of(remembered.iter().map(|(settlement, _)| *settlement));
    let refusals = remembered.iter().map(|(_, refusal)| refusal.map(|refusal| refusal_to_json(&storable(refusal))));
    sqlx::query(
        "UPDATE jobs j SET refusal = u.refusal::jsonb, forced = false
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS u (destination, source, lead_id, refusal)
          WHERE j.destination = u.destination AND j.source = u.source AND j.lead_id = u.lead_id",
    )
    .bind(keys.destinations)
    .bind(keys.sources)
    .bind(keys.leads)
    .bind(refusals.collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

/// The refusal with a code that the database can hold.
fn storable(refusal: &Refusal) -> Refusal {
    Refusal { code: readable(&refusal.code).into_owned(), ..refusal.clone() }
}
