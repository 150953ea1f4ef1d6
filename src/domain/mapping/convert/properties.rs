//! What holds for every value and every type.

use proptest::prelude::*;
use proptest::sample::select;

use super::tests::{field, row};
use super::*;
use crate::domain::mapping::{DateFormat, TooLong};

/// Texts that have tripped converters somewhere.
const HOSTILE: &[&str] = &[
    "NaN",
    "-nan",
    "Infinity",
    "-inf",
    "1e999",
    "1E-400",
    "0x1F",
    "1_000",
    "1,234.5",
    "--1",
    "+",
    "-0",
    "00",
    "١٢٣",
    "１２３",
    "½",
    "²",
    "1e",
    ".5",
    "5.",
    "79228162514264337593543950336",
    "0.00000000000000000000000000001",
    "9007199254740993",
    "2147483648",
    "-2147483649",
    "0000-00-00",
    "0000-01-01",
    "9999-12-31",
    "10000-01-01",
    "-0001-01-01",
    "1699-12-31",
    "1700-01-01",
    "4000-12-31",
    "4001-01-01",
    "2026-02-29",
    "2028-02-29",
    "2026-12-31T23:59:60Z",
    "2026-12-31T23:59:60.5+01:00",
    "20261231T235960Z",
    "2026-12-31 23:59:60 +0100",
    "2026-01-01T00:00:00+25:00",
    "2026-01-01T00:00:00-00:00",
    "2026-01-01T00:00:00+01:00[Europe/Berlin]",
    "2026-01-01T00Z",
    "2024-02-30",
    "0000-00-00T00:00:00Z",
    "26-01-01",
    "01/02/26",
    "3/4/2024",
    "29/02/2023",
    "2026-01-01T24:00:00Z",
    "1700-01-01T00:00:00+14:00",
    "4000-12-31T23:59:59-12:00",
    "2026-01-01T00:00:00.999999999Z",
    "2026-01-01 00:00:00Z",
    "2026-W01-1",
    "20260101",
    "2026-1-1",
    "03/04/2026",
    "253402300799",
    "\u{202e}gnp.exe\u{202c}",
    "שלום עולם",
    "مرحبا",
    "👩\u{200d}💻🚀",
    "🚀",
    "𠮟𠮟𠮟𠮟𠮟𠮟𠮟𠮟𠮟𠮟𠮟𠮟𠮟𠮟𠮟𠮟𠮟𠮟𠮟𠮟",
    "e\u{301}\u{301}\u{301}",
    "\u{feff}bom",
    "\u{0}",
    "a\u{0}b",
    "\u{7}\u{8}\u{1b}[2J",
    "\u{fffd}",
    "\u{10ffff}",
    "\r\n\r",
    "\u{2028}\u{2029}",
    "\u{a0}\u{3000}",
    "'; DROP TABLE Lead;--",
    "<script>alert(1)</script>",
    "=1+1",
    "${x}",
    "a@b.c",
    "a@b.12",
    "a@b..c",
    "a@-b.example",
    "a@b.example.",
    "\"a b\"@c.example",
    "a@[127.0.0.1]",
    "mailto:a@b.example?x=y",
    "A <a@b.example>",
    "@",
    "a@b@c.example",
    "http://",
    "https://a",
    "//a.example",
    "http:a.example",
    "https://a.example:99999",
    "https://user:pw@a.example",
    "HTTPS://Ä.example/ü",
    "javascript:alert(1)",
    "a.example?x=://",
    "https://[::1]/",
    "http://1.2.3",
    "+",
    "+49",
    "+49 30 23125042",
    "0000-00-01",
    "00000000",
    "(0)",
    "+1 (0) 202 555 0118",
    "0049(0)30 23125042",
    "911",
    "+800 1234 5678",
    "12 x",
    "202-555-0118 ext. 5;ext=6",
    "+4915112345678#",
    "tel:+49",
    "true",
    "ja",
    "да",
    "はい",
    "wahr",
    "null",
    "TRUE ",
    "yes",
    "nO",
    "on",
    "t",
    "1",
    "0",
    "0.0",
    "4.5",
    "0.1e1",
    "1.234,56",
    "n.a.",
    "https:///x",
    "http://x.example\\@evil.example",
    "2026-001",
    "310-1234",
    "2026-01-01T00:00:00+05:00[Europe/Berlin]",
    "1767225600000",
    "\u{202a}a@x.example\u{202c}",
    "a@x.example\u{200b}",
    "a@ｘ.example",
    "a;b",
    ";",
    ";;a; ;A",
    "bB",
];

fn any_json() -> impl Strategy<Value = Value> {
    let numbers = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (any::<i32>(), -60i32..60).prop_map(|(digits, exponent)| format!("{digits}e{exponent}")),
        "-?[1-9][0-9]{3,9}(\\.[0-9]{1,5})?",
        "-?(0|[1-9][0-9]{0,60})(\\.[0-9]{1,60})?([eE][+-]?[0-9]{1,25})?",
    ];
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        4 => numbers.prop_map(Value::Number),
        6 => select(HOSTILE).prop_map(|text| Value::Text(text.to_owned())),
        1 => (select(HOSTILE), select(HOSTILE)).prop_map(|(a, b)| Value::Text(format!("{a}{b}"))),
        1 => ".*".prop_map(Value::Text),
        1 => "[a-zß ]{1,32}".prop_map(Value::Text),
        2 => "[+0-9 ().x/-]{0,20}".prop_map(Value::Text),
        1 => "[a-z\"<>@. ;é:/-]{0,20}".prop_map(Value::Text),
        1 => "[a-zé.]{1,3}@[a-zé-]{1,9}\\.[a-z]{2,5}".prop_map(Value::Text),
        2 => "(1[789]|2[01])[0-9]{2}-(0[1-9]|1[0-2])-[0-2][0-9][Tt ]([01][0-9]|2[0-4]):[0-5][0-9]:([0-5][0-9]|60)(\\.[0-9]{1,9})?(Z|z|[+-][0-2][0-9]:[0-5][0-9])".prop_map(Value::Text),
        2 => "[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:]{8}(Z|[+-]01:00)?)?".prop_map(Value::Text),
        1 => "[0-9]{1,2}/[0-9]{1,2}/[0-9]{1,5}".prop_map(Value::Text),
        1 => (1usize..60).prop_map(|depth| (0..depth).fold(Value::Text("deep".into()), |inner, _| Value::List(vec![inner]))),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            proptest::collection::btree_map("[a-c]", inner, 0..3).prop_map(Value::Object),
        ]
    })
}

const TYPES: [FieldType; 14] = [
    FieldType::Text,
    FieldType::Email,
    FieldType::Phone,
    FieldType::Url,
    FieldType::Number,
    FieldType::Integer,
    FieldType::Currency,
    FieldType::Percent,
    FieldType::Boolean,
    FieldType::Date,
    FieldType::DateTime,
    FieldType::Picklist,
    FieldType::MultiPicklist,
    FieldType::Owner,
];

const KINDS: [CrmFieldKind; 16] = [
    CrmFieldKind::Text,
    CrmFieldKind::LongText,
    CrmFieldKind::Email,
    CrmFieldKind::Phone,
    CrmFieldKind::Url,
    CrmFieldKind::Picklist,
    CrmFieldKind::MultiPicklist,
    CrmFieldKind::Integer,
    CrmFieldKind::Decimal,
    CrmFieldKind::Currency,
    CrmFieldKind::Percent,
    CrmFieldKind::Boolean,
    CrmFieldKind::Date,
    CrmFieldKind::DateTime,
    CrmFieldKind::Reference,
    CrmFieldKind::Other,
];

/// A row and a field that its type may fill, with any limits.
fn any_row() -> impl Strategy<Value = (FieldRow, FieldSchema)> {
    let pairs: Vec<(FieldType, CrmFieldKind)> = TYPES
        .iter()
        .flat_map(|kind| KINDS.map(|crm| (*kind, crm)))
        .filter(|(kind, crm)| type_fits(*kind, *crm))
        .collect();
    let formats =
        [None, None, Some("%d/%m/%Y"), Some("%Y-%m-%d %H:%M %z"), Some("unix_s"), Some("unix_ms"), Some("rfc3339")];
    let takes = [None, None, None, Some(Take::FirstName), Some(Take::LastName), Some(Take::Domain)];
    let countries = [None, Some("DE"), Some("US"), Some("IT"), Some("JP"), Some("nowhere")];
    let limits = (proptest::option::weighted(0.8, 1u32..40), 0u32..4, any::<bool>(), any::<bool>(), any::<bool>());
    let digits = 4u32..=18;
    (select(pairs), limits, digits, select(formats.to_vec()), select(takes.to_vec()), select(countries.to_vec()))
        .prop_map(|((kind, crm), (length, scale, listed, restricted, cut), precision, format, take, country)| {
            let (mut row, mut field) = (row(kind), field(crm));
            row.country = country.map(|code| Country::Fixed(code.to_owned()));
            row.too_long = if cut { TooLong::Truncate } else { TooLong::Refuse };
            row.format = format.and_then(DateFormat::parse);
            row.take = take;
            (field.length, field.precision, field.scale) = (length, Some(precision), Some(scale));
            (field.values, field.restricted) = (vec!["a".into(), "Bb".into()], restricted);
            if listed {
                row.values = vec![("hot".into(), "a".into()), ("yes".into(), "Very hot".into())];
            }
            (row, field)
        })
}

/// The CRM's value as a lead system would send it.
fn as_sent(row: &FieldRow, value: &CrmValue) -> Value {
    match value {
        CrmValue::Null => Value::Null,
        CrmValue::Boolean(flag) => Value::Bool(*flag),
        CrmValue::Choices(choices) if row.kind == FieldType::Text => {
            Value::Text(choices.iter().cloned().collect::<Vec<_>>().join(";"))
        }
        CrmValue::Choices(choices) => Value::List(choices.iter().cloned().map(Value::Text).collect()),
        other => Value::Text(other.to_string()),
    }
}

fn run(row: &FieldRow, value: &Value, field: &FieldSchema) -> Converted {
    convert(row, &|_| Some(value), Some(field), Given::times(TimeFormat::UnixSeconds))
}

/// Why a CRM would refuse the value, by what it says of its field.
fn refused_by(field: &FieldSchema, value: &CrmValue) -> Option<&'static str> {
    let too_long = |text: &str| field.length.is_some_and(|most| text.encode_utf16().count() > most as usize);
    let unlisted = |text: &String| field.restricted && !field.values.contains(text);
    let digits = |number: &rust_decimal::Decimal| {
        let scale = if field.kind == CrmFieldKind::Integer { 0 } else { field.scale.unwrap_or(0) };
        let whole = number.trunc().abs().to_string();
        number.scale() <= scale && (whole == "0" || whole.len() <= (field.precision.unwrap_or(18) - scale) as usize)
    };
    match (value, field.kind) {
        (CrmValue::Text(text), _) if text.trim() != text || text.is_empty() => Some("blank at its ends"),
        (CrmValue::Text(text), _) if too_long(text) => Some("too long"),
        (CrmValue::Text(text), _) if text.contains(['\0', '\r']) => Some("characters"),
        (CrmValue::Text(text), CrmFieldKind::Email) => {
            let plain = text.is_ascii() && !text.contains([' ', '"', '<', ';', ',']) && text.matches('@').count() == 1;
            let top = text.rsplit('.').next().unwrap_or_default();
            let plain = plain && top.len() > 1 && top.contains(|c: char| c.is_ascii_alphabetic());
            (!plain || !email_address::EmailAddress::is_valid(text)).then_some("no address")
        }
        (CrmValue::Text(text), CrmFieldKind::Picklist) => unlisted(text).then_some("not listed"),
        (CrmValue::Choices(choices), CrmFieldKind::MultiPicklist) => {
            let bad = |choice: &String| {
                choice.contains(';') || choice.trim() != choice || choice.is_empty() || unlisted(choice)
            };
            let together = choices.iter().map(String::as_str).collect::<Vec<_>>().join(";");
            (choices.is_empty() || choices.iter().any(bad) || too_long(&together)).then_some("no such choices")
        }
        (
            CrmValue::Number(number),
            CrmFieldKind::Integer | CrmFieldKind::Decimal | CrmFieldKind::Currency | CrmFieldKind::Percent,
        ) => (!digits(number)).then_some("too many digits"),
        (CrmValue::Date(day), CrmFieldKind::Date) => (!(1700..=4000).contains(&day.year())).then_some("out of range"),
        (CrmValue::DateTime(moment), CrmFieldKind::DateTime) => {
            let year: i32 = moment.to_string()[..4].parse().unwrap_or_default();
            (!(1700..=4000).contains(&year) || moment.as_micros() % 1_000_000 != 0).then_some("out of range")
        }
        (CrmValue::Boolean(_), CrmFieldKind::Boolean) => None,
        (CrmValue::Text(_), CrmFieldKind::Text | CrmFieldKind::LongText | CrmFieldKind::Phone | CrmFieldKind::Url) => {
            None
        }
        _ => Some("another kind of value"),
    }
}

/// Whether all that the value says was said by the lead: nothing is added, lost or changed beyond what a note tells.
fn says_the_same(row: &FieldRow, sent: &Value, value: &CrmValue, note: Option<&Note>) -> bool {
    let said = sent.scalar_text().unwrap_or_default();
    let plain = |text: &str| text.trim().replace("\r\n", "\n").replace('\r', "\n");
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    match (value, row.kind) {
        (CrmValue::Text(text), FieldType::Text) if row.take.is_none() && row.values.is_empty() => match note {
            Some(Note::Truncated { from, to }) => {
                let (from, to) = (*from, *to);
                plain(said).starts_with(text.as_str())
                    && plain(said).encode_utf16().count() == from
                    && text.encode_utf16().count() == to
            }
            _ => plain(said) == *text || plain(said).to_lowercase() == text.to_lowercase() || text.contains('@'),
        },
        (CrmValue::Text(text), FieldType::Email) if row.take.is_none() => {
            let local = text.split('@').next().unwrap_or_default();
            said.contains(local)
        }
        (CrmValue::Text(text), FieldType::Url) if row.take.is_none() => {
            let is_number = said.trim().parse::<f64>().is_ok();
            *text == said.trim() || !is_number && *text == format!("https://{}", said.trim().trim_start_matches('/'))
        }
        (CrmValue::Text(text), FieldType::Phone) if row.take.is_none() && said.is_ascii() => {
            let number = digits(text.split(" x").next().unwrap_or_default());
            digits(said).contains(&number[number.len().saturating_sub(2)..])
        }
        (CrmValue::Number(number), _) if row.take.is_none() => {
            let exact = said.trim().parse().ok().or_else(|| rust_decimal::Decimal::from_scientific(said.trim()).ok());
            match note {
                Some(Note::Rounded { scale }) => exact.is_none_or(|exact: rust_decimal::Decimal| {
                    (exact - number).abs() <= rust_decimal::Decimal::new(5, scale + 1)
                }),
                _ => exact.is_none_or(|exact| exact == *number),
            }
        }
        (CrmValue::Date(day), FieldType::Date)
            if row.format.is_none() && row.take.is_none() && said.trim().len() == 10 =>
        {
            matches!(sent, Value::Number(_)) || said.trim() == day.to_string()
        }
        (CrmValue::Text(text), FieldType::Picklist) if row.take.is_none() => is_choice_of(row, said, text),
        (CrmValue::Choices(choices), FieldType::MultiPicklist) if row.take.is_none() => {
            let items = if let Value::List(items) = sent { items.as_slice() } else { std::slice::from_ref(sent) };
            let texts: Vec<&str> = items.iter().filter_map(Value::scalar_text).collect();
            choices.iter().all(|choice| texts.iter().any(|sent| is_choice_of(row, sent, choice)))
        }
        (CrmValue::Boolean(flag), _) if row.take.is_none() => {
            let word = said.trim().to_lowercase();
            let number = word.parse::<f64>().ok().filter(|_| matches!(sent, Value::Number(_)));
            let words = if *flag { ["true", "yes", "1"] } else { ["false", "no", "0"] };
            words.contains(&word.as_str()) || number == Some(f64::from(u8::from(*flag)))
        }
        (CrmValue::DateTime(moment), _) if row.take.is_none() && matches!(sent, Value::Text(_)) => {
            seconds_of(said.trim()).is_none_or(|seconds| seconds == moment.as_seconds())
        }
        _ => true,
    }
}

fn is_choice_of(row: &FieldRow, sent: &str, choice: &str) -> bool {
    let folded = sent.trim().replace("\r\n", "\n").replace('\r', "\n").to_lowercase();
    let mapped = row.values.iter().filter(|(from, _)| *from == folded).map(|(_, to)| to.to_lowercase());
    mapped.chain([folded.clone()]).any(|meant| meant == choice.to_lowercase())
}

/// The Unix time that `2026-01-31T10:00:00+01:00` says, worked out by hand; `None` where the text has another shape.
fn seconds_of(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let marks = [(4, "-"), (7, "-"), (13, ":"), (16, ":")];
    if !text.is_ascii() || marks.iter().any(|(at, mark)| text.get(*at..at + 1) != Some(mark)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let clock = number(11, 13)? * 3_600 + number(14, 16)? * 60 + number(17, 19)?;
    let zone = text.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match zone.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let off = zone.get(1..3)?.parse::<i64>().ok()? * 3_600 + zone.get(4..6)?.parse::<i64>().ok()? * 60;
            if *sign == b'+' { off } else { -off }
        }
        _ => return None,
    };
    // Days since 1970 of a year that begins in March, so that the odd day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + clock - offset)
}

/// Many pairs of a value and a type are refused at once, so many are tried; more with PROPTEST_CASES.
fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.max(8_000), ..default }
}

/// Values under controlling ones: one under several, one twice with the same label, one without a label of its own.
fn any_dependent() -> impl Strategy<Value = FieldSchema> {
    use crate::domain::record::{Choice, Choices, Places};
    let all =
        [("a", "Red", "x y"), ("Bb", "Blue", "y"), ("true", "Red", "z"), ("DE", "Germany", "x"), ("WA", "WA", "")];
    let choice = |(value, label, under): (&str, &str, &str)| Choice {
        value: value.to_owned(),
        label: label.to_owned(),
        under: Some(under.split_whitespace().map(str::to_owned).collect()),
    };
    let kinds = select(vec![CrmFieldKind::Picklist, CrmFieldKind::MultiPicklist]);
    (kinds, any::<bool>(), any::<bool>()).prop_map(move |(kind, restricted, countries)| {
        let places = Some(if countries { Places::Countries } else { Places::States });
        let choices = Choices { all: all.map(choice).to_vec(), controller: Some("C".into()), places };
        FieldSchema { choices, restricted, values: all.map(|(value, ..)| value.to_owned()).to_vec(), ..field(kind) }
    })
}

proptest! {
    #![proptest_config(cases())]
    #[test]
    fn what_is_chosen_goes_with_what_controls_it(
        field in any_dependent(),
        value in prop_oneof![any_json(), select(vec!["red", "RED", "bb", "Germany", "Deutschland", "wa", "a"]).prop_map(|text| Value::Text(text.into()))],
        under in select(vec![None, Some("x"), Some("Y"), Some("z"), Some("elsewhere")]),
    ) {
        let kind = if field.kind == CrmFieldKind::Picklist { FieldType::Picklist } else { FieldType::MultiPicklist };
        let row = row(kind);
        let given = Given { controlling: under, ..Given::times(TimeFormat::UnixSeconds) };
        let convert = |value: &Value| convert(&row, &|_| Some(value), Some(&field), given);
        match convert(&value) {
            Converted::Value(converted, note) => {
                let controlling = under.map_or(CrmValue::Null, |under| CrmValue::Text(under.to_owned()));
                prop_assert!(under.is_none() || !field.restricted || field.takes_under(&converted, &controlling), "{converted:?}");
                prop_assert_eq!(refused_by(&field, &converted), None);
                prop_assert_eq!(convert(&as_sent(&row, &converted)), Converted::Value(converted, note), "there and back");
            }
            Converted::Invalid(invalid) => prop_assert!(!invalid.code.is_empty() && !invalid.message.is_empty()),
            Converted::Absent | Converted::Blank => {}
        }
    }

    #[test]
    fn what_is_converted_fits_its_field_and_stays_what_it_is((row, field) in any_row(), value in any_json()) {
        let outcome = run(&row, &value, &field);
        prop_assert_eq!(&outcome, &run(&row, &value, &field));
        let (converted, note) = match outcome {
            Converted::Value(converted, note) => (converted, note),
            Converted::Invalid(invalid) => {
                prop_assert!(!invalid.code.is_empty() && !invalid.message.is_empty());
                return Ok(());
            }
            Converted::Absent => {
                prop_assert!(row.take.is_some());
                return Ok(());
            }
            Converted::Blank => return Ok(()),
        };
        prop_assert!(!converted.is_blank());
        prop_assert_eq!(refused_by(&field, &converted), None, "{:?} as {:?}", converted, field.kind);
        prop_assert!(says_the_same(&row, &value, &converted, note.as_ref()), "{:?} of {:?}", converted, value);
        let back = FieldRow { take: None, format: None, values: Vec::new(), ..row };
        prop_assert_eq!(run(&back, &as_sent(&back, &converted), &field), Converted::Value(converted, None), "there and back");
    }
}
