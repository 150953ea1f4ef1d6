//! Exact answers of both listeners: through the router, and over sockets where time or framing matters.

mod admin;
mod fixtures;
mod sockets;
mod webhooks;
mod wrong_requests;
