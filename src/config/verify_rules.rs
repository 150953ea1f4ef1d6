//! `[sources.NAME.verify]`: how a source proves that it sent a request.

use std::time::Duration;

use crate::domain::signature::{
    Algorithm, Encoding, FormError, HmacRules, SecretEncoding, SignatureFormat, TimestampFrom, TimestampUnit,
    TokenLocation, TokenRules, VerifyRules, is_header_name, parse_id_from,
};

use super::reader::{Item, Table, Wrong};
use super::values::{filled_text, json_pointer, one_of, positive_duration};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Hmac,
    Token,
}

/// Reads the rules; what is left out comes from the preset's.
pub(super) fn read(table: Table<'_>, preset: Option<&VerifyRules>, public_url: bool) -> Option<VerifyRules> {
    let schemes = one_of(&[("hmac", Scheme::Hmac), ("token", Scheme::Token)]);
    let scheme = match preset {
        Some(VerifyRules::Hmac(_)) => table.or("scheme", Scheme::Hmac, schemes),
        Some(VerifyRules::Token(_)) => table.or("scheme", Scheme::Token, schemes),
        None => {
            table.required("scheme", "write \"hmac\" or \"token\": the preset \"custom\" fills in nothing", schemes)?
        }
    };
    match scheme {
        Scheme::Hmac => {
            let preset = preset.and_then(|rules| match rules {
                VerifyRules::Hmac(rules) => Some(rules.clone()),
                VerifyRules::Token(_) => None,
            });
            hmac(table, preset, public_url).map(VerifyRules::Hmac)
        }
        Scheme::Token => {
            let preset = preset.and_then(|rules| match rules {
                VerifyRules::Token(rules) => Some(rules.location.clone()),
                VerifyRules::Hmac(_) => None,
            });
            token(table, preset).map(|location| VerifyRules::Token(TokenRules { location }))
        }
    }
}

fn hmac(table: Table<'_>, preset: Option<HmacRules>, public_url: bool) -> Option<HmacRules> {
    let signature_header = match &preset {
        Some(rules) => Some(table.or("signature_header", rules.signature_header.clone(), header_name)),
        None => table.required("signature_header", "write the header that carries the signature", header_name),
    };
    let base = preset.unwrap_or_else(|| HmacRules {
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        signature_header: String::new(),
        signature_format: SignatureFormat::Plain,
        signed_content: "{body}".to_owned(),
        timestamp_from: None,
        timestamp_unit: TimestampUnit::Seconds,
        tolerance: Duration::from_secs(5 * 60),
        id_from: None,
        secret_encoding: SecretEncoding::Utf8,
    });
    let algorithms = one_of(&[("sha256", Algorithm::Sha256), ("sha1", Algorithm::Sha1)]);
    let units = one_of(&[("s", TimestampUnit::Seconds), ("ms", TimestampUnit::Milliseconds)]);
    let rules = HmacRules {
        algorithm: table.or("algorithm", base.algorithm, |item| match algorithms(item)? {
            Algorithm::Sha1 if base.algorithm != Algorithm::Sha1 => Err(Wrong::new(
                "SHA-1 is taken only where the preset's sender signs with nothing better (intercom, segment)",
                "write \"sha256\", or start from that preset",
            )),
            algorithm => Ok(algorithm),
        }),
        encoding: table.or("encoding", base.encoding, one_of(&[("hex", Encoding::Hex), ("base64", Encoding::Base64)])),
        signature_header: signature_header.clone().unwrap_or_default(),
        signature_format: table
            .or("signature_format", base.signature_format, |item| notation(item, SignatureFormat::parse)),
        signed_content: table.or("signed_content", base.signed_content, signed_content),
        timestamp_from: table.or("timestamp_from", base.timestamp_from, |item| {
            unless_empty(item, |item| notation(item, TimestampFrom::parse))
        }),
        timestamp_unit: table.or("timestamp_unit", base.timestamp_unit, units),
        tolerance: table.or("tolerance", base.tolerance, positive_duration),
        id_from: table.or("id_from", base.id_from, |item| unless_empty(item, |item| notation(item, parse_id_from))),
        secret_encoding: table
            .or("secret_encoding", base.secret_encoding, |item| notation(item, SecretEncoding::parse)),
    };
    check_parts(&table, &rules, public_url);
    table.finish();
    signature_header.map(|_| rules)
}

/// Every part of the signed text must be known, and the body must be among them.
fn check_parts(table: &Table<'_>, rules: &HmacRules, public_url: bool) {
    let content = &rules.signed_content;
    if !content.contains("{body}") {
        table.wrong("signed_content", "does not cover the body, so anyone could change it", "put {body} into it");
    }
    if content.contains("{timestamp}") && rules.timestamp_from.is_none() {
        table.wrong("timestamp_from", "is needed by {timestamp} in `signed_content`", "write header:NAME or kv:KEY");
    }
    if content.contains("{id}") && rules.id_from.is_none() {
        table.wrong("id_from", "is needed by {id} in `signed_content`", "write header:NAME");
    }
    if content.contains("{url}") && !public_url {
        table.wrong(
            "signed_content",
            "signs the URL, and `server.public_url` is not set",
            "set `server.public_url` to the address that senders call",
        );
    }
    let in_signature_header = matches!(rules.timestamp_from, Some(TimestampFrom::KeyValue(_)));
    if in_signature_header && !matches!(rules.signature_format, SignatureFormat::KeyValue(_)) {
        table.wrong("timestamp_from", "reads a key of the signature header", "write signature_format = \"kv:KEY\" too");
    }
}

fn signed_content(item: &Item<'_>) -> Result<String, Wrong> {
    let text = filled_text(item)?;
    for after in text.split('{').skip(1) {
        let name = after.split_once('}').map(|(name, _)| name);
        if !matches!(name, Some("body" | "timestamp" | "id" | "method" | "url")) {
            return Err(Wrong::new(
                format!("{} has an unknown part", item.shown()),
                "write text with {body}, {timestamp}, {id}, {method} and {url}",
            ));
        }
    }
    Ok(text)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Location {
    Header,
    Basic,
    Query,
    Path,
    Body,
}

fn token(table: Table<'_>, preset: Option<TokenLocation>) -> Option<TokenLocation> {
    let locations = one_of(&[
        ("header", Location::Header),
        ("basic", Location::Basic),
        ("query", Location::Query),
        ("path", Location::Path),
        ("body", Location::Body),
    ]);
    let preset_location = preset.as_ref().map(|preset| match preset {
        TokenLocation::Header { .. } => Location::Header,
        TokenLocation::Basic => Location::Basic,
        TokenLocation::Query { .. } => Location::Query,
        TokenLocation::Path => Location::Path,
        TokenLocation::Body { .. } => Location::Body,
    });
    let remedy = "write \"header\", \"basic\", \"query\", \"path\" or \"body\"";
    let location = match preset_location {
        Some(location) => table.or("location", location, locations),
        None => table.required("location", remedy, locations)?,
    };
    // What the preset says of the same location stays where it is not overridden.
    let (name, prefix, pointer) = match preset.filter(|_| preset_location == Some(location)) {
        Some(TokenLocation::Header { name, prefix }) => (Some(name), prefix, None),
        Some(TokenLocation::Query { name }) => (Some(name), String::new(), None),
        Some(TokenLocation::Body { pointer }) => (None, String::new(), Some(pointer)),
        Some(TokenLocation::Basic | TokenLocation::Path) | None => (None, String::new(), None),
    };
    let location = match location {
        Location::Header => given(&table, "name", name, "write the header that carries the token", header_name)
            .map(|name| TokenLocation::Header { name, prefix: table.or("prefix", prefix, Item::text) }),
        Location::Query => given(&table, "name", name, "write the query parameter that carries the token", filled_text)
            .map(|name| TokenLocation::Query { name }),
        Location::Body => {
            given(&table, "pointer", pointer, "write the JSON pointer of the token, such as \"/key\"", json_pointer)
                .map(|pointer| TokenLocation::Body { pointer })
        }
        Location::Basic => Some(TokenLocation::Basic),
        Location::Path => Some(TokenLocation::Path),
    };
    table.finish();
    location
}

/// The key's value; where it is left out the preset's, and without one a mistake.
fn given(
    table: &Table<'_>,
    key: &'static str,
    preset: Option<String>,
    remedy: &str,
    parse: impl FnOnce(&Item<'_>) -> Result<String, Wrong>,
) -> Option<String> {
    match preset {
        Some(preset) => Some(table.or(key, preset, parse)),
        None => table.required(key, remedy, parse),
    }
}

fn header_name(item: &Item<'_>) -> Result<String, Wrong> {
    let text = item.text()?;
    match is_header_name(&text) {
        true => Ok(text),
        false => {
            Err(Wrong::new(format!("{} is no name of a header", item.shown()), "write a name such as \"X-Signature\""))
        }
    }
}

/// Nothing where the text is empty; else what `parse` reads.
pub(super) fn unless_empty<T>(
    item: &Item<'_>,
    parse: impl FnOnce(&Item<'_>) -> Result<T, Wrong>,
) -> Result<Option<T>, Wrong> {
    if item.text()?.is_empty() { Ok(None) } else { parse(item).map(Some) }
}

/// Text in a notation of the signature rules.
fn notation<T>(item: &Item<'_>, parse: impl FnOnce(&str) -> Result<T, FormError>) -> Result<T, Wrong> {
    parse(&item.text()?)
        .map_err(|error| Wrong::new(format!("{} is not known here", item.shown()), format!("write {}", error.expected)))
}
