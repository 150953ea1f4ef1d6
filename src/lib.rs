//! leadrelay hands leads from a lead system to a CRM without losing, duplicating or corrupting any.
//!
//! The life of a lead, and the modules in reading order:
//!
//! 1. A lead system calls `POST /webhooks/{source}` ([`http`]). The signature is verified ([`domain::signature`]), the
//!    payload read ([`domain::envelope`]) and handed to [`intake`], which commits many requests in one transaction
//!    ([`store`]) before any of them is answered 202.
//! 2. The same transaction marks the lead dirty for every destination: one row in `jobs` per lead and destination.
//! 3. A worker ([`queue`]) claims up to 200 due leads, folds their events ([`domain::lead`]), looks for the CRM's records
//!    ([`crm`]), decides ([`domain::plan`]), announces what it is about to write, writes, and settles.
//! 4. Everything that was done is in the sync log, which operators read through [`http`].
//!
//! Invariants: an event is stored before it is acknowledged; nothing is written to a CRM that was not announced first; a
//! base moves only to what was read back; a job row exists exactly while something is owed.

pub mod domain;

pub mod clock;
pub mod config;
pub mod telemetry;

pub mod crm;
pub mod source;
pub mod store;

pub mod http;
pub mod intake;
pub mod queue;

pub mod app;
pub mod cli;
pub mod sandbox;
