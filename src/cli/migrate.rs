//! `leadrelay migrate`: brings the database to what this program needs, or moves it to PostgreSQL.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args as Arguments;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::exit::{Exit, WrongUsage};
use super::output;
use crate::app::database::{self, Copied};
use crate::config::{Config, ConfigErrors, ServerUrl};
use crate::store::postgres::copy::Progress;

#[derive(Debug, Arguments)]
pub(super) struct Args {
    /// Copy everything from this SQLite database: sqlite:// and the path of its file.
    #[arg(long, value_name = "URL", requires = "to")]
    copy_from: Option<String>,
    /// Copy it to this PostgreSQL database, which must hold nothing of leadrelay's: postgres://user:password@host/database,
    /// or '${NAME}' for what the environment holds.
    #[arg(long, value_name = "URL", requires = "copy_from")]
    to: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Creates or upgrades the database; doing it again changes nothing. On SQLite refused while the service has it open.
pub(super) async fn run(
    args: Args,
    configuration: &Path,
    load: impl FnOnce() -> Result<Config, ConfigErrors>,
) -> Result<Exit> {
    if let (Some(from), Some(to)) = (&args.copy_from, &args.to) {
        // Both databases are named, so nothing else is needed of a configuration, nor any at all.
        let accept_unsafe_server = configuration.exists() && load()?.store.allow_unsafe_server;
        return copy(from, to, accept_unsafe_server, args.json).await;
    }
    let config = load()?;
    let version = database::migrate(&config).await?;
    let url = &config.store.url;
    if args.json {
        output::print_json(&json!({ "database": url.to_string(), "version": version }))?;
    } else {
        output::print(&format!("{url} is at version {version}, which this program needs"))?;
    }
    Ok(Exit::Good)
}

async fn copy(from: &str, to: &str, accept_unsafe_server: bool, as_json: bool) -> Result<Exit> {
    let wrong = |argument: &str, why: &str| WrongUsage(format!("{argument}: {why}"));
    let path = from.strip_prefix("sqlite://").map(Path::new);
    let path = path.ok_or_else(|| wrong("--copy-from", "write sqlite:// and the path of the file"))?;
    let to =
        expanded(to).and_then(|to| ServerUrl::parse(&to).map_err(str::to_owned)).map_err(|why| wrong("--to", &why))?;
    if !path.exists() {
        return Err(WrongUsage(format!("there is no database {} to copy", path.display())).into());
    }
    let bar = ProgressBar::no_length().with_style(
        ProgressStyle::with_template("{msg:18} {wide_bar} {human_pos}/{human_len} rows, {eta} left")
            .context("the progress bar's template")?,
    );
    bar.enable_steady_tick(Duration::from_millis(200));
    let tell = |progress: Progress| {
        if bar.message() != progress.table {
            bar.set_message(progress.table);
            bar.reset();
        }
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let copied = database::copy(path, &to, accept_unsafe_server, tell).await;
    bar.finish_and_clear();
    show(&copied?, path, as_json)
}

/// `${NAME}` is what the environment holds under that name: a password does not belong on a command line.
fn expanded(text: &str) -> Result<String, String> {
    let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        return Ok(text.to_owned());
    };
    std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))
}

fn show(copied: &Copied, from: &Path, as_json: bool) -> Result<Exit> {
    let tables = &copied.tables;
    if as_json {
        let shown = |table: &crate::store::postgres::copy::CopiedTable| {
            json!({ "table": table.table, "rows": table.rows, "written": table.written, "removed": table.removed,
                    "checksum": table.checksum })
        };
        output::print_json(&json!({
            "complete": copied.complete,
            "tables": tables.iter().map(shown).collect::<Vec<_>>(),
        }))?;
    } else {
        let rows = tables.iter().map(|table| {
            [
                table.table.to_owned(),
                table.rows.to_string(),
                table.written.to_string(),
                table.removed.to_string(),
                table.checksum.clone(),
            ]
        });
        output::print(&output::table(["table", "rows on both sides", "written", "removed", "checksum of both"], rows))?;
        if copied.complete {
            output::print("Everything was copied. Set `store.url` to the new database and start leadrelay.")?;
        }
    }
    if copied.complete {
        return Ok(Exit::Good);
    }
    output::note(&format!(
        "leadrelay still runs on {}: what comes from now on is not in the copy. Stop it and run the same command once more; \
         only what changed is copied then.",
        from.display()
    ));
    Ok(Exit::FoundWrong)
}
