//! Custom fields made through the Tooling API, and shown to our own user by a permission set that it has.

use std::collections::BTreeSet;

use http::Method;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::rows::text;
use super::transport::{Answer, Outgoing, SendError};
use super::wire::QueryPage;
use super::{Salesforce, classify, soql};
use crate::crm::{CrmError, FieldMaking, PermissionHolder};
use crate::domain::ids::{FieldName, ObjectName};
use crate::domain::missing::{NewField, NewFieldKind};

const ENDPOINT: &str = "setup";
/// Lines that a long field, or a list to choose several from, shows.
const VISIBLE_LINES: u32 = 4;
const EXISTS: &str = "DUPLICATE_DEVELOPER_NAME";

/// The permission sets of our user that may be given more; not those of profiles, which others have too.
pub(super) async fn permission_holders(crm: &Salesforce) -> Result<Vec<PermissionHolder>, CrmError> {
    let session = crm.transport.session().await?;
    let Some(user) = &session.user else {
        let message = "the login does not say who our user is".to_owned();
        return Err(CrmError::Operator { code: "user_unknown".into(), message });
    };
    let assigned = format!(
        "SELECT PermissionSetId FROM PermissionSetAssignment WHERE AssigneeId = {}",
        soql::quote(user.as_str())
    );
    let assigned = query(crm, "query", &assigned).await?;
    let ids: BTreeSet<&str> = assigned.records.iter().filter_map(|row| text(row, "PermissionSetId")).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let list = ids.into_iter().map(soql::quote).collect::<Vec<_>>().join(", ");
    let sets = format!(
        "SELECT Id, Name FROM PermissionSet WHERE Id IN ({list}) AND IsOwnedByProfile = false AND IsCustom = true ORDER BY Name"
    );
    let sets = query(crm, "query", &sets).await?;
    let holder = |row: &super::wire::Row| {
        Some(PermissionHolder { id: text(row, "Id")?.to_owned(), name: text(row, "Name")?.to_owned() })
    };
    Ok(sets.records.iter().filter_map(holder).collect())
}

/// Which of these custom fields there are, whether or not our user sees them.
pub(super) async fn existing_fields(
    crm: &Salesforce,
    fields: &[NewField],
) -> Result<BTreeSet<(ObjectName, FieldName)>, CrmError> {
    let mut existing = BTreeSet::new();
    let names: BTreeSet<&str> = fields.iter().map(|field| developer_name(&field.name)).collect();
    if names.is_empty() {
        return Ok(existing);
    }
    let list = names.into_iter().map(soql::quote).collect::<Vec<_>>().join(", ");
    let statement = format!(
        "SELECT DeveloperName, TableEnumOrId FROM CustomField WHERE DeveloperName IN ({list}) AND NamespacePrefix = null"
    );
    let found = query(crm, "tooling/query", &statement).await?;
    for row in &found.records {
        let (Some(name), Some(object)) = (text(row, "DeveloperName"), text(row, "TableEnumOrId")) else { continue };
        let is = |field: &&NewField| {
            developer_name(&field.name).eq_ignore_ascii_case(name) && field.object.as_str().eq_ignore_ascii_case(object)
        };
        existing.extend(fields.iter().find(is).map(|field| (field.object.clone(), field.name.clone())));
    }
    Ok(existing)
}

/// Makes the field unless it is there already, then shows it to our user. A field that is there is not changed.
pub(super) async fn make_field(
    crm: &Salesforce,
    field: &NewField,
    holder: &PermissionHolder,
) -> Result<FieldMaking, CrmError> {
    let full_name = format!("{}.{}", field.object, field.name);
    let body = json!({ "FullName": full_name, "Metadata": metadata(field) });
    let made = match post(crm, "tooling/sobjects/CustomField", &body).await? {
        answer if answer.status == 201 => saved(&answer).map(|()| FieldMaking::Made)?,
        answer if has_code(&answer, EXISTS) => FieldMaking::Shown,
        answer => return Err(answer.error()),
    };
    let permission = json!({
        "ParentId": holder.id, "SobjectType": field.object.as_str(), "Field": full_name,
        "PermissionsRead": true, "PermissionsEdit": true,
    });
    match post(crm, "sobjects/FieldPermissions", &permission).await? {
        answer if answer.status == 201 => saved(&answer)?,
        answer if has_code(&answer, "DUPLICATE_VALUE") => {}
        answer => {
            let error = answer.error();
            let not_shown = if made == FieldMaking::Made {
                "the field was made, but is not shown to our user"
            } else {
                "the field is not shown to our user"
            };
            return Err(CrmError::Operator { code: error.code().to_owned(), message: format!("{not_shown}: {error}") });
        }
    }
    Ok(made)
}

/// The field as the Tooling API takes it.
fn metadata(field: &NewField) -> Json {
    let (kind, own) = match &field.kind {
        NewFieldKind::Text { length } => ("Text", json!({ "length": length })),
        NewFieldKind::LongText { length } => {
            ("LongTextArea", json!({ "length": length, "visibleLines": VISIBLE_LINES }))
        }
        NewFieldKind::Number { digits, scale } => ("Number", json!({ "precision": digits, "scale": scale })),
        NewFieldKind::Currency { digits, scale } => ("Currency", json!({ "precision": digits, "scale": scale })),
        NewFieldKind::Percent { digits, scale } => ("Percent", json!({ "precision": digits, "scale": scale })),
        NewFieldKind::Checkbox => ("Checkbox", json!({ "defaultValue": false })),
        NewFieldKind::Date => ("Date", json!({})),
        NewFieldKind::DateTime => ("DateTime", json!({})),
        NewFieldKind::Email => ("Email", json!({})),
        NewFieldKind::Phone => ("Phone", json!({})),
        NewFieldKind::Url => ("Url", json!({})),
        NewFieldKind::Picklist { values } => ("Picklist", json!({ "valueSet": value_set(values) })),
        NewFieldKind::MultiPicklist { values } => {
            ("MultiselectPicklist", json!({ "valueSet": value_set(values), "visibleLines": VISIBLE_LINES }))
        }
    };
    let mut all = json!({ "type": kind, "label": field.label, "required": false, "description": field.description });
    if field.is_key {
        all["unique"] = true.into();
        all["caseSensitive"] = true.into();
        all["externalId"] = true.into();
    }
    if let (Some(all), Json::Object(own)) = (all.as_object_mut(), own) {
        all.extend(own);
    }
    all
}

fn value_set(values: &[String]) -> Json {
    let value = |value: &String| json!({ "fullName": value, "label": value, "default": false });
    let values: Vec<Json> = values.iter().map(value).collect();
    json!({ "restricted": false, "valueSetDefinition": { "sorted": false, "value": values } })
}

/// A name without the ending that custom fields have.
fn developer_name(name: &FieldName) -> &str {
    name.as_str().strip_suffix("__c").unwrap_or(name.as_str())
}

#[derive(Deserialize)]
struct Saved {
    success: bool,
}

/// Whether an answer of 201 says that it was saved, which it always should.
fn saved(answer: &Answer) -> Result<(), CrmError> {
    match serde_json::from_slice::<Saved>(&answer.body) {
        Ok(Saved { success: true }) => Ok(()),
        _ => Err(classify::unreadable(answer.status)),
    }
}

fn has_code(answer: &Answer, code: &str) -> bool {
    classify::read_errors(&answer.body).iter().any(|error| error.code == code)
}

async fn post(crm: &Salesforce, resource: &str, body: &Json) -> Result<Answer, CrmError> {
    let outgoing = Outgoing {
        method: Method::POST,
        json: Some(super::to_bytes(body)?),
        ..Outgoing::get(ENDPOINT, format!("{}/{resource}", crm.root))
    };
    crm.transport.send(&outgoing).await.map_err(SendError::of_a_write)
}

/// The first page of a query's rows: setup objects are few.
async fn query(crm: &Salesforce, resource: &str, statement: &str) -> Result<QueryPage, CrmError> {
    let path = soql::query_path(&crm.root, statement).replacen("/query?", &format!("/{resource}?"), 1);
    let answer = crm.transport.send(&Outgoing::get(ENDPOINT, path)).await.map_err(SendError::of_a_read)?;
    if answer.status != 200 {
        return Err(answer.error());
    }
    serde_json::from_slice(&answer.body).map_err(|_| classify::unreadable(answer.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_described_as_the_tooling_api_takes_it() {
        let field = |kind: NewFieldKind, is_key: bool| NewField {
            object: "Lead".into(),
            name: "Lead_Key__c".into(),
            label: "Lead Key".into(),
            kind,
            is_key,
            description: "d".into(),
        };
        assert_eq!(
            metadata(&field(NewFieldKind::Text { length: 64 }, true)),
            json!({ "type": "Text", "label": "Lead Key", "length": 64, "required": false, "unique": true, "caseSensitive": true,
                    "externalId": true, "description": "d" })
        );
        assert_eq!(
            metadata(&field(NewFieldKind::Picklist { values: vec!["a".into()] }, false)),
            json!({ "type": "Picklist", "label": "Lead Key", "required": false, "description": "d",
                    "valueSet": { "restricted": false,
                                  "valueSetDefinition": { "sorted": false, "value": [{ "fullName": "a", "default": false, "label": "a" }] } } })
        );
    }
}
