//! What Salesforce says of its objects, kept for as long as it stays true.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::ids::{FieldName, ObjectName};
use crate::domain::record::{CrmFieldKind, FieldSchema, ObjectSchema};

mod picklists;

/// The attributes of a describe that are used; the rest is ignored.
#[derive(Deserialize)]
pub(super) struct DescribeAnswer {
    createable: bool,
    updateable: bool,
    fields: Vec<DescribedField>,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct DescribedField {
    name: String,
    label: String,
    #[serde(rename = "type")]
    type_name: String,
    length: u32,
    precision: u32,
    scale: u32,
    digits: u32,
    nillable: bool,
    defaulted_on_create: bool,
    createable: bool,
    updateable: bool,
    unique: bool,
    external_id: bool,
    case_sensitive: bool,
    filterable: bool,
    calculated: bool,
    auto_number: bool,
    restricted_picklist: bool,
    dependent_picklist: bool,
    controller_name: Option<String>,
    picklist_values: Vec<DescribedValue>,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
pub(super) struct DescribedValue {
    pub active: bool,
    pub value: Option<String>,
    pub label: Option<String>,
    /// A bit for each value of the controlling field, the first in the highest place, as base64.
    pub valid_for: Option<String>,
}

impl DescribeAnswer {
    /// The object in the domain's words, under the name that was asked for.
    pub fn into_schema(self, name: &ObjectName) -> ObjectSchema {
        let controlling: BTreeMap<String, Vec<String>> = self.fields.iter().map(DescribedField::controlling).collect();
        let fields = self.fields.into_iter().map(|field| field.into_schema(&controlling));
        let mut fields: BTreeMap<FieldName, FieldSchema> = fields.map(|field| (field.name.clone(), field)).collect();
        picklists::name_places(&mut fields);
        ObjectSchema { name: name.clone(), createable: self.createable, updateable: self.updateable, fields }
    }
}

impl DescribedField {
    /// Its name, and the values that may control another field, in the order of its bits; inactive ones count.
    fn controlling(&self) -> (String, Vec<String>) {
        let values = if self.type_name == "boolean" {
            vec!["false".to_owned(), "true".to_owned()]
        } else {
            self.picklist_values.iter().map(|value| value.value.clone().unwrap_or_default()).collect()
        };
        (self.name.clone(), values)
    }

    fn into_schema(self, controlling: &BTreeMap<String, Vec<String>>) -> FieldSchema {
        let controller = self.controller_name.filter(|_| self.dependent_picklist);
        let choices = picklists::choices(&self.picklist_values, controller, controlling);
        let kind = kind_of(&self.type_name);
        let written_by_salesforce = self.calculated || self.auto_number;
        let has_length = !matches!(kind, CrmFieldKind::Boolean | CrmFieldKind::Date | CrmFieldKind::DateTime);
        let (precision, scale) = match kind {
            CrmFieldKind::Integer => (Some(self.digits), Some(0)),
            CrmFieldKind::Decimal | CrmFieldKind::Currency | CrmFieldKind::Percent => {
                (Some(self.precision), Some(self.scale))
            }
            _ => (None, None),
        };
        FieldSchema {
            name: FieldName::new(self.name),
            label: self.label,
            kind,
            length: (has_length && self.length > 0).then_some(self.length),
            precision: precision.filter(|digits| *digits > 0),
            scale,
            nillable: self.nillable,
            defaulted: self.defaulted_on_create,
            createable: self.createable && !written_by_salesforce,
            updateable: self.updateable && !written_by_salesforce,
            unique: self.unique,
            external_id: self.external_id,
            case_sensitive: self.case_sensitive,
            filterable: self.filterable,
            values: self
                .picklist_values
                .into_iter()
                .filter(|value| value.active)
                .filter_map(|value| value.value)
                .collect(),
            restricted: self.restricted_picklist,
            choices,
            type_name: self.type_name,
        }
    }
}

fn kind_of(type_name: &str) -> CrmFieldKind {
    match type_name {
        "string" | "encryptedstring" | "combobox" => CrmFieldKind::Text,
        "textarea" => CrmFieldKind::LongText,
        "email" => CrmFieldKind::Email,
        "phone" => CrmFieldKind::Phone,
        "url" => CrmFieldKind::Url,
        "picklist" => CrmFieldKind::Picklist,
        "multipicklist" => CrmFieldKind::MultiPicklist,
        "int" | "long" => CrmFieldKind::Integer,
        "double" => CrmFieldKind::Decimal,
        "currency" => CrmFieldKind::Currency,
        "percent" => CrmFieldKind::Percent,
        "boolean" => CrmFieldKind::Boolean,
        "date" => CrmFieldKind::Date,
        "datetime" => CrmFieldKind::DateTime,
        "reference" | "id" => CrmFieldKind::Reference,
        _ => CrmFieldKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_field_is_read_in_the_domains_words() {
        let answer: DescribeAnswer = serde_json::from_str(
            r#"{"name":"Lead","createable":true,"updateable":true,"keyPrefix":"00Q","fields":[
              {"name":"Email","label":"Email","type":"email","length":80,"byteLength":240,"precision":0,"scale":0,"digits":0,
               "nillable":true,"defaultedOnCreate":false,"createable":true,"updateable":true,"idLookup":true,"externalId":false,
               "unique":false,"caseSensitive":false,"filterable":true,"calculated":false,"autoNumber":false,"restrictedPicklist":false,
               "picklistValues":[],"referenceTo":[],"inlineHelpText":null},
              {"name":"Rating","label":"Rating","type":"picklist","length":255,"nillable":true,"createable":true,"updateable":true,
               "restrictedPicklist":true,"picklistValues":[{"active":true,"label":"Hot!","value":"Hot","validFor":null},
               {"active":false,"label":"Old","value":"Old"}]},
              {"name":"NumberOfEmployees","label":"Employees","type":"int","length":0,"digits":8,"createable":true,"updateable":true},
              {"name":"Sum__c","label":"Sum","type":"currency","precision":18,"scale":2,"calculated":true,"createable":true}]}"#,
        )
        .unwrap();
        let schema = answer.into_schema(&ObjectName::new("Lead"));
        let field = |name: &str| schema.fields[&FieldName::new(name)].clone();
        let email = field("Email");
        assert_eq!((email.kind, email.length, email.precision), (CrmFieldKind::Email, Some(80), None));
        assert!(email.filterable && email.createable && !email.unique && !email.required_on_create());
        assert_eq!((field("Rating").values, field("Rating").restricted), (vec!["Hot".to_owned()], true));
        let employees = field("NumberOfEmployees");
        assert_eq!((employees.length, employees.precision, employees.scale), (None, Some(8), Some(0)));
        assert!(!field("Sum__c").createable, "a formula cannot be written");
    }
}
