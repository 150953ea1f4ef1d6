//! Sources whose leads do not have what every new record needs: the mapping was written for another one.

use std::collections::BTreeMap;

use super::mapping::SourceFields;
use crate::config::{Config, DestinationConfig, SourceConfig};
use crate::domain::ids::{DestinationName, FieldName, SourceName};
use crate::domain::mapping::{Direction, FieldRow};

/// What of a destination's required fields its sources do not say, one sentence for each. `required`: by the CRM, if that was
/// asked; else a row's `default` tells.
pub(super) fn of_sources(
    name: &DestinationName,
    config: &Config,
    sources: &BTreeMap<SourceName, SourceFields>,
    required: &[FieldName],
) -> Vec<String> {
    let Some(destination) = config.destinations.get(name) else { return Vec::new() };
    let is_shared = destination.sources.len() > 1;
    let mut told = Vec::new();
    for source in &destination.sources {
        let (Some(fields), Some(settings)) = (sources.get(source), config.sources.get(source)) else { continue };
        for (crm, row) in needed(destination, required) {
            let paths = paths_of(destination, crm);
            if paths.is_empty() || paths.iter().any(|path| may_say(settings, fields, path)) {
                continue;
            }
            let quoted = paths.iter().map(|path| format!("{path:?}")).collect::<Vec<_>>().join(", ");
            let without = match &row.default {
                Some(default) => format!("records without it get {default:?}"),
                None => "leads without it are refused".to_owned(),
            };
            let mend = format!("if it calls it otherwise, name that in sources.{source}.read.fields");
            if fields.is_told {
                told.push(format!(
                    "sources.{source}: its leads are not known to have {quoted}, from which destinations.{name} fills the \
                     required {crm}: {without}; {mend}"
                ));
            } else if is_shared {
                told.push(format!(
                    "sources.{source}: whether its leads have {quoted}, from which destinations.{name} fills the required \
                     {crm}, shows with its first event: {without}; {mend}"
                ));
            }
        }
    }
    told
}

/// The rows of the fields that every new record must have, one for each field.
fn needed<'c>(destination: &'c DestinationConfig, required: &[FieldName]) -> BTreeMap<&'c FieldName, &'c FieldRow> {
    let is_needed = |row: &&FieldRow| match required {
        [] => row.default.is_some(),
        required => required.contains(&row.crm),
    };
    written(destination).filter(is_needed).map(|row| (&row.crm, row)).collect()
}

/// Every lead field that a CRM field is made of.
fn paths_of<'c>(destination: &'c DestinationConfig, crm: &FieldName) -> Vec<&'c str> {
    written(destination).filter(|row| row.crm == *crm).flat_map(FieldRow::reads).collect()
}

fn written(destination: &DestinationConfig) -> impl Iterator<Item = &FieldRow> {
    let object = &destination.records.object;
    destination.fields.iter().filter(|row| row.direction == Direction::ToCrm && row.on.contains(object))
}

/// Whether a source's leads may have the field, or a part of it. Custom attributes are anybody's.
fn may_say(settings: &SourceConfig, fields: &SourceFields, path: &str) -> bool {
    let front = path.split('.').next().unwrap_or(path);
    let is_attribute = front == "attributes" && !settings.read.attributes.is_empty();
    is_attribute || front == "lead" || fields.known.contains(path) || fields.known.contains(front)
}
