//! Questions to people, and dead letters.

use leadrelay::domain::ids::LeadKey;
use leadrelay::domain::plan::{Choice, ConflictKind, Question};
use leadrelay::store::*;

use crate::fixture::*;
use crate::people::audited;
use crate::rows::*;

on_both_stores! {
    a_resolution_closes_the_conflict_and_makes_the_job_due_together,
    an_answer_that_tells_people_apart_owes_the_deleted_owner_of_the_record_too,
    dead_letters_are_retried_and_discarded_by_filter_and_nothing_else_is_touched,
    what_was_refused_by_the_crms_fault_is_owed_again_and_nothing_else,
}

fn answer(revision: i64, choice: Choice) -> Answer {
    Answer { conflict: 1, revision: Some(revision), choice, note: None, by: "ops".to_owned(), now: micros(50) }
}

async fn a_resolution_closes_the_conflict_and_makes_the_job_due_together(fixture: Fixture) {
    fixture.execute(CONFLICT).await;
    let stale = fixture.store.resolve_conflict(&answer(2, Choice::Lead)).await.unwrap();
    assert!(matches!(stale, Answered::Changed(_)), "{stale:?}");
    let wrong = fixture.store.resolve_conflict(&answer(3, Choice::Create)).await.unwrap();
    assert!(matches!(wrong, Answered::WrongChoice(_)), "{wrong:?}");
    assert_eq!(fixture.count("SELECT count(*) FROM jobs").await, 0);

    let done = fixture.store.resolve_conflict(&answer(3, Choice::Value("1".to_owned()))).await.unwrap();
    let Answered::Done(conflict) = done else { panic!("{done:?}") };
    assert_eq!(conflict.revision, 4);
    assert!(matches!(conflict.state, ConflictState::Resolved { choice: Choice::Value(_), .. }));
    let due = "SELECT count(*) FROM jobs WHERE state = 'owed' AND due_at = us(50) AND class = 0 AND forced";
    assert_eq!(fixture.count(due).await, 1);
    let again = fixture.store.resolve_conflict(&answer(4, Choice::Lead)).await.unwrap();
    assert!(matches!(again, Answered::Changed(_)), "{again:?}");
    assert_eq!(audited(&fixture).await, ["ops: conflict.resolve conflict 1 choose value"]);
}

async fn an_answer_that_tells_people_apart_owes_the_deleted_owner_of_the_record_too(fixture: Fixture) {
    for (lead, owner, second) in [("ada", true, 10), ("bob", false, 20)] {
        let (token, job) = fixture.claimed(lead, second).await;
        fixture.store.save_leads(&[folded(&fixture.work(lead).await)]).await.unwrap();
        let about = Some(record("r1"));
        let asked = Question { kind: ConflictKind::SharedRecord, field: None, record: about, ..question("another?") };
        let questions = if owner { Vec::new() } else { vec![asked] };
        fixture.settle(Settlement { link: put("r1", owner), questions, ..settlement(token, &job, second + 1) }).await;
    }
    for (choice, deleted, owed) in [
        (Choice::Crm, false, vec!["bob"]),
        (Choice::Lead, true, vec!["bob"]),
        (Choice::Crm, true, vec!["ada", "bob"]),
        (Choice::Create, true, vec!["ada", "bob"]),
    ] {
        fixture.execute("UPDATE conflicts SET state = 'open', answer = NULL, revision = 1").await;
        fixture.execute("DELETE FROM jobs").await;
        fixture.execute(&format!("UPDATE leads SET deleted = {deleted} WHERE lead_id = 'ada'")).await;
        fixture.store.resolve_conflict(&answer(1, choice.clone())).await.unwrap();
        let mut jobs: Vec<String> = fixture.claim(90).await.iter().map(|job| job.lead.id.as_str().to_owned()).collect();
        jobs.sort();
        assert_eq!(jobs, owed, "{choice:?} {deleted}");
    }
}

async fn dead_letters_are_retried_and_discarded_by_filter_and_nothing_else_is_touched(fixture: Fixture) {
    insert_dead(&fixture).await;
    let listed = fixture.store.list_dead_letters(&DeadLetterFilter::default(), &page(1, None)).await.unwrap();
    assert_eq!(listed.items[0].lead, LeadKey::new("klozeo", "cl_2"));
    let rest = fixture.store.list_dead_letters(&DeadLetterFilter::default(), &page(1, listed.next)).await.unwrap();
    assert_eq!((rest.items[0].code.as_str(), rest.next), ("TOO_LONG", None));

    let now = micros(99);
    let one = DeadLetterFilter { leads: vec![LeadKey::new("klozeo", "cl_1")], ..Default::default() };
    assert_eq!(fixture.store.retry_dead_letters(&one, now).await.unwrap(), 1);
    let required = DeadLetterFilter { code: text("REQUIRED"), ..Default::default() };
    assert_eq!(fixture.store.discard_dead_letters(&required, "ops", now).await.unwrap(), 1);
    let rows = fixture.store.search_sync_log(&LogFilter::default(), &page(9, None)).await.unwrap().items;
    assert_eq!(rows[0].operation, Operation::Skip);
    assert!(rows[0].error.as_deref().unwrap().starts_with("discarded by ops"));

    let figures = fixture.store.queue_figures(now).await.unwrap().remove(0);
    assert_eq!((figures.ready, figures.held, figures.dead), (1, 1, 0));
    assert_eq!((figures.oldest, figures.held_codes), (Some(now), vec![("match".to_owned(), 1)]));
    assert_eq!(figures.oldest_retry, None);
    fixture.execute("UPDATE jobs SET waiting_since = us(42) WHERE lead_id = 'cl_1'").await;
    let figures = fixture.store.queue_figures(now).await.unwrap().remove(0);
    assert_eq!(figures.oldest_retry, Some(micros(42)));
}

async fn what_was_refused_by_the_crms_fault_is_owed_again_and_nothing_else(fixture: Fixture) {
    insert_dead(&fixture).await;
    fixture.execute("UPDATE jobs SET refusal = '{\"fingerprint\":\"f\",\"code\":\"X\",\"at\":10,\"tries\":0}'").await;
    let pardoned = |code: &str, since| Pardoned {
        destination: "crm".into(),
        code: code.to_owned(),
        since: micros(since),
        due_at: micros(99),
    };
    assert_eq!(fixture.store.owe_refused_again(&pardoned("TOO_LONG", 11)).await.unwrap(), 0, "it died before that");
    assert_eq!(fixture.store.owe_refused_again(&pardoned("match", 1)).await.unwrap(), 0, "it waits for a person");
    assert_eq!(fixture.store.owe_refused_again(&pardoned("TOO_LONG", 10)).await.unwrap(), 1);
    let left = fixture.store.list_dead_letters(&DeadLetterFilter::default(), &page(9, None)).await.unwrap();
    assert_eq!(left.items.iter().map(|letter| letter.code.as_str()).collect::<Vec<_>>(), ["REQUIRED"]);
    assert_eq!(fixture.store.next_due(&"crm".into()).await.unwrap(), Some(micros(99)));
    assert_eq!(
        fixture.count("SELECT count(*) FROM jobs WHERE lead_id = 'cl_1' AND forced").await,
        1,
        "it is sent, not known as refused"
    );
    let figures = fixture.store.queue_figures(micros(99)).await.unwrap().remove(0);
    assert_eq!((figures.retrying, figures.dead, figures.oldest_retry), (1, 1, Some(micros(10))));
}
