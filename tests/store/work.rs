//! Loading what planning needs, folding, replaying.

use leadrelay::domain::ids::EventId;
use leadrelay::store::*;

use crate::fixture::*;

on_both_stores! {
    work_comes_in_the_order_asked_and_long_histories_in_steps,
    a_lead_that_moved_meanwhile_is_not_saved_over,
    a_replayed_event_puts_the_whole_lead_back,
}

async fn work_comes_in_the_order_asked_and_long_histories_in_steps(fixture: Fixture) {
    let events = (0..501).map(|n| event("busy", &format!("{n}"))).chain([event("quiet", "q")]).collect();
    fixture.store.accept_events(events).await.unwrap();
    let work = fixture.store.load_work(&crm(), &[key("quiet"), key("nobody"), key("busy")]).await.unwrap();
    let sizes: Vec<_> = work.iter().map(|work| (work.key.id.as_str(), work.unfolded.len(), work.more_events)).collect();
    assert_eq!(sizes, [("quiet", 1, false), ("nobody", 0, false), ("busy", 500, true)]);
    assert!(work[2].unfolded.is_sorted_by_key(|event| event.id));
    assert_eq!(fixture.store.save_leads(&[folded(&work[2])]).await.unwrap(), [true]);
    let rest = fixture.store.load_work(&crm(), &[key("busy")]).await.unwrap();
    assert_eq!((rest[0].unfolded.len(), rest[0].more_events), (1, false));
    assert_eq!(rest[0].lead.as_ref().map(|(_, revision)| *revision), Some(1));
}

async fn a_lead_that_moved_meanwhile_is_not_saved_over(fixture: Fixture) {
    fixture.accept(event("ada", "a")).await;
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    let first = folded(&work[0]);
    assert_eq!(fixture.store.save_leads(std::slice::from_ref(&first)).await.unwrap(), [true]);
    let late = fixture.accept(event("ada", "b")).await;
    let stale = FoldedLead { events: vec![(late.id, EventState::Folded)], ..first };
    assert_eq!(fixture.store.save_leads(&[stale]).await.unwrap(), [false]);
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    assert_eq!(work[0].unfolded.iter().map(|event| event.id).collect::<Vec<_>>(), [late.id]);
}

async fn a_replayed_event_puts_the_whole_lead_back(fixture: Fixture) {
    let first = fixture.accept(event("ada", "a")).await;
    fixture.accept(event("ada", "b")).await;
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    fixture.store.save_leads(&[folded(&work[0])]).await.unwrap();
    let reread = Reread {
        lead: Some("ada".into()),
        kind: EventKind::Upsert,
        event_type: None,
        state: EventState::Stored,
        reason: None,
    };
    let replay = |id| fixture.store.replay_event(id, reread.clone(), &[], secs(50));
    assert_eq!(replay(first.id).await.unwrap(), Some(()));
    assert_eq!(replay(EventId(999)).await.unwrap(), None);
    let work = fixture.store.load_work(&crm(), &[key("ada")]).await.unwrap();
    assert_eq!((work[0].unfolded.len(), work[0].lead.as_ref().map(|(_, revision)| *revision)), (2, Some(2)));
}
