//! Presets of tools with forms: every submission is a lead.

use super::{at, over_body, pairs, texts, written};
use crate::domain::envelope::{AttributeRules, BodyRules, OptionRules, ReadRules, TypeTable};
use crate::domain::signature::{
    Encoding, HmacRules, SignatureFormat, TimestampFrom, TimestampUnit, TokenLocation, TokenRules, VerifyRules,
};
use crate::source::Preset;

/// Typeform: answers by the reference of their question.
pub(super) fn typeform() -> Preset {
    let verify = HmacRules {
        signature_format: SignatureFormat::Prefix("sha256=".into()),
        ..over_body("Typeform-Signature", Encoding::Base64)
    };
    // Which of them is there depends on the answer's `type`.
    let value = "/text | /email | /phone_number | /number | /boolean | /date | /url | /file_url | /choice/label | \
                 /choice/other | /choices/labels | /choices/other | /payment";
    let read = ReadRules {
        event_id: Some(at(["/event_id"])),
        event_type: Some(at(["/event_type"])),
        types: TypeTable {
            upsert: texts(&["form_response"]),
            ignore: texts(&["form_response_partial"]),
            ..TypeTable::default()
        },
        lead: texts(&["/form_response"]),
        version: vec![at(["/form_response/submitted_at"])],
        attributes: vec![
            pairs("/hidden", "/name", "/value"),
            pairs("/answers", "/field/ref | /field/id", value),
            // What somebody wrote beside the choices that are listed.
            pairs("/answers", "{/field/ref} (other) | {/field/id} (other)", "/choices/other"),
        ],
        ..ReadRules::new(at(["/form_response/token"]))
    };
    Preset {
        if_refused: "A webhook of Typeform is signed once a secret is set in its settings.",
        ..Preset::new(verify.into(), read)
    }
}

/// Calendly: no event ID, so what happened to which invitee and when is one.
pub(super) fn calendly() -> Preset {
    let verify = HmacRules {
        signature_format: SignatureFormat::KeyValue("v1".into()),
        signed_content: "{timestamp}.{body}".into(),
        timestamp_from: Some(TimestampFrom::KeyValue("t".into())),
        tolerance: std::time::Duration::from_secs(180),
        ..over_body("Calendly-Webhook-Signature", Encoding::Hex)
    };
    let read = ReadRules {
        event_id: Some(written("{/event} {/payload/uri} {/created_at}")),
        event_type: Some(at(["/event"])),
        types: TypeTable {
            upsert: texts(&["invitee.created", "invitee.canceled", "routing_form_submission.created"]),
            ..TypeTable::default()
        },
        lead: texts(&["/payload"]),
        version: vec![at(["/created_at"])],
        attributes: vec![
            pairs("/tracking", "/name", "/value"),
            pairs("/questions_and_answers", "/question", "/answer"),
        ],
        ..ReadRules::new(at(["/payload/uri"]))
    };
    Preset {
        if_refused: "Each subscription of Calendly has a signing key of its own, given when it is made.",
        ..Preset::new(verify.into(), read)
    }
}

/// Webflow: fields by their labels.
pub(super) fn webflow() -> Preset {
    let verify = HmacRules {
        signed_content: "{timestamp}:{body}".into(),
        timestamp_from: Some(TimestampFrom::Header("x-webflow-timestamp".into())),
        timestamp_unit: TimestampUnit::Milliseconds,
        ..over_body("x-webflow-signature", Encoding::Hex)
    };
    let read = ReadRules {
        event_id: Some(at(["/payload/id"])),
        event_type: Some(at(["/triggerType"])),
        types: TypeTable { upsert: texts(&["form_submission"]), ..TypeTable::default() },
        lead: texts(&["/payload/data"]),
        version: vec![at(["/payload/submittedAt"])],
        // One webhook serves all forms of a site.
        fields: vec![("formName".into(), at(["/payload/name"]))],
        ..ReadRules::new(at(["/payload/id"]))
    };
    Preset {
        if_refused: "Webflow signs only webhooks that were made by an app or through its API, not in the dashboard.",
        ..Preset::new(verify.into(), read)
    }
}

/// Tally: fields by their labels; of choices the IDs are sent, with a list of what they stand for.
pub(super) fn tally() -> Preset {
    let fields = AttributeRules {
        options: Some(OptionRules { at: "/options".into(), id: "/id".into(), text: "/text".into() }),
        ..pairs("/fields", "/label | /key", "/value")
    };
    let read = ReadRules {
        event_id: Some(at(["/eventId"])),
        event_type: Some(at(["/eventType"])),
        types: TypeTable { upsert: texts(&["FORM_RESPONSE"]), ..TypeTable::default() },
        lead: texts(&["/data"]),
        version: vec![at(["/createdAt"])],
        attributes: vec![fields],
        unwrap_single: true,
        ..ReadRules::new(at(["/data/responseId"]))
    };
    Preset {
        if_refused: "Tally signs only where a signing secret is set in the webhook's settings.",
        ..Preset::new(over_body("Tally-Signature", Encoding::Base64).into(), read)
    }
}

/// Google Ads lead forms: the key stands in the body, and test leads reach no CRM.
pub(super) fn google_ads() -> Preset {
    let location = TokenLocation::Body { pointer: "/google_key".into() };
    let read = ReadRules {
        event_id: Some(at(["/lead_id"])),
        event_type: Some(written("is_test={/is_test} | =lead")),
        types: TypeTable {
            upsert: texts(&["lead", "is_test=false"]),
            ignore: texts(&["is_test=true"]),
            ..TypeTable::default()
        },
        version: vec![at(["/lead_submit_time"])],
        attributes: vec![pairs("/user_column_data", "/column_id | /column_name", "/string_value")],
        ..ReadRules::new(at(["/lead_id"]))
    };
    Preset {
        if_refused: "The key in the lead form's webhook settings must be the secret.",
        ..Preset::new(VerifyRules::Token(TokenRules { location }), read)
    }
}

/// Unbounce: nothing is signed, every value is a list of one, the time is in two fields, and there is no ID at all.
pub(super) fn unbounce() -> Preset {
    let location = TokenLocation::Header { name: "X-Relay-Token".into(), prefix: String::new() };
    let read = ReadRules {
        bodies: BodyRules { form: true, json_fields: texts(&["data.json"]), ..BodyRules::default() },
        lead: texts(&["/data.json", ""]),
        version: vec![written(
            "{/data.json/date_submitted} {/data.json/time_submitted} | {/date_submitted} {/time_submitted}",
        )],
        time_pattern: Some("%Y-%m-%d %I:%M %p UTC".into()),
        fields: ["page_url", "page_name", "page_id"]
            .map(|name| (name.to_owned(), written(&format!("/data.json/{name} | /{name}"))))
            .to_vec(),
        unwrap_single: true,
        ..ReadRules::new(written("sha256:/data.json | sha256:"))
    };
    Preset {
        if_refused: "Give the webhook in Unbounce the custom header X-Relay-Token with the secret.",
        ..Preset::new(VerifyRules::Token(TokenRules { location }), read)
    }
}

/// Jotform: a multipart form with the answers as JSON in one of its fields; the secret stands in the URL.
pub(super) fn jotform() -> Preset {
    let location = TokenLocation::Query { name: "token".into() };
    let read = ReadRules {
        bodies: BodyRules { form: true, multipart: true, json_fields: texts(&["rawRequest"]), ..BodyRules::default() },
        event_id: Some(at(["/submissionID"])),
        lead: texts(&["/rawRequest"]),
        fields: vec![("formID".into(), at(["/formID"])), ("formTitle".into(), at(["/formTitle"]))],
        ..ReadRules::new(at(["/submissionID"]))
    };
    Preset {
        if_refused: "The webhook's URL in Jotform must end with ?token= and the secret.",
        ..Preset::new(VerifyRules::Token(TokenRules { location }), read)
    }
}
