//! Updates that hold only while their records are as they were read: each a part of the composite, with a condition.

use std::collections::{BTreeMap, HashMap};

use super::{AUTO_ASSIGN, Verdict, is_conditional, kept_json, record_path};
use crate::crm::salesforce::transport::Answer;
use crate::crm::salesforce::wire::{self, Row, Subanswer, Subrequest, SubrequestBody};
use crate::crm::salesforce::{Salesforce, classify};
use crate::crm::{CrmError, RecordWrite, WriteRequest};

/// The conditional updates of one call, by their places in the request.
pub(super) struct Updates<'a> {
    updates: Vec<(usize, &'a RecordWrite, Row)>,
}

impl<'a> Updates<'a> {
    pub fn of(request: &'a WriteRequest) -> Self {
        let writes = request.writes.iter().enumerate().filter(|(_, write)| is_conditional(write));
        Self { updates: writes.map(|(place, write)| (place, write, fields_of(write))).collect() }
    }

    pub fn subrequests(&self, crm: &Salesforce) -> impl Iterator<Item = Subrequest<'_>> {
        self.updates.iter().filter_map(|(place, write, fields)| {
            let mut http_headers = BTreeMap::from([(AUTO_ASSIGN, "FALSE".to_owned())]);
            let since = write.unmodified_since.and_then(wire::header_date);
            http_headers.extend(since.map(|since| ("If-Unmodified-Since", since)));
            Some(Subrequest {
                method: "PATCH",
                url: record_path(crm, write, write.id.as_ref()?),
                reference_id: reference(*place),
                http_headers,
                body: Some(SubrequestBody::Record(fields)),
            })
        })
    }

    /// One verdict for each of them, with its place in the request.
    pub fn verdicts(&self, answers: &HashMap<&str, &Subanswer>, outer: &Answer) -> Vec<(usize, Verdict)> {
        let verdict = |place: &usize| match answers.get(reference(*place).as_str()) {
            Some(part) => of_part(part, outer),
            None => Verdict {
                status: outer.status,
                body: kept_json(b"null"),
                saved: Err(CrmError::Unknown { detail: "the answer lacks this part of the request".into() }),
            },
        };
        self.updates.iter().map(|(place, ..)| (*place, verdict(place))).collect()
    }
}

fn reference(place: usize) -> String {
    format!("update{place}")
}

/// The body: the record is named in the address.
fn fields_of(write: &RecordWrite) -> Row {
    write.fields.iter().map(|(field, value)| (field.as_str().to_owned(), wire::to_json(value))).collect()
}

fn of_part(part: &Subanswer, outer: &Answer) -> Verdict {
    let (status, body) = (part.http_status_code, part.bytes());
    let saved = match status {
        200..=299 => Ok(None),
        _ => {
            let errors = classify::read_errors(body);
            Err(if errors.is_empty() && status >= 500 {
                CrmError::Unknown { detail: "this part of the request failed without an error code".into() }
            } else {
                classify::classify(status, outer.retry_after, &errors)
            })
        }
    };
    Verdict { status, body: kept_json(body), saved }
}
