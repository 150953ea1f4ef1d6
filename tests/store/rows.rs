//! Rows that tests put into the database themselves, to be read and to be changed by people.

use crate::fixture::Fixture;

/// Four rows of the log, and two leads.
pub const LOG_ROWS: &str = "
    INSERT INTO leads (source, lead_id, revision, document, name, email, deleted, updated_at) VALUES
        ('klozeo', 'cl_1', 1, '{\"fields\":{},\"stamps\":[]}', 'Ada Lovelace', 'ada@example.com', false, us(10)),
        ('other', 'cl_1', 1, '{\"fields\":{},\"stamps\":[]}', 'Bob', 'bob@example.com', false, us(20));
    INSERT INTO sync_log (id, at, source, lead_id, destination, operation, outcome, object, record_id, matched_by, error_code,
                          error, attempt, api_calls, batch, duration_ms, request_id, event_id) VALUES
        (1, us(100), 'klozeo', 'cl_1', 'crm', 'create', 'ok', 'Lead', '00Q1', 'email', NULL, NULL, 1, 2, 1, 9, 'req-1', 7),
        (2, us(200), 'klozeo', 'cl_2', 'crm', 'update', 'refused', 'Lead', '00Q2', 'link', 'TOO_LONG',
            'Industry: data too large', 1, 2, 1, 9, 'req-2', NULL),
        (3, us(300), 'other', 'cl_1', 'crm', 'unchanged', 'ok', NULL, NULL, NULL, NULL, NULL, 1, 1, 1, 9, NULL, NULL),
        (4, us(400), 'klozeo', 'cl_1', 'second', 'update', 'retry', 'Lead', '00Q1', 'link', 'UNABLE_TO_LOCK_ROW',
            'a [lock]* held', 2, 1, 1, 9, 'req-4', NULL);
    INSERT INTO field_sets (id, fields) VALUES (1, 'Email'), (2, 'Email
Industry');
    INSERT INTO field_set_members (field, set_id) VALUES ('Email', 1), ('Email', 2), ('Industry', 2);
    UPDATE sync_log SET field_set = id WHERE id IN (1, 2);";

/// One open conflict.
pub const CONFLICT: &str = "
    INSERT INTO conflicts (id, destination, source, lead_id, kind, field, state, revision, question, opened_at, updated_at)
    VALUES (1, 'crm', 'klozeo', 'cl_1', 'field', 'Phone', 'open', 3, '{\"detail\":\"which number?\"}', us(5), us(5))";

/// Two dead letters, and a job that waits for a person.
pub async fn insert_dead(fixture: &Fixture) {
    insert_job(fixture, "cl_1", "dead", Some("TOO_LONG"), Some(10)).await;
    insert_job(fixture, "cl_2", "dead", Some("REQUIRED"), Some(20)).await;
    insert_job(fixture, "cl_3", "held", Some("match"), Some(20)).await;
}

pub async fn insert_job(fixture: &Fixture, lead: &str, state: &str, code: Option<&str>, ended: Option<i64>) {
    let code = code.map_or("NULL".to_owned(), |code| format!("'{code}'"));
    let ended = ended.map_or("NULL".to_owned(), |at| format!("us({at})"));
    let insert = format!(
        "INSERT INTO jobs (destination, source, lead_id, state, lane, class, due_at, attempt, wanted, owed_since, code, detail,
                           suspicion, forced, ended_at)
         VALUES ('crm', 'klozeo', '{lead}', '{state}', 0, 0, us(1), 9, 1, us(1), {code}, 'why', 0, false, {ended})"
    );
    fixture.execute(&insert).await;
}

pub async fn insert_link(fixture: &Fixture, lead: &str, record: &str, owner: bool) {
    let (lacks, value) = fixture.either(("", ""), (", lacks", ", false"));
    let insert = format!(
        "INSERT INTO links (destination, source, lead_id, object, record_id, matched_by, owner, bases, kept, left_out,
                            fingerprint, revision, linked_at{lacks})
         VALUES ('crm', 'klozeo', '{lead}', 'Lead', '{record}', 'email', {owner}, '{{}}', '{{}}', '{{}}', 'f', 1, us(1){value})"
    );
    fixture.execute(&insert).await;
}

/// Puts an event in with one header and the body `{}`.
pub async fn insert_event(fixture: &Fixture, id: i64, source: &str, lead: Option<&str>, state: &str, at: i64) {
    fixture.execute(&event_row(fixture, id, source, lead, state, at)).await;
}

/// The SQL that does.
pub fn event_row(fixture: &Fixture, id: i64, source: &str, lead: Option<&str>, state: &str, at: i64) -> String {
    let kind = if lead.is_some() { "upsert" } else { "other" };
    let lead = lead.map_or("NULL".to_owned(), |lead| format!("'{lead}'"));
    let (received, value) = fixture.either(("", String::new()), (", received_at", format!(", us({at})")));
    format!(
        "INSERT INTO events (id, source, lead_id, kind, state, content_hash, received_at, request_id, size)
         VALUES ({id}, '{source}', {lead}, '{kind}', '{state}', x'00', us({at}), 'r', 2);
         INSERT INTO bodies (event_id, headers, body{received}) VALUES ({id}, '[[\"x-a\",\"1\"]]', x'7b7d'{value});"
    )
}
