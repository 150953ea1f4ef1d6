//! Arguments, telemetry, one command; nothing else.

use std::process::ExitCode;

use clap::Parser;
use leadrelay::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.start_logging() {
        Ok(()) => cli.run().await,
        Err(refused) => refused,
    }
}
