//! Searching the sync log: what a filter asks for, and by which of its parts the rows are found.

use super::{LogFilter, Operation, Outcome};
use crate::domain::matching::MatchedBy;

/// The longest text that is searched for; more can be in no error's word.
const LONGEST_WORD: usize = 100;

/// What a person may have meant by `q`.
pub(super) enum Text {
    /// The ID of a lead, a record or a request.
    Id(String),
    /// The beginning of a word in the error, in lower case.
    Word(String),
}

impl Text {
    pub(super) fn word(q: &str) -> Self {
        Text::Word(q.trim().chars().take(LONGEST_WORD).map(|letter| letter.to_ascii_lowercase()).collect())
    }
}

/// By what the rows are found; the rest of the filter is then held against each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Lead,
    Record,
    Request,
    Address,
    Id,
    Error,
    Field,
    Word,
    /// Source, destination, operation, outcome and way of matching, any of them. Rows come in few combinations of these,
    /// and an index has the rows of each combination together.
    Kind,
    Time,
}

impl Way {
    /// The one that leaves the fewest rows.
    pub(super) fn of(filter: &LogFilter, text: Option<&Text>) -> Self {
        let ways = [
            (Way::Lead, filter.lead_id.is_some()),
            (Way::Record, filter.record_id.is_some()),
            (Way::Request, filter.request_id.is_some()),
            (Way::Address, filter.email.is_some()),
            (Way::Id, matches!(text, Some(Text::Id(_)))),
            (Way::Error, filter.error.is_some()),
            (Way::Field, filter.field.is_some()),
            (Way::Word, text.is_some()),
            (Way::Kind, kind(filter).into_iter().any(|(_, value)| value.is_some())),
        ];
        ways.into_iter().find(|(_, given)| *given).map_or(Way::Time, |(way, _)| way)
    }

    /// Whether few rows are found by it, whatever the rest of the filter says.
    pub(super) fn leaves_few(self) -> bool {
        matches!(self, Way::Lead | Way::Record | Way::Request | Way::Address | Way::Id)
    }
}

/// The columns of which rows have few combinations, with what the filter asks of each.
pub(super) fn kind(filter: &LogFilter) -> [(&'static str, Option<&str>); 5] {
    [
        ("source", filter.source.as_deref()),
        ("destination", filter.destination.as_deref()),
        ("operation", filter.operation.map(Operation::as_str)),
        ("outcome", filter.outcome.map(Outcome::as_str)),
        ("matched_by", filter.matched_by.map(MatchedBy::as_str)),
    ]
}

/// Every column that has to hold a certain text, with that text.
pub(super) fn equal(filter: &LogFilter) -> impl Iterator<Item = (&'static str, &str)> {
    let others = [
        ("lead_id", filter.lead_id.as_deref()),
        ("record_id", filter.record_id.as_deref()),
        ("error_code", filter.error.as_deref()),
        ("request_id", filter.request_id.as_deref()),
    ];
    let all = kind(filter).into_iter().chain(others);
    all.filter_map(|(column, value)| value.map(|value| (column, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_what_leaves_the_fewest() {
        let text = |text: &str| Some(text.to_owned());
        let id = Text::Id("cl_1".to_owned());
        let word = Text::Word("lock".to_owned());
        let none = LogFilter::default;
        for (filter, q, way) in [
            (none(), None, Way::Time),
            (LogFilter { source: text("klozeo"), ..none() }, None, Way::Kind),
            (LogFilter { outcome: Some(Outcome::Dead), ..none() }, Some(&word), Way::Word),
            (LogFilter { field: text("Email"), ..none() }, Some(&word), Way::Field),
            (LogFilter { field: text("Email"), ..none() }, Some(&id), Way::Id),
            (LogFilter { error: text("TOO_LONG"), email: text("ada@example.com"), ..none() }, None, Way::Address),
            (LogFilter { lead_id: text("cl_1"), record_id: text("00Q1"), ..none() }, Some(&id), Way::Lead),
        ] {
            assert_eq!(Way::of(&filter, q), way, "{filter:?}");
        }
    }
}
