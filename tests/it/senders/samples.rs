//! One realistic request per preset, signed as its sender signs, and what must become of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

/// What senders call; HubSpot signs it.
pub const PUBLIC_URL: &str = "https://hooks.example.com";

/// Of every source; also as a user and a password.
pub const SECRET: &str = "relay:a-secret-of-the-sender";

/// What becomes of a sample.
pub enum End {
    /// One record with this external ID, and these values.
    Lead(&'static str, &'static [(&'static str, &'static str)]),
    /// Quarantined as `needs_fetch`, under this lead's ID.
    NeedsFetch(&'static str),
}

pub struct Sample {
    pub preset: &'static str,
    /// More of `[sources.PRESET]`.
    pub settings: &'static str,
    /// The mapping: the lead's field and the CRM's.
    pub rows: &'static [(&'static str, &'static str)],
    pub content_type: &'static str,
    /// Behind `/webhooks/PRESET`.
    pub query: &'static str,
    pub headers: fn(body: &str, seconds: i64) -> Vec<(&'static str, String)>,
    pub body: &'static str,
    pub end: End,
}

pub fn sha256(key: &[u8], signed: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(signed.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn sha1(signed: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

pub fn hex256(signed: &str) -> String {
    hex::encode(sha256(SECRET.as_bytes(), signed))
}

fn base64_256(signed: &str) -> String {
    STANDARD.encode(sha256(SECRET.as_bytes(), signed))
}

const JSON: &str = "application/json";

pub const SAMPLES: &[Sample] = &[
    Sample {
        preset: "klozeo",
        settings: "",
        rows: &[("name", "LastName"), ("email", "Email"), ("attributes.industry", "Description")],
        content_type: JSON,
        query: "",
        headers: |body, _| vec![("X-Klozeo-Signature", hex256(body))],
        body: r#"{"event":"lead.created","timestamp":1767225600,"data":{"id":"cl_01234567-89ab-cdef-0123-456789abcdef","name":"Acme Corporation","email":"info@acme.example","source":"website","score":0,"created_at":1767225600,"attributes":[{"id":"a1","name":"industry","type":"text","value":"Steel"}]}}"#,
        end: End::Lead(
            "cl_01234567-89ab-cdef-0123-456789abcdef",
            &[("LastName", "Acme Corporation"), ("Email", "info@acme.example"), ("Description", "Steel")],
        ),
    },
    Sample {
        preset: "standard-webhooks",
        // The secret is base64 of the key.
        settings: "verify.secret_encoding = \"utf8\"",
        rows: &[("fullName", "LastName"), ("email", "Email")],
        content_type: JSON,
        query: "",
        headers: |body, seconds| {
            let signature = base64_256(&format!("msg_1.{seconds}.{body}"));
            vec![
                ("webhook-id", "msg_1".into()),
                ("webhook-timestamp", seconds.to_string()),
                ("webhook-signature", format!("v1a,AAAA v1,{signature}")),
            ]
        },
        body: r#"{"type":"contact.created","timestamp":"2026-01-01T00:00:00Z","data":{"id":"1f81eb52","fullName":"John Smith","email":"john@smith.example"}}"#,
        end: End::Lead("1f81eb52", &[("LastName", "John Smith"), ("Email", "john@smith.example")]),
    },
    Sample {
        preset: "stripe",
        settings: "",
        rows: &[("name", "LastName"), ("email", "Email"), ("address.city", "City")],
        content_type: "application/json; charset=utf-8",
        query: "",
        headers: |body, seconds| {
            let signature = hex256(&format!("{seconds}.{body}"));
            vec![("Stripe-Signature", format!("t={seconds},v1={},v1={signature},v0=00", "0".repeat(64)))]
        },
        body: r#"{"id":"evt_1MqqbKLt4dXK03v5qaIbiNCC","object":"event","type":"customer.created","created":1767225600,"data":{"object":{"id":"cus_9s6XKzkNRiz8i3","object":"customer","name":"Stella Strip","email":"stella@strip.example","address":{"city":"Dublin"}}}}"#,
        end: End::Lead(
            "cus_9s6XKzkNRiz8i3",
            &[("LastName", "Stella Strip"), ("Email", "stella@strip.example"), ("City", "Dublin")],
        ),
    },
    Sample {
        preset: "github",
        settings: "",
        rows: &[("login", "LastName"), ("html_url", "Website")],
        content_type: JSON,
        query: "",
        headers: |body, _| {
            vec![
                ("X-Hub-Signature-256", format!("sha256={}", hex256(body))),
                ("X-Hub-Signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59".into()),
                ("X-GitHub-Event", "star".into()),
                ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958".into()),
            ]
        },
        body: r#"{"action":"created","starred_at":"2026-01-01T00:00:00Z","repository":{"id":1,"full_name":"a/b"},"sender":{"login":"octocat","id":583231,"type":"User","html_url":"https://hub.example/octocat"}}"#,
        end: End::Lead("583231", &[("LastName", "octocat"), ("Website", "https://hub.example/octocat")]),
    },
    Sample {
        preset: "shopify",
        settings: "",
        rows: &[("first_name", "FirstName"), ("last_name", "LastName"), ("email", "Email")],
        content_type: JSON,
        query: "",
        headers: |body, _| {
            vec![
                ("X-Shopify-Hmac-SHA256", base64_256(body)),
                ("X-Shopify-Topic", "customers/create".into()),
                ("X-Shopify-Event-Id", "98880550-7158-44d4-b7cd-2c97c8a091b5".into()),
                ("X-Shopify-Triggered-At", "2026-01-01T05:00:01.123456789Z".into()),
            ]
        },
        body: r#"{"id":706405506930370084,"email":"bob@biller.example","first_name":"Bob","last_name":"Biller","updated_at":"2026-01-01T00:00:00-05:00"}"#,
        end: End::Lead(
            "706405506930370084",
            &[("FirstName", "Bob"), ("LastName", "Biller"), ("Email", "bob@biller.example")],
        ),
    },
    Sample {
        preset: "typeform",
        settings: "",
        rows: &[
            ("attributes.name", "LastName"),
            ("attributes.email", "Email"),
            ("attributes.plan", "Description"),
            ("attributes.utm_source", "Street"),
        ],
        content_type: JSON,
        query: "",
        headers: |body, _| vec![("Typeform-Signature", format!("sha256={}", base64_256(body)))],
        body: r#"{"event_id":"LtWXD3crgy","event_type":"form_response","form_response":{"form_id":"lT4Z3j","token":"a3a12e","submitted_at":"2026-01-01T00:00:00Z","hidden":{"utm_source":"x"},"answers":[{"type":"text","text":"Tina Typer","field":{"id":"N1","type":"short_text","ref":"name"}},{"type":"email","email":"tina@typer.example","field":{"id":"SM","type":"email","ref":"email"}},{"type":"choice","choice":{"label":"Enterprise"},"field":{"id":"Q2","type":"multiple_choice","ref":"plan"}}]}}"#,
        end: End::Lead(
            "a3a12e",
            &[
                ("LastName", "Tina Typer"),
                ("Email", "tina@typer.example"),
                ("Description", "Enterprise"),
                ("Street", "x"),
            ],
        ),
    },
    Sample {
        preset: "calendly",
        settings: "",
        rows: &[
            ("name", "LastName"),
            ("email", "Email"),
            ("attributes.What is it about?", "Description"),
            ("attributes.utm_source", "Street"),
        ],
        content_type: JSON,
        query: "",
        headers: |body, seconds| {
            vec![("Calendly-Webhook-Signature", format!("t={seconds},v1={}", hex256(&format!("{seconds}.{body}"))))]
        },
        body: r#"{"event":"invitee.created","created_at":"2026-01-01T00:00:00.000000Z","created_by":"https://api.calendly.example/users/AAAA","payload":{"uri":"https://api.calendly.example/scheduled_events/E/invitees/I","email":"cal@endly.example","name":"Cal Endly","status":"active","tracking":{"utm_source":"news"},"questions_and_answers":[{"question":"What is it about?","answer":"A demo","position":0}]}}"#,
        end: End::Lead(
            "https://api.calendly.example/scheduled_events/E/invitees/I",
            &[("LastName", "Cal Endly"), ("Email", "cal@endly.example"), ("Description", "A demo"), ("Street", "news")],
        ),
    },
    Sample {
        preset: "intercom",
        settings: "",
        rows: &[("name", "LastName"), ("email", "Email"), ("attributes.plan", "Description")],
        content_type: JSON,
        query: "",
        headers: |body, _| vec![("X-Hub-Signature", format!("sha1={}", sha1(body)))],
        body: r#"{"type":"notification_event","id":"notif_4e35","topic":"contact.lead.created","delivery_attempts":1,"created_at":1767225600,"data":{"item":{"type":"contact","id":"5ba682","role":"lead","email":"ina@tercom.example","name":"Ina Tercom","custom_attributes":{"plan":"gold"},"updated_at":1767225600}}}"#,
        end: End::Lead(
            "5ba682",
            &[("LastName", "Ina Tercom"), ("Email", "ina@tercom.example"), ("Description", "gold")],
        ),
    },
    Sample {
        preset: "webflow",
        settings: "",
        rows: &[("First Name", "LastName"), ("email", "Email"), ("Phone Number", "Phone")],
        content_type: JSON,
        query: "",
        headers: |body, seconds| {
            let sent = format!("{seconds}123");
            vec![("x-webflow-signature", hex256(&format!("{sent}:{body}"))), ("x-webflow-timestamp", sent)]
        },
        body: r#"{"triggerType":"form_submission","payload":{"name":"Contact Us","siteId":"65427c","data":{"First Name":"Zaphod","email":"zaphod@beeble.example","Phone Number":15550000000},"submittedAt":"2026-01-01T00:00:00.000Z","id":"6321ca"}}"#,
        end: End::Lead(
            "6321ca",
            &[("LastName", "Zaphod"), ("Email", "zaphod@beeble.example"), ("Phone", "15550000000")],
        ),
    },
    Sample {
        preset: "tally",
        settings: "",
        rows: &[("attributes.Name", "LastName"), ("attributes.Email", "Email"), ("attributes.Size", "Description")],
        content_type: JSON,
        query: "",
        headers: |body, _| vec![("Tally-Signature", base64_256(body))],
        body: r#"{"eventId":"a4cb511e","eventType":"FORM_RESPONSE","createdAt":"2026-01-01T00:00:00.000Z","data":{"responseId":"2wgx4n","formId":"VwbNEw","fields":[{"key":"question_1","label":"Name","type":"INPUT_TEXT","value":"Tal Lysson"},{"key":"question_mVGEg3","label":"Email","type":"INPUT_EMAIL","value":"tal@lysson.example"},{"key":"question_3","label":"Size","type":"MULTIPLE_CHOICE","value":["6b3c"],"options":[{"id":"1f00","text":"1 to 10"},{"id":"6b3c","text":"11 to 50"}]}]}}"#,
        end: End::Lead(
            "2wgx4n",
            &[("LastName", "Tal Lysson"), ("Email", "tal@lysson.example"), ("Description", "11 to 50")],
        ),
    },
    Sample {
        preset: "customerio",
        settings: "",
        rows: &[("attributes.name", "LastName"), ("attributes.email", "Email")],
        content_type: JSON,
        query: "",
        headers: |body, seconds| {
            vec![("X-CIO-Signature", hex256(&format!("v0:{seconds}:{body}"))), ("X-CIO-Timestamp", seconds.to_string())]
        },
        body: r#"{"event_id":"01E4C4CT6YDC7Y5M7FE1GWWPQJ","object_type":"customer","metric":"subscribed","timestamp":1767225600,"data":{"customer_id":"0200102","identifiers":{"id":"42","cio_id":"d9c106000001","email":"cio@person.example","name":"Cio Person"}}}"#,
        end: End::Lead("d9c106000001", &[("LastName", "Cio Person"), ("Email", "cio@person.example")]),
    },
    Sample {
        preset: "segment",
        settings: "",
        rows: &[("name", "LastName"), ("email", "Email"), ("company.name", "Company")],
        content_type: JSON,
        query: "",
        headers: |body, _| vec![("X-Signature", sha1(body))],
        body: r#"{"messageId":"ajs-next-1","type":"identify","userId":"u-97980cfea0067","traits":{"email":"seg@ment.example","name":"Seg Ment","phone":"+15550100","company":{"name":"Ment Ltd"}},"timestamp":"2026-01-01T00:00:00.000Z"}"#,
        end: End::Lead(
            "u-97980cfea0067",
            &[("LastName", "Seg Ment"), ("Email", "seg@ment.example"), ("Company", "Ment Ltd")],
        ),
    },
    Sample {
        preset: "pipedrive",
        settings: "",
        rows: &[("name", "LastName"), ("email", "Email"), ("attributes.phone_work", "Phone")],
        content_type: JSON,
        query: "",
        headers: |_, _| vec![("Authorization", format!("Basic {}", STANDARD.encode(SECRET)))],
        body: r#"{"meta":{"action":"create","entity":"person","entity_id":"42","id":"0a1b2c3d","timestamp":"2026-01-01T00:00:00.000Z","attempt":1,"version":"2.0"},"data":{"id":42,"name":"Ada Pipe","emails":[{"label":"home","value":"ada@pipe.example","primary":true}],"phones":[{"label":"work","value":"+1 555 0101","primary":true}],"custom_fields":{}},"previous":null}"#,
        end: End::Lead("42", &[("LastName", "Ada Pipe"), ("Email", "ada@pipe.example"), ("Phone", "+1 555 0101")]),
    },
    Sample {
        preset: "google-ads",
        settings: "",
        rows: &[("attributes.FULL_NAME", "LastName"), ("attributes.EMAIL", "Email"), ("form_id", "Description")],
        content_type: JSON,
        query: "",
        headers: |_, _| Vec::new(),
        body: r#"{"lead_id":"TeSter-123","user_column_data":[{"column_name":"Full Name","string_value":"Gogo Adsley","column_id":"FULL_NAME"},{"string_value":"gogo@adsley.example","column_id":"EMAIL"}],"api_version":"1.0","form_id":98765432109876543,"campaign_id":123,"google_key":"relay:a-secret-of-the-sender","is_test":false}"#,
        end: End::Lead(
            "TeSter-123",
            &[("LastName", "Gogo Adsley"), ("Email", "gogo@adsley.example"), ("Description", "98765432109876543")],
        ),
    },
    Sample {
        preset: "unbounce",
        settings: "",
        rows: &[("name", "LastName"), ("email", "Email"), ("variant", "Description")],
        content_type: "application/x-www-form-urlencoded",
        query: "",
        headers: |_, _| vec![("X-Relay-Token", SECRET.to_owned())],
        body: "page_url=http%3A%2F%2Fpage.example%2F&page_name=Demo&variant=a&data.json=%7B%22name%22%3A%5B%22Una+Bounce%22%5D%2C%22email%22%3A%5B%22una%40bounce.example%22%5D%2C%22variant%22%3A%5B%22a%22%5D%2C%22time_submitted%22%3A%5B%2210%3A57+PM+UTC%22%5D%2C%22date_submitted%22%3A%5B%222026-01-01%22%5D%7D",
        end: End::Lead(
            // SHA-256 of the text of `data.json`.
            "",
            &[("LastName", "Una Bounce"), ("Email", "una@bounce.example"), ("Description", "a")],
        ),
    },
    Sample {
        preset: "jotform",
        settings: "",
        rows: &[("q3_name.last", "LastName"), ("q3_name.first", "FirstName"), ("q4_email", "Email")],
        content_type: "multipart/form-data; boundary=----jot",
        query: "?token=relay%3Aa-secret-of-the-sender",
        headers: |_, _| Vec::new(),
        body: "------jot\r\nContent-Disposition: form-data; name=\"formID\"\r\n\r\n241\r\n------jot\r\nContent-Disposition: form-data; name=\"submissionID\"\r\n\r\n5955080346633702\r\n------jot\r\nContent-Disposition: form-data; name=\"rawRequest\"\r\n\r\n{\"slug\":\"submit/241\",\"q3_name\":{\"first\":\"Jo\",\"last\":\"Tform\"},\"q4_email\":\"jo@tform.example\"}\r\n------jot--\r\n",
        end: End::Lead(
            "5955080346633702",
            &[("LastName", "Tform"), ("FirstName", "Jo"), ("Email", "jo@tform.example")],
        ),
    },
    Sample {
        preset: "salesforce",
        settings: "",
        rows: &[("LastName", "LastName"), ("FirstName", "FirstName"), ("Email", "Email"), ("Company", "Company")],
        content_type: "text/xml; charset=utf-8",
        query: "?token=relay%3Aa-secret-of-the-sender",
        headers: |_, _| vec![("SOAPAction", "\"\"".to_owned())],
        body: SALESFORCE,
        end: End::Lead(
            "00Q5e00001SaForCe1",
            &[
                ("LastName", "Förce & Söhne"),
                ("FirstName", "Sal"),
                ("Email", "sal@force.example"),
                ("Company", "Other Org"),
            ],
        ),
    },
    Sample {
        preset: "generic-header",
        settings: "",
        rows: &[("name", "LastName"), ("email", "Email")],
        content_type: JSON,
        query: "",
        headers: |_, _| vec![("X-Relay-Token", SECRET.to_owned())],
        body: r#"{"id":"zap-1","name":"Zap Ier","email":"zap@ier.example","updated_at":"2026-01-01T00:00:00Z"}"#,
        end: End::Lead("zap-1", &[("LastName", "Zap Ier"), ("Email", "zap@ier.example")]),
    },
    Sample {
        preset: "generic-bearer",
        settings: "",
        rows: &[("name", "LastName"), ("email", "Email")],
        content_type: "application/x-www-form-urlencoded; charset=UTF-8",
        query: "",
        headers: |_, _| vec![("Authorization", format!("bearer {SECRET}"))],
        body: "id=n8n-1&name=N+Ode%C3%A4&email=n%40ode.example&updated_at=1767225600",
        end: End::Lead("n8n-1", &[("LastName", "N Odeä"), ("Email", "n@ode.example")]),
    },
    Sample {
        preset: "generic-query",
        settings: "",
        rows: &[("name", "LastName"), ("email", "Email")],
        content_type: JSON,
        query: "?x=1&token=relay:a-secret-of-the-sender",
        headers: |_, _| Vec::new(),
        body: r#"{"id":"make-1","name":"Mak Eson","email":"mak@eson.example","updated_at":1767225600000}"#,
        end: End::Lead("make-1", &[("LastName", "Mak Eson"), ("Email", "mak@eson.example")]),
    },
    Sample {
        preset: "meta",
        settings: "verify_token = \"meatyhamhock\"",
        rows: &[],
        content_type: JSON,
        query: "",
        headers: |body, _| vec![("X-Hub-Signature-256", format!("sha256={}", hex256(body)))],
        body: r#"{"object":"page","entry":[{"id":"138124712925158","time":1767225600,"changes":[{"field":"leadgen","value":{"leadgen_id":"233370042045345","form_id":"172036835026334","page_id":"138124712925158","created_time":1767225599,"x":"\u00e4"}}]}]}"#,
        end: End::NeedsFetch("233370042045345"),
    },
    Sample {
        preset: "linkedin",
        settings: "",
        rows: &[],
        content_type: JSON,
        query: "",
        headers: |body, _| vec![("X-LI-Signature", hex256(&format!("hmacsha256={body}")))],
        body: r#"{"type":"LEAD_ACTION","leadGenFormResponse":"urn:li:leadGenFormResponse:1a2b3c-4","leadGenForm":"urn:li:versionedLeadGenForm:(urn:li:leadGenForm:1,1)","owner":{"sponsoredAccount":"urn:li:sponsoredAccount:123"},"leadType":"SPONSORED","leadAction":"CREATED","occurredAt":1767225600000}"#,
        end: End::NeedsFetch("urn:li:leadGenFormResponse:1a2b3c-4"),
    },
    Sample {
        preset: "hubspot-v3",
        settings: "",
        rows: &[],
        content_type: JSON,
        query: "?tenant=a",
        headers: |body, seconds| {
            let sent = format!("{seconds}123");
            let signed = format!("POST{PUBLIC_URL}/webhooks/hubspot-v3?tenant=a{body}{sent}");
            vec![("X-HubSpot-Signature-v3", base64_256(&signed)), ("X-HubSpot-Request-Timestamp", sent)]
        },
        body: r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"appId":54321,"occurredAt":1767225600000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW"}]"#,
        end: End::NeedsFetch("123"),
    },
];

const SALESFORCE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <OrganizationId>00D5e000000OrgIdEAE</OrganizationId>
   <ActionId>04k5e000000ActIAAY</ActionId>
   <SessionId>00D5e000000OrgId!a.live.session</SessionId>
   <EnterpriseUrl>https://org.example/services/Soap/c/67.0</EnterpriseUrl>
   <PartnerUrl>https://org.example/services/Soap/u/67.0</PartnerUrl>
   <Notification>
    <Id>04l5e00000NoTifAAE</Id>
    <sObject xsi:type="sf:Lead" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
     <sf:Id>00Q5e00001SaForCe1</sf:Id>
     <sf:Company>Other Org</sf:Company>
     <sf:Email>sal@force.example</sf:Email>
     <sf:FirstName>Sal</sf:FirstName>
     <sf:LastName>F&#246;rce &amp; Söhne</sf:LastName>
     <sf:SystemModstamp>2026-01-01T00:00:00.000Z</sf:SystemModstamp>
    </sObject>
   </Notification>
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>"#;
