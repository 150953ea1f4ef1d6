//! Runs a read statement over a table: names and types checked against the schema, candidates from the indexes.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};

use super::error::Refusal;
use super::ids;
use super::schema::{FieldId, Kind, Object};
use super::soql::{self, Condition, Literal, Operator, Order, Query, Selection, Wild, Word};
use super::table::{Row, RowId, Table};
use super::validate::parse_decimal;
use super::value::{Value, parse_date, parse_moment};

/// The rows that a statement selects, in its order.
#[derive(Debug)]
pub(super) struct Selected {
    /// `None` for `count()`.
    pub fields: Option<Vec<FieldId>>,
    pub rows: Vec<RowId>,
}

/// Selects rows; `all` includes the recycle bin, as `queryAll` does.
pub(super) fn select(table: &Table, query: &Query, statement: &str, all: bool) -> Result<Selected, Refusal> {
    let scope = Scope { object: &table.object, statement };
    let fields = match &query.select {
        Selection::Count => None,
        Selection::Fields(words) => Some(scope.columns(words)?),
    };
    let test = query.filter.as_ref().map(|filter| scope.bind(filter)).transpose()?;
    let order = query.order.iter().map(|order| scope.sorting(order)).collect::<Result<Vec<_>, _>>()?;

    let passes = |row: &RowId| {
        let row = table.row(*row);
        (all || !row.deleted) && test.as_ref().is_none_or(|test| holds(test, row, &table.object))
    };
    let mut candidates = test.as_ref().and_then(|test| candidates(test, table));
    if let (Some(candidates), true) = (&mut candidates, all) {
        candidates.extend(table.binned());
    }
    let mut rows: Vec<RowId> = match candidates {
        Some(candidates) => candidates.into_iter().filter(passes).collect(),
        None => (0..table.rows().len()).filter(passes).collect(),
    };
    rows.sort_by(|left, right| compare(table, &order, *left, *right));
    let limit = query.limit.unwrap_or(usize::MAX);
    let rows = rows.into_iter().skip(query.offset).take(limit).collect();
    Ok(Selected { fields, rows })
}

/// A condition whose names and values were checked.
enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    /// Equal to the value, or null where there is none.
    Is(FieldId, Option<Value>),
    Ordered(FieldId, Operator, Value),
    /// Equal to one of the values; the keys serve the row, the values the index.
    OneOf {
        field: FieldId,
        values: Vec<Value>,
        keys: HashSet<String>,
        or_null: bool,
    },
    Like(FieldId, Vec<Wild>),
}

struct Scope<'a> {
    object: &'a Object,
    statement: &'a str,
}

impl Scope<'_> {
    fn columns(&self, words: &[Word]) -> Result<Vec<FieldId>, Refusal> {
        let mut columns = Vec::with_capacity(words.len());
        for word in words {
            let (id, field) = self.find(word)?;
            if columns.contains(&id) {
                return Err(self.invalid(word, &format!("duplicate field selected: {}", field.name)));
            }
            columns.push(id);
        }
        Ok(columns)
    }

    fn find(&self, word: &Word) -> Result<(FieldId, &super::schema::Field), Refusal> {
        if let Some((relationship, _)) = word.text.split_once('.') {
            return Err(self.invalid(
                word,
                &format!(
                    "Didn't understand relationship '{relationship}' in field path. If you are attempting to use a custom relationship, \
                     be sure to append the '__r' after the custom relationship name."
                ),
            ));
        }
        self.object.find_visible(&word.text).ok_or_else(|| {
            self.invalid(
                word,
                &format!(
                    "No such column '{}' on entity '{}'. If you are attempting to use a custom field, be sure to append the '__c' \
                     after the custom field name. Please reference your WSDL or the describe call for the appropriate names.",
                    word.text, self.object.name
                ),
            )
        })
    }

    fn filterable(&self, word: &Word) -> Result<(FieldId, &super::schema::Field), Refusal> {
        let (id, field) = self.find(word)?;
        if field.filterable {
            return Ok((id, field));
        }
        Err(self.invalid(word, &format!("field '{}' can not be filtered in a query call", field.name)))
    }

    fn sorting(&self, order: &Order) -> Result<(FieldId, bool, bool), Refusal> {
        let (id, field) = self.find(&order.field)?;
        if field.is_sortable() {
            return Ok((id, order.descending, order.nulls_last));
        }
        Err(self.invalid(&order.field, &format!("field '{}' can not be sorted in a query call", field.name)))
    }

    fn bind(&self, condition: &Condition) -> Result<Test, Refusal> {
        let each = |parts: &[Condition]| parts.iter().map(|part| self.bind(part)).collect::<Result<Vec<_>, _>>();
        match condition {
            Condition::All(parts) => Ok(Test::All(each(parts)?)),
            Condition::Any(parts) => Ok(Test::Any(each(parts)?)),
            Condition::Not(part) => Ok(Test::Not(Box::new(self.bind(part)?))),
            Condition::Like { field: word, pattern } => {
                let (id, field) = self.filterable(word)?;
                if !field.kind.is_text() || field.kind == Kind::MultiPicklist {
                    return Err(self.operator(word));
                }
                Ok(Test::Like(id, pattern.clone()))
            }
            Condition::In { field: word, negated, literals } => {
                let (id, field) = self.filterable(word)?;
                if field.kind == Kind::Boolean {
                    return Err(self.operator(word));
                }
                let values = literals.iter().map(|literal| self.value(word, literal)).collect::<Result<Vec<_>, _>>()?;
                let or_null = values.iter().any(Option::is_none);
                let values: Vec<Value> = values.into_iter().flatten().collect();
                let keys = values.iter().map(|value| value.key(field.case_sensitive).into_owned()).collect();
                let test = Test::OneOf { field: id, values, keys, or_null };
                Ok(if *negated { Test::Not(Box::new(test)) } else { test })
            }
            Condition::Compare { field: word, operator, literal } => {
                let (id, field) = self.filterable(word)?;
                let value = self.value(word, literal)?;
                match (operator, value) {
                    (Operator::Equal, value) => Ok(Test::Is(id, value)),
                    (Operator::NotEqual, value) => Ok(Test::Not(Box::new(Test::Is(id, value)))),
                    (_, Some(value)) if !matches!(field.kind, Kind::Boolean | Kind::MultiPicklist) => {
                        Ok(Test::Ordered(id, *operator, value))
                    }
                    _ => Err(self.operator(word)),
                }
            }
        }
    }

    /// Reads a literal as a value of the field's type.
    fn value(&self, word: &Word, literal: &Literal) -> Result<Option<Value>, Refusal> {
        let (_, field) = self.find(word)?;
        let wrong = |wanted: &str| {
            let name = &field.name;
            self.invalid(word, &format!("value of filter criterion for field '{name}' must be of type {wanted}"))
        };
        match (field.kind, literal) {
            (Kind::Boolean, Literal::Bool(flag)) => Ok(Some(Value::Bool(*flag))),
            (Kind::Boolean, _) => Err(wrong("boolean and should not be enclosed in quotes")),
            (_, Literal::Null) => Ok(None),
            (Kind::Id | Kind::Reference, Literal::Text(text)) if text.is_empty() => Ok(None),
            (Kind::Id | Kind::Reference, Literal::Text(text)) => match ids::canonical(text) {
                Some(id) => Ok(Some(Value::text(id))),
                None => Err(Refusal::new(
                    400,
                    "INVALID_QUERY_FILTER_OPERATOR",
                    soql::pointed(self.statement, word.at, &format!("invalid ID field: {text}")),
                )),
            },
            (kind, Literal::Text(text)) if kind.is_text() => Ok((!text.is_empty()).then(|| Value::text(text.as_str()))),
            (Kind::Date, Literal::Bare(text)) => {
                parse_date(text).map(|date| Some(Value::Date(date))).ok_or_else(|| wrong("date"))
            }
            (Kind::DateTime, Literal::Bare(text)) => {
                parse_moment(text).map(|moment| Some(Value::Moment(moment))).ok_or_else(|| wrong("dateTime"))
            }
            (Kind::Int | Kind::Double | Kind::Currency | Kind::Percent, Literal::Bare(text)) => parse_decimal(text)
                .map(|number| Some(Value::Number(number)))
                .ok_or_else(|| wrong(if field.kind == Kind::Int { "int" } else { "double" })),
            (Kind::Date, _) => Err(wrong("date and should not be enclosed in quotes")),
            (Kind::DateTime, _) => Err(wrong("dateTime and should not be enclosed in quotes")),
            (kind, _) if kind.is_decimal() || kind == Kind::Int => {
                Err(wrong("a number and should not be enclosed in quotes"))
            }
            _ => Err(wrong("string and should be enclosed in quotes")),
        }
    }

    fn invalid(&self, word: &Word, message: &str) -> Refusal {
        Refusal::new(400, "INVALID_FIELD", soql::pointed(self.statement, word.at, message))
    }

    fn operator(&self, word: &Word) -> Refusal {
        let message = format!("invalid operator on {} field", word.text);
        Refusal::new(400, "INVALID_QUERY_FILTER_OPERATOR", soql::pointed(self.statement, word.at, &message))
    }
}

/// Rows outside of which nothing can pass, where the indexes know; without an answer the table is scanned.
fn candidates(test: &Test, table: &Table) -> Option<BTreeSet<RowId>> {
    match test {
        Test::Is(field, Some(value)) => equal_rows(table, *field, std::slice::from_ref(value)),
        Test::OneOf { field, values, or_null: false, .. } => equal_rows(table, *field, values),
        Test::All(parts) => parts.iter().filter_map(|part| candidates(part, table)).min_by_key(BTreeSet::len),
        Test::Any(parts) => {
            let mut union = BTreeSet::new();
            for part in parts {
                union.append(&mut candidates(part, table)?);
            }
            Some(union)
        }
        _ => None,
    }
}

fn equal_rows(table: &Table, field: FieldId, values: &[Value]) -> Option<BTreeSet<RowId>> {
    if table.object.field(field).kind == Kind::Id {
        return Some(values.iter().filter_map(|value| table.find(value.as_text()?)).collect());
    }
    table
        .is_indexed(field)
        .then(|| values.iter().flat_map(|value| table.holders(field, value).collect::<Vec<_>>()).collect())
}

fn holds(test: &Test, row: &Row, object: &Object) -> bool {
    let sensitive = |field: FieldId| object.field(field).case_sensitive;
    match test {
        Test::All(parts) => parts.iter().all(|part| holds(part, row, object)),
        Test::Any(parts) => parts.iter().any(|part| holds(part, row, object)),
        Test::Not(part) => !holds(part, row, object),
        Test::Is(field, None) => !row.values.contains_key(field),
        Test::Is(field, Some(wanted)) => {
            row.values.get(field).is_some_and(|value| value.order(wanted, sensitive(*field)) == Ordering::Equal)
        }
        Test::Ordered(field, operator, wanted) => row.values.get(field).is_some_and(|value| {
            let order = value.order(wanted, sensitive(*field));
            match operator {
                Operator::Less => order == Ordering::Less,
                Operator::LessOrEqual => order != Ordering::Greater,
                Operator::Greater => order == Ordering::Greater,
                Operator::GreaterOrEqual => order != Ordering::Less,
                Operator::Equal => order == Ordering::Equal,
                Operator::NotEqual => order != Ordering::Equal,
            }
        }),
        Test::OneOf { field, keys, or_null, .. } => match row.values.get(field) {
            Some(value) => keys.contains(value.key(sensitive(*field)).as_ref()),
            None => *or_null,
        },
        Test::Like(field, pattern) => row
            .values
            .get(field)
            .and_then(Value::as_text)
            .is_some_and(|text| soql::matches(pattern, text, sensitive(*field))),
    }
}

fn compare(table: &Table, order: &[(FieldId, bool, bool)], left: RowId, right: RowId) -> Ordering {
    for (field, descending, nulls_last) in order {
        let values = (table.row(left).values.get(field), table.row(right).values.get(field));
        let nulls = |left_is_null: bool| {
            if left_is_null == *nulls_last { Ordering::Greater } else { Ordering::Less }
        };
        let order = match values {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => nulls(true),
            (Some(_), None) => nulls(false),
            (Some(left), Some(right)) => {
                let order = left.order(right, table.object.field(*field).case_sensitive);
                if *descending { order.reverse() } else { order }
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    left.cmp(&right)
}
