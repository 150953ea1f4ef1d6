//! `[sources.NAME.read]`: where things are in a sender's payload.

use crate::domain::envelope::{AttributeRules, Expression, PayloadKind, ReadRules, TimeFormat, TypeTable};

use super::reader::{Item, Table, Wrong};
use super::values::{filled_text, json_pointer, one_of};
use super::verify_rules::unless_empty;

/// Reads the rules; what is left out comes from the preset's.
pub(super) fn read(table: Table<'_>, preset: Option<&ReadRules>) -> Option<ReadRules> {
    let lead_id = match preset {
        Some(rules) => Some(table.or("lead_id", rules.lead_id.clone(), expression)),
        None => table.required("lead_id", "write where the lead's ID is, such as \"/data/id\"", expression),
    };
    let types = types(table.section("types"), preset.map(|rules| &rules.types));
    let field_versions = match table.has("field_versions") {
        true => table.section("field_versions").entries(expressions),
        false => preset.map(|rules| rules.field_versions.clone()).unwrap_or_default(),
    };
    let attributes = match table.has("attributes") {
        true => attributes(table.section("attributes"), preset.and_then(|rules| rules.attributes.as_ref())),
        false => preset.and_then(|rules| rules.attributes.clone()),
    };
    let version = table.optional("version", expressions);
    let delete_version = table.optional("delete_version", expressions);
    let times = table.optional(
        "times",
        one_of(&[
            ("unix_s", TimeFormat::UnixSeconds),
            ("unix_ms", TimeFormat::UnixMilliseconds),
            ("rfc3339", TimeFormat::Rfc3339),
        ]),
    );
    let has_versions = version.is_some() || delete_version.is_some() || !field_versions.is_empty();
    if preset.is_none() && has_versions && !table.has("times") {
        table.wrong("times", "is missing", "write how versions are written: \"unix_s\", \"unix_ms\" or \"rfc3339\"");
    }
    let rules = |lead_id| ReadRules {
        records: table.or("records", preset.map(|rules| rules.records.clone()).unwrap_or_default(), json_pointer),
        event_id: table.or("event_id", preset.and_then(|rules| rules.event_id.clone()), optional_expression),
        event_type: table.or("event_type", preset.and_then(|rules| rules.event_type.clone()), optional_expression),
        types,
        lead: table.or("lead", preset.map(|rules| rules.lead.clone()).unwrap_or_default(), json_pointer),
        lead_id,
        version: version.or_else(|| preset.map(|rules| rules.version.clone())).unwrap_or_default(),
        delete_version: delete_version.or_else(|| preset.map(|rules| rules.delete_version.clone())).unwrap_or_default(),
        field_versions,
        times: times.or_else(|| preset.map(|rules| rules.times)).unwrap_or(TimeFormat::Rfc3339),
        attributes,
        payload: table.or(
            "payload",
            preset.map_or(PayloadKind::Patch, |rules| rules.payload),
            one_of(&[("patch", PayloadKind::Patch), ("full", PayloadKind::Full)]),
        ),
        unwrap_single: table.or("unwrap_single", preset.is_some_and(|rules| rules.unwrap_single), Item::flag),
    };
    // Where the lead's ID is missing, the other keys are still read, for their mistakes.
    let known = lead_id.is_some();
    let rules = rules(lead_id.unwrap_or(Expression { alternatives: Vec::new() }));
    if rules.event_type.is_some() && rules.types.upsert.is_empty() {
        table.wrong(
            "types",
            "lets no event type change a lead",
            "name the types that do: types = { upsert = [\"lead.*\"] }",
        );
    }
    table.finish();
    known.then_some(rules)
}

fn types(table: Table<'_>, preset: Option<&TypeTable>) -> TypeTable {
    let words = |key, preset: fn(&TypeTable) -> &Vec<String>, base: Option<&TypeTable>| {
        table.list(key, filled_text).or_else(|| base.map(|types| preset(types).clone())).unwrap_or_default()
    };
    let read = TypeTable {
        upsert: words("upsert", |types| &types.upsert, preset),
        delete: words("delete", |types| &types.delete, preset),
        ignore: words("ignore", |types| &types.ignore, preset),
    };
    table.finish();
    read
}

fn attributes(table: Table<'_>, preset: Option<&AttributeRules>) -> Option<AttributeRules> {
    let at = match preset {
        Some(rules) => Some(table.or("at", rules.at.clone(), json_pointer)),
        None => table.required("at", "write where the list of attributes is, such as \"/attributes\"", json_pointer),
    };
    let name = table.or("name", preset.map_or_else(|| "/name".to_owned(), |rules| rules.name.clone()), json_pointer);
    let value =
        table.or("value", preset.map_or_else(|| "/value".to_owned(), |rules| rules.value.clone()), json_pointer);
    table.finish();
    Some(AttributeRules { at: at?, name, value })
}

fn expression(item: &Item<'_>) -> Result<Expression, Wrong> {
    Expression::parse(&item.text()?).map_err(|error| {
        Wrong::new(
            format!("{} {}", item.shown(), error.problem),
            "write a JSON pointer such as \"/data/id\", or another of these; several with | between them",
        )
    })
}

fn optional_expression(item: &Item<'_>) -> Result<Option<Expression>, Wrong> {
    unless_empty(item, expression)
}

/// A list of expressions; the first wrong one makes the list wrong.
fn expressions(item: &Item<'_>) -> Result<Vec<Expression>, Wrong> {
    item.elements()?.iter().map(expression).collect()
}
