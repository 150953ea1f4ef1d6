//! What of a refused request is kept, so that it can be judged again once a secret was mended.

use std::fmt;

use crate::domain::headers::Headers;

/// What a request carried besides its body to prove whose it is, as far as judging it again needs that.
///
/// A token, which is the secret itself, is kept as a hash only.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// Nothing where the source's settings look for it, so that no secret can make it genuine.
    Missing,
    /// A signature.
    Signed(Signed),
    /// Of a token: SHA-256 over the salt and the token's own SHA-256.
    Token { salt: [u8; SALT], digest: [u8; 32] },
}

/// How long a salt is, in bytes.
pub const SALT: usize = 16;

/// A signature with all that was signed besides the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed {
    pub method: String,
    /// Only where the URL is signed.
    pub path_and_query: Option<String>,
    /// The signature's own, the time's and the message ID's.
    pub headers: Vec<(String, String)>,
}

/// A request as it was kept.
pub struct Kept<'a> {
    pub proof: &'a Proof,
    /// What senders call, without a slash at the end, by today's settings.
    pub public_url: Option<&'a str>,
    pub body: &'a [u8],
}

impl Proof {
    /// How many bytes it takes.
    pub fn size(&self) -> usize {
        match self {
            Proof::Missing => 0,
            Proof::Signed(Signed { method, path_and_query, headers }) => {
                let headers: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
                method.len() + path_and_query.as_ref().map_or(0, String::len) + headers
            }
            Proof::Token { salt, digest } => salt.len() + digest.len(),
        }
    }
}

/// Signatures stay out of logs.
impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Proof::Missing => "Proof(missing)",
            Proof::Signed(_) | Proof::Token { .. } => "Proof([redacted])",
        })
    }
}

/// The headers of these names, as far as they are there and text.
pub(super) fn picked<'a>(headers: &dyn Headers, names: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    names.filter_map(|name| Some((name.to_owned(), headers.text(name)?.to_owned()))).collect()
}
