//! What is written without the refused fields, and when they are tried again.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::ids::RecordRef;
use crate::domain::matching::{MatchRules, MatchedBy, OnAmbiguous, OnShared};
use crate::domain::plan::{CompanyAction, CompanyPlan, Decision, OnCrmDelete};
use crate::domain::record::{CrmFieldKind, FieldSchema, ObjectSchema, Schema};

fn text(value: &str) -> CrmValue {
    CrmValue::Text(value.to_owned())
}

fn rules() -> SyncRules {
    let field = |name: &str, nillable: bool| FieldSchema {
        name: name.into(),
        label: name.into(),
        kind: CrmFieldKind::Text,
        type_name: "string".into(),
        length: None,
        precision: None,
        scale: None,
        nillable,
        defaulted: false,
        createable: true,
        updateable: true,
        unique: false,
        external_id: false,
        case_sensitive: false,
        filterable: true,
        values: Vec::new(),
        restricted: false,
    };
    let fields = [field("Key__c", true), field("LastName", false), field("City", true), field("Title", true)];
    let object = ObjectSchema {
        name: "Lead".into(),
        createable: true,
        updateable: true,
        fields: fields.into_iter().map(|field| (field.name.clone(), field)).collect(),
    };
    SyncRules {
        filter: None,
        refuses_beside: None,
        rows: Vec::new(),
        external_id: "Key__c".into(),
        matching: MatchRules {
            object: "Lead".into(),
            others: BTreeSet::new(),
            by: Vec::new(),
            on_ambiguous: OnAmbiguous::Review,
            first_name: None,
            last_name: None,
        },
        on_shared: OnShared::Review,
        on_crm_delete: OnCrmDelete::Hold,
        company: None,
        on_delete: crate::domain::plan::OnDelete::Ignore,
        schema: Schema { objects: BTreeMap::from([("Lead".into(), object)]) },
        others: BTreeMap::new(),
    }
}

fn record() -> RecordRef {
    RecordRef { object: "Lead".into(), id: "00Q1".into() }
}

/// A plan that writes `x` into these fields, where the CRM holds `old`.
fn update(fields: &[&str], rule: Rule) -> SyncPlan {
    let decision = |field: &&str| Decision {
        field: (*field).into(),
        base: None,
        lead: Some(text("x")),
        crm: Some(text("old")),
        written: Some(text("x")),
        rule,
        note: None,
    };
    let written = fields.iter().map(|field| (FieldName::from(*field), text("x"))).collect();
    let announced =
        fields.iter().map(|field| (FieldName::from(*field), BasePair { lead: text("x"), crm: text("x") })).collect();
    SyncPlan {
        decisions: fields.iter().map(decision).collect(),
        announced,
        ..SyncPlan::without_record(Action::Update { record: record(), fields: written })
    }
}

fn refused(fields: &[&str]) -> CrmError {
    let fields = fields.iter().map(|field| FieldName::from(*field)).collect();
    CrmError::Refused { code: "C".into(), message: "no".into(), fields }
}

/// The fields that a plan writes; `None`: it writes nothing.
fn written(plan: &SyncPlan) -> Option<Vec<&str>> {
    match &plan.action {
        Action::Create { fields, .. } | Action::Update { fields, .. } => {
            Some(fields.keys().map(FieldName::as_str).collect())
        }
        _ => None,
    }
}

#[test]
fn a_write_is_repeated_without_fields_that_the_crm_can_do_without() {
    #[track_caller]
    fn check(names: &[&str], expected: Option<Option<Vec<&str>>>) {
        let reduced =
            without_refused(&update(&["City", "LastName", "Title"], Rule::LeadChanged), &refused(names), &rules());
        assert_eq!(reduced.as_ref().map(written), expected, "{names:?}");
    }
    check(&["City"], Some(Some(vec!["LastName", "Title"])));
    check(&["City", "Title"], Some(Some(vec!["LastName"])));
    check(&["LastName"], None);
    check(&["City", "LastName"], None);
    check(&["Key__c"], None);
    check(&["Unknown"], None);
    check(&[], None);
    let all = without_refused(&update(&["City"], Rule::LeadChanged), &refused(&["City"]), &rules()).unwrap();
    assert_eq!(all.action, Action::Unchanged, "with nothing left to write the record is as it is to be");
    let outage = CrmError::Unavailable { code: "503".into(), detail: String::new() };
    assert_eq!(without_refused(&update(&["City"], Rule::LeadChanged), &outage, &rules()), None);
}

#[test]
fn what_is_left_out_is_logged_as_not_written_and_remembered_with_both_values() {
    let plan = without_refused(&update(&["City", "Title"], Rule::LeadChanged), &refused(&["City"]), &rules()).unwrap();
    let city = &plan.decisions[0];
    assert_eq!((&city.written, city.rule), (&None, Rule::Invalid));
    assert_eq!(city.note.as_deref(), Some("refused by the CRM: no"));
    assert_eq!(plan.decisions[1].written, Some(text("x")));
    assert_eq!(plan.left_out, BTreeMap::from([("City".into(), Some(BasePair { lead: text("x"), crm: text("old") }))]));
    assert!(!plan.announced.contains_key(&FieldName::from("City")), "it must not become a base");
}

#[test]
fn a_refused_field_is_tried_again_only_when_something_changed() {
    let link = |lead: &str, crm: &str| Link {
        record: record(),
        matched_by: MatchedBy::Email,
        owner: true,
        bases: BTreeMap::new(),
        kept: BTreeMap::from([("Title".into(), BasePair { lead: text("x"), crm: text("old") })]),
        left_out: BTreeMap::from([("City".into(), Some(BasePair { lead: text(lead), crm: text(crm) }))]),
        fingerprint: "today".into(),
        revision: 1,
    };
    #[track_caller]
    fn check(plan: SyncPlan, link: &Link, fingerprint: &str, expected: Option<Vec<&str>>) {
        assert_eq!(written(&without_known(plan, Some(link), fingerprint)), expected);
    }
    let plan = || update(&["City", "Title"], Rule::LeadChanged);
    check(plan(), &link("x", "old"), "today", Some(vec!["Title"]));
    check(update(&["City"], Rule::LeadChanged), &link("x", "old"), "today", None);
    check(plan(), &link("y", "old"), "today", Some(vec!["City", "Title"]));
    check(plan(), &link("x", "older"), "today", Some(vec!["City", "Title"]));
    check(plan(), &link("x", "old"), "another mapping", Some(vec!["City", "Title"]));
    check(update(&["City"], Rule::Resolved), &link("x", "old"), "today", Some(vec!["City"]));
    let elsewhere = Link { record: RecordRef { id: "00Q2".into(), ..record() }, ..link("x", "old") };
    check(plan(), &elsewhere, "today", Some(vec!["City", "Title"]));
    let unfit = Link { left_out: BTreeMap::from([("City".into(), None)]), ..link("x", "old") };
    check(plan(), &unfit, "today", Some(vec!["City", "Title"]));
    let again = without_known(plan(), Some(&link("x", "old")), "today");
    assert_eq!(again.left_out, link("x", "old").left_out, "it is remembered for the next time too");
    assert_eq!(written(&without_known(plan(), None, "today")), Some(vec!["City", "Title"]));
}

#[test]
fn a_company_that_the_record_may_not_point_to_is_not_agreed_on() {
    let plan = |lookup: &str| SyncPlan {
        bases: BTreeMap::from([("Account.Id".into(), BasePair { lead: text("domain:x #1"), crm: text("0011") })]),
        company: Some(CompanyPlan {
            keys: Default::default(),
            action: CompanyAction::Nothing { reason: String::new() },
            decisions: Vec::new(),
            lookup: Some((lookup.into(), CrmValue::Null)),
            link_field: "Account.Id".into(),
            is_new: true,
        }),
        ..update(&["City", "Title"], Rule::FilledBlank)
    };
    let reduced = |lookup: &str| without_refused(&plan(lookup), &refused(&["City"]), &rules()).unwrap();
    assert_eq!(reduced("City").bases, BTreeMap::new());
    assert_eq!(reduced("Title").bases.len(), 1, "another field was refused");
}
