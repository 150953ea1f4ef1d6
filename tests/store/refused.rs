//! Databases and servers that are not opened, and what is said of them.

use std::time::Duration;

use leadrelay::store::postgres::{Options, PostgresStore};
use leadrelay::store::{EventLog, Store, StoreError};

use crate::fixture::*;
use crate::postgres::{Cluster, connect, shared_or_skipped};

on_both_stores! {
    a_database_of_a_newer_program_is_refused,
    a_database_that_lacks_migrations_is_left_alone_where_migrating_is_not_allowed,
    opening_twice_changes_nothing,
    a_closed_store_takes_nothing_in,
}

async fn a_database_of_a_newer_program_is_refused(fixture: Fixture) {
    let opened = fixture.reopen_after("UPDATE _sqlx_migrations SET version = 99 WHERE version = 1", true).await;
    assert!(matches!(opened.err(), Some(StoreError::TooNew { found: 99, .. })));
}

async fn a_database_that_lacks_migrations_is_left_alone_where_migrating_is_not_allowed(fixture: Fixture) {
    let opened = fixture.reopen_after("DELETE FROM _sqlx_migrations", false).await;
    assert!(matches!(opened.err(), Some(StoreError::TooOld { found: 0, .. })));
}

async fn opening_twice_changes_nothing(fixture: Fixture) {
    let receipt = fixture.accept(event("ada", "{}")).await;
    let fixture = fixture.reopen().await.reopen().await;
    assert_eq!(fixture.store.load_event(receipt.id).await.unwrap().unwrap().row.id, receipt.id);
}

async fn a_closed_store_takes_nothing_in(fixture: Fixture) {
    fixture.store.ready().await.unwrap();
    fixture.store.close().await;
    assert!(matches!(fixture.store.ready().await, Err(StoreError::Unavailable(_))));
    let refused = fixture.store.accept_events(vec![event("ada", "{}")]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
}

/// Why opening is refused, in words for the operator.
async fn refused(url: &str, options: Options) -> String {
    match PostgresStore::open(url, options).await.err() {
        Some(StoreError::Unfit(why)) => why,
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_may_forget_is_refused_unless_it_was_said_to_be_right() {
    let Some(cluster) = Cluster::new("fsync = off\n") else { return };
    let name = cluster.create_database().await;
    let url = cluster.url(&name);
    assert!(refused(&url, Options::default()).await.contains("fsync"));
    let accepted = Options { accept_unsafe_server: true, ..Options::default() };
    PostgresStore::open(&url, accepted).await.unwrap();

    cluster.execute("ALTER SYSTEM SET fsync = on").await;
    cluster.execute(&format!("ALTER DATABASE {name} SET synchronous_commit = off")).await;
    cluster.let_in("weak", "scram-sha-256"); // Reads the settings again.
    assert!(refused(&url, Options::default()).await.contains("synchronous_commit"));

    let weak = url.replace("postgres@", "weak:wrong@");
    cluster.execute("CREATE ROLE weak LOGIN PASSWORD 'right'").await;
    let options = || Options { accept_unsafe_server: true, ..Options::default() };
    assert!(refused(&weak, options()).await.contains("password"));
    cluster.execute("CREATE DATABASE empty").await;
    let mut db = connect(&cluster.url("empty")).await;
    sqlx::query("REVOKE CREATE ON SCHEMA public FROM PUBLIC").execute(&mut db).await.unwrap();
    let weak = cluster.url("empty").replace("postgres@", "weak:right@");
    assert!(refused(&weak, options()).await.contains("GRANT CREATE"));
}

#[tokio::test]
async fn a_server_that_came_back_with_other_settings_is_not_used() {
    let Some(cluster) = Cluster::new("") else { return };
    let name = cluster.create_database().await;
    let store = PostgresStore::open(&cluster.url(&name), Options::default()).await.unwrap();
    store.accept_events(vec![event("ada", "{}")]).await.unwrap();

    cluster.execute("ALTER SYSTEM SET fsync = off").await;
    cluster.stop_immediate();
    cluster.start();
    // What was connected notices first that it is not any more.
    let refused = async || loop {
        match store.accept_events(vec![event("bob", "{}")]).await {
            Err(StoreError::Unavailable(why)) if why.contains("fsync = off") => break,
            Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
            other => panic!("{other:?}"),
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused()).await.unwrap();
    // The first finds a lost connection, the second needs a new one.
    let _ = store.load_pauses().await;
    assert!(store.load_pauses().await.is_err(), "workers use it");

    cluster.execute("ALTER SYSTEM SET fsync = on").await;
    cluster.execute("SELECT pg_reload_conf()").await;
    let taken_in = async || {
        while store.accept_events(vec![event("bob", "{}")]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), taken_in()).await.unwrap();
}

#[tokio::test]
async fn a_standby_is_refused() {
    let Some(cluster) = Cluster::new("") else { return };
    let name = cluster.create_database().await;
    let standby = cluster.standby().await;
    let told = refused(&standby.url(&name), Options::default()).await;
    assert!(told.contains("as a standby does") && told.contains("name the primary"), "{told}");
}

#[tokio::test]
async fn what_a_person_must_mend_is_said() {
    let Some(cluster) = shared_or_skipped() else { return };
    let options = || Options { accept_unsafe_server: true, ..Options::default() };
    assert!(refused(&cluster.url("no_such_database"), options()).await.contains("createdb"));
    assert!(refused("postgres://:::", options()).await.contains("postgres://user:password@host/database"));
    cluster.let_in("locked_out", "reject");
    let locked_out = cluster.url("postgres").replace("postgres@", "locked_out@");
    assert!(refused(&locked_out, options()).await.contains("see `store.url` and pg_hba.conf"));
    let nobody_there = PostgresStore::open("postgres://postgres@127.0.0.1:1/x", options()).await.err();
    assert!(matches!(nobody_there, Some(StoreError::Unreachable(_))), "{nobody_there:?}");
}
