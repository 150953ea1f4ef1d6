//! Presets of platforms that hold people: their customers, contacts and users.

use super::{at, over_body, pairs, texts, written};
use crate::domain::envelope::{AttributeRules, BodyRules, Expression, ReadRules, TimeFormat, TypeTable};
use crate::domain::signature::{
    Algorithm, Encoding, HandshakeKind, HmacRules, SignatureFormat, TimestampFrom, TokenLocation, TokenRules,
    VerifyRules,
};
use crate::source::Preset;

/// Stripe, and tools that copy its format: `t=…,v1=…`. The secret is used as it is shown, `whsec_` included.
pub(super) fn stripe() -> Preset {
    let verify = HmacRules {
        signature_format: SignatureFormat::KeyValue("v1".into()),
        signed_content: "{timestamp}.{body}".into(),
        timestamp_from: Some(TimestampFrom::KeyValue("t".into())),
        ..over_body("Stripe-Signature", Encoding::Hex)
    };
    let read = ReadRules {
        event_id: Some(at(["/id"])),
        event_type: Some(at(["/type"])),
        types: TypeTable {
            upsert: texts(&["customer.created", "customer.updated"]),
            delete: texts(&["customer.deleted"]),
            ..TypeTable::default()
        },
        lead: texts(&["/data/object"]),
        version: vec![at(["/created"])],
        delete_version: vec![at(["/created"])],
        times: TimeFormat::UnixSeconds,
        ..ReadRules::new(at(["/data/object/id"]))
    };
    Preset {
        if_refused: "Each endpoint of Stripe has a signing secret of its own: copy it whole, with whsec_.",
        ..Preset::new(verify.into(), read)
    }
}

/// GitHub, and senders that copy how it signs. Of GitHub's own events the lead is the person behind them.
pub(super) fn github() -> Preset {
    let verify = HmacRules {
        signature_format: SignatureFormat::Prefix("sha256=".into()),
        ..over_body("X-Hub-Signature-256", Encoding::Hex)
    };
    let read = ReadRules {
        event_id: Some(written("header:X-GitHub-Delivery")),
        event_type: Some(written("header:X-GitHub-Event")),
        types: TypeTable { upsert: texts(&["*"]), ignore: texts(&["ping"]), ..TypeTable::default() },
        lead: texts(&["/sender"]),
        ..ReadRules::new(at(["/sender/id"]))
    };
    Preset::new(verify.into(), read)
}

/// Shopify: retries carry the old payload, so its own `updated_at` says which is newer.
pub(super) fn shopify() -> Preset {
    let read = ReadRules {
        event_id: Some(written("header:X-Shopify-Event-Id")),
        event_type: Some(written("header:X-Shopify-Topic")),
        types: TypeTable {
            upsert: texts(&["customers/create", "customers/update", "customers/enable", "customers/disable"]),
            delete: texts(&["customers/delete"]),
            ..TypeTable::default()
        },
        version: vec![written("/updated_at | header:X-Shopify-Triggered-At")],
        delete_version: vec![written("header:X-Shopify-Triggered-At | /updated_at")],
        ..ReadRules::new(at(["/id"]))
    };
    Preset {
        if_refused: "Shopify signs with the app's client secret, not with its API key.",
        ..Preset::new(over_body("X-Shopify-Hmac-SHA256", Encoding::Base64).into(), read)
    }
}

/// Intercom: SHA-1 over the body. `delivery_attempts` changes with each retry, so only `/id` tells a repeat.
pub(super) fn intercom() -> Preset {
    let verify = HmacRules {
        algorithm: Algorithm::Sha1,
        signature_format: SignatureFormat::Prefix("sha1=".into()),
        ..over_body("X-Hub-Signature", Encoding::Hex)
    };
    let read = ReadRules {
        event_id: Some(at(["/id"])),
        event_type: Some(at(["/topic"])),
        types: TypeTable {
            upsert: texts(&[
                "contact.created",
                "contact.updated",
                "contact.lead.created",
                "contact.lead.updated",
                "contact.lead.added_email",
                "contact.lead.signed_up",
                "contact.user.created",
                "contact.user.updated",
                "contact.email.updated",
            ]),
            delete: texts(&["contact.deleted"]),
            ignore: texts(&["ping"]),
            ..TypeTable::default()
        },
        lead: texts(&["/data/item"]),
        version: vec![at(["/data/item/updated_at", "/created_at"]), at(["/created_at"])],
        delete_version: vec![at(["/created_at"])],
        times: TimeFormat::UnixSeconds,
        attributes: vec![pairs("/custom_attributes", "/name", "/value")],
        ..ReadRules::new(at(["/data/item/id"]))
    };
    Preset {
        handshake: Some(HandshakeKind::Intercom),
        if_refused: "Intercom signs with the app's client secret.",
        ..Preset::new(verify.into(), read)
    }
}

/// Customer.io's reporting webhooks: what happened to a person.
pub(super) fn customerio() -> Preset {
    let verify = HmacRules {
        signed_content: "v0:{timestamp}:{body}".into(),
        timestamp_from: Some(TimestampFrom::Header("X-CIO-Timestamp".into())),
        ..over_body("X-CIO-Signature", Encoding::Hex)
    };
    let read = ReadRules {
        event_id: Some(at(["/event_id"])),
        event_type: Some(written("{/object_type}.{/metric}")),
        types: TypeTable { upsert: texts(&["customer.*"]), ..TypeTable::default() },
        lead: texts(&["/data"]),
        version: vec![at(["/timestamp"])],
        times: TimeFormat::UnixSeconds,
        attributes: vec![pairs("/identifiers", "/name", "/value")],
        // What happened: `subscribed`, `unsubscribed`, …
        fields: vec![("metric".into(), at(["/metric"]))],
        ..ReadRules::new(at(["/data/identifiers/cio_id", "/data/customer_id", "/data/identifiers/id"]))
    };
    Preset::new(verify.into(), read)
}

/// Segment: SHA-1, and of a batch only the first event is signed, so that no batch is proven.
pub(super) fn segment() -> Preset {
    let verify = HmacRules { algorithm: Algorithm::Sha1, ..over_body("X-Signature", Encoding::Hex) };
    let read = ReadRules {
        event_id: Some(at(["/messageId"])),
        event_type: Some(at(["/type"])),
        types: TypeTable { upsert: texts(&["identify"]), ..TypeTable::default() },
        lead: texts(&["/traits"]),
        version: vec![at(["/timestamp"])],
        ..ReadRules::new(at(["/userId", "/anonymousId"]))
    };
    Preset {
        if_refused: "Segment signs only the first event of a batch, so batches are refused: set the batch size to 1.",
        ..Preset::new(verify.into(), read)
    }
}

/// Pipedrive's webhooks v2, with HTTP Basic alone. Persons are leads; its "leads" only point at a person.
pub(super) fn pipedrive() -> Preset {
    let verify = VerifyRules::Token(TokenRules { location: TokenLocation::Basic });
    let read = ReadRules {
        event_id: Some(at(["/meta/id"])),
        event_type: Some(written("{/meta/entity}.{/meta/action}")),
        types: TypeTable {
            upsert: texts(&["person.create", "person.change"]),
            delete: texts(&["person.delete"]),
            ..TypeTable::default()
        },
        lead: texts(&["/data"]),
        version: vec![at(["/data/update_time", "/meta/timestamp"]), at(["/meta/timestamp"])],
        delete_version: vec![at(["/meta/timestamp"])],
        attributes: vec![
            // {"KEY": {"type": …, "value": …}}; of a choice its ID, of several choices theirs.
            AttributeRules { wrapped: true, ..pairs("/custom_fields", "/name", "/value | /id | /values") },
            pairs("/emails", "email_{/label}", "/value"),
            pairs("/phones", "phone_{/label}", "/value"),
        ],
        fields: vec![("email".into(), primary("emails", "email")), ("phone".into(), primary("phones", "phone"))],
        ..ReadRules::new(at(["/meta/entity_id"]))
    };
    Preset {
        if_refused: "Write the secret as \"user:password\", and enter both in Pipedrive's webhook.",
        ..Preset::new(verify, read)
    }
}

/// The value that is marked as the primary one, else the first; the list itself where nothing is in it any more.
fn primary(list: &str, former: &str) -> Expression {
    written(&format!("find(/data/{list}, /primary = true, /value) | /data/{list}/0/value | /data/{former}/0/value"))
}

/// Salesforce's outbound messages: SOAP with up to a hundred notifications, unsigned, so the secret stands in the URL. It
/// sends the record's newest state, whatever changed, and not in order.
pub(super) fn salesforce() -> Preset {
    let location = TokenLocation::Query { name: "token".into() };
    let read = ReadRules {
        bodies: BodyRules { xml: true, ..BodyRules::default() },
        records: "/Envelope/Body/notifications/Notification/*".into(),
        event_id: Some(at(["/Id"])),
        lead: texts(&["/sObject"]),
        version: vec![at(["/sObject/SystemModstamp", "/sObject/LastModifiedDate"])],
        // The session of the user whose change it was, where the message is set up to carry it.
        not_stored: texts(&["/Envelope/Body/notifications/SessionId"]),
        ..ReadRules::new(at(["/sObject/Id"]))
    };
    Preset {
        if_refused: "The outbound message's endpoint URL must end with ?token= and the secret.",
        wants_soap: true,
        ..Preset::new(VerifyRules::Token(TokenRules { location }), read)
    }
}
