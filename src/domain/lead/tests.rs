use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn key() -> LeadKey {
    LeadKey::new("klozeo", "cl_1")
}

fn version(elements: &[i64]) -> Version {
    let elements = elements.iter().map(|second| VersionElement::At(Timestamp::from_seconds(*second))).collect();
    Version { elements, rest: VersionElement::At(Timestamp::from_seconds(0)) }
}

fn stamp(elements: &[i64], arrival: i64) -> Stamp {
    Stamp {
        version: version(elements),
        arrived_at: Timestamp::from_seconds(1_000 + arrival),
        arrival: EventId(arrival),
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn upsert(second: i64, arrival: i64, fields: &[(&str, Value)]) -> Change {
    Change {
        kind: ChangeKind::Upsert,
        stamp: stamp(&[second], arrival),
        field_stamps: BTreeMap::new(),
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        full: false,
        disbelieved: false,
    }
}

fn delete(second: i64, arrival: i64) -> Change {
    let mut stamp = stamp(&[second], arrival);
    stamp.version.rest = VersionElement::Infinite;
    Change { kind: ChangeKind::Delete, stamp, ..upsert(second, arrival, &[]) }
}

fn folded<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Lead {
    let mut lead = Lead::new(key());
    for change in changes {
        lead.fold(change);
    }
    lead
}

#[test]
fn a_version_with_fewer_elements_counts_them_as_zero() {
    assert_eq!(version(&[5]), version(&[5, 0, 0]));
    assert!(version(&[5]) < version(&[5, 1]));
    assert!(version(&[5, 9]) < version(&[6]));
    assert!(version(&[]) < version(&[0, 0, 1]));
    assert!(version(&[5]) > version(&[5, -1]));
}

#[test]
fn a_late_event_fills_what_is_unknown_and_takes_nothing_back() {
    let mut lead = Lead::new(key());
    assert!(lead.fold(&upsert(5, 1, &[("name", text("new")), ("phone", text("1"))])));
    assert!(lead.fold(&upsert(3, 2, &[("name", text("old")), ("email", text("a@b.example"))])));
    assert_eq!(lead.get("name"), Some(&text("new")));
    assert_eq!(lead.get("phone"), Some(&text("1")));
    assert_eq!(lead.get("email"), Some(&text("a@b.example")));
    assert!(!lead.fold(&upsert(3, 2, &[("name", text("old"))])), "said twice");
}

#[test]
fn of_equal_versions_the_later_arrival_wins() {
    let (open, closed) = (upsert(5, 1, &[("status", text("open"))]), upsert(5, 2, &[("status", text("closed"))]));
    for order in [[&open, &closed], [&closed, &open]] {
        assert_eq!(folded(order).get("status"), Some(&text("closed")));
    }
}

#[test]
fn the_last_value_of_a_field_that_is_null_is_kept_whatever_the_order() {
    let (first, second) = (upsert(1, 1, &[("city", text("Berlin"))]), upsert(2, 2, &[("city", text("Paris"))]));
    let (third, fourth) = (upsert(3, 3, &[("city", Value::List(vec![]))]), upsert(4, 4, &[("city", Value::Null)]));
    for order in
        [[&first, &second, &third, &fourth], [&fourth, &first, &third, &second], [&third, &second, &fourth, &first]]
    {
        let lead = folded(order);
        assert_eq!((lead.get("city"), lead.get_lasting("city")), (Some(&Value::Null), Some(&text("Paris"))));
    }
    let mut lead = folded([&first, &third]);
    assert!(lead.fold(&second), "a late value moves what is kept");
    lead.fold(&upsert(5, 5, &[("city", text("Rome"))]));
    assert_eq!(lead.get_lasting("city"), Some(&text("Rome")));
    assert!(lead.lasting.is_empty(), "only what a null hides is kept");
    assert_eq!(folded([&fourth]).get_lasting("city"), Some(&Value::Null));
    assert_eq!(folded([&third]).get_lasting("street"), None);
}

#[test]
fn a_field_with_a_version_of_its_own_moves_by_it() {
    let scored = |second, own, arrival, score: &str| Change {
        field_stamps: BTreeMap::from([("score".to_owned(), stamp(&[own], arrival))]),
        ..upsert(second, arrival, &[("score", Value::Number(score.into())), ("name", text(score))])
    };
    let (first, second) = (scored(5, 7, 1, "88"), scored(6, 6, 2, "10"));
    for order in [[&first, &second], [&second, &first]] {
        let lead = folded(order);
        assert_eq!(lead.get("score"), Some(&Value::Number("88".into())));
        assert_eq!(lead.get("name"), Some(&text("10")));
    }
}

#[test]
fn a_full_payload_clears_what_is_older_and_not_named() {
    let full = Change { full: true, ..upsert(5, 2, &[("name", text("Ada"))]) };
    let (older, newer) = (upsert(4, 1, &[("phone", text("1"))]), upsert(6, 3, &[("city", text("Paris"))]));
    for order in [[&older, &full, &newer], [&newer, &full, &older], [&full, &older, &newer]] {
        let lead = folded(order);
        assert_eq!(lead.get("phone"), Some(&Value::Null));
        assert_eq!(lead.get("city"), Some(&text("Paris")));
        assert_eq!(lead.get("name"), Some(&text("Ada")));
        assert_eq!(lead.get("email"), None);
    }
}

#[test]
fn a_full_payload_does_not_measure_a_field_of_its_own_version_by_the_events() {
    let full = |second, own, arrival, score: &str| Change {
        field_stamps: BTreeMap::from([("score".to_owned(), stamp(&[own], arrival))]),
        full: true,
        ..upsert(second, arrival, &[("score", Value::Number(score.into()))])
    };
    let (older, newer) = (full(5, 3, 1, "88"), full(6, 2, 2, "10"));
    for order in [[&older, &newer], [&newer, &older]] {
        assert_eq!(folded(order).get("score"), Some(&Value::Number("88".into())));
    }
}

#[test]
fn only_something_newer_revives_a_deleted_lead() {
    let mut lead = folded([&delete(5, 1)]);
    assert!(lead.is_deleted() && !lead.is_alive());
    lead.fold(&upsert(5, 2, &[("name", text("same second"))]));
    assert!(lead.is_deleted());
    lead.fold(&upsert(6, 3, &[]));
    assert!(lead.is_alive());
    assert!(lead.fold(&delete(7, 4)) && !lead.fold(&delete(6, 5)));
    assert!(lead.is_deleted());
    let unknown = Lead::new(key());
    assert!(!unknown.is_alive() && !unknown.is_deleted());
}

#[test]
fn a_path_goes_by_the_longest_field_name_and_then_into_objects() {
    let object = |json: &str| Value::parse_json(json.as_bytes()).unwrap();
    let lead = folded([&upsert(
        1,
        1,
        &[
            ("attributes.size", text("small")),
            ("attributes.size.eu", object(r#"{"min":1,"a.b":{"c":2}}"#)),
            ("address", object(r#"{"city":"Paris","gone":null}"#)),
            ("tags", object(r#"["a"]"#)),
            ("", text("no name")),
        ],
    )]);
    let check = |path: &str, expected: Option<&str>| {
        assert_eq!(lead.get(path).map(Value::to_json).as_deref(), expected, "{path}");
    };
    check("attributes.size", Some("\"small\""));
    check("attributes.size.eu.min", Some("1"));
    check("attributes.size.eu.a.b.c", Some("2"));
    check("attributes.size.us", None);
    check("address.city", Some("\"Paris\""));
    check("address.gone", Some("null"));
    check("address.city.x", None);
    check("tags.0", None);
    check("tags.", None);
    check("", Some("\"no name\""));
    check(".", None);
}

#[test]
fn a_redelivery_counts_with_its_first_copys_arrival() {
    let arrival = |micros, event| Arrival { at: Timestamp::from_micros(micros), event: EventId(event) };
    let first = arrival(0, 1);
    assert_eq!(arrival(5_000_000, 2).effective(Some(first)), arrival(5_000_000, 2), "not more than 5 s later");
    assert_eq!(arrival(5_000_001, 2).effective(Some(first)), first);
    assert_eq!(arrival(-9_000_000, 2).effective(Some(first)), arrival(-9_000_000, 2), "the clock was set back");
    assert_eq!(arrival(5_000_001, 2).effective(None), arrival(5_000_001, 2));
}

#[test]
fn the_stored_form_is_compact_and_holds_all_but_the_key() {
    let mut lead = folded([&upsert(5, 1, &[("a", text("x")), ("n", Value::Number("1.50".into()))])]);
    lead.fold(&delete(6, 2));
    let json = lead.to_json();
    assert_eq!(
        json,
        concat!(
            r#"{"fields":{"a":["x",0],"n":[1.50,0]},"#,
            r#""stamps":[{"version":[5000000],"at":1001000000,"event":1},"#,
            r#"{"version":[6000000],"rest":null,"at":1002000000,"event":2}],"latest":0,"deleted":1}"#
        )
    );
    assert_eq!(Lead::from_json(key(), &json).unwrap(), lead);
}

#[test]
fn a_stored_lead_that_is_none_is_an_error() {
    assert!(matches!(Lead::from_json(key(), "{"), Err(StoredLeadError::Form(_))));
    assert!(matches!(Lead::from_json(key(), r#"{"fields":{},"stamps":[],"latest":0}"#), Err(StoredLeadError::Stamp)));
}

fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| Value::Number(number.to_string())),
        "-?[1-9][0-9]{0,30}(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?".prop_map(Value::Number),
        ".{0,6}".prop_map(Value::Text),
    ];
    scalar.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            prop::collection::btree_map(".{0,3}", inner, 0..3).prop_map(Value::Object),
        ]
    })
}

/// Changes of one source: it is the source's rules, and no single event, that give a field a version of its own.
fn any_changes() -> impl Strategy<Value = Vec<Change>> {
    let fields = prop::collection::btree_map("[a-c]|score", any_value(), 0..4);
    let change = (0..4i64, 0..3i64, fields, any::<bool>(), 0..5u8, 0..3i64);
    prop::collection::vec(change, 0..8).prop_map(|changes| {
        let numbered = changes.into_iter().zip(1..);
        let build = |((second, own, fields, full, kind, element), arrival): ((_, _, _, _, _, _), i64)| {
            if kind == 0 {
                return delete(second, arrival);
            }
            let mut change = Change { stamp: stamp(&[second, element], arrival), ..upsert(second, arrival, &[]) };
            change.fields = fields;
            change.full = full;
            change.field_stamps.insert("score".into(), stamp(&[own], arrival));
            if full {
                change.fields.entry("score".into()).or_insert(Value::Null);
            }
            change
        };
        numbered.map(build).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn folding_depends_neither_on_order_nor_on_repeats(
        (changes, shuffled) in any_changes().prop_flat_map(|changes| {
            let repeated = changes.iter().chain(changes.iter().take(3)).cloned().collect::<Vec<_>>();
            (Just(changes), Just(repeated).prop_shuffle())
        })
    ) {
        let (lead, other) = (folded(&changes), folded(&shuffled));
        prop_assert_eq!(&lead, &other);
        let mut again = lead.clone();
        for change in &changes {
            prop_assert!(!again.fold(change), "a change moved something twice");
        }
        prop_assert_eq!(&again, &lead);
    }

    #[test]
    fn each_field_is_what_the_newest_change_said_of_it(changes in any_changes()) {
        let lead = folded(&changes);
        let names: BTreeSet<&String> = changes.iter().flat_map(|change| change.fields.keys()).collect();
        for name in names.into_iter().filter(|name| *name != "score") {
            let says = changes.iter().filter(|change| change.kind == ChangeKind::Upsert);
            let says = says.filter(|change| change.full || change.fields.contains_key(name));
            let newest = says.max_by(|a, b| a.stamp.cmp(&b.stamp)).unwrap();
            let expected = newest.fields.get(name).unwrap_or(&Value::Null);
            prop_assert_eq!(&lead.fields[name].value, expected, "{}", name);
            let told = changes.iter().filter(|change| change.kind == ChangeKind::Upsert);
            let told = told.filter_map(|change| Some((&change.stamp, change.fields.get(name)?)));
            let told = told.filter(|(_, value)| !value.says_nothing()).max_by(|a, b| a.0.cmp(b.0));
            let lasting = told.map_or(&lead.fields[name].value, |(_, value)| value);
            prop_assert_eq!(lead.get_lasting(name).unwrap(), lasting, "{} lasts", name);
        }
    }

    #[test]
    fn a_stored_lead_is_read_back_as_it_was(changes in any_changes()) {
        let lead = folded(&changes);
        prop_assert_eq!(Lead::from_json(key(), &lead.to_json()).unwrap(), lead);
    }
}
