//! Reading columns by name.

use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row, Type};

use super::time::Time;
use crate::domain::time::Timestamp;
use crate::store::{StoreError, StoreResult};

/// One row as it was read; what does not fit names the table, the column and the row.
pub(super) struct Cells<'r> {
    pub row: &'r PgRow,
    pub table: &'static str,
    pub id: String,
}

impl<'r> Cells<'r> {
    pub(super) fn new(row: &'r PgRow, table: &'static str, id: impl ToString) -> Self {
        Self { row, table, id: id.to_string() }
    }

    /// The row of a table whose key is the number `id`.
    pub(super) fn numbered(row: &'r PgRow, table: &'static str) -> StoreResult<(Self, i64)> {
        let cells = Self::new(row, table, "?");
        let id: i64 = cells.get("id")?;
        Ok((Self::new(row, table, id), id))
    }

    pub(super) fn get<T: Decode<'r, Postgres> + Type<Postgres>>(&self, column: &'static str) -> StoreResult<T> {
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    pub(super) fn time(&self, column: &'static str) -> StoreResult<Timestamp> {
        self.get::<Time>(column).map(|moment| moment.0)
    }

    pub(super) fn maybe_time(&self, column: &'static str) -> StoreResult<Option<Timestamp>> {
        Ok(self.get::<Option<Time>>(column)?.map(|moment| moment.0))
    }

    /// A number that is never negative, from a column of either width.
    pub(super) fn count<T: TryFrom<i64>>(&self, column: &'static str) -> StoreResult<T> {
        let number = match self.row.try_get::<i64, _>(column) {
            Ok(number) => number,
            Err(_) => i64::from(self.get::<i32>(column)?),
        };
        T::try_from(number).map_err(|_| self.corrupt(column))
    }

    pub(super) fn word<T>(&self, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> StoreResult<T> {
        parse(self.get(column)?).ok_or_else(|| self.corrupt(column))
    }

    pub(super) fn corrupt(&self, column: &'static str) -> StoreError {
        StoreError::Corrupt { table: self.table, column, id: self.id.clone() }
    }
}
