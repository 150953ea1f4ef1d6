//! `leadrelay openapi`: the HTTP contract.

use anyhow::Result;

use super::exit::Exit;
use super::output;
use crate::http;

/// Prints the document as it is committed under `openapi/`.
pub(super) fn run() -> Result<Exit> {
    output::print(&http::openapi())?;
    Ok(Exit::Good)
}
