//! A plan as what is announced and sent.

use std::collections::BTreeMap;

use super::batch::Planned;
use crate::crm::RecordWrite;
use crate::domain::ids::RecordRef;
use crate::domain::matching::MatchedBy;
use crate::domain::plan::{Action, LeftOut, Link};
use crate::store::AnnouncedWrite;

/// One plan's write as it is announced.
pub(super) fn announced_write(planned: &Planned, fingerprint: &str) -> AnnouncedWrite {
    let write = record_write(planned);
    let record = write.id.map(|id| RecordRef { object: write.object.clone(), id });
    AnnouncedWrite {
        lead: planned.member.lead.key.clone(),
        object: write.object,
        record,
        rows: planned.plan.announced.clone(),
        known: known_before(planned, fingerprint),
        decisions: planned.plan.decisions.clone(),
    }
}

/// The link as the look found it, where earlier writes without an answer made it another than is stored.
fn known_before(planned: &Planned, fingerprint: &str) -> Option<(Link, Option<i64>)> {
    let (work, plan) = (&planned.member.work, &planned.plan);
    let (record, matched_by) = plan.matched.clone().filter(|_| !work.intents.is_empty())?;
    match &work.link {
        // Without a base it took the record over from another lead, and stays so until its key is written.
        Some(link) if link.record != record || link.bases.is_empty() || link.bases == plan.bases => None,
        Some(link) => Some((Link { bases: plan.bases.clone(), ..link.clone() }, Some(link.revision))),
        // Only our own record is linked before its write is settled.
        None if matched_by != MatchedBy::ExternalId => None,
        None => {
            let (owner, bases, kept) = (plan.owner, plan.bases.clone(), BTreeMap::new());
            Some((
                Link {
                    record,
                    matched_by,
                    owner,
                    bases,
                    kept,
                    left_out: LeftOut::new(),
                    fingerprint: fingerprint.to_owned(),
                    revision: 0,
                },
                None,
            ))
        }
    }
}

/// What is sent for one plan that writes.
pub(super) fn record_write(planned: &Planned) -> RecordWrite {
    match &planned.plan.action {
        Action::Create { object, fields } => RecordWrite { object: object.clone(), id: None, fields: fields.clone() },
        Action::Update { record, fields } => {
            RecordWrite { object: record.object.clone(), id: Some(record.id.clone()), fields: fields.clone() }
        }
        Action::Unchanged | Action::Hold { .. } | Action::Skip { .. } | Action::Refuse { .. } => {
            unreachable!("only plans that write are announced")
        }
    }
}
