//! Picklists that depend on others, and those of states and countries.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::{Org, code};

impl Org {
    async fn field(&self, object: &str, name: &str) -> Option<Json> {
        let (_, described) = self.get(&format!("sobjects/{object}/describe")).await;
        described["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).cloned()
    }
}

fn places_of(valid_for: &Json) -> Vec<usize> {
    let bits = STANDARD.decode(valid_for.as_str().unwrap()).unwrap();
    (0..bits.len() * 8).filter(|place| bits[place / 8] & (0x80 >> (place % 8)) != 0).collect()
}

#[tokio::test]
async fn a_dependent_picklist_tells_and_keeps_what_goes_together() {
    let org = Org::start().await;
    let wanted = json!({
        "object": "Lead", "name": "Segment__c", "type": "picklist", "restricted": true, "values": ["Retail bank", "Farm", "Any"],
        "controller": "Industry",
        "valid_for": { "Retail bank": ["Banking", "Finance"], "Farm": ["Agriculture"], "Any": ["Banking", "Agriculture"] },
    });
    assert_eq!(org.post("/_sandbox/fields", wanted).await.0, 201);
    let field = org.field("Lead", "Segment__c").await.unwrap();
    assert_eq!((&field["dependentPicklist"], &field["controllerName"]), (&json!(true), &json!("Industry")));
    let industry = org.field("Lead", "Industry").await.unwrap();
    let named = |value: &Json| -> Vec<String> {
        let values = &industry["picklistValues"];
        places_of(&value["validFor"]).iter().map(|place| values[*place]["value"].as_str().unwrap().to_owned()).collect()
    };
    let values = field["picklistValues"].as_array().unwrap();
    assert_eq!(
        values.iter().map(named).collect::<Vec<_>>(),
        [vec!["Banking", "Finance"], vec!["Agriculture"], vec!["Agriculture", "Banking"]]
    );
    assert!(industry["picklistValues"][0]["validFor"].is_null());

    let make = async |industry: Json, segment: &str| {
        let body = json!({ "LastName": "L", "Company": "C", "Industry": industry, "Segment__c": segment });
        org.post("sobjects/Lead", body).await
    };
    assert_eq!(make(json!("Banking"), "Retail bank").await.0, 201);
    for (industry, segment) in [(json!("Agriculture"), "Retail bank"), (Json::Null, "Farm"), (json!("Banking"), "Nope")]
    {
        let (status, answer) = make(industry, segment).await;
        assert_eq!((status, code(&answer)), (400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"), "{segment}");
        assert_eq!(answer[0]["fields"], json!(["Segment__c"]));
    }
    let (_, made) = make(json!("Agriculture"), "Farm").await;
    let path = format!("sobjects/Lead/{}", made["id"].as_str().unwrap());
    assert_eq!(
        code(&org.patch(&path, json!({ "Segment__c": "Retail bank" })).await.1),
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    );
    assert_eq!(org.patch(&path, json!({ "Segment__c": "Retail bank", "Industry": "Finance" })).await.0, 204);
    for wrong in [
        json!({ "object": "Lead", "name": "Segment__c", "controller": "Nope" }),
        json!({ "object": "Lead", "name": "Segment__c", "controller": "Title" }),
        json!({ "object": "Lead", "name": "Segment__c", "valid_for": { "Nope": ["Banking"] } }),
    ] {
        assert_eq!(org.post("/_sandbox/fields", wrong.clone()).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn addresses_have_codes_only_while_the_option_is_on() {
    let org = Org::start().await;
    let old = org.lead(json!({ "Country": "Germany", "State": "Nowhere" })).await;
    let (_, answer) = org.post("sobjects/Lead", json!({ "LastName": "L", "Company": "C", "CountryCode": "DE" })).await;
    assert_eq!(code(&answer), "INVALID_FIELD");
    assert!(org.field("Lead", "CountryCode").await.is_none());
    org.post("/_sandbox/features", json!({ "state_and_country_picklists": true })).await;
    assert_eq!(org.record(&old).await["fields"]["CountryCode"], "DE");
    for (object, name) in [("Lead", "StateCode"), ("Contact", "MailingStateCode"), ("Account", "ShippingStateCode")] {
        let field = org.field(object, name).await.unwrap();
        assert_eq!((&field["restrictedPicklist"], &field["dependentPicklist"]), (&json!(true), &json!(true)));
        assert_eq!(field["controllerName"], name.replace("State", "Country"));
        let country = org.field(object, &name.replace("State", "Country")).await.unwrap();
        let washington =
            field["picklistValues"].as_array().unwrap().iter().find(|value| value["label"] == "Washington").unwrap();
        let place = places_of(&washington["validFor"]);
        assert_eq!((place.len(), &country["picklistValues"][place[0]]["value"]), (1, &json!("US")));
    }
    org.post("/_sandbox/features", json!({ "state_and_country_picklists": false })).await;
    assert!(org.field("Lead", "CountryCode").await.is_none());
    assert_eq!(org.patch(&format!("sobjects/Lead/{old}"), json!({ "Country": "Anywhere" })).await.0, 204);
}

#[tokio::test]
async fn places_are_those_of_the_list_and_names_agree_with_codes() {
    let org = Org::start().await;
    org.post("/_sandbox/features", json!({ "state_and_country_picklists": true })).await;
    let address = async |fields: Json| {
        let mut body = json!({ "LastName": "L", "Company": "C" });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let (status, answer) = org.post("sobjects/Lead", body).await;
        match answer["id"].as_str() {
            Some(id) => {
                let fields = org.record(id).await["fields"].clone();
                Ok(["Country", "CountryCode", "State", "StateCode"]
                    .map(|name| fields[name].as_str().unwrap_or("-").to_owned())
                    .join("|"))
            }
            None => {
                Err((status, code(&answer).to_owned(), answer[0]["fields"][0].as_str().unwrap_or_default().to_owned()))
            }
        }
    };
    for (fields, expected) in [
        (json!({ "CountryCode": "US", "StateCode": "WA" }), "United States|US|Washington|WA"),
        (json!({ "Country": "united states", "State": "washington" }), "United States|US|Washington|WA"),
        (json!({ "Country": "Australia", "StateCode": "WA" }), "Australia|AU|Western Australia|WA"),
        (json!({ "Country": "France", "CountryCode": "DE" }), "Germany|DE|-|-"),
        (json!({ "Country": null, "State": null }), "-|-|-|-"),
        (json!({}), "-|-|-|-"),
    ] {
        assert_eq!(address(fields.clone()).await.as_deref(), Ok(expected), "{fields}");
    }
    for (fields, field) in [
        (json!({ "Country": "Germania" }), "Country"),
        (json!({ "Country": "US" }), "Country"),
        (json!({ "CountryCode": "Germany" }), "CountryCode"),
        (json!({ "CountryCode": "DE", "State": "Bavaria" }), "State"),
        (json!({ "CountryCode": "US", "State": "Bavaria" }), "State"),
        (json!({ "CountryCode": "US", "StateCode": "BY" }), "StateCode"),
        (json!({ "State": "Washington" }), "State"),
        (json!({ "StateCode": "WA" }), "StateCode"),
    ] {
        let expected = (400, "FIELD_INTEGRITY_EXCEPTION".to_owned(), field.to_owned());
        assert_eq!(address(fields.clone()).await, Err(expected), "{fields}");
    }
    let id = org.lead(json!({ "CountryCode": "US", "StateCode": "WA" })).await;
    let path = format!("sobjects/Lead/{id}");
    for wrong in [
        json!({ "Country": "France", "CountryCode": "DE" }),
        json!({ "CountryCode": "DE" }),
        json!({ "State": "Bavaria" }),
    ] {
        let (status, answer) = org.patch(&path, wrong.clone()).await;
        assert_eq!((status, code(&answer)), (400, "FIELD_INTEGRITY_EXCEPTION"), "{wrong}");
    }
    let message = org.patch(&path, json!({ "State": "Bavaria" })).await.1[0]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("There's a problem with this state, even though it may appear correct."), "{message}");
    assert_eq!(org.patch(&path, json!({ "CountryCode": "AU" })).await.0, 400, "Washington is not there");
    assert_eq!(org.patch(&path, json!({ "CountryCode": "AU", "State": null })).await.0, 204);
    let (_, read) = org.get(&path).await;
    assert_eq!(
        (&read["Country"], &read["State"], &read["Address"]["countryCode"]),
        (&json!("Australia"), &Json::Null, &json!("AU"))
    );
    let made = org.post("/_sandbox/convert", json!({ "id": id })).await.1;
    let contact = org.record(made["contact_id"].as_str().unwrap()).await;
    assert_eq!(contact["fields"]["MailingCountryCode"], "AU");
}
