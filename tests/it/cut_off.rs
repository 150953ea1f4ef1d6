//! A replica whose database goes away for a while, or that is frozen: what it had in hand then is in nobody's hands twice, and
//! nothing that it knows is forgotten. A webhook that it was storing is answered 503, whatever became of it.

use std::time::{Duration, Instant};

use leadrelay::domain::envelope::Expression;
use serde_json::{Value as Json, json};
use sqlx::AssertSqlSafe;

use crate::database::TestDatabase;
use crate::harness::{Harness, Stage, event, signature};
use crate::postgres::{Cluster, connect, shared_or_skipped};
use crate::proxy::{Break, Proxy};

/// A service that reaches its database by way of something that can be cut.
struct CutOff {
    harness: Harness,
    way: Proxy,
    server: &'static Cluster,
    /// The way that is not cut.
    url: String,
}

/// Longer than anything here takes that does not wait for its end.
const LONG_LEASE: Duration = Duration::from_secs(90);
const EMAIL: &str = "ada@lovelace.example";
const LONGEST_WAIT: Duration = Duration::from_secs(20);

impl CutOff {
    /// `None` where there is no PostgreSQL.
    async fn start(lease: Duration) -> Option<Self> {
        let server = shared_or_skipped()?;
        let name = server.create_database().await;
        let way = Proxy::start(vec![server.port()]).await;
        let database = TestDatabase::At(format!("postgres://postgres@127.0.0.1:{}/{name}", way.port));
        let harness = Stage::on(database).await.start(|config| {
            for source in config.sources.values_mut() {
                source.read.event_id = Expression::parse("header:X-Event-Id").ok();
            }
            for destination in config.destinations.values_mut() {
                destination.retry.lease = lease;
                destination.limits.timeout = Duration::from_secs(1).max(lease / 6);
            }
        });
        Some(Self { harness: harness.await, way, server, url: server.url(&name) })
    }

    /// A new lead comes.
    async fn begin(&self) {
        self.harness.send(&new_lead()).await;
    }

    /// The same, and the sender may give the event an ID; the status and the word that it is answered.
    async fn post(&self, id: Option<&str>) -> (u16, Json) {
        let body = new_lead();
        let signature = signature(&body);
        let mut headers = vec![("X-Klozeo-Signature", signature.as_str())];
        headers.extend(id.map(|id| ("X-Event-Id", id)));
        let (status, answer) = self.harness.post(&headers, body).await;
        (status, answer["status"].clone())
    }

    /// A new lead comes, and the connection breaks on which it is stored: the sender is told to send it again. Answers how
    /// many events are stored then.
    async fn break_while_storing(&self, id: Option<&str>, how: Break) -> i64 {
        self.way.break_at(EMAIL.as_bytes(), how);
        assert_eq!(self.post(id).await.0, 503);
        assert!(!self.way.is_whole(), "nothing broke");
        self.number("SELECT count(*) FROM events").await
    }

    /// The sender sends it again: the word that it is answered, and how many events are stored once all is synced.
    async fn repeat(&self, id: Option<&str>) -> (Json, i64) {
        let (status, word) = self.post(id).await;
        assert_eq!(status, 202);
        self.harness.settled().await;
        assert_eq!(self.number("SELECT count(*) FROM leads").await, 1);
        assert_eq!(self.harness.records().await.len(), 1);
        (word, self.number("SELECT count(*) FROM events").await)
    }

    /// A new lead comes, and is written. That this cannot be recorded before the way to the database is cut, for so long.
    async fn write_and_cut_for(&self, time: Duration) {
        let mut held = connect(&self.url).await;
        sqlx::raw_sql("BEGIN; LOCK TABLE sync_log IN EXCLUSIVE MODE").execute(&mut held).await.unwrap();
        self.begin().await;
        let began = Instant::now();
        while self.harness.records().await.is_empty() {
            assert!(began.elapsed() < LONGEST_WAIT, "no record was made");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.way.send_to(Vec::new());
        self.way.cut();
        sqlx::raw_sql("COMMIT").execute(&mut held).await.unwrap();
        tokio::time::sleep(time).await;
        self.way.send_to(vec![self.server.port()]);
    }

    async fn number(&self, sql: &str) -> i64 {
        let sql = format!("SELECT coalesce(({sql}), 0)::bigint");
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connect(&self.url).await).await.unwrap()
    }

    async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connect(&self.url).await).await.unwrap();
    }

    /// What the log says of the lead, oldest first: operation, outcome, error code.
    async fn log(&self) -> Vec<String> {
        let log = self.harness.admin("sync-log?lead_id=cl_1").await;
        let word = |row: &Json, key: &str| row[key].as_str().unwrap_or("-").to_owned();
        let row = |row: &Json| ["operation", "outcome", "error_code"].map(|key| word(row, key)).join(" ");
        log["items"].as_array().unwrap().iter().rev().map(row).collect()
    }
}

fn new_lead() -> Vec<u8> {
    event("lead.created", 1_767_225_600, &json!({ "id": "cl_1", "name": "Ada Lovelace", "email": EMAIL }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_repeat_of_a_webhook_whose_commit_nobody_knows_of_is_known_by_its_id() {
    let Some(cut_off) = CutOff::start(LONG_LEASE).await else { return };
    let id = Some("evt_1");
    assert_eq!(cut_off.break_while_storing(id, Break::BeforeItsAnswer).await, 1);
    assert_eq!(cut_off.repeat(id).await, (json!("duplicate"), 1));
    cut_off.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_repeat_of_a_webhook_without_an_id_whose_commit_nobody_knows_of_does_no_harm() {
    let Some(cut_off) = CutOff::start(LONG_LEASE).await else { return };
    assert_eq!(cut_off.break_while_storing(None, Break::BeforeItsAnswer).await, 1);
    assert_eq!(cut_off.repeat(None).await, (json!("accepted"), 2));
    cut_off.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_did_not_reach_the_database_is_taken_in_when_it_is_repeated() {
    let Some(cut_off) = CutOff::start(LONG_LEASE).await else { return };
    let id = Some("evt_1");
    assert_eq!(cut_off.break_while_storing(id, Break::BeforeIt).await, 0);
    assert_eq!(cut_off.repeat(id).await, (json!("accepted"), 1));
    cut_off.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_is_recorded_as_soon_as_the_database_is_back() {
    let Some(cut_off) = CutOff::start(LONG_LEASE).await else { return };
    cut_off.write_and_cut_for(Duration::from_secs(1)).await;
    let began = Instant::now();
    cut_off.harness.settled().await;
    assert!(began.elapsed() < LONG_LEASE / 3, "it waited for the lease to end");
    assert_eq!(cut_off.log().await, ["create ok -"]);
    cut_off.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_ran_out_while_the_database_was_away_makes_nobody_suspect() {
    let lease = Duration::from_secs(2);
    let Some(cut_off) = CutOff::start(lease).await else { return };
    cut_off.write_and_cut_for(lease * 2).await;
    cut_off.harness.until("sync-log?lead_id=cl_1", |log| log["items"].as_array().unwrap().len() > 1).await;
    cut_off.harness.settled().await;
    assert_eq!(cut_off.log().await, ["create unknown not_recorded", "unchanged ok -"]);
    cut_off.harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lead_whose_person_somebody_else_has_in_hand_by_now_is_not_created() {
    let Some(cut_off) = CutOff::start(LONG_LEASE).await else { return };
    // As if it had been frozen as soon as it had the keys, and its lease had ended meanwhile.
    let steal = "CREATE FUNCTION steal() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN UPDATE leases SET holder = gen_random_uuid() WHERE name = new.name; RETURN NULL; END $$;
         CREATE TRIGGER steal AFTER INSERT ON leases FOR EACH ROW WHEN (starts_with(new.name, 'key/'))
         EXECUTE FUNCTION steal()";
    cut_off.execute(steal).await;
    cut_off.begin().await;
    let began = Instant::now();
    let waits = "SELECT count(*) FROM jobs WHERE lease_token IS NULL AND EXISTS (SELECT 1 FROM leases WHERE starts_with(name, 'key/'))";
    while cut_off.number(waits).await == 0 {
        assert!(began.elapsed() < LONGEST_WAIT, "it does not wait");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(cut_off.harness.records().await.is_empty(), "it was created all the same");
    assert_eq!(cut_off.number("SELECT count(*) FROM intents").await, 0);
    cut_off.execute("DROP TRIGGER steal ON leases; DELETE FROM leases WHERE starts_with(name, 'key/')").await;
    cut_off.harness.settled().await;
    assert_eq!(cut_off.harness.records().await.len(), 1);
    assert_eq!(cut_off.log().await, ["create ok -"]);
    cut_off.harness.stop().await;
}
