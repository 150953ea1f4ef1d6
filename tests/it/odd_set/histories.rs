//! Leads with several events whose versions all differ: in whatever order they come, one end is right.

use serde_json::{Map, Value as Json, json};

/// The events of one lead, in the order of their versions.
pub struct History {
    pub id: &'static str,
    pub events: Vec<Vec<u8>>,
}

/// What is said of a lead, and when.
struct Telling {
    at: Json,
    kind: &'static str,
    timestamp: Json,
    says: Json,
}

fn tell(at: i64, says: Json) -> Telling {
    Telling { at: json!(at), kind: "lead.updated", timestamp: json!(at), says }
}

const T: i64 = 1_760_000_000;

fn history(id: &'static str, tellings: Vec<Telling>) -> History {
    let body = |telling: Telling| {
        let mut lead = Map::from_iter([("id".to_owned(), json!(id))]);
        if !telling.at.is_null() {
            lead.insert("updated_at".to_owned(), telling.at);
        }
        lead.extend(telling.says.as_object().unwrap().clone());
        let mut body =
            Map::from_iter([("event".to_owned(), json!(telling.kind)), ("data".to_owned(), Json::Object(lead))]);
        if !telling.timestamp.is_null() {
            body.insert("timestamp".to_owned(), telling.timestamp);
        }
        Json::Object(body).to_string().into_bytes()
    };
    History { id, events: tellings.into_iter().map(body).collect() }
}

fn named(id: &str, more: Json) -> Json {
    let mut says = json!({ "name": format!("Hal {id}"), "email": format!("hal@{id}.example") });
    says.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    says
}

/// What the record of each must hold in the end, by CRM field.
pub fn ends() -> Vec<(&'static str, Vec<(&'static str, Json)>)> {
    vec![
        ("hist-status", vec![("Status", json!("won")), ("City", json!("Rome"))]),
        (
            "hist-null",
            vec![
                ("City", json!("Oslo")),
                ("Phone", json!("+12025550150")),
                ("Website", json!("https://null.example")),
                ("LastName", json!("hist-null")),
            ],
        ),
        ("hist-tags", vec![("Lead_Tags__c", Json::Null)]),
        ("hist-back", vec![("City", json!("A"))]),
        ("hist-millis", vec![("Status", json!("three"))]),
        ("hist-iso", vec![("Status", json!("three"))]),
        ("hist-text", vec![("Status", json!("three"))]),
        ("hist-stamp", vec![("Status", json!("three")), ("Lead_Score__c", json!(30.0))]),
        ("hist-score", vec![("Lead_Score__c", json!(99.0)), ("Status", json!("two"))]),
        ("hist-undated-score", vec![("Lead_Score__c", json!(30.0))]),
        ("hist-future", vec![("Status", json!("three"))]),
        ("hist-negative", vec![("Status", json!("three"))]),
        ("hist-fraction", vec![("Status", json!("three"))]),
        ("hist-interaction", vec![("Status", json!("three"))]),
        (
            "hist-attributes",
            vec![("Industry_Detail__c", json!("Glass")), ("NumberOfEmployees", json!(7)), ("Company", json!("Acme"))],
        ),
        ("hist-revived", vec![("Status", json!("back")), ("City", json!("Bern"))]),
        ("hist-next-second", vec![("Status", json!("again")), ("City", json!("Bonn"))]),
        (
            "hist-scored-first",
            vec![("Lead_Score__c", json!(12.5)), ("Status", json!("new")), ("LastName", json!("hist-scored-first"))],
        ),
        ("hist-one-word", vec![("FirstName", Json::Null), ("LastName", json!("Cher"))]),
        (
            "hist-partial",
            vec![
                ("City", json!("Rome")),
                ("State", json!("Lazio")),
                ("Country", json!("IT")),
                ("Status", json!("new")),
            ],
        ),
    ]
}

/// Deleted in the end: never a new record, and what there was stays.
pub const DELETED: [&str; 3] = ["hist-deleted", "hist-deleted-first", "hist-deleted-same-second"];

pub fn all() -> Vec<History> {
    let status = |id: &'static str, times: [Json; 3]| {
        let tellings = times.into_iter().zip(["one", "two", "three"]);
        history(
            id,
            tellings
                .map(|(at, status)| Telling {
                    timestamp: at.clone(),
                    at,
                    kind: "lead.updated",
                    says: named(id, json!({ "status": status })),
                })
                .collect(),
        )
    };
    let undated = |at: i64, says: Json| Telling { timestamp: Json::Null, ..tell(at, says) };
    let delete = |at: i64| Telling { at: Json::Null, kind: "lead.deleted", timestamp: json!(at), says: json!({}) };
    vec![
        history(
            "hist-status",
            vec![
                Telling {
                    kind: "lead.created",
                    ..tell(T, named("hist-status", json!({ "status": "new", "city": "Bonn" })))
                },
                tell(T + 10, json!({ "status": "open" })),
                tell(T + 20, json!({ "city": "Rome" })),
                tell(T + 30, json!({ "status": "won" })),
                tell(T + 40, json!({ "score": 5 })),
            ],
        ),
        history(
            "hist-null",
            vec![
                tell(
                    T,
                    named(
                        "hist-null",
                        json!({ "city": "Bonn", "phone": "+1 202-555-0150", "website": "null.example" }),
                    ),
                ),
                tell(T + 10, json!({ "city": "Oslo", "phone": null })),
                tell(T + 20, json!({ "city": "", "website": " " })),
                tell(T + 30, json!({ "city": null, "name": "" })),
                tell(T + 40, json!({ "phone": "", "name": null })),
            ],
        ),
        history(
            "hist-tags",
            vec![
                tell(T, named("hist-tags", json!({ "tags": ["a", "b"] }))),
                tell(T + 10, json!({ "tags": ["b"] })),
                tell(T + 20, json!({ "tags": [] })),
                tell(T + 30, json!({ "city": "Bonn" })),
            ],
        ),
        history(
            "hist-back",
            vec![
                tell(T, named("hist-back", json!({ "city": "A" }))),
                tell(T + 1, named("hist-back", json!({ "city": "B" }))),
                tell(T + 2, named("hist-back", json!({ "city": "A" }))),
            ],
        ),
        status("hist-millis", [json!(T * 1_000), json!(T * 1_000 + 7), json!((T + 60) * 1_000)]),
        status(
            "hist-iso",
            [json!("2025-10-09T08:53:20Z"), json!("2025-10-09T10:53:21+02:00"), json!("2025-10-09T08:53:22.5Z")],
        ),
        status("hist-text", [json!(T.to_string()), json!(format!(" {} ", T + 1)), json!(format!("{}.5", T + 2))]),
        status("hist-negative", [json!(-3), json!(-2), json!(0)]),
        status("hist-fraction", [json!(T), json!(T as f64 + 0.25), json!(T as f64 + 0.5)]),
        // The lead's own time says nothing, the envelope's tells.
        history(
            "hist-stamp",
            vec![
                Telling { at: json!("soon"), ..tell(T, named("hist-stamp", json!({ "status": "one", "score": 10 }))) },
                Telling { at: json!({}), ..tell(T + 1, named("hist-stamp", json!({ "status": "two", "score": 20 }))) },
                Telling {
                    at: Json::Null,
                    ..tell(T + 2, named("hist-stamp", json!({ "status": "three", "score": 30 })))
                },
            ],
        ),
        history(
            "hist-future",
            vec![
                Telling { at: json!(4_102_444_800i64), ..tell(T, named("hist-future", json!({ "status": "one" }))) },
                Telling {
                    at: json!(253_402_300_799i64 - 9_000_000_000),
                    ..tell(T + 1, named("hist-future", json!({ "status": "two" })))
                },
                Telling {
                    at: json!(4_102_444_800i64),
                    ..tell(T + 2, named("hist-future", json!({ "status": "three" })))
                },
            ],
        ),
        // A score moves by the envelope's time alone.
        history(
            "hist-score",
            vec![
                tell(T, named("hist-score", json!({ "status": "one", "score": 1 }))),
                Telling {
                    kind: "lead.scored",
                    at: json!(T),
                    timestamp: json!(T + 50),
                    says: named("hist-score", json!({ "status": "one", "score": 99 })),
                },
                Telling {
                    at: json!(T + 20),
                    timestamp: json!(T + 20),
                    kind: "lead.updated",
                    says: named("hist-score", json!({ "status": "two", "score": 1 })),
                },
            ],
        ),
        history(
            "hist-undated-score",
            vec![
                undated(T, named("hist-undated-score", json!({ "score": 10 }))),
                undated(T + 1, named("hist-undated-score", json!({ "score": 20 }))),
                undated(T + 2, named("hist-undated-score", json!({ "score": 30 }))),
            ],
        ),
        // Only the second element of the version moves.
        history(
            "hist-interaction",
            vec![
                tell(T, named("hist-interaction", json!({ "status": "one", "last_interaction_at": T }))),
                tell(T, named("hist-interaction", json!({ "status": "two", "last_interaction_at": T + 1 }))),
                tell(T, named("hist-interaction", json!({ "status": "three", "last_interaction_at": T + 2 }))),
            ],
        ),
        history(
            "hist-attributes",
            vec![
                tell(
                    T,
                    named(
                        "hist-attributes",
                        json!({ "attributes": [{ "name": "industry", "value": "Steel" }, { "name": "company", "value": "Acme" }] }),
                    ),
                ),
                tell(T + 1, json!({ "attributes": { "industry": "Glass" } })),
                tell(
                    T + 2,
                    json!({ "attributes": [{ "name": "employees", "value": "7" }, { "name": "industry", "value": null }] }),
                ),
                tell(T + 3, json!({ "attributes": null })),
            ],
        ),
        history(
            "hist-partial",
            vec![
                tell(T, json!({ "city": "Rome" })),
                tell(T + 1, json!({ "state": "Lazio" })),
                tell(T + 2, named("hist-partial", json!({ "status": "new" }))),
                tell(T + 3, json!({ "country": "IT" })),
            ],
        ),
        history(
            "hist-one-word",
            vec![
                tell(T, json!({ "name": "Sarah Smith", "email": "cher@one-word.example" })),
                tell(T + 1, json!({ "name": "Cher" })),
            ],
        ),
        history(
            "hist-revived",
            vec![
                tell(T, named("hist-revived", json!({ "status": "new", "city": "Bern" }))),
                delete(T + 10),
                tell(T + 20, json!({ "status": "back" })),
            ],
        ),
        history(
            "hist-deleted",
            vec![tell(T, named("hist-deleted", json!({}))), tell(T + 5, json!({ "city": "Bonn" })), delete(T + 10)],
        ),
        // Of one second the delete counts, whatever came first; the next second may bring the lead back.
        history(
            "hist-deleted-same-second",
            vec![tell(T, named("hist-deleted-same-second", json!({ "city": "Bonn" }))), delete(T)],
        ),
        history(
            "hist-next-second",
            vec![
                tell(T, named("hist-next-second", json!({ "status": "new", "city": "Bonn" }))),
                delete(T),
                Telling {
                    kind: "lead.created",
                    ..tell(T + 1, named("hist-next-second", json!({ "status": "again" })))
                },
            ],
        ),
        history(
            "hist-scored-first",
            vec![
                Telling { at: Json::Null, kind: "lead.scored", timestamp: json!(T), says: json!({ "score": 11 }) },
                tell(T + 1, json!({})),
                tell(T + 2, named("hist-scored-first", json!({ "status": "new" }))),
                Telling {
                    at: Json::Null,
                    kind: "lead.scored",
                    timestamp: json!(T + 3),
                    says: json!({ "score": 12.5 }),
                },
            ],
        ),
        history(
            "hist-deleted-first",
            vec![delete(T - 10), delete(T + 10), tell(T, named("hist-deleted-first", json!({ "city": "Bonn" })))],
        ),
    ]
}
