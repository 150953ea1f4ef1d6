//! Records of a CRM that no lead is and that may be the person of a lead's record.

use leadrelay::store::*;

use crate::fixture::*;
use crate::rows::*;

on_both_stores! {
    a_record_that_no_lead_is_is_listed_with_the_lead_whose_person_it_may_be,
    what_a_person_said_of_a_record_holds_for_later_searches,
    records_of_one_lead_are_read_page_by_page,
    nothing_of_it_is_left_of_an_erased_lead,
    what_is_not_found_again_is_dropped_of_the_leads_that_were_asked_about,
    where_a_search_came_to_is_kept_for_each_destination,
    leads_that_are_records_are_loaded_with_what_they_say,
}

/// A lead that is a record.
async fn person(fixture: &Fixture, lead: &str) {
    fixture
        .execute(&format!(
            "INSERT INTO leads (source, lead_id, revision, document, name, email, deleted, updated_at)
             VALUES ('klozeo', '{lead}', 1, '{{\"fields\":{{}},\"stamps\":[]}}', '{lead}', '{lead}@x.example', false, us(10))"
        ))
        .await;
    insert_link(fixture, lead, &format!("00Q-{lead}"), true).await;
}

fn stranger(lead: &str, id: &str, at_second: i64) -> Stranger {
    let record = leadrelay::domain::ids::RecordRef { object: "Contact".into(), id: id.into() };
    Stranger { destination: "crm".into(), lead: key(lead), record, same: Same::Email, found_at: secs(at_second) }
}

/// What a search that began at second 200 asked about.
fn span(after: Option<&str>, until: Option<&str>) -> SearchedSpan {
    let (after, until) = (after.map(key), until.map(key));
    SearchedSpan { destination: "crm".into(), after, until, found_before: secs(200) }
}

async fn pairs(fixture: &Fixture, filter: SharedFilter) -> Vec<String> {
    fixture.store.list_shared(&filter, &page(100, None)).await.unwrap().items.iter().map(told).collect()
}

fn told(pair: &SharedPair) -> String {
    assert_eq!((pair.other.lead.as_ref(), pair.other.record.object.as_str()), (None, "Contact"));
    let hand = if pair.by_hand { " by hand" } else { "" };
    format!("{} {} {}{hand}", pair.kind.as_str(), pair.lead.lead.id, pair.other.record.id)
}

async fn open(fixture: &Fixture) -> u64 {
    insert_job(fixture, "nobody", "dead", None, Some(1)).await;
    let open = fixture.store.standing_figures().await.unwrap().duplicates_suspected;
    fixture.execute("DELETE FROM jobs WHERE lead_id = 'nobody'").await;
    open.into_iter().map(|(_, n)| n).sum()
}

async fn a_record_that_no_lead_is_is_listed_with_the_lead_whose_person_it_may_be(fixture: Fixture) {
    for lead in ["ada", "bob", "cy"] {
        person(&fixture, lead).await;
    }
    insert_link(&fixture, "dora", "003-c", false).await;
    let conflict = |id: i64, lead: &str, state: &str, other: &str| {
        format!(
            "INSERT INTO conflicts (id, destination, source, lead_id, kind, field, state, revision, question, opened_at, updated_at)
             VALUES ({id}, 'crm', 'klozeo', '{lead}', 'match', '', '{state}', 1,
                     '{{\"candidates\":[{{\"record\":[\"Contact\",\"{other}\"]}}],\"detail\":\"?\"}}', us(5), us(5))"
        )
    };
    fixture.execute(&conflict(1, "bob", "open", "003-asked")).await;
    fixture.execute(&conflict(2, "bob", "resolved", "003-answered")).await;
    let found = [
        stranger("ada", "003-a", 100),
        stranger("bob", "003-asked", 100),
        stranger("bob", "003-answered", 100),
        stranger("cy", "003-c", 100),
        stranger("nobody", "003-d", 100),
    ];
    assert_eq!(fixture.store.suspect_strangers(&found).await.unwrap(), 2);
    let all = ["suspected bob 003-answered by hand", "suspected ada 003-a"];
    assert_eq!(pairs(&fixture, SharedFilter::default()).await, all);
    assert_eq!(open(&fixture).await, 1);
    for (filter, expected) in [
        (SharedFilter { record_id: text("003-a"), ..SharedFilter::default() }, &all[1..]),
        (SharedFilter { record_id: text("00Q-bob"), ..SharedFilter::default() }, &all[..1]),
        (SharedFilter { lead_id: text("bob"), ..SharedFilter::default() }, &all[..1]),
        (SharedFilter { source: text("klozeo"), ..SharedFilter::default() }, &all[..]),
        (SharedFilter { by_hand: Some(false), ..SharedFilter::default() }, &all[1..]),
        (SharedFilter { kind: Some(SharedKind::Shared), ..SharedFilter::default() }, &[]),
    ] {
        assert_eq!(pairs(&fixture, filter.clone()).await, expected, "{filter:?}");
    }
    // What is found again stays, with its time; what is not is dropped, and what is a lead's by now is not shown.
    assert_eq!(fixture.store.suspect_strangers(&[stranger("ada", "003-a", 200)]).await.unwrap(), 1);
    fixture.store.drop_strangers(&span(None, None)).await.unwrap();
    let listed = fixture.store.list_shared(&SharedFilter::default(), &page(9, None)).await.unwrap();
    assert_eq!(
        listed.items.iter().map(|pair| (told(pair), pair.since)).collect::<Vec<_>>(),
        [(all[1].to_owned(), secs(100))]
    );
    insert_link(&fixture, "eve", "003-a", true).await;
    assert_eq!(pairs(&fixture, SharedFilter::default()).await, [""; 0]);
    assert_eq!(open(&fixture).await, 0, "what is not listed is not counted");
}

async fn what_a_person_said_of_a_record_holds_for_later_searches(fixture: Fixture) {
    for lead in ["ada", "bob"] {
        person(&fixture, lead).await;
    }
    let found = async |at_second| {
        let found = [stranger("ada", "003-a", at_second), stranger("bob", "003-a", at_second)];
        fixture.store.suspect_strangers(&found).await.unwrap()
    };
    assert_eq!(found(100).await, 2);
    let told = |lead: &str, id: &str, apart| ToldApart {
        destination: "crm".into(),
        lead: key(lead),
        other: Compared::Record(id.into()),
        apart,
    };
    for nobody in [told("ada", "003-b", true), told("ada", "003-a\0", true), told("cy", "003-a", true)] {
        assert!(!fixture.store.tell_apart(&nobody).await.unwrap(), "{nobody:?} is not listed");
    }
    assert!(fixture.store.tell_apart(&told("ada", "003-a", true)).await.unwrap());
    let dismissed = ["suspected bob 003-a", "suspected ada 003-a by hand"];
    assert_eq!(
        (pairs(&fixture, SharedFilter::default()).await, open(&fixture).await),
        (dismissed.map(str::to_owned).to_vec(), 1)
    );
    fixture.execute("DELETE FROM strangers").await;
    found(200).await;
    assert_eq!(pairs(&fixture, SharedFilter::default()).await, dismissed);
    assert!(fixture.store.tell_apart(&told("ada", "003-a", false)).await.unwrap());
    assert_eq!(open(&fixture).await, 2, "it is taken back");
    assert_eq!(fixture.count("SELECT count(*) FROM told_apart").await, 0);
}

async fn records_of_one_lead_are_read_page_by_page(fixture: Fixture) {
    person(&fixture, "ada").await;
    let found: Vec<Stranger> = (0..5).map(|n| stranger("ada", &format!("003-{n}"), 100)).collect();
    assert_eq!(fixture.store.suspect_strangers(&found).await.unwrap(), 5);
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let listed = fixture.store.list_shared(&SharedFilter::default(), &page(2, cursor)).await.unwrap();
        seen.extend(listed.items.iter().map(told));
        cursor = listed.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..5).rev().map(|n| format!("suspected ada 003-{n}")).collect::<Vec<_>>());
}

async fn nothing_of_it_is_left_of_an_erased_lead(fixture: Fixture) {
    person(&fixture, "ada").await;
    // By its jobs a destination is known.
    insert_job(&fixture, "nobody", "dead", None, Some(1)).await;
    fixture.store.suspect_strangers(&[stranger("ada", "003-a", 100)]).await.unwrap();
    let other = Compared::Record("003-a".into());
    let told = ToldApart { destination: "crm".into(), lead: key("ada"), other, apart: true };
    assert!(fixture.store.tell_apart(&told).await.unwrap());
    fixture.store.erase_lead(&Erasure { lead: key("ada"), now: secs(110) }).await.unwrap().unwrap();
    for table in ["strangers", "told_apart"] {
        assert_eq!(fixture.count(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    assert_eq!(fixture.store.suspect_strangers(&[stranger("ada", "003-a", 120)]).await.unwrap(), 0);
}

async fn what_is_not_found_again_is_dropped_of_the_leads_that_were_asked_about(fixture: Fixture) {
    for lead in ["ada", "bob", "cy", "dora"] {
        person(&fixture, lead).await;
        fixture.store.suspect_strangers(&[stranger(lead, &format!("003-{lead}"), 100)]).await.unwrap();
    }
    fixture.store.suspect_strangers(&[stranger("bob", "003-bob", 200)]).await.unwrap();
    let mut elsewhere = span(None, None);
    elsewhere.destination = "other".into();
    fixture.store.drop_strangers(&elsewhere).await.unwrap();
    let all = ["dora", "cy", "bob", "ada"].map(|lead| format!("suspected {lead} 003-{lead}"));
    assert_eq!(pairs(&fixture, SharedFilter::default()).await, all);
    fixture.store.drop_strangers(&span(Some("ada"), Some("cy"))).await.unwrap();
    assert_eq!(pairs(&fixture, SharedFilter::default()).await, [&*all[0], &*all[2], &*all[3]]);
    fixture.store.drop_strangers(&span(Some("cy"), None)).await.unwrap();
    assert_eq!(pairs(&fixture, SharedFilter::default()).await, all[2..]);
    // Nobody searches where a destination is gone.
    fixture.store.close_orphaned(&["crm".into()], secs(300)).await.unwrap();
    assert_eq!(pairs(&fixture, SharedFilter::default()).await, all[2..]);
    fixture.store.close_orphaned(&["other".into()], secs(300)).await.unwrap();
    assert_eq!(fixture.count("SELECT count(*) FROM strangers").await, 0);
}

async fn where_a_search_came_to_is_kept_for_each_destination(fixture: Fixture) {
    let crm = "crm".into();
    assert_eq!(fixture.store.load_search(&crm).await.unwrap(), None);
    for after in [Some(key("ada")), None, Some(key("ada"))] {
        let place = SearchPlace { after, since: secs(10), calls: 3 };
        fixture.store.save_search(&crm, &place).await.unwrap();
        assert_eq!(fixture.store.load_search(&crm).await.unwrap(), Some(place));
    }
    assert_eq!(fixture.store.load_search(&"other".into()).await.unwrap(), None);
    // Of an erased lead nothing is kept: the search goes on from the one before.
    for lead in ["ada", "abe", "bob"] {
        person(&fixture, lead).await;
    }
    for (erased, after) in [("ada", Some(key("abe"))), ("bob", Some(key("abe"))), ("abe", None)] {
        fixture.store.erase_lead(&Erasure { lead: key(erased), now: secs(110) }).await.unwrap().unwrap();
        let place = SearchPlace { after, since: secs(10), calls: 3 };
        assert_eq!(fixture.store.load_search(&crm).await.unwrap(), Some(place), "{erased}");
    }
}

async fn leads_that_are_records_are_loaded_with_what_they_say(fixture: Fixture) {
    for lead in ["ada", "bob", "cy", "gone", "out"] {
        person(&fixture, lead).await;
    }
    fixture.execute("UPDATE leads SET deleted = true WHERE lead_id = 'gone'").await;
    fixture.execute("UPDATE leads SET excluded = true WHERE lead_id = 'out'").await;
    insert_job(&fixture, "bob", "held", None, Some(1)).await;
    let of = async |leads: &[&str]| {
        let leads: Vec<_> = leads.iter().map(|lead| key(lead)).collect();
        fixture.store.linked_leads(&"crm".into(), &leads).await
    };
    let linked = of(&["bob", "nobody", "gone", "out", "ada"]).await.unwrap();
    let told = |linked: &LinkedLead| (linked.lead.key.clone(), linked.record.id.to_string(), linked.has_job);
    let expected = [(key("bob"), "00Q-bob".to_owned(), true), (key("ada"), "00Q-ada".to_owned(), false)];
    assert_eq!(linked.iter().map(told).collect::<Vec<_>>(), expected);
    fixture.execute("UPDATE leads SET document = '{}' WHERE lead_id = 'cy'").await;
    assert!(matches!(of(&["ada", "cy"]).await, Err(StoreError::Corrupt { table: "leads", column: "document", .. })));
}
