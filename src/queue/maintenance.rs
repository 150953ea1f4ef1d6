//! What has to be done from time to time: late writes looked for, calls kept count of, old rows deleted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use crate::clock::Clock;
use crate::crm::gate::Gate;
use crate::domain::ids::DestinationName;
use crate::store::{Store, StoreResult};

/// Looks after the store until `stop` becomes true.
pub async fn run(
    store: Arc<dyn Store>,
    gates: Vec<(DestinationName, Arc<Gate>)>,
    retention: Duration,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
) {
    let mut pruning = true;
    let mut rounds = 0u64;
    while !*stop.borrow() {
        // A piece at a time with room between, so that intake never waits behind it.
        let nap =
            if pruning && rounds.is_multiple_of(10) { Duration::from_millis(200) } else { Duration::from_secs(1) };
        tokio::select! {
            _ = stop.changed() => continue,
            () = tokio::time::sleep(nap) => {}
        }
        if let Err(error) = round(&*store, &gates, retention, &clock, rounds, &mut pruning).await {
            warn!("housekeeping waits for the store: {error}");
        }
        rounds += 1;
    }
}

async fn round(
    store: &dyn Store,
    gates: &[(DestinationName, Arc<Gate>)],
    retention: Duration,
    clock: &Clock,
    rounds: u64,
    pruning: &mut bool,
) -> StoreResult<()> {
    let now = clock.now();
    for (name, gate) in gates {
        // The hours before are saved already.
        for (hour, calls) in gate.budget().hours.into_iter().rev().take(2) {
            store.save_calls(name, hour, calls).await?;
        }
    }
    if rounds.is_multiple_of(15) {
        store.close_late_intents(now).await?;
    }
    // An hour after nothing was left to delete, it is looked for again.
    *pruning |= rounds.is_multiple_of(3600);
    if *pruning {
        *pruning = store.prune(now.before(retention)).await?;
    }
    Ok(())
}
