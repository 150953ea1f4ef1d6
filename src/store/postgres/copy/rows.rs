//! Rows of either database in one form, so that they can be compared.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value as Json;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection, PgConnection, Postgres, QueryBuilder, Row as _, Sqlite};

use super::tables::{Column, Kind, Table};
use super::{PIECE, Summed, go_on_copying};
use crate::domain::time::Timestamp;
use crate::store::StoreResult;
use crate::store::postgres::fold::indexed;
use crate::store::postgres::rows::readable;
use crate::store::postgres::time::Time;

/// One value: numbers, flags and times as numbers, tokens as bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cell {
    Null,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row(Vec<Cell>);

pub(super) type ByKey = HashMap<Vec<Cell>, Row>;

impl Row {
    pub fn key(&self, table: &Table) -> &[Cell] {
        &self.0[..table.keys]
    }

    /// Equal for equal rows only.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for cell in &self.0 {
            let (kind, content) = match cell {
                Cell::Null => (0, &[][..]),
                Cell::Number(number) => (1, &number.to_be_bytes()[..]),
                Cell::Text(text) => (2, text.as_bytes()),
                Cell::Bytes(content) => (3, content.as_slice()),
            };
            bytes.push(kind);
            bytes.extend((content.len() as u64).to_be_bytes());
            bytes.extend(content);
        }
        bytes
    }
}

fn by_key(table: &Table, rows: Vec<Row>) -> ByKey {
    rows.into_iter().map(|row| (row.key(table).to_vec(), row)).collect()
}

/// JSON in a form that does not depend on how it was written, and as `jsonb` can hold it.
fn plain_json(text: &str) -> String {
    let parsed: Result<Json, _> = serde_json::from_str(text);
    let plain = parsed.map_or_else(|_| text.to_owned(), |json| in_key_order(json).to_string());
    plain.replace("\\u0000", "\u{fffd}")
}

fn in_key_order(json: Json) -> Json {
    match json {
        Json::Object(map) => {
            let sorted: BTreeMap<String, Json> =
                map.into_iter().map(|(key, value)| (key, in_key_order(value))).collect();
            Json::Object(sorted.into_iter().collect())
        }
        Json::Array(values) => Json::Array(values.into_iter().map(in_key_order).collect()),
        plain => plain,
    }
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
}

/// The database that is copied from.
pub(super) struct Source(pub SqliteConnection);

impl Source {
    pub async fn count(&mut self, table: &Table) -> StoreResult<u64> {
        // Of events and log rows the bodies have one each; counting those would read them.
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {}", table.there));
        let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut self.0).await?;
        Ok(rows.unsigned_abs())
    }

    /// The next rows in key order.
    pub async fn page(&mut self, table: &Table, after: Option<&Row>, limit: i64) -> StoreResult<Vec<Row>> {
        let mut query = Self::select(table);
        if let Some(after) = after {
            query.push(" WHERE (").push(keys_there(table)).push(") > (");
            push_cells(&mut query, after.key(table));
            query.push(")");
        }
        query.push(" ORDER BY ").push(keys_there(table)).push(" LIMIT ").push_bind(limit);
        self.read(table, query).await
    }

    /// The rows with the same keys as these.
    pub async fn with_keys_of(&mut self, table: &Table, rows: &[Row]) -> StoreResult<ByKey> {
        let mut query = Self::select(table);
        query.push(" WHERE (").push(keys_there(table)).push(") IN (VALUES ");
        for (n, row) in rows.iter().enumerate() {
            query.push(if n == 0 { "(" } else { ", (" });
            push_cells(&mut query, row.key(table));
            query.push(")");
        }
        query.push(")");
        Ok(by_key(table, self.read(table, query).await?))
    }

    pub async fn sum_up(&mut self, table: &Table) -> StoreResult<Summed> {
        let (mut summed, mut after) = (Summed::default(), None);
        loop {
            let rows = self.page(table, after.as_ref(), PIECE).await?;
            rows.iter().for_each(|row| summed.add(row));
            let Some(last) = rows.into_iter().next_back() else { return Ok(summed) };
            after = Some(last);
        }
    }

    fn select(table: &Table) -> QueryBuilder<Sqlite> {
        let columns: Vec<String> = table.columns.iter().map(there).collect();
        QueryBuilder::new(format!("SELECT {} FROM {}", columns.join(", "), table.there))
    }

    async fn read(&mut self, table: &Table, mut query: QueryBuilder<Sqlite>) -> StoreResult<Vec<Row>> {
        let rows = query.build().fetch_all(&mut self.0).await?;
        rows.iter().map(|row| read_there(table, row)).collect()
    }
}

/// A column as SQLite has it.
fn there(column: &Column) -> String {
    if column.there == column.name { format!("\"{}\"", column.name) } else { column.there.to_owned() }
}

fn keys_there(table: &Table) -> String {
    table.columns[..table.keys].iter().map(there).collect::<Vec<_>>().join(", ")
}

fn push_cells(query: &mut QueryBuilder<Sqlite>, cells: &[Cell]) {
    let mut list = query.separated(", ");
    for cell in cells {
        match cell.clone() {
            Cell::Null => list.push("NULL"),
            Cell::Number(number) => list.push_bind(number),
            Cell::Text(text) => list.push_bind(text),
            Cell::Bytes(bytes) => list.push_bind(bytes),
        };
    }
}

fn read_there(table: &Table, row: &SqliteRow) -> StoreResult<Row> {
    let read = |(n, column): (usize, &Column)| -> StoreResult<Cell> {
        let cell = match column.kind {
            Kind::Small | Kind::Int | Kind::Big | Kind::Time | Kind::Bool => {
                row.try_get_unchecked::<Option<i64>, _>(n)?.map(Cell::Number)
            }
            Kind::Text | Kind::Json => {
                row.try_get_unchecked::<Option<String>, _>(n)?.map(|text| Cell::Text(readable(&text).into_owned()))
            }
            Kind::Indexed => {
                let text = row.try_get_unchecked::<Option<String>, _>(n)?;
                text.map(|text| Cell::Text(indexed(&readable(&text)).to_owned()))
            }
            Kind::Jsonb => row.try_get_unchecked::<Option<String>, _>(n)?.map(|text| Cell::Text(plain_json(&text))),
            Kind::Bytes | Kind::Uuid => row.try_get_unchecked::<Option<Vec<u8>>, _>(n)?.map(Cell::Bytes),
        };
        Ok(cell.unwrap_or(Cell::Null))
    };
    table.columns.iter().enumerate().map(read).collect::<StoreResult<Vec<_>>>().map(Row)
}

/// The database that is copied to.
pub(super) struct Target(pub PgConnection);

impl Target {
    pub async fn page(&mut self, table: &Table, after: Option<&Row>, limit: i64) -> StoreResult<Vec<Row>> {
        let keys = names(&table.columns[..table.keys]);
        let select = Self::select(table);
        let sql = match after {
            None => format!("{select} ORDER BY {keys} LIMIT {limit}"),
            Some(_) => {
                let last: Vec<String> = (1..=table.keys).map(|n| one_of(&table.columns[n - 1], n)).collect();
                format!("{select} WHERE ({keys}) > ({}) ORDER BY {keys} LIMIT {limit}", last.join(", "))
            }
        };
        let query = sqlx::query(sqlx::AssertSqlSafe(sql));
        let last: Vec<&Row> = after.into_iter().collect();
        self.read(table, bind(query, &table.columns[..table.keys], &last)).await
    }

    pub async fn with_keys_of(&mut self, table: &Table, rows: &[Row]) -> StoreResult<ByKey> {
        let sql = format!("{} {}", Self::select(table), with_keys(table));
        let rows: Vec<&Row> = rows.iter().collect();
        let query = bind(sqlx::query(sqlx::AssertSqlSafe(sql)), &table.columns[..table.keys], &rows);
        Ok(by_key(table, self.read(table, query).await?))
    }

    pub async fn insert(&mut self, table: &Table, rows: &[Row]) -> StoreResult<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let columns: Vec<String> =
            table.columns.iter().enumerate().map(|(n, column)| cast(column, &format!("u.c{n}"))).collect();
        let arrays: Vec<String> = table.columns.iter().enumerate().map(|(n, column)| array(column, n + 1)).collect();
        let unnested: Vec<String> = (0..table.columns.len()).map(|n| format!("c{n}")).collect();
        let insert = format!(
            "INSERT INTO {} ({}) SELECT {} FROM UNNEST({}) AS u({})",
            table.name,
            names(table.columns),
            columns.join(", "),
            arrays.join(", "),
            unnested.join(", "),
        );
        let rows: Vec<&Row> = rows.iter().collect();
        let mut transaction = self.0.begin().await?;
        go_on_copying(&mut transaction).await?;
        bind(sqlx::query(sqlx::AssertSqlSafe(insert)), table.columns, &rows).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    pub async fn remove(&mut self, table: &Table, rows: &[Row]) -> StoreResult<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows: Vec<&Row> = rows.iter().collect();
        let delete = format!("DELETE FROM {} t {}", table.name, with_keys(table));
        let mut transaction = self.0.begin().await?;
        go_on_copying(&mut transaction).await?;
        bind(sqlx::query(sqlx::AssertSqlSafe(delete)), &table.columns[..table.keys], &rows)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    pub async fn sum_up(&mut self, table: &Table) -> StoreResult<Summed> {
        let (mut summed, mut after) = (Summed::default(), None);
        loop {
            let rows = self.page(table, after.as_ref(), PIECE).await?;
            rows.iter().for_each(|row| summed.add(row));
            let Some(last) = rows.into_iter().next_back() else { return Ok(summed) };
            after = Some(last);
        }
    }

    fn select(table: &Table) -> String {
        let read = |column: &Column| {
            let name = format!("t.\"{}\"", column.name);
            match column.kind {
                Kind::Small | Kind::Int | Kind::Big => format!("{name}::bigint"),
                Kind::Bool => format!("{name}::int::bigint"),
                Kind::Json | Kind::Jsonb => format!("{name}::text"),
                Kind::Uuid => format!("uuid_send({name})"),
                Kind::Text | Kind::Indexed | Kind::Time | Kind::Bytes => name,
            }
        };
        let columns: Vec<String> = table.columns.iter().map(read).collect();
        format!("SELECT {} FROM {} t", columns.join(", "), table.name)
    }

    async fn read(&mut self, table: &Table, query: Query<'_, Postgres, PgArguments>) -> StoreResult<Vec<Row>> {
        let rows = query.fetch_all(&mut self.0).await?;
        rows.iter().map(|row| read_here(table, row)).collect()
    }
}

fn read_here(table: &Table, row: &PgRow) -> StoreResult<Row> {
    let read = |(n, column): (usize, &Column)| -> StoreResult<Cell> {
        let cell = match column.kind {
            Kind::Small | Kind::Int | Kind::Big | Kind::Bool => row.try_get::<Option<i64>, _>(n)?.map(Cell::Number),
            Kind::Time => row.try_get::<Option<Time>, _>(n)?.map(|time| Cell::Number(time.0.as_micros())),
            Kind::Text | Kind::Indexed | Kind::Json => row.try_get::<Option<String>, _>(n)?.map(Cell::Text),
            Kind::Jsonb => row.try_get::<Option<String>, _>(n)?.map(|text| Cell::Text(plain_json(&text))),
            Kind::Bytes | Kind::Uuid => row.try_get::<Option<Vec<u8>>, _>(n)?.map(Cell::Bytes),
        };
        Ok(cell.unwrap_or(Cell::Null))
    };
    table.columns.iter().enumerate().map(read).collect::<StoreResult<Vec<_>>>().map(Row)
}

/// The rows whose keys are in the bound arrays.
fn with_keys(table: &Table) -> String {
    let keys = &table.columns[..table.keys];
    let (arrays, unnested): (Vec<String>, Vec<String>) =
        keys.iter().enumerate().map(|(n, column)| (array(column, n + 1), format!("c{n}"))).unzip();
    let cast: Vec<String> = keys.iter().enumerate().map(|(n, column)| cast(column, &format!("u.c{n}"))).collect();
    format!(
        "WHERE ({}) IN (SELECT {} FROM UNNEST({}) AS u({}))",
        names(keys),
        cast.join(", "),
        arrays.join(", "),
        unnested.join(", ")
    )
}

/// A bound array of a column's values, as UNNEST takes it.
fn array(column: &Column, n: usize) -> String {
    let of = match column.kind {
        Kind::Small | Kind::Int | Kind::Big | Kind::Bool => "bigint",
        Kind::Text | Kind::Indexed | Kind::Json | Kind::Jsonb => "text",
        Kind::Time => "timestamptz",
        Kind::Bytes | Kind::Uuid => "bytea",
    };
    format!("${n}::{of}[]")
}

/// The first value of a bound array.
fn one_of(column: &Column, n: usize) -> String {
    cast(column, &format!("({})[1]", array(column, n)))
}

/// An element of such an array as the column's own type.
fn cast(column: &Column, element: &str) -> String {
    match column.kind {
        Kind::Small => format!("{element}::smallint"),
        Kind::Int => format!("{element}::integer"),
        Kind::Bool => format!("({element} <> 0)"),
        Kind::Json => format!("{element}::json"),
        Kind::Jsonb => format!("{element}::jsonb"),
        Kind::Uuid => format!("encode({element}, 'hex')::uuid"),
        Kind::Big | Kind::Text | Kind::Indexed | Kind::Time | Kind::Bytes => element.to_owned(),
    }
}

/// Binds an array for each of the first columns.
fn bind<'q>(
    mut query: Query<'q, Postgres, PgArguments>,
    columns: &[Column],
    rows: &[&Row],
) -> Query<'q, Postgres, PgArguments> {
    fn each<T>(rows: &[&Row], n: usize, take: impl Fn(&Cell) -> Option<T>) -> Vec<Option<T>> {
        rows.iter().map(|row| take(&row.0[n])).collect()
    }
    let number = |cell: &Cell| if let Cell::Number(number) = cell { Some(*number) } else { None };
    let time = |cell: &Cell| number(cell).map(|at| Time(Timestamp::from_micros(at)));
    let text = |cell: &Cell| if let Cell::Text(text) = cell { Some(text.clone()) } else { None };
    let bytes = |cell: &Cell| if let Cell::Bytes(bytes) = cell { Some(bytes.clone()) } else { None };
    for (n, column) in columns.iter().enumerate() {
        query = match column.kind {
            Kind::Small | Kind::Int | Kind::Big | Kind::Bool => query.bind(each(rows, n, number)),
            Kind::Time => query.bind(each(rows, n, time)),
            Kind::Text | Kind::Indexed | Kind::Json | Kind::Jsonb => query.bind(each(rows, n, text)),
            Kind::Bytes | Kind::Uuid => query.bind(each(rows, n, bytes)),
        };
    }
    query
}
