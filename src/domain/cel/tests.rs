use std::collections::BTreeMap;
use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::domain::ids::{EventId, LeadKey};
use crate::domain::lead::{LeadField, Stamp, Version, VersionElement};
use crate::domain::time::Timestamp;

pub(crate) fn lead(json: &str) -> Lead {
    let stamp = Stamp {
        version: Version { elements: Vec::new(), rest: VersionElement::At(Timestamp::default()) },
        arrived_at: Timestamp::default(),
        arrival: EventId(1),
    };
    let Value::Object(fields) = Value::parse_json(json.as_bytes()).unwrap() else { panic!("a lead is an object") };
    let mut lead = Lead::new(LeadKey::new("klozeo", "cl_1"));
    lead.fields = fields.into_iter().map(|(name, value)| (name, LeadField { value, stamp: stamp.clone() })).collect();
    lead
}

fn ada() -> Lead {
    lead(
        r#"{"first_name":"Ada","last_name":"Lovelace","score":20,"ratio":0.1,"huge":1e400,"nothing":null,"blank":" ",
            "vip":true,"tags":["vip","Köln"],"address":{"city":"Köln","zip":""},"source":"website","First Name":"A",
            "attributes.industry":"Tools","attributes.a b":7}"#,
    )
}

/// The value as JSON, or the error.
fn told(source: &str, lead: &Lead) -> String {
    let expression = Expression::parse(source).unwrap_or_else(|mistake| panic!("{source}: {mistake}"));
    expression.evaluate(lead, Reading::Now).map_or_else(|error| format!("error: {error}"), |value| value.to_json())
}

#[track_caller]
fn check(source: &str, expected: &str) {
    assert_eq!(told(source, &ada()), expected, "{source}");
}

#[test]
fn fields_are_named_and_what_is_absent_is_null() {
    check(r#"first_name + " " + last_name"#, r#""Ada Lovelace""#);
    check("attributes.industry", r#""Tools""#);
    check(r#"attributes["a b"] + 1"#, "8");
    check(
        r#"[source, lead_id, lead.source, lead["First Name"], lead.attributes.industry]"#,
        r#"["klozeo","cl_1","website","A","Tools"]"#,
    );
    check("address.city", r#""Köln""#);
    for absent in [
        "nothing",
        "blank",
        "absent",
        "attributes.absent",
        "absent.city",
        "address.street",
        "address.zip",
        "lead.absent",
    ] {
        check(absent, "null");
    }
    check("absent == null && score != null", "true");
    check("has(attributes.industry) && !has(attributes.size) && !has(address.zip) && has(lead.score)", "true");
    check("\"industry\" in attributes && size(lead) > 5", "true");
}

#[test]
fn numbers_are_exact_and_of_one_kind() {
    check("score >= 20.0 && score == 20.00", "true");
    check("ratio + 0.2", "0.3");
    check("score * 1.1", "22");
    check("7 / 2", "3.5");
    check("int(7 / 2) + 7 % 2", "4");
    check("1 / 3", "0.3333333333333333333333333333");
    check("-score + 0x10", "-4");
    check("1 / 0", "error: / by zero");
    check("79228162514264337593543950335 + 1", "error: + gives more than 28 digits");
    check("huge", "1e400");
    check("huge > 1", "error: a number of more than 28 digits and a number cannot be compared");
    check("1 - -1 - 1 == 1 && 2 + 3 * 4 == 14 && (2 + 3) * 4 == 20", "true");
}

#[test]
fn an_error_is_an_error_and_never_false() {
    check("absent >= 20.0", "error: null and a number cannot be compared");
    check("absent + \"x\"", "error: + is given null and a text");
    check("absent && true", "error: && is given null, where true or false is needed");
    check("absent >= 1 && false", "false");
    check("absent >= 1 || vip", "true");
    check("absent >= 1 || !vip", "error: null and a number cannot be compared");
    check("score == \"20\"", "false");
    check("score ? 1 : 2", "error: ? is given a number, where true or false is needed");
    check("tags[2]", "error: a list has no item at this place; the first one is [0]");
    check("first_name.city", "error: the field city is asked of a text");
    let holds = |source: &str| Expression::parse(source).unwrap().holds(&ada(), Reading::Now);
    assert_eq!(holds("score >= 20.0"), Ok(true));
    assert_eq!(holds("score > 20"), Ok(false));
    assert_eq!(holds("score").unwrap_err().to_string(), "gives a number, where true or false is needed");
}

#[test]
fn lists_texts_and_functions_do_what_the_language_says() {
    check(
        r#"tags.exists(t, t == "vip") && !tags.all(t, size(t) == 3) && tags.exists_one(t, t.startsWith("K"))"#,
        "true",
    );
    check(r#"[1, 2, 3].filter(n, n > 1).map(n, n * score)"#, "[40,60]");
    check(r#"[1, 2, 3].map(n, n != 2, [n].map(m, m + n))"#, "[[2],[6]]");
    check(r#"[absent, 5].exists(n, n > 1)"#, "true");
    check(r#"[absent, 5].all(n, n > 1)"#, "error: null and a number cannot be compared");
    check(r#"[first_name, absent, last_name].filter(n, n != null).join(" ")"#, r#""Ada Lovelace""#);
    check(r#"{"a": 1, "b": 2}.map(k, k)"#, r#"["a","b"]"#);
    check(r#"status in ["MQL", "SQL"]"#, "false");
    check(r#"vip ? "yes" : "no""#, r#""yes""#);
    check(r#"tags[1].size()"#, "4");
    check(r#"tags[1].substring(1, 3) + tags[1].indexOf("ln").size()"#, "error: size() is given a number");
    check(r#"tags[1].substring(1, 3) + string(tags[1].indexOf("ln"))"#, r#""öl2""#);
    check(r#"first_name.upperAscii() + last_name.lowerAscii().replace("l", "") + " x ".trim()"#, r#""ADAoveacex""#);
    check(r#""a;b".split(";") + "ab".split("")"#, r#"["a","b","a","b"]"#);
    check(r#"first_name.matches("^A") && !matches(last_name, '^\\d+$')"#, "true");
    check(r#"int("12") + double("0.5") + (bool("true") ? 1 : 0)"#, "13.5");
    check(r#"double("1,5")"#, "error: a text is read as a number, and is none of at most 28 digits");
    check(r#"'it\'s ' + r"\d" + """ "q" """ + "\u00e4\x41\n" // a comment"#, r#""it's \\d \"q\" äA\n""#);
}

#[test]
fn a_mistake_is_told_with_its_place_and_what_to_write() {
    #[track_caller]
    fn check(source: &str, expected: &str) {
        let mistake = Expression::parse(source).unwrap_err();
        assert_eq!(format!("{mistake}; {}", mistake.remedy), expected, "{source}");
    }
    check("lower(email)", "character 1: there is no function lower(); did you mean lowerAscii()?");
    check(
        "a\n && ä",
        "line 2, character 5: 'ä' means nothing here; a name with such letters is written lead[\"…\"] or attributes[\"…\"]",
    );
    check(
        "score >= ",
        "character 10: the end stands here; expected: a value, such as a field, a number or a text in quotes",
    );
    check("score = 1", "character 7: '=' means nothing here; two values are compared with ==");
    check("a b", "character 3: the name b stands here; expected: an operator such as && or the end");
    check("(a", "character 3: the end stands here; expected: )");
    check("\"a", "character 1: the text is not closed with \"; close it, on the same line");
    check("trim(a)", "character 1: trim is not called so; write x.trim(…)");
    check("a.trim(1)", "character 3: trim() is given 1 arguments; it takes 0");
    check(
        "a.exists(1)",
        "character 3: exists takes a name for the item and what is asked of it; write it like tags.exists(t, t == \"vip\")",
    );
    check(
        "a.matches(\"(\")",
        "character 11: the pattern cannot be read: unclosed group; write a regular expression without look-around, as RE2 knows them",
    );
    check("  ", "character 1: the expression is empty; write one such as score >= 20");
    check("1.5x", "character 1: is no number; write one such as 20 or 20.5; a name begins with a letter");
    check("if", "character 1: if is a reserved word; a field of this name is written lead[\"if\"]");
}

#[test]
fn the_fields_that_are_read_are_known() {
    let reads = |source: &str| Expression::parse(source).unwrap().reads().iter().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        reads("first_name + attributes.x + attributes[\"a b\"] + lead[\"c d\"] + source + lead_id"),
        "attributes.a b attributes.x c d first_name"
    );
    assert_eq!(reads("tags.exists(t, t == city)"), "city tags");
    assert_eq!(reads("size(attributes)"), "attributes");
    assert_eq!(reads("has(address.city)"), "address.city");
}

#[test]
fn no_expression_takes_long_or_nests_too_deep() {
    for deep in [
        "(".repeat(1300),
        "[".repeat(1300),
        "-".repeat(1300),
        "1+".repeat(1300) + "1",
        "a.".repeat(1300) + "a",
        "a?".repeat(1300),
        "!(".repeat(1300),
    ] {
        assert!(Expression::parse(&deep).is_err(), "{}", &deep[..10]);
    }
    let long = lead(&format!(r#"{{"text":"{}","list":[{}1]}}"#, "x".repeat(500_000), "1,".repeat(20_000)));
    for source in [
        "list.all(a, list.all(b, list.all(c, true)))",
        "list.map(a, text)",
        "text.replace(\"\", text)",
        "text.split(\"\").map(a, text.split(\"\"))",
        "[text, text].map(a, [a, a].map(b, [b, b].map(c, c + c))).size() > 0",
    ] {
        let begun = Instant::now();
        let error = told(source, &long);
        assert_eq!(error, format!("error: takes more than {MOST_STEPS} steps"), "{source}");
        assert!(begun.elapsed().as_secs() < 5, "{source}");
    }
}

fn any_source() -> impl Strategy<Value = String> {
    let words = proptest::sample::select(vec![
        "score",
        "tags",
        "attributes",
        "lead",
        "absent",
        "address",
        "1",
        "0",
        "2.5",
        "\"a\"",
        "'ä'",
        "null",
        "true",
        "+",
        "-",
        "*",
        "/",
        "%",
        "&&",
        "||",
        "!",
        "==",
        "<",
        "in",
        "?",
        ":",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".",
        ",",
        "size",
        "map",
        "filter",
        "all",
        "has",
        "split",
        "substring",
        "replace",
        "join",
        "matches",
        "r",
        "\\",
        "79228162514264337593543950335",
        "t",
        ".size()",
        ".map(t,",
        "\n",
    ]);
    prop_oneof![proptest::collection::vec(words, 0..24).prop_map(|words| words.concat()), ".{0,40}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn nothing_that_is_written_makes_it_panic(source in any_source()) {
        match Expression::parse(&source) {
            Ok(expression) => {
                let value = expression.evaluate(&ada(), Reading::Now);
                prop_assert_eq!(&value, &expression.evaluate(&ada(), Reading::Lasting));
                prop_assert_eq!(Expression::parse(expression.source()).unwrap(), expression);
            }
            Err(mistake) => prop_assert!(mistake.line <= source.matches('\n').count() + 1 && !mistake.problem.is_empty()),
        }
    }

    #[test]
    fn what_is_there_comes_through_unchanged(text in "\\PC{1,30}", number in any::<i64>(), scale in 0u32..20) {
        let number = rust_decimal::Decimal::new(number, scale).normalize();
        let fields = BTreeMap::from([("text".to_owned(), Value::Text(text.clone())), ("number".to_owned(), Value::Number(number.to_string()))]);
        let lead = lead(&Value::Object(fields).to_json());
        let value = |source: &str| Expression::parse(source).unwrap().evaluate(&lead, Reading::Now).unwrap();
        prop_assert_eq!(value("text"), if text.trim().is_empty() { Value::Null } else { Value::Text(text) });
        prop_assert_eq!(value("number"), Value::Number(number.to_string()));
    }
}
