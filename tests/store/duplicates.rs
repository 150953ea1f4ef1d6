//! Two leads on one record, and records that may be one person's.

use std::time::{Duration, Instant};

use leadrelay::domain::ids::LeadKey;
use leadrelay::queue::duplicates::DuplicateSearch;
use leadrelay::store::*;

use crate::fixture::*;
use crate::rows::*;

on_both_stores! {
    records_that_share_an_address_or_a_name_at_a_company_are_suspected,
    what_a_rule_asked_or_a_person_decided_is_no_suspicion,
    two_leads_on_one_record_are_decided_by_hand_once_a_person_answered_for_that_record,
    pairs_are_read_page_by_page_and_found_by_every_filter,
    no_order_of_texts_in_the_database_loses_a_pair_between_pages,
    what_is_not_found_again_is_dropped_and_what_is_keeps_its_time,
    what_a_person_told_apart_stays_so_in_whatever_order_it_is_found,
    nothing_is_left_of_an_erased_lead,
    a_search_costs_as_much_as_there_are_leads_and_not_as_their_pairs,
}

/// A lead of this name and address that is a record of its own.
async fn person(fixture: &Fixture, lead: &str, name: &str, email: &str) {
    insert_lead(fixture, lead, name, email).await;
    insert_link(fixture, lead, &format!("00Q-{lead}"), true).await;
}

async fn insert_lead(fixture: &Fixture, lead: &str, name: &str, email: &str) {
    let insert = format!(
        "INSERT INTO leads (source, lead_id, revision, document, name, email, deleted, updated_at)
         VALUES ('klozeo', '{lead}', 1, '{{\"fields\":{{}},\"stamps\":[]}}', '{name}', '{email}', false, us(10))"
    );
    fixture.execute(&insert).await;
}

/// Searches to the end; answers how many were suspected.
async fn search(fixture: &Fixture, at_second: i64) -> u64 {
    insert_job(fixture, "nobody", "dead", None, Some(1)).await;
    let mut search = DuplicateSearch::new(secs(at_second));
    while search.step(&*fixture.store).await.unwrap() {}
    fixture.execute("DELETE FROM jobs WHERE lead_id = 'nobody'").await;
    search.suspected
}

async fn pairs(fixture: &Fixture, filter: SharedFilter) -> Vec<String> {
    let listed = fixture.store.list_shared(&filter, &page(100, None)).await.unwrap();
    assert_eq!(listed.next, None);
    listed.items.iter().map(told).collect()
}

fn told(pair: &SharedPair) -> String {
    let hand = if pair.by_hand { " by hand" } else { "" };
    format!(
        "{} {} {} {}{hand}",
        pair.kind.as_str(),
        pair.lead.lead.id,
        pair.other.lead.as_ref().map_or(pair.other.record.id.as_str(), |lead| lead.id.as_str()),
        pair.by
    )
}

async fn records_that_share_an_address_or_a_name_at_a_company_are_suspected(fixture: Fixture) {
    for (lead, name, email) in [
        ("a1", "Ada Lovelace", "ada@acme.example"),
        ("a2", "Ada L.", "ada@acme.example"),
        ("a3", "ada lovelace", "a.lovelace@mail.acme.example"),
        ("b1", "Bob", "bob@gmail.com"),
        ("b2", "Bob", "bob2@gmail.com"),
        ("c1", "Cleo", "info@cleo.example"),
        ("c2", "Cleo", "cleo@cleo.example"),
        ("d1", "Dora", "dora@one.example"),
        ("d2", "Dora", "dora@two.example"),
        ("e1", "Eve", "eve@eve.example"),
    ] {
        person(&fixture, lead, name, email).await;
    }
    // One record, one that is not living, one that is excluded, one that is nothing yet.
    for (lead, set) in [("e2", ""), ("e3", "deleted = true"), ("e4", "excluded = true"), ("e5", "")] {
        insert_lead(&fixture, lead, "Eve", "eve@eve.example").await;
        if !set.is_empty() {
            fixture.execute(&format!("UPDATE leads SET {set} WHERE lead_id = '{lead}'")).await;
        }
    }
    insert_link(&fixture, "e2", "00Q-e1", false).await;
    insert_link(&fixture, "e3", "00Q-e3", true).await;
    insert_link(&fixture, "e4", "00Q-e4", true).await;
    assert_eq!(search(&fixture, 100).await, 2);
    let suspected = SharedFilter { kind: Some(SharedKind::Suspected), ..Default::default() };
    let mut found = pairs(&fixture, suspected).await;
    found.sort();
    assert_eq!(found, ["suspected a2 a1 email", "suspected a3 a1 name_and_domain"]);
    let shared = SharedFilter { kind: Some(SharedKind::Shared), ..Default::default() };
    assert_eq!(pairs(&fixture, shared).await, ["shared e2 e1 email"]);
    let standing = fixture.store.standing_figures().await.unwrap();
    assert_eq!(standing.duplicates_suspected, [("crm".into(), 2)]);
}

async fn what_a_rule_asked_or_a_person_decided_is_no_suspicion(fixture: Fixture) {
    for (lead, email) in
        [("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b"), ("c1", "c"), ("c2", "c"), ("d1", "d"), ("d2", "d")]
    {
        person(&fixture, lead, lead, &format!("{email}@x.example")).await;
    }
    let conflict = |id: i64, lead: &str, state: &str, other: &str| {
        format!(
            "INSERT INTO conflicts (id, destination, source, lead_id, kind, field, state, revision, question, opened_at, updated_at)
             VALUES ({id}, 'crm', 'klozeo', '{lead}', 'match', '', '{state}', 1,
                     '{{\"candidates\":[{{\"record\":[\"Lead\",\"{other}\"]}}],\"detail\":\"?\"}}', us(5), us(5))"
        )
    };
    fixture.execute(&conflict(1, "a2", "open", "00Q-a1")).await;
    fixture.execute(&conflict(2, "b1", "resolved", "00Q-b2")).await;
    fixture.execute(&conflict(3, "d2", "resolved", "00Q-d10")).await;
    fixture.execute("UPDATE links SET matched_by = 'link' WHERE lead_id = 'c1'").await;
    assert_eq!(search(&fixture, 100).await, 3);
    let mut found = pairs(&fixture, SharedFilter::default()).await;
    found.sort();
    assert_eq!(found, ["suspected b2 b1 email by hand", "suspected c2 c1 email by hand", "suspected d2 d1 email"]);
    assert_eq!(fixture.store.standing_figures().await.unwrap().duplicates_suspected, [("crm".into(), 1)]);
    // A person makes one record of two.
    fixture.execute("UPDATE links SET record_id = '00Q-d1', owner = false WHERE lead_id = 'd2'").await;
    let of_d = SharedFilter { lead_id: text("d2"), ..Default::default() };
    assert_eq!(pairs(&fixture, of_d).await, ["shared d2 d1 email"]);
}

async fn two_leads_on_one_record_are_decided_by_hand_once_a_person_answered_for_that_record(fixture: Fixture) {
    person(&fixture, "a0", "A", "a@x.example").await;
    for (id, lead, kind, state, record) in [
        (1, "a1", "shared_record", "open", "00Q-a0"),
        (2, "a2", "shared_record", "resolved", "00Q-a0"),
        (3, "a3", "match", "resolved", "00Q-a0"),
        (4, "a4", "shared_record", "resolved", "00Q-a01"),
        (5, "a5", "field", "resolved", "00Q-a0"),
        (6, "a6", "shared_record", "moot", "00Q-a0"),
    ] {
        insert_lead(&fixture, lead, "A", "a@x.example").await;
        insert_link(&fixture, lead, "00Q-a0", false).await;
        let insert = format!(
            "INSERT INTO conflicts (id, destination, source, lead_id, kind, field, state, revision, question, opened_at, updated_at)
             VALUES ({id}, 'crm', 'klozeo', '{lead}', '{kind}', '', '{state}', 1,
                     '{{\"record\":{{\"object\":\"Lead\",\"id\":\"{record}\"}},\"detail\":\"?\"}}', us(5), us(5))"
        );
        fixture.execute(&insert).await;
    }
    let decided = async |by_hand| {
        let filter = SharedFilter { by_hand: Some(by_hand), ..SharedFilter::default() };
        let mut pairs = pairs(&fixture, filter).await;
        pairs.sort();
        pairs
    };
    assert_eq!(decided(true).await, ["shared a2 a0 email by hand", "shared a3 a0 email by hand"]);
    let open = ["a1", "a4", "a5", "a6"].map(|lead| format!("shared {lead} a0 email"));
    assert_eq!(decided(false).await, open);
}

async fn pairs_are_read_page_by_page_and_found_by_every_filter(fixture: Fixture) {
    for n in 0..4 {
        person(&fixture, &format!("a{n}"), "A", "a@gmail.com").await;
        insert_lead(&fixture, &format!("s{n}"), "S", &format!("s{n}@gmail.com")).await;
        insert_link(&fixture, &format!("s{n}"), "00Q-a0", false).await;
    }
    search(&fixture, 100).await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let listed = fixture.store.list_shared(&SharedFilter::default(), &page(2, cursor)).await.unwrap();
        assert!(listed.items.len() <= 2);
        seen.extend(listed.items.iter().map(told));
        cursor = listed.next;
        if cursor.is_none() {
            break;
        }
    }
    let suspected = (1..4).rev().map(|n| format!("suspected a{n} a0 email"));
    let shared = (0..4).rev().map(|n| format!("shared s{n} a0 email"));
    assert_eq!(seen, suspected.chain(shared).collect::<Vec<_>>(), "newest first");
    for (filter, expected) in [
        (SharedFilter { kind: Some(SharedKind::Suspected), ..Default::default() }, 3),
        (SharedFilter { by_hand: Some(true), ..Default::default() }, 0),
        (SharedFilter { by_hand: Some(false), ..Default::default() }, 7),
        (SharedFilter { destination: text("crm"), ..Default::default() }, 7),
        (SharedFilter { destination: text("another"), ..Default::default() }, 0),
        (SharedFilter { source: text("klozeo"), ..Default::default() }, 7),
        (SharedFilter { source: text("another"), ..Default::default() }, 0),
        (SharedFilter { lead_id: text("a0"), ..Default::default() }, 7),
        (SharedFilter { lead_id: text("a1"), ..Default::default() }, 1),
        (SharedFilter { record_id: text("00Q-a2"), ..Default::default() }, 1),
    ] {
        assert_eq!(pairs(&fixture, filter.clone()).await.len(), expected, "{filter:?}");
    }
    let wrong = fixture.store.list_shared(&SharedFilter::default(), &page(2, text("nonsense"))).await;
    assert!(matches!(wrong, Err(StoreError::BadCursor)));
}

async fn no_order_of_texts_in_the_database_loses_a_pair_between_pages(fixture: Fixture) {
    for lead in ["A0", "C2", "b1", "d3"] {
        person(&fixture, lead, "A", "a@gmail.com").await;
    }
    search(&fixture, 100).await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let listed = fixture.store.list_shared(&SharedFilter::default(), &page(1, cursor)).await.unwrap();
        seen.extend(listed.items.iter().map(told));
        cursor = listed.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["d3", "b1", "C2"].map(|lead| format!("suspected {lead} A0 email")), "capitals before others");
}

async fn what_is_not_found_again_is_dropped_and_what_is_keeps_its_time(fixture: Fixture) {
    for lead in ["a1", "a2", "a3"] {
        person(&fixture, lead, lead, "a@x.example").await;
    }
    assert_eq!(search(&fixture, 100).await, 2);
    fixture.execute("UPDATE leads SET email = 'new@x.example' WHERE lead_id = 'a3'").await;
    assert_eq!(search(&fixture, 200).await, 1);
    let listed = fixture.store.list_shared(&SharedFilter::default(), &page(9, None)).await.unwrap().items;
    assert_eq!(
        listed.iter().map(|pair| (told(pair), pair.since)).collect::<Vec<_>>(),
        [("suspected a2 a1 email".to_owned(), secs(100))]
    );
    assert_eq!(fixture.count("SELECT count(*) FROM suspects").await, 1);
}

async fn what_a_person_told_apart_stays_so_in_whatever_order_it_is_found(fixture: Fixture) {
    for lead in ["a1", "a2", "a3"] {
        person(&fixture, lead, lead, "a@x.example").await;
    }
    assert_eq!(search(&fixture, 100).await, 2);
    let told = |lead: &str, other: &str, apart| ToldApart {
        destination: "crm".into(),
        lead: key(lead),
        other: Compared::Lead(key(other)),
        apart,
    };
    let found = async || {
        let mut found = pairs(&fixture, SharedFilter::default()).await;
        found.sort();
        found
    };
    let open = async || fixture.store.standing_figures().await.unwrap().duplicates_suspected;
    for nobody in [told("a1", "a2", true), told("a3", "a2", true), told("a2\0", "a1", true)].into_iter().chain([
        ToldApart { destination: "crm\0".into(), ..told("a2", "a1", true) },
        ToldApart { lead: LeadKey::new("klozeo\0", "a2"), ..told("a2", "a1", true) },
        ToldApart { other: Compared::Lead(LeadKey::new("klozeo\0", "a1")), ..told("a2", "a1", true) },
    ]) {
        assert!(!fixture.store.tell_apart(&nobody).await.unwrap(), "{nobody:?} is not listed");
    }
    assert!(fixture.store.tell_apart(&told("a2", "a1", true)).await.unwrap());
    let dismissed = ["suspected a2 a1 email by hand", "suspected a3 a1 email"];
    assert_eq!((found().await, open().await), (dismissed.map(str::to_owned).to_vec(), vec![("crm".into(), 1)]));
    assert!(fixture.store.tell_apart(&told("a2", "a1", true)).await.unwrap(), "to say it again changes nothing");
    search(&fixture, 200).await;
    assert_eq!(found().await, dismissed);
    // It is not found for a while, and then the other way round.
    fixture.execute("UPDATE leads SET email = 'b@x.example' WHERE lead_id = 'a1'").await;
    search(&fixture, 300).await;
    assert_eq!(found().await, ["suspected a3 a2 email"], "of this pair nothing was said");
    let reversed = Suspect {
        destination: "crm".into(),
        lead: key("a1"),
        other: key("a2"),
        same: Same::Email,
        found_at: secs(400),
    };
    assert_eq!(fixture.store.suspect(&[reversed]).await.unwrap(), 1);
    assert_eq!(found().await, ["suspected a1 a2 email by hand", "suspected a3 a2 email"]);
    assert!(fixture.store.tell_apart(&told("a1", "a2", false)).await.unwrap());
    assert_eq!(found().await, ["suspected a1 a2 email", "suspected a3 a2 email"], "it is taken back");
    assert_eq!(fixture.count("SELECT count(*) FROM told_apart").await, 0);
}

async fn nothing_is_left_of_an_erased_lead(fixture: Fixture) {
    for lead in ["a1", "a2", "b1", "b2"] {
        person(&fixture, lead, lead, &format!("{}@x.example", &lead[..1])).await;
    }
    assert_eq!(search(&fixture, 100).await, 2);
    for group in ["a", "b"] {
        let (lead, other) = (key(&format!("{group}2")), key(&format!("{group}1")));
        let told = ToldApart { destination: "crm".into(), lead, other: Compared::Lead(other), apart: true };
        assert!(fixture.store.tell_apart(&told).await.unwrap());
    }
    // One of each place in the pair.
    for lead in ["a1", "b2"] {
        fixture.store.erase_lead(&Erasure { lead: key(lead), now: secs(110) }).await.unwrap().unwrap();
    }
    assert_eq!(fixture.count("SELECT count(*) FROM suspects").await, 0);
    assert_eq!(fixture.count("SELECT count(*) FROM told_apart").await, 0);
    // Nor does a search bring it back that read of it before.
    let found = Suspect {
        destination: "crm".into(),
        lead: key("a2"),
        other: key("a1"),
        same: Same::Email,
        found_at: secs(120),
    };
    assert_eq!(fixture.store.suspect(&[found]).await.unwrap(), 0);
}

async fn a_search_costs_as_much_as_there_are_leads_and_not_as_their_pairs(fixture: Fixture) {
    const LEADS: i64 = 30_000;
    // Half of them share one address and one name, the others nothing: 112 million pairs.
    let (series, lacks, value) = fixture.either(
        ("(WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 30000) SELECT n FROM c)", "", ""),
        ("(SELECT n FROM generate_series(1, 30000) AS n)", ", lacks", ", false"),
    );
    fixture
        .execute(&format!(
            "INSERT INTO leads (source, lead_id, revision, document, name, email, deleted, updated_at)
             SELECT 'klozeo', 'l' || n, 1, '{{}}', CASE WHEN n % 2 = 0 THEN 'Test' ELSE 'Name ' || n END,
                    CASE WHEN n % 2 = 0 THEN 'ada@test.example' ELSE 'p' || n || '@acme.example' END, false, us(1) FROM {series} s;
             INSERT INTO links (destination, source, lead_id, object, record_id, matched_by, owner, bases, kept, left_out,
                                fingerprint, revision, linked_at{lacks})
             SELECT 'crm', 'klozeo', 'l' || n, 'Lead', 'r' || n, 'email', true, '{{}}', '{{}}', '{{}}', 'f', 1, us(1){value}
               FROM {series} s"
        ))
        .await;
    let began = Instant::now();
    assert_eq!(search(&fixture, 100).await, LEADS.unsigned_abs() / 2 - 1);
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    let first = fixture.store.list_shared(&SharedFilter::default(), &page(50, None)).await.unwrap();
    assert_eq!(first.items.len(), 50);
}
