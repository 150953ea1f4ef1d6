//! `leadrelay migrate`: brings the database to what this program needs.

use anyhow::Result;
use clap::Args as Arguments;
use serde_json::json;

use super::exit::{Exit, WrongUsage};
use super::output;
use crate::app::database;
use crate::config::Config;

#[derive(Debug, Arguments)]
pub(super) struct Args {
    /// Not built yet: the database to copy from.
    #[arg(long, value_name = "URL", hide = true)]
    copy_from: Option<String>,
    /// Not built yet: the database to copy to.
    #[arg(long, value_name = "URL", hide = true)]
    to: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Creates or upgrades the database; doing it again changes nothing. Refused while the service has it open.
pub(super) async fn run(args: Args, config: &Config) -> Result<Exit> {
    if args.copy_from.is_some() || args.to.is_some() {
        return Err(
            WrongUsage("copying to another database is not built yet; leave out --copy-from and --to".into()).into()
        );
    }
    let version = database::migrate(config).await?;
    let url = &config.store.url;
    if args.json {
        output::print_json(&json!({ "database": url.to_string(), "version": version }))?;
    } else {
        output::print(&format!("{url} is at version {version}, which this program needs"))?;
    }
    Ok(Exit::Good)
}
