//! Every sender that has a preset: its own request over HTTP, and what becomes of it in the CRM.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::harness::{Harness, Stage};
use samples::{End, PUBLIC_URL, SAMPLES, SECRET, Sample};

mod samples;

const DESTINATION: &str = r#"
kind = "salesforce"
login = { flow = "client_credentials", url = "http://127.0.0.1:9", client_id = "a", client_secret = "b" }
"#;

/// A source and, of its leads alone, a destination.
fn configured(name: &str, preset: &str, settings: &str, rows: &[(&str, &str)]) -> String {
    let mut text = format!(
        "[sources.{name}]\npreset = \"{preset}\"\nsecrets = [\"{SECRET}\"]\n{settings}\n\
         [destinations.{name}]\nsources = [\"{name}\"]{DESTINATION}\
         [destinations.{name}.records]\nexternal_id = \"Lead_System_Id__c\"\n"
    );
    let named = |field: &str| rows.iter().any(|(_, crm)| *crm == field);
    let required = ["LastName", "Company"].into_iter().filter(|field| !named(field)).map(|field| ("none", field));
    for (lead, crm) in rows.iter().copied().chain(required) {
        let default = if ["LastName", "Company"].contains(&crm) { "default = \"Unknown\"\n" } else { "" };
        writeln!(
            text,
            "[[destinations.{name}.fields]]\nlead = \"{lead}\"\ncrm = \"{crm}\"\ntype = \"text\"\n{default}"
        )
        .unwrap();
    }
    text
}

async fn service(sources: &[String]) -> Harness {
    let mut stage = Stage::new().await;
    stage.text = format!("[server]\npublic_url = \"{PUBLIC_URL}\"\n{}", sources.join("\n"));
    stage.start(|_| {}).await
}

async fn service_with_every_preset() -> Harness {
    let configured = |sample: &Sample| configured(sample.preset, sample.preset, sample.settings, sample.rows);
    service(&SAMPLES.iter().map(configured).collect::<Vec<_>>()).await
}

fn now() -> i64 {
    leadrelay::clock::Clock::system().now().as_seconds()
}

async fn send(harness: &Harness, sample: &Sample, body: &str) -> (u16, Json) {
    let mut headers = (sample.headers)(body, now());
    headers.push(("Content-Type", sample.content_type.to_owned()));
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let path = format!("/webhooks/{}{}", sample.preset, sample.query);
    harness.post_to(&path, &headers, body.as_bytes().to_vec()).await
}

#[tokio::test]
async fn one_request_of_every_preset_becomes_the_lead_that_it_is() {
    let harness = service_with_every_preset().await;
    let presets: BTreeSet<&str> = SAMPLES.iter().map(|sample| sample.preset).collect();
    let known: BTreeSet<&str> = leadrelay::source::NAMES.into_iter().filter(|name| *name != "custom").collect();
    assert_eq!(presets, known, "each preset has its sample");
    for sample in SAMPLES {
        let (status, answer) = send(&harness, sample, sample.body).await;
        if sample.preset == "salesforce" {
            assert!(answer.as_str().unwrap().contains("<Ack>true</Ack>"), "{status} {answer}");
            continue;
        }
        let word = if matches!(sample.end, End::Lead(..)) { "accepted" } else { "quarantined" };
        assert_eq!((status, &answer["status"]), (202, &json!(word)), "{}: {answer}", sample.preset);
    }
    harness.settled().await;
    for sample in SAMPLES {
        match &sample.end {
            End::Lead(id, values) => {
                let hash = hex::encode(Sha256::digest(unbounce_json()));
                let record = harness.record_of(if id.is_empty() { &hash } else { id }).await;
                for (field, value) in *values {
                    assert_eq!(record["fields"][field], *value, "{}.{field}: {record}", sample.preset);
                }
            }
            End::NeedsFetch(lead) => needs_fetch(&harness, sample.preset, lead).await,
        }
    }
    let leads = SAMPLES.iter().filter(|sample| matches!(sample.end, End::Lead(..))).count();
    assert_eq!(harness.records().await.len(), leads);
    // What was sent is sent again: nothing is stored twice where the sender names its events, and nothing is doubled.
    for sample in SAMPLES {
        let expected = if sample.preset == "salesforce" { 200 } else { 202 };
        assert_eq!(send(&harness, sample, sample.body).await.0, expected, "{}", sample.preset);
    }
    harness.settled().await;
    assert_eq!(harness.records().await.len(), leads);
    harness.stop().await;
}

fn unbounce_json() -> &'static str {
    r#"{"name":["Una Bounce"],"email":["una@bounce.example"],"variant":["a"],"time_submitted":["10:57 PM UTC"],"date_submitted":["2026-01-01"]}"#
}

/// The event is kept, says what to do, and can be replayed; so does its source.
async fn needs_fetch(harness: &Harness, source: &str, lead: &str) {
    let events = harness.admin(&format!("events?source={source}")).await;
    let event = &events["items"][0];
    assert_eq!((&event["state"], &event["lead_id"]), (&json!("quarantined"), &json!(lead)), "{source}");
    assert!(event["reason"].as_str().unwrap().starts_with("needs_fetch: "), "{event}");
    assert!(event["remedy"].as_str().unwrap().contains("generic-header"), "{event}");
    let replayed = harness.admin_post(&format!("events/{}/replay", event["id"].as_str().unwrap()), json!({})).await;
    assert_eq!((&replayed["state"], &replayed["lead_id"]), (&json!("quarantined"), &json!(lead)), "{source}");
    let of_source = |sources: &Json| {
        sources["items"].as_array().unwrap().iter().find(|seen| seen["name"] == source).unwrap().clone()
    };
    // Its figures may be a second old.
    let seen = of_source(&harness.until("sources", |sources| of_source(sources)["quarantined"] == 1).await);
    assert!(seen["advice"][0].as_str().unwrap().contains("Fetching leads is not built"), "{seen}");
}

#[tokio::test]
async fn a_changed_body_and_a_changed_proof_are_refused_for_every_preset() {
    let harness = service_with_every_preset().await;
    for sample in SAMPLES {
        let mut headers = (sample.headers)(sample.body, now());
        headers.push(("Content-Type", sample.content_type.to_owned()));
        let refused = async |body: String, headers: &[(&str, String)], query: &str| {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let path = format!("/webhooks/{}{query}", sample.preset);
            let (status, answer) = harness.post_to(&path, &headers, body.into_bytes()).await;
            assert_eq!((status, &answer["type"]), (401, &json!("urn:leadrelay:problem:unauthorized")), "{path}");
        };
        let is_token = ["pipedrive", "google-ads", "unbounce", "jotform", "salesforce"].contains(&sample.preset)
            || sample.preset.starts_with("generic-");
        if is_token {
            let wrong = |text: &str| text.replace("a-secret", "a-Secret");
            let headers: Vec<(&str, String)> = headers
                .iter()
                .map(|(name, value)| match *name {
                    "Authorization" if sample.preset == "pipedrive" => (*name, "Basic cmVsYXk6b3RoZXI=".to_owned()),
                    _ => (*name, wrong(value)),
                })
                .collect();
            refused(wrong(sample.body), &headers, &wrong(sample.query)).await;
        } else {
            refused(sample.body.replacen("\":", "\": ", 1), &headers, sample.query).await;
            refused(sample.body.to_owned(), &headers[headers.len() - 1..], sample.query).await;
        }
    }
    assert!(harness.admin("events").await["items"].as_array().unwrap().is_empty());
    harness.stop().await;
}

#[tokio::test]
async fn handshakes_are_answered_as_the_lead_systems_published_them() {
    let settings = "verify_token = \"meatyhamhock\"\nenabled = false";
    let linkedin =
        configured("linkedin", "linkedin", "allow_short_secret = true", &[]).replace(SECRET, "li-client-secret");
    let plain = |name| configured(name, name, "", &[]);
    let harness =
        service(&[configured("meta", "meta", settings, &[]), linkedin, plain("klozeo"), plain("intercom")]).await;
    let vectors: Json = serde_json::from_str(include_str!("fixtures/vectors.json")).unwrap();
    let client = reqwest::Client::new();
    let get = async |source: &str, query: &str| {
        let url = format!("http://{}/webhooks/{source}?{query}", harness.app.webhooks);
        let answer = client.get(url).send().await.unwrap();
        let header = |name| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let (status, kind, allow) = (answer.status().as_u16(), header("content-type"), header("allow"));
        (status, kind, allow, answer.text().await.unwrap())
    };
    let mut asked = 0;
    for vector in vectors["vectors"].as_array().unwrap().iter().filter(|vector| vector["handshake"].is_string()) {
        let query = vector["request"]["url"].as_str().unwrap().split_once('?').unwrap().1;
        let (status, kind, _, text) = get(vector["handshake"].as_str().unwrap(), query).await;
        let expected = &vector["expect_response"];
        assert_eq!(status, expected["status"], "{vector}");
        if let Some(body) = expected["body"].as_str() {
            assert_eq!((text.as_str(), kind.as_str()), (body, "text/plain; charset=utf-8"));
        }
        if expected["json"].is_object() {
            assert_eq!(kind, expected["content_type"]);
            assert_eq!(serde_json::from_str::<Json>(&text).unwrap(), expected["json"]);
        }
        asked += 1;
    }
    assert_eq!(asked, 3);
    // A challenge that is the text of a webhook is not signed for whoever asks.
    assert_eq!(get("linkedin", "challengeCode=hmacsha256%3D%7B%7D").await.0, 403);
    let (status, _, allow, _) = get("klozeo", "hub.challenge=1").await;
    assert_eq!((status, allow.as_str()), (405, "POST"));
    let (status, _, allow, _) = get("intercom", "").await;
    assert_eq!((status, allow.as_str()), (405, "HEAD, POST"));
    for (source, expected) in [("intercom", 200), ("klozeo", 405), ("meta", 405)] {
        let url = format!("http://{}/webhooks/{source}", harness.app.webhooks);
        assert_eq!(client.head(url).send().await.unwrap().status().as_u16(), expected, "{source}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn pings_test_leads_and_batches_reach_no_crm() {
    let harness = service_with_every_preset().await;
    let sample = |preset: &str| SAMPLES.iter().find(|sample| sample.preset == preset).unwrap();
    let ping = r#"{"type":"notification_event","id":"notif_1","topic":"ping","data":{"item":{"type":"ping"}}}"#;
    assert_eq!(send(&harness, sample("intercom"), ping).await.1["status"], "ignored");
    let test = sample("google-ads").body.replace("\"is_test\":false", "\"is_test\":true");
    assert_eq!(send(&harness, sample("google-ads"), &test).await.1["status"], "ignored");
    let github = sample("github");
    let zen = r#"{"zen":"Keep it logically awesome.","hook_id":1,"sender":{"id":1}}"#;
    let signature = format!("sha256={}", samples::hex256(zen));
    let headers = [("X-Hub-Signature-256", &*signature), ("X-GitHub-Event", "ping"), ("X-GitHub-Delivery", "1")];
    let answer = harness.post_to("/webhooks/github", &headers, zen.as_bytes().to_vec()).await;
    assert_eq!(answer.1["status"], "ignored", "{}", github.preset);
    // Segment signs the first event of a batch; nothing proves the others.
    let segment = sample("segment");
    let batch = format!("[{},{}]", segment.body, segment.body.replace("u-97980cfea0067", "forged"));
    let headers = (segment.headers)(segment.body, now());
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(harness.post_to("/webhooks/segment", &headers, batch.into_bytes()).await.0, 401);
    let sources = harness.admin("sources").await;
    let seen = sources["items"].as_array().unwrap().iter().find(|seen| seen["name"] == "segment").unwrap();
    assert!(seen["advice"][0].as_str().unwrap().contains("batch size to 1"), "{seen}");
    harness.settled().await;
    assert!(harness.records().await.is_empty());
    harness.stop().await;
}

#[tokio::test]
async fn a_key_in_the_body_is_stored_nowhere_and_a_form_is_read_again_as_it_was() {
    let harness = service_with_every_preset().await;
    for preset in ["google-ads", "unbounce", "jotform"] {
        let sample = SAMPLES.iter().find(|sample| sample.preset == preset).unwrap();
        let (_, answer) = send(&harness, sample, sample.body).await;
        let event = answer["events"][0]["id"].as_str().unwrap().to_owned();
        let kept = harness.admin_text(&format!("events/{event}")).await;
        assert!(!kept.contains("a-secret-of-the-sender"), "{kept}");
        let kept: Json = serde_json::from_str(&kept).unwrap();
        let is_form = kept["headers"].as_array().unwrap().iter().any(|header| header["name"] == "content-type");
        assert_eq!(is_form, preset != "google-ads", "{kept}");
        if is_form {
            assert_eq!(kept["body"], sample.body, "as it came");
        }
        harness.settled().await;
        let replayed = harness.admin_post(&format!("events/{event}/replay"), json!({})).await;
        assert_eq!(replayed["state"], "stored", "{replayed}");
        harness.settled().await;
    }
    assert_eq!(harness.records().await.len(), 3);
    harness.stop().await;
}

#[tokio::test]
async fn a_request_of_several_leads_is_answered_lead_by_lead() {
    let settings = "read = { records = \"/data/*/leads/*\", event_id = \"{^/batch}-{/id}\", \
                    version = [\"^/sent_at\"], field_versions = { status = [\"/status_at\"] } }";
    let rows = [("name", "LastName"), ("status", "Description")];
    let harness = service(&[configured("batches", "generic-header", settings, &rows)]).await;
    let post = async |body: Json| {
        harness.post_to("/webhooks/batches", &[("X-Relay-Token", SECRET)], body.to_string().into_bytes()).await
    };
    let ada = json!({ "id": 1, "name": "Ada One", "status": "open", "status_at": 1_767_225_700 });
    let first = json!({ "batch": "a", "sent_at": 1_767_225_600, "data": [
        { "leads": [ada, { "name": "No ID" }] }, { "leads": [] }, { "leads": [{ "id": 2, "name": "Bob Two" }] },
    ] });
    let (status, answer) = post(first.clone()).await;
    let words = |answer: &Json| {
        let events = answer["events"].as_array().unwrap().iter();
        events.map(|event| event["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((status, &answer["status"]), (202, &json!("accepted")));
    assert_eq!(words(&answer), ["accepted", "quarantined", "accepted"]);
    assert_eq!(words(&post(first).await.1), ["duplicate", "quarantined", "duplicate"]);
    // Newer as a whole, but the status in it is older than the one that is known.
    let later = json!({ "id": 1, "name": "Ada Later", "status": "older", "status_at": 1_767_225_650 });
    let second = json!({ "batch": "b", "sent_at": 1_767_225_660, "data": [{ "leads": [later] }] });
    assert_eq!(words(&post(second).await.1), ["accepted"]);
    assert_eq!(post(json!({ "data": [] })).await.1["status"], "quarantined");
    harness.settled().await;
    let fields = harness.record_of("1").await["fields"].clone();
    assert_eq!((&fields["LastName"], &fields["Description"]), (&json!("Ada Later"), &json!("open")));
    assert_eq!(harness.records().await.len(), 2);
    harness.stop().await;
}

#[tokio::test]
async fn outbound_messages_are_stored_without_their_session_and_acknowledged_only_once_they_are() {
    let rows = [("LastName", "LastName"), ("Email", "Email")];
    let harness = service(&[configured("salesforce", "salesforce", "", &rows)]).await;
    let sample = SAMPLES.iter().find(|sample| sample.preset == "salesforce").unwrap();
    let (_, one) = sample.body.split_once("<Notification>").unwrap();
    let (one, _) = one.split_once("</Notification>").unwrap();
    let second = one.replace("NoTifAAE", "NoTifBBE").replace("SaForCe1", "SaForCe2").replace("sal@", "pat@");
    let both = sample.body.replace("</Notification>", &format!("</Notification><Notification>{second}</Notification>"));
    // Repeated, and the second alone once more.
    for body in [both.as_str(), &both, &sample.body.replace(one, &second)] {
        let (status, answer) = send(&harness, sample, body).await;
        assert_eq!((status, answer.as_str().unwrap().contains("<Ack>true</Ack>")), (200, true), "{answer}");
    }
    harness.settled().await;
    assert_eq!(harness.record_of("00Q5e00001SaForCe1").await["fields"]["Email"], "sal@force.example");
    assert_eq!(harness.record_of("00Q5e00001SaForCe2").await["fields"]["Email"], "pat@force.example");
    let events = harness.admin("events").await["items"].as_array().unwrap().clone();
    assert_eq!(events.len(), 2, "{events:?}");
    // A message that breaks off is kept too, and says what it is.
    assert_eq!(send(&harness, sample, &sample.body[..900]).await.0, 200);
    let broken = harness.admin("events?state=quarantined").await["items"][0].clone();
    let reason = broken["reason"].as_str().unwrap();
    assert!(reason.starts_with("broken_xml: ") && !reason.contains("nothing of the body was kept"), "{broken}");
    let kept = harness.admin(&format!("events/{}", broken["id"].as_str().unwrap())).await;
    let (body, remedy) = (kept["body"].as_str().unwrap(), kept["remedy"].as_str().unwrap());
    assert!(body.contains("<sf:Id>00Q5e00001SaForCe1</sf:Id>") && body.contains("SessionId"), "{kept}");
    assert!(remedy.contains("XML") && !remedy.contains("JSON"), "{kept}");
    let replayed = harness.admin_post(&format!("events/{}/replay", broken["id"].as_str().unwrap()), json!({})).await;
    assert!(replayed["reason"].as_str().unwrap().starts_with("broken_xml: "), "{replayed}");
    for event in events.iter().chain([&broken]) {
        let kept = harness.admin_text(&format!("events/{}", event["id"].as_str().unwrap())).await;
        assert!(!kept.contains("live.session") && !kept.contains("a-secret-of-the-sender"), "{kept}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn who_shows_a_wrong_token_is_told_of_tokens_and_taken_in_once_it_is_mended() {
    let rows = [("LastName", "LastName"), ("Email", "Email")];
    let mut stage = Stage::new().await;
    stage.text = configured("salesforce", "salesforce", "", &rows);
    let with_secret = |secret: &'static str| {
        move |config: &mut leadrelay::config::Config| {
            for source in config.sources.values_mut() {
                source.secrets = vec![leadrelay::config::Secret::new(secret)];
            }
        }
    };
    let harness = stage.start(with_secret("another-secret-than-the-senders")).await;
    let sample = SAMPLES.iter().find(|sample| sample.preset == "salesforce").unwrap();
    let (status, problem) = send(&harness, sample, sample.body).await;
    let told = problem["detail"].as_str().unwrap();
    assert!(status == 401 && told.contains("token") && !told.contains("signature"), "{problem}");
    let headers = [("Content-Type", sample.content_type)];
    let without = harness.post_to("/webhooks/salesforce", &headers, sample.body.as_bytes().to_vec()).await;
    assert_eq!(without, (401, problem), "one answer for every cause");
    let refused = harness.admin("sources").await["items"][0]["refused"].clone();
    assert_eq!((&refused["wrong_token"], &refused["unsigned"]), (&json!(2), &json!(0)), "{refused}");
    let held = harness.until("refused-requests", |seen| seen["items"] != json!([])).await["items"].clone();
    assert_eq!((held.as_array().unwrap().len(), &held[0]["reason"]), (1, &json!("wrong_token")), "{held}");
    assert_eq!(harness.admin("refused-requests?reason=wrong_token").await["items"], held);
    let kept = harness.admin_text(&format!("refused-requests/{}", held[0]["id"])).await;
    assert!(kept.contains("sal@force.example") && !kept.contains("live.session"), "{kept}");
    let verify = json!({ "source": "salesforce" });
    let still = harness.admin_post("refused-requests/verify", verify.clone()).await;
    assert_eq!(still["still_refused"]["wrong_token"], 1, "{still}");

    harness.write_configuration(with_secret(SECRET));
    harness.admin_post("reload", json!({})).await;
    let done = harness.admin_post("refused-requests/verify", verify).await;
    assert_eq!((&done["verified"], &done["events"]["accepted"]), (&json!(1), &json!(1)), "{done}");
    harness.settled().await;
    assert_eq!(harness.record_of("00Q5e00001SaForCe1").await["fields"]["LastName"], "Förce & Söhne");
    let event = harness.admin("events").await["items"][0]["id"].clone();
    assert!(!harness.admin_text(&format!("events/{}", event.as_str().unwrap())).await.contains("live.session"));
    harness.stop().await;
}

#[tokio::test]
async fn leads_of_every_preset_are_listed_by_address_and_name_wherever_the_sender_puts_them() {
    for mapped in [true, false] {
        let configured = |sample: &Sample| {
            configured(sample.preset, sample.preset, sample.settings, if mapped { sample.rows } else { &[] })
        };
        let harness = service(&SAMPLES.iter().map(configured).collect::<Vec<_>>()).await;
        for sample in SAMPLES {
            send(&harness, sample, sample.body).await;
        }
        harness.settled().await;
        for sample in SAMPLES {
            let End::Lead(_, values) = &sample.end else { continue };
            let of = |field: &str| values.iter().find(|(name, _)| *name == field).map(|(_, value)| *value);
            let lead = harness.admin(&format!("leads?source={}", sample.preset)).await["items"][0].clone();
            let name: Vec<&str> = [of("FirstName"), of("LastName")].into_iter().flatten().collect();
            // Without rows, what no field is called by is not known.
            if mapped || sample.preset != "github" {
                let listed = lead["name"].as_str().unwrap_or_default();
                assert!(listed == name.join(" ") || !mapped && listed.contains(name[0]), "{}: {lead}", sample.preset);
            }
            assert_eq!(lead["email"].as_str(), of("Email"), "{}: {lead}", sample.preset);
            if let Some(email) = of("Email") {
                let found = harness.admin(&format!("leads?email={email}")).await;
                assert_eq!(found["items"][0]["source"], sample.preset, "{email}: {found}");
            }
        }
        harness.stop().await;
    }
}
