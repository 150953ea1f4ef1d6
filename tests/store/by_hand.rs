//! People's orders for single leads.

use leadrelay::domain::ids::DestinationName;
use leadrelay::domain::job::Class;
use leadrelay::domain::plan::{Choice, ConflictKind, Question};
use leadrelay::store::*;

use crate::fixture::*;
use crate::people::audited;

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
    a_resync_knows_by_which_rules_a_lead_was_left_alone,
    questions_of_a_destination_that_went_close_and_are_asked_again_once_it_is_back,
    questions_about_companies_close_where_none_are_looked_up,
    many_questions_close_and_are_asked_again_piece_by_piece,
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
    Exclusion { lead: key(lead), excluded, destinations: vec![crm()], by: "ops".to_owned(), now: secs(50) }
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
    let unlinked = "ops: lead.unlink lead klozeo/ada crm";
    assert_eq!(audited(&fixture).await, [unlinked, "ops: lead.link lead klozeo/ada crm: Lead r2", unlinked]);
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
    let told = ["exclude lead klozeo/ada", "exclude lead klozeo/cy", "include lead klozeo/cy"];
    assert_eq!(audited(&fixture).await, told.map(|what| format!("ops: lead.{what}")));
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
    assert_eq!(fixture.store.close_vanished(&crm(), &["Email".into()], true, secs(20)).await.unwrap(), 1);
    let open = ConflictFilter { state: text("open"), ..ConflictFilter::default() };
    let open = fixture.store.list_conflicts(&open, &page(9, None)).await.unwrap().items;
    assert_eq!(open.iter().map(|row| row.question.detail.as_str()).collect::<Vec<_>>(), ["which?", "which address?"]);
    assert_eq!(fixture.store.close_vanished(&crm(), &[], true, secs(21)).await.unwrap(), 1);
}

async fn a_resync_of_what_was_planned_otherwise_leaves_the_rest_alone(fixture: Fixture) {
    linked(&fixture, "ada", "r1", true, 10).await;
    linked(&fixture, "bob", "r2", true, 20).await;
    fixture.execute("UPDATE links SET fingerprint = 'f2' WHERE lead_id = 'bob'").await;
    for (fingerprint, expected) in [(None, vec!["ada", "bob"]), (Some("f1"), vec!["bob"]), (Some("f2"), vec!["ada"])] {
        let scope = planned_otherwise_than(fingerprint, false);
        let leads = fixture.store.leads_after(&scope, None, 9).await.unwrap();
        assert_eq!(leads.iter().map(|lead| lead.id.as_str()).collect::<Vec<_>>(), expected);
        assert_eq!(fixture.store.count_leads(&scope).await.unwrap(), expected.len() as u64);
    }
    for gone in ["deleted", "excluded"] {
        fixture.execute(&format!("UPDATE leads SET {gone} = true WHERE lead_id = 'ada'")).await;
        for (fingerprint, expected) in [(None, 2), (Some("another"), 1)] {
            let scope = planned_otherwise_than(fingerprint, false);
            assert_eq!(fixture.store.leads_after(&scope, None, 9).await.unwrap().len(), expected, "{gone}");
            assert_eq!(fixture.store.count_leads(&scope).await.unwrap(), expected as u64, "{gone}");
        }
        fixture.execute(&format!("UPDATE leads SET {gone} = false WHERE lead_id = 'ada'")).await;
    }
}

fn planned_otherwise_than(fingerprint: Option<&str>, observed: bool) -> ResyncScope {
    let rules = fingerprint.map(|fingerprint| PlannedBy { fingerprint: fingerprint.to_owned(), observed });
    ResyncScope { planned_otherwise_than: rules, ..ResyncScope::of(crm(), vec!["klozeo".into()]) }
}

async fn a_resync_knows_by_which_rules_a_lead_was_left_alone(fixture: Fixture) {
    let planned = async |lead: &str, at: i64, left_alone: Option<PlannedBy>, end: JobEnd| {
        let (token, job) = fixture.claimed(lead, at).await;
        fixture.store.save_leads(&[folded(&fixture.work(lead).await)]).await.unwrap();
        fixture.settle(Settlement { left_alone, end, ..settlement(token, &job, at + 1) }).await;
    };
    let by = |fingerprint: &str, observed| Some(PlannedBy { fingerprint: fingerprint.to_owned(), observed });
    let check = async |fingerprint: &str, observed: bool, expected: &[&str]| {
        let scope = planned_otherwise_than(Some(fingerprint), observed);
        let leads = fixture.store.leads_after(&scope, None, 9).await.unwrap();
        assert_eq!(leads.iter().map(|lead| lead.id.as_str()).collect::<Vec<_>>(), expected, "{fingerprint} {observed}");
        assert_eq!(fixture.store.count_leads(&scope).await.unwrap(), expected.len() as u64);
        let q = ResyncScope { q: text("b"), ..scope };
        assert_eq!(fixture.store.count_leads(&q).await.unwrap(), u64::from(expected.contains(&"bob")));
    };
    linked(&fixture, "ada", "r1", true, 10).await;
    planned("bob", 20, by("f1", false), JobEnd::Done).await;
    planned("cleo", 30, by("f1", true), JobEnd::Done).await;
    planned("dora", 40, None, JobEnd::Done).await;
    check("f1", true, &[]).await;
    check("f1", false, &["cleo"]).await;
    check("f2", true, &["ada", "bob", "cleo"]).await;
    // What was only observed comes after what the link tells.
    planned("ada", 50, by("f2", false), JobEnd::Done).await;
    check("f1", false, &["ada", "cleo"]).await;
    // An attempt that is made again says nothing; one that ended for good does.
    let retry = retry(secs(900), true);
    planned("ada", 60, None, retry).await;
    check("f1", false, &["ada", "cleo"]).await;
    let held = JobEnd::Held { code: "match_conflict".to_owned(), detail: String::new(), look_again_at: None };
    planned("cleo", 70, None, held).await;
    check("f1", false, &["ada"]).await;
    fixture.execute("UPDATE leads SET excluded = true WHERE lead_id = 'ada'").await;
    check("f1", false, &[]).await;
}

async fn questions_of_a_destination_that_went_close_and_are_asked_again_once_it_is_back(fixture: Fixture) {
    let (token, job) = fixture.claimed("ada", 10).await;
    let which = Question { kind: ConflictKind::Match, field: None, ..question("which?") };
    fixture
        .settle(Settlement { questions: vec![question("which address?"), which], ..settlement(token, &job, 11) })
        .await;
    let follow = async |known: &[&str], at: i64| {
        let known: Vec<DestinationName> = known.iter().map(|name| (*name).into()).collect();
        fixture.store.close_orphaned(&known, secs(at)).await.unwrap()
    };
    assert_eq!(follow(&["crm", "other"], 20).await, 0);
    assert_eq!((follow(&["other"], 30).await, follow(&["other"], 31).await), (2, 0));
    assert_eq!(fixture.store.standing_figures().await.unwrap().open_conflicts, []);
    assert!(fixture.claim(32).await.is_empty(), "nothing is owed to one that is away");
    assert_eq!(follow(&["crm", "other"], 40).await, 0);
    let claim = claim(41);
    let owed = fixture.store.claim_jobs(&claim).await.unwrap();
    assert_eq!((owed.len(), owed[0].class), (1, Class::Backfill), "it is planned, and asks what still stands");
    fixture.settle(settlement(claim.token, &owed[0], 42)).await;
    assert_eq!(follow(&["crm", "other"], 50).await, 0);
    assert!(fixture.claim(51).await.is_empty(), "once");
}

async fn questions_about_companies_close_where_none_are_looked_up(fixture: Fixture) {
    let (token, job) = fixture.claimed("ada", 10).await;
    let of = |kind, field: Option<&str>| Question { kind, field: field.map(Into::into), ..question("?") };
    let questions = vec![of(ConflictKind::Company, None), of(ConflictKind::Match, None), question("which address?")];
    fixture.settle(Settlement { questions, ..settlement(token, &job, 11) }).await;
    let email = ["Email".into()];
    assert_eq!(fixture.store.close_vanished(&crm(), &email, true, secs(20)).await.unwrap(), 0);
    assert_eq!(fixture.store.close_vanished(&crm(), &email, false, secs(20)).await.unwrap(), 1);
    let closed = ConflictFilter { state: text("moot"), ..ConflictFilter::default() };
    let closed = fixture.store.list_conflicts(&closed, &page(9, None)).await.unwrap().items;
    assert_eq!(closed[0].question.kind, ConflictKind::Company);
    let ConflictState::Moot { why: Some(why), .. } = &closed[0].state else { panic!("{:?}", closed[0]) };
    assert_eq!(why, "companies are not looked up any more");
    assert_eq!(fixture.store.close_vanished(&crm(), &[], false, secs(21)).await.unwrap(), 1);
    assert!(fixture.claim(22).await.is_empty());
    for (fields, companies, owed) in [(&email[..], false, 1), (&email[..0], true, 1), (&email[..], true, 0)] {
        fixture.store.close_vanished(&crm(), fields, companies, secs(30)).await.unwrap();
        let claim = claim(31);
        let jobs = fixture.store.claim_jobs(&claim).await.unwrap();
        assert_eq!(jobs.len(), owed, "what can be answered again is looked at again, once");
        for job in &jobs {
            fixture.settle(settlement(claim.token, job, 32)).await;
        }
    }
}

async fn many_questions_close_and_are_asked_again_piece_by_piece(fixture: Fixture) {
    const MANY: i64 = 1500;
    fixture
        .execute(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY})
             INSERT INTO conflicts (destination, source, lead_id, kind, field, state, revision, question, opened_at, updated_at)
             SELECT 'crm', 'klozeo', 'l' || i, 'field', 'Email', 'open', 1, '{{}}', us(1), us(1) FROM n"
        ))
        .await;
    let last = format!("new.lead_id = 'l{MANY}'");
    let (here, away, email): (_, [DestinationName; 1], _) = ([crm()], ["other".into()], ["Email".into()]);
    let store = &fixture.store;
    let orphaned = async |known: &[DestinationName]| store.close_orphaned(known, secs(20)).await;
    let vanished = async |fields: &[_]| store.close_vanished(&crm(), fields, true, secs(20)).await;
    let open = async || fixture.count("SELECT count(*) FROM conflicts WHERE state = 'open'").await;
    let owed = async || fixture.count("SELECT count(*) FROM jobs").await;
    for by_rows in [false, true] {
        let close = async || if by_rows { vanished(&[]).await } else { orphaned(&away).await };
        let ask = async || if by_rows { vanished(&email).await } else { orphaned(&here).await };
        fixture.refuse_changes("conflicts", &last).await;
        close().await.unwrap_err();
        let left = open().await;
        assert!((1..MANY).contains(&left), "{left} are open: the pieces before the one that failed stay");
        fixture.refuse_no_more("conflicts").await;
        assert_eq!(close().await.unwrap(), left as u64, "the rest");
        assert_eq!(open().await, 0);

        fixture.refuse("jobs", &last).await;
        ask().await.unwrap_err();
        assert!((1..MANY).contains(&owed().await), "{} are owed", owed().await);
        fixture.refuse_no_more("jobs").await;
        ask().await.unwrap();
        assert_eq!(owed().await, MANY);
        fixture.execute("DELETE FROM jobs").await;
        ask().await.unwrap();
        assert_eq!(owed().await, 0, "once");
        fixture.execute("UPDATE conflicts SET state = 'open', closed_why = NULL, closed_at = NULL").await;
    }
}
