//! Everything that is tested from outside the crate.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, and says where")]

mod cli;
mod disk_full;
mod kill;
mod sandbox_jsforce;
mod service;
mod strace;
mod tidy;
