//! What people did, and what they look for among conflicts.

use leadrelay::domain::plan::{ConflictKind, Question};
use leadrelay::store::*;

use crate::fixture::*;

on_both_stores! {
    the_audit_log_is_read_page_by_page,
    conflicts_are_found_by_every_filter,
    a_copy_of_the_database_is_made_or_another_way_is_named,
}

/// What the audit log says, the oldest first: action, target and detail.
pub async fn audited(fixture: &Fixture) -> Vec<String> {
    let listed = fixture.store.list_audit(&page(500, None)).await.unwrap().items;
    let told = |AuditRow { entry, .. }: &AuditRow| {
        let AuditEntry { by, action, target, detail, .. } = entry;
        format!("{by}: {action} {target} {}", detail.as_deref().unwrap_or_default()).trim_end().to_owned()
    };
    listed.iter().rev().map(told).collect()
}

async fn the_audit_log_is_read_page_by_page(fixture: Fixture) {
    for n in 0..5 {
        let entry = AuditEntry {
            at: secs(n),
            by: "ops".to_owned(),
            action: format!("action {n}"),
            target: "destination crm".to_owned(),
            lead: (n % 2 == 0).then(|| key("ada")),
            detail: None,
        };
        fixture.store.record_audit(&entry).await.unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let listed = fixture.store.list_audit(&page(2, cursor)).await.unwrap();
        seen.extend(listed.items.into_iter().map(|row| (row.entry.at, row.entry.lead)));
        cursor = listed.next;
        if cursor.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (0..5).rev().map(|n| (secs(n), (n % 2 == 0).then(|| key("ada")))).collect();
    assert_eq!(seen, expected);
}

async fn conflicts_are_found_by_every_filter(fixture: Fixture) {
    for (lead, second, kind, field) in
        [("ada", 10, ConflictKind::Field, Some("Email")), ("bob", 20, ConflictKind::Match, None)]
    {
        let asked = Question { kind, field: field.map(Into::into), ..question("?") };
        let (token, job) = fixture.claimed(lead, second).await;
        fixture.settle(Settlement { questions: vec![asked], ..settlement(token, &job, second + 1) }).await;
    }
    let none = ConflictFilter::default;
    let filters = [
        (none(), vec!["bob", "ada"]),
        (ConflictFilter { state: text("open"), ..none() }, vec!["bob", "ada"]),
        (ConflictFilter { state: text("resolved"), ..none() }, vec![]),
        (ConflictFilter { kind: Some(ConflictKind::Match), ..none() }, vec!["bob"]),
        (ConflictFilter { field: text("Email"), ..none() }, vec!["ada"]),
        (ConflictFilter { source: text("klozeo"), ..none() }, vec!["bob", "ada"]),
        (ConflictFilter { lead_id: text("ada"), ..none() }, vec!["ada"]),
        (ConflictFilter { destination: text("another"), ..none() }, vec![]),
        (ConflictFilter { opened_before: Some(secs(21)), ..none() }, vec!["ada"]),
    ];
    for (filter, expected) in filters {
        let found = fixture.store.list_conflicts(&filter, &page(9, None)).await.unwrap().items;
        assert_eq!(found.iter().map(|row| row.lead.id.as_str()).collect::<Vec<_>>(), expected, "{filter:?}");
    }
    let first = fixture.store.list_conflicts(&none(), &page(1, None)).await.unwrap();
    let one = ConflictFilter { id: Some(first.items[0].id), ..none() };
    assert_eq!(fixture.store.list_conflicts(&one, &page(9, None)).await.unwrap().items[0].lead, key("bob"));
    let rest = fixture.store.list_conflicts(&none(), &page(9, first.next)).await.unwrap();
    assert_eq!(rest.items.iter().map(|row| row.lead.clone()).collect::<Vec<_>>(), [key("ada")]);
}

async fn a_copy_of_the_database_is_made_or_another_way_is_named(fixture: Fixture) {
    let folder = tempfile::tempdir().unwrap();
    let copied = fixture.store.backup(&folder.path().join("copy.db")).await;
    match copied {
        Ok(()) => assert!(!fixture.is_postgres() && folder.path().join("copy.db").exists()),
        Err(StoreError::Unfit(why)) => assert!(fixture.is_postgres() && why.contains("pg_dump"), "{why}"),
        Err(error) => panic!("{error:?}"),
    }
}
