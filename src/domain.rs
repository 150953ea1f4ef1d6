//! The core: what a lead, a record, a match and a plan are, and how one follows from another.
//!
//! Everything here is pure. No clock, no randomness, no input or output, no async; the caller passes `now` and `jitter`.

pub mod headers;
pub mod ids;
pub mod time;
pub mod value;

pub mod envelope;
pub mod lead;
pub mod signature;

pub mod cel;
pub mod check;
pub mod company;
pub mod divergence;
pub mod listed;
pub mod mapping;
pub mod missing;
pub mod opportunity;
pub mod record;

pub mod explained;
pub mod job;
pub mod matching;
pub mod merge;
pub mod plan;
