//! Presets for everything that can be told what to send: Zapier, n8n, Make, and programs of one's own.

use super::at;
use crate::domain::envelope::{BodyRules, ReadRules, TimeFormat};
use crate::domain::signature::{TokenLocation, TokenRules, VerifyRules};
use crate::source::Preset;

/// The token in a header of its own.
pub(super) fn header() -> Preset {
    flat(TokenLocation::Header { name: "X-Relay-Token".into(), prefix: String::new() })
}

/// The token as `Authorization: Bearer TOKEN`.
pub(super) fn bearer() -> Preset {
    flat(TokenLocation::Header { name: "Authorization".into(), prefix: "Bearer ".into() })
}

/// The token in the URL, `?token=TOKEN`.
pub(super) fn query() -> Preset {
    flat(TokenLocation::Query { name: "token".into() })
}

/// One lead, flat, as JSON or a form: `id`, `email`, `name`, `updated_at` and whatever else there is.
fn flat(location: TokenLocation) -> Preset {
    let read = ReadRules {
        bodies: BodyRules { form: true, multipart: true, ..BodyRules::default() },
        version: vec![at(["/updated_at"])],
        // RFC 3339 is read too.
        times: TimeFormat::UnixSeconds,
        ..ReadRules::new(at(["/id"]))
    };
    Preset::new(VerifyRules::Token(TokenRules { location }), read)
}
