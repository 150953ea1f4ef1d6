//! `[alerts]`: when somebody should look.

use std::time::Duration;

use super::Percent;

/// `[alerts]`: from when on an alert fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertsConfig {
    /// Failed operations out of all that did something; 2 % if left out.
    pub error_rate: Percent,
    /// The time over which `error_rate` is taken; 15 min if left out.
    pub error_window: Duration,
    /// Jobs that wait; 1,000 if left out.
    pub queue_depth: u64,
    /// How long a lead may be in retry, or behind a closed gate; 30 min if left out.
    pub retry_age: Duration,
}
