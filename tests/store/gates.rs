//! What a destination's gate remembers.

use crate::fixture::*;

on_both_stores! {
    closed_spans_survive_a_restart_and_are_replaced_as_a_whole,
    the_most_calls_of_an_hour_are_remembered,
}

async fn the_most_calls_of_an_hour_are_remembered(fixture: Fixture) {
    for (hour, calls) in [(3600, 2), (3600, 5), (3600, 3), (7200, 1)] {
        fixture.store.save_calls(&crm(), secs(hour), calls).await.unwrap();
    }
    assert_eq!(fixture.store.calls_since(&crm(), secs(3600)).await.unwrap(), [(secs(3600), 5), (secs(7200), 1)]);
    assert_eq!(fixture.store.calls_since(&crm(), secs(3601)).await.unwrap(), [(secs(7200), 1)]);
}

async fn closed_spans_survive_a_restart_and_are_replaced_as_a_whole(fixture: Fixture) {
    let joined = [(secs(10), secs(40)), (secs(50), secs(60))];
    fixture.store.save_closed_spans(&crm(), &[(secs(10), secs(20)), (secs(30), secs(40))]).await.unwrap();
    fixture.store.save_closed_spans(&crm(), &joined).await.unwrap();
    let fixture = fixture.reopen().await;
    assert_eq!(fixture.store.closed_spans(&crm()).await.unwrap(), joined);
    assert_eq!(fixture.store.closed_spans(&"another".into()).await.unwrap(), []);
}
