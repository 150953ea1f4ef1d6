//! Presets of systems whose webhooks only name a lead. Their events are kept, and quarantined as `needs_fetch`.

use super::{at, over_body, texts, written};
use crate::domain::envelope::{ReadRules, TimeFormat, TypeTable};
use crate::domain::signature::{Encoding, HandshakeKind, HmacRules, SignatureFormat, TimestampFrom, TimestampUnit};
use crate::source::Preset;

/// Meta lead ads, of Facebook and Instagram. The body is signed as it is sent, with non-ASCII characters escaped.
pub(super) fn meta() -> Preset {
    let verify = HmacRules {
        signature_format: SignatureFormat::Prefix("sha256=".into()),
        ..over_body("X-Hub-Signature-256", Encoding::Hex)
    };
    let read = ReadRules {
        records: "/entry/*/changes/*".into(),
        event_id: Some(at(["/value/leadgen_id"])),
        event_type: Some(at(["/field"])),
        types: TypeTable { thin: texts(&["leadgen"]), ..TypeTable::default() },
        lead: texts(&["/value"]),
        version: vec![at(["/value/created_time"])],
        times: TimeFormat::UnixSeconds,
        ..ReadRules::new(at(["/value/leadgen_id"]))
    };
    Preset {
        handshake: Some(HandshakeKind::Meta),
        if_refused: "Meta signs with the app secret.",
        ..Preset::new(verify.into(), read)
    }
}

/// LinkedIn lead sync. What is signed begins with the text `hmacsha256=`; the header may too.
pub(super) fn linkedin() -> Preset {
    let verify = HmacRules {
        signature_format: SignatureFormat::OptionalPrefix("hmacsha256=".into()),
        signed_content: "hmacsha256={body}".into(),
        ..over_body("X-LI-Signature", Encoding::Hex)
    };
    let read = ReadRules {
        event_id: Some(written("{/leadGenFormResponse} {/leadAction} {/occurredAt}")),
        event_type: Some(written("{/type}.{/leadAction}")),
        types: TypeTable {
            delete: texts(&["LEAD_ACTION.DELETED"]),
            thin: texts(&["LEAD_ACTION.CREATED"]),
            ..TypeTable::default()
        },
        version: vec![at(["/occurredAt"])],
        delete_version: vec![at(["/occurredAt"])],
        times: TimeFormat::UnixMilliseconds,
        ..ReadRules::new(at(["/leadGenFormResponse"]))
    };
    Preset {
        handshake: Some(HandshakeKind::LinkedIn),
        if_refused: "LinkedIn signs with the app's client secret.",
        ..Preset::new(verify.into(), read)
    }
}

/// HubSpot's webhooks, signature v3: method, public URL, body and time, without anything between them.
pub(super) fn hubspot_v3() -> Preset {
    let verify = HmacRules {
        signed_content: "{method}{url}{body}{timestamp}".into(),
        timestamp_from: Some(TimestampFrom::Header("X-HubSpot-Request-Timestamp".into())),
        timestamp_unit: TimestampUnit::Milliseconds,
        ..over_body("X-HubSpot-Signature-v3", Encoding::Base64)
    };
    let read = ReadRules {
        records: "/*".into(),
        event_id: Some(at(["/eventId"])),
        // `object.*` is of any kind of object, which its type tells: 0-1 are contacts.
        event_type: Some(written("{/subscriptionType} {/objectTypeId} | /subscriptionType")),
        types: TypeTable {
            delete: texts(&[
                "contact.deletion",
                "contact.deletion 0-1",
                "contact.privacyDeletion",
                "contact.privacyDeletion 0-1",
                "object.deletion 0-1",
                "object.privacyDeletion 0-1",
            ]),
            thin: texts(&["contact.*", "object.* 0-1"]),
            ..TypeTable::default()
        },
        version: vec![at(["/occurredAt"])],
        delete_version: vec![at(["/occurredAt"])],
        times: TimeFormat::UnixMilliseconds,
        ..ReadRules::new(at(["/objectId"]))
    };
    Preset {
        if_refused: "HubSpot signs the URL that it calls, so server.public_url must be the beginning of that; it never \
                     repeats what was answered 401.",
        ..Preset::new(verify.into(), read)
    }
}
