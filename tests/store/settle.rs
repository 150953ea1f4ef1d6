//! What came of attempts.

use leadrelay::store::*;

use crate::fixture::*;

on_both_stores! {
    the_job_goes_when_both_agree_and_the_log_stays,
    an_event_that_came_during_the_attempt_is_owed_again_at_once,
    a_stale_token_changes_nothing_but_the_log,
    what_an_earlier_try_may_have_recorded_is_recorded_once,
    one_conflict_is_open_per_question_and_its_revision_moves_with_what_it_says,
    one_bad_row_fails_alone_and_is_tried_later,
    a_write_whose_settlement_the_database_refused_is_open_for_a_while_and_logged,
    a_write_that_may_have_landed_is_known_until_an_attempt_looks,
    a_lead_stays_suspect_until_an_attempt_got_past_its_write,
}

async fn the_job_goes_when_both_agree_and_the_log_stays(fixture: Fixture) {
    let (token, job) = fixture.claimed("ada", 10).await;
    let done = Settlement { link: put("r1", true), ..settlement(token, &job, 11) };
    assert_eq!(fixture.settle(done).await, Settled::Recorded { again: false });
    assert_eq!(fixture.count("SELECT count(*) FROM jobs").await, 0);
    assert_eq!(fixture.count("SELECT sum(n) FROM outcome_counts").await, 1);
    let queue = fixture.store.queue_figures(secs(11)).await.unwrap().remove(0);
    assert_eq!((queue.ready, queue.leased, queue.retrying, queue.oldest), (0, 0, 0, None));
    let fixture = fixture.reopen().await;
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    assert_eq!(work[0].link.as_ref().map(|link| (link.record.clone(), link.revision)), Some((record("r1"), 1)));
}

async fn an_event_that_came_during_the_attempt_is_owed_again_at_once(fixture: Fixture) {
    let (token, job) = fixture.claimed("ada", 10).await;
    fixture.accept(NewEvent { received_at: secs(12), ..event("ada", "new") }).await;
    assert!(fixture.claim(12).await.is_empty(), "two workers on one lead");
    let again = fixture.settle(settlement(token, &job, 13)).await;
    assert_eq!(again, Settled::Recorded { again: true });
    let jobs = fixture.claim(13).await;
    assert_eq!((jobs[0].attempt, jobs[0].wanted), (1, 2));
}

async fn a_stale_token_changes_nothing_but_the_log(fixture: Fixture) {
    let (old, job) = fixture.claimed("ada", 10).await;
    let second = claim(100);
    let later = fixture.store.claim_jobs(&second).await.unwrap();
    let late = Settlement { link: put("r1", true), questions: vec![question("?")], ..settlement(old, &job, 101) };
    assert_eq!(fixture.settle(late.clone()).await, Settled::LeaseLost);
    for table in ["SELECT count(*) FROM links", "SELECT count(*) FROM conflicts"] {
        assert_eq!(fixture.count(table).await, 0, "{table}");
    }
    assert_eq!(fixture.count("SELECT count(*) FROM sync_log").await, 1);
    assert_eq!(fixture.count("SELECT wanted FROM jobs").await, 1);
    assert_eq!(fixture.settle(Settlement { wrote: true, ..late }).await, Settled::LeaseLost);
    let settled = fixture.settle(settlement(second.token, &later[0], 102)).await;
    assert_eq!(settled, Settled::Recorded { again: true }, "a write under a lost lease has to be read once more");
}

async fn what_an_earlier_try_may_have_recorded_is_recorded_once(fixture: Fixture) {
    let (token, job) = fixture.claimed("ada", 10).await;
    let done = Settlement { link: put("r1", true), wrote: true, ..settlement(token, &job, 11) };
    let again = Settlement { again: true, ..done.clone() };
    assert_eq!(fixture.settle(again.clone()).await, Settled::Recorded { again: false }, "it was not recorded");
    assert_eq!(fixture.settle(again).await, Settled::LeaseLost);
    let (other, bob) = fixture.claimed("bob", 20).await;
    let end = retry(secs(99), true);
    let retried = Settlement { end, wrote: true, ..settlement(other, &bob, 21) };
    fixture.settle(retried.clone()).await;
    let both = vec![Settlement { again: true, ..retried }, Settlement { again: true, ..done }];
    fixture.store.settle(both).await.into_iter().for_each(|settled| assert_eq!(settled.unwrap(), Settled::LeaseLost));
    assert_eq!(fixture.count("SELECT count(*) FROM sync_log").await, 2);
    assert_eq!(fixture.count("SELECT count(*) FROM jobs").await, 1, "what is agreed is owed again");
    assert!(fixture.claim(98).await.is_empty(), "a back-off was shortened");
    let job = fixture.store.load_lead(&key("bob")).await.unwrap().unwrap().jobs.remove(0);
    assert_eq!((job.state, job.code.as_deref(), job.detail.as_deref()), ("retrying", Some("503"), Some("busy")));
}

async fn one_conflict_is_open_per_question_and_its_revision_moves_with_what_it_says(fixture: Fixture) {
    for (second, detail, revision) in [(10, "a", 1), (20, "a", 1), (30, "b", 2)] {
        let (token, job) = fixture.claimed("ada", second).await;
        let asked = Settlement { questions: vec![question(detail)], ..settlement(token, &job, second + 1) };
        fixture.settle(asked).await;
        let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
        let open: Vec<_> = work[0].open_conflicts.iter().map(|conflict| conflict.revision).collect();
        assert_eq!(open, [revision]);
    }
    let seen = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap().remove(0).open_conflicts.remove(0);
    for (second, revision, left) in [(40, seen.revision - 1, 1), (50, seen.revision, 0)] {
        let (token, job) = fixture.claimed("ada", second).await;
        let moot = vec![OpenConflict { revision, ..seen.clone() }];
        fixture.settle(Settlement { moot, ..settlement(token, &job, second + 1) }).await;
        assert_eq!(fixture.count("SELECT count(*) FROM conflicts WHERE state = 'open'").await, left);
    }
}

async fn one_bad_row_fails_alone_and_is_tried_later(fixture: Fixture) {
    let events = ["ada", "bad", "cy"].map(|lead| event(lead, "{}")).to_vec();
    fixture.store.accept_events(events).await.unwrap();
    fixture.refuse("sync_log", "new.lead_id = 'bad'").await;
    let claim = claim(10);
    let jobs = fixture.store.claim_jobs(&claim).await.unwrap();
    let settlements = jobs.iter().map(|job| settlement(claim.token, job, 11)).collect();
    let settled: Vec<_> = fixture.store.settle(settlements).await.into_iter().map(Result::unwrap).collect();
    let recorded = Settled::Recorded { again: false };
    assert_eq!(settled, [recorded, Settled::Failed, recorded]);
    assert!(fixture.claim(310).await.is_empty());
    assert_eq!(fixture.claim(311).await[0].lead, key("bad"));
}

async fn a_write_whose_settlement_the_database_refused_is_open_for_a_while_and_logged(fixture: Fixture) {
    // Whether the database refuses something of the settlement, or any log row of this lead.
    for (second, lead, refused, logged) in [(10, "bad", "new.outcome <> 'unknown'", 1), (2000, "worse", "true", 0)] {
        fixture.accept(event(lead, "{}")).await;
        fixture.refuse("sync_log", refused).await;
        let first = claim(second);
        let jobs = fixture.store.claim_jobs(&first).await.unwrap();
        let job = jobs.iter().find(|job| job.lead == key(lead)).unwrap();
        fixture.store.announce(&announcement(first.token, lead, second)).await.unwrap();
        assert_eq!(fixture.settle(settlement(first.token, job, second + 1)).await, Settled::Failed);
        let open = fixture.store.find_open_creates(&crm(), &[], secs(second)).await.unwrap();
        assert_eq!(open.iter().map(|create| &create.lead).collect::<Vec<_>>(), [&key(lead)]);
        let unknown = format!(
            "SELECT count(*) FROM sync_log
              WHERE lead_id = '{lead}' AND outcome = 'unknown' AND error_code = 'not_recorded' AND request_id = 'req-9'"
        );
        assert_eq!(fixture.count(&unknown).await, logged);
        fixture.refuse_no_more("sync_log").await;
        let again = claim(second + 301);
        let jobs = fixture.store.claim_jobs(&again).await.unwrap();
        assert!(jobs.iter().any(|job| job.lead == key(lead)));
        assert_eq!(fixture.store.close_late_intents(secs(second + 901)).await.unwrap(), 1);
        assert!(fixture.store.find_open_creates(&crm(), &[], secs(second)).await.unwrap().is_empty());
    }
}

async fn a_write_that_may_have_landed_is_known_until_an_attempt_looks(fixture: Fixture) {
    let (token, job) = fixture.claimed("ada", 10).await;
    let intent = fixture.store.announce(&announcement(token, "ada", 10)).await.unwrap()[0].unwrap().intent;
    let intents = vec![(intent, IntentEnd::OpenUntil(secs(911)))];
    fixture.settle(Settlement { intents, ..settlement(token, &job, 12) }).await;
    fixture.store.close_late_intents(secs(911)).await.unwrap();
    for (second, looked, left) in [(920, false, 1), (930, true, 0)] {
        let (token, job) = fixture.claimed("ada", second).await;
        fixture.settle(Settlement { looked, ..settlement(token, &job, second + 1) }).await;
        assert_eq!(fixture.count("SELECT count(*) FROM intents").await, left, "looked: {looked}");
    }
}

async fn a_lead_stays_suspect_until_an_attempt_got_past_its_write(fixture: Fixture) {
    let (token, _) = fixture.claimed("ada", 10).await;
    fixture.store.announce(&announcement(token, "ada", 10)).await.unwrap();
    fixture.store.recover_leases(LeasesOf::DeadProcess, secs(20)).await.unwrap();
    for (second, wrote, left) in [(30, false, 1), (40, true, 0)] {
        let claim = claim(second);
        let jobs = fixture.store.claim_jobs(&claim).await.unwrap();
        assert_eq!(jobs[0].suspicion, 1);
        let end = retry(secs(second), true);
        fixture.settle(Settlement { end, wrote, ..settlement(claim.token, &jobs[0], second) }).await;
        assert_eq!(fixture.count("SELECT suspicion FROM jobs").await, left, "wrote: {wrote}");
    }
}
