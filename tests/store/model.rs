//! Random operations on a store and on a small model of what it promises; both must answer the same and look the same.
//!
//! `LEADRELAY_MODEL_CASES` says how many sequences are tried, `LEADRELAY_MODEL_SEED` which ones.

mod promises;

use std::collections::BTreeSet;
use std::sync::Arc;

use leadrelay::domain::ids::{EventId, LeadKey};
use leadrelay::domain::job::Class;
use leadrelay::domain::lead::{Lead, Stamp, Version, VersionElement};
use leadrelay::domain::plan::Choice;
use leadrelay::domain::time::Timestamp;
use leadrelay::store::*;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError, TestRunner};

use self::promises::{Promises, Stage, State};
use crate::fixture::*;

const LEADS: [&str; 3] = ["ada", "bob", "cy"];
const RECORDS: [&str; 2] = ["r1", "r2"];
const CASES: u32 = 40;
const SEED: u64 = 3;

on_both_stores! {
    any_sequence_of_operations_keeps_the_promises,
}

#[derive(Clone, Debug)]
enum Step {
    Accept {
        lead: usize,
        body: u8,
        sender_id: Option<u8>,
    },
    Claim {
        backfill: bool,
    },
    Announce {
        hand: usize,
    },
    Settle {
        hand: usize,
        end: End,
        link: Change,
        question: Option<u8>,
        moot: bool,
        open: bool,
        wrote: bool,
        looked: bool,
        twice: bool,
    },
    GiveBack {
        hand: usize,
        wait: i64,
    },
    MarkDirty {
        lead: usize,
        backfill: bool,
        forced: bool,
    },
    Answer {
        conflict: usize,
        stale: bool,
    },
    Fold {
        lead: usize,
        deleted: bool,
    },
    Pass {
        seconds: i64,
    },
    Recover {
        hand: Option<usize>,
    },
    CloseLate,
    ShortenWaits,
    RetryDead,
    DiscardDead,
    Pause {
        on: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum End {
    Done,
    Retry { failed: bool },
    Held { look_again: bool },
    Dead { refused: bool, look_again: bool },
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Keep,
    Put { record: usize, owner: bool, stale: bool },
    Remove { stale: bool },
    Release { stale: bool },
    PutAndRelease { record: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (lead, hand) = (0..LEADS.len(), 0..8usize);
    let end = prop_oneof![
        3 => Just(End::Done),
        2 => any::<bool>().prop_map(|failed| End::Retry { failed }),
        1 => any::<bool>().prop_map(|look_again| End::Held { look_again }),
        2 => any::<(bool, bool)>().prop_map(|(refused, look_again)| End::Dead { refused, look_again }),
    ];
    let (record, seldom) = (0..RECORDS.len(), prop::bool::weighted(0.2));
    let link = prop_oneof![
        3 => Just(Change::Keep),
        4 => (record.clone(), any::<bool>(), seldom)
            .prop_map(|(record, owner, stale)| Change::Put { record, owner, stale }),
        1 => seldom.prop_map(|stale| Change::Remove { stale }),
        1 => seldom.prop_map(|stale| Change::Release { stale }),
        1 => record.prop_map(|record| Change::PutAndRelease { record }),
    ];
    let settle = (hand.clone(), end, link, prop::option::weighted(0.3, 0..2u8), any::<[bool; 4]>(), seldom);
    let step = prop_oneof![
        6 => (lead.clone(), 0..2u8, prop::option::of(0..2u8))
            .prop_map(|(lead, body, sender_id)| Step::Accept { lead, body, sender_id }),
        6 => any::<bool>().prop_map(|backfill| Step::Claim { backfill }),
        4 => hand.clone().prop_map(|hand| Step::Announce { hand }),
        8 => settle.prop_map(|(hand, end, link, question, [moot, open, wrote, looked], twice)| {
            Step::Settle { hand, end, link, question, moot, open, wrote, looked, twice }
        }),
        2 => (hand.clone(), 0..200i64).prop_map(|(hand, wait)| Step::GiveBack { hand, wait }),
        2 => (lead.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(lead, backfill, forced)| Step::MarkDirty { lead, backfill, forced }),
        2 => (0..4usize, seldom).prop_map(|(conflict, stale)| Step::Answer { conflict, stale }),
        4 => (lead, prop::bool::weighted(0.4)).prop_map(|(lead, deleted)| Step::Fold { lead, deleted }),
        5 => prop::sample::select(vec![30, 100, 1_000, 90_000]).prop_map(|seconds| Step::Pass { seconds }),
        1 => prop::option::of(hand).prop_map(|hand| Step::Recover { hand }),
        1 => Just(Step::CloseLate),
        1 => Just(Step::ShortenWaits),
        1 => Just(Step::RetryDead),
        1 => Just(Step::DiscardDead),
        1 => any::<bool>().prop_map(|on| Step::Pause { on }),
    ];
    prop::collection::vec(step, 20..100)
}

async fn any_sequence_of_operations_keeps_the_promises(fixture: Fixture) {
    let number = |name, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let (cases, seed) = (number("LEADRELAY_MODEL_CASES", CASES.into()), number("LEADRELAY_MODEL_SEED", SEED));
    println!("{cases} sequences of LEADRELAY_MODEL_SEED={seed}");
    let config = ProptestConfig {
        cases: cases as u32,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    let run = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Handle::current();
        TestRunner::new(config).run(&steps(), |steps| runtime.block_on(play(&fixture, &steps)))
    });
    if let Err(failed) = run.await.unwrap() {
        panic!("{failed}");
    }
}

async fn play(fixture: &Fixture, steps: &[Step]) -> Result<(), TestCaseError> {
    fixture.clear().await;
    let mut pair = Pair::new(Arc::clone(&fixture.store));
    for step in steps {
        pair.now = pair.now.after(std::time::Duration::from_secs(1));
        pair.take(step).await?;
    }
    pair.compare(fixture).await
}

/// A job that a worker has, or believes to have.
struct Hand {
    token: LeaseToken,
    job: ClaimedJob,
    wanted_in_model: i64,
    intents: Vec<IntentId>,
}

/// The store beside the model of it.
struct Pair {
    store: Arc<dyn Store>,
    model: Promises,
    /// The numbers of the model's events.
    events: Vec<EventId>,
    hands: Vec<Hand>,
    paused: bool,
    now: Timestamp,
}

impl Pair {
    fn new(store: Arc<dyn Store>) -> Self {
        let (events, hands) = (Vec::new(), Vec::new());
        Self { store, model: Promises::default(), events, hands, paused: false, now: secs(1_000_000) }
    }

    fn in_seconds(&self, seconds: i64) -> Timestamp {
        secs(self.now.as_seconds() + seconds)
    }

    /// Where in the list a number points; `None`: nowhere.
    fn hand(&self, number: usize) -> Option<usize> {
        (!self.hands.is_empty()).then(|| number % self.hands.len())
    }

    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let now = self.now;
        match *step {
            Step::Accept { lead, body, sender_id } => {
                let event = event(LEADS[lead], &format!("{} {body}", LEADS[lead]));
                let event = NewEvent { received_at: now, sender_id: sender_id.map(|id| id.to_string()), ..event };
                let repeated = self.model.accept(&event);
                let receipt = self.store.accept_events(vec![event]).await.unwrap().remove(0);
                prop_assert_eq!(receipt.duplicate, repeated.is_some());
                match repeated {
                    Some(place) => prop_assert_eq!(receipt.id, self.events[place]),
                    None => self.events.push(receipt.id),
                }
            }
            Step::Claim { backfill } => {
                let claim = Claim { backfill, now, lease_ends_at: self.in_seconds(90), ..claim(0) };
                let mut jobs = self.store.claim_jobs(&claim).await.unwrap();
                jobs.sort_by(|one, other| one.lead.cmp(&other.lead));
                let expected = self.model.claim(&claim);
                // That it moves is a promise, not by how much.
                let apart = |jobs: &[ClaimedJob]| -> Vec<_> {
                    jobs.iter().map(|job| ClaimedJob { wanted: 0, ..job.clone() }).collect()
                };
                prop_assert_eq!(apart(&jobs), apart(&expected));
                let hand = |(job, expected): (ClaimedJob, ClaimedJob)| Hand {
                    token: claim.token,
                    job,
                    wanted_in_model: expected.wanted,
                    intents: Vec::new(),
                };
                self.hands.extend(jobs.into_iter().zip(expected).map(hand));
            }
            Step::Announce { hand } => {
                let Some(hand) = self.hand(hand) else { return Ok(()) };
                let until = self.in_seconds(90);
                let Hand { token, job, intents, .. } = &mut self.hands[hand];
                let announcement = announcement(*token, job.lead.id.as_str(), 0);
                let announcement = Announcement { now, lease_ends_at: until, ..announcement };
                let announced = self.store.announce(&announcement).await.unwrap().remove(0);
                prop_assert_eq!(announced.is_some(), self.model.announce(&job.lead, *token, now, until));
                if let Some(announced) = announced {
                    self.model.announced(announced.intent, &job.lead, *token);
                    intents.push(announced.intent);
                }
            }
            Step::Settle { hand, end, link, question, moot, open, wrote, looked, twice } => {
                let Some(hand) = self.hand(hand) else { return Ok(()) };
                let settlement = Settlement {
                    end: self.end(end),
                    link: self.change(link, &self.hands[hand].job.lead),
                    questions: question
                        .into_iter()
                        .map(|detail| crate::fixture::question(&detail.to_string()))
                        .collect(),
                    moot: if moot && question.is_none() { self.seen_conflicts(hand) } else { Vec::new() },
                    intents: self.intents(hand, open),
                    wrote,
                    looked,
                    now,
                    ..settlement(self.hands[hand].token, &self.hands[hand].job, now.as_seconds())
                };
                let wanted = self.hands[hand].wanted_in_model;
                let expected = self.model.settle(&Settlement { wanted, ..settlement.clone() });
                let settled = self.store.settle(vec![settlement]).await.remove(0).unwrap();
                prop_assert_eq!(settled, expected);
                self.number_conflicts().await?;
                // A worker may come a second time.
                if !twice {
                    self.hands.remove(hand);
                }
            }
            Step::GiveBack { hand, wait } => {
                let Some(hand) = self.hand(hand) else { return Ok(()) };
                let Hand { token, job, .. } = &self.hands[hand];
                let waiting_since = (wait > 100).then_some(now);
                let (lead, due_at) = (job.lead.clone(), self.in_seconds(wait));
                let back = GiveBack { destination: crm(), lead, token: *token, due_at, waiting_since };
                self.model.give_back(&back);
                self.store.give_back(&[back]).await.unwrap();
            }
            Step::MarkDirty { lead, backfill, forced } => {
                let class = if backfill { Class::Backfill } else { Class::Live };
                let mark = DirtyMark { destination: crm(), leads: vec![key(LEADS[lead])], class, now, forced };
                self.model.mark_dirty(&mark);
                prop_assert_eq!(self.store.mark_dirty(&mark).await.unwrap(), 1);
            }
            Step::Answer { conflict, stale } => {
                let Some(conflict) = self.model.conflicts.get(conflict) else { return Ok(()) };
                let (id, revision) = (conflict.id, conflict.revision - i64::from(stale));
                let choice = Choice::Lead;
                let answer =
                    Answer { conflict: id, revision: Some(revision), choice, note: None, by: "ops".to_owned(), now };
                let answered = self.store.resolve_conflict(&answer).await.unwrap();
                prop_assert_eq!(matches!(answered, Answered::Done(_)), self.model.answer(id, revision, now));
            }
            Step::Fold { lead, deleted } => {
                let key = key(LEADS[lead]);
                let work = self.store.load_work(&crm(), std::slice::from_ref(&key)).await.unwrap().remove(0);
                let fold = FoldedLead { lead: as_folded(&key, deleted, now), ..folded(&work) };
                prop_assert_eq!(self.store.save_leads(&[fold]).await.unwrap(), [true]);
                self.model.fold(&key, deleted);
            }
            Step::Pass { seconds } => self.now = self.in_seconds(seconds),
            Step::Recover { hand } => {
                let batch = hand.and_then(|hand| self.hand(hand)).map(|hand| LeasesOf::Batch(self.hands[hand].token));
                let whose = batch.unwrap_or(LeasesOf::DeadProcess);
                prop_assert_eq!(self.store.recover_leases(whose, now).await.unwrap(), self.model.recover(whose, now));
            }
            Step::CloseLate => {
                prop_assert_eq!(self.store.close_late_intents(now).await.unwrap(), self.model.close_late(now));
            }
            Step::ShortenWaits => {
                let latest = self.in_seconds(60);
                prop_assert_eq!(self.store.shorten_waits(latest).await.unwrap(), self.model.shorten_waits(latest));
            }
            Step::RetryDead => {
                let retried = self.store.retry_dead_letters(&DeadLetterFilter::default(), now).await.unwrap();
                prop_assert_eq!(retried, self.model.retry_dead(now));
            }
            Step::DiscardDead => {
                let filter = DeadLetterFilter::default();
                let discarded = self.store.discard_dead_letters(&filter, "ops", now).await.unwrap();
                prop_assert_eq!(discarded, self.model.discard_dead());
            }
            Step::Pause { on } => {
                if on {
                    let pause = Pause { destination: crm(), by: "ops".to_owned(), note: None, since: now, until: None };
                    self.store.pause(&pause).await.unwrap();
                } else {
                    prop_assert_eq!(self.store.resume(&crm(), "ops", now).await.unwrap(), self.paused);
                }
                self.paused = on;
            }
        }
        Ok(())
    }

    fn end(&self, end: End) -> JobEnd {
        let later = |look_again: bool| look_again.then(|| self.in_seconds(500));
        match end {
            End::Done => JobEnd::Done,
            End::Retry { failed } => retry(self.in_seconds(20), failed),
            End::Held { look_again } => {
                let (code, detail) = ("match".to_owned(), "who?".to_owned());
                JobEnd::Held { code, detail, look_again_at: later(look_again) }
            }
            End::Dead { refused, look_again } => {
                let (fingerprint, code) = ("f".to_owned(), "TOO_LONG".to_owned());
                let refusal = refused.then(|| Refusal { fingerprint, code: code.clone(), at: self.now, tries: 0 });
                JobEnd::Dead { code, detail: "no".to_owned(), refusal, look_again_at: later(look_again) }
            }
        }
    }

    fn change(&self, change: Change, lead: &LeadKey) -> LinkChange {
        let revision = self.model.links.get(lead).map(|link| link.revision);
        match change {
            Change::Keep => LinkChange::Keep,
            Change::Put { record, owner, stale } => {
                let planned_with = if stale { revision.map_or(Some(1), |_| None) } else { revision };
                LinkChange::Put { link: link(RECORDS[record], owner), planned_with }
            }
            Change::Remove { stale } => LinkChange::Remove { planned_with: revision.unwrap_or(1) + i64::from(stale) },
            Change::Release { stale } => LinkChange::Release { planned_with: revision.unwrap_or(1) + i64::from(stale) },
            Change::PutAndRelease { record } => {
                LinkChange::PutAndRelease { link: link(RECORDS[record], true), planned_with: revision }
            }
        }
    }

    fn intents(&self, hand: usize, open: bool) -> Vec<(IntentId, IntentEnd)> {
        let end = if open { IntentEnd::OpenUntil(self.in_seconds(900)) } else { IntentEnd::Closed };
        self.hands[hand].intents.iter().map(|intent| (*intent, end)).collect()
    }

    fn seen_conflicts(&self, hand: usize) -> Vec<OpenConflict> {
        let (kind, field) = (question("").kind, question("").field);
        let of = |conflict: &&promises::Conflict| conflict.lead == self.hands[hand].job.lead;
        let seen = self.model.conflicts.iter().filter(of).map(|conflict| OpenConflict {
            id: conflict.id,
            kind,
            field: field.clone(),
            revision: conflict.revision,
        });
        seen.collect()
    }

    /// Tells the model the number of a conflict that was opened.
    async fn number_conflicts(&mut self) -> Result<(), TestCaseError> {
        for conflict in self.model.conflicts.iter_mut().filter(|conflict| conflict.id == 0) {
            let work = self.store.load_work(&crm(), std::slice::from_ref(&conflict.lead)).await.unwrap().remove(0);
            prop_assert_eq!(work.open_conflicts.len(), 1);
            conflict.id = work.open_conflicts[0].id;
        }
        Ok(())
    }

    /// Everything that can be seen of the store is as the model says.
    async fn compare(&self, fixture: &Fixture) -> Result<(), TestCaseError> {
        let (store, model) = (&self.store, &self.model);
        let keys = LEADS.map(key);
        for work in store.load_work(&crm(), &keys).await.unwrap() {
            self.compare_work(&work)?;
            let Some(view) = store.load_lead(&work.key).await.unwrap() else { continue };
            let jobs: Vec<_> = view.jobs.iter().map(|job| (job.state, job.class, job.attempt, job.due_at)).collect();
            let said = |job: &promises::Job| {
                (word(job), job.class, job.attempt, (job.state == State::Owed).then_some(job.due))
            };
            prop_assert_eq!(jobs, model.jobs.get(&work.key).map(said).into_iter().collect::<Vec<_>>());
            let owed: Vec<_> = view.jobs.iter().map(|job| (job.owed_since, job.code.clone())).collect();
            let said = model.jobs.get(&work.key).map(|job| (job.owed_since, job.code.clone()));
            prop_assert_eq!(owed, said.into_iter().collect::<Vec<_>>());
        }
        let owner = |record| {
            model.owner(record).map(|lead| RecordOwner { deleted: model.is_deleted(&lead), excluded: false, lead })
        };
        let owners = store.find_owners(&crm(), &RECORDS.map(record)).await.unwrap();
        prop_assert_eq!(owners, RECORDS.map(owner));
        let due = |job: &promises::Job| if job.state == State::Owed { Some(job.due) } else { job.look_again };
        prop_assert_eq!(store.next_due(&crm()).await.unwrap(), model.jobs.values().filter_map(due).min());
        let open = store.find_open_creates(&crm(), &[], Timestamp::from_seconds(1)).await.unwrap();
        let open: BTreeSet<_> = open.into_iter().map(|create| create.lead).collect();
        let may_land = |intent: &&promises::Open| {
            matches!(intent.stage, Stage::UnderWay | Stage::MayLandUntil(_)) && !model.links.contains_key(&intent.lead)
        };
        prop_assert_eq!(open, model.intents.iter().filter(may_land).map(|intent| intent.lead.clone()).collect());
        prop_assert_eq!(fixture.count("SELECT count(*) FROM sync_log").await, model.log_rows as i64);
        prop_assert_eq!(fixture.count("SELECT count(*) FROM events").await, model.events.len() as i64);
        prop_assert_eq!(store.load_pauses().await.unwrap().len(), usize::from(self.paused));
        self.compare_figures().await
    }

    fn compare_work(&self, work: &Work) -> Result<(), TestCaseError> {
        let (model, lead) = (&self.model, &work.key);
        let unfolded: Vec<_> = work.unfolded.iter().map(|event| event.received_at).collect();
        prop_assert_eq!(unfolded, model.unfolded(lead).map(|event| event.received_at).collect::<Vec<_>>());
        let revision = work.lead.as_ref().map(|(lead, revision)| (*revision, lead.is_deleted()));
        prop_assert_eq!(revision, model.leads.get(lead).copied());
        let link = work.link.as_ref().map(|link| (link.record.id.as_str(), link.owner, link.revision));
        let said = model.links.get(lead).map(|link| (link.record.as_str(), link.owner, link.revision));
        prop_assert_eq!(link, said);
        let intents: Vec<_> = work.intents.iter().map(|intent| intent.id).collect();
        let said = model.intents.iter().filter(|intent| intent.lead == *lead).map(|intent| intent.id);
        prop_assert_eq!(intents, said.collect::<Vec<_>>());
        let conflicts: Vec<_> = work.open_conflicts.iter().map(|conflict| (conflict.id, conflict.revision)).collect();
        let of = |conflict: &&promises::Conflict| conflict.lead == *lead && conflict.open;
        let said = model.conflicts.iter().filter(of).map(|conflict| (conflict.id, conflict.revision));
        prop_assert_eq!(conflicts, said.collect::<Vec<_>>());
        let answered = model.conflicts.iter().any(|conflict| conflict.lead == *lead && conflict.answered);
        prop_assert_eq!(work.resolutions.len(), usize::from(answered));
        Ok(())
    }

    async fn compare_figures(&self) -> Result<(), TestCaseError> {
        let figures = self.store.queue_figures(self.now).await.unwrap();
        let figures = figures.into_iter().next().unwrap_or_else(|| QueueFigures::empty(crm()));
        let count = |state| self.model.jobs.values().filter(|job| word(job) == state).count() as u64;
        let counts = [figures.ready, figures.leased, figures.retrying, figures.held, figures.dead];
        prop_assert_eq!(counts, ["ready", "leased", "retrying", "held", "dead"].map(count));
        let owed = || self.model.jobs.values().filter(|job| job.state == State::Owed);
        prop_assert_eq!(figures.oldest, owed().map(|job| job.owed_since).min());
        let trying = owed().flat_map(|job| job.first_failed.into_iter().chain(job.waiting_since));
        prop_assert_eq!(figures.oldest_retry, trying.min());
        Ok(())
    }
}

/// The word for a job's state in lists and figures.
fn word(job: &promises::Job) -> &'static str {
    match (job.state, job.token, job.first_failed) {
        (State::Held, ..) => "held",
        (State::Dead, ..) => "dead",
        (_, Some(_), _) => "leased",
        (_, None, Some(_)) => "retrying",
        _ => "ready",
    }
}

/// A lead as folding would leave it, alive or deleted.
fn as_folded(key: &LeadKey, deleted: bool, now: Timestamp) -> Lead {
    let version = Version { elements: vec![VersionElement::At(now)], rest: VersionElement::Infinite };
    let stamp = Stamp { version, arrived_at: now, arrival: EventId(1) };
    let mut lead = Lead::new(key.clone());
    if deleted {
        lead.deleted = Some(stamp);
    } else {
        lead.latest = Some(stamp);
    }
    lead
}
