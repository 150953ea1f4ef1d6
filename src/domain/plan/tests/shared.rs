//! Several leads on one record: who owns it, what the others may do, and who comes next.

use super::*;

const OTHER_ID: &str = "cl_other";

fn other(deleted: bool) -> Owner {
    Owner {
        lead: LeadKey::new("klozeo", OTHER_ID),
        keys: OwnKeys { now: OTHER_ID.to_owned(), ..own() },
        deleted,
        excluded: false,
    }
}

/// A record that carries another lead's ID, in another city.
fn carrying(id: &str) -> CrmRecord {
    let mut record = record("00Q1", Some("Köln"));
    record.fields.insert(ID_FIELD.into(), text(id));
    record
}

#[test]
fn a_second_lead_on_a_record_fills_blanks_and_asks_and_never_takes_it_over() {
    let mut shared = record("00Q1", None);
    shared.fields.insert(ID_FIELD.into(), text("cl_other"));
    shared.fields.insert("FirstName".into(), text("Adaa"));
    let mut case = Case::unlinked(vec![(shared, MatchedBy::Email)]);
    case.owner = Some(other(false));
    let plan = case.plan();
    let Action::Update { fields, .. } = &plan.action else { panic!("the blank city is filled: {:?}", plan.action) };
    assert_eq!(fields.keys().map(FieldName::as_str).collect::<Vec<_>>(), ["City"]);
    assert!(!plan.owner);
    assert_eq!(plan.questions.iter().map(|question| question.kind).collect::<Vec<_>>(), [ConflictKind::SharedRecord]);
    case.rules.on_shared = OnShared::Newest;
    let newest = case.plan();
    let Action::Update { fields, .. } = &newest.action else { panic!("the newest values win") };
    assert!(fields.contains_key(&FieldName::from("FirstName")) && !fields.contains_key(&FieldName::from(ID_FIELD)));
    let shared = newest.decisions.iter().find(|decision| decision.rule == Rule::Shared).unwrap();
    assert_eq!((&shared.lead, &shared.crm), (&Some(text(OUR_ID)), &Some(text(OTHER_ID))), "the log tells both leads");
}

#[test]
fn an_heir_replaces_the_old_external_id_and_no_other_owner_does() {
    let mut inherited = record("00Q1", Some("Berlin"));
    inherited.fields.insert(ID_FIELD.into(), text("cl_gone"));
    let mut case = Case::linked(ConflictRule::LeadWins, None, Some("Berlin"), None);
    let heir = Link { bases: BTreeMap::new(), fingerprint: String::new(), ..link(None) };
    // One that never agreed on any row is no heir: somebody else wrote that ID.
    case.link = Some(Link { fingerprint: "f".to_owned(), ..heir.clone() });
    case.found = vec![(inherited, MatchedBy::Link)];
    assert_eq!(case.plan().action, Action::Unchanged);
    case.link = Some(heir);
    let Action::Update { fields, .. } = case.plan().action else { panic!("the new owner's key is written") };
    assert_eq!(fields[&FieldName::from(ID_FIELD)], text(OUR_ID));
}

#[test]
fn what_a_person_says_of_a_shared_record_is_done() {
    let mut shared = record("00Q1", Some("Köln"));
    shared.fields.insert(ID_FIELD.into(), text("cl_other"));
    let reference = shared.reference();
    let answered = |choice: Choice| {
        let sharer = Link { owner: false, ..link(None) };
        let answers = vec![Resolution {
            kind: ConflictKind::SharedRecord,
            field: None,
            choice,
            seen_lead: None,
            seen_crm: Some(text("cl_other")),
            seen_records: vec![reference.clone()],
        }];
        let planned = planned_link(Some(&sharer), &answers).cloned();
        let found = vec![(shared.clone(), if planned.is_some() { MatchedBy::Link } else { MatchedBy::Email })];
        Case { answers, link: planned, owner: Some(other(false)), ..Case::unlinked(found) }.plan()
    };
    let stays = answered(Choice::Crm);
    assert_eq!((&stays.action, stays.questions.len()), (&Action::Unchanged, 0));
    let wins = answered(Choice::Lead);
    assert_eq!(city(&wins), (Some(text("Berlin")), Some(Rule::LeadWins), false));
    assert!(!wins.owner, "the record keeps the other lead's external ID");
    assert!(matches!(answered(Choice::Create).action, Action::Create { .. }), "the lead gets a record of its own");
}

#[test]
fn the_record_of_a_deleted_lead_is_taken_over_by_the_next_one() {
    let unlinked = Case::unlinked(vec![(carrying(OTHER_ID), MatchedBy::Email)]);
    // One that shared the record knows what it agreed on with the other lead's values; that does not count any more.
    let sharer = Link { owner: false, ..link(Some(pair("Berlin", "Köln"))) };
    for known in [None, Some(sharer)] {
        let case = Case { link: known, owner: Some(other(true)), ..unlinked.clone() };
        let plan = case.plan();
        let Action::Update { fields, .. } = &plan.action else { panic!("the key is written: {:?}", plan.action) };
        assert_eq!(fields.get(&FieldName::from(ID_FIELD)), Some(&text(OUR_ID)));
        assert_eq!(city(&plan), (Some(text("Berlin")), Some(Rule::LeadWins), false), "without a base the rule decides");
        assert!(plan.owner);
        let key = plan.decisions.iter().find(|decision| decision.field.as_str() == ID_FIELD).unwrap();
        assert_eq!(key.note.as_deref(), Some("the record belonged to lead klozeo/cl_other, which was deleted"));
    }
}

#[test]
fn an_excluded_leads_record_is_taken_over_without_a_flag_to_take_back() {
    let mut excluded_ones = carrying(OTHER_ID);
    excluded_ones.fields.insert("Title".into(), text("a person wrote this"));
    let taken = |deleted: bool| {
        let owner = Some(Owner { excluded: true, ..other(deleted) });
        let mut case = Case { owner, ..Case::unlinked(vec![(excluded_ones.clone(), MatchedBy::Email)]) };
        case.rules.on_delete = OnDelete::Flag("Title".into());
        let plan = case.plan();
        let Action::Update { fields, .. } = &plan.action else { panic!("the key is written: {:?}", plan.action) };
        assert_eq!(fields.get(&FieldName::from(ID_FIELD)), Some(&text(OUR_ID)));
        let key = plan.decisions.iter().find(|decision| decision.field.as_str() == ID_FIELD).unwrap();
        (fields.get(&FieldName::from("Title")).cloned(), key.note.clone().unwrap())
    };
    let note = |left: &str| format!("the record belonged to lead klozeo/cl_other, which {left}");
    assert_eq!(taken(false), (None, note("is excluded")));
    assert_eq!(taken(true), (Some(CrmValue::Null), note("was deleted")), "the flag is the deleted lead's");
}

#[test]
fn a_record_is_taken_over_only_if_it_still_is_the_deleted_leads() {
    let asked = |carried: &str, owner: Option<Owner>| {
        let case = Case { owner, ..Case::unlinked(vec![(carrying(carried), MatchedBy::Email)]) };
        let plan = case.plan();
        (plan.owner, plan.questions.len())
    };
    assert_eq!(asked(OTHER_ID, Some(other(true))), (true, 0));
    assert_eq!(asked(OTHER_ID, Some(other(false))), (false, 1), "the other lead lives");
    assert_eq!(asked("of another system", Some(other(true))), (false, 1));
    assert_eq!(asked(OTHER_ID, None), (false, 1), "nobody knows whose ID that is");
}

/// A record without an external ID in another city, made by a person.
fn made_by_hand(fields: &[(&str, &str)]) -> CrmRecord {
    let mut record = record("00Q1", Some("Köln"));
    record.fields.insert(ID_FIELD.into(), CrmValue::Null);
    record.fields.extend(fields.iter().map(|(field, value)| ((*field).into(), text(value))));
    record
}

/// The link of a lead that shares a record whose address is its own.
fn by_email() -> Link {
    Link { owner: false, matched_by: MatchedBy::Email, ..link(None) }
}

fn answer(kind: ConflictKind, choice: Choice, seen: &CrmRecord) -> Resolution {
    let seen_records = vec![seen.reference()];
    Resolution { kind, field: None, choice, seen_lead: None, seen_crm: Some(CrmValue::Null), seen_records }
}

/// Asks whether it is the same person, leaves the record alone and does not make it the lead's.
#[track_caller]
fn assert_in_doubt(plan: &SyncPlan) {
    assert_eq!((&plan.action, plan.owner), (&Action::Unchanged, false));
    assert_eq!(plan.questions.iter().map(|question| question.kind).collect::<Vec<_>>(), [ConflictKind::SharedRecord]);
    assert!(plan.questions[0].detail.contains("may be of a person"), "{}", plan.questions[0].detail);
}

#[test]
fn a_record_that_may_be_another_persons_is_asked_about_left_alone_and_not_taken() {
    let mut sister = made_by_hand(&[("FirstName", "Grace")]);
    sister.fields.insert("City".into(), CrmValue::Null);
    for on_shared in [OnShared::Review, OnShared::Newest] {
        for owner in [None, Some(other(false)), Some(other(true))] {
            let mut case = Case { owner, ..Case::unlinked(vec![(sister.clone(), MatchedBy::Email)]) };
            case.rules.on_shared = on_shared;
            assert_in_doubt(&case.plan());
            // It is asked as long as nobody answers.
            case.link = Some(by_email());
            case.found = vec![(sister.clone(), MatchedBy::Link)];
            assert_in_doubt(&case.plan());
        }
    }
    let case = Case { owner: Some(other(false)), ..Case::unlinked(vec![(sister, MatchedBy::Email)]) };
    let told = &case.plan().questions[0];
    assert!(told.detail.starts_with("the record belongs to lead klozeo/cl_other already, and "), "{}", told.detail);
    let asked = told.for_deciding();
    assert_eq!(asked, format!("{}: the lead is Ada Lovelace, and the record Grace Lovelace", told.detail));
}

#[test]
fn nothing_speaks_against_a_misspelt_name_a_missing_one_or_another_address_of_the_name_and_company() {
    let misspelt = made_by_hand(&[("FirstName", "Adaa"), ("LastName", "Lovelcae")]);
    let namesake = made_by_hand(&[("Email", "a.lovelace@lovelace.example")]);
    let mut no_first_name = made_by_hand(&[("LastName", "Lovelace")]);
    no_first_name.fields.insert("FirstName".into(), CrmValue::Null);
    let no_name = made_by_hand(&[("LastName", "Unknown")]);
    for (found, by) in [
        (misspelt, MatchedBy::Email),
        (namesake, MatchedBy::NameAndCompanyDomain),
        (no_first_name, MatchedBy::Email),
        (no_name, MatchedBy::Email),
    ] {
        let plan = Case::unlinked(vec![(found.clone(), by)]).plan();
        assert!(plan.owner && plan.questions.is_empty(), "{:?}: {:?}", found.fields, plan.questions);
    }
}

#[test]
fn whoever_gives_no_name_is_nobody_for_sure_at_an_address_that_several_read() {
    let plan_of = |record: CrmRecord, address: &str, name: Option<&str>| {
        let mut case = Case::unlinked(vec![(record, MatchedBy::Email)]);
        let says = [Some(("email", address)), name.map(|name| ("name", name))];
        let says = says.into_iter().flatten().map(|(path, said)| (path, Value::Text(said.to_owned())));
        case.lead = lead(&says.collect::<Vec<_>>());
        case.plan()
    };
    let plan_at = |address: &str, name| plan_of(made_by_hand(&[("Email", address)]), address, name);
    for name in [None, Some("N/A"), Some("-"), Some("Unknown")] {
        let asked = plan_at("info@acme.example", name);
        assert_in_doubt(&asked);
        let told = asked.questions[0].for_deciding();
        assert!(told.ends_with("the lead is without a name, and the record Ada Lovelace"), "{told}");
    }
    for (address, name) in [("info@acme.example", Some("Ada Lovelace")), ("ada@lovelace.example", None)] {
        assert!(plan_at(address, name).owner, "{address}");
    }
    let mut nobody = made_by_hand(&[("Email", "info@acme.example"), ("LastName", "Unknown")]);
    nobody.fields.insert("FirstName".into(), CrmValue::Null);
    for name in [None, Some("N/A")] {
        assert!(plan_of(nobody.clone(), "info@acme.example", name).owner, "{name:?}");
    }
}

#[test]
fn a_record_in_doubt_that_was_merged_into_another_is_in_doubt_there() {
    let survivor = CrmRecord { id: "00Q2".into(), ..made_by_hand(&[("FirstName", "Grace")]) };
    let merged = CrmRecord { became: Some(survivor.reference()), ..made_by_hand(&[("FirstName", "Grace")]) };
    let moved = |link: Link, answers: Vec<Resolution>| {
        let found = vec![(merged.clone(), MatchedBy::Link), (survivor.clone(), MatchedBy::Link)];
        Case { link: Some(link), answers, ..Case::unlinked(found) }.plan()
    };
    let asked = moved(by_email(), Vec::new());
    assert_in_doubt(&asked);
    assert_eq!(asked.matched, Some((survivor.reference(), MatchedBy::Email)), "the link says what the doubt is about");
    assert_eq!(asked.questions[0].record, Some(survivor.reference()));
    let same = moved(by_email(), vec![answer(ConflictKind::SharedRecord, Choice::Lead, &merged)]);
    assert!(same.owner && same.questions.is_empty(), "{:?}", same.questions);
    let owned = moved(Link { owner: true, ..by_email() }, Vec::new());
    assert!(owned.owner && owned.questions.is_empty(), "{:?}", owned.questions);
}

#[test]
fn whoever_inherits_a_record_in_doubt_is_asked_before_it_is_the_owner() {
    let sister = made_by_hand(&[("FirstName", "Grace"), (ID_FIELD, "cl_gone")]);
    let heir = Link { owner: true, fingerprint: String::new(), bases: BTreeMap::new(), ..by_email() };
    let inherits = |answers: Vec<Resolution>| {
        let found = vec![(sister.clone(), MatchedBy::Link)];
        Case { link: Some(heir.clone()), answers, ..Case::unlinked(found) }.plan()
    };
    assert_in_doubt(&inherits(Vec::new()));
    let alone = inherits(vec![answer(ConflictKind::SharedRecord, Choice::Crm, &sister)]);
    assert_eq!((&alone.action, alone.owner, alone.questions.len()), (&Action::Unchanged, false, 0));
    let found = vec![(sister.clone(), MatchedBy::Link)];
    let mut deleted = Case { link: Some(heir.clone()), ..Case::unlinked(found) };
    deleted.rules.on_delete = OnDelete::Delete;
    deleted.lead.deleted = deleted.lead.latest.clone();
    assert!(matches!(deleted.plan().action, Action::Skip { .. }), "nor does its delete reach the record");
    let same = inherits(vec![answer(ConflictKind::SharedRecord, Choice::Lead, &sister)]);
    assert!(same.owner && same.questions.is_empty(), "{:?}", same.questions);
}

#[test]
fn the_record_that_a_person_chose_is_not_asked_about_again() {
    let found = made_by_hand(&[("FirstName", "Grace"), ("LastName", "Hopper")]);
    let chosen = answer(ConflictKind::Match, Choice::Record(found.reference()), &found);
    let case = Case { answers: vec![chosen.clone()], ..Case::unlinked(vec![(found.clone(), MatchedBy::Email)]) };
    let plan = case.plan();
    assert!(plan.owner && plan.questions.is_empty(), "{:?}", plan.questions);
    let later = answer(ConflictKind::SharedRecord, Choice::Crm, &found);
    let plan = Case { answers: vec![chosen, later], link: Some(by_email()), ..case }.plan();
    assert_eq!((&plan.action, plan.owner), (&Action::Unchanged, false), "the newest answer counts");
}

#[test]
fn what_a_person_says_of_a_record_in_doubt_is_done() {
    let found = made_by_hand(&[("FirstName", "Grace")]);
    let answered = |choice: Choice| {
        let answers = vec![answer(ConflictKind::SharedRecord, choice, &found)];
        let planned = planned_link(Some(&by_email()), &answers).cloned();
        let by = if planned.is_some() { MatchedBy::Link } else { MatchedBy::Email };
        Case { answers, link: planned, ..Case::unlinked(vec![(found.clone(), by)]) }.plan()
    };
    let stays = answered(Choice::Crm);
    assert_eq!((&stays.action, stays.owner, stays.questions.len()), (&Action::Unchanged, false, 0));
    let same = answered(Choice::Lead);
    assert_eq!(city(&same), (Some(text("Berlin")), Some(Rule::LeadWins), false), "it is the lead's own record");
    let Action::Update { fields, .. } = &same.action else { panic!("{:?}", same.action) };
    assert!(same.owner && fields.contains_key(&FieldName::from(ID_FIELD)), "{fields:?}");
    assert!(matches!(answered(Choice::Create).action, Action::Create { .. }), "the lead gets a record of its own");
    // The name was corrected meanwhile: nothing is in doubt any more.
    let corrected = vec![(made_by_hand(&[]), MatchedBy::Link)];
    let plan = Case { link: Some(by_email()), ..Case::unlinked(corrected) }.plan();
    assert!(plan.owner && plan.questions.is_empty(), "{:?}", plan.questions);
}
