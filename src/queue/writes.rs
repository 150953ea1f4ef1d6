//! A plan as what is announced and sent.

use std::collections::BTreeMap;

use super::batch::Planned;
use super::lease::Lease;
use crate::crm::{CrmError, RecordWrite, WriteResult};
use crate::domain::ids::RequestId;
use crate::domain::matching::MatchedBy;
use crate::domain::plan::{Action, LeftOut, Link};
use crate::domain::time::Timestamp;
use crate::store::{AnnouncedWrite, IntentId};

/// What was sent in one call, and what came back.
pub(super) struct Sent {
    pub call: Call,
    pub planned: Vec<Planned>,
    pub intents: Vec<IntentId>,
    pub results: Vec<WriteResult>,
}

/// One write of many leads.
pub(super) struct Call {
    pub request_id: RequestId,
    pub sent_at: Timestamp,
    /// Under which it was announced.
    pub lease: Lease,
    /// What it cost of the allowance: more than one where it was sent in parts.
    pub calls: u32,
}

impl Sent {
    pub fn is_refused_as_a_whole(&self) -> bool {
        self.results.iter().all(|result| matches!(result.outcome, Err(CrmError::Collateral { .. })))
    }
}

/// One plan's write as it is announced.
pub(super) fn announced_write(planned: &Planned, fingerprint: &str) -> AnnouncedWrite {
    let (object, record) = match &planned.plan.action {
        Action::Update { record, .. } | Action::Delete { record, .. } => (&record.object, Some(record.clone())),
        Action::Create { object, .. } => (object, None),
        Action::Unchanged
        | Action::Hold { .. }
        | Action::Skip { .. }
        | Action::Forget { .. }
        | Action::Refuse { .. } => {
            unreachable!("only plans that write are announced")
        }
    };
    AnnouncedWrite {
        lead: planned.member.lead.key.clone(),
        object: object.clone(),
        record,
        keys: planned.member.in_hand.clone(),
        rows: planned.plan.announced.clone(),
        known: known_before(planned, fingerprint),
        decisions: planned.plan.decisions.clone(),
    }
}

/// The link as the look found it, where earlier writes without an answer made it another than is stored.
pub(super) fn known_before(planned: &Planned, fingerprint: &str) -> Option<(Link, Option<i64>)> {
    let (work, plan) = (&planned.member.work, &planned.plan);
    let (record, matched_by) = plan.matched.clone().filter(|_| !work.intents.is_empty())?;
    match &work.link {
        Some(link) if link.record != record || link.bases == plan.bases => None,
        Some(link) => Some((Link { bases: plan.bases.clone(), ..link.clone() }, Some(link.revision))),
        // Only our own record is linked before its write is settled.
        None if matched_by != MatchedBy::ExternalId => None,
        None => {
            let (owner, bases, kept) = (plan.owner, plan.bases.clone(), plan.kept.clone());
            Some((
                Link {
                    record,
                    matched_by,
                    owner,
                    bases,
                    kept,
                    left_out: LeftOut::new(),
                    in_doubt: None,
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
    let duplicates = planned.duplicates;
    match &planned.plan.action {
        Action::Create { object, fields } => RecordWrite {
            object: object.clone(),
            id: None,
            fields: fields.clone(),
            delete: false,
            unmodified_since: None,
            duplicates,
        },
        Action::Update { record, fields } => {
            let (object, id) = (record.object.clone(), Some(record.id.clone()));
            let unmodified_since = planned.plan.unmodified_since;
            RecordWrite { object, id, fields: fields.clone(), delete: false, unmodified_since, duplicates }
        }
        Action::Delete { record, .. } => {
            let (object, id) = (record.object.clone(), Some(record.id.clone()));
            RecordWrite { object, id, fields: BTreeMap::new(), delete: true, unmodified_since: None, duplicates }
        }
        Action::Unchanged
        | Action::Hold { .. }
        | Action::Skip { .. }
        | Action::Forget { .. }
        | Action::Refuse { .. } => {
            unreachable!("only plans that write are announced")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{FieldName, LeadKey, RecordRef};
    use crate::domain::job::{Class, Lane};
    use crate::domain::lead::Lead;
    use crate::domain::matching::MatchKeys;
    use crate::domain::plan::{BasePair, Intent, OwnKeys, SyncPlan};
    use crate::domain::record::CrmValue;
    use crate::domain::time::Timestamp;
    use crate::queue::batch::Member;
    use crate::store::{ClaimedJob, Work};

    fn bases(city: &str) -> BTreeMap<FieldName, BasePair> {
        let city = CrmValue::Text(city.to_owned());
        BTreeMap::from([("City".into(), BasePair { lead: city.clone(), crm: city })])
    }

    fn record() -> RecordRef {
        RecordRef { object: "Lead".into(), id: "00Q1".into() }
    }

    fn link(bases: BTreeMap<FieldName, BasePair>) -> Link {
        let (kept, left_out) = (BTreeMap::new(), LeftOut::new());
        let fingerprint = "f".to_owned();
        Link {
            record: record(),
            matched_by: MatchedBy::Link,
            owner: true,
            bases,
            kept,
            left_out,
            in_doubt: None,
            fingerprint,
            revision: 7,
        }
    }

    /// A plan for a lead with one write without an answer, whose look made Bonn of it.
    fn planned(link: Option<Link>, matched_by: MatchedBy) -> Planned {
        let key = LeadKey::new("klozeo", "cl_1");
        let intent = Intent {
            id: 1,
            request_id: "r".into(),
            object: "Lead".into(),
            record: Some(record()),
            rows: bases("Bonn"),
            announced_at: Timestamp::from_seconds(1),
        };
        let job = ClaimedJob {
            lead: key.clone(),
            lane: Lane::First,
            class: Class::Live,
            attempt: 1,
            wanted: 1,
            owed_since: Timestamp::from_seconds(1),
            first_failed_at: None,
            last_error: None,
            suspicion: 0,
            refusal: None,
            forced: false,
            lease_expired: false,
        };
        let work = Work {
            key: key.clone(),
            excluded: false,
            lead: None,
            unfolded: Vec::new(),
            more_events: false,
            link,
            intents: vec![intent],
            resolutions: Vec::new(),
            open_conflicts: Vec::new(),
        };
        let plan = SyncPlan {
            matched: Some((record(), matched_by)),
            owner: true,
            bases: bases("Bonn"),
            ..SyncPlan::without_record(Action::Update { record: record(), fields: BTreeMap::new() })
        };
        let own = OwnKeys { now: "cl_1".to_owned(), ..OwnKeys::default() };
        let member = Member { job, lead: Lead::new(key), work, own, keys: MatchKeys::default(), in_hand: Vec::new() };
        Planned::of(member, plan)
    }

    #[test]
    fn what_the_look_found_goes_with_the_announcement_where_it_is_news_of_our_own_record() {
        let check = |planned: &Planned, expected: Option<Option<i64>>| {
            let announced = announced_write(planned, "f").known;
            assert_eq!(announced.as_ref().map(|(_, planned_with)| *planned_with), expected);
            assert!(announced.is_none_or(|(link, _)| link.bases == bases("Bonn") && link.record == record()));
        };
        check(&planned(Some(link(bases("Berlin"))), MatchedBy::Link), Some(Some(7)));
        check(&planned(Some(link(bases("Bonn"))), MatchedBy::Link), None);
        check(&planned(None, MatchedBy::ExternalId), Some(None));
        // It may be somebody else's until our key is written.
        check(&planned(None, MatchedBy::Email), None);
        // An heir stays one until its key is written.
        let heir = Link { fingerprint: String::new(), ..link(BTreeMap::new()) };
        let announced = announced_write(&planned(Some(heir), MatchedBy::Link), "f").known;
        assert!(announced.is_some_and(|(link, _)| link.is_inherited() && link.bases == bases("Bonn")));
        let mut without_doubt = planned(Some(link(bases("Berlin"))), MatchedBy::Link);
        without_doubt.member.work.intents.clear();
        check(&without_doubt, None);
    }
}
