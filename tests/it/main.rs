//! Everything that is tested from outside the crate.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, and says where")]

mod harness;
mod odd_webhooks;
mod sandbox_jsforce;
