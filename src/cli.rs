//! The command line: one file per command.
//!
//! Every command ends with 0 (good), 1 (it ran and found something wrong) or 2 (wrong usage or configuration). Results go
//! to stdout, everything else to stderr.

mod backup;
mod check;
mod create_missing;
mod demo;
mod exit;
mod health;
mod mapping;
mod migrate;
mod openapi;
mod output;
mod sandbox;
mod serve;
mod sign;
mod signals;
mod token;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use crate::config::{Config, ConfigErrors};
use crate::telemetry::{self, LogFormat};
use exit::Exit;

/// Takes in signed lead webhooks and syncs every lead to a CRM.
#[derive(Debug, Parser)]
#[command(name = "leadrelay", version, propagate_version = true)]
pub struct Cli {
    /// The configuration.
    #[arg(long, global = true, env = "LEADRELAY_CONFIG", value_name = "FILE", default_value = "leadrelay.toml")]
    config: PathBuf,
    /// How log lines look; LEADRELAY_LOG says which there are ("info", "leadrelay=debug").
    #[arg(long, global = true, env = "LEADRELAY_LOG_FORMAT", value_enum, default_value_t = Logs::Human)]
    log_format: Logs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Logs {
    Human,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until SIGTERM or Ctrl-C.
    Serve,
    /// Run everything on this machine with sample leads and a sandbox CRM.
    Demo(demo::Args),
    /// Check the configuration, then log in to each CRM and compare the mapping with its fields.
    Check(check::Args),
    /// Print the field mapping document.
    Mapping(mapping::Args),
    /// Run a local CRM to try things with.
    Sandbox(sandbox::Args),
    /// Create or upgrade the database.
    Migrate(migrate::Args),
    /// Copy the database while the service runs.
    Backup(backup::Args),
    /// Make an admin token: prints it once, and the lines for the configuration.
    Token(token::Args),
    /// Print the headers that a source would send with a body, to try an installation with curl.
    Sign(sign::Args),
    /// Ask the running service on this machine whether it is well.
    Health(health::Args),
    /// Print the OpenAPI document.
    Openapi,
}

impl Cli {
    /// Sends log lines to stderr from here on; otherwise says why not, and how to end.
    pub fn start_logging(&self) -> Result<(), ExitCode> {
        let format = match self.log_format {
            Logs::Human => LogFormat::Human,
            Logs::Json => LogFormat::Json,
        };
        telemetry::init(format, &variable).map_err(|error| exit::refuse(&error.into()))
    }

    /// Runs the command to its end; what went wrong stands on stderr.
    pub async fn run(self) -> ExitCode {
        match Box::pin(self.carry_out()).await {
            Ok(exit) => exit.into(),
            Err(error) => exit::refuse(&error),
        }
    }

    async fn carry_out(self) -> Result<Exit> {
        let load = || load(&self.config);
        match self.command {
            Command::Serve => {
                let path = self.config.clone();
                serve::run(&load()?, Box::new(move || Config::load(&path, &variable))).await
            }
            Command::Demo(args) => demo::run(args).await,
            Command::Check(args) => check::run(args, &self.config, load()).await,
            Command::Mapping(args) => mapping::run(args, &load()?).await,
            Command::Sandbox(args) => sandbox::run(args).await,
            Command::Migrate(args) => migrate::run(args, &self.config, load).await,
            Command::Backup(args) => backup::run(args, &load()?).await,
            Command::Token(args) => token::run(args),
            Command::Sign(args) => sign::run(args, &load()?),
            Command::Health(args) => health::run(args, &load()?).await,
            Command::Openapi => openapi::run(),
        }
    }
}

fn load(path: &std::path::Path) -> Result<Config, ConfigErrors> {
    Config::load(path, &variable)
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_contradict_each_other_nowhere() {
        Cli::command().debug_assert();
    }
}
