//! Records of other kinds, records that took another's place, records that are gone, and companies.

use std::sync::Arc;

use super::*;
use crate::domain::company::{self, CompanyKeys};

const PHONE: &str = "Phone";

/// Rules that write to Contacts as well: they have a phone and no city.
pub(super) fn with_contacts(rule: ConflictRule) -> SyncRules {
    let mut rules = rules(rule);
    let fields =
        ["FirstName", "LastName", "Email", PHONE, "AccountId", ID_FIELD].map(|name| (name.into(), field(name)));
    let contact = ObjectSchema { name: "Contact".into(), createable: true, updateable: true, fields: fields.into() };
    rules.schema.objects.insert("Contact".into(), contact);
    rules.matching.others.insert("Contact".into());
    let mut of_contacts = SyncRules { rows: rules.rows[..3].to_vec(), ..rules.clone() };
    of_contacts.rows.push(row("phone", PHONE, rule));
    of_contacts.matching.object = "Contact".into();
    rules.others.insert("Contact".into(), of_contacts);
    rules
}

pub(super) fn contact(id: &str, phone: Option<&str>) -> CrmRecord {
    let mut record = CrmRecord { object: "Contact".into(), ..record(id, None) };
    record.fields.insert(PHONE.into(), phone.map_or(CrmValue::Null, text));
    record
}

fn without_our_id(mut record: CrmRecord) -> CrmRecord {
    record.fields.insert(ID_FIELD.into(), CrmValue::Null);
    record
}

pub(super) fn converted(id: &str, to: &CrmRecord) -> CrmRecord {
    CrmRecord { became: Some(to.reference()), ..record(id, Some("Berlin")) }
}

fn ada_with_phone() -> Lead {
    let mut lead = ada(Some("Berlin"));
    let phone = LeadField { value: Value::Text("1".into()), stamp: lead.fields["city"].stamp.clone() };
    lead.fields.insert("phone".into(), phone);
    lead
}

fn fields(plan: &SyncPlan) -> BTreeMap<&str, String> {
    match &plan.action {
        Action::Create { fields, .. } | Action::Update { fields, .. } => {
            fields.iter().map(|(field, value)| (field.as_str(), value.to_string())).collect()
        }
        other => panic!("nothing is written: {other:?}"),
    }
}

#[test]
fn a_lead_who_is_a_contact_is_written_by_the_rows_of_contacts() {
    let found = without_our_id(contact("0031", None));
    let mut case = Case::unlinked(vec![(found, MatchedBy::Email)]);
    (case.rules, case.lead) = (with_contacts(ConflictRule::LeadWins), ada_with_phone());
    let plan = case.plan();
    assert_eq!(fields(&plan), [(PHONE, "1".to_owned()), (ID_FIELD, OUR_ID.to_owned())].into());
    assert!(matches!(&plan.action, Action::Update { record, .. } if record.object.as_str() == "Contact"));
    assert!(plan.owner);
}

#[test]
fn a_record_that_took_anothers_place_has_no_base_and_gets_our_id_where_it_has_none() {
    let now = without_our_id(contact("0031", Some("2")));
    let was = converted("00Q1", &now);
    for (rule, written) in
        [(ConflictRule::LeadWins, Some("1")), (ConflictRule::CrmWins, None), (ConflictRule::Review, None)]
    {
        let mut case = Case::linked(rule, Some(pair("Berlin", "Berlin")), None, None);
        (case.rules, case.lead) = (with_contacts(rule), ada_with_phone());
        case.found = vec![(was.clone(), MatchedBy::Link), (now.clone(), MatchedBy::Link)];
        let plan = case.plan();
        assert_eq!(plan.moved_from, Some(was.reference()), "{rule:?}");
        assert_eq!(fields(&plan).get(PHONE).map(String::as_str), written, "{rule:?}");
        assert_eq!(fields(&plan)[ID_FIELD], OUR_ID, "{rule:?}");
        assert!(!plan.bases.contains_key(&FieldName::from("City")), "{rule:?}: the base was the other record's");
        assert_eq!(plan.questions.len(), usize::from(rule == ConflictRule::Review), "{rule:?}");
    }
    // It carries another lead's ID: blanks are filled, and a person is asked.
    let mut taken = now.clone();
    taken.fields.insert(ID_FIELD.into(), text("cl_other"));
    let mut case = Case::linked(ConflictRule::LeadWins, None, None, None);
    (case.rules, case.lead) = (with_contacts(ConflictRule::LeadWins), ada_with_phone());
    case.found = vec![(was, MatchedBy::Link), (taken, MatchedBy::Link)];
    let plan = case.plan();
    assert_eq!((&plan.action, plan.owner), (&Action::Unchanged, false));
    assert_eq!(plan.questions[0].kind, ConflictKind::SharedRecord);
}

#[test]
fn what_became_of_a_record_that_is_not_written_to_is_a_persons_to_see_to() {
    let now = contact("0031", None);
    let mut case = Case::linked(ConflictRule::LeadWins, None, None, None);
    case.found = vec![(converted("00Q1", &now), MatchedBy::Link), (now, MatchedBy::Link)];
    assert!(matches!(case.plan().action, Action::Hold { code: "record_converted", .. }));
}

#[test]
fn what_became_of_a_record_and_was_deleted_is_gone() {
    let mut case = Case::linked(ConflictRule::LeadWins, None, None, None);
    case.rules = with_contacts(ConflictRule::LeadWins);
    let survivor = record("00Q2", None);
    let merged = CrmRecord { became: Some(survivor.reference()), ..record("00Q1", None) };
    for was in [converted("00Q1", &contact("0031", None)), merged] {
        case.found = vec![(was, MatchedBy::Link)];
        for (on, expected) in [(OnCrmDelete::Hold, "record_gone"), (OnCrmDelete::Unlink, "skip")] {
            case.rules.on_crm_delete = on;
            let told = match case.plan().action {
                Action::Hold { code, .. } => code,
                Action::Skip { .. } => "skip",
                other => panic!("{other:?}"),
            };
            assert_eq!(told, expected);
        }
    }
    // Found by our key, of which no second record can be made.
    let lead = converted("00Q1", &contact("0031", None));
    let mut case = Case::unlinked(vec![(lead, MatchedBy::ExternalId)]);
    case.rules = with_contacts(ConflictRule::LeadWins);
    let detail = "Lead 00Q1 was converted to Contact 0031, which was deleted".to_owned();
    assert_eq!(case.plan().action, Action::Hold { code: "record_gone", detail });
}

#[test]
fn a_lead_whose_record_is_of_a_kind_without_rows_any_more_is_held() {
    let linked = contact("0031", Some("2"));
    let mut case = Case::linked(ConflictRule::LeadWins, None, Some("Berlin"), None);
    case.link.as_mut().unwrap().record = linked.reference();
    case.found = vec![(linked, MatchedBy::Link)];
    // A value that cannot be stored in a Lead is none of a Contact's.
    case.rules.rows[3].on_invalid = OnInvalid::Hold;
    case.lead.fields.get_mut("city").unwrap().value = Value::Text("much too long for the field".to_owned());
    let plan = case.plan();
    assert!(matches!(plan.action, Action::Hold { code: "other_object", .. }), "{:?}", plan.action);
    assert_eq!((plan.decisions, plan.matched), (Vec::new(), None));
    case.rules = with_contacts(ConflictRule::LeadWins);
    assert_eq!(case.plan().action, Action::Unchanged, "with rows again it goes on");
}

#[test]
fn a_merged_record_is_not_said_to_be_converted() {
    let mut case = Case::unlinked(vec![(converted("00Q1", &contact("0031", None)), MatchedBy::ExternalId)]);
    let fate = |case: &Case| case.found[0].0.fate();
    assert_eq!(fate(&case).as_deref(), Some("converted to Contact 0031"));
    case.found[0].0.became = Some(RecordRef { object: "Lead".into(), id: "00Q2".into() });
    assert_eq!(fate(&case).as_deref(), Some("merged into Lead 00Q2"));
    case.found[0].0.became = None;
    assert_eq!(fate(&case), None);
}

#[test]
fn what_became_of_a_deleted_leads_record_is_left_alone_unless_it_carries_our_id_itself() {
    let now = without_our_id(contact("0031", None));
    let mut case = Case::unlinked(vec![(converted("00Q1", &now), MatchedBy::ExternalId), (now, MatchedBy::ExternalId)]);
    (case.rules, case.lead) = (with_contacts(ConflictRule::LeadWins), ada_with_phone());
    case.rules.on_delete = OnDelete::Delete;
    case.lead.deleted = case.lead.latest.clone();
    let left = |case: &Case| {
        let plan = case.plan();
        assert!(matches!(plan.action, Action::Skip { code: "lead_deleted", .. }), "{:?}", plan.action);
        assert_eq!(plan.matched, None);
    };
    left(&case);
    case.found[1].0.fields.insert(ID_FIELD.into(), text(OUR_ID));
    left(&case);
    // The Lead is gone, and the Contact carries our ID: it is the lead's own.
    case.found.remove(0);
    assert!(matches!(case.plan().action, Action::Delete { gone: false, .. }));
    case.answers = vec![Resolution {
        kind: ConflictKind::SharedRecord,
        field: None,
        choice: Choice::Create,
        seen_lead: None,
        seen_crm: None,
        seen_records: vec![contact("0031", None).reference()],
    }];
    left(&case);
}

#[test]
fn what_is_done_about_a_record_that_is_gone_is_as_the_settings_say() {
    let mut case = Case::linked(ConflictRule::LeadWins, None, None, None);
    case.found.clear();
    let mut on = |on_crm_delete, asked_for| {
        (case.rules.on_crm_delete, case.asked_for) = (on_crm_delete, asked_for);
        match case.plan().action {
            Action::Hold { code, .. } => format!("hold {code}"),
            Action::Skip { code, .. } => format!("skip {code}"),
            Action::Forget { .. } => "forget".to_owned(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(on(OnCrmDelete::Hold, true), "hold record_gone");
    assert_eq!(on(OnCrmDelete::Unlink, false), "skip record_gone");
    assert_eq!(on(OnCrmDelete::Unlink, true), "forget");
    assert_eq!(on(OnCrmDelete::Recreate, false), "forget");
    assert_eq!(on(OnCrmDelete::Review, false), "hold match_conflict");
    let question = &case.plan().questions[0];
    let other = RecordRef { object: "Lead".into(), id: "00Q9".into() };
    assert!(question.takes(&Choice::Record(other)) && question.takes(&Choice::Create));
    case.answers = vec![Resolution {
        kind: ConflictKind::Match,
        field: None,
        choice: Choice::Create,
        seen_lead: None,
        seen_crm: None,
        seen_records: vec![record("00Q1", None).reference()],
    }];
    assert!(matches!(case.plan().action, Action::Forget { .. }));
}

/// Contacts point to their Account, which is named after the lead's `org`.
fn with_companies() -> SyncRules {
    let mut rules = with_contacts(ConflictRule::LeadWins);
    let fields = ["Name", "Website", "City", ID_FIELD].map(|name| (name.into(), field(name)));
    let account = ObjectSchema { name: "Account".into(), createable: true, updateable: true, fields: fields.into() };
    rules.schema.objects.insert("Account".into(), account);
    let mut rows = SyncRules { others: BTreeMap::new(), ..rules.clone() };
    rows.rows = vec![row("org", "Name", ConflictRule::CrmWins), row("city", "City", ConflictRule::CrmWins)];
    rows.matching.object = "Account".into();
    let object = company::tests::object();
    let lookups = object.lookups.iter().cloned().collect();
    let company = Some(Arc::new(CompanyRules { object, create: true, lookups, rows }));
    let mut of_contacts = rules.others.remove(&"Contact".into()).unwrap();
    (of_contacts.schema, of_contacts.company) = (rules.schema.clone(), company);
    of_contacts
}

fn ada_of(org: &str) -> Lead {
    let mut lead = ada(Some("Berlin"));
    let org = LeadField { value: Value::Text(org.into()), stamp: lead.fields["city"].stamp.clone() };
    lead.fields.insert("org".into(), org);
    lead
}

fn account(id: &str, name: &str) -> Candidate {
    let mut record = CrmRecord { object: "Account".into(), ..record(id, None) };
    record.fields = [("Name".into(), text(name))].into();
    Candidate { record, by: MatchedBy::CompanyName }
}

fn planned(lead: &Lead, link: Option<&Link>, found: Option<CrmRecord>, companies: Vec<Candidate>) -> Option<SyncPlan> {
    planned_by(&with_companies(), lead, link, found, companies)
}

fn planned_by(
    rules: &SyncRules,
    lead: &Lead,
    link: Option<&Link>,
    found: Option<CrmRecord>,
    companies: Vec<Candidate>,
) -> Option<SyncPlan> {
    let keys = match_keys(lead, &own(), link, &[], TimeFormat::UnixSeconds, false, rules);
    let by = if link.is_some() { MatchedBy::Link } else { MatchedBy::Email };
    let found = found.into_iter().map(|record| Candidate { record, by }).collect();
    keys.company.as_ref()?;
    let input = PlanInput {
        lead,
        external_id: OUR_ID,
        former_ids: &own_keys(lead.key.clone(), link, &[]).former,
        times: TimeFormat::UnixSeconds,
        link,
        intents: &[],
        answers: &[],
        found: &Candidates { found, companies: Some(companies), ..Candidates::default() },
        company: keys.company.as_ref(),
        asked_for: false,
        shared: false,
        owner_of: &|_| None,
    };
    Some(plan_sync(&input, rules))
}

#[test]
fn a_company_that_is_there_is_filled_and_pointed_to_once() {
    let mut plan = planned(&ada_of("Engine Ltd"), None, None, vec![account("0011", "ENGINE Inc.")]).unwrap();
    let company = plan.company.clone().unwrap();
    let CompanyAction::Is { record, by, fields: blanks, .. } = &company.action else { panic!("{company:?}") };
    assert_eq!((record.id.as_str(), *by), ("0011", MatchedBy::CompanyName));
    assert_eq!(blanks.keys().map(FieldName::as_str).collect::<Vec<_>>(), ["City"], "its name stays");
    plan.point_to(record, &with_companies().company.unwrap().object, true);
    assert_eq!(fields(&plan)["AccountId"], "0011");
    // The lead says nothing new of it, so it is not looked up again; then it says something new.
    let mut link = link(None);
    link.record.object = "Contact".into();
    link.bases.extend(plan.bases.clone());
    assert!(planned(&ada_of("Engine Ltd"), Some(&link), None, Vec::new()).is_none());
    let mut moved = ada_of("Engine Ltd");
    moved.fields.insert("city".into(), LeadField { value: Value::Text("Bonn".into()), ..moved.fields["city"].clone() });
    let keys = match_keys(&moved, &own(), Some(&link), &[], TimeFormat::UnixSeconds, false, &with_companies());
    assert_eq!(keys.company.unwrap().known.unwrap().id.as_str(), "0011");
    let keys =
        match_keys(&ada_of("Tabulator"), &own(), Some(&link), &[], TimeFormat::UnixSeconds, false, &with_companies());
    assert_eq!(keys.company.unwrap().known, None, "another company");
}

#[test]
fn a_company_that_is_not_there_is_made_with_the_strongest_of_its_keys() {
    let plan = planned(&ada_of("Engine Ltd"), None, None, Vec::new()).unwrap();
    let company = plan.company.unwrap();
    let CompanyAction::Create { fields, .. } = &company.action else { panic!("{company:?}") };
    assert_eq!(fields[&"Name".into()], text("Engine Ltd"));
    assert_eq!(fields[&ID_FIELD.into()], text("domain:lovelace.example"));
    let nameless = planned(&ada(None), None, None, Vec::new()).unwrap().company.unwrap();
    assert!(matches!(nameless.action, CompanyAction::Create { .. }), "the CRM of this test requires no name");
    assert_eq!(CompanyKeys::of(None, BTreeSet::new()), None);
}

#[test]
fn a_company_that_people_chose_for_a_contact_stays() {
    let mut chosen = without_our_id(contact("0031", None));
    chosen.fields.insert("AccountId".into(), text("0019"));
    let plan = planned(&ada_of("Engine Ltd"), None, Some(chosen), vec![account("0011", "Engine")]).unwrap();
    let company = plan.company.unwrap();
    assert_eq!(company.lookup, None);
    assert!(matches!(company.action, CompanyAction::Is { record, .. } if record.id.as_str() == "0019"));
}

#[test]
fn a_field_that_points_to_the_company_and_can_be_written_only_now_is_written() {
    let (lead, now) = (ada_of("Engine Ltd"), with_companies());
    let mut read_only = now.clone();
    let contact_fields = &mut read_only.schema.objects.get_mut(&ObjectName::from("Contact")).unwrap().fields;
    contact_fields.get_mut(&FieldName::from("AccountId")).unwrap().updateable = false;
    let mut without = now.clone();
    let company = CompanyRules { lookups: BTreeMap::new(), ..(**now.company.as_ref().unwrap()).clone() };
    without.company = Some(Arc::new(company));
    for before in [read_only, without] {
        let found = contact("0031", None);
        let mut plan =
            planned_by(&before, &lead, None, Some(found.clone()), vec![account("0011", "Engine Ltd")]).unwrap();
        let company = RecordRef { object: "Account".into(), id: "0011".into() };
        plan.point_to(&company, &now.company.as_ref().unwrap().object, true);
        let mut link = link(None);
        (link.record, link.bases) = (found.reference(), plan.bases);
        assert_eq!(planned_by(&before, &lead, Some(&link), None, Vec::new()), None, "there is nothing to look at");
        let mut plan = planned_by(&now, &lead, Some(&link), Some(found), vec![account("0011", "Engine Ltd")]).unwrap();
        plan.point_to(&company, &now.company.as_ref().unwrap().object, true);
        assert_eq!(fields(&plan)["AccountId"], "0011");
    }
}

#[test]
fn a_company_of_a_lead_who_is_another_kind_of_record_is_looked_at_once() {
    let of_contacts = with_companies();
    let mut rules = with_contacts(ConflictRule::LeadWins);
    (rules.schema, rules.company) = (of_contacts.schema.clone(), of_contacts.company.clone());
    rules.others.insert("Contact".into(), of_contacts);
    let (lead, found) = (ada_of("Engine Ltd"), contact("0031", None));
    let mut plan = planned_by(&rules, &lead, None, Some(found.clone()), vec![account("0011", "Engine Ltd")]).unwrap();
    let company = RecordRef { object: "Account".into(), id: "0011".into() };
    plan.point_to(&company, &rules.company.as_ref().unwrap().object, true);
    assert_eq!(fields(&plan)["AccountId"], "0011");
    let mut link = link(None);
    (link.record, link.bases) = (found.reference(), plan.bases);
    assert_eq!(planned_by(&rules, &lead, Some(&link), Some(found), Vec::new()), None);
}
