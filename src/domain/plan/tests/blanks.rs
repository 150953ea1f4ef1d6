//! What a lead no longer says: a blank beats no value, and a name takes back the part that it no longer has.

use super::*;
use crate::domain::merge;

/// The lead said `city` once, and says that it has none now.
fn emptied(city: &str) -> Lead {
    let mut lead = ada(None);
    let mut field = lead.fields["name"].clone();
    field.value = Value::Text(city.to_owned());
    lead.lasting.insert("city".to_owned(), field.clone());
    field.value = Value::Null;
    lead.fields.insert("city".to_owned(), field);
    lead
}

fn renamed(name: &str) -> Lead {
    let mut lead = ada(None);
    lead.fields.get_mut("name").unwrap().value = Value::Text(name.to_owned());
    lead
}

fn written(plan: &SyncPlan, field: &str) -> Option<CrmValue> {
    match &plan.action {
        Action::Create { fields, .. } | Action::Update { fields, .. } => fields.get(&FieldName::from(field)).cloned(),
        _ => None,
    }
}

#[test]
fn a_value_before_a_blank_is_written_whether_or_not_it_was_before_the_blank_came() {
    let mut late = Case::unlinked(vec![]);
    late.lead = emptied("Berlin");
    assert_eq!(written(&late.plan(), "City"), Some(text("Berlin")), "as if the record had been made in time");
    let base = Some(pair("Berlin", "Berlin"));
    let mut in_time = Case::linked(ConflictRule::LeadWins, base.clone(), None, Some("Berlin"));
    in_time.lead = emptied("Berlin");
    assert_eq!(in_time.plan().action, Action::Unchanged);
    // Where the row asks for it, the blank counts.
    for case in [&mut late, &mut in_time] {
        case.rules.rows[3].clear = true;
    }
    assert_eq!(written(&late.plan(), "City"), None);
    assert_eq!(written(&in_time.plan(), "City"), Some(CrmValue::Null));
}

#[test]
fn a_name_of_one_word_takes_the_first_name_back_that_the_lead_had_and_no_other() {
    let mut ours = Case::linked(ConflictRule::LeadWins, None, None, None);
    ours.lead = renamed("Cher");
    let plan = ours.plan();
    assert_eq!((written(&plan, "FirstName"), written(&plan, "LastName")), (Some(CrmValue::Null), Some(text("Cher"))));
    let mut theirs = Case::unlinked(vec![(record("00Q1", None), MatchedBy::ExternalId)]);
    theirs.lead = renamed("Lovelace");
    assert_eq!(written(&theirs.plan(), "FirstName"), None, "a person gave the record its first name");
    theirs.found.clear();
    assert!(
        matches!(theirs.plan().action, Action::Create { fields, .. } if !fields.contains_key(&FieldName::from("FirstName")))
    );
}

#[test]
fn what_the_crm_filled_in_itself_when_we_made_the_record_is_no_edit() {
    for rule in [ConflictRule::LeadWins, ConflictRule::CrmWins, ConflictRule::Review] {
        let mut bases = link(None).bases;
        merge::add_defaults(&mut bases, &record("00Q1", Some("Default City")));
        let mut case = Case::linked(rule, None, Some("Berlin"), Some("Default City"));
        case.link = Some(Link { bases, ..link(None) });
        assert_eq!(city(&case.plan()), (Some(text("Berlin")), Some(Rule::LeadChanged), false), "{rule:?}");
        // So it is where the answer to the create was lost, while nobody else has touched the record.
        let rows = link(None).bases;
        let intent = Intent {
            id: 1,
            request_id: "r".into(),
            object: "Lead".into(),
            record: None,
            rows,
            announced_at: crate::domain::time::Timestamp::from_seconds(1),
        };
        case.link = None;
        case.intents = vec![intent];
        for (ours, expected) in [(Some(true), Some(text("Berlin"))), (Some(false), None)] {
            let found = CrmRecord { modified_by_us: ours, ..record("00Q1", Some("Default City")) };
            case.found = vec![(found, MatchedBy::ExternalId)];
            let expected = expected.or((rule == ConflictRule::LeadWins).then(|| text("Berlin")));
            assert_eq!(city(&case.plan()).0, expected, "{rule:?} {ours:?}");
        }
    }
}
