//! Everything that is tested from outside the crate.

mod disk_full;
mod sandbox_jsforce;
mod service;
mod strace;
