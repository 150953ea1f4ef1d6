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
use crate::domain::envelope::{Expression, Term, TimeFormat};
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
    let mut headers = Verifier::new(&source.verify, &secrets)?.sign(&message);
    headers.extend(read_headers(source, &headers, &message));
    let content_type = content_type(&body, source);
    let (url, elsewhere) = place_token(&source.verify, secrets.first().map_or("", String::as_str), &local)?;
    if args.json {
        let headers: serde_json::Map<_, _> = headers.into_iter().map(|(name, value)| (name, value.into())).collect();
        output::print_json(&json!({ "url": url, "headers": headers, "note": elsewhere }))?;
    } else if args.curl {
        output::print(&curl(&url, &content_type, &headers, &args.file))?;
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

/// Headers in which the source's payload says what is read from there: what kind of event it is, its ID, and when it was.
fn read_headers(source: &SourceConfig, signed: &[(String, String)], message: &Message<'_>) -> Vec<(String, String)> {
    let named = |expression: &Expression| match expression.alternatives.as_slice() {
        [.., Term::Header(name)] => Some(name.clone()),
        _ => None,
    };
    let read = &source.read;
    let first = read.types.upsert.iter().chain(&read.types.thin).find(|event_type| !event_type.contains('*'));
    let event_type = first.map_or("lead", String::as_str).to_owned();
    let time = match read.times {
        TimeFormat::UnixSeconds => message.timestamp.as_seconds().to_string(),
        TimeFormat::UnixMilliseconds => message.timestamp.as_micros().div_euclid(1_000).to_string(),
        TimeFormat::Rfc3339 => message.timestamp.to_string(),
    };
    let id = message.id.to_owned();
    let all = read.event_type.iter().map(|at| (at, event_type.clone()));
    let all = all.chain(read.event_id.iter().map(|at| (at, id.clone())));
    let all = all.chain(read.version.iter().chain(&read.delete_version).map(|at| (at, time.clone())));
    let mut headers: Vec<(String, String)> = Vec::new();
    for (at, value) in all {
        let Some(name) = named(at) else { continue };
        let same = |(known, _): &(String, String)| known.eq_ignore_ascii_case(&name);
        if !signed.iter().chain(&headers).any(same) {
            headers.push((name, value));
        }
    }
    headers
}

/// What the body looks like, among what the source takes.
fn content_type(body: &[u8], source: &SourceConfig) -> String {
    let text = String::from_utf8_lossy(body.get(..200).unwrap_or(body));
    let boundary = text.lines().next().and_then(|line| line.strip_prefix("--")).map(str::trim);
    match boundary {
        _ if source.read.bodies.xml && text.trim_start().starts_with('<') => "text/xml".to_owned(),
        Some(boundary) if source.read.bodies.multipart => format!("multipart/form-data; boundary={boundary}"),
        _ if source.read.bodies.form && !text.trim_start().starts_with(['{', '[']) => {
            "application/x-www-form-urlencoded".to_owned()
        }
        _ => "application/json".to_owned(),
    }
}

fn curl(url: &str, content_type: &str, headers: &[(String, String)], file: &Path) -> String {
    let mut command = format!("curl -sSi {} -H 'Content-Type: {content_type}'", quoted(url));
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
            curl("http://localhost/", "application/json", &headers, Path::new("a b.json")),
            r"curl -sSi 'http://localhost/' -H 'Content-Type: application/json' -H 'X-Sig: it'\''s' --data-binary '@a b.json'"
        );
    }
}
