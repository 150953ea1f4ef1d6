//! Duplicate rules: what an org takes for the same person or company, and whether it lets one be saved all the same.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::describe;
use super::error::{Refusal, Refusals};
use super::records;
use super::table::{By, RowId};
use super::value::{Value, now};
use super::wire::Call;
use super::world::{TableId, World};
use super::write::{Changes, Writer};

/// The objects that can have rules.
const OBJECTS: [&str; 3] = ["Lead", "Contact", "Account"];
/// What the screen and the API say.
pub(super) const TEXT: &str = "You're creating a duplicate record. We recommend you use an existing record instead.";
/// Matches that an answer shows.
const SHOWN: usize = 100;

/// `POST /_sandbox/duplicate-rules`: replaces all rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DuplicatePlan {
    rules: Vec<DuplicateRule>,
}

/// One rule; those of an org act when a record is made, and when a field that they compare is changed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DuplicateRule {
    /// Whose records it guards: `Lead`, `Contact` or `Account`.
    object: String,
    /// Among which objects it looks; its own if left out.
    #[serde(default)]
    against: Vec<String>,
    #[serde(rename = "match")]
    by: Match,
    action: Action,
    name: Option<String>,
}

/// What two records have in common to be called the same; case and outer blanks do not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Match {
    Email,
    /// First and last name, and the company's name; of accounts the name alone.
    NameAndCompany,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// Never saved.
    Block,
    /// Saved if the caller insists.
    Alert,
}

/// `Sforce-Duplicate-Rule-Header`
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OnDuplicates {
    allow_save: bool,
    show_details: bool,
}

impl OnDuplicates {
    /// Reads `allowSave=true; includeRecordDetails=true`; before v52.0 there was no such header.
    pub fn read(call: &Call) -> Self {
        let version = call.version.trim_start_matches('v').trim_end_matches(".0").parse().unwrap_or(0);
        let header = call.header("Sforce-Duplicate-Rule-Header").filter(|_| version >= 52).unwrap_or_default();
        let flag = |name: &str| {
            header
                .split([';', ','])
                .filter_map(|option| option.split_once('='))
                .any(|(key, value)| key.trim().eq_ignore_ascii_case(name) && value.trim().eq_ignore_ascii_case("true"))
        };
        Self { allow_save: flag("allowSave"), show_details: flag("includeRecordDetails") }
    }
}

impl DuplicateRule {
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("Standard_{}_Duplicate_Rule", self.object))
    }

    /// The name of the rule that says what matches, which an org keeps apart.
    fn matching_name(&self, object: &str) -> String {
        match self.by {
            Match::Email => format!("Standard_{object}_Match_Rule_v1_0"),
            Match::NameAndCompany => format!("Standard_{object}_Match_Rule_v1_1"),
        }
    }

    fn objects(&self) -> Vec<&str> {
        if self.against.is_empty() { vec![&self.object] } else { self.against.iter().map(String::as_str).collect() }
    }

    /// The fields that are compared, of an object.
    fn compared(&self, object: &str) -> &'static [&'static str] {
        match (self.by, object) {
            (Match::Email, _) => &["Email"],
            (_, "Lead") => &["FirstName", "LastName", "Company"],
            (_, "Contact") => &["FirstName", "LastName", "AccountId"],
            _ => &["Name"],
        }
    }
}

/// A record as rules see it: by the fields that it would have after the write.
struct Seen {
    email: Option<String>,
    names: Option<[String; 3]>,
}

impl World {
    /// Rules that every org has and that do nothing until they are switched on.
    pub fn seed_duplicate_rules(&mut self) {
        let standard: Vec<DuplicateRule> = OBJECTS
            .iter()
            .map(|object| DuplicateRule {
                object: (*object).to_owned(),
                against: Vec::new(),
                by: Match::NameAndCompany,
                action: Action::Alert,
                name: None,
            })
            .collect();
        self.list_rules(&standard, false);
    }

    /// Switches rules on, and all others off.
    pub fn set_duplicate_rules(&mut self, plan: DuplicatePlan) -> Result<(), String> {
        let mut rules = plan.rules;
        for (place, rule) in rules.iter_mut().enumerate() {
            let wrong = |what: &str| Err(format!("rule {}: {what}", place + 1));
            for object in std::iter::once(&mut rule.object).chain(&mut rule.against) {
                match OBJECTS.iter().find(|known| known.eq_ignore_ascii_case(object)) {
                    Some(known) => *object = (*known).to_owned(),
                    None => return wrong("the objects are Lead, Contact and Account"),
                }
            }
            let accounts = rule.objects().iter().filter(|object| **object == "Account").count();
            if rule.by == Match::Email && (rule.object == "Account" || accounts > 0) {
                return wrong("an Account has no e-mail address; match it by name_and_company");
            }
            if (rule.object == "Account") != (accounts > 0) || (accounts > 0 && rule.objects().len() > 1) {
                return wrong("an Account is compared with accounts, and nothing else is");
            }
        }
        for object in ["DuplicateRule", "MatchingRule", "MatchingRuleItem"] {
            let Some(table) = self.table(object) else { continue };
            for row in 0..self.tables[table].rows().len() {
                // One that is deleted already stays so.
                let _ = self.delete(table, row, None, &Writer::person(now()));
            }
        }
        if rules.is_empty() {
            self.seed_duplicate_rules();
        } else {
            self.list_rules(&rules, true);
        }
        self.duplicate_rules = rules;
        Ok(())
    }

    /// Makes the records that tell which rules there are.
    fn list_rules(&mut self, rules: &[DuplicateRule], active: bool) {
        for rule in rules {
            let label = rule.name().replace('_', " ");
            self.seed_all(
                "DuplicateRule",
                [json!({
                    "SobjectType": rule.object, "DeveloperName": rule.name(), "MasterLabel": label, "IsActive": active,
                })],
            );
            for object in rule.objects() {
                let name = rule.matching_name(object);
                self.seed_all(
                    "MatchingRule",
                    [json!({
                        "SobjectType": object, "DeveloperName": name, "MasterLabel": name.replace('_', " "),
                        "MatchEngine": "ExactMatchEngine", "RuleStatus": if active { "Active" } else { "Inactive" },
                    })],
                );
                let Some(table) = self.table("MatchingRule") else { continue };
                let made = self.tables[table].rows().last().map(|row| row.id.to_string());
                let items = rule.compared(object).iter().enumerate().map(|(place, field)| {
                    json!({
                        "MatchingRuleId": made, "SortOrder": place + 1, "Field": field, "MatchingMethod": "Exact",
                        "BlankValueBehavior": if *field == "FirstName" { "MatchBlanks" } else { "NullNotAllowed" },
                    })
                });
                self.seed_all("MatchingRuleItem", items.collect::<Vec<_>>());
            }
        }
    }

    /// Refuses a write by the API that a rule calls a duplicate.
    pub fn check_duplicates(
        &self,
        table: TableId,
        row: Option<RowId>,
        changes: &Changes,
        writer: &Writer,
    ) -> Result<(), Refusals> {
        if writer.by != By::Api || self.duplicate_rules.is_empty() {
            return Ok(());
        }
        let object = &self.tables[table].object;
        let seen = self.seen(table, row, changes);
        for rule in self.duplicate_rules.iter().filter(|rule| rule.object == object.name) {
            let changed = |name: &&str| {
                object.find(name).is_some_and(|(id, _)| changes.iter().any(|(changed, _)| *changed == id))
            };
            let concerned = row.is_none() || rule.compared(object.name).iter().any(changed);
            if !concerned || (rule.action == Action::Alert && writer.duplicates.allow_save) {
                continue;
            }
            let found: Vec<(&str, TableId, Vec<RowId>)> = rule
                .objects()
                .into_iter()
                .filter_map(|name| {
                    let target = self.table(name)?;
                    let mut rows = self.alike(rule, target, &seen);
                    rows.retain(|other| !(target == table && Some(*other) == row));
                    (!rows.is_empty()).then_some((name, target, rows))
                })
                .collect();
            if !found.is_empty() {
                return Err(self.duplicate(rule, &found, writer).into());
            }
        }
        Ok(())
    }

    /// Live rows of an object that a rule calls the same as the record.
    fn alike(&self, rule: &DuplicateRule, table: TableId, seen: &Seen) -> Vec<RowId> {
        let holders = |field: &str, text: &str| -> Vec<RowId> {
            let table = &self.tables[table];
            let found = table.object.find(field);
            found.map_or_else(Vec::new, |(id, _)| table.holders(id, &Value::text(text)).collect())
        };
        match (rule.by, &seen.email, &seen.names) {
            (Match::Email, Some(email), _) => holders("Email", email),
            (Match::NameAndCompany, _, Some(names)) => {
                let key = if self.tables[table].object.name == "Account" { "Name" } else { "LastName" };
                let [_, last, company] = names;
                let wanted = if key == "Name" { company } else { last };
                let mut rows = holders(key, wanted);
                rows.retain(|row| self.seen(table, Some(*row), &Vec::new()).names.as_ref() == Some(names));
                rows
            }
            _ => Vec::new(),
        }
    }

    fn seen(&self, table: TableId, row: Option<RowId>, changes: &Changes) -> Seen {
        let object = &self.tables[table].object;
        let value = |name: &str| -> Option<&Value> {
            let (id, _) = object.find(name)?;
            match changes.iter().find(|(changed, _)| *changed == id) {
                Some((_, value)) => value.as_ref(),
                None => self.tables[table].row(row?).values.get(&id),
            }
        };
        let text = |name: &str| value(name).and_then(Value::as_text).map(|text| text.trim().to_lowercase());
        let names = match object.name {
            "Account" => text("Name").map(|name| [String::new(), String::new(), name]),
            "Lead" => text("Company")
                .zip(text("LastName"))
                .map(|(company, last)| [text("FirstName").unwrap_or_default(), last, company]),
            _ => {
                let account = value("AccountId").and_then(Value::as_text).and_then(|id| self.find_record(id));
                let company = account.and_then(|(table, row)| self.text(table, row, "Name")).map(str::to_lowercase);
                company
                    .zip(text("LastName"))
                    .map(|(company, last)| [text("FirstName").unwrap_or_default(), last, company])
            }
        };
        Seen { email: text("Email"), names }
    }

    fn duplicate(&self, rule: &DuplicateRule, found: &[(&str, TableId, Vec<RowId>)], writer: &Writer) -> Refusal {
        let results: Vec<Json> = found
            .iter()
            .map(|(name, table, rows)| {
                let table = &self.tables[*table];
                let shown = rows.iter().take(SHOWN).map(|row| {
                    let row = table.row(*row);
                    let version = version_of(&writer.target);
                    let record = if writer.duplicates.show_details {
                        let columns: Vec<_> = table.object.visible().map(|(id, _)| id).collect();
                        records::to_json(&table.object, row, &columns, version)
                    } else {
                        let url = format!("{}/{}", describe::url(&table.object, version), row.id);
                        json!({ "attributes": { "type": table.object.name, "url": url }, "Id": &*row.id })
                    };
                    json!({ "additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100.0, "record": record })
                });
                json!({
                    "entityType": name, "errors": [], "matchEngine": "ExactMatchEngine", "matchRecords": shown.collect::<Vec<_>>(),
                    "rule": rule.matching_name(name), "size": rows.len(), "success": true,
                })
            })
            .collect();
        let result = json!({
            "allowSave": rule.action == Action::Alert, "duplicateRule": rule.name(), "duplicateRuleEntityType": rule.object,
            "errorMessage": TEXT, "matchResults": results,
        });
        Refusal { duplicates: Some(Box::new(result)), ..Refusal::new(400, "DUPLICATES_DETECTED", TEXT) }
    }
}

/// What a rule would say of one match that nobody looked for.
pub(super) fn example(object: &str, id: &str, message: &str) -> Json {
    let record = json!({ "attributes": { "type": object, "url": format!("/services/data/v62.0/sobjects/{object}/{id}") }, "Id": id });
    json!({
        "allowSave": false, "duplicateRule": format!("Standard_{object}_Duplicate_Rule"), "duplicateRuleEntityType": object,
        "errorMessage": message,
        "matchResults": [{
            "entityType": object, "errors": [], "matchEngine": "FuzzyMatchEngine", "rule": format!("Standard_{object}_Match_Rule_v1_1"),
            "matchRecords": [{ "additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100.0, "record": record }],
            "size": 1, "success": true,
        }],
    })
}

/// `v62.0` of `/services/data/v62.0/…`
fn version_of(target: &str) -> &str {
    target.split('/').nth(3).filter(|part| part.starts_with('v')).unwrap_or("v62.0")
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};

    use super::super::wire::Payload;
    use super::*;

    #[test]
    fn the_header_is_read_from_version_52_on() {
        let read = |version: &str, header: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("sforce-duplicate-rule-header", HeaderValue::from_static(header));
            let target = format!("/services/data/{version}/limits");
            OnDuplicates::read(&Call::new(Method::GET, &target, headers, Payload::None).unwrap())
        };
        let both = read("v62.0", "allowSave=true; includeRecordDetails = TRUE");
        assert!(both.allow_save && both.show_details);
        assert!(!read("v62.0", "allowSave=false").allow_save);
        assert!(!read("v62.0", "allow").allow_save);
        assert!(!read("v50.0", "allowSave=true").allow_save);
    }
}
