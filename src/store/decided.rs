//! The decisions of a log row as both databases store them.

use std::collections::BTreeSet;

use super::NewLogRow;
use super::stored::decisions_to_json;
use crate::domain::plan::Rule;

/// A row's decisions as they are stored. Apart, since making them takes longer than storing them: it is done before anything
/// is locked or a writer's turn has come.
pub(in crate::store) struct Decided {
    pub json: String,
    /// The fields that were decided otherwise than agreed: in order, one a line.
    pub fields: String,
}

impl Decided {
    pub fn of(row: &NewLogRow) -> Self {
        let decided = row.decisions.iter().filter(|decision| decision.rule != Rule::Agreed);
        let fields: BTreeSet<&str> = decided.map(|decision| decision.field.as_str()).collect();
        Self { json: decisions_to_json(&row.decisions), fields: fields.into_iter().collect::<Vec<_>>().join("\n") }
    }
}
