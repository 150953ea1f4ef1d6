//! What operators see and start beyond the store: destinations, mapping, preflight, resync.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tracing::{info, warn};

use super::check;
use super::counts::Counts;
use super::crm_rules::CrmRules;
use super::duplicates::{self, Duplicates};
use super::explain::explain;
use super::orders;
use super::reload::Reloads;
use super::resync::{Resync, is_ours, scope_from_json, scope_to_json};
use crate::clock::Clock;
use crate::config::Mode;
use crate::config::{Config, DestinationConfig, DestinationKind};
use crate::crm::gate::GateReason;
use crate::crm::salesforce;
use crate::domain::check::Finding;
use crate::domain::divergence::Divergence;
use crate::domain::explained::Explained;
use crate::domain::ids::{DestinationName, LeadKey, ObjectName, RecordRef, SourceName};
use crate::domain::mapping::documented::documented_rows;
use crate::domain::plan::ConflictKind;
use crate::domain::record::Schema;
use crate::http::admin::state::{
    CheckFinding, CheckReport, DestinationState, Erasing, Explanation, LinkWish, MappingEntry, Operations, OrderError,
    ReloadError, Reloaded,
};
use crate::intake::Holding;
use crate::queue::destination::{Destination, Undescribed};
use crate::source;
use crate::store::{NewRun, Ordered, Page, PlannedBy, ResyncScope, RunProgress, RunRow, Store, StoreResult};
use crate::telemetry::Sparsely;

/// How often the CRM's schema is looked at again.
const LOOK_AT_SCHEMA_EVERY: Duration = Duration::from_secs(3600);

/// How often it is looked at while a field by which records are recognised, or a whole object, is missing.
const LOOK_FOR_MISSING_FIELD_EVERY: Duration = Duration::from_secs(60);

/// How soon a resync is taken up of which the process died, once its lease ran out.
const LOOK_FOR_RUNS_EVERY: Duration = Duration::from_secs(5);

/// Among so many of the newest runs one that was interrupted is looked for.
const RUNS_LOOKED_AT: u32 = 500;

pub(super) struct AppOperations {
    configs: BTreeMap<DestinationName, DestinationConfig>,
    presets: BTreeMap<SourceName, String>,
    destinations: BTreeMap<DestinationName, Arc<Destination>>,
    store: Arc<dyn Store>,
    clock: Clock,
    stopped: watch::Receiver<bool>,
    reloads: Reloads,
    holding: Arc<Holding>,
    /// The resyncs that this process works on.
    runs: Arc<Mutex<HashMap<i64, watch::Sender<bool>>>>,
    duplicates: Arc<Duplicates>,
    crm_rules: CrmRules,
    counts: Counts,
}

impl AppOperations {
    pub fn new(
        config: &Config,
        destinations: BTreeMap<DestinationName, Arc<Destination>>,
        store: Arc<dyn Store>,
        clock: Clock,
        stopped: watch::Receiver<bool>,
        reloads: Reloads,
        holding: Arc<Holding>,
    ) -> Self {
        let presets = check::presets(config);
        let duplicates = Arc::new(Duplicates {
            store: Arc::clone(&store),
            clock: clock.clone(),
            stopped: stopped.clone(),
            sources: presets.keys().cloned().collect(),
            destinations: destinations.values().cloned().collect(),
            at_work: Arc::default(),
        });
        Self {
            configs: config.destinations.clone(),
            presets,
            destinations,
            store,
            clock,
            stopped,
            reloads,
            holding,
            runs: Arc::default(),
            duplicates,
            crm_rules: CrmRules::default(),
            counts: Counts::default(),
        }
    }

    /// What searches for duplicates each day.
    pub fn duplicates(&self) -> Arc<Duplicates> {
        Arc::clone(&self.duplicates)
    }

    /// Looks at each CRM's schema from time to time, so that drift is noticed before a lead meets it.
    pub async fn watch_schemas(self: Arc<Self>) {
        let mut stopped = self.stopped.clone();
        for destination in self.destinations.values() {
            // The gate hears of it where a person must act; what passes is the first batch's to report.
            let _ = destination.first_look().await;
        }
        let mut ticks = tokio::time::interval(LOOK_FOR_MISSING_FIELD_EVERY);
        let mut looked_at = BTreeMap::new();
        loop {
            tokio::select! {
                _ = stopped.changed() => return,
                _ = ticks.tick() => {}
            }
            let now = self.clock.now();
            for destination in self.destinations.values() {
                owe_what_was_left_out(destination).await;
                let looked_at = looked_at.entry(&destination.name).or_insert(now);
                let status = destination.gate.status();
                let is_missed = match status.reason {
                    Some(GateReason::Drift { .. }) => true,
                    Some(GateReason::Undescribed { .. }) => status.until.is_none_or(|until| until <= now),
                    _ => false,
                };
                if !is_missed && now.since(*looked_at) < LOOK_AT_SCHEMA_EVERY {
                    continue;
                }
                *looked_at = now;
                look_again(destination).await;
            }
        }
    }

    /// Compares the mapping with the schema as it was last seen, and tells of a describe that failed since.
    fn check_now(&self, destination: &Destination) -> Option<CheckReport> {
        let config = self.configs.get(&destination.name)?;
        let (rules, failed) = (destination.rules(), destination.undescribed());
        let checked_at = failed.as_ref().map(|failed| failed.at).or(rules.as_ref().map(|rules| rules.seen_at))?;
        let undescribed =
            |failed: &Undescribed| check::undescribed(&failed.object, &failed.error, check::NOTHING_SYNCED);
        let failures = failed.iter().map(undescribed).collect();
        let mut schema = rules.map_or_else(Schema::default, |rules| rules.sync.schema.clone());
        if let Some(failed) = failed.filter(|failed| failed.error.needs_person()) {
            schema.objects.remove(&failed.object);
        }
        let findings = check::compared(config, &check::kinds(config, &*destination.crm), &schema, failures);
        Some(CheckReport {
            destination: destination.name.clone(),
            checked_at,
            findings: findings.into_iter().map(shown).collect(),
        })
    }
}

async fn owe_what_was_left_out(destination: &Destination) {
    if let Err(error) = destination.owe_what_was_left_out().await {
        warn!(destination = %destination.name, "leads that lack values in {} could not be marked: {error}; tried again in a minute", destination.name);
    }
}

async fn look_again(destination: &Destination) {
    match destination.look_at_schema().await {
        Ok(_) => {
            owe_what_was_left_out(destination).await;
            destination.wake();
        }
        Err(error) => {
            info!(destination = %destination.name, "could not look at the schema of {}: {error}", destination.name);
        }
    }
}

fn shown(finding: Finding) -> CheckFinding {
    CheckFinding {
        severity: finding.severity.as_str(),
        subject: finding.subject,
        finding: finding.finding,
        remedy: Some(finding.remedy).filter(|remedy| !remedy.is_empty()),
    }
}

/// Both as sentences; a remedy that begins with "Nothing" is an answer to a question that nobody asked here.
fn with_remedy(reason: &str, remedy: &str) -> String {
    let reason = reason.trim_end_matches('.');
    match remedy.strip_prefix("Nothing") {
        Some(but) => format!("{reason}. Nothing need be done{but}"),
        None => format!("{reason}. {remedy}"),
    }
}

#[async_trait]
impl Operations for AppOperations {
    fn destinations(&self) -> Vec<DestinationState> {
        let state = |destination: &Arc<Destination>| {
            let config = self.configs.get(&destination.name)?;
            let DestinationKind::Salesforce(_) = &config.kind;
            let status = destination.gate.status();
            let now = self.clock.now();
            let tried = status.until.is_some_and(|until| until <= now);
            let told = |reason: &GateReason| {
                let remedy = reason.code().map(|code| explain(Some(&config.kind), code).remedy);
                remedy.map_or_else(|| reason.to_string(), |remedy| with_remedy(&reason.to_string(), remedy))
            };
            let needs_person = status.reason.as_ref().filter(|reason| reason.needs_person()).map(told);
            Some(DestinationState {
                name: destination.name.clone(),
                kind: "salesforce",
                mode: if config.mode == Mode::Observe { "observe" } else { "live" },
                sources: config.sources.clone(),
                gate: match (status.open, tried) {
                    (true, _) => "open",
                    (false, true) => "probing",
                    (false, false) => "closed",
                },
                gate_reason: status.reason.as_ref().map(told),
                gate_since: status.since,
                gate_until: status.until,
                calls_used: status.calls_used,
                calls_limit: config.limits.calls_per_day,
                last_error: destination.last_error(),
                needs_person,
            })
        };
        self.destinations.values().filter_map(state).collect()
    }

    fn wake(&self, destination: &DestinationName) {
        if let Some(destination) = self.destinations.get(destination) {
            destination.wake();
        }
    }

    fn paused(&self, pause: &crate::store::Pause) {
        if let Some(destination) = self.destinations.get(&pause.destination) {
            let (by, note) = (pause.by.clone(), pause.note.clone());
            destination.gate.pause(crate::crm::gate::Pause { by, note, until: pause.until });
        }
    }

    fn resumed(&self, destination: &DestinationName) {
        if let Some(destination) = self.destinations.get(destination) {
            destination.gate.resume();
            destination.wake();
            // Who lets it go on may have put right what was wrong with the CRM's fields, and what we may see.
            self.crm_rules.forget(&destination.name);
            let destination = Arc::clone(destination);
            tokio::spawn(async move { look_again(&destination).await });
        }
    }

    async fn mapping(&self) -> StoreResult<Vec<MappingEntry>> {
        let mut entries = Vec::new();
        for (name, config) in &self.configs {
            let mut lead_fields = BTreeSet::new();
            for source in &config.sources {
                let preset = self.presets.get(source).and_then(|preset| source::preset(preset));
                lead_fields
                    .extend(preset.into_iter().flat_map(|preset| preset.lead_fields).map(|field| field.to_string()));
                lead_fields.extend(self.store.seen_fields(source).await?);
            }
            let rules = self.destinations.get(name).and_then(|destination| destination.rules());
            let unknown = Schema::default();
            let schema = rules.as_ref().map_or(&unknown, |rules| &rules.sync.schema);
            entries.extend(
                documented_rows(config.filter.as_ref(), &config.fields, schema, &lead_fields).into_iter().map(|row| {
                    MappingEntry {
                        destination: name.clone(),
                        lead_field: Some(row.lead),
                        lead_format: Some(row.lead_format).filter(|format| !format.is_empty()),
                        crm_field: row.crm,
                        crm_label: row.label,
                        crm_format: row.crm_format,
                        objects: row.object.into_iter().collect(),
                        direction: row.direction.to_owned(),
                        rule: row.conflict.map(str::to_owned),
                        note: row.note,
                    }
                }),
            );
        }
        Ok(entries)
    }

    async fn divergence(&self, destination: &DestinationName) -> Option<Divergence> {
        let config = self.configs.get(destination)?;
        let rules = self.crm_rules.of(self.destinations.get(destination)?).await;
        Some(check::divergence(destination, config, &self.presets, rules))
    }

    fn explain(&self, destination: &DestinationName, code: &str) -> Explanation {
        explain(self.configs.get(destination).map(|config| &config.kind), code)
    }

    fn record_named(&self, destination: &DestinationName, id: &str) -> Option<RecordRef> {
        match self.configs.get(destination)?.kind {
            DestinationKind::Salesforce(_) => salesforce::record_named(id),
        }
    }

    fn kinds_in_question(&self, destination: &DestinationName, kind: ConflictKind) -> Vec<ObjectName> {
        let Some(destination) = self.destinations.get(destination) else { return Vec::new() };
        match kind {
            ConflictKind::Match => destination.crm.people().into_iter().map(|person| person.object).collect(),
            ConflictKind::Company => vec![destination.crm.companies().object],
            ConflictKind::Field | ConflictKind::SharedRecord | ConflictKind::Invalid => Vec::new(),
        }
    }

    fn planned_by(&self, destination: &DestinationName) -> Option<PlannedBy> {
        let destination = self.destinations.get(destination)?;
        let fingerprint = destination.rules()?.fingerprint.clone();
        Some(PlannedBy { fingerprint, observed: destination.observes() })
    }

    async fn checks(&self) -> StoreResult<Vec<CheckReport>> {
        let mut reports: Vec<CheckReport> =
            self.destinations.values().filter_map(|destination| self.check_now(destination)).collect();
        for report in &mut reports {
            let Some(config) = self.configs.get(&report.destination) else { continue };
            let scope = ResyncScope {
                planned_otherwise_than: self.planned_by(&report.destination),
                ..ResyncScope::of(report.destination.clone(), config.sources.clone())
            };
            let counted = self.counts.findings(&*self.store, &scope, &config.records).await?;
            report.findings.extend(counted.into_iter().map(shown));
        }
        Ok(reports)
    }

    async fn order_link(&self, wish: &LinkWish) -> Result<Ordered, OrderError> {
        orders::link(&*self.store, self.destinations.get(&wish.destination), wish).await
    }

    async fn explain_lead(
        &self,
        destination: &DestinationName,
        lead: &LeadKey,
    ) -> Result<Option<Explained>, OrderError> {
        orders::explain(self.destinations.get(destination), lead).await
    }

    async fn erase(&self, lead: &LeadKey, crm: bool) -> Result<Option<Erasing>, OrderError> {
        let destinations: Vec<Arc<Destination>> = self.destinations.values().cloned().collect();
        // Refused requests that wait in memory may tell of it.
        Arc::clone(&self.holding).write_out(Arc::clone(&self.store)).await;
        orders::erase(&*self.store, &destinations, lead, crm, self.clock.now()).await
    }

    async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.reloads.ask().await
    }

    async fn start_resync(&self, scope: ResyncScope, by: &str) -> StoreResult<i64> {
        let total = self.store.count_resync(&scope).await?;
        let (started_at, told) = (self.clock.now(), scope_to_json(&scope));
        let run = NewRun { kind: "resync", by: by.to_owned(), started_at, scope: told, total };
        let run = self.store.create_run(&run).await?;
        if let Err(error) = self.carry_out(run, scope).await {
            warn!(run, "resync {run} begins in a moment: {error}");
        }
        info!(run, "resync {run} marks {total} leads");
        Ok(run)
    }

    async fn search_duplicates(&self, by: &str) -> StoreResult<Option<i64>> {
        Arc::clone(&self.duplicates).start(by).await
    }

    async fn cancel_run(&self, id: i64) -> StoreResult<bool> {
        let known = self.runs.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(cancel) = known
            && cancel.send(true).is_ok()
        {
            return Ok(true);
        }
        // Another process may work on it, and sees it at its next step.
        match self.store.load_run(id).await? {
            Some(run) if run.state == "running" => {
                let progress = RunProgress {
                    done: run.done,
                    position: run.position,
                    state: "cancelled",
                    detail: None,
                    now: self.clock.now(),
                };
                self.store.update_run(id, &progress).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

impl AppOperations {
    /// Goes on with the resyncs that nobody works on any more: of a process before this one, or of another one that died.
    pub async fn resume_runs(self: Arc<Self>) {
        let mut stopped = self.stopped.clone();
        let mut ticks = tokio::time::interval(LOOK_FOR_RUNS_EVERY);
        let mut failing = Sparsely::default();
        loop {
            tokio::select! {
                _ = stopped.changed() => return,
                _ = ticks.tick() => {}
            }
            match self.take_up_runs().await {
                Ok(()) => failing.reset(),
                Err(error) if failing.is_due() => {
                    warn!("resyncs that stand still are looked for again in a moment: {}", error.reason());
                }
                Err(_) => {}
            }
        }
    }

    async fn take_up_runs(&self) -> StoreResult<()> {
        let newest = Page { limit: RUNS_LOOKED_AT, cursor: None };
        let is_ours = |run: &RunRow| run.state == "running" && run.kind != duplicates::KIND;
        for run in self.store.list_runs(&newest).await?.items.into_iter().filter(is_ours) {
            let scope = scope_from_json(&run.scope).filter(|scope| self.configs.contains_key(&scope.destination));
            if let Some(scope) = scope {
                self.carry_out(run.id, scope).await?;
                continue;
            }
            let detail = Some(
                "its destination is not in the configuration any more, or a lead it was for was erased".to_owned(),
            );
            let (position, done) = (run.position, run.done);
            let progress = RunProgress { done, position, state: "cancelled", detail, now: self.clock.now() };
            self.store.update_run(run.id, &progress).await?;
        }
        Ok(())
    }

    /// Works on a run, unless this process or another one does so already.
    async fn carry_out(&self, run: i64, scope: ResyncScope) -> StoreResult<()> {
        let known = self.runs.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&run);
        if known || !is_ours(&*self.store, &self.clock, run).await? {
            return Ok(());
        }
        let (cancel, cancelled) = watch::channel(false);
        match self.runs.lock().unwrap_or_else(PoisonError::into_inner).entry(run) {
            Entry::Occupied(_) => return Ok(()),
            Entry::Vacant(place) => place.insert(cancel),
        };
        let (store, clock, stopped) = (Arc::clone(&self.store), self.clock.clone(), self.stopped.clone());
        let (resync, runs) = (Resync { store, run, scope, clock, cancelled, stopped }, Arc::clone(&self.runs));
        tokio::spawn(async move {
            resync.carry_out().await;
            runs.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_and_its_remedy_are_sentences() {
        let check = |reason, remedy, expected| assert_eq!(with_remedy(reason, remedy), expected);
        check("timed out", "Nothing; it is read again.", "timed out. Nothing need be done; it is read again.");
        check("it fails.", "Nothing if it passes.", "it fails. Nothing need be done if it passes.");
        check("refused (x)", "Give the user a role.", "refused (x). Give the user a role.");
    }
}
