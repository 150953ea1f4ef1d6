use proptest::prelude::*;

use super::*;
use crate::domain::ids::EventId;
use crate::domain::lead::{Arrival, Change, ChangeKind, Version, VersionElement};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);

fn at(text: &str) -> Expression {
    Expression::parse(text).unwrap()
}

pub(super) fn rules() -> ReadRules {
    ReadRules {
        event_type: Some(at("/event")),
        types: TypeTable {
            upsert: vec!["lead.created".into(), "*.updated".into()],
            delete: vec!["lead.deleted".into()],
            ignore: vec!["note.*".into()],
            ..TypeTable::default()
        },
        lead: vec!["/data".into()],
        version: vec![at("/data/updated_at | /timestamp"), at("/timestamp")],
        delete_version: vec![at("/timestamp")],
        field_versions: vec![("score".into(), vec![at("/timestamp")])],
        times: TimeFormat::UnixSeconds,
        attributes: vec![attributes("/attributes", "/name", "/value")],
        ..ReadRules::new(at("/data/id"))
    }
}

pub(super) fn attributes(list: &str, name: &str, value: &str) -> AttributeRules {
    AttributeRules { at: list.into(), name: at(name), value: at(value), wrapped: false, options: None }
}

fn reader(rules: ReadRules) -> Reader {
    Reader::new(rules).unwrap()
}

fn headers() -> Vec<(String, String)> {
    vec![("Webhook-Id".into(), " msg_1 ".into()), ("X-Blank".into(), " ".into())]
}

fn content(rules: ReadRules, body: &str) -> Result<Content, Unreadable> {
    let reader = reader(rules);
    let mut readings = reader.read_intake(body.as_bytes(), &headers())?;
    assert_eq!(readings.len(), 1);
    assert_eq!(readings[0].slice, body.as_bytes());
    Ok(readings.remove(0).content)
}

pub(super) fn change(rules: ReadRules, body: &str) -> Change {
    let arrival = Arrival { at: NOW, event: EventId(7) };
    reader(rules).read_change(body.as_bytes(), &headers(), NOW, arrival).unwrap().unwrap()
}

fn seconds(elements: &[i64]) -> Version {
    let elements = elements.iter().map(|second| VersionElement::At(Timestamp::from_seconds(*second))).collect();
    Version { elements, rest: VersionElement::At(Timestamp::from_seconds(0)) }
}

#[test]
fn an_expression_takes_the_first_part_that_is_present() {
    let body = br#"{"entry":{"id":9007199254740993,"blank":" ","null":null,"list":["x"],"a/b":"slash","yes":true,
            "mails":[{"main":false,"at":"b@x"},7,{"main":true,"at":["a@x"]},{"main":true,"at":"c@x"}]},"env":"e"}"#;
    let check = |expression: &str, unwrap_single, expected: Option<&str>| {
        let reader = reader(ReadRules { records: "/entry".into(), unwrap_single, ..rules() });
        let document = Document::parse(body).unwrap();
        let headers = headers();
        let expression = at(expression);
        let scene = reader.scene(&document, &headers).unwrap();
        assert_eq!(scene.text(&expression).as_deref(), expected, "{expression:?}");
    };
    check("/id", false, Some("9007199254740993"));
    check("/blank | /null | /absent | /list | /a~1b", false, Some("slash"));
    check("/list", true, Some("x"));
    check("/env", false, None);
    check("^/env", false, Some("e"));
    check("^/entry/yes", false, Some("true"));
    check("header:WEBHOOK-ID", false, Some("msg_1"));
    check("header:x-blank | =none", false, Some("none"));
    check("={/id}", false, Some("{/id}"));
    check("{^/env}.{/a~1b}", false, Some("e.slash"));
    check("evt-{ /id }-{header:webhook-id}!", false, Some("evt-9007199254740993-msg_1!"));
    check("{/id}.{/absent} | /yes", false, Some("true"));
    check("find(/mails, /main = false, /at)", false, Some("b@x"));
    check("find(/mails,/main=true,/at) | =none", false, Some("none"));
    check("{find(/mails, /main = true, /at)}!", true, Some("a@x!"));
    check("find(/mails, /main = maybe, /at) | find(/id, /a = b, /c) | /yes", false, Some("true"));
}

#[test]
fn an_expression_written_wrongly_says_what_is_wrong() {
    for (written, problem) in [
        ("", "has an empty part"),
        ("/a | ", "has an empty part"),
        ("data.id", "is none of"),
        ("^", "is none of"),
        ("^data", "is none of"),
        ("/a~2", "~0"),
        ("header:", "header's name"),
        ("header:a b", "header's name"),
        ("{/a", "without its }"),
        ("{a}", "is none of"),
        ("{}", "has an empty part"),
        ("find(/a, /b = c)", "has a find"),
        ("find(/a, /b = c, /d", "has a find"),
        ("find(/a, /b, /d)", "has a find"),
        ("find(a, /b = c, /d)", "has a find"),
        ("find(/a, /b = , /d)", "has a find"),
    ] {
        let error = Expression::parse(written).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains(&format!("{written:?}")), "{written}: {error}");
    }
    let wrong = Reader::new(ReadRules { lead: vec!["data".into()], ..rules() }).unwrap_err();
    assert_eq!(wrong.key, "lead");
}

#[test]
fn a_type_named_as_it_is_counts_before_one_with_a_star() {
    let table = TypeTable {
        upsert: vec!["lead.*".into(), "note.kept".into(), "*.a*z".into()],
        delete: vec!["lead.deleted".into()],
        ignore: vec!["note.*".into(), "lead.test*".into()],
        ..TypeTable::default()
    };
    for (event_type, expected) in [
        ("lead.created", Effect::Upsert),
        ("lead.deleted", Effect::Delete),
        ("lead.tested", Effect::Ignore),
        ("note.kept", Effect::Upsert),
        ("note.created", Effect::Ignore),
        ("x.abcz", Effect::Upsert),
        ("x.az", Effect::Upsert),
        ("x.a", Effect::Ignore),
        ("lead", Effect::Ignore),
        ("", Effect::Ignore),
    ] {
        assert_eq!(table.effect(event_type), expected, "{event_type}");
    }
}

#[test]
fn what_a_request_is_shows_before_it_is_stored() {
    let ada = || LeadId::new("1");
    let check = |body: &str, expected: Content| assert_eq!(content(rules(), body), Ok(expected), "{body}");
    check(r#"{"event":"lead.created","data":{"id":1}}"#, Content::Upsert(ada()));
    check(r#" {"event":"x.updated","data":{"id":"1"}} "#, Content::Upsert(ada()));
    check(r#"{"event":"lead.deleted","data":{"id":"1"}}"#, Content::Delete(ada()));
    check(r#"{"event":"note.created","data":{"id":"1"}}"#, Content::Ignored(Some(ada())));
    check(r#"{"event":"lead.exploded","data":{}}"#, Content::Ignored(None));
    check(r#"{"event":"lead.created","data":{"id":" "}}"#, Content::Unreadable(Unreadable::NoLeadId));
    check(r#"{"event":"lead.created","data":{"id":["1"]}}"#, Content::Unreadable(Unreadable::NoLeadId));
    check(r#"{"event":"lead.created","data":{"id":false}}"#, Content::Unreadable(Unreadable::NoLeadId));
    check(r#"{"event":"lead.created","data":{"id":"false"}}"#, Content::Upsert("false".into()));
    check(r#"{"event":"lead.created","data":{"id":"a\u0000b"}}"#, Content::Unreadable(Unreadable::BadLeadId));
    check(r#"{"data":{"id":"1"}}"#, Content::Unreadable(Unreadable::NoEventType));
    let endless = format!(r#"{{"event":"{}","data":{{"id":1}}}}"#, "x".repeat(MAX_ID_BYTES + 1));
    for body in ["[]", "null", "1", "\"text\"", "{}", &endless] {
        check(body, Content::Unreadable(Unreadable::NoEventType));
    }
    let long = format!(r#"{{"event":"lead.created","data":{{"id":"{}"}}}}"#, "x".repeat(MAX_ID_BYTES + 1));
    check(&long, Content::Unreadable(Unreadable::BadLeadId));
    let elsewhere = ReadRules { lead_id: at("/id"), ..rules() };
    let no_lead = content(elsewhere, r#"{"event":"lead.created","id":1,"data":null}"#);
    assert_eq!(no_lead, Ok(Content::Unreadable(Unreadable::NoLead)));
    let typeless = ReadRules { event_type: None, ..rules() };
    assert_eq!(content(typeless, r#"{"data":{"id":1}}"#), Ok(Content::Upsert(ada())));
}

#[test]
fn what_is_no_json_is_unreadable_by_a_stable_word() {
    let deep = format!(r#"{{"a":{}"#, "[".repeat(10_000));
    for (body, code) in [
        (&b""[..], "empty"),
        (b" \r\n", "empty"),
        (b"{\"event\":\"\xff\"}", "not_utf8"),
        (deep.as_bytes(), "too_deep"),
        (br#"{"event":"lead.created","data":{"id":1}"#, "broken_json"),
        (br#"{"event":"lead.created","data":{"id":1,"name":"\ud800"}}"#, "broken_json"),
        (br#"{"event":"lead.created","data":{"id":01}}"#, "broken_json"),
    ] {
        let error = reader(rules()).read_intake(body, &headers()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn a_request_of_several_records_is_stored_record_by_record() {
    let nested = ReadRules {
        records: "/entry/*/changes/*".into(),
        event_id: Some(at("{^/object}-{/value/id}")),
        event_type: Some(at("^/object")),
        types: TypeTable { upsert: vec!["page".into()], ..TypeTable::default() },
        lead: vec!["/value".into()],
        lead_id: at("/value/id"),
        version: vec![at("^/entry/0/time")],
        ..rules()
    };
    let body = br#"{"entry":[{"time":5,"changes":[{"value":{"id":1, "n":1.50}},{"value":{}}]},{"changes":[]},{"time":6,"changes":[{"value":{"id":2}}]}],"object":"page"}"#;
    let reader = reader(nested);
    let readings = reader.read_intake(body, &headers()).unwrap();
    let contents: Vec<_> = readings.iter().map(|reading| reading.content.clone()).collect();
    assert_eq!(
        contents,
        [
            Content::Upsert(LeadId::new("1")),
            Content::Unreadable(Unreadable::NoLeadId),
            Content::Upsert(LeadId::new("2"))
        ]
    );
    assert_eq!(
        String::from_utf8_lossy(&readings[0].slice),
        r#"{"object":"page","entry":[{"time":5,"changes":[{"value":{"id":1, "n":1.50}}]}]}"#
    );
    for reading in &readings {
        let again = reader.read_intake(&reading.slice, &headers()).unwrap();
        assert_eq!(again.as_slice(), std::slice::from_ref(reading));
    }
    let arrival = Arrival { at: NOW, event: EventId(1) };
    let last = reader.read_change(&readings[2].slice, &headers(), NOW, arrival).unwrap().unwrap();
    assert_eq!(last.stamp.version, seconds(&[6]));
    assert_eq!(reader.read_change(body, &headers(), NOW, arrival), Err(Unreadable::SeveralRecords));
}

#[test]
fn a_request_of_one_record_is_stored_as_it_came() {
    let list = ReadRules { records: "/*".into(), ..rules() };
    let body = r#"[ {"event":"lead.created","data":{"id":1}} ]"#;
    assert_eq!(content(list.clone(), body), Ok(Content::Upsert(LeadId::new("1"))));
    for body in ["[]", "{}", "null", r#"{"0":{"event":"lead.created","data":{"id":1}}}"#] {
        assert_eq!(content(list.clone(), body), Err(Unreadable::NoRecords), "{body}");
    }
    let many = format!("[{}0]", "0,".repeat(records::MAX_RECORDS));
    assert_eq!(content(list, &many), Err(Unreadable::TooManyRecords));
}

#[test]
fn a_senders_event_id_goes_with_what_it_says_of_the_lead() {
    let by_id = ReadRules { event_id: Some(at("/id")), ..rules() };
    let reader = reader(by_id);
    let id = |body: &str| reader.read_intake(body.as_bytes(), &headers()).unwrap().remove(0).sender_id;
    let first = id(r#"{"id":"e","event":"lead.created","data":{"id":1},"attempt":1}"#).unwrap();
    assert_eq!(first.event_id, "e");
    assert_eq!(id(r#"{"id":"e","event":"lead.created","data":{"id":1},"attempt":2}"#), Some(first.clone()));
    assert_ne!(id(r#"{"id":"e","event":"lead.created","data":{"id":1,"a":2}}"#), Some(first.clone()));
    assert_ne!(id(r#"{"id":"e","event":"x.updated","data":{"id":1}}"#), Some(first));
    assert_eq!(id(r#"{"event":"lead.created","data":{"id":1}}"#), None);
}

#[test]
fn each_key_of_the_lead_and_each_attribute_is_a_field() {
    let change = change(
        rules(),
        r#"{"event":"lead.created","timestamp":5,"data":{"id":1,"name":" ","tags":["a"],"n":9007199254740993,
            "attributes":[{"name":"a","value":1},{"name":"b","value":""},{"name":"a","value":{"c":2}},{"value":3},{"name":"d"},4]}}"#,
    );
    let fields: Vec<(&str, String)> =
        change.fields.iter().map(|(name, value)| (name.as_str(), value.to_json())).collect();
    assert_eq!(
        fields,
        [
            ("attributes.a", r#"{"c":2}"#.into()),
            ("attributes.b", "null".into()),
            ("id", "1".into()),
            ("n", "9007199254740993".into()),
            ("name", "null".into()),
            ("tags", r#"["a"]"#.into()),
        ]
    );
}

#[test]
fn attributes_may_be_an_object_or_absent() {
    let names = |rules: ReadRules, attributes: &str| {
        let body = format!(r#"{{"event":"lead.created","data":{{"id":1{attributes}}}}}"#);
        change(rules, &body).fields.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(names(rules(), r#","attributes":{"x y":1,"a.b":2}"#), ["attributes.a.b", "attributes.x y", "id"]);
    assert_eq!(names(rules(), ""), ["id"]);
    assert_eq!(names(rules(), r#","attributes":null"#), ["id"]);
    assert_eq!(names(rules(), r#","attributes":"none""#), ["attributes", "id"]);
    assert_eq!(
        names(ReadRules { attributes: Vec::new(), ..rules() }, r#","attributes":{"x":1}"#),
        ["attributes", "id"]
    );
}

#[test]
fn pairs_take_the_value_that_is_there_and_the_text_of_a_choice() {
    let options = OptionRules { at: "/options".into(), id: "/id".into(), text: "/text".into() };
    let answers = attributes("/answers", "/field/ref | q-{/field/id}", "/text | /choice/label | /choices | ^/event");
    let pairs = ReadRules {
        attributes: vec![
            attributes("/hidden", "/name", "/value"),
            AttributeRules { options: Some(options), ..answers },
            attributes("/absent", "/name", "/value"),
        ],
        fields: vec![("first".into(), at("/data/answers/0/text")), ("n".into(), at("/n")), ("gone".into(), at("/x"))],
        ..rules()
    };
    let change = change(
        pairs,
        r#"{"event":"lead.created","n":9007199254740993,"data":{"id":1,"hidden":{"utm":["a"],"x y":" "},"answers":[
            {"field":{"ref":"name"},"text":"Ada"},
            {"field":{"ref":" ","id":7},"text":null,"choice":{"label":"Big"}},
            {"field":{"ref":"size"},"choices":["b2",3,"zz"],"options":[{"id":"b2","text":"Two"},{"id":3,"text":"Three"},{}]},
            {"field":{"ref":"blank"},"text":""}]}}"#,
    );
    let fields: Vec<(&str, String)> =
        change.fields.iter().map(|(name, value)| (name.as_str(), value.to_json())).collect();
    assert_eq!(
        fields,
        [
            ("attributes.blank", r#""lead.created""#.into()),
            ("attributes.name", r#""Ada""#.into()),
            ("attributes.q-7", r#""Big""#.into()),
            ("attributes.size", r#"["Two","Three","zz"]"#.into()),
            ("attributes.utm", r#"["a"]"#.into()),
            ("attributes.x y", "null".into()),
            ("first", r#""Ada""#.into()),
            ("id", "1".into()),
            ("n", "9007199254740993".into()),
        ]
    );
}

#[test]
fn the_lead_is_the_first_object_that_one_of_its_pointers_names() {
    let either = ReadRules {
        lead: vec!["/data.json".into(), String::new()],
        event_type: None,
        lead_id: at("/id | sha256:/data.json | sha256:"),
        ..rules()
    };
    let names = |body: &str| change(either.clone(), body).fields.into_keys().collect::<Vec<_>>();
    assert_eq!(names(r#"{"data.json":{"a":1},"b":2}"#), ["a"]);
    assert_eq!(names(r#"{"data.json":"text","b":2}"#), ["b", "data.json"]);
    assert_eq!(names(r#"{"b":2}"#), ["b"]);
    let id = |body: &str| content(either.clone(), body).unwrap();
    assert_eq!(id(r#"{"data.json":{"a":1},"b":2}"#), id(r#"{"data.json":{"a":1},"b":3}"#));
    let hash = hex::encode(Sha256::digest(br#"{"b":2}"#));
    assert_eq!(id(r#"{"b":2}"#), Content::Upsert(LeadId::new(&*hash)));
    assert_eq!(content(either, "[]"), Ok(Content::Unreadable(Unreadable::NoLead)));
}

#[test]
fn an_event_that_only_names_a_lead_needs_a_fetch() {
    let thin = ReadRules {
        types: TypeTable { thin: vec!["lead.*".into()], delete: vec!["lead.deleted".into()], ..TypeTable::default() },
        ..rules()
    };
    let body = r#"{"event":"lead.created","data":{"id":1}}"#;
    assert_eq!(content(thin.clone(), body), Ok(Content::NeedsFetch(Some(LeadId::new("1")))));
    assert_eq!(content(thin.clone(), r#"{"event":"lead.x","data":1}"#), Ok(Content::NeedsFetch(None)));
    assert_eq!(
        content(thin.clone(), r#"{"event":"lead.deleted","data":{"id":1}}"#),
        Ok(Content::Delete(LeadId::new("1")))
    );
    let arrival = Arrival { at: NOW, event: EventId(1) };
    assert_eq!(reader(thin).read_change(body.as_bytes(), &headers(), NOW, arrival), Err(Unreadable::NeedsFetch));
}

#[test]
fn an_attempt_counter_makes_an_event_that_only_names_a_lead_no_other_one() {
    let thin = ReadRules {
        event_id: Some(at("/eid")),
        lead: vec![String::new()],
        types: TypeTable { thin: vec!["lead.created".into()], ..TypeTable::default() },
        ..rules()
    };
    let reader = reader(thin);
    let sender = |kind: &str, id: u8, attempt: u8| {
        let body = format!(r#"{{"event":"{kind}","eid":"e1","data":{{"id":{id}}},"attempt":{attempt}}}"#);
        reader.read_intake(body.as_bytes(), &headers()).unwrap().remove(0).sender_id
    };
    assert!(sender("lead.created", 1, 0).is_some());
    assert_eq!(sender("lead.created", 1, 0), sender("lead.created", 1, 1));
    assert_ne!(sender("lead.created", 1, 0), sender("lead.created", 2, 0), "of another lead");
    assert_ne!(sender("lead.updated", 1, 0), sender("lead.updated", 1, 1), "what says something of its lead");
}

#[test]
fn a_list_of_one_counts_as_its_item_where_the_rules_say_so() {
    let unwrapping =
        ReadRules { unwrap_single: true, event_type: None, lead: vec![String::new()], lead_id: at("/id"), ..rules() };
    let change = change(unwrapping, r#"{"id":["7"],"email":[""],"tags":["a","b"]}"#);
    assert_eq!(change.fields["id"], Value::Text("7".into()));
    assert_eq!(change.fields["email"], Value::Null);
    assert_eq!(change.fields["tags"].to_json(), r#"["a","b"]"#);
}

#[test]
fn a_full_payload_says_that_what_it_does_not_name_is_cleared() {
    let full = ReadRules { payload: PayloadKind::Full, ..rules() };
    let change = change(full, r#"{"event":"lead.created","timestamp":5,"data":{"id":1}}"#);
    assert!(change.full);
    assert_eq!(change.fields.get("score"), Some(&Value::Null), "its own version decides, not the event's");
    assert_eq!(change.fields.len(), 2);
}

#[test]
fn versions_are_read_element_by_element() {
    let check = |body: &str, version: &[i64], score: &[i64], disbelieved| {
        let change = change(rules(), body);
        assert_eq!(change.stamp.version, seconds(version), "{body}");
        assert_eq!(change.field_stamps["score"].version, seconds(score), "{body}");
        assert_eq!(change.disbelieved, disbelieved, "{body}");
    };
    let now = NOW.as_seconds();
    check(r#"{"event":"lead.created","timestamp":6,"data":{"id":1,"updated_at":5}}"#, &[5, 6], &[6], false);
    check(r#"{"event":"lead.created","timestamp":"6","data":{"id":1,"updated_at":"5"}}"#, &[5, 6], &[6], false);
    check(r#"{"event":"lead.created","timestamp":6,"data":{"id":1}}"#, &[6, 6], &[6], false);
    check(r#"{"event":"lead.created","timestamp":6,"data":{"id":1,"updated_at":"soon"}}"#, &[6, 6], &[6], false);
    check(r#"{"event":"lead.created","data":{"id":1,"updated_at":5}}"#, &[5, 0], &[5, 0], false);
    check(r#"{"event":"lead.created","data":{"id":1}}"#, &[now], &[now], false);
    check(r#"{"event":"lead.created","timestamp":6,"data":{"id":1,"updated_at":4102444800}}"#, &[6, 6], &[6], true);
    check(r#"{"event":"lead.created","timestamp":1e400,"data":{"id":1,"updated_at":5}}"#, &[5, now], &[now], true);
    let edge = format!(r#"{{"event":"lead.created","timestamp":{},"data":{{"id":1}}}}"#, now + 600);
    check(&edge, &[now + 600, now + 600], &[now + 600], false);
}

#[test]
fn a_delete_wins_its_own_second() {
    let deleted = change(rules(), r#"{"event":"lead.deleted","timestamp":5,"data":{"id":1,"name":"x"}}"#);
    assert_eq!((deleted.kind, deleted.fields.len()), (ChangeKind::Delete, 0));
    assert!(deleted.stamp.version > seconds(&[5, i64::MAX]));
    assert!(deleted.stamp.version < seconds(&[6]));
    let undated =
        change(rules(), r#"{"event":"lead.deleted","data":null,"x":{}}"#.replace("null", r#"{"id":1}"#).as_str());
    assert!(undated.stamp.version < seconds(&[NOW.as_seconds() + 1]), "no later event could revive the lead");
}

#[test]
fn an_event_whose_type_is_ignored_today_changes_nothing() {
    let arrival = Arrival { at: NOW, event: EventId(1) };
    let body = br#"{"event":"note.created","data":{"id":1}}"#;
    assert_eq!(reader(rules()).read_change(body, &headers(), NOW, arrival), Ok(None));
}

fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("1e999".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        ".{0,8}".prop_map(|text| Value::Text(text).to_json()),
        Just(r#""lead.created""#.to_owned()),
    ];
    scalar.prop_recursive(4, 24, 5, |inner| {
        let name =
            prop_oneof![Just("event"), Just("data"), Just("id"), Just("timestamp"), Just("attributes"), Just("x")];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((name, inner), 0..5).prop_map(|members| {
                let members = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn what_intake_takes_for_a_change_is_one_when_it_is_folded(
        body in json(),
        records in prop_oneof![Just(""), Just("/*"), Just("/data/*"), Just("/data")],
    ) {
        let reader = reader(ReadRules { records: records.into(), event_type: None, lead_id: at("/id | /data/id"), lead: vec![String::new()], ..rules() });
        let arrival = Arrival { at: NOW, event: EventId(1) };
        for reading in reader.read_intake(body.as_bytes(), &headers()).unwrap_or_default() {
            let change = reader.read_change(&reading.slice, &headers(), NOW, arrival);
            if matches!(reading.content, Content::Upsert(_)) {
                prop_assert!(matches!(change, Ok(Some(_))), "{change:?}");
            }
        }
    }

    #[test]
    fn no_bytes_make_reading_panic(body in prop::collection::vec(any::<u8>(), 0..64), text in ".{0,40}") {
        let reader = reader(rules());
        let _ = reader.read_intake(&body, &headers());
        let _ = reader.read_intake(text.as_bytes(), &headers());
        let _ = Expression::parse(&text);
    }
}
