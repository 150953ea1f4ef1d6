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
/// `None` where nobody can tell where the secret stands: the name is in a body that is no XML, or in a tag that ends what
/// never began.
pub fn without_unread(body: &[u8], pointers: &[String]) -> Option<Vec<u8>> {
    // In UTF-16 no name would be found.
    if body.contains(&0) {
        return None;
    }
    pointers.iter().try_fold(body.to_vec(), |left, pointer| {
        // An element's place among others of its name is no name.
        let is_name = |part: &&str| !part.is_empty() && !part.bytes().all(|byte| byte.is_ascii_digit());
        emptied(&left, unescaped(pointer.rsplit('/').find(is_name)?).as_bytes())
    })
}

fn emptied(text: &[u8], element: &[u8]) -> Option<Vec<u8>> {
    let attribute = element.strip_prefix(b"@").filter(|name| !name.is_empty());
    let begins = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text).trim_ascii_start();
    if attribute.is_some() || !begins.starts_with(b"<") {
        return find(text, attribute.unwrap_or(element)).is_none().then(|| text.to_vec());
    }
    let mut left = Vec::with_capacity(text.len());
    let mut depth = 0_usize;
    for piece in Pieces(text) {
        match piece {
            Piece::Tag(tag) if is_named(tag, element) && tag.starts_with(b"</") => {
                depth = depth.checked_sub(1)?;
                if !tag.ends_with(b">") {
                    break;
                }
                if depth == 0 {
                    left.extend_from_slice(tag);
                }
            }
            Piece::Tag(tag) if is_named(tag, element) && !tag.ends_with(b"/>") => {
                if !tag.ends_with(b">") {
                    break;
                }
                if depth == 0 {
                    // Its attributes may be a part of the secret.
                    left.extend_from_slice(tag.get(..name_end(tag))?);
                    left.push(b'>');
                }
                depth += 1;
            }
            // Nothing is read of them.
            Piece::Unread(section) if find(section, element).is_some() => {}
            Piece::Open(rest) if find(rest, element).is_some() => break,
            Piece::Text(piece) | Piece::Tag(piece) | Piece::Unread(piece) | Piece::Open(piece) if depth == 0 => {
                left.extend_from_slice(piece);
            }
            Piece::Text(_) | Piece::Tag(_) | Piece::Unread(_) | Piece::Open(_) => {}
        }
    }
    Some(left)
}

/// What XML is made of, as far as it matters where an element begins and ends.
enum Piece<'a> {
    /// Between tags, or as a CDATA section.
    Text(&'a [u8]),
    /// Up to its `>`, or of a broken one up to the next `<`.
    Tag(&'a [u8]),
    /// A comment or a processing instruction.
    Unread(&'a [u8]),
    /// A section that does not end.
    Open(&'a [u8]),
}

/// Makes a piece of these bytes.
type MakePiece<'a> = fn(&'a [u8]) -> Piece<'a>;

/// Cuts a body into its pieces; together they are all of it.
struct Pieces<'a>(&'a [u8]);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let rest = self.0;
        let first = rest.first()?;
        // Tags may stand in those, and end nothing.
        let sections: [(&[u8], &[u8], MakePiece<'a>); 3] =
            [(b"<!--", b"-->", Piece::Unread), (b"<?", b"?>", Piece::Unread), (b"<![CDATA[", b"]]>", Piece::Text)];
        let section = sections.into_iter().find(|(begin, ..)| rest.starts_with(begin));
        let (length, piece): (usize, MakePiece<'a>) = match section {
            Some((begin, end, piece)) => match find(rest.get(begin.len()..)?, end) {
                Some(place) => (begin.len() + place + end.len(), piece),
                None => (rest.len(), Piece::Open),
            },
            None if *first == b'<' => (tag_length(rest), Piece::Tag),
            None => (rest.iter().position(|byte| *byte == b'<').unwrap_or(rest.len()), Piece::Text),
        };
        let (here, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some(piece(here))
    }
}

/// How far a tag goes. An attribute's value may hold `>`, but nothing in a tag `<`.
fn tag_length(rest: &[u8]) -> usize {
    let mut quote = None;
    for (place, byte) in rest.iter().enumerate().skip(1) {
        match (quote, *byte) {
            (_, b'<') => return place,
            (None, b'>') => return place + 1,
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    rest.len()
}

/// Where the name in a tag ends.
fn name_end(tag: &[u8]) -> usize {
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"/>".contains(byte);
    // Behind `<` or `</`.
    tag.iter().skip(2).position(is_end).map_or(tag.len(), |place| place + 2)
}

/// Whether a tag is of elements of this local name.
fn is_named(tag: &[u8], element: &[u8]) -> bool {
    let name = tag.get(1..name_end(tag)).map(|name| name.strip_prefix(b"/").unwrap_or(name));
    name.and_then(|name| name.strip_suffix(element)).is_some_and(|front| front.is_empty() || front.ends_with(b":"))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|here| here == part)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::super::xml::object;
    use super::*;

    #[test]
    fn of_what_is_not_read_nothing_is_kept_that_may_be_the_secret() {
        let check = |xml: &str, expected: Option<&str>| {
            let left = without_unread(xml.as_bytes(), &["/a/Key".to_owned()]);
            assert_eq!(left.as_deref().map(|left| std::str::from_utf8(left).unwrap()), expected, "{xml}");
        };
        check("<a><b>1</b></a>", Some("<a><b>1</b></a>"));
        check("<a><Key>s</Key><b>1</b></a>", Some("<a><Key></Key><b>1</b></a>"));
        check("\u{feff}\n<a><n:Key t=\"x>\">s</n:Key ><b>1</b></a", Some("\u{feff}\n<a><n:Key></n:Key ><b>1</b></a"));
        check("<a><Key n:nil=\"true\"/><b>1</b>", Some("<a><Key n:nil=\"true\"/><b>1</b>"));
        check("<a><Key>s</Key><c/><Key>t</Key><b>1</b>", Some("<a><Key></Key><c/><Key></Key><b>1</b>"));
        check("<a><Key>s<Key>t</Key>u<b/>v</Key><b>1</b>", Some("<a><Key></Key><b>1</b>"));
        for other in [
            "<sf:Key__c>1</sf:Key__c>",
            "<Web_Key>1</Web_Key>",
            "<n:Key.x/>",
            "<b>the Key</b>",
            "<b k=\"Key\">&lt;Key></b>",
            "<b><![CDATA[<Key> or </Key>]]></b>",
            "<b it's>1",
        ] {
            check(&format!("<a><Key>s</Key>{other}</a>"), Some(&format!("<a><Key></Key>{other}</a>")));
            check(&format!("<a>{other}<Key>s</Key></a>"), Some(&format!("<a>{other}<Key></Key></a>")));
            check(&format!("<a>{other}<c/></a>"), Some(&format!("<a>{other}<c/></a>")));
        }
        // What is in such a section ends no element, and may itself be the secret.
        check("<a><Key>s<![CDATA[</Key>t]]>u</Key><b>1</b></a>", Some("<a><Key></Key><b>1</b></a>"));
        check("<a><Key>s<!--</Key>-->t</Key><b>1</b></a>", Some("<a><Key></Key><b>1</b></a>"));
        check("<a><!--<Key>s</Key>--><!-- 1 --><?x Key?><?y?><b>1</b></a>", Some("<a><!-- 1 --><?y?><b>1</b></a>"));
        check("<a><b>1</b><!--<Key>s</Key>", Some("<a><b>1</b>"));
        check("<a><b>1</b><![CDATA[2", Some("<a><b>1</b><![CDATA[2"));
        for broken in
            ["s", "s</Ke", "s</Key", "s</b><b>", "s<b>Key</b>", "s<Key>", "s<![CDATA[</Key>", "s<Key a='>t</Key>"]
        {
            check(&format!("<a><Key>{broken}"), Some("<a><Key>"));
        }
        for broken in ["<Key", "<Key t=\"s", "<Key t='>s</Key>"] {
            check(&format!("<a><b>1</b>{broken}"), Some("<a><b>1</b>"));
        }
        for unknown in [r#"{"Key":"s"}"#, "s</Key><b>1</b>", "<a>s</Key><b>1</b>", "<a>s</Key", "<a\0>", "Key=s"] {
            check(unknown, None);
        }
        check(r#"{"b":"1"}"#, Some(r#"{"b":"1"}"#));
        assert_eq!(without_unread(b"<a\xff><Key>s</Key>", &["/Key".to_owned()]), Some(b"<a\xff><Key></Key>".to_vec()));
        // Of several by this name each; of attributes there is no telling.
        let left = |pointer: &str| without_unread(b"<a Id='s'><Key>s</Key></a>", &[pointer.to_owned()]);
        assert_eq!(left("/a/Key/0"), Some(b"<a Id='s'><Key></Key></a>".to_vec()));
        assert_eq!((left("/a/@Id"), left("/0")), (None, None));
    }

    /// XML with secrets in it, and the same with these elements empty.
    fn documents() -> impl Strategy<Value = (String, String)> {
        let same = |text: &str| (text.to_owned(), text.to_owned());
        let texts =
            ["", "Ada", "Key", "&lt;Key>", "<![CDATA[<Key>]]>", "<![CDATA[</n:Key>]]>", "<!-- <Key> -->", "<?x Key?>"];
        let leaf = select(texts.to_vec()).prop_map(same);
        let tree = leaf.prop_recursive(4, 24, 4, move |inner| {
            let names = select(vec!["a", "b", "n:b", "Key__c", "n:Key__c", "Web_Key", "Key.x", "Keys"]);
            let tags = select(vec!["", " k='>'", " k=\"<Key>'\" ", "\n"]).prop_map(|tag| tag.replace('<', "&lt;"));
            let secret = select(vec!["Key", "n:Key"]).prop_map(|name| (name, true));
            let name = prop_oneof![3 => names.prop_map(|name| (name, false)), 1 => secret];
            (name, tags, vec(inner, 0..4)).prop_map(|((name, is_secret), tag, inner)| {
                let (whole, emptied): (Vec<String>, Vec<String>) = inner.into_iter().unzip();
                let (whole, emptied) = (whole.concat(), emptied.concat());
                let of = |inner: &str| match inner {
                    "" => format!("<{name}{tag}/>"),
                    inner => format!("<{name}{tag}>{inner}</{name}{tag_end}>", tag_end = " ".repeat(tag.len() % 2)),
                };
                match is_secret {
                    true => (of(&format!("s3cret{whole}")), format!("<{name}></{name}>")),
                    false => (of(&whole), of(&emptied)),
                }
            })
        });
        vec(tree, 0..4).prop_map(|trees| {
            let (whole, emptied): (Vec<String>, Vec<String>) = trees.into_iter().unzip();
            (format!("<r>{}</r>", whole.concat()), format!("<r>{}</r>", emptied.concat()))
        })
    }

    proptest! {
        #[test]
        fn of_well_formed_xml_the_secrets_go_and_nothing_else((whole, emptied) in documents()) {
            let left = without_unread(whole.as_bytes(), &["/r/Key".to_owned()]).unwrap();
            prop_assert!(object(whole.as_bytes(), &[]).is_ok(), "{}", whole);
            prop_assert_eq!(object(&left, &[]), object(emptied.as_bytes(), &[]), "{}", whole);
            prop_assert!(find(&left, b"s3cret").is_none(), "{}", String::from_utf8_lossy(&left));
        }

        #[test]
        fn of_xml_that_breaks_off_no_secret_is_left((whole, _) in documents(), end in any::<Index>()) {
            let broken = whole.as_bytes().get(..end.index(whole.len())).unwrap();
            let left = without_unread(broken, &["/r/Key".to_owned()]).unwrap_or_default();
            prop_assert!(find(&left, b"s3").is_none(), "{}", String::from_utf8_lossy(&left));
        }
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
