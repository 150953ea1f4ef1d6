-- The same tables with the same meaning as on SQLite; what differs is said here. JSON that holds values from outside is
-- `json`, not `jsonb`: it comes back as it was written, U+0000 and numbers of any length included. Names and IDs are compared
-- by their bytes: that is quicker than any language's order, and an index does not depend on the system's library.

-- One change of one lead, as received. Never changed but for its state. By month: `events_y2026m11`; what belongs to no
-- month that has a partition is in `events_rest`. What must outlive its month is there too if it is little, else in
-- `events_kept_y2026m11`, which takes the month's place.
CREATE SEQUENCE event_ids;
CREATE TABLE events (
    id           bigint NOT NULL,
    source       text COLLATE "C" NOT NULL,
    lead_id      text COLLATE "C",
    kind         text COLLATE "C" NOT NULL,                    -- upsert, delete, other
    state        text COLLATE "C" NOT NULL,                    -- stored, folded, stale, quarantined, ignored, erased
    event_type   text COLLATE "C",
    sender_id    text COLLATE "C",
    content_hash bytea NOT NULL,
    received_at  timestamptz NOT NULL,
    request_id   text COLLATE "C" NOT NULL,
    reason       text,
    size         integer NOT NULL,
    PRIMARY KEY (id, received_at)
) PARTITION BY RANGE (received_at);
CREATE TABLE events_rest PARTITION OF events DEFAULT;
-- A lead's timeline; the first copy of a redelivered event is found without reading the table.
CREATE INDEX events_lead ON events (source, lead_id, id, content_hash);
-- What folding reads, however long a lead's history is.
CREATE INDEX events_unfolded ON events (source, lead_id, id) WHERE state = 'stored';
CREATE INDEX events_quarantined ON events (source, id) WHERE state = 'quarantined';

-- Apart from events, so that what is read often stays small.
CREATE TABLE bodies (
    event_id    bigint NOT NULL,
    received_at timestamptz NOT NULL,
    headers     json NOT NULL,
    body        bytea NOT NULL,
    PRIMARY KEY (event_id, received_at)
) PARTITION BY RANGE (received_at);
CREATE TABLE bodies_rest PARTITION OF bodies DEFAULT;

-- Senders' own event IDs, with the content that came under each. In one piece, so that they are unique.
CREATE TABLE event_keys (
    source       text COLLATE "C" NOT NULL,
    sender_id    text COLLATE "C" NOT NULL,
    content_hash bytea NOT NULL,
    event_id     bigint NOT NULL,
    received_at  timestamptz NOT NULL,                         -- of the event with that ID
    PRIMARY KEY (source, sender_id, content_hash)
);
CREATE INDEX event_keys_age ON event_keys (received_at);

-- What each source sent, by hour. Each connection counts in a slot of its own, so that commits do not wait for each other.
CREATE TABLE source_counts (
    source text COLLATE "C" NOT NULL,
    hour   timestamptz NOT NULL,
    state  text COLLATE "C" NOT NULL,
    slot   smallint NOT NULL,
    n      bigint NOT NULL,
    PRIMARY KEY (source, hour, state, slot)
) WITH (fillfactor = 50);

-- The folded leads.
CREATE TABLE leads (
    source     text COLLATE "C" NOT NULL,
    lead_id    text COLLATE "C" NOT NULL,
    revision   bigint NOT NULL,
    document   json NOT NULL,
    name       text,
    email      text,
    deleted    boolean NOT NULL,
    -- By a person's order it is not synced; its record goes to the next lead, like a deleted one's.
    excluded   boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (source, lead_id)
) WITH (fillfactor = 80);
CREATE INDEX leads_email ON leads (email COLLATE "C", source, lead_id) WHERE email IS NOT NULL;
CREATE INDEX leads_updated ON leads (updated_at, source, lead_id);
CREATE INDEX leads_name ON leads (lower(name) COLLATE "C", source, lead_id) WHERE name IS NOT NULL;
CREATE INDEX leads_id ON leads (lead_id COLLATE "C");

-- Which CRM record a lead is. One lead owns a record.
CREATE TABLE links (
    destination text COLLATE "C" NOT NULL,
    source      text COLLATE "C" NOT NULL,
    lead_id     text COLLATE "C" NOT NULL,
    object      text COLLATE "C" NOT NULL,
    record_id   text COLLATE "C" NOT NULL,
    matched_by  text COLLATE "C" NOT NULL,
    owner       boolean NOT NULL,
    bases       json NOT NULL,
    kept        json NOT NULL,
    -- Rows of the mapping that are not written, with the pair of values that the CRM refused; null: the value does not fit
    -- the field, or the field cannot be written. A changed mapping or schema is a reason to try again.
    left_out    json NOT NULL,
    lacks       boolean NOT NULL,                              -- whether any row is left out
    fingerprint text COLLATE "C" NOT NULL,
    revision    bigint NOT NULL,
    linked_at   timestamptz NOT NULL,
    PRIMARY KEY (destination, source, lead_id)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX links_owner ON links (destination, record_id) WHERE owner;
CREATE INDEX links_record ON links (record_id);
CREATE INDEX links_sharer ON links (destination, record_id) WHERE NOT owner;
CREATE INDEX links_shared ON links (linked_at, destination, source, lead_id) WHERE NOT owner;
CREATE INDEX links_lacking ON links (destination, fingerprint) WHERE lacks;

-- What is owed: one row per lead and destination, gone when both agree. Neither here nor in `events` are there constraints
-- or columns that the server computes: both are written for each webhook, and the server reads such rules anew each time.
CREATE TABLE jobs (
    destination     text COLLATE "C" NOT NULL,
    source          text COLLATE "C" NOT NULL,
    lead_id         text COLLATE "C" NOT NULL,
    state           text COLLATE "C" NOT NULL,                 -- owed, held, dead
    lane            smallint NOT NULL,                         -- 0 first contact, 1 linked
    class           smallint NOT NULL,                         -- 0 live, 1 backfill
    due_at          timestamptz NOT NULL,                      -- while leased: the lease's end
    lease_token     uuid,
    held_by         uuid,                                      -- while leased: the replica
    attempt         integer NOT NULL,
    wanted          bigint NOT NULL,
    owed_since      timestamptz NOT NULL,
    first_failed_at timestamptz,
    waiting_since   timestamptz,                               -- given back: behind a closed gate since
    code            text,
    detail          text,
    suspicion       integer NOT NULL,
    forced          boolean NOT NULL,
    refusal         jsonb,
    ended_at        timestamptz,                               -- held or dead since
    look_again_at   timestamptz,
    PRIMARY KEY (destination, source, lead_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
        autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX jobs_claim ON jobs (destination, lane, class, due_at) WHERE state = 'owed';
CREATE INDEX jobs_look_again ON jobs (destination, look_again_at) WHERE state <> 'owed' AND look_again_at IS NOT NULL;
CREATE INDEX jobs_oldest ON jobs (destination, owed_since) WHERE state = 'owed';
CREATE INDEX jobs_failing ON jobs (destination, first_failed_at) WHERE state = 'owed' AND first_failed_at IS NOT NULL;
CREATE INDEX jobs_waiting ON jobs (destination, waiting_since) WHERE state = 'owed' AND waiting_since IS NOT NULL;
CREATE INDEX jobs_leased ON jobs (lease_token) WHERE lease_token IS NOT NULL;
CREATE INDEX jobs_ended ON jobs (state, ended_at, destination, source, lead_id) WHERE state <> 'owed';

-- The queue's figures, so that none of them needs a scan: the sum of `job_counts` and of the changes since. Changes are
-- only appended, so that commits do not wait for each other; whoever reads the figures adds them up from time to time.
CREATE TABLE job_counts (
    destination text COLLATE "C" NOT NULL,
    status      text COLLATE "C" NOT NULL,
    n           bigint NOT NULL,
    PRIMARY KEY (destination, status)
);
CREATE TABLE job_count_changes (
    destination text COLLATE "C" NOT NULL,
    status      text COLLATE "C" NOT NULL,
    n           bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE FUNCTION job_status(state text, lease_token uuid, first_failed_at timestamptz) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN state <> 'owed' THEN state
                WHEN lease_token IS NOT NULL THEN 'leased'
                WHEN first_failed_at IS NOT NULL THEN 'retrying'
                ELSE 'ready' END $$;
CREATE FUNCTION count_inserted_jobs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO job_count_changes
        SELECT destination, job_status(state, lease_token, first_failed_at), count(*) FROM after GROUP BY 1, 2;
    RETURN NULL;
END $$;
CREATE FUNCTION count_deleted_jobs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO job_count_changes
        SELECT destination, job_status(state, lease_token, first_failed_at), -count(*) FROM before GROUP BY 1, 2;
    RETURN NULL;
END $$;
CREATE FUNCTION count_updated_jobs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    -- It runs for each upsert too, which mostly updates nothing.
    IF EXISTS (SELECT 1 FROM after) THEN
        INSERT INTO job_count_changes
            SELECT destination, status, sum(n) FROM (
                SELECT destination, job_status(state, lease_token, first_failed_at) AS status, -1 AS n FROM before
                UNION ALL SELECT destination, job_status(state, lease_token, first_failed_at), 1 FROM after) moved
             GROUP BY destination, status HAVING sum(n) <> 0;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION count_inserted_jobs();
CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION count_deleted_jobs();
CREATE TRIGGER jobs_updated AFTER UPDATE ON jobs REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION count_updated_jobs();

-- Announced writes whose outcome is open; a closed one is deleted.
CREATE TABLE intents (
    id              bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    destination     text COLLATE "C" NOT NULL,
    source          text COLLATE "C" NOT NULL,
    lead_id         text COLLATE "C" NOT NULL,
    request_id      text COLLATE "C" NOT NULL,
    lease_token     uuid NOT NULL,
    object          text COLLATE "C" NOT NULL,
    record_id       text COLLATE "C",
    value_pairs     json NOT NULL,
    decisions       json NOT NULL,                                     -- for the log, if the process ends before it settles
    attempt         integer NOT NULL,
    announced_at    timestamptz NOT NULL,
    settled         smallint NOT NULL CHECK (settled IN (0, 1, 2)),    -- 0: its attempt was not settled; 1: without an
                                                                       -- answer; 2: goes when the lead is read once more
    keep_open_until timestamptz                                        -- for 1: it may land until then
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX intents_lead ON intents (destination, source, lead_id, id);
CREATE INDEX intents_unsettled ON intents (lease_token, id) WHERE settled = 0;
CREATE INDEX intents_creates ON intents (destination, id) WHERE record_id IS NULL;
CREATE INDEX intents_late ON intents (keep_open_until) WHERE keep_open_until IS NOT NULL;

CREATE TABLE conflicts (
    id          bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    destination text COLLATE "C" NOT NULL,
    source      text COLLATE "C" NOT NULL,
    lead_id     text COLLATE "C" NOT NULL,
    kind        text COLLATE "C" NOT NULL CHECK (kind IN ('field', 'match', 'shared_record', 'invalid', 'company')),
    field       text COLLATE "C" NOT NULL,                                 -- empty where the kind has none
    state       text COLLATE "C" NOT NULL CHECK (state IN ('open', 'resolved', 'moot')),
    revision    bigint NOT NULL,
    question    json NOT NULL,
    answer      json,
    opened_at   timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    closed_at   timestamptz,
    closed_why  text                                           -- where not planning closed it, and no answer
);
CREATE UNIQUE INDEX conflicts_open ON conflicts (destination, source, lead_id, kind, field) WHERE state = 'open';
CREATE INDEX conflicts_lead ON conflicts (source, lead_id, id);
CREATE INDEX conflicts_state ON conflicts (state, id);

-- What was done, append only. By month, as `events`.
CREATE SEQUENCE sync_log_ids;
CREATE TABLE sync_log (
    id          bigint NOT NULL DEFAULT nextval('sync_log_ids'),
    at          timestamptz NOT NULL,
    source      text COLLATE "C" NOT NULL,
    lead_id     text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    operation   text COLLATE "C" NOT NULL,
    outcome     text COLLATE "C" NOT NULL,
    object      text COLLATE "C",
    record_id   text COLLATE "C",
    matched_by  text COLLATE "C",
    error_code  text COLLATE "C",
    error       text,
    attempt     integer NOT NULL,
    api_calls   integer NOT NULL,
    batch       integer NOT NULL,
    duration_ms bigint NOT NULL,
    request_id  text COLLATE "C",
    event_id    bigint,
    field_set   bigint,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE TABLE sync_log_rest PARTITION OF sync_log DEFAULT;
CREATE INDEX sync_log_lead ON sync_log (lead_id, id);
CREATE INDEX sync_log_record ON sync_log (record_id, id) WHERE record_id IS NOT NULL;
CREATE INDEX sync_log_request ON sync_log (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX sync_log_error ON sync_log (error_code, id) WHERE error_code IS NOT NULL;
CREATE INDEX sync_log_outcome ON sync_log (outcome, id) WHERE outcome <> 'ok';
-- Rows come in few combinations of these columns, and the index has those of each together: a search by any of the columns
-- looks at the newest of each combination that fits. Times need no index: where a moment is among the IDs is found by
-- halving.
CREATE INDEX sync_log_kind ON sync_log (source, destination, operation, outcome, coalesce(matched_by, ''), id);
CREATE INDEX sync_log_field ON sync_log (field_set, id) WHERE field_set IS NOT NULL;
-- Words of errors are found without walking through all that went well.
CREATE INDEX sync_log_told ON sync_log (id) WHERE error IS NOT NULL;

-- Decisions per field, request and response. By month, as `events`.
CREATE TABLE sync_log_bodies (
    log_id    bigint NOT NULL,
    at        timestamptz NOT NULL,                            -- of the row
    decisions json NOT NULL,
    request   text,
    response  text,
    PRIMARY KEY (log_id, at)
) PARTITION BY RANGE (at);
CREATE TABLE sync_log_bodies_rest PARTITION OF sync_log_bodies DEFAULT;

-- Which fields a log row decided otherwise than agreed, for the filter `field`: nearly all rows share their fields with
-- many others, so each set is kept once and a row names its set.
CREATE TABLE field_sets (
    id     bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    fields text NOT NULL,                                      -- in order, one a line
    -- A long list of fields fits into no index.
    digest bytea NOT NULL UNIQUE GENERATED ALWAYS AS (sha256(replace(fields, '\', '\\')::bytea)) STORED
);
CREATE TABLE field_set_members (
    field  text COLLATE "C" NOT NULL,
    set_id bigint NOT NULL,
    PRIMARY KEY (field, set_id)
);

-- Operations by minute, for the error rate; slots as in `source_counts`.
CREATE TABLE outcome_counts (
    minute      timestamptz NOT NULL,
    destination text COLLATE "C" NOT NULL,
    operation   text COLLATE "C" NOT NULL,
    outcome     text COLLATE "C" NOT NULL,
    slot        smallint NOT NULL,
    n           bigint NOT NULL,
    PRIMARY KEY (minute, destination, operation, outcome, slot)
) WITH (fillfactor = 50);

-- API calls by hour and replica.
CREATE TABLE budget (
    destination text COLLATE "C" NOT NULL,
    hour        timestamptz NOT NULL,
    replica     uuid NOT NULL,
    calls       bigint NOT NULL,
    PRIMARY KEY (destination, hour, replica)
);

CREATE TABLE pauses (
    destination text COLLATE "C" PRIMARY KEY,
    by          text NOT NULL,
    note        text,
    since       timestamptz NOT NULL,
    until       timestamptz
);

CREATE TABLE audit (
    id      bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL,
    by      text NOT NULL,
    action  text NOT NULL,
    target  text NOT NULL,
    source  text COLLATE "C",
    lead_id text COLLATE "C",
    detail  text
);
CREATE INDEX audit_lead ON audit (source, lead_id, id) WHERE lead_id IS NOT NULL;
CREATE INDEX audit_at ON audit (at);

CREATE TABLE runs (
    id         bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    kind       text COLLATE "C" NOT NULL,
    by         text NOT NULL,
    started_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    scope      json NOT NULL,
    total      bigint NOT NULL,
    done       bigint NOT NULL,
    position   jsonb,
    state      text COLLATE "C" NOT NULL,
    detail     text
);

-- Leads whose record may be the person of another lead's record, as the last search found them. Nothing personal: what
-- they have in common is in their leads. A search drops what it does not find again.
CREATE TABLE suspects (
    destination   text NOT NULL,
    source        text NOT NULL,
    lead_id       text NOT NULL,
    other_source  text NOT NULL,
    other_lead_id text NOT NULL,
    same          text NOT NULL CHECK (same IN ('email', 'name_and_domain')),
    by_hand       boolean NOT NULL,
    since         timestamptz NOT NULL,
    found_at      timestamptz NOT NULL,
    PRIMARY KEY (destination, source, lead_id)
);
CREATE INDEX suspects_since ON suspects (since, destination, source, lead_id);
CREATE INDEX suspects_found ON suspects (found_at);
CREATE INDEX suspects_lead ON suspects (source, lead_id);
CREATE INDEX suspects_other ON suspects (other_source, other_lead_id);
CREATE INDEX suspects_open ON suspects (destination) WHERE NOT by_hand;

-- Leads that were erased: a keyed hash of each, so that it is known if it comes again.
CREATE TABLE erased (
    source text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    at     timestamptz NOT NULL,
    PRIMARY KEY (source, digest)
);
-- The key, made with the first erasure.
CREATE TABLE erasure_key (
    id     bigint PRIMARY KEY CHECK (id = 1),
    secret bytea NOT NULL
);

-- How far pruning came in the tables that it walks through.
CREATE TABLE sweeps (
    name     text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL
);
-- Events of the month of which a copy is being made that changed meanwhile, so that the copy is set right before it takes
-- the month's place. Only that month has a trigger.
CREATE TABLE pruning_changes (event_id bigint NOT NULL);
CREATE FUNCTION note_changed_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO pruning_changes VALUES (NEW.id);
    RETURN NULL;
END $$;

-- Spans of time in which a destination's gate was closed: they do not count towards giving a lead up, restarts or not.
CREATE TABLE closed_spans (
    destination text COLLATE "C" NOT NULL,
    closed_at   timestamptz NOT NULL,
    opened_at   timestamptz NOT NULL,                          -- while it is closed: until when that is known
    PRIMARY KEY (destination, closed_at)
);

-- The processes that share this database.
CREATE TABLE replicas (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,                                  -- host and process
    version    text NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,
    back_at    timestamptz                                     -- seen again after it had seemed dead
);

-- What one process at a time has in hand: a run, the upkeep, and by hash the people and records of a batch.
CREATE TABLE leases (
    name   text COLLATE "C" PRIMARY KEY,
    holder uuid NOT NULL,
    until  timestamptz NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX leases_holder ON leases (holder);

-- Why each replica's gates are closed, so that the others keep away too.
CREATE TABLE closures (
    destination text COLLATE "C" NOT NULL,
    replica     uuid NOT NULL,
    reason      text NOT NULL,                                 -- the gate's word
    code        text,
    detail      text NOT NULL,                                 -- the sentence for operators
    since       timestamptz NOT NULL,
    until       timestamptz,
    PRIMARY KEY (destination, replica)
);

-- When a person last had a destination go on, so that whichever replica keeps it closed tries again.
CREATE TABLE resumes (
    destination text COLLATE "C" PRIMARY KEY,
    at          timestamptz NOT NULL
);
