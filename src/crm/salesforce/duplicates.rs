//! The org's own matching and duplicate rules, read in one call.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;

use super::rows::text;
use super::soql;
use super::transport::{Outgoing, SendError};
use super::wire::{CompositeAnswer, CompositeRequest, QueryPage, Row, Subrequest};
use super::{Salesforce, classify};
use crate::crm::CrmError;
use crate::domain::divergence::{About, DuplicateRule, words};

const DUPLICATE_RULES: &str = "SELECT SobjectType, MasterLabel FROM DuplicateRule WHERE IsActive = true";
const MATCHING_RULES: &str =
    "SELECT Id, SobjectType, MasterLabel, BooleanFilter FROM MatchingRule WHERE RuleStatus = 'Active'";
const MATCHING_RULE_ITEMS: &str =
    "SELECT MatchingRuleId, SortOrder, Field, MatchingMethod FROM MatchingRuleItem ORDER BY SortOrder";

/// What the org's active rules compare. A matching rule acts through the duplicate rules of its object; one whose object has
/// none may act through another object's, which the org does not show.
pub(super) async fn duplicate_rules(crm: &Salesforce) -> Result<Vec<DuplicateRule>, CrmError> {
    let queries = [DUPLICATE_RULES, MATCHING_RULES, MATCHING_RULE_ITEMS];
    let parts = queries.iter().enumerate().map(|(place, query)| Subrequest {
        method: "GET",
        url: soql::query_path(&crm.root, query),
        reference_id: format!("rules{place}"),
        http_headers: Default::default(),
        body: None,
    });
    let outgoing = Outgoing {
        method: Method::POST,
        json: Some(super::to_bytes(&CompositeRequest::in_order(parts.collect()))?),
        ..Outgoing::get("composite", format!("{}/composite", crm.root))
    };
    let answer = crm.transport.send(&outgoing).await.map_err(SendError::of_a_read)?;
    if answer.status != 200 {
        return Err(answer.error());
    }
    let composite: CompositeAnswer =
        serde_json::from_slice(&answer.body).map_err(|_| classify::unreadable(answer.status))?;
    let mut pages = Vec::new();
    for part in &composite.composite_response {
        if part.http_status_code != 200 {
            let errors = classify::read_errors(part.bytes());
            return Err(classify::classify(part.http_status_code, answer.retry_after, &errors));
        }
        let page: QueryPage =
            serde_json::from_slice(part.bytes()).map_err(|_| classify::unreadable(part.http_status_code))?;
        pages.push(page.records);
    }
    match pages.as_slice() {
        [duplicate, matching, items] => Ok(read(duplicate, matching, items)),
        _ => Err(classify::unreadable(answer.status)),
    }
}

fn read(duplicate: &[Row], matching: &[Row], items: &[Row]) -> Vec<DuplicateRule> {
    let mut acting: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in duplicate {
        if let (Some(object), Some(label)) = (text(row, "SobjectType"), text(row, "MasterLabel")) {
            acting.entry(object).or_default().push(label);
        }
    }
    if acting.is_empty() {
        return Vec::new();
    }
    let mut rules = Vec::new();
    for row in matching {
        let (Some(id), Some(object), Some(label)) =
            (text(row, "Id"), text(row, "SobjectType"), text(row, "MasterLabel"))
        else {
            continue;
        };
        let of_rule: Vec<&Row> = items.iter().filter(|item| text(item, "MatchingRuleId") == Some(id)).collect();
        let fields: Vec<&str> = of_rule.iter().filter_map(|item| text(item, "Field")).collect();
        let is_exact = of_rule.iter().all(|item| text(item, "MatchingMethod").is_none_or(|method| method == "Exact"));
        let through = acting.get(object).map(|labels| format!(" through {}", labels.join(", ")));
        let known = through.is_some();
        let through = through.unwrap_or_default();
        let alike = if is_exact { "" } else { ", alike is enough" };
        let then = format!("{object}: {label}{through}{alike}");
        let about = if object == "Account" { About::Company } else { About::Person };
        let sets = sets(&fields, text(row, "BooleanFilter"), label);
        rules.extend(sets.into_iter().map(|same| DuplicateRule { about, same, then: then.clone(), known }));
    }
    rules
}

/// What must be the same together: all of a rule's fields, or by its own logic each alone. Other logic is told as it is.
fn sets(fields: &[&str], logic: Option<&str>, label: &str) -> Vec<BTreeSet<String>> {
    if fields.is_empty() {
        return vec![BTreeSet::from([format!("what {label} compares")])];
    }
    let logic = logic.map(str::to_uppercase).unwrap_or_default();
    match (logic.contains("AND"), logic.contains("OR")) {
        (true, true) => vec![BTreeSet::from([format!("{logic} of {}", fields.join(", "))])],
        (false, true) => fields.iter().map(|field| words_for(&[field])).collect(),
        _ => vec![words_for(fields)],
    }
}

/// The fields in words that other systems' rules use too; first and last name are one.
fn words_for(fields: &[&str]) -> BTreeSet<String> {
    let both_names = ["FirstName", "LastName"].iter().all(|name| fields.contains(name));
    let word = |field: &&str| {
        match *field {
            "Email" => words::EMAIL,
            "Phone" | "MobilePhone" => words::PHONE,
            "City" | "MailingCity" | "BillingCity" => words::CITY,
            "Company" | "AccountId" | "Account" | "AccountName" => words::COMPANY_NAME,
            "Name" => words::COMPANY_NAME,
            "FirstName" | "LastName" if both_names => words::NAME,
            other => other,
        }
        .to_owned()
    };
    fields.iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: serde_json::Value) -> Row {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn rules_are_told_by_what_they_compare_and_what_they_act_through() {
        let duplicate = [row(serde_json::json!({"SobjectType": "Lead", "MasterLabel": "No Twins"}))];
        let matching = |id: &str, object: &str, logic: Option<&str>| {
            row(serde_json::json!({"Id": id, "SobjectType": object, "MasterLabel": id, "BooleanFilter": logic}))
        };
        let item = |rule: &str, field: &str, method: &str| {
            row(serde_json::json!({"MatchingRuleId": rule, "Field": field, "MatchingMethod": method}))
        };
        let matching = [
            matching("A", "Lead", None),
            matching("B", "Contact", Some("1 or 2")),
            matching("C", "Account", Some("1 AND (2 OR 3)")),
            matching("D", "Lead", None),
        ];
        let items = [
            item("A", "FirstName", "FirstName"),
            item("A", "LastName", "Exact"),
            item("A", "Company", "Exact"),
            item("B", "Email", "Exact"),
            item("B", "Id__c", "Exact"),
            item("C", "Name", "Exact"),
            item("C", "Website", "Exact"),
            item("C", "Phone", "Exact"),
        ];
        let told: Vec<String> = read(&duplicate, &matching, &items)
            .into_iter()
            .map(|rule| {
                let known = if rule.known { "" } else { " (not known)" };
                format!("{}: {}{known}", Vec::from_iter(rule.same).join("+"), rule.then)
            })
            .collect();
        assert_eq!(
            told,
            [
                "company name+name: Lead: A through No Twins, alike is enough",
                "email: Contact: B (not known)",
                "Id__c: Contact: B (not known)",
                "1 AND (2 OR 3) of Name, Website, Phone: Account: C (not known)",
                "what D compares: Lead: D through No Twins",
            ]
        );
        assert!(read(&[], &matching, &items).is_empty(), "nothing acts");
    }
}
