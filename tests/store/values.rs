//! What goes in comes back, whatever it holds.

use std::collections::{BTreeMap, BTreeSet};

use leadrelay::domain::ids::{EventId, FieldName};
use leadrelay::domain::lead::{LeadField, Stamp, Version, VersionElement};
use leadrelay::domain::matching::MatchedBy;
use leadrelay::domain::plan::{BasePair, CandidateSummary, Choice, Decision, Link, Question, Rule};
use leadrelay::domain::record::CrmValue;
use leadrelay::store::*;

use crate::fixture::*;

on_both_stores! {
    links_intents_and_decisions_come_back_with_every_value,
    a_folded_lead_comes_back_and_its_fields_are_seen,
    questions_and_answers_come_back,
    a_u0000_loses_nothing,
    moments_are_kept_to_the_microsecond,
}

/// Values that a database could spoil.
fn pairs() -> BTreeMap<FieldName, BasePair> {
    let values = [
        CrmValue::Null,
        CrmValue::Text("zero \0, quote ' \" \\, emoji 🦀, \u{fffd}".to_owned()),
        CrmValue::Number("12345678901234567890.1234567".parse().unwrap()),
        CrmValue::Boolean(true),
        CrmValue::Date("2024-02-29".parse().unwrap()),
        CrmValue::DateTime(micros(-1)),
        CrmValue::Choices(BTreeSet::from(["a;b".to_owned(), "\0".to_owned()])),
    ];
    let pair = |value: CrmValue| BasePair { lead: value, crm: CrmValue::Null };
    values.into_iter().enumerate().map(|(n, value)| (FieldName::new(format!("F{n}__c")), pair(value))).collect()
}

fn decisions() -> Vec<Decision> {
    let decision = |(field, pair): (FieldName, BasePair)| Decision {
        field,
        base: Some(pair.clone()),
        lead: Some(pair.lead.clone()),
        crm: None,
        written: Some(pair.lead),
        rule: Rule::LeadWins,
        note: Some("cut\0 off".to_owned()),
    };
    pairs().into_iter().map(decision).collect()
}

async fn links_intents_and_decisions_come_back_with_every_value(fixture: Fixture) {
    let (token, job) = fixture.claimed("ada", 10).await;
    let mut announcement = announcement(token, "ada", 11);
    announcement.writes[0].rows = pairs();
    announcement.writes[0].decisions = decisions();
    fixture.store.announce(&announcement).await.unwrap();
    let left_out = pairs().into_iter().map(|(field, pair)| (field, Some(pair))).collect();
    let link = Link { bases: pairs(), kept: pairs(), left_out, in_doubt: Some("r0".into()), ..link("r1", true) };
    let put = LinkChange::Put { link: link.clone(), planned_with: None };
    let log =
        NewLogRow { decisions: decisions(), request: text("{}"), response: text("no\0"), ..log_row(&key("ada"), 12) };
    fixture.settle(Settlement { link: put, log: vec![log], ..settlement(token, &job, 12) }).await;
    let fixture = fixture.reopen().await;
    let work = fixture.work("ada").await;
    assert_eq!(work.link, Some(Link { revision: 1, ..link }));
    assert_eq!(work.intents[0].rows, pairs());
    let listed = fixture.store.search_sync_log(&LogFilter::default(), &page(9, None)).await.unwrap();
    let row = fixture.store.load_log_row(listed.items[0].id).await.unwrap().unwrap();
    assert_eq!(row.decisions, decisions());
    assert_eq!(row.request, text("{}"));
    assert_eq!(row.response, text(fixture.either("no\0", "no\u{fffd}")));
}

async fn a_folded_lead_comes_back_and_its_fields_are_seen(fixture: Fixture) {
    fixture.accept(event("ada", "{}")).await;
    let mut fold = folded(&fixture.work("ada").await);
    let version = Version { elements: vec![VersionElement::At(micros(7))], rest: VersionElement::Infinite };
    let stamp = Stamp { version, arrived_at: secs(10), arrival: EventId(1) };
    for (name, json) in [("name", "\"Ada \\u0000\""), ("attributes.size", "1234567890123456789012345678901234567890")] {
        let value = leadrelay::domain::value::Value::parse_json(json.as_bytes()).unwrap();
        fold.lead.fields.insert(name.to_owned(), LeadField { value, stamp: stamp.clone() });
    }
    fold.lead.latest = Some(stamp);
    fold.name = text("Ada \0");
    assert_eq!(fixture.store.save_leads(std::slice::from_ref(&fold)).await.unwrap(), [true]);
    assert_eq!(fixture.work("ada").await.lead, Some((fold.lead.clone(), 1)));
    let view = fixture.store.load_lead(&key("ada")).await.unwrap().unwrap();
    assert_eq!((view.lead, view.row.email), (Some(fold.lead), text("ada@a.example")));
    assert_eq!(view.row.updated_at, secs(10));
    assert_eq!(fixture.store.seen_fields(&"klozeo".into()).await.unwrap(), ["attributes.size", "name"]);
    assert!(fixture.store.seen_fields(&"another".into()).await.unwrap().is_empty());
}

async fn questions_and_answers_come_back(fixture: Fixture) {
    let candidate = CandidateSummary { record: record("r2"), by: MatchedBy::Email, speaks: "both \0".to_owned() };
    let asked = Question {
        record: Some(record("r1")),
        base: pairs().remove(&FieldName::from("F1__c")),
        lead: Some(CrmValue::Text("Ann\0".to_owned())),
        crm: Some(CrmValue::Null),
        candidates: vec![candidate],
        other: Some(key("bob")),
        ..question("which?")
    };
    let (token, job) = fixture.claimed("ada", 10).await;
    fixture.settle(Settlement { questions: vec![asked.clone()], ..settlement(token, &job, 11) }).await;
    let listed = fixture.store.list_conflicts(&ConflictFilter::default(), &page(9, None)).await.unwrap().items;
    let conflict = fixture.store.load_conflict(listed[0].id).await.unwrap().unwrap();
    assert_eq!((&conflict.question, conflict.revision, conflict.opened_at), (&asked, 1, secs(11)));
    let (choice, note) = (Choice::Value("x \0".to_owned()), text("asked her"));
    let answer = Answer {
        conflict: conflict.id,
        revision: None,
        choice: choice.clone(),
        note,
        by: "ops".to_owned(),
        now: secs(12),
    };
    let Answered::Done(done) = fixture.store.resolve_conflict(&answer).await.unwrap() else { panic!("not done") };
    let ConflictState::Resolved { choice: kept, by, at, note } = done.state else { panic!("not resolved") };
    assert_eq!((kept, by.as_str(), at, note), (choice.clone(), "ops", secs(12), text("asked her")));
    let resolutions = fixture.work("ada").await.resolutions;
    assert_eq!((resolutions.len(), &resolutions[0].choice, &resolutions[0].seen_lead), (1, &choice, &asked.lead));
    let unknown = Answer { conflict: conflict.id + 1, ..answer };
    assert!(matches!(fixture.store.resolve_conflict(&unknown).await.unwrap(), Answered::NotFound));
}

/// PostgreSQL holds no U+0000 in a text: an event whose keys have one is kept as bytes, everything else goes on.
async fn a_u0000_loses_nothing(fixture: Fixture) {
    let events = vec![event("ada", "{}"), event("nu\0l", "bytes \0"), with_id("e\0", event("bob", "{}"))];
    let receipts = fixture.store.accept_events(events).await.unwrap();
    let kept = fixture.store.load_event(receipts[1].id).await.unwrap().unwrap();
    assert_eq!(&kept.body[..], b"bytes \0");
    assert_eq!(kept.row.state, fixture.either(EventState::Stored, EventState::Quarantined));
    let headers = NewEvent { headers: vec![("x-a".to_owned(), "\0".to_owned())], ..event("cy", "{}") };
    let receipt = fixture.accept(headers).await;
    assert_eq!(fixture.store.load_event(receipt.id).await.unwrap().unwrap().headers[0].1, "\0");
    for lead in ["ada", "cy"] {
        assert_eq!(fixture.work(lead).await.unfolded.len(), 1);
    }
    let (token, job) = {
        let claim = claim(10);
        let mut jobs = fixture.store.claim_jobs(&claim).await.unwrap();
        jobs.retain(|job| job.lead == key("ada"));
        (claim.token, jobs.remove(0))
    };
    let (code, detail) = ("match".to_owned(), "who\0?".to_owned());
    let end = JobEnd::Held { code, detail, look_again_at: None };
    let log = NewLogRow { error: text("a \0 b"), error_code: text("X"), ..log_row(&key("ada"), 11) };
    fixture.settle(Settlement { end, log: vec![log], ..settlement(token, &job, 11) }).await;
    let filters = [
        LogFilter { lead_id: text("a\0"), ..Default::default() },
        LogFilter { q: text("a\0"), ..Default::default() },
        LogFilter { error: text("\0"), ..Default::default() },
    ];
    for filter in filters {
        assert!(fixture.store.search_sync_log(&filter, &page(9, None)).await.unwrap().items.is_empty(), "{filter:?}");
    }
    let leads = LeadFilter { q: text("\0"), ..Default::default() };
    assert!(fixture.store.list_leads(&leads, &page(9, None)).await.unwrap().items.is_empty());
    let found = fixture.store.search_sync_log(&LogFilter::default(), &page(9, None)).await.unwrap().items.remove(0);
    assert_eq!(found.error, text(fixture.either("a \0 b", "a \u{fffd} b")));
}

async fn moments_are_kept_to_the_microsecond(fixture: Fixture) {
    for at in [micros(1), micros(1_790_000_000_123_456), micros(4_102_444_800_000_001)] {
        let receipt = fixture.accept(NewEvent { received_at: at, ..event("ada", "{}") }).await;
        assert_eq!(fixture.store.load_event(receipt.id).await.unwrap().unwrap().row.received_at, at);
    }
    let due = micros(1_790_000_000_123_457);
    fixture.store.shorten_waits(due).await.unwrap();
    assert_eq!(fixture.store.next_due(&crm()).await.unwrap(), Some(micros(1)));
}
