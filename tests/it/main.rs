//! Everything that is tested from outside the crate.

mod kill;
mod sandbox_jsforce;
