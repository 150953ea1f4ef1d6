//! Which open conflicts a plan closes.

use super::*;
use crate::domain::ids::RecordRef;
use crate::domain::plan::Choice;

fn open(kind: ConflictKind, field: Option<&str>) -> OpenConflict {
    OpenConflict { id: 1, kind, field: field.map(Into::into), revision: 3 }
}

fn all() -> Vec<OpenConflict> {
    vec![
        open(ConflictKind::Field, Some("City")),
        open(ConflictKind::Match, None),
        open(ConflictKind::SharedRecord, None),
        open(ConflictKind::Invalid, Some("Phone")),
        open(ConflictKind::Company, None),
    ]
}

fn hold(code: &'static str) -> SyncPlan {
    SyncPlan::without_record(Action::Hold { code, detail: String::new() })
}

fn skip(code: &'static str) -> SyncPlan {
    SyncPlan::without_record(Action::Skip { code, detail: String::new() })
}

fn question(kind: ConflictKind, field: Option<&str>) -> Question {
    Question { field: field.map(Into::into), ..Question::new(kind, "") }
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
    check(&skip("filtered"), &["field", "match", "shared_record", "invalid", "company"]);
    let asks = SyncPlan { questions: vec![question(ConflictKind::Match, None)], ..hold("match_conflict") };
    check(&asks, &[]);
    let asks = SyncPlan { questions: vec![question(ConflictKind::Field, Some("City"))], ..unchanged() };
    check(&asks, &["match", "shared_record", "invalid"]);
    let asks = SyncPlan { questions: vec![question(ConflictKind::Field, Some("Title"))], ..unchanged() };
    check(&asks, &["field", "match", "shared_record", "invalid"]);
}

#[test]
fn a_duplicate_rule_names_the_kind_of_record_that_it_found() {
    let contact = RecordRef { object: "Contact".into(), id: "003A".into() };
    let found = |code: &str, rule: Option<&str>, blocks: bool| CrmError::Duplicate {
        code: code.to_owned(),
        message: "m".to_owned(),
        fields: Vec::new(),
        records: vec![contact.clone()],
        rule: rule.map(str::to_owned),
        blocks,
    };
    let by_rule = |rule, blocks| found("DUPLICATES_DETECTED", rule, blocks);
    let asked = asked_by_duplicate_rule(&by_rule(None, false), ConflictKind::Match, false).unwrap();
    assert_eq!((asked.kind, &asked.candidates[0].record), (ConflictKind::Match, &contact));
    assert_eq!((asked.candidates[0].by, asked.duplicate_rule), (MatchedBy::DuplicateRule, Some(RuleAction::Alert)));
    assert_eq!(asked.detail, "the CRM's duplicate rule refused it: m");
    assert!(asked.takes(&Choice::Create));
    for (blocks, insisted) in [(true, false), (false, true)] {
        let blocked =
            asked_by_duplicate_rule(&by_rule(Some("No_Twins"), blocks), ConflictKind::Match, insisted).unwrap();
        assert_eq!(blocked.duplicate_rule, Some(RuleAction::Block));
        let told = "the CRM's duplicate rule No_Twins refused it: m; the rule blocks it whoever insists: ";
        assert!(blocked.detail.starts_with(told), "{}", blocked.detail);
        assert!(!blocked.takes(&Choice::Create) && blocked.takes(&Choice::Record(contact.clone())));
    }
    let of_company = asked_by_duplicate_rule(&by_rule(None, false), ConflictKind::Company, false).unwrap();
    assert_eq!((of_company.kind, of_company.candidates[0].by), (ConflictKind::Company, MatchedBy::DuplicateRule));
    let of_key = found("DUPLICATE_VALUE", None, false);
    assert_eq!(asked_by_duplicate_rule(&of_key, ConflictKind::Match, false), None);
}
