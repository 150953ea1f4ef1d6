//! What SQLite's rows hold.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, ValueRef};

use crate::domain::time::Timestamp;
use crate::store::cells::StoredRow;

impl StoredRow for SqliteRow {
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
        self.try_get(column).ok()
    }

    fn flag(&self, column: &str) -> Option<bool> {
        self.try_get(column).ok()
    }

    fn time(&self, column: &str) -> Option<Timestamp> {
        self.number(column).map(Timestamp::from_micros)
    }
}
