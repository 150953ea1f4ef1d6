//! Which open conflicts a plan closes.

use super::*;

fn open(kind: ConflictKind, field: Option<&str>) -> OpenConflict {
    OpenConflict { id: 1, kind, field: field.map(Into::into), revision: 3 }
}

fn all() -> Vec<OpenConflict> {
    vec![
        open(ConflictKind::Field, Some("City")),
        open(ConflictKind::Match, None),
        open(ConflictKind::SharedRecord, None),
        open(ConflictKind::Invalid, Some("Phone")),
    ]
}

fn hold(code: &'static str) -> SyncPlan {
    SyncPlan::without_record(Action::Hold { code, detail: String::new() })
}

fn skip(code: &'static str) -> SyncPlan {
    SyncPlan::without_record(Action::Skip { code, detail: String::new() })
}

fn question(kind: ConflictKind, field: Option<&str>) -> Question {
    Question {
        kind,
        field: field.map(Into::into),
        record: None,
        base: None,
        lead: None,
        crm: None,
        candidates: Vec::new(),
        other: None,
        detail: String::new(),
    }
}

#[test]
fn only_what_planning_looked_for_is_closed() {
    #[track_caller]
    fn check(plan: &SyncPlan, closed: &[&str]) {
        let moot: Vec<&str> = moot(&all(), plan).iter().map(|conflict| conflict.kind.as_str()).collect();
        assert_eq!(moot, closed, "{:?}", plan.action);
    }
    let unchanged = || SyncPlan::without_record(Action::Unchanged);
    check(&unchanged(), &["field", "match", "shared_record", "invalid"]);
    check(&skip("lead_deleted"), &["field", "match", "shared_record", "invalid"]);
    check(&hold("invalid_value"), &[]);
    check(&hold("internal_error"), &[]);
    check(&hold("record_gone"), &["match"]);
    check(&hold("record_converted"), &["match"]);
    check(&skip("other_object"), &["match"]);
    check(&skip("filtered"), &[]);
    let asks = SyncPlan { questions: vec![question(ConflictKind::Match, None)], ..hold("match_conflict") };
    check(&asks, &[]);
    let asks = SyncPlan { questions: vec![question(ConflictKind::Field, Some("City"))], ..unchanged() };
    check(&asks, &["match", "shared_record", "invalid"]);
    let asks = SyncPlan { questions: vec![question(ConflictKind::Field, Some("Title"))], ..unchanged() };
    check(&asks, &["field", "match", "shared_record", "invalid"]);
}
