//! The processes of one database among each other, each verb handed on to the file that holds its SQL.

use async_trait::async_trait;

use super::time::Time;
use super::{PostgresStore, copy, leases, recover, replicas};
use crate::domain::ids::DestinationName;
use crate::domain::time::Timestamp;
use crate::store::{Closure, GateElsewhere, KeyHold, LeaseToken, Recovered, Replica, ReplicaRow, Shared, StoreResult};

#[async_trait]
impl Shared for PostgresStore {
    async fn time(&self) -> StoreResult<Option<Timestamp>> {
        let now: Time = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&self.pool).await?;
        Ok(Some(now.0))
    }

    async fn hold_keys(&self, hold: &KeyHold) -> StoreResult<Vec<bool>> {
        leases::hold_keys(self, hold).await
    }

    async fn release_keys(&self, token: LeaseToken) -> StoreResult<()> {
        leases::release(self, token).await
    }

    async fn recover_ran_out(&self, destination: &DestinationName, now: Timestamp) -> StoreResult<Recovered> {
        recover::ran_out(self, destination, now).await
    }

    async fn hold_lease(&self, name: &str, now: Timestamp, until: Timestamp) -> StoreResult<bool> {
        leases::hold(self, name, now, until).await
    }

    async fn release_lease(&self, name: &str) -> StoreResult<()> {
        leases::let_go(self, name).await
    }

    async fn begin_serving(&self) -> StoreResult<()> {
        copy::end_copying(&self.pool).await
    }

    async fn appear(&self, who: &Replica) -> StoreResult<()> {
        replicas::appear(self, who).await
    }

    async fn leave(&self) -> StoreResult<()> {
        replicas::leave(self).await
    }

    async fn list_replicas(&self) -> StoreResult<Vec<ReplicaRow>> {
        replicas::list(self).await
    }

    async fn exchange_gate(
        &self,
        destination: &DestinationName,
        closure: Option<&Closure>,
    ) -> StoreResult<Option<GateElsewhere>> {
        replicas::exchange_gate(self, destination, closure).await.map(Some)
    }
}
