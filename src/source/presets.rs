//! The presets, one function each. Facts of a lead system stand here and nowhere else.

use std::time::Duration;

use super::Preset;
use crate::domain::envelope::{AttributeRules, Expression, PayloadKind, ReadRules, Term, TimeFormat, TypeTable};
use crate::domain::signature::{
    Algorithm, Encoding, HmacRules, SecretEncoding, SignatureFormat, TimestampFrom, TimestampUnit, VerifyRules,
};

/// Where a scheme has a timestamp: how far it may be from our clock.
const TOLERANCE: Duration = Duration::from_secs(300);

/// What is known of a lead system under this name.
pub fn preset(name: &str) -> Option<Preset> {
    match name {
        "klozeo" => Some(klozeo()),
        "standard-webhooks" => Some(standard_webhooks()),
        "custom" => Some(Preset { verify: None, read: None, lead_fields: &[] }),
        _ => None,
    }
}

/// Klozeo: the body alone is signed, there is no event ID, and times are whole seconds.
fn klozeo() -> Preset {
    let verify = HmacRules {
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        signature_header: "X-Klozeo-Signature".into(),
        signature_format: SignatureFormat::Plain,
        signed_content: "{body}".into(),
        timestamp_from: None,
        timestamp_unit: TimestampUnit::Seconds,
        tolerance: TOLERANCE,
        id_from: None,
        secret_encoding: SecretEncoding::Utf8,
    };
    let read = ReadRules {
        records: String::new(),
        event_id: None,
        event_type: Some(at(["/event"])),
        types: TypeTable {
            upsert: texts(&["lead.created", "lead.updated", "lead.scored"]),
            delete: texts(&["lead.deleted"]),
            ignore: texts(&["note.*"]),
        },
        lead: "/data".into(),
        lead_id: at(["/data/id"]),
        version: vec![at(["/data/updated_at", "/timestamp"]), at(["/data/last_interaction_at"]), at(["/timestamp"])],
        delete_version: vec![at(["/timestamp"])],
        // A new score leaves `updated_at` alone.
        field_versions: vec![("score".into(), vec![at(["/timestamp"])])],
        times: TimeFormat::UnixSeconds,
        attributes: Some(AttributeRules { at: "/attributes".into(), name: "/name".into(), value: "/value".into() }),
        payload: PayloadKind::Patch,
        unwrap_single: false,
    };
    Preset { verify: Some(VerifyRules::Hmac(verify)), read: Some(read), lead_fields: &KLOZEO_FIELDS }
}

const KLOZEO_FIELDS: [&str; 25] = [
    "id",
    "name",
    "source",
    "score",
    "description",
    "address",
    "city",
    "state",
    "country",
    "postal_code",
    "latitude",
    "longitude",
    "phone",
    "email",
    "website",
    "rating",
    "review_count",
    "category",
    "tags",
    "source_id",
    "logo_url",
    "status",
    "created_at",
    "updated_at",
    "last_interaction_at",
];

/// Any sender that follows the Standard Webhooks specification.
fn standard_webhooks() -> Preset {
    let verify = HmacRules {
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Base64,
        signature_header: "webhook-signature".into(),
        signature_format: SignatureFormat::List("v1".into()),
        signed_content: "{id}.{timestamp}.{body}".into(),
        timestamp_from: Some(TimestampFrom::Header("webhook-timestamp".into())),
        timestamp_unit: TimestampUnit::Seconds,
        tolerance: TOLERANCE,
        id_from: Some("webhook-id".into()),
        secret_encoding: SecretEncoding::Base64 { strip: "whsec_".into() },
    };
    let read = ReadRules {
        records: String::new(),
        event_id: Some(Expression { alternatives: vec![Term::Header("webhook-id".into())] }),
        event_type: Some(at(["/type"])),
        types: TypeTable {
            upsert: texts(&["*.created", "*.updated"]),
            delete: texts(&["*.deleted"]),
            ignore: Vec::new(),
        },
        lead: "/data".into(),
        lead_id: at(["/data/id"]),
        version: vec![at(["/data/updated_at", "/timestamp"]), at(["/timestamp"])],
        delete_version: vec![at(["/timestamp"])],
        field_versions: Vec::new(),
        times: TimeFormat::Rfc3339,
        attributes: None,
        payload: PayloadKind::Patch,
        unwrap_single: false,
    };
    Preset { verify: Some(VerifyRules::Hmac(verify)), read: Some(read), lead_fields: &[] }
}

/// The first of these pointers in the record that is present.
fn at<const N: usize>(pointers: [&str; N]) -> Expression {
    Expression { alternatives: pointers.iter().map(|pointer| Term::Record((*pointer).to_owned())).collect() }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::envelope::Reader;
    use crate::domain::signature::Verifier;
    use crate::source::NAMES;

    #[test]
    fn every_name_has_a_preset_that_can_be_used() {
        for name in NAMES {
            let preset = preset(name).unwrap();
            if let (Some(verify), Some(read)) = (preset.verify, preset.read) {
                assert!(Verifier::new(&verify, &["whsec_bGVhZHJlbGF5LXRlc3Q=".to_owned()]).is_ok(), "{name}");
                assert!(Reader::new(read).is_ok(), "{name}");
            } else {
                assert_eq!(name, "custom");
            }
        }
        assert_eq!(preset("klozeoo"), None);
    }

    #[test]
    fn the_presets_are_what_the_documented_expressions_say() {
        let read = preset("klozeo").unwrap().read.unwrap();
        let written = ["/data/updated_at | /timestamp", "/data/last_interaction_at", "/timestamp"];
        assert_eq!(read.version, written.map(|text| Expression::parse(text).unwrap()));
        let read = preset("standard-webhooks").unwrap().read.unwrap();
        assert_eq!(read.event_id, Expression::parse("header:webhook-id").ok());
        assert_eq!(Reader::new(read).unwrap().header_names(), ["webhook-id"]);
    }
}
