//! Which record a person is taken for, step by step.

use super::*;
use crate::domain::time::Timestamp;

fn rules(on_ambiguous: OnAmbiguous) -> MatchRules {
    MatchRules {
        object: "Lead".into(),
        others: BTreeSet::new(),
        by: vec![MatchedBy::ExternalId, MatchedBy::Email, MatchedBy::NameAndCompanyDomain],
        on_ambiguous,
        first_name: Some("FirstName".into()),
        last_name: Some("LastName".into()),
    }
}

fn ada() -> Person {
    Person { first: Some("Ada".into()), last: Some("Lovelace".into()) }
}

/// `Lead/1 Ada Lovelace`: the record with this ID and name, created in that order.
fn hit(told: &str, by: MatchedBy) -> Candidate {
    let mut words = told.split_whitespace();
    let (object, id) = words.next().and_then(|word| word.split_once('/')).unwrap();
    let fields = ["FirstName", "LastName"].into_iter().zip(words);
    let record = CrmRecord {
        id: id.into(),
        object: object.into(),
        fields: fields.map(|(field, name)| (field.into(), CrmValue::Text(name.into()))).collect(),
        modified_at: None,
        created_at: Some(Timestamp::from_seconds(id.parse().unwrap())),
        modified_by_us: None,
        became: None,
    };
    Candidate { record, by }
}

fn reference(told: &str) -> RecordRef {
    hit(told, MatchedBy::Link).record.reference()
}

fn answer(choice: Choice, seen: &[&str]) -> Resolution {
    Resolution {
        kind: ConflictKind::Match,
        field: None,
        choice,
        seen_lead: None,
        seen_crm: None,
        seen_records: seen.iter().map(|told| reference(told)).collect(),
    }
}

/// What came of it, as one line: `Lead/1`, `nobody`, `ask Lead/1 Lead/2`, `elsewhere Contact/3`.
fn told(found: Match<'_>) -> String {
    let shown = |record: &RecordRef| format!("{}/{}", record.object, record.id);
    match found {
        Match::Nobody => "nobody".to_owned(),
        Match::One(candidate) => shown(&candidate.record.reference()),
        Match::Ask { candidates, .. } => {
            let asked: Vec<String> = candidates.iter().map(|candidate| shown(&candidate.record)).collect();
            format!("ask {}", asked.join(" "))
        }
        Match::Gone => "gone".to_owned(),
        Match::Became(candidate, other) => {
            format!("{} became {}", shown(&candidate.record.reference()), shown(&other))
        }
        Match::Moved { from, to } => format!("{} moved to {}", shown(&from), shown(&to.record.reference())),
        Match::Elsewhere(record) => format!("elsewhere {}", shown(&record)),
    }
}

fn chosen(hits: &[(&str, MatchedBy)], answers: &[Resolution], on_ambiguous: OnAmbiguous) -> String {
    let found = hits.iter().map(|(told, by)| hit(told, *by)).collect();
    let found = Candidates { found, ..Candidates::default() };
    told(choose(&ada(), None, &found, answers, &rules(on_ambiguous)))
}

use MatchedBy::{Email, ExternalId, NameAndCompanyDomain as ByName};

#[test]
fn the_first_rule_that_hits_decides() {
    #[track_caller]
    fn check(hits: &[(&str, MatchedBy)], expected: &str) {
        assert_eq!(chosen(hits, &[], OnAmbiguous::Review), expected, "{hits:?}");
    }
    check(&[], "nobody");
    check(&[("Lead/3 Ada Lovelace", ByName), ("Lead/2 Ada Lovelace", Email), ("Lead/1", ExternalId)], "Lead/1");
    check(&[("Lead/3 Ada Lovelace", ByName), ("Lead/2 Ada Lovelace", Email)], "Lead/2");
    check(&[("Lead/3 Ada Lovelace", ByName)], "Lead/3");
    // Our own key is believed whatever the name; an address or a name is not.
    check(&[("Lead/1 Grace Hopper", ExternalId)], "Lead/1");
    check(&[("Lead/1 Grace Hopper", Email)], "ask Lead/1");
    check(&[("Lead/1 Ada Byron", Email)], "Lead/1");
    check(&[("Lead/1 Grace Lovelace", ByName)], "nobody");
    check(&[("Contact/1 Ada Lovelace", Email)], "ask Contact/1");
    check(&[("Lead/1 Ada Lovelace", Email), ("Lead/2 Ada Lovelace", Email)], "ask Lead/1 Lead/2");
    check(&[("Lead/1 Ada Lovelace", ByName), ("Contact/2 Ada Lovelace", ByName)], "ask Lead/1 Contact/2");
}

#[test]
fn the_settings_choose_among_several_but_never_give_a_contact_a_second_record() {
    #[track_caller]
    fn check(hits: &[&str], oldest: &str, newest: &str, create: &str) {
        let hits: Vec<(&str, MatchedBy)> = hits.iter().map(|told| (*told, Email)).collect();
        let all = [OnAmbiguous::Oldest, OnAmbiguous::Newest, OnAmbiguous::Create];
        assert_eq!(all.map(|on| chosen(&hits, &[], on)), [oldest, newest, create], "{hits:?}");
    }
    check(&["Lead/2 Ada Lovelace", "Lead/1 Ada Lovelace"], "Lead/1", "Lead/2", "nobody");
    check(&["Lead/1 Grace Hopper", "Lead/2 Ada Lovelace"], "Lead/2", "Lead/2", "nobody");
    // A record that would be asked about is taken only where there is no other.
    check(&["Lead/1 Grace Lovelace", "Lead/2 Ada Lovelace", "Lead/3 Ada Byron"], "Lead/2", "Lead/2", "nobody");
    check(&["Lead/1 Grace Lovelace", "Lead/3 Ada Byron"], "Lead/1", "Lead/3", "nobody");
    check(&["Lead/1 Grace Hopper"], "ask Lead/1", "ask Lead/1", "nobody");
    check(&["Lead/1 Ada Lovelace"], "Lead/1", "Lead/1", "Lead/1");
    let with_contact = "ask Contact/1 Lead/2";
    check(&["Contact/1 Ada Lovelace", "Lead/2 Ada Lovelace"], with_contact, "Lead/2", with_contact);
    check(&["Contact/1 Ada Lovelace"], "ask Contact/1", "ask Contact/1", "ask Contact/1");
}

#[test]
fn an_answer_holds_until_a_record_appears_that_the_person_did_not_see() {
    #[track_caller]
    fn check(choice: &Choice, seen: &[&str], hits: &[&str], expected: &str) {
        let hits: Vec<(&str, MatchedBy)> = hits.iter().map(|told| (*told, Email)).collect();
        let answers = [answer(choice.clone(), seen)];
        assert_eq!(chosen(&hits, &answers, OnAmbiguous::Review), expected, "{choice:?} of {seen:?}");
    }
    let first = Choice::Record(reference("Lead/1"));
    check(&first, &["Lead/1", "Lead/2"], &["Lead/1", "Lead/2"], "Lead/1");
    check(&first, &["Lead/1", "Lead/2"], &["Lead/1", "Lead/2", "Lead/3"], "ask Lead/1 Lead/2 Lead/3");
    check(&first, &["Lead/1"], &["Lead/1 Grace Hopper"], "Lead/1");
    check(&Choice::Create, &["Lead/1", "Lead/2"], &["Lead/1", "Lead/2"], "nobody");
    check(&Choice::Create, &["Lead/1", "Lead/2"], &["Lead/1"], "nobody");
    check(&Choice::Create, &["Lead/1"], &["Lead/1", "Lead/2"], "ask Lead/1 Lead/2");
    check(&Choice::Record(reference("Contact/9")), &["Contact/9"], &["Contact/9"], "elsewhere Contact/9");
    // The chosen one is gone; what is left is judged as if nobody had been asked.
    check(&first, &["Lead/1", "Lead/2", "Lead/3"], &["Lead/2", "Lead/3"], "ask Lead/2 Lead/3");
}

#[test]
fn the_newest_answer_counts() {
    let seen = ["Lead/1", "Lead/2"];
    let answers = [answer(Choice::Create, &seen), answer(Choice::Record(reference("Lead/2")), &seen)];
    let hits = [("Lead/1 Ada Lovelace", Email), ("Lead/2 Ada Lovelace", Email)];
    assert_eq!(chosen(&hits, &answers, OnAmbiguous::Review), "Lead/2");
}

#[test]
fn a_converted_lead_and_its_contact_are_one_person() {
    let mut lead = hit("Lead/1 Ada Lovelace", Email);
    lead.record.became = Some(reference("Contact/2"));
    let choose_among = |found: Vec<Candidate>| {
        let found = Candidates { found, ..Candidates::default() };
        told(choose(&ada(), None, &found, &[], &rules(OnAmbiguous::Review)))
    };
    assert_eq!(choose_among(vec![lead.clone()]), "Lead/1 became Contact/2");
    assert_eq!(choose_among(vec![lead, hit("Contact/2 Ada Lovelace", Email)]), "ask Contact/2");
}

#[test]
fn of_what_a_record_became_and_was_deleted_a_person_decides_unless_our_key_is_on_it() {
    let mut rules = rules(OnAmbiguous::Review);
    rules.others.insert("Contact".into());
    let choose_by = |by: MatchedBy, became: &str, answers: &[Resolution]| {
        let mut lead = hit("Lead/1 Ada Lovelace", by);
        lead.record.became = Some(reference(became));
        let found = Candidates { found: vec![lead], ..Candidates::default() };
        told(choose(&ada(), None, &found, answers, &rules))
    };
    for became in ["Contact/2", "Lead/3"] {
        assert_eq!(choose_by(Email, became, &[]), "ask Lead/1");
        assert_eq!(choose_by(Email, became, &[answer(Choice::Create, &["Lead/1"])]), "nobody");
        assert_eq!(choose_by(ExternalId, became, &[]), format!("Lead/1 became {became}"));
    }
}

#[test]
fn a_linked_lead_is_its_record_whatever_else_is_found() {
    let link = Link { revision: 1, ..Link::to(reference("Lead/1"), Email) };
    let among = |hits: &[(&str, MatchedBy)]| {
        let found = hits.iter().map(|(told, by)| hit(told, *by)).collect();
        let found = Candidates { found, ..Candidates::default() };
        told(choose(&ada(), Some(&link), &found, &[], &rules(OnAmbiguous::Create)))
    };
    assert_eq!(among(&[("Lead/2 Ada Lovelace", Email), ("Lead/1 Grace Hopper", MatchedBy::Link)]), "Lead/1");
    assert_eq!(among(&[("Lead/2 Ada Lovelace", Email)]), "gone");
}

#[test]
fn a_record_that_a_person_chose_is_taken_though_no_rule_finds_it() {
    let check = |hits: &[(&str, MatchedBy)], seen: &[&str], expected: &str| {
        let answers = [answer(Choice::Record(reference("Lead/9")), seen)];
        assert_eq!(chosen(hits, &answers, OnAmbiguous::Review), expected, "{hits:?} {seen:?}");
    };
    let by_person = ("Lead/9 Adah Lovelace", MatchedBy::Link);
    check(&[by_person], &["Lead/9"], "Lead/9");
    check(&[by_person, ("Lead/1 Ada Lovelace", Email)], &["Lead/9", "Lead/1"], "Lead/9");
    check(&[by_person, ("Lead/1 Ada Lovelace", Email)], &["Lead/9"], "Lead/1");
    check(&[], &["Lead/9"], "nobody");
    let contact = [answer(Choice::Record(reference("Contact/3")), &[])];
    assert_eq!(chosen_record(&contact, &rules(OnAmbiguous::Review)), None);
    let newest = [answer(Choice::Record(reference("Lead/9")), &[]), answer(Choice::Create, &[])];
    assert_eq!(chosen_record(&newest, &rules(OnAmbiguous::Review)), None);
}
