use crate::domain::ids::EventId;
use crate::domain::lead::Lead;
use crate::store::sqlite::fixtures::*;
use crate::store::*;

fn folded(work: &Work) -> FoldedLead {
    FoldedLead {
        lead: Lead::new(work.key.clone()),
        expected: work.lead.as_ref().map(|(_, revision)| *revision),
        events: work.unfolded.iter().map(|event| (event.id, EventState::Folded)).collect(),
        email: Some("ada@a.example".to_owned()),
        name: None,
    }
}

#[tokio::test]
async fn work_comes_in_the_order_asked_and_long_histories_in_steps() {
    let fixture = Fixture::new().await;
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

#[tokio::test]
async fn a_lead_that_moved_meanwhile_is_not_saved_over() {
    let fixture = Fixture::new().await;
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

#[tokio::test]
async fn a_replayed_event_puts_the_whole_lead_back() {
    let fixture = Fixture::new().await;
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

#[tokio::test]
async fn the_most_calls_of_an_hour_are_remembered() {
    let fixture = Fixture::new().await;
    for (hour, calls) in [(3600, 2), (3600, 5), (3600, 3), (7200, 1)] {
        fixture.store.save_calls(&crm(), secs(hour), calls).await.unwrap();
    }
    assert_eq!(fixture.store.calls_since(&crm(), secs(3600)).await.unwrap(), [(secs(3600), 5), (secs(7200), 1)]);
    assert_eq!(fixture.store.calls_since(&crm(), secs(3601)).await.unwrap(), [(secs(7200), 1)]);
}
