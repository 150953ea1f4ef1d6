//! The presets, one function each. Facts of a lead system stand here and nowhere else.

mod forms;
mod generic;
mod platforms;
mod thin;

use std::time::Duration;

use super::Preset;
use crate::domain::envelope::{AttributeRules, Expression, ReadRules, TimeFormat, TypeTable};
use crate::domain::signature::{
    Algorithm, Encoding, HmacRules, SecretEncoding, SignatureFormat, TimestampFrom, TimestampUnit, VerifyRules,
};

/// Where a scheme has a timestamp: how far it may be from our clock.
const TOLERANCE: Duration = Duration::from_secs(300);

/// What is known of a lead system under this name.
pub fn preset(name: &str) -> Option<Preset> {
    Some(match name {
        "klozeo" => klozeo(),
        "standard-webhooks" => standard_webhooks(),
        "stripe" => platforms::stripe(),
        "github" => platforms::github(),
        "shopify" => platforms::shopify(),
        "intercom" => platforms::intercom(),
        "customerio" => platforms::customerio(),
        "segment" => platforms::segment(),
        "pipedrive" => platforms::pipedrive(),
        "salesforce" => platforms::salesforce(),
        "typeform" => forms::typeform(),
        "calendly" => forms::calendly(),
        "webflow" => forms::webflow(),
        "tally" => forms::tally(),
        "google-ads" => forms::google_ads(),
        "unbounce" => forms::unbounce(),
        "jotform" => forms::jotform(),
        "meta" => thin::meta(),
        "linkedin" => thin::linkedin(),
        "hubspot-v3" => thin::hubspot_v3(),
        "generic-header" => generic::header(),
        "generic-bearer" => generic::bearer(),
        "generic-query" => generic::query(),
        "custom" => Preset::default(),
        _ => return None,
    })
}

/// Klozeo: the body alone is signed, there is no event ID, and times are whole seconds.
fn klozeo() -> Preset {
    let read = ReadRules {
        event_type: Some(at(["/event"])),
        types: TypeTable {
            upsert: texts(&["lead.created", "lead.updated", "lead.scored"]),
            delete: texts(&["lead.deleted"]),
            ignore: texts(&["note.*"]),
            ..TypeTable::default()
        },
        lead: texts(&["/data"]),
        version: vec![at(["/data/updated_at", "/timestamp"]), at(["/data/last_interaction_at"]), at(["/timestamp"])],
        delete_version: vec![at(["/timestamp"])],
        // A new score leaves `updated_at` alone.
        field_versions: vec![("score".into(), vec![at(["/timestamp"])])],
        times: TimeFormat::UnixSeconds,
        attributes: vec![pairs("/attributes", "/name", "/value")],
        ..ReadRules::new(at(["/data/id"]))
    };
    Preset {
        lead_fields: &KLOZEO_FIELDS,
        if_refused: "A webhook that was made in Klozeo without a secret is not signed: make it again with one.",
        ..Preset::new(over_body("X-Klozeo-Signature", Encoding::Hex).into(), read)
    }
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
        signature_format: SignatureFormat::List("v1".into()),
        signed_content: "{id}.{timestamp}.{body}".into(),
        timestamp_from: Some(TimestampFrom::Header("webhook-timestamp".into())),
        id_from: Some("webhook-id".into()),
        secret_encoding: SecretEncoding::Base64 { strip: "whsec_".into() },
        ..over_body("webhook-signature", Encoding::Base64)
    };
    let read = ReadRules {
        event_id: Some(written("header:webhook-id")),
        event_type: Some(at(["/type"])),
        types: TypeTable {
            upsert: texts(&["*.created", "*.updated"]),
            delete: texts(&["*.deleted"]),
            ..TypeTable::default()
        },
        lead: texts(&["/data"]),
        version: vec![at(["/data/updated_at", "/timestamp"]), at(["/timestamp"])],
        delete_version: vec![at(["/timestamp"])],
        ..ReadRules::new(at(["/data/id"]))
    };
    Preset::new(verify.into(), read)
}

/// An HMAC-SHA256 over the body alone; the signature stands alone in its header.
fn over_body(signature_header: &str, encoding: Encoding) -> HmacRules {
    HmacRules {
        algorithm: Algorithm::Sha256,
        encoding,
        signature_header: signature_header.into(),
        signature_format: SignatureFormat::Plain,
        signed_content: "{body}".into(),
        timestamp_from: None,
        timestamp_unit: TimestampUnit::Seconds,
        tolerance: TOLERANCE,
        id_from: None,
        secret_encoding: SecretEncoding::Utf8,
    }
}

impl From<HmacRules> for VerifyRules {
    fn from(rules: HmacRules) -> Self {
        VerifyRules::Hmac(rules)
    }
}

/// The first of these pointers in the record that is present.
fn at<const N: usize>(pointers: [&str; N]) -> Expression {
    written(&pointers.join(" | "))
}

/// An expression as a configuration would say it.
fn written(text: &str) -> Expression {
    Expression::parse(text).expect("a test reads every preset")
}

fn pairs(list: &str, name: &str, value: &str) -> AttributeRules {
    AttributeRules { at: list.into(), name: written(name), value: written(value), wrapped: false, options: None }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::envelope::Reader;
    use crate::domain::signature::{SignedRequest, Verdict, Verifier};
    use crate::domain::time::Timestamp;
    use crate::domain::value::Value;
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
    fn every_published_case_is_judged_as_it_should_be_by_its_preset() {
        use base64::Engine as _;
        let file = Value::parse_json(include_bytes!("../../tests/it/fixtures/vectors.json")).unwrap();
        let Some(Value::List(vectors)) = file.pointer("/vectors") else { panic!("no vectors") };
        let (mut seen, mut judged) = (BTreeSet::new(), 0);
        for vector in vectors.iter().filter(|vector| vector.pointer("/handshake").is_none()) {
            let text = |pointer: &str| vector.pointer(pointer).and_then(Value::scalar_text);
            let id = text("/id").unwrap();
            let name = NAMES.into_iter().find(|name| id.starts_with(&format!("{name}-"))).unwrap();
            let verify = preset(name).unwrap().verify.unwrap();
            let verifier = Verifier::new(&verify, &[text("/secret").unwrap().to_owned()]).unwrap();
            let body = match text("/request/body_base64") {
                Some(encoded) => base64::engine::general_purpose::STANDARD.decode(encoded).unwrap(),
                None => text("/request/body").unwrap().as_bytes().to_vec(),
            };
            let Some(Value::Object(headers)) = vector.pointer("/request/headers") else { panic!("no headers") };
            let headers: Vec<(String, String)> =
                headers.iter().map(|(name, value)| (name.clone(), value.scalar_text().unwrap().to_owned())).collect();
            let url = text("/request/url");
            let request = SignedRequest {
                method: text("/request/method").unwrap(),
                url,
                headers: &headers,
                query: url.and_then(|url| url.split_once('?')).map(|(_, query)| query),
                path_token: None,
                body: &body,
            };
            let now = Timestamp::from_seconds(text("/now").unwrap().parse().unwrap());
            let expected = match text("/expect").unwrap() {
                "valid" => Verdict::Valid,
                "stale" => Verdict::Stale,
                _ => Verdict::Invalid,
            };
            assert_eq!(verifier.verify(&request, now).verdict, expected, "{id}");
            seen.insert(name);
            judged += 1;
        }
        let not_published: Vec<_> = NAMES.into_iter().filter(|name| !seen.contains(name)).collect();
        assert_eq!((judged, not_published.as_slice()), (57, &["salesforce", "unbounce", "jotform", "custom"][..]));
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
