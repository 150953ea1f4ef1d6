use proptest::prelude::*;

use super::*;
use crate::crm::Usage;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 / 3_600 * 3_600 + seconds)
}

fn settings() -> GateSettings {
    GateSettings { concurrency: 4, calls_per_day: 1_000, org_stop_percent: 90, reserve_for_live_percent: 20 }
}

fn gate() -> GateState {
    GateState::new(settings(), &BudgetSnapshot::default())
}

fn call(usage: Option<(u64, u64)>) -> Call {
    let usage = usage.map(|(used, allowed)| Usage { used, allowed });
    Call { endpoint: "composite", status: Some(200), elapsed: SECOND, counted: true, usage }
}

fn unavailable() -> CrmError {
    CrmError::Unavailable { code: "SERVER_UNAVAILABLE".into(), detail: "maintenance".into() }
}

/// Asks, and gives the permit back at once; the reason's word, or what the gate says.
fn ask(gate: &mut GateState, now: i64, class: WorkClass) -> String {
    match gate.decide(at(now), class) {
        GateDecision::Open => {
            gate.release(at(now), class, None);
            "open".into()
        }
        GateDecision::Probe { batch } => {
            gate.release(at(now), class, Some(batch));
            format!("probe {batch:?}")
        }
        GateDecision::Busy => "busy".into(),
        GateDecision::Closed { until, why } => {
            let until = until.map(|until| until.since(at(0)).as_secs());
            until.map_or(why.as_str().to_owned(), |until| format!("{} until {until}", why.as_str()))
        }
    }
}

fn live(gate: &mut GateState, now: i64) -> String {
    ask(gate, now, WorkClass::Live)
}

#[test]
fn no_more_batches_go_than_are_allowed_and_backfill_leaves_one_place() {
    let mut gate = gate();
    for _ in 0..3 {
        assert_eq!(gate.decide(at(0), WorkClass::Backfill), GateDecision::Open);
    }
    assert_eq!(ask(&mut gate, 0, WorkClass::Backfill), "busy");
    assert_eq!(gate.decide(at(0), WorkClass::Live), GateDecision::Open);
    assert_eq!(live(&mut gate, 0), "busy");
    gate.release(at(0), WorkClass::Backfill, None);
    assert_eq!(live(&mut gate, 0), "open");
    let single = GateSettings { concurrency: 1, ..settings() };
    assert_eq!(ask(&mut GateState::new(single, &BudgetSnapshot::default()), 0, WorkClass::Backfill), "open");
}

#[test]
fn three_failures_in_a_row_close_the_gate_and_one_success_opens_it() {
    let mut gate = gate();
    for _ in 0..2 {
        gate.answered(at(0), None, Err(&unavailable()), 0.0);
    }
    gate.answered(at(0), None, Ok(()), 0.0);
    for _ in 0..2 {
        gate.answered(at(0), None, Err(&CrmError::Unknown { detail: "lost".into() }), 0.0);
    }
    assert_eq!(live(&mut gate, 0), "open");
    gate.answered(at(0), None, Err(&unavailable()), 0.0);
    let mut now = 0;
    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        assert_eq!(live(&mut gate, now), format!("failing until {}", now + wait));
        now += wait;
        assert_eq!(gate.decide(at(now), WorkClass::Live), GateDecision::Probe { batch: Batch::Single });
        assert_eq!(live(&mut gate, now), "busy", "a second probe");
        gate.answered(at(now), Some(Batch::Single), Err(&unavailable()), 0.0);
        gate.release(at(now), WorkClass::Live, Some(Batch::Single));
    }
    assert_eq!(
        gate.status(at(now)).reason.unwrap().to_string(),
        "the CRM fails (SERVER_UNAVAILABLE): the CRM is unavailable: maintenance"
    );
    gate.answered(at(now + 300), Some(Batch::Single), Ok(()), 0.0);
    assert_eq!(live(&mut gate, now + 300), "open");
    assert_eq!(gate.closed_time_since(at(now + 300), at(0)).as_secs(), u64::try_from(now).unwrap() + 300);
    assert_eq!(gate.closed_time_since(at(now + 900), at(now)).as_secs(), 300);
    let mut restarted = GateState::new(settings(), &gate.budget());
    restarted.restore_closed_spans(gate.closed_spans(at(now + 900)));
    assert_eq!(restarted.closed_time_since(at(now + 900), at(now)).as_secs(), 300);
}

#[test]
fn a_refused_record_is_an_answer_and_a_refused_login_is_none() {
    let mut gate = gate();
    let refused = CrmError::Refused { code: "RULE".into(), message: String::new(), fields: Vec::new() };
    let login = CrmError::Unauthorised { code: "invalid_client".into(), detail: "wrong".into() };
    for _ in 0..9 {
        gate.answered(at(0), None, Err(&refused), 0.0);
    }
    assert_eq!(live(&mut gate, 0), "open");
    for _ in 0..3 {
        gate.answered(at(0), None, Err(&login), 0.0);
    }
    assert_eq!(live(&mut gate, 0), "login_refused until 1");
}

#[test]
fn a_throttled_gate_waits_as_long_as_it_was_told_and_longer_each_time() {
    let mut gate = gate();
    let throttled = |seconds: Option<u64>| CrmError::throttled(seconds.map(Duration::from_secs));
    gate.answered(at(0), None, Err(&throttled(Some(90))), 0.0);
    gate.answered(at(1), None, Ok(()), 0.0);
    assert_eq!(live(&mut gate, 89), "throttled until 90");
    assert_eq!(live(&mut gate, 90), "probe Single");
    gate.answered(at(90), Some(Batch::Single), Err(&throttled(None)), 0.0);
    assert_eq!(live(&mut gate, 90), "throttled until 92");
    gate.answered(at(92), Some(Batch::Single), Ok(()), 0.0);
    assert_eq!(live(&mut gate, 92), "open");
}

#[test]
fn a_spent_allowance_is_tried_after_a_quarter_and_then_each_half_hour() {
    let mut gate = gate();
    let spent = CrmError::BudgetSpent { code: "REQUEST_LIMIT_EXCEEDED".into(), until: None };
    gate.answered(at(0), None, Err(&spent), 0.0);
    assert_eq!(live(&mut gate, 0), "allowance_spent until 900");
    assert_eq!(live(&mut gate, 900), "probe Single");
    gate.answered(at(900), Some(Batch::Single), Err(&spent), 0.0);
    assert_eq!(live(&mut gate, 900), "allowance_spent until 2700");
    gate.exchange(at(1_000), settings());
    assert_eq!(live(&mut gate, 1_000), "allowance_spent until 2700");
    gate.resume(at(1_100));
    assert_eq!(live(&mut gate, 1_100), "probe Single", "a person may have had it raised");
    gate.answered(at(1_100), Some(Batch::Single), Ok(()), 0.0);
    assert_eq!(live(&mut gate, 1_100), "open");
}

#[test]
fn backfill_leaves_the_reserve_and_nobody_overdraws_the_share() {
    let mut gate = gate();
    for _ in 0..798 {
        gate.called(at(0), &call(None));
    }
    assert_eq!(ask(&mut gate, 0, WorkClass::Backfill), "open");
    gate.called(at(0), &call(None));
    assert_eq!(ask(&mut gate, 0, WorkClass::Backfill), "reserved_for_live until 90000");
    for _ in 799..998 {
        gate.called(at(3_600), &call(None));
    }
    assert_eq!(gate.decide(at(3_600), WorkClass::Live), GateDecision::Open);
    assert_eq!(live(&mut gate, 3_600), "busy", "the last calls are spoken for");
    gate.called(at(3_600), &call(None));
    gate.release(at(3_600), WorkClass::Live, None);
    assert_eq!(live(&mut gate, 3_600), "budget_spent until 90000");
    let status = gate.status(at(3_600));
    assert_eq!((status.open, status.calls_used, status.calls_left), (false, 999, 1));
    let mut restarted = GateState::new(settings(), &gate.budget());
    assert_eq!(live(&mut restarted, 3_600), "budget_spent until 90000");
    assert_eq!(live(&mut restarted, 90_000), "open");
}

#[test]
fn where_the_organisation_nears_its_limit_one_call_a_quarter_of_an_hour_finds_out() {
    let mut gate = gate();
    gate.called(at(0), &call(Some((898, 1_000))));
    assert_eq!(live(&mut gate, 0), "open");
    gate.called(at(20), &call(None));
    gate.called(at(40), &call(Some((890, 1_000))));
    assert_eq!(live(&mut gate, 40), "org_stop until 940", "898 and two calls since, whatever the newest header says");
    assert_eq!(gate.status(at(40)).org_usage, Some(Usage { used: 900, allowed: 1_000 }));
    assert_eq!(live(&mut gate, 940), "probe Single");
    gate.called(at(941), &call(Some((950, 1_000))));
    assert_eq!(live(&mut gate, 941), "org_stop until 1841");
    gate.resume(at(1_000));
    assert_eq!(live(&mut gate, 1_000), "probe Single", "a person may have had the limit raised");
    gate.called(at(1_001), &call(Some((950, 1_000))));
    assert_eq!(live(&mut gate, 1_001), "org_stop until 1901");
    gate.called(at(1_902), &call(Some((700, 1_000))));
    assert_eq!(live(&mut gate, 1_902), "open");
}

#[test]
fn a_crm_that_refuses_everything_is_tried_with_a_full_batch_until_one_lead_is_taken() {
    let mut gate = gate();
    let leads: Vec<LeadKey> = (0..25).map(|n| LeadKey::new("s", n.to_string().as_str())).collect();
    let refuse = |gate: &mut GateState, now: i64, probe: Option<Batch>| {
        gate.settled(at(now), probe, leads.iter().map(|lead| (lead, Err("RULE"))), 0.0);
    };
    refuse(&mut gate, 0, None);
    refuse(&mut gate, 1, None);
    let mut now = 0;
    for minutes in [1, 2, 4, 8, 15, 15] {
        assert_eq!(live(&mut gate, now), format!("refusing_all until {}", now + minutes * 60));
        now += minutes * 60;
        assert_eq!(live(&mut gate, now), "probe Full");
        refuse(&mut gate, now, Some(Batch::Full));
    }
    now += 900;
    let mixed = leads.iter().enumerate().map(|(n, lead)| (lead, if n == 7 { Ok(()) } else { Err("RULE") }));
    gate.settled(at(now), Some(Batch::Full), mixed, 0.0);
    assert_eq!(live(&mut gate, now), "open");
}

#[test]
fn leads_refused_before_there_were_enough_to_tell_are_pardoned_when_it_comes_to_light_and_when_it_ends() {
    let mut gate = gate();
    let leads: Vec<LeadKey> = (0..20).map(|n| LeadKey::new("s", n.to_string().as_str())).collect();
    gate.settled(at(0), None, leads[..19].iter().map(|lead| (lead, Err("RULE"))), 0.0);
    gate.pardon();
    assert_eq!(gate.take_pardons(), [], "these may be the leads' own fault");
    gate.settled(at(5), None, [(&leads[19], Err("RULE"))], 0.0);
    let pardon = Pardon { code: "RULE".into(), since: at(5).before(COUNTS_FOR) };
    assert_eq!(gate.take_pardons(), std::slice::from_ref(&pardon));
    assert_eq!(gate.take_pardons(), [], "each is told once");
    gate.pardon();
    assert_eq!(gate.take_pardons(), std::slice::from_ref(&pardon), "for a batch that settles later");
    gate.settled(at(65), Some(Batch::Full), leads.iter().map(|lead| (lead, Err("RULE"))), 0.0);
    assert_eq!(gate.take_pardons(), []);
    // Batches that were under way when it came to light may have settled since.
    gate.settled(at(185), Some(Batch::Full), [(&leads[0], Ok(()))], 0.0);
    assert_eq!(gate.take_pardons(), [pardon]);
}

#[test]
fn a_batch_to_be_repeated_in_halves_is_neither_a_failure_nor_a_success() {
    let mut gate = gate();
    let halves = CrmError::Collateral { code: "answer_too_large".into() };
    for _ in 0..9 {
        gate.answered(at(0), None, Err(&halves), 0.0);
    }
    assert_eq!(live(&mut gate, 0), "open");
    for _ in 0..3 {
        gate.answered(at(0), None, Err(&unavailable()), 0.0);
        gate.answered(at(0), None, Err(&halves), 0.0);
    }
    assert_eq!(live(&mut gate, 0), "failing until 1");
}

#[test]
fn a_describe_that_a_person_must_see_to_closes_at_once_and_longer_each_time() {
    let mut gate = gate();
    let object = "Contact".into();
    let refused = CrmError::Operator { code: "INSUFFICIENT_ACCESS".into(), message: "no".into() };
    gate.described(at(0), Err((&object, &unavailable())), 0.0);
    assert_eq!(live(&mut gate, 0), "open", "what passes by itself is told with the batch");
    gate.described(at(0), Err((&object, &refused)), 0.0);
    assert_eq!(live(&mut gate, 0), "undescribed until 1");
    let reason = gate.status(at(0)).reason.unwrap();
    assert!(reason.needs_person() && reason.code() == Some("INSUFFICIENT_ACCESS"));
    assert!(reason.to_string().contains("Contact") && reason.to_string().contains("INSUFFICIENT_ACCESS"), "{reason}");
    // Batches that were under way are answered all the same.
    gate.answered(at(0), None, Ok(()), 0.0);
    assert_eq!(live(&mut gate, 0), "undescribed until 1");
    assert_eq!(live(&mut gate, 1), "probe Single");
    gate.described(at(1), Err((&object, &refused)), 0.0);
    gate.release(at(1), WorkClass::Live, Some(Batch::Single));
    assert_eq!(live(&mut gate, 1), "undescribed until 3");
    gate.described(at(3), Ok(()), 0.0);
    assert_eq!(live(&mut gate, 3), "open");
}

#[test]
fn lookups_that_are_refused_for_a_field_or_a_right_again_and_again_close_the_gate() {
    let (code, message) = ("C".to_owned(), "no".to_owned());
    let drift = CrmError::SchemaDrift { code: code.clone(), field: None, message: message.clone() };
    for error in [drift, CrmError::Operator { code, message }] {
        let mut gate = gate();
        for _ in 0..3 {
            gate.answered(at(0), None, Err(&error), 0.0);
        }
        assert_eq!(live(&mut gate, 0), "lookup_refused until 1");
        assert!(gate.status(at(0)).reason.unwrap().needs_person());
    }
}

#[test]
fn drift_and_pause_close_the_gate_until_they_are_ended() {
    let mut gate = gate();
    let key = KeyField { object: "Contact".into(), field: "Email".into() };
    gate.set_drift(at(0), &BTreeSet::from([key]));
    gate.pause(at(1), Pause { by: "ada".into(), note: Some("audit".into()), until: Some(at(60)) });
    assert_eq!(live(&mut gate, 1), "paused until 60");
    assert_eq!(gate.status(at(1)).reason.unwrap().to_string(), "paused by ada: audit");
    assert_eq!(live(&mut gate, 60), "drift");
    let told = "the CRM field Contact.Email, by which records are recognised, is missing or hidden";
    assert_eq!(gate.status(at(60)).reason.unwrap().to_string(), told);
    gate.set_drift(at(70), &BTreeSet::new());
    assert_eq!(live(&mut gate, 70), "open");
    assert_eq!(gate.closed_time_since(at(100), at(0)).as_secs(), 70);
    gate.pause(at(100), Pause { by: "ada".into(), note: None, until: None });
    assert_eq!(live(&mut gate, 10_000), "paused");
    assert_eq!(gate.status(at(10_000)).since, Some(at(100)));
    gate.resume(at(10_000));
    assert_eq!(live(&mut gate, 10_000), "open");
}

#[test]
fn exchanged_settings_leave_closed_what_the_crm_asked_for_and_have_the_rest_tried() {
    let mut gate = gate();
    let throttled = CrmError::throttled(Some(MINUTE));
    gate.answered(at(0), None, Err(&throttled), 0.0);
    gate.set_drift(at(0), &BTreeSet::from([KeyField { object: "Lead".into(), field: "Old__c".into() }]));
    gate.exchange(at(1), GateSettings { concurrency: 1, ..settings() });
    assert_eq!(live(&mut gate, 1), "throttled until 60", "of the fields the next describe tells");
    assert_eq!(live(&mut gate, 60), "probe Single");
    gate.answered(at(60), Some(Batch::Single), Ok(()), 0.0);
    for _ in 0..3 {
        gate.answered(at(60), None, Err(&unavailable()), 0.0);
    }
    assert_eq!(live(&mut gate, 60), "failing until 61");
    gate.pause(at(60), Pause { by: "ada".into(), note: None, until: Some(at(61)) });
    gate.exchange(at(60), GateSettings { concurrency: 1, ..settings() });
    assert_eq!(live(&mut gate, 60), "paused until 61", "an order stands");
    assert_eq!(gate.decide(at(61), WorkClass::Live), GateDecision::Probe { batch: Batch::Single });
    assert_eq!(live(&mut gate, 61), "busy", "the new settings let one go");
}

#[derive(Clone, Debug)]
enum Step {
    Ask(WorkClass),
    /// Ends one of the batches in flight: by its place, with so many calls and a kind of outcome.
    End(usize, u8, u8),
    Wait(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop_oneof![Just(WorkClass::Live), Just(WorkClass::Backfill)].prop_map(Step::Ask),
        3 => (any::<usize>(), 0..=2u8, 0..4u8).prop_map(|(place, calls, outcome)| Step::End(place, calls, outcome)),
        1 => (0..20_000u32).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    #[test]
    fn permits_and_calls_never_exceed_what_is_allowed(steps in steps(), concurrency in 1..5usize, calls_per_day in 0..60u64) {
        let settings = GateSettings { concurrency, calls_per_day, org_stop_percent: 90, reserve_for_live_percent: 20 };
        let mut gate = GateState::new(settings, &BudgetSnapshot::default());
        let mut now = 0i64;
        let mut in_flight: Vec<(WorkClass, Option<Batch>)> = Vec::new();
        let mut calls: Vec<i64> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(seconds) => now += i64::from(seconds),
                Step::Ask(class) => match gate.decide(at(now), class) {
                    GateDecision::Open => in_flight.push((class, None)),
                    GateDecision::Probe { batch } => in_flight.push((class, Some(batch))),
                    GateDecision::Busy => prop_assert!(!in_flight.is_empty(), "busy with nothing"),
                    GateDecision::Closed { until, .. } => prop_assert!(until.is_none_or(|until| until > at(now))),
                },
                Step::End(place, made, outcome) => {
                    if in_flight.is_empty() {
                        continue;
                    }
                    let (class, probe) = in_flight.swap_remove(place % in_flight.len());
                    for _ in 0..made {
                        calls.push(now);
                        gate.called(at(now), &call(None));
                    }
                    let error = [
                        Some(unavailable()),
                        Some(CrmError::throttled(None)),
                        Some(CrmError::BudgetSpent { code: String::new(), until: None }),
                        None,
                    ];
                    gate.answered(at(now), probe, error[usize::from(outcome)].as_ref().map_or(Ok(()), Err), 0.5);
                    gate.release(at(now), class, probe);
                }
            }
            prop_assert!(in_flight.len() <= concurrency);
            prop_assert!(in_flight.iter().filter(|(_, probe)| probe.is_some()).count() <= 1);
            let backfill = in_flight.iter().filter(|(class, _)| *class == WorkClass::Backfill).count();
            prop_assert!(backfill <= (concurrency - 1).max(1));
            let of_the_day = calls.iter().filter(|made| now - **made < 24 * 3_600).count();
            prop_assert!(u64::try_from(of_the_day).unwrap() <= calls_per_day);
        }
    }
}

/// Another process, and why it keeps away since that second.
fn neighbour(id: u128, closed: Option<(&str, i64)>) -> Neighbour {
    let closing = closed.map(|(reason, since)| Closing {
        reason: GateReason::elsewhere(reason, None, "it fails".into()),
        since: at(since),
        until: None,
    });
    Neighbour { id, goes_first: id == 1, closing }
}

fn hear(gate: &mut GateState, now: i64, neighbours: Vec<Neighbour>) -> bool {
    gate.set_elsewhere(at(now), &BudgetSnapshot::default(), neighbours)
}

#[test]
fn another_process_that_found_trouble_keeps_us_away_until_it_is_over_or_the_process_died() {
    let mut gate = gate();
    assert!(!hear(&mut gate, 10, vec![neighbour(1, Some(("failing", 5)))]));
    assert_eq!(live(&mut gate, 10), "failing");
    assert_eq!(gate.own_closing(at(10)), None, "it is not ours to tell");
    assert!(gate.status(at(10)).reason.unwrap().to_string().contains("another replica"));
    assert!(hear(&mut gate, 20, vec![neighbour(1, None)]));
    assert_eq!(live(&mut gate, 20), "open");
    hear(&mut gate, 30, vec![neighbour(1, Some(("drift", 25)))]);
    assert_eq!(live(&mut gate, 30), "drift");
    assert!(hear(&mut gate, 45, vec![]), "it died");
    assert_eq!(live(&mut gate, 45), "open");
    assert_eq!(gate.closed_time_since(at(45), at(0)), Duration::from_secs(25));
}

#[test]
fn of_several_that_found_the_same_trouble_the_first_one_tries_and_all_open_with_it() {
    let fail = |gate: &mut GateState, now| {
        for _ in 0..3 {
            gate.answered(at(now), None, Err(&unavailable()), 0.0);
        }
    };
    let (mut first, mut second) = (gate(), gate());
    fail(&mut first, 10);
    fail(&mut second, 11);
    hear(&mut first, 12, vec![neighbour(2, Some(("failing", 11)))]);
    hear(&mut second, 12, vec![neighbour(1, Some(("failing", 10)))]);
    assert_eq!(live(&mut first, 20), "probe Single");
    assert_eq!(live(&mut second, 20), "failing");
    first.answered(at(21), Some(Batch::Single), Ok(()), 0.0);
    assert_eq!(first.own_closing(at(21)), None);
    assert_eq!(live(&mut first, 21), "open", "what the second one still says is old");
    assert!(hear(&mut second, 22, vec![neighbour(1, None)]));
    assert_eq!((live(&mut second, 22), second.own_closing(at(22))), ("open".to_owned(), None));
    // Whoever is left tries for itself.
    fail(&mut second, 30);
    hear(&mut second, 31, vec![neighbour(1, Some(("failing", 29)))]);
    assert_eq!(live(&mut second, 40), "failing");
    hear(&mut second, 41, vec![]);
    assert_eq!(live(&mut second, 41), "probe Single");
}

#[test]
fn a_pause_that_was_ordered_elsewhere_holds_unless_somebody_ordered_something_here_since() {
    let mut gate = gate();
    let pause = || Some(Pause { by: "ops".into(), note: None, until: None });
    let before = gate.orders();
    assert!(gate.set_pause(at(1), before, pause()));
    assert_eq!(live(&mut gate, 1), "paused");
    assert!(!gate.set_pause(at(2), before, pause()), "it is known");
    gate.resume(at(3));
    assert!(!gate.set_pause(at(3), before, pause()), "what was read before is old");
    assert_eq!(live(&mut gate, 3), "open");
}
