//! As much of XML as a SOAP call needs: elements with text, without attributes' meaning and without document types.

/// One element; its name is without the prefix of its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Element {
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
    /// `xsi:nil="true"`
    pub nil: bool,
}

/// How deep elements may nest.
const DEEPEST: usize = 32;

impl Element {
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of a child; an empty or nil one counts as none.
    pub fn text_of(&self, name: &str) -> Option<String> {
        let child = self.child(name).filter(|child| !child.nil)?;
        let text = child.text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// Reads a document; `None` for what is not well formed, or has a document type.
pub(super) fn parse(document: &str) -> Option<Element> {
    let mut rest = document.trim_start_matches('\u{feff}').trim();
    // Elements that are open, the document's own around them.
    let mut open = vec![Element::default()];
    while !rest.is_empty() {
        let Some(tag) = rest.strip_prefix('<') else {
            let end = rest.find('<').unwrap_or(rest.len());
            open.last_mut()?.text.push_str(&unescape(rest.get(..end)?)?);
            rest = rest.get(end..)?;
            continue;
        };
        if let Some(after) = tag.strip_prefix("?") {
            rest = after.split_once("?>")?.1;
        } else if let Some(after) = tag.strip_prefix("!--") {
            rest = after.split_once("-->")?.1;
        } else if let Some(after) = tag.strip_prefix("![CDATA[") {
            let (text, after) = after.split_once("]]>")?;
            open.last_mut()?.text.push_str(text);
            rest = after;
        } else if let Some(after) = tag.strip_prefix('/') {
            let (name, after) = after.split_once('>')?;
            let done = open.pop().filter(|done| done.name == local(name.trim()))?;
            open.last_mut()?.children.push(done);
            rest = after;
        } else {
            let (inside, after) = tag.split_once('>')?;
            let (inside, empty) = match inside.strip_suffix('/') {
                Some(inside) => (inside, true),
                None => (inside, false),
            };
            let (name, attributes) = inside.split_once(char::is_whitespace).unwrap_or((inside, ""));
            let name_is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
            if name.is_empty() || !name.chars().all(name_is_good) || open.len() > DEEPEST {
                return None;
            }
            let nil = attributes.contains("nil=\"true\"") || attributes.contains("nil='true'");
            let element = Element { name: local(name).to_owned(), nil, ..Element::default() };
            if empty {
                open.last_mut()?.children.push(element);
            } else {
                open.push(element);
            }
            rest = after;
        }
    }
    let document = open.pop().filter(|_| open.is_empty())?;
    match document.children.as_slice() {
        [root] => Some(root.clone()),
        _ => None,
    }
}

/// Makes a text safe to stand between tags.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('&');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (name, after) = part.split_once(';')?;
        plain.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = name.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
        plain.push_str(after);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_are_read_without_their_prefixes() {
        let read = parse(
            "<?xml version=\"1.0\"?>\n<s:a xmlns:s=\"x\"><!-- note --><s:b>1 &lt; 2 &#x41;&#66;</s:b><c xsi:nil=\"true\"/><d><![CDATA[<&>]]></d></s:a>",
        )
        .unwrap();
        assert_eq!((read.name.as_str(), read.text_of("b").as_deref()), ("a", Some("1 < 2 AB")));
        assert_eq!((read.text_of("c"), read.text_of("d").as_deref()), (None, Some("<&>")));
    }

    #[test]
    fn what_is_not_well_formed_is_not_read() {
        for wrong in ["", "<a>", "<a></b>", "<a/><b/>", "<a>&nope;</a>", "<!DOCTYPE a><a/>", "<a></a", "text", "<>"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(parse(&"<a>".repeat(10_000)), None);
    }

    proptest! {
        #[test]
        fn no_document_makes_the_reader_panic(document in "\\PC{0,80}", tags in "[<>/a&;!\\[\\]?-]{0,60}") {
            let _ = parse(&document);
            let _ = parse(&tags);
        }

        #[test]
        fn an_escaped_text_comes_back(text in "[a-z<>&;'\"é]{1,20}") {
            prop_assert_eq!(parse(&format!("<a>{}</a>", escape(&text))).unwrap().text, text);
        }
    }
}
