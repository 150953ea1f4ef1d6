//! The planning table of the design, row by row, and what must hold for any lead.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::envelope::TimeFormat;
use crate::domain::ids::{EventId, RecordId};
use crate::domain::lead::{Lead, LeadField, Stamp, Version, VersionElement};
use crate::domain::mapping::convert::tests as samples;
use crate::domain::mapping::{ConflictRule, FieldRow, FieldType, OnInvalid, Take};
use crate::domain::matching::{Candidate, Candidates, MatchRules, OnAmbiguous, OnShared};
use crate::domain::record::{CrmFieldKind, CrmRecord, FieldSchema, ObjectSchema, Schema};
use crate::domain::value::Value;

mod blanks;
mod computed;
mod dependent;
mod external_id;
mod invalid;
mod opportunities;
mod others;
mod properties;
mod shared;
mod winners;

const ID_FIELD: &str = "Lead_System_Id__c";
const OUR_ID: &str = "cl_1";

fn text(text: &str) -> CrmValue {
    CrmValue::Text(text.to_owned())
}

fn row(lead: &str, crm: &str, conflict: ConflictRule) -> FieldRow {
    FieldRow { lead: lead.to_owned(), crm: crm.into(), conflict, ..samples::row(FieldType::Text) }
}

fn field(name: &str) -> FieldSchema {
    FieldSchema {
        name: name.into(),
        length: Some(20),
        nillable: name != "LastName",
        unique: name == ID_FIELD,
        external_id: name == ID_FIELD,
        ..samples::field(CrmFieldKind::Text)
    }
}

/// First and last name from `name`, `City` by the rule at hand, and an address.
fn rules(conflict: ConflictRule) -> SyncRules {
    let mut first = row("name", "FirstName", ConflictRule::LeadWins);
    first.take = Some(Take::FirstName);
    let mut last = row("name", "LastName", ConflictRule::LeadWins);
    last.take = Some(Take::LastName);
    last.default = Some("Unknown".to_owned());
    let mut email = row("email", "Email", ConflictRule::LeadWins);
    email.kind = FieldType::Email;
    let fields = ["FirstName", "LastName", "City", "Email", "Website", ID_FIELD].map(|name| (name.into(), field(name)));
    let object = ObjectSchema { name: "Lead".into(), createable: true, updateable: true, fields: fields.into() };
    SyncRules {
        filter: None,
        refuses_beside: None,
        rows: vec![first, last, email, row("city", "City", conflict)],
        external_id: ID_FIELD.into(),
        key_form: "{lead_id}".to_owned(),
        matching: MatchRules {
            object: "Lead".into(),
            others: BTreeSet::new(),
            by: vec![MatchedBy::ExternalId, MatchedBy::Email, MatchedBy::NameAndCompanyDomain],
            on_ambiguous: OnAmbiguous::Review,
            first_name: Some("FirstName".into()),
            last_name: Some("LastName".into()),
        },
        on_shared: OnShared::Review,
        on_crm_delete: OnCrmDelete::Hold,
        company: None,
        opportunity: None,
        on_delete: OnDelete::Ignore,
        schema: Schema { objects: [("Lead".into(), object)].into() },
        others: BTreeMap::new(),
    }
}

fn lead(fields: &[(&str, Value)]) -> Lead {
    let stamp = Stamp {
        version: Version {
            elements: vec![VersionElement::At(Timestamp::from_seconds(1))],
            rest: VersionElement::At(Timestamp::default()),
        },
        arrived_at: Timestamp::from_seconds(1),
        arrival: EventId(1),
    };
    let mut lead = Lead::new(LeadKey::new("klozeo", OUR_ID));
    let field =
        |(name, value): &(&str, Value)| ((*name).to_owned(), LeadField { value: value.clone(), stamp: stamp.clone() });
    lead.fields = fields.iter().map(field).collect();
    lead.latest = Some(stamp.clone());
    lead
}

fn ada(city: Option<&str>) -> Lead {
    let text = |text: &str| Value::Text(text.to_owned());
    let mut fields = vec![("name", text("Ada Lovelace")), ("email", text("ada@lovelace.example"))];
    fields.extend(city.map(|city| ("city", text(city))));
    lead(&fields)
}

fn record(id: &str, city: Option<&str>) -> CrmRecord {
    let known = [("FirstName", "Ada"), ("LastName", "Lovelace"), ("Email", "ada@lovelace.example"), (ID_FIELD, OUR_ID)];
    let mut fields: BTreeMap<FieldName, CrmValue> = known.map(|(name, value)| (name.into(), text(value))).into();
    fields.insert("City".into(), city.map_or(CrmValue::Null, text));
    CrmRecord {
        id: RecordId::from(id),
        object: "Lead".into(),
        fields,
        modified_at: None,
        created_at: None,
        modified_by_us: None,
        became: None,
    }
}

fn own() -> OwnKeys {
    OwnKeys { now: OUR_ID.to_owned(), ..OwnKeys::default() }
}

fn own_keys(lead: LeadKey, link: Option<&Link>, intents: &[Intent]) -> OwnKeys {
    OwnKeys::of(&lead, OUR_ID.to_owned(), link, intents, &ID_FIELD.into())
}

fn pair(lead: &str, crm: &str) -> BasePair {
    BasePair { lead: text(lead), crm: text(crm) }
}

/// Linked as owner; every field but the city is agreed on.
fn link(city: Option<BasePair>) -> Link {
    let agreed = [("FirstName", "Ada"), ("LastName", "Lovelace"), ("Email", "ada@lovelace.example")];
    let mut bases: BTreeMap<FieldName, BasePair> = agreed.map(|(name, value)| (name.into(), pair(value, value))).into();
    bases.extend(city.map(|city| ("City".into(), city)));
    Link {
        bases,
        fingerprint: "f".to_owned(),
        revision: 1,
        ..Link::to(record("00Q1", None).reference(), MatchedBy::ExternalId)
    }
}

#[derive(Clone)]
struct Case {
    rules: SyncRules,
    lead: Lead,
    link: Option<Link>,
    intents: Vec<Intent>,
    answers: Vec<Resolution>,
    found: Vec<(CrmRecord, MatchedBy)>,
    owner: Option<Owner>,
    asked_for: bool,
    shared: bool,
}

impl Case {
    fn linked(rule: ConflictRule, base: Option<BasePair>, lead_city: Option<&str>, crm_city: Option<&str>) -> Self {
        Self {
            rules: rules(rule),
            lead: ada(lead_city),
            link: Some(link(base)),
            intents: Vec::new(),
            answers: Vec::new(),
            found: vec![(record("00Q1", crm_city), MatchedBy::Link)],
            owner: None,
            asked_for: false,
            shared: false,
        }
    }

    fn unlinked(found: Vec<(CrmRecord, MatchedBy)>) -> Self {
        Self { link: None, found, ..Self::linked(ConflictRule::LeadWins, None, Some("Berlin"), None) }
    }

    fn plan(&self) -> SyncPlan {
        let found = self.found.iter().cloned().map(|(record, by)| Candidate { record, by }).collect();
        let own = own_keys(self.lead.key.clone(), self.link.as_ref(), &self.intents);
        let input = PlanInput {
            lead: &self.lead,
            external_id: OUR_ID,
            former_ids: &own.former,
            times: TimeFormat::UnixSeconds,
            link: self.link.as_ref(),
            intents: &self.intents,
            answers: &self.answers,
            found: &Candidates { found, ..Candidates::default() },
            company: None,
            asked_for: self.asked_for,
            shared: self.shared,
            owner_of: &|_| self.owner.clone(),
        };
        plan_sync(&input, &self.rules)
    }
}

/// What a plan does with the city: what is written, by which rule, and whether a person is asked.
fn city(plan: &SyncPlan) -> (Option<CrmValue>, Option<Rule>, bool) {
    let written = match &plan.action {
        Action::Create { fields, .. } | Action::Update { fields, .. } => fields.get(&FieldName::from("City")).cloned(),
        _ => None,
    };
    let rule = plan.decisions.iter().find(|decision| decision.field.as_str() == "City").map(|decision| decision.rule);
    (written, rule, !plan.questions.is_empty())
}

#[test]
fn the_planning_table_holds_for_every_rule() {
    use ConflictRule::{CrmWins, LeadWins, Review};
    #[track_caller]
    fn check(
        rule: ConflictRule,
        base: Option<BasePair>,
        sides: (Option<&str>, Option<&str>),
        expected: (Option<&str>, Option<Rule>, bool),
    ) {
        let plan = Case::linked(rule, base, sides.0, sides.1).plan();
        assert_eq!(city(&plan), (expected.0.map(text), expected.1, expected.2), "{rule:?} {sides:?}");
    }
    let base = || Some(pair("Berlin", "Berlin"));
    for rule in [LeadWins, CrmWins, Review] {
        check(rule, base(), (Some("Berlin"), Some("Berlin")), (None, None, false));
        check(rule, base(), (Some("Bonn"), Some("Bonn")), (None, None, false));
        check(rule, base(), (Some("Bonn"), Some("Berlin")), (Some("Bonn"), Some(Rule::LeadChanged), false));
        check(rule, base(), (None, Some("Berlin")), (None, None, false));
        check(rule, base(), (None, Some("Bonn")), (None, None, false));
        check(rule, None, (Some("Berlin"), None), (Some("Berlin"), Some(Rule::FilledBlank), false));
        check(rule, None, (Some("Berlin"), Some("Berlin")), (None, None, false));
    }
    let crm_only = (Some("Berlin"), Some("Bonn"));
    check(LeadWins, base(), crm_only, (None, Some(Rule::Drift), false));
    check(CrmWins, base(), crm_only, (None, Some(Rule::CrmWins), false));
    check(Review, base(), crm_only, (None, Some(Rule::Review), true));
    for base in [base(), None] {
        let both = (Some("Bonn"), Some("Köln"));
        check(LeadWins, base.clone(), both, (Some("Bonn"), Some(Rule::LeadWins), false));
        check(CrmWins, base.clone(), both, (None, Some(Rule::CrmWins), false));
        check(Review, base, both, (None, Some(Rule::Review), true));
    }
}

#[test]
fn sides_that_differ_for_good_stay_quiet() {
    for rule in [ConflictRule::LeadWins, ConflictRule::CrmWins, ConflictRule::Review] {
        let plan = Case::linked(rule, Some(pair("berlin", "Berlin, DE")), Some("berlin"), Some("Berlin, DE")).plan();
        assert_eq!((plan.action, plan.decisions, plan.questions), (Action::Unchanged, vec![], vec![]));
    }
}

#[test]
fn drift_leaves_the_base_and_is_told_once() {
    let base = pair("Berlin", "Berlin");
    let mut case = Case::linked(ConflictRule::LeadWins, Some(base.clone()), Some("Berlin"), Some("Bonn"));
    let first = case.plan();
    assert_eq!(first.bases[&FieldName::from("City")], base);
    assert_eq!(first.decisions.len(), 1);
    case.link = Some(Link { kept: first.kept, ..link(Some(base)) });
    let second = case.plan();
    assert_eq!((second.action, second.decisions), (Action::Unchanged, vec![]));
}

#[test]
fn a_blank_beats_a_value_only_where_the_row_says_clear() {
    let blank = || lead(&[("name", Value::Text("Ada Lovelace".into())), ("city", Value::Null)]);
    let mut case = Case::linked(ConflictRule::LeadWins, Some(pair("Berlin", "Berlin")), None, Some("Berlin"));
    case.lead = blank();
    assert_eq!(case.plan().action, Action::Unchanged);
    case.rules.rows[3].clear = true;
    assert_eq!(city(&case.plan()), (Some(CrmValue::Null), Some(Rule::LeadChanged), false));
}

fn intent(record_id: Option<&str>, city: &str) -> Intent {
    Intent {
        id: 1,
        request_id: "r".into(),
        object: "Lead".into(),
        record: record_id.map(|id| RecordRef { object: "Lead".into(), id: id.into() }),
        rows: [("City".into(), pair(city, city))].into(),
        announced_at: Timestamp::from_seconds(1),
    }
}

#[test]
fn an_unsettled_write_that_landed_is_ours_and_no_edit() {
    let base = || Some(pair("Berlin", "Berlin"));
    for rule in [ConflictRule::LeadWins, ConflictRule::CrmWins, ConflictRule::Review] {
        let mut case = Case::linked(rule, base(), Some("Bonn"), Some("Bonn"));
        case.intents = vec![intent(Some("00Q1"), "Bonn")];
        let plan = case.plan();
        assert_eq!((&plan.action, plan.questions.len()), (&Action::Unchanged, 0));
        assert_eq!(plan.bases[&FieldName::from("City")], pair("Bonn", "Bonn"));
        // The lead moved on meanwhile: what landed is the base, and the change is the lead's alone.
        case.lead = ada(Some("Köln"));
        assert_eq!(city(&case.plan()), (Some(text("Köln")), Some(Rule::LeadChanged), false));
        // It did not land: the CRM holds what it held.
        case.found = vec![(record("00Q1", Some("Berlin")), MatchedBy::Link)];
        assert_eq!(city(&case.plan()), (Some(text("Köln")), Some(Rule::LeadChanged), false));
    }
}

#[test]
fn a_create_is_known_by_the_keys_that_its_lead_was_looked_up_by() {
    let case = Case::unlinked(Vec::new());
    let sought = match_keys(&case.lead, &own(), None, &[], TimeFormat::UnixSeconds, false, &case.rules);
    let made = create_keys(&case.plan().announced, &case.rules);
    assert!(made.email.is_some() && made.name_and_domain.is_some());
    assert_eq!((made.email, made.name_and_domain), (sought.email, sought.name_and_domain));
}

#[test]
fn a_create_that_landed_without_an_answer_is_found_by_its_external_id_and_becomes_the_base() {
    let mut case = Case::unlinked(vec![(record("00Q1", Some("Berlin")), MatchedBy::ExternalId)]);
    case.intents = vec![intent(None, "Berlin")];
    let plan = case.plan();
    assert_eq!(plan.action, Action::Unchanged);
    assert_eq!(plan.matched, Some((record("00Q1", None).reference(), MatchedBy::ExternalId)));
    assert!(plan.owner);
    assert_eq!(plan.bases[&FieldName::from("City")], pair("Berlin", "Berlin"));
}

#[test]
fn what_a_person_sets_back_to_the_value_of_a_create_or_of_another_record_is_an_edit() {
    for of in [None, Some("00Q2")] {
        let mut case = Case::linked(ConflictRule::Review, Some(pair("Bonn", "Bonn")), Some("Köln"), Some("Berlin"));
        case.intents = vec![intent(of, "Berlin")];
        let (written, _, asked) = city(&case.plan());
        assert_eq!((written, asked), (None, true), "else the person's Berlin would be overwritten without a word");
    }
}

#[test]
fn a_persons_answer_holds_while_both_halves_are_what_the_person_saw() {
    let answer = |choice: Choice| Resolution {
        kind: ConflictKind::Field,
        field: Some("City".into()),
        choice,
        seen_lead: Some(text("Bonn")),
        seen_crm: Some(text("Köln")),
        seen_records: Vec::new(),
    };
    let case = |choice: Choice, crm: &str| Case {
        answers: vec![answer(choice)],
        ..Case::linked(ConflictRule::Review, Some(pair("Berlin", "Berlin")), Some("Bonn"), Some(crm))
    };
    assert_eq!(city(&case(Choice::Lead, "Köln").plan()), (Some(text("Bonn")), Some(Rule::Resolved), false));
    let chosen = case(Choice::Value("Kiel".into()), "Köln").plan();
    assert_eq!(city(&chosen), (Some(text("Kiel")), Some(Rule::Resolved), false));
    assert_eq!(chosen.announced[&FieldName::from("City")], pair("Bonn", "Kiel"));
    let kept = case(Choice::Crm, "Köln").plan();
    assert_eq!(city(&kept), (None, Some(Rule::Resolved), false));
    assert_eq!(kept.bases[&FieldName::from("City")], pair("Bonn", "Köln"));
    assert_eq!(city(&case(Choice::Lead, "Kassel").plan()), (None, Some(Rule::Review), true), "the CRM moved on");
}

#[test]
fn nobody_is_created_with_our_id_the_mapped_fields_and_the_defaults_that_the_crm_requires() {
    let mut case = Case::unlinked(Vec::new());
    let Action::Create { object, fields } = case.plan().action else { panic!("a lead without a record is created") };
    assert_eq!(object.as_str(), "Lead");
    let names: BTreeSet<&str> = fields.keys().map(FieldName::as_str).collect();
    assert_eq!(names, ["City", "Email", "FirstName", "LastName", ID_FIELD].into());
    case.lead = lead(&[("email", Value::Text("x@y.example".into()))]);
    let plan = case.plan();
    let Action::Create { fields, .. } = &plan.action else { panic!("the default stands for the missing name") };
    assert_eq!(fields[&FieldName::from("LastName")], text("Unknown"));
    assert_eq!(plan.announced[&FieldName::from("LastName")], BasePair { lead: CrmValue::Null, crm: text("Unknown") });
    case.rules.rows[1].default = None;
    assert!(matches!(case.plan().action, Action::Refuse { code, .. } if code == "REQUIRED_FIELD_MISSING"));
}

#[test]
fn several_hits_another_name_and_another_kind_go_to_a_person() {
    let ours = |id: &str| {
        let mut record = record(id, None);
        record.fields.remove(&FieldName::from(ID_FIELD));
        record
    };
    let mut quentin = ours("00Q3");
    quentin.fields.insert("FirstName".into(), text("Quentin"));
    quentin.fields.insert("LastName".into(), text("Blackwood"));
    let contact = CrmRecord { object: "Contact".into(), ..ours("0031") };
    for found in [
        vec![(ours("00Q1"), MatchedBy::Email), (ours("00Q2"), MatchedBy::Email)],
        vec![(quentin, MatchedBy::Email)],
        vec![(contact, MatchedBy::Email)],
    ] {
        let asked: Vec<RecordRef> = found.iter().map(|(record, _)| record.reference()).collect();
        let mut case = Case::unlinked(found);
        let plan = case.plan();
        assert!(matches!(plan.action, Action::Hold { code: "match_conflict", .. }), "{:?}", plan.action);
        assert_eq!(plan.questions[0].kind, ConflictKind::Match);
        let answer = |choice| Resolution {
            kind: ConflictKind::Match,
            field: None,
            choice,
            seen_lead: None,
            seen_crm: None,
            seen_records: asked.clone(),
        };
        case.answers = vec![answer(Choice::Create)];
        assert!(matches!(case.plan().action, Action::Create { .. }), "a person said that it is somebody new");
        case.answers = vec![answer(Choice::Record(asked[0].clone()))];
        let plan = case.plan();
        match asked[0].object.as_str() {
            "Lead" => assert_eq!(plan.matched.map(|(record, _)| record), Some(asked[0].clone())),
            _ => assert!(matches!(plan.action, Action::Skip { code: "other_object", .. })),
        }
    }
}

#[test]
fn the_oldest_newest_or_none_is_taken_where_the_settings_say_so() {
    let at = |id: &str, seconds| CrmRecord { created_at: Some(Timestamp::from_seconds(seconds)), ..record(id, None) };
    let mut case = Case::unlinked(vec![(at("00Q2", 2), MatchedBy::Email), (at("00Q1", 1), MatchedBy::Email)]);
    let mut taken = |on_ambiguous| {
        case.rules.matching.on_ambiguous = on_ambiguous;
        case.plan().matched.map(|(record, _)| record.id.to_string())
    };
    assert_eq!(taken(OnAmbiguous::Oldest).as_deref(), Some("00Q1"));
    assert_eq!(taken(OnAmbiguous::Newest).as_deref(), Some("00Q2"));
    assert_eq!(taken(OnAmbiguous::Create), None);
}

#[test]
fn a_linked_record_that_is_gone_or_converted_is_held() {
    let mut case = Case::linked(ConflictRule::LeadWins, None, None, None);
    case.found.clear();
    assert!(matches!(case.plan().action, Action::Hold { code: "record_gone", .. }));
    let became = RecordRef { object: "Contact".into(), id: "0031".into() };
    case.found = vec![(CrmRecord { became: Some(became), ..record("00Q1", None) }, MatchedBy::Link)];
    assert!(matches!(case.plan().action, Action::Hold { code: "record_converted", .. }));
}

#[test]
fn a_deleted_lead_is_skipped() {
    let mut case = Case::linked(ConflictRule::LeadWins, None, None, None);
    case.lead.deleted = case.lead.latest.clone();
    assert!(matches!(case.plan().action, Action::Skip { code: "lead_deleted", .. }));
}

#[test]
fn a_deleted_lead_owns_the_record_that_it_is_found_to_have_made() {
    let mut case = Case::unlinked(vec![(record("00Q1", Some("Berlin")), MatchedBy::ExternalId)]);
    case.lead.deleted = case.lead.latest.clone();
    case.intents = vec![intent(None, "Berlin")];
    let plan = case.plan();
    assert!(matches!(plan.action, Action::Skip { code: "lead_deleted", .. }));
    assert_eq!((plan.matched.as_ref().map(|(record, _)| record.id.as_str()), plan.owner), (Some("00Q1"), true));
    assert_eq!(plan.bases[&"City".into()], pair("Berlin", "Berlin"));
    case.found[0].1 = MatchedBy::Email;
    assert_eq!(case.plan().matched, None, "it may be anybody's");
    case.found[0].1 = MatchedBy::ExternalId;
    let heir = LeadKey::new("klozeo", "cl_heir");
    case.owner = Some(Owner {
        lead: heir,
        keys: OwnKeys { now: "cl_heir".to_owned(), ..own() },
        deleted: false,
        excluded: false,
    });
    assert_eq!(case.plan().matched, None, "another lead has it already");
}
