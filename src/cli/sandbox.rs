//! `leadrelay sandbox`: a local CRM.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args as Arguments;
use serde_json::json;

use super::exit::{Exit, WrongUsage};
use super::output;
use super::signals::Signals;
use crate::sandbox::{LoginKey, Options, Sandbox, TlsIdentity};

const FAULTS: &str = "\
Trouble to order: POST {\"rules\": [{\"fault\": NAME, ...}]} to /_sandbox/faults replaces all rules, an empty list ends them.
  reset_before, reset_after   the connection is reset before, or after, the request was executed
  timeout_after               executed and never answered
  late_write                  not answered (or with `status`), and executed two seconds later
  hang, slow                  never answered and not executed; the right answer, a byte at a time
  status                      answered with `status`, 503 if left out (also `code`, `message`, `retry_after`, `html`: true)
  error                       answered with the error `code` as an org would: for the call, a part of a composite, or a record
  throttle                    told to slow down; with `retry_after` for so many seconds
  daily_limit                 the day's calls are used up
  garbage, huge               200 with a page of HTML, or with 100 MB
  refuse                      a validation rule refuses records with `field` (only `when` it has that value; `error` takes it too,
                              and {\"LastName\": \"Lovelace\"} names other fields)
  rewrite                     a trigger appends `suffix` to `field`
  edit                        a person writes `fields` into the record with the ID `record` while the request is on its way
  usage_jitter                the usage header goes up and down
Each takes `rate` (0 to 1), `count` (so often, then no more), `path`, `method` and `writes` (true: only writes).
Beside it are records, convert, merge, undelete, duplicate-rules, features, fields, limits, stats, requests, expire_tokens and reset,
such as GET /_sandbox/stats; docs/sandbox.md tells what each takes.";

#[derive(Debug, Arguments)]
#[command(after_help = FAULTS)]
pub(super) struct Args {
    /// Where it listens; a loopback address, since it lets everybody in. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Speak HTTPS with a certificate made for this run, which is printed for clients to trust.
    #[arg(long)]
    tls: bool,
    /// Speak HTTPS with this certificate (PEM, those that vouch for it after it).
    #[arg(long, value_name = "FILE", requires = "tls_key", conflicts_with = "tls")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Take only assertions (JWT bearer) of the integration user that this certificate or public key (PEM) verifies; without it any
    /// that has not expired.
    #[arg(long, value_name = "FILE")]
    jwt_public_key: Option<PathBuf>,
    /// Print its address as JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Who it is to callers over HTTPS; `None` where it speaks HTTP.
    fn identity(&self) -> Result<Option<TlsIdentity>> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                let made = TlsIdentity::read(&read(certificate)?, &read(key)?);
                let names = format!("{} and {}", certificate.display(), key.display());
                Ok(Some(made.map_err(|err| WrongUsage(format!("{names}: {:#}", anyhow::Error::from(err))))?))
            }
            _ if self.tls => Ok(Some(TlsIdentity::self_signed()?)),
            _ => Ok(None),
        }
    }

    /// Whose assertions log in.
    fn login_key(&self) -> Result<Option<LoginKey>> {
        let Some(path) = &self.jwt_public_key else { return Ok(None) };
        let made = LoginKey::read(&read(path)?);
        Ok(Some(made.map_err(|err| WrongUsage(format!("{}: {:#}", path.display(), anyhow::Error::from(err))))?))
    }
}

fn read(path: &Path) -> Result<String, WrongUsage> {
    fs::read_to_string(path).map_err(|err| WrongUsage(format!("cannot read {}: {err}", path.display())))
}

/// Runs an empty org until SIGTERM or SIGINT; what it held is gone then.
pub(super) async fn run(args: Args) -> Result<Exit> {
    if !args.listen.ip().is_loopback() {
        let message = format!(
            "the sandbox lets everybody in and so listens on a loopback address only, such as 127.0.0.1:8090, not on {}",
            args.listen
        );
        return Err(WrongUsage(message).into());
    }
    let identity = args.identity()?;
    let login_key = args.login_key()?;
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let options = Options { tls: identity.as_ref(), login_key };
    let started = Sandbox::start_with(args.listen, options).await;
    let sandbox = started.with_context(|| format!("cannot listen on {}", args.listen))?;
    let made = identity.as_ref().filter(|_| args.tls).map(TlsIdentity::certificate);
    let url = sandbox.url();
    if args.json {
        let mut about = json!({ "url": url });
        if let Some(certificate) = made {
            about["certificate"] = json!(certificate);
        }
        output::print_json(&about)?;
    } else {
        output::print(&format!(
            "The sandbox CRM, a Salesforce org without records, is on {url}\n\
             Log in with any client id and secret: login = {{ flow = \"client_credentials\", url = \"{url}\", client_id = \
             \"any\", client_secret = \"any\" }}\n\
             Or by assertion: login = {{ flow = \"jwt_bearer\", url = \"{url}\", client_id = \"any\", username = \
             \"integration.user@sandbox.example\", private_key = \"${{file:key.pem}}\" }}\n\
             Its records: {url}/_sandbox/records?object=Lead\n\
             Ctrl-C ends it, and all that it holds is gone."
        ))?;
        if let Some(certificate) = made {
            output::print(&format!("Its certificate, for clients to trust:\n{certificate}"))?;
        }
    }
    signals.stop().await;
    sandbox.stop().await;
    Ok(Exit::Good)
}
