//! Taking a secret out of a body that carries one and was read, before it is stored.

use std::borrow::Cow;

use crate::domain::value::Value;
use crate::domain::value::raw::{RawJson, unescaped};

/// The JSON text without what stands under a pointer, wherever a name on the way is repeated; every other value byte for
/// byte. Of a list's item a null is left, so that its neighbours keep their places.
pub fn without(json: RawJson<'_>, pointer: &str) -> String {
    let path: Vec<Cow<'_, str>> = pointer.split('/').skip(1).map(unescaped).collect();
    left(json, &path).unwrap_or_else(|| "null".to_owned())
}

/// What is left of a value; nothing where all of it is to go.
fn left(value: RawJson<'_>, path: &[Cow<'_, str>]) -> Option<String> {
    let (name, rest) = path.split_first()?;
    if let Some(members) = value.members() {
        let kept = members.into_iter().filter_map(|(known, member)| {
            let text = if known == *name { left(member, rest)? } else { member.text().to_owned() };
            Some(format!("{}:{text}", Value::Text(known.into_owned()).to_json()))
        });
        return Some(format!("{{{}}}", kept.collect::<Vec<_>>().join(",")));
    }
    let (Some(items), Ok(place)) = (value.items(), name.parse::<usize>()) else { return Some(value.text().to_owned()) };
    let kept = items.into_iter().enumerate().map(|(index, item)| match index == place {
        true => left(item, rest).unwrap_or_else(|| "null".to_owned()),
        false => item.text().to_owned(),
    });
    Some(format!("[{}]", kept.collect::<Vec<_>>().join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_gone_from_the_body_however_often_it_stands_there() {
        let check = |pointer: &str, body: &str, expected: &str| {
            assert_eq!(without(RawJson::parse(body.as_bytes()).unwrap(), pointer), expected, "{pointer}");
        };
        check("/key", r#"{"key":"a", "n": 9007199254740993 ,"key":["b"]}"#, r#"{"n":9007199254740993}"#);
        check(
            "/a/k~1y",
            r#"{"a":{"k/y":"s","b":1.50},"a":{"k\/y":"s"},"k/y":2}"#,
            r#"{"a":{"b":1.50},"a":{},"k/y":2}"#,
        );
        check("/0/key", r#"[{"key":"s","x":1},{"key":"t"}]"#, r#"[{"x":1},{"key":"t"}]"#);
        check("/1", r#"["a","s","c"]"#, r#"["a",null,"c"]"#);
        check("/key", r#"{"other":{"key":"kept"}}"#, r#"{"other":{"key":"kept"}}"#);
        check("", r#"{"a":1}"#, "null");
    }
}
