//! Each thing that the preflight finds, and that it is silent where all is well.

use std::collections::BTreeMap;

use super::*;
use crate::domain::mapping::convert::tests as samples;
use crate::domain::mapping::{FieldType, TooLong};

const KEY: &str = "Key__c";

/// A row and its field that fit each other, an external ID, and a required name with a default.
struct Case {
    row: FieldRow,
    name: FieldRow,
    field: FieldSchema,
    key: FieldSchema,
    createable: bool,
}

impl Case {
    fn new() -> Self {
        let named = |name: &str| FieldSchema { name: name.into(), ..samples::field(CrmFieldKind::Text) };
        Self {
            row: FieldRow { crm: "City".into(), ..samples::row(FieldType::Text) },
            name: FieldRow { crm: "LastName".into(), default: Some("Unknown".into()), ..samples::row(FieldType::Text) },
            field: FieldSchema { length: Some(40), ..named("City") },
            key: FieldSchema { external_id: true, unique: true, length: Some(64), ..named(KEY) },
            createable: true,
        }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut case = Self::new();
        change(&mut case);
        case
    }

    fn findings(&self) -> Vec<Finding> {
        let name = FieldSchema { name: "LastName".into(), nillable: false, ..samples::field(CrmFieldKind::Text) };
        let fields = [self.field.clone(), self.key.clone(), name];
        let object = ObjectSchema {
            name: "Lead".into(),
            createable: self.createable,
            updateable: true,
            fields: fields.into_iter().map(|field| (field.name.clone(), field)).collect(),
        };
        let schema = Schema { objects: BTreeMap::from([("Lead".into(), object)]) };
        let written = Written { external_id: Some(&KEY.into()), made: true, not_without: None };
        compare(&[self.row.clone(), self.name.clone()], &"Lead".into(), written, &schema)
    }
}

#[test]
fn whatever_tells_who_a_person_is_must_be_shown_of_every_kind_of_record() {
    let contact = PersonObject {
        object: "Contact".into(),
        email: "Email".into(),
        first_name: "FirstName".into(),
        last_name: "LastName".into(),
        website: None,
    };
    let told = |shown: &[&str], by: &[MatchedBy]| {
        // A field with a question mark is shown, and cannot be searched.
        let named = |name: &&str| {
            let field = FieldSchema { filterable: !name.ends_with('?'), ..samples::field(CrmFieldKind::Text) };
            (FieldName::new(name.trim_end_matches('?')), field)
        };
        let fields = shown.iter().map(named).collect();
        let object = ObjectSchema { name: "Contact".into(), createable: false, updateable: false, fields };
        let schema = Schema { objects: BTreeMap::from([("Contact".into(), object)]) };
        let findings = of_people(std::slice::from_ref(&contact), by, &schema);
        findings.iter().map(|found| format!("{} {}", found.severity.as_str(), found.subject)).collect::<Vec<_>>()
    };
    let (email, name) = (MatchedBy::Email, MatchedBy::NameAndCompanyDomain);
    assert_eq!(told(&["Email", "FirstName", "LastName"], &[email, name]), ["ok Contact"]);
    assert_eq!(told(&["FirstName", "LastName"], &[email]), ["error Contact.Email"]);
    assert_eq!(told(&["FirstName", "LastName"], &[name]), ["error Contact.Email"], "the domain is the address's");
    assert_eq!(told(&["Email", "LastName"], &[email, name]), ["error Contact.FirstName"]);
    assert_eq!(told(&["Email?", "FirstName", "LastName"], &[email]), ["error Contact.Email"]);
    assert_eq!(told(&["Email", "LastName"], &[email]), ["warning Contact.FirstName"]);
}

/// The case has this one finding that is not fine, in these words, with a remedy.
#[track_caller]
fn check(case: &Case, severity: Severity, subject: &str, says: &str) {
    let findings = case.findings();
    let wrong: Vec<&Finding> = findings.iter().filter(|finding| finding.severity != Severity::Ok).collect();
    let [wrong] = wrong[..] else { panic!("not one finding but {findings:#?}") };
    assert_eq!((wrong.severity, wrong.subject.as_str()), (severity, subject));
    assert!(wrong.finding.contains(says), "{:?} does not say {says:?}", wrong.finding);
    assert!(!wrong.remedy.is_empty());
    assert_eq!(&findings[0], wrong, "the worst comes first");
}

#[test]
fn what_fits_is_listed_row_by_row_as_fine() {
    let findings = Case::new().findings();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Ok), "{findings:#?}");
    let subjects: Vec<&str> = findings.iter().map(|finding| finding.subject.as_str()).collect();
    assert_eq!(subjects, ["Lead.Key__c", "Lead.City", "Lead.LastName"]);
    assert!(findings[1].finding.contains("holds 40 characters (a longer value is left out"), "{:?}", findings[1]);
    let cut = Case::with(|case| case.row.too_long = TooLong::Truncate).findings();
    assert!(cut[1].finding.contains("a longer value is cut"), "{:?}", cut[1]);
}

#[test]
fn a_field_that_is_missing_or_hidden_or_not_ours_to_write_is_an_error() {
    let missing = Case::with(|case| case.row.crm = "Town".into());
    check(&missing, Severity::Error, "Lead.Town", "does not exist, or our user may not see it");
    let on_update = Case::with(|case| case.field.updateable = false);
    check(&on_update, Severity::Error, "Lead.City", "may not write the field on update");
    let on_create = Case::with(|case| case.field.createable = false);
    check(&on_create, Severity::Error, "Lead.City", "may not write the field on create");
    check(&Case::with(|case| case.createable = false), Severity::Error, "Lead", "may not create records");
}

#[test]
fn a_type_that_does_not_fit_is_an_error() {
    let number = Case::with(|case| case.row.kind = FieldType::Number);
    check(&number, Severity::Error, "Lead.City", "the row says number");
}

#[test]
fn a_value_that_the_mapping_writes_has_to_fit_the_field() {
    let long = || Some("x".repeat(41));
    let default = Case::with(|case| case.row.default = long());
    check(&default, Severity::Error, "Lead.City", "holds 40 characters");
    let value = Case::with(|case| case.row.values = vec![("a".into(), "ß".repeat(41))]);
    check(&value, Severity::Error, "Lead.City", "holds 40 characters");
    let fits = Case::with(|case| case.row.values = vec![("a".into(), "ß".repeat(40))]);
    assert!(fits.findings().iter().all(|finding| finding.severity == Severity::Ok), "characters count, not bytes");
}

#[test]
fn a_picklist_value_that_the_crm_does_not_list_is_found() {
    let picklist = |restricted: bool| {
        Case::with(|case| {
            case.row.kind = FieldType::Picklist;
            case.row.values = vec![("hot".into(), "Hot".into()), ("new".into(), "Open".into())];
            case.field.kind = CrmFieldKind::Picklist;
            case.field.values = vec!["Open".into(), "Closed".into()];
            case.field.restricted = restricted;
        })
    };
    check(&picklist(true), Severity::Error, "Lead.City", "no value Hot, and refuses others");
    check(&picklist(false), Severity::Warning, "Lead.City", "no value Hot");
}

#[test]
fn the_external_id_has_to_be_a_unique_text_that_we_may_write() {
    let key = "Lead.Key__c";
    check(&Case::with(|case| case.key.name = "Other__c".into()), Severity::Error, key, "does not exist");
    check(&Case::with(|case| case.key.unique = false), Severity::Error, key, "not marked External ID and Unique");
    check(&Case::with(|case| case.key.external_id = false), Severity::Error, key, "not marked External ID and Unique");
    check(&Case::with(|case| case.key.updateable = false), Severity::Error, key, "may not write");
    check(&Case::with(|case| case.key.kind = CrmFieldKind::Decimal), Severity::Error, key, "of type");
    check(&Case::with(|case| case.key.length = Some(18)), Severity::Warning, key, "holds 18 characters");
}

#[test]
fn a_required_field_needs_a_row_and_better_a_default() {
    let without_row = Case::with(|case| case.name.crm = "City".into());
    check(&without_row, Severity::Error, "Lead.LastName", "no row of the mapping gives one");
    let documented_only = Case::with(|case| case.name.direction = Direction::None);
    check(&documented_only, Severity::Error, "Lead.LastName", "no row of the mapping gives one");
    let without_default = Case::with(|case| case.name.default = None);
    check(&without_default, Severity::Warning, "Lead.LastName", "a lead without one is refused");
}

#[test]
fn a_company_without_a_name_is_not_made_and_needs_no_default() {
    let name = FieldSchema { name: "Name".into(), nillable: false, ..samples::field(CrmFieldKind::Text) };
    let row = FieldRow { crm: "Name".into(), ..samples::row(FieldType::Text) };
    let fields = BTreeMap::from([("Name".into(), name)]);
    let object = ObjectSchema { name: "Lead".into(), createable: true, updateable: true, fields };
    let schema = Schema { objects: BTreeMap::from([("Lead".into(), object)]) };
    let told = |not_without| {
        let written = Written { external_id: None, made: true, not_without };
        let findings = compare(std::slice::from_ref(&row), &"Lead".into(), written, &schema);
        findings.iter().any(|finding| finding.remedy == "give its row a `default`")
    };
    assert!(told(None));
    assert!(!told(Some(&"Name".into())));
}

#[test]
fn an_object_that_is_not_there_is_one_error() {
    let written = Written { external_id: Some(&KEY.into()), made: true, not_without: None };
    let findings = compare(&[], &"Lead".into(), written, &Schema::default());
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].severity, findings[0].subject.as_str()), (Severity::Error, "Lead"));
}

#[test]
fn the_flag_of_deleted_leads_must_be_a_field_that_can_say_so() {
    let told = |kind: CrmFieldKind, updateable: bool, name: &str| {
        let field = FieldSchema { updateable, ..samples::field(kind) };
        let fields = BTreeMap::from([(FieldName::new("Gone__c"), field)]);
        let object = ObjectSchema { name: "Lead".into(), createable: true, updateable: true, fields };
        let schema = Schema { objects: BTreeMap::from([("Lead".into(), object)]) };
        of_delete_flag(&"Lead".into(), &name.into(), &schema).unwrap()
    };
    assert_eq!(told(CrmFieldKind::Boolean, true, "Gone__c").severity, Severity::Ok);
    assert_eq!(told(CrmFieldKind::DateTime, true, "Gone__c").severity, Severity::Ok);
    for (finding, part) in [
        (told(CrmFieldKind::Boolean, true, "Other__c"), "does not exist"),
        (told(CrmFieldKind::Decimal, true, "Gone__c"), "cannot say"),
        (told(CrmFieldKind::Boolean, false, "Gone__c"), "may not write"),
    ] {
        assert_eq!((finding.severity, finding.finding.contains(part)), (Severity::Error, true), "{finding:?}");
    }
    assert_eq!(of_delete_flag(&"Contact".into(), &"Gone__c".into(), &Schema::default()), None);
}

#[test]
fn the_note_may_be_missing_where_leads_are_another_kind_of_record() {
    let case = Case::with(|case| {
        case.row.crm = "Notes__c".into();
        case.row.computed = Some(Computed::Unmapped(crate::domain::mapping::Covered::by(&[])));
    });
    check(&case, Severity::Error, "Lead.Notes__c", "does not exist");
    let fields = [("Email".into(), samples::field(CrmFieldKind::Text))].into();
    let object = ObjectSchema { name: "Lead".into(), createable: true, updateable: true, fields };
    let schema = Schema { objects: BTreeMap::from([("Lead".into(), object)]) };
    let written = Written { external_id: None, made: false, not_without: None };
    let findings = compare(std::slice::from_ref(&case.row), &"Lead".into(), written, &schema);
    assert_eq!((findings.len(), findings[0].severity), (1, Severity::Warning), "{findings:?}");
}

#[test]
fn rows_of_what_many_people_share_that_say_more_than_is_done_are_told_of() {
    let made = KeyField { object: "Lead".into(), field: "ConvertedOpportunityId".into() };
    let opportunity = OpportunityObject { object: "Opportunity".into(), converted: made };
    let (lead, contact) = (ObjectName::from("Lead"), ObjectName::from("Contact"));
    let described =
        |object: &str| ObjectSchema { name: object.into(), createable: true, updateable: true, fields: [].into() };
    let schema = Schema {
        objects: ["Account", "Opportunity"].map(|object| (ObjectName::from(object), described(object))).into(),
    };
    let check = |change: &dyn Fn(&mut FieldRow), expected: Severity| {
        for object in ["Account", "Opportunity"] {
            let kind = FieldType::MultiPicklist;
            let mut row = FieldRow { crm: "Tags__c".into(), on: vec![object.into()], ..samples::row(kind) };
            row.conflict = ConflictRule::CrmWins;
            change(&mut row);
            let findings = match object {
                "Account" => of_company(&object.into(), &[&lead, &contact], &[row], &schema),
                _ => of_opportunity(&opportunity, &[&lead, &contact], &[row], &schema),
            };
            let [found] = &findings[..] else { panic!("{findings:?}") };
            let subject = if expected == Severity::Ok { object.to_owned() } else { format!("{object}.Tags__c") };
            assert_eq!((found.severity, &found.subject), (expected, &subject), "{found:?}");
            assert!(found.finding.contains("blank"), "{found:?}");
        }
    };
    check(&|_| {}, Severity::Ok);
    check(&|row| row.on.push("Lead".into()), Severity::Ok);
    for rule in [ConflictRule::LeadWins, ConflictRule::LatestWins, ConflictRule::Review, ConflictRule::Merge] {
        check(&|row| row.conflict = rule, Severity::Warning);
    }
    check(&|row| row.enforce = true, Severity::Warning);
    check(&|row| row.clear = true, Severity::Warning);
    let row = || FieldRow { on: vec!["Opportunity".into()], ..samples::row(FieldType::Text) };
    // One that our user may not see is told of elsewhere, and nothing is fine about it.
    let hidden = FieldRow { conflict: ConflictRule::CrmWins, ..row() };
    assert_eq!(of_opportunity(&opportunity, &[&lead, &contact], std::slice::from_ref(&hidden), &Schema::default()), []);
    let findings = of_opportunity(&opportunity, &[&lead], &[hidden], &schema);
    assert_eq!(findings.iter().map(|found| found.subject.as_str()).collect::<Vec<_>>(), ["Opportunity"]);
    assert_eq!(findings[0].severity, Severity::Warning);
}
