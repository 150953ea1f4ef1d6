//! The standard fields of Lead and Contact, and the custom ones that every sandbox starts with.

use super::{Field, Kind, Object};

const LEAD_SOURCES: &[&str] = &["Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other"];
const LEAD_STATUSES: &[&str] =
    &["Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted"];
const SALUTATIONS: &[&str] = &["Mr.", "Ms.", "Mrs.", "Dr.", "Prof."];
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
const CLEAN_STATUSES: &[&str] =
    &["Matched", "Different", "Acknowledged", "NotFound", "Inactive", "Pending", "SelectMatch", "Skipped"];

/// The objects of a fresh sandbox.
pub(in crate::sandbox) fn objects(now: i64) -> Vec<Object> {
    vec![
        Object {
            name: "Lead",
            label: "Lead",
            label_plural: "Leads",
            prefix: "00Q",
            assigned_by_rules: true,
            fields: lead(),
            changed_at: now,
        },
        Object {
            name: "Contact",
            label: "Contact",
            label_plural: "Contacts",
            prefix: "003",
            assigned_by_rules: false,
            fields: contact(),
            changed_at: now,
        },
    ]
}

fn lead() -> Vec<Field> {
    let mut fields = vec![
        Field::new("Id", "Lead ID", Kind::Id, 18).read_only(),
        Field::new("IsDeleted", "Deleted", Kind::Boolean, 0).read_only(),
        reference("MasterRecordId", "Master Record ID", &["Lead"]).read_only(),
    ];
    fields.extend(person());
    fields.extend([
        text("Title", "Title", 128),
        text("Company", "Company", 255).required().indexed(),
        Field::new("Street", "Street", Kind::TextArea, 255),
        text("City", "City", 40),
        text("State", "State/Province", 80),
        text("PostalCode", "Zip/Postal Code", 20),
        text("Country", "Country", 80),
        Field::new("Latitude", "Latitude", Kind::Double, 0).digits(18, 15),
        Field::new("Longitude", "Longitude", Kind::Double, 0).digits(18, 15),
        Field::new("Address", "Address", Kind::Address, 0).read_only(),
        Field::new("Phone", "Phone", Kind::Phone, 40),
        Field::new("MobilePhone", "Mobile Phone", Kind::Phone, 40),
        Field::new("Fax", "Fax", Kind::Phone, 40),
        email(),
        Field::new("Website", "Website", Kind::Url, 255).indexed(),
        Field::new("PhotoUrl", "Photo URL", Kind::Url, 255).read_only(),
        Field::new("Description", "Description", Kind::TextArea, 32_000),
        Field::new("LeadSource", "Lead Source", Kind::Picklist, 255).picklist(LEAD_SOURCES),
        status(),
        Field::new("Industry", "Industry", Kind::Picklist, 255).picklist(INDUSTRIES),
        Field::new("Rating", "Rating", Kind::Picklist, 255).picklist(&["Hot", "Warm", "Cold"]),
        Field::new("AnnualRevenue", "Annual Revenue", Kind::Currency, 0).digits(18, 0),
        Field::new("NumberOfEmployees", "Employees", Kind::Int, 0).digits(8, 0),
        owner(&["Group", "User"]),
        Field { updateable: false, ..Field::new("IsConverted", "Converted", Kind::Boolean, 0) },
        Field::new("ConvertedDate", "Converted Date", Kind::Date, 0).read_only(),
        reference("ConvertedAccountId", "Converted Account ID", &["Account"]).read_only(),
        reference("ConvertedContactId", "Converted Contact ID", &["Contact"]).read_only(),
        reference("ConvertedOpportunityId", "Converted Opportunity ID", &["Opportunity"]).read_only(),
        Field::new("IsUnreadByOwner", "Unread By Owner", Kind::Boolean, 0),
        text("Jigsaw", "Data.com Key", 20),
        text("JigsawContactId", "Jigsaw Contact ID", 20).read_only(),
        Field {
            restricted: true,
            ..Field::new("CleanStatus", "Clean Status", Kind::Picklist, 40).picklist(CLEAN_STATUSES)
        },
        text("CompanyDunsNumber", "Company D-U-N-S Number", 9),
        reference("DandbCompanyId", "D&B Company ID", &["DandBCompany"]),
    ]);
    fields.extend(bounced());
    fields.extend(audit());
    fields.extend(custom());
    fields
}

fn contact() -> Vec<Field> {
    let mut fields = vec![
        Field::new("Id", "Contact ID", Kind::Id, 18).read_only(),
        Field::new("IsDeleted", "Deleted", Kind::Boolean, 0).read_only(),
        reference("MasterRecordId", "Master Record ID", &["Contact"]).read_only(),
        reference("AccountId", "Account ID", &["Account"]),
    ];
    fields.extend(person());
    for (side, label) in [("Other", "Other"), ("Mailing", "Mailing")] {
        fields.extend([
            Field::new(&format!("{side}Street"), &format!("{label} Street"), Kind::TextArea, 255),
            text(&format!("{side}City"), &format!("{label} City"), 40),
            text(&format!("{side}State"), &format!("{label} State/Province"), 80),
            text(&format!("{side}PostalCode"), &format!("{label} Zip/Postal Code"), 20),
            text(&format!("{side}Country"), &format!("{label} Country"), 80),
            Field::new(&format!("{side}Latitude"), &format!("{label} Latitude"), Kind::Double, 0).digits(18, 15),
            Field::new(&format!("{side}Longitude"), &format!("{label} Longitude"), Kind::Double, 0).digits(18, 15),
            Field::new(&format!("{side}Address"), &format!("{label} Address"), Kind::Address, 0).read_only(),
        ]);
    }
    for (name, label) in [
        ("Phone", "Business Phone"),
        ("Fax", "Business Fax"),
        ("MobilePhone", "Mobile Phone"),
        ("HomePhone", "Home Phone"),
        ("OtherPhone", "Other Phone"),
        ("AssistantPhone", "Asst. Phone"),
    ] {
        fields.push(Field::new(name, label, Kind::Phone, 40));
    }
    fields.extend([
        reference("ReportsToId", "Reports To ID", &["Contact"]),
        email(),
        text("Title", "Title", 128),
        text("Department", "Department", 80),
        text("AssistantName", "Assistant's Name", 40),
        Field::new("LeadSource", "Lead Source", Kind::Picklist, 255).picklist(LEAD_SOURCES),
        Field::new("Birthdate", "Birthdate", Kind::Date, 0),
        Field::new("Description", "Contact Description", Kind::TextArea, 32_000),
        owner(&["User"]),
        Field::new("IsEmailBounced", "Is Email Bounced", Kind::Boolean, 0).read_only(),
        Field::new("PhotoUrl", "Photo URL", Kind::Url, 255).read_only(),
    ]);
    fields.extend(bounced());
    fields.extend(audit());
    fields.extend(custom());
    fields
}

fn person() -> Vec<Field> {
    vec![
        text("LastName", "Last Name", 80).required().indexed(),
        text("FirstName", "First Name", 40).indexed(),
        Field::new("Salutation", "Salutation", Kind::Picklist, 40).picklist(SALUTATIONS),
        Field { nillable: false, ..text("Name", "Full Name", 121).read_only().indexed() },
        reference("IndividualId", "Individual ID", &["Individual"]),
    ]
}

fn bounced() -> Vec<Field> {
    vec![
        Field { createable: false, ..text("EmailBouncedReason", "Email Bounced Reason", 255) },
        Field { createable: false, ..Field::new("EmailBouncedDate", "Email Bounced Date", Kind::DateTime, 0) },
    ]
}

fn audit() -> Vec<Field> {
    let stamp = |name, label| Field { nillable: false, ..Field::new(name, label, Kind::DateTime, 0).read_only() };
    let user = |name, label| Field { nillable: false, ..reference(name, label, &["User"]).read_only() };
    vec![
        stamp("CreatedDate", "Created Date"),
        user("CreatedById", "Created By ID"),
        stamp("LastModifiedDate", "Last Modified Date"),
        user("LastModifiedById", "Last Modified By ID"),
        stamp("SystemModstamp", "System Modstamp"),
        Field::new("LastActivityDate", "Last Activity", Kind::Date, 0).read_only(),
        Field::new("LastViewedDate", "Last Viewed Date", Kind::DateTime, 0).read_only(),
        Field::new("LastReferencedDate", "Last Referenced Date", Kind::DateTime, 0).read_only(),
    ]
}

fn custom() -> Vec<Field> {
    vec![
        Field {
            unique: true,
            external_id: true,
            case_sensitive: true,
            id_lookup: true,
            ..text("Lead_System_Id__c", "Lead System Id", 64).indexed()
        },
        Field::new("Lead_Score__c", "Lead Score", Kind::Double, 0).digits(18, 6),
        Field::new("Lead_Tags__c", "Lead Tags", Kind::MultiPicklist, 4_099),
        text("Industry_Detail__c", "Industry Detail", 40),
        Field::new("Last_Seen__c", "Last Seen", Kind::DateTime, 0),
    ]
}

fn text(name: &str, label: &str, length: usize) -> Field {
    Field::new(name, label, Kind::Text, length)
}

fn email() -> Field {
    Field { id_lookup: true, ..Field::new("Email", "Email", Kind::Email, 80).indexed() }
}

fn status() -> Field {
    Field {
        nillable: false,
        defaulted: true,
        default: Some("Open - Not Contacted"),
        ..Field::new("Status", "Status", Kind::Picklist, 255).picklist(LEAD_STATUSES)
    }
}

fn owner(kinds: &[&'static str]) -> Field {
    Field { nillable: false, defaulted: true, ..reference("OwnerId", "Owner ID", kinds) }
}

fn reference(name: &str, label: &str, objects: &[&'static str]) -> Field {
    Field::new(name, label, Kind::Reference, 18).refers_to(objects)
}
