//! Bringing a PostgreSQL database up to date, which may take long where there are millions of rows.

use leadrelay::store::postgres::{Options, PostgresStore};

use crate::postgres::{connect, shared_or_skipped};

/// They may rewrite a large table, and another process that starts meanwhile waits for them in the same way.
#[tokio::test]
async fn no_limit_of_time_cuts_migrations() {
    let Some(cluster) = shared_or_skipped() else { return };
    cluster.execute("CREATE DATABASE unmigrated").await;
    let url = cluster.url("unmigrated");
    let mut db = connect(&url).await;
    let watch = "CREATE TABLE seen (statement text, lock text);
         CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
             IF current_query() LIKE '%CREATE TABLE jobs %' THEN
                 INSERT INTO seen VALUES (current_setting('statement_timeout'), current_setting('lock_timeout'));
             END IF;
         END $$;
         CREATE EVENT TRIGGER note ON ddl_command_start EXECUTE FUNCTION note()";
    sqlx::raw_sql(watch).execute(&mut db).await.unwrap();
    let options = Options { accept_unsafe_server: true, ..Options::default() };
    PostgresStore::open(&url, options).await.unwrap();
    let seen: Vec<(String, String)> =
        sqlx::query_as("SELECT DISTINCT statement, lock FROM seen").fetch_all(&mut db).await.unwrap();
    assert_eq!(seen, [("0".to_owned(), "0".to_owned())]);
}
