//! Leads, events, runs and pauses as operators see them.

use leadrelay::domain::ids::{EventId, LeadKey};
use leadrelay::store::*;

use crate::fixture::*;
use crate::people::audited;
use crate::rows::*;

on_both_stores! {
    a_lead_shows_its_links_its_jobs_and_its_past_newest_first,
    leads_are_found_by_the_beginning_of_id_address_or_name,
    a_resync_is_of_the_leads_that_the_list_shows,
    a_resync_of_all_takes_leads_of_which_nothing_was_folded,
    events_are_found_by_every_filter_and_read_with_their_body,
    runs_and_pauses_come_back_as_they_went_in,
}

async fn a_lead_shows_its_links_its_jobs_and_its_past_newest_first(fixture: Fixture) {
    fixture.execute(LOG_ROWS).await;
    insert_dead(&fixture).await;
    fixture.execute(CONFLICT).await;
    let key = LeadKey::new("klozeo", "cl_1");
    let entry = AuditEntry {
        at: micros(250),
        by: "ops".to_owned(),
        action: "sync".to_owned(),
        target: "lead klozeo/cl_1".to_owned(),
        lead: Some(key.clone()),
        detail: None,
    };
    fixture.store.record_audit(&entry).await.unwrap();
    let view = fixture.store.load_lead(&key).await.unwrap().unwrap();
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
    assert!(fixture.store.load_lead(&LeadKey::new("klozeo", "unknown")).await.unwrap().is_none());
}

async fn leads_are_found_by_the_beginning_of_id_address_or_name(fixture: Fixture) {
    fixture.execute(LOG_ROWS).await;
    for (q, expected) in [("cl_", 2), ("ADA", 1), ("bob@", 1), ("love", 0), ("", 2)] {
        let filter = LeadFilter { q: text(q), ..Default::default() };
        let found = fixture.store.list_leads(&filter, &page(9, None)).await.unwrap().items;
        assert_eq!(found.len(), expected, "{q}");
    }
    let scope =
        |sources: &[&str]| ResyncScope::of("crm".into(), sources.iter().map(|source| (*source).into()).collect());
    assert_eq!(fixture.store.count_leads(&scope(&["klozeo"])).await.unwrap(), 1);
    assert_eq!(fixture.store.count_leads(&scope(&[])).await.unwrap(), 0);
    let scope = scope(&["klozeo", "other"]);
    assert_eq!(fixture.store.count_leads(&scope).await.unwrap(), 2);
    let keys = fixture.store.leads_after(&scope, Some(&LeadKey::new("klozeo", "cl_1")), 9).await.unwrap();
    assert_eq!(keys, [LeadKey::new("other", "cl_1")]);
}

async fn a_resync_is_of_the_leads_that_the_list_shows(fixture: Fixture) {
    fixture.execute(LOG_ROWS).await;
    for (email, q, expected) in [
        (None, Some("cl_"), 2),
        (None, Some("ADA"), 1),
        (None, Some("bob@"), 1),
        (None, Some("love"), 0),
        (Some("BOB@example.com "), None, 1),
        (Some("bob@example.com"), Some("ada"), 0),
        (Some("bob@example"), None, 0),
        (Some("b\0"), None, 0),
        (None, None, 2),
    ] {
        let (email, q) = (email.map(str::to_owned), q.map(str::to_owned));
        let all = ResyncScope::of("crm".into(), vec!["klozeo".into(), "other".into()]);
        let scope = ResyncScope { email: email.clone(), q: q.clone(), ..all };
        let listed = fixture.store.list_leads(&LeadFilter { source: None, email, q }, &page(9, None)).await.unwrap();
        assert_eq!(listed.items.len(), expected, "{scope:?}");
        assert_eq!(fixture.store.count_leads(&scope).await.unwrap(), expected as u64, "{scope:?}");
        let (mut keys, mut after) = (Vec::new(), None);
        while let Some(next) = fixture.store.leads_after(&scope, after.as_ref(), 1).await.unwrap().pop() {
            keys.push(next.clone());
            after = Some(next);
        }
        let mut listed: Vec<LeadKey> = listed.items.into_iter().map(|lead| lead.key).collect();
        listed.sort();
        assert_eq!(keys, listed, "{scope:?}");
    }
}

async fn a_resync_of_all_takes_leads_of_which_nothing_was_folded(fixture: Fixture) {
    // The first owes it already, of the second nobody heard, and the third owes another destination.
    for (lead, destinations) in [("ada", vec!["crm".into()]), ("bob", Vec::new()), ("cy", vec!["other".into()])] {
        for body in ["1", "2"] {
            fixture.accept(NewEvent { destinations: destinations.clone(), ..event(lead, body) }).await;
        }
    }
    let elsewhere = NewEvent { source: "other".into(), destinations: Vec::new(), ..event("dora", "1") };
    fixture.accept(elsewhere).await;
    let unread = NewEvent { lead: None, state: EventState::Quarantined, destinations: Vec::new(), ..event("", "1") };
    fixture.accept(unread).await;
    let (crm, sources) = ("crm".into(), ["klozeo".into()]);
    let after = async |after: Option<LeadKey>, limit: u32| {
        fixture.store.unfolded_leads(&crm, &sources, after.as_ref(), limit).await.unwrap()
    };
    let found = async |limit: u32| after(None, limit).await;
    assert_eq!(found(9).await, [key("bob"), key("cy")]);
    assert_eq!(found(1).await, [key("bob")]);
    assert_eq!(after(Some(key("bob")), 1).await, [key("cy")]);
    assert_eq!(after(Some(key("cy")), 1).await, []);
    let scope = ResyncScope::of("crm".into(), sources.to_vec());
    assert_eq!(fixture.store.count_resync(&scope).await.unwrap(), 2);
    let some = ResyncScope { q: text("b"), ..scope.clone() };
    assert_eq!(fixture.store.count_resync(&some).await.unwrap(), 0, "nobody knows its name yet");
    let old = async |before: i64| fixture.store.old_unfolded_leads(&sources, secs(before), None, 9).await.unwrap();
    assert_eq!(old(11).await, [key("bob")], "what is owed is folded by whoever pays");
    assert_eq!(old(10).await, []);
    let past = fixture.store.old_unfolded_leads(&sources, secs(11), Some(&key("bob")), 9).await.unwrap();
    assert_eq!(past, []);
    assert_eq!(fixture.store.save_leads(&[folded(&fixture.work("bob").await)]).await.unwrap(), [true]);
    assert_eq!(found(9).await, [key("cy")]);
    assert_eq!(old(11).await, []);
    assert_eq!(fixture.store.count_resync(&scope).await.unwrap(), 2, "it is listed now");
}

async fn events_are_found_by_every_filter_and_read_with_their_body(fixture: Fixture) {
    insert_event(&fixture, 1, "a", Some("l1"), "folded", 10).await;
    insert_event(&fixture, 2, "b", Some("l1"), "stored", 20).await;
    insert_event(&fixture, 3, "b", None, "quarantined", 30).await;
    for (state, n) in [("stored", 1), ("duplicate", 5), ("quarantined", 1)] {
        let (slot, value) = fixture.either(("", ""), (", slot", ", 3"));
        let columns = format!("source, hour, state, n{slot}");
        let insert = format!("INSERT INTO source_counts ({columns}) VALUES ('b', us(0), '{state}', {n}{value})");
        fixture.execute(&insert).await;
    }
    let none = EventFilter::default;
    let filters = [
        (none(), vec![3, 2, 1]),
        (EventFilter { source: text("b"), ..none() }, vec![3, 2]),
        (EventFilter { lead_id: text("l1"), ..none() }, vec![2, 1]),
        (EventFilter { lead_id: text("l1"), source: text("a"), ..none() }, vec![1]),
        (EventFilter { state: Some(EventState::Quarantined), ..none() }, vec![3]),
        (EventFilter { from: Some(micros(20)), ..none() }, vec![3, 2]),
        (EventFilter { to: Some(micros(20)), ..none() }, vec![2, 1]),
    ];
    for (filter, expected) in filters {
        let found = fixture.store.list_events(&filter, &page(9, None)).await.unwrap().items;
        assert_eq!(found.iter().map(|event| event.id.0).collect::<Vec<_>>(), expected, "{filter:?}");
    }
    let event = fixture.store.load_event(EventId(2)).await.unwrap().unwrap();
    assert_eq!((&event.body[..], event.headers), (&b"{}"[..], vec![("x-a".to_owned(), "1".to_owned())]));

    let figures = fixture.store.source_figures(&"b".into(), micros(5)).await.unwrap();
    assert_eq!((figures.accepted, figures.quarantined, figures.ignored), (1, 1, 0));
    assert_eq!(figures.last_received, Some(micros(30)));
    let standing = fixture.store.standing_figures().await.unwrap();
    assert_eq!(standing.quarantined, [("b".into(), 1)]);
}

async fn runs_and_pauses_come_back_as_they_went_in(fixture: Fixture) {
    let now = micros(7);
    let run = NewRun { kind: "resync", by: "ops".to_owned(), started_at: now, scope: "{}".to_owned(), total: 12 };
    let id = fixture.store.create_run(&run).await.unwrap();
    let position = Some(LeadKey::new("a/b", "c\"d"));
    let progress = RunProgress { done: 5, position: position.clone(), state: "running", detail: None, now };
    fixture.store.update_run(id, &progress).await.unwrap();
    let read = fixture.store.load_run(id).await.unwrap().unwrap();
    assert_eq!((read.done, read.total, read.position, read.state.as_str()), (5, 12, position, "running"));
    assert_eq!(fixture.store.list_runs(&page(1, None)).await.unwrap().items[0].id, id);

    let pause = Pause { destination: "crm".into(), by: "ops".to_owned(), note: None, since: now, until: Some(now) };
    fixture.store.pause(&pause).await.unwrap();
    assert_eq!(fixture.store.load_pauses().await.unwrap(), [pause]);
    assert!(fixture.store.resume(&"crm".into(), "ada", micros(8)).await.unwrap());
    assert!(!fixture.store.resume(&"crm".into(), "ada", micros(8)).await.unwrap());
    let told = [
        "ops: destination.pause destination crm until 1970-01-01T00:00:00.000007Z",
        "ada: destination.resume destination crm",
    ];
    assert_eq!(audited(&fixture).await, told);
}
