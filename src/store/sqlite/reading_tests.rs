//! Tests of what is read and of what people change, on a database filled row by row.

use std::collections::BTreeSet;

use super::*;
use crate::domain::ids::{EventId, LeadKey};
use crate::domain::matching::MatchedBy;
use crate::domain::plan::Choice;
use crate::domain::time::Timestamp;
use crate::store::*;

struct Filled {
    store: SqliteStore,
    folder: tempfile::TempDir,
}

async fn filled(sql: &'static str) -> Filled {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("leadrelay.db"), Options::default()).await.unwrap();
    let filled = Filled { store, folder };
    filled.run(sql).await;
    filled
}

impl Filled {
    async fn run(&self, sql: &'static str) {
        self.store.writer.run(move |db| Ok(db.execute_batch(sql)?)).await.unwrap();
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.store.readers).await.unwrap()
    }

    async fn found(&self, filter: &LogFilter) -> Vec<i64> {
        let listed = self.store.search_sync_log(filter, &page(100, None)).await.unwrap();
        listed.items.iter().map(|row| row.id).collect()
    }
}

fn page(limit: u32, cursor: Option<String>) -> Page {
    Page { limit, cursor }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

const LOG_ROWS: &str = "
    INSERT INTO leads (source, lead_id, revision, document, name, email, deleted, updated_at) VALUES
        ('klozeo', 'cl_1', 1, '{\"fields\":{},\"stamps\":[]}', 'Ada Lovelace', 'ada@example.com', 0, 10),
        ('other', 'cl_1', 1, '{\"fields\":{},\"stamps\":[]}', 'Bob', 'bob@example.com', 0, 20);
    INSERT INTO sync_log (id, at, source, lead_id, destination, operation, outcome, object, record_id, matched_by, error_code,
                          error, attempt, api_calls, batch, duration_ms, request_id, event_id) VALUES
        (1, 100, 'klozeo', 'cl_1', 'crm', 'create', 'ok', 'Lead', '00Q1', 'email', NULL, NULL, 1, 2, 1, 9, 'req-1', 7),
        (2, 200, 'klozeo', 'cl_2', 'crm', 'update', 'refused', 'Lead', '00Q2', 'link', 'TOO_LONG', 'Industry: data too large',
            1, 2, 1, 9, 'req-2', NULL),
        (3, 300, 'other', 'cl_1', 'crm', 'unchanged', 'ok', NULL, NULL, NULL, NULL, NULL, 1, 1, 1, 9, NULL, NULL),
        (4, 400, 'klozeo', 'cl_1', 'second', 'update', 'retry', 'Lead', '00Q1', 'link', 'UNABLE_TO_LOCK_ROW', 'a [lock]* held',
            2, 1, 1, 9, 'req-4', NULL);
    INSERT INTO field_sets (id, fields) VALUES (1, 'Email'), (2, 'Email' || char(10) || 'Industry');
    INSERT INTO field_set_members (field, set_id) VALUES ('Email', 1), ('Email', 2), ('Industry', 2);
    UPDATE sync_log SET field_set = id WHERE id IN (1, 2);";

fn single_filters() -> Vec<(LogFilter, Vec<i64>)> {
    let none = LogFilter::default;
    vec![
        (LogFilter { lead_id: text("cl_1"), ..none() }, vec![4, 3, 1]),
        (LogFilter { record_id: text("00Q1"), ..none() }, vec![4, 1]),
        (LogFilter { source: text("klozeo"), ..none() }, vec![4, 2, 1]),
        (LogFilter { destination: text("crm"), ..none() }, vec![3, 2, 1]),
        (LogFilter { operation: Some(Operation::Update), ..none() }, vec![4, 2]),
        (LogFilter { outcome: Some(Outcome::Ok), ..none() }, vec![3, 1]),
        (LogFilter { outcome: Some(Outcome::Refused), ..none() }, vec![2]),
        (LogFilter { from: Some(Timestamp::from_micros(200)), ..none() }, vec![4, 3, 2]),
        (LogFilter { to: Some(Timestamp::from_micros(300)), ..none() }, vec![3, 2, 1]),
        (LogFilter { error: text("TOO_LONG"), ..none() }, vec![2]),
        (LogFilter { matched_by: Some(MatchedBy::Link), ..none() }, vec![4, 2]),
        (LogFilter { request_id: text("req-4"), ..none() }, vec![4]),
        (LogFilter { email: text("Ada@Example.com"), ..none() }, vec![4, 1]),
        (LogFilter { field: text("Industry"), ..none() }, vec![2]),
        (LogFilter { q: text("req-2"), ..none() }, vec![2]),
        (LogFilter { q: text("00Q1"), ..none() }, vec![4, 1]),
        (LogFilter { q: text("INDU"), ..none() }, vec![2]),
        (LogFilter { q: text("ustry"), ..none() }, vec![]),
        (LogFilter { q: text("[lock]*"), ..none() }, vec![4]),
        (LogFilter { q: text("a*"), ..none() }, vec![]),
    ]
}

#[tokio::test]
async fn every_filter_of_the_sync_log_finds_its_rows_alone_and_with_every_other() {
    let filled = filled(LOG_ROWS).await;
    let shared = LogFilter { field: text("Email"), ..LogFilter::default() };
    assert_eq!(filled.found(&shared).await, [2, 1], "rows of every set that has the field");
    for (filter, expected) in single_filters() {
        assert_eq!(filled.found(&filter).await, expected, "{filter:?}");
    }
    for (first, of_first) in single_filters() {
        for (second, of_second) in single_filters() {
            let both = LogFilter {
                lead_id: first.lead_id.clone().or(second.lead_id),
                record_id: first.record_id.clone().or(second.record_id),
                source: first.source.clone().or(second.source),
                destination: first.destination.clone().or(second.destination),
                operation: first.operation.or(second.operation),
                outcome: first.outcome,
                from: first.from.or(second.from),
                to: first.to.or(second.to),
                error: first.error.clone().or(second.error),
                matched_by: first.matched_by.or(second.matched_by),
                request_id: first.request_id.clone().or(second.request_id),
                email: first.email.clone().or(second.email),
                field: first.field.clone().or(second.field),
                q: first.q.clone(),
            };
            if second.q.is_some() || second.outcome.is_some() {
                continue;
            }
            let expected: Vec<i64> = of_first.iter().copied().filter(|id| of_second.contains(id)).collect();
            assert_eq!(filled.found(&both).await, expected, "{both:?}");
        }
    }
}

#[tokio::test]
async fn no_filter_of_the_sync_log_scans_or_sorts_the_table() {
    let filled = filled(LOG_ROWS).await;
    for (filter, _) in single_filters().into_iter().filter(|(filter, _)| filter.q.is_none()) {
        let plan = log::plan(&filled.store.readers, &filter).await;
        assert!(plan.contains("SEARCH sync_log USING"), "{filter:?}: {plan}");
        assert!(!plan.contains("SCAN sync_log"), "{filter:?}: {plan}");
        // The rows of all leads of one address are sorted together; they are few.
        assert!(!plan.contains("B-TREE") || filter.email.is_some(), "{filter:?}: {plan}");
    }
}

#[tokio::test]
async fn paging_shows_every_row_once_while_rows_are_appended() {
    let filled = filled(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25)
         INSERT INTO sync_log (at, source, lead_id, destination, operation, outcome, attempt, api_calls, batch, duration_ms)
         SELECT i, 's', 'l' || i, 'crm', 'create', 'ok', 1, 1, 1, 1 FROM n",
    )
    .await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let listed = filled.store.search_sync_log(&LogFilter::default(), &page(10, cursor)).await.unwrap();
        seen.extend(listed.items.iter().map(|row| row.id));
        cursor = listed.next;
        if cursor.is_none() {
            break;
        }
        filled
            .run(
                "INSERT INTO sync_log (at, source, lead_id, destination, operation, outcome, attempt, api_calls, batch,
                                       duration_ms) VALUES (1, 's', 'new', 'crm', 'create', 'ok', 1, 1, 1, 1)",
            )
            .await;
    }
    assert_eq!(seen, (1..=25).rev().collect::<Vec<i64>>());
    let wrong = filled.store.search_sync_log(&LogFilter::default(), &page(10, text("nonsense!"))).await;
    assert!(matches!(wrong, Err(StoreError::BadCursor)));
}

const CONFLICT: &str = "
    INSERT INTO conflicts (id, destination, source, lead_id, kind, field, state, revision, question, opened_at, updated_at)
    VALUES (1, 'crm', 'klozeo', 'cl_1', 'field', 'Phone', 'open', 3, '{\"detail\":\"which number?\"}', 5, 5)";

fn answer(revision: i64, choice: Choice) -> Answer {
    let now = Timestamp::from_micros(50);
    Answer { conflict: 1, revision: Some(revision), choice, note: None, by: "ops".to_owned(), now }
}

#[tokio::test]
async fn a_resolution_closes_the_conflict_and_makes_the_job_due_together() {
    let filled = filled(CONFLICT).await;
    let stale = filled.store.resolve_conflict(&answer(2, Choice::Lead)).await.unwrap();
    assert!(matches!(stale, Answered::Changed(_)), "{stale:?}");
    let wrong = filled.store.resolve_conflict(&answer(3, Choice::Create)).await.unwrap();
    assert!(matches!(wrong, Answered::WrongChoice(_)), "{wrong:?}");
    assert_eq!(filled.number("SELECT count(*) FROM jobs").await, 0);

    let done = filled.store.resolve_conflict(&answer(3, Choice::Value("1".to_owned()))).await.unwrap();
    let Answered::Done(conflict) = done else { panic!("{done:?}") };
    assert_eq!(conflict.revision, 4);
    assert!(matches!(conflict.state, ConflictState::Resolved { choice: Choice::Value(_), .. }));
    let due = "SELECT count(*) FROM jobs WHERE state = 'owed' AND due_at = 50 AND class = 0 AND forced = 1";
    assert_eq!(filled.number(due).await, 1);
    let again = filled.store.resolve_conflict(&answer(4, Choice::Lead)).await.unwrap();
    assert!(matches!(again, Answered::Changed(_)), "{again:?}");
}

const DEAD: &str = "
    INSERT INTO jobs (destination, source, lead_id, state, lane, class, due_at, attempt, wanted, owed_since, code, detail,
                      suspicion, forced, ended_at) VALUES
        ('crm', 'klozeo', 'cl_1', 'dead', 0, 0, 1, 9, 1, 1, 'TOO_LONG', 'no', 0, 0, 10),
        ('crm', 'klozeo', 'cl_2', 'dead', 0, 0, 1, 9, 1, 1, 'REQUIRED', 'no', 0, 0, 20),
        ('crm', 'klozeo', 'cl_3', 'held', 0, 0, 1, 9, 1, 1, 'match', 'who?', 0, 0, 20);";

#[tokio::test]
async fn dead_letters_are_retried_and_discarded_by_filter_and_nothing_else_is_touched() {
    let filled = filled(DEAD).await;
    let listed = filled.store.list_dead_letters(&DeadLetterFilter::default(), &page(1, None)).await.unwrap();
    assert_eq!(listed.items[0].lead, LeadKey::new("klozeo", "cl_2"));
    let rest = filled.store.list_dead_letters(&DeadLetterFilter::default(), &page(1, listed.next)).await.unwrap();
    assert_eq!((rest.items[0].code.as_str(), rest.next), ("TOO_LONG", None));

    let now = Timestamp::from_micros(99);
    let one = DeadLetterFilter { leads: vec![LeadKey::new("klozeo", "cl_1")], ..Default::default() };
    assert_eq!(filled.store.retry_dead_letters(&one, now).await.unwrap(), 1);
    let required = DeadLetterFilter { code: text("REQUIRED"), ..Default::default() };
    assert_eq!(filled.store.discard_dead_letters(&required, "ops", now).await.unwrap(), 1);
    let rows = filled.store.search_sync_log(&LogFilter::default(), &page(9, None)).await.unwrap().items;
    assert_eq!(rows[0].operation, Operation::Skip);
    assert!(rows[0].error.as_deref().unwrap().starts_with("discarded by ops"));

    let figures = filled.store.queue_figures(now).await.unwrap().remove(0);
    assert_eq!((figures.ready, figures.held, figures.dead), (1, 1, 0));
    assert_eq!((figures.oldest, figures.held_codes), (Some(now), vec![("match".to_owned(), 1)]));
    assert_eq!(figures.oldest_retry, None);
    filled.run("UPDATE jobs SET waiting_since = 42 WHERE lead_id = 'cl_1'").await;
    let figures = filled.store.queue_figures(now).await.unwrap().remove(0);
    assert_eq!(figures.oldest_retry, Some(Timestamp::from_micros(42)));
}

#[tokio::test]
async fn what_was_refused_by_the_crms_fault_is_owed_again_and_nothing_else() {
    let filled = filled(DEAD).await;
    filled.run("UPDATE jobs SET refusal = '{\"fingerprint\":\"f\",\"code\":\"X\",\"at\":10,\"tries\":0}'").await;
    let pardoned = |code: &str, since| Pardoned {
        destination: "crm".into(),
        code: code.to_owned(),
        since: Timestamp::from_micros(since),
        due_at: Timestamp::from_micros(99),
    };
    assert_eq!(filled.store.owe_refused_again(&pardoned("TOO_LONG", 11)).await.unwrap(), 0, "it died before that");
    assert_eq!(filled.store.owe_refused_again(&pardoned("match", 1)).await.unwrap(), 0, "it waits for a person");
    assert_eq!(filled.store.owe_refused_again(&pardoned("TOO_LONG", 10)).await.unwrap(), 1);
    let left = filled.store.list_dead_letters(&DeadLetterFilter::default(), &page(9, None)).await.unwrap();
    assert_eq!(left.items.iter().map(|letter| letter.code.as_str()).collect::<Vec<_>>(), ["REQUIRED"]);
    assert_eq!(filled.store.next_due(&"crm".into()).await.unwrap(), Some(Timestamp::from_micros(99)));
    assert_eq!(
        filled.number("SELECT forced FROM jobs WHERE lead_id = 'cl_1'").await,
        1,
        "it is sent, not known as refused"
    );
    let figures = filled.store.queue_figures(Timestamp::from_micros(99)).await.unwrap().remove(0);
    assert_eq!((figures.retrying, figures.dead, figures.oldest_retry), (1, 1, Some(Timestamp::from_micros(10))));
}

#[tokio::test]
async fn pruning_keeps_what_a_job_has_to_fold_the_newest_folded_event_and_a_links_last_success() {
    let filled = filled(LOG_ROWS).await;
    filled
        .run(
            "INSERT INTO events (id, source, lead_id, kind, state, content_hash, received_at, request_id, size) VALUES
                (1, 'klozeo', 'cl_1', 'upsert', 'folded', x'00', 1, 'r', 1), (2, 'klozeo', 'cl_1', 'upsert', 'folded', x'00', 2, 'r', 1),
                (3, 'klozeo', 'cl_9', 'upsert', 'stored', x'00', 3, 'r', 1), (4, 'klozeo', NULL, 'other', 'quarantined', x'00', 4, 'r', 1),
                (5, 'klozeo', 'cl_1', 'other', 'ignored', x'00', 9999, 'r', 1),
                (6, 'klozeo', 'cl_8', 'upsert', 'stored', x'00', 4, 'r', 1);
             INSERT INTO jobs (destination, source, lead_id, state, lane, class, due_at, attempt, wanted, owed_since, suspicion, forced)
             VALUES ('crm', 'klozeo', 'cl_9', 'owed', 0, 0, 1, 0, 1, 1, 0, 0);
             INSERT INTO bodies (event_id, headers, body) SELECT id, '[]', x'7b7d' FROM events;
             INSERT INTO links (destination, source, lead_id, object, record_id, matched_by, owner, bases, kept, fingerprint,
                                revision, linked_at)
             VALUES ('crm', 'klozeo', 'cl_1', 'Lead', '00Q1', 'email', 1, '{}', '{}', 'f', 1, 1);",
        )
        .await;
    let mut steps = 0;
    while filled.store.prune(Timestamp::from_micros(5000)).await.unwrap() {
        steps += 1;
        assert!(steps < 50, "pruning does not end");
    }
    let kept = |sql: &'static str| {
        let readers = filled.store.readers.clone();
        async move { sqlx::query_scalar::<_, i64>(sql).fetch_all(&readers).await.unwrap() }
    };
    assert_eq!(kept("SELECT id FROM events ORDER BY id").await, [2, 3, 5]);
    assert_eq!(kept("SELECT event_id FROM bodies ORDER BY event_id").await, [2, 3, 5]);
    assert_eq!(kept("SELECT id FROM sync_log ORDER BY id").await, [1]);
}

#[tokio::test]
async fn a_lead_shows_its_links_its_jobs_and_its_past_newest_first() {
    let filled = filled(LOG_ROWS).await;
    filled.run(DEAD).await;
    filled.run(CONFLICT).await;
    let key = LeadKey::new("klozeo", "cl_1");
    let entry = AuditEntry {
        at: Timestamp::from_micros(250),
        by: "ops".to_owned(),
        action: "sync".to_owned(),
        target: "lead klozeo/cl_1".to_owned(),
        lead: Some(key.clone()),
        detail: None,
    };
    filled.store.record_audit(&entry).await.unwrap();
    let view = filled.store.load_lead(&key).await.unwrap().unwrap();
    assert_eq!((view.jobs[0].state, view.conflicts.len()), ("dead", 1));
    let past: Vec<&str> = view
        .timeline
        .iter()
        .map(|entry| match entry {
            TimelineEntry::Event(_) => "event",
            TimelineEntry::Operation(row) => row.operation.as_str(),
            TimelineEntry::Person(row) => &row.entry.action,
        })
        .collect();
    assert_eq!(past, ["update", "sync", "create"]);
    assert!(filled.store.load_lead(&LeadKey::new("klozeo", "unknown")).await.unwrap().is_none());
}

#[tokio::test]
async fn leads_are_found_by_the_beginning_of_id_address_or_name() {
    let filled = filled(LOG_ROWS).await;
    for (q, expected) in [("cl_", 2), ("ADA", 1), ("bob@", 1), ("love", 0), ("", 2)] {
        let filter = LeadFilter { q: text(q), ..Default::default() };
        let found = filled.store.list_leads(&filter, &page(9, None)).await.unwrap().items;
        assert_eq!(found.len(), expected, "{q}");
    }
    let scope = |sources: &[&str]| ResyncScope {
        destination: "crm".into(),
        sources: sources.iter().map(|source| (*source).into()).collect(),
    };
    assert_eq!(filled.store.count_leads(&scope(&["klozeo"])).await.unwrap(), 1);
    assert_eq!(filled.store.count_leads(&scope(&[])).await.unwrap(), 0);
    let scope = scope(&["klozeo", "other"]);
    assert_eq!(filled.store.count_leads(&scope).await.unwrap(), 2);
    let keys = filled.store.leads_after(&scope, Some(&LeadKey::new("klozeo", "cl_1")), 9).await.unwrap();
    assert_eq!(keys, [LeadKey::new("other", "cl_1")]);
}

#[tokio::test]
async fn a_backup_is_complete_and_never_takes_the_place_of_a_file() {
    let filled = filled(LOG_ROWS).await;
    let to = filled.folder.path().join("copy.db");
    filled.store.backup(&to).await.unwrap();
    assert!(matches!(filled.store.backup(&to).await, Err(StoreError::FileExists(_))));
    let copy = SqliteStore::open(&to, Options::default()).await.unwrap();
    let rows = copy.search_sync_log(&LogFilter::default(), &page(9, None)).await.unwrap().items;
    assert_eq!(rows.iter().map(|row| row.id).collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 3, 4]));
}

#[tokio::test]
async fn a_row_that_does_not_fit_is_named() {
    let filled = filled(LOG_ROWS).await;
    filled.run("UPDATE sync_log SET operation = 'nonsense' WHERE id = 2").await;
    let failed = filled.store.load_log_row(2).await;
    assert!(matches!(failed, Err(StoreError::Corrupt { table: "sync_log", column: "operation", .. })), "{failed:?}");
    assert!(filled.store.load_event(EventId(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_row_far_away_in_the_log_is_found_by_walking_in_pieces() {
    let filled = filled(LOG_ROWS).await;
    filled.run("UPDATE sync_log SET id = 500000, at = 250 WHERE id = 4").await;
    let operation = LogFilter { operation: Some(Operation::Create), ..Default::default() };
    assert_eq!(filled.found(&operation).await, [1]);
    let early = LogFilter { to: Some(Timestamp::from_micros(100)), ..Default::default() };
    assert_eq!(filled.found(&early).await, [1]);
}

#[tokio::test]
async fn events_are_found_by_every_filter_and_read_with_their_body() {
    let filled = filled(
        "INSERT INTO events (id, source, lead_id, kind, state, content_hash, received_at, request_id, size) VALUES
            (1, 'a', 'l1', 'upsert', 'folded', x'00', 10, 'r', 2), (2, 'b', 'l1', 'upsert', 'stored', x'00', 20, 'r', 2),
            (3, 'b', NULL, 'other', 'quarantined', x'00', 30, 'r', 2);
         INSERT INTO bodies (event_id, headers, body) VALUES (2, '[[\"x-a\",\"1\"]]', x'7b7d');
         INSERT INTO source_counts (source, hour, state, n) VALUES ('b', 0, 'stored', 1), ('b', 0, 'duplicate', 5),
            ('b', 0, 'quarantined', 1);",
    )
    .await;
    let none = EventFilter::default;
    let filters = [
        (none(), vec![3, 2, 1]),
        (EventFilter { source: text("b"), ..none() }, vec![3, 2]),
        (EventFilter { lead_id: text("l1"), ..none() }, vec![2, 1]),
        (EventFilter { lead_id: text("l1"), source: text("a"), ..none() }, vec![1]),
        (EventFilter { state: Some(EventState::Quarantined), ..none() }, vec![3]),
        (EventFilter { from: Some(Timestamp::from_micros(20)), ..none() }, vec![3, 2]),
        (EventFilter { to: Some(Timestamp::from_micros(20)), ..none() }, vec![2, 1]),
    ];
    for (filter, expected) in filters {
        let found = filled.store.list_events(&filter, &page(9, None)).await.unwrap().items;
        assert_eq!(found.iter().map(|event| event.id.0).collect::<Vec<_>>(), expected, "{filter:?}");
    }
    let event = filled.store.load_event(EventId(2)).await.unwrap().unwrap();
    assert_eq!((&event.body[..], event.headers), (&b"{}"[..], vec![("x-a".to_owned(), "1".to_owned())]));

    let figures = filled.store.source_figures(&"b".into(), Timestamp::from_micros(5)).await.unwrap();
    assert_eq!((figures.accepted, figures.quarantined, figures.ignored), (1, 1, 0));
    assert_eq!(figures.last_received, Some(Timestamp::from_micros(30)));
    let standing = filled.store.standing_figures().await.unwrap();
    assert_eq!(standing.quarantined, [("b".into(), 1)]);
}

#[tokio::test]
async fn failures_are_grouped_and_open_conflicts_and_sharers_counted() {
    let filled = filled(LOG_ROWS).await;
    filled.run(CONFLICT).await;
    filled
        .run(
            "INSERT INTO links (destination, source, lead_id, object, record_id, matched_by, owner, bases, kept, fingerprint,
                                revision, linked_at)
             VALUES ('crm', 'klozeo', 'cl_1', 'Lead', '00Q1', 'email', 1, '{}', '{}', 'f', 1, 1),
                    ('crm', 'klozeo', 'cl_2', 'Lead', '00Q1', 'email', 0, '{}', '{}', 'f', 1, 1);
             INSERT INTO outcome_counts (minute, destination, operation, outcome, n) VALUES
                (0, 'crm', 'create', 'ok', 2), (60000000, 'crm', 'create', 'ok', 3);",
        )
        .await;
    let groups = filled.store.group_errors(Timestamp::from_micros(201)).await.unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!((groups[0].code.as_str(), groups[0].count, groups[0].leads), ("UNABLE_TO_LOCK_ROW", 1, 1));
    assert_eq!(filled.store.group_errors(Timestamp::from_micros(0)).await.unwrap().len(), 2);
    let standing = filled.store.standing_figures().await.unwrap();
    assert_eq!(standing.shared_records, [("crm".into(), 1)]);
    assert_eq!(standing.open_conflicts, [("crm".into(), crate::domain::plan::ConflictKind::Field, 1)]);
    let counts = filled.store.count_outcomes(Timestamp::from_micros(61_000_000)).await.unwrap();
    assert_eq!((counts.len(), counts[0].count), (1, 3));
}

#[tokio::test]
async fn runs_and_pauses_come_back_as_they_went_in() {
    let filled = filled("").await;
    let now = Timestamp::from_micros(7);
    let run = NewRun { kind: "resync", by: "ops".to_owned(), started_at: now, scope: "{}".to_owned(), total: 12 };
    let id = filled.store.create_run(&run).await.unwrap();
    let position = Some(LeadKey::new("a/b", "c\"d"));
    let progress = RunProgress { done: 5, position: position.clone(), state: "running", detail: None, now };
    filled.store.update_run(id, &progress).await.unwrap();
    let read = filled.store.load_run(id).await.unwrap().unwrap();
    assert_eq!((read.done, read.total, read.position, read.state.as_str()), (5, 12, position, "running"));
    assert_eq!(filled.store.list_runs(&page(1, None)).await.unwrap().items[0].id, id);

    let pause = Pause { destination: "crm".into(), by: "ops".to_owned(), note: None, since: now, until: Some(now) };
    filled.store.pause(&pause).await.unwrap();
    assert_eq!(filled.store.load_pauses().await.unwrap(), [pause]);
    assert!(filled.store.resume(&"crm".into()).await.unwrap());
    assert!(!filled.store.resume(&"crm".into()).await.unwrap());
}

#[tokio::test]
async fn figures_and_dead_letters_are_read_from_partial_indexes_without_sorting() {
    let filled = filled("").await;
    for (sql, index) in [
        ("EXPLAIN QUERY PLAN SELECT min(owed_since) FROM jobs WHERE destination = 'crm' AND state = 'owed'", "jobs_oldest"),
        (
            "EXPLAIN QUERY PLAN SELECT id FROM sync_log
              WHERE outcome = ? AND outcome <> 'ok' AND id >= ? AND +at >= ? AND +error_code IS NOT NULL ORDER BY id DESC",
            "sync_log_outcome (outcome=? AND id>?)",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT destination, code FROM jobs WHERE state = 'dead' AND state <> 'owed' AND +source = ?
              ORDER BY ended_at DESC, destination DESC, source DESC, lead_id DESC",
            "jobs_ended (state=?)",
        ),
    ] {
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(sql).fetch_all(&filled.store.readers).await.unwrap();
        let plan = plan.into_iter().map(|step| step.3).collect::<Vec<_>>().join("; ");
        assert!(plan.contains(index) && !plan.contains("B-TREE"), "{plan}");
    }
}
