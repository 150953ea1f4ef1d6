//! The preflight: does the mapping fit what the CRM says of itself?

use super::envelope::TimeFormat;
use super::ids::{FieldName, ObjectName};
use super::mapping::{Computed, ConflictRule, Converted, Direction, FieldRow, Given, TooLong, convert, type_fits};
use super::matching::{KeyField, MatchedBy, PersonObject};
use super::opportunity::OpportunityObject;
use super::plan::can_flag;
use super::record::{CrmFieldKind, FieldSchema, ObjectSchema, Schema, text_length};
use super::value::Value;

/// Room for the longest IDs that lead systems are known to use.
pub(super) const ID_CHARACTERS: u32 = 64;

/// One finding, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// What was looked at: `Lead.Email`.
    pub subject: String,
    pub finding: String,
    /// Empty where nothing is to be done.
    pub remedy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Leads will not arrive, or not whole.
    Error,
    /// Some leads may not arrive whole.
    Warning,
    Ok,
}

impl Severity {
    /// The word in the API and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Ok => "ok",
        }
    }
}

/// How records of an object are written.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// The field that carries our key; `None`: none is written.
    pub external_id: Option<&'a FieldName>,
    /// Whether records are made, and not only changed.
    pub made: bool,
    /// Without a value of this field none is made, and the lead goes on: a company's name.
    pub not_without: Option<&'a FieldName>,
}

/// Compares the mapping document with the live schema: field exists and is visible, writable, type fits, length, picklist
/// values, external ID unique, required fields covered. One finding per row at least; the worst first.
pub fn compare(rows: &[FieldRow], object: &ObjectName, written: Written<'_>, schema: &Schema) -> Vec<Finding> {
    let Some(described) = schema.objects.get(object) else {
        return vec![error(
            object.to_string(),
            "the CRM has no such object, or our user may not see it",
            "give the integration user read, create and edit rights on the object",
        )];
    };
    let mut findings = of_object(described, written.made);
    findings.extend(written.external_id.into_iter().flat_map(|external_id| of_external_id(described, external_id)));
    let synced = rows.iter().filter(|row| row.direction == Direction::ToCrm && row.on.contains(object));
    for row in synced.clone() {
        findings.extend(of_row(described, row, written.made));
    }
    let covered: Vec<&FieldName> = synced.clone().map(|row| &row.crm).chain(written.external_id).collect();
    for field in described.fields.values().filter(|field| written.made && field.required_on_create()) {
        let subject = format!("{}.{}", described.name, field.name);
        if !covered.contains(&&field.name) {
            findings.push(error(
                subject,
                "the CRM requires a value and no row of the mapping gives one",
                "add a row for it, with a `default` for leads that have none",
            ));
        } else if written.not_without != Some(&field.name)
            && synced.clone().any(|row| row.crm == field.name && row.default.is_none())
        {
            findings.push(warning(
                subject,
                "the CRM requires a value; a lead without one is refused",
                "give its row a `default`",
            ));
        }
    }
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// Whether the field can say that a lead was deleted. An object that is not described says nothing.
pub fn of_delete_flag(object: &ObjectName, flag: &FieldName, schema: &Schema) -> Option<Finding> {
    let described = schema.objects.get(object)?;
    let subject = format!("{object}.{flag}");
    Some(match described.fields.get(flag) {
        None => error(
            subject,
            "the field of records.delete_flag does not exist, or our user may not see it: deleted leads are held",
            "create a checkbox of this name, or make it visible to the integration user",
        ),
        Some(field) if !can_flag(field.kind) => error(
            subject,
            &format!("records.delete_flag is of type {}, which cannot say that a lead was deleted", field.type_name),
            "name a checkbox, date, date and time or text field",
        ),
        Some(field) if !field.updateable => error(
            subject,
            "our user may not write the field of records.delete_flag: deleted leads are held",
            "give the integration user edit rights on the field",
        ),
        Some(field) => fine(subject, &format!("{}, writable, says that the lead was deleted", field.type_name)),
    })
}

/// Whether people can be found among the records of each kind that they may be: without a field that tells who a record is,
/// a person would be made again, so nothing is synced until it is shown.
pub fn of_people(people: &[PersonObject], by: &[MatchedBy], schema: &Schema) -> Vec<Finding> {
    let mut findings = Vec::new();
    for person in people {
        let Some(described) = schema.objects.get(&person.object) else { continue };
        let keys = person.keys(by);
        let hidden = |field: &&FieldName| !described.fields.contains_key(field);
        let names = [&person.email, &person.last_name, &person.first_name];
        let missing: Vec<&FieldName> = names.into_iter().filter(hidden).collect();
        for field in &missing {
            let subject = format!("{}.{field}", person.object);
            let remedy = format!("make {subject} visible to the integration user (read access is enough)");
            findings.push(if keys.iter().any(|key| key.field == **field) {
                error(subject, "people are recognised by it, and our user may not see it: nothing is synced", &remedy)
            } else {
                warning(subject, "tells people apart, and our user may not see it", &remedy)
            });
        }
        let unsearchable = |key: &KeyField| described.fields.get(&key.field).is_some_and(|field| !field.filterable);
        for key in keys.iter().filter(|key| unsearchable(key)) {
            let finding = "people are recognised by it, and it cannot be searched: nothing is synced";
            let remedy = "see how it is encrypted in the CRM's setup, or take the key out of records.match";
            findings.push(error(key.to_string(), finding, remedy));
        }
        if missing.is_empty() && !keys.iter().any(unsearchable) {
            findings.push(fine(person.object.to_string(), "people who are in the CRM already are found there"));
        }
    }
    findings
}

/// Whether opportunities that were made of leads' records are found, and what their rows cannot say.
pub fn of_opportunity(
    opportunity: &OpportunityObject,
    written_people: &[&ObjectName],
    rows: &[FieldRow],
    schema: &Schema,
) -> Vec<Finding> {
    let OpportunityObject { object, converted } = opportunity;
    let mut findings = Vec::new();
    if schema.objects.contains_key(&converted.object) && schema.field(&converted.object, &converted.field).is_none() {
        findings.push(warning(
            converted.to_string(),
            &format!("it tells which {object} was made of a record, and our user may not see it: none is written to"),
            &format!("make {converted} visible to the integration user (read access is enough)"),
        ));
    }
    if written_people.iter().all(|person| **person == converted.object) {
        findings.push(warning(
            object.to_string(),
            "the mapping has no rows for what a converted record becomes: its lead is held, and nothing is written",
            "write rows for that as well, with on = [\"Contact\"]",
        ));
    }
    findings.extend(of_blanks(object, written_people, rows));
    if findings.is_empty() && schema.objects.contains_key(object) {
        findings
            .push(fine(object.to_string(), "filled where it is blank, once a sales rep made one of a lead's record"));
    }
    findings
}

/// What the rows of companies cannot say.
pub fn of_company(
    object: &ObjectName,
    written_people: &[&ObjectName],
    rows: &[FieldRow],
    schema: &Schema,
) -> Vec<Finding> {
    let mut findings = of_blanks(object, written_people, rows);
    if findings.is_empty() && schema.objects.contains_key(object) {
        findings.push(fine(object.to_string(), "filled where it is blank: many people share one that is there"));
    }
    findings
}

/// Rows that say more of such a record than is done: only its blanks are filled.
fn of_blanks(object: &ObjectName, written_people: &[&ObjectName], rows: &[FieldRow]) -> Vec<Finding> {
    let of_object = rows.iter().filter(|row| row.direction == Direction::ToCrm && row.on.contains(object));
    // A row that people have as well says it of them.
    let own = of_object.filter(|row| !row.on.iter().any(|on| written_people.contains(&on)));
    let says_more = own.filter(|row| row.conflict != ConflictRule::CrmWins || row.enforce || row.clear);
    let told = says_more.map(|row| {
        warning(
            format!("{object}.{}", row.crm),
            "only what is blank is filled, so `conflict`, `enforce` and `clear` do not hold there",
            "leave them out of the row",
        )
    });
    told.collect()
}

fn of_object(object: &ObjectSchema, made: bool) -> Vec<Finding> {
    let lacking = |right: &str| {
        let remedy = format!("give the integration user the right to {right} {} records", object.name);
        error(object.name.to_string(), &format!("our user may not {right} records"), &remedy)
    };
    let mut findings = Vec::new();
    findings.extend((made && !object.createable).then(|| lacking("create")));
    findings.extend((!object.updateable).then(|| lacking("edit")));
    findings
}

fn of_external_id(object: &ObjectSchema, external_id: &FieldName) -> Vec<Finding> {
    let subject = format!("{}.{external_id}", object.name);
    let Some(field) = object.fields.get(external_id) else {
        return vec![error(
            subject,
            "the external ID field does not exist, or our user may not see it",
            "create a text field of 64 characters, marked External ID and Unique, and make it visible to the integration user",
        )];
    };
    let mut findings = Vec::new();
    if !field.external_id || !field.unique {
        findings.push(error(
            subject.clone(),
            "the external ID field is not marked External ID and Unique",
            "edit the field in the CRM's setup: without both, two records could carry one lead's ID",
        ));
    }
    if !field.createable || !field.updateable {
        findings.push(error(
            subject.clone(),
            "our user may not write the external ID field",
            "give the integration user edit rights on the field",
        ));
    }
    if !matches!(field.kind, CrmFieldKind::Text) {
        findings.push(error(
            subject.clone(),
            &format!("the external ID field is of type {}", field.type_name),
            "create a text field of 64 characters for it: lead IDs are text",
        ));
    }
    if let Some(length) = field.length.filter(|length| *length < ID_CHARACTERS) {
        findings.push(warning(
            subject.clone(),
            &format!("holds {length} characters; a lead with a longer ID is refused"),
            &format!("make the field {ID_CHARACTERS} characters long"),
        ));
    }
    if findings.is_empty() {
        findings.push(fine(subject, "unique external ID, writable"));
    }
    findings
}

fn of_row(object: &ObjectSchema, row: &FieldRow, made: bool) -> Vec<Finding> {
    let subject = format!("{}.{}", object.name, row.crm);
    let Some(field) = object.fields.get(&row.crm) else {
        if matches!(row.computed, Some(Computed::Unmapped(_))) && !made {
            return vec![warning(
                subject,
                "the field of records.note_field does not exist here, or our user may not see it: such records get no note",
                "create a long text area of this name here as well, or make it visible to the integration user",
            )];
        }
        return vec![error(
            subject,
            "the field does not exist, or our user may not see it",
            "create it or make it visible to the integration user, or remove the row; until then it is left out",
        )];
    };
    let mut findings = Vec::new();
    if !field.createable || !field.updateable {
        let when = if field.updateable { "on create" } else { "on update" };
        findings.push(error(
            subject.clone(),
            &format!("our user may not write the field {when}"),
            "give the integration user edit rights on the field, or set the row's direction to \"none\"",
        ));
    }
    if !type_fits(row.kind, field.kind) {
        findings.push(error(
            subject.clone(),
            &format!("the row says {}, the CRM's field is {}", row.kind.as_str(), field.type_name),
            "change the row's `type` to what the CRM has",
        ));
    }
    if matches!(row.computed, Some(Computed::Unmapped(_))) && field.kind != CrmFieldKind::LongText {
        findings.push(error(
            subject.clone(),
            &format!("records.note_field must be a long text field, and is {}", field.type_name),
            "name a long text area: a block of many lines is written into it",
        ));
    }
    findings.extend(of_values(field, row, &subject));
    findings.extend(of_dependence(object, field, &subject));
    findings.extend(of_length(field, row, &subject));
    if findings.is_empty() {
        let length = field.length.filter(|_| field.values.is_empty()).map_or_else(String::new, |length| {
            let longer =
                if row.too_long == TooLong::Truncate { "cut to that, and logged" } else { "left out, and logged" };
            format!(", holds {length} characters (a longer value is {longer})")
        });
        findings.push(fine(subject, &format!("{}, writable{length}", field.type_name)));
    }
    findings
}

/// What the mapping itself writes must fit; of the leads' values nothing is known yet.
fn of_length(field: &FieldSchema, row: &FieldRow, subject: &str) -> Option<Finding> {
    let length = field.length.filter(|_| field.kind != CrmFieldKind::MultiPicklist)?;
    let too_long = |value: &&String| text_length(value) > usize::try_from(length).unwrap_or(usize::MAX);
    let value = row.values.iter().map(|(_, crm)| crm).chain(&row.default).find(too_long)?;
    let finding = format!("holds {length} characters, and the row writes {value:?}");
    Some(error(subject.to_owned(), &finding, "shorten the value in the row, or lengthen the field in the CRM"))
}

fn of_values(field: &FieldSchema, row: &FieldRow, subject: &str) -> Vec<Finding> {
    if field.values.is_empty() {
        return Vec::new();
    }
    let written = row.values.iter().map(|(_, crm)| crm).chain(&row.default);
    let listed =
        |value: &&String| field.values.contains(value) || !field.choices.all.is_empty() && takes(row, field, value);
    let unknown: Vec<&str> = written.filter(|value| !listed(value)).map(String::as_str).collect();
    if unknown.is_empty() {
        return Vec::new();
    }
    let finding = format!("the picklist has no value {}", unknown.join(", "));
    let remedy = "add the value to the picklist, or correct the row's `values`";
    vec![if field.restricted {
        error(subject.to_owned(), &format!("{finding}, and refuses others"), remedy)
    } else {
        warning(subject.to_owned(), &finding, remedy)
    }]
}

/// Whether the CRM lists what the row writes, by value, label, or another name of a country.
fn takes(row: &FieldRow, field: &FieldSchema, text: &str) -> bool {
    let plain = FieldRow { take: None, computed: None, values: Vec::new(), ..row.clone() };
    let listed = FieldSchema { restricted: true, ..field.clone() };
    let sent = Value::Text(text.to_owned());
    let given = Given::times(TimeFormat::Rfc3339);
    matches!(convert(&plain, &|_| Some(&sent), Some(&listed), given), Converted::Value(..))
}

/// Picklists that depend on another field, and the names of places where the org keeps codes.
fn of_dependence(object: &ObjectSchema, field: &FieldSchema, subject: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(code) =
        field.choices.places.and_then(|_| object.fields.get(&format!("{}Code", field.name).as_str().into()))
    {
        let finding =
            "the org has state and country picklists: what is not on its list is refused, and its names can be edited";
        findings.push(warning(
            subject.to_owned(),
            finding,
            &format!("map the row to {} instead, which takes names too", code.name),
        ));
    }
    if let Some(controller) = field.choices.controller.as_ref().filter(|_| field.restricted) {
        let finding = format!(
            "{}, writable; which values may be chosen depends on {controller}, and a value that does not go with it is left out",
            field.type_name
        );
        findings.push(fine(subject.to_owned(), &finding));
    }
    findings
}

/// Records that carry keys of another form than those of now.
pub fn of_former_keys(records: u64, key: &KeyField, form: &str) -> Option<Finding> {
    let leads = if records == 1 {
        "1 linked lead has a record that carries".to_owned()
    } else {
        format!("{records} linked leads have records that carry")
    };
    let finding = format!("{leads} a key that was formed otherwise than by records.external_id_value = \"{form}\"");
    let remedy = "resync them: POST /admin/v1/resync with \"changed\": true. Until then only the database knows whose record \
                  each is. Why one is left after that, the sync log says";
    (records > 0).then(|| warning(key.to_string(), &finding, remedy))
}

fn error(subject: String, finding: &str, remedy: &str) -> Finding {
    Finding { severity: Severity::Error, subject, finding: finding.to_owned(), remedy: remedy.to_owned() }
}

fn warning(subject: String, finding: &str, remedy: &str) -> Finding {
    Finding { severity: Severity::Warning, ..error(subject, finding, remedy) }
}

fn fine(subject: String, finding: &str) -> Finding {
    Finding { severity: Severity::Ok, ..error(subject, finding, "") }
}

#[cfg(test)]
mod tests;
