//! What planning needs of many leads, from the rows of either database. Each row names a lead by its `place` in the list that
//! was asked for, from 0.

use std::collections::{BTreeMap, HashMap};

use super::cells::{Cells, StoredRow};
use super::listed::read_lead;
use super::stored::{answer_from_json, headers_from_json, left_out_from_json, pairs_from_json, question_from_json};
use super::{EventKind, OpenConflict, StoreResult, StoredEvent, Work};
use crate::domain::headers::received_at;
use crate::domain::ids::{EventId, FieldName, LeadKey, ObjectName, RecordId, RecordRef};
use crate::domain::matching::MatchedBy;
use crate::domain::plan::{ConflictKind, Intent, Link};
use crate::domain::time::Timestamp;

/// The most events and bytes of one lead in one step, and the most bytes in all. Each lead has at least one event.
pub(super) const MAX_EVENTS: usize = 500;
const MAX_BYTES: i64 = 4 << 20;
const MAX_BYTES_IN_ALL: i64 = 32 << 20;

/// The place that a row names, if there is one.
pub(super) fn place<R: StoredRow>(row: &R, work: &[Work]) -> StoreResult<usize> {
    let cells = Cells::new(row, "the leads asked for", "?");
    let place = cells.count("place")?;
    if place < work.len() { Ok(place) } else { Err(cells.corrupt("place")) }
}

pub(super) fn take_leads<R: StoredRow>(rows: &[R], work: &mut [Work]) -> StoreResult<()> {
    for row in rows {
        let work = &mut work[place(row, work)?];
        let cells = Cells::new(row, "leads", &work.key);
        work.lead = Some((read_lead(row, &work.key)?, cells.get("revision")?));
        work.excluded = cells.get("excluded")?;
    }
    Ok(())
}

/// How much of each lead's unfolded events was chosen for this step.
#[derive(Default)]
pub(super) struct Step {
    in_all: i64,
    by_place: HashMap<usize, (usize, i64)>,
}

impl Step {
    /// Whether the lead's next event fits; if one does not, none after it does.
    pub(super) fn takes(&mut self, place: usize, size: i64, work: &mut [Work]) -> bool {
        let (events, bytes) = self.by_place.entry(place).or_default();
        let full = *events >= MAX_EVENTS || *bytes + size > MAX_BYTES || self.in_all + size > MAX_BYTES_IN_ALL;
        if work[place].more_events || (full && *events > 0) {
            work[place].more_events = true;
            return false;
        }
        *events += 1;
        *bytes += size;
        self.in_all += size;
        true
    }
}

/// By lead and content: the first event of those that came more than once, and when it came.
pub(super) type FirstCopies = HashMap<(usize, Vec<u8>), (EventId, Timestamp)>;

pub(super) fn read_copies<R: StoredRow>(rows: &[R], work: &[Work]) -> StoreResult<FirstCopies> {
    let copies = rows.iter().map(|row| {
        let (cells, id) = Cells::numbered(row, "events")?;
        let kept: Option<&str> = cells.get("headers")?;
        let came_at = kept.and_then(|kept| headers_from_json(kept).ok()).and_then(|headers| received_at(&headers));
        let at = came_at.map_or_else(|| cells.get("received_at"), Ok)?;
        Ok(((place(row, work)?, cells.get("content_hash")?), (EventId(id), at)))
    });
    copies.collect()
}

pub(super) fn take_events<R: StoredRow>(rows: &[R], copies: &FirstCopies, work: &mut [Work]) -> StoreResult<()> {
    for row in rows {
        let place = place(row, work)?;
        let (cells, id) = Cells::numbered(row, "events")?;
        let first_copy = copies.get(&(place, cells.get("content_hash")?)).copied();
        work[place].unfolded.push(StoredEvent {
            id: EventId(id),
            kind: cells.parse("kind", EventKind::parse)?,
            received_at: cells.get("received_at")?,
            headers: Cells::new(row, "bodies", id).json("headers", headers_from_json)?,
            body: cells.get::<Vec<u8>>("body")?.into(),
            first_copy: first_copy.filter(|(first, _)| first.0 < id),
        });
    }
    Ok(())
}

pub(super) fn take_links<R: StoredRow>(rows: &[R], work: &mut [Work]) -> StoreResult<()> {
    for row in rows {
        let work = &mut work[place(row, work)?];
        work.link = Some(read_link(row, &work.key)?);
    }
    Ok(())
}

pub(super) fn read_link<R: StoredRow>(row: &R, key: &LeadKey) -> StoreResult<Link> {
    let cells = Cells::new(row, "links", key);
    Ok(Link {
        record: cells.record("object", "record_id")?,
        matched_by: cells.parse("matched_by", MatchedBy::parse)?,
        owner: cells.get("owner")?,
        bases: cells.json("bases", pairs_from_json)?,
        kept: cells.json("kept", pairs_from_json)?,
        left_out: cells.json("left_out", left_out_from_json)?,
        in_doubt: cells.get("in_doubt")?,
        fingerprint: cells.get("fingerprint")?,
        revision: cells.get("revision")?,
    })
}

pub(super) fn take_intents<R: StoredRow>(rows: &[R], work: &mut [Work]) -> StoreResult<()> {
    for row in rows {
        let (cells, id) = Cells::numbered(row, "intents")?;
        let object: ObjectName = cells.get("object")?;
        let record: Option<RecordId> = cells.get("record_id")?;
        work[place(row, work)?].intents.push(Intent {
            id,
            request_id: cells.get("request_id")?,
            record: record.map(|id| RecordRef { object: object.clone(), id }),
            object,
            rows: cells.json("value_pairs", pairs_from_json)?,
            announced_at: cells.get("announced_at")?,
        });
    }
    Ok(())
}

/// The open conflicts, and the newest answer to each question.
pub(super) fn take_conflicts<R: StoredRow>(rows: &[R], work: &mut [Work]) -> StoreResult<()> {
    let mut answered: BTreeMap<(usize, ConflictKind, Option<FieldName>), _> = BTreeMap::new();
    for row in rows {
        let place = place(row, work)?;
        let (cells, id) = Cells::numbered(row, "conflicts")?;
        let kind = cells.parse("kind", ConflictKind::parse)?;
        let field: &str = cells.get("field")?;
        let field = (!field.is_empty()).then(|| FieldName::from(field));
        if cells.get::<&str>("state")? == "open" {
            work[place].open_conflicts.push(OpenConflict { id, kind, field, revision: cells.get("revision")? });
            continue;
        }
        let question = cells.json("question", |json| question_from_json(kind, field.clone(), json))?;
        let answer = cells.json("answer", answer_from_json)?;
        answered.insert((place, kind, field), answer.resolve(&question));
    }
    for ((place, ..), resolution) in answered {
        work[place].resolutions.push(resolution);
    }
    Ok(())
}
