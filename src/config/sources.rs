//! `[sources.NAME]`: the lead systems that send webhooks.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::domain::envelope::ReadRules;
use crate::domain::signature::{SecretEncoding, VerifyRules};
use crate::source;

use super::reader::{Item, Table, Wrong, alternatives, nearest};
use super::values::duration;
use super::{Secret, read_rules, verify_rules};

/// `[sources.NAME]`: one lead system; how it proves itself, and where things are in what it sends.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// False answers 503, so that senders keep their events; true if left out.
    pub enabled: bool,
    /// The preset that `verify` and `read` started from: `klozeo`, `standard-webhooks`, `custom`.
    pub preset: String,
    /// At least one; any may match, so that a secret can be replaced without a gap.
    pub secrets: Vec<Secret>,
    /// The preset's rules with what `[sources.NAME.verify]` overrides.
    pub verify: VerifyRules,
    /// The preset's rules with what `[sources.NAME.read]` overrides.
    pub read: ReadRules,
}

/// Secrets come with padding and without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An HMAC key shorter than this can be guessed.
const SHORTEST_KEY: usize = 16;

/// The presets that are known but not built yet.
const LATER: &[&str] = &[
    "stripe",
    "github",
    "meta",
    "shopify",
    "typeform",
    "calendly",
    "hubspot-v3",
    "intercom",
    "webflow",
    "tally",
    "linkedin",
    "customerio",
    "segment",
    "pipedrive",
    "google-ads",
    "generic-header",
    "generic-bearer",
    "generic-query",
    "unbounce",
    "jotform",
    "salesforce",
];

/// Reads one `[sources.NAME]`. `public_url` says whether `server.public_url` is set.
pub(super) fn read(table: Table<'_>, public_url: bool) -> Option<SourceConfig> {
    let enabled = table.or("enabled", true, Item::flag);
    let preset = table.required("preset", &format!("write {}", alternatives(&source::NAMES)), preset_name);
    let secrets = secrets(&table);
    let allow_short_secret = table.or("allow_short_secret", false, Item::flag);
    api(table.section("api"));
    let (verify_table, read_table) = (table.section("verify"), table.section("read"));
    let Some(preset) = preset else {
        table.finish();
        return None;
    };
    let base = source::preset(&preset);
    let verify = verify_rules::read(verify_table, base.as_ref().and_then(|preset| preset.verify.as_ref()), public_url);
    let read = read_rules::read(read_table, base.as_ref().and_then(|preset| preset.read.as_ref()));
    if let (Some(VerifyRules::Hmac(rules)), Some(secrets)) = (&verify, &secrets) {
        check_keys(&table, secrets, &rules.secret_encoding, allow_short_secret);
    }
    table.finish();
    Some(SourceConfig { enabled, preset, secrets: secrets?, verify: verify?, read: read? })
}

fn preset_name(item: &Item<'_>) -> Result<String, Wrong> {
    let name = item.text()?;
    if source::NAMES.contains(&name.as_str()) {
        return Ok(name);
    }
    if LATER.contains(&name.as_str()) {
        return Err(Wrong::new(
            format!("the preset {} is not built yet", item.shown()),
            "write \"custom\" and fill in `verify` and `read`",
        ));
    }
    let remedy = match nearest(&name, &source::NAMES) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("write {}", alternatives(&source::NAMES)),
    };
    Err(Wrong::new(format!("{} is no known preset", item.shown()), remedy))
}

fn secrets(table: &Table<'_>) -> Option<Vec<Secret>> {
    let remedy = "write the secret that was given to the lead system, such as [\"${WEBHOOK_SECRET}\"]";
    let items = table.required("secrets", remedy, Item::elements)?;
    if items.is_empty() {
        table.wrong("secrets", "is empty, so anyone could send leads", remedy);
        return None;
    }
    let mut secrets = Vec::new();
    for item in items {
        match item.text() {
            Ok(text) if text.trim().is_empty() => item.report(Wrong::new("is an empty secret", remedy)),
            Ok(text) => secrets.push(Secret::new(text)),
            Err(wrong) => item.report(wrong),
        }
    }
    (!secrets.is_empty()).then_some(secrets)
}

fn check_keys(table: &Table<'_>, secrets: &[Secret], encoding: &SecretEncoding, allow_short: bool) {
    for (index, secret) in secrets.iter().enumerate() {
        let length = match encoding {
            SecretEncoding::Utf8 => Some(secret.expose().len()),
            SecretEncoding::Base64 { strip } => {
                let text = secret.expose();
                BASE64.decode(text.strip_prefix(strip.as_str()).unwrap_or(text).trim()).ok().map(|key| key.len())
            }
        };
        let number = index + 1;
        match length {
            None => {
                table.wrong("secrets", format!("secret {number} is no base64"), "copy it from the sender once more")
            }
            Some(length) if length < SHORTEST_KEY && !allow_short => table.wrong(
                "secrets",
                format!("secret {number} is shorter than {SHORTEST_KEY} bytes and could be guessed"),
                "choose a longer one, or set allow_short_secret = true",
            ),
            Some(_) => {}
        }
    }
}

/// Reading back through the lead system's API is not built yet.
fn api(table: Table<'_>) {
    for key in ["kind", "base_url", "key"] {
        table.later(key);
    }
    table.later_unless("poll_every", Duration::from_secs(15 * 60), duration);
    table.later_unless("webhooks", true, Item::flag);
    table.finish();
}
