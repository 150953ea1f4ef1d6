//! Conversion, merge, deletion and return: what people do to records that a client still knows.

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::{Org, code};

impl Org {
    async fn control(&self, what: &str, body: Json) -> Json {
        let (status, answer) = self.post(&format!("/_sandbox/{what}"), body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn query_all(&self, statement: &str) -> Json {
        self.request(Method::GET, "queryAll").query(&[("q", statement)]).send().await.unwrap().json().await.unwrap()
    }

    pub(super) async fn soap(&self, body: &str) -> (u16, String) {
        let url = self.running.url() + "/services/Soap/u/62.0";
        let envelope = format!(
            "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:u=\"urn:partner.soap.sforce.com\">\
             <soapenv:Header><u:SessionHeader><u:sessionId>token</u:sessionId></u:SessionHeader></soapenv:Header>\
             <soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
        );
        let request =
            self.client.post(url).header("content-type", "text/xml; charset=UTF-8").header("SOAPAction", "\"\"");
        let answer = request.body(envelope).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

#[tokio::test]
async fn a_converted_lead_stays_and_points_to_what_it_became() {
    let org = Org::start().await;
    let id = org
        .lead(json!({ "FirstName": "Ada", "Email": "ada@acme.example", "City": "London", "Lead_System_Id__c": "k" }))
        .await;
    let made = org.control("convert", json!({ "id": id })).await;
    let lead = org.query("SELECT Id, IsConverted, Status, ConvertedDate, ConvertedContactId, ConvertedAccountId, ConvertedOpportunityId FROM Lead WHERE Lead_System_Id__c IN ('k')").await;
    let lead = &lead["records"][0];
    assert_eq!((&lead["IsConverted"], &lead["Status"]), (&json!(true), &json!("Closed - Converted")));
    assert_eq!((&lead["ConvertedContactId"], &lead["ConvertedAccountId"]), (&made["contact_id"], &made["account_id"]));
    assert_eq!(lead["ConvertedOpportunityId"], made["opportunity_id"]);
    let contact = org.record(made["contact_id"].as_str().unwrap()).await["fields"].clone();
    assert_eq!((&contact["Email"], &contact["MailingCity"]), (&json!("ada@acme.example"), &json!("London")));
    assert_eq!((&contact["AccountId"], contact.get("Lead_System_Id__c")), (&made["account_id"], None));
    assert_eq!(org.record(made["account_id"].as_str().unwrap()).await["fields"]["Name"], "Analytical");

    let (status, answer) = org.patch(&format!("sobjects/Lead/{id}"), json!({ "Title": "x" })).await;
    assert_eq!((status, code(&answer)), (400, "CANNOT_UPDATE_CONVERTED_LEAD"));
    assert_eq!(answer[0]["message"], "cannot reference converted lead");
    let (status, answer) = org.patch("sobjects/Lead/Lead_System_Id__c/k", json!({ "Title": "x" })).await;
    assert_eq!((status, code(&answer)), (400, "CANNOT_UPDATE_CONVERTED_LEAD"));
    let body = json!({ "records": [{ "attributes": { "type": "Lead" }, "Lead_System_Id__c": "k", "Title": "x" }] });
    let (_, items) = org.patch("composite/sobjects/Lead/Lead_System_Id__c", body).await;
    assert_eq!(items[0]["errors"][0]["statusCode"], "CANNOT_UPDATE_CONVERTED_LEAD");
    let (status, answer) = org.post("/_sandbox/convert", json!({ "id": id })).await;
    assert_eq!((status, code(&answer)), (400, "CANNOT_UPDATE_CONVERTED_LEAD"));
}

#[tokio::test]
async fn a_conversion_into_records_that_are_there_fills_only_what_is_empty() {
    let org = Org::start().await;
    let account = org.make("Account", json!({ "Name": "Acme", "Phone": "1" })).await;
    let contact = org.make("Contact", json!({ "LastName": "L", "AccountId": account, "LeadSource": "Other" })).await;
    let lead = org.lead(json!({ "Phone": "2", "Title": "T", "LeadSource": "Web" })).await;
    let wanted = json!({ "id": lead, "account_id": account, "contact_id": contact, "opportunity": false });
    let made = org.control("convert", wanted).await;
    assert_eq!(made, json!({ "account_id": account, "contact_id": contact, "opportunity_id": null }));
    let fields = org.record(&contact).await["fields"].clone();
    assert_eq!(
        (&fields["LastName"], &fields["Title"], &fields["LeadSource"]),
        (&json!("L"), &json!("T"), &json!("Other"))
    );
    assert_eq!(org.record(&account).await["fields"]["Phone"], "1");
    let stray = org.make("Contact", json!({ "LastName": "Stray" })).await;
    let other = org.make("Account", json!({ "Name": "Other" })).await;
    let lead = org.lead(json!({ "Title": "T" })).await;
    let before = org.get("/_sandbox/records").await;
    let (_, answer) =
        org.post("/_sandbox/convert", json!({ "id": lead, "account_id": other, "contact_id": stray })).await;
    assert_eq!(code(&answer), "INVALID_CROSS_REFERENCE_KEY");
    assert_eq!(org.get("/_sandbox/records").await, before, "a refused conversion left something behind");
}

#[tokio::test]
async fn soap_converts_merges_and_refuses() {
    let org = Org::start().await;
    let convert = |lead: &str, owner: &str, status: &str| {
        format!(
            "<u:convertLead><u:leadConverts><u:convertedStatus>{status}</u:convertedStatus><u:doNotCreateOpportunity>true</u:doNotCreateOpportunity>\
             <u:leadId>{lead}</u:leadId><u:overwriteLeadSource>false</u:overwriteLeadSource>{owner}\
             <u:sendNotificationEmail>false</u:sendNotificationEmail></u:leadConverts></u:convertLead>"
        )
    };
    let lead = org.lead(json!({})).await;
    let calls = org.get("/_sandbox/stats").await.1["calls"].as_u64().unwrap();
    let (status, answer) = org.soap(&convert(&lead, "", "Closed - Converted")).await;
    assert!(
        status == 200 && answer.contains("<success>false</success>") && answer.contains("UNKNOWN_EXCEPTION"),
        "a queue owned it: {answer}"
    );
    let owner = format!("<u:ownerId>{}</u:ownerId>", super::super::ids::user(1));
    let (_, answer) = org.soap(&convert(&lead, &owner, "Open")).await;
    assert!(answer.contains("INVALID_STATUS"), "{answer}");
    let (_, answer) = org.soap(&convert(&lead, &owner, "Closed - Converted")).await;
    assert!(answer.contains("<success>true</success>"), "{answer}");
    let became = org.record(&lead).await["fields"]["ConvertedContactId"].clone();
    assert!(answer.contains(became.as_str().unwrap()));
    let (_, answer) = org.soap(&convert(&lead, &owner, "Closed - Converted")).await;
    assert!(answer.contains("CANNOT_UPDATE_CONVERTED_LEAD"), "{answer}");
    let stats = org.get("/_sandbox/stats").await.1;
    assert_eq!(
        (stats["calls"].as_u64(), &stats["calls_by_endpoint"]["soap/convertLead"]),
        (Some(calls + 4), &json!(4))
    );

    let (master, loser) = (org.lead(json!({})).await, org.lead(json!({})).await);
    let merge = format!(
        "<u:merge><u:request><u:masterRecord><u:type>Lead</u:type><u:Id>{master}</u:Id></u:masterRecord><u:recordToMergeIds>{loser}</u:recordToMergeIds></u:request></u:merge>"
    );
    let (_, answer) = org.soap(&merge).await;
    assert!(answer.contains(&format!("<mergedRecordIds>{loser}</mergedRecordIds>")), "{answer}");
    let (status, answer) = org.soap("<u:nothing/>").await;
    assert!(status == 500 && answer.contains("sf:INVALID_OPERATION"), "{answer}");
    let (status, answer) = org.soap("not closed").await;
    assert_eq!(status, 500, "{answer}");
    org.post("/_sandbox/expire_tokens", json!({})).await;
    let (status, answer) = org.soap(&merge).await;
    assert!(status == 500 && answer.contains("<faultcode>sf:INVALID_SESSION_ID</faultcode>"), "{answer}");
    org.faults(json!([{ "fault": "daily_limit" }])).await;
    let (status, answer) = org.soap(&merge).await;
    assert!(status == 500 && answer.contains("REQUEST_LIMIT_EXCEEDED"), "{answer}");
}

#[tokio::test]
async fn a_merge_deletes_its_losers_who_name_the_winner() {
    let org = Org::start().await;
    let winner = org.lead(json!({ "Title": "T" })).await;
    let loser = org.lead(json!({ "Phone": "1", "Lead_System_Id__c": "k" })).await;
    org.control("merge", json!({ "master": winner, "losers": [loser] })).await;
    let gone = org.query_all("SELECT Id, MasterRecordId, Lead_System_Id__c, SystemModstamp FROM Lead WHERE IsDeleted = true AND MasterRecordId != null AND SystemModstamp > 2020-01-01T00:00:00Z").await;
    assert_eq!((&gone["totalSize"], &gone["records"][0]["MasterRecordId"]), (&json!(1), &json!(winner)));
    assert_eq!(gone["records"][0]["Lead_System_Id__c"], "k");
    assert_eq!(org.query("SELECT Id FROM Lead WHERE Lead_System_Id__c = 'k'").await["totalSize"], 0);
    assert_eq!(org.record(&winner).await["fields"].get("Phone"), None, "nulls of the master are not filled");
    let (status, answer) = org.patch(&format!("sobjects/Lead/{loser}"), json!({ "Title": "x" })).await;
    assert_eq!((status, code(&answer)), (404, "ENTITY_IS_DELETED"));
    assert_eq!(org.get(&format!("sobjects/Lead/{loser}")).await.0, 404);
    let update = json!({ "records": [{ "attributes": { "type": "Lead" }, "id": loser, "Title": "x" }] });
    let (_, items) = org.patch("composite/sobjects", update).await;
    assert_eq!(items[0]["errors"][0]["statusCode"], "ENTITY_IS_DELETED");
    let (status, made) =
        org.patch("sobjects/Lead/Lead_System_Id__c/k", json!({ "LastName": "L", "Company": "C" })).await;
    assert_eq!((status, &made["created"]), (201, &json!(true)), "a blind upsert makes the duplicate again");

    let contact = org.make("Contact", json!({ "LastName": "L" })).await;
    for (master, losers) in [
        (&winner, json!([])),
        (&winner, json!([winner])),
        (&winner, json!([contact])),
        (&winner, json!([loser])),
        (&winner, json!([contact, contact, contact])),
    ] {
        let (status, answer) = org.post("/_sandbox/merge", json!({ "master": master, "losers": losers })).await;
        assert!((400..500).contains(&status), "{answer}");
    }
    let deal = org.make("Opportunity", json!({ "Name": "N", "StageName": "S", "CloseDate": "2026-01-01" })).await;
    let (_, answer) = org.post("/_sandbox/merge", json!({ "master": deal, "losers": [deal] })).await;
    assert_eq!(code(&answer), "INVALID_TYPE_FOR_OPERATION");
}

#[tokio::test]
async fn children_of_a_merged_account_go_over_to_the_winner() {
    let org = Org::start().await;
    let winner = org.make("Account", json!({ "Name": "A" })).await;
    let loser = org.make("Account", json!({ "Name": "B" })).await;
    let contact = org.make("Contact", json!({ "LastName": "L", "AccountId": loser })).await;
    let answer = org.control("merge", json!({ "master": winner, "losers": [loser] })).await;
    assert_eq!(answer["moved"], json!([contact]));
    let record = org.record(&contact).await;
    assert_eq!((&record["fields"]["AccountId"], &record["deleted"]), (&json!(winner), &json!(false)));
}

#[tokio::test]
async fn a_deleted_record_comes_back_unless_its_key_was_taken() {
    let org = Org::start().await;
    let id = org.lead(json!({ "Lead_System_Id__c": "k", "Email": "a@b.example" })).await;
    org.call(Method::DELETE, &format!("sobjects/Lead/{id}"), None).await;
    let gone = org.query_all("SELECT Id, MasterRecordId FROM Lead WHERE IsDeleted = true").await;
    assert_eq!((&gone["records"][0]["Id"], &gone["records"][0]["MasterRecordId"]), (&json!(id), &Json::Null));
    org.control("undelete", json!({ "id": id })).await;
    let back = org.query("SELECT Id, IsDeleted FROM Lead WHERE Email = 'a@b.example'").await;
    assert_eq!((&back["totalSize"], &back["records"][0]["IsDeleted"]), (&json!(1), &json!(false)));
    assert_eq!(org.patch(&format!("sobjects/Lead/{id}"), json!({ "Title": "x" })).await.0, 204);
    org.call(Method::DELETE, &format!("sobjects/Lead/{id}"), None).await;
    org.lead(json!({ "Lead_System_Id__c": "k" })).await;
    let (status, answer) = org.post("/_sandbox/undelete", json!({ "id": id })).await;
    assert_eq!((status, code(&answer)), (400, "DUPLICATE_VALUE"));
}
