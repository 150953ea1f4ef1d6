//! `leadrelay sign`: what a source would send with a body.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args as Arguments;
use serde_json::json;
use url::Url;

use super::exit::{Exit, WrongUsage};
use super::health::reachable;
use super::output;
use crate::clock::Clock;
use crate::config::{Config, SourceConfig};
use crate::domain::ids::SourceName;
use crate::domain::signature::{Message, TokenLocation, Verifier, VerifyRules};

#[derive(Debug, Arguments)]
pub(super) struct Args {
    /// The source as the configuration names it.
    #[arg(long, value_name = "NAME")]
    source: String,
    /// The body, byte for byte as it will be sent; `-` for stdin.
    file: PathBuf,
    /// Print a whole curl command instead of the headers.
    #[arg(long, conflicts_with = "json")]
    curl: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints the headers that prove the body to be the source's, one `Name: value` a line. Sends nothing.
pub(super) fn run(args: Args, config: &Config) -> Result<Exit> {
    let (name, source) = find_source(config, &args.source)?;
    let body = read(&args.file)?;
    let path = format!("/webhooks/{name}");
    let local = format!("http://{}{path}", reachable(config.server.listen));
    let public = config.server.public_url.as_ref().map(|url| format!("{}{path}", url.as_str().trim_end_matches('/')));
    let secrets: Vec<String> = source.secrets.iter().map(|secret| secret.expose().to_owned()).collect();
    let message = Message {
        method: "POST",
        url: public.as_deref().unwrap_or(&local),
        timestamp: Clock::system().now(),
        id: &uuid::Uuid::new_v4().to_string(),
        body: &body,
    };
    let headers = Verifier::new(&source.verify, &secrets)?.sign(&message);
    let (url, elsewhere) = place_token(&source.verify, secrets.first().map_or("", String::as_str), &local)?;
    if args.json {
        let headers: serde_json::Map<_, _> = headers.into_iter().map(|(name, value)| (name, value.into())).collect();
        output::print_json(&json!({ "url": url, "headers": headers, "note": elsewhere }))?;
    } else if args.curl {
        output::print(&curl(&url, &headers, &args.file))?;
        if let Some(note) = elsewhere {
            output::note(&note);
        }
    } else if let Some(note) = elsewhere {
        output::note(&note);
    } else {
        let lines: Vec<String> = headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
        output::print(&lines.join("\n"))?;
    }
    Ok(Exit::Good)
}

fn find_source<'a>(config: &'a Config, name: &str) -> Result<(&'a SourceName, &'a SourceConfig)> {
    let known = || config.sources.keys().map(SourceName::as_str).collect::<Vec<_>>().join(", ");
    config
        .sources
        .get_key_value(&SourceName::from(name))
        .ok_or_else(|| WrongUsage(format!("no source {name:?} is configured; there is {}", known())).into())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut body = Vec::new();
        io::stdin().lock().read_to_end(&mut body).context("cannot read the body from stdin")?;
        return Ok(body);
    }
    fs::read(file).map_err(|error| WrongUsage(format!("cannot read {}: {error}", file.display())).into())
}

/// The URL to send to, and, where no header proves the request, what does.
fn place_token(rules: &VerifyRules, token: &str, url: &str) -> Result<(String, Option<String>)> {
    let VerifyRules::Token(rules) = rules else { return Ok((url.to_owned(), None)) };
    let mut url = Url::parse(url).context("the webhook's address is no URL")?;
    let note = match &rules.location {
        TokenLocation::Header { .. } | TokenLocation::Basic => return Ok((url.into(), None)),
        TokenLocation::Query { name } => {
            url.query_pairs_mut().append_pair(name, token);
            format!("this source sends no header; its token stands in the URL: {url}")
        }
        TokenLocation::Path => {
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.push(token);
            }
            format!("this source sends no header; its token stands in the URL: {url}")
        }
        TokenLocation::Body { pointer } => {
            format!("this source sends no header; its token must stand in the body, at {pointer}")
        }
    };
    Ok((url.into(), Some(note)))
}

fn curl(url: &str, headers: &[(String, String)], file: &Path) -> String {
    let mut command = format!("curl -sSi {} -H 'Content-Type: application/json'", quoted(url));
    for (name, value) in headers {
        command.push_str(&format!(" -H {}", quoted(&format!("{name}: {value}"))));
    }
    format!("{command} --data-binary {}", quoted(&format!("@{}", file.display())))
}

/// As a shell takes it whole.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::signature::TokenRules;

    #[test]
    fn a_token_outside_the_headers_is_put_where_the_source_has_it() {
        let place = |location| {
            let rules = VerifyRules::Token(TokenRules { location });
            place_token(&rules, "s/e c", "http://127.0.0.1:8080/webhooks/crm").unwrap()
        };
        let (url, note) = place(TokenLocation::Query { name: "key".into() });
        assert_eq!(url, "http://127.0.0.1:8080/webhooks/crm?key=s%2Fe+c");
        assert!(note.is_some());
        assert_eq!(place(TokenLocation::Path).0, "http://127.0.0.1:8080/webhooks/crm/s%2Fe%20c");
        let (url, note) = place(TokenLocation::Body { pointer: "/token".into() });
        assert_eq!(url, "http://127.0.0.1:8080/webhooks/crm");
        assert!(note.unwrap().contains("at /token"));
        assert_eq!(place(TokenLocation::Basic).1, None);
    }

    #[test]
    fn a_curl_command_survives_the_shell() {
        let headers = [("X-Sig".to_owned(), "it's".to_owned())];
        assert_eq!(
            curl("http://localhost/", &headers, Path::new("a b.json")),
            r"curl -sSi 'http://localhost/' -H 'Content-Type: application/json' -H 'X-Sig: it'\''s' --data-binary '@a b.json'"
        );
    }
}
