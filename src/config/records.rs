//! `[destinations.NAME.records]`: which record a lead is.

use std::fmt;

use crate::domain::ids::{FieldName, LeadKey, ObjectName};
use crate::domain::matching::{MatchedBy, OnAmbiguous, OnShared};
use crate::domain::plan::{OnCrmDelete, OnDelete};

use super::reader::{Item, Table, Wrong, quoted};
use super::values::{api_name, one_of};

/// `[destinations.NAME.records]`: the kind of record a lead becomes, how it is recognised, and what happens when that is unclear.
#[derive(Clone, Debug)]
pub struct RecordsConfig {
    /// `Lead` if left out.
    pub object: ObjectName,
    /// The CRM field that holds our key; unique in the CRM.
    pub external_id: FieldName,
    /// What our key is made of; `{lead_id}` if left out.
    pub external_id_value: ExternalIdTemplate,
    /// What a record is recognised by, strongest first; begins with the external ID and never holds the link.
    pub match_by: Vec<MatchedBy>,
    /// Whether the external ID is the first key although something else is written.
    pub match_begins_otherwise: bool,
    /// When several records could be the lead; `review` if left out.
    pub on_ambiguous: OnAmbiguous,
    /// When the record belongs to another lead already; `review` if left out.
    pub on_shared: OnShared,
    /// What is done about companies; `inline` if left out.
    pub company: Company,
    /// The field of `object` that points to the company's record; the CRM's own, where it has one, if left out.
    pub company_field: Option<FieldName>,
    /// Whether a company is also looked for by the people of its domain; false if left out.
    pub company_by_contacts: bool,
    /// When the record was deleted in the CRM; `hold` if left out.
    pub on_crm_delete: OnCrmDelete,
    /// What becomes of the record of a deleted lead; nothing if left out. The flag is `delete_flag`.
    pub on_delete: OnDelete,
    /// Whether the CRM's assignment rules run on create; true if left out. They never run on update.
    pub auto_assign: bool,
    /// What the CRM's own duplicate rules are taken for; `review` if left out.
    pub duplicate_rule: DuplicateRule,
    /// What becomes of custom attributes without a row; `drop` if left out.
    pub unmapped: Unmapped,
}

/// What becomes of a lead's custom attributes that no row of the mapping takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmapped {
    /// They are not synced.
    Drop,
    /// They stand in a marked block of this long text field of the records' object. Leads who are records of another kind
    /// have no such block.
    Note(FieldName),
    /// The lead is held until the mapping names them.
    Error,
}

/// What is done with a record of which the CRM's own duplicate rule says that it is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplicateRule {
    /// A person is asked.
    Review,
    /// It is saved all the same, where the rule lets itself be overruled.
    Allow,
}

/// What is done about the companies that leads belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// They are fields of the person's record.
    Inline,
    /// Each is found or made, and the person's record points to it.
    Account,
    /// The same, but none is made.
    MatchOnly,
}

/// What an external ID is made of: text with `{lead_id}` and `{source}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalIdTemplate {
    parts: Vec<TemplatePart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Literal(String),
    LeadId,
    Source,
}

impl ExternalIdTemplate {
    /// `{lead_id}`: the lead system's own ID as it is.
    pub fn lead_id() -> Self {
        Self { parts: vec![TemplatePart::LeadId] }
    }

    fn parse(text: &str) -> Result<Self, Wrong> {
        let remedy = "write text with {lead_id} and, if you like, {source}, such as \"{source}:{lead_id}\"";
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) =
                after.split_once('}').ok_or_else(|| Wrong::new("has a `{` that is not closed", remedy))?;
            if !before.is_empty() {
                parts.push(TemplatePart::Literal(before.to_owned()));
            }
            parts.push(match name {
                "lead_id" => TemplatePart::LeadId,
                "source" => TemplatePart::Source,
                _ => return Err(Wrong::new(format!("{} cannot be filled in", quoted(&format!("{{{name}}}"))), remedy)),
            });
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(TemplatePart::Literal(rest.to_owned()));
        }
        if !parts.contains(&TemplatePart::LeadId) {
            return Err(Wrong::new("gives every lead the same key", remedy));
        }
        Ok(Self { parts })
    }

    /// The external ID of this lead, without blanks at its ends: CRMs store none there, and what they hold must equal it.
    pub fn value_for(&self, lead: &LeadKey) -> String {
        let key: String = self
            .parts
            .iter()
            .map(|part| match part {
                TemplatePart::Literal(text) => text.as_str(),
                TemplatePart::LeadId => lead.id.as_str(),
                TemplatePart::Source => lead.source.as_str(),
            })
            .collect();
        key.trim().to_owned()
    }

    /// Whether leads of two sources with the same ID stay apart.
    pub fn names_the_source(&self) -> bool {
        self.parts.contains(&TemplatePart::Source)
    }
}

/// As it is written: `{source}:{lead_id}`.
impl fmt::Display for ExternalIdTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            TemplatePart::Literal(text) => f.write_str(text),
            TemplatePart::LeadId => f.write_str("{lead_id}"),
            TemplatePart::Source => f.write_str("{source}"),
        })
    }
}

/// Reads `[destinations.NAME.records]` of a destination that takes leads from `sources` sources.
pub(super) fn read(table: Table<'_>, sources: usize) -> Option<RecordsConfig> {
    let object = table.or("object", "Lead", one_of(&[("Lead", "Lead"), ("Contact", "Contact")]));
    let external_id = table.required(
        "external_id",
        "write the API name of a unique external ID field, such as \"Lead_System_Id__c\"",
        api_name,
    );
    let external_id_value =
        table.or("external_id_value", ExternalIdTemplate::lead_id(), |item| ExternalIdTemplate::parse(&item.text()?));
    if sources > 1 && !external_id_value.names_the_source() {
        table.wrong(
            "external_id_value",
            "leads of several sources could get the same key",
            "write \"{source}:{lead_id}\", or name one source in `sources`; records of linked leads get the new key by a resync",
        );
    }
    let (match_by, match_begins_otherwise) = match_keys(&table);
    let on_ambiguous = table.or(
        "on_ambiguous",
        OnAmbiguous::Review,
        one_of(&[
            ("review", OnAmbiguous::Review),
            ("oldest", OnAmbiguous::Oldest),
            ("newest", OnAmbiguous::Newest),
            ("create", OnAmbiguous::Create),
        ]),
    );
    let on_shared =
        table.or("on_shared", OnShared::Review, one_of(&[("review", OnShared::Review), ("newest", OnShared::Newest)]));
    let company = table.or(
        "company",
        Company::Inline,
        one_of(&[("inline", Company::Inline), ("account", Company::Account), ("match_only", Company::MatchOnly)]),
    );
    let company_field = table.optional("company_field", api_name).map(FieldName::new);
    let company_by_contacts = table.or("company_by_contacts", false, Item::flag);
    let said = [("company_field", company_field.is_some()), ("company_by_contacts", company_by_contacts)];
    for (key, _) in said.into_iter().filter(|(_, says)| *says) {
        if company == Company::Inline {
            table.wrong(
                key,
                "says nothing while `company` is \"inline\"",
                "write company = \"account\", or leave it out",
            );
        }
    }
    let on_crm_delete = table.or(
        "on_crm_delete",
        OnCrmDelete::Hold,
        one_of(&[
            ("hold", OnCrmDelete::Hold),
            ("unlink", OnCrmDelete::Unlink),
            ("recreate", OnCrmDelete::Recreate),
            ("review", OnCrmDelete::Review),
        ]),
    );
    let auto_assign = table.or("auto_assign", true, Item::flag);
    let duplicate_rule = table.or(
        "duplicate_rule",
        DuplicateRule::Review,
        one_of(&[("review", DuplicateRule::Review), ("allow", DuplicateRule::Allow)]),
    );
    let on_delete = on_delete(&table, external_id.as_deref());
    let unmapped = unmapped(&table);
    table.finish();
    Some(RecordsConfig {
        object: object.into(),
        external_id: FieldName::new(external_id?),
        external_id_value,
        match_by,
        match_begins_otherwise,
        on_ambiguous,
        on_shared,
        company,
        company_field,
        company_by_contacts,
        on_crm_delete,
        on_delete: on_delete?,
        auto_assign,
        duplicate_rule,
        unmapped,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Ignore,
    Flag,
    Delete,
}

fn on_delete(table: &Table<'_>, external_id: Option<&str>) -> Option<OnDelete> {
    const FLAG: &str =
        "write the API name of a checkbox, date, date and time or text field, such as \"Deleted_In_Source__c\"";
    let forms = one_of(&[("ignore", Form::Ignore), ("flag", Form::Flag), ("delete", Form::Delete)]);
    let form = table.or("on_delete", Form::Ignore, forms);
    if form != Form::Flag {
        if table.has("delete_flag") {
            table.optional("delete_flag", api_name);
            table.wrong("delete_flag", "is used with on_delete = \"flag\" only", "write that, or leave this key out");
        }
        return Some(if form == Form::Delete { OnDelete::Delete } else { OnDelete::Ignore });
    }
    let field = table.required("delete_flag", FLAG, api_name)?;
    if external_id == Some(field.as_str()) {
        table.wrong("delete_flag", "is the field that holds our key", FLAG);
    }
    Some(OnDelete::Flag(FieldName::new(field)))
}

fn unmapped(table: &Table<'_>) -> Unmapped {
    #[derive(Clone, Copy)]
    enum Kind {
        Drop,
        Note,
        Error,
    }
    let kind =
        table.or("unmapped", Kind::Drop, one_of(&[("drop", Kind::Drop), ("note", Kind::Note), ("error", Kind::Error)]));
    if let Kind::Note = kind {
        let remedy = "write the API name of a long text field, such as \"Lead_Attributes__c\"";
        let field = table.required("note_field", remedy, api_name);
        return field.map_or(Unmapped::Drop, |field| Unmapped::Note(FieldName::new(field)));
    }
    if table.item("note_field").is_some() {
        table.wrong("note_field", "is for unmapped = \"note\"", "write unmapped = \"note\", or leave it out");
    }
    if let Kind::Error = kind { Unmapped::Error } else { Unmapped::Drop }
}

/// The name of an object that a row can be for.
pub(super) fn object_name(item: &Item<'_>) -> Result<&'static str, Wrong> {
    one_of(&[("Lead", "Lead"), ("Contact", "Contact"), ("Account", "Account"), ("Opportunity", "Opportunity")])(item)
}

/// The keys, the external ID first, and whether something else is written: our own key is the surest.
fn match_keys(table: &Table<'_>) -> (Vec<MatchedBy>, bool) {
    let keys = table.list(
        "match",
        one_of(&[
            ("external_id", MatchedBy::ExternalId),
            ("email", MatchedBy::Email),
            ("name_and_company_domain", MatchedBy::NameAndCompanyDomain),
        ]),
    );
    let Some(mut keys) = keys else {
        return (vec![MatchedBy::ExternalId, MatchedBy::Email, MatchedBy::NameAndCompanyDomain], false);
    };
    if keys.iter().enumerate().any(|(index, key)| keys.iter().take(index).any(|earlier| earlier == key)) {
        table.wrong("match", "names a key twice", "write each key once");
    }
    let begins_otherwise = keys.first() != Some(&MatchedBy::ExternalId);
    if begins_otherwise {
        keys.retain(|key| *key != MatchedBy::ExternalId);
        keys.insert(0, MatchedBy::ExternalId);
    }
    (keys, begins_otherwise)
}
