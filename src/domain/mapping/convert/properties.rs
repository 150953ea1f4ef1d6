//! What holds for every value and every type.

use proptest::prelude::*;

use super::tests::{field, row};
use super::*;
use crate::domain::mapping::TooLong;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| Value::Number(number.to_string())),
        (any::<i32>(), -60i32..60).prop_map(|(digits, exponent)| Value::Number(format!("{digits}e{exponent}"))),
        "-?[1-9][0-9]{3,9}(\\.[0-9]{1,5})?".prop_map(Value::Number),
        ".*".prop_map(Value::Text),
        "[a-zß ]{1,32}".prop_map(Value::Text),
        "[+0-9 ().x/-]{0,20}".prop_map(Value::Text),
        "[a-z\"<>@. ;é:/-]{0,20}".prop_map(Value::Text),
        "[a-zé.]{1,3}@[a-zé-]{1,9}\\.[a-z]{2,5}".prop_map(Value::Text),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:]{8}(Z|\\+01:00)?)?".prop_map(Value::Text),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| proptest::collection::vec(inner, 0..4).prop_map(Value::List))
}

fn any_kinds() -> impl Strategy<Value = (FieldType, CrmFieldKind)> {
    use CrmFieldKind as Kind;
    proptest::sample::select(vec![
        (FieldType::Text, Kind::Text),
        (FieldType::Text, Kind::Picklist),
        (FieldType::Text, Kind::MultiPicklist),
        (FieldType::Text, Kind::Email),
        (FieldType::Email, Kind::Email),
        (FieldType::Phone, Kind::Phone),
        (FieldType::Url, Kind::Url),
        (FieldType::Number, Kind::Decimal),
        (FieldType::Number, Kind::Integer),
        (FieldType::Integer, Kind::Integer),
        (FieldType::Currency, Kind::Currency),
        (FieldType::Percent, Kind::Percent),
        (FieldType::Boolean, Kind::Boolean),
        (FieldType::Date, Kind::Date),
        (FieldType::DateTime, Kind::DateTime),
        (FieldType::Picklist, Kind::Picklist),
        (FieldType::MultiPicklist, Kind::MultiPicklist),
    ])
}

/// The CRM's value as a lead system would send it.
fn as_sent(value: &CrmValue) -> Value {
    match value {
        CrmValue::Null => Value::Null,
        CrmValue::Boolean(flag) => Value::Bool(*flag),
        CrmValue::Choices(choices) => Value::Text(choices.iter().cloned().collect::<Vec<_>>().join(";")),
        other => Value::Text(other.to_string()),
    }
}

fn run(row: &FieldRow, value: &Value, field: &FieldSchema) -> Converted {
    convert(row, &|_| Some(value), Some(field), TimeFormat::UnixSeconds)
}

proptest! {
    // Most pairs of a value and a type are refused at once, so many are tried.
    #![proptest_config(ProptestConfig::with_cases(8_000))]
    #[test]
    fn what_is_converted_fits_its_field_and_stays_what_it_is(
        value in any_json(), (kind, crm) in any_kinds(), length in 1u32..30, scale in 0u32..4, restricted: bool, cut: bool,
    ) {
        let (mut row, mut field) = (row(kind), field(crm));
        row.country = Some(Country::Fixed("DE".into()));
        row.too_long = if cut { TooLong::Truncate } else { TooLong::Refuse };
        (field.length, field.precision, field.scale) = (Some(length), Some(8), Some(scale));
        (field.values, field.restricted) = (vec!["a".into(), "Bb".into()], restricted);
        let outcome = run(&row, &value, &field);
        prop_assert_eq!(&outcome, &run(&row, &value, &field));
        let Converted::Value(converted, _) = outcome else { return Ok(()) };
        prop_assert!(!converted.is_blank());
        match &converted {
            CrmValue::Text(text) => {
                prop_assert!(text.chars().count() <= length as usize);
                prop_assert_eq!(text.trim(), text);
                if crm == CrmFieldKind::Email {
                    prop_assert!(email_address::EmailAddress::is_valid(text) && text.is_ascii());
                }
                if crm == CrmFieldKind::Picklist && restricted {
                    prop_assert!(field.values.contains(text));
                }
            }
            CrmValue::Number(number) => {
                let scale = if crm == CrmFieldKind::Integer { 0 } else { scale };
                prop_assert!(number.scale() <= scale);
                prop_assert!(number.trunc().abs().to_string().len() <= (8 - scale) as usize);
            }
            CrmValue::Choices(choices) => {
                prop_assert!(choices.iter().all(|choice| !choice.contains(';')));
                prop_assert!(!restricted || choices.iter().all(|choice| field.values.contains(choice)));
            }
            _ => {}
        }
        if kind != FieldType::MultiPicklist {
            prop_assert_eq!(run(&row, &as_sent(&converted), &field), Converted::Value(converted, None));
        }
    }
}
