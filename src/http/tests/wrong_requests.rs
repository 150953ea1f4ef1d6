//! What is wrong with a request to the admin API, where, and what to write instead.

use super::admin::start;

#[tokio::test]
async fn a_wrong_filter_is_answered_with_what_to_write() {
    let running = start().await;
    let check = async |query: &str, status: u16, says: &str| {
        let answer = running.call("GET", &format!("/admin/v1/{query}"), Some("looks"), "").await;
        assert_eq!(answer.problem().0, status, "{query}: {}", answer.text);
        assert!(answer.text.contains(says), "{query}: {}", answer.text);
    };
    check("sync-log?limit=0", 422, "from 1 to 500").await;
    check("sync-log?limit=501", 422, "from 1 to 500").await;
    check("sync-log?limit=many", 400, "limit: write a whole number").await;
    for list in ["alerts", "check", "destinations", "errors", "mapping", "queue", "sources"] {
        check(&format!("{list}?limit=0"), 422, "from 1 to 500").await;
        check(&format!("{list}?cursor=a"), 422, "cursor").await;
        check(&format!("{list}?colour=red"), 400, "colour").await;
    }
    check("sync-log?colour=red", 400, "colour").await;
    check("sync-log?operation=upsert", 422, "create, update, unchanged").await;
    check("sync-log?outcome=fine", 422, "ok, retry, refused").await;
    check("sync-log?from=yesterday", 422, "RFC 3339").await;
    check("sync-log?cursor=a%20b", 422, "cursor").await;
    check("conflicts?kind=color", 422, "shared_record").await;
    check("events?state=new", 422, "quarantined").await;
    check("events/4711", 404, "no event 4711").await;
    check("conflicts/7", 404, "/admin/v1/conflicts lists").await;
    check("conflicts/seven", 404, "seven").await;
    check("leads/klozeo/cl_1", 404, "no lead klozeo/cl_1").await;
    check("runs/7", 404, "no run 7").await;
    check("sync-log/7", 404, "/admin/v1/sync-log lists").await;
    check("dead-letters?lead_id=cl_1", 422, "source").await;
}

#[tokio::test]
async fn a_wrong_body_is_answered_with_what_to_write() {
    let running = start().await;
    let check = async |path: &str, body: &str, status: u16, says: &str| {
        let answer = running.call("POST", &format!("/admin/v1/{path}"), Some("acts"), body).await;
        assert_eq!(answer.problem().0, status, "{path}: {}", answer.text);
        assert!(answer.text.contains(says), "{path}: {}", answer.text);
    };
    check("dead-letters/discard", "", 422, r#"\"all\": true"#).await;
    check("dead-letters/retry", "{", 400, "bad-request").await;
    check("dead-letters/retry", r#"{"colour":"red"}"#, 422, "colour").await;
    check("destinations/crm/pause", r#"{"until":"2020-01-01T00:00:00Z"}"#, 422, "still to come").await;
    check("dead-letters/retry", r#"{"ids":["cl_1"]}"#, 422, "GET /admin/v1/dead-letters").await;
    check("destinations/crm/pause", r#"[null, null]"#, 422, "a JSON object").await;
    check("destinations/nobody/pause", "", 404, "no destination nobody").await;
    check("resync", "{}", 422, "write `destination`").await;
    check("resync", r#"{"source":"nobody"}"#, 422, "one of klozeo").await;
    check("resync", r#"{"destination":"nobody"}"#, 422, "one of crm").await;
    check("resync", r#"{"destination":"crm","source":"nobody"}"#, 422, "one of klozeo").await;
}
