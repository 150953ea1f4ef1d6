//! People's orders for single leads.

use leadrelay::domain::plan::{Choice, ConflictKind, Question};
use leadrelay::store::*;

use crate::fixture::*;

on_both_stores! {
    a_link_by_hand_takes_effect_at_once_and_closes_what_was_open,
    a_record_of_a_living_lead_is_not_linked_by_hand_and_that_of_one_that_is_gone_is,
    unlinking_hands_the_record_on_and_keeps_the_lead_apart_from_it,
    an_order_for_a_link_that_changed_since_is_not_carried_out,
    an_excluded_lead_owes_nothing_and_its_record_goes_to_its_sharer,
    a_lead_in_hand_is_looked_at_once_more_when_it_was_excluded,
    a_deleted_record_is_nobodys_any_more,
    questions_about_rows_that_vanished_close_and_others_stay,
    a_resync_of_what_was_planned_otherwise_leaves_the_rest_alone,
}

fn order(lead: &str, record_id: Option<&str>) -> LinkOrder {
    LinkOrder {
        destination: crm(),
        lead: key(lead),
        record: record_id.map(record),
        revision: None,
        by: "ops".to_owned(),
        now: secs(50),
        log: Vec::new(),
    }
}

fn exclusion(lead: &str, excluded: bool) -> Exclusion {
    Exclusion { lead: key(lead), excluded, destinations: vec![crm()], now: secs(50) }
}

/// A folded lead with a link.
async fn linked(fixture: &Fixture, lead: &str, record_id: &str, owner: bool, second: i64) {
    let (token, job) = fixture.claimed(lead, second).await;
    fixture.store.save_leads(&[folded(&fixture.work(lead).await)]).await.unwrap();
    fixture.settle(Settlement { link: put(record_id, owner), ..settlement(token, &job, second + 1) }).await;
}

async fn owner_of(fixture: &Fixture, record_id: &str) -> Option<RecordOwner> {
    fixture.store.find_owners(&crm(), &[record(record_id)]).await.unwrap().remove(0)
}

fn lives(lead: &str) -> Option<RecordOwner> {
    Some(RecordOwner { lead: key(lead), deleted: false, excluded: false })
}

async fn a_link_by_hand_takes_effect_at_once_and_closes_what_was_open(fixture: Fixture) {
    let (token, job) = fixture.claimed("ada", 10).await;
    let asked = Question { kind: ConflictKind::Match, field: None, ..question("which?") };
    let held = JobEnd::Held { code: "match_conflict".into(), detail: "?".into(), look_again_at: None };
    fixture.settle(Settlement { questions: vec![asked], end: held, ..settlement(token, &job, 11) }).await;
    let written = NewLogRow { record: Some(record("r1")), ..log_row(&key("ada"), 50) };
    let ordered =
        fixture.store.order_link(&LinkOrder { log: vec![written], ..order("ada", Some("r1")) }).await.unwrap();
    assert_eq!(ordered, Ordered::Done);
    let work = fixture.work("ada").await;
    let link = work.link.unwrap();
    assert_eq!((&link.record, link.owner, link.is_inherited()), (&record("r1"), true, true));
    assert_eq!(work.open_conflicts, []);
    let closed =
        fixture.store.list_conflicts(&ConflictFilter::default(), &page(9, None)).await.unwrap().items.remove(0);
    assert!(
        matches!(&closed.state, ConflictState::Moot { why: Some(why), .. } if why.contains("a person")),
        "{closed:?}"
    );
    let due = fixture.claim(50).await;
    assert_eq!(due[0].lead, key("ada"));
    assert!(due[0].forced, "whatever refused it before");
    assert_eq!(lanes(&due), [("ada", leadrelay::domain::job::Lane::Linked)]);
    assert_eq!(fixture.count("SELECT count(*) FROM sync_log WHERE record_id = 'r1'").await, 1);
    assert_eq!(fixture.store.order_link(&order("ada", Some("r1"))).await.unwrap(), Ordered::Done, "again is as good");
    assert_eq!(fixture.count("SELECT count(*) FROM links").await, 1);
}

async fn a_record_of_a_living_lead_is_not_linked_by_hand_and_that_of_one_that_is_gone_is(fixture: Fixture) {
    linked(&fixture, "ada", "r1", true, 10).await;
    linked(&fixture, "bob", "r2", true, 20).await;
    let refused = fixture.store.order_link(&order("bob", Some("r1"))).await.unwrap();
    assert_eq!(refused, Ordered::OwnedBy(key("ada")));
    assert_eq!(owner_of(&fixture, "r2").await, lives("bob"), "nothing was changed");
    assert_eq!(fixture.count("SELECT count(*) FROM jobs").await, 0, "nothing is owed");
    fixture.execute("UPDATE leads SET deleted = true WHERE lead_id = 'ada'").await;
    assert_eq!(fixture.store.order_link(&order("bob", Some("r1"))).await.unwrap(), Ordered::Done);
    assert_eq!(owner_of(&fixture, "r1").await, lives("bob"));
    assert_eq!(owner_of(&fixture, "r2").await, None);
}

async fn unlinking_hands_the_record_on_and_keeps_the_lead_apart_from_it(fixture: Fixture) {
    linked(&fixture, "ada", "r1", true, 10).await;
    linked(&fixture, "bob", "r1", false, 20).await;
    assert_eq!(fixture.store.order_link(&order("ada", None)).await.unwrap(), Ordered::Done);
    assert_eq!(owner_of(&fixture, "r1").await, lives("bob"));
    assert!(fixture.work("bob").await.link.unwrap().is_inherited(), "its key replaces the other's");
    assert_eq!(fixture.store.order_link(&order("ada", None)).await.unwrap(), Ordered::NotLinked);
    let apart = fixture.work("ada").await.resolutions;
    assert_eq!((&apart[0].choice, &apart[0].seen_records), (&Choice::Create, &vec![record("r1")]));
    fixture.store.order_link(&order("ada", Some("r2"))).await.unwrap();
    fixture.store.order_link(&order("ada", None)).await.unwrap();
    let apart = fixture.work("ada").await.resolutions;
    assert_eq!(apart[0].seen_records, [record("r1"), record("r2")], "it is neither");
}

async fn an_order_for_a_link_that_changed_since_is_not_carried_out(fixture: Fixture) {
    linked(&fixture, "ada", "r1", true, 10).await;
    for (seen, record_id) in [(7, None), (0, Some("r2"))] {
        let stale = LinkOrder { revision: Some(seen), ..order("ada", record_id) };
        assert_eq!(fixture.store.order_link(&stale).await.unwrap(), Ordered::Changed);
    }
    assert_eq!(owner_of(&fixture, "r1").await, lives("ada"));
    let right = LinkOrder { revision: Some(1), ..order("ada", None) };
    assert_eq!(fixture.store.order_link(&right).await.unwrap(), Ordered::Done);
}

async fn an_excluded_lead_owes_nothing_and_its_record_goes_to_its_sharer(fixture: Fixture) {
    linked(&fixture, "ada", "r1", true, 10).await;
    linked(&fixture, "bob", "r1", false, 20).await;
    linked(&fixture, "cy", "r2", true, 25).await;
    let (token, job) = fixture.claimed("ada", 30).await;
    fixture.settle(Settlement { questions: vec![question("?")], ..settlement(token, &job, 31) }).await;
    fixture.accept(NewEvent { received_at: secs(40), ..event("ada", "{}") }).await;
    assert!(fixture.store.set_excluded(&exclusion("ada", true)).await.unwrap());
    assert!(!fixture.store.set_excluded(&exclusion("ada", true)).await.unwrap(), "it was already");
    assert!(!fixture.store.set_excluded(&exclusion("nobody", true)).await.unwrap());
    let work = fixture.work("ada").await;
    assert!(work.excluded && work.link.is_none() && work.open_conflicts.is_empty(), "{work:?}");
    assert_eq!(owner_of(&fixture, "r1").await, lives("bob"));
    assert_eq!(fixture.claim(50).await.iter().map(|job| &job.lead).collect::<Vec<_>>(), [&key("bob")]);
    let view = fixture.store.load_lead(&key("ada")).await.unwrap().unwrap();
    assert!(view.row.excluded && view.jobs.is_empty());

    fixture.store.set_excluded(&exclusion("cy", true)).await.unwrap();
    let owner = owner_of(&fixture, "r2").await.unwrap();
    assert!(owner.excluded && !owner.deleted, "the next lead that matches takes the record over");
    assert!(fixture.store.set_excluded(&exclusion("cy", false)).await.unwrap());
    assert_eq!(owner_of(&fixture, "r2").await, lives("cy"));
    assert_eq!(fixture.claim(51).await.iter().map(|job| &job.lead).collect::<Vec<_>>(), [&key("cy")]);
}

async fn a_lead_in_hand_is_looked_at_once_more_when_it_was_excluded(fixture: Fixture) {
    linked(&fixture, "ada", "r1", true, 10).await;
    let (token, job) = fixture.claimed("ada", 20).await;
    fixture.store.set_excluded(&exclusion("ada", true)).await.unwrap();
    let planned = LinkChange::Put { link: link("r1", true), planned_with: Some(1) };
    let settled = fixture.settle(Settlement { link: planned, ..settlement(token, &job, 51) }).await;
    assert_eq!(settled, Settled::Recorded { again: true });
    assert_eq!(fixture.claim(51).await.len(), 1);
}

async fn a_deleted_record_is_nobodys_any_more(fixture: Fixture) {
    linked(&fixture, "ada", "r1", true, 10).await;
    linked(&fixture, "bob", "r1", false, 20).await;
    let shared =
        async |fixture: &Fixture| fixture.store.find_shared(&crm(), &[record("r1"), record("r2")]).await.unwrap();
    assert_eq!(shared(&fixture).await, [Sharing::Surely, Sharing::Not]);
    fixture.execute("UPDATE leads SET deleted = true").await;
    assert_eq!(shared(&fixture).await, [Sharing::Not, Sharing::Not]);
    let (token, job) = fixture.claimed("ada", 30).await;
    let stale = LinkChange::Drop { record: record("r1"), planned_with: Some(7) };
    let settled = fixture.settle(Settlement { link: stale, ..settlement(token, &job, 31) }).await;
    assert_eq!(settled, Settled::Recorded { again: true }, "the link moved meanwhile");
    assert_eq!(fixture.count("SELECT count(*) FROM links").await, 2);
    let claim = claim(32);
    let job = fixture.store.claim_jobs(&claim).await.unwrap().remove(0);
    let drop = LinkChange::Drop { record: record("r1"), planned_with: Some(1) };
    let settled = fixture.settle(Settlement { link: drop, ..settlement(claim.token, &job, 33) }).await;
    assert_eq!(settled, Settled::Recorded { again: false });
    assert_eq!(fixture.count("SELECT count(*) FROM links").await, 0, "the other lead is gone, too");
}

async fn questions_about_rows_that_vanished_close_and_others_stay(fixture: Fixture) {
    let (token, job) = fixture.claimed("ada", 10).await;
    let city = Question { field: Some("City".into()), ..question("which city?") };
    let which = Question { kind: ConflictKind::Match, field: None, ..question("which?") };
    let questions = vec![question("which address?"), city, which];
    fixture.settle(Settlement { questions, ..settlement(token, &job, 11) }).await;
    assert_eq!(fixture.store.close_vanished(&crm(), &["Email".into()], secs(20)).await.unwrap(), 1);
    let open = ConflictFilter { state: text("open"), ..ConflictFilter::default() };
    let open = fixture.store.list_conflicts(&open, &page(9, None)).await.unwrap().items;
    assert_eq!(open.iter().map(|row| row.question.detail.as_str()).collect::<Vec<_>>(), ["which?", "which address?"]);
    assert_eq!(fixture.store.close_vanished(&crm(), &[], secs(21)).await.unwrap(), 1);
}

async fn a_resync_of_what_was_planned_otherwise_leaves_the_rest_alone(fixture: Fixture) {
    linked(&fixture, "ada", "r1", true, 10).await;
    linked(&fixture, "bob", "r2", true, 20).await;
    fixture.execute("UPDATE links SET fingerprint = 'f2' WHERE lead_id = 'bob'").await;
    for (fingerprint, expected) in [(None, vec!["ada", "bob"]), (text("f1"), vec!["bob"]), (text("f2"), vec!["ada"])] {
        let scope =
            ResyncScope { planned_otherwise_than: fingerprint, ..ResyncScope::of(crm(), vec!["klozeo".into()]) };
        let leads = fixture.store.leads_after(&scope, None, 9).await.unwrap();
        assert_eq!(leads.iter().map(|lead| lead.id.as_str()).collect::<Vec<_>>(), expected);
        assert_eq!(fixture.store.count_leads(&scope).await.unwrap(), expected.len() as u64);
    }
    for gone in ["deleted", "excluded"] {
        fixture.execute(&format!("UPDATE leads SET {gone} = true WHERE lead_id = 'ada'")).await;
        for (fingerprint, expected) in [(None, 2), (text("another"), 1)] {
            let scope =
                ResyncScope { planned_otherwise_than: fingerprint, ..ResyncScope::of(crm(), vec!["klozeo".into()]) };
            assert_eq!(fixture.store.leads_after(&scope, None, 9).await.unwrap().len(), expected, "{gone}");
            assert_eq!(fixture.store.count_leads(&scope).await.unwrap(), expected as u64, "{gone}");
        }
        fixture.execute(&format!("UPDATE leads SET {gone} = false WHERE lead_id = 'ada'")).await;
    }
}
