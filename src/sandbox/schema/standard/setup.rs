//! Objects that hold how an org is set up: its users and queues, which a client of leads only reads.

use super::super::{Field, Kind, Object};
use super::{deleted, id, picklist, reference, stamps, text};

pub(super) fn objects() -> Vec<Object> {
    let setup = |name, labels, prefix, fields| Object {
        setup: true,
        writable: false,
        ..Object::new(name, labels, prefix, fields)
    };
    vec![
        setup("User", ("User", "People"), "005", user()),
        setup("Group", ("Group", "Groups"), "00G", group()),
        setup("DuplicateRule", ("Duplicate Rule", "Duplicate Rules"), "0Bm", rule(false)),
        setup("MatchingRule", ("Matching Rule", "Matching Rules"), "0JD", rule(true)),
        setup("MatchingRuleItem", ("Matching Rule Item", "Matching Rule Items"), "0JE", rule_item()),
        setup("PermissionSet", ("Permission Set", "Permission Sets"), "0PS", permission_set()),
        setup(
            "PermissionSetAssignment",
            ("Permission Set Assignment", "Permission Set Assignments"),
            "0Pa",
            assignment(),
        ),
        Object {
            writable: true,
            ..setup("FieldPermissions", ("Field Permissions", "Field Permissions"), "01k", field_permissions())
        },
        setup("LeadStatus", ("Lead Status Value", "Lead Status Values"), "01J", lead_status()),
    ]
}

fn user() -> Vec<Field> {
    let mut fields = vec![
        id("User ID"),
        Field { unique: true, id_lookup: true, ..text("Username", "Username", 80).required().indexed() },
        text("LastName", "Last Name", 80).required().indexed(),
        text("FirstName", "First Name", 40),
        Field { nillable: false, ..text("Name", "Full Name", 121).read_only().indexed() },
        text("CompanyName", "Company Name", 80),
        text("Title", "Title", 80),
        Field { id_lookup: true, ..Field::new("Email", "Email", Kind::Email, 128).required().indexed() },
        text("Alias", "Alias", 8),
        Field::new("IsActive", "Active", Kind::Boolean, 0),
        Field { defaulted: true, default: Some("Standard"), ..text("UserType", "User Type", 40) },
        Field::new("TimeZoneSidKey", "Time Zone", Kind::Picklist, 40),
    ];
    fields.extend(stamps());
    fields
}

fn group() -> Vec<Field> {
    let mut fields = vec![
        id("Group ID"),
        text("Name", "Name", 40).required().indexed(),
        text("DeveloperName", "Developer Name", 80).indexed(),
        Field::new("Type", "Type", Kind::Picklist, 40).picklist(&["Regular", "Role", "Organization", "Queue"]),
        Field::new("Email", "Email", Kind::Email, 255),
    ];
    fields.extend(stamps());
    fields
}

/// A duplicate rule, or one that tells what duplicates are.
fn rule(matching: bool) -> Vec<Field> {
    let mut fields = vec![
        id(if matching { "Matching Rule ID" } else { "Duplicate Rule ID" }),
        deleted(),
        picklist("SobjectType", "Object", 40, &["Account", "Contact", "Lead"]).required(),
        text("DeveloperName", "Developer Name", 80).required(),
        text("MasterLabel", "Rule Name", 80).required(),
        Field { defaulted: true, default: Some("en_US"), ..picklist("Language", "Master Language", 40, &["en_US"]) },
        text("NamespacePrefix", "Namespace Prefix", 15),
        picklist("SobjectSubtype", "Object Subtype", 255, &["None", "PersonAccount"]),
    ];
    if matching {
        fields.extend([
            picklist("MatchEngine", "Match Engine", 255, &["ExactMatchEngine", "FuzzyMatchEngine"]),
            text("BooleanFilter", "Advanced Logic", 255),
            Field::new("Description", "Description", Kind::TextArea, 255),
            picklist("RuleStatus", "Status", 255, &["Inactive", "Active"]),
        ]);
    } else {
        fields.push(Field::new("IsActive", "Active", Kind::Boolean, 0));
    }
    fields.extend(stamps());
    fields
}

fn rule_item() -> Vec<Field> {
    let mut fields = vec![
        id("Matching Rule Item ID"),
        deleted(),
        reference("MatchingRuleId", "Matching Rule ID", &["MatchingRule"]).required().indexed(),
        Field::new("SortOrder", "Sort Order", Kind::Int, 0).digits(9, 0),
        picklist("Field", "Field", 255, &[]),
        picklist("MatchingMethod", "Matching Method", 255, &["Exact"]),
        picklist("BlankValueBehavior", "Blank Value Behavior", 255, &["MatchBlanks", "NullNotAllowed"]),
    ];
    fields.extend(stamps());
    fields
}

fn permission_set() -> Vec<Field> {
    let mut fields = vec![
        id("Permission Set ID"),
        text("Name", "Permission Set Name", 80).required().indexed(),
        text("Label", "Permission Set Label", 80).required(),
        Field::new("IsOwnedByProfile", "Is Owned By Profile", Kind::Boolean, 0),
        Field::new("IsCustom", "Custom", Kind::Boolean, 0),
    ];
    fields.extend(stamps());
    fields
}

fn assignment() -> Vec<Field> {
    let link = |name: &str, label: &str, object: &'static str| reference(name, label, &[object]).required().indexed();
    vec![
        id("PermissionSetAssignment ID"),
        link("PermissionSetId", "PermissionSet ID", "PermissionSet"),
        link("AssigneeId", "Assignee ID", "User"),
        Field { nillable: false, ..Field::new("SystemModstamp", "Date Assigned", Kind::DateTime, 0).read_only() },
    ]
}

fn field_permissions() -> Vec<Field> {
    vec![
        id("Field Permissions ID"),
        Field { updateable: false, ..reference("ParentId", "Parent ID", &["PermissionSet"]).required().indexed() },
        Field { updateable: false, ..picklist("SobjectType", "Sobject Type Name", 40, &[]).required() },
        Field { updateable: false, ..picklist("Field", "Field Name", 255, &[]).required().indexed() },
        Field::new("PermissionsRead", "Read Field", Kind::Boolean, 0),
        Field::new("PermissionsEdit", "Edit Field", Kind::Boolean, 0),
        Field { nillable: false, ..Field::new("SystemModstamp", "System Modstamp", Kind::DateTime, 0).read_only() },
    ]
}

/// What the Tooling API lists of a custom field.
pub(super) fn custom_field() -> Vec<Field> {
    vec![
        id("Custom Field ID"),
        text("DeveloperName", "Developer Name", 80),
        text("TableEnumOrId", "Entity Enumeration Or ID", 40),
        text("NamespacePrefix", "Namespace Prefix", 15),
    ]
}

fn lead_status() -> Vec<Field> {
    let mut fields = vec![
        id("Lead Status Value ID"),
        text("MasterLabel", "Master Label", 255).required(),
        text("ApiName", "API Name", 255),
        Field::new("SortOrder", "Sort Order", Kind::Int, 0).digits(9, 0),
        Field::new("IsDefault", "Is Default", Kind::Boolean, 0),
        Field::new("IsConverted", "Is Converted", Kind::Boolean, 0),
    ];
    fields.extend(stamps());
    fields
}
