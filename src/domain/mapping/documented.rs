//! The field mapping document: what is synced how, and what is not.

use std::collections::BTreeSet;

use crate::domain::record::{FieldSchema, Schema};

use super::{Direction, FieldRow};

/// One line of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentedRow {
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
    /// `to_crm`, `none`, or `not synced` for a lead field without a row.
    pub direction: &'static str,
    pub conflict: Option<&'static str>,
    pub note: Option<String>,
}

/// The document: a line per row and object in the mapping's order, then each lead field in `lead_fields` that has no row.
pub fn documented_rows(rows: &[FieldRow], schema: &Schema, lead_fields: &BTreeSet<String>) -> Vec<DocumentedRow> {
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
    let named: BTreeSet<&str> = rows.iter().map(|row| row.lead.as_str()).collect();
    let unmapped = lead_fields.iter().filter(|path| !named.contains(path.as_str())).map(|path| DocumentedRow {
        lead: path.clone(),
        object: None,
        crm: None,
        label: None,
        lead_format: String::new(),
        crm_format: None,
        direction: "not synced",
        conflict: None,
        note: None,
    });
    mapped.chain(unmapped).collect()
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
    use crate::domain::mapping::{FieldType, Take};
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
        let lines = documented_rows(&[name], &schema, &seen);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].label.as_deref(), Some("Last Name"));
        assert_eq!(lines[0].lead_format, "text, only last_name");
        assert_eq!(lines[0].crm_format.as_deref(), Some("test, 80 characters"));
        assert_eq!((lines[0].direction, lines[0].conflict), ("to_crm", Some("lead_wins")));
        assert_eq!((lines[1].lead.as_str(), lines[1].direction), ("attributes.size", "not synced"));
    }
}
