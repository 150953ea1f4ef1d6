//! How a command ends.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Error;

use crate::config::ConfigErrors;
use crate::store::StoreError;
use crate::telemetry::TelemetryError;

/// How a command that ran ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Good,
    /// It ran and found something wrong.
    FoundWrong,
    /// The usage or configuration is wrong, as the output says.
    WrongUsage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Good => ExitCode::SUCCESS,
            Exit::FoundWrong => ExitCode::from(1),
            Exit::WrongUsage => ExitCode::from(2),
        }
    }
}

/// What was asked for cannot be done as it was asked for; says what to do instead.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WrongUsage(pub(super) String);

/// Says on stderr what went wrong, and with which code to end.
pub(super) fn refuse(error: &Error) -> ExitCode {
    let shown = match error.downcast_ref::<ConfigErrors>() {
        // One line per mistake, each with file and line at its beginning, as editors like it.
        Some(mistakes) => mistakes.to_string(),
        None => format!("leadrelay: {}{}", crate::telemetry::chain(error.as_ref()), remedy(error)),
    };
    // Nobody may be listening any more; the exit code still tells.
    let _ = writeln!(io::stderr(), "{shown}");
    how(error).into()
}

/// What to do about a failure that does not say so itself.
fn remedy(error: &Error) -> String {
    let store = error.chain().find_map(|cause| cause.downcast_ref());
    store.and_then(StoreError::remedy).map(|remedy| format!("; {remedy}")).unwrap_or_default()
}

fn how(error: &Error) -> Exit {
    let usage = error.chain().any(|cause| {
        cause.is::<WrongUsage>()
            || cause.is::<ConfigErrors>()
            || cause.is::<TelemetryError>()
            || matches!(
                cause.downcast_ref(),
                Some(
                    StoreError::InUse { .. }
                        | StoreError::TooNew { .. }
                        | StoreError::TooOld { .. }
                        | StoreError::Unfit(_)
                        | StoreError::FileExists(_)
                )
            )
            || cause
                .downcast_ref::<io::Error>()
                .is_some_and(|error| matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable))
    });
    if usage { Exit::WrongUsage } else { Exit::FoundWrong }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn what_the_operator_has_to_change_is_told_from_what_went_wrong() {
        let in_use = StoreError::InUse { path: "leadrelay.db".into(), holder: "process 7".into() };
        let rows: [(Error, Exit); 5] = [
            (Error::new(in_use).context("cannot open leadrelay.db"), Exit::WrongUsage),
            (Error::new(StoreError::Busy), Exit::FoundWrong),
            (Error::new(WrongUsage("--to is not built yet".into())), Exit::WrongUsage),
            (Error::new(io::Error::from(io::ErrorKind::AddrInUse)).context("cannot listen"), Exit::WrongUsage),
            (Error::new(io::Error::from(io::ErrorKind::StorageFull)), Exit::FoundWrong),
        ];
        for (error, expected) in rows {
            assert_eq!(how(&error), expected, "{error:?}");
        }
        let context: Result<(), Error> = Err(StoreError::TooNew { found: 9, known: 1 }).context("cannot open it");
        assert_eq!(how(&context.unwrap_err()), Exit::WrongUsage);
    }
}
