//! The list of pairs, as both stores make it: of three lists in one order, of which each store has the SELECTs.

use sqlx::{Database, Encode, QueryBuilder, Type};

use super::paging::PairPlace;
use super::{SharedFilter, SharedKind};
use crate::domain::time::Timestamp;

/// Conditions of which any is enough, each in pieces between which the value stands.
pub(super) type AnyOf = &'static [&'static [&'static str]];

/// One of the lists that the list of pairs is made of.
pub(super) struct Part {
    pub kind: SharedKind,
    pub select: String,
    pub at: &'static str,
    pub by_hand: &'static str,
    /// Of which rows there is one each.
    pub row: &'static str,
    /// What tells pairs of one lead apart, where it may have several.
    pub last: Option<&'static str>,
    pub of_source: AnyOf,
    pub of_lead: AnyOf,
    pub of_record: AnyOf,
}

impl Part {
    /// A list of two leads, `k` and `o`.
    const fn of_leads(
        kind: SharedKind,
        select: String,
        at: &'static str,
        by_hand: &'static str,
        row: &'static str,
    ) -> Self {
        Self {
            kind,
            select,
            at,
            by_hand,
            row,
            last: None,
            of_source: &[&["k.source = ", ""], &["o.source = ", ""]],
            of_lead: &[&["k.lead_id = ", ""], &["o.lead_id = ", ""]],
            of_record: &[&["k.record_id = ", ""], &["o.record_id = ", ""]],
        }
    }

    /// Two leads that are one record.
    pub(super) const fn shared(select: String, by_hand: &'static str) -> Self {
        Self::of_leads(SharedKind::Shared, select, "k.linked_at", by_hand, "k")
    }

    /// Two leads whose records may be one person's.
    pub(super) const fn suspected(select: String) -> Self {
        Self::of_leads(SharedKind::Suspected, select, "s.since", "s.by_hand", "s")
    }

    /// A lead and a record that no lead is. By the columns of `s` alone an index leads to them.
    pub(super) const fn strangers(select: String, of_record: AnyOf) -> Self {
        Self {
            kind: SharedKind::Suspected,
            select,
            at: "s.since",
            by_hand: "s.by_hand",
            row: "s",
            last: Some("s.record_id"),
            of_source: &[&["s.source = ", ""]],
            of_lead: &[&["s.lead_id = ", ""]],
            of_record,
        }
    }
}

/// Writes the query of a page: the pairs behind a place, newest first, at most `limit`. `time`: a moment as it is bound.
pub(super) fn push_page<DB, T>(
    query: &mut QueryBuilder<DB>,
    parts: &[Part],
    filter: &SharedFilter,
    place: Option<&PairPlace>,
    limit: i64,
    time: fn(Timestamp) -> T,
) where
    DB: Database,
    T: for<'t> Encode<'t, DB> + Type<DB>,
    String: for<'t> Encode<'t, DB> + Type<DB>,
    bool: for<'t> Encode<'t, DB> + Type<DB>,
    i64: for<'t> Encode<'t, DB> + Type<DB>,
{
    query.push("SELECT p.*, a.name AS name, a.email AS email, b.name AS other_name, b.email AS other_email FROM (");
    for (number, part) in parts.iter().enumerate() {
        query.push(if number == 0 { "SELECT * FROM (" } else { " UNION ALL SELECT * FROM (" });
        push_part(query, part, filter, place, time);
        query.push(" LIMIT ").push_bind(limit).push(") part");
    }
    query.push(
        ") p LEFT JOIN leads a ON a.source = p.source AND a.lead_id = p.lead_id
             LEFT JOIN leads b ON b.source = p.other_source AND b.lead_id = p.other_lead_id
           ORDER BY p.at DESC, p.kind DESC, p.destination DESC, p.source DESC, p.lead_id DESC,
                    CASE WHEN p.other_source IS NULL THEN p.other_record ELSE '' END DESC LIMIT ",
    );
    query.push_bind(limit);
}

pub(super) fn push_part<DB, T>(
    query: &mut QueryBuilder<DB>,
    part: &Part,
    filter: &SharedFilter,
    place: Option<&PairPlace>,
    time: fn(Timestamp) -> T,
) where
    DB: Database,
    T: for<'t> Encode<'t, DB> + Type<DB>,
    String: for<'t> Encode<'t, DB> + Type<DB>,
    bool: for<'t> Encode<'t, DB> + Type<DB>,
{
    let Part { kind, at, by_hand, row, .. } = part;
    query.push(&part.select);
    if filter.kind.is_some_and(|wanted| wanted != *kind) {
        query.push(" AND false");
    }
    if let Some(wanted) = filter.by_hand {
        query.push(" AND ").push(by_hand).push(" = ").push_bind(wanted);
    }
    if let Some(destination) = &filter.destination {
        query.push(" AND k.destination = ").push_bind(destination.clone());
    }
    let texts =
        [(&filter.source, part.of_source), (&filter.lead_id, part.of_lead), (&filter.record_id, part.of_record)];
    for (text, any_of) in texts {
        let Some(text) = text else { continue };
        for (number, pieces) in any_of.iter().enumerate() {
            query.push(if number == 0 { " AND (" } else { " OR " });
            for (number, piece) in pieces.iter().enumerate() {
                if number > 0 {
                    query.push_bind(text.clone());
                }
                query.push(piece);
            }
        }
        query.push(")");
    }
    if let Some((when, of_kind, destination, source, lead_id, of_other)) = place {
        let when = Timestamp::from_micros(*when);
        query.push(format!(" AND {at} <= ")).push_bind(time(when));
        let (kind, last) = (kind.as_str(), part.last.unwrap_or("''"));
        query.push(format!(" AND ({at}, '{kind}', {row}.destination, {row}.source, {row}.lead_id, {last}) < ("));
        query.push_bind(time(when));
        for text in [of_kind, destination, source, lead_id, of_other] {
            query.push(", ").push_bind(text.clone());
        }
        query.push(")");
    }
    query.push(format!(" ORDER BY {at} DESC, {row}.destination DESC, {row}.source DESC, {row}.lead_id DESC"));
    if let Some(last) = part.last {
        query.push(format!(", {last} DESC"));
    }
}
