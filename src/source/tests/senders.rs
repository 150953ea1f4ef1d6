//! What senders send beyond the least: each request as the lead that its preset makes of it.

use super::*;

type Sent<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

fn headers(sent: &[(&str, &str)]) -> Vec<(String, String)> {
    sent.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What becomes of the one record of a request: its event type, and what it is.
fn read((name, sent, body): Sent<'_>) -> (String, Content) {
    let reader = Reader::new(preset(name).unwrap().read.unwrap()).unwrap();
    let mut readings = reader.read_intake(body.as_bytes(), &headers(sent)).unwrap();
    assert_eq!(readings.len(), 1, "{name}: {body}");
    let reading = readings.remove(0);
    (reading.event_type.unwrap_or_default(), reading.content)
}

/// Checks the lead that a request tells of, its ID and these of its fields, as JSON; an empty text: there is no such field.
#[track_caller]
fn check(sent: Sent<'_>, id: &str, fields: &[(&str, &str)]) {
    let (name, sent_headers, body) = sent;
    assert_eq!(read(sent).1, Content::Upsert(LeadId::new(id)), "{name}: {body}");
    let reader = Reader::new(preset(name).unwrap().read.unwrap()).unwrap();
    let arrival = Arrival { at: START, event: EventId(1) };
    let change = reader.read_change(body.as_bytes(), &headers(sent_headers), START, arrival).unwrap().unwrap();
    let mut lead = Lead::new(LeadKey::new(name, id));
    lead.fold(&change);
    for (field, expected) in fields {
        let told = lead.get(field).map(Value::to_json).unwrap_or_default();
        assert_eq!(told, *expected, "{name}: {field} of {body}");
    }
}

#[test]
fn typeforms_answers_of_every_kind_are_told() {
    let answers = r#"
        {"type":"text","text":"It's cold ❄","field":{"id":"a","type":"long_text","ref":"long"}},
        {"type":"choices","choices":{"ids":["x"],"labels":["London","Sydney"]},"field":{"id":"b","ref":"cities"}},
        {"type":"choices","choices":{"labels":["London"],"other":"Atlantis"},"field":{"id":"c","ref":"more"}},
        {"type":"choices","choices":{"labels":[],"other":"Mars"},"field":{"id":"d","ref":"only"}},
        {"type":"choice","choice":{"other":"Venus"},"field":{"id":"e","ref":"one"}},
        {"type":"number","number":0,"field":{"id":"f","ref":"none"}},
        {"type":"boolean","boolean":false,"field":{"id":"g","ref":"consent"}},
        {"type":"file_url","file_url":"https://f.example/cv.pdf","field":{"id":"h"}}"#;
    let body = format!(
        r#"{{"event_id":"e1","event_type":"form_response","form_response":{{"token":"t1","submitted_at":"2026-01-01T00:00:00Z",
            "hidden":{{"utm_source":"x","gclid":""}},"calculated":{{"score":9}},
            "answers":[{answers}]}}}}"#
    );
    check(
        ("typeform", &[], &body),
        "t1",
        &[
            ("attributes.long", "\"It's cold ❄\""),
            ("attributes.cities", r#"["London","Sydney"]"#),
            ("attributes.more", r#"["London"]"#),
            ("attributes.more (other)", r#""Atlantis""#),
            ("attributes.only", r#""Mars""#),
            ("attributes.one", r#""Venus""#),
            ("attributes.none", "0"),
            ("attributes.consent", "false"),
            ("attributes.h", r#""https://f.example/cv.pdf""#),
            ("attributes.utm_source", r#""x""#),
            ("attributes.gclid", "null"),
            ("calculated.score", "9"),
        ],
    );
    let unanswered =
        r#"{"event_id":"e2","event_type":"form_response","form_response":{"token":"t2","answers":null,"hidden":null}}"#;
    check(("typeform", &[], unanswered), "t2", &[("answers", ""), ("hidden", "")]);
}

#[test]
fn tallys_questions_are_told_by_what_was_answered() {
    let fields = r#"
        {"key":"q1","label":"Email","type":"INPUT_EMAIL","value":"ada@x.example"},
        {"key":"q2","label":"Email","type":"INPUT_EMAIL","value":null},
        {"key":"q3","label":"Topics","type":"CHECKBOXES","value":["i1","i2"],"options":[{"id":"i1","text":"A"},{"id":"i2","text":"B"}]},
        {"key":"q3_i1","label":"Topics (A)","type":"CHECKBOXES","value":true},
        {"key":"q4","label":"Size","type":"DROPDOWN","value":[],"options":[{"id":"s1","text":"1"}]},
        {"key":"q5","label":null,"type":"INPUT_NUMBER","value":25},
        {"key":"q6","label":"utm_source","type":"HIDDEN_FIELDS","value":"news"},
        {"key":"q7","label":"Rank","type":"RANKING","value":["r2","r1"],"options":[{"id":"r1","text":"1st"},{"id":"r2","text":"2nd"}]}"#;
    let body = format!(
        r#"{{"eventId":"e1","eventType":"FORM_RESPONSE","createdAt":"2026-01-01T00:00:00.000Z","data":{{"responseId":"r","fields":[{fields}]}}}}"#
    );
    check(
        ("tally", &[], &body),
        "r",
        &[
            ("attributes.Email", r#""ada@x.example""#),
            ("attributes.Topics", r#"["A","B"]"#),
            ("attributes.Topics (A)", "true"),
            ("attributes.Size", "[]"),
            ("attributes.q5", "25"),
            ("attributes.utm_source", r#""news""#),
            ("attributes.Rank", r#"["2nd","1st"]"#),
        ],
    );
}

#[test]
fn pipedrives_person_has_its_primary_address_and_its_custom_values() {
    let person = |data: &str| {
        format!(
            r#"{{"meta":{{"action":"change","entity":"person","entity_id":"42","id":"m1","timestamp":"2026-01-01T00:00:00.000Z",
                "attempt":1,"version":"2.0"}},"data":{{"id":42,"name":"Ada"{data}}},"previous":{{}}}}"#
        )
    };
    let full = person(
        r#","emails":[{"label":"home","value":"home@x.example","primary":false},{"label":"work","value":"work@x.example","primary":true}],
        "phones":[{"label":"mobile","value":"+1 555 0100"}],
        "custom_fields":{"k1":{"type":"varchar","value":"text"},"k2":{"type":"enum","id":12},"k3":{"type":"set","values":[{"id":1}]},
            "k4":null,"k5":{"type":"monetary","value":10.50,"currency":"EUR"}}"#,
    );
    check(
        ("pipedrive", &[], &full),
        "42",
        &[
            ("email", r#""work@x.example""#),
            ("phone", r#""+1 555 0100""#),
            ("attributes.email_home", r#""home@x.example""#),
            ("attributes.k1", r#""text""#),
            ("attributes.k2", "12"),
            ("attributes.k3", r#"[{"id":1}]"#),
            ("attributes.k4", "null"),
            ("attributes.k5", "10.50"),
        ],
    );
    check(("pipedrive", &[], &person(r#","emails":[]"#)), "42", &[("email", "[]"), ("phone", "")]);
    let blank = person(r#","emails":[{"label":"work","value":"","primary":true}],"phones":null"#);
    check(("pipedrive", &[], &blank), "42", &[("email", "null"), ("phone", "null")]);
    let former = person(r#","email":[{"label":"work","value":"a@x.example","primary":true}]"#);
    check(("pipedrive", &[], &former), "42", &[("email", r#""a@x.example""#)]);
}

#[test]
fn hubspots_contacts_are_known_by_either_name_of_an_event() {
    let event = |kind: &str, more: &str| {
        let body = format!(
            r#"[{{"eventId":1,"subscriptionType":"{kind}","objectId":7,"occurredAt":1767225600000,"attemptNumber":0{more}}}]"#
        );
        read(("hubspot-v3", &[], &body))
    };
    let contact = r#","objectTypeId":"0-1""#;
    let (thin, deleted) = (Content::NeedsFetch(Some(LeadId::new("7"))), Content::Delete(LeadId::new("7")));
    assert_eq!(event("contact.creation", ""), ("contact.creation".to_owned(), thin.clone()));
    for kind in ["contact.propertyChange", "object.creation", "object.merge"] {
        assert_eq!(event(kind, contact).1, thin, "{kind}");
    }
    for kind in ["contact.deletion", "contact.privacyDeletion"] {
        assert_eq!(event(kind, "").1, deleted, "{kind}");
    }
    for kind in ["contact.deletion", "contact.privacyDeletion", "object.deletion", "object.privacyDeletion"] {
        assert_eq!(event(kind, contact).1, deleted, "{kind}");
    }
    for (kind, more) in
        [("company.deletion", ""), ("object.deletion", r#","objectTypeId":"0-2""#), ("object.deletion", "")]
    {
        assert_eq!(event(kind, more).1, Content::Ignored(Some(LeadId::new("7"))), "{kind}{more}");
    }
}

#[test]
fn numbers_flags_nulls_and_marks_of_other_senders_stay_what_they_are() {
    let google = "\u{feff}{\"lead_id\":\"L1\",\"form_id\":98765432109876543,\"is_test\":null,\"user_column_data\":[\
        {\"column_id\":\"EMAIL\",\"string_value\":\"a@x.example\"},{\"column_name\":\"Budget?\",\"string_value\":\"1\"},\
        {\"column_id\":\"PHONE_NUMBER\",\"string_value\":\"\"}]}\r\n";
    check(
        ("google-ads", &[], google),
        "L1",
        &[
            ("form_id", "98765432109876543"),
            ("attributes.EMAIL", r#""a@x.example""#),
            ("attributes.Budget?", r#""1""#),
            ("attributes.PHONE_NUMBER", "null"),
        ],
    );
    let webflow = r#"{"triggerType":"form_submission","payload":{"id":"w1","name":"Contact Us","submittedAt":"2026-01-01T00:00:00.000Z",
        "data":{"E-mail addr. (work)":"z@x.example","Phone":15550000000,"Agree":true,"Interests":["a","b"],"a/b~c":"\/"}}}"#;
    check(
        ("webflow", &[], webflow),
        "w1",
        &[
            ("E-mail addr. (work)", r#""z@x.example""#),
            ("Phone", "15550000000"),
            ("Agree", "true"),
            ("Interests", r#"["a","b"]"#),
            ("a/b~c", r#""/""#),
            ("formName", r#""Contact Us""#),
        ],
    );
    let calendly = r#"{"event":"invitee.created","created_at":"2026-01-01T00:00:00.000000Z","payload":{"uri":"https://c.example/I",
        "email":"a@x.example","first_name":null,"tracking":{"utm_source":"g","utm_term":null},
        "questions_and_answers":[{"question":"Why?","answer":"Line 1\nLine 2","position":0}],"scheduled_event":{"start_time":"s"}}}"#;
    check(
        ("calendly", &[], calendly),
        "https://c.example/I",
        &[
            ("attributes.utm_source", r#""g""#),
            ("attributes.utm_term", "null"),
            ("attributes.Why?", r#""Line 1\nLine 2""#),
            ("first_name", "null"),
            ("scheduled_event.start_time", r#""s""#),
        ],
    );
    let shopify =
        r#"{"id":706405506930370084,"tags":"vip, new","default_address":{"city":"Ottawa"},"note":"a\/b","phone":null}"#;
    let topic = [("x-shopify-topic", "customers/update"), ("x-shopify-event-id", "e1")];
    check(
        ("shopify", &topic, shopify),
        "706405506930370084",
        &[("tags", r#""vip, new""#), ("default_address.city", r#""Ottawa""#), ("note", r#""a/b""#), ("phone", "null")],
    );
    let customer = r#"{"event_id":"c1","object_type":"customer","metric":"unsubscribed","timestamp":1767225600,
        "data":{"customer_id":"","email_address":"a@x.example","identifiers":{"id":"42","cio_id":null,"email":"a@x.example"}}}"#;
    check(
        ("customerio", &[], customer),
        "42",
        &[("attributes.email", r#""a@x.example""#), ("customer_id", "null"), ("metric", r#""unsubscribed""#)],
    );
    let segment = r#"{"type":"identify","messageId":"m1","userId":null,"anonymousId":"anon","traits":{"address":{"postalCode":94103},"logins":5}}"#;
    check(("segment", &[], segment), "anon", &[("address.postalCode", "94103"), ("logins", "5")]);
    let intercom = r#"{"type":"notification_event","id":"n1","topic":"contact.lead.signed_up","created_at":1767225600,
        "data":{"item":{"type":"contact","id":"i1","phone":null,"custom_attributes":{"plan":"gold","seats":5,"a.b":null}}}}"#;
    check(
        ("intercom", &[], intercom),
        "i1",
        &[("attributes.plan", r#""gold""#), ("attributes.seats", "5"), ("attributes.a.b", "null"), ("phone", "null")],
    );
}

#[test]
fn forms_are_read_as_their_senders_write_them() {
    let form = [("content-type", "application/x-www-form-urlencoded; charset=UTF-8")];
    let body = "id=g1&name=N+Ode%C3%A4&email=n%2Bx%40x.example&topic=a&topic=b&tags%5B%5D=c&utm_source=a%20b&blank=&consent=on";
    check(
        ("generic-header", &form, body),
        "g1",
        &[
            ("name", r#""N Odeä""#),
            ("email", r#""n+x@x.example""#),
            ("topic", r#"["a","b"]"#),
            ("tags[]", r#""c""#),
            ("utm_source", r#""a b""#),
            ("blank", "null"),
            ("consent", r#""on""#),
        ],
    );
    let jotform = "--x\r\nContent-Disposition: form-data; name=\"submissionID\"\r\n\r\n5955080346633702\r\n\
        --x\r\nContent-Disposition: form-data; name=\"formTitle\"\r\n\r\nDemo\r\n\
        --x\r\nContent-Disposition: form-data; name=\"customParams\"\r\n\r\n\r\n\
        --x\r\nContent-Disposition: form-data; name=\"rawRequest\"\r\n\r\n\
        {\"q3_name\":{\"first\":\"J\\u00f6\"},\"q5_multi\":[\"A\",\"B\"],\"q9_empty\":\"\",\"path\":\"\\/submit\\/241\"}\r\n\
        --x\r\nContent-Disposition: form-data; name=\"cv\"; filename=\"cv.pdf\"\r\n\r\n%PDF\r\n--x--\r\n";
    check(
        ("jotform", &[("content-type", "multipart/form-data; boundary=\"x\"")], jotform),
        "5955080346633702",
        &[
            ("q3_name.first", r#""Jö""#),
            ("q5_multi", r#"["A","B"]"#),
            ("q9_empty", "null"),
            ("path", r#""/submit/241""#),
            ("formTitle", r#""Demo""#),
        ],
    );
    let unbounce = r#"{"email":["u@x.example"],"interests":["a","b"],"consent":[""],"date_submitted":["2026-01-01"],"time_submitted":["9:05 AM UTC"]}"#;
    let encoded: String = url::form_urlencoded::byte_serialize(unbounce.as_bytes()).collect();
    let encoded = format!("page_url=https%3A%2F%2Fx.example%2F&variant=a&data.json={encoded}");
    let (_, Content::Upsert(id)) = read(("unbounce", &form, &encoded)) else { panic!("no lead") };
    let fields = [("email", r#""u@x.example""#), ("interests", r#"["a","b"]"#), ("consent", "null")];
    check(("unbounce", &[], unbounce), id.as_str(), &fields);
    check(
        ("unbounce", &form, &encoded),
        id.as_str(),
        &[&fields[..], &[("page_url", r#""https://x.example/""#)]].concat(),
    );
}
