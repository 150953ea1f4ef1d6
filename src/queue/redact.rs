//! Requests and answers for a sync log that keeps no field values.

use serde_json::Value as Json;

/// What stands for a value that is not kept.
const WITHHELD: &str = "[withheld]";

/// The same JSON with every text and number withheld; field names, flags, nulls and error codes stay. What is no JSON is
/// withheld as a whole.
pub(super) fn without_values(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(json) => withheld(json, false).to_string(),
        Err(_) if text.is_empty() => String::new(),
        Err(_) => WITHHELD.to_owned(),
    }
}

fn withheld(json: Json, is_code: bool) -> Json {
    match json {
        Json::Object(fields) => {
            let kept = ["statusCode", "errorCode", "id", "type", "fields", "method", "url"];
            let field = |(name, value): (String, Json)| {
                // The status of an answer, not a lead's.
                let is_code = kept.contains(&name.as_str()) || (name == "status" && value.is_number());
                (name, withheld(value, is_code))
            };
            Json::Object(fields.into_iter().map(field).collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(|item| withheld(item, is_code)).collect()),
        Json::String(_) | Json::Number(_) if !is_code => Json::String(WITHHELD.to_owned()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_stay_and_values_go() {
        let answer =
            r#"{"success":false,"errors":[{"statusCode":"STRING_TOO_LONG","message":"City: Köln","fields":["City"]}]}"#;
        let kept = without_values(answer);
        assert!(kept.contains("STRING_TOO_LONG") && kept.contains(r#"["City"]"#) && kept.contains("false"));
        assert!(!kept.contains("Köln"));
        let refused = without_values(r#"{"status":400,"body":[{"status":"won"}]}"#);
        assert_eq!(refused, r#"{"body":[{"status":"[withheld]"}],"status":400}"#);
        let request = without_values(r#"{"Email":"ada@lovelace.example","Score":45.5,"Phone":null}"#);
        assert_eq!(request, r#"{"Email":"[withheld]","Phone":null,"Score":"[withheld]"}"#);
        assert_eq!(without_values("<html>ada@lovelace.example</html>"), WITHHELD);
    }
}
