//! `[sources.NAME]`: the lead systems that send webhooks.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::domain::envelope::ReadRules;
use crate::domain::signature::{Handshake, HandshakeKind, SecretEncoding, VerifyRules};
use crate::source;

use super::reader::{Item, Table, Wrong, alternatives, nearest};
use super::values::{duration, filled_text, one_of};
use super::{Secret, read_rules, verify_rules};

/// `[sources.NAME]`: one lead system; how it proves itself, and where things are in what it sends.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// False answers 503, so that senders keep their events; true if left out.
    pub enabled: bool,
    /// The preset that `verify` and `read` started from; `custom` has neither.
    pub preset: String,
    /// At least one; any may match, so that a secret can be replaced without a gap.
    pub secrets: Vec<Secret>,
    /// Whether the operator knows that a secret may be short.
    pub allow_short_secret: bool,
    /// The preset's rules with what `[sources.NAME.verify]` overrides.
    pub verify: VerifyRules,
    /// The preset's rules with what `[sources.NAME.read]` overrides.
    pub read: ReadRules,
    /// Whose handshakes `/webhooks/{source}` answers; the preset's if left out.
    pub handshake: Option<HandshakeKind>,
    /// What Meta's handshake must name.
    pub verify_token: Option<Secret>,
}

impl SourceConfig {
    /// What answers this source's handshakes.
    pub fn handshake(&self) -> Option<Handshake> {
        let kind = self.handshake?;
        let secret = match kind {
            HandshakeKind::Meta => self.verify_token.as_ref(),
            HandshakeKind::LinkedIn | HandshakeKind::Intercom => self.secrets.first(),
        };
        Some(Handshake::new(kind, secret?.expose()))
    }

    /// The tokens, counted from 1, that could be guessed. Many senders choose them themselves, so it is no mistake.
    pub(super) fn short_tokens(&self) -> impl Iterator<Item = usize> {
        let judged = matches!(self.verify, VerifyRules::Token(_)) && !self.allow_short_secret;
        let is_short = |secret: &Secret| secret.expose().len() < SHORTEST_KEY;
        (1..).zip(&self.secrets).filter(move |(_, secret)| judged && is_short(secret)).map(|(number, _)| number)
    }
}

/// Secrets come with padding and without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An HMAC key or token shorter than this can be guessed.
pub(super) const SHORTEST_KEY: usize = 16;

/// Automations that send what their user tells them to: there is no preset, since there is nothing to know.
const AUTOMATIONS: &[&str] = &["zapier", "n8n", "make"];

/// Reads one `[sources.NAME]`. `public_url` says whether `server.public_url` is set.
pub(super) fn read(table: Table<'_>, public_url: bool) -> Option<SourceConfig> {
    let enabled = table.or("enabled", true, Item::flag);
    let preset = table.required("preset", &format!("write {}", alternatives(&source::NAMES)), preset_name);
    let secrets = secrets(&table);
    let allow_short_secret = table.or("allow_short_secret", false, Item::flag);
    api(table.section("api"));
    let handshake = table.optional("handshake", handshake);
    let verify_token = table.optional("verify_token", filled_text).map(Secret::new);
    let (verify_table, read_table) = (table.section("verify"), table.section("read"));
    let Some(preset) = preset else {
        table.finish();
        return None;
    };
    let base = source::preset(&preset);
    let verify = verify_rules::read(verify_table, base.as_ref().and_then(|preset| preset.verify.as_ref()), public_url);
    let read = read_rules::read(read_table, base.as_ref().and_then(|preset| preset.read.as_ref()));
    let handshake = handshake.unwrap_or_else(|| base.as_ref().and_then(|preset| preset.handshake));
    check_verify_token(&table, handshake, verify_token.is_some());
    if let (Some(VerifyRules::Hmac(rules)), Some(secrets)) = (&verify, &secrets) {
        check_keys(&table, secrets, &rules.secret_encoding, allow_short_secret);
    }
    table.finish();
    Some(SourceConfig {
        enabled,
        preset,
        secrets: secrets?,
        allow_short_secret,
        verify: verify?,
        read: read?,
        handshake,
        verify_token,
    })
}

/// None where the text is empty.
fn handshake(item: &Item<'_>) -> Result<Option<HandshakeKind>, Wrong> {
    let kinds = one_of(&[
        ("meta", HandshakeKind::Meta),
        ("linkedin", HandshakeKind::LinkedIn),
        ("intercom", HandshakeKind::Intercom),
    ]);
    verify_rules::unless_empty(item, kinds)
}

fn check_verify_token(table: &Table<'_>, handshake: Option<HandshakeKind>, is_given: bool) {
    match handshake {
        Some(HandshakeKind::Meta) if !table.has("verify_token") => table.wrong(
            "verify_token",
            "is missing",
            "write the verify token that you choose and enter at Meta, such as \"${META_VERIFY_TOKEN}\"",
        ),
        Some(HandshakeKind::LinkedIn | HandshakeKind::Intercom) | None if is_given => {
            table.wrong("verify_token", "belongs to Meta's handshake", "leave it out, or write handshake = \"meta\"");
        }
        Some(_) | None => {}
    }
}

fn preset_name(item: &Item<'_>) -> Result<String, Wrong> {
    let name = item.text()?;
    if source::NAMES.contains(&name.as_str()) {
        return Ok(name);
    }
    if AUTOMATIONS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(Wrong::new(
            format!("{} is no preset: it sends what you tell it to", item.shown()),
            "write \"generic-header\" and have it send the header X-Relay-Token",
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
