//! The field mapping document: what is synced how, and what is not.

use std::collections::BTreeSet;

use crate::domain::record::{FieldSchema, Schema};

use super::{Computed, Direction, FieldRow};
use crate::domain::cel::Expression;

/// One line of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentedRow {
    /// The lead's field, or the expression that a value is computed by.
    pub lead: String,
    /// The object that the line is about; none for a lead field without a row.
    pub object: Option<String>,
    pub crm: Option<String>,
    /// The CRM's label; none where the schema is not known or has no such field.
    pub label: Option<String>,
    /// How the lead system's value is read.
    pub lead_format: String,
    /// The CRM's type and limits.
    pub crm_format: Option<String>,
    /// `to_crm`, `none`, `filter`, or `not synced` for a lead field without a row.
    pub direction: &'static str,
    pub conflict: Option<&'static str>,
    pub note: Option<String>,
}

/// The document: the filter, a line per row and object in the mapping's order, then each lead field in `lead_fields` that
/// has no row.
pub fn documented_rows(
    filter: Option<&Expression>,
    rows: &[FieldRow],
    schema: &Schema,
    lead_fields: &BTreeSet<String>,
) -> Vec<DocumentedRow> {
    let filter = filter.map(|filter| DocumentedRow {
        direction: "filter",
        note: Some("only leads that this holds for are synced".to_owned()),
        ..line_of(filter.source())
    });
    let mapped = rows.iter().flat_map(|row| {
        row.on.iter().map(move |object| {
            let field = schema.field(object, &row.crm);
            DocumentedRow {
                lead: row.lead.clone(),
                object: Some(object.to_string()),
                crm: Some(row.crm.to_string()),
                label: field.map(|field| field.label.clone()),
                lead_format: lead_format(row),
                crm_format: field.map(crm_format),
                direction: row.direction.as_str(),
                conflict: (row.direction != Direction::None).then(|| row.conflict.as_str()),
                note: row.note.clone(),
            }
        })
    });
    let named: BTreeSet<&str> = rows.iter().flat_map(FieldRow::reads).collect();
    let block = rows.iter().find_map(|row| match &row.computed {
        Some(Computed::Unmapped(covered)) => Some((row, covered)),
        _ => None,
    });
    let unmapped = lead_fields.iter().filter(|path| !named.contains(path.as_str())).map(|path| {
        match block.filter(|(_, covered)| path.starts_with("attributes.") && !covered.holds(path)) {
            Some((row, _)) => DocumentedRow {
                object: row.on.first().map(ToString::to_string),
                crm: Some(row.crm.to_string()),
                lead_format: "a line of the note".to_owned(),
                direction: row.direction.as_str(),
                ..line_of(path)
            },
            None => line_of(path),
        }
    });
    filter.into_iter().chain(mapped).chain(unmapped).collect()
}

/// A line for something that is not synced.
fn line_of(lead: &str) -> DocumentedRow {
    DocumentedRow {
        lead: lead.to_owned(),
        object: None,
        crm: None,
        label: None,
        lead_format: String::new(),
        crm_format: None,
        direction: "not synced",
        conflict: None,
        note: None,
    }
}

fn lead_format(row: &FieldRow) -> String {
    let mut words = vec![row.kind.as_str().to_owned()];
    words.extend(row.format.as_ref().map(|format| format.as_str().to_owned()));
    words.extend(row.take.map(|take| format!("only {}", take.as_str())));
    words.join(", ")
}

fn crm_format(field: &FieldSchema) -> String {
    let mut words = vec![field.type_name.clone()];
    words.extend(field.length.filter(|length| *length > 0).map(|length| format!("{length} characters")));
    if let (Some(precision), Some(scale)) = (field.precision.filter(|digits| *digits > 0), field.scale) {
        words.push(format!("{precision} digits, {scale} after the point"));
    }
    if field.restricted {
        words.push("listed values only".to_owned());
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::mapping::convert::tests::{field, row};
    use crate::domain::mapping::{Covered, FieldType, Take};
    use crate::domain::record::{CrmFieldKind, ObjectSchema};

    #[test]
    fn the_document_names_both_formats_and_every_lead_field_without_a_row() {
        let mut name = row(FieldType::Text);
        name.lead = "name".into();
        name.crm = "LastName".into();
        name.take = Some(Take::LastName);
        let mut last_name = field(CrmFieldKind::Text);
        last_name.length = Some(80);
        last_name.label = "Last Name".into();
        let object = ObjectSchema {
            name: "Lead".into(),
            createable: true,
            updateable: true,
            fields: [("LastName".into(), last_name)].into(),
        };
        let schema = Schema { objects: [("Lead".into(), object)].into() };
        let seen = BTreeSet::from(["name".to_owned(), "attributes.size".to_owned()]);
        let lines = documented_rows(None, &[name], &schema, &seen);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].label.as_deref(), Some("Last Name"));
        assert_eq!(lines[0].lead_format, "text, only last_name");
        assert_eq!(lines[0].crm_format.as_deref(), Some("test, 80 characters"));
        assert_eq!((lines[0].direction, lines[0].conflict), ("to_crm", Some("lead_wins")));
        assert_eq!((lines[1].lead.as_str(), lines[1].direction), ("attributes.size", "not synced"));
    }

    #[test]
    fn expressions_stand_there_as_they_are_written_and_what_they_read_is_synced() {
        let expression = |source: &str| Expression::parse(source).unwrap();
        let mut whole = row(FieldType::Text);
        whole.lead = "first_name + attributes.title".into();
        whole.computed = Some(Computed::Expression(expression(&whole.lead)));
        let mut block = row(FieldType::Text);
        block.crm = "Notes__c".into();
        block.computed = Some(Computed::Unmapped(Covered::by(std::slice::from_ref(&whole))));
        let seen = ["first_name", "attributes.title", "attributes.size", "city"].map(str::to_owned).into();
        let filter = expression("score >= 20.0");
        let lines = documented_rows(Some(&filter), &[whole, block], &Schema::default(), &seen);
        let told: Vec<_> = lines.iter().map(|line| (line.lead.as_str(), line.crm.as_deref(), line.direction)).collect();
        assert_eq!(
            told,
            [
                ("score >= 20.0", None, "filter"),
                ("first_name + attributes.title", Some("X"), "to_crm"),
                ("x", Some("Notes__c"), "to_crm"),
                ("attributes.size", Some("Notes__c"), "to_crm"),
                ("city", None, "not synced"),
            ]
        );
    }
}
