//! Reads tables of settings key by key and remembers every mistake with its place.
//!
//! A [`Table`] knows which keys were asked for, so that the others can be named as unknown. Nothing stops at the first
//! mistake: what is wrong is reported to the [`Document`] and reads as absent.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, ConfigErrors};

/// Reads the file that `${file:PATH}` names.
pub(super) type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// Looks up the environment variable that `${NAME}` names.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One configuration file while it is read.
pub(super) struct Document<'a> {
    line_starts: Vec<usize>,
    path: &'a Path,
    env: Environment<'a>,
    read_file: ReadFile<'a>,
    found: RefCell<Vec<(usize, ConfigError)>>,
}

/// What is wrong with one setting, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub problem: String,
    pub remedy: String,
}

impl Wrong {
    pub(super) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }
}

impl<'a> Document<'a> {
    pub(super) fn new(text: &'a str, path: &'a Path, env: Environment<'a>, read_file: ReadFile<'a>) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_breaks).collect();
        Self { line_starts, path, env, read_file, found: RefCell::default() }
    }

    /// The line, counted from 1, in which the byte at `at` stands.
    fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at)
    }

    /// The whole file as one table.
    pub(super) fn root(&'a self, entries: &'a DeTable<'a>) -> Table<'a> {
        Table { document: self, path: String::new(), at: 0, entries: Some(entries), asked: RefCell::default() }
    }

    pub(super) fn report(&self, at: usize, key: &str, wrong: Wrong) {
        let error = ConfigError {
            file: self.path.to_owned(),
            line: Some(self.line(at)),
            key: key.to_owned(),
            problem: wrong.problem,
            remedy: wrong.remedy,
        };
        self.found.borrow_mut().push((at, error));
    }

    /// Reports what is no TOML. Of a section that is written twice only that is told: each of its keys is another mistake only
    /// because of it.
    pub(super) fn report_broken(&self, text: &str, broken: &[toml::de::Error]) {
        let place = |error: &&toml::de::Error| error.span().map_or(0, |span| span.start);
        let mut broken: Vec<&toml::de::Error> = broken.iter().collect();
        broken.sort_by_key(place);
        let mut second = 0..0;
        for error in broken {
            let (at, is_duplicate) = (place(&error), error.message() == "duplicate key");
            if is_duplicate && second.contains(&at) {
                continue;
            }
            let line = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
            let rest = text.get(line..).unwrap_or_default();
            let header = rest.lines().next().and_then(|line| line.split('#').next()).unwrap_or_default().trim();
            let wrong = if is_duplicate && header.starts_with('[') && !header.contains('=') {
                second = at..rest.find("\n[").map_or(text.len(), |length| line + length);
                Wrong::new(format!("the section {header} is written twice"), "put its keys into the first one")
            } else {
                Wrong::new(
                    format!("this is no TOML ({})", error.message()),
                    "mend the line: text needs quotes, and a key stands once in its section",
                )
            };
            self.report(at, "", wrong);
        }
    }

    /// Everything that was reported, in the order of the file; none if all is well.
    pub(super) fn into_errors(self) -> Option<ConfigErrors> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(at, _)| *at);
        (!found.is_empty()).then(|| ConfigErrors::new(found.into_iter().map(|(_, error)| error).collect()))
    }

    /// Puts environment variables and files in the place of `${NAME}` and `${file:PATH}`.
    fn expand(&self, text: &str) -> Result<String, Wrong> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, behind)) = after.split_once('}') else {
                return Err(Wrong::new("`${` is not closed", "write `${NAME}` or `${file:PATH}`"));
            };
            expanded.push_str(before);
            expanded.push_str(self.look_up(name)?.trim());
            rest = behind;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn look_up(&self, name: &str) -> Result<String, Wrong> {
        if let Some(path) = name.strip_prefix("file:") {
            let path = self.beside(Path::new(path.trim()));
            return (self.read_file)(&path).map_err(|error| {
                Wrong::new(
                    format!("the file {} {}", path.display(), why_unread(&error)),
                    "create it, or mend the path (relative to this configuration file) and its permissions",
                )
            });
        }
        if name.is_empty() || name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            return Err(Wrong::new(
                format!("{} is no name of an environment variable", quoted(name)),
                "write `${NAME}` or `${file:PATH}`",
            ));
        }
        (self.env)(name).ok_or_else(|| {
            Wrong::new(
                format!("the environment variable {name} is not set"),
                format!("set {name} where leadrelay is started"),
            )
        })
    }

    /// The path as seen from the configuration file's folder.
    fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }
}

/// One table of the file; also stands for a table that was left out.
pub(super) struct Table<'a> {
    document: &'a Document<'a>,
    path: String,
    at: usize,
    entries: Option<&'a DeTable<'a>>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    /// The key's value, if it was written.
    pub(super) fn item(&self, key: &'static str) -> Option<Item<'a>> {
        self.asked.borrow_mut().push(key);
        let (name, value) = self.entries?.get_key_value(key)?;
        Some(Item { document: self.document, path: self.path_of(key), at: name.span().start, value: value.get_ref() })
    }

    /// The key's value as `parse` reads it; nothing where it is absent or wrong.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&Item<'a>) -> Result<T, Wrong>,
    ) -> Option<T> {
        let item = self.item(key)?;
        parse(&item).map_err(|wrong| item.report(wrong)).ok()
    }

    /// The key's value, or `default`.
    pub(super) fn or<T>(&self, key: &'static str, default: T, parse: impl FnOnce(&Item<'a>) -> Result<T, Wrong>) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// The key's value; its absence is a mistake, mended by `remedy`.
    pub(super) fn required<T>(
        &self,
        key: &'static str,
        remedy: &str,
        parse: impl FnOnce(&Item<'a>) -> Result<T, Wrong>,
    ) -> Option<T> {
        if !self.has(key) {
            self.asked.borrow_mut().push(key);
            self.wrong(key, "is missing", remedy);
            return None;
        }
        self.optional(key, parse)
    }

    /// The list under this key, each element as `parse` reads it; wrong elements are reported and left out.
    pub(super) fn list<T>(&self, key: &'static str, parse: impl Fn(&Item<'a>) -> Result<T, Wrong>) -> Option<Vec<T>> {
        let elements = self.optional(key, Item::elements)?;
        Some(elements.iter().filter_map(|item| parse(item).map_err(|wrong| item.report(wrong)).ok()).collect())
    }

    /// The table under this key; an empty one if it was left out.
    pub(super) fn section(&self, key: &'static str) -> Table<'a> {
        self.optional(key, Item::table).unwrap_or_else(|| self.empty(key))
    }

    /// The tables under this key, `[[key]]`.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Table<'a>> {
        self.list(key, Item::table).unwrap_or_default()
    }

    /// Every entry as a table under its own name, for tables whose keys the user chooses.
    pub(super) fn named_sections(&self) -> Vec<(String, Table<'a>)> {
        self.entries_by_name(|name, item| check_name(name).and_then(|()| item.table()))
    }

    /// Every entry with its value, for tables whose keys the user chooses.
    pub(super) fn entries<T>(&self, parse: impl Fn(&Item<'a>) -> Result<T, Wrong>) -> Vec<(String, T)> {
        self.entries_by_name(|_, item| parse(item))
    }

    fn entries_by_name<T>(&self, parse: impl Fn(&str, &Item<'a>) -> Result<T, Wrong>) -> Vec<(String, T)> {
        let Some(entries) = self.entries else { return Vec::new() };
        let mut read = Vec::new();
        for (name, value) in entries {
            let item = Item {
                document: self.document,
                path: self.path_of(name.get_ref()),
                at: name.span().start,
                value: value.get_ref(),
            };
            match parse(name.get_ref(), &item) {
                Ok(value) => read.push((name.get_ref().to_string(), value)),
                Err(wrong) => item.report(wrong),
            }
        }
        read
    }

    /// A key of a feature that is not built yet and that nothing can be written for.
    pub(super) fn later(&self, key: &'static str) {
        if self.item(key).is_some() {
            self.wrong(key, "is not built yet", "leave it out");
        }
    }

    /// A key of a feature that is not built yet: accepted with its default only.
    pub(super) fn later_unless<T: PartialEq>(
        &self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&Item<'a>) -> Result<T, Wrong>,
    ) {
        if self.optional(key, parse).is_some_and(|value| value != default) {
            self.wrong(key, "anything but the default is not built yet", "leave it out");
        }
    }

    /// Reports a mistake at this key, or at the table's head if it was left out.
    pub(super) fn wrong(&self, key: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        self.document.report(self.place(key), &self.path_of(key), Wrong::new(problem, remedy));
    }

    /// Names every key that nobody asked for.
    pub(super) fn finish(self) {
        let Some(entries) = self.entries else { return };
        let asked = self.asked.borrow();
        for (name, _) in entries {
            let key: &str = name.get_ref();
            if !asked.contains(&key) {
                let wrong = Wrong::new("is not a known key", suggestion(key, &asked));
                self.document.report(name.span().start, &self.path_of(key), wrong);
            }
        }
    }

    /// Whether the key was written, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(key))
    }

    /// Whether the table was written without any key in it.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_some_and(|entries| entries.is_empty())
    }

    /// How many elements the list under this key has as written.
    pub(super) fn length(&self, key: &str) -> Option<usize> {
        self.entries?.get(key)?.get_ref().as_array().map(|elements| elements.len())
    }

    /// The line that the table begins in.
    pub(super) fn line(&self) -> usize {
        self.document.line(self.at)
    }

    fn place(&self, key: &str) -> usize {
        self.entries.and_then(|entries| entries.get_key_value(key)).map_or(self.at, |(name, _)| name.span().start)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn empty(&self, key: &str) -> Table<'a> {
        Table {
            document: self.document,
            path: self.path_of(key),
            at: self.at,
            entries: None,
            asked: RefCell::default(),
        }
    }
}

/// One value of the file, with its place.
pub(super) struct Item<'a> {
    document: &'a Document<'a>,
    path: String,
    at: usize,
    value: &'a DeValue<'a>,
}

impl<'a> Item<'a> {
    /// The text, with what `${…}` stands for.
    pub(super) fn text(&self) -> Result<String, Wrong> {
        match self.value {
            DeValue::String(text) => self.document.expand(text),
            _ => Err(self.unlike("text", "write it in quotes")),
        }
    }

    pub(super) fn flag(&self) -> Result<bool, Wrong> {
        match self.value {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => Err(self.unlike("a boolean", "write true or false, without quotes")),
        }
    }

    /// A whole number, not negative.
    pub(super) fn count(&self) -> Result<u64, Wrong> {
        match self.value {
            DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix())
                .map_err(|_| Wrong::new("must be a whole number from 0 on", "write a number such as 4")),
            _ => Err(self.unlike("a number", "write a whole number without quotes, such as 4")),
        }
    }

    /// The text of a scalar: text as it is, numbers and booleans as they are written.
    pub(super) fn scalar(&self) -> Result<String, Wrong> {
        match self.value {
            DeValue::Integer(digits) if digits.radix() == 10 => Ok(digits.as_str().to_owned()),
            DeValue::Float(digits) => Ok(digits.as_str().to_owned()),
            DeValue::Boolean(flag) => Ok(flag.to_string()),
            _ => self.text(),
        }
    }

    pub(super) fn table(&self) -> Result<Table<'a>, Wrong> {
        match self.value {
            DeValue::Table(entries) => Ok(Table {
                document: self.document,
                path: self.path.clone(),
                at: self.at,
                entries: Some(entries),
                asked: RefCell::default(),
            }),
            _ => Err(self.unlike("a table", format!("write it as a section, [{}]", self.path))),
        }
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    pub(super) fn elements(&self) -> Result<Vec<Item<'a>>, Wrong> {
        let DeValue::Array(elements) = self.value else {
            return Err(self.unlike("a list", "write it in brackets: [ … ]"));
        };
        let item = |(index, element): (usize, &'a toml::Spanned<DeValue<'a>>)| Item {
            document: self.document,
            path: format!("{}[{}]", self.path, index + 1),
            at: element.span().start,
            value: element.get_ref(),
        };
        Ok(elements.iter().enumerate().map(item).collect())
    }

    /// The value as written, for messages; what `${…}` stands for is never shown.
    pub(super) fn shown(&self) -> String {
        match self.value {
            DeValue::String(text) => quoted(text),
            DeValue::Integer(digits) => digits.to_string(),
            DeValue::Float(digits) => digits.to_string(),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Datetime(moment) => moment.to_string(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }

    pub(super) fn report(&self, wrong: Wrong) {
        self.document.report(self.at, &self.path, wrong);
    }

    fn unlike(&self, expected: &str, remedy: impl Into<String>) -> Wrong {
        let found = match self.value {
            DeValue::String(_) => "text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        Wrong::new(format!("must be {expected}, not {found}"), remedy)
    }
}

/// Why a file was not read, as the end of a sentence about it.
pub(super) fn why_unread(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        kind => format!("cannot be read ({kind})"),
    }
}

/// Text in quotes for a message, cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// Words as a list for a message: `"a", "b" or "c"`.
pub(super) fn alternatives(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => format!("{only:?}"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|word| format!("{word:?}")).collect();
            format!("{} or {last:?}", first.join(", "))
        }
    }
}

/// The known word that is meant, if one is near.
pub(super) fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    let near = |candidate: &&&str| strsim::damerau_levenshtein(word, candidate) <= 1 + candidate.len() / 4;
    known.iter().filter(near).min_by_key(|candidate| strsim::damerau_levenshtein(word, candidate)).copied()
}

fn suggestion(key: &str, known: &[&'static str]) -> String {
    let mut known = known.to_vec();
    known.dedup();
    match nearest(key, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// Names of sources and destinations stand in addresses, metrics and logs.
fn check_name(name: &str) -> Result<(), Wrong> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=64).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(Wrong::new("is no usable name", "use letters, digits, `-` and `_`, at most 64 of them"))
}
