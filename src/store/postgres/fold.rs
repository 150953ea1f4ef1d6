//! Saving folded leads.

use std::collections::{BTreeMap, HashSet};

use super::PostgresStore;
use super::rows::{self, readable_option};
use super::time::Time;
use crate::domain::ids::LeadKey;
use crate::domain::time::Timestamp;
use crate::store::{FoldedLead, StoreResult};

/// The most leads that are saved in one commit.
const PIECE: usize = 500;

/// What is kept of a name or an address for finding the lead by it: as much as an index can hold. The document has all.
const MOST_INDEXED_BYTES: usize = 2000;

pub(super) async fn save(store: &PostgresStore, folded: &[FoldedLead]) -> StoreResult<Vec<bool>> {
    // A second fold of a lead cannot be at its revision any more.
    let mut in_order: BTreeMap<&LeadKey, (usize, &FoldedLead)> = BTreeMap::new();
    for (place, folded) in folded.iter().enumerate() {
        in_order.entry(&folded.lead.key).or_insert((place, folded));
    }
    let in_order: Vec<(usize, &FoldedLead)> = in_order.into_values().collect();
    let mut saved = vec![false; folded.len()];
    for piece in in_order.chunks(PIECE) {
        let leads: Vec<&FoldedLead> = piece.iter().map(|(_, folded)| *folded).collect();
        let moved = save_some(store, &leads).await?;
        for (place, folded) in piece {
            let key = &folded.lead.key;
            saved[*place] = moved.contains(&(key.source.as_str().to_owned(), key.id.as_str().to_owned()));
        }
    }
    Ok(saved)
}

/// Compare-and-swap on the revision, so that a fold never goes backwards. The leads are distinct and in key order; answers
/// which of them were saved. A new lead's events must be its own still, and are locked: those of one that was erased
/// meanwhile are not, and it must not come back.
async fn save_some(store: &PostgresStore, folded: &[&FoldedLead]) -> StoreResult<HashSet<(String, String)>> {
    let (sources, leads) = rows::columns(folded.iter().map(|folded| &folded.lead.key));
    let events =
        || (1i64..).zip(folded).flat_map(|(place, folded)| folded.events.iter().map(move |event| (place, event)));
    let saved = sqlx::query_as(
        "WITH given AS MATERIALIZED (
             SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::boolean[],
                                  $8::timestamptz[])
                           WITH ORDINALITY AS u(source, lead_id, expected, document, name, email, deleted, updated_at,
                                                place)),
         known AS MATERIALIZED (
             SELECT g.* FROM given g JOIN leads l ON l.source = g.source AND l.lead_id = g.lead_id
              WHERE l.revision = g.expected
              ORDER BY g.place FOR UPDATE OF l),
         updated AS (
             UPDATE leads l SET revision = l.revision + 1, document = k.document::json, name = k.name, email = k.email,
                                deleted = k.deleted, updated_at = k.updated_at
               FROM known k WHERE l.source = k.source AND l.lead_id = k.lead_id AND l.revision = k.expected
          RETURNING l.source, l.lead_id),
         its_own AS MATERIALIZED (
             SELECT m.place, m.id
               FROM unnest($9::bigint[], $10::bigint[]) AS m(place, id)
               JOIN given g ON g.place = m.place
               JOIN events e ON e.source = g.source AND e.lead_id = g.lead_id AND e.state = 'stored' AND e.id = m.id
              WHERE g.expected IS NULL AND (SELECT count(*) FROM known) >= 0
              ORDER BY m.place, m.id FOR UPDATE OF e),
         taken_away AS MATERIALIZED (
             SELECT m.place FROM unnest($9::bigint[], $10::bigint[]) AS m(place, id)
               LEFT JOIN its_own i ON i.place = m.place AND i.id = m.id WHERE i.id IS NULL),
         inserted AS (
             INSERT INTO leads (source, lead_id, revision, document, name, email, deleted, updated_at)
             SELECT source, lead_id, 1, document::json, name, email, deleted, updated_at
               FROM given WHERE expected IS NULL AND (SELECT count(*) FROM updated) >= 0
                            AND place NOT IN (SELECT place FROM taken_away) ORDER BY place
             ON CONFLICT DO NOTHING RETURNING source, lead_id),
         saved AS MATERIALIZED (SELECT * FROM updated UNION ALL SELECT * FROM inserted),
         marked AS (
             UPDATE events e SET state = m.state
               FROM unnest($9::bigint[], $10::bigint[], $11::text[]) AS m(place, id, state)
               JOIN given g ON g.place = m.place
               JOIN saved s ON s.source = g.source AND s.lead_id = g.lead_id
              WHERE e.source = g.source AND e.lead_id = g.lead_id AND e.id = m.id AND e.state = 'stored')
         SELECT source, lead_id FROM saved",
    )
    .bind(sources)
    .bind(leads)
    .bind(folded.iter().map(|folded| folded.expected).collect::<Vec<_>>())
    .bind(folded.iter().map(|folded| folded.lead.to_json()).collect::<Vec<_>>())
    .bind(folded.iter().map(|folded| readable_option(folded.name.as_deref().map(indexed))).collect::<Vec<_>>())
    .bind(folded.iter().map(|folded| readable_option(folded.email.as_deref().map(indexed))).collect::<Vec<_>>())
    .bind(folded.iter().map(|folded| folded.lead.is_deleted()).collect::<Vec<_>>())
    .bind(folded.iter().map(|folded| Time(newest_arrival(folded))).collect::<Vec<_>>())
    .bind(events().map(|(place, _)| place).collect::<Vec<_>>())
    .bind(events().map(|(_, (event, _))| event.0).collect::<Vec<_>>())
    .bind(events().map(|(_, (_, state))| state.as_str()).collect::<Vec<_>>())
    .fetch_all(&store.pool)
    .await?;
    Ok(saved.into_iter().collect())
}

/// As much of a text as an index can hold.
pub(super) fn indexed(text: &str) -> &str {
    let mut end = text.len().min(MOST_INDEXED_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// When the newest event arrived that the lead knows of.
fn newest_arrival(folded: &FoldedLead) -> Timestamp {
    let lead = &folded.lead;
    let stamps = [&lead.latest, &lead.deleted, &lead.floor].into_iter().flatten();
    let stamps = stamps.chain(lead.fields.values().map(|field| &field.stamp));
    stamps.map(|stamp| stamp.arrived_at).max().unwrap_or(Timestamp::from_micros(0))
}
