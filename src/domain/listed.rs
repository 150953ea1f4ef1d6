//! By which address and name a lead is listed, searched for and compared with others, wherever its lead system puts them.

use super::lead::Lead;
use super::mapping::{FieldRow, Take, email};
use super::value::Value;

const EMAIL: &[&str] = &["email", "emailaddress", "mail", "workemail", "youremail"];
const NAME: &[&str] = &["name", "fullname", "yourname"];
const FIRST: &[&str] = &["firstname", "givenname"];
const LAST: &[&str] = &["lastname", "surname", "familyname"];
/// The parts of a name that is an object.
const PARTS: [&[&str]; 2] = [&["first", "firstname", "given"], &["last", "lastname", "family"]];

/// Where a source's leads say who they are: where the mapping of a destination takes it from, and else in fields that are
/// called so.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    emails: Vec<String>,
    /// Of whole names.
    names: Vec<String>,
    firsts: Vec<String>,
    lasts: Vec<String>,
}

impl Listed {
    /// By the rows of all destinations that these leads go to.
    pub fn by<'r>(rows: impl IntoIterator<Item = &'r FieldRow>) -> Self {
        let mut listed = Self::default();
        let mut other_addresses = Vec::new();
        for row in rows.into_iter().filter(|row| row.computed.is_none() && !row.lead.is_empty()) {
            let path = row.lead.clone();
            let called = |words: &[&str]| is_called(row.crm.as_str(), words);
            match row.take {
                Some(Take::FirstName | Take::LastName) => listed.names.push(path),
                Some(Take::Domain) => {}
                None if called(EMAIL) => listed.emails.push(path),
                None if row.is_address() => other_addresses.push(path),
                None if called(FIRST) => listed.firsts.push(path),
                None if called(LAST) => listed.lasts.push(path),
                None => {}
            }
        }
        listed.emails.append(&mut other_addresses);
        listed
    }

    /// The lead's address, in small letters.
    pub fn email(&self, lead: &Lead) -> Option<String> {
        let mapped = self.emails.iter().filter_map(|path| text_at(lead, path));
        let called = called(lead, EMAIL).filter_map(text);
        // What is called so may hold anything; what is sent as the address itself is found as it is.
        mapped
            .chain(called)
            .find(|text| text.contains('@'))
            .or_else(|| text_at(lead, "email"))
            .map(|text| email::bare(&text).to_lowercase())
    }

    /// The lead's name.
    pub fn name(&self, lead: &Lead) -> Option<String> {
        let at = |paths: &[String]| paths.iter().find_map(|path| text_at(lead, path));
        let joined = |first: Option<String>, last: Option<String>| {
            let parts: Vec<String> = first.into_iter().chain(last).collect();
            (!parts.is_empty()).then(|| parts.join(" "))
        };
        // A row of the last name may take the whole name; a first name alone is a worse one than any.
        at(&self.names)
            .or_else(|| at(&self.lasts).and_then(|last| joined(at(&self.firsts), Some(last))))
            .or_else(|| called(lead, NAME).find_map(whole_name))
            .or_else(|| joined(called(lead, FIRST).find_map(text), called(lead, LAST).find_map(text)))
            .or_else(|| at(&self.firsts))
    }
}

/// The values of the fields that are called so, those of the lead itself before its attributes.
fn called<'l>(lead: &'l Lead, words: &'l [&str]) -> impl Iterator<Item = &'l Value> {
    let inside = |path: &str| path.contains('.');
    let of = move |deep: bool| {
        let fields = lead.fields.iter().filter(move |(path, _)| inside(path) == deep);
        fields.filter(|(path, _)| {
            let name = path.strip_prefix("attributes.").unwrap_or(path);
            is_called(name, words)
        })
    };
    of(false).chain(of(true)).map(|(_, field)| &field.value)
}

/// Whether a field of this name is one of these, however it is written: `Email`, `EMAIL`, `E-mail`, `q4_email`.
fn is_called(name: &str, words: &[&str]) -> bool {
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    // Forms number their questions.
    let unnumbered = plain.strip_prefix('q').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    words.iter().any(|word| plain == *word || unnumbered == Some(*word))
}

/// A name in one piece, or in two.
fn whole_name(value: &Value) -> Option<String> {
    let Value::Object(parts) = value else { return text(value) };
    let part =
        |words: &[&str]| parts.iter().filter(|(name, _)| is_called(name, words)).find_map(|(_, value)| text(value));
    let parts: Vec<String> = PARTS.into_iter().filter_map(part).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn text_at(lead: &Lead, path: &str) -> Option<String> {
    lead.get(path).and_then(text)
}

fn text(value: &Value) -> Option<String> {
    value.scalar_text().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cel::tests::lead;
    use crate::domain::mapping::FieldType;
    use crate::domain::mapping::convert::tests::row as any_row;

    fn row(lead: &str, crm: &str) -> FieldRow {
        FieldRow { lead: lead.to_owned(), crm: crm.into(), ..any_row(FieldType::Text) }
    }

    #[track_caller]
    fn check(rows: &[FieldRow], json: &str, email: Option<&str>, name: Option<&str>) {
        let (listed, lead) = (Listed::by(rows), lead(json));
        let found = (listed.email(&lead), listed.name(&lead));
        assert_eq!((found.0.as_deref(), found.1.as_deref()), (email, name), "{json}");
    }

    #[test]
    fn the_mapping_says_where_address_and_name_are() {
        let ada = r#"{"name":"Newsletter","email":"form@a.example","attributes.contact":"Ada Lovelace",
                      "attributes.reach":" Ada@A.example ","attributes.boss":"boss@a.example"}"#;
        let boss = FieldRow { kind: FieldType::Email, ..row("attributes.boss", "Boss__c") };
        let reach = FieldRow { kind: FieldType::Email, ..row("attributes.reach", "Email") };
        let whole = FieldRow { take: Some(Take::LastName), ..row("attributes.contact", "LastName") };
        check(&[boss.clone(), reach.clone(), whole], ada, Some("ada@a.example"), Some("Ada Lovelace"));
        check(&[row("attributes.contact", "LastName")], ada, Some("form@a.example"), Some("Ada Lovelace"));
        check(&[boss], ada, Some("boss@a.example"), Some("Newsletter"));
        let parts = [row("attributes.contact", "FirstName"), row("attributes.by", "LastName")];
        check(&parts, r#"{"attributes.contact":"Ada","attributes.by":"Byron"}"#, None, Some("Ada Byron"));
        // Where the mapping's fields are blank, and for a first name alone.
        check(&[reach], r#"{"attributes.reach":"","attributes.Email":"a@a.example"}"#, Some("a@a.example"), None);
        check(&parts, r#"{"attributes.contact":"Ada","name":"Ada Byron"}"#, None, Some("Ada Byron"));
        check(&parts, r#"{"attributes.contact":"Ada"}"#, None, Some("Ada"));
    }

    #[test]
    fn without_a_mapping_fields_that_are_called_so_say_it() {
        check(
            &[],
            r#"{"Email":"A@B.example","LastName":"Byron","FirstName":"Ada"}"#,
            Some("a@b.example"),
            Some("Ada Byron"),
        );
        check(
            &[],
            r#"{"attributes.FULL_NAME":"Ada B","attributes.E-Mail":"a@b.example"}"#,
            Some("a@b.example"),
            Some("Ada B"),
        );
        check(
            &[],
            r#"{"q3_name":{"first":"Ada","last":"B"},"q4_email":"a@b.example"}"#,
            Some("a@b.example"),
            Some("Ada B"),
        );
        check(&[], r#"{"first_name":"Ada","last_name":" "}"#, None, Some("Ada"));
        // The lead's own before an attribute; what is no address only where it is sent as the address.
        check(&[], r#"{"name":"Ada","attributes.name":"Form"}"#, None, Some("Ada"));
        check(&[], r#"{"email":"n/a","attributes.email":"a@b.example"}"#, Some("a@b.example"), None);
        check(&[], r#"{"email":"N/A","attributes.mail":"post"}"#, Some("n/a"), None);
        // However a mail program writes it.
        check(&[], r#"{"email":"mailto:A@B.example?subject=x"}"#, Some("a@b.example"), None);
        check(&[], r#"{"email":"\"Byron, Ada\" <A@B.example>"}"#, Some("a@b.example"), None);
        check(&[], r#"{"email":"a@b.example, c@d.example"}"#, Some("a@b.example, c@d.example"), None);
        check(
            &[],
            r#"{"attributes.company_name":"Acme","attributes.owner_email":"o@b.example","email":null}"#,
            None,
            None,
        );
    }
}
