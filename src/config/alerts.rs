//! `[alerts]`: when somebody should look.

use std::time::Duration;

use super::Percent;
use super::reader::{Item, Table};
use super::values::{percent, positive_duration};

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

pub(super) fn read(table: Table<'_>) -> AlertsConfig {
    let config = AlertsConfig {
        error_rate: table.or("error_rate", Percent::new(2), percent),
        error_window: table.or("error_window", Duration::from_secs(15 * 60), positive_duration),
        queue_depth: table.or("queue_depth", 1000, Item::count),
        retry_age: table.or("retry_age", Duration::from_secs(30 * 60), positive_duration),
    };
    table.later_unless("notify", 0, |item| item.elements().map(|addresses| addresses.len()));
    table.later("secret");
    table.later("silent_source");
    table.finish();
    config
}
