//! Marking leads dirty: something is owed.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sqlx::{AssertSqlSafe, PgConnection};

use super::time::Time;
use super::{PostgresStore, rows};
use crate::domain::ids::{DestinationName, LeadKey};
use crate::domain::job::Class;
use crate::domain::time::Timestamp;
use crate::store::{DirtyMark, StoreResult};

/// The most leads that are marked in one commit.
pub(super) const PIECE: usize = 1000;

/// Why a lead is marked, which decides how much it hurries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// An event, or a write that may have landed late: a back-off is waited for all the same.
    News,
    /// Somebody asked: due now, unless it is being worked on.
    Asked,
    /// A person asked: as [`Why::Asked`], and a remembered refusal is ignored.
    Forced,
}

pub(super) async fn mark(store: &PostgresStore, mark: &DirtyMark) -> StoreResult<u64> {
    let why = if mark.forced { Why::Forced } else { Why::Asked };
    let mut times: BTreeMap<&LeadKey, i64> = BTreeMap::new();
    for lead in &mark.leads {
        *times.entry(lead).or_default() += 1;
    }
    let leads: Vec<(&LeadKey, i64)> = times.into_iter().collect();
    for piece in leads.chunks(PIECE) {
        let mut db = store.pool.acquire().await?;
        upsert(&mut db, &mark.destination, piece, mark.class, mark.now, why).await?;
        store.wake_workers();
    }
    Ok(mark.leads.len() as u64)
}

/// Makes the lead's job owed. One that is being worked on keeps its lease and will be owed again when it settles.
pub(super) async fn touch(
    db: &mut PgConnection,
    destination: &DestinationName,
    lead: &LeadKey,
    class: Class,
    now: Timestamp,
    why: Why,
) -> StoreResult<()> {
    upsert(db, destination, &[(lead, 1)], class, now, why).await
}

/// Does [`touch`] to many leads of one destination, which must be sorted and distinct.
pub(super) async fn touch_many(
    db: &mut PgConnection,
    destination: &DestinationName,
    leads: &[LeadKey],
    class: Class,
    now: Timestamp,
    why: Why,
) -> StoreResult<()> {
    let leads: Vec<(&LeadKey, i64)> = leads.iter().map(|lead| (lead, 1)).collect();
    upsert(db, destination, &leads, class, now, why).await
}

/// Does [`touch`] to leads of one destination, each for a reason of its own; in key order, as settling locks them.
pub(super) async fn touch_each(
    db: &mut PgConnection,
    destination: &DestinationName,
    leads: BTreeMap<&LeadKey, Why>,
    now: Timestamp,
) -> StoreResult<()> {
    for (lead, why) in leads {
        touch(db, destination, lead, Class::Live, now, why).await?;
    }
    Ok(())
}

async fn upsert(
    db: &mut PgConnection,
    destination: &DestinationName,
    leads: &[(&LeadKey, i64)],
    class: Class,
    now: Timestamp,
    why: Why,
) -> StoreResult<()> {
    if leads.is_empty() {
        return Ok(());
    }
    static TOUCH: LazyLock<String> = LazyLock::new(|| {
        let marked = "(SELECT $1::text AS destination, source, lead_id, $4::smallint AS class, $5::timestamptz AS at,
                              times, $6::boolean AS forced, place
                         FROM unnest($2::text[], $3::text[], $8::bigint[])
                              WITH ORDINALITY u(source, lead_id, times, place)) marked";
        upsert_sql(marked, "$7::boolean")
    });
    let (sources, ids) = rows::columns(leads.iter().map(|(lead, _)| *lead));
    let times: Vec<i64> = leads.iter().map(|(_, times)| *times).collect();
    sqlx::query(AssertSqlSafe(TOUCH.as_str()))
        .bind(destination.as_str())
        .bind(sources)
        .bind(ids)
        .bind(rows::class_number(class))
        .bind(Time(now))
        .bind(why == Why::Forced)
        .bind(why == Why::News)
        .bind(times)
        .execute(db)
        .await?;
    Ok(())
}

/// The SQL that marks the rows of `marked`: `destination`, `source`, `lead_id`, `class`, `at`, how many `times`, `forced`
/// and its `place` in key order. `news`: whether it is for [`Why::News`].
pub(super) fn upsert_sql(marked: &str, news: &str) -> String {
    format!(
        "INSERT INTO jobs (destination, source, lead_id, state, lane, class, due_at, attempt, wanted, owed_since,
                           suspicion, forced)
         SELECT marked.destination, marked.source, marked.lead_id, 'owed',
                CASE WHEN EXISTS (SELECT 1 FROM links l
                                   WHERE l.destination = marked.destination AND l.source = marked.source
                                     AND l.lead_id = marked.lead_id OFFSET 0) THEN 1 ELSE 0 END,
                marked.class, marked.at, 0, marked.times, marked.at, 0, marked.forced
           FROM {marked} ORDER BY marked.place
         ON CONFLICT (destination, source, lead_id) DO UPDATE SET
             wanted = jobs.wanted + excluded.wanted,
             class = CASE jobs.state WHEN 'owed' THEN least(jobs.class, excluded.class) ELSE excluded.class END,
             due_at = CASE WHEN jobs.state <> 'owed' THEN excluded.due_at
                           WHEN jobs.lease_token IS NOT NULL OR {news} THEN jobs.due_at
                           ELSE least(jobs.due_at, excluded.due_at) END,
             attempt = CASE jobs.state WHEN 'owed' THEN jobs.attempt ELSE 0 END,
             owed_since = CASE jobs.state WHEN 'owed' THEN jobs.owed_since ELSE excluded.owed_since END,
             first_failed_at = CASE jobs.state WHEN 'owed' THEN jobs.first_failed_at END,
             code = CASE jobs.state WHEN 'owed' THEN jobs.code END,
             detail = CASE jobs.state WHEN 'owed' THEN jobs.detail END,
             suspicion = CASE jobs.state WHEN 'owed' THEN jobs.suspicion ELSE 0 END,
             -- After a day a refusal is not believed any more when something new comes.
             forced = jobs.forced OR excluded.forced
                      OR (jobs.state = 'dead' AND coalesce(
                             timestamptz 'epoch' + (jobs.refusal ->> 'at')::bigint * interval '1 microsecond'
                             < excluded.due_at - interval '24 hours', false)),
             state = 'owed', ended_at = NULL, look_again_at = NULL"
    )
}
