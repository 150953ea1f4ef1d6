//! The table of conversions in `docs/mapping.md`, line by line through the converter.

use std::collections::BTreeSet;
use std::path::Path;

use super::tests::{field, row, told_of};
use super::*;
use crate::domain::mapping::{DateFormat, OwnerFound, TooLong};
use crate::domain::record::{Choice, Choices, Places};

const PAGE: &str = include_str!("../../../../docs/mapping.md");

/// One line of the table: type, row and field, what the lead has, what the CRM gets.
fn lines() -> Vec<[String; 4]> {
    let table = PAGE.split("## Conversions").nth(1).unwrap();
    let cells = |line: &str| {
        let cells: Vec<String> = line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
        cells.try_into().unwrap_or_else(|cells| panic!("a line of the table has other than four cells: {cells:?}"))
    };
    table.lines().filter(|line| line.starts_with("| ")).skip(2).map(cells).collect()
}

/// `US=United States, DE=Germany`, or `US/WA=Washington` for a value under a controlling one.
fn choices(field: &mut FieldSchema, places: Places, text: &str) {
    let choice = |one: &str| {
        let (value, label) = one.split_once('=').unwrap();
        let (under, value) = value.split_once('/').map_or((None, value), |(under, value)| (Some(under), value));
        let under = under.map(|under| BTreeSet::from([under.to_owned()]));
        Choice { value: value.to_owned(), label: label.to_owned(), under }
    };
    let all: Vec<Choice> = text.split(", ").map(choice).collect();
    field.values = all.iter().map(|choice| choice.value.clone()).collect();
    field.restricted = true;
    field.choices = Choices { all, controller: None, places: Some(places) };
}

fn with_option(row: &mut FieldRow, field: &mut FieldSchema, owners: &mut Owners, option: &str) {
    let list = |text: &str| text.split(", ").map(str::to_owned).collect::<Vec<_>>();
    let (name, value) = option.split_once(' ').unwrap();
    match (name, value) {
        ("length", _) => field.length = Some(value.parse().unwrap()),
        ("too_long", _) => row.too_long = TooLong::parse(value).unwrap(),
        ("take", _) => row.take = Some(Take::parse(value).unwrap()),
        ("country", _) => row.country = Some(Country::Fixed(value.to_owned())),
        ("format", _) => row.format = Some(DateFormat::parse(value).unwrap()),
        ("values", _) => {
            let (from, to) = value.split_once('=').unwrap();
            row.values = vec![(from.to_owned(), to.to_owned())];
        }
        ("picklist", _) => field.values = list(value),
        ("countries", _) => choices(field, Places::Countries, value),
        ("states", _) => choices(field, Places::States, value),
        ("restricted", _) => (field.values, field.restricted) = (list(value), true),
        (number, "active user" | "active users" | "inactive user") => {
            let found = match (number, value) {
                ("one", "active user") => OwnerFound::Active("0055g00000BbbBbAAV".into()),
                ("one", "inactive user") => OwnerFound::Inactive,
                ("two", "active users") => OwnerFound::Several,
                _ => panic!("no number of users: {option}"),
            };
            owners.insert("sam@crm.example".to_owned(), found);
        }
        ("field", "email") => field.kind = CrmFieldKind::Email,
        ("field", "number") => field.kind = CrmFieldKind::Decimal,
        ("field", _) => (field.kind, field.values) = (CrmFieldKind::Picklist, list(&value["picklist ".len()..])),
        (digits, "digits") => field.precision = Some(digits.parse().unwrap()),
        (digits, "after the point") => field.scale = Some(digits.parse().unwrap()),
        _ => panic!("the table has an option that no row and no field has: {option}"),
    }
}

#[test]
fn every_line_of_the_published_table_holds() {
    let lines = lines();
    for [kind, options, sent, expected] in &lines {
        let kind = FieldType::parse(kind).unwrap_or_else(|| panic!("no type is called {kind}"));
        let (mut row, mut field, mut owners) = (row(kind), field(kind.crm_kind()), Owners::default());
        let (under, options): (Vec<&str>, Vec<&str>) =
            options.split("; ").filter(|option| !option.is_empty()).partition(|option| option.starts_with("under "));
        for option in &options {
            with_option(&mut row, &mut field, &mut owners, option);
        }
        let controlling = under.first().and_then(|option| option.strip_prefix("under "));
        let given = Given { times: TimeFormat::UnixSeconds, owners: &owners, controlling };
        let got = told_of(&row, sent, Some(&field), given).replace('\n', "\\n");
        assert_eq!(&got, expected, "{} {options:?} from {sent}", kind.as_str());
    }
    let shown: BTreeSet<&str> = lines.iter().map(|[kind, ..]| kind.as_str()).collect();
    assert_eq!(shown, FieldType::WORDS.iter().copied().collect(), "every type stands in the table");
}

/// The codes of all refusals in the converter's sources.
fn refusals(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            refusals(&path, found);
        } else if !path.ends_with("published.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let codes = text.split("Invalid::new(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
            found.extend(codes.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
}

#[test]
fn every_refusal_stands_in_the_published_table() {
    let mut known = BTreeSet::new();
    refusals(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/domain/mapping"), &mut known);
    assert!(known.len() > 20, "the sources were not found");
    let shown: BTreeSet<String> =
        lines().iter().filter_map(|[.., gets]| Some(gets.strip_prefix("refused ")?.to_owned())).collect();
    assert_eq!(shown, known);
}
