//! What both benchmarks need: prepared webhooks, connections that send them, processes, and figures.

pub mod children;
pub mod client;
pub mod figures;
pub mod requests;
