#![expect(unused, clippy::todo, reason = "not written yet")]
use sqlx::PgConnection;

use crate::store::*;

pub(super) async fn append(db: &mut PgConnection, rows: &[NewLogRow]) -> StoreResult<()> {
    todo!()
}
