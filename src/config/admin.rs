//! `[admin]`: where operators look in, and who they are.

use std::net::SocketAddr;

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
