-- Times are whole microseconds since 1970-01-01 UTC: datetime(received_at / 1000000, 'unixepoch') shows them.
--
-- Where rows are written often, a CHECK says OR: for IN with three values or more SQLite fills a table of its own at each insert.

-- One change of one lead, as received. Never changed but for its state.
CREATE TABLE events (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    source       TEXT NOT NULL,
    lead_id      TEXT,
    kind         TEXT NOT NULL CHECK (kind = 'upsert' OR kind = 'delete' OR kind = 'other'),
    state        TEXT NOT NULL CHECK (state = 'stored' OR state = 'folded' OR state = 'stale' OR state = 'quarantined'
                                      OR state = 'ignored' OR state = 'erased'),
    event_type   TEXT,
    sender_id    TEXT,
    content_hash BLOB NOT NULL,
    received_at  INTEGER NOT NULL,
    request_id   TEXT NOT NULL,
    reason       TEXT,
    size         INTEGER NOT NULL
);
-- A lead's timeline; the first copy of a redelivered event is found without reading the table.
CREATE INDEX events_lead ON events (source, lead_id, id, content_hash);
-- What folding reads, however long a lead's history is.
CREATE INDEX events_unfolded ON events (source, lead_id, id) WHERE state = 'stored';
CREATE INDEX events_quarantined ON events (source, id) WHERE state = 'quarantined';

-- Apart from events, so that what is read often stays small.
CREATE TABLE bodies (
    event_id INTEGER PRIMARY KEY,
    headers  TEXT NOT NULL,
    body     BLOB NOT NULL
);

-- Senders' own event IDs, with the content that came under each.
CREATE TABLE event_keys (
    source       TEXT NOT NULL,
    sender_id    TEXT NOT NULL,
    content_hash BLOB NOT NULL,
    event_id     INTEGER NOT NULL,
    received_at  INTEGER NOT NULL,
    PRIMARY KEY (sender_id, source, content_hash)                  -- what differs most first: comparing ends at once
) WITHOUT ROWID;
CREATE INDEX event_keys_age ON event_keys (received_at);

-- Requests whose signature did not verify, held for a day in case it was our secret that was wrong.
CREATE TABLE refused_requests (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    source      TEXT NOT NULL,
    reason      TEXT NOT NULL CHECK (reason IN ('missing_signature', 'wrong_signature', 'missing_token',
                                                'wrong_token', 'stale')),
    received_at INTEGER NOT NULL,
    request_id  TEXT NOT NULL,
    size        INTEGER NOT NULL,
    proof       TEXT NOT NULL,         -- what verifying it again needs beside the body; of a token a hash
    headers     TEXT NOT NULL,
    body        BLOB NOT NULL
);
-- How many and how much each source holds, and what goes first, without the bodies.
CREATE INDEX refused_requests_source ON refused_requests (source, id, reason, size);
CREATE INDEX refused_requests_age ON refused_requests (received_at);

-- What each source sent, by hour.
CREATE TABLE source_counts (
    source TEXT NOT NULL,
    hour   INTEGER NOT NULL,
    state  TEXT NOT NULL,
    n      INTEGER NOT NULL,
    PRIMARY KEY (source, hour, state)
) WITHOUT ROWID;

-- The folded leads.
CREATE TABLE leads (
    source     TEXT NOT NULL,
    lead_id    TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    document   TEXT NOT NULL,
    name       TEXT,
    email      TEXT,
    deleted    INTEGER NOT NULL,
    -- By a person's order it is not synced; its record goes to the next lead, like a deleted one's.
    excluded   INTEGER NOT NULL DEFAULT 0,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (source, lead_id)
) WITHOUT ROWID;
CREATE INDEX leads_email ON leads (email) WHERE email IS NOT NULL;
CREATE INDEX leads_updated ON leads (updated_at);
CREATE INDEX leads_name ON leads (name COLLATE NOCASE) WHERE name IS NOT NULL;

-- Which CRM record a lead is. One lead owns a record.
CREATE TABLE links (
    destination TEXT NOT NULL,
    source      TEXT NOT NULL,
    lead_id     TEXT NOT NULL,
    object      TEXT NOT NULL,
    record_id   TEXT NOT NULL,
    matched_by  TEXT NOT NULL,
    owner       INTEGER NOT NULL,
    bases       TEXT NOT NULL,
    kept        TEXT NOT NULL,
    -- Rows of the mapping that are not written, with the pair of values that the CRM refused; null: the value does not fit
    -- the field, or the field cannot be written. A changed mapping or schema is a reason to try again.
    left_out    TEXT NOT NULL DEFAULT '{}',
    -- Set while the record may be another person's: the one about which a person was asked, which may have been merged since.
    in_doubt    TEXT,
    fingerprint TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    linked_at   INTEGER NOT NULL,
    PRIMARY KEY (destination, source, lead_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX links_owner ON links (destination, record_id) WHERE owner = 1;
CREATE INDEX links_record ON links (record_id);
CREATE INDEX links_sharer ON links (destination, record_id) WHERE owner = 0;
CREATE INDEX links_shared ON links (linked_at) WHERE owner = 0;
CREATE INDEX links_left_out ON links (destination, fingerprint) WHERE left_out <> '{}';

-- By which rules a lead was planned last that owes nothing, where its link does not tell: it has none, since the filter
-- leaves it alone, or its destination only observed.
CREATE TABLE left_alone (
    destination TEXT NOT NULL,
    source      TEXT NOT NULL,
    lead_id     TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    observed    INTEGER NOT NULL,
    PRIMARY KEY (lead_id, source, destination)
) WITHOUT ROWID;

-- What is owed: one row per lead and destination, gone when both agree.
CREATE TABLE jobs (
    id              INTEGER PRIMARY KEY,                       -- jobs that came together lie together: claims touch few pages
    destination     TEXT NOT NULL,
    source          TEXT NOT NULL,
    lead_id         TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state = 'owed' OR state = 'held' OR state = 'dead'),
    lane            INTEGER NOT NULL CHECK (lane IN (0, 1)),   -- 0 first contact, 1 linked
    class           INTEGER NOT NULL CHECK (class IN (0, 1)),  -- 0 live, 1 backfill
    due_at          INTEGER NOT NULL,                          -- while leased: the lease's end
    lease_token     BLOB,
    attempt         INTEGER NOT NULL,
    wanted          INTEGER NOT NULL,
    owed_since      INTEGER NOT NULL,
    first_failed_at INTEGER,
    waiting_since   INTEGER,                                   -- given back: behind a closed gate since
    code            TEXT,
    detail          TEXT,
    suspicion       INTEGER NOT NULL,
    forced          INTEGER NOT NULL,
    refusal         TEXT,
    ended_at        INTEGER,                                   -- held or dead since
    look_again_at   INTEGER,
    status          TEXT NOT NULL GENERATED ALWAYS AS (
        CASE WHEN state <> 'owed' THEN state
             WHEN lease_token IS NOT NULL THEN 'leased'
             WHEN first_failed_at IS NOT NULL THEN 'retrying'
             ELSE 'ready' END) VIRTUAL,
    UNIQUE (lead_id, source, destination)
);
CREATE INDEX jobs_claim ON jobs (destination, lane, class, due_at) WHERE state = 'owed';
CREATE INDEX jobs_look_again ON jobs (destination, look_again_at) WHERE state <> 'owed' AND look_again_at IS NOT NULL;
-- Most are due since they are owed: those are found by the index above.
CREATE INDEX jobs_oldest ON jobs (destination, owed_since) WHERE state = 'owed' AND owed_since <> due_at;
CREATE INDEX jobs_failing ON jobs (destination, first_failed_at) WHERE state = 'owed' AND first_failed_at IS NOT NULL;
CREATE INDEX jobs_waiting ON jobs (destination, waiting_since) WHERE state = 'owed' AND waiting_since IS NOT NULL;
CREATE INDEX jobs_leased ON jobs (destination) WHERE lease_token IS NOT NULL;
CREATE INDEX jobs_ended ON jobs (state, ended_at, destination, source, lead_id) WHERE state <> 'owed';

-- The queue's figures, so that none of them needs a scan.
CREATE TABLE job_counts (
    destination TEXT NOT NULL,
    status      TEXT NOT NULL,
    n           INTEGER NOT NULL,
    PRIMARY KEY (destination, status)
) WITHOUT ROWID;
CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs BEGIN
    INSERT INTO job_counts (destination, status, n) VALUES (new.destination, new.status, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs BEGIN
    UPDATE job_counts SET n = n - 1 WHERE destination = old.destination AND status = old.status;
END;
CREATE TRIGGER jobs_updated AFTER UPDATE ON jobs WHEN old.status <> new.status BEGIN
    UPDATE job_counts SET n = n - 1 WHERE destination = old.destination AND status = old.status;
    INSERT INTO job_counts (destination, status, n) VALUES (new.destination, new.status, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;

-- Announced writes whose outcome is open; a closed one is deleted.
CREATE TABLE intents (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    destination     TEXT NOT NULL,
    source          TEXT NOT NULL,
    lead_id         TEXT NOT NULL,
    request_id      TEXT NOT NULL,
    lease_token     BLOB NOT NULL,
    object          TEXT NOT NULL,
    record_id       TEXT,
    value_pairs     TEXT NOT NULL,
    decisions       TEXT NOT NULL,                                     -- for the log, if the process ends before it settles
    attempt         INTEGER NOT NULL,
    announced_at    INTEGER NOT NULL,
    settled         INTEGER NOT NULL CHECK (settled BETWEEN 0 AND 2),  -- 0: its attempt was not settled; 1: without an
                                                                       -- answer; 2: goes when the lead is read once more
    keep_open_until INTEGER                                            -- for 1: it may land until then
);
CREATE INDEX intents_lead ON intents (destination, source, lead_id, id);
CREATE INDEX intents_unsettled ON intents (id) WHERE settled = 0;
CREATE INDEX intents_late ON intents (keep_open_until) WHERE keep_open_until IS NOT NULL;

CREATE TABLE conflicts (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT NOT NULL,
    source      TEXT NOT NULL,
    lead_id     TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('field', 'match', 'shared_record', 'invalid', 'company')),
    field       TEXT NOT NULL,                                 -- empty where the kind has none
    state       TEXT NOT NULL CHECK (state IN ('open', 'resolved', 'moot')),
    revision    INTEGER NOT NULL,
    question    TEXT NOT NULL,
    answer      TEXT,
    opened_at   INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    closed_at   INTEGER,
    closed_why  TEXT                                           -- where not planning closed it, and no answer
);
CREATE UNIQUE INDEX conflicts_open ON conflicts (destination, source, lead_id, kind, field) WHERE state = 'open';
CREATE INDEX conflicts_lead ON conflicts (source, lead_id, id);
CREATE INDEX conflicts_state ON conflicts (state, id);
CREATE INDEX conflicts_shared ON conflicts (question ->> '$.record.id') WHERE kind = 'shared_record';
CREATE INDEX conflicts_closed ON conflicts (closed_why, destination) WHERE closed_why IS NOT NULL;

-- What was done, append only.
CREATE TABLE sync_log (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    source      TEXT NOT NULL,
    lead_id     TEXT NOT NULL,
    destination TEXT NOT NULL,
    operation   TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    object      TEXT,
    record_id   TEXT,
    matched_by  TEXT,
    error_code  TEXT,
    error       TEXT,
    attempt     INTEGER NOT NULL,
    api_calls   INTEGER NOT NULL,
    batch       INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    request_id  TEXT,
    event_id    INTEGER,
    field_set   INTEGER
);
CREATE INDEX sync_log_lead ON sync_log (lead_id, id);
CREATE INDEX sync_log_record ON sync_log (record_id, id) WHERE record_id IS NOT NULL;
CREATE INDEX sync_log_request ON sync_log (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX sync_log_error ON sync_log (error_code, id) WHERE error_code IS NOT NULL;
CREATE INDEX sync_log_outcome ON sync_log (outcome, id) WHERE outcome <> 'ok';
-- Rows come in few combinations of these columns, and the index has those of each together: a search by any of the columns
-- looks at the newest of each combination that fits. Times need no index: where a moment is among the IDs is found by
-- halving.
CREATE INDEX sync_log_kind ON sync_log (source, destination, operation, outcome, ifnull(matched_by, ''), id);
CREATE INDEX sync_log_field ON sync_log (field_set, id) WHERE field_set IS NOT NULL;
-- Words of errors are found here alone.
CREATE INDEX sync_log_told ON sync_log (id, error) WHERE error IS NOT NULL;

-- Decisions per field, request and response.
CREATE TABLE sync_log_bodies (
    log_id    INTEGER PRIMARY KEY,
    decisions TEXT NOT NULL,
    request   TEXT,
    response  TEXT
);
-- Which fields a log row decided otherwise than agreed, for the filter `field`: nearly all rows share their fields with
-- many others, so each set is kept once and a row names its set.
CREATE TABLE field_sets (
    id     INTEGER PRIMARY KEY,
    fields TEXT NOT NULL UNIQUE        -- in order, one a line
);
CREATE TABLE field_set_members (
    field  TEXT NOT NULL,
    set_id INTEGER NOT NULL,
    PRIMARY KEY (field, set_id)
) WITHOUT ROWID;

-- Operations by minute, for the error rate.
CREATE TABLE outcome_counts (
    minute      INTEGER NOT NULL,
    destination TEXT NOT NULL,
    operation   TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    n           INTEGER NOT NULL,
    PRIMARY KEY (minute, destination, operation, outcome)
) WITHOUT ROWID;

-- API calls by hour.
CREATE TABLE budget (
    destination TEXT NOT NULL,
    hour        INTEGER NOT NULL,
    calls       INTEGER NOT NULL,
    PRIMARY KEY (destination, hour)
) WITHOUT ROWID;

CREATE TABLE pauses (
    destination TEXT PRIMARY KEY,
    by          TEXT NOT NULL,
    note        TEXT,
    since       INTEGER NOT NULL,
    until       INTEGER
) WITHOUT ROWID;

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    by      TEXT NOT NULL,
    action  TEXT NOT NULL,
    target  TEXT NOT NULL,
    source  TEXT,
    lead_id TEXT,
    detail  TEXT
);
CREATE INDEX audit_lead ON audit (source, lead_id, id) WHERE lead_id IS NOT NULL;
CREATE INDEX audit_at ON audit (at);

CREATE TABLE runs (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL,
    by         TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    scope      TEXT NOT NULL,
    total      INTEGER NOT NULL,
    done       INTEGER NOT NULL,
    position   TEXT,
    state      TEXT NOT NULL,
    detail     TEXT
);

-- Spans of time in which a destination's gate was closed: they do not count towards giving a lead up, restarts or not.
CREATE TABLE closed_spans (
    destination TEXT NOT NULL,
    closed_at   INTEGER NOT NULL,
    opened_at   INTEGER NOT NULL,                              -- while it is closed: until when that is known
    PRIMARY KEY (destination, closed_at)
) WITHOUT ROWID;

-- Leads whose record may be the person of another lead's record, as the last search found them. Nothing personal: what
-- they have in common is in their leads. A search drops what it does not find again.
CREATE TABLE suspects (
    destination   TEXT NOT NULL,
    source        TEXT NOT NULL,
    lead_id       TEXT NOT NULL,
    other_source  TEXT NOT NULL,
    other_lead_id TEXT NOT NULL,
    same          TEXT NOT NULL CHECK (same IN ('email', 'name_and_domain')),
    by_hand       INTEGER NOT NULL,
    since         INTEGER NOT NULL,
    found_at      INTEGER NOT NULL,
    PRIMARY KEY (destination, source, lead_id)
) WITHOUT ROWID;
CREATE INDEX suspects_since ON suspects (since);
CREATE INDEX suspects_found ON suspects (found_at);
CREATE INDEX suspects_lead ON suspects (source, lead_id);
CREATE INDEX suspects_other ON suspects (other_source, other_lead_id);
CREATE INDEX suspects_open ON suspects (destination) WHERE by_hand = 0;

-- Records of a CRM that no lead is and that may be the person of a lead's record, as the last searches found them.
CREATE TABLE strangers (
    destination TEXT NOT NULL,
    source      TEXT NOT NULL,
    lead_id     TEXT NOT NULL,
    record_id   TEXT NOT NULL,
    object      TEXT NOT NULL,
    same        TEXT NOT NULL CHECK (same IN ('email', 'name_and_domain')),
    by_hand     INTEGER NOT NULL,
    since       INTEGER NOT NULL,
    found_at    INTEGER NOT NULL,
    PRIMARY KEY (destination, source, lead_id, record_id)
) WITHOUT ROWID;
CREATE INDEX strangers_since ON strangers (since);
CREATE INDEX strangers_record ON strangers (record_id);
CREATE INDEX strangers_lead ON strangers (lead_id, source);
CREATE INDEX strangers_open ON strangers (destination) WHERE by_hand = 0;

-- How far the search for them came in each CRM: after which lead (empty: it begins), and the calls since then, for a day.
CREATE TABLE searches (
    destination TEXT PRIMARY KEY,
    source      TEXT NOT NULL,
    lead_id     TEXT NOT NULL,
    since       INTEGER NOT NULL,
    calls       INTEGER NOT NULL
) WITHOUT ROWID;

-- Two leads that were suspected and that a person told apart: in either order they are no suspicion any more. Of a record that
-- no lead is `other_source` is empty and `other_lead_id` the record.
CREATE TABLE told_apart (
    destination   TEXT NOT NULL,
    source        TEXT NOT NULL,
    lead_id       TEXT NOT NULL,
    other_source  TEXT NOT NULL,
    other_lead_id TEXT NOT NULL,
    PRIMARY KEY (destination, source, lead_id, other_source, other_lead_id)
) WITHOUT ROWID;
CREATE INDEX told_apart_other ON told_apart (other_source, other_lead_id);

-- Leads that were erased: a keyed hash of each, so that it is known if it comes again.
CREATE TABLE erased (
    source TEXT NOT NULL,
    digest BLOB NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (source, digest)
) WITHOUT ROWID;
-- The key, made with the first erasure.
CREATE TABLE erasure_key (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    secret BLOB NOT NULL
);

-- How far pruning came in the tables that it walks through.
CREATE TABLE sweeps (
    name     TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) WITHOUT ROWID;

-- Written to find out whether the store commits.
CREATE TABLE heartbeat (
    beats INTEGER NOT NULL
);
INSERT INTO heartbeat (beats) VALUES (0);
