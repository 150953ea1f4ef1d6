//! What is copied: every table with its columns. What a database keeps for itself (counts of jobs, how far a sweep came,
//! leases of processes) is not.

/// How a column is stored here; on SQLite times are microseconds, flags numbers, JSON text and tokens bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Small,
    Int,
    Big,
    Text,
    /// Text as far as an index can hold it.
    Indexed,
    Time,
    Bool,
    Json,
    /// Comes back in another form than it was written in.
    Jsonb,
    Bytes,
    Uuid,
}

pub(super) struct Column {
    pub name: &'static str,
    pub kind: Kind,
    /// What it is on SQLite, if it does not have it under its name. No bare number: that would order by a column's place.
    pub there: &'static str,
}

pub(super) struct Table {
    pub name: &'static str,
    /// What SQLite reads it from.
    pub there: &'static str,
    /// The first so many columns are the key.
    pub keys: usize,
    pub columns: &'static [Column],
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, there: name }
}

const fn made(name: &'static str, kind: Kind, there: &'static str) -> Column {
    Column { name, kind, there }
}

/// Where there are no slots: 0, but not as a bare number, which names a column where rows are put in order.
const NO_SLOT: &str = "0 + 0";

use Kind::{Big, Bool, Bytes, Indexed, Int, Json, Jsonb, Small, Text, Time, Uuid};

pub(super) static TABLES: [Table; 27] = [
    Table {
        name: "events",
        there: "events",
        keys: 1,
        columns: &[
            column("id", Big),
            column("source", Text),
            column("lead_id", Text),
            column("kind", Text),
            column("state", Text),
            column("event_type", Text),
            column("sender_id", Text),
            column("content_hash", Bytes),
            column("received_at", Time),
            column("request_id", Text),
            column("reason", Text),
            column("size", Int),
        ],
    },
    Table {
        name: "bodies",
        there: "(SELECT b.*, e.received_at FROM bodies b JOIN events e ON e.id = b.event_id)",
        keys: 1,
        columns: &[
            column("event_id", Big),
            column("received_at", Time),
            column("headers", Text),
            column("body", Bytes),
        ],
    },
    Table {
        name: "event_keys",
        there: "event_keys",
        keys: 3,
        columns: &[
            column("sender_id", Text),
            column("source", Text),
            column("content_hash", Bytes),
            column("event_id", Big),
            column("received_at", Time),
        ],
    },
    Table {
        name: "refused_requests",
        there: "refused_requests",
        keys: 1,
        columns: &[
            column("id", Big),
            column("source", Text),
            column("reason", Text),
            column("received_at", Time),
            column("request_id", Text),
            column("size", Big),
            column("proof", Text),
            column("headers", Json),
            column("body", Bytes),
        ],
    },
    Table {
        name: "source_counts",
        there: "source_counts",
        keys: 4,
        columns: &[
            column("source", Text),
            column("hour", Time),
            column("state", Text),
            made("slot", Small, NO_SLOT),
            column("n", Big),
        ],
    },
    Table {
        name: "leads",
        there: "leads",
        keys: 2,
        columns: &[
            column("source", Text),
            column("lead_id", Text),
            column("revision", Big),
            column("document", Json),
            column("name", Indexed),
            column("email", Indexed),
            column("deleted", Bool),
            column("excluded", Bool),
            column("updated_at", Time),
        ],
    },
    Table {
        name: "links",
        there: "links",
        keys: 3,
        columns: &[
            column("destination", Text),
            column("source", Text),
            column("lead_id", Text),
            column("object", Text),
            column("record_id", Text),
            column("matched_by", Text),
            column("owner", Bool),
            column("bases", Json),
            column("kept", Json),
            column("left_out", Json),
            made("lacks", Bool, "left_out <> '{}'"),
            column("in_doubt", Text),
            column("fingerprint", Text),
            column("revision", Big),
            column("linked_at", Time),
        ],
    },
    Table {
        name: "left_alone",
        there: "left_alone",
        keys: 3,
        columns: &[
            column("lead_id", Text),
            column("source", Text),
            column("destination", Text),
            column("fingerprint", Text),
            column("observed", Bool),
        ],
    },
    Table {
        name: "suspects",
        there: "suspects",
        keys: 3,
        columns: &[
            column("destination", Text),
            column("source", Text),
            column("lead_id", Text),
            column("other_source", Text),
            column("other_lead_id", Text),
            column("same", Text),
            column("by_hand", Bool),
            column("since", Time),
            column("found_at", Time),
        ],
    },
    Table {
        name: "strangers",
        there: "strangers",
        keys: 4,
        columns: &[
            column("destination", Text),
            column("source", Text),
            column("lead_id", Text),
            column("record_id", Text),
            column("object", Text),
            column("same", Text),
            column("by_hand", Bool),
            column("since", Time),
            column("found_at", Time),
        ],
    },
    Table {
        name: "searches",
        there: "searches",
        keys: 1,
        columns: &[
            column("destination", Text),
            column("source", Text),
            column("lead_id", Text),
            column("since", Time),
            column("calls", Big),
        ],
    },
    Table {
        name: "told_apart",
        there: "told_apart",
        keys: 5,
        columns: &[
            column("destination", Text),
            column("source", Text),
            column("lead_id", Text),
            column("other_source", Text),
            column("other_lead_id", Text),
        ],
    },
    Table {
        name: "jobs",
        there: "jobs",
        keys: 3,
        columns: &[
            column("lead_id", Text),
            column("source", Text),
            column("destination", Text),
            column("state", Text),
            column("lane", Small),
            column("class", Small),
            column("due_at", Time),
            column("lease_token", Uuid),
            column("attempt", Int),
            column("wanted", Big),
            column("owed_since", Time),
            column("first_failed_at", Time),
            column("waiting_since", Time),
            column("code", Text),
            column("detail", Text),
            column("suspicion", Int),
            column("forced", Bool),
            column("refusal", Jsonb),
            column("ended_at", Time),
            column("look_again_at", Time),
        ],
    },
    Table {
        name: "intents",
        there: "intents",
        keys: 1,
        columns: &[
            column("id", Big),
            column("destination", Text),
            column("source", Text),
            column("lead_id", Text),
            column("request_id", Text),
            column("lease_token", Uuid),
            column("object", Text),
            column("record_id", Text),
            column("value_pairs", Json),
            column("decisions", Json),
            column("attempt", Int),
            column("announced_at", Time),
            column("settled", Small),
            column("keep_open_until", Time),
        ],
    },
    Table {
        name: "conflicts",
        there: "conflicts",
        keys: 1,
        columns: &[
            column("id", Big),
            column("destination", Text),
            column("source", Text),
            column("lead_id", Text),
            column("kind", Text),
            column("field", Text),
            column("state", Text),
            column("revision", Big),
            column("question", Json),
            column("answer", Json),
            column("opened_at", Time),
            column("updated_at", Time),
            column("closed_at", Time),
            column("closed_why", Text),
        ],
    },
    Table {
        name: "sync_log",
        there: "sync_log",
        keys: 1,
        columns: &[
            column("id", Big),
            column("at", Time),
            column("source", Text),
            column("lead_id", Text),
            column("destination", Text),
            column("operation", Text),
            column("outcome", Text),
            column("object", Text),
            column("record_id", Text),
            column("matched_by", Text),
            column("error_code", Text),
            column("error", Text),
            column("attempt", Int),
            column("api_calls", Int),
            column("batch", Int),
            column("duration_ms", Big),
            column("request_id", Text),
            column("event_id", Big),
            column("field_set", Big),
        ],
    },
    Table {
        name: "sync_log_bodies",
        there: "(SELECT b.*, s.at FROM sync_log_bodies b JOIN sync_log s ON s.id = b.log_id)",
        keys: 1,
        columns: &[
            column("log_id", Big),
            column("at", Time),
            column("decisions", Json),
            column("request", Text),
            column("response", Text),
        ],
    },
    Table { name: "field_sets", there: "field_sets", keys: 1, columns: &[column("id", Big), column("fields", Text)] },
    Table {
        name: "field_set_members",
        there: "field_set_members",
        keys: 2,
        columns: &[column("field", Text), column("set_id", Big)],
    },
    Table {
        name: "outcome_counts",
        there: "outcome_counts",
        keys: 5,
        columns: &[
            column("minute", Time),
            column("destination", Text),
            column("operation", Text),
            column("outcome", Text),
            made("slot", Small, NO_SLOT),
            column("n", Big),
        ],
    },
    Table {
        name: "budget",
        there: "budget",
        keys: 3,
        columns: &[
            column("destination", Text),
            column("hour", Time),
            // Calls of no process that lives.
            made("replica", Uuid, "zeroblob(16)"),
            column("calls", Big),
        ],
    },
    Table {
        name: "closed_spans",
        there: "closed_spans",
        keys: 2,
        columns: &[column("destination", Text), column("closed_at", Time), column("opened_at", Time)],
    },
    Table {
        name: "pauses",
        there: "pauses",
        keys: 1,
        columns: &[
            column("destination", Text),
            column("by", Text),
            column("note", Text),
            column("since", Time),
            column("until", Time),
        ],
    },
    Table {
        name: "audit",
        there: "audit",
        keys: 1,
        columns: &[
            column("id", Big),
            column("at", Time),
            column("by", Text),
            column("action", Text),
            column("target", Text),
            column("source", Text),
            column("lead_id", Text),
            column("detail", Text),
        ],
    },
    Table {
        name: "runs",
        there: "runs",
        keys: 1,
        columns: &[
            column("id", Big),
            column("kind", Text),
            column("by", Text),
            column("started_at", Time),
            column("updated_at", Time),
            column("scope", Json),
            column("total", Big),
            column("done", Big),
            column("position", Jsonb),
            column("state", Text),
            column("detail", Text),
        ],
    },
    Table {
        name: "erased",
        there: "erased",
        keys: 2,
        columns: &[column("source", Text), column("digest", Bytes), column("at", Time)],
    },
    Table {
        name: "erasure_key",
        there: "erasure_key",
        keys: 1,
        columns: &[column("id", Big), column("secret", Bytes)],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What a database keeps for itself: figures that can be counted again, how far a sweep came, a beat.
    const NOT_COPIED: [&str; 3] = ["heartbeat", "job_counts", "sweeps"];
    /// Made from others.
    const GENERATED: [(&str, &str); 1] = [("jobs", "id")];

    #[test]
    fn no_table_and_no_column_is_forgotten() {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        db.execute_batch(include_str!("../../../../migrations/sqlite/0001_events_jobs_and_log.sql")).unwrap();
        let list = |sql: &str, of: &str| -> BTreeSet<String> {
            let mut query = db.prepare(sql).unwrap();
            query.query_map([of], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
        };
        let there = list("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE ?1", "sqlite%");
        let copied = TABLES.iter().map(|table| table.name);
        assert_eq!(there, copied.chain(NOT_COPIED).map(str::to_owned).collect());
        for table in &TABLES {
            let there = list("SELECT name FROM pragma_table_info(?1)", table.name);
            let missing: Vec<&String> = there
                .iter()
                .filter(|name| !GENERATED.contains(&(table.name, name.as_str())))
                .filter(|name| !table.columns.iter().any(|column| column.name == name.as_str()))
                .collect();
            assert!(missing.is_empty(), "of {}: {missing:?}", table.name);
        }
    }
}
