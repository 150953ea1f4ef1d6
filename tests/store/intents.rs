//! Announced writes, and those that were never answered.

use leadrelay::domain::plan::{BasePair, Link};
use leadrelay::domain::record::CrmValue;
use leadrelay::store::*;

use crate::fixture::*;

on_both_stores! {
    a_write_that_may_have_landed_late_is_looked_at_once_more_and_then_forgotten,
    nothing_is_announced_with_a_lost_lease,
    what_a_look_found_is_committed_with_the_write_that_follows_it,
    a_create_is_open_until_its_lead_has_a_record_or_it_can_land_no_more,
}

async fn a_write_that_may_have_landed_late_is_looked_at_once_more_and_then_forgotten(fixture: Fixture) {
    fixture.accept(event("ada", "a")).await;
    let first = claim(10);
    let jobs = fixture.store.claim_jobs(&first).await.unwrap();
    let intent = fixture.store.announce(&announcement(first.token, "ada", 11)).await.unwrap()[0].unwrap().intent;
    let intents = vec![(intent, IntentEnd::OpenUntil(secs(911)))];
    fixture.store.settle(vec![Settlement { intents, ..settlement(first.token, &jobs[0], 12) }]).await;
    assert_eq!(fixture.store.close_late_intents(secs(910)).await.unwrap(), 0);
    assert_eq!(fixture.store.close_late_intents(secs(911)).await.unwrap(), 1);
    let second = claim(911);
    let jobs = fixture.store.claim_jobs(&second).await.unwrap();
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    assert_eq!((jobs.len(), work[0].intents.len()), (1, 1));
    fixture.store.settle(vec![settlement(second.token, &jobs[0], 912)]).await;
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    assert!(work[0].intents.is_empty());
    assert_eq!(fixture.store.close_late_intents(micros(i64::MAX)).await.unwrap(), 0);
}

async fn nothing_is_announced_with_a_lost_lease(fixture: Fixture) {
    fixture.accept(event("ada", "a")).await;
    let first = claim(10);
    fixture.store.claim_jobs(&first).await.unwrap();
    assert_eq!(fixture.store.announce(&announcement(first.token, "ada", 100)).await.unwrap(), [None], "it ran out");
    assert_eq!(fixture.store.announce(&announcement(uuid::Uuid::nil(), "ada", 11)).await.unwrap(), [None]);
    assert_eq!(fixture.count("SELECT count(*) FROM intents").await, 0);
}

async fn what_a_look_found_is_committed_with_the_write_that_follows_it(fixture: Fixture) {
    fixture.accept(event("ada", "a")).await;
    let claim = claim(10);
    fixture.store.claim_jobs(&claim).await.unwrap();
    let city = |value: &str| {
        let pair = BasePair { lead: CrmValue::Text(value.to_owned()), crm: CrmValue::Text(value.to_owned()) };
        Link { bases: [("City".into(), pair)].into(), ..link("r1", true) }
    };
    let announce = async |known: (Link, Option<i64>)| {
        let mut announcement = announcement(claim.token, "ada", 11);
        announcement.writes[0].known = Some(known);
        fixture.store.announce(&announcement).await.unwrap()[0].unwrap().linked
    };
    let stored = async || fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap().remove(0).link.unwrap();
    assert_eq!(announce((city("Berlin"), None)).await, Some(1));
    assert_eq!((stored().await.bases, stored().await.revision), (city("Berlin").bases, 1));
    assert_eq!(announce((city("Bonn"), Some(1))).await, Some(2));
    assert_eq!((stored().await.bases, stored().await.revision), (city("Bonn").bases, 2));
    assert_eq!(announce((city("Köln"), Some(1))).await, None, "it moved meanwhile");
    assert_eq!(announce((city("Köln"), None)).await, None);
    assert_eq!(stored().await.bases, city("Bonn").bases);
    assert_eq!(fixture.count("SELECT count(*) FROM intents").await, 4, "announced all the same");
}

async fn a_create_is_open_until_its_lead_has_a_record_or_it_can_land_no_more(fixture: Fixture) {
    for lead in ["ada", "bob"] {
        fixture.accept(event(lead, lead)).await;
    }
    let first = claim(10);
    let jobs = fixture.store.claim_jobs(&first).await.unwrap();
    let open = async |at_work: &[LeaseToken]| {
        let open = fixture.store.find_open_creates(&crm(), at_work, secs(12)).await.unwrap();
        open.into_iter().map(|create| create.lead.id.to_string()).collect::<Vec<_>>()
    };
    let mut settlements = Vec::new();
    for job in &jobs {
        let intent =
            fixture.store.announce(&announcement(first.token, job.lead.id.as_str(), 11)).await.unwrap()[0].unwrap();
        let end = retry(secs(13), true);
        let intents = vec![(intent.intent, IntentEnd::OpenUntil(secs(911)))];
        settlements.push(Settlement { intents, end, ..settlement(first.token, job, 12) });
    }
    assert!(open(&[first.token]).await.is_empty(), "under way");
    assert_eq!(open(&[]).await, ["ada", "bob"], "their batch ended without settling");
    fixture.store.settle(settlements).await;
    assert_eq!(open(&[]).await, ["ada", "bob"], "without an answer");
    let second = claim(13);
    let jobs = fixture.store.claim_jobs(&second).await.unwrap();
    let found = LinkChange::Put { link: link("r1", true), planned_with: None };
    fixture.store.settle(vec![Settlement { link: found, ..settlement(second.token, &jobs[0], 14) }]).await;
    assert_eq!(open(&[]).await, ["bob"]);
    fixture.store.close_late_intents(secs(911)).await.unwrap();
    assert!(open(&[]).await.is_empty());
}
