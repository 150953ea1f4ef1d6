//! What one process at a time has in hand: people and records of a batch, and chores that are done once for all.

use std::collections::HashSet;
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::PostgresStore;
use super::time::Time;
use crate::domain::ids::DestinationName;
use crate::domain::time::Timestamp;
use crate::store::{KeyHold, LeaseToken, StoreResult};

/// Takes what is free or was let run out. Whoever wants one of them meanwhile waits for this statement, in the same order.
const TAKE: &str = "INSERT INTO leases (name, holder, until)
     SELECT name, $2, $3 FROM UNNEST($1::text[]) AS wanted (name) ORDER BY name COLLATE \"C\"
     ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
        WHERE leases.until <= $4 OR leases.holder = excluded.holder
  RETURNING name";

/// All processes go by the database's clock, but each by its own reading of it: what ran out is left alone for a moment.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(2);

pub(super) async fn hold_keys(store: &PostgresStore, hold: &KeyHold) -> StoreResult<Vec<bool>> {
    let wants: Vec<Vec<String>> =
        hold.wants.iter().map(|keys| keys.iter().map(|key| name(&hold.destination, key)).collect()).collect();
    let mut names: Vec<&str> = wants.iter().flatten().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Ok(vec![true; wants.len()]);
    }
    let taken: HashSet<String> = sqlx::query_scalar(TAKE)
        .bind(&names)
        .bind(hold.token)
        .bind(Time(hold.until))
        .bind(Time(hold.now.before(CLOCKS_DIFFER_BY)))
        .fetch_all(&store.pool)
        .await?
        .into_iter()
        .collect();
    let held: Vec<bool> = wants.iter().map(|keys| keys.iter().all(|key| taken.contains(key))).collect();
    // Of a lead that did not get all of them, what it got goes back.
    let mut back: Vec<&str> = wants
        .iter()
        .zip(&held)
        .filter(|(_, held)| !**held)
        .flat_map(|(keys, _)| keys)
        .filter(|key| taken.contains(*key))
        .map(String::as_str)
        .collect();
    if !back.is_empty() {
        back.sort_unstable();
        sqlx::query(
            "WITH mine AS MATERIALIZED (SELECT name FROM leases WHERE holder = $1 AND name = ANY ($2)
                                        ORDER BY name COLLATE \"C\" FOR UPDATE)
             DELETE FROM leases l USING mine WHERE l.name = mine.name",
        )
        .bind(hold.token)
        .bind(&back)
        .execute(&store.pool)
        .await?;
    }
    Ok(held)
}

/// The name under which a key of a destination is held. Keys are of any length and hold what senders wrote, addresses of people included.
pub(super) fn name(destination: &DestinationName, key: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(destination.as_str());
    hash.update([0]);
    hash.update(key);
    format!("key/{}", hex::encode(&hash.finalize()[..16]))
}

/// Lets a batch keep its keys until then, as part of what it announces; answers the names of those that it still has.
pub(super) async fn renew(db: &mut PgConnection, token: LeaseToken, until: Timestamp) -> StoreResult<HashSet<String>> {
    let renewed: Vec<String> = sqlx::query_scalar(
        "WITH mine AS MATERIALIZED (SELECT name FROM leases WHERE holder = $1 ORDER BY name COLLATE \"C\" FOR UPDATE)
         UPDATE leases l SET until = $2 FROM mine WHERE l.name = mine.name RETURNING l.name",
    )
    .bind(token)
    .bind(Time(until))
    .fetch_all(db)
    .await?;
    Ok(renewed.into_iter().collect())
}

/// Lets go of what holders left behind who are gone.
pub(super) async fn release_left(db: &mut PgConnection, holders: &[Uuid]) -> StoreResult<()> {
    sqlx::query("DELETE FROM leases WHERE holder = ANY ($1)").bind(holders).execute(db).await?;
    Ok(())
}

/// Not waited for on disk: what is not released runs out.
pub(super) async fn release(store: &PostgresStore, holder: Uuid) -> StoreResult<()> {
    let release = format!(
        "SET LOCAL synchronous_commit = off;
         WITH mine AS MATERIALIZED (SELECT name FROM leases WHERE holder = '{holder}' ORDER BY name COLLATE \"C\" FOR UPDATE)
         DELETE FROM leases l USING mine WHERE l.name = mine.name"
    );
    sqlx::raw_sql(AssertSqlSafe(release)).execute(&store.pool).await?;
    Ok(())
}

/// A chore's lease, of this process.
pub(super) async fn hold(store: &PostgresStore, name: &str, now: Timestamp, until: Timestamp) -> StoreResult<bool> {
    let taken: Option<String> = sqlx::query_scalar(TAKE)
        .bind(vec![name])
        .bind(store.replica)
        .bind(Time(until))
        .bind(Time(now))
        .fetch_optional(&store.pool)
        .await?;
    Ok(taken.is_some())
}

pub(super) async fn let_go(store: &PostgresStore, name: &str) -> StoreResult<()> {
    sqlx::query("DELETE FROM leases WHERE name = $1 AND holder = $2")
        .bind(name)
        .bind(store.replica)
        .execute(&store.pool)
        .await?;
    Ok(())
}

/// After a jump of the clock nothing is held for longer than this.
pub(super) async fn shorten(store: &PostgresStore, latest: Timestamp) -> StoreResult<()> {
    sqlx::query(
        "WITH long AS MATERIALIZED (SELECT name FROM leases WHERE until > $1 ORDER BY name COLLATE \"C\" FOR UPDATE)
         UPDATE leases l SET until = $1 FROM long WHERE l.name = long.name",
    )
    .bind(Time(latest))
    .execute(&store.pool)
    .await?;
    Ok(())
}
