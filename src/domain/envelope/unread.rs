//! Keeping of XML, whole or broken, only what cannot be a secret that stands in it, without reading it for anybody.
//!
//! Of well-formed XML the secret's elements are emptied, and all else that is read stays. Of any other a text is kept only
//! between two tags of one name that is not the secret's: what stands in an element that is still open where the XML breaks
//! is left out, and so is all that follows. Where no element of the secret was whole before, it may be any, and no text is
//! kept. It cannot be read anyway.

use std::borrow::Cow;
use std::collections::BTreeSet;

use quick_xml::escape::{resolve_predefined_entity, unescape_with};

use crate::domain::value::MAX_DEPTH;
use crate::domain::value::raw::unescaped;

/// A shorter text behind a tag with the secret's name says too little to be looked for elsewhere.
const SHORTEST_SECRET: usize = 8;
/// More than one is in no honest message; of so many at most each text is compared with.
const MOST_SECRETS: usize = 16;
/// An element has no more, or the XML is taken for broken.
const MOST_ATTRIBUTES: usize = 200;

/// A body without what stands in the XML elements that these pointers end with, in whatever letter case and under whatever
/// prefix, and without what may have been such an element before the body broke.
///
/// `None`: nothing of it can be kept, since it is no XML, or since nobody can tell what in it is the secret.
pub fn without_unread(body: &[u8], pointers: &[String]) -> Option<Vec<u8>> {
    let names: Vec<String> = pointers.iter().map(|pointer| name_of(pointer)).collect::<Option<_>>()?;
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(broken) => std::str::from_utf8(body.get(..broken.valid_up_to())?).ok()?,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii_start();
    // In UTF-16 no name would be found.
    if !text.starts_with('<') || body.contains(&0) {
        return None;
    }
    let secrets = secrets(text, &names)?;
    let mut kept = Kept::of(text, &names, &secrets, Texts::Plausible);
    if !kept.is_whole {
        let texts = if kept.saw_secret { Texts::Harmless } else { Texts::Missing };
        kept = Kept::of(text, &names, &secrets, texts);
    }
    Some(kept.text.into_bytes())
}

/// The name of the element or the attribute that a pointer ends with. An element's place among others of its name is none.
fn name_of(pointer: &str) -> Option<String> {
    let is_name = |part: &&str| !part.is_empty() && !part.bytes().all(|byte| byte.is_ascii_digit());
    let name = unescaped(pointer.rsplit('/').find(is_name)?);
    let name = name.strip_prefix('@').unwrap_or(&name);
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

/// What stands behind tags, or what is left of them, that have one of the names: it is looked for everywhere.
fn secrets<'t>(text: &'t str, names: &[String]) -> Option<BTreeSet<&'t str>> {
    let mut secrets = BTreeSet::new();
    let mut pieces = text.split('>').peekable();
    while let Some(piece) = pieces.next() {
        let tag = piece.rsplit('<').next().unwrap_or(piece);
        // Of a section that nothing is read of, or of an end.
        if tag.starts_with(['?', '!', '/']) {
            continue;
        }
        let Some(next) = pieces.peek().filter(|_| mentions(tag, names)) else { continue };
        let secret = next.split('<').next().unwrap_or(next).trim();
        if secret.len() >= SHORTEST_SECRET {
            secrets.insert(secret);
        }
    }
    (secrets.len() <= MOST_SECRETS).then_some(secrets)
}

/// Whether one of the names is in the text as a word, entities resolved.
fn mentions(text: &str, names: &[String]) -> bool {
    let plain = plain(text).to_ascii_lowercase();
    let is_in_name = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
    names.iter().any(|name| {
        plain.match_indices(name.as_str()).any(|(place, found)| {
            let (before, after) = (plain.get(..place), plain.get(place + found.len()..));
            !before.is_some_and(|before| before.ends_with(is_in_name))
                && !after.is_some_and(|after| after.starts_with(is_in_name))
        })
    })
}

/// The text as it is read; what cannot be resolved stays.
fn plain(text: &str) -> Cow<'_, str> {
    unescape_with(text, |entity| resolve_predefined_entity(entity).or(Some(""))).unwrap_or(Cow::Borrowed(text))
}

/// Which texts are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Texts {
    /// All that show no secret.
    Plausible,
    /// Of broken XML: a `>` may be what is left of the secret's tag.
    Harmless,
    Missing,
}

/// What is kept so far.
struct Kept<'t> {
    /// In lower case.
    names: &'t [String],
    secrets: &'t BTreeSet<&'t str>,
    texts: Texts,
    /// Whether all of it was gone through, and every element has an end.
    is_whole: bool,
    /// Whether an element of the secret had an end.
    saw_secret: bool,
    text: String,
    /// The text of the innermost element, as it is read.
    plain: String,
    open: Vec<Open<'t>>,
}

/// An element whose end was not seen yet.
struct Open<'t> {
    name: &'t str,
    /// Where in what is kept its own text began: behind its tag, or behind its last child.
    text_from: usize,
    has_children: bool,
    /// It is a secret, or inside one.
    is_secret: bool,
}

impl<'t> Kept<'t> {
    /// All that is kept of a text.
    fn of(text: &'t str, names: &'t [String], secrets: &'t BTreeSet<&'t str>, texts: Texts) -> Self {
        let (kept, plain, open) = (String::new(), String::new(), Vec::new());
        let mut kept = Self { names, secrets, texts, is_whole: false, saw_secret: false, text: kept, plain, open };
        let mut rest = text;
        while let Some(after) = kept.piece(rest) {
            rest = after;
        }
        // What is still open may be the secret under half its name.
        kept.drop_own_text();
        kept.is_whole = rest.is_empty() && kept.open.is_empty();
        kept
    }

    /// Takes the next piece; answers what follows it. `None`: nothing does that can be kept.
    fn piece(&mut self, rest: &'t str) -> Option<&'t str> {
        if let Some(inside) = rest.strip_prefix("<![CDATA[") {
            let (text, after) = inside.split_once("]]>")?;
            let piece = rest.get(..rest.len() - after.len())?;
            self.own_text(piece, text)?;
            return Some(after);
        }
        // Nothing is read of those.
        for (begin, end) in [("<!--", "-->"), ("<?", "?>")] {
            if let Some(inside) = rest.strip_prefix(begin) {
                return inside.split_once(end).map(|(_, after)| after);
            }
        }
        if let Some(tag) = rest.strip_prefix("</") {
            let (name, after) = split_name(tag)?;
            let after = after.trim_ascii_start().strip_prefix('>')?;
            self.end(name)?;
            return Some(after);
        }
        if let Some(tag) = rest.strip_prefix('<') {
            return self.start(tag);
        }
        let (text, after) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
        if text.is_empty() {
            return None;
        }
        self.own_text(text, &unescape_with(text, resolve_predefined_entity).ok()?)?;
        Some(after)
    }

    fn own_text(&mut self, piece: &str, plain: &str) -> Option<()> {
        let Some(open) = self.open.last() else { return piece.trim().is_empty().then_some(()) };
        if !open.is_secret {
            self.text.push_str(piece);
            self.plain.push_str(plain);
        }
        Some(())
    }

    fn start(&mut self, tag: &'t str) -> Option<&'t str> {
        if self.open.len() >= MAX_DEPTH || (self.open.is_empty() && !self.text.trim().is_empty()) {
            return None;
        }
        let (name, mut rest) = split_name(tag)?;
        let is_inside = self.open.last().is_some_and(|open| open.is_secret);
        let is_secret = is_inside || mentions(name, self.names);
        // Beside elements it would not be read.
        self.drop_own_text_unless_blank();
        let mut kept = format!("<{name}");
        let mut attributes: Vec<&str> = Vec::new();
        let is_empty = loop {
            let after_blank = rest.trim_ascii_start();
            if let Some(after) = after_blank.strip_prefix("/>") {
                rest = after;
                break true;
            }
            if let Some(after) = after_blank.strip_prefix('>') {
                rest = after;
                break false;
            }
            if after_blank.len() == rest.len() {
                return None;
            }
            let (attribute, after) = split_name(after_blank)?;
            let value = after.trim_ascii_start().strip_prefix('=')?.trim_ascii_start();
            let quote = value.chars().next().filter(|quote| "\"'".contains(*quote))?;
            let (value, after) = value.get(1..)?.split_once(quote)?;
            let read = unescape_with(value, resolve_predefined_entity).ok()?;
            if value.contains('<') || attributes.len() >= MOST_ATTRIBUTES || attributes.contains(&attribute) {
                return None;
            }
            attributes.push(attribute);
            // Attributes of a secret may be a part of it.
            if !is_secret && !mentions(attribute, self.names) && !self.may_hold_secret(value, &read) {
                kept.push_str(&format!(" {attribute}={quote}{value}{quote}"));
            }
            rest = after;
        };
        if !is_inside {
            kept.push('>');
            self.text.push_str(&kept);
        }
        self.open.push(Open { name, text_from: self.text.len(), has_children: false, is_secret });
        self.plain.clear();
        if is_empty {
            self.end(name)?;
        }
        Some(rest)
    }

    fn end(&mut self, name: &str) -> Option<()> {
        let open = self.open.last().filter(|open| open.name == name)?;
        if open.has_children {
            self.drop_own_text_unless_blank();
        } else if self.may_hold_secret(self.own_part(), &self.plain) {
            self.drop_own_text();
        }
        self.saw_secret |= self.open.pop().is_some_and(|open| open.is_secret);
        self.plain.clear();
        if !self.open.last().is_some_and(|open| open.is_secret) {
            self.text.push_str(&format!("</{name}>"));
        }
        if let Some(parent) = self.open.last_mut() {
            (parent.text_from, parent.has_children) = (self.text.len(), true);
        }
        Some(())
    }

    /// Whether a text shows a tag of the secret, or the secret itself.
    fn may_hold_secret(&self, written: &str, read: &str) -> bool {
        let shows_tag = |text: &str| {
            let pieces: Vec<&str> = text.split_inclusive(['<', '>']).collect();
            let begun = [""].into_iter().chain(pieces.iter().copied());
            begun
                .zip(&pieces)
                .any(|(before, piece)| (before.ends_with('<') || piece.ends_with('>')) && mentions(piece, self.names))
        };
        let holds = |secret: &&str| written.contains(*secret) || read.contains(*secret);
        match self.texts {
            Texts::Missing => true,
            Texts::Harmless if written.contains('>') => true,
            Texts::Harmless | Texts::Plausible => {
                shows_tag(read) || shows_tag(&plain(read)) || self.secrets.iter().any(holds)
            }
        }
    }

    /// What of an element's own text is kept so far.
    fn own_part(&self) -> &str {
        self.open.last().and_then(|open| self.text.get(open.text_from..)).unwrap_or_default()
    }

    fn drop_own_text(&mut self) {
        if let Some(open) = self.open.last() {
            self.text.truncate(open.text_from);
        }
    }

    fn drop_own_text_unless_blank(&mut self) {
        if !self.own_part().trim().is_empty() {
            self.drop_own_text();
        }
    }
}

/// The name at the beginning, and what follows it.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let is_in_name = |letter: char| letter.is_alphanumeric() || "_:-.".contains(letter) || !letter.is_ascii();
    let (name, after) = text.split_at(text.find(|letter| !is_in_name(letter)).unwrap_or(text.len()));
    (!name.is_empty()).then_some((name, after))
}

#[cfg(test)]
mod tests;
