//! Opportunities of a batch's leads: their blanks are filled in one call for all, and no lead's own record waits for that.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::{Batch, Planned, Report};
use super::beside::{Done, Owed};
use super::keys::{self, InHand};
use super::settle::Settling;
use crate::crm::{CrmError, OnDuplicate, RecordWrite};
use crate::domain::ids::{FieldName, RecordRef};
use crate::domain::matching::MatchedBy;
use crate::domain::plan::{BasePair, Decision, OpportunityPlan};
use crate::domain::record::CrmValue;
use crate::domain::time::Timestamp;
use crate::store::{AnnouncedWrite, NewLogRow, Operation, Outcome, StoreResult};

/// Under which the log tells of an opportunity that is no longer there.
const GONE: &str = "opportunity_gone";

/// One opportunity to be filled.
#[derive(Debug)]
pub(super) struct Fill {
    record: RecordRef,
    fields: BTreeMap<FieldName, CrmValue>,
    decisions: Vec<Decision>,
    /// It was read so: what somebody fills in meanwhile stays.
    unmodified_since: Option<Timestamp>,
    /// The leads whose opportunity it is; in the name of the first one it is done.
    places: Vec<usize>,
}

impl Batch {
    /// The opportunities of which something is blank that a lead knows; one that another batch fills stays as it is for now.
    pub(super) async fn opportunity_fills(&mut self, planned: &[Planned]) -> StoreResult<Vec<Fill>> {
        let mut fills: BTreeMap<RecordRef, Fill> = BTreeMap::new();
        for (place, one) in planned.iter().enumerate() {
            let Some(of) = one.plan.opportunity.as_ref().filter(|of| !of.fields.is_empty()) else { continue };
            let fill = fills.entry(of.record.clone()).or_insert_with(|| Fill {
                record: of.record.clone(),
                fields: BTreeMap::new(),
                decisions: Vec::new(),
                unmodified_since: of.modified_at,
                places: Vec::new(),
            });
            fill.add(place, of);
        }
        let fills: Vec<Fill> = fills.into_values().collect();
        let key = |fill: &Fill| Some(keys::of_record(&fill.record)).filter(|key| !self.hold.has(key));
        let wants: Vec<Vec<String>> = fills.iter().map(|fill| key(fill).into_iter().collect()).collect();
        let answers = self.hold.reserve(wants, self.destination.clock.now(), self.lease.ends_at).await?;
        Ok(fills.into_iter().zip(answers).filter(|(_, whose)| *whose == InHand::Ours).map(|(fill, _)| fill).collect())
    }

    /// Fills them, and has the plans keep in mind which opportunity is whose. For what did not work and may later the leads
    /// stay owed.
    pub(super) async fn fill_opportunities(
        &self,
        planned: &mut [Planned],
        fills: Vec<Fill>,
        settling: &Settling<'_>,
        report: &mut Report,
    ) -> StoreResult<()> {
        let in_fills: BTreeSet<usize> = fills.iter().flat_map(|fill| fill.places.iter().copied()).collect();
        for (_, one) in planned.iter_mut().enumerate().filter(|(place, _)| !in_fills.contains(place)) {
            without_fill(one, settling);
        }
        if self.destination.observes() {
            for fill in fills {
                let Some(one) = fill.places.first().and_then(|place| planned.get_mut(*place)) else { continue };
                let row = fill.row(one, settling);
                one.before.push((None, row));
            }
            return Ok(());
        }
        let mut parts = vec![fills];
        while let Some(part) = parts.pop().filter(|part| !part.is_empty()) {
            let firsts = part.iter().filter_map(|fill| Some((fill, planned.get(*fill.places.first()?)?)));
            let announced = firsts.map(|(fill, first)| self.announced_fill(fill, first)).collect();
            let write = |fill: &Fill| fill.write(self.destination.settings.duplicates);
            let (mut done, lost) = self.write_beside(part, announced, write, report).await?;
            for fill in lost {
                know(planned, &fill.places, || Some(Owed::InHand));
            }
            let collateral = |done: &Done<Fill>| matches!(done.result.outcome, Err(CrmError::Collateral { .. }));
            if done.len() > 1 && done.iter().all(collateral) {
                done.iter().for_each(|done| done.log(planned, settling));
                let half = done.split_off(done.len() / 2);
                parts.extend([half, done].map(|half| half.into_iter().map(|done| done.task).collect::<Vec<_>>()));
                continue;
            }
            for done in done {
                done.log(planned, settling);
                done.conclude(planned, settling);
            }
        }
        Ok(())
    }

    /// What is announced for a fill.
    fn announced_fill(&self, fill: &Fill, first: &Planned) -> AnnouncedWrite {
        AnnouncedWrite {
            lead: first.member.lead.key.clone(),
            object: fill.record.object.clone(),
            record: Some(fill.record.clone()),
            keys: Some(keys::of_record(&fill.record)).filter(|key| self.hold.has(key)).into_iter().collect(),
            rows: fill.announced(),
            known: None,
            decisions: fill.decisions.clone(),
        }
    }
}

/// What becomes of a lead whose opportunity is not written.
fn without_fill(one: &mut Planned, settling: &Settling<'_>) {
    let Some(of) = one.plan.opportunity.as_ref() else { return };
    // Fields that are left belong to another batch's record for now.
    let owed = (!of.fields.is_empty()).then_some(Owed::InHand);
    if of.is_gone {
        let row = gone(matched(one, of, settling), of);
        one.before.push((None, row));
    } else if of.is_new || !of.untold().is_empty() {
        let row = matched(one, of, settling);
        one.before.push((None, row));
    }
    one.plan.know_opportunity(owed.is_none());
    one.owed = owed.or(one.owed.take());
}

/// The row that tells which opportunity is the lead's, and what is not written to it.
fn matched(one: &Planned, of: &OpportunityPlan, settling: &Settling<'_>) -> NewLogRow {
    NewLogRow {
        record: Some(of.record.clone()),
        matched_by: Some(MatchedBy::Link),
        decisions: [of.decision()].into_iter().chain(of.untold()).collect(),
        ..settling.row_beside(&one.member, Operation::OpportunityMatch)
    }
}

fn gone(row: NewLogRow, of: &OpportunityPlan) -> NewLogRow {
    let RecordRef { object, id } = &of.record;
    let error =
        format!("{object} {id} is no longer there, or our user may not see it; the rows for it are not written");
    NewLogRow { error_code: Some(GONE.to_owned()), error: Some(error), ..row }
}

/// Has the leads keep in mind which opportunity is theirs, and what is still owed to it.
fn know(planned: &mut [Planned], places: &[usize], owed: impl Fn() -> Option<Owed>) {
    for place in places {
        if let Some(one) = planned.get_mut(*place) {
            let owed = owed();
            one.plan.know_opportunity(owed.is_none());
            one.owed = owed.or(one.owed.take());
        }
    }
}

impl Fill {
    /// Adds a lead: what others did not say.
    fn add(&mut self, place: usize, of: &OpportunityPlan) {
        for (field, value) in &of.fields {
            if !self.fields.contains_key(field) {
                self.fields.insert(field.clone(), value.clone());
                self.decisions.extend(of.decisions.iter().filter(|decision| decision.field == *field).cloned());
            }
        }
        self.places.push(place);
    }

    fn announced(&self) -> BTreeMap<FieldName, BasePair> {
        let pair = |value: &CrmValue| BasePair { lead: value.clone(), crm: value.clone() };
        self.fields.iter().map(|(field, value)| (field.clone(), pair(value))).collect()
    }

    fn write(&self, duplicates: OnDuplicate) -> RecordWrite {
        RecordWrite {
            object: self.record.object.clone(),
            id: Some(self.record.id.clone()),
            fields: self.fields.clone(),
            delete: false,
            unmodified_since: self.unmodified_since,
            duplicates,
        }
    }

    /// The row of the lead in whose name it is done.
    fn row(&self, one: &Planned, settling: &Settling<'_>) -> NewLogRow {
        let known = one.plan.opportunity.iter().map(OpportunityPlan::decision);
        let untold = one.plan.opportunity.iter().flat_map(OpportunityPlan::untold);
        NewLogRow {
            record: Some(self.record.clone()),
            matched_by: Some(MatchedBy::Link),
            decisions: known.chain(self.decisions.iter().cloned()).chain(untold).collect(),
            ..settling.row_beside(&one.member, Operation::OpportunityUpdate)
        }
    }
}

impl Done<Fill> {
    /// Tells of the call in the name of the first lead.
    fn log(&self, planned: &mut [Planned], settling: &Settling<'_>) {
        let Self { task: fill, intent, result, call } = self;
        let Some(one) = fill.places.first().and_then(|place| planned.get_mut(*place)) else { return };
        let row = settling.sent(fill.row(one, settling), call, result);
        let row = match (&result.outcome, &one.plan.opportunity) {
            (Err(CrmError::Duplicate { .. }), _) => NewLogRow { outcome: Outcome::Conflict, ..row },
            (Err(CrmError::Gone { .. }), Some(of)) => gone(NewLogRow { outcome: Outcome::Ok, ..row }, of),
            (Err(error), _) if !error.passes() => NewLogRow { outcome: Outcome::Refused, ..row },
            _ => row,
        };
        one.before.push((Some(*intent), row));
    }

    /// From how the write went to what its leads keep in mind.
    fn conclude(&self, planned: &mut [Planned], settling: &Settling<'_>) {
        for place in self.task.places.iter().skip(1) {
            let Some(one) = planned.get_mut(*place) else { continue };
            if let Some(of) = one.plan.opportunity.as_ref().filter(|of| of.is_new || !of.untold().is_empty()) {
                let row = matched(one, of, settling);
                one.before.push((None, row));
            }
        }
        know(planned, &self.task.places, || Owed::after(self.result.outcome.as_ref().err()?));
    }
}
