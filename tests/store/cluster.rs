//! The tests' own servers: that they come, go, come back and take over as kill and failover tests need it.

use sqlx::{Connection, PgConnection};

use crate::fixture::Fixture;
use crate::postgres::{Cluster, connect};

async fn count(db: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM promises").fetch_one(db).await.unwrap()
}

#[tokio::test]
async fn a_server_comes_back_with_what_it_committed_and_its_standby_takes_over() {
    let Some(primary) = Cluster::new("") else { return };
    let name = primary.create_database().await;
    let mut db = connect(&primary.url(&name)).await;
    sqlx::query("CREATE TABLE promises AS SELECT 1 AS promise").execute(&mut db).await.unwrap();
    primary.stop_immediate();
    assert!(db.ping().await.is_err());
    primary.start();
    let mut db = connect(&primary.url(&name)).await;
    assert_eq!(count(&mut db).await, 1);

    let standby = primary.standby().await;
    sqlx::query("INSERT INTO promises VALUES (2)").execute(&mut db).await.unwrap();
    primary.stop_immediate();
    standby.promote().await;
    let mut db = connect(&standby.url(&name)).await;
    assert_eq!(count(&mut db).await, 2, "the primary answered before its standby had it");
    sqlx::query("INSERT INTO promises VALUES (3)").execute(&mut db).await.unwrap();
}

#[tokio::test]
async fn databases_of_tests_do_not_put_text_in_the_order_of_its_bytes() {
    let Some(fixture) = Fixture::postgres().await else { return };
    let ordered = "SELECT (current_setting('server_version_num')::integer < 150000 OR 'a' < 'B')::integer";
    assert_eq!(fixture.count(ordered).await, 1);
}
