//! Conversion of a lead into a contact of an account, with or without an opportunity.

use jiff::civil::Date;
use serde_json::{Map, Value as Json, json};

use super::error::{Refusal, Refusals};
use super::schema::standard::CONVERTED_STATUS;
use super::table::{By, RowId};
use super::value::Value;
use super::world::{TableId, World};
use super::write::Writer;

/// The stage of an opportunity that a conversion makes.
const FIRST_STAGE: &str = "Prospecting";
/// Longest name of an opportunity.
const NAME: usize = 120;

/// Lead fields that an account takes over.
const TO_ACCOUNT: &[(&str, &str)] = &[
    ("Company", "Name"),
    ("Phone", "Phone"),
    ("Fax", "Fax"),
    ("Website", "Website"),
    ("Industry", "Industry"),
    ("AnnualRevenue", "AnnualRevenue"),
    ("NumberOfEmployees", "NumberOfEmployees"),
    ("Rating", "Rating"),
    ("LeadSource", "AccountSource"),
    ("Street", "BillingStreet"),
    ("City", "BillingCity"),
    ("State", "BillingState"),
    ("PostalCode", "BillingPostalCode"),
    ("Country", "BillingCountry"),
];

/// Lead fields that a contact takes over.
const TO_CONTACT: &[(&str, &str)] = &[
    ("LastName", "LastName"),
    ("FirstName", "FirstName"),
    ("Salutation", "Salutation"),
    ("Title", "Title"),
    ("Email", "Email"),
    ("Phone", "Phone"),
    ("MobilePhone", "MobilePhone"),
    ("Fax", "Fax"),
    ("LeadSource", "LeadSource"),
    ("Description", "Description"),
    ("Street", "MailingStreet"),
    ("City", "MailingCity"),
    ("State", "MailingState"),
    ("PostalCode", "MailingPostalCode"),
    ("Country", "MailingCountry"),
];

/// What is asked of a conversion; records that are not named are made.
#[derive(Debug, Clone, Default)]
pub(super) struct Conversion {
    pub lead: String,
    pub account: Option<String>,
    pub contact: Option<String>,
    pub opportunity: Option<String>,
    pub opportunity_name: Option<String>,
    pub without_opportunity: bool,
    pub status: Option<String>,
    pub owner: Option<String>,
    pub overwrite_lead_source: bool,
}

/// The records that the lead became.
#[derive(Debug)]
pub(super) struct Converted {
    pub account: String,
    pub contact: String,
    pub opportunity: Option<String>,
}

impl World {
    /// Converts a lead, or changes nothing and says why not.
    pub fn convert(&mut self, wanted: &Conversion, writer: &Writer) -> Result<Converted, Refusals> {
        self.atomically(|world| world.convert_steps(wanted, writer))
    }

    fn convert_steps(&mut self, wanted: &Conversion, writer: &Writer) -> Result<Converted, Refusals> {
        let (leads, lead) = self.live("Lead", &wanted.lead)?;
        if self.flag(leads, lead, "IsConverted") {
            let message = "cannot convert a lead that is converted already";
            return Err(Refusal::of_fields("CANNOT_UPDATE_CONVERTED_LEAD", message, &[]).into());
        }
        let status = wanted.status.as_deref().unwrap_or(CONVERTED_STATUS);
        if status != CONVERTED_STATUS {
            let message = format!("invalid convertedStatus: {status}");
            return Err(Refusal::of_fields("INVALID_STATUS", message, &["Status"]).into());
        }
        let owner = self.new_owner(wanted, leads, lead, writer)?;
        if wanted.contact.is_some() && wanted.account.is_none() {
            let message = "An account must be specified along with the contact";
            return Err(Refusal::of_fields("REQUIRED_FIELD_MISSING", message, &["AccountId"]).into());
        }
        let account = self.fill(
            wanted.account.as_deref(),
            "Account",
            self.taken(leads, lead, TO_ACCOUNT),
            &owner,
            wanted,
            writer,
        )?;
        let mut person = self.taken(leads, lead, TO_CONTACT);
        person.insert("AccountId".to_owned(), json!(account));
        if let Some(id) = &wanted.contact {
            let (contacts, row) = self.live("Contact", id)?;
            if self.text(contacts, row, "AccountId") != Some(account.as_str()) {
                let message = "the contact does not belong to the account";
                return Err(Refusal::of_fields("INVALID_CROSS_REFERENCE_KEY", message, &["ContactId"]).into());
            }
        }
        let contact = self.fill(wanted.contact.as_deref(), "Contact", person, &owner, wanted, writer)?;
        let opportunity = if wanted.opportunity.is_none() && wanted.without_opportunity {
            None
        } else {
            let mut deal = self.taken(leads, lead, &[("LeadSource", "LeadSource"), ("Company", "Name")]);
            if let Some(name) = &wanted.opportunity_name {
                deal.insert("Name".to_owned(), json!(name));
            }
            let name: String = deal.get("Name").and_then(Json::as_str).unwrap_or_default().chars().take(NAME).collect();
            deal.insert("Name".to_owned(), json!(name));
            deal.insert("AccountId".to_owned(), json!(account));
            deal.insert("StageName".to_owned(), json!(FIRST_STAGE));
            deal.insert("CloseDate".to_owned(), json!(quarter_end(today(writer)).to_string()));
            if wanted.opportunity.is_none() {
                deal.insert("ContactId".to_owned(), json!(contact));
            }
            Some(self.fill(wanted.opportunity.as_deref(), "Opportunity", deal, &owner, wanted, writer)?)
        };
        let mut changes = vec![
            ("IsConverted", Some(Value::Bool(true))),
            ("Status", Some(Value::text(status))),
            ("ConvertedDate", Some(Value::Date(today(writer)))),
            ("ConvertedAccountId", Some(Value::text(account.as_str()))),
            ("ConvertedContactId", Some(Value::text(contact.as_str()))),
        ];
        changes.extend(opportunity.as_deref().map(|id| ("ConvertedOpportunityId", Some(Value::text(id)))));
        self.amend(leads, lead, &changes, writer.by, writer);
        Ok(Converted { account, contact, opportunity })
    }

    /// A live record of this object, by an id of 15 or 18 characters.
    pub fn live(&self, object: &str, id: &str) -> Result<(TableId, RowId), Refusal> {
        let canonical = super::ids::canonical(id);
        let found = canonical.as_deref().and_then(|id| self.find_record(id));
        match found.filter(|(table, _)| self.tables[*table].object.name == object) {
            Some((table, row)) if self.tables[table].row(row).deleted => Err(Refusal::deleted()),
            Some(found) => Ok(found),
            None if canonical.is_none() => Err(Refusal::of_fields("MALFORMED_ID", format!("malformed id {id}"), &[])),
            None => Err(Refusal::of_fields("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", &[])),
        }
    }

    /// Who owns what is made: a queue cannot own it.
    fn new_owner(&self, wanted: &Conversion, leads: TableId, lead: RowId, writer: &Writer) -> Result<String, Refusal> {
        if let Some(owner) = &wanted.owner {
            let (users, row) = self.live("User", owner)?;
            return Ok(self.tables[users].row(row).id.to_string());
        }
        match self.text(leads, lead, "OwnerId") {
            Some(owner) if owner.starts_with("005") => Ok(owner.to_owned()),
            // On the screen a person has to pick a user, and picks herself.
            _ if writer.by == By::User => Ok(writer.user_id().as_text().unwrap_or_default().to_owned()),
            _ => {
                let message = "Converted objects can only be owned by users. If the lead is not owned by a user, you must specify \
                               a user for the Owner field.";
                Err(Refusal::of_fields("UNKNOWN_EXCEPTION", message, &["OwnerId"]))
            }
        }
    }

    /// What a lead gives to the fields of another object.
    fn taken(&self, leads: TableId, lead: RowId, fields: &[(&str, &str)]) -> Map<String, Json> {
        let table = &self.tables[leads];
        let value = |from: &str| {
            let (id, field) = table.object.find(from)?;
            Some(table.row(lead).values.get(&id)?.to_json(field.kind))
        };
        fields.iter().filter_map(|(from, to)| Some(((*to).to_owned(), value(from)?))).collect()
    }

    /// Makes a record, or fills what is empty in the one that was named.
    fn fill(
        &mut self,
        id: Option<&str>,
        object: &str,
        mut fields: Map<String, Json>,
        owner: &str,
        wanted: &Conversion,
        writer: &Writer,
    ) -> Result<String, Refusals> {
        let Some(id) = id else {
            let table = self.table(object).ok_or_else(Refusal::no_such_resource)?;
            fields.insert("OwnerId".to_owned(), json!(owner));
            return Ok(self.create(table, &fields, writer)?.to_string());
        };
        let (table, row) = self.live(object, id)?;
        fields.retain(|name, _| {
            self.value(table, row, name).is_none() || (name == "LeadSource" && wanted.overwrite_lead_source)
        });
        if !fields.is_empty() {
            self.update(table, row, &fields, writer)?;
        }
        Ok(self.tables[table].row(row).id.to_string())
    }
}

fn today(writer: &Writer) -> Date {
    writer.at.to_zoned_datetime(jiff::tz::TimeZone::UTC).date()
}

/// The last day of the quarter.
fn quarter_end(day: Date) -> Date {
    let month = (day.month() - 1) / 3 * 3 + 3;
    Date::new(day.year(), month, 1).unwrap_or(day).last_of_month()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_ends_on_its_last_day() {
        for (day, end) in [("2026-01-01", "2026-03-31"), ("2026-05-30", "2026-06-30"), ("2026-12-31", "2026-12-31")] {
            assert_eq!(quarter_end(day.parse().unwrap()).to_string(), end);
        }
    }
}
