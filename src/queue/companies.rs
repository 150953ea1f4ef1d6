//! Companies of a batch's leads: each made once, however many leads are of it, and before their records point to it.

mod groups;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use self::groups::{Group, groups, namesakes};
use super::batch::{Batch, Member, Planned, Report};
use super::beside::{Done, Owed};
use super::keys::{self, Deferred, InHand};
use super::left_out::without_known;
use super::refused_companies::remember;
use super::settle::{Settling, asked_by_duplicate_rule, told_of_rule};
use crate::crm::{CrmError, OnDuplicate, RecordWrite};
use crate::domain::ids::{FieldName, RecordRef};
use crate::domain::plan::{CompanyAction, CompanyPlan, CompanyRules, ConflictKind, Decision, Question, company};
use crate::domain::record::CrmValue;
use crate::domain::time::Timestamp;
use crate::store::{AnnouncedWrite, IntentId, NewLogRow, Operation, Outcome, StoreResult};

/// How the CRM says that its own duplicate rule refused a record.
const RULE: &str = "DUPLICATES_DETECTED";

/// One company's record to be made or filled.
#[derive(Debug)]
pub(super) struct Task {
    /// `None`: it is made.
    record: Option<RecordRef>,
    fields: BTreeMap<FieldName, CrmValue>,
    keys: BTreeSet<String>,
    /// The leads of the company; in the name of the first one it is done.
    places: Vec<usize>,
    decisions: Vec<Decision>,
    /// It was read so: what somebody fills in meanwhile stays.
    unmodified_since: Option<Timestamp>,
    /// How its write meets the CRM's own duplicate rules: past them where a person said that it is another company than those
    /// that are there.
    duplicates: OnDuplicate,
}

/// Why the company of the lead at each place could not be made, and of the first lead what was announced.
type Failed = BTreeMap<usize, (CrmError, Option<(IntentId, NewLogRow)>)>;

impl Batch {
    /// Takes the companies that are to be looked up in hand, each once for all its leads; leads whose company another batch
    /// has in hand wait, since it may be making it.
    pub(super) async fn reserve_companies(
        &mut self,
        members: Vec<Member>,
        deferred: &mut Deferred,
    ) -> StoreResult<Vec<Member>> {
        let wanted = members.iter().enumerate();
        let wanted =
            wanted.filter_map(|(place, member)| Some((place, keys::of_company(member.keys.company.as_ref()?))));
        let groups = groups(wanted);
        if groups.is_empty() {
            return Ok(members);
        }
        let not_ours = |group: &Group| group.keys.iter().filter(|key| !self.hold.has(key)).cloned().collect();
        let wants: Vec<Vec<String>> = groups.iter().map(not_ours).collect();
        let answers = self.hold.reserve(wants, self.destination.clock.now(), self.lease.ends_at).await?;
        let mut waiting: HashMap<usize, InHand> = HashMap::new();
        for (group, whose) in groups.iter().zip(answers).filter(|(_, whose)| *whose != InHand::Ours) {
            waiting.extend(group.places.iter().map(|place| (*place, whose)));
        }
        let mut ours = Vec::with_capacity(members.len());
        for (place, member) in members.into_iter().enumerate() {
            match waiting.get(&place) {
                None => ours.push(member),
                Some(whose) => deferred.add(member.job, *whose),
            }
        }
        Ok(ours)
    }

    /// Makes and fills the companies that the plans need, in one call, and has the plans point to them. Settles the leads
    /// whose company could not be made, and answers the others.
    pub(super) async fn with_companies(
        &self,
        mut planned: Vec<Planned>,
        tasks: Vec<Task>,
        settling: &Settling<'_>,
        report: &mut Report,
    ) -> StoreResult<Vec<Planned>> {
        let Some(rules) = &self.rules.sync.company else { return Ok(planned) };
        if planned.iter().all(|one| one.plan.company.is_none()) {
            return Ok(planned);
        }
        let in_tasks: BTreeSet<usize> = tasks.iter().flat_map(|task| task.places.iter().copied()).collect();
        for (_, one) in planned.iter_mut().enumerate().filter(|(place, _)| !in_tasks.contains(place)) {
            without_task(one, settling, rules);
        }
        if self.destination.observes() {
            for task in tasks {
                for (nth, place) in task.places.iter().enumerate() {
                    let Some(one) = planned.get_mut(*place) else { continue };
                    let operation = if nth == 0 { task.operation() } else { Operation::AccountMatch };
                    let row = task.row(one, settling, operation, task.record.as_ref(), rules);
                    one.before.push((None, row));
                }
            }
            return Ok(planned);
        }
        let mut failed = Failed::new();
        let mut parts = vec![tasks];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let firsts = part.iter().filter_map(|task| Some((task, planned.get(*task.places.first()?)?)));
            let announced = firsts.map(|(task, first)| self.announced_task(task, first, rules)).collect();
            let (mut done, lost) = self.write_beside(part, announced, |task| task.write(rules), report).await?;
            // Another batch may be making it by now.
            failed.extend(
                lost.into_iter().flat_map(|task| task.places).map(|place| (place, (CrmError::too_late(), None))),
            );
            let collateral = |done: &Done<Task>| matches!(done.result.outcome, Err(CrmError::Collateral { .. }));
            if done.len() > 1 && done.iter().all(collateral) {
                let half = done.split_off(done.len() / 2);
                parts.extend([half, done].map(|half| to_be_sent_again(half, &mut planned, settling, rules)));
                continue;
            }
            // What a rule found is asked before a person is.
            let (unexplained, done) = done.into_iter().partition::<Vec<_>, _>(Done::<Task>::is_unexplained);
            parts.push(unexplained.into_iter().map(|done| to_be_explained(done, &mut planned)).collect());
            for done in done {
                conclude(done, &mut planned, &mut failed, settling, rules);
            }
        }
        let (mut going_on, mut settlements) = (Vec::with_capacity(planned.len()), Vec::new());
        for (place, one) in planned.into_iter().enumerate() {
            match failed.remove(&place) {
                // The company's ID may be what was refused before.
                None if one.member.job.forced => going_on.push(one),
                None => {
                    let plan = without_known(one.plan, one.member.work.link.as_ref(), &self.rules.fingerprint);
                    going_on.push(Planned { plan, ..one });
                }
                Some((error, announced)) => settlements.push(settling.after_failed_company(one, &error, announced)),
            }
        }
        self.settle(settlements, &self.lease).await?;
        Ok(going_on)
    }

    /// What is to be done about companies.
    pub(super) async fn company_tasks(&mut self, planned: &[Planned]) -> StoreResult<Vec<Task>> {
        let Some(rules) = self.rules.sync.company.clone() else { return Ok(Vec::new()) };
        let turns = in_turns(planned);
        let new = turns.iter().flat_map(|turn| creates(turn, &rules, self.destination.settings.duplicates));
        let mut tasks: Vec<Task> = new.collect();
        tasks.extend(self.updates(planned).await?);
        Ok(tasks)
    }

    /// The companies of which something is blank that a lead knows; one that another batch fills stays as it is for now.
    async fn updates(&mut self, planned: &[Planned]) -> StoreResult<Vec<Task>> {
        let mut tasks: BTreeMap<RecordRef, Task> = BTreeMap::new();
        let settings = self.destination.settings.duplicates;
        for (place, one) in planned.iter().enumerate() {
            let Some(of) = &one.plan.company else { continue };
            let CompanyAction::Is { record, fields, .. } = &of.action else { continue };
            if fields.is_empty() {
                continue;
            }
            let task = tasks.entry(record.clone()).or_insert_with(|| Task {
                record: Some(record.clone()),
                fields: BTreeMap::new(),
                keys: BTreeSet::from([keys::of_record(record)]),
                places: Vec::new(),
                decisions: Vec::new(),
                unmodified_since: of.modified_at,
                duplicates: settings,
            });
            task.add(place, fields, &of.decisions);
        }
        let tasks: Vec<Task> = tasks.into_values().collect();
        let not_ours = |task: &Task| task.keys.iter().filter(|key| !self.hold.has(key)).cloned().collect();
        let wants: Vec<Vec<String>> = tasks.iter().map(not_ours).collect();
        let answers = self.hold.reserve(wants, self.destination.clock.now(), self.lease.ends_at).await?;
        Ok(tasks.into_iter().zip(answers).filter(|(_, whose)| *whose == InHand::Ours).map(|(task, _)| task).collect())
    }

    /// What is announced for a task.
    fn announced_task(&self, task: &Task, first: &Planned, rules: &CompanyRules) -> AnnouncedWrite {
        AnnouncedWrite {
            lead: first.member.lead.key.clone(),
            object: rules.object.object.clone(),
            record: task.record.clone(),
            keys: task.keys.iter().filter(|key| self.hold.has(key)).cloned().collect(),
            rows: company::announced(&task.keys, &rules.object),
            known: None,
            decisions: task.decisions.clone(),
        }
    }
}

/// The plans but those whose company is to be made, and may be another one than that of the same name which is made before it:
/// those leads wait, and find that one.
pub(super) fn without_namesakes(planned: Vec<Planned>, deferred: &mut Deferred) -> Vec<Planned> {
    let waiting = behind_namesakes(&planned.iter().enumerate().collect::<Vec<_>>());
    let mut kept = Vec::with_capacity(planned.len());
    for (place, one) in planned.into_iter().enumerate() {
        match waiting.contains(&place) {
            true => deferred.add_behind_namesake(one.member.job),
            false => kept.push(one),
        }
    }
    kept
}

/// Of which leads the company may be another one than that of the same name which is made before it.
fn behind_namesakes(planned: &[(usize, &Planned)]) -> BTreeSet<usize> {
    namesakes(planned.iter().filter_map(|(place, one)| {
        let of = one.plan.company.as_ref()?;
        matches!(of.action, CompanyAction::Create { .. }).then_some((*place, &of.keys))
    }))
}

/// The plans in turns, namesakes one after the other: where nothing is made, they stand beside one another.
fn in_turns(planned: &[Planned]) -> Vec<Vec<(usize, &Planned)>> {
    let (mut turns, mut rest) = (Vec::new(), planned.iter().enumerate().collect::<Vec<_>>());
    while !rest.is_empty() {
        let waiting = behind_namesakes(&rest);
        let (later, now) = rest.into_iter().partition(|(place, _)| waiting.contains(place));
        turns.push(now);
        rest = later;
    }
    turns
}

/// The companies to be made: one for all leads whose keys meet, even if a person said of each that it is another company than
/// those that are there.
fn creates(planned: &[(usize, &Planned)], rules: &CompanyRules, settings: OnDuplicate) -> Vec<Task> {
    let mut made = BTreeMap::new();
    let mut wanted = Vec::new();
    for (place, one) in planned.iter().copied() {
        let Some(of) = &one.plan.company else { continue };
        let CompanyAction::Create { fields, .. } = &of.action else { continue };
        let own = match fields.get(&rules.rows.external_id) {
            Some(CrmValue::Text(key)) => key.as_str(),
            _ => continue,
        };
        let mut keys = of.keys.external_ids();
        // One that a person said is another company has a key of its own.
        let is_apart = !keys.iter().any(|key| key == own);
        keys.extend(is_apart.then(|| own.to_owned()));
        wanted.push((place, keys.iter().map(|key| keys::company_key(key)).collect()));
        made.insert(place, (fields, of.decisions.as_slice(), of.keys.domains.is_empty(), is_apart));
    }
    let task = |mut group: Group| {
        // A domain is the surer key.
        group.places.sort_by_key(|place| (made.get(place).is_none_or(|(_, _, nameless, _)| *nameless), *place));
        let mut task = Task {
            record: None,
            fields: BTreeMap::new(),
            keys: group.keys,
            places: Vec::new(),
            decisions: Vec::new(),
            unmodified_since: None,
            duplicates: settings,
        };
        for place in group.places {
            if let Some((fields, decisions, _, is_apart)) = made.get(&place) {
                if *is_apart {
                    task.duplicates = OnDuplicate::Save;
                }
                task.add(place, fields, decisions);
            }
        }
        task
    };
    groups(wanted).into_iter().map(task).collect()
}

/// What becomes of a lead whose company needs no write.
fn without_task(one: &mut Planned, settling: &Settling<'_>, rules: &CompanyRules) {
    let Some(of) = one.plan.company.clone() else { return };
    match &of.action {
        CompanyAction::Is { record, by, fields, .. } => {
            let untold = of.untold();
            if of.is_new || !untold.is_empty() {
                let row = settling.row_beside(&one.member, Operation::AccountMatch);
                let decisions = [of.decision(Some(record), &rules.object)].into_iter().chain(untold).collect();
                let (record, matched_by) = (Some(record.clone()), Some(*by));
                one.before.push((None, NewLogRow { record, matched_by, decisions, ..row }));
            }
            // Fields that are left belong to another batch's record for now.
            one.plan.point_to(record, &rules.object, fields.is_empty());
            if !fields.is_empty() {
                one.owed = Some(Owed::InHand);
            }
        }
        CompanyAction::Create { .. } => {}
        CompanyAction::Nothing { reason } => {
            let open = one.member.work.open_conflicts.iter().any(|conflict| conflict.kind == ConflictKind::Company);
            let asked = one.plan.questions.iter().any(|question| question.kind == ConflictKind::Company);
            if asked && !open {
                let row = settling.row_beside(&one.member, Operation::AccountMatch);
                one.before.push((
                    None,
                    NewLogRow {
                        outcome: Outcome::Conflict,
                        error_code: Some("company_conflict".to_owned()),
                        error: Some(reason.clone()),
                        decisions: vec![of.decision(None, &rules.object)],
                        ..row
                    },
                ));
            } else if !asked {
                one.plan.decisions.push(of.decision(None, &rules.object));
            }
        }
    }
}

/// From how a company's write went to what its leads do.
fn conclude(
    done: Done<Task>,
    planned: &mut [Planned],
    failed: &mut Failed,
    settling: &Settling<'_>,
    rules: &CompanyRules,
) {
    let Done { task, intent, result, call } = &done;
    let (record, go_on, whole) = match &result.outcome {
        Ok(written) => (Some(written.record.clone()), true, true),
        // What the CRM refuses of a company keeps no person out of it.
        Err(CrmError::Refused { .. }) => (task.record.clone(), true, true),
        Err(CrmError::Duplicate { code, .. }) if code == RULE => (task.record.clone(), true, true),
        Err(CrmError::Operator { .. } | CrmError::Unfamiliar { .. }) if task.record.is_some() => {
            (task.record.clone(), true, true)
        }
        Err(_) => (task.record.clone(), task.record.is_some(), false),
    };
    for (nth, place) in task.places.iter().enumerate() {
        let Some(one) = planned.get_mut(*place) else { continue };
        let sent = (nth == 0).then(|| (*intent, done.row(one, settling, rules)));
        if !go_on {
            let error = result.outcome.as_ref().err().cloned();
            failed.insert(*place, (error.unwrap_or(CrmError::too_late()), sent));
            continue;
        }
        match (sent, &record) {
            (Some((intent, row)), _) => one.before.push((Some(intent), row)),
            (None, Some(company))
                if one.plan.company.as_ref().is_some_and(|of| of.is_new || !of.untold().is_empty()) =>
            {
                let row = task.row(one, settling, Operation::AccountMatch, Some(company), rules);
                one.before.push((None, row));
            }
            (None, _) => {}
        }
        if let Some(company) = &record {
            one.plan.point_to(company, &rules.object, whole);
            one.owed = result.outcome.as_ref().err().and_then(Owed::after).or(one.owed.take());
            continue;
        }
        remember(&mut one.plan, &task.fields, call.sent_at);
        if let Err(error) = &result.outcome
            && let Some(question) = asked_by_duplicate_rule(error, ConflictKind::Company, task.duplicates.saves())
        {
            let lead = one.plan.company.as_ref().map(|of| CrmValue::Text(of.keys.identity()));
            one.plan.questions.push(Question { lead, ..question });
        }
    }
}

/// The tasks, to be sent once more; how they went is logged when their leads are settled.
fn to_be_sent_again(
    done: Vec<Done<Task>>,
    planned: &mut [Planned],
    settling: &Settling<'_>,
    rules: &CompanyRules,
) -> Vec<Task> {
    for done in &done {
        if let Some(one) = done.task.places.first().and_then(|place| planned.get_mut(*place)) {
            one.before.push((Some(done.intent), done.row(one, settling, rules)));
        }
    }
    done.into_iter().map(|done| done.task).collect()
}

/// The task, to be sent once more so that the CRM tells what its rule found.
fn to_be_explained(done: Done<Task>, planned: &mut [Planned]) -> Task {
    if let Some(one) = done.task.places.first().and_then(|place| planned.get_mut(*place)) {
        one.asked.push((done.intent, done.call.calls));
    }
    Task { duplicates: done.task.duplicates.explained(), ..done.task }
}

impl Done<Task> {
    /// Whether a duplicate rule refused it, and it was not asked yet what the rule found.
    fn is_unexplained(&self) -> bool {
        let outcome = &self.result.outcome;
        let unnamed = |error: &CrmError| matches!(error, CrmError::Duplicate { code, records, .. } if code == RULE && records.is_empty());
        outcome.as_ref().is_err_and(unnamed) && !self.task.duplicates.explains()
    }

    /// The row of the lead in whose name it was sent.
    fn row(&self, one: &Planned, settling: &Settling<'_>, rules: &CompanyRules) -> NewLogRow {
        let Done { task, result, call, .. } = self;
        let written = result.outcome.as_ref().ok().map(|written| &written.record);
        let row = task.row(one, settling, task.operation(), written.or(task.record.as_ref()), rules);
        let row = settling.sent(row, call, result);
        let error = result.outcome.as_ref().err();
        let asked =
            error.and_then(|error| asked_by_duplicate_rule(error, ConflictKind::Company, task.duplicates.saves()));
        match (error, asked) {
            (_, Some(question)) => {
                NewLogRow { outcome: Outcome::Conflict, error: Some(told_of_rule(&question)), ..row }
            }
            (Some(CrmError::Refused { .. }), None) => NewLogRow { outcome: Outcome::Refused, ..row },
            (Some(CrmError::Operator { .. } | CrmError::Unfamiliar { .. }), None) if task.record.is_some() => {
                NewLogRow { outcome: Outcome::Refused, ..row }
            }
            _ => row,
        }
    }
}

impl Task {
    /// Adds a lead: what others did not say.
    fn add(&mut self, place: usize, fields: &BTreeMap<FieldName, CrmValue>, decisions: &[Decision]) {
        for (field, value) in fields {
            if !self.fields.contains_key(field) {
                self.fields.insert(field.clone(), value.clone());
                self.decisions.extend(decisions.iter().filter(|decision| decision.field == *field).cloned());
            }
        }
        self.places.push(place);
    }

    fn operation(&self) -> Operation {
        if self.record.is_some() { Operation::AccountUpdate } else { Operation::AccountCreate }
    }

    fn write(&self, rules: &CompanyRules) -> RecordWrite {
        RecordWrite {
            object: rules.object.object.clone(),
            id: self.record.as_ref().map(|record| record.id.clone()),
            fields: self.fields.clone(),
            delete: false,
            unmodified_since: self.unmodified_since,
            duplicates: self.duplicates,
        }
    }

    fn row(
        &self,
        one: &Planned,
        settling: &Settling<'_>,
        operation: Operation,
        record: Option<&RecordRef>,
        rules: &CompanyRules,
    ) -> NewLogRow {
        let of = one.plan.company.as_ref();
        let mut decisions: Vec<Decision> = of.map(|of| of.decision(record, &rules.object)).into_iter().collect();
        if operation != Operation::AccountMatch {
            decisions.extend(self.decisions.iter().cloned());
        }
        decisions.extend(of.map(CompanyPlan::untold).unwrap_or_default());
        let matched_by = match of.map(|of| &of.action) {
            Some(CompanyAction::Is { by, .. }) => Some(*by),
            _ => None,
        };
        NewLogRow { record: record.cloned(), matched_by, decisions, ..settling.row_beside(&one.member, operation) }
    }
}
