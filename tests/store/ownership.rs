//! Whose a record is.

use leadrelay::domain::plan::{BasePair, ConflictKind, Link, Question};
use leadrelay::domain::record::CrmValue;
use leadrelay::store::*;

use crate::fixture::*;
use crate::rows::insert_job;

on_both_stores! {
    a_record_has_one_owner_and_the_second_lead_is_planned_again,
    a_link_that_moved_meanwhile_stands,
    a_released_record_goes_to_the_oldest_living_sharer,
    a_record_never_goes_to_a_lead_that_may_be_another_person,
    a_deleted_owner_is_owed_again_once_nobody_may_share_its_record,
    a_record_that_a_deleted_lead_is_found_to_have_made_goes_to_its_sharer_too,
    a_deleted_lead_keeps_its_record_until_another_one_takes_it,
    leads_with_rows_left_out_are_found_once_other_rules_hold,
    keys_that_were_formed_otherwise_are_counted,
}

async fn a_record_has_one_owner_and_the_second_lead_is_planned_again(fixture: Fixture) {
    let (token, job) = fixture.claimed("ada", 10).await;
    fixture.settle(Settlement { link: put("r1", true), ..settlement(token, &job, 11) }).await;
    let (token, job) = fixture.claimed("bob", 20).await;
    let second = Settlement { link: put("r1", true), ..settlement(token, &job, 21) };
    assert_eq!(fixture.settle(second).await, Settled::Recorded { again: true });
    assert_eq!(fixture.count("SELECT count(*) FROM links").await, 1);
    assert_eq!(fixture.claim(21).await[0].lead, key("bob"));
}

async fn a_link_that_moved_meanwhile_stands(fixture: Fixture) {
    let (token, job) = fixture.claimed("ada", 10).await;
    fixture.settle(Settlement { link: put("r1", true), ..settlement(token, &job, 11) }).await;
    let (token, job) = fixture.claimed("ada", 20).await;
    fixture.execute("UPDATE links SET record_id = 'by-hand', revision = 2").await;
    let planned = LinkChange::Put { link: link("r1", true), planned_with: Some(1) };
    let late = Settlement { link: planned, ..settlement(token, &job, 21) };
    assert_eq!(fixture.settle(late).await, Settled::Recorded { again: true });
    assert_eq!(fixture.count("SELECT count(*) FROM links WHERE record_id = 'by-hand'").await, 1);
}

async fn a_released_record_goes_to_the_oldest_living_sharer(fixture: Fixture) {
    for (lead, owner, second) in [("ada", true, 10), ("bob", false, 20), ("cy", false, 30)] {
        let (token, job) = fixture.claimed(lead, second).await;
        fixture.store.save_leads(&[folded(&fixture.work(lead).await)]).await.unwrap();
        fixture.settle(Settlement { link: put("r1", owner), ..settlement(token, &job, second + 1) }).await;
    }
    fixture.execute("UPDATE leads SET deleted = true WHERE lead_id = 'bob'").await;
    let (token, job) = fixture.claimed("ada", 40).await;
    let release = LinkChange::Release { planned_with: 1 };
    fixture.settle(Settlement { link: release, ..settlement(token, &job, 41) }).await;
    let work = fixture.store.load_work(&crm(), &[key("ada"), key("bob"), key("cy")]).await.unwrap();
    let owners: Vec<_> = work.iter().map(|work| work.link.as_ref().map(|link| link.owner)).collect();
    assert_eq!(owners, [None, Some(false), Some(true)]);
    assert_eq!(fixture.claim(41).await[0].lead, key("cy"), "the new owner has to be synced");
    assert_eq!(fixture.count("SELECT count(*) FROM sync_log WHERE error_code = 'became_owner'").await, 1);
}

/// Links leads to one record: its owner, and sharers of whom it is not settled whether they are that person.
async fn with_sharers_in_doubt(fixture: &Fixture, leads: &[(&str, bool)]) {
    for (nth, (lead, in_doubt)) in leads.iter().enumerate() {
        let second = 10 * (1 + nth as i64);
        let (token, job) = fixture.claimed(lead, second).await;
        fixture.store.save_leads(&[folded(&fixture.work(lead).await)]).await.unwrap();
        let link = Link { in_doubt: in_doubt.then(|| "r0".into()), ..link("r1", nth == 0) };
        let put = LinkChange::Put { link, planned_with: None };
        let questions = if *in_doubt {
            let about = Some(record("r0"));
            let shared =
                Question { kind: ConflictKind::SharedRecord, field: None, record: about, ..question("another?") };
            vec![shared]
        } else {
            Vec::new()
        };
        fixture.settle(Settlement { link: put, questions, ..settlement(token, &job, second + 1) }).await;
    }
}

async fn a_record_never_goes_to_a_lead_that_may_be_another_person(fixture: Fixture) {
    with_sharers_in_doubt(&fixture, &[("ada", false), ("bob", true), ("cy", false)]).await;
    let stands = async || {
        let shared = fixture.store.find_shared(&crm(), &[record("r1"), record("r2")]).await.unwrap();
        let keys = [key("ada"), key("bob"), key("cy")];
        let work = fixture.store.load_work(&crm(), &keys).await.unwrap();
        let owns = |work: &Work| work.link.as_ref().map(|link| (link.owner, link.in_doubt.is_some()));
        (shared, work.iter().map(owns).collect::<Vec<_>>())
    };
    let all = vec![Some((true, false)), Some((false, true)), Some((false, false))];
    assert_eq!(stands().await, (vec![Sharing::Surely, Sharing::Not], all));
    let gone = async |lead: &str| {
        let exclusion = Exclusion {
            lead: key(lead),
            excluded: true,
            destinations: Vec::new(),
            by: "ops".to_owned(),
            now: secs(50),
        };
        assert!(fixture.store.set_excluded(&exclusion).await.unwrap());
    };
    gone("ada").await;
    assert_eq!(stands().await.1, [None, Some((false, true)), Some((true, false))]);
    // Nobody else is left: it stays with the one that is gone, until a person says that it is bob's.
    assert_eq!(stands().await.0[0], Sharing::InDoubt);
    gone("cy").await;
    assert_eq!(stands().await.1, [None, Some((false, true)), Some((true, false))]);
    fixture.execute("UPDATE conflicts SET state = 'moot', closed_at = us(1)").await;
    assert_eq!(stands().await.0[0], Sharing::InDoubt, "the question was closed and never answered");
    for (choice, told) in [("lead", Sharing::InDoubt), ("crm", Sharing::Not), ("create", Sharing::Not)] {
        let answer = format!(r#"{{"choice":"{choice}","by":"ops","at":1}}"#);
        fixture.execute(&format!("UPDATE conflicts SET state = 'resolved', answer = '{answer}'")).await;
        assert_eq!(stands().await.0[0], told, "{choice}");
    }
    let anew = "INSERT INTO conflicts (destination, source, lead_id, kind, field, state, revision, question, opened_at, updated_at)
                VALUES ('crm', 'klozeo', 'bob', 'shared_record', '', 'open', 1,
                        '{\"record\":{\"object\":\"Lead\",\"id\":\"r1\"},\"detail\":\"anew\"}', us(2), us(2))";
    fixture.execute(anew).await;
    assert_eq!(stands().await.0[0], Sharing::InDoubt, "of what it was merged into a person is asked anew");
    let of_another = r#"{"record":{"object":"Lead","id":"r9"},"detail":"of another"}"#;
    fixture.execute(&format!("UPDATE conflicts SET question = '{of_another}' WHERE state = 'open'")).await;
    assert_eq!(stands().await.0[0], Sharing::Not, "that is about another record");
    let second = claim(60);
    fixture.accept(event("bob", "{}")).await;
    let job = fixture.store.claim_jobs(&second).await.unwrap().remove(0);
    let taken = LinkChange::Put { link: link("r1", true), planned_with: Some(1) };
    fixture.settle(Settlement { link: taken, ..settlement(second.token, &job, 61) }).await;
    assert_eq!(stands().await.1, [None, Some((true, false)), None]);
}

async fn a_deleted_owner_is_owed_again_once_nobody_may_share_its_record(fixture: Fixture) {
    with_sharers_in_doubt(&fixture, &[("ada", false), ("bob", true), ("cy", true), ("dora", true), ("eve", true)])
        .await;
    let order = |lead: &str, to: Option<&str>| LinkOrder {
        destination: crm(),
        lead: key(lead),
        record: to.map(record),
        revision: None,
        by: "ops".to_owned(),
        now: secs(60),
        log: Vec::new(),
    };
    // It waits for another try, which whoever asks does not wait for; nobody asked it to write what was refused.
    let waits = async || {
        fixture.execute("DELETE FROM jobs").await;
        insert_job(&fixture, "ada", "owed", None, None).await;
        fixture.execute("UPDATE jobs SET due_at = us(900000000)").await;
    };
    let owed = async || {
        let due = "SELECT count(*) FROM jobs WHERE lead_id = 'ada' AND due_at <= us(70000000) AND NOT forced";
        let owed = fixture.count(due).await;
        waits().await;
        owed
    };
    waits().await;
    fixture.execute("UPDATE leads SET deleted = true WHERE lead_id = 'ada'").await;
    assert_eq!(fixture.store.order_link(&order("bob", None)).await.unwrap(), Ordered::Done);
    assert_eq!(owed().await, 1, "unlinked");
    assert_eq!(fixture.store.order_link(&order("cy", Some("r2"))).await.unwrap(), Ordered::Done);
    assert_eq!(owed().await, 1, "linked to another");
    let exclusion =
        Exclusion { lead: key("dora"), excluded: true, destinations: Vec::new(), by: "ops".to_owned(), now: secs(60) };
    assert!(fixture.store.set_excluded(&exclusion).await.unwrap());
    assert_eq!(owed().await, 1, "excluded");
    fixture.execute("UPDATE leads SET deleted = false WHERE lead_id = 'ada'").await;
    assert!(fixture.store.set_excluded(&Exclusion { excluded: false, ..exclusion.clone() }).await.unwrap());
    assert!(fixture.store.set_excluded(&exclusion).await.unwrap());
    assert_eq!(owed().await, 0, "the owner lives");
    fixture.execute("UPDATE leads SET deleted = true WHERE lead_id = 'ada'").await;
    // By its jobs a destination is known.
    fixture.accept(event("nobody", "{}")).await;
    fixture.store.erase_lead(&Erasure { lead: key("eve"), now: secs(70) }).await.unwrap().unwrap();
    assert_eq!(owed().await, 1, "erased");
}

async fn a_record_that_a_deleted_lead_is_found_to_have_made_goes_to_its_sharer_too(fixture: Fixture) {
    let (token, job) = fixture.claimed("bob", 10).await;
    fixture.settle(Settlement { link: put("r1", false), ..settlement(token, &job, 11) }).await;
    fixture
        .execute(
            "INSERT INTO leads (source, lead_id, revision, document, deleted, updated_at)
             VALUES ('klozeo', 'ada', 1, '{}', true, us(1)), ('klozeo', 'bob', 1, '{}', false, us(1))",
        )
        .await;
    let (token, job) = fixture.claimed("ada", 20).await;
    let found = LinkChange::PutAndRelease { link: link("r1", true), planned_with: None };
    let settled = fixture.settle(Settlement { link: found, ..settlement(token, &job, 21) }).await;
    assert_eq!(settled, Settled::Recorded { again: false });
    let owner = fixture.store.find_owners(&crm(), &[record("r1")]).await.unwrap().remove(0);
    assert_eq!(owner, Some(RecordOwner { lead: key("bob"), deleted: false, excluded: false }));
    assert_eq!(fixture.claim(21).await[0].lead, key("bob"), "the new owner has to be synced");
}

async fn a_deleted_lead_keeps_its_record_until_another_one_takes_it(fixture: Fixture) {
    let owner_of =
        async |fixture: &Fixture| fixture.store.find_owners(&crm(), &[record("r1")]).await.unwrap().remove(0);
    let (token, job) = fixture.claimed("ada", 10).await;
    fixture.settle(Settlement { link: put("r1", true), ..settlement(token, &job, 11) }).await;
    fixture
        .execute(
            "INSERT INTO leads (source, lead_id, revision, document, deleted, updated_at)
             VALUES ('klozeo', 'ada', 1, '{}', false, us(1))",
        )
        .await;
    let (token, job) = fixture.claimed("bob", 20).await;
    let refused = fixture.settle(Settlement { link: put("r1", true), ..settlement(token, &job, 21) }).await;
    assert_eq!(refused, Settled::Recorded { again: true }, "ada lives");
    assert_eq!(owner_of(&fixture).await, Some(RecordOwner { lead: key("ada"), deleted: false, excluded: false }));

    fixture.execute("UPDATE leads SET deleted = true").await;
    fixture.accept(NewEvent { received_at: secs(30), ..event("ada", "{}") }).await;
    let second = claim(30);
    let jobs = fixture.store.claim_jobs(&second).await.unwrap();
    let [bob, ada] = &jobs[..] else { panic!("{jobs:?}") };
    let release = LinkChange::Release { planned_with: 1 };
    fixture.settle(Settlement { link: release, ..settlement(second.token, ada, 31) }).await;
    assert_eq!(owner_of(&fixture).await, Some(RecordOwner { lead: key("ada"), deleted: true, excluded: false }));
    let stale = LinkChange::Put { link: link("r1", true), planned_with: Some(7) };
    fixture.settle(Settlement { link: stale, ..settlement(second.token, bob, 32) }).await;
    assert_eq!(owner_of(&fixture).await.map(|owner| owner.lead), Some(key("ada")), "bob was planned with another link");
    let third = claim(33);
    let jobs = fixture.store.claim_jobs(&third).await.unwrap();
    fixture.settle(Settlement { link: put("r1", true), ..settlement(third.token, &jobs[0], 34) }).await;
    assert_eq!(owner_of(&fixture).await, Some(RecordOwner { lead: key("bob"), deleted: false, excluded: false }));
}

async fn leads_with_rows_left_out_are_found_once_other_rules_hold(fixture: Fixture) {
    for (lead, second, fields) in [("ada", 10, vec!["City"]), ("bob", 20, vec![])] {
        let left_out = fields.into_iter().map(|field| (field.into(), None)).collect();
        let (token, job) = fixture.claimed(lead, second).await;
        let put = LinkChange::Put { link: Link { left_out, ..link(lead, true) }, planned_with: None };
        fixture.settle(Settlement { link: put, ..settlement(token, &job, second + 1) }).await;
    }
    let found = async |fingerprint| fixture.store.leads_with_rows_left_out(&crm(), fingerprint).await.unwrap();
    assert_eq!(found("f1").await, []);
    assert_eq!(found("f2").await, [key("ada")]);
}

async fn keys_that_were_formed_otherwise_are_counted(fixture: Fixture) {
    let (before, now) = ("{lead_id}", "{source}:{lead_id}");
    let formed_by = |form: Option<&str>| {
        let text = |text: &str| CrmValue::Text(text.to_owned());
        form.map(|form| ("Key__c".into(), BasePair { lead: text(form), crm: text("key") })).into_iter().collect()
    };
    for (second, lead, owner, agreed, left_as_it_is) in [
        (10, "ada", true, Some(before), None),
        (20, "bob", true, Some(now), None),
        (30, "cy", true, Some(before), Some(now)),
        (40, "dee", true, Some(before), Some(before)),
        (50, "eve", true, None, None),
        (60, "fay", false, Some(before), None),
        (70, "deleted", true, Some(before), None),
        (80, "excluded", true, Some(before), None),
    ] {
        let (token, job) = fixture.claimed(lead, second).await;
        let (bases, kept) = (formed_by(agreed), formed_by(left_as_it_is));
        let put = LinkChange::Put { link: Link { bases, kept, ..link(lead, owner) }, planned_with: None };
        fixture.settle(Settlement { link: put, ..settlement(token, &job, second + 1) }).await;
        let flags = format!("{}, {}", lead == "deleted", lead == "excluded");
        fixture
            .execute(&format!(
                "INSERT INTO leads (source, lead_id, revision, document, deleted, excluded, updated_at)
                 VALUES ('klozeo', '{lead}', 1, '{{}}', {flags}, us(1))"
            ))
            .await;
    }
    let count =
        async |form: &str| fixture.store.count_keys_formed_otherwise(&crm(), &"Key__c".into(), form).await.unwrap();
    assert_eq!((count(now).await, count(before).await), (2, 1), "ada and dee; bob");
    let elsewhere = fixture.store.count_keys_formed_otherwise(&crm(), &"Other__c".into(), now).await.unwrap();
    assert_eq!(elsewhere, 0, "another field");
}
