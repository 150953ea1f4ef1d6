//! JSON read piece by piece from its text, so that nothing is built that nobody asked for.
//!
//! Going by the text also keeps every digit of a number, and takes no key of a payload for one of serde_json's own.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::{Value, ValueError, nests_too_deep};

/// A JSON value as text, known to be well-formed and not too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawJson<'a>(&'a str);

impl<'a> RawJson<'a> {
    /// Checks a whole document. What passes can be read to its last value.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ValueError> {
        let text = readable(bytes)?;
        let raw: &RawValue = serde_json::from_str(text).map_err(broken)?;
        Self::checked(raw.get())
    }

    /// Skipping over a string does not look at its surrogates; where there may be some, everything is read once.
    fn checked(text: &'a str) -> Result<Self, ValueError> {
        if text.contains("\\ud") || text.contains("\\uD") {
            build(text).map_err(broken)?;
        }
        Ok(Self(text))
    }

    /// The value's JSON text, byte for byte.
    pub fn text(self) -> &'a str {
        self.0
    }

    pub fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// The members of an object in their order; a repeated name is listed again.
    pub fn members(self) -> Option<Members<'a>> {
        members(self.0).ok()
    }

    /// The items of a list.
    pub fn items(self) -> Option<Vec<RawJson<'a>>> {
        let items: Vec<&RawValue> = serde_json::from_str(self.0).ok()?;
        Some(items.into_iter().map(|item| Self(item.get())).collect())
    }

    /// Follows a JSON pointer (RFC 6901); of a repeated name the last value counts.
    pub fn pointer(self, pointer: &str) -> Option<RawJson<'a>> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, token| match value.0.as_bytes().first() {
            Some(b'{') => last(&value.members()?, token),
            Some(b'[') => value.items()?.get(token.parse::<usize>().ok()?).copied(),
            _ => None,
        })
    }

    /// The text of a scalar: text as it is, a number's digits, `true` or `false`.
    pub fn scalar_text(self) -> Option<Cow<'a, str>> {
        match self.0.as_bytes().first()? {
            b'"' => serde_json::from_str::<Name>(self.0).ok().map(|name| name.0),
            b'{' | b'[' | b'n' => None,
            _ => Some(Cow::Borrowed(self.0)),
        }
    }

    /// The whole value.
    pub fn to_value(self) -> Value {
        build(self.0).unwrap_or(Value::Null)
    }
}

/// The members of an object in their order.
pub type Members<'a> = Vec<(Cow<'a, str>, RawJson<'a>)>;

/// A JSON value whose members are listed once, for several looks into it.
#[derive(Clone)]
pub struct Document<'a> {
    raw: RawJson<'a>,
    /// None where the value is no object.
    members: Members<'a>,
}

impl<'a> Document<'a> {
    /// Checks a whole document as [`RawJson::parse`] does, and lists its members in the same pass.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ValueError> {
        let text = readable(bytes)?;
        if !text.trim_start().starts_with('{') {
            return RawJson::parse(bytes).map(Self::of);
        }
        let members = members(text).map_err(broken)?;
        Ok(Self { raw: RawJson::checked(text.trim())?, members })
    }

    /// A value that was checked before.
    pub fn of(raw: RawJson<'a>) -> Self {
        Self { raw, members: raw.members().unwrap_or_default() }
    }

    /// The value itself.
    pub fn raw(&self) -> RawJson<'a> {
        self.raw
    }

    /// Follows a JSON pointer, as [`RawJson::pointer`] does.
    pub fn pointer(&self, pointer: &str) -> Option<RawJson<'a>> {
        if self.members.is_empty() || pointer.is_empty() {
            return self.raw.pointer(pointer);
        }
        let path = pointer.strip_prefix('/')?;
        match path.find('/') {
            None => last(&self.members, path),
            Some(end) => last(&self.members, &path[..end])?.pointer(&path[end..]),
        }
    }
}

/// The value that counts under a name: the last one.
fn last<'a>(members: &Members<'a>, token: &str) -> Option<RawJson<'a>> {
    let name = unescaped(token);
    members.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// A token of a JSON pointer with `~1` and `~0` read as what they stand for.
pub fn unescaped(token: &str) -> Cow<'_, str> {
    if token.contains('~') { Cow::Owned(token.replace("~1", "/").replace("~0", "~")) } else { Cow::Borrowed(token) }
}

fn readable(bytes: &[u8]) -> Result<&str, ValueError> {
    let text = std::str::from_utf8(bytes).map_err(|error| ValueError::NotUtf8(error.valid_up_to()))?;
    // Some senders begin with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.bytes().all(|byte| byte.is_ascii_whitespace()) {
        return Err(ValueError::Empty);
    }
    if nests_too_deep(bytes) { Err(ValueError::TooDeep) } else { Ok(text) }
}

fn broken(error: serde_json::Error) -> ValueError {
    ValueError::Broken(error.to_string())
}

/// As deep as the document nests, which was checked before.
fn build(text: &str) -> Result<Value, serde_json::Error> {
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let built = members(text)?.into_iter().map(|(name, value)| Ok((name.into_owned(), build(value.0)?)));
            Value::Object(built.collect::<Result<_, serde_json::Error>>()?)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            Value::List(items.into_iter().map(|item| build(item.get())).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Value::Text(serde_json::from_str(text)?),
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'n') | None => Value::Null,
        Some(_) => Value::Number(text.to_owned()),
    })
}

fn members(text: &str) -> Result<Members<'_>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let members = json.deserialize_map(MembersVisitor)?;
    json.end()?;
    Ok(members)
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(8);
        while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            members.push((name.0, RawJson(value.get())));
        }
        Ok(members)
    }
}

/// Text that is copied only where it holds escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A value as serde writes it, without building serde_json's own tree first.
pub(crate) struct Json<'a>(pub &'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            // As text: serde_json's own number would write 1e5 as 1e+5, and a value read back would not equal itself.
            Value::Number(digits) => match serde_json::from_str::<&RawValue>(digits) {
                Ok(number) => number.serialize(serializer),
                Err(_) => serializer.serialize_unit(),
            },
            Value::Text(text) => serializer.serialize_str(text),
            Value::List(items) => serializer.collect_seq(items.iter().map(Json)),
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, &Json(value))?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_reads_no_more_than_it_needs_and_the_last_of_a_repeated_name_counts() {
        let document = Document::parse(br#" {"a":{"id":1},"a/b":[{"x":"\u00e4"}],"a":{"n":"12"}} "#).unwrap();
        let raw = document.raw();
        assert_eq!(raw.pointer("/a/id"), None);
        assert_eq!(raw.pointer("/a/n").and_then(RawJson::scalar_text).as_deref(), Some("12"));
        assert_eq!(raw.pointer("/a~1b/0/x").and_then(RawJson::scalar_text).as_deref(), Some("ä"));
        assert_eq!(raw.pointer("/a~1b/1"), None);
        for pointer in ["", "/a", "/a/n", "/a~1b/0", "/a~1b/0/x", "/a/b/c", "/", "a"] {
            assert_eq!(document.pointer(pointer), raw.pointer(pointer), "{pointer}");
        }
    }

    #[test]
    fn a_byte_order_mark_before_the_document_is_no_part_of_it() {
        let marked = |text: &str| format!("\u{feff}{text}").into_bytes();
        let body = marked(r#" {"a":"\ufeffx"}"#);
        let document = Document::parse(&body).unwrap();
        assert_eq!(document.pointer("/a").and_then(RawJson::scalar_text).as_deref(), Some("\u{feff}x"));
        assert_eq!(RawJson::parse(&marked("[1]")).unwrap().text(), "[1]");
        assert_eq!(RawJson::parse(&marked("\n")), Err(ValueError::Empty));
        assert!(RawJson::parse(&marked("\u{feff}1")).is_err());
    }

    #[test]
    fn half_a_surrogate_pair_is_broken_json_wherever_it_stands() {
        for text in [r#"{"a":{"b":["\ud800"]}}"#, r#"{"a":{"\uDC00":1}}"#, r#""\ud83d""#] {
            assert!(matches!(Document::parse(text.as_bytes()), Err(ValueError::Broken(_))), "{text}");
        }
        assert!(RawJson::parse(br#"{"a":"\ud83d\ude80"}"#).is_ok());
    }

    #[test]
    fn a_payload_cannot_speak_in_the_parsers_own_keys() {
        for key in ["$serde_json::private::Number", "$serde_json::private::RawValue"] {
            let text = format!(r#"{{"a":{{"{key}":"not 1 number"}}}}"#);
            let value = Value::parse_json(text.as_bytes()).unwrap();
            assert_eq!(value.pointer(&format!("/a/{key}")), Some(&Value::Text("not 1 number".into())), "{text}");
        }
    }

    #[test]
    fn a_number_is_written_as_it_was_sent() {
        for digits in ["1e5", "1E5", "1e+5", "1E-05", "-0", "-0.0", "0.10", "1e400", "123456789012345678901234567890"] {
            let value = Value::parse_json(digits.as_bytes()).unwrap();
            assert_eq!(value, Value::Number(digits.into()));
            assert_eq!(value.to_json(), digits);
        }
    }

    #[test]
    fn what_follows_the_document_is_refused() {
        assert!(matches!(Document::parse(b"{} {}"), Err(ValueError::Broken(_))));
        assert!(matches!(Document::parse(b"{\"a\":1"), Err(ValueError::Broken(_))));
        assert!(matches!(RawJson::parse(b"nul"), Err(ValueError::Broken(_))));
        assert_eq!(Document::parse(b"\"x\"").map(|document| document.raw().text()), Ok("\"x\""));
    }
}
