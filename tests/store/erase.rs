//! Erasing a lead.

use std::sync::Arc;
use std::time::Duration;

use leadrelay::domain::ids::LeadKey;
use leadrelay::domain::plan::{ConflictKind, Decision, Link, Question, Rule};
use leadrelay::domain::record::CrmValue;
use leadrelay::store::*;

use crate::fixture::*;

on_both_stores! {
    nothing_personal_of_an_erased_lead_is_left_and_what_was_done_is,
    an_event_of_an_erased_lead_is_kept_without_data_and_owes_nothing,
    the_record_of_an_erased_lead_goes_to_its_sharer_who_is_not_told_its_id,
    no_question_about_the_record_of_an_erased_lead_tells_a_name,
    whoever_may_be_an_erased_lead_is_to_replace_its_key_once_it_is,
    what_an_attempt_in_hand_knows_of_an_erased_lead_is_not_recorded,
    an_erased_lead_does_not_come_back_by_its_first_fold,
    a_first_fold_waits_for_an_erasure_under_way,
    a_copy_that_turns_out_to_be_of_an_erased_lead_is_emptied,
    an_erasure_is_heeded_at_once_by_every_store_on_the_database,
    unread_copies_go_with_their_lead_and_others_stay,
    what_was_deleted_for_an_erasure_is_in_the_log_before_and_after_it,
    a_lead_that_nobody_knows_is_not_erased,
    a_run_no_longer_says_that_it_looked_for_an_erased_lead,
    a_run_at_work_keeps_what_it_looks_for_until_it_ends,
}

const ADDRESS: &str = "ada.secret@lovelace.example";

fn erasure(lead: &str) -> Erasure {
    Erasure { lead: key(lead), now: secs(50) }
}

fn telling(lead: &str, at_second: i64) -> NewLogRow {
    let address = Some(CrmValue::Text(ADDRESS.to_owned()));
    let decision = Decision {
        field: "Email".into(),
        base: None,
        lead: address.clone(),
        crm: None,
        written: address,
        rule: Rule::Created,
        note: None,
    };
    NewLogRow {
        record: Some(record("r1")),
        error_code: Some("REFUSED".to_owned()),
        error: Some(format!("{ADDRESS} is refused")),
        decisions: vec![decision],
        request: Some(ADDRESS.to_owned()),
        response: Some(ADDRESS.to_owned()),
        ..log_row(&key(lead), at_second)
    }
}

/// A lead of which every table tells.
async fn told(fixture: &Fixture, lead: &str) {
    let body = format!(r#"{{"id":"{lead}","email":"{ADDRESS}"}}"#);
    fixture.accept(with_id(&format!("{ADDRESS}-1"), event(lead, &body))).await;
    let unread = NewEvent { lead: None, state: EventState::Quarantined, ..event(lead, &format!("{body} broken")) };
    fixture.accept(unread).await;
    let other = NewEvent { lead: None, state: EventState::Quarantined, ..event("bob", r#"{"id":"bob2"}"#) };
    fixture.accept(other).await;
    let claim = claim(11);
    let job = fixture.store.claim_jobs(&claim).await.unwrap().remove(0);
    let saved = FoldedLead { email: text(ADDRESS), name: text(ADDRESS), ..folded(&fixture.work(lead).await) };
    fixture.store.save_leads(&[saved]).await.unwrap();
    let mut announced = announcement(claim.token, lead, 12);
    announced.writes[0].decisions = telling(lead, 12).decisions;
    fixture.store.announce(&announced).await.unwrap();
    let asked = Question { lead: Some(CrmValue::Text(ADDRESS.to_owned())), ..question(ADDRESS) };
    let (code, detail) = ("REFUSED".to_owned(), ADDRESS.to_owned());
    let dead = JobEnd::Dead { code, detail, refusal: None, look_again_at: None };
    let log = vec![telling(lead, 13)];
    let settled = Settlement {
        end: dead,
        link: put("r1", true),
        questions: vec![asked],
        log,
        ..settlement(claim.token, &job, 13)
    };
    fixture.settle(settled).await;
    let entry = AuditEntry {
        at: secs(14),
        by: "ops".to_owned(),
        action: "lead.sync".to_owned(),
        target: format!("lead klozeo/{lead}"),
        lead: Some(key(lead)),
        detail: None,
    };
    fixture.store.record_audit(&entry).await.unwrap();
}

async fn nothing_personal_of_an_erased_lead_is_left_and_what_was_done_is(fixture: Fixture) {
    told(&fixture, "ada_1").await;
    let erased = fixture.store.erase_lead(&erasure("ada_1")).await.unwrap().unwrap();
    assert_eq!((erased.events, erased.log_rows), (2, 1), "the event and its unreadable copy");
    assert!(fixture.store.load_lead(&key("ada_1")).await.unwrap().is_none());
    for table in ["leads", "links", "jobs", "intents", "conflicts", "event_keys", "sync_log_bodies"] {
        assert_eq!(fixture.count(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    assert_eq!(fixture.count("SELECT count(*) FROM bodies").await, 1, "of another lead");
    let log = fixture.store.search_sync_log(&LogFilter::default(), &page(9, None)).await.unwrap().items.remove(0);
    assert_eq!((&log.lead, &log.error_code, &log.error), (&erased.known_as, &text("REFUSED"), &None));
    assert_eq!(log.record, Some(record("r1")), "what was done to which record is a fact");
    let audit = fixture.store.list_audit(&page(9, None)).await.unwrap().items.remove(0).entry;
    assert_eq!((audit.lead, audit.target), (Some(erased.known_as.clone()), format!("lead {}", erased.known_as)));
    let named = "SELECT (SELECT count(*) FROM audit WHERE target LIKE '%ada!_1%' ESCAPE '!')
                      + (SELECT count(*) FROM sync_log WHERE lead_id = 'ada_1')
                      + (SELECT count(*) FROM events WHERE lead_id = 'ada_1')";
    assert_eq!(fixture.count(named).await, 0);
    assert_eq!(fixture.store.erase_lead(&erasure("ada_1")).await.unwrap(), None, "again there is nothing to erase");
    if !fixture.is_postgres() {
        for end in ["", "-wal"] {
            let file = fixture.file();
            let bytes = std::fs::read(format!("{}{end}", file.display())).unwrap_or_default();
            let found = bytes.windows(ADDRESS.len()).any(|window| window == ADDRESS.as_bytes());
            assert!(!found, "the address is still in leadrelay.db{end}");
        }
    }
}

async fn an_event_of_an_erased_lead_is_kept_without_data_and_owes_nothing(fixture: Fixture) {
    told(&fixture, "ada_1").await;
    let erased = fixture.store.erase_lead(&erasure("ada_1")).await.unwrap().unwrap();
    let fixture = fixture.reopen().await;
    let late = with_id("later", event("ada_1", ADDRESS));
    let receipt = fixture.accept(NewEvent { received_at: secs(60), ..late }).await;
    assert!(receipt.erased && !receipt.duplicate, "{receipt:?}");
    let kept = fixture.store.list_events(&EventFilter::default(), &page(1, None)).await.unwrap().items.remove(0);
    assert_eq!((kept.state, kept.lead_id, kept.size), (EventState::Erased, Some(erased.known_as.id), 0));
    assert_eq!(fixture.claim(61).await, []);
    let reread = Reread {
        lead: Some("ada_1".into()),
        kind: EventKind::Upsert,
        event_type: None,
        state: EventState::Stored,
        reason: None,
    };
    let replayed = fixture.store.replay_event(kept.id, reread, &[crm()], secs(62)).await.unwrap();
    assert_eq!(replayed, None, "there is nothing to replay");
    let figures = fixture.store.source_figures(&"klozeo".into(), secs(0)).await.unwrap();
    assert_eq!(figures.ignored, 1, "it is counted");
    let other = fixture.accept(NewEvent { received_at: secs(63), ..event("ada_10", "{}") }).await;
    assert!(!other.erased);
}

async fn the_record_of_an_erased_lead_goes_to_its_sharer_who_is_not_told_its_id(fixture: Fixture) {
    told(&fixture, "ada_1").await;
    let (token, job) = fixture.claimed("bob", 20).await;
    fixture.store.save_leads(&[folded(&fixture.work("bob").await)]).await.unwrap();
    let shared = Question {
        kind: ConflictKind::SharedRecord,
        field: None,
        other: Some(key("ada_1")),
        record: Some(record("r1")),
        lead: Some(CrmValue::Text("Bob Byron".to_owned())),
        crm: Some(CrmValue::Text("Ada Lovelace".to_owned())),
        ..question("the record belongs to lead klozeo/ada_1 already")
    };
    let row = NewLogRow { error: text(&shared.detail), record: Some(record("r1")), ..log_row(&key("bob"), 21) };
    let settled =
        Settlement { link: put("r1", false), questions: vec![shared], log: vec![row], ..settlement(token, &job, 21) };
    fixture.settle(settled).await;
    let erased = fixture.store.erase_lead(&erasure("ada_1")).await.unwrap().unwrap();
    let owner = fixture.store.find_owners(&crm(), &[record("r1")]).await.unwrap().remove(0);
    assert_eq!(owner, Some(RecordOwner { lead: key("bob"), deleted: false, excluded: false }));
    let question =
        fixture.store.list_conflicts(&ConflictFilter::default(), &page(9, None)).await.unwrap().items.remove(0);
    assert_eq!(question.question.other, Some(erased.known_as));
    let bob = Some(CrmValue::Text("Bob Byron".to_owned()));
    assert_eq!((question.question.lead, question.question.crm), (bob, None), "whose record it was is not told");
    let named = "SELECT (SELECT count(*) FROM sync_log WHERE error LIKE '%ada!_1%' ESCAPE '!')
                      + (SELECT count(*) FROM conflicts WHERE cast(question AS text) LIKE '%ada!_1%' ESCAPE '!')";
    assert_eq!(fixture.count(named).await, 0);
}

/// Another lead in doubt on the record, of which a person was asked.
async fn in_doubt(fixture: &Fixture, lead: &str, second: i64) {
    let (token, job) = fixture.claimed(lead, second).await;
    fixture.store.save_leads(&[folded(&fixture.work(lead).await)]).await.unwrap();
    let asked = Question {
        kind: ConflictKind::SharedRecord,
        field: None,
        record: Some(record("r1")),
        lead: Some(CrmValue::Text("Bob Byron".to_owned())),
        crm: Some(CrmValue::Text("Ada Lovelace".to_owned())),
        ..question("it may be another person's")
    };
    let doubtful = Link { in_doubt: Some("r1".into()), ..link("r1", false) };
    let put = LinkChange::Put { link: doubtful, planned_with: None };
    fixture.settle(Settlement { link: put, questions: vec![asked], ..settlement(token, &job, second) }).await;
}

async fn no_question_about_the_record_of_an_erased_lead_tells_a_name(fixture: Fixture) {
    // It is asked while the owner is gone, whom the question does not name; the other lead's log is pruned.
    for (state, lead, second) in [("open", "bob", 20), ("resolved", "cy", 30), ("moot", "dee", 40)] {
        in_doubt(&fixture, lead, second).await;
        fixture.execute(&format!("UPDATE conflicts SET state = '{state}' WHERE lead_id = '{lead}'")).await;
    }
    told(&fixture, "ada_1").await;
    fixture.execute("DELETE FROM sync_log").await;
    fixture.store.erase_lead(&erasure("ada_1")).await.unwrap().unwrap();
    let told = |name: &str| format!("SELECT count(*) FROM conflicts WHERE cast(question AS text) LIKE '%{name}%'");
    assert_eq!((fixture.count(&told("Ada")).await, fixture.count(&told("Bob Byron")).await), (0, 3));
}

async fn whoever_may_be_an_erased_lead_is_to_replace_its_key_once_it_is(fixture: Fixture) {
    told(&fixture, "ada_1").await;
    in_doubt(&fixture, "bob", 20).await;
    let stands = async || {
        let link = fixture.work("bob").await.link.unwrap();
        (link.owner, link.in_doubt.is_some(), link.fingerprint.is_empty(), link.revision)
    };
    assert_eq!(stands().await, (false, true, false, 1));
    fixture.store.erase_lead(&erasure("ada_1")).await.unwrap().unwrap();
    assert_eq!(stands().await, (false, true, true, 2));
}

async fn what_an_attempt_in_hand_knows_of_an_erased_lead_is_not_recorded(fixture: Fixture) {
    told(&fixture, "ada_1").await;
    let (token, job) = fixture.claimed("ada_1", 20).await;
    let work = fixture.work("ada_1").await;
    fixture.store.erase_lead(&erasure("ada_1")).await.unwrap().unwrap();
    let saved = fixture.store.save_leads(&[folded(&work)]).await.unwrap();
    assert_eq!(saved, [false]);
    assert_eq!(fixture.store.announce(&announcement(token, "ada_1", 51)).await.unwrap(), [None]);
    let late = Settlement { wrote: true, log: vec![telling("ada_1", 51)], ..settlement(token, &job, 51) };
    assert_eq!(fixture.settle(late).await, Settled::LeaseLost);
    assert_eq!(fixture.count("SELECT count(*) FROM sync_log WHERE lead_id = 'ada_1'").await, 0);
    assert_eq!(fixture.count("SELECT count(*) FROM jobs").await, 0);
}

async fn an_erased_lead_does_not_come_back_by_its_first_fold(fixture: Fixture) {
    fixture.accept(event("ada_1", ADDRESS)).await;
    fixture.accept(event("bob", "{}")).await;
    let folds = [folded(&fixture.work("ada_1").await), folded(&fixture.work("bob").await)];
    assert_eq!(folds[0].expected, None);
    fixture.store.erase_lead(&erasure("ada_1")).await.unwrap().unwrap();
    assert_eq!(fixture.store.save_leads(&folds).await.unwrap(), [false, true]);
    assert_eq!(fixture.numbers("SELECT count(*) FROM leads GROUP BY lead_id").await, [1], "Bob alone");
    let work = fixture.work("ada_1").await;
    assert!(work.lead.is_none() && work.unfolded.is_empty(), "there is nothing to fold it from");
}

async fn a_first_fold_waits_for_an_erasure_under_way(fixture: Fixture) {
    fixture.accept(event("ada_1", ADDRESS)).await;
    fixture.accept(event("bob", "{}")).await;
    let folds = [folded(&fixture.work("ada_1").await), folded(&fixture.work("bob").await)];
    let held = fixture.hold("UPDATE events SET lead_id = 'erased-0', state = 'erased' WHERE lead_id = 'ada_1'").await;
    let store = Arc::clone(&fixture.store);
    let saving = tokio::spawn(async move { store.save_leads(&folds).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!saving.is_finished(), "it saved past an erasure that it could not see");
    held.commit().await;
    assert_eq!(saving.await.unwrap().unwrap(), [false, true]);
}

async fn a_copy_that_turns_out_to_be_of_an_erased_lead_is_emptied(fixture: Fixture) {
    told(&fixture, "ada_1").await;
    let unread = NewEvent { lead: None, state: EventState::Quarantined, ..event("ada_1", "unlike any needle") };
    let unread = fixture.accept(with_id("unread", unread)).await;
    let of_bob = fixture.accept(event("bob", "read wrong")).await;
    let erased = fixture.store.erase_lead(&erasure("ada_1")).await.unwrap().unwrap();
    assert_eq!(erased.events, 2, "those that it is known by");
    let (token, job) = fixture.claimed("bob", 55).await;
    fixture.store.save_leads(&[folded(&fixture.work("bob").await)]).await.unwrap();
    fixture.settle(settlement(token, &job, 56)).await;
    let reread = Reread {
        lead: Some("ada_1".into()),
        kind: EventKind::Upsert,
        event_type: None,
        state: EventState::Stored,
        reason: None,
    };
    let replay = async |id| fixture.store.replay_event(id, reread.clone(), &[crm()], secs(60)).await;
    assert_eq!(replay(unread.id).await.unwrap(), None);
    assert_eq!(fixture.claim(61).await, [], "nothing is owed");
    assert_eq!(replay(of_bob.id).await.unwrap(), None);
    let owed: Vec<LeadKey> = fixture.claim(62).await.into_iter().map(|job| job.lead).collect();
    assert_eq!(owed, [key("bob")], "who is folded anew without it");
    assert_eq!(fixture.work("bob").await.unfolded.len(), 1);
    for id in [unread.id, of_bob.id] {
        let kept = fixture.store.load_event(id).await.unwrap().unwrap();
        assert_eq!((kept.row.state, kept.row.lead_id.as_ref()), (EventState::Erased, Some(&erased.known_as.id)));
        assert!(kept.body.is_empty() && kept.row.size == 0, "{kept:?}");
    }
    assert_eq!(fixture.count("SELECT count(*) FROM event_keys WHERE sender_id = 'unread'").await, 0);
}

async fn an_erasure_is_heeded_at_once_by_every_store_on_the_database(fixture: Fixture) {
    let stores = fixture.stores(2).await;
    for n in 0..20 {
        // By every connection that stores events.
        stores[1].accept_events(vec![event("ada_1", &format!("{ADDRESS} {n}"))]).await.unwrap();
    }
    stores[0].erase_lead(&erasure("ada_1")).await.unwrap().unwrap();
    for store in &stores {
        let ignored = NewEvent { state: EventState::Ignored, ..event("ada_1", ADDRESS) };
        let receipt = store.accept_events(vec![ignored]).await.unwrap().remove(0);
        assert!(receipt.erased, "{receipt:?}");
    }
    assert_eq!(fixture.count("SELECT count(*) FROM bodies WHERE length(body) > 0").await, 0);
}

async fn unread_copies_go_with_their_lead_and_others_stay(fixture: Fixture) {
    fixture.accept(event("98765", "{}")).await;
    let saved = FoldedLead { email: text(ADDRESS), ..folded(&fixture.work("98765").await) };
    fixture.store.save_leads(&[saved]).await.unwrap();
    let address = ADDRESS.replace('@', "%40");
    let bodies =
        [r#"{"id":98765,"#, "submissionID=98765&a=b", &format!("email={address}"), r#"{"amount":98765,"id":1"#];
    let mut ids = Vec::new();
    for body in bodies {
        let unread = NewEvent { lead: None, state: EventState::Quarantined, ..event("unread", body) };
        ids.push(fixture.accept(unread).await.id);
    }
    let erased = fixture.store.erase_lead(&erasure("98765")).await.unwrap().unwrap();
    assert_eq!(erased.events, 4, "its event and three copies");
    let stays = fixture.store.load_event(ids[3]).await.unwrap().unwrap();
    assert_eq!((stays.row.state, &stays.body[..]), (EventState::Quarantined, bodies[3].as_bytes()));
}

async fn what_was_deleted_for_an_erasure_is_in_the_log_before_and_after_it(fixture: Fixture) {
    fixture.accept(event("ada_1", ADDRESS)).await;
    let deleted = NewLogRow { operation: Operation::Delete, error: None, error_code: None, ..telling("ada_1", 40) };
    fixture.store.append_log(&deleted).await.unwrap();
    let logged = async || fixture.store.search_sync_log(&LogFilter::default(), &page(9, None)).await.unwrap().items;
    let before = logged().await.remove(0);
    assert_eq!((before.lead, before.operation), (key("ada_1"), Operation::Delete));
    let erased = fixture.store.erase_lead(&erasure("ada_1")).await.unwrap().unwrap();
    assert_eq!(erased.log_rows, 1);
    let after = logged().await.remove(0);
    assert_eq!((after.id, after.lead, after.record), (before.id, erased.known_as, Some(record("r1"))));
    assert_eq!(fixture.count("SELECT count(*) FROM sync_log_bodies").await, 0);
}

async fn a_lead_that_nobody_knows_is_not_erased(fixture: Fixture) {
    assert_eq!(fixture.store.erase_lead(&erasure("nobody")).await.unwrap(), None);
    let receipt = fixture.accept(event("nobody", "{}")).await;
    assert!(!receipt.erased);
}

async fn a_run_no_longer_says_that_it_looked_for_an_erased_lead(fixture: Fixture) {
    told(&fixture, "ada_1").await;
    let scopes = [
        (format!(r#"{{"destination":"crm","sources":[],"email":"{}"}}"#, ADDRESS.to_uppercase()), true),
        (r#"{"destination":"crm","sources":[],"q":"Ada.Sec"}"#.to_owned(), true),
        (r#"{"destination":"crm","sources":[],"q":"ada_"}"#.to_owned(), true),
        (r#"{"destination":"crm","sources":[],"q":"bob"}"#.to_owned(), false),
        (r#"{"destination":"crm","sources":[],"email":"\u0000","q":"ada\u0000"}"#.to_owned(), false),
        (r#"{"destination":"crm","sources":["klozeo"]}"#.to_owned(), false),
    ];
    let mut runs = Vec::new();
    for (scope, _) in &scopes {
        let run = NewRun { kind: "resync", by: "ops".into(), started_at: secs(6), scope: scope.clone(), total: 3 };
        let run = fixture.store.create_run(&run).await.unwrap();
        fixture.store.update_run(run, &progress("done")).await.unwrap();
        runs.push(run);
    }
    fixture.store.erase_lead(&erasure("ada_1")).await.unwrap().unwrap();
    for (run, (scope, goes)) in runs.into_iter().zip(scopes) {
        let kept = fixture.store.load_run(run).await.unwrap().unwrap().scope;
        assert_eq!(kept == scope, !goes, "{scope} became {kept}");
    }
}

fn progress(state: &'static str) -> RunProgress {
    RunProgress { done: 1, position: None, state, detail: None, now: secs(60) }
}

async fn a_run_at_work_keeps_what_it_looks_for_until_it_ends(fixture: Fixture) {
    told(&fixture, "ada_1").await;
    let mut runs = Vec::new();
    for q in ["a", "\\\"erased\\\":true"] {
        let scope = format!(r#"{{"destination":"crm","sources":[],"q":"{q}"}}"#);
        let run = NewRun { kind: "resync", by: "ops".into(), started_at: secs(6), scope, total: 3 };
        runs.push(fixture.store.create_run(&run).await.unwrap());
    }
    fixture.store.erase_lead(&erasure("ada_1")).await.unwrap().unwrap();
    let scope = async |run| fixture.store.load_run(run).await.unwrap().unwrap().scope;
    fixture.store.update_run(runs[0], &progress("running")).await.unwrap();
    let kept = scope(runs[0]).await;
    assert!(kept.contains(r#""destination":"crm""#) && kept.contains(r#""q":"a""#), "{kept}");
    for run in &runs {
        fixture.store.update_run(*run, &progress("done")).await.unwrap();
    }
    assert_eq!(scope(runs[0]).await, r#"{"erased":true}"#);
    let other = scope(runs[1]).await;
    assert!(other.contains(r#""destination":"crm""#), "it looked for another: {other}");
}
