//! Refused requests that wait in memory to be written.

use std::collections::{HashMap, VecDeque};

use super::{BATCH, BATCH_BYTES, BOUNDS, Refused};
use crate::domain::ids::SourceName;
use crate::domain::signature::Proof;

/// How much waits at most: of each source as many as are held of it, and so many bytes of all sources.
const MOST: usize = BOUNDS.per_source as usize;
const MOST_BYTES: usize = 16 << 20;

/// What waits, by source; of more than may wait the oldest go.
#[derive(Default)]
pub(super) struct Waiting {
    by_source: HashMap<SourceName, OfSource>,
    bytes: usize,
}

/// What waits of one source.
#[derive(Default)]
struct OfSource {
    /// In the order in which they came.
    requests: VecDeque<Refused>,
    bytes: usize,
    /// How many came without any signature or token.
    bare: usize,
}

fn is_bare(refused: &Refused) -> bool {
    refused.request.proof == Proof::Missing
}

impl OfSource {
    fn push(&mut self, refused: Refused) {
        self.bytes += refused.size();
        self.bare += usize::from(is_bare(&refused));
        self.requests.push_back(refused);
    }

    fn remove(&mut self, place: usize) -> Option<Refused> {
        let refused = self.requests.remove(place)?;
        self.bytes -= refused.size();
        self.bare -= usize::from(is_bare(&refused));
        Some(refused)
    }

    /// What goes first where too many wait, as where too many are held: the oldest without any signature or token, else the oldest.
    fn remove_least(&mut self) -> Option<Refused> {
        let place = if self.bare == 0 { None } else { self.requests.iter().position(is_bare) };
        self.remove(place.unwrap_or(0))
    }
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.by_source.values().map(|own| own.requests.len()).sum()
    }

    /// Puts a request behind the others of its source. Answers what had to go for it: of the source where that has too many, and
    /// of too many bytes those of the source that has the most, but for a single request.
    pub(super) fn push(&mut self, refused: Refused) -> Vec<Refused> {
        self.bytes += refused.size();
        let own = self.by_source.entry(refused.source.name.clone()).or_default();
        own.push(refused);
        let mut gone = Vec::new();
        if own.requests.len() > MOST {
            gone.extend(own.remove_least());
        }
        self.bytes -= gone.iter().map(Refused::size).sum::<usize>();
        while self.bytes > MOST_BYTES && self.len() > 1 {
            let largest = self.by_source.values_mut().max_by_key(|own| own.bytes);
            let Some(least) = largest.and_then(OfSource::remove_least) else { break };
            self.bytes -= least.size();
            gone.push(least);
        }
        gone
    }

    /// The next few to be written, those that came first.
    pub(super) fn take_batch(&mut self) -> Vec<Refused> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH {
            let fronts = self.by_source.values_mut().filter_map(|own| {
                let front = own.requests.front()?;
                Some((front.request.received_at, front.size(), own))
            });
            let Some((_, size, own)) = fronts.min_by_key(|(came, ..)| *came) else { break };
            if !batch.is_empty() && bytes + size > BATCH_BYTES {
                break;
            }
            bytes += size;
            batch.extend(own.remove(0));
        }
        self.bytes -= bytes;
        batch
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::time::Timestamp;
    use crate::intake::holding::tests::source_named;
    use crate::store::{NewRefused, RefusedFor};

    fn refused(source: &str, bytes: usize, proof: Proof, number: usize) -> Refused {
        let request = NewRefused {
            source: source.into(),
            reason: RefusedFor::WrongSignature,
            received_at: Timestamp::from_seconds(number as i64),
            request_id: number.to_string().as_str().into(),
            proof,
            headers: Vec::new(),
            body: Bytes::from(vec![b'x'; bytes]),
        };
        Refused { request, source: source_named(source) }
    }

    fn signed() -> Proof {
        Proof::Token { salt: [0; 16], digest: [0; 32] }
    }

    fn numbers(waiting: &mut Waiting) -> Vec<usize> {
        let batches = std::iter::from_fn(|| Some(waiting.take_batch()).filter(|batch| !batch.is_empty()));
        let numbers =
            batches.flatten().map(|refused| refused.request.request_id.to_string().parse().unwrap()).collect();
        assert_eq!((waiting.bytes, waiting.len()), (0, 0));
        assert!(waiting.by_source.values().all(|own| (own.bytes, own.bare) == (0, 0)));
        numbers
    }

    #[test]
    fn of_a_burst_the_newest_wait_and_are_written_in_the_order_in_which_they_came() {
        let mut waiting = Waiting::default();
        let gone: usize = (0..1200).map(|number| waiting.push(refused("klozeo", 10, signed(), number)).len()).sum();
        assert_eq!(gone, 200);
        assert_eq!(numbers(&mut waiting), (200..1200).collect::<Vec<_>>());
    }

    #[test]
    fn what_carries_no_signature_goes_first() {
        let mut waiting = Waiting::default();
        let proof = |number: usize| if number.is_multiple_of(2) { Proof::Missing } else { signed() };
        for number in 0..1200 {
            waiting.push(refused("klozeo", 10, proof(number), number));
        }
        let expected = (0..1200).filter(|number| number % 2 == 1 || *number >= 400);
        assert_eq!(numbers(&mut waiting), expected.collect::<Vec<_>>());
        for number in 0..1000 {
            waiting.push(refused("klozeo", 10, signed(), number));
        }
        let gone = waiting.push(refused("klozeo", 10, Proof::Missing, 1000));
        assert_eq!(gone.iter().map(|refused| refused.request.request_id.to_string()).collect::<Vec<_>>(), ["1000"]);
    }

    #[test]
    fn one_sources_flood_leaves_room_for_another_source() {
        for (bytes, most) in [(10, 1000), (1 << 20, 15), (5 << 20, 3), (20 << 20, 1)] {
            let mut waiting = Waiting::default();
            for number in 1..=1100 {
                waiting.push(refused("flooded", bytes, Proof::Missing, number));
            }
            let before = waiting.len();
            assert!((most..=most + 1).contains(&before), "{before} of {bytes} bytes");
            waiting.push(refused("quiet", 1 << 20, signed(), 0));
            assert_eq!(numbers(&mut waiting)[0], 0, "after {bytes} bytes");
        }
    }

    #[test]
    fn what_waits_is_bounded_however_many_sources_are_flooded() {
        let mut waiting = Waiting::default();
        for number in 0..200 {
            waiting.push(refused(&format!("s{}", number % 100), 5 << 20, signed(), number));
            assert!(waiting.bytes <= MOST_BYTES);
        }
        assert_eq!(waiting.len(), 3);
        waiting.push(refused("large", 60 << 20, signed(), 200));
        assert!(waiting.bytes <= MOST_BYTES, "what fits alone only goes before the others");
    }

    #[test]
    fn a_batch_is_short_and_a_large_request_goes_alone() {
        let mut waiting = Waiting::default();
        for (number, bytes) in [BATCH_BYTES + 1, 10, 10].into_iter().enumerate() {
            waiting.push(refused("klozeo", bytes, Proof::Missing, number));
        }
        let mut sizes = || waiting.take_batch().len();
        assert_eq!([sizes(), sizes(), sizes()], [1, 2, 0]);
        for number in 0..BATCH + 1 {
            waiting.push(refused("klozeo", 10, Proof::Missing, number));
        }
        let mut sizes = || waiting.take_batch().len();
        assert_eq!([sizes(), sizes()], [BATCH, 1]);
    }
}
