//! Everything that is tested from outside the crate.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, and says where")]

mod again;
mod bad_crm;
mod bad_webhooks;
mod by_hand;
mod changed_rules;
mod cli;
mod companies;
mod contacts;
mod cut_off;
mod database;
mod deletes;
mod disk_full;
mod doubt;
mod duplicate_rules;
mod edited_meanwhile;
mod end_states;
mod erasure;
mod error_codes;
mod explain;
mod figures;
mod fuzz;
mod harness;
mod jwt_login;
mod keys;
mod kill;
mod known_companies;
mod known_people;
mod missing_fields;
mod odd_set;
mod odd_webhooks;
mod opportunities;
mod owners;
mod pages;
mod people;
mod places;
#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/proxy.rs"]
mod proxy;
mod questions;
mod refused_requests;
mod reload;
mod replicas;
mod rules;
mod sandbox_clients;
mod senders;
mod service;

mod strace;
mod strangers;
mod tidy;
mod unanswered;
