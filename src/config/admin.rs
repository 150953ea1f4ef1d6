//! `[admin]`: where operators look in, and who they are.

use std::net::SocketAddr;

use super::reader::{Item, Table, Wrong};
use super::values::{filled_text, one_of, socket_addr};

/// `[admin]`: the listener of the admin API, `/metrics` and `/readyz`.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// `127.0.0.1:8081` if left out.
    pub listen: SocketAddr,
    /// Who may come in. Empty only where `listen` is a loopback address: then one token is made at start and printed.
    pub tokens: Vec<AdminToken>,
}

/// One `[[admin.tokens]]`: a person or program that may use the admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// Under this name its changes stand in the audit log; unique.
    pub name: String,
    pub role: Role,
    /// The SHA-256 of the token; the token itself is never configured.
    pub sha256: [u8; 32],
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads and changes.
    Operator,
}

impl Role {
    /// The word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
        }
    }
}

pub(super) fn read(table: Table<'_>) -> AdminConfig {
    let listen = table.or("listen", SocketAddr::from(([127, 0, 0, 1], 8081)), socket_addr);
    let mut tokens: Vec<AdminToken> = Vec::new();
    let rows = table.sections("tokens");
    let none = rows.is_empty();
    for row in rows {
        let name = row.required("name", "write who uses this token; the audit log shows it", filled_text);
        if let Some(name) = &name
            && tokens.iter().any(|token| token.name == *name)
        {
            row.wrong("name", "is the name of another token already", "give each token a name of its own");
        }
        let role = row.required(
            "role",
            "write \"viewer\" (reads) or \"operator\" (reads and changes)",
            one_of(&[("viewer", Role::Viewer), ("operator", Role::Operator)]),
        );
        let sha256 = row.required("sha256", "take it from `leadrelay token`, which prints these lines", sha256);
        if let (Some(name), Some(role), Some(sha256)) = (name, role, sha256) {
            tokens.push(AdminToken { name, role, sha256 });
        }
        row.finish();
    }
    if none && !listen.ip().is_loopback() {
        table.wrong(
            "tokens",
            "are needed where `listen` is no loopback address",
            "make one with `leadrelay token --name NAME --role operator` and put in the lines that it prints",
        );
    }
    table.finish();
    AdminConfig { listen, tokens }
}

fn sha256(item: &Item<'_>) -> Result<[u8; 32], Wrong> {
    let mut digest = [0; 32];
    hex::decode_to_slice(item.text()?, &mut digest).map_err(|_| {
        Wrong::new("is no SHA-256 in hex (64 digits)", "take it from `leadrelay token`, which prints these lines")
    })?;
    Ok(digest)
}
