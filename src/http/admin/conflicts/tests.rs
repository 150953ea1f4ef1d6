//! Which answers fit which question.

use super::*;
use crate::domain::matching::MatchedBy;
use crate::domain::plan::CandidateSummary;

fn question(kind: ConflictKind) -> Question {
    let record = RecordRef { object: "Contact".into(), id: "003A".into() };
    let candidate = CandidateSummary { record, by: MatchedBy::Email, speaks: "same address".to_owned() };
    Question { candidates: vec![candidate], ..Question::new(kind, "") }
}

#[test]
fn an_answer_has_to_fit_its_question() {
    let check = |kind, json: &str, expected: Result<Choice, &str>| {
        let answer: Resolve = serde_json::from_str(json).unwrap();
        match (answer.choice(&question(kind), &|_| None, &[]), expected) {
            (Ok(choice), expected) => assert_eq!(Ok(choice), expected, "{json}"),
            (Err(ApiError::Invalid(text)), Err(says)) => assert!(text.contains(says), "{json}: {text}"),
            (Err(error), expected) => panic!("{json}: {error:?} instead of {expected:?}"),
        }
    };
    let record = |object: &str, id: &str| Choice::Record(RecordRef { object: object.into(), id: id.into() });
    check(ConflictKind::Field, r#"{"choose":"lead"}"#, Ok(Choice::Lead));
    check(ConflictKind::Field, r#"{"choose":"create"}"#, Err("lead, crm, value"));
    check(ConflictKind::Field, r#"{"choose":"value","value":12.50}"#, Ok(Choice::Value("12.50".to_owned())));
    check(ConflictKind::Field, r#"{"choose":"value","value":null}"#, Err("value:"));
    check(ConflictKind::Invalid, r#"{"choose":"lead"}"#, Err("crm, value"));
    check(ConflictKind::Match, r#"{"choose":"record","record_id":"003A"}"#, Ok(record("Contact", "003A")));
    check(ConflictKind::Match, r#"{"choose":"record","record_id":"00QB"}"#, Err("003A"));
    check(ConflictKind::Match, r#"{"choose":"record","record_id":"00QB","object":"Lead"}"#, Err("003A"));
    let contradicts = "object: Lead is written, and 003A is the ID of a record of kind Contact";
    check(ConflictKind::Match, r#"{"choose":"record","record_id":"003A","object":"Lead"}"#, Err(contradicts));
    check(
        ConflictKind::Match,
        r#"{"choose":"record","record_id":"003A","object":"Contact"}"#,
        Ok(record("Contact", "003A")),
    );
    check(ConflictKind::Match, r#"{"choose":"record"}"#, Err("record_id"));
    check(ConflictKind::Match, r#"{"choose":"create"}"#, Ok(Choice::Create));
}

#[test]
fn the_id_tells_the_kind_of_a_record_where_the_conflict_names_none() {
    let record = |object: &str, id: &str| RecordRef { object: object.into(), id: id.into() };
    let named = |id: &str| (id == "00QB" || id == "00QBfull").then(|| record("Lead", "00QBfull"));
    let gone = Some(record("Lead", "00QC"));
    for unnamed in [None, gone].map(|record| Question { candidates: vec![], record, ..question(ConflictKind::Match) }) {
        let check = |json: &str, expected: Result<(&str, &str), &str>| {
            let answer: Resolve = serde_json::from_str(json).unwrap();
            match (answer.choice(&unnamed, &named, &[]), expected) {
                (Ok(choice), Ok((object, id))) => assert_eq!(choice, Choice::Record(record(object, id)), "{json}"),
                (Err(ApiError::Invalid(text)), Err(says)) => assert!(text.contains(says), "{json}: {text}"),
                (answer, _) => panic!("{json}: {answer:?} instead of {expected:?}"),
            }
        };
        check(r#"{"choose":"record","record_id":"00QB"}"#, Ok(("Lead", "00QBfull")));
        check(r#"{"choose":"record","record_id":"00QB","object":"Lead"}"#, Ok(("Lead", "00QBfull")));
        check(
            r#"{"choose":"record","record_id":"00QB","object":"Contact"}"#,
            Err("object: Contact is written, and 00QB is the ID of a record of kind Lead"),
        );
        check(r#"{"choose":"record","record_id":"a0BX"}"#, Err("object:"));
        check(r#"{"choose":"record","record_id":"a0BX","object":"Person__c"}"#, Ok(("Person__c", "a0BX")));
    }
    // The short form of an ID is the same record.
    let candidates = vec![CandidateSummary {
        record: record("Lead", "00QBfull"),
        by: MatchedBy::DuplicateRule,
        speaks: String::new(),
    }];
    let asked = Question { candidates, ..question(ConflictKind::Match) };
    let answer: Resolve = serde_json::from_str(r#"{"choose":"record","record_id":"00QB"}"#).unwrap();
    assert_eq!(answer.choice(&asked, &named, &[]).unwrap(), Choice::Record(record("Lead", "00QBfull")));
}

#[test]
fn a_record_is_of_a_kind_that_the_question_is_about() {
    let record = |object: &str, id: &str| RecordRef { object: object.into(), id: id.into() };
    let named = |id: &str| match id {
        "00QB" => Some(record("Lead", id)),
        "001B" => Some(record("Account", id)),
        _ => None,
    };
    let check = |kind, kinds: &[&str], json: &str, expected: Result<RecordRef, &str>| {
        let kinds: Vec<ObjectName> = kinds.iter().map(|kind| (*kind).into()).collect();
        let unnamed = Question { candidates: Vec::new(), ..question(kind) };
        let answer: Resolve = serde_json::from_str(json).unwrap();
        match (answer.choice(&unnamed, &named, &kinds), expected) {
            (Ok(choice), Ok(record)) => assert_eq!(choice, Choice::Record(record), "{json}"),
            (Err(ApiError::Invalid(text)), Err(says)) => assert!(text.contains(says), "{json}: {text}"),
            (answer, expected) => panic!("{json}: {answer:?} instead of {expected:?}"),
        }
    };
    let (lead, account) = (r#"{"choose":"record","record_id":"00QB"}"#, r#"{"choose":"record","record_id":"001B"}"#);
    let people = ["Lead", "Contact"];
    check(ConflictKind::Match, &people, lead, Ok(record("Lead", "00QB")));
    let wrong = "001B is a record of kind Account, and the conflict is about one of kind Lead or Contact";
    check(ConflictKind::Match, &people, account, Err(wrong));
    let untold = r#"{"choose":"record","record_id":"a0BX","object":"Person__c"}"#;
    check(ConflictKind::Match, &people, untold, Err("a record of kind Person__c"));
    check(ConflictKind::Company, &["Account"], account, Ok(record("Account", "001B")));
    check(ConflictKind::Company, &["Account"], lead, Err("about one of kind Account"));
}

#[test]
fn nobody_creates_what_a_rule_of_the_crm_blocks() {
    let create: Resolve = serde_json::from_str(r#"{"choose":"create"}"#).unwrap();
    for kind in [ConflictKind::Match, ConflictKind::Company] {
        let asked_by = |action| Question { duplicate_rule: Some(action), ..question(kind) };
        assert_eq!(choices(&asked_by(RuleAction::Alert)), ["record", "create"]);
        let blocked = asked_by(RuleAction::Block);
        assert_eq!(choices(&blocked), ["record"]);
        let Err(ApiError::Invalid(text)) = create.choice(&blocked, &|_| None, &[]) else { panic!("{kind:?}") };
        assert!(text.contains("blocks") && text.contains("Choose `record`") && text.contains("changed to an alert"));
    }
}

#[test]
fn an_etag_is_read_back_as_the_revision() {
    assert_eq!(revision(&HeaderValue::from_static("\"12\"")), Some(12));
    assert_eq!(revision(&HeaderValue::from_static("12")), None);
    assert_eq!(revision(&HeaderValue::from_static("W/\"12\"")), None);
}

#[test]
fn an_age_and_a_moment_say_alike_which_conflicts_are_old() {
    let now = Timestamp::from_seconds(1_800_000_000);
    let told = |text| opened_before(Some(text), now).map_err(|error| format!("{error:?}"));
    assert_eq!(told("1h"), Ok(Some(Timestamp::from_seconds(1_799_996_400))));
    assert_eq!(told("2027-01-15T07:00:00Z"), told("1h"));
    assert!(told("long").unwrap_err().contains("such as 7d"));
    assert_eq!(opened_before(None, now).unwrap(), None);
}
