//! `[[destinations.NAME.fields]]`: the rows of the field mapping document.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::domain::ids::{FieldName, ObjectName};
use crate::domain::mapping::{
    Computed, ConflictRule, Country, Covered, DateFormat, Direction, FieldRow, FieldType, OnInvalid, Take, TooLong,
};
use crate::domain::time::Timestamp;

use super::reader::{Item, Table, Wrong};
use super::records::{Company, object_name};
use super::values::{api_name, expression, filled_text, one_built_of, one_of};

const TYPES: &[(&str, FieldType)] = &[
    ("text", FieldType::Text),
    ("email", FieldType::Email),
    ("phone", FieldType::Phone),
    ("url", FieldType::Url),
    ("number", FieldType::Number),
    ("integer", FieldType::Integer),
    ("currency", FieldType::Currency),
    ("percent", FieldType::Percent),
    ("boolean", FieldType::Boolean),
    ("date", FieldType::Date),
    ("datetime", FieldType::DateTime),
    ("picklist", FieldType::Picklist),
    ("multi_picklist", FieldType::MultiPicklist),
    ("owner", FieldType::Owner),
];

/// Reads the rows of a destination whose leads become `object` records under the key `external_id`.
///
/// With `note_field`, a row of its own for the custom attributes that no other one takes comes last.
pub(super) fn read(
    destination: &Table<'_>,
    object: &ObjectName,
    external_id: Option<&FieldName>,
    note_field: Option<&FieldName>,
) -> Vec<FieldRow> {
    let tables = destination.sections("fields");
    if tables.is_empty() {
        destination.wrong(
            "fields",
            "has no row, so nothing would be written",
            "write one [[…fields]] for each CRM field",
        );
    }
    let mut written: BTreeMap<(ObjectName, String), usize> = BTreeMap::new();
    let mut rows = Vec::new();
    for table in tables {
        let line = table.line();
        if let Some(row) = read_row(&table, object) {
            check_once(&table, &row, external_id, &mut written, line);
            let is_note = note_field.is_some_and(|note| note.as_str().eq_ignore_ascii_case(row.crm.as_str()));
            if is_note && row.direction != Direction::None {
                table.wrong(
                    "crm",
                    "is `records.note_field` already",
                    "leave this row out, or name another field there",
                );
            }
            rows.push(row);
        }
        table.finish();
    }
    if let Some(field) = note_field {
        rows.push(row_of_unmapped(field, people(object, &rows), Covered::by(&rows)));
    }
    rows
}

const ACCOUNT: &str = "Account";
const PEOPLE: [&str; 2] = ["Lead", "Contact"];
/// Kinds of records that are not one lead's alone: only their blanks are filled.
const SHARED: [&str; 2] = [ACCOUNT, "Opportunity"];

/// Companies that are made need a name; rows for companies that are not looked up would say nothing.
pub(super) fn check_companies(destination: &Table<'_>, company: Company, rows: &[FieldRow]) {
    let is_for = |row: &FieldRow, object: &str| row.on.iter().any(|on| on.as_str() == object);
    if company == Company::Inline {
        if let Some(row) = rows.iter().find(|row| is_for(row, ACCOUNT) && row.direction == Direction::ToCrm) {
            destination.wrong(
                "fields",
                format!("{} has a row for Account, and records.company is \"inline\"", row.crm),
                "write company = \"account\" or \"match_only\" in `records`, or leave Account out of the row's `on`",
            );
        }
        return;
    }
    // One that is only looked for may be known by its domain.
    if company == Company::MatchOnly {
        return;
    }
    let names_it = |row: &FieldRow| {
        let is_name = is_for(row, ACCOUNT) && row.crm.as_str() == "Name";
        row.direction == Direction::ToCrm && (is_name || row.crm.as_str() == "Company")
    };
    if !rows.iter().any(names_it) {
        destination.wrong(
            "fields",
            "no row says what a company is called, which records.company = \"account\" needs",
            "write a row with crm = \"Name\", on = [\"Account\"]",
        );
    }
}

/// The kinds of records that a person's may be and that are written: `object`, and those with rows.
fn people(object: &ObjectName, rows: &[FieldRow]) -> Vec<ObjectName> {
    let is_written =
        |person: &ObjectName| rows.iter().any(|row| row.direction == Direction::ToCrm && row.on.contains(person));
    let others = PEOPLE.map(ObjectName::from).into_iter().filter(|person| person != object && is_written(person));
    [object.clone()].into_iter().chain(others).collect()
}

/// The row that stands behind `unmapped = "note"`.
fn row_of_unmapped(field: &FieldName, on: Vec<ObjectName>, covered: Covered) -> FieldRow {
    FieldRow {
        lead: "attributes.*".to_owned(),
        computed: Some(Computed::Unmapped(covered)),
        crm: field.clone(),
        kind: FieldType::Text,
        on,
        direction: Direction::ToCrm,
        conflict: ConflictRule::LeadWins,
        enforce: false,
        take: None,
        format: None,
        values: Vec::new(),
        default: None,
        country: None,
        clear: false,
        too_long: TooLong::Truncate,
        on_invalid: OnInvalid::Skip,
        note: Some("a block of lines for attributes without a row; what people write around it is kept".to_owned()),
    }
}

/// Two rows for one field would fight over it, and our own key is not theirs to write.
fn check_once(
    table: &Table<'_>,
    row: &FieldRow,
    external_id: Option<&FieldName>,
    written: &mut BTreeMap<(ObjectName, String), usize>,
    line: usize,
) {
    if row.direction == Direction::None {
        return;
    }
    if external_id.is_some_and(|key| key.as_str().eq_ignore_ascii_case(row.crm.as_str())) {
        table.wrong("crm", "is the external ID, which leadrelay writes itself", "leave this row out");
    }
    for object in &row.on {
        let field = (object.clone(), row.crm.as_str().to_ascii_lowercase());
        match written.get(&field) {
            Some(first) => table.wrong(
                "crm",
                format!("{} of {object} has a row in line {first} already", row.crm),
                "keep one of the two rows",
            ),
            None => {
                written.insert(field, line);
            }
        }
    }
}

fn read_row(table: &Table<'_>, object: &ObjectName) -> Option<FieldRow> {
    let computed = table.optional("value", expression);
    let lead = if table.has("value") {
        if table.has("lead") {
            table.wrong("lead", "stands beside `value`", "keep one of the two");
        }
        table.item("lead");
        computed.as_ref().map(|expression| expression.source().to_owned())
    } else {
        table.required("lead", "write the lead's field, such as \"email\" or \"attributes.industry\"", filled_text)
    };
    let crm = table.required("crm", "write the API name of the CRM's field, such as \"Email\"", api_name);
    let kind = table.required("type", "write the field's type, such as \"text\"", one_of(TYPES));
    let on = table
        .list("on", object_name)
        .map_or_else(|| vec![object.clone()], |names| names.into_iter().map(ObjectName::from).collect());
    if table.length("on") == Some(0) {
        table.wrong("on", "is empty, so the row applies to nothing", "name an object, or leave `on` out");
    }
    let directions = one_built_of(&[("to_crm", Direction::ToCrm), ("none", Direction::None)], &["to_lead", "both"]);
    let conflicts = one_of(&[
        ("lead_wins", ConflictRule::LeadWins),
        ("crm_wins", ConflictRule::CrmWins),
        ("latest_wins", ConflictRule::LatestWins),
        ("review", ConflictRule::Review),
        ("merge", ConflictRule::Merge),
    ]);
    let takes = one_of(&[("first_name", Take::FirstName), ("last_name", Take::LastName), ("domain", Take::Domain)]);
    let direction = table.or("direction", Direction::ToCrm, directions);
    let fills_blanks = on.iter().all(|object| SHARED.contains(&object.as_str()));
    let usual = if fills_blanks { ConflictRule::CrmWins } else { ConflictRule::LeadWins };
    let conflict = table.or("conflict", usual, conflicts);
    let take = table.optional("take", takes);
    let format = table.optional("format", date_format);
    let values = table.section("values").entries(value_text);
    let default = table.optional("default", |item| default_value(item, kind));
    let country = country(table);
    let clear = table.or("clear", false, Item::flag);
    let enforce = table.or("enforce", false, Item::flag);
    if enforce && conflict != ConflictRule::LeadWins && !fills_blanks {
        table.wrong(
            "enforce",
            format!("sets edits in the CRM back, but conflict = {:?} lets them count", conflict.as_str()),
            "write conflict = \"lead_wins\", or leave `enforce` out",
        );
    }
    let too_long =
        table.or("too_long", TooLong::Refuse, one_of(&[("refuse", TooLong::Refuse), ("truncate", TooLong::Truncate)]));
    let on_invalid = table.or(
        "on_invalid",
        OnInvalid::Skip,
        one_of(&[("skip", OnInvalid::Skip), ("review", OnInvalid::Review), ("hold", OnInvalid::Hold)]),
    );
    let note = table.optional("note", Item::text);
    let kind = kind?;
    check_options(table, kind, conflict);
    if clear && kind == FieldType::Owner {
        table.wrong("clear", "a record is never without an owner", "leave it out: a blank leaves the owner as it is");
    }
    Some(FieldRow {
        lead: lead?,
        computed: computed.map(Computed::Expression),
        crm: FieldName::new(crm?),
        kind,
        on,
        direction,
        conflict,
        enforce,
        take,
        format,
        values,
        default,
        country,
        clear,
        too_long,
        on_invalid,
        note,
    })
}

/// Options that would say nothing for a row of this type.
fn check_options(table: &Table<'_>, kind: FieldType, conflict: ConflictRule) {
    if conflict == ConflictRule::Merge && kind != FieldType::MultiPicklist {
        table.wrong("conflict", "\"merge\" is for lists only", "write type = \"multi_picklist\", or another rule");
    }
    for key in ["country", "country_from"] {
        if table.has(key) && kind != FieldType::Phone {
            table.wrong(key, "is for phones only", "write type = \"phone\", or leave it out");
        }
    }
    if table.has("format") && !matches!(kind, FieldType::Date | FieldType::DateTime) {
        table.wrong("format", "is for dates only", "write type = \"date\" or \"datetime\", or leave it out");
    }
    if table.has("values") && !matches!(kind, FieldType::Text | FieldType::Picklist | FieldType::MultiPicklist) {
        table.wrong(
            "values",
            "are for picklists and text only",
            "write type = \"picklist\" or \"multi_picklist\", or leave it out",
        );
    }
}

fn country(table: &Table<'_>) -> Option<Country> {
    if table.has("country") && table.has("country_from") {
        table.wrong("country_from", "stands beside `country`", "keep one of the two");
    }
    let from = table.optional("country_from", filled_text).map(Country::From);
    table.optional("country", country_code).map(Country::Fixed).or(from)
}

fn country_code(item: &Item<'_>) -> Result<String, Wrong> {
    let text = item.text()?;
    if text.parse::<phonenumber::country::Id>().is_ok() {
        return Ok(text);
    }
    Err(Wrong::new(format!("{} is no country code", item.shown()), "write its ISO 3166 code, such as \"FR\""))
}

fn date_format(item: &Item<'_>) -> Result<DateFormat, Wrong> {
    match item.text()?.as_str() {
        "unix_s" => Ok(DateFormat::UnixSeconds),
        "unix_ms" => Ok(DateFormat::UnixMilliseconds),
        "rfc3339" => Ok(DateFormat::Rfc3339),
        pattern if is_pattern(pattern) => Ok(DateFormat::Pattern(pattern.to_owned())),
        _ => Err(Wrong::new(
            format!("{} is no way to write dates", item.shown()),
            "write \"unix_s\", \"unix_ms\", \"rfc3339\" or a pattern such as \"%d/%m/%Y\"",
        )),
    }
}

/// Whether dates can be written and read by this strftime pattern.
fn is_pattern(pattern: &str) -> bool {
    let day = jiff::civil::date(2026, 3, 27).at(13, 14, 15, 0);
    let Ok(shown) = jiff::fmt::strtime::format(pattern, day) else { return false };
    let read = jiff::fmt::strtime::parse(pattern, &shown).and_then(|parts| parts.to_date());
    pattern.contains('%') && read.is_ok_and(|date| date == day.date())
}

/// The text of a value in `values`.
fn value_text(item: &Item<'_>) -> Result<String, Wrong> {
    let text = item.scalar()?;
    if text.trim().is_empty() {
        return Err(Wrong::new("must not be empty", "write the CRM's value, or leave the line out"));
    }
    Ok(text)
}

fn default_value(item: &Item<'_>, kind: Option<FieldType>) -> Result<String, Wrong> {
    let text = item.scalar()?;
    if text.trim().is_empty() {
        return Err(Wrong::new("must not be empty", "write a value, or leave the key out"));
    }
    let (fits, example) = match kind {
        Some(FieldType::Number | FieldType::Currency | FieldType::Percent) => {
            (text.parse::<Decimal>().is_ok(), "a number such as 0")
        }
        Some(FieldType::Integer) => (text.parse::<i64>().is_ok(), "a whole number such as 0"),
        Some(FieldType::Boolean) => (matches!(text.as_str(), "true" | "false"), "true or false"),
        Some(FieldType::Date) => (text.parse::<jiff::civil::Date>().is_ok(), "a date such as \"2026-01-31\""),
        Some(FieldType::DateTime) => {
            (Timestamp::parse_rfc3339(&text).is_some(), "a moment such as \"2026-01-31T12:00:00Z\"")
        }
        Some(FieldType::Email | FieldType::Owner) => {
            (email_address::EmailAddress::is_valid(&text), "an address such as \"a@example.com\"")
        }
        _ => (true, ""),
    };
    if fits {
        Ok(text)
    } else {
        Err(Wrong::new(format!("{} does not fit the type", item.shown()), format!("write {example}")))
    }
}
