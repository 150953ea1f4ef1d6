//! Erasing a lead.

use leadrelay::domain::plan::{ConflictKind, Decision, Question, Rule};
use leadrelay::domain::record::CrmValue;
use leadrelay::store::*;

use crate::fixture::*;

on_both_stores! {
    nothing_personal_of_an_erased_lead_is_left_and_what_was_done_is,
    an_event_of_an_erased_lead_is_kept_without_data_and_owes_nothing,
    the_record_of_an_erased_lead_goes_to_its_sharer_who_is_not_told_its_id,
    what_an_attempt_in_hand_knows_of_an_erased_lead_is_not_recorded,
    a_lead_that_nobody_knows_is_not_erased,
}

const ADDRESS: &str = "ada.secret@lovelace.example";

fn erasure(lead: &str) -> Erasure {
    Erasure { lead: key(lead), now: secs(50), log: Vec::new() }
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
    let named = "SELECT (SELECT count(*) FROM sync_log WHERE error LIKE '%ada!_1%' ESCAPE '!')
                      + (SELECT count(*) FROM conflicts WHERE cast(question AS text) LIKE '%ada!_1%' ESCAPE '!')";
    assert_eq!(fixture.count(named).await, 0);
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

async fn a_lead_that_nobody_knows_is_not_erased(fixture: Fixture) {
    assert_eq!(fixture.store.erase_lead(&erasure("nobody")).await.unwrap(), None);
    let receipt = fixture.accept(event("nobody", "{}")).await;
    assert!(!receipt.erased);
}
