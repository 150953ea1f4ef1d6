//! XML read as JSON: names without their namespaces, an element without elements inside as its text, one with some as an
//! object of them.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

use super::{Unreadable, body};
use crate::domain::value::{MAX_DEPTH, Value, ValueError};

/// The most elements and attributes that a document may have: a hundred records of a hundred fields, and some around them.
pub(super) const MAX_NODES: usize = 20_000;

/// The document as one object, its root element the only member.
///
/// Attributes of an element that has elements inside are members too, `@` before their names; `xsi:nil="true"` makes an
/// element null. An element that is repeated beside itself is a list; so is each at the end of one of the paths in `lists`,
/// however often it is there.
pub(super) fn object(body: &[u8], lists: &[Vec<String>]) -> Result<String, Unreadable> {
    let text = body::utf8(body.to_vec())?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(ValueError::Empty.into());
    }
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.expand_empty_elements = true;
    config.check_end_names = true;
    let mut document = Element::default();
    let mut open: Vec<Element> = Vec::new();
    let mut nodes = 0usize;
    loop {
        let inner = open.last_mut().unwrap_or(&mut document);
        match reader.read_event().map_err(|_| BROKEN)? {
            Event::Start(start) => {
                if open.len() >= MAX_DEPTH {
                    return Err(ValueError::TooDeep.into());
                }
                let element = Element::begin(&start)?;
                nodes += 1 + element.attributes.len();
                if nodes > MAX_NODES {
                    return Err(Unreadable::TooManyFields);
                }
                open.push(element);
            }
            Event::End(_) => {
                let done = open.pop().ok_or(BROKEN)?;
                let is_list = {
                    let path = open.iter().chain([&done]).map(|element| &element.name);
                    lists.iter().any(|list| path.clone().eq(list))
                };
                let (name, json) = done.into_json();
                open.last_mut().unwrap_or(&mut document).add(name, json, is_list);
            }
            Event::Text(text) => inner.text.push_str(&text.decode().map_err(|_| BROKEN)?),
            Event::CData(text) => inner.text.push_str(&text.decode().map_err(|_| BROKEN)?),
            Event::GeneralRef(reference) => {
                let name = reference.decode().map_err(|_| BROKEN)?;
                match reference.resolve_char_ref().map_err(|_| BROKEN)? {
                    Some(character) => inner.text.push(character),
                    None => inner.text.push_str(resolve_predefined_entity(&name).ok_or(BROKEN)?),
                }
            }
            // Whatever a document type declares, nothing of it is fetched or expanded.
            Event::DocType(_) => return Err(Unreadable::Xml("it has a document type")),
            Event::Eof => break,
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    let has_one_root = matches!(document.members.as_slice(), [(_, Member::One(_))]);
    if !open.is_empty() || !has_one_root || !document.text.trim().is_empty() {
        return Err(BROKEN);
    }
    Ok(document.into_json().1)
}

const BROKEN: Unreadable = Unreadable::Xml("it is not well formed, or breaks off");

/// An element that is being read.
#[derive(Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    is_nil: bool,
    text: String,
    members: Vec<(String, Member)>,
    /// Where in `members` a name stands.
    places: HashMap<String, usize>,
}

/// What stands under one name, as JSON.
enum Member {
    One(String),
    List(Vec<String>),
}

impl Element {
    fn begin(start: &BytesStart<'_>) -> Result<Self, Unreadable> {
        let mut element = Self { name: body::utf8(start.local_name().as_ref().to_vec())?, ..Self::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| BROKEN)?;
            let name = body::utf8(attribute.key.local_name().as_ref().to_vec())?;
            let value =
                attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(|_| BROKEN)?.into_owned();
            element.is_nil |= name == "nil" && value == "true";
            if attribute.key.as_namespace_binding().is_none() {
                element.attributes.push((format!("@{name}"), value));
            }
        }
        Ok(element)
    }

    fn add(&mut self, name: String, json: String, is_list: bool) {
        match self.places.get(&name).and_then(|place| self.members.get_mut(*place)) {
            Some((_, Member::List(items))) => items.push(json),
            Some((_, member)) => {
                let Member::One(first) = std::mem::replace(member, Member::List(Vec::new())) else { return };
                *member = Member::List(vec![first, json]);
            }
            None => {
                self.places.insert(name.clone(), self.members.len());
                self.members.push((name, if is_list { Member::List(vec![json]) } else { Member::One(json) }));
            }
        }
    }

    fn into_json(self) -> (String, String) {
        if self.members.is_empty() {
            let text = if self.is_nil { Value::Null } else { Value::Text(self.text) };
            return (self.name, text.to_json());
        }
        let attributes = self.attributes.into_iter().map(|(name, value)| (name, Value::Text(value).to_json()));
        let members = self.members.into_iter().map(|(name, member)| match member {
            Member::One(json) => (name, json),
            Member::List(items) => (name, format!("[{}]", items.join(","))),
        });
        let members = attributes.chain(members).map(|(name, json)| format!("{}:{json}", Value::Text(name).to_json()));
        (self.name, format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<String, Unreadable> {
        object(body.as_bytes(), &[vec!["a".into(), "item".into()]])
    }

    #[test]
    fn elements_become_members_and_texts() {
        let check = |body: &str, expected: &str| assert_eq!(read(body).unwrap(), expected, "{body}");
        check("<?xml version=\"1.0\"?>\n<a>x &amp; y&#228;<![CDATA[<z>]]></a>\n", r#"{"a":"x & yä<z>"}"#);
        check("<s:a xmlns:s=\"urn:s\"><s:b>1</s:b> <c/></s:a>", r#"{"a":{"b":"1","c":""}}"#);
        check("<a><b>1</b><c>2</c><b>3</b></a>", r#"{"a":{"b":["1","3"],"c":"2"}}"#);
        check("<a><item><n>1</n></item></a>", r#"{"a":{"item":[{"n":"1"}]}}"#);
        check("<a><b><item>1</item></b></a>", r#"{"a":{"b":{"item":"1"}}}"#);
        check(
            "<a t:type='sf:Lead'><b x:nil=\"true\"/><c k=\"left out\">d</c></a>",
            r#"{"a":{"@type":"sf:Lead","b":null,"c":"d"}}"#,
        );
        check("\u{feff}<a>\"\\\u{1f600}</a>", "{\"a\":\"\\\"\\\\\u{1f600}\"}");
    }

    #[test]
    fn what_is_no_document_is_refused_by_name() {
        for body in [
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "a",
            "<a/>tail",
            "<a>&unknown;</a>",
            "<a b></a>",
            "<a b=\"1\" b=\"2\"/>",
            "{}",
        ] {
            assert_eq!(read(body), Err(BROKEN), "{body}");
        }
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
        assert_eq!(read(bomb), Err(Unreadable::Xml("it has a document type")));
        assert_eq!(read(" "), Err(ValueError::Empty.into()));
        assert_eq!(object(b"<a>\xff</a>", &[]), Err(ValueError::NotUtf8(3).into()));
        assert_eq!(read(&"<a>".repeat(10_000)), Err(ValueError::TooDeep.into()));
        let many: String = (0..MAX_NODES).map(|n| format!("<m{n}/>")).collect();
        assert_eq!(read(&format!("<a>{many}</a>")), Err(Unreadable::TooManyFields));
        let fewer = many.trim_end_matches(&format!("<m{}/>", MAX_NODES - 1));
        assert!(read(&format!("<a>{fewer}</a>")).is_ok());
    }

    #[test]
    fn a_large_document_is_read_in_time() {
        let text = "x".repeat(2_000);
        let fields: String = (0..9_000).map(|n| format!("<f{n}>{text}</f{n}>")).collect();
        let began = std::time::Instant::now();
        let json = read(&format!("<r1><r2><r3><r4><r5>{fields}</r5></r4></r3></r2></r1>")).unwrap();
        assert!(json.len() > 18_000_000 && began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }
}
