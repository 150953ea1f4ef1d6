use crate::store::sqlite::fixtures::*;

#[tokio::test]
async fn claiming_reads_partial_indexes_in_order_and_never_sorts() {
    let plan = Fixture::new().await.store.claim_plan().await.unwrap();
    // One step a statement: another one would be a sort.
    let indexes = ["COVERING INDEX jobs_claim", "INDEX jobs_look_again"];
    assert_eq!(plan.len(), indexes.len(), "{plan:?}");
    for (step, index) in plan.iter().zip(indexes) {
        assert!(step.contains(&format!("USING {index} ")), "{plan:?}");
    }
}
