//! `[sources.NAME.read]`: where things are in a sender's payload.

use crate::domain::envelope::{
    AttributeRules, BodyRules, Expression, OptionRules, PayloadKind, ReadRules, TimeFormat, TypeTable, is_time_pattern,
};

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
        true => attributes(&table, preset),
        false => preset.map(|rules| rules.attributes.clone()).unwrap_or_default(),
    };
    let fields = match table.has("fields") {
        true => table.section("fields").entries(expression),
        false => preset.map(|rules| rules.fields.clone()).unwrap_or_default(),
    };
    let version = table.optional("version", expressions);
    let delete_version = table.optional("delete_version", expressions);
    let times = table.optional("times", times);
    let has_versions = version.is_some() || delete_version.is_some() || !field_versions.is_empty();
    if preset.is_none() && has_versions && !table.has("times") {
        table.wrong(
            "times",
            "is missing",
            "write how versions are written: \"unix_s\", \"unix_ms\", \"rfc3339\" or a pattern such as \"%Y-%m-%d %H:%M\"",
        );
    }
    let base = preset.cloned().unwrap_or_else(|| ReadRules {
        bodies: BodyRules { form: true, multipart: true, ..BodyRules::default() },
        ..ReadRules::new(Expression { alternatives: Vec::new() })
    });
    let (times, time_pattern) = times.unwrap_or((base.times, base.time_pattern));
    let known = lead_id.is_some();
    let rules = ReadRules {
        bodies: bodies(&table, base.bodies),
        records: table.or("records", base.records, json_pointer),
        event_id: table.or("event_id", base.event_id, optional_expression),
        event_type: table.or("event_type", base.event_type, optional_expression),
        types,
        lead: table.or("lead", base.lead, pointers),
        // Where it is missing, the other keys are still read, for their mistakes.
        lead_id: lead_id.unwrap_or(base.lead_id),
        version: version.unwrap_or(base.version),
        delete_version: delete_version.unwrap_or(base.delete_version),
        field_versions,
        times,
        time_pattern,
        attributes,
        fields,
        payload: table.or(
            "payload",
            base.payload,
            one_of(&[("patch", PayloadKind::Patch), ("full", PayloadKind::Full)]),
        ),
        unwrap_single: table.or("unwrap_single", base.unwrap_single, Item::flag),
        not_stored: base.not_stored,
    };
    if rules.event_type.is_some() && rules.types.upsert.is_empty() && rules.types.thin.is_empty() {
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
        thin: words("thin", |types| &types.thin, preset),
        ignore: words("ignore", |types| &types.ignore, preset),
    };
    table.finish();
    read
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Json,
    Form,
    Multipart,
    Xml,
}

/// JSON is always taken; what is taken besides.
fn bodies(table: &Table<'_>, base: BodyRules) -> BodyRules {
    let kinds =
        one_of(&[("json", Body::Json), ("form", Body::Form), ("multipart", Body::Multipart), ("xml", Body::Xml)]);
    let (form, multipart, xml) = match table.list("bodies", kinds) {
        Some(kinds) => (kinds.contains(&Body::Form), kinds.contains(&Body::Multipart), kinds.contains(&Body::Xml)),
        None => (base.form, base.multipart, base.xml),
    };
    let json_fields = table.list("json_fields", filled_text).unwrap_or(base.json_fields);
    BodyRules { form, multipart, xml, json_fields }
}

/// One table, or a list of them. A single one gives way to the preset's single one key by key.
fn attributes(table: &Table<'_>, preset: Option<&ReadRules>) -> Vec<AttributeRules> {
    if table.length("attributes").is_some() {
        return table.sections("attributes").into_iter().filter_map(|table| attribute(table, None)).collect();
    }
    let base = match preset.map(|rules| rules.attributes.as_slice()) {
        Some([only]) => Some(only),
        _ => None,
    };
    attribute(table.section("attributes"), base).into_iter().collect()
}

fn attribute(table: Table<'_>, preset: Option<&AttributeRules>) -> Option<AttributeRules> {
    let at = match preset {
        Some(rules) => Some(table.or("at", rules.at.clone(), json_pointer)),
        None => table.required("at", "write where the list of attributes is, such as \"/attributes\"", json_pointer),
    };
    let default = |pointer: &str| Expression::parse(pointer).unwrap_or(Expression { alternatives: Vec::new() });
    let name = table.or("name", preset.map_or_else(|| default("/name"), |rules| rules.name.clone()), expression);
    let value = table.or("value", preset.map_or_else(|| default("/value"), |rules| rules.value.clone()), expression);
    let options = match table.has("options") {
        true => options(table.section("options")),
        false => preset.and_then(|rules| rules.options.clone()),
    };
    table.finish();
    let wrapped = preset.is_some_and(|rules| rules.wrapped);
    Some(AttributeRules { at: at?, name, value, wrapped, options })
}

fn options(table: Table<'_>) -> Option<OptionRules> {
    let remedy = "write where the list of choices is, such as \"/options\"";
    let at = table.required("at", remedy, json_pointer);
    let id = table.or("id", "/id".to_owned(), json_pointer);
    let text = table.or("text", "/text".to_owned(), json_pointer);
    table.finish();
    Some(OptionRules { at: at?, id, text })
}

/// One JSON pointer, or a list of them.
fn pointers(item: &Item<'_>) -> Result<Vec<String>, Wrong> {
    if item.is_list() { item.elements()?.iter().map(json_pointer).collect() } else { Ok(vec![json_pointer(item)?]) }
}

/// How versions are written: a word, or a pattern with a day and a time of day.
fn times(item: &Item<'_>) -> Result<(TimeFormat, Option<String>), Wrong> {
    let text = item.text()?;
    if !text.contains('%') {
        let words = one_of(&[
            ("unix_s", TimeFormat::UnixSeconds),
            ("unix_ms", TimeFormat::UnixMilliseconds),
            ("rfc3339", TimeFormat::Rfc3339),
        ]);
        return words(item).map(|format| (format, None));
    }
    if is_time_pattern(&text) {
        return Ok((TimeFormat::Rfc3339, Some(text)));
    }
    Err(Wrong::new(
        format!("{} tells no day and time of day", item.shown()),
        "write a pattern such as \"%Y-%m-%d %I:%M %p\", as strftime has them",
    ))
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
