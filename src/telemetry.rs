//! Log lines on stderr: for people on a terminal, as JSON for machines.

pub mod alerts;
pub mod metrics;

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// What is logged unless the environment says otherwise. What the database's library has to say of lost connections we say
/// ourselves, once.
const DEFAULT_FILTER: &str = "info,sqlx::postgres::notice=off,sqlx::query=off,sqlx_core::pool=off";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line each; coloured on a terminal only.
    Human,
    /// One JSON object a line.
    Json,
}

/// Why logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("{variable} holds no log filter; write a level or a list such as \"info,leadrelay::queue=debug\"")]
    Filter {
        variable: &'static str,
        #[source]
        source: ParseError,
    },
    #[error("logs are set up already")]
    AlreadySet,
}

/// Sends log lines to stderr from here on; once per process.
///
/// `LEADRELAY_LOG`, else `RUST_LOG`, says what is logged; `env` looks both up.
pub fn init(format: LogFormat, env: &dyn Fn(&str) -> Option<String>) -> Result<(), TelemetryError> {
    let filter = filter(env)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let set = match format {
        LogFormat::Human => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).try_init(),
    };
    set.map_err(|_| TelemetryError::AlreadySet)
}

/// Lets what goes on for long be said at once, and then once a minute.
#[derive(Debug, Default)]
pub struct Sparsely(Option<Instant>);

impl Sparsely {
    /// Whether it is to be said now.
    pub fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|last| last.elapsed() >= Duration::from_secs(60));
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }

    /// It is over: the next time is said at once.
    pub fn reset(&mut self) {
        self.0 = None;
    }
}

fn filter(env: &dyn Fn(&str) -> Option<String>) -> Result<EnvFilter, TelemetryError> {
    for variable in ["LEADRELAY_LOG", "RUST_LOG"] {
        if let Some(text) = env(variable).filter(|text| !text.trim().is_empty()) {
            return EnvFilter::builder().parse(text).map_err(|source| TelemetryError::Filter { variable, source });
        }
    }
    Ok(EnvFilter::new(DEFAULT_FILTER))
}

/// An error and everything behind it, as one line: `the database call failed: disk I/O error`.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Transparent errors say what their source says.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the attempt failed")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Middle(#[from] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("the connection broke")]
    struct Inner(#[source] io::Error);

    #[test]
    fn a_chain_tells_every_cause_once() {
        let error = Outer(Middle(Inner(io::Error::other("reset by peer"))));
        assert_eq!(chain(&error), "the attempt failed: the connection broke: reset by peer");
    }

    #[test]
    fn our_own_variable_goes_before_the_common_one() {
        let shown = |ours: Option<&str>, common: Option<&str>| {
            let (ours, common) = (ours.map(str::to_owned), common.map(str::to_owned));
            let env = move |name: &str| if name == "LEADRELAY_LOG" { ours.clone() } else { common.clone() };
            filter(&env).map(|filter| filter.to_string()).map_err(|error| error.to_string())
        };
        let ours = shown(None, None).unwrap();
        assert!(ours.contains("info") && ours.contains("sqlx_core::pool=off"), "{ours}");
        assert_eq!(shown(None, Some("debug")).unwrap(), "debug");
        assert_eq!(shown(Some("warn"), Some("debug")).unwrap(), "warn");
        assert_eq!(shown(Some(" "), Some("debug")).unwrap(), "debug");
        let wrong = shown(Some("leadrelay=loud"), None).unwrap_err();
        assert!(wrong.starts_with("LEADRELAY_LOG holds no log filter"), "{wrong}");
    }
}
