//! The trouble that a test can order: rules with a rate, drawn from a seeded generator so that runs repeat.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::codes::{self, Known, Level};
use super::duplicates;
use super::error::Refusal;
use super::ids;
use super::wire::Answer;

/// What can go wrong; the names are those of the control API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    /// The connection is reset, nothing was executed.
    ResetBefore,
    /// The request is executed, then the connection is reset.
    ResetAfter,
    /// The request is executed, then never answered.
    TimeoutAfter,
    /// Not answered (or with `status` at once), and executed two seconds later.
    LateWrite,
    Status,
    /// What an org says with `code`, where and how it says it.
    Error,
    Throttle,
    DailyLimit,
    /// 200 with a page of HTML; nothing was executed.
    Garbage,
    /// 200 with a body of 100 MB; nothing was executed.
    Huge,
    /// The right answer, a byte at a time.
    Slow,
    /// Never answered, not executed.
    Hang,
    /// A validation rule refuses records.
    Refuse,
    /// A trigger changes what was written.
    Rewrite,
    /// A person edits a record while the request is on its way.
    Edit,
    /// The usage header goes up and down.
    UsageJitter,
}

/// `POST /_sandbox/faults`: replaces all rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    fault: Fault,
    #[serde(default = "always")]
    rate: f64,
    status: Option<u16>,
    /// Seconds.
    retry_after: Option<u64>,
    /// Only requests whose method, path or query string holds this.
    path: Option<String>,
    /// Only requests with this method.
    method: Option<String>,
    /// Only requests that ask for a write, or only the others. Of faults that befall a request as a whole.
    writes: Option<bool>,
    /// Of `refuse` and `rewrite`.
    field: Option<String>,
    /// Of `refuse` and `error`: only records that hold this value in `field`; an object names other fields with their values.
    when: Option<Json>,
    /// `rewrite` appends this.
    suffix: Option<String>,
    /// Happens so many times, then no more.
    count: Option<u64>,
    /// Of `status` and `refuse`: the error code and its text. Of `error`: one that is known, and its own text if left out.
    code: Option<String>,
    message: Option<String>,
    /// Of `error`: how far it reaches; where an org says it if left out.
    level: Option<Level>,
    /// Of `status`: a page of HTML, as gateways answer.
    html: Option<bool>,
    /// Of `edit`: the id, and what is written.
    record: Option<String>,
    fields: Option<Map<String, Json>>,
}

/// The record that a rule is asked about.
pub(super) struct About<'a> {
    pub object: &'a str,
    /// Its id, if it has one already.
    pub id: Option<&'a str>,
    /// The id of another record of its kind.
    pub other: &'a str,
    /// The inactive user of the org.
    pub user: &'a str,
    pub deletes: bool,
}

fn always() -> f64 {
    1.0
}

/// What happens to one request.
#[derive(Debug)]
pub(super) enum Trouble {
    ResetBefore,
    ResetAfter,
    TimeoutAfter,
    LateWrite(Option<Answer>),
    /// Answered so, not executed.
    Instead(Answer),
    Huge,
    Slow,
    Hang,
}

/// The rules in force.
#[derive(Debug)]
pub(super) struct Faults {
    rules: Vec<Rule>,
    random: fastrand::Rng,
    /// How often each struck a request as a whole since these rules were ordered.
    struck: BTreeMap<Fault, u64>,
}

impl Faults {
    pub fn none() -> Self {
        Self { rules: Vec::new(), random: fastrand::Rng::with_seed(0), struck: BTreeMap::new() }
    }

    /// Takes a plan whose rules make sense, or says which one does not.
    pub fn new(plan: Plan) -> Result<Self, String> {
        for (place, rule) in plan.rules.iter().enumerate() {
            let wrong = |what: &str| Err(format!("rule {}: {what}", place + 1));
            if !(0.0..=1.0).contains(&rule.rate) {
                return wrong("`rate` is from 0 to 1");
            }
            if rule.status.is_some_and(|status| !(200..=599).contains(&status)) {
                return wrong("`status` is from 200 to 599");
            }
            let code = rule.code.as_deref().unwrap_or_default();
            if rule.fault == Fault::Error && rule.known().is_none() {
                return Err(format!(
                    "rule {}: `error` needs a `code` that an org answers, and \"{code}\" is none",
                    place + 1
                ));
            }
            if rule.fault != Fault::Error && rule.level.is_some() {
                return wrong("`level` is of `error` alone");
            }
            if rule.html.is_some() && rule.fault != Fault::Status {
                return wrong("`html` is of `status` alone");
            }
            if (rule.fault == Fault::Edit) != (rule.record.is_some() && rule.fields.is_some()) {
                return wrong("`edit`, and nothing else, needs `record` and `fields`");
            }
            if rule.fault == Fault::Rewrite && rule.field.is_none() {
                return wrong("`rewrite` needs a `field`");
            }
        }
        Ok(Self { rules: plan.rules, random: fastrand::Rng::with_seed(plan.seed), struck: BTreeMap::new() })
    }

    /// What happens to a request as a whole: the first rule that strikes.
    pub fn strike(&mut self, method: &str, path: &str, asks_to_write: bool) -> Option<Trouble> {
        for rule in &mut self.rules {
            let whole = match rule.fault {
                Fault::Refuse | Fault::Rewrite | Fault::Edit | Fault::UsageJitter => false,
                Fault::Error => rule.level() == Level::Call,
                _ => true,
            };
            let meant = rule.writes.is_none_or(|writes| writes == asks_to_write);
            if whole && meant && rule.concerns(method, path) && rule.draws(&mut self.random) {
                *self.struck.entry(rule.fault).or_default() += 1;
                return Some(rule.trouble());
            }
        }
        None
    }

    /// What people write before a request is executed, record by record.
    pub fn edits(&mut self, method: &str, path: &str, asks_to_write: bool) -> Vec<(String, Map<String, Json>)> {
        let mut edits = Vec::new();
        for rule in self.rules.iter_mut().filter(|rule| rule.fault == Fault::Edit) {
            let meant = rule.writes.is_none_or(|writes| writes == asks_to_write) && rule.concerns(method, path);
            if meant && rule.draws(&mut self.random) {
                edits.extend(rule.record.clone().zip(rule.fields.clone()));
            }
        }
        edits
    }

    /// How often each fault struck a request as a whole.
    pub fn struck(&self) -> Json {
        json!(self.struck)
    }

    /// What a login is answered instead of a session.
    pub fn login(&mut self) -> Option<Refusal> {
        for rule in self.rules.iter_mut().filter(|rule| rule.level() == Level::Login) {
            if rule.draws(&mut self.random) {
                *self.struck.entry(rule.fault).or_default() += 1;
                return rule.error(None);
            }
        }
        None
    }

    /// What one resource is answered, by itself or inside a composite.
    pub fn part(&mut self, method: &str, path: &str, asks_to_write: bool) -> Option<Refusal> {
        for rule in &mut self.rules {
            let meant = rule.level() == Level::Part && rule.writes.is_none_or(|writes| writes == asks_to_write);
            if meant && rule.concerns(method, path) && rule.draws(&mut self.random) {
                *self.struck.entry(rule.fault).or_default() += 1;
                return rule.error(None);
            }
        }
        None
    }

    /// Whether a rule refuses a record; `value_of` gives what the record would hold.
    pub fn refusal(
        &mut self,
        method: &str,
        path: &str,
        about: &About<'_>,
        value_of: impl Fn(&str) -> Json,
    ) -> Option<Refusal> {
        for rule in &mut self.rules {
            // A validation rule does not look at a record that goes.
            let meant = match rule.fault {
                Fault::Refuse => !about.deletes,
                Fault::Error => rule.level() == Level::Record,
                _ => false,
            };
            let meant = meant
                && match (&rule.when, rule.field.as_deref()) {
                    (Some(Json::Object(held)), _) => held.iter().all(|(field, value)| value_of(field) == *value),
                    (Some(when), Some(field)) => value_of(field) == *when,
                    _ => true,
                };
            if !meant || !rule.concerns(method, path) || !rule.draws(&mut self.random) {
                continue;
            }
            if rule.fault == Fault::Error {
                *self.struck.entry(rule.fault).or_default() += 1;
                return rule.error(Some(about));
            }
            let fields: Vec<&str> = rule.field.as_deref().into_iter().collect();
            let message =
                rule.message.clone().unwrap_or_else(|| "The record breaks a validation rule of this org".to_owned());
            let refusal = Refusal::of_fields("FIELD_CUSTOM_VALIDATION_EXCEPTION", message, &fields);
            return Some(match &rule.code {
                Some(code) => Refusal { code: code.clone().into(), ..refusal },
                None => refusal,
            });
        }
        None
    }

    /// What a trigger makes of a text that was written to a field; the same again if asked again.
    pub fn rewritten(&mut self, method: &str, path: &str, field: &str, text: &str) -> Option<String> {
        let mut result = None;
        for rule in &mut self.rules {
            let meant = rule.field.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(field));
            if rule.fault == Fault::Rewrite && meant && rule.concerns(method, path) && rule.draws(&mut self.random) {
                result =
                    Some(capitalised(result.as_deref().unwrap_or(text), rule.suffix.as_deref().unwrap_or_default()));
            }
        }
        result.filter(|result| result != text)
    }

    /// The usage as the header shows it: an org's lags, and goes down as well as up.
    pub fn shown_usage(&mut self, method: &str, path: &str, used: u64) -> u64 {
        for rule in &mut self.rules {
            if rule.fault == Fault::UsageJitter && rule.concerns(method, path) && rule.draws(&mut self.random) {
                return (used + self.random.u64(0..=3)).saturating_sub(self.random.u64(0..=6));
            }
        }
        used
    }
}

impl Rule {
    fn concerns(&self, method: &str, path: &str) -> bool {
        self.path.as_deref().is_none_or(|part| path.contains(part))
            && self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
    }

    fn draws(&mut self, random: &mut fastrand::Rng) -> bool {
        if self.count == Some(0) || random.f64() >= self.rate {
            return false;
        }
        if let Some(count) = &mut self.count {
            *count -= 1;
        }
        true
    }

    /// The code of an `error`.
    fn known(&self) -> Option<&'static Known> {
        codes::find(self.code.as_deref()?).filter(|_| self.fault == Fault::Error)
    }

    fn level(&self) -> Level {
        self.level.or(self.known().map(|known| known.level)).unwrap_or(Level::Call)
    }

    /// The refusal that an `error` stands for.
    fn error(&self, about: Option<&About<'_>>) -> Option<Refusal> {
        let known = self.known()?;
        let field = self.field.as_deref().or(known.field).filter(|field| !field.is_empty());
        let org = ids::make("00D", 0);
        let (object, id, other, user) = match about {
            Some(about) => (about.object, about.id.unwrap_or(about.other), about.other, about.user),
            None => ("Lead", org.as_str(), org.as_str(), org.as_str()),
        };
        let message = self.message.clone().unwrap_or_else(|| {
            let text = known.message.replace("{field}", field.unwrap_or("Unknown__c")).replace("{object}", object);
            text.replace("{id}", id).replace("{other}", other).replace("{user}", ids::short(user))
        });
        let fields = (known.level == Level::Record).then(|| field.into_iter().map(str::to_owned).collect());
        let duplicates =
            (known.code == "DUPLICATES_DETECTED").then(|| Box::new(duplicates::example(object, other, &message)));
        let fields = if duplicates.is_some() { None } else { fields };
        Some(Refusal {
            code: known.code.into(),
            fields,
            duplicates,
            ..Refusal::new(self.status.unwrap_or(known.status), known.code, message)
        })
    }

    fn trouble(&self) -> Trouble {
        match self.fault {
            Fault::Error => Trouble::Instead(self.error(None).map_or_else(
                || self.answer(500),
                |refusal| {
                    let mut answer = Answer::refused(&[refusal]);
                    answer.headers.extend(self.retry_header());
                    answer
                },
            )),
            Fault::ResetBefore => Trouble::ResetBefore,
            Fault::ResetAfter => Trouble::ResetAfter,
            Fault::TimeoutAfter => Trouble::TimeoutAfter,
            Fault::LateWrite => Trouble::LateWrite(self.status.map(|status| self.answer(status))),
            Fault::Throttle => Trouble::Instead(match self.retry_after {
                Some(_) => self.refused(429, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."),
                None => self.refused(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."),
            }),
            Fault::DailyLimit => Trouble::Instead(daily_limit()),
            Fault::Garbage => Trouble::Instead(Answer::html(200, PAGE)),
            Fault::Huge => Trouble::Huge,
            Fault::Slow => Trouble::Slow,
            Fault::Hang => Trouble::Hang,
            Fault::Status | Fault::Refuse | Fault::Rewrite | Fault::Edit | Fault::UsageJitter => {
                Trouble::Instead(self.answer(self.status.unwrap_or(503)))
            }
        }
    }

    /// An answer with this status, in the shape that an org gives it; a gateway speaks HTML.
    fn answer(&self, status: u16) -> Answer {
        if self.html == Some(true) {
            let mut page = Answer::html(status, PAGE);
            page.headers.extend(self.retry_header());
            return page;
        }
        let (code, message) = match status {
            502 | 504 | 420 if self.code.is_none() => {
                let mut page = Answer::html(status, PAGE);
                page.headers.extend(self.retry_header());
                return page;
            }
            401 => ("INVALID_SESSION_ID", "Session expired or invalid"),
            403 => ("INSUFFICIENT_ACCESS", "insufficient access rights on entity"),
            404 => ("NOT_FOUND", "The requested resource does not exist"),
            429 => ("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit exceeded."),
            503 => ("SERVER_UNAVAILABLE", "Server is busy, try again later"),
            500.. => ("UNKNOWN_EXCEPTION", "An unexpected error occurred. ErrorId: 1234567890-1 (12345)"),
            _ => ("UNKNOWN", "The sandbox was told to answer so"),
        };
        self.refused(status, code, message)
    }

    fn refused(&self, status: u16, code: &str, message: &str) -> Answer {
        let code = self.code.as_deref().unwrap_or(code);
        let message = self.message.as_deref().unwrap_or(message);
        let mut answer = Answer::json(status, json!([{ "message": message, "errorCode": code }]));
        answer.headers.extend(self.retry_header());
        answer
    }

    fn retry_header(&self) -> Option<(&'static str, String)> {
        self.retry_after.map(|seconds| ("Retry-After", seconds.to_string()))
    }
}

/// What an org answers once the 24 hours' calls are used up.
pub(super) fn daily_limit() -> Answer {
    Answer::refused(&[Refusal::new(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")])
}

const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Down for Maintenance</title></head>\
                    <body><h1>We are down for maintenance.</h1><p>Sorry for the inconvenience.</p></body></html>\n";

/// Trimmed, first letter upper case, with the suffix once.
fn capitalised(text: &str, suffix: &str) -> String {
    let text = text.trim();
    let mut letters = text.chars();
    let mut result: String = letters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    result.push_str(letters.as_str());
    if !result.ends_with(suffix) {
        result.push_str(suffix);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(plan: Json) -> Faults {
        Faults::new(serde_json::from_value(plan).unwrap()).unwrap()
    }

    #[test]
    fn a_seed_repeats_its_draws_and_a_rate_is_kept() {
        let plan = json!({ "seed": 7, "rules": [{ "fault": "reset_after", "rate": 0.05 }] });
        let draws =
            |mut faults: Faults| (0..10_000).map(|_| faults.strike("GET", "/", false).is_some()).collect::<Vec<_>>();
        let first = draws(faults(plan.clone()));
        assert_eq!(first, draws(faults(plan)));
        let struck = first.iter().filter(|struck| **struck).count();
        assert!((400..600).contains(&struck), "{struck}");
    }

    #[test]
    fn a_rule_with_a_count_ends_and_one_with_a_path_spares_the_rest() {
        let mut faults = faults(json!({ "rules": [{ "fault": "hang", "path": "composite", "count": 2 }] }));
        let struck = |faults: &mut Faults, path: &str| faults.strike("POST", path, false).is_some();
        assert!(!struck(&mut faults, "/services/data/v62.0/query"));
        assert!(struck(&mut faults, "/services/data/v62.0/composite"));
        assert!(struck(&mut faults, "/services/data/v62.0/composite"));
        assert!(!struck(&mut faults, "/services/data/v62.0/composite"));
    }

    #[test]
    fn a_rule_for_writes_spares_lookups() {
        let mut faults = faults(json!({ "rules": [{ "fault": "hang", "writes": true, "count": 1 }] }));
        let mut strikes = |writes| faults.strike("POST", "/services/data/v62.0/composite", writes).is_some();
        assert_eq!([strikes(false), strikes(true), strikes(true)], [false, true, false]);
        assert_eq!(faults.struck(), json!({ "hang": 1 }));
    }

    #[test]
    fn a_rewrite_is_done_once() {
        let mut faults = faults(json!({ "rules": [{ "fault": "rewrite", "field": "City", "suffix": " (checked)" }] }));
        let once = faults.rewritten("PATCH", "/", "City", "berlin").unwrap();
        assert_eq!(once, "Berlin (checked)");
        assert_eq!(faults.rewritten("PATCH", "/", "City", &once), None);
        assert_eq!(faults.rewritten("PATCH", "/", "State", "berlin"), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for rule in [
            json!({ "fault": "status", "rate": 2.0 }),
            json!({ "fault": "status", "status": 99 }),
            json!({ "fault": "rewrite" }),
            json!({ "fault": "error" }),
            json!({ "fault": "error", "code": "NO_SUCH_CODE" }),
            json!({ "fault": "hang", "level": "call" }),
            json!({ "fault": "hang", "html": true }),
            json!({ "fault": "edit", "record": "00Q" }),
            json!({ "fault": "hang", "record": "00Q", "fields": {} }),
        ] {
            assert!(Faults::new(serde_json::from_value(json!({ "rules": [rule] })).unwrap()).is_err());
        }
        assert!(serde_json::from_value::<Plan>(json!({ "rules": [{ "fault": "nonsense" }] })).is_err());
    }
}
