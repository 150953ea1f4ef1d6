//! Custom fields made while the org runs, and the permissions that show them.

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::{DATA, Org, code};

const FIELDS: &str = "tooling/sobjects/CustomField";

fn text_field(name: &str) -> Json {
    json!({
        "FullName": name,
        "Metadata": {
            "type": "Text", "label": "Leadrelay Id", "length": 64, "required": false, "unique": true, "caseSensitive": true,
            "externalId": true, "description": "Key of the lead in the source system",
        },
    })
}

impl Org {
    /// The permission set that the integration user has and that is not its profile's.
    async fn permission_set(&self) -> String {
        let user = super::super::ids::user(1);
        let given = self
            .query(&format!("SELECT PermissionSetId FROM PermissionSetAssignment WHERE AssigneeId = '{user}'"))
            .await;
        let ids: Vec<&str> =
            given["records"].as_array().unwrap().iter().map(|row| row["PermissionSetId"].as_str().unwrap()).collect();
        let list = ids.join("', '");
        let sets = self
            .query(&format!("SELECT Id FROM PermissionSet WHERE Id IN ('{list}') AND IsOwnedByProfile = false"))
            .await;
        assert_eq!(sets["totalSize"], 1);
        sets["records"][0]["Id"].as_str().unwrap().to_owned()
    }

    async fn permit(&self, set: &str, field: &str, edit: bool) -> (u16, Json) {
        let object = field.split('.').next().unwrap();
        let body = json!({ "ParentId": set, "SobjectType": object, "Field": field, "PermissionsRead": true, "PermissionsEdit": edit });
        self.post("sobjects/FieldPermissions", body).await
    }

    async fn sees(&self, name: &str) -> Option<bool> {
        let (_, described) = self.get("sobjects/Lead/describe").await;
        let field = described["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).cloned();
        field.map(|field| field["updateable"].as_bool().unwrap())
    }
}

#[tokio::test]
async fn a_new_field_is_there_once_a_permission_shows_it() {
    let org = Org::start().await;
    let (status, made) = org.post(FIELDS, text_field("Lead.Leadrelay_Id__c")).await;
    assert_eq!((status, &made["success"]), (201, &json!(true)), "{made}");
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("00N"));
    assert_eq!(org.sees("Leadrelay_Id__c").await, None, "nobody was permitted to see it");
    let (_, refused) =
        org.post("sobjects/Lead", json!({ "LastName": "L", "Company": "C", "Leadrelay_Id__c": "1" })).await;
    assert_eq!(code(&refused), "INVALID_FIELD");
    let set = org.permission_set().await;
    let (status, permission) = org.permit(&set, "Lead.Leadrelay_Id__c", false).await;
    assert_eq!(status, 201, "{permission}");
    assert_eq!(org.sees("Leadrelay_Id__c").await, Some(false));
    let path = format!("sobjects/FieldPermissions/{}", permission["id"].as_str().unwrap());
    assert_eq!(org.patch(&path, json!({ "PermissionsEdit": true })).await.0, 204);
    assert_eq!(org.sees("Leadrelay_Id__c").await, Some(true));
    assert_eq!(org.patch("sobjects/Lead/Leadrelay_Id__c/1", json!({ "LastName": "L", "Company": "C" })).await.0, 201);
    assert_eq!(code(&org.permit(&set, "Lead.Leadrelay_Id__c", true).await.1), "DUPLICATE_VALUE");
    assert_eq!(org.call(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(org.sees("Leadrelay_Id__c").await, None);

    let other = org.query("SELECT Id FROM PermissionSet WHERE Name = 'Sales'").await["records"][0]["Id"].clone();
    assert_eq!(org.permit(other.as_str().unwrap(), "Lead.Leadrelay_Id__c", true).await.0, 201);
    assert_eq!(org.sees("Leadrelay_Id__c").await, None, "the set is somebody else's");
    for (field, expected) in [
        ("Lead.Nope__c", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ("Lead.LastName", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
    ] {
        assert_eq!(code(&org.permit(&set, field, true).await.1), expected, "{field}");
    }
    let edit_alone =
        json!({ "ParentId": set, "SobjectType": "Lead", "Field": "Lead.Leadrelay_Id__c", "PermissionsEdit": true });
    assert_eq!(code(&org.post("sobjects/FieldPermissions", edit_alone).await.1), "FIELD_INTEGRITY_EXCEPTION");
}

#[tokio::test]
async fn what_was_permitted_of_a_field_goes_with_it() {
    let org = Org::start().await;
    let set = org.permission_set().await;
    org.post(FIELDS, text_field("Lead.Again__c")).await;
    for hide in [false, true] {
        assert_eq!(org.permit(&set, "Lead.Again__c", true).await.0, 201);
        assert_eq!(org.sees("Again__c").await, Some(true));
        let gone = json!({ "object": "Lead", "name": "Again__c", "hide": hide });
        assert_eq!(org.call(Method::DELETE, "/_sandbox/fields", Some(gone)).await.0, 200);
        if !hide {
            assert_eq!(org.post(FIELDS, text_field("Lead.Again__c")).await.0, 201);
        }
        // Other permissions do not bring it back.
        org.post(FIELDS, text_field("Lead.Other__c")).await;
        org.permit(&set, "Lead.Other__c", true).await;
        assert_eq!(org.sees("Again__c").await, None, "hide: {hide}");
    }
    assert_eq!(org.permit(&set, "Lead.Again__c", false).await.0, 201);
    assert_eq!(org.sees("Again__c").await, Some(false));
}

#[tokio::test]
async fn a_field_that_cannot_be_is_refused_by_name() {
    let org = Org::start().await;
    let check = async |body: Json, expected: &str| {
        let (status, answer) = org.post(FIELDS, body.clone()).await;
        assert_eq!((status, code(&answer)), (400, expected), "{body}: {answer}");
    };
    assert_eq!(org.post(FIELDS, text_field("Lead.A__c")).await.0, 201);
    check(text_field("Lead.a__c"), "DUPLICATE_DEVELOPER_NAME").await;
    check(text_field("Lead.Lead_System_Id__c"), "DUPLICATE_DEVELOPER_NAME").await;
    for name in ["Lead.B", "Lead.1__c", "Lead.B___c", "Nope.B__c", "User.B__c"] {
        check(text_field(name), "FIELD_INTEGRITY_EXCEPTION").await;
    }
    check(json!({ "FullName": "Lead.B__c" }), "REQUIRED_FIELD_MISSING").await;
    check(json!({ "Metadata": {} }), "REQUIRED_FIELD_MISSING").await;
    let field = |metadata: Json| json!({ "FullName": "Lead.B__c", "Metadata": metadata });
    for (metadata, expected) in [
        (json!({ "type": "Text", "label": "B" }), "FIELD_INTEGRITY_EXCEPTION"),
        (json!({ "type": "Text", "label": "B", "length": 256 }), "FIELD_INTEGRITY_EXCEPTION"),
        (json!({ "type": "Text", "length": 10 }), "REQUIRED_FIELD_MISSING"),
        (
            json!({ "type": "LongTextArea", "label": "B", "length": 255, "visibleLines": 3 }),
            "FIELD_INTEGRITY_EXCEPTION",
        ),
        (json!({ "type": "LongTextArea", "label": "B", "length": 256 }), "FIELD_INTEGRITY_EXCEPTION"),
        (json!({ "type": "Number", "label": "B", "precision": 19, "scale": 0 }), "FIELD_INTEGRITY_EXCEPTION"),
        (json!({ "type": "Checkbox", "label": "B" }), "FIELD_INTEGRITY_EXCEPTION"),
        (json!({ "type": "Picklist", "label": "B" }), "FIELD_INTEGRITY_EXCEPTION"),
        (json!({ "type": "Date", "label": "B", "unique": true }), "FIELD_INTEGRITY_EXCEPTION"),
        (json!({ "type": "Nope", "label": "B" }), "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        (json!({ "type": "Date", "label": "B", "colour": "red" }), "JSON_PARSER_ERROR"),
    ] {
        check(field(metadata), expected).await;
    }
    for number in 0..23 {
        assert_eq!(org.post(FIELDS, text_field(&format!("Lead.Key_{number}__c"))).await.0, 201);
    }
    check(text_field("Lead.One_more__c"), "CUSTOM_FIELD_INDEX_LIMIT_EXCEEDED").await;
}

#[tokio::test]
async fn every_type_becomes_the_field_that_describe_shows() {
    let org = Org::start().await;
    let set = org.permission_set().await;
    let values = json!({ "restricted": true, "valueSetDefinition": { "sorted": false, "value": [{ "fullName": "a", "default": false, "label": "A" }] } });
    for (place, (metadata, kind, length)) in [
        (json!({ "type": "Text", "length": 40 }), "string", 40),
        (json!({ "type": "TextArea" }), "textarea", 255),
        (json!({ "type": "LongTextArea", "length": 32_000, "visibleLines": 3 }), "textarea", 32_000),
        (json!({ "type": "Number", "precision": 18, "scale": 6 }), "double", 0),
        (json!({ "type": "Currency", "precision": 18, "scale": 2 }), "currency", 0),
        (json!({ "type": "Percent", "precision": 5, "scale": 2 }), "percent", 0),
        (json!({ "type": "Checkbox", "defaultValue": false }), "boolean", 0),
        (json!({ "type": "Date" }), "date", 0),
        (json!({ "type": "DateTime" }), "datetime", 0),
        (json!({ "type": "Email" }), "email", 80),
        (json!({ "type": "Phone" }), "phone", 40),
        (json!({ "type": "Url" }), "url", 255),
        (json!({ "type": "Picklist", "valueSet": values }), "picklist", 255),
        (json!({ "type": "MultiselectPicklist", "valueSet": values, "visibleLines": 4 }), "multipicklist", 4_099),
    ]
    .into_iter()
    .enumerate()
    {
        let mut metadata = metadata;
        metadata["label"] = json!("Made");
        let name = format!("Made_{place}__c");
        let (status, answer) =
            org.post(FIELDS, json!({ "FullName": format!("Contact.{name}"), "Metadata": metadata })).await;
        assert_eq!(status, 201, "{metadata}: {answer}");
        assert_eq!(org.permit(&set, &format!("Contact.{name}"), true).await.0, 201);
        let (_, described) = org.get("sobjects/Contact/describe").await;
        let field = described["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).unwrap();
        assert_eq!((&field["type"], &field["length"], &field["label"]), (&json!(kind), &json!(length), &json!("Made")));
        assert_eq!(field["restrictedPicklist"], kind.ends_with("picklist"));
    }
}

#[tokio::test]
async fn fields_are_queried_changed_removed_and_made_in_one_call() {
    let org = Org::start().await;
    let part = |number: usize| {
        json!({
            "method": "POST", "url": format!("{DATA}/{FIELDS}"), "referenceId": format!("f{number}"), "body": text_field(&format!("Lead.F{number}__c")),
        })
    };
    let parts: Vec<Json> = (0..3).map(part).collect();
    let before = org.get("/_sandbox/stats").await.1["calls"].as_u64().unwrap();
    let (status, answer) = org.post("tooling/composite", json!({ "compositeRequest": parts })).await;
    assert_eq!(status, 200);
    let made = answer["compositeResponse"].as_array().unwrap();
    assert!(made.iter().all(|part| part["httpStatusCode"] == 201), "{answer}");
    assert_eq!(org.get("/_sandbox/stats").await.1["calls"], before + 1);
    let both = json!([part(8), part(0)]);
    org.post("tooling/composite", json!({ "allOrNone": true, "compositeRequest": both })).await;
    let query = async |filter: &str| {
        let statement = format!("SELECT Id, DeveloperName, TableEnumOrId FROM CustomField {filter}");
        let answer = org.request(Method::GET, "tooling/query").query(&[("q", statement)]).send().await.unwrap();
        answer.json::<Json>().await.unwrap()
    };
    let found = query("WHERE TableEnumOrId = 'Lead' AND DeveloperName IN ('F0', 'F1', 'F8')").await;
    assert_eq!((&found["totalSize"], &found["records"][0]["DeveloperName"]), (&json!(2), &json!("F0")), "{found}");
    let path = format!("{FIELDS}/{}", found["records"][0]["Id"].as_str().unwrap());
    assert_eq!(org.get(&path).await.1["FullName"], "Lead.F0__c");
    let longer = json!({ "Metadata": { "type": "Text", "label": "Longer", "length": 200 } });
    assert_eq!(org.patch(&path, longer).await.0, 204);
    assert_eq!(org.get(&path).await.1["Metadata"]["length"], 200);
    let other = json!({ "Metadata": { "type": "Date", "label": "Other" } });
    assert_eq!(code(&org.patch(&path, other).await.1), "FIELD_INTEGRITY_EXCEPTION");
    assert_eq!(org.call(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(org.get(&path).await.0, 404);
    assert_eq!(query("WHERE DeveloperName = 'F0'").await["totalSize"], 0);
    assert_eq!(org.get("tooling/sobjects/Nope").await.0, 404);
}
