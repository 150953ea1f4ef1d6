//! Leads, listed and read.

use std::collections::BTreeSet;

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqlitePool};

use super::SqliteStore;
use super::conflicts::CONFLICTS;
use super::events::EVENTS;
use super::log::{LOG, push_email};
use super::people::AUDIT;
use crate::domain::ids::{DestinationName, LeadId, LeadKey, SourceName};
use crate::domain::plan::Link;
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

const COLUMNS: &str = "SELECT source, lead_id, name, email, deleted, excluded, updated_at FROM leads WHERE ";

/// Every source that has leads, one look into the primary key each.
const SOURCES: &str = "WITH RECURSIVE names (source) AS (
    SELECT min(source) FROM leads
     UNION ALL
    SELECT (SELECT min(source) FROM leads WHERE source > names.source) FROM names WHERE names.source IS NOT NULL)
    SELECT source FROM names WHERE source IS NOT NULL";

/// One page of leads, the last changed first. A lead that changes while a person pages moves to the first page.
pub(super) async fn list(store: &SqliteStore, filter: &LeadFilter, page: &Page) -> StoreResult<Listed<LeadRow>> {
    let limit = limit(page);
    let mut query = QueryBuilder::<Sqlite>::new(COLUMNS);
    query.push("true");
    if let Some(source) = &filter.source {
        query.push(" AND +source = ").push_bind(source.clone());
    }
    if let Some(email) = &filter.email {
        query.push(" AND email IN (");
        push_email(&mut query, email);
        query.push(")");
    }
    if let Some(q) = filter.q.as_deref().map(str::trim).filter(|q| !q.is_empty()) {
        push_beginnings(&mut query, q);
    }
    if let Some((updated_at, source, lead_id)) = place::<(i64, String, String)>(page)? {
        query.push(" AND (updated_at, source, lead_id) < (").push_bind(updated_at);
        query.push(", ").push_bind(source).push(", ").push_bind(lead_id).push(")");
    }
    query.push(" ORDER BY updated_at DESC, source DESC, lead_id DESC LIMIT ").push_bind(limit as i64 + 1);
    let rows = query.build().fetch_all(&store.readers).await?;
    let items = rows.iter().map(read_lead_row).collect::<StoreResult<Vec<_>>>()?;
    Ok(cut(items, limit, |lead| {
        (lead.updated_at.as_micros(), lead.key.source.as_str().to_owned(), lead.key.id.as_str().to_owned())
    }))
}

/// Leads whose ID, address or name begins so; each is a range of an index.
fn push_beginnings(query: &mut QueryBuilder<Sqlite>, q: &str) {
    let end = |text: &str| format!("{text}\u{10ffff}");
    let address = q.to_lowercase();
    query.push(
        " AND (source, lead_id) IN (SELECT source, lead_id FROM (SELECT source, lead_id FROM leads WHERE source IN (",
    );
    query.push(SOURCES).push(") AND lead_id >= ").push_bind(q.to_owned());
    query.push(" AND lead_id < ").push_bind(end(q)).push(" LIMIT ").push_bind(MOST_FOUND);
    query.push(") UNION SELECT source, lead_id FROM (SELECT source, lead_id FROM leads WHERE email >= ");
    query
        .push_bind(address.clone())
        .push(" AND email < ")
        .push_bind(end(&address))
        .push(" LIMIT ")
        .push_bind(MOST_FOUND);
    query.push(") UNION SELECT source, lead_id FROM (SELECT source, lead_id FROM leads WHERE name COLLATE NOCASE >= ");
    query.push_bind(q.to_owned()).push(" AND name COLLATE NOCASE < ").push_bind(end(q));
    query.push(" LIMIT ").push_bind(MOST_FOUND).push("))");
}

/// A lead with all that is known of it; also one of which only events are known yet.
pub(super) async fn load(store: &SqliteStore, key: &LeadKey) -> StoreResult<Option<LeadView>> {
    let timeline = load_timeline(store, key).await?;
    let row = sqlx::query(
        "SELECT source, lead_id, name, email, deleted, excluded, updated_at, document FROM leads WHERE source = ? AND lead_id = ?",
    )
    .bind(key.source.as_str())
    .bind(key.id.as_str())
    .fetch_optional(&store.readers)
    .await?;
    let (row, lead) = match (&row, timeline.first()) {
        (Some(row), _) => (read_lead_row(row)?, Some(read_lead(row, key)?)),
        (None, Some(newest)) => {
            let updated_at = time_of(newest).0;
            (LeadRow { key: key.clone(), name: None, email: None, deleted: false, excluded: false, updated_at }, None)
        }
        (None, None) => return Ok(None),
    };
    let mut open = QueryBuilder::<Sqlite>::new(CONFLICTS.select);
    push_lead(&mut open, key);
    open.push(" AND state = 'open' ORDER BY id DESC LIMIT ").push_bind(TIMELINE as i64);
    let open = open.build().fetch_all(&store.readers).await?;
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
fn push_lead(query: &mut QueryBuilder<Sqlite>, key: &LeadKey) {
    query.push("source = ").push_bind(key.source.as_str().to_owned());
    query.push(" AND lead_id = ").push_bind(key.id.as_str().to_owned());
}

/// What is told of a lead in one table: the rows of it, and how one is read.
type Kind = (&'static str, fn(&SqliteRow) -> StoreResult<TimelineEntry>);

async fn load_timeline(store: &SqliteStore, key: &LeadKey) -> StoreResult<Vec<TimelineEntry>> {
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
        let rows = query.build().fetch_all(&store.readers).await?;
        entries.extend(rows.iter().map(read).collect::<StoreResult<Vec<_>>>()?);
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(time_of(entry)));
    entries.truncate(TIMELINE);
    Ok(entries)
}

async fn load_links(store: &SqliteStore, key: &LeadKey) -> StoreResult<Vec<(DestinationName, Link)>> {
    let rows = sqlx::query(
        "SELECT destination, object, record_id, matched_by, owner, bases, kept, left_out, in_doubt, fingerprint,
                revision FROM links
          WHERE destination IN (SELECT DISTINCT destination FROM job_counts) AND source = ? AND lead_id = ?
          ORDER BY destination",
    )
    .bind(key.source.as_str())
    .bind(key.id.as_str())
    .fetch_all(&store.readers)
    .await?;
    rows.iter().map(|row| read_listed_link(row, key)).collect()
}

async fn load_jobs(store: &SqliteStore, key: &LeadKey) -> StoreResult<Vec<JobRow>> {
    let rows = sqlx::query(
        "SELECT destination, state, status, class, attempt, due_at, owed_since, code, detail FROM jobs
          WHERE destination IN (SELECT DISTINCT destination FROM job_counts) AND source = ? AND lead_id = ?
          ORDER BY destination",
    )
    .bind(key.source.as_str())
    .bind(key.id.as_str())
    .fetch_all(&store.readers)
    .await?;
    rows.iter().map(|row| read_job_row(row, key)).collect()
}

/// Up to `limit` leads after `after` that a resync of this scope would touch, in key order.
pub(super) async fn after(
    store: &SqliteStore,
    scope: &ResyncScope,
    after: Option<&LeadKey>,
    limit: u32,
) -> StoreResult<Vec<LeadKey>> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT l.source, l.lead_id FROM leads l");
    push_scope(&mut query, scope);
    if let Some(after) = after {
        query.push(" AND (l.source, l.lead_id) > (").push_bind(after.source.as_str().to_owned());
        query.push(", ").push_bind(after.id.as_str().to_owned()).push(")");
    }
    query.push(" ORDER BY l.source, l.lead_id LIMIT ").push_bind(i64::from(limit));
    let keys: Vec<(String, String)> = query.build_query_as().fetch_all(&store.readers).await?;
    Ok(keys.into_iter().map(|(source, id)| LeadKey::new(source.as_str(), id.as_str())).collect())
}

/// How many leads a resync of this scope would touch.
pub(super) async fn count(store: &SqliteStore, scope: &ResyncScope) -> StoreResult<u64> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT count(*) FROM leads l");
    push_scope(&mut query, scope);
    let count: i64 = query.build_query_scalar().fetch_one(&store.readers).await?;
    Ok(count.unsigned_abs())
}

/// Which of the leads `l` are meant.
fn push_scope(query: &mut QueryBuilder<Sqlite>, scope: &ResyncScope) {
    if scope.planned_otherwise_than.is_some() {
        for (table, known) in [("links", "k"), ("left_alone", "a")] {
            query.push(format!(
                " LEFT JOIN {table} {known} ON {known}.source = l.source AND {known}.lead_id = l.lead_id"
            ));
            query.push(format!(" AND {known}.destination = ")).push_bind(scope.destination.as_str().to_owned());
        }
    }
    query.push(" WHERE l.source IN (");
    let mut names = query.separated(", ");
    for source in &scope.sources {
        names.push_bind(source.as_str().to_owned());
    }
    query.push(")");
    if let Some(email) = &scope.email {
        query.push(" AND email IN (");
        push_email(query, email);
        query.push(")");
    }
    if let Some(q) = scope.q.as_deref().map(str::trim).filter(|q| !q.is_empty()) {
        // All of them, and not only as many as a person looks at.
        let ranges = [("l.lead_id", q.to_owned()), ("email", q.to_lowercase()), ("name COLLATE NOCASE", q.to_owned())];
        query.push(" AND (false");
        for (column, beginning) in ranges {
            query.push(" OR (").push(column).push(" >= ").push_bind(beginning.clone());
            query.push(" AND ").push(column).push(" < ").push_bind(format!("{beginning}\u{10ffff}")).push(")");
        }
        query.push(")");
    }
    if let Some(PlannedBy { fingerprint, observed }) = &scope.planned_otherwise_than {
        query.push(" AND deleted = 0 AND excluded = 0 AND (coalesce(a.fingerprint, k.fingerprint) <> ");
        query.push_bind(fingerprint.clone()).push(if *observed { ")" } else { " OR a.observed = 1)" });
    }
}

/// Fields of a source's newest leads, by name.
pub(super) async fn seen_fields(readers: &SqlitePool, source: &SourceName) -> StoreResult<Vec<String>> {
    let newest = "SELECT lead_id, document FROM leads WHERE (source, lead_id) IN (
                      SELECT source, lead_id FROM (
                          SELECT source, lead_id FROM leads ORDER BY updated_at DESC, source DESC, lead_id DESC LIMIT ?3)
                       WHERE source = ?1 LIMIT ?2)";
    // A source of few leads among many of others: any of its leads.
    let any = "SELECT lead_id, document FROM leads WHERE source = ?1 AND ?3 > 0 LIMIT ?2";
    let mut fields = BTreeSet::new();
    for sql in [newest, any] {
        let rows = sqlx::query(sql).bind(source.as_str()).bind(DOCUMENTS).bind(AMONG).fetch_all(readers).await?;
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
