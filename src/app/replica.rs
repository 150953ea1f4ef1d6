//! Which of the processes on one database this is.

use crate::domain::time::Timestamp;
use crate::store::Replica;

/// This process, as operators are shown it: host and process number.
pub(super) fn this_one(started_at: Timestamp) -> Replica {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    let name = format!("{host}/{}", std::process::id());
    Replica { name, version: env!("CARGO_PKG_VERSION").to_owned(), started_at }
}
