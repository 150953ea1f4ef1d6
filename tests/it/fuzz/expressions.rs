//! Value expressions: what is read prints the same, and looking up by it never panics.

use leadrelay::domain::envelope::{Expression, ReadRules, Reader};

use super::{for_a_while, strung};

const PIECES: &[&str] = &[
    "/",
    "a",
    "/a",
    "/b/0",
    "~0",
    "~1",
    "~",
    "|",
    " | ",
    " ",
    "{",
    "}",
    "{/a}",
    "{^/b}",
    "^",
    "^/",
    "header:",
    "X-A",
    "=",
    "sha256:",
    "find(",
    "find(/a, /b = x, /a)",
    ", ",
    " = ",
    ")",
    "{header:X-A}",
    "{sha256:/a}",
    "=text",
    "*",
    "é",
    "\u{2028}",
    "\0",
    "\\",
    "\"",
];

#[test]
fn an_expression_that_is_read_prints_as_it_is_read_again() {
    let body = br#"{"a":{"a":["x",null],"":1.50},"b":["y"],"~":true,"*":" "}"#;
    let headers = vec![("x-a".to_owned(), "from a header".to_owned())];
    let mut read = 0;
    for_a_while(|rng| {
        let text = strung(rng, PIECES, 8);
        let Ok(expression) = Expression::parse(&text) else { return };
        read += 1;
        let printed = expression.to_string();
        assert_eq!(Expression::parse(&printed).as_ref(), Ok(&expression), "{text:?} prints as {printed:?}");
        let rules = ReadRules {
            event_id: Some(expression.clone()),
            event_type: Some(expression.clone()),
            fields: vec![("x".into(), expression.clone())],
            ..ReadRules::new(expression)
        };
        let reader = Reader::new(rules).unwrap();
        assert_eq!(reader.read_intake(body, &headers).unwrap().len(), 1);
    });
    assert!(read > 0, "no text was an expression");
}
