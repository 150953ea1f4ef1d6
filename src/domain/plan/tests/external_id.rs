//! Our key on a record, once keys are formed otherwise than when it was written.

use super::*;

const NEW_FORM: &str = "klozeo:{lead_id}";
const BEFORE: &str = "before/1";

/// Linked as owner; the record carries this, and the link says that both sides agreed on `agreed`.
fn carrying(key: CrmValue, agreed: Option<BasePair>) -> Case {
    let mut case = Case::linked(ConflictRule::LeadWins, Some(pair("Berlin", "Berlin")), Some("Berlin"), Some("Berlin"));
    case.rules.key_form = NEW_FORM.to_owned();
    case.found[0].0.fields.insert(ID_FIELD.into(), key);
    let link = case.link.as_mut().unwrap();
    link.bases.extend(agreed.map(|agreed| (ID_FIELD.into(), agreed)));
    case
}

fn written(plan: &SyncPlan) -> Option<&CrmValue> {
    match &plan.action {
        Action::Update { fields, .. } => fields.get(&FieldName::from(ID_FIELD)),
        _ => None,
    }
}

fn said(plan: &SyncPlan) -> Option<Rule> {
    plan.decisions.iter().find(|decision| decision.field.as_str() == ID_FIELD).map(|decision| decision.rule)
}

#[test]
fn a_key_that_we_gave_the_lead_is_exchanged_and_any_other_stays() {
    #[track_caller]
    fn check(key: CrmValue, agreed: Option<BasePair>, expected: Option<Rule>) {
        let plan = carrying(key.clone(), agreed).plan();
        let is_written = !matches!(expected, None | Some(Rule::Drift));
        assert_eq!((written(&plan), said(&plan)), (is_written.then_some(&text(OUR_ID)), expected), "{key:?}");
    }
    let agreed = || Some(pair("{lead_id}", BEFORE));
    check(text(BEFORE), agreed(), Some(Rule::LeadChanged));
    check(text(OUR_ID), agreed(), None);
    check(CrmValue::Null, agreed(), Some(Rule::FilledBlank));
    check(text("another"), agreed(), Some(Rule::Drift));
    check(text(BEFORE), None, Some(Rule::Drift));
}

#[test]
fn a_link_that_does_not_tell_was_made_by_the_leads_own_id() {
    let keys =
        |link: &Link| OwnKeys::of(&LeadKey::new("klozeo", "1"), "klozeo:1".into(), Some(link), &[], &ID_FIELD.into());
    let owner = link(None);
    assert!(keys(&owner).contains(&text("1")) && !keys(&owner).contains(&text("2")));
    let sharer = Link { owner: false, ..owner };
    assert_eq!(keys(&sharer).former, BTreeSet::new());
}

#[test]
fn a_key_is_exchanged_once_and_one_that_stays_is_told_once() {
    let plan = carrying(text(BEFORE), Some(pair("{lead_id}", BEFORE))).plan();
    let announced = &plan.announced[&FieldName::from(ID_FIELD)];
    assert_eq!(announced, &pair(NEW_FORM, OUR_ID));
    let again = carrying(text(OUR_ID), Some(announced.clone())).plan();
    assert_eq!((&again.action, said(&again)), (&Action::Unchanged, None));
    assert_eq!(again.bases[&FieldName::from(ID_FIELD)], pair(NEW_FORM, OUR_ID));

    let mut theirs = carrying(text("another"), Some(pair("{lead_id}", BEFORE)));
    theirs.link.as_mut().unwrap().kept = theirs.plan().kept;
    let again = theirs.plan();
    assert_eq!((&again.action, said(&again)), (&Action::Unchanged, None));
    assert_eq!(again.bases[&FieldName::from(ID_FIELD)], pair("{lead_id}", BEFORE), "it may be put back");
}

#[test]
fn a_key_that_the_crm_rewrites_is_written_once() {
    let rewritten = OUR_ID.to_uppercase();
    assert_ne!(rewritten, OUR_ID);
    let agreed = pair(NEW_FORM, &rewritten);
    let plan = carrying(text(&rewritten), Some(agreed.clone())).plan();
    assert_eq!((&plan.action, said(&plan)), (&Action::Unchanged, None));
    assert_eq!(plan.bases[&FieldName::from(ID_FIELD)], agreed);
    // Formed otherwise, or changed by a person, it is no key as we wrote it.
    let formed_otherwise = carrying(text(&rewritten), Some(pair("before", &rewritten))).plan();
    assert_eq!((written(&formed_otherwise), said(&formed_otherwise)), (Some(&text(OUR_ID)), Some(Rule::LeadChanged)));
    let emptied = carrying(CrmValue::Null, Some(agreed)).plan();
    assert_eq!((written(&emptied), said(&emptied)), (Some(&text(OUR_ID)), Some(Rule::FilledBlank)));
}

#[test]
fn a_sharer_writes_no_key_whatever_its_record_carries() {
    let mut case = carrying(text(BEFORE), Some(pair("{lead_id}", BEFORE)));
    case.link.as_mut().unwrap().owner = false;
    let keys = OwnKeys { now: BEFORE.to_owned(), ..own() };
    case.owner = Some(Owner { lead: LeadKey::new("klozeo", "other"), keys, deleted: false, excluded: false });
    let plan = case.plan();
    assert_eq!((written(&plan), said(&plan), plan.owner), (None, None, false));
    assert!(!plan.bases.contains_key(&FieldName::from(ID_FIELD)));
}

#[test]
fn a_record_that_was_converted_into_one_with_the_old_key_is_the_leads_own() {
    let mut case = carrying(text(BEFORE), Some(pair("{lead_id}", BEFORE)));
    let survivor = CrmRecord { id: "00Q2".into(), ..case.found[0].0.clone() };
    case.found[0].0.became = Some(survivor.reference());
    case.found.push((survivor, MatchedBy::Link));
    let plan = case.plan();
    assert_eq!((written(&plan), said(&plan)), (Some(&text(OUR_ID)), Some(Rule::LeadChanged)));
    assert_eq!(plan.questions, []);
}
