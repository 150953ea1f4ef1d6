//! Composite: up to 25 requests in one counted call, where later ones may refer to the answers of earlier ones.

use std::collections::{HashMap, HashSet};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value as Json, json};

use super::duplicates::OnDuplicates;
use super::error::{Refusal, Refusals};
use super::references::{self, refers};
use super::rest;
use super::wire::{Answer, Call, Content, Payload};
use super::world::World;
use super::write::Writer;

/// Requests in one call.
const MOST: usize = 25;
/// Of these, queries and collections together.
const MOST_WIDE: usize = 5;

/// One request of the envelope, as written.
struct Part {
    method: Method,
    url: String,
    reference: String,
    headers: HeaderMap,
    has_headers: bool,
    body: Option<Json>,
}

/// `POST composite`
pub(super) fn run(world: &mut World, call: &Call, writer: &Writer) -> Result<Answer, Refusals> {
    let envelope = call.object()?;
    let flag = |name: &str, default: bool| match envelope.get(name) {
        None | Some(Json::Null) => Ok(default),
        Some(Json::Bool(flag)) => Ok(*flag),
        Some(_) => {
            Err(Refusal::json(format!("Cannot deserialize instance of boolean for {name} at [line:1, column:1]")))
        }
    };
    let (all_or_none, collate) = (flag("allOrNone", false)?, flag("collateSubrequests", true)?);
    let parts = read_parts(envelope.get("compositeRequest"))?;
    let order = order_of(&parts, collate);

    let mark = world.undo.mark();
    world.undo.wanted = all_or_none;
    let mut answers: Vec<Option<Answer>> = parts.iter().map(|_| None).collect();
    let mut bodies: HashMap<String, Json> = HashMap::new();
    let mut failed = false;
    for place in order {
        let part = &parts[place];
        let answer =
            if failed && all_or_none { halted() } else { answer_part(world, part, call, writer, &bodies, all_or_none) };
        failed |= answer.status >= 300 || (all_or_none && items_failed(&answer));
        if let (Content::Json(body), 200..=299) = (&answer.content, answer.status) {
            bodies.insert(part.reference.clone(), body.clone());
        }
        answers[place] = Some(answer);
    }
    if failed && all_or_none {
        world.roll_back(mark);
        for answer in answers.iter_mut().flatten().filter(|answer| answer.status < 300 && !items_failed(answer)) {
            *answer = halted();
        }
    }
    world.undo.wanted = false;
    let responses: Vec<Json> =
        answers.iter().flatten().zip(&parts).map(|(answer, part)| answer.as_subresponse(&part.reference)).collect();
    Ok(Answer::json(200, json!({ "compositeResponse": responses })))
}

/// What the others show when an all-or-none request fails.
fn halted() -> Answer {
    let message = "The transaction was rolled back since another operation in the same transaction failed.";
    Answer::refused(&[Refusal::new(400, "PROCESSING_HALTED", message)])
}

/// Whether a collections answer holds a failure.
fn items_failed(answer: &Answer) -> bool {
    match &answer.content {
        Content::Json(Json::Array(items)) => items.iter().any(|item| item.get("success") == Some(&Json::Bool(false))),
        _ => false,
    }
}

fn answer_part(
    world: &mut World,
    part: &Part,
    outer: &Call,
    writer: &Writer,
    bodies: &HashMap<String, Json>,
    all_or_none: bool,
) -> Answer {
    let prepared = references::in_text(&part.url, bodies).and_then(|url| {
        let mut body = part.body.clone();
        if let Some(body) = &mut body {
            references::in_json(body, bodies)?;
        }
        let payload = body.map_or(Payload::None, Payload::Json);
        let mut call = Call::new(part.method.clone(), &url, part.headers.clone(), payload)?;
        if all_or_none {
            bind_together(&mut call);
        }
        if call.version != outer.version {
            return Err(Refusal::new(
                400,
                "INVALID_INPUT",
                "A subrequest must name the version of the composite request",
            ));
        }
        Ok(call)
    });
    match prepared {
        Ok(call) if nests(&call) => {
            Answer::refused(&[Refusal::new(400, "INVALID_INPUT", "This resource cannot be called inside a composite")])
        }
        Ok(call) => {
            let writer = Writer {
                assign: rest::assigns(&call),
                duplicates: OnDuplicates::read(&call),
                target: call.target.clone(),
                method: call.method.to_string(),
                ..writer.clone()
            };
            rest::answer(world, &call, &writer)
        }
        Err(refusal) => Answer::refused(&[refusal]),
    }
}

/// The outer flag overrides that of a collection, wherever a collection has it and whether it names it or not.
fn bind_together(call: &mut Call) {
    const FLAG: &str = "allOrNone";
    if call.segments.first().is_none_or(|first| first != "composite") {
        return;
    }
    call.query.retain(|(name, _)| name != FLAG);
    call.query.push((FLAG.to_owned(), "true".to_owned()));
    if let Payload::Json(Json::Object(body)) = &mut call.payload {
        body.insert(FLAG.to_owned(), Json::Bool(true));
    }
}

/// Whether a subrequest is of a kind that holds others itself; collections are not.
fn nests(call: &Call) -> bool {
    let parts: Vec<&str> = call.segments.iter().map(String::as_str).skip_while(|part| *part == "tooling").collect();
    parts.first() == Some(&"composite") && parts.get(1) != Some(&"sobjects")
}

/// The order of execution. Collated requests of one kind run together, so that a query may well run before a write that
/// stands ahead of it; conditional requests and those that refer to others keep their place.
fn order_of(parts: &[Part], collate: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    if collate {
        order.sort_by_key(|place| {
            let part = &parts[*place];
            let free = part.method == Method::GET && !part.has_headers && !refers(&part.url);
            !free
        });
    }
    order
}

fn read_parts(list: Option<&Json>) -> Result<Vec<Part>, Refusals> {
    let list = list.and_then(Json::as_array).filter(|list| !list.is_empty()).ok_or_else(|| {
        Refusal::new(400, "INVALID_INPUT", "compositeRequest must be a list of at least one subrequest")
    })?;
    if list.len() > MOST {
        let message = format!(
            "Limit of {MOST} reached for operations of type subrequests in a composite request: {}",
            list.len()
        );
        return Err(Refusal::new(400, "LIMIT_EXCEEDED", message).into());
    }
    let parts = list.iter().map(read_part).collect::<Result<Vec<_>, _>>()?;
    let mut names = HashSet::new();
    if let Some(twice) = parts.iter().find(|part| !names.insert(part.reference.as_str())) {
        let message = format!("The reference id {} is used more than once", twice.reference);
        return Err(Refusal::new(400, "INVALID_INPUT", message).into());
    }
    if parts.iter().filter(|part| is_wide(&part.url)).count() > MOST_WIDE {
        let message =
            format!("Limit of {MOST_WIDE} reached for queries and sObject collections in a composite request");
        return Err(Refusal::new(400, "LIMIT_EXCEEDED", message).into());
    }
    Ok(parts)
}

fn read_part(json: &Json) -> Result<Part, Refusal> {
    let invalid = |what: &str| Refusal::new(400, "INVALID_INPUT", what.to_owned());
    let text = |name: &str| json.get(name).and_then(Json::as_str);
    let method = text("method").ok_or_else(|| invalid("method not specified"))?;
    let method = match method {
        "GET" | "POST" | "PATCH" | "PUT" | "DELETE" => {
            Method::from_bytes(method.as_bytes()).map_err(|_| invalid("method"))?
        }
        _ => return Err(invalid("unknown method in a subrequest")),
    };
    let url = text("url").ok_or_else(|| invalid("url not specified"))?;
    if !url.starts_with("/services/data/v") {
        return Err(invalid("a subrequest's url must begin with /services/data/v"));
    }
    let reference = text("referenceId").ok_or_else(|| invalid("referenceId not specified"))?;
    if !references::is_name(reference) {
        return Err(invalid(
            "Provided referenceId must start with a letter or a number, and it can contain only letters, numbers and underscores",
        ));
    }
    let mut headers = HeaderMap::new();
    let given = json.get("httpHeaders").filter(|given| !given.is_null());
    if let Some(given) = given {
        let given = given.as_object().ok_or_else(|| invalid("httpHeaders must be an object"))?;
        for (name, value) in given {
            if ["accept", "authorization", "content-type"].iter().any(|forbidden| forbidden.eq_ignore_ascii_case(name))
            {
                return Err(invalid(&format!("The header {name} is not allowed in a subrequest")));
            }
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("illegal header in httpHeaders"))?;
            let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
            headers.insert(name, value.ok_or_else(|| invalid("illegal header in httpHeaders"))?);
        }
    }
    Ok(Part {
        method,
        url: url.to_owned(),
        reference: reference.to_owned(),
        headers,
        has_headers: given.is_some(),
        body: json.get("body").filter(|body| !body.is_null()).cloned(),
    })
}

/// Whether a request counts against the five: a query or collections.
fn is_wide(url: &str) -> bool {
    let path = url.split('?').next().unwrap_or_default();
    let mut parts = path.split('/').skip(4).skip_while(|part| *part == "tooling");
    match (parts.next(), parts.next()) {
        (Some("query" | "queryAll"), _) => true,
        (Some("composite"), next) => next == Some("sobjects"),
        _ => false,
    }
}
