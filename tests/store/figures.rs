//! What is counted.

use leadrelay::domain::plan::ConflictKind;

use crate::fixture::*;
use crate::rows::*;

on_both_stores! {
    failures_are_grouped_and_open_conflicts_and_sharers_counted,
    of_failures_it_is_counted_for_how_many_leads_they_still_stand,
}

async fn failures_are_grouped_and_open_conflicts_and_sharers_counted(fixture: Fixture) {
    fixture.execute(LOG_ROWS).await;
    fixture.execute(CONFLICT).await;
    insert_link(&fixture, "cl_1", "00Q1", true).await;
    insert_link(&fixture, "cl_2", "00Q1", false).await;
    // A record that may be another person's has no owner, and is none that leads share.
    insert_link(&fixture, "cl_3", "00Q3", false).await;
    for (minute, n) in [(0, 2), (60_000_000, 3)] {
        let (slot, value) = fixture.either(("", ""), (", slot", ", 3"));
        let columns = format!("minute, destination, operation, outcome, n{slot}");
        let values = format!("us({minute}), 'crm', 'create', 'ok', {n}{value}");
        fixture.execute(&format!("INSERT INTO outcome_counts ({columns}) VALUES ({values})")).await;
    }
    let groups = fixture.store.group_errors(micros(201)).await.unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!((groups[0].code.as_str(), groups[0].count, groups[0].leads), ("UNABLE_TO_LOCK_ROW", 1, 1));
    assert_eq!(fixture.store.group_errors(micros(0)).await.unwrap().len(), 2);
    let standing = fixture.store.standing_figures().await.unwrap();
    assert_eq!(standing.shared_records, [("crm".into(), 1)]);
    assert_eq!(standing.open_conflicts, [("crm".into(), ConflictKind::Field, 1)]);
    let counts = fixture.store.count_outcomes(micros(61_000_000)).await.unwrap();
    assert_eq!((counts.len(), counts[0].count), (1, 3));
}

async fn of_failures_it_is_counted_for_how_many_leads_they_still_stand(fixture: Fixture) {
    const FAILED: &str = "update refused";
    let of_company = "account_create refused";
    // Per lead: what the log tells, the oldest first; what else there is of it; whether its failure stands.
    let leads: [(&str, &[&str], &str, bool); 13] = [
        ("a", &[FAILED], "", true),
        ("b", &[FAILED, "update ok"], "", false),
        ("c", &[of_company, "create ok"], "", true),
        ("d", &[of_company, "account_match ok"], "", false),
        ("e", &[FAILED, "account_match ok", "opportunity_match ok"], "", true),
        ("f", &["create conflict"], "", false),
        ("g", &["create conflict"], "a conflict", true),
        ("h", &["create conflict"], "a job", true),
        ("i", &[FAILED], "excluded", false),
        ("j", &[of_company, "skip ok"], "", false),
        ("k", &["update retry", FAILED], "", true),
        ("l", &[FAILED], "erased", false),
        ("m", &["opportunity_update refused", "account_match ok", "unchanged ok"], "", true),
    ];
    let mut id = 0;
    for (lead, rows, besides, _) in leads {
        if besides != "erased" {
            let insert = format!(
                "INSERT INTO leads (source, lead_id, revision, document, deleted, excluded, updated_at)
                 VALUES ('klozeo', '{lead}', 1, '{{}}', false, {}, us(10))",
                besides == "excluded"
            );
            fixture.execute(&insert).await;
        }
        match besides {
            "a job" => insert_job(&fixture, lead, "held", Some("match_conflict"), Some(10)).await,
            "a conflict" => fixture.execute(&CONFLICT.replace("cl_1", lead)).await,
            _ => {}
        }
        for (operation, outcome) in rows.iter().map(|row| row.split_once(' ').unwrap()) {
            id += 1;
            let code = if outcome == "ok" { "NULL" } else { "'TOO_LONG'" };
            let insert = format!(
                "INSERT INTO sync_log (id, at, source, lead_id, destination, operation, outcome, error_code, attempt, api_calls,
                                       batch, duration_ms)
                 VALUES ({id}, us({id}), 'klozeo', '{lead}', 'crm', '{operation}', '{outcome}', {code}, 1, 1, 1, 1)"
            );
            fixture.execute(&insert).await;
        }
    }
    let groups = fixture.store.group_errors(micros(0)).await.unwrap();
    let standing = leads.iter().filter(|(.., stands)| *stands).count() as u64;
    assert_eq!(groups.len(), 1);
    assert_eq!((groups[0].count, groups[0].leads, groups[0].open), (14, 13, standing));
}
