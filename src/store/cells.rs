//! Reading the columns of a row by their names, the same for both databases.

use super::{StoreError, StoreResult};
use crate::domain::ids::{
    DestinationName, FieldName, LeadId, LeadKey, ObjectName, RecordId, RecordRef, RequestId, SourceName,
};
use crate::domain::time::Timestamp;

/// A row as one of the databases gives it. `None`: the column holds something else.
pub(in crate::store) trait StoredRow {
    fn is_null(&self, column: &str) -> Option<bool>;
    fn text(&self, column: &str) -> Option<&str>;
    fn bytes(&self, column: &str) -> Option<&[u8]>;
    /// A whole number, whatever the width of its column.
    fn number(&self, column: &str) -> Option<i64>;
    fn flag(&self, column: &str) -> Option<bool>;
    fn time(&self, column: &str) -> Option<Timestamp>;
}

/// What a column can be read as.
pub(in crate::store) trait Cell<'r>: Sized {
    fn read<R: StoredRow>(row: &'r R, column: &str) -> Option<Self>;
}

/// One row as it was read; what does not fit names the table, the column and the row.
pub(in crate::store) struct Cells<'r, R> {
    row: &'r R,
    table: &'static str,
    id: String,
}

impl<'r, R: StoredRow> Cells<'r, R> {
    pub(in crate::store) fn new(row: &'r R, table: &'static str, id: impl ToString) -> Self {
        Self { row, table, id: id.to_string() }
    }

    /// The row of a table whose key is the number `id`.
    pub(in crate::store) fn numbered(row: &'r R, table: &'static str) -> StoreResult<(Self, i64)> {
        let id: i64 = Self::new(row, table, "?").get("id")?;
        Ok((Self::new(row, table, id), id))
    }

    /// The row of a table that is about one lead.
    pub(in crate::store) fn of_lead(row: &'r R, table: &'static str) -> StoreResult<(Self, LeadKey)> {
        let lead = Self::new(row, table, "?").lead()?;
        Ok((Self::new(row, table, &lead), lead))
    }

    pub(in crate::store) fn get<T: Cell<'r>>(&self, column: &'static str) -> StoreResult<T> {
        T::read(self.row, column).ok_or_else(|| self.corrupt(column))
    }

    /// A number that is never negative.
    pub(in crate::store) fn count<T: TryFrom<i64>>(&self, column: &'static str) -> StoreResult<T> {
        T::try_from(self.get(column)?).map_err(|_| self.corrupt(column))
    }

    /// A text that stands for something else.
    pub(in crate::store) fn parse<T>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> StoreResult<T> {
        parse(self.get(column)?).ok_or_else(|| self.corrupt(column))
    }

    /// As [`Cells::parse`], of a text that may be absent.
    pub(in crate::store) fn parse_option<T>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> StoreResult<Option<T>> {
        let text: Option<&str> = self.get(column)?;
        text.map(|text| parse(text).ok_or_else(|| self.corrupt(column))).transpose()
    }

    /// JSON in the form of [`super::stored`].
    pub(in crate::store) fn json<T>(
        &self,
        column: &'static str,
        read: impl FnOnce(&str) -> serde_json::Result<T>,
    ) -> StoreResult<T> {
        self.parse(column, |json| read(json).ok())
    }

    /// The lead that the row is about.
    pub(in crate::store) fn lead(&self) -> StoreResult<LeadKey> {
        Ok(LeadKey::new(self.get::<SourceName>("source")?, self.get::<LeadId>("lead_id")?))
    }

    /// The record whose object and ID two columns hold.
    pub(in crate::store) fn record(&self, object: &'static str, id: &'static str) -> StoreResult<RecordRef> {
        Ok(RecordRef { object: self.get(object)?, id: self.get(id)? })
    }

    pub(in crate::store) fn corrupt(&self, column: &'static str) -> StoreError {
        StoreError::Corrupt { table: self.table, column, id: self.id.clone() }
    }
}

impl<'r, T: Cell<'r>> Cell<'r> for Option<T> {
    fn read<R: StoredRow>(row: &'r R, column: &str) -> Option<Self> {
        if row.is_null(column)? { Some(None) } else { T::read(row, column).map(Some) }
    }
}

impl<'r> Cell<'r> for &'r str {
    fn read<R: StoredRow>(row: &'r R, column: &str) -> Option<Self> {
        row.text(column)
    }
}

impl Cell<'_> for String {
    fn read<R: StoredRow>(row: &R, column: &str) -> Option<Self> {
        row.text(column).map(str::to_owned)
    }
}

impl Cell<'_> for Vec<u8> {
    fn read<R: StoredRow>(row: &R, column: &str) -> Option<Self> {
        row.bytes(column).map(<[u8]>::to_vec)
    }
}

impl Cell<'_> for i64 {
    fn read<R: StoredRow>(row: &R, column: &str) -> Option<Self> {
        row.number(column)
    }
}

impl Cell<'_> for bool {
    fn read<R: StoredRow>(row: &R, column: &str) -> Option<Self> {
        row.flag(column)
    }
}

impl Cell<'_> for Timestamp {
    fn read<R: StoredRow>(row: &R, column: &str) -> Option<Self> {
        row.time(column)
    }
}

macro_rules! names {
    ($($name:ty),+) => {$(
        impl Cell<'_> for $name {
            fn read<R: StoredRow>(row: &R, column: &str) -> Option<Self> {
                row.text(column).map(Self::from)
            }
        }
    )+};
}

names!(DestinationName, FieldName, LeadId, ObjectName, RecordId, RequestId, SourceName);
