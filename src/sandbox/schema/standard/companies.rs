//! The fields of Account and Opportunity, and of the link between an Opportunity and a Contact.

use super::super::{Field, Kind, stages};
use super::{
    INDUSTRIES, LEAD_SOURCES, address, audit, custom_id, deleted, id, owner, picklist, reference, stamps, text,
};

const RATINGS: &[&str] = &["Hot", "Warm", "Cold"];
const ACCOUNT_TYPES: &[&str] = &[
    "Prospect",
    "Customer - Direct",
    "Customer - Channel",
    "Channel Partner / Reseller",
    "Installation Partner",
    "Technology Partner",
    "Other",
];
const OPPORTUNITY_TYPES: &[&str] = &[
    "Existing Customer - Upgrade",
    "Existing Customer - Replacement",
    "Existing Customer - Downgrade",
    "New Customer",
];
const ROLES: &[&str] = &[
    "Business User",
    "Decision Maker",
    "Economic Buyer",
    "Economic Decision Maker",
    "Evaluator",
    "Executive Sponsor",
    "Influencer",
    "Technical Buyer",
    "Other",
];

pub(super) fn account() -> Vec<Field> {
    let mut fields = vec![
        id("Account ID"),
        deleted(),
        reference("MasterRecordId", "Master Record ID", &["Account"]).read_only(),
        text("Name", "Account Name", 255).required().indexed(),
        picklist("Type", "Account Type", 40, ACCOUNT_TYPES),
        reference("ParentId", "Parent Account ID", &["Account"]),
    ];
    fields.extend(address("Billing", "Billing "));
    fields.extend(address("Shipping", "Shipping "));
    fields.extend([
        Field::new("Phone", "Account Phone", Kind::Phone, 40),
        Field::new("Fax", "Account Fax", Kind::Phone, 40),
        text("AccountNumber", "Account Number", 40),
        Field::new("Website", "Website", Kind::Url, 255).indexed(),
        Field::new("PhotoUrl", "Photo URL", Kind::Url, 255).read_only(),
        text("Sic", "SIC Code", 20),
        text("SicDesc", "SIC Description", 80),
        picklist("Industry", "Industry", 40, INDUSTRIES),
        Field::new("AnnualRevenue", "Annual Revenue", Kind::Currency, 0).digits(18, 0),
        Field::new("NumberOfEmployees", "Employees", Kind::Int, 0).digits(8, 0),
        picklist("Ownership", "Ownership", 40, &["Public", "Private", "Subsidiary", "Other"]),
        text("TickerSymbol", "Ticker Symbol", 20),
        Field::new("Description", "Account Description", Kind::TextArea, 32_000),
        picklist("Rating", "Account Rating", 40, RATINGS),
        text("Site", "Account Site", 80),
        picklist("AccountSource", "Account Source", 40, LEAD_SOURCES),
        owner(&["User"]),
    ]);
    fields.extend(audit());
    fields.push(custom_id());
    fields
}

pub(super) fn opportunity() -> Vec<Field> {
    let forecast = |name: &str, label: &str| Field {
        nillable: false,
        restricted: true,
        ..picklist(name, label, 40, &["Omitted", "Pipeline", "Best Case", "Commit", "Closed"])
    };
    let mut fields = vec![
        id("Opportunity ID"),
        deleted(),
        reference("AccountId", "Account ID", &["Account"]).indexed(),
        Field::new("IsPrivate", "Private", Kind::Boolean, 0),
        Field { id_lookup: true, ..text("Name", "Name", 120).required().indexed() },
        Field::new("Description", "Description", Kind::TextArea, 32_000),
        picklist("StageName", "Stage", 255, &stages::names()).required(),
        Field::new("Amount", "Amount", Kind::Currency, 0).digits(18, 2),
        Field { defaulted: true, ..Field::new("Probability", "Probability (%)", Kind::Percent, 0).digits(3, 0) },
        Field::new("ExpectedRevenue", "Expected Amount", Kind::Currency, 0).digits(18, 2).read_only(),
        Field::new("TotalOpportunityQuantity", "Quantity", Kind::Double, 0).digits(18, 2),
        Field::new("CloseDate", "Close Date", Kind::Date, 0).required(),
        picklist("Type", "Opportunity Type", 255, OPPORTUNITY_TYPES),
        text("NextStep", "Next Step", 255),
        picklist("LeadSource", "Lead Source", 255, LEAD_SOURCES),
        Field::new("IsClosed", "Closed", Kind::Boolean, 0).read_only(),
        Field::new("IsWon", "Won", Kind::Boolean, 0).read_only(),
        forecast("ForecastCategory", "Forecast Category").read_only(),
        Field { defaulted: true, ..forecast("ForecastCategoryName", "Forecast Category") },
        reference("CampaignId", "Campaign ID", &["Campaign"]),
        reference("Pricebook2Id", "Price Book ID", &["Pricebook2"]),
        owner(&["User"]),
        Field::new("FiscalQuarter", "Fiscal Quarter", Kind::Int, 0).digits(9, 0).read_only(),
        Field::new("FiscalYear", "Fiscal Year", Kind::Int, 0).digits(9, 0).read_only(),
        text("Fiscal", "Fiscal Period", 6).read_only(),
        Field { updateable: false, ..reference("ContactId", "Contact ID", &["Contact"]) },
        Field::new("LastStageChangeDate", "Last Stage Change Date", Kind::DateTime, 0).read_only(),
    ];
    fields.extend(audit());
    fields.push(custom_id());
    fields
}

pub(super) fn contact_role() -> Vec<Field> {
    let link = |name: &str, label: &str, object: &'static str| reference(name, label, &[object]).required().indexed();
    let mut fields = vec![
        id("Contact Role ID"),
        deleted(),
        Field { updateable: false, ..link("OpportunityId", "Opportunity ID", "Opportunity") },
        link("ContactId", "Contact ID", "Contact"),
        picklist("Role", "Role", 40, ROLES),
        Field::new("IsPrimary", "Primary", Kind::Boolean, 0),
    ];
    fields.extend(stamps());
    fields
}
