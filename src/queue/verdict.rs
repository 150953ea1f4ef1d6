//! What follows for a job from how its attempt ended. Pure, and the only place that knows this.

use std::time::Duration;

use crate::crm::CrmError;
use crate::domain::time::Timestamp;
use crate::store::{ClaimedJob, JobEnd, Outcome, Refusal};

/// When a failed attempt is repeated, and when not any more.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    pub first: Duration,
    pub longest: Duration,
    pub give_up_after: Duration,
}

/// How an attempt that did not succeed goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    End(JobEnd, Outcome),
    /// The gate closes; the job waits behind it and this was no attempt.
    Wait,
}

const DAY: Duration = Duration::from_secs(86_400);

/// When it is looked at again what people are about to finish, or the CRM's operators are to mend.
const SOME_HOURS: Duration = Duration::from_secs(4 * 3600);

/// After so many attempts what lookups do not show is believed: a duplicate, or that a record is gone.
const LOOKED_FOR: u32 = 5;

/// After so many attempts an error inside of the CRM is taken to be this record's, and not to pass by itself.
const BROKEN_FOR: u32 = 10;

/// Errors inside of the CRM, with a number by which its support finds them.
const BROKEN: [&str; 2] = ["UNKNOWN_EXCEPTION", "INTERNAL_ERROR"];
/// The record is in an approval process.
const LOCKED: &str = "ENTITY_IS_LOCKED";

/// What follows from an error of the CRM.
///
/// `jitter` is between 0 and 1. `waited` is how long the gate was closed since the job first failed; it does not count
/// towards giving up. No delay undercuts what the CRM asked for.
pub fn after_error(
    error: &CrmError,
    job: &ClaimedJob,
    fingerprint: &str,
    policy: &RetryPolicy,
    waited: Duration,
    now: Timestamp,
    jitter: f64,
) -> Verdict {
    let detail = error.to_string();
    let code = error.code().to_owned();
    let refuse = || {
        let (end, outcome) = refused(&code, &detail, job, fingerprint, now);
        Verdict::End(end, outcome)
    };
    let retry = |least: Option<Duration>, outcome: Outcome| {
        let failing = now.since(job.first_failed_at.unwrap_or(now)).saturating_sub(waited);
        if failing >= policy.give_up_after {
            let detail = format!("given up after {} hours: {detail}", failing.as_secs() / 3600);
            let end = JobEnd::Dead { code: code.clone(), detail, refusal: None, look_again_at: None };
            return Verdict::End(end, Outcome::Dead);
        }
        let delay = backoff(job.attempt, policy, jitter).max(least.unwrap_or_default());
        let (code, detail) = (code.clone(), detail.clone());
        Verdict::End(JobEnd::Retry { due_at: now.after(delay), code, detail, failed: true }, outcome)
    };
    // Under the words that planning uses for what it finds so.
    let hold = |code: &str| {
        let look_again_at = Some(now.after(DAY));
        Verdict::End(JobEnd::Held { code: code.to_owned(), detail: detail.clone(), look_again_at }, Outcome::Conflict)
    };
    let operator = |wait: Duration| {
        let look_again_at = Some(now.after(wait));
        Verdict::End(JobEnd::Held { code: code.clone(), detail: detail.clone(), look_again_at }, Outcome::Refused)
    };
    match error {
        CrmError::Unavailable { code, .. } if BROKEN.contains(&code.as_str()) && job.attempt > BROKEN_FOR => {
            operator(SOME_HOURS)
        }
        CrmError::Throttled { retry_after, .. } => retry(*retry_after, Outcome::Retry),
        CrmError::Unknown { .. } => retry(None, Outcome::Unknown),
        CrmError::Unavailable { .. }
        | CrmError::Changed { .. }
        | CrmError::Collateral { .. }
        | CrmError::SchemaDrift { .. } => retry(None, Outcome::Retry),
        // Planning again finds the record that holds the key, unless our user may not see it.
        CrmError::Duplicate { .. } if job.attempt > LOOKED_FOR => refuse(),
        CrmError::Duplicate { .. } => retry(None, Outcome::Retry),
        CrmError::BudgetSpent { .. } | CrmError::Unauthorised { .. } => Verdict::Wait,
        // Planning again finds what became of the record, unless our user may not see it.
        CrmError::Gone { .. } | CrmError::Converted { .. } if job.attempt <= LOOKED_FOR => retry(None, Outcome::Retry),
        CrmError::Gone { .. } => hold("record_gone"),
        CrmError::Converted { .. } => hold("record_converted"),
        CrmError::Operator { code, .. } if code == LOCKED => operator(SOME_HOURS),
        CrmError::Operator { .. } | CrmError::Unfamiliar { .. } => operator(DAY),
        CrmError::Refused { .. } => refuse(),
    }
}

/// A refusal for good: a dead letter that remembers what was refused. It is tried by itself three times daily, then
/// weekly, since validation rules are invisible from outside.
pub fn refused(code: &str, detail: &str, job: &ClaimedJob, fingerprint: &str, now: Timestamp) -> (JobEnd, Outcome) {
    let tries =
        job.refusal.as_ref().filter(|refusal| refusal.fingerprint == fingerprint).map_or(0, |known| known.tries + 1);
    let refusal = Refusal { fingerprint: fingerprint.to_owned(), code: code.to_owned(), at: now, tries };
    let end = JobEnd::Dead {
        code: code.to_owned(),
        detail: detail.to_owned(),
        look_again_at: Some(tried_again_at(&refusal)),
        refusal: Some(refusal),
    };
    (end, Outcome::Refused)
}

/// A refusal that is known and was not asked for again: neither its age nor its next try moves, however many events come.
pub fn still_refused(known: &Refusal, detail: &str) -> JobEnd {
    JobEnd::Dead {
        code: known.code.clone(),
        detail: detail.to_owned(),
        refusal: Some(known.clone()),
        look_again_at: Some(tried_again_at(known)),
    }
}

fn tried_again_at(refusal: &Refusal) -> Timestamp {
    refusal.at.after(if refusal.tries < 3 { DAY } else { DAY * 7 })
}

/// The end of an attempt that a closed gate ended: it is due at once, and waits there.
pub fn waiting(now: Timestamp, error: &CrmError) -> JobEnd {
    JobEnd::Retry { due_at: now, code: error.code().to_owned(), detail: error.to_string(), failed: false }
}

/// The end of an attempt that has to wait for another one.
pub fn in_hand(due_at: Timestamp, detail: &str) -> JobEnd {
    JobEnd::Retry { due_at, code: "in_hand".to_owned(), detail: detail.to_owned(), failed: false }
}

/// When a lead is due that was refused together with most others: the first probe carries those not refused yet.
pub fn after_the_probe(until: Timestamp) -> Timestamp {
    until.after(Duration::from_secs(1))
}

/// The end of a lead that was refused together with most others: that is the CRM's doing, so it stays owed, and it comes
/// after the leads that were not refused yet once the gate tries again.
pub fn refused_with_all(end: JobEnd, refusing: Option<&(String, Timestamp)>) -> JobEnd {
    match (end, refusing) {
        (JobEnd::Dead { code, detail, refusal: Some(_), .. }, Some((refused_with, until))) if code == *refused_with => {
            let due_at = after_the_probe(*until);
            JobEnd::Retry { due_at, code, detail, failed: true }
        }
        (end, _) => end,
    }
}

/// Full jitter: anything from nothing to the doubled wait, but never more than the longest. A tenth of it is always
/// waited, so that a lead that fails at once does not spin.
pub fn backoff(attempt: u32, policy: &RetryPolicy, jitter: f64) -> Duration {
    let doubled = policy.first.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1).min(20)));
    doubled.min(policy.longest).mul_f64(jitter.clamp(0.1, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::LeadKey;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);
    const POLICY: RetryPolicy = RetryPolicy {
        first: Duration::from_secs(5),
        longest: Duration::from_secs(900),
        give_up_after: Duration::from_secs(3 * 86_400),
    };

    fn job(attempt: u32) -> ClaimedJob {
        ClaimedJob { attempt, ..ClaimedJob::new(LeadKey::new("klozeo", "cl_1"), NOW) }
    }

    fn verdict(error: &CrmError, job: &ClaimedJob) -> Verdict {
        after_error(error, job, "f", &POLICY, Duration::ZERO, NOW, 0.5)
    }

    #[test]
    fn no_delay_undercuts_what_the_crm_asked_for() {
        let error = CrmError::throttled(Some(Duration::from_secs(90)));
        let Verdict::End(JobEnd::Retry { due_at, .. }, Outcome::Retry) = verdict(&error, &job(1)) else {
            panic!("a throttled lead must be retried")
        };
        assert_eq!(due_at, NOW.after(Duration::from_secs(90)));
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u64> = (1..=10).map(|attempt| backoff(attempt, &POLICY, 1.0).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]);
        assert_eq!(backoff(u32::MAX, &POLICY, 1.0), POLICY.longest);
    }

    #[test]
    fn a_lead_is_given_up_after_three_days_of_failing_not_of_waiting() {
        let error = CrmError::Unavailable { code: "503".into(), detail: "down".into() };
        let failing = ClaimedJob { first_failed_at: Some(NOW.before(POLICY.give_up_after)), ..job(40) };
        assert!(matches!(verdict(&error, &failing), Verdict::End(JobEnd::Dead { .. }, Outcome::Dead)));
        let waited = Duration::from_secs(60);
        let verdict = after_error(&error, &failing, "f", &POLICY, waited, NOW, 0.5);
        assert!(matches!(verdict, Verdict::End(JobEnd::Retry { .. }, Outcome::Retry)));
    }

    #[test]
    fn a_refusal_is_looked_at_three_times_daily_then_weekly() {
        let error = CrmError::Refused { code: "X".into(), message: "no".into(), fields: vec![] };
        let mut job = job(1);
        let mut days = Vec::new();
        for _ in 0..5 {
            let Verdict::End(JobEnd::Dead { refusal, look_again_at, .. }, Outcome::Refused) = verdict(&error, &job)
            else {
                panic!("a refusal is a dead letter")
            };
            days.push(look_again_at.unwrap().since(NOW).as_secs() / 86_400);
            job.refusal = refusal;
        }
        assert_eq!(days, [1, 1, 1, 7, 7]);
    }

    #[test]
    fn a_spent_allowance_and_a_refused_login_are_no_attempts() {
        let spent = CrmError::BudgetSpent { code: "REQUEST_LIMIT_EXCEEDED".into(), until: None };
        let login = CrmError::Unauthorised { code: "invalid_client".into(), detail: "no".into() };
        assert_eq!(verdict(&spent, &job(1)), Verdict::Wait);
        assert_eq!(verdict(&login, &job(1)), Verdict::Wait);
    }

    #[test]
    fn a_known_refusal_keeps_its_age_and_its_next_try_however_many_events_come() {
        let known = |tries| Refusal { fingerprint: "f".into(), code: "X".into(), at: NOW, tries };
        for (tries, days) in [(0, 1), (2, 1), (3, 7)] {
            let end = still_refused(&known(tries), "no");
            let JobEnd::Dead { refusal, look_again_at, .. } = end else { panic!("it stays a dead letter") };
            assert_eq!(refusal, Some(known(tries)));
            assert_eq!(look_again_at, Some(NOW.after(DAY * days)));
        }
    }

    #[test]
    fn what_is_refused_with_everything_else_stays_owed_and_comes_after_the_probe() {
        let error = CrmError::Refused { code: "RULE".into(), message: "no".into(), fields: vec![] };
        let Verdict::End(dead, _) = verdict(&error, &job(1)) else { panic!("a refusal ends the attempt") };
        let until = NOW.after(Duration::from_secs(60));
        let with = |code: &str| refused_with_all(dead.clone(), Some(&(code.to_owned(), until)));
        assert!(matches!(with("RULE"), JobEnd::Retry { due_at, failed: true, .. } if due_at > until));
        assert_eq!(with("OTHER"), dead);
        assert_eq!(refused_with_all(dead.clone(), None), dead);
        let given_up = JobEnd::Dead { code: "RULE".into(), detail: "".into(), refusal: None, look_again_at: None };
        let end = refused_with_all(given_up.clone(), Some(&("RULE".to_owned(), until)));
        assert_eq!(end, given_up, "only refusals are the CRM's doing");
    }

    #[test]
    fn each_error_ends_the_attempt_under_its_own_word() {
        #[track_caller]
        fn check(error: &CrmError, attempt: u32, expected: &str) {
            let told = match verdict(error, &job(attempt)) {
                Verdict::Wait => "wait".to_owned(),
                Verdict::End(JobEnd::Held { code, look_again_at: Some(at), .. }, outcome) => {
                    format!("held {code} {} {}h", outcome.as_str(), at.since(NOW).as_secs() / 3600)
                }
                Verdict::End(JobEnd::Retry { failed, .. }, outcome) => format!("retry {} {failed}", outcome.as_str()),
                Verdict::End(JobEnd::Dead { code, refusal, .. }, outcome) => {
                    format!("dead {code} {} {}", outcome.as_str(), refusal.is_some())
                }
                Verdict::End(end, _) => format!("{end:?}"),
            };
            assert_eq!(told, expected, "{error:?}");
        }
        let (code, message) = ("C".to_owned(), "m".to_owned());
        let duplicate = CrmError::Duplicate {
            code: code.clone(),
            message: message.clone(),
            fields: Vec::new(),
            records: Vec::new(),
            rule: None,
            blocks: false,
        };
        check(&duplicate, 1, "retry retry true");
        check(&duplicate, 6, "dead C refused true");
        let gone = CrmError::Gone { code: code.clone(), merged_into: None };
        for (attempt, gone_as, converted_as) in [
            (1, "retry retry true", "retry retry true"),
            (6, "held record_gone conflict 24h", "held record_converted conflict 24h"),
        ] {
            check(&gone, attempt, gone_as);
            check(&CrmError::Converted { to: None }, attempt, converted_as);
        }
        check(&CrmError::Operator { code: code.clone(), message: message.clone() }, 1, "held C refused 24h");
        check(&CrmError::Unfamiliar { code: code.clone(), message: message.clone() }, 1, "held C refused 24h");
        let locked = CrmError::Operator { code: LOCKED.to_owned(), message: message.clone() };
        check(&locked, 1, "held ENTITY_IS_LOCKED refused 4h");
        for code in BROKEN {
            let broken = CrmError::Unavailable { code: code.to_owned(), detail: "ErrorId: 7-1".to_owned() };
            check(&broken, BROKEN_FOR, "retry retry true");
            check(&broken, BROKEN_FOR + 1, &format!("held {code} refused 4h"));
        }
        let busy = CrmError::Unavailable { code: "SERVER_UNAVAILABLE".to_owned(), detail: message.clone() };
        check(&busy, BROKEN_FOR + 1, "retry retry true");
        check(&CrmError::Unknown { detail: message.clone() }, 1, "retry unknown true");
        check(&CrmError::Collateral { code: code.clone() }, 1, "retry retry true");
        check(&CrmError::Changed { code: code.clone() }, 1, "retry retry true");
        check(&CrmError::SchemaDrift { code, field: None, message }, 1, "retry retry true");
    }
}
