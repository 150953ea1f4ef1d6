//! `leadrelay backup`: a copy of the database while the service runs.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args as Arguments;
use serde_json::json;

use super::exit::{Exit, WrongUsage};
use super::output;
use crate::app::database;
use crate::config::{Config, StoreUrl};

#[derive(Debug, Arguments)]
pub(super) struct Args {
    /// The file to write; it must not be there yet.
    file: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Writes a consistent copy beside the running service, which waits for nothing meanwhile.
pub(super) async fn run(args: Args, config: &Config) -> Result<Exit> {
    let database = match &config.store.url {
        StoreUrl::Sqlite(database) => database,
        StoreUrl::Postgres(server) => {
            let why = format!("{server} is a PostgreSQL database: copy it with pg_dump, also while leadrelay runs");
            return Err(WrongUsage(why).into());
        }
    };
    if !database.exists() {
        return Err(WrongUsage(format!("there is no database {} to copy", database.display())).into());
    }
    database::back_up(database, &args.file).await?;
    if args.json {
        let (database, file) = (database.display().to_string(), args.file.display().to_string());
        output::print_json(&json!({ "database": database, "file": file }))?;
    } else {
        output::print(&format!("{} is a whole copy of the database", args.file.display()))?;
    }
    Ok(Exit::Good)
}
