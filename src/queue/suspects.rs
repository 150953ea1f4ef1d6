//! Leads that may have ended the process: they come back in ever smaller company, until the culprit stands alone.

use std::collections::BTreeMap;

use crate::crm::MAX_WRITES;
use crate::store::ClaimedJob;

/// Suspects (their process died after announcing) come back in halves of halves, the others together.
pub(super) fn by_suspicion(jobs: Vec<ClaimedJob>) -> Vec<Vec<ClaimedJob>> {
    let mut by_level: BTreeMap<u32, Vec<ClaimedJob>> = BTreeMap::new();
    for job in jobs {
        by_level.entry(job.suspicion).or_default().push(job);
    }
    by_level
        .into_iter()
        .flat_map(|(suspicion, jobs)| {
            let mut chunks = Vec::new();
            let mut jobs = jobs.into_iter().peekable();
            while jobs.peek().is_some() {
                chunks.push(jobs.by_ref().take(most_together(suspicion)).collect());
            }
            chunks
        })
        .collect()
}

/// How many leads of this suspicion are written together.
fn most_together(suspicion: u32) -> usize {
    (MAX_WRITES >> suspicion.min(16)).max(1)
}

/// Whether the process died last while this lead stood alone.
pub(super) fn died_alone(suspicion: u32) -> bool {
    suspicion.checked_sub(1).is_some_and(|before| most_together(before) == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::LeadKey;
    use crate::domain::time::Timestamp;

    fn suspect(id: usize, suspicion: u32) -> ClaimedJob {
        ClaimedJob {
            suspicion,
            ..ClaimedJob::new(LeadKey::new("klozeo", id.to_string().as_str()), Timestamp::from_seconds(1))
        }
    }

    #[test]
    fn suspects_come_back_in_halves_and_only_who_died_alone_is_poison() {
        let sizes = |suspicion| {
            let jobs = (0..MAX_WRITES).map(|id| suspect(id, suspicion)).collect();
            by_suspicion(jobs).iter().map(Vec::len).max()
        };
        assert_eq!([0, 1, 2, 6, 7, 40].map(sizes), [200, 100, 50, 3, 1, 1].map(Some));
        let first_alone = (0..).find(|suspicion| most_together(*suspicion) == 1).unwrap();
        assert!((0..=first_alone).all(|suspicion| !died_alone(suspicion)), "it did not stand alone yet");
        assert!(died_alone(first_alone + 1));
    }

    #[test]
    fn suspects_stay_apart_from_the_others() {
        let jobs = vec![suspect(1, 0), suspect(2, 7), suspect(3, 0), suspect(4, 7)];
        let chunks = by_suspicion(jobs);
        let ids: Vec<Vec<&str>> =
            chunks.iter().map(|chunk| chunk.iter().map(|job| job.lead.id.as_str()).collect()).collect();
        assert_eq!(ids, [vec!["1", "3"], vec!["2"], vec!["4"]]);
    }
}
