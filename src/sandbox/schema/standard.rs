//! The objects of a fresh sandbox, and the fields that several of them have.

mod companies;
mod people;
mod setup;

use super::{Field, Kind, Object};

pub(in crate::sandbox) use people::LEAD_STATUSES;

/// The status that a converted lead has.
pub(in crate::sandbox) const CONVERTED_STATUS: &str = "Closed - Converted";

const LEAD_SOURCES: &[&str] = &["Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other"];
const INDUSTRIES: &[&str] = &[
    "Agriculture",
    "Apparel",
    "Banking",
    "Biotechnology",
    "Chemicals",
    "Communications",
    "Construction",
    "Consulting",
    "Education",
    "Electronics",
    "Energy",
    "Engineering",
    "Entertainment",
    "Environmental",
    "Finance",
    "Food & Beverage",
    "Government",
    "Healthcare",
    "Hospitality",
    "Insurance",
    "Machinery",
    "Manufacturing",
    "Media",
    "Not For Profit",
    "Recreation",
    "Retail",
    "Shipping",
    "Technology",
    "Telecommunications",
    "Transportation",
    "Utilities",
    "Other",
];
/// The objects of a fresh sandbox; the place of one in here never changes.
pub(in crate::sandbox) fn objects(now: i64) -> Vec<Object> {
    let lead = Object::new("Lead", ("Lead", "Leads"), "00Q", people::lead());
    let contact = Object::new("Contact", ("Contact", "Contacts"), "003", people::contact());
    let account = Object::new("Account", ("Account", "Accounts"), "001", companies::account());
    let role = ("Opportunity Contact Role", "Opportunity Contact Roles");
    let mut objects = vec![
        Object { assigned_by_rules: true, mergeable: true, ..lead },
        Object { mergeable: true, ..contact },
        Object { mergeable: true, ..account },
        Object::new("Opportunity", ("Opportunity", "Opportunities"), "006", companies::opportunity()),
        Object::new("OpportunityContactRole", role, "00K", companies::contact_role()),
    ];
    objects.extend(setup::objects());
    for object in &mut objects {
        object.changed_at = now;
    }
    objects
}

/// The first three characters of a custom field's id.
pub(in crate::sandbox) const FIELD: &str = "00N";

/// The table in which the Tooling API finds custom fields.
pub(in crate::sandbox) fn custom_field() -> Object {
    Object::new("CustomField", ("Custom Field", "Custom Fields"), FIELD, setup::custom_field())
}

/// Street, City and so on of one address; the side is `Mailing`, or nothing where there is only one.
fn address(side: &str, label: &str) -> Vec<Field> {
    let (name, label) = (|part: &str| format!("{side}{part}"), |part: &str| format!("{label}{part}"));
    vec![
        Field::new(&name("Street"), &label("Street"), Kind::TextArea, 255),
        text(&name("City"), &label("City"), 40),
        text(&name("State"), &label("State/Province"), 80),
        text(&name("PostalCode"), &label("Zip/Postal Code"), 20),
        text(&name("Country"), &label("Country"), 80),
        Field::new(&name("Latitude"), &label("Latitude"), Kind::Double, 0).digits(18, 15),
        Field::new(&name("Longitude"), &label("Longitude"), Kind::Double, 0).digits(18, 15),
        Field::new(&name("Address"), &label("Address"), Kind::Address, 0).read_only(),
    ]
}

fn audit() -> Vec<Field> {
    let mut fields = stamps();
    fields.extend([
        Field::new("LastActivityDate", "Last Activity", Kind::Date, 0).read_only(),
        Field::new("LastViewedDate", "Last Viewed Date", Kind::DateTime, 0).read_only(),
        Field::new("LastReferencedDate", "Last Referenced Date", Kind::DateTime, 0).read_only(),
    ]);
    fields
}

/// Who made a record and who changed it, and when.
fn stamps() -> Vec<Field> {
    let stamp = |name, label| Field { nillable: false, ..Field::new(name, label, Kind::DateTime, 0).read_only() };
    let user = |name, label| Field { nillable: false, ..reference(name, label, &["User"]).read_only() };
    vec![
        stamp("CreatedDate", "Created Date"),
        user("CreatedById", "Created By ID"),
        stamp("LastModifiedDate", "Last Modified Date"),
        user("LastModifiedById", "Last Modified By ID"),
        stamp("SystemModstamp", "System Modstamp"),
    ]
}

/// The key of the lead system's record, as leadrelay's documentation has an administrator make it.
fn custom_id() -> Field {
    Field {
        unique: true,
        external_id: true,
        case_sensitive: true,
        id_lookup: true,
        ..text("Lead_System_Id__c", "Lead System Id", 64).indexed()
    }
}

fn id(label: &str) -> Field {
    Field::new("Id", label, Kind::Id, 18).read_only()
}

fn deleted() -> Field {
    Field::new("IsDeleted", "Deleted", Kind::Boolean, 0).read_only()
}

fn text(name: &str, label: &str, length: usize) -> Field {
    Field::new(name, label, Kind::Text, length)
}

fn picklist(name: &str, label: &str, length: usize, values: &[&str]) -> Field {
    Field::new(name, label, Kind::Picklist, length).picklist(values)
}

fn owner(kinds: &[&'static str]) -> Field {
    Field { nillable: false, defaulted: true, ..reference("OwnerId", "Owner ID", kinds) }
}

fn reference(name: &str, label: &str, objects: &[&'static str]) -> Field {
    Field::new(name, label, Kind::Reference, 18).refers_to(objects)
}
