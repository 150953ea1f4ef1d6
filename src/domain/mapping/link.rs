//! Web addresses: `http` and `https`, kept as sent.

use std::net::Ipv4Addr;

use url::Url;

use crate::domain::record::FieldSchema;

use super::convert::{Invalid, Outcome};
use super::text;

/// A web address; a bare domain gets `https://` in front.
pub(super) fn convert(sent: &str, field: Option<&FieldSchema>) -> Outcome {
    let (address, _) = read(sent)?;
    text::fits(&address, field)?;
    Ok(text::whole(address))
}

/// The address as it is written to the CRM, and read.
pub(super) fn read(sent: &str) -> Result<(String, Url), Invalid> {
    let sent = sent.trim();
    if sent.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(invalid("holds white space or control characters"));
    }
    let has_scheme = sent.contains("://") && !sent.starts_with(['/', '?', '#', '.']);
    let bare = sent.trim_start_matches('/');
    let has_scheme = has_scheme
        && sent
            .split("://")
            .next()
            .is_some_and(|scheme| scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)))
        && !sent.split("://").next().is_some_and(|scheme| scheme.contains('.'));
    let address = if has_scheme { sent.to_owned() } else { format!("https://{bare}") };
    let url = Url::parse(&address).map_err(|_| invalid("is no web address"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("is no http or https address"));
    }
    let Some(host) = url.host_str() else { return Err(invalid("names no host")) };
    let has_user = !url.username().is_empty() || url.password().is_some();
    if !has_scheme && (has_user || !is_name(host, bare)) {
        return Err(invalid("is no domain name"));
    }
    Ok((address, url))
}

/// Whether a host that stands there without a scheme is meant as one: `4.5`, `0.1e1` and `n.a.` are not.
fn is_name(host: &str, sent: &str) -> bool {
    let top = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_top = top.len() > 1
        && top.starts_with(|first: char| first.is_ascii_alphabetic())
        && top.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    // A number is read as an IP address, which must have been written as one.
    host.contains('.') && (is_top || (host.parse::<Ipv4Addr>().is_ok() && sent.starts_with(host)))
}

fn invalid(what: &str) -> Invalid {
    Invalid::new("invalid_url", format!("{what}; write it like https://company.com/page"))
}
