//! Bodies: whatever they are, reading them ends, within bounds, and each record is read again as the same.

use leadrelay::domain::envelope::{Content, Expression, Reader};
use leadrelay::domain::ids::EventId;
use leadrelay::domain::lead::Arrival;
use leadrelay::domain::time::Timestamp;
use leadrelay::source::{NAMES, preset};

use super::{for_a_while, strung};

/// What one request may be taken apart into.
const MOST_RECORDS: usize = 1_000;
const MOST_BYTES: usize = 16 << 20;

const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\"id\":",
    "\"data\":",
    "\"entry\":[",
    "\"changes\":[",
    "\"value\":{",
    "null",
    "true",
    "1e999",
    "-0",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"x\"",
    " ",
    "&",
    "=",
    "+",
    "%",
    "%7B",
    "%E4",
    "id=1",
    "data.json=",
    "rawRequest=",
    "--xx\r\n",
    "--xx--",
    "\r\n\r\n",
    "Content-Disposition: form-data; name=\"id\"\r\n\r\n",
    "; filename=\"f\"",
    "[{\"id\":1},",
    "é",
    "\0",
];

const WHOLE: &[&str] = &[
    r#"{"object":"page","entry":[{"time":1,"changes":[{"field":"leadgen","value":{"leadgen_id":"2"}},{"value":1}]},{}]}"#,
    r#"[{"eventId":1,"subscriptionType":"contact.creation","objectId":123,"occurredAt":1},{"eventId":2},3]"#,
    r#"{"event":"lead.created","timestamp":5,"data":{"id":1,"attributes":[{"name":"a","value":[1]},{"value":2}]}}"#,
    r#"{"data":{"responseId":"2","fields":[{"label":"L","value":["b"],"options":[{"id":"b","text":"B"},{}]}]},"eventType":"FORM_RESPONSE"}"#,
    "id=1&tag=a&tag=b&data.json=%7B%22email%22%3A%5B%22a%22%5D%7D",
    "--xx\r\nContent-Disposition: form-data; name=\"rawRequest\"\r\n\r\n{\"q\":1}\r\n--xx\r\nContent-Disposition: form-data; name=\"submissionID\"\r\n\r\n7\r\n--xx--\r\n",
];

const TYPES: &[&str] = &[
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=xx",
    "multipart/form-data",
    "multipart/form-data; boundary=\"",
    "",
    "text/plain",
];

const RECORDS: &[&str] = &["", "/*", "/entry/*/changes/*", "/data", "/data/*", "/*/*/*", "/a~1b/*"];

fn body(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut body = match rng.usize(0..10) {
        0 => format!("[{}0]", "0,".repeat(rng.usize(0..2_000))).into_bytes(),
        1 => format!("{{\"a\":\"{}\",\"entry\":[{{}},{{}}]}}", "x".repeat(rng.usize(0..100_000))).into_bytes(),
        2 => "[".repeat(rng.usize(0..200)).into_bytes(),
        3..7 => WHOLE[rng.usize(0..WHOLE.len())].as_bytes().to_vec(),
        _ => strung(rng, PIECES, 40).into_bytes(),
    };
    for _ in 0..rng.usize(0..4) {
        let at = rng.usize(0..=body.len());
        match rng.usize(0..3) {
            0 => body.truncate(at),
            1 => drop(body.splice(at..at, strung(rng, PIECES, 2).into_bytes())),
            _ => body.iter_mut().skip(at).take(1).for_each(|byte| *byte = rng.u8(..)),
        }
    }
    body
}

#[test]
fn no_body_makes_reading_panic_or_grow_and_each_record_is_read_again_as_the_same() {
    let known: Vec<_> = NAMES.into_iter().filter_map(|name| Some((name, preset(name).unwrap().read?))).collect();
    let now = Timestamp::from_seconds(1_767_225_600);
    let mut leads = 0;
    for_a_while(|rng| {
        let (name, mut rules) = known[rng.usize(0..known.len())].clone();
        if rng.bool() {
            rules.records = RECORDS[rng.usize(0..RECORDS.len())].to_owned();
            rules.lead_id = Expression::parse("/id | /data/id | /value/leadgen_id | /objectId | sha256:").unwrap();
            rules.event_type = None;
        }
        let reader = Reader::new(rules).unwrap();
        let body = body(rng);
        let headers = vec![("Content-Type".to_owned(), TYPES[rng.usize(0..TYPES.len())].to_owned())];
        let Ok(readings) = reader.read_intake(&body, &headers) else { return };
        assert!((1..=MOST_RECORDS).contains(&readings.len()), "{name}: {} records", readings.len());
        let bytes: usize = readings.iter().map(|reading| reading.slice.len()).sum();
        assert!(bytes <= MOST_BYTES, "{name}: {bytes} bytes");
        for reading in &readings {
            // What was built from a form, or cut out of one, is JSON.
            let headers = if reading.slice == body.as_slice() { headers.clone() } else { Vec::new() };
            let again = reader.read_intake(&reading.slice, &headers).unwrap();
            assert_eq!(again.len(), 1, "{name}");
            assert_eq!((&again[0].content, &again[0].sender_id), (&reading.content, &reading.sender_id), "{name}");
            let arrival = Arrival { at: now, event: EventId(1) };
            let change = reader.read_change(&reading.slice, &headers, now, arrival);
            if matches!(reading.content, Content::Upsert(_)) {
                assert!(matches!(change, Ok(Some(_))), "{name}: {change:?}");
                leads += 1;
            }
        }
    });
    assert!(leads > 0, "no body was a lead");
}
