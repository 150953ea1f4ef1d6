use crate::domain::plan::{ConflictKind, Link, Question};
use crate::store::sqlite::fixtures::*;
use crate::store::*;

async fn claimed(fixture: &Fixture, lead: &str, at_second: i64) -> (LeaseToken, ClaimedJob) {
    fixture.accept(NewEvent { received_at: secs(at_second), ..event(lead, "{}") }).await;
    let claim = claim(at_second);
    let mut jobs = fixture.store.claim_jobs(&claim).await.unwrap();
    assert_eq!(jobs.len(), 1);
    (claim.token, jobs.remove(0))
}

async fn settle(fixture: &Fixture, settlement: Settlement) -> Settled {
    fixture.store.settle(vec![settlement]).await.remove(0).unwrap()
}

fn put(record: &str, owner: bool) -> LinkChange {
    LinkChange::Put { link: link(record, owner), planned_with: None }
}

fn question(detail: &str) -> Question {
    Question {
        kind: ConflictKind::Field,
        field: Some("Email".into()),
        record: None,
        base: None,
        lead: None,
        crm: None,
        candidates: Vec::new(),
        other: None,
        detail: detail.to_owned(),
    }
}

#[tokio::test]
async fn the_job_goes_when_both_agree_and_the_log_stays() {
    let fixture = Fixture::new().await;
    let (token, job) = claimed(&fixture, "ada", 10).await;
    let done = Settlement { link: put("r1", true), ..settlement(token, &job, 11) };
    assert_eq!(settle(&fixture, done).await, Settled::Recorded { again: false });
    assert_eq!(fixture.count("SELECT count(*) FROM jobs").await, 0);
    assert_eq!(fixture.count("SELECT n FROM outcome_counts").await, 1);
    assert_eq!(fixture.count("SELECT sum(n) FROM job_counts").await, 0);
    let fixture = fixture.reopen().await;
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    assert_eq!(work[0].link.as_ref().map(|link| (link.record.clone(), link.revision)), Some((record("r1"), 1)));
}

#[tokio::test]
async fn an_event_that_came_during_the_attempt_is_owed_again_at_once() {
    let fixture = Fixture::new().await;
    let (token, job) = claimed(&fixture, "ada", 10).await;
    fixture.accept(NewEvent { received_at: secs(12), ..event("ada", "new") }).await;
    assert!(fixture.claim(12).await.is_empty(), "two workers on one lead");
    let again = settle(&fixture, settlement(token, &job, 13)).await;
    assert_eq!(again, Settled::Recorded { again: true });
    let jobs = fixture.claim(13).await;
    assert_eq!((jobs[0].attempt, jobs[0].wanted), (1, 2));
}

#[tokio::test]
async fn a_stale_token_changes_nothing_but_the_log() {
    let fixture = Fixture::new().await;
    let (old, job) = claimed(&fixture, "ada", 10).await;
    let second = claim(100);
    let later = fixture.store.claim_jobs(&second).await.unwrap();
    let late = Settlement { link: put("r1", true), questions: vec![question("?")], ..settlement(old, &job, 101) };
    assert_eq!(settle(&fixture, late.clone()).await, Settled::LeaseLost);
    for table in ["SELECT count(*) FROM links", "SELECT count(*) FROM conflicts"] {
        assert_eq!(fixture.count(table).await, 0, "{table}");
    }
    assert_eq!(fixture.count("SELECT count(*) FROM sync_log").await, 1);
    assert_eq!(fixture.count("SELECT wanted FROM jobs").await, 1);
    assert_eq!(settle(&fixture, Settlement { wrote: true, ..late }).await, Settled::LeaseLost);
    let settled = settle(&fixture, settlement(second.token, &later[0], 102)).await;
    assert_eq!(settled, Settled::Recorded { again: true }, "a write under a lost lease has to be read once more");
}

#[tokio::test]
async fn a_record_has_one_owner_and_the_second_lead_is_planned_again() {
    let fixture = Fixture::new().await;
    let (token, job) = claimed(&fixture, "ada", 10).await;
    settle(&fixture, Settlement { link: put("r1", true), ..settlement(token, &job, 11) }).await;
    let (token, job) = claimed(&fixture, "bob", 20).await;
    let second = Settlement { link: put("r1", true), ..settlement(token, &job, 21) };
    assert_eq!(settle(&fixture, second).await, Settled::Recorded { again: true });
    assert_eq!(fixture.count("SELECT count(*) FROM links").await, 1);
    assert_eq!(fixture.claim(21).await[0].lead, key("bob"));
}

#[tokio::test]
async fn a_link_that_moved_meanwhile_stands() {
    let fixture = Fixture::new().await;
    let (token, job) = claimed(&fixture, "ada", 10).await;
    settle(&fixture, Settlement { link: put("r1", true), ..settlement(token, &job, 11) }).await;
    let (token, job) = claimed(&fixture, "ada", 20).await;
    fixture.execute("UPDATE links SET record_id = 'by-hand', revision = 2").await;
    let planned = LinkChange::Put { link: link("r1", true), planned_with: Some(1) };
    let late = Settlement { link: planned, ..settlement(token, &job, 21) };
    assert_eq!(settle(&fixture, late).await, Settled::Recorded { again: true });
    assert_eq!(fixture.count("SELECT count(*) FROM links WHERE record_id = 'by-hand'").await, 1);
}

#[tokio::test]
async fn a_released_record_goes_to_the_oldest_living_sharer() {
    let fixture = Fixture::new().await;
    for (lead, owner, second) in [("ada", true, 10), ("bob", false, 20), ("cy", false, 30)] {
        let (token, job) = claimed(&fixture, lead, second).await;
        let work = fixture.store.load_work(&crm(), &[key(lead)]).await.unwrap();
        let folded = FoldedLead {
            lead: crate::domain::lead::Lead::new(key(lead)),
            expected: None,
            events: work[0].unfolded.iter().map(|event| (event.id, EventState::Folded)).collect(),
            email: None,
            name: None,
        };
        fixture.store.save_leads(&[folded]).await.unwrap();
        settle(&fixture, Settlement { link: put("r1", owner), ..settlement(token, &job, second + 1) }).await;
    }
    fixture.execute("UPDATE leads SET deleted = 1 WHERE lead_id = 'bob'").await;
    let (token, job) = claimed(&fixture, "ada", 40).await;
    let release = LinkChange::Release { planned_with: 1 };
    settle(&fixture, Settlement { link: release, ..settlement(token, &job, 41) }).await;
    let work = fixture.store.load_work(&crm(), &[key("ada"), key("bob"), key("cy")]).await.unwrap();
    let owners: Vec<_> = work.iter().map(|work| work.link.as_ref().map(|link| link.owner)).collect();
    assert_eq!(owners, [None, Some(false), Some(true)]);
    assert_eq!(fixture.claim(41).await[0].lead, key("cy"), "the new owner has to be synced");
    assert_eq!(fixture.count("SELECT count(*) FROM sync_log WHERE error_code = 'became_owner'").await, 1);
}

#[tokio::test]
async fn a_record_that_a_deleted_lead_is_found_to_have_made_goes_to_its_sharer_too() {
    let fixture = Fixture::new().await;
    let (token, job) = claimed(&fixture, "bob", 10).await;
    settle(&fixture, Settlement { link: put("r1", false), ..settlement(token, &job, 11) }).await;
    fixture
        .execute(
            "INSERT INTO leads (source, lead_id, revision, document, deleted, updated_at)
             VALUES ('klozeo', 'ada', 1, '{}', 1, 1), ('klozeo', 'bob', 1, '{}', 0, 1)",
        )
        .await;
    let (token, job) = claimed(&fixture, "ada", 20).await;
    let found = LinkChange::PutAndRelease { link: link("r1", true), planned_with: None };
    let settled = settle(&fixture, Settlement { link: found, ..settlement(token, &job, 21) }).await;
    assert_eq!(settled, Settled::Recorded { again: false });
    let owner = fixture.store.find_owners(&crm(), &[record("r1")]).await.unwrap().remove(0);
    assert_eq!(owner, Some(RecordOwner { lead: key("bob"), deleted: false }));
    assert_eq!(fixture.claim(21).await[0].lead, key("bob"), "the new owner has to be synced");
}

#[tokio::test]
async fn a_deleted_lead_keeps_its_record_until_another_one_takes_it() {
    let fixture = Fixture::new().await;
    let owner_of =
        async |fixture: &Fixture| fixture.store.find_owners(&crm(), &[record("r1")]).await.unwrap().remove(0);
    let (token, job) = claimed(&fixture, "ada", 10).await;
    settle(&fixture, Settlement { link: put("r1", true), ..settlement(token, &job, 11) }).await;
    fixture
        .execute(
            "INSERT INTO leads (source, lead_id, revision, document, deleted, updated_at)
             VALUES ('klozeo', 'ada', 1, '{}', 0, 1)",
        )
        .await;
    let (token, job) = claimed(&fixture, "bob", 20).await;
    let refused = settle(&fixture, Settlement { link: put("r1", true), ..settlement(token, &job, 21) }).await;
    assert_eq!(refused, Settled::Recorded { again: true }, "ada lives");
    assert_eq!(owner_of(&fixture).await, Some(RecordOwner { lead: key("ada"), deleted: false }));

    fixture.execute("UPDATE leads SET deleted = 1").await;
    fixture.accept(NewEvent { received_at: secs(30), ..event("ada", "{}") }).await;
    let second = claim(30);
    let jobs = fixture.store.claim_jobs(&second).await.unwrap();
    let [bob, ada] = &jobs[..] else { panic!("{jobs:?}") };
    let release = LinkChange::Release { planned_with: 1 };
    settle(&fixture, Settlement { link: release, ..settlement(second.token, ada, 31) }).await;
    assert_eq!(owner_of(&fixture).await, Some(RecordOwner { lead: key("ada"), deleted: true }));
    let stale = LinkChange::Put { link: link("r1", true), planned_with: Some(7) };
    settle(&fixture, Settlement { link: stale, ..settlement(second.token, bob, 32) }).await;
    assert_eq!(owner_of(&fixture).await.map(|owner| owner.lead), Some(key("ada")), "bob was planned with another link");
    let third = claim(33);
    let jobs = fixture.store.claim_jobs(&third).await.unwrap();
    settle(&fixture, Settlement { link: put("r1", true), ..settlement(third.token, &jobs[0], 34) }).await;
    assert_eq!(owner_of(&fixture).await, Some(RecordOwner { lead: key("bob"), deleted: false }));
}

#[tokio::test]
async fn leads_with_rows_left_out_are_found_once_other_rules_hold() {
    let fixture = Fixture::new().await;
    for (lead, second, fields) in [("ada", 10, vec!["City"]), ("bob", 20, vec![])] {
        let left_out = fields.into_iter().map(|field| (field.into(), None)).collect();
        let (token, job) = claimed(&fixture, lead, second).await;
        let put = LinkChange::Put { link: Link { left_out, ..link(lead, true) }, planned_with: None };
        settle(&fixture, Settlement { link: put, ..settlement(token, &job, second + 1) }).await;
    }
    let found = async |fingerprint| fixture.store.leads_with_rows_left_out(&crm(), fingerprint).await.unwrap();
    assert_eq!(found("f1").await, []);
    assert_eq!(found("f2").await, [key("ada")]);
}

#[tokio::test]
async fn one_conflict_is_open_per_question_and_its_revision_moves_with_what_it_says() {
    let fixture = Fixture::new().await;
    for (second, detail, revision) in [(10, "a", 1), (20, "a", 1), (30, "b", 2)] {
        let (token, job) = claimed(&fixture, "ada", second).await;
        let asked = Settlement { questions: vec![question(detail)], ..settlement(token, &job, second + 1) };
        settle(&fixture, asked).await;
        let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
        let open: Vec<_> = work[0].open_conflicts.iter().map(|conflict| conflict.revision).collect();
        assert_eq!(open, [revision]);
    }
    let seen = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap().remove(0).open_conflicts.remove(0);
    for (second, revision, left) in [(40, seen.revision - 1, 1), (50, seen.revision, 0)] {
        let (token, job) = claimed(&fixture, "ada", second).await;
        let moot = vec![OpenConflict { revision, ..seen.clone() }];
        settle(&fixture, Settlement { moot, ..settlement(token, &job, second + 1) }).await;
        assert_eq!(fixture.count("SELECT count(*) FROM conflicts WHERE state = 'open'").await, left);
    }
}

#[tokio::test]
async fn one_bad_row_fails_alone_and_is_tried_later() {
    let fixture = Fixture::new().await;
    let events = ["ada", "bad", "cy"].map(|lead| event(lead, "{}")).to_vec();
    fixture.store.accept_events(events).await.unwrap();
    fixture
        .execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON sync_log WHEN new.lead_id = 'bad'
             BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        .await;
    let claim = claim(10);
    let jobs = fixture.store.claim_jobs(&claim).await.unwrap();
    let settlements = jobs.iter().map(|job| settlement(claim.token, job, 11)).collect();
    let settled: Vec<_> = fixture.store.settle(settlements).await.into_iter().map(Result::unwrap).collect();
    let recorded = Settled::Recorded { again: false };
    assert_eq!(settled, [recorded, Settled::Failed, recorded]);
    assert!(fixture.claim(310).await.is_empty());
    assert_eq!(fixture.claim(311).await[0].lead, key("bad"));
}

fn announcement(token: LeaseToken, lead: &str, at_second: i64) -> Announcement {
    Announcement {
        destination: crm(),
        token,
        now: secs(at_second),
        lease_ends_at: secs(at_second + 90),
        request_id: "r1".into(),
        writes: vec![AnnouncedWrite {
            lead: key(lead),
            object: "Lead".into(),
            record: None,
            rows: Default::default(),
            known: None,
            decisions: Vec::new(),
        }],
    }
}

#[tokio::test]
async fn a_write_whose_settlement_the_database_refused_is_open_for_a_while_and_logged() {
    // Whether the database refuses something of the settlement, or any log row of this lead.
    for (refusing, logged) in [("outcome <> 'unknown'", 1), ("1", 0)] {
        let fixture = Fixture::new().await;
        fixture.store.accept_events(vec![event("bad", "{}")]).await.unwrap();
        let trigger = format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON sync_log WHEN new.{refusing} BEGIN SELECT RAISE(ABORT, 'no'); END"
        );
        fixture.execute(Box::leak(trigger.replace("new.1", "1").into_boxed_str())).await;
        let claim = claim(10);
        let jobs = fixture.store.claim_jobs(&claim).await.unwrap();
        fixture.store.announce(&announcement(claim.token, "bad", 10)).await.unwrap();
        assert_eq!(settle(&fixture, settlement(claim.token, &jobs[0], 11)).await, Settled::Failed);
        let open = fixture.store.find_open_creates(&crm(), &[], secs(1)).await.unwrap();
        assert_eq!(open.iter().map(|create| &create.lead).collect::<Vec<_>>(), [&key("bad")]);
        let unknown = "SELECT count(*) FROM sync_log
                        WHERE outcome = 'unknown' AND error_code = 'not_recorded' AND request_id = 'r1'";
        assert_eq!(fixture.count(unknown).await, logged);
        fixture.execute("DROP TRIGGER refuse").await;
        assert_eq!(fixture.claim(311).await.len(), 1);
        assert_eq!(fixture.store.close_late_intents(secs(911)).await.unwrap(), 1);
        assert!(fixture.store.find_open_creates(&crm(), &[], secs(1)).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_write_that_may_have_landed_is_known_until_an_attempt_looks() {
    let fixture = Fixture::new().await;
    let (token, job) = claimed(&fixture, "ada", 10).await;
    let intent = fixture.store.announce(&announcement(token, "ada", 10)).await.unwrap()[0].unwrap().intent;
    let intents = vec![(intent, IntentEnd::OpenUntil(secs(911)))];
    settle(&fixture, Settlement { intents, ..settlement(token, &job, 12) }).await;
    fixture.store.close_late_intents(secs(911)).await.unwrap();
    for (second, looked, left) in [(920, false, 1), (930, true, 0)] {
        let (token, job) = claimed(&fixture, "ada", second).await;
        settle(&fixture, Settlement { looked, ..settlement(token, &job, second + 1) }).await;
        assert_eq!(fixture.count("SELECT count(*) FROM intents").await, left, "looked: {looked}");
    }
}

#[tokio::test]
async fn a_lead_stays_suspect_until_an_attempt_got_past_its_write() {
    let fixture = Fixture::new().await;
    let (token, _) = claimed(&fixture, "ada", 10).await;
    fixture.store.announce(&announcement(token, "ada", 10)).await.unwrap();
    fixture.store.recover_leases(LeasesOf::DeadProcess, secs(20)).await.unwrap();
    for (second, wrote, left) in [(30, false, 1), (40, true, 0)] {
        let claim = claim(second);
        let jobs = fixture.store.claim_jobs(&claim).await.unwrap();
        assert_eq!(jobs[0].suspicion, 1);
        let end = JobEnd::Retry { due_at: secs(second), error: "503".to_owned(), failed: true };
        settle(&fixture, Settlement { end, wrote, ..settlement(claim.token, &jobs[0], second) }).await;
        assert_eq!(fixture.count("SELECT suspicion FROM jobs").await, left, "wrote: {wrote}");
    }
}
