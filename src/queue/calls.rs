//! How many calls of the CRM's allowance a piece of work makes: counted where they are made, told to whoever asked.

use std::cell::Cell;
use std::future::Future;

tokio::task_local! {
    static CALLS: Cell<u32>;
}

/// Does the work, and says how many calls it made.
pub(super) async fn counted<T>(work: impl Future<Output = T>) -> (T, u32) {
    let work = async {
        let done = work.await;
        (done, CALLS.with(Cell::get))
    };
    CALLS.scope(Cell::new(0), work).await
}

/// Counts one call for whoever counts in this task, if anybody does.
pub fn count() {
    // Most calls outside a batch (a describe now and then) are nobody's.
    let _ = CALLS.try_with(|calls| calls.set(calls.get().saturating_add(1)));
}
