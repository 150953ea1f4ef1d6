//! Medians and percentiles, and whether they met their targets.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static MISSED: AtomicBool = AtomicBool::new(false);

/// The middle one.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// In ms; `sorted` ascending.
pub fn percentile(sorted: &[Duration], part: f64) -> f64 {
    let place = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

/// Prints a figure beside its target, for [`verdict`] to remember.
pub fn judge(what: &str, figure: f64, good: bool, target: &str) {
    if !good {
        MISSED.store(true, Ordering::Relaxed);
    }
    println!("{:<72} {figure:>10.2}   {} ({target})", what, if good { "met" } else { "MISSED" });
}

/// How the benchmark ends: 1 if any target was missed.
pub fn verdict() -> ExitCode {
    if MISSED.load(Ordering::Relaxed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
