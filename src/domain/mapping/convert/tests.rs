//! The table of conversions: what each type makes of what lead systems send.

use super::*;
use crate::domain::mapping::{ConflictRule, DateFormat, Direction, OnInvalid, TooLong};

pub(crate) fn row(kind: FieldType) -> FieldRow {
    FieldRow {
        lead: "x".into(),
        computed: None,
        crm: "X".into(),
        kind,
        on: vec!["Lead".into()],
        direction: Direction::ToCrm,
        conflict: ConflictRule::LeadWins,
        enforce: false,
        take: None,
        format: None,
        values: Vec::new(),
        default: None,
        country: None,
        clear: false,
        too_long: TooLong::Refuse,
        on_invalid: OnInvalid::Skip,
        note: None,
    }
}

pub(crate) fn field(kind: CrmFieldKind) -> FieldSchema {
    FieldSchema {
        name: "X".into(),
        label: "X".into(),
        kind,
        type_name: "test".into(),
        length: None,
        precision: None,
        scale: None,
        nillable: true,
        defaulted: false,
        createable: true,
        updateable: true,
        unique: false,
        external_id: false,
        case_sensitive: false,
        filterable: true,
        values: Vec::new(),
        restricted: false,
        choices: Default::default(),
    }
}

/// What came out, as one line: `text Anna`, `blank`, `refused too_long`.
pub(super) fn told(row: &FieldRow, json: &str, field: Option<&FieldSchema>) -> String {
    told_of(row, json, field, Given::times(TimeFormat::UnixSeconds))
}

/// The same where more than times is known.
pub(super) fn told_of(row: &FieldRow, json: &str, field: Option<&FieldSchema>, given: Given<'_>) -> String {
    let value = Value::parse_json(json.as_bytes()).unwrap();
    let outcome = convert(row, &|path| (path == row.lead).then_some(&value), field, given);
    match outcome {
        Converted::Absent => "absent".into(),
        Converted::Blank => "blank".into(),
        Converted::Value(value, None) => value.to_string(),
        Converted::Value(value, Some(note)) => format!("{value} ({note})"),
        Converted::Invalid(invalid) => format!("refused {}", invalid.code),
    }
}

#[track_caller]
fn check(row: &FieldRow, json: &str, field: Option<&FieldSchema>, expected: &str) {
    assert_eq!(told(row, json, field), expected, "{} from {json}", row.kind.as_str());
}

#[test]
fn text_is_trimmed_and_otherwise_kept() {
    let (mut row, mut field) = (row(FieldType::Text), field(CrmFieldKind::Text));
    check(&row, r#""  a  b\r\nc ""#, None, "a  b\nc");
    check(&row, "null", None, "blank");
    check(&row, r#"" \t ""#, None, "blank");
    check(&row, "9007199254740993", None, "9007199254740993");
    check(&row, "false", None, "false");
    check(&row, r#"["a"]"#, None, "refused not_a_single_value");
    check(&row, "[]", None, "blank");
    check(&row, r#"{"a":1}"#, None, "refused not_a_single_value");
    check(&row, r#""a\u0000b""#, None, "refused unstorable_text");
    field.length = Some(3);
    check(&row, r#""äöü""#, Some(&field), "äöü");
    check(&row, r#""äöüß""#, Some(&field), "refused too_long");
    row.too_long = TooLong::Truncate;
    check(&row, r#""äöüß""#, Some(&field), "äöü (truncated from 4 to 3 characters)");
    row.take = Some(Take::FirstName);
    check(&row, r#""Anna""#, None, "absent");
    row.take = Some(Take::Domain);
    check(&row, r#""pepe@shop.acme.example""#, None, "acme.example");
    check(&row, r#""no domain""#, None, "refused no_domain");
}

#[test]
fn an_email_is_one_plain_address() {
    let row = row(FieldType::Email);
    for (sent, expected) in [
        ("ANNA.M@Nord.EXAMPLE", "ANNA.M@Nord.EXAMPLE"),
        ("anna+2026/q1=x@nord.example", "anna+2026/q1=x@nord.example"),
        (" a@nord.example ", "a@nord.example"),
        ("mailto:a@nord.example", "a@nord.example"),
        ("MAILTO:a%2Bnews@nord.example?subject=x", "a+news@nord.example"),
        ("mailto:a%ff@nord.example", "refused invalid_email"),
        ("mailto:a%0A@nord.example", "refused invalid_email"),
        ("Anna Müller <a@nord.example>", "a@nord.example"),
        ("a@müller-söhne.example", "a@xn--mller-shne-kcb9d.example"),
        ("a@one.example; b@two.example", "refused several_emails"),
        ("büro@müller-söhne.example", "refused invalid_email"),
        (r#"\"very.unusual.@.unusual.com\"@example.org"#, "refused invalid_email"),
        ("not-an-email", "refused invalid_email"),
        ("anna@localhost", "refused invalid_email"),
        ("a..b@nord.example", "refused invalid_email"),
        ("a b@nord.example", "refused invalid_email"),
    ] {
        check(&row, &format!("\"{sent}\""), None, expected);
    }
    check(&self::row(FieldType::Text), r#""no address""#, Some(&field(CrmFieldKind::Email)), "refused invalid_email");
}

#[test]
fn a_phone_number_becomes_e164() {
    for (country, sent, expected) in [
        ("US", "+1 202-555-0118", "+12025550118"),
        ("US", "(202) 555-0119", "+12025550119"),
        ("US", "202.555.0120 x45", "+12025550120 x45"),
        ("USA", "001 202 555 0121", "+12025550121"),
        ("GB", "+44 20 7946 0958", "+442079460958"),
        ("GB", "020 7946 0959", "+442079460959"),
        ("United Kingdom", "07700 900123", "+447700900123"),
        ("GB", "+44 (0)20 7946 0960", "+442079460960"),
        ("DE", "+49 30 23125-042", "+493023125042"),
        ("Deutschland", "030/23125 043", "+493023125043"),
        ("FR", "01 99 00 12 34", "+33199001234"),
        ("FR", "+33.6.39.98.00.11", "+33639980011"),
        ("日本", "03-0000-0000", "+81300000000"),
        ("JP", "０３－００００－０００１", "+81300000001"),
        ("AE", "+971 50 000 0000", "+971500000000"),
        ("AE", "٠٥٠٠٠٠٠٠٠٠", "+971500000000"),
        ("AU", "(02) 5550 1234", "+61255501234"),
        ("US", "call me maybe", "refused not_a_phone"),
        ("US", "+1 202", "refused not_a_phone"),
        ("US", "555-0118", "refused not_a_phone"),
        ("CA", "310-1234", "+13101234"),
        ("US", "1 800 555 0199", "+18005550199"),
        // Its zeros would be one fewer each time the number is read.
        ("DE", "0000-00-01", "refused not_a_phone"),
        ("Atlantis", "020 7946 0959", "refused unknown_country"),
    ] {
        let mut row = row(FieldType::Phone);
        row.country = Some(Country::Fixed(country.into()));
        check(&row, &format!("\"{sent}\""), None, expected);
    }
    check(&row(FieldType::Phone), r#""020 7946 0959""#, None, "refused no_country_code");
    check(&row(FieldType::Phone), r#""+442079460958""#, None, "+442079460958");
    let abroad = FieldRow { country: Some(Country::Fixed("US".into())), ..row(FieldType::Phone) };
    check(&abroad, "2025550118", None, "+12025550118");
    for number in ["202555011.8", "-2025550118", "2025550118e0"] {
        check(&abroad, number, None, "refused not_a_phone");
    }
}

#[test]
fn a_web_address_is_kept_as_sent() {
    let row = row(FieldType::Url);
    for (sent, expected) in [
        ("acme.example", "https://acme.example"),
        ("acme.example/go?to=https://b.example", "https://acme.example/go?to=https://b.example"),
        ("HTTP://WWW.ACME.EXAMPLE:80/", "HTTP://WWW.ACME.EXAMPLE:80/"),
        ("ftp://acme.example", "refused invalid_url"),
        ("javascript:alert(1)", "refused invalid_url"),
        ("mailto:a@acme.example", "refused invalid_url"),
        ("two words", "refused invalid_url"),
        ("none", "refused invalid_url"),
        ("4.5", "refused invalid_url"),
        ("00012", "refused invalid_url"),
        ("1.234,56", "refused invalid_url"),
        ("0.1e1", "refused invalid_url"),
        ("１２３", "refused invalid_url"),
        ("n.a.", "refused invalid_url"),
        ("192.0.2.1/start", "https://192.0.2.1/start"),
        ("http://intranet/4.5", "http://intranet/4.5"),
    ] {
        check(&row, &format!("\"{sent}\""), None, expected);
    }
}

#[test]
fn numbers_are_exact_or_refused() {
    let (number, integer) = (row(FieldType::Number), row(FieldType::Integer));
    let mut limited = field(CrmFieldKind::Decimal);
    (limited.precision, limited.scale) = (Some(5), Some(2));
    check(&number, "9007199254740993", None, "9007199254740993");
    check(&number, "1e-7", None, "0.0000001");
    check(&number, "-0.0", None, "0");
    check(&number, r#""1234.5""#, None, "1234.5");
    check(&number, r#""1,234""#, None, "refused not_a_number");
    check(&number, r#""10.000 €""#, None, "refused not_a_number");
    check(&number, "true", None, "refused not_a_number");
    check(&number, "1e400", None, "refused number_out_of_range");
    check(&number, "1e99999999999999999999", None, "refused number_out_of_range");
    check(&number, "0.1234567890123456789012345678901", None, "refused number_out_of_range");
    check(&number, "45.555", Some(&limited), "45.56 (rounded to 2 digits after the point)");
    check(&number, "45.500", Some(&limited), "45.5");
    check(&number, "999.995", Some(&limited), "refused number_out_of_range");
    check(&number, "999", Some(&limited), "999");
    check(&number, "1000", Some(&limited), "refused number_out_of_range");
    check(&number, "45.5", Some(&field(CrmFieldKind::Integer)), "46 (rounded to 0 digits after the point)");
    check(&number, "1", Some(&field(CrmFieldKind::Text)), "refused type_mismatch");
    check(&integer, "5.0", None, "5");
    check(&integer, "5.5", None, "refused not_an_integer");
    check(&integer, "2147483648", Some(&field(CrmFieldKind::Integer)), "refused number_out_of_range");
    let boolean = row(FieldType::Boolean);
    for (json, expected) in [
        ("true", "true"),
        ("\"No\"", "false"),
        ("1", "true"),
        ("0.0", "false"),
        ("2", "refused not_a_boolean"),
        ("\"ja\"", "refused not_a_boolean"),
    ] {
        check(&boolean, json, None, expected);
    }
}

#[test]
fn dates_are_read_in_one_way_or_not_at_all() {
    let (mut date, mut moment) = (row(FieldType::Date), row(FieldType::DateTime));
    check(&date, r#""2028-02-29""#, None, "2028-02-29");
    check(&date, r#""03/04/2026""#, None, "refused ambiguous_date");
    check(&date, r#""2026-02-30""#, None, "refused impossible_date");
    check(&date, r#""2026-01-01T01:00:00+02:00""#, None, "2025-12-31");
    check(&date, "1767225600", None, "2026-01-01");
    check(&date, "0", None, "1970-01-01");
    check(&date, "1767225600000", None, "refused date_out_of_range");
    check(&date, r#""1767225600""#, None, "refused ambiguous_date");
    check(&moment, r#""2026-01-01T00:00:00.9+01:00""#, None, "2025-12-31T23:00:00Z");
    check(&moment, r#""2026-01-01T00:00:00""#, None, "refused no_offset");
    check(&moment, r#""2026-01-01""#, None, "refused no_time_of_day");
    check(&moment, "-86400", None, "1969-12-31T00:00:00Z");
    check(&moment, "253402300799", None, "refused date_out_of_range");
    date.format = Some(DateFormat::Pattern("%d/%m/%Y".into()));
    check(&date, r#""03/04/2026""#, None, "2026-04-03");
    check(&date, r#""31/02/2026""#, None, "refused not_a_date");
    moment.format = Some(DateFormat::UnixMilliseconds);
    check(&moment, "1767225600999", None, "2026-01-01T00:00:00Z");
}

#[test]
fn choices_are_mapped_and_spelt_as_the_crm_does() {
    let (mut one, mut many) = (row(FieldType::Picklist), row(FieldType::MultiPicklist));
    one.values = vec![("hot".into(), "Very hot".into())];
    many.values = vec![("a;b".into(), "A and B".into())];
    let mut listed = field(CrmFieldKind::Picklist);
    listed.values = vec!["Very Hot".into(), "Cold".into()];
    check(&one, r#"" HOT ""#, None, "Very hot");
    check(&one, r#""hot""#, Some(&listed), "Very Hot");
    check(&one, r#""tepid""#, Some(&listed), "tepid");
    listed.restricted = true;
    check(&one, r#""tepid""#, Some(&listed), "refused value_not_listed");
    check(&many, r#"["b"," ","B",null,"a"]"#, None, "a; b");
    check(&many, r#""single""#, None, "single");
    check(&many, "[]", None, "blank");
    check(&many, r#"["a;b"]"#, None, "A and B");
    check(&many, r#"["x;y"]"#, None, "refused separator_in_choice");
    check(&many, r#"[["x"]]"#, None, "refused not_a_single_value");
}

#[test]
fn a_phone_takes_its_country_from_another_field() {
    let mut row = row(FieldType::Phone);
    row.country = Some(Country::From("country".into()));
    let (phone, country) = (Value::Text("030 23125042".into()), Value::Text("Deutschland".into()));
    let lead = |path: &str| Some(if path == "country" { &country } else { &phone });
    let outcome = convert(&row, &lead, None, Given::times(TimeFormat::UnixSeconds));
    assert_eq!(outcome, Converted::Value(CrmValue::Text("+493023125042".into()), None));
    assert_eq!(convert(&row, &|_| None, None, Given::times(TimeFormat::UnixSeconds)), Converted::Absent);
}
