//! A plan as what is announced and sent.

use std::collections::BTreeMap;

use super::batch::Planned;
use super::lease::Lease;
use crate::crm::{CrmError, RecordWrite, WriteResult};
use crate::domain::ids::{ObjectName, RecordRef, RequestId};
use crate::domain::matching::MatchedBy;
use crate::domain::plan::{Action, Link};
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

/// The object that a plan writes and, unless it creates one, the record.
fn target(action: &Action) -> (&ObjectName, Option<&RecordRef>) {
    match action {
        Action::Create { object, .. } => (object, None),
        Action::Update { record, .. } | Action::Delete { record, .. } => (&record.object, Some(record)),
        Action::Unchanged
        | Action::Hold { .. }
        | Action::Skip { .. }
        | Action::Forget { .. }
        | Action::Refuse { .. } => {
            unreachable!("only plans that write are announced")
        }
    }
}

/// One plan's write as it is announced.
pub(super) fn announced_write(planned: &Planned, fingerprint: &str) -> AnnouncedWrite {
    let (object, record) = target(&planned.plan.action);
    AnnouncedWrite {
        lead: planned.member.lead.key.clone(),
        object: object.clone(),
        record: record.cloned(),
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
                Link { owner, bases, kept, fingerprint: fingerprint.to_owned(), ..Link::to(record, matched_by) },
                None,
            ))
        }
    }
}

/// What is sent for one plan that writes.
pub(super) fn record_write(planned: &Planned) -> RecordWrite {
    let action = &planned.plan.action;
    let (object, record) = target(action);
    let (fields, unmodified_since) = match action {
        Action::Create { fields, .. } => (fields.clone(), None),
        Action::Update { fields, .. } => (fields.clone(), planned.plan.unmodified_since),
        _ => (BTreeMap::new(), None),
    };
    RecordWrite {
        object: object.clone(),
        id: record.map(|record| record.id.clone()),
        fields,
        delete: matches!(action, Action::Delete { .. }),
        unmodified_since,
        duplicates: planned.duplicates,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{FieldName, LeadKey};
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
        Link { bases, revision: 7, ..Link::to(record(), MatchedBy::Link) }
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
        let job = ClaimedJob::new(key.clone(), Timestamp::from_seconds(1));
        let work = Work { link, intents: vec![intent], ..Work::of(key.clone()) };
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
