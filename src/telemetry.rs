//! What the program tells of itself: metrics and alerts.

pub mod alerts;
pub mod metrics;
