//! What several processes on one database must agree on: the time, people and records in hand, chores that one of them
//! does for all, and the state of each destination's gate.

use async_trait::async_trait;

use super::{LeaseToken, Pause, Recovered, StoreResult};
use crate::domain::ids::DestinationName;
use crate::domain::time::Timestamp;

/// The processes of one database among each other. In a store that one process has to itself there is nobody to agree
/// with, and the answers given here hold.
#[async_trait]
pub trait Shared: Send + Sync {
    /// The time by the clock that all processes share; `None`: the process's own clock will do.
    async fn time(&self) -> StoreResult<Option<Timestamp>> {
        Ok(None)
    }

    /// Takes the keys of leads in hand for a batch: all that a lead wants, or none of them if another process has one.
    /// Answers for each lead. They are the batch's until [`Self::release_keys`], or until they run out; announcing renews
    /// them. Within one process no key may be wanted twice.
    async fn hold_keys(&self, hold: &KeyHold) -> StoreResult<Vec<bool>> {
        Ok(vec![true; hold.wants.len()])
    }

    /// Lets go of all keys that a batch has in hand.
    async fn release_keys(&self, token: LeaseToken) -> StoreResult<()> {
        let _ = token;
        Ok(())
    }

    /// Releases the leases of a destination's jobs that ran out, as [`super::Store::recover_leases`] does at a start: whoever had
    /// them died, or else was away from the database for long. Of the latter, as far as that can be told, nothing becomes
    /// suspect, and the log has `not_recorded` for writes. Where one process has the store to itself, a lease that it lets run
    /// out is its own.
    async fn recover_ran_out(&self, destination: &DestinationName, now: Timestamp) -> StoreResult<Recovered> {
        let _ = (destination, now);
        Ok(Recovered::default())
    }

    /// Whether this process may do a chore that one process at a time does, until then. Asking again renews it.
    async fn hold_lease(&self, name: &str, now: Timestamp, until: Timestamp) -> StoreResult<bool> {
        let _ = (name, now, until);
        Ok(true)
    }

    /// Lets another process do the chore.
    async fn release_lease(&self, name: &str) -> StoreResult<()> {
        let _ = name;
        Ok(())
    }

    /// From now on the database is served: nothing is copied over what it takes in. [`super::StoreError::Unfit`] if it was
    /// copied to and the copy is not complete.
    async fn begin_serving(&self) -> StoreResult<()> {
        Ok(())
    }

    /// Says that this process lives. Nobody who has not said so for 15 seconds counts as living; but what it had leased stays
    /// its own until the leases run out, since it may only be frozen or cut off.
    async fn appear(&self, who: &Replica) -> StoreResult<()> {
        let _ = who;
        Ok(())
    }

    /// Says that this process ends: nothing of it stands in the others' way any more.
    async fn leave(&self) -> StoreResult<()> {
        Ok(())
    }

    /// The processes that share this database, the oldest first; empty where only one can use it.
    async fn list_replicas(&self) -> StoreResult<Vec<ReplicaRow>> {
        Ok(Vec::new())
    }

    /// Tells the others why this process keeps away from a destination (`None`: it does not), and hears of them. `None`:
    /// there can be no others.
    async fn exchange_gate(
        &self,
        destination: &DestinationName,
        closure: Option<&Closure>,
    ) -> StoreResult<Option<GateElsewhere>> {
        let _ = (destination, closure);
        Ok(None)
    }
}

/// What a batch wants to have in hand.
#[derive(Clone, Debug)]
pub struct KeyHold {
    pub destination: DestinationName,
    pub token: LeaseToken,
    /// The keys of each lead.
    pub wants: Vec<Vec<String>>,
    pub now: Timestamp,
    pub until: Timestamp,
}

/// A process, as it shows itself to the others and to operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Host and process.
    pub name: String,
    pub version: String,
    pub started_at: Timestamp,
}

/// A process as the others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaRow {
    pub replica: Replica,
    pub seen_at: Timestamp,
    pub alive: bool,
}

/// Why a process sends nothing to a destination; a person's pause and a spent budget, which all see alike, are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure {
    /// The gate's stable word.
    pub reason: String,
    /// Under which cause and remedy are explained.
    pub code: Option<String>,
    /// The sentence that an operator reads.
    pub text: String,
    pub since: Timestamp,
    /// When it is tried again; `None`: not by itself.
    pub until: Option<Timestamp>,
}

/// What a process hears of the others about one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateElsewhere {
    /// Calls of all other processes, dead ones included, of the last day by hour.
    pub hours: Vec<(Timestamp, u64)>,
    /// The other processes that live.
    pub others: Vec<Other>,
    /// A person's order to stop, whoever took it.
    pub pause: Option<Pause>,
    /// When a person last had the destination go on.
    pub resumed_at: Option<Timestamp>,
}

/// Another living process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    pub id: uuid::Uuid,
    /// Whether it goes first where two found the same trouble at the same moment.
    pub goes_first: bool,
    pub closure: Option<Closure>,
}
