//! The describe answers, with every key that was recorded from an org.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::schema::{Choice, Field, Kind, Object};

/// `GET sobjects/{object}/describe`.
pub(super) fn object(object: &Object, version: &str) -> Json {
    let mut answer = summary(object, version);
    let mut fields: Vec<Json> = object.visible().map(|(_, field)| describe_field(object, field)).collect();
    for field in fields.iter_mut().filter(|_| !object.writable) {
        field["createable"] = json!(false);
        field["updateable"] = json!(false);
    }
    let more = json!({
        "actionOverrides": [],
        "childRelationships": [],
        "compactLayoutable": true,
        "defaultImplementation": null,
        "extendedBy": null,
        "extendsInterfaces": null,
        "fields": fields,
        "implementedBy": null,
        "implementsInterfaces": null,
        "listviewable": null,
        "lookupLayoutable": null,
        "namedLayoutInfos": [],
        "networkScopeFieldName": null,
        "recordTypeInfos": [{
            "active": true, "available": true, "defaultRecordTypeMapping": true, "developerName": "Master",
            "master": true, "name": "Master", "recordTypeId": "012000000000000AAA",
            "urls": { "layout": format!("{}/describe/layouts/012000000000000AAA", url(object, version)) },
        }],
        "searchLayoutable": true,
        "sobjectDescribeOption": "FULL",
        "supportedScopes": [
            { "label": format!("All {}", object.label_plural.to_lowercase()), "name": "everything" },
            { "label": format!("My {}", object.label_plural.to_lowercase()), "name": "mine" },
        ],
    });
    extend(&mut answer, more);
    answer
}

/// What `GET sobjects` and `GET sobjects/{object}` say of an object.
pub(super) fn summary(object: &Object, version: &str) -> Json {
    let url = url(object, version);
    json!({
        "activateable": false, "associateEntityType": null, "associateParentEntity": null, "createable": object.writable,
        "custom": false, "customSetting": false, "deepCloneable": false, "deletable": object.writable,
        "deprecatedAndHidden": false, "feedEnabled": true, "hasSubtypes": false, "isInterface": false,
        "isSubtype": false, "keyPrefix": object.prefix, "label": object.label, "labelPlural": object.label_plural,
        "layoutable": true, "mergeable": object.mergeable, "mruEnabled": true, "name": object.name, "queryable": true,
        "replicateable": true, "retrieveable": true, "searchable": true, "triggerable": true, "undeletable": object.writable,
        "updateable": object.writable,
        "urls": {
            "sobject": url, "describe": format!("{url}/describe"), "rowTemplate": format!("{url}/{{ID}}"),
        },
    })
}

/// The path under which an object's resources lie.
pub(super) fn url(object: &Object, version: &str) -> String {
    format!("/services/data/{version}/sobjects/{}", object.name)
}

fn describe_field(object: &Object, field: &Field) -> Json {
    let controller = field.controller.as_deref().and_then(|name| object.find(name)).map(|(_, field)| field);
    let values: Vec<Json> = field
        .choices
        .iter()
        .map(|choice| {
            let default = field.default.is_some_and(|default| default == choice.value);
            let valid_for = controller.map(|controller| valid_for(controller, choice));
            json!({
                "active": true, "defaultValue": default, "label": choice.label, "validFor": valid_for, "value": choice.value,
            })
        })
        .collect();
    let custom = field.is_custom();
    let default_value = match field.kind {
        Kind::Boolean => json!(false),
        _ => json!(field.default),
    };
    let text = field.kind.is_text() || matches!(field.kind, Kind::Id | Kind::Reference);
    let mut answer = json!({
        "aggregatable": field.filterable && field.kind != Kind::Boolean, "aiPredictionField": false,
        "autoNumber": false, "byteLength": if text { field.length * 3 } else { 0 },
        "calculated": false, "calculatedFormula": null, "cascadeDelete": false,
        "caseSensitive": field.case_sensitive && !matches!(field.kind, Kind::Id | Kind::Reference),
        "compoundFieldName": compound_of(&field.name), "controllerName": controller.map(|controller| &controller.name), "createable": field.createable, "custom": custom,
        "defaultValue": default_value, "defaultValueFormula": null, "defaultedOnCreate": field.defaulted,
        "dependentPicklist": controller.is_some(), "deprecatedAndHidden": false,
        "digits": if field.kind == Kind::Int { field.precision } else { 0 },
        "displayLocationInDecimal": field.name.ends_with("itude"), "encrypted": false,
        "externalId": field.external_id, "extraTypeInfo": null, "filterable": field.filterable,
        "filteredLookupInfo": null, "formulaTreatNullNumberAsZero": false,
        "groupable": field.is_sortable() && !field.kind.is_decimal() && field.kind != Kind::DateTime,
        "highScaleNumber": false, "htmlFormatted": false, "idLookup": field.id_lookup, "inlineHelpText": null,
        "label": field.label, "length": if text { field.length } else { 0 },
    });
    let more = json!({
        "mask": null, "maskType": null, "name": field.name, "nameField": field.name == "Name", "namePointing": false,
        "nillable": field.nillable, "permissionable": field.nillable && field.kind != Kind::Boolean,
        "picklistValues": values, "polymorphicForeignKey": field.refers_to.len() > 1,
        "precision": if field.kind.is_decimal() { field.precision } else { 0 }, "queryByDistance": false,
        "referenceTargetField": null, "referenceTo": field.refers_to, "relationshipName": field.relationship(),
        "relationshipOrder": null, "restrictedDelete": false, "restrictedPicklist": field.restricted,
        "scale": if field.kind.is_decimal() { field.scale } else { 0 }, "searchPrefilterable": false,
        "soapType": field.kind.soap_type(), "sortable": field.is_sortable(), "type": field.kind.name(),
        "unique": field.unique, "updateable": field.updateable, "writeRequiresMasterRead": false,
    });
    extend(&mut answer, more);
    answer
}

/// The controlling values under which a choice is valid: a bit for each, the first in the highest place, as base64.
fn valid_for(controller: &Field, choice: &Choice) -> String {
    let places: Vec<usize> = match controller.kind {
        Kind::Boolean => choice.valid_for.iter().map(|value| usize::from(value == "true")).collect(),
        _ => {
            let known = controller.choices.iter().enumerate();
            known.filter(|(_, known)| choice.valid_for.contains(&known.value)).map(|(place, _)| place).collect()
        }
    };
    let most = if controller.kind == Kind::Boolean { 2 } else { controller.choices.len() };
    let mut bits = vec![0u8; most.div_ceil(8)];
    for place in places {
        bits[place / 8] |= 0x80 >> (place % 8);
    }
    STANDARD.encode(bits)
}

/// The compound field that a part belongs to.
fn compound_of(name: &str) -> Option<String> {
    const PARTS: [&str; 9] =
        ["Street", "City", "State", "StateCode", "PostalCode", "Country", "CountryCode", "Latitude", "Longitude"];
    if matches!(name, "FirstName" | "LastName" | "Salutation") {
        return Some("Name".to_owned());
    }
    let side = PARTS.iter().find_map(|part| name.strip_suffix(part))?;
    matches!(side, "" | "Mailing" | "Other" | "Billing" | "Shipping").then(|| format!("{side}Address"))
}

/// Adds the keys of one JSON object to another; the macro has a limit on how many it takes at once.
fn extend(answer: &mut Json, more: Json) {
    if let (Json::Object(answer), Json::Object(more)) = (answer, more) {
        answer.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::standard;
    use super::*;

    #[test]
    fn the_email_of_a_lead_is_described_as_an_org_does() {
        let recorded: Json = serde_json::from_str(
            r#"{"aggregatable":true,"aiPredictionField":false,"autoNumber":false,"byteLength":240,"calculated":false,
 "calculatedFormula":null,"cascadeDelete":false,"caseSensitive":false,"compoundFieldName":null,"controllerName":null,
 "createable":true,"custom":false,"defaultValue":null,"defaultValueFormula":null,"defaultedOnCreate":false,
 "dependentPicklist":false,"deprecatedAndHidden":false,"digits":0,"displayLocationInDecimal":false,"encrypted":false,
 "externalId":false,"extraTypeInfo":null,"filterable":true,"filteredLookupInfo":null,"formulaTreatNullNumberAsZero":false,
 "groupable":true,"highScaleNumber":false,"htmlFormatted":false,"idLookup":true,"inlineHelpText":null,"label":"Email",
 "length":80,"mask":null,"maskType":null,"name":"Email","nameField":false,"namePointing":false,"nillable":true,
 "permissionable":true,"picklistValues":[],"polymorphicForeignKey":false,"precision":0,"queryByDistance":false,
 "referenceTargetField":null,"referenceTo":[],"relationshipName":null,"relationshipOrder":null,"restrictedDelete":false,
 "restrictedPicklist":false,"scale":0,"searchPrefilterable":false,"soapType":"xsd:string","sortable":true,"type":"email",
 "unique":false,"updateable":true,"writeRequiresMasterRead":false}"#,
        )
        .unwrap();
        let lead = standard::objects(0).remove(0);
        assert_eq!(describe_field(&lead, lead.find("Email").unwrap().1), recorded);
    }

    #[test]
    fn the_bits_of_a_dependent_value_stand_in_the_order_of_the_controlling_ones() {
        let controller =
            Field::new("A", "A", Kind::Picklist, 40).picklist(&["0", "1", "2", "3", "4", "5", "6", "7", "8"]);
        let bits = |values: &[&str]| {
            let valid_for = values.iter().map(|value| (*value).to_owned()).collect();
            valid_for_bytes(&controller, &Choice { valid_for, ..Choice::new("x", "x") })
        };
        assert_eq!(bits(&["0"]), [0x80, 0]);
        assert_eq!(bits(&["2", "8", "unknown"]), [0x20, 0x80]);
        let flag = Field::new("B", "B", Kind::Boolean, 0);
        let choice = Choice { valid_for: vec!["true".to_owned()], ..Choice::new("x", "x") };
        assert_eq!(valid_for_bytes(&flag, &choice), [0x40]);
    }

    fn valid_for_bytes(controller: &Field, choice: &Choice) -> Vec<u8> {
        STANDARD.decode(valid_for(controller, choice)).unwrap()
    }

    #[test]
    fn an_object_is_described_under_the_recorded_keys() {
        let lead = object(&standard::objects(0)[0], "v62.0");
        let mut keys: Vec<&String> = lead.as_object().unwrap().keys().collect();
        keys.sort_by_key(|key| key.to_lowercase());
        let recorded = "actionOverrides activateable associateEntityType associateParentEntity childRelationships compactLayoutable \
                        createable custom customSetting deepCloneable defaultImplementation deletable deprecatedAndHidden extendedBy \
                        extendsInterfaces feedEnabled fields hasSubtypes implementedBy implementsInterfaces isInterface isSubtype keyPrefix \
                        label labelPlural layoutable listviewable lookupLayoutable mergeable mruEnabled name namedLayoutInfos \
                        networkScopeFieldName queryable recordTypeInfos replicateable retrieveable searchable searchLayoutable \
                        sobjectDescribeOption supportedScopes triggerable undeletable updateable urls";
        assert_eq!(keys, recorded.split_whitespace().collect::<Vec<_>>());
    }
}
