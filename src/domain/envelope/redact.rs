//! Taking a secret out of a body that carries one, before it is stored.
//!
//! What was read is cut exactly. Of XML that cannot be read, or may not be since nobody has proven who sent it, only so much
//! is kept as cannot hold the secret.

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

/// A body, whole or broken, without what stands in the XML elements that these pointers end with: found by their tags, in one
/// pass and without reading the document. Where such an element breaks off, so does what is left.
///
/// `None` where the name is there otherwise than in a tag, so that nobody can tell where the secret stands.
pub fn without_unread(body: &[u8], pointers: &[String]) -> Option<Vec<u8>> {
    // In UTF-16 no name would be found.
    if body.contains(&0) {
        return None;
    }
    pointers.iter().try_fold(body.to_vec(), |left, pointer| emptied(&left, &unescaped(pointer.rsplit('/').next()?)))
}

fn emptied(text: &[u8], element: &str) -> Option<Vec<u8>> {
    let name = Some(element.as_bytes()).filter(|name| !name.is_empty())?;
    let mut places = text.windows(name.len()).enumerate().filter(|(_, here)| *here == name).map(|(place, _)| place);
    let Some(first) = places.next() else { return Some(text.to_vec()) };
    let last = places.next_back().unwrap_or(first);
    let (front, rest) = text.split_at_checked(first)?;
    ends_in_tag(front, b"<")?;
    let Some(length) = rest.iter().position(|byte| *byte == b'>') else { return Some(front.to_vec()) };
    let begun = text.get(..=first + length)?;
    if last == first && begun.ends_with(b"/>") {
        return Some(text.to_vec());
    }
    // The secret may be all that follows, unless the last that is said of the element is that it ends.
    let end = text.get(..last).and_then(|before| ends_in_tag(before, b"</")).and_then(|end| text.get(end..));
    Some([begun, end.unwrap_or_default()].concat())
}

/// Where the tag begins that a text ends in, right before its local name.
fn ends_in_tag(text: &[u8], beginning: &[u8]) -> Option<usize> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let front = text.strip_suffix(b":").map_or(text, |front| {
        let prefix = front.iter().rev().take_while(|byte| is_name(byte)).count();
        front.get(..front.len() - prefix).unwrap_or_default()
    });
    front.strip_suffix(beginning).map(<[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_not_read_nothing_is_kept_that_may_be_the_secret() {
        let check = |xml: &str, expected: Option<&str>| {
            let left = without_unread(xml.as_bytes(), &["/a/Key".to_owned()]);
            assert_eq!(left.as_deref().map(|left| std::str::from_utf8(left).unwrap()), expected, "{xml}");
        };
        check("<a><b>1</b></a>", Some("<a><b>1</b></a>"));
        check("<a><Key>s</Key><b>1</b></a>", Some("<a><Key></Key><b>1</b></a>"));
        check("<a><n:Key t=\"x\">s</n:Key ><b>1</b></a", Some("<a><n:Key t=\"x\"></n:Key ><b>1</b></a"));
        check("<a><Key n:nil=\"true\"/><b>1</b>", Some("<a><Key n:nil=\"true\"/><b>1</b>"));
        check("<a><Key>s</Key><c/><Key>t</Key><b>1</b>", Some("<a><Key></Key><b>1</b>"));
        for broken in ["<a><Key>s", "<a><Key>s</Ke", "<a><Key>s</b><b>", "<a><Key>s<b>Key</b>", "<a><Key>s<Key>"] {
            check(broken, Some("<a><Key>"));
        }
        check("<a><b>1</b><Key", Some("<a><b>1</b><"));
        for unknown in [r#"{"Key":"s"}"#, "s</Key><b>1</b>", "<MyKey>s</MyKey>", "<a\0>", "Key=s"] {
            check(unknown, None);
        }
        assert_eq!(without_unread(b"<a\xff><Key>s</Key>", &["/Key".to_owned()]), Some(b"<a\xff><Key></Key>".to_vec()));
    }

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
