//! Webhooks that are not genuine, not readable or not meant: each has its exact answer, and costs no lead.

use std::net::SocketAddr;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Harness, Stage, event, signature};

const AT: i64 = 1_767_225_600;

fn unauthorized() -> Json {
    json!({
        "type": "urn:leadrelay:problem:unauthorized", "title": "The request is not proven to be genuine and fresh",
        "status": 401, "detail": "Check the secret, the signature over the raw body, and the clock.",
    })
}

fn too_large() -> Json {
    json!({
        "type": "urn:leadrelay:problem:too-large", "title": "The body is larger than this server takes",
        "status": 413, "detail": "`server.max_body` sets the limit.",
    })
}

fn not_found() -> Json {
    json!({ "type": "urn:leadrelay:problem:not-found", "title": "There is nothing here", "status": 404 })
}

fn unsupported(detail: &str) -> Json {
    json!({
        "type": "urn:leadrelay:problem:unsupported", "title": "The body's form is not understood",
        "status": 415, "detail": detail,
    })
}

fn lead(id: &str) -> Vec<u8> {
    event("lead.created", AT, &json!({ "id": id, "name": format!("Ada {id}"), "email": format!("{id}@good.example") }))
}

/// Good leads around the bad webhooks: all of them, and nothing else, must become records.
#[derive(Default)]
struct Neighbours(usize);

impl Neighbours {
    async fn send(&mut self, harness: &Harness) {
        self.0 += 1;
        assert_eq!(harness.send(&lead(&format!("good_{}", self.0))).await, "accepted");
    }

    async fn all_arrived(&self, harness: &Harness) {
        harness.settled().await;
        for number in 1..=self.0 {
            harness.record_of(&format!("good_{number}")).await;
        }
        assert_eq!(harness.records().await.len(), self.0, "nothing that was refused became a record");
    }
}

#[tokio::test]
async fn what_is_not_proven_is_answered_401_and_leaves_nothing_behind() {
    let harness = Harness::start(|_| {}).await;
    let mut neighbours = Neighbours::default();
    let body = lead("forged");
    let right = signature(&body);
    let other = signature(b"another body");
    let long = format!("{right}00");
    let mixed = format!("{}{}", right[..32].to_uppercase(), &right[32..]);
    let wrong: [&[(&str, &str)]; 10] = [
        &[],
        &[("X-Klozeo-Signature", "")],
        &[("X-Klozeo-Signature", &other)],
        &[("X-Klozeo-Signature", "not hex at all")],
        &[("X-Klozeo-Signature", "zz4c5c6e0b328db7483cb0be7c74f15605d799e0c7524c7c1796348dc90c98zz")],
        &[("X-Klozeo-Signature", &right[..62])],
        &[("X-Klozeo-Signature", &right[..63])],
        &[("X-Klozeo-Signature", &long)],
        &[("X-Klozeo-Signature", &mixed)],
        &[("X-Signature", &right)],
    ];
    for headers in wrong {
        neighbours.send(&harness).await;
        assert_eq!(harness.post(headers, body.clone()).await, (401, unauthorized()), "{headers:?}");
    }
    assert_eq!(harness.post(&[], Vec::new()).await, (401, unauthorized()), "an empty body without a signature");
    neighbours.all_arrived(&harness).await;
    let events = harness.admin("events?limit=500").await;
    assert_eq!(events["items"].as_array().unwrap().len(), 10, "what is refused is no event");
    let sources = harness.admin("sources").await;
    assert_eq!(sources["items"][0]["refused"]["unsigned"], 11);
    // The sender signs it right and sends it again; no documentation says in which letter case.
    assert_eq!(harness.post(&[("X-Klozeo-Signature", &right)], body.clone()).await.0, 202);
    assert_eq!(harness.post(&[("x-klozeo-signature", &right.to_uppercase())], body).await.0, 202);
    harness.settled().await;
    harness.record_of("forged").await;
    harness.stop().await;
}

#[tokio::test]
async fn a_timestamp_outside_the_tolerance_is_answered_401_and_the_lead_may_be_sent_again() {
    let mut stage = Stage::new().await;
    let rules = "[sources.klozeo.verify]\nsigned_content = \"{timestamp}.{body}\"\ntimestamp_from = \"header:X-Sent-At\"\ntolerance = \"5m\"\n";
    stage.text = stage.text.replace("[sources.klozeo.verify]\n", rules);
    let harness = stage.start(|_| {}).await;
    let body = lead("late");
    let now = leadrelay::clock::Clock::system().now().as_seconds();
    let send = async |at: i64| {
        let signed = [format!("{at}.").as_bytes(), &body].concat();
        let headers = [("X-Klozeo-Signature", &*signature(&signed)), ("X-Sent-At", &*at.to_string())];
        harness.post(&headers, body.clone()).await
    };
    for at in [now - 3_600, now - 310, now + 310, now + 86_400, 0, -1] {
        assert_eq!(send(at).await, (401, unauthorized()), "{}", at - now);
    }
    let unsigned = [("X-Klozeo-Signature", &*signature(&body)), ("X-Sent-At", "soon")];
    assert_eq!(harness.post(&unsigned, body.clone()).await, (401, unauthorized()));
    let sources = harness.admin("sources").await;
    assert_eq!(sources["items"][0]["refused"]["stale"], 6, "{sources}");
    assert!(harness.admin("events").await["items"].as_array().unwrap().is_empty());
    let (status, answer) = send(now - 240).await;
    assert_eq!((status, &answer["status"]), (202, &json!("accepted")));
    harness.settled().await;
    harness.record_of("late").await;
    harness.stop().await;
}

#[tokio::test]
async fn what_is_too_large_is_answered_413_with_and_without_its_length() {
    let harness = Harness::start(|config| config.server.max_body = 10_000).await;
    let mut neighbours = Neighbours::default();
    neighbours.send(&harness).await;
    let body = [lead("large"), vec![b' '; 10_000]].concat();
    let signed = [("X-Klozeo-Signature", &*signature(&body))];
    assert_eq!(harness.post(&signed, body.clone()).await, (413, too_large()));
    neighbours.send(&harness).await;
    let answer = chunked(harness.app.webhooks, &body).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let content: Json = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(content, too_large());
    neighbours.send(&harness).await;
    neighbours.all_arrived(&harness).await;
    assert_eq!(harness.admin("sources").await["items"][0]["refused"]["too_large"], 2);
    // In fewer bytes it is taken, without a length too.
    let fits = [lead("large"), vec![b' '; 9_000]].concat();
    let answer = chunked(harness.app.webhooks, &fits).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    harness.settled().await;
    harness.record_of("large").await;
    harness.stop().await;
}

/// Sends a signed webhook in chunks, without a Content-Length; everything that is answered.
async fn chunked(at: SocketAddr, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let head = format!(
        "POST /webhooks/klozeo HTTP/1.1\r\nhost: test\r\nx-klozeo-signature: {}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        signature(body)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for piece in body.chunks(3_000) {
        let piece = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        stream.write_all(&piece).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn what_is_compressed_a_form_or_for_nobody_is_refused_with_its_reason() {
    let harness = Harness::start(|_| {}).await;
    let mut neighbours = Neighbours::default();
    let body = lead("unheard");
    let signed = signature(&body);
    for encoding in ["gzip", "br", "deflate", "identity, gzip"] {
        neighbours.send(&harness).await;
        let headers = [("X-Klozeo-Signature", &*signed), ("Content-Encoding", encoding)];
        let expected = unsupported("Send the body uncompressed, without Content-Encoding.");
        assert_eq!(harness.post(&headers, body.clone()).await, (415, expected), "{encoding}");
    }
    for kind in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let headers = [("X-Klozeo-Signature", &*signed), ("Content-Type", kind)];
        let expected =
            unsupported("Send JSON with Content-Type: application/json; this source's preset reads no such form.");
        assert_eq!(harness.post(&headers, body.clone()).await, (415, expected), "{kind}");
    }
    let headers = [("X-Klozeo-Signature", &*signed)];
    for path in ["/webhooks/hubspot", "/webhooks/KLOZEO", "/webhooks/klozeo%20", "/webhooks/", "/", "/admin/v1/leads"] {
        neighbours.send(&harness).await;
        assert_eq!(harness.post_to(path, &headers, body.clone()).await, (404, not_found()), "{path}");
    }
    neighbours.all_arrived(&harness).await;
    let sources = harness.admin("sources").await;
    assert_eq!(sources["items"][0]["refused"]["unsupported"], 6, "{sources}");
    assert_eq!(harness.admin("events?limit=500").await["items"].as_array().unwrap().len(), neighbours.0);
    harness.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_or_is_not_meant_is_kept_byte_for_byte_and_told() {
    let harness = Harness::start(|_| {}).await;
    let mut neighbours = Neighbours::default();
    let deep = [&br#"{"event":"lead.created","data":"#[..], &b"[".repeat(10_000), &b"]".repeat(10_000), b"}"].concat();
    let whole = lead("cut");
    let cases: [(&str, Vec<u8>, &str, Option<&str>); 9] = [
        ("empty", Vec::new(), "quarantined", Some("empty")),
        ("only blanks", b" \r\n\t".to_vec(), "quarantined", Some("empty")),
        (
            "invalid UTF-8",
            b"{\"event\":\"lead.created\",\"data\":{\"id\":\"\xc3\x28\"}}".to_vec(),
            "quarantined",
            Some("not_utf8"),
        ),
        ("cut off", whole[..whole.len() - 12].to_vec(), "quarantined", Some("broken_json")),
        ("no JSON", b"event=lead.created&id=1".to_vec(), "quarantined", Some("broken_json")),
        ("10,000 deep", deep, "quarantined", Some("too_deep")),
        ("no lead ID", event("lead.created", AT, &json!({ "name": "Nobody" })), "quarantined", Some("no_lead_id")),
        ("unknown type", event("lead.exploded", AT, &json!({ "id": "x", "name": "X" })), "ignored", None),
        ("a note", event("note.created", AT, &json!({ "id": "note_1", "lead_id": "good_1" })), "ignored", None),
    ];
    for (what, body, word, reason) in cases {
        neighbours.send(&harness).await;
        let (status, answer) = harness.post(&[("X-Klozeo-Signature", &signature(&body))], body.clone()).await;
        let newest = harness.admin("events?limit=1").await["items"][0].clone();
        let id = &newest["id"];
        let expected = json!({ "status": word, "events": [{ "id": id, "status": word }] });
        assert_eq!((status, answer), (202, expected), "{what}");
        assert_eq!((&newest["state"], &newest["size"]), (&json!(word), &json!(body.len())), "{what}");
        if let Some(reason) = reason {
            assert!(newest["reason"].as_str().unwrap().contains(reason), "{what}: {newest}");
        }
        let kept = harness.admin(&format!("events/{}", id.as_str().unwrap())).await;
        let kept = match kept["body"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => hex::decode(kept["body_hex"].as_str().unwrap()).unwrap(),
        };
        assert_eq!(kept, body, "{what}");
    }
    neighbours.all_arrived(&harness).await;
    let source = harness.admin("sources").await["items"][0].clone();
    assert_eq!(source["last_24_hours"], json!({ "accepted": 9, "ignored": 2, "quarantined": 7 }));
    harness.stop().await;
}
