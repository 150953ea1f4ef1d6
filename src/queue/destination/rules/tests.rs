//! What makes a mapping another one.

use super::super::*;
use super::*;
use crate::domain::company;
use crate::domain::mapping::FieldType;
use crate::domain::mapping::convert::tests as samples;
use crate::domain::record::{CrmFieldKind, FieldSchema, ObjectSchema};

fn row(crm: &str, on: &str) -> FieldRow {
    FieldRow { lead: "org".to_owned(), crm: crm.into(), on: vec![on.into()], ..samples::row(FieldType::Text) }
}

fn settings() -> DestinationSettings {
    DestinationSettings {
        observe: false,
        object: "Lead".into(),
        external_id: "Key__c".into(),
        external_id_value: ExternalIdTemplate::lead_id(),
        match_by: vec![MatchedBy::ExternalId],
        on_ambiguous: OnAmbiguous::Review,
        on_shared: OnShared::Review,
        on_crm_delete: OnCrmDelete::Hold,
        company: Some(CompanySettings { create: true, lookup: Some("Account__c".into()), by_contacts: false }),
        on_delete: OnDelete::Flag("Gone__c".into()),
        auto_assign: false,
        duplicates: OnDuplicate::Refuse,
        rows: vec![
            row("Company", "Lead"),
            row("LastName", "Contact"),
            row("Name", "Account"),
            row("NextStep", "Opportunity"),
        ],
        filter: None,
        refuse_unmapped: false,
        linger: Duration::ZERO,
        timeout: Duration::ZERO,
        lease: Duration::ZERO,
        retry: RetryPolicy { first: Duration::ZERO, longest: Duration::ZERO, give_up_after: Duration::ZERO },
        log_bodies: false,
    }
}

fn kinds() -> Kinds {
    let person = |object: &str| PersonObject {
        object: object.into(),
        email: "Email".into(),
        first_name: "FirstName".into(),
        last_name: "LastName".into(),
        website: None,
    };
    let converted = KeyField { object: "Lead".into(), field: "ConvertedOpportunityId".into() };
    let opportunity = OpportunityObject { object: "Opportunity".into(), converted };
    Kinds {
        people: vec![person("Lead"), person("Contact")],
        company: Some(company::tests::object()),
        opportunity: Some(opportunity),
    }
}

fn schema() -> Schema {
    let field =
        |name: &&str| FieldSchema { name: (*name).into(), length: Some(80), ..samples::field(CrmFieldKind::Text) };
    let object = |name: &str, fields: &[&str]| {
        let fields = fields.iter().map(|name| (FieldName::from(*name), field(name))).collect();
        (name.into(), ObjectSchema { name: name.into(), createable: true, updateable: true, fields })
    };
    let people = ["Key__c", "Company", "LastName", "Gone__c", "Account__c", "AccountId", "Other__c"];
    let beside = [object("Account", &["Name"]), object("Opportunity", &["NextStep"])];
    Schema { objects: [object("Lead", &people), object("Contact", &people)].into_iter().chain(beside).collect() }
}

#[test]
fn whatever_planning_depends_on_makes_another_mapping_and_nothing_else_does() {
    let of = |settings: &DestinationSettings, schema: Schema| {
        make_rules(settings, &kinds(), schema, Timestamp::default()).fingerprint
    };
    let now = of(&settings(), schema());
    let is_another = |change: &dyn Fn(&mut DestinationSettings)| {
        let mut changed = settings();
        change(&mut changed);
        of(&changed, schema()) != now
    };
    assert!(!is_another(&|_| {}));
    assert!(!is_another(&|settings| settings.rows[0].note = Some("who they work for".to_owned())));
    assert!(!is_another(&|settings| settings.log_bodies = true));
    assert!(is_another(&|settings| settings.rows[0].clear = true));
    assert!(is_another(&|settings| settings.on_ambiguous = OnAmbiguous::Oldest));
    assert!(is_another(&|settings| settings.on_crm_delete = OnCrmDelete::Recreate));
    assert!(is_another(&|settings| settings.on_delete = OnDelete::Delete));
    assert!(is_another(&|settings| settings.on_delete = OnDelete::Flag("Other__c".into())));

    let is_another = |object: &str, field: &str| {
        let mut changed = schema();
        let fields = &mut changed.objects.get_mut(&ObjectName::from(object)).unwrap().fields;
        fields.get_mut(&FieldName::from(field)).unwrap().updateable = false;
        of(&settings(), changed) != now
    };
    assert!(!is_another("Lead", "Other__c"));
    for (object, field) in [
        ("Lead", "Company"),
        ("Lead", "Gone__c"),
        ("Lead", "Account__c"),
        ("Contact", "LastName"),
        ("Contact", "Gone__c"),
        ("Contact", "AccountId"),
        ("Account", "Name"),
        ("Opportunity", "NextStep"),
    ] {
        assert!(is_another(object, field), "{object}.{field}");
    }
}
