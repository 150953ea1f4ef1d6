//! The two listeners' routers: webhooks for the world, everything else for operators.

pub mod admin;
pub mod auth;
mod body;
pub mod error;
pub mod figures;
mod health;
mod request_id;
pub mod serve;
pub mod webhook;

pub use admin::{admin_router, openapi};
pub use body::BodyLimits;
pub use webhook::public_router;

#[cfg(test)]
mod tests;
