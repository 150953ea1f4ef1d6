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
    let retry = |least: Option<Duration>, outcome: Outcome| {
        let failing = now.since(job.first_failed_at.unwrap_or(now)).saturating_sub(waited);
        if failing >= policy.give_up_after {
            let detail = format!("given up after {} hours: {detail}", failing.as_secs() / 3600);
            let end = JobEnd::Dead { code: code.clone(), detail, refusal: None, look_again_at: None };
            return Verdict::End(end, Outcome::Dead);
        }
        let delay = backoff(job.attempt, policy, jitter).max(least.unwrap_or_default());
        let error = format!("{code}: {detail}");
        Verdict::End(JobEnd::Retry { due_at: now.after(delay), error, failed: true }, outcome)
    };
    let hold = |look_again: bool| {
        let look_again_at = look_again.then(|| now.after(DAY));
        Verdict::End(JobEnd::Held { code: code.clone(), detail: detail.clone(), look_again_at }, Outcome::Conflict)
    };
    match error {
        CrmError::Throttled { retry_after } => retry(*retry_after, Outcome::Retry),
        CrmError::Unknown { .. } => retry(None, Outcome::Unknown),
        CrmError::Unavailable { .. }
        | CrmError::Collateral { .. }
        | CrmError::SchemaDrift { .. }
        | CrmError::Duplicate { .. } => retry(None, Outcome::Retry),
        CrmError::BudgetSpent { .. } | CrmError::Unauthorised { .. } => Verdict::Wait,
        CrmError::Gone { .. } | CrmError::Converted { .. } => hold(true),
        CrmError::Operator { .. } | CrmError::Unfamiliar { .. } => {
            let look_again_at = Some(now.after(DAY));
            Verdict::End(JobEnd::Held { code: code.clone(), detail: detail.clone(), look_again_at }, Outcome::Refused)
        }
        CrmError::Refused { .. } => refused(&code, &detail, job, fingerprint, now),
    }
}

/// A refusal for good: a dead letter that remembers what was refused. It is tried by itself three times daily, then
/// weekly, since validation rules are invisible from outside.
pub fn refused(code: &str, detail: &str, job: &ClaimedJob, fingerprint: &str, now: Timestamp) -> Verdict {
    let tries =
        job.refusal.as_ref().filter(|refusal| refusal.fingerprint == fingerprint).map_or(0, |known| known.tries + 1);
    let wait = if tries < 3 { DAY } else { DAY * 7 };
    let refusal = Refusal { fingerprint: fingerprint.to_owned(), code: code.to_owned(), at: now, tries };
    let end = JobEnd::Dead {
        code: code.to_owned(),
        detail: detail.to_owned(),
        refusal: Some(refusal),
        look_again_at: Some(now.after(wait)),
    };
    Verdict::End(end, Outcome::Refused)
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
    use crate::domain::job::{Class, Lane};

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);
    const POLICY: RetryPolicy = RetryPolicy {
        first: Duration::from_secs(5),
        longest: Duration::from_secs(900),
        give_up_after: Duration::from_secs(3 * 86_400),
    };

    fn job(attempt: u32) -> ClaimedJob {
        ClaimedJob {
            lead: LeadKey::new("klozeo", "cl_1"),
            lane: Lane::First,
            class: Class::Live,
            attempt,
            wanted: 1,
            owed_since: NOW,
            first_failed_at: None,
            last_error: None,
            suspicion: 0,
            refusal: None,
            forced: false,
            lease_expired: false,
        }
    }

    fn verdict(error: &CrmError, job: &ClaimedJob) -> Verdict {
        after_error(error, job, "f", &POLICY, Duration::ZERO, NOW, 0.5)
    }

    #[test]
    fn no_delay_undercuts_what_the_crm_asked_for() {
        let error = CrmError::Throttled { retry_after: Some(Duration::from_secs(90)) };
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
}
