//! Recording what came of attempts: log, link, conflicts, intents and job of each lead, together.
//!
//! Every transaction locks the jobs first, in key order, and whatever changes a lead's link, conflicts or intents holds its
//! job: so settlements neither overtake nor entangle one another.

pub(super) mod heirs;
mod intents;
pub(super) mod jobs;
mod left_alone;
pub(super) mod links;
mod questions;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use sqlx::PgConnection;

use super::PostgresStore;
use super::append::append_decided;
use super::dirty::{self, Why};
use super::erase;
use super::recover::{Unsettled, open_unsettled};
use crate::domain::ids::{DestinationName, LeadKey};
use crate::domain::job::Class;
use crate::domain::time::Timestamp;
use crate::store::decided::Decided;
use crate::store::{JobEnd, LinkChange, NewLogRow, Settled, Settlement, StoreError, StoreResult};
use jobs::Locked;
use links::Change;

/// When a lead is tried again whose settlement the database refused.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(300);

/// How often the heir of a record may turn out to be another one than was locked.
const HEIRS: usize = 5;

/// A settlement, and the decisions of its log rows as they are stored.
struct Part {
    settlement: Settlement,
    decided: Vec<Decided>,
}

impl From<Settlement> for Part {
    fn from(settlement: Settlement) -> Self {
        Self { decided: settlement.log.iter().map(Decided::of).collect(), settlement }
    }
}

/// What becomes of one settlement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The lease is somebody else's by now.
    Lost,
    /// The same, and an earlier try may have recorded it: there is nothing to do.
    Over,
    /// The link moved meanwhile, or another lead owns the record.
    Unlinked,
    /// `moved`: the lead has changed since it was planned.
    Linked { moved: bool },
}

pub(super) async fn settle(store: &PostgresStore, settlements: Vec<Settlement>) -> Vec<StoreResult<Settled>> {
    let parts: Vec<Part> = settlements.into_iter().map(Part::from).collect();
    let mut settled: Vec<StoreResult<Settled>> = Vec::with_capacity(parts.len());
    let mut left = &parts[..];
    while !left.is_empty() {
        let (run, rest) = left.split_at(independent(left));
        settled.extend(settle_run(store, run).await);
        left = rest;
        if let Some(Err(StoreError::Unavailable(reason))) = settled.last() {
            // The rest was not begun.
            let unavailable = left.iter().map(|_| Err(StoreError::Unavailable(reason.clone()))).collect::<Vec<_>>();
            settled.extend(unavailable);
            break;
        }
    }
    store.wake_workers();
    settled
}

/// How many settlements from the front on have neither a lead nor a record in common. One that hands a record over stands
/// alone.
fn independent(parts: &[Part]) -> usize {
    let (mut leads, mut records) = (HashSet::new(), HashSet::new());
    let depends = |part: &Part| {
        let settlement = &part.settlement;
        let destination = settlement.destination.clone();
        match &settlement.link {
            LinkChange::Release { .. } | LinkChange::PutAndRelease { .. } | LinkChange::Drop { .. } => return true,
            LinkChange::Put { link, .. } if !records.insert((destination.clone(), link.record.id.clone())) => {
                return true;
            }
            LinkChange::Put { .. } | LinkChange::Remove { .. } | LinkChange::Keep => {}
        }
        !leads.insert((destination, settlement.lead.clone()))
    };
    parts.iter().position(depends).unwrap_or(parts.len()).max(1)
}

/// Settles leads that do not depend on one another, in one transaction if that works.
async fn settle_run(store: &PostgresStore, run: &[Part]) -> Vec<StoreResult<Settled>> {
    let together = match run {
        [_] => vec![None],
        _ => match settle_together(store, run).await {
            Ok(settled) => settled,
            Err(StoreError::Database(_) | StoreError::Corrupt { .. }) => vec![None; run.len()],
            Err(error) => {
                let reason = error.reason();
                return run.iter().map(|_| Err(StoreError::Unavailable(reason.clone()))).collect();
            }
        },
    };
    let mut settled = Vec::with_capacity(run.len());
    for (part, done) in run.iter().zip(together) {
        settled.push(match done {
            Some(done) => Ok(done),
            None => settle_or_postpone(store, part).await,
        });
    }
    settled
}

/// Settles leads in one transaction. `None`: nothing was recorded of that one, since its link was not simply put; it has to
/// be settled alone.
async fn settle_together(store: &PostgresStore, run: &[Part]) -> StoreResult<Vec<Option<Settled>>> {
    let mut tx = store.pool.begin().await?;
    let locked = jobs::lock(&mut tx, run.iter().map(key)).await?;
    let mut fates: Vec<Option<Fate>> = run.iter().zip(&locked).map(|(part, job)| first_fate(part, *job)).collect();
    let held = |fates: &[Option<Fate>]| -> Vec<usize> {
        (0..run.len()).filter(|nth| matches!(fates[*nth], Some(Fate::Linked { .. }))).collect()
    };
    let to_link = held(&fates);
    let linked = links::put_all(&mut tx, &to_link.iter().map(|nth| &run[*nth].settlement).collect::<Vec<_>>()).await?;
    for (nth, linked) in to_link.into_iter().zip(linked) {
        if !linked {
            fates[nth] = None;
        }
    }
    let decided: Vec<(&Part, Fate)> =
        run.iter().zip(&fates).filter_map(|(part, fate)| Some((part, (*fate)?))).collect();
    record(&mut tx, &decided, None).await?;
    tx.commit().await?;
    Ok(run.iter().zip(fates).map(|(part, fate)| fate.map(|fate| settled(&part.settlement, fate))).collect())
}

/// What the job alone says. `None`: a job has to be made anew, which must not be done while others are locked.
fn first_fate(part: &Part, job: Option<Locked>) -> Option<Fate> {
    let settlement = &part.settlement;
    match job {
        Some(job) if job.token == Some(settlement.token) => {
            Some(Fate::Linked { moved: job.wanted != settlement.wanted })
        }
        _ if settlement.again => Some(Fate::Over),
        None if settlement.wrote => None,
        _ => Some(Fate::Lost),
    }
}

/// Settles one lead. What the database refuses for a reason of this lead must neither take its neighbours with it nor be
/// tried again at once, since each try costs CRM calls.
async fn settle_or_postpone(store: &PostgresStore, part: &Part) -> StoreResult<Settled> {
    let settlement = &part.settlement;
    let error = match settle_alone(store, part).await {
        Err(error @ (StoreError::Database(_) | StoreError::Corrupt { .. })) => error,
        settled => return settled,
    };
    let (lead, destination) = (&settlement.lead, &settlement.destination);
    tracing::error!(lead.id = %lead.id, %destination, "cannot record the sync of {lead} to {destination}: {error}");
    let mut tx = store.pool.begin().await?;
    jobs::postpone(&mut tx, settlement, settlement.now.after(TRY_AGAIN_AFTER), &error).await?;
    let not_recorded = Unsettled {
        of: Some(settlement.token),
        lead: Some(lead),
        code: "not_recorded",
        detail: "the database refused to record what became of it; the record is read again",
    };
    open_unsettled(&mut tx, &not_recorded, settlement.now).await?;
    tx.commit().await?;
    Ok(Settled::Failed)
}

/// Settles one lead in a transaction of its own.
///
/// Who inherits a record is only known with the lead's job locked, and the heir's job has to be locked in key order, too:
/// so the transaction is begun anew when the heir is another one than was thought.
async fn settle_alone(store: &PostgresStore, part: &Part) -> StoreResult<Settled> {
    let mut heir = None;
    for _ in 0..HEIRS {
        let mut tx = store.pool.begin().await?;
        let (fate, change) = change_alone(&mut tx, part, heir.as_ref()).await?;
        if change.heir == heir {
            record(&mut tx, &[(part, fate)], change.log.as_ref()).await?;
            tx.commit().await?;
            return Ok(settled(&part.settlement, fate));
        }
        tx.rollback().await?;
        heir = change.heir;
    }
    Err(StoreError::Unavailable("the heirs of a record keep changing".to_owned()))
}

/// Locks the job, and the heir's if there is one, and changes the link. Where somebody else than `heir` inherits the record
/// by now, the transaction has to be taken back.
async fn change_alone(db: &mut PgConnection, part: &Part, heir: Option<&LeadKey>) -> StoreResult<(Fate, Change)> {
    let settlement = &part.settlement;
    let (before, after) = match heir {
        Some(heir) if *heir < settlement.lead => (Some(heir), None),
        other => (None, other),
    };
    if let Some(heir) = before {
        dirty::touch(db, &settlement.destination, heir, Class::Live, settlement.now, Why::News).await?;
    }
    let job = jobs::lock(db, [key(part)].into_iter()).await?.into_iter().next().flatten();
    if let Some(heir) = after {
        dirty::touch(db, &settlement.destination, heir, Class::Live, settlement.now, Why::News).await?;
    }
    match first_fate(part, job) {
        Some(fate @ Fate::Linked { .. }) => {
            let change = links::change(db, settlement, heir).await?;
            Ok((if change.linked { fate } else { Fate::Unlinked }, change))
        }
        fate => Ok((fate.unwrap_or(Fate::Lost), Change::default())),
    }
}

/// Records all but the links, which were changed already, and what the log says of a hand-over.
async fn record(db: &mut PgConnection, parts: &[(&Part, Fate)], handed_over: Option<&NewLogRow>) -> StoreResult<()> {
    let lost = parts.iter().filter(|(_, fate)| *fate == Fate::Lost).map(|(part, _)| part.settlement.lead.clone());
    let lost: Vec<LeadKey> = lost.collect();
    let erased = if lost.is_empty() { BTreeMap::new() } else { erase::find_erased(db, &lost).await? };
    // A lead that was erased while it was in hand: what the attempt knows of it goes, too.
    let is_kept = |(part, fate): &&(&Part, Fate)| *fate != Fate::Over && !erased.contains_key(&part.settlement.lead);
    let parts: Vec<(&Part, Fate)> = parts.iter().filter(is_kept).copied().collect();
    let settlements: Vec<_> = parts.iter().map(|(part, fate)| (&part.settlement, *fate)).collect();
    touch_lost(db, &settlements).await?;
    for (settlement, fate) in &settlements {
        if let Fate::Linked { moved } = fate {
            questions::ask(db, settlement, *moved).await?;
            questions::close_moot(db, settlement).await?;
        }
    }
    intents::end(db, &settlements).await?;
    left_alone::note(db, &settlements).await?;
    jobs::end(db, &settlements).await?;
    let handed_over = handed_over.map(|row| (row, Decided::of(row)));
    let rows = parts.iter().flat_map(|(part, _)| part.settlement.log.iter().zip(&part.decided));
    let rows: Vec<_> = rows.chain(handed_over.iter().map(|(row, decided)| (*row, decided))).collect();
    append_decided(db, &rows).await
}

/// What was written under a lost lease has to be read once more.
async fn touch_lost(db: &mut PgConnection, settlements: &[(&Settlement, Fate)]) -> StoreResult<()> {
    let mut lost: BTreeMap<(&DestinationName, Timestamp), BTreeSet<LeadKey>> = BTreeMap::new();
    for (settlement, fate) in settlements {
        if *fate == Fate::Lost && settlement.wrote {
            lost.entry((&settlement.destination, settlement.now)).or_default().insert(settlement.lead.clone());
        }
    }
    for ((destination, now), leads) in lost {
        let leads: Vec<LeadKey> = leads.into_iter().collect();
        dirty::touch_many(db, destination, &leads, Class::Live, now, Why::News).await?;
    }
    Ok(())
}

fn settled(settlement: &Settlement, fate: Fate) -> Settled {
    match fate {
        Fate::Lost | Fate::Over => Settled::LeaseLost,
        Fate::Unlinked => Settled::Recorded { again: true },
        Fate::Linked { moved } => Settled::Recorded { again: moved && !matches!(settlement.end, JobEnd::Retry { .. }) },
    }
}

fn key(part: &Part) -> (&DestinationName, &LeadKey) {
    (&part.settlement.destination, &part.settlement.lead)
}
