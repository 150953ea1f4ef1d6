//! `leadrelay token`: makes an admin token.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args as Arguments, ValueEnum};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::exit::{Exit, WrongUsage};
use super::output;
use crate::config::Role;

#[derive(Debug, Arguments)]
pub(super) struct Args {
    /// Who uses it; the audit log shows this name.
    #[arg(long)]
    name: String,
    /// What it may do.
    #[arg(long, value_enum)]
    role: RoleArgument,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArgument {
    /// Reads.
    Viewer,
    /// Reads and changes.
    Operator,
}

impl From<RoleArgument> for Role {
    fn from(role: RoleArgument) -> Self {
        match role {
            RoleArgument::Viewer => Role::Viewer,
            RoleArgument::Operator => Role::Operator,
        }
    }
}

/// Prints a new token once, and what the configuration needs to know it. Nothing is kept.
pub(super) fn run(args: Args) -> Result<Exit> {
    if args.name.trim().is_empty() || args.name.chars().any(char::is_control) {
        return Err(WrongUsage("--name must say who uses the token, without control characters".to_owned()).into());
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).context("the operating system gives no random bytes")?;
    let token = URL_SAFE_NO_PAD.encode(random);
    let sha256 = hex::encode(Sha256::digest(&token));
    let role = Role::from(args.role).as_str();
    if args.json {
        output::print_json(&json!({ "name": args.name, "role": role, "token": token, "sha256": sha256 }))?;
    } else {
        output::print(&format!(
            "{token}\n\nThis is the token; it is shown once and kept nowhere. Put these lines into the configuration and \
             start `leadrelay serve`, or have it reload (SIGHUP):\n\n{}",
            lines(&args.name, role, &sha256)
        ))?;
    }
    Ok(Exit::Good)
}

/// The token as the configuration knows it.
fn lines(name: &str, role: &str, sha256: &str) -> String {
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("[[admin.tokens]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256 = \"{sha256}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_toml_whatever_the_name() {
        let written = lines(r#"Zoë "ops" \n"#, "operator", "00ff");
        let table = toml::de::DeTable::parse(&written).unwrap().into_inner();
        let row = &table["admin"].get_ref()["tokens"].get_ref()[0].get_ref();
        let text = |key: &str| row[key].get_ref().as_str();
        assert_eq!(text("name"), Some(r#"Zoë "ops" \n"#));
        assert_eq!((text("role"), text("sha256")), (Some("operator"), Some("00ff")));
    }
}
