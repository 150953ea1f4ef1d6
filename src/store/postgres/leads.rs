//! Leads, listed and read.

use std::collections::BTreeSet;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::PostgresStore;
use super::conflicts::CONFLICTS;
use super::events::EVENTS;
use super::log::{LOG, push_email};
use super::people::AUDIT;
use super::rows::cannot_be;
use super::time::Time;
use crate::domain::ids::{DestinationName, LeadId, LeadKey, SourceName};
use crate::domain::plan::Link;
use crate::domain::time::Timestamp;
use crate::store::cells::Cells;
use crate::store::listed::{
    read_audit_row, read_conflict, read_event, read_job_row, read_lead, read_lead_row, read_listed_link, read_log_row,
    time_of,
};
use crate::store::paging::{cut, limit, place};
use crate::store::{
    JobRow, LeadFilter, LeadRow, LeadView, Listed, Page, PlannedBy, ResyncScope, StoreResult, TimelineEntry,
};

/// How much of a lead's past is shown.
const TIMELINE: usize = 200;
/// How many leads may begin with what is searched for, by each of ID, address and name.
const MOST_FOUND: i64 = 1000;
/// How many documents are looked through for fields.
const DOCUMENTS: i64 = 300;
/// Among how many of all sources' newest leads those are sought.
const AMONG: i64 = 5000;

const COLUMNS: &str = "SELECT source, lead_id, name, email, deleted, excluded, updated_at FROM ";

/// One page of leads, the last changed first. A lead that changes while a person pages moves to the first page.
pub(super) async fn list(store: &PostgresStore, filter: &LeadFilter, page: &Page) -> StoreResult<Listed<LeadRow>> {
    let limit = limit(page);
    if [&filter.source, &filter.email, &filter.q].into_iter().flatten().any(|text| cannot_be(text)) {
        return Ok(Listed::nothing());
    }
    let mut query = QueryBuilder::<Postgres>::new(COLUMNS);
    match filter.q.as_deref().map(str::trim).filter(|q| !q.is_empty()) {
        Some(q) => push_beginnings(&mut query, q),
        None => {
            query.push("leads");
        }
    }
    query.push(" WHERE true");
    if let Some(source) = &filter.source {
        query.push(" AND source = ").push_bind(source.clone());
    }
    if let Some(email) = &filter.email {
        query.push(" AND ");
        push_email(&mut query, email);
    }
    if let Some((updated_at, source, lead_id)) = place::<(i64, String, String)>(page)? {
        query.push(" AND (updated_at, source, lead_id) < (").push_bind(Time(Timestamp::from_micros(updated_at)));
        query.push(", ").push_bind(source).push(", ").push_bind(lead_id).push(")");
    }
    query.push(" ORDER BY updated_at DESC, source DESC, lead_id DESC LIMIT ").push_bind(limit as i64 + 1);
    let rows = query.build().persistent(false).fetch_all(&store.pool).await?;
    let items = rows.iter().map(read_lead_row).collect::<StoreResult<Vec<_>>>()?;
    Ok(cut(items, limit, |lead| {
        (lead.updated_at.as_micros(), lead.key.source.as_str().to_owned(), lead.key.id.as_str().to_owned())
    }))
}

/// The table of leads whose ID, address or name begins so; each is a range of an index, read in its order.
fn push_beginnings(query: &mut QueryBuilder<Postgres>, q: &str) {
    let address = q.to_lowercase();
    let ranges = [
        ("lead_id COLLATE \"C\"", "", q),
        ("email COLLATE \"C\"", "", address.as_str()),
        ("lower(name) COLLATE \"C\"", "lower", q),
    ];
    query.push("(");
    for (number, (column, function, beginning)) in ranges.into_iter().enumerate() {
        query.push(if number == 0 { "(" } else { " UNION (" }).push(COLUMNS).push("leads WHERE ");
        query.push(column).push(" >= ").push(function).push("(").push_bind(beginning.to_owned());
        query.push(") AND ").push(column).push(" < ").push(function).push("(");
        query.push_bind(format!("{beginning}\u{10ffff}"));
        query.push(") ORDER BY ").push(column).push(" LIMIT ").push_bind(MOST_FOUND).push(")");
    }
    query.push(") AS leads");
}

/// A lead with all that is known of it; also one of which only events are known yet.
pub(super) async fn load(store: &PostgresStore, key: &LeadKey) -> StoreResult<Option<LeadView>> {
    if cannot_be(key.source.as_str()) || cannot_be(key.id.as_str()) {
        return Ok(None);
    }
    let timeline = load_timeline(store, key).await?;
    let row = sqlx::query(
        "SELECT source, lead_id, name, email, deleted, excluded, updated_at, document::text AS document
           FROM leads WHERE source = $1 AND lead_id = $2",
    )
    .bind(key.source.as_str())
    .bind(key.id.as_str())
    .fetch_optional(&store.pool)
    .await?;
    let (row, lead) = match (&row, timeline.first()) {
        (Some(row), _) => (read_lead_row(row)?, Some(read_lead(row, key)?)),
        (None, Some(newest)) => {
            let updated_at = time_of(newest).0;
            (LeadRow { key: key.clone(), name: None, email: None, deleted: false, excluded: false, updated_at }, None)
        }
        (None, None) => return Ok(None),
    };
    let mut open = QueryBuilder::<Postgres>::new(CONFLICTS.select);
    push_lead(&mut open, key);
    open.push(" AND state = 'open' ORDER BY id DESC LIMIT ").push_bind(TIMELINE as i64);
    let open = open.build().fetch_all(&store.pool).await?;
    Ok(Some(LeadView {
        row,
        lead,
        links: load_links(store, key).await?,
        jobs: load_jobs(store, key).await?,
        conflicts: open.iter().map(read_conflict).collect::<StoreResult<_>>()?,
        timeline,
    }))
}

/// Begins a condition that the lead is this one.
fn push_lead(query: &mut QueryBuilder<Postgres>, key: &LeadKey) {
    query.push("source = ").push_bind(key.source.as_str().to_owned());
    query.push(" AND lead_id = ").push_bind(key.id.as_str().to_owned());
}

/// What is told of a lead in one table: the rows of it, and how one is read.
type Kind = (&'static str, fn(&PgRow) -> StoreResult<TimelineEntry>);

async fn load_timeline(store: &PostgresStore, key: &LeadKey) -> StoreResult<Vec<TimelineEntry>> {
    let kinds: [Kind; 3] = [
        (EVENTS.select, |row| read_event(row).map(TimelineEntry::Event)),
        (LOG.select, |row| read_log_row(row).map(|row| TimelineEntry::Operation(Box::new(row)))),
        (AUDIT.select, |row| read_audit_row(row).map(TimelineEntry::Person)),
    ];
    let mut entries = Vec::new();
    for (select, read) in kinds {
        let mut query = QueryBuilder::new(select);
        push_lead(&mut query, key);
        query.push(" ORDER BY id DESC LIMIT ").push_bind(TIMELINE as i64);
        let rows = query.build().persistent(false).fetch_all(&store.pool).await?;
        entries.extend(rows.iter().map(read).collect::<StoreResult<Vec<_>>>()?);
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(time_of(entry)));
    entries.truncate(TIMELINE);
    Ok(entries)
}

async fn load_links(store: &PostgresStore, key: &LeadKey) -> StoreResult<Vec<(DestinationName, Link)>> {
    let rows = sqlx::query(
        "WITH RECURSIVE names (destination) AS (
            SELECT min(destination) FROM links
             UNION ALL
            SELECT (SELECT min(destination) FROM links WHERE destination > names.destination)
              FROM names WHERE names.destination IS NOT NULL)
         SELECT l.destination, l.object, l.record_id, l.matched_by, l.owner, l.bases::text AS bases, l.kept::text AS kept,
                l.left_out::text AS left_out, l.in_doubt, l.fingerprint, l.revision
           FROM names JOIN links l ON l.destination = names.destination AND l.source = $1 AND l.lead_id = $2
          ORDER BY l.destination",
    )
    .bind(key.source.as_str())
    .bind(key.id.as_str())
    .fetch_all(&store.pool)
    .await?;
    rows.iter().map(|row| read_listed_link(row, key)).collect()
}

async fn load_jobs(store: &PostgresStore, key: &LeadKey) -> StoreResult<Vec<JobRow>> {
    let rows = sqlx::query(
        "SELECT destination, state, job_status(state, lease_token, first_failed_at) AS status, class, attempt, due_at,
                owed_since, code, detail
           FROM jobs
          WHERE destination IN (SELECT destination FROM job_counts UNION SELECT destination FROM job_count_changes)
            AND source = $1 AND lead_id = $2
          ORDER BY destination",
    )
    .bind(key.source.as_str())
    .bind(key.id.as_str())
    .fetch_all(&store.pool)
    .await?;
    rows.iter().map(|row| read_job_row(row, key)).collect()
}

/// Up to `limit` leads after `after` that a resync of this scope would touch, in key order.
pub(super) async fn after(
    store: &PostgresStore,
    scope: &ResyncScope,
    after: Option<&LeadKey>,
    limit: u32,
) -> StoreResult<Vec<LeadKey>> {
    if is_nobody(scope) {
        return Ok(Vec::new());
    }
    let sources: BTreeSet<&str> = scope.sources.iter().map(SourceName::as_str).collect();
    let limit = limit as usize;
    let mut keys = Vec::new();
    for source in sources {
        let after = after.map(|after| (after.source.as_str(), after.id.as_str()));
        let after = match after {
            Some((last, _)) if source < last => continue,
            Some((last, id)) if source == last => Some(id),
            _ => None,
        };
        if keys.len() >= limit {
            break;
        }
        let mut query = QueryBuilder::<Postgres>::new("SELECT d.lead_id FROM leads d");
        push_what_is_known(&mut query, scope);
        query.push(" WHERE d.source = ").push_bind(source.to_owned());
        if let Some(after) = after {
            query.push(" AND d.lead_id > ").push_bind(after.to_owned());
        }
        push_scope(&mut query, scope);
        query.push(" ORDER BY d.lead_id LIMIT ").push_bind((limit - keys.len()) as i64);
        let ids: Vec<String> = query.build_query_scalar().persistent(false).fetch_all(&store.pool).await?;
        keys.extend(ids.into_iter().map(|id| LeadKey::new(source, id.as_str())));
    }
    Ok(keys)
}

/// How many leads a resync of this scope would touch.
pub(super) async fn count(store: &PostgresStore, scope: &ResyncScope) -> StoreResult<u64> {
    if is_nobody(scope) {
        return Ok(0);
    }
    let sources: Vec<String> = scope.sources.iter().map(ToString::to_string).collect();
    let mut query = QueryBuilder::<Postgres>::new("SELECT count(*) FROM leads d");
    push_what_is_known(&mut query, scope);
    query.push(" WHERE d.source = ANY(").push_bind(sources).push(")");
    push_scope(&mut query, scope);
    let count: i64 = query.build_query_scalar().persistent(false).fetch_one(&store.pool).await?;
    Ok(count.unsigned_abs())
}

/// By which rules each was planned last: as its link tells, `k`, and what no link tells, `a`.
fn push_what_is_known(query: &mut QueryBuilder<Postgres>, scope: &ResyncScope) {
    if scope.planned_otherwise_than.is_none() {
        return;
    }
    for (table, known) in [("links", "k"), ("left_alone", "a")] {
        query.push(format!(" LEFT JOIN {table} {known} ON {known}.source = d.source AND {known}.lead_id = d.lead_id"));
        query.push(format!(" AND {known}.destination = ")).push_bind(scope.destination.as_str().to_owned());
    }
}

/// Which of the source's leads `d` are meant. Of those whose beginning is given all, and not only as many as a person looks
/// at.
fn push_scope(query: &mut QueryBuilder<Postgres>, scope: &ResyncScope) {
    if let Some(email) = &scope.email {
        query.push(" AND ");
        push_email(query, email);
    }
    if let Some(q) = scope.q.as_deref().map(str::trim).filter(|q| !q.is_empty()) {
        query.push(" AND (false");
        for (column, beginning) in [
            ("d.lead_id COLLATE \"C\"", q.to_owned()),
            ("email COLLATE \"C\"", q.to_lowercase()),
            ("lower(name) COLLATE \"C\"", q.to_lowercase()),
        ] {
            query.push(" OR ").push(column).push(" >= ").push_bind(beginning.clone());
            query.push(" AND ").push(column).push(" < ").push_bind(format!("{beginning}\u{10ffff}"));
        }
        query.push(")");
    }
    if let Some(PlannedBy { fingerprint, observed }) = &scope.planned_otherwise_than {
        query.push(" AND NOT d.deleted AND NOT d.excluded AND (coalesce(a.fingerprint, k.fingerprint) <> ");
        query.push_bind(fingerprint.clone()).push(if *observed { ")" } else { " OR a.observed)" });
    }
}

/// Whether no lead can be meant.
fn is_nobody(scope: &ResyncScope) -> bool {
    [&scope.email, &scope.q].into_iter().flatten().any(|text| cannot_be(text))
}

/// Fields of a source's newest leads, by name.
pub(super) async fn seen_fields(db: &mut PgConnection, source: &SourceName) -> StoreResult<Vec<String>> {
    let newest = "SELECT lead_id, document::text AS document FROM (
                      SELECT source, lead_id, document FROM leads
                       ORDER BY updated_at DESC, source DESC, lead_id DESC LIMIT $3) AS newest
                   WHERE source = $1 LIMIT $2";
    // A source of few leads among many of others: any of its leads.
    let any = "SELECT lead_id, document::text AS document FROM leads WHERE source = $1 AND $3::bigint > 0 LIMIT $2";
    let mut fields = BTreeSet::new();
    for sql in [newest, any] {
        let rows = sqlx::query(sql).bind(source.as_str()).bind(DOCUMENTS).bind(AMONG).fetch_all(&mut *db).await?;
        for row in &rows {
            let id: LeadId = Cells::new(row, "leads", source).get("lead_id")?;
            let lead = read_lead(row, &LeadKey { source: source.clone(), id })?;
            fields.extend(lead.fields.into_keys());
        }
        if !rows.is_empty() {
            break;
        }
    }
    Ok(fields.into_iter().collect())
}
