//! An org on this machine: knows tokens and two objects, and says to everything else what it was told to say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value as Json, json};

#[derive(Debug)]
pub(super) enum Reply {
    Raw(u16, String),
    /// Never.
    Hang,
    /// The connection ends in the middle of the answer.
    Cut,
    /// 100 MB.
    Endless,
}

impl Reply {
    pub fn json(status: u16, body: Json) -> Self {
        Self::Raw(status, body.to_string())
    }

    pub fn raw(status: u16, body: &str) -> Self {
        Self::Raw(status, body.into())
    }
}

pub(super) struct Seen {
    pub method: Method,
    pub path: String,
    headers: HeaderMap,
    pub body: String,
}

impl Seen {
    /// The header's text; empty if it was not sent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |text| text.to_str().unwrap())
    }

    /// The queries in a composite request, as the org reads them.
    pub fn queries(&self) -> Vec<String> {
        let body: Json = serde_json::from_str(&self.body).unwrap();
        let urls = body["compositeRequest"].as_array().unwrap().iter().map(|part| part["url"].as_str().unwrap());
        let queries = urls.filter_map(|url| url.split_once("?q="));
        queries
            .map(|(_, query)| percent_encoding::percent_decode_str(query).decode_utf8().unwrap().into_owned())
            .collect()
    }
}

#[derive(Default)]
struct World {
    /// What is said next to a path that contains the text.
    replies: HashMap<&'static str, Vec<Reply>>,
    seen: Vec<Seen>,
    tokens: u32,
    oldest_token: u32,
}

pub(super) struct Org {
    pub address: String,
    world: Arc<Mutex<World>>,
}

impl Org {
    /// Starts one on a free port; it ends with the test's runtime.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let world = Arc::new(Mutex::new(World::default()));
        let router = Router::new().fallback(answer).with_state((Arc::clone(&world), address.clone()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, world }
    }

    /// The next request to a path that contains `path` gets this reply; more are kept in order.
    pub fn answer(&self, path: &'static str, reply: Reply) {
        self.world.lock().unwrap().replies.entry(path).or_default().push(reply);
    }

    /// The next composite finds these rows, query by query.
    pub fn composite_of(&self, rows: &[Json]) {
        let parts: Vec<(u16, Json)> = rows.iter().map(|rows| (200, page(rows))).collect();
        self.answer("/composite", Reply::json(200, composite(&parts)));
    }

    pub fn seen(&self, path: &str) -> Vec<Seen> {
        let world = self.world.lock().unwrap();
        let seen = world.seen.iter().filter(|seen| seen.path.contains(path));
        let copy = |seen: &Seen| Seen {
            method: seen.method.clone(),
            path: seen.path.clone(),
            headers: seen.headers.clone(),
            body: seen.body.clone(),
        };
        seen.map(copy).collect()
    }

    /// Every token given so far is refused from now on.
    pub fn expire_tokens(&self) {
        let mut world = self.world.lock().unwrap();
        world.oldest_token = world.tokens + 1;
    }
}

pub(super) fn page(rows: &Json) -> Json {
    json!({"totalSize": 1, "done": true, "records": rows})
}

pub(super) fn composite(parts: &[(u16, Json)]) -> Json {
    let part = |(place, (status, body)): (usize, &(u16, Json))| json!({"referenceId": format!("find{place}"), "httpStatusCode": status, "httpHeaders": {}, "body": body});
    json!({"compositeResponse": parts.iter().enumerate().map(part).collect::<Vec<_>>()})
}

async fn answer(
    State((world, address)): State<(Arc<Mutex<World>>, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let reply = {
        let mut world = world.lock().unwrap();
        let path = uri.path().to_owned();
        let body = String::from_utf8(body.to_vec()).unwrap();
        let told = world.replies.iter_mut().find(|(part, replies)| path.contains(**part) && !replies.is_empty());
        let told = told.map(|(_, replies)| replies.remove(0));
        let reply = told.unwrap_or_else(|| by_itself(&mut world, &address, &method, &path, &headers, &body));
        world.seen.push(Seen { method, path, headers, body });
        reply
    };
    let (status, body) = match reply {
        Reply::Raw(status, body) => (status, Body::from(body)),
        Reply::Hang => std::future::pending().await,
        Reply::Cut => {
            let parts = [Ok(Bytes::from_static(b"{\"comp")), Err(std::io::Error::other("cut"))];
            (200, Body::from_stream(futures_util::stream::iter(parts)))
        }
        Reply::Endless => {
            let parts = (0..100).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 1_000_000])));
            (200, Body::from_stream(futures_util::stream::iter(parts)))
        }
    };
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("Sforce-Limit-Info", "api-usage=18/15000")
        .header("Last-Modified", "Wed, 21 Oct 2026 07:28:00 GMT")
        .header("Location", "https://elsewhere.example/")
        .body(body)
        .unwrap()
}

fn by_itself(world: &mut World, address: &str, method: &Method, path: &str, headers: &HeaderMap, body: &str) -> Reply {
    if path == "/services/oauth2/token" {
        let by_assertion =
            body.starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
        let by_secret = body == "grant_type=client_credentials&client_id=id&client_secret=hush";
        assert!(method == Method::POST && (by_assertion || by_secret), "{body}");
        world.tokens += 1;
        return Reply::json(
            200,
            json!({"access_token": format!("token-{}", world.tokens), "instance_url": address, "token_type": "Bearer",
            "id": "https://login.salesforce.com/id/00D5g000004AaaaEA4/0055g00000UUUUUAA5", "issued_at": "1718000000000"}),
        );
    }
    let token = headers
        .get("authorization")
        .and_then(|text| text.to_str().ok()?.strip_prefix("Bearer token-")?.parse::<u32>().ok());
    if token.is_none_or(|token| token < world.oldest_token) {
        return Reply::json(401, json!([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]));
    }
    let field = |name: &str, kind: &str| json!({"name": name, "label": name, "type": kind, "createable": true, "updateable": true, "nillable": true});
    let mut fields = vec![
        field("Id", "id"),
        field("Email", "email"),
        field("FirstName", "string"),
        field("LastName", "string"),
        field("Ext__c", "string"),
        field("SystemModstamp", "datetime"),
        field("CreatedDate", "datetime"),
        field("LastModifiedById", "reference"),
    ];
    if path.contains("/Lead/") {
        fields.extend([
            field("Website", "url"),
            field("AnnualRevenue", "currency"),
            field("IsConverted", "boolean"),
            field("ConvertedContactId", "reference"),
        ]);
    }
    match path.rsplit('/').next() {
        Some("describe") => Reply::json(200, json!({"createable": true, "updateable": true, "fields": fields})),
        Some("composite") => {
            let empty = (200, page(&json!([])));
            Reply::json(200, composite(&[empty.clone(), empty.clone(), empty.clone(), empty.clone(), empty]))
        }
        _ => Reply::json(404, json!([{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}])),
    }
}
