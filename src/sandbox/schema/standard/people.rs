//! The fields of Lead and Contact.

use super::super::{Field, Kind};
use super::{INDUSTRIES, LEAD_SOURCES, address, audit, custom_id, deleted, id, owner, reference, text};

pub(in crate::sandbox) const LEAD_STATUSES: &[&str] =
    &["Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted"];
const SALUTATIONS: &[&str] = &["Mr.", "Ms.", "Mrs.", "Dr.", "Prof."];
const CLEAN_STATUSES: &[&str] =
    &["Matched", "Different", "Acknowledged", "NotFound", "Inactive", "Pending", "SelectMatch", "Skipped"];

pub(super) fn lead() -> Vec<Field> {
    let mut fields =
        vec![id("Lead ID"), deleted(), reference("MasterRecordId", "Master Record ID", &["Lead"]).read_only()];
    fields.extend(person());
    fields.extend([text("Title", "Title", 128), text("Company", "Company", 255).required().indexed()]);
    fields.extend(address("", ""));
    fields.extend([
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

pub(super) fn contact() -> Vec<Field> {
    let mut fields = vec![
        id("Contact ID"),
        deleted(),
        reference("MasterRecordId", "Master Record ID", &["Contact"]).read_only(),
        reference("AccountId", "Account ID", &["Account"]).indexed(),
    ];
    fields.extend(person());
    fields.extend(address("Other", "Other "));
    fields.extend(address("Mailing", "Mailing "));
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

/// What leadrelay's own custom fields hold of a person.
fn custom() -> Vec<Field> {
    vec![
        custom_id(),
        Field::new("Lead_Score__c", "Lead Score", Kind::Double, 0).digits(18, 6),
        Field::new("Lead_Tags__c", "Lead Tags", Kind::MultiPicklist, 4_099),
        text("Industry_Detail__c", "Industry Detail", 40),
        Field::new("Last_Seen__c", "Last Seen", Kind::DateTime, 0),
    ]
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
