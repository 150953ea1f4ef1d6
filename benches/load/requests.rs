//! Webhooks prepared before the clock runs: distinct, signed, 1.2 KB each.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub const SECRET: &str = "leadrelay-test-secret";
const BODY: usize = 1_200;

/// Whole HTTP requests, each of a lead of its own; `first` numbers the first one. They suit the service and, with its own
/// header and lead, the prototype.
pub fn prepare(path: &str, first: usize, count: usize) -> Vec<Vec<u8>> {
    let key = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("HMAC takes keys of any length");
    (first..first + count)
        .map(|n| {
            let body = body(n);
            let signature = hex::encode(key.clone().chain_update(&body).finalize().into_bytes());
            format!(
                "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\nx-klozeo-signature: {signature}\r\nx-signature: sha256={signature}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        })
        .collect()
}

fn body(n: usize) -> String {
    let mut body = format!(
        r#"{{"event":"lead.created","event_id":"e{n:09}","timestamp":1760000000,"lead":{{"id":"cl_{n:09}"}},"data":{{"id":"cl_{n:09}","name":"Anne-Marie Pér{n}ez","email":"person{n}@firm{n}.example.com","phone":"+33 6 12 34 56 {:02}","website":"https://www.firm{n}.com","city":"Lyon","country":"France","postal_code":"69001","address":"{n} rue \"A\"","source":"website","status":"new","score":{},"tags":["a","b"],"attributes":[{{"name":"company","type":"text","value":"Firm {n}"}},{{"name":"employees","type":"number","value":{n}}}],"created_at":1760000000,"updated_at":1760000000,"last_interaction_at":1760000000,"description":""#,
        n % 100,
        n % 100
    );
    let end = "\"}}";
    while body.len() + end.len() < BODY {
        body.push('x');
    }
    body + end
}
