//! Hostile input, made from seeds: a moment of it in every run, two minutes for each target where `LONG=1` is set.
//!
//! `FUZZ_SEED` repeats what a failure names.

mod bodies;
mod expressions;
mod mutations;
mod signatures;
mod soql;

use std::time::{Duration, Instant};

use leadrelay::domain::signature::Verifier;
use leadrelay::source::{NAMES, preset};

/// Whether this run may take minutes.
pub(crate) fn is_long() -> bool {
    std::env::var_os("LONG").is_some_and(|value| value != "0")
}

fn first_seed() -> u64 {
    let named = std::env::var("FUZZ_SEED").ok().map(|seed| seed.parse().expect("FUZZ_SEED is a number"));
    // Each long run looks somewhere else.
    named.unwrap_or_else(|| if is_long() { fastrand::u64(0..u64::MAX / 2) } else { 1 })
}

/// Names the seed of a case that fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with FUZZ_SEED={}", self.0);
        }
    }
}

/// Runs cases, each with a generator of its own, until the time is over.
fn for_a_while(mut case: impl FnMut(&mut fastrand::Rng)) {
    let until = Instant::now() + if is_long() { Duration::from_secs(120) } else { Duration::from_millis(500) };
    let mut seed = first_seed();
    let mut cases = 0u64;
    while cases < 20 || Instant::now() < until {
        let named = Named(seed);
        case(&mut fastrand::Rng::with_seed(seed));
        drop(named);
        (seed, cases) = (seed + 1, cases + 1);
    }
    println!("{cases} cases");
}

/// A few of these, one after the other.
fn strung(rng: &mut fastrand::Rng, pieces: &[&str], most: usize) -> String {
    let mut text = String::new();
    for _ in 0..rng.usize(0..=most) {
        match rng.usize(0..20) {
            0 => text.push(rng.char(..)),
            _ => text.push_str(pieces[rng.usize(0..pieces.len())]),
        }
    }
    text
}

/// The secret of a source with this preset.
fn secret(preset: &str) -> String {
    match preset {
        "standard-webhooks" => "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned(),
        "pipedrive" => "relay:s3cret-of-the-sender".to_owned(),
        _ => "a-secret-of-the-sender".to_owned(),
    }
}

/// Every preset that says how it is verified.
fn verifiers() -> Vec<(&'static str, Verifier)> {
    let prepared = NAMES.into_iter().filter_map(|name| {
        let rules = preset(name).unwrap().verify?;
        Some((name, Verifier::new(&rules, &[secret(name)]).unwrap()))
    });
    prepared.collect()
}
