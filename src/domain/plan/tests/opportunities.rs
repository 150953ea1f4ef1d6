//! Opportunities that were made of leads' records: known by the conversion, filled where they are blank, kept in mind.

use std::sync::Arc;

use super::others::{contact, converted, with_contacts};
use super::*;
use crate::domain::matching::KeyField;
use crate::domain::opportunity::{Conversion, OpportunityKey, OpportunityObject};

const LINK_FIELD: &str = "Opportunity.Id";

/// Of an opportunity the next step and the city are written.
fn rules_with_opportunities() -> SyncRules {
    let mut rules = with_contacts(ConflictRule::LeadWins);
    let lead = rules.schema.objects.get_mut(&ObjectName::from("Lead")).unwrap();
    lead.fields.insert("ConvertedOpportunityId".into(), field("ConvertedOpportunityId"));
    let fields = ["NextStep", "City"].map(|name| (name.into(), field(name))).into();
    let described = ObjectSchema { name: "Opportunity".into(), createable: true, updateable: true, fields };
    rules.schema.objects.insert("Opportunity".into(), described);
    let mut rows = SyncRules { others: BTreeMap::new(), ..rules.clone() };
    rows.rows = vec![row("org", "NextStep", ConflictRule::LeadWins), row("city", "City", ConflictRule::LeadWins)];
    rows.matching.object = "Opportunity".into();
    let converted = KeyField { object: "Lead".into(), field: "ConvertedOpportunityId".into() };
    let object = OpportunityObject { object: "Opportunity".into(), converted };
    rules.opportunity = Some(Arc::new(OpportunityRules { object, rows }));
    rules
}

fn ada_of(org: &str) -> Lead {
    let mut lead = ada(Some("Berlin"));
    let org = LeadField { value: Value::Text(org.into()), stamp: lead.fields["city"].stamp.clone() };
    lead.fields.insert("org".into(), org);
    lead
}

fn opportunity(id: &str, city: Option<&str>) -> CrmRecord {
    let mut record = CrmRecord { object: "Opportunity".into(), ..record(id, None) };
    record.fields = [("City".into(), city.map_or(CrmValue::Null, text))].into();
    record
}

fn conversion(person: &CrmRecord, opportunity: &CrmRecord, is_there: bool) -> Conversion {
    let record = is_there.then(|| opportunity.clone());
    Conversion { person: person.reference(), opportunity: opportunity.reference(), record }
}

fn planned(lead: &Lead, link: &Link, found: &[CrmRecord], conversions: Vec<Conversion>) -> SyncPlan {
    planned_by(&rules_with_opportunities(), lead, Some(link), found, conversions)
}

fn planned_by(
    rules: &SyncRules,
    lead: &Lead,
    link: Option<&Link>,
    found: &[CrmRecord],
    conversions: Vec<Conversion>,
) -> SyncPlan {
    let by = if link.is_some() { MatchedBy::Link } else { MatchedBy::Email };
    let found = found.iter().cloned().map(|record| Candidate { record, by }).collect();
    let input = PlanInput {
        lead,
        external_id: OUR_ID,
        former_ids: &own_keys(lead.key.clone(), link, &[]).former,
        times: TimeFormat::UnixSeconds,
        link,
        intents: &[],
        answers: &[],
        found: &Candidates { found, conversions, ..Candidates::default() },
        company: None,
        asked_for: false,
        shared: false,
        owner_of: &|_| None,
    };
    plan_sync(&input, rules)
}

fn key(lead: &Lead, link: &Link) -> Option<OpportunityKey> {
    key_by(&rules_with_opportunities(), lead, link, false)
}

fn key_by(rules: &SyncRules, lead: &Lead, link: &Link, asked_for: bool) -> Option<OpportunityKey> {
    let own = own_keys(lead.key.clone(), Some(link), &[]);
    match_keys(lead, &own, Some(link), &[], TimeFormat::UnixSeconds, asked_for, rules).opportunity
}

fn of_converted(email: Option<&str>) -> Option<OpportunityKey> {
    with_keys(&[], email)
}

/// With these keys, beside that of now and the lead's own ID.
fn with_keys(keys: &[&str], email: Option<&str>) -> Option<OpportunityKey> {
    let lead = ada_of("Call").key.id;
    let external_ids = keys.iter().copied().chain([OUR_ID, lead.as_str()]).map(str::to_owned).collect();
    Some(OpportunityKey::OfConverted { external_ids, email: email.map(str::to_owned) })
}

fn linked_to(record: &CrmRecord, plan: &SyncPlan) -> Link {
    Link { record: record.reference(), bases: plan.bases.clone(), ..link(None) }
}

/// What is known of the lead's opportunity: its ID, or that there is none.
fn kept(plan: &SyncPlan) -> Option<&CrmValue> {
    plan.bases.get(&LINK_FIELD.into()).map(|base| &base.crm)
}

fn filled(plan: &SyncPlan) -> Vec<&str> {
    plan.opportunity.as_ref().map(|of| of.fields.keys().map(FieldName::as_str).collect()).unwrap_or_default()
}

#[test]
fn the_opportunity_of_a_converted_lead_is_filled_where_it_is_blank_and_kept_in_mind() {
    let (now, made) = (contact("0031", None), opportunity("0061", Some("Hamburg")));
    let found = [converted("00Q1", &now), now.clone()];
    let mut plan = planned(&ada_of("Call"), &link(None), &found, vec![conversion(&now, &made, true)]);
    assert_eq!(plan.moved_from.as_ref().map(|from| from.id.as_str()), Some("00Q1"));
    let of = plan.opportunity.as_ref().unwrap();
    assert_eq!((filled(&plan), of.is_new, of.is_gone), (vec!["NextStep"], true, false), "its city stays");
    let rule = |of: &OpportunityPlan, field: &str| {
        of.decisions.iter().find(|decision| decision.field.as_str() == field).map(|decision| decision.rule)
    };
    assert_eq!((rule(of, "NextStep"), rule(of, "City")), (Some(Rule::FilledBlank), Some(Rule::CrmWins)));
    assert_eq!(of.untold().iter().map(|decision| decision.field.as_str()).collect::<Vec<_>>(), ["City"]);
    plan.know_opportunity(true);
    assert_eq!(kept(&plan), Some(&text("0061")));

    // The lead says nothing new of it, so it is not looked up again; then it says something new.
    let link = linked_to(&now, &plan);
    assert_eq!(key(&ada_of("Call"), &link), None);
    let again = planned(&ada_of("Call"), &link, std::slice::from_ref(&now), Vec::new());
    assert_eq!((&again.opportunity, kept(&again)), (&None, Some(&text("0061"))));
    assert_eq!(key(&ada_of("Visit"), &link), Some(OpportunityKey::Known(made.reference())));
    let again = planned(&ada_of("Visit"), &link, std::slice::from_ref(&now), vec![conversion(&now, &made, true)]);
    let of = again.opportunity.unwrap();
    assert_eq!((of.is_new, of.untold().len()), (false, 1), "it is new what is said of it");
    let asked = planned(&ada_of("Call"), &link, std::slice::from_ref(&now), vec![conversion(&now, &made, true)]);
    let of = asked.opportunity.unwrap();
    assert_eq!((of.untold().len(), rule(&of, "City")), (0, Some(Rule::CrmWins)), "it was told before");
    // What was not dealt with is looked at again.
    plan.know_opportunity(false);
    assert_eq!(key(&ada_of("Call"), &linked_to(&now, &plan)), Some(OpportunityKey::Known(made.reference())));
}

#[test]
fn a_contact_that_is_merged_keeps_its_leads_opportunity() {
    let (now, made) = (contact("0031", None), opportunity("0061", None));
    let mut plan = planned(
        &ada_of("Call"),
        &link(None),
        &[converted("00Q1", &now), now.clone()],
        vec![conversion(&now, &made, true)],
    );
    plan.know_opportunity(true);
    let survivor = contact("0032", None);
    let merged = CrmRecord { became: Some(survivor.reference()), ..now.clone() };
    let moved = planned(&ada_of("Call"), &linked_to(&now, &plan), &[merged, survivor], Vec::new());
    assert_eq!((&moved.moved_from, kept(&moved)), (&Some(now.reference()), Some(&text("0061"))));
}

#[test]
fn an_opportunity_that_is_gone_is_written_no_more_and_nothing_else_fails() {
    let (now, made) = (contact("0031", None), opportunity("0061", None));
    let mut plan = planned(
        &ada_of("Call"),
        &link(None),
        &[converted("00Q1", &now), now.clone()],
        vec![conversion(&now, &made, false)],
    );
    assert!(matches!(plan.action, Action::Update { .. } | Action::Unchanged), "{:?}", plan.action);
    assert_eq!((filled(&plan), plan.opportunity.as_ref().unwrap().is_gone), (vec![], true));
    plan.know_opportunity(true);
    assert_eq!(key(&ada_of("Call"), &linked_to(&now, &plan)), None, "it is not asked for at every sync");
}

#[test]
fn where_no_opportunity_was_made_none_is_written_and_none_asked_for_again() {
    let now = contact("0031", None);
    let plan = planned(&ada_of("Call"), &link(None), &[converted("00Q1", &now), now.clone()], Vec::new());
    assert_eq!((&plan.opportunity, kept(&plan)), (&None, Some(&CrmValue::Null)));
    assert_eq!(key(&ada_of("Visit"), &linked_to(&now, &plan)), None);
    // Of a link from before there were rows nothing is known: the record with our key tells.
    let before = Link { record: now.reference(), ..link(None) };
    assert_eq!(key(&ada_of("Call"), &before), of_converted(None));
    // It keeps the key that it had when it was converted, however keys are formed since.
    let mut formed_otherwise = before.clone();
    formed_otherwise.bases.insert(ID_FIELD.into(), pair("{lead_id}", "before/1"));
    assert_eq!(key(&ada_of("Call"), &formed_otherwise), with_keys(&["before/1"], None));

    let (one, two) = (opportunity("0061", None), opportunity("0062", None));
    let several = vec![conversion(&now, &one, true), conversion(&now, &two, true)];
    let plan = planned(&ada_of("Call"), &before, std::slice::from_ref(&now), several);
    assert_eq!((&plan.opportunity, kept(&plan)), (&None, Some(&CrmValue::Null)));
    assert!(plan.decisions.iter().any(|decision| decision.field.as_str() == LINK_FIELD), "the log says so");
    let of_another = vec![conversion(&contact("0039", None), &one, true)];
    assert_eq!(planned(&ada_of("Call"), &before, std::slice::from_ref(&now), of_another).opportunity, None);
}

#[test]
fn a_record_that_is_not_converted_has_no_opportunity() {
    let plan = planned(&ada_of("Call"), &link(None), &[record("00Q1", Some("Berlin"))], Vec::new());
    assert_eq!((&plan.opportunity, kept(&plan)), (&None, None));
    assert_eq!(key(&ada_of("Call"), &linked_to(&record("00Q1", None), &plan)), None);
}

#[test]
fn that_there_is_no_opportunity_is_kept_only_where_the_crm_would_show_it_and_whoever_asks_has_it_looked_for() {
    let now = contact("0031", None);
    let mut hiding = rules_with_opportunities();
    let lead = hiding.schema.objects.get_mut(&ObjectName::from("Lead")).unwrap();
    lead.fields.remove(&FieldName::from("ConvertedOpportunityId"));
    let found = [converted("00Q1", &now), now.clone()];
    let plan = planned_by(&hiding, &ada_of("Call"), Some(&link(None)), &found, Vec::new());
    assert_eq!(kept(&plan), None);
    let linked = linked_to(&now, &plan);
    assert_eq!(key_by(&hiding, &ada_of("Call"), &linked, true), None, "nothing would tell");
    let of_record = Some(OpportunityKey::MadeOf(found[0].reference()));
    assert_eq!(key(&ada_of("Call"), &linked), of_record, "it is shown by now");
    let by_address = Link { matched_by: MatchedBy::Email, bases: BTreeMap::new(), ..linked.clone() };
    assert_eq!(key(&ada_of("Call"), &by_address), of_converted(Some("ada@lovelace.example")));

    let none = linked_to(&now, &planned(&ada_of("Call"), &link(None), &found, Vec::new()));
    let rules = rules_with_opportunities();
    assert_eq!(key(&ada_of("Call"), &none), None);
    assert_eq!(key_by(&rules, &ada_of("Call"), &none, true), of_record);
    let made = opportunity("0061", None);
    let plan = planned(&ada_of("Call"), &none, std::slice::from_ref(&now), vec![conversion(&now, &made, true)]);
    assert!(plan.opportunity.is_some_and(|of| of.is_new));
}

#[test]
fn an_opportunity_is_left_alone_while_it_is_not_sure_to_be_the_leads() {
    let made = opportunity("0061", None);
    let rules = |on_shared| {
        let mut rules = SyncRules { on_shared, ..rules_with_opportunities() };
        rules.others.values_mut().for_each(|rules| rules.on_shared = on_shared);
        rules
    };
    let (review, newest) = (rules(OnShared::Review), rules(OnShared::Newest));
    let with = |field: &str, value: &str| {
        let mut record = contact("0031", None);
        record.fields.insert(field.into(), text(value));
        record
    };
    // Another lead's record, with or without a question, and one that may be another person's.
    let of_another = with(ID_FIELD, "cl_other");
    let mut doubtful = with("FirstName", "Augusta");
    doubtful.fields.insert(ID_FIELD.into(), CrmValue::Null);
    for (rules, now, asks) in [(&review, &of_another, true), (&newest, &of_another, false), (&review, &doubtful, true)]
    {
        let (lead, found, made) = (ada_of("Call"), [now.clone()], vec![conversion(now, &made, true)]);
        let plan = planned_by(rules, &lead, None, &found, made.clone());
        assert_eq!((plan.questions.len(), &plan.opportunity, kept(&plan)), (usize::from(asks), &None, None));
        // Nor is it kept that there is none: once a person has answered, it is looked for.
        assert_eq!(kept(&planned_by(rules, &lead, None, &found, Vec::new())), None);
        // A lead whose own record was converted into that one is sure of it, unless a person is asked.
        let moved = [converted("00Q1", now), now.clone()];
        let plan = planned_by(rules, &lead, Some(&link(None)), &moved, made);
        assert_eq!(plan.opportunity.is_some(), plan.questions.is_empty());
    }
}

#[test]
fn the_record_that_was_converted_into_the_leads_one_is_kept_in_mind_and_tells_for_good() {
    let (now, made) = (contact("0031", None), opportunity("0061", None));
    let found = [converted("00Q1", &now), now.clone()];
    let without_rows = SyncRules { opportunity: None, ..rules_with_opportunities() };
    let of_record = Some(OpportunityKey::MadeOf(found[0].reference()));
    let plan = planned_by(&without_rows, &ada_of("Call"), Some(&link(None)), &found, Vec::new());
    let linked = linked_to(&now, &plan);
    assert_eq!(key(&ada_of("Call"), &linked), of_record);
    // It stays in mind while nothing is asked, and when the Contact is merged.
    let again = planned_by(&without_rows, &ada_of("Call"), Some(&linked), std::slice::from_ref(&now), Vec::new());
    assert_eq!(key(&ada_of("Call"), &linked_to(&now, &again)), of_record);
    let survivor = contact("0032", None);
    let merged = CrmRecord { became: Some(survivor.reference()), ..now.clone() };
    let moved = planned_by(&without_rows, &ada_of("Call"), Some(&linked), &[merged, survivor.clone()], Vec::new());
    assert_eq!(key(&ada_of("Call"), &linked_to(&survivor, &moved)), of_record);
    let plan = planned(&ada_of("Call"), &linked, std::slice::from_ref(&now), vec![conversion(&now, &made, true)]);
    assert_eq!(filled(&plan), ["City", "NextStep"]);

    // One that was merged before the other one was converted tells nothing; nor do several of one address.
    let lead = converted("00Q2", &now);
    let loser = CrmRecord { became: Some(lead.reference()), ..record("00Q1", None) };
    let chain = [loser, lead.clone(), now.clone()];
    let plan = planned_by(&without_rows, &ada_of("Call"), Some(&link(None)), &chain, Vec::new());
    assert_eq!(key(&ada_of("Call"), &linked_to(&now, &plan)), Some(OpportunityKey::MadeOf(lead.reference())));
    let several = [converted("00Q1", &now), converted("00Q2", &now), now.clone()];
    let plan = planned_by(&without_rows, &ada_of("Call"), None, &several, Vec::new());
    assert_eq!(key(&ada_of("Call"), &linked_to(&now, &plan)), of_converted(None));
}

#[test]
fn what_was_made_of_another_leads_record_is_not_looked_up_for_a_sharer() {
    let mut now = contact("0031", None);
    now.fields.insert(ID_FIELD.into(), text("cl_other"));
    let sharer = Link { owner: false, matched_by: MatchedBy::Email, ..link(None) };
    let found = [converted("00Q1", &now), now.clone()];
    let plan = planned(&ada_of("Call"), &sharer, &found, Vec::new());
    let linked = Link { owner: plan.owner, matched_by: MatchedBy::Email, ..linked_to(&now, &plan) };
    assert_eq!((plan.owner, key(&ada_of("Call"), &linked)), (false, of_converted(None)));
}
