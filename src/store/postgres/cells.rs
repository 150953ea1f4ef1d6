//! What PostgreSQL's rows hold.

use sqlx::postgres::PgRow;
use sqlx::{Row, ValueRef};

use super::time::Time;
use crate::domain::time::Timestamp;
use crate::store::cells::StoredRow;

impl StoredRow for PgRow {
    fn is_null(&self, column: &str) -> Option<bool> {
        self.try_get_raw(column).ok().map(|value| value.is_null())
    }

    fn text(&self, column: &str) -> Option<&str> {
        self.try_get(column).ok()
    }

    fn bytes(&self, column: &str) -> Option<&[u8]> {
        self.try_get(column).ok()
    }

    fn number(&self, column: &str) -> Option<i64> {
        self.try_get(column)
            .or_else(|_| self.try_get::<i32, _>(column).map(i64::from))
            .or_else(|_| self.try_get::<i16, _>(column).map(i64::from))
            .ok()
    }

    fn flag(&self, column: &str) -> Option<bool> {
        self.try_get(column).ok()
    }

    fn time(&self, column: &str) -> Option<Timestamp> {
        self.try_get::<Time, _>(column).ok().map(|moment| moment.0)
    }
}
