//! What every store promises: each test runs on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, and says where")]

#[macro_use]
mod fixture;

mod accept;
mod by_hand;
mod claim;
mod cluster;
mod concurrent;
mod conflicts;
mod copy;
mod duplicates;
mod erase;
mod figures;
mod gates;
mod intents;
mod leads;
mod model;
mod ownership;
mod people;
#[path = "../support/postgres.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod postgres;
mod prune;
mod recover;
mod refused;
mod refused_requests;
mod rows;
mod settle;
mod shared;
mod strangers;
mod sync_log;
mod values;
mod work;
