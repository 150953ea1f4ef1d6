//! What is written without the refused fields, and when they are tried again.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::company::{CompanyKeys, CompanyObject};
use crate::domain::ids::RecordRef;
use crate::domain::mapping::convert::tests as samples;
use crate::domain::matching::{MatchRules, MatchedBy, OnAmbiguous, OnShared};
use crate::domain::plan::{CompanyAction, CompanyPlan, Decision, OnCrmDelete};
use crate::domain::record::{CrmFieldKind, FieldSchema, ObjectSchema, Schema};

fn text(value: &str) -> CrmValue {
    CrmValue::Text(value.to_owned())
}

fn rules() -> SyncRules {
    let field =
        |name: &str, nillable: bool| FieldSchema { name: name.into(), nillable, ..samples::field(CrmFieldKind::Text) };
    let fields = [
        field("Key__c", true),
        field("LastName", false),
        field("City", true),
        field("Title", true),
        field("AccountId", true),
    ];
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
        key_form: "{lead_id}".to_owned(),
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
        opportunity: None,
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
fn a_key_that_another_record_carries_is_left_out_of_one_that_we_gave_it_before() {
    #[track_caller]
    fn check(rule: Rule, base: bool, named: &[&str], expected: Option<Option<Vec<&str>>>) {
        let mut plan = update(&["City", "Key__c"], rule);
        for decision in plan.decisions.iter_mut().filter(|_| base) {
            decision.base = Some(BasePair { lead: text("form"), crm: text("x") });
        }
        let taken = CrmError::Duplicate {
            code: "DUPLICATE_VALUE".into(),
            message: "duplicate value found".into(),
            fields: named.iter().map(|field| FieldName::from(*field)).collect(),
            records: Vec::new(),
            rule: None,
            blocks: false,
        };
        assert_eq!(without_refused(&plan, &taken, &rules()).as_ref().map(written), expected, "{rule:?} {named:?}");
    }
    let without_key = || Some(Some(vec!["City"]));
    check(Rule::LeadChanged, false, &[], without_key());
    check(Rule::LeadChanged, true, &["Key__c"], without_key());
    check(Rule::LeadChanged, true, &["Email"], None);
    check(Rule::FilledBlank, true, &["Key__c"], without_key());
    check(Rule::FilledBlank, false, &["Key__c"], None);
    check(Rule::LeadWins, true, &["Key__c"], None);
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
        kept: BTreeMap::from([("Title".into(), BasePair { lead: text("x"), crm: text("old") })]),
        left_out: BTreeMap::from([("City".into(), Some(BasePair { lead: text(lead), crm: text(crm) }))]),
        fingerprint: "today".into(),
        revision: 1,
        ..Link::to(record(), MatchedBy::Email)
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
fn a_company_that_the_record_may_not_point_to_does_not_count_as_agreed() {
    let object = CompanyObject {
        object: "Account".into(),
        name: "Name".into(),
        website: "Website".into(),
        name_of_person: "Company".into(),
        website_of_person: "Website".into(),
        lookups: Vec::new(),
    };
    let account = RecordRef { object: "Account".into(), id: "001A".into() };
    let mut keys = CompanyKeys::of(Some("Acme".to_owned()), BTreeSet::new()).unwrap();
    keys.said = format!("{} #5e1f", keys.identity());
    let by = MatchedBy::CompanyName;
    let action = CompanyAction::Is { record: account.clone(), by, reason: String::new(), fields: BTreeMap::new() };
    let lookup = Some(("AccountId".into(), CrmValue::Null));
    let mut plan = update(&["City"], Rule::LeadChanged);
    plan.company = Some(CompanyPlan {
        keys: keys.clone(),
        action,
        modified_at: None,
        decisions: Vec::new(),
        lookup,
        link_field: object.link_field(),
        is_new: true,
        is_told: false,
    });
    plan.point_to(&account, &object, true);
    let base = |plan: &SyncPlan| plan.bases[&object.link_field()].clone();
    let known_as = |said: String| BasePair { lead: CrmValue::Text(said), crm: text("001A") };
    assert_eq!(base(&plan), known_as(keys.said.clone()));
    let without_city = without_refused(&plan, &refused(&["City"]), &rules()).unwrap();
    assert_eq!(base(&without_city), known_as(keys.said.clone()));
    let reduced = without_refused(&plan, &refused(&["AccountId"]), &rules()).unwrap();
    assert_eq!(written(&reduced), Some(vec!["City"]));
    assert_eq!(base(&reduced), known_as(format!("{}+", keys.said)), "it is looked at again");
}
