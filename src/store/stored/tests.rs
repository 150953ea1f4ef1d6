//! What is written is read back as it was.

use super::*;

fn values() -> Vec<CrmValue> {
    vec![
        CrmValue::Null,
        CrmValue::Text("null".to_owned()),
        CrmValue::Number("12345678901234567.89".parse().unwrap()),
        CrmValue::Boolean(false),
        CrmValue::Date("2026-02-28".parse().unwrap()),
        CrmValue::DateTime(Timestamp::from_micros(i64::MAX)),
        CrmValue::Choices(["b", "a"].map(str::to_owned).into()),
    ]
}

#[test]
fn every_kind_of_value_comes_back_as_it_was() {
    let pairs: Pairs = (values().into_iter().zip(values().into_iter().rev()).enumerate())
        .map(|(n, (lead, crm))| (FieldName::new(format!("Field{n}")), BasePair { lead, crm }))
        .collect();
    assert_eq!(pairs_from_json(&pairs_to_json(&pairs)).unwrap(), pairs);
    assert!(pairs_from_json(r#"{"Email":{"lead":{"number":"many"},"crm":"null"}}"#).is_err());
}

#[test]
fn a_question_and_its_answer_come_back_and_resolve_what_was_seen() {
    let record = |id: &str| RecordRef { object: "Lead".into(), id: id.into() };
    let question = Question {
        kind: ConflictKind::Match,
        field: None,
        record: None,
        base: None,
        lead: Some(CrmValue::Null),
        crm: None,
        candidates: vec![CandidateSummary { record: record("1"), by: MatchedBy::Email, speaks: "mail".to_owned() }],
        other: Some(LeadKey::new("klozeo", "cl_1")),
        duplicate_rule: Some(RuleAction::Block),
        detail: "which one?".to_owned(),
    };
    let read = question_from_json(ConflictKind::Match, None, &question_to_json(&question)).unwrap();
    assert_eq!(read, question);
    let answer = PersonsAnswer {
        choice: Choice::Record(record("1")),
        by: "ops".to_owned(),
        at: Timestamp::from_seconds(5),
        note: None,
    };
    assert_eq!(answer_from_json(&answer_to_json(&answer)).unwrap(), answer);
    let resolution = answer.resolve(&question);
    assert_eq!((resolution.seen_records, resolution.seen_lead), (vec![record("1")], Some(CrmValue::Null)));
}

#[test]
fn decisions_are_stored_under_the_words_of_the_contract() {
    let decision =
        |rule| Decision { field: "Email".into(), base: None, lead: None, crm: None, written: None, rule, note: None };
    for rule in [Rule::Agreed, Rule::LeadChanged, Rule::FilledBlank, Rule::NotWritable] {
        let json = decisions_to_json(&[decision(rule)]);
        assert!(json.contains(&format!(r#""rule":"{}""#, rule.as_str())), "{json}");
        assert_eq!(decisions_from_json(&json).unwrap(), [decision(rule)]);
    }
}
