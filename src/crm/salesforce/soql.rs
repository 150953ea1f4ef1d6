//! Queries: text that cannot break out of its quotes, and lookups cut to a length that every org takes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::domain::ids::{FieldName, ObjectName, RecordId};

/// The most characters of one query. Salesforce's own limit is 100,000, but not confirmed inside a composite.
const LONGEST_QUERY: usize = 20_000;
/// What is left for conditions however many fields are read.
const LEAST_ROOM: usize = 4_000;
/// Salesforce takes no longer text in a condition; nothing longer can be stored in a field that may be searched.
const LONGEST_TEXT: usize = 4_000;

/// As many people of a company as say which company that is: one page of rows.
pub(super) const MOST_COLLEAGUES: usize = 2_000;

/// Everything that means something in a URL, so also `+`, `&`, `%` and quotes.
const IN_A_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What is read of which object.
pub(super) struct Target<'a> {
    pub object: &'a ObjectName,
    /// Without repeats, whatever the letter case.
    pub columns: Vec<String>,
    pub external_id: Option<&'a FieldName>,
    /// Whether the object has a website beside its e-mail address.
    pub website: bool,
}

/// A key that one record answers to, or a few.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Id(RecordId),
    ExternalId(String),
    Email(String),
}

/// A last name, and a domain of the company as it may be written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NameAtDomain {
    pub last: String,
    pub domain: String,
}

/// The queries that find every record with one of the keys; none without keys.
pub(super) fn find_by_keys(target: &Target<'_>, keys: &[Key]) -> Vec<String> {
    let literals = keys.iter().filter_map(|key| {
        let (column, text) = match key {
            Key::Id(id) => ("Id", id.as_str()),
            Key::ExternalId(text) => (target.external_id?.as_str(), text.as_str()),
            Key::Email(text) => ("Email", text.as_str()),
        };
        is_searchable(text).then(|| (column, quote(text)))
    });
    let select = select_from(target);
    let room = LONGEST_QUERY.saturating_sub(select.len()).max(LEAST_ROOM);
    let cost = |(column, literal): &(&str, String)| literal.chars().count() + column.len() + 2;
    in_chunks(literals, cost, room)
        .into_iter()
        .map(|chunk| {
            let mut columns: Vec<(&str, Vec<&str>)> = Vec::new();
            for (column, literal) in &chunk {
                match columns.iter_mut().find(|(known, _)| known == column) {
                    Some((_, list)) => list.push(literal),
                    None => columns.push((column, vec![literal])),
                }
            }
            let conditions: Vec<String> =
                columns.iter().map(|(column, list)| format!("{column} IN ({})", list.join(","))).collect();
            format!("{select}{}", conditions.join(" OR "))
        })
        .collect()
}

/// The queries that find every record with one of the names and, by e-mail or website, one of the domains.
///
/// They find more than was asked (any name with any domain, `notacme.com` for `acme.com`); the caller looks again.
pub(super) fn find_by_names(target: &Target<'_>, names: &[NameAtDomain]) -> Vec<String> {
    let conditions = names.iter().filter(|name| is_searchable(&name.last) && is_searchable(&name.domain)).map(|name| {
        let domain = escape_like(&name.domain);
        let mut condition = format!("Email LIKE '%{domain}'");
        if target.website {
            let _ = write!(condition, " OR Website LIKE '%{domain}%'");
        }
        (quote(&name.last), condition)
    });
    let select = select_from(target);
    let room = LONGEST_QUERY.saturating_sub(select.len()).max(LEAST_ROOM);
    let cost = |(last, condition): &(String, String)| last.chars().count() + condition.chars().count() + 8;
    in_chunks(conditions, cost, room)
        .into_iter()
        .map(|chunk| {
            let (mut last, mut domains): (Vec<&str>, Vec<&str>) =
                chunk.iter().map(|(a, b)| (a.as_str(), b.as_str())).unzip();
            for list in [&mut last, &mut domains] {
                list.sort_unstable();
                list.dedup();
            }
            format!("{select}LastName IN ({}) AND ({})", last.join(","), domains.join(" OR "))
        })
        .collect()
}

/// By what a company is looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CompanyKey {
    Id(RecordId),
    ExternalId(String),
    /// A domain as it may stand in a website.
    Domain(String),
    /// The beginning of a name; `?` is any character.
    Name(String),
}

/// The queries that find every company with one of the keys; they find more, and the caller looks again.
pub(super) fn find_companies(target: &Target<'_>, keys: &BTreeSet<CompanyKey>) -> Vec<String> {
    let condition = |key: &CompanyKey| match key {
        CompanyKey::Id(id) => is_searchable(id.as_str()).then(|| format!("Id = {}", quote(id.as_str()))),
        CompanyKey::ExternalId(text) => {
            let field = target.external_id.filter(|_| is_searchable(text))?;
            Some(format!("{field} = {}", quote(text)))
        }
        CompanyKey::Domain(domain) => {
            (target.website && is_searchable(domain)).then(|| format!("Website LIKE '%{}%'", escape_like(domain)))
        }
        CompanyKey::Name(begin) => {
            is_searchable(begin).then(|| format!("Name LIKE '{}%'", escape_like(begin).replace('?', "_")))
        }
    };
    find_where(target, keys.iter().filter_map(condition))
}

/// A domain in ASCII and, where that differs, as a person would write it.
pub(super) fn spellings_of_domain(domain: &str) -> Vec<String> {
    let (unicode, valid) = idna::domain_to_unicode(domain);
    let written = (valid.is_ok() && unicode != domain).then_some(unicode);
    [domain.to_owned()].into_iter().chain(written).collect()
}

/// The queries that find the people at one of these domains who belong to a company, and the domains of each. An answer with
/// [`MOST_COLLEAGUES`] rows may be cut off.
pub(super) fn find_colleagues(target: &Target<'_>, lookup: &str, domains: &[String]) -> Vec<(Vec<String>, String)> {
    let select = select_from(target);
    let room = LONGEST_QUERY.saturating_sub(select.len()).max(LEAST_ROOM);
    let searchable = domains.iter().filter(|domain| is_searchable(domain));
    let at = searchable.map(|domain| (domain.clone(), format!("Email LIKE '%{}'", escape_like(domain))));
    let chunks = in_chunks(at, |(_, condition)| condition.chars().count() + 4, room);
    let query = |chunk: Vec<(String, String)>| {
        let (domains, conditions): (Vec<String>, Vec<String>) = chunk.into_iter().unzip();
        let conditions = conditions.join(" OR ");
        (domains, format!("{select}({conditions}) AND {lookup} != null LIMIT {MOST_COLLEAGUES}"))
    };
    chunks.into_iter().map(query).collect()
}

/// The queries that tell which of these records were merged into another.
pub(super) fn find_merged(object: &ObjectName, ids: &[RecordId]) -> Vec<String> {
    let columns = ["Id", "MasterRecordId"].map(str::to_owned).to_vec();
    let target = Target { object, columns, external_id: None, website: false };
    let keys: Vec<Key> = ids.iter().cloned().map(Key::Id).collect();
    find_by_keys(&target, &keys)
}

/// The queries that find every record to which one of the conditions applies.
fn find_where(target: &Target<'_>, conditions: impl Iterator<Item = String>) -> Vec<String> {
    let select = select_from(target);
    let room = LONGEST_QUERY.saturating_sub(select.len()).max(LEAST_ROOM);
    let chunks = in_chunks(conditions, |condition| condition.chars().count() + 4, room);
    chunks.into_iter().map(|chunk| format!("{select}({})", chunk.join(" OR "))).collect()
}

/// The path of a query over deleted and merged records as well.
pub(super) fn query_all_path(root: &str, soql: &str) -> String {
    format!("{root}/queryAll?q={}", utf8_percent_encode(soql, IN_A_URL))
}

/// The path of a query as a composite takes it.
pub(super) fn query_path(root: &str, soql: &str) -> String {
    format!("{root}/query?q={}", utf8_percent_encode(soql, IN_A_URL))
}

fn select_from(target: &Target<'_>) -> String {
    format!("SELECT {} FROM {} WHERE ", target.columns.join(","), target.object)
}

/// Cuts a list so that no part costs more than `room`, but for a single item that does.
fn in_chunks<T>(items: impl Iterator<Item = T>, cost: impl Fn(&T) -> usize, room: usize) -> Vec<Vec<T>> {
    let mut chunks: Vec<Vec<T>> = Vec::new();
    let mut left = 0usize;
    for item in items {
        let needed = cost(&item);
        match chunks.last_mut() {
            Some(chunk) if needed <= left => {
                chunk.push(item);
                left -= needed;
            }
            _ => {
                chunks.push(vec![item]);
                left = room.saturating_sub(needed);
            }
        }
    }
    chunks
}

/// Empty text stands for null in SOQL, and would find every record without the value.
fn is_searchable(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= LONGEST_TEXT
}

pub(super) fn quote(text: &str) -> String {
    format!("'{}'", escape(text))
}

/// Only these sequences are known to SOQL; any other backslash is an error.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '\'' => escaped.push_str("\\'"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            control if control.is_control() => {
                let _ = write!(escaped, "\\u{:04X}", u32::from(control));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

fn escape_like(text: &str) -> String {
    escape(text).replace('%', "\\%").replace('_', "\\_")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target<'a>(object: &'a ObjectName, external_id: &'a FieldName) -> Target<'a> {
        Target { object, columns: vec!["Id".into(), "Email".into()], external_id: Some(external_id), website: true }
    }

    fn keys(target_keys: &[Key]) -> Vec<String> {
        find_by_keys(&target(&"Lead".into(), &"Ext__c".into()), target_keys)
    }

    #[test]
    fn text_cannot_leave_its_quotes() {
        let query = keys(&[Key::ExternalId("O'Neil\\' OR Id != '\n\u{1}".into())]);
        assert_eq!(query, [r"SELECT Id,Email FROM Lead WHERE Ext__c IN ('O\'Neil\\\' OR Id != \'\n\u0001')"]);
    }

    #[test]
    fn keys_of_one_kind_share_a_list() {
        let query = keys(&[Key::Id("00Q1".into()), Key::ExternalId("a".into()), Key::Id("00Q2".into())]);
        assert_eq!(query, ["SELECT Id,Email FROM Lead WHERE Id IN ('00Q1','00Q2') OR Ext__c IN ('a')"]);
        assert_eq!(keys(&[]), [""; 0]);
    }

    #[test]
    fn names_are_looked_for_at_their_domains() {
        let names = [
            NameAtDomain { last: "Lovelace".into(), domain: "a_b.example".into() },
            NameAtDomain { last: "Byron".into(), domain: "a_b.example".into() },
        ];
        let (object, external_id) = ("Contact".into(), "Ext__c".into());
        let contact = Target { website: false, ..target(&object, &external_id) };
        assert_eq!(
            find_by_names(&contact, &names),
            [r"SELECT Id,Email FROM Contact WHERE LastName IN ('Byron','Lovelace') AND (Email LIKE '%a\_b.example')"]
        );
    }

    #[test]
    fn long_lookups_are_cut_and_what_no_field_can_hold_is_left_out() {
        let many: Vec<Key> = (0..1_000).map(|n| Key::Email(format!("{n}@{}.example", "x".repeat(50)))).collect();
        let queries = keys(&many);
        assert!(
            queries.len() > 1 && queries.iter().all(|query| query.chars().count() <= LONGEST_QUERY),
            "{}",
            queries.len()
        );
        let found: usize = queries.iter().map(|query| query.matches("@x").count()).sum();
        assert_eq!(found, 1_000);
        assert_eq!(
            keys(&[Key::ExternalId("x".repeat(4_001)), Key::Email(String::new()), Key::Id(" ".into())]),
            [""; 0]
        );
        assert_eq!(keys(&[Key::ExternalId("'".repeat(4_000))]).len(), 1);
    }

    #[test]
    fn a_query_survives_as_part_of_a_url() {
        assert_eq!(query_path("/services/data/v62.0", "a+b&c %'"), "/services/data/v62.0/query?q=a%2Bb%26c%20%25%27");
    }

    proptest! {
        #[test]
        fn unescaping_gives_the_text_back(text in any::<String>()) {
            let escaped = escape(&text);
            let (mut back, mut rest) = (String::new(), escaped.chars());
            while let Some(character) = rest.next() {
                prop_assert_ne!(character, '\'', "a bare quote");
                if character != '\\' {
                    back.push(character);
                    continue;
                }
                back.push(match rest.next() {
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    Some('u') => {
                        let hex: String = rest.by_ref().take(4).collect();
                        char::from_u32(u32::from_str_radix(&hex, 16).unwrap()).unwrap()
                    }
                    Some(plain @ ('\'' | '\\')) => plain,
                    other => panic!("{other:?} is no sequence of SOQL's"),
                });
            }
            prop_assert_eq!(back, text);
        }
    }
}
