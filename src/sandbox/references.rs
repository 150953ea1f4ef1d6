//! References in a composite: `@{name.path}` stands for a value in an earlier answer.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::error::Refusal;

/// Whether a text can name a subrequest.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether a text holds a reference.
pub(super) fn refers(text: &str) -> bool {
    next(text).is_some()
}

/// Puts values in the place of all references in a text.
pub(super) fn in_text(text: &str, bodies: &HashMap<String, Json>) -> Result<String, Refusal> {
    let (mut done, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, expression, after)) = next(rest) {
        done.push_str(before);
        match resolve(expression, bodies)? {
            Json::String(value) => done.push_str(&value),
            value @ (Json::Number(_) | Json::Bool(_)) => done.push_str(&value.to_string()),
            _ => return Err(unresolved(expression)),
        }
        rest = after;
    }
    done.push_str(rest);
    Ok(done)
}

/// Puts values in the place of all references in a body; a text that is nothing but a reference takes the value's type.
pub(super) fn in_json(json: &mut Json, bodies: &HashMap<String, Json>) -> Result<(), Refusal> {
    match json {
        Json::Array(items) => items.iter_mut().try_for_each(|item| in_json(item, bodies)),
        Json::Object(fields) => fields.values_mut().try_for_each(|value| in_json(value, bodies)),
        Json::String(text) => {
            match next(text) {
                None => {}
                Some(("", expression, "")) => *json = resolve(expression, bodies)?,
                Some(_) => *text = in_text(text, bodies)?,
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The first reference: what stands before it, its inside, and what follows.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let start = from + text.get(from..)?.find("@{")?;
        let inside = text.get(start + 2..)?;
        let name_ends = inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inside.len());
        let (name, path) = inside.split_at(name_ends);
        let end = inside.find('}');
        if is_name(name)
            && path.starts_with(['.', '[', '}'])
            && let Some(end) = end
        {
            return Some((text.get(..start)?, inside.get(..end)?, inside.get(end + 1..)?));
        }
        from = start + 2;
    }
}

fn resolve(expression: &str, bodies: &HashMap<String, Json>) -> Result<Json, Refusal> {
    let name_ends = expression.find(['.', '[']).unwrap_or(expression.len());
    let (name, path) = expression.split_at(name_ends);
    let mut value = bodies.get(name).ok_or_else(|| unresolved(expression))?;
    for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
        let found = match step.strip_suffix(']') {
            Some(index) => index.parse::<usize>().ok().and_then(|index| value.get(index)),
            None => value.get(step),
        };
        value = found.ok_or_else(|| unresolved(expression))?;
    }
    Ok(value.clone())
}

fn unresolved(expression: &str) -> Refusal {
    let name = expression.split(['.', '[']).next().unwrap_or_default();
    Refusal::new(
        400,
        "PROCESSING_HALTED",
        format!("Invalid reference specified. No value for {expression} found in {name}"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn bodies() -> HashMap<String, Json> {
        HashMap::from([("q1".to_owned(), json!({ "records": [{ "Id": "00Q1", "N": 5 }], "done": true }))])
    }

    #[test]
    fn references_are_resolved_with_their_type() {
        let mut body =
            json!({ "a": "@{q1.records[0].Id}", "b": ["x @{q1.records[0].N} y"], "c": "@{q1.records[0].N}" });
        in_json(&mut body, &bodies()).unwrap();
        assert_eq!(body, json!({ "a": "00Q1", "b": ["x 5 y"], "c": 5 }));
        assert_eq!(in_text("/sobjects/Lead/@{q1.records[0].Id}", &bodies()).unwrap(), "/sobjects/Lead/00Q1");
    }

    #[test]
    fn what_leads_nowhere_halts_and_what_is_no_reference_stays() {
        for wrong in ["@{q2.id}", "@{q1.records[1].Id}", "@{q1.nothing}", "x@{q1.records}"] {
            assert_eq!(in_text(wrong, &bodies()).unwrap_err().code, "PROCESSING_HALTED", "{wrong}");
        }
        for plain in ["@{", "@{}", "@ {q1.id}", "a@b.example", "@{é.x}", "@{q1", "{q1.id}", "@{a b}"] {
            assert_eq!(in_text(plain, &bodies()).unwrap(), plain);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[@{}\\[\\].q1é0 ]{0,30}") {
            let _ = in_text(&text, &bodies());
        }
    }
}
