//! `[destinations.NAME]`: the CRMs that leads are synced to.

use url::Url;

use crate::domain::ids::SourceName;
use crate::domain::mapping::FieldRow;

use super::{LimitsConfig, RecordsConfig, RetryConfig, Secret};

/// `[destinations.NAME]`: one CRM, and how leads become its records.
#[derive(Clone, Debug)]
pub struct DestinationConfig {
    /// Which CRM it is, and how to log in.
    pub kind: DestinationKind,
    /// `live` if left out.
    pub mode: Mode,
    /// The sources whose leads it gets, in order of name; all configured sources if left out.
    pub sources: Vec<SourceName>,
    pub records: RecordsConfig,
    pub limits: LimitsConfig,
    pub retry: RetryConfig,
    /// The field mapping document, in file order; at least one row.
    pub fields: Vec<FieldRow>,
}

/// The CRMs that leadrelay knows.
#[derive(Clone, Debug)]
pub enum DestinationKind {
    Salesforce(SalesforceConfig),
}

/// How to reach a Salesforce org and log in by the client credentials flow.
#[derive(Clone, Debug)]
pub struct SalesforceConfig {
    /// The org's My Domain address, without a path; https, or http for a loopback address.
    pub url: Url,
    pub client_id: String,
    pub client_secret: Secret,
    /// `v62.0` if left out.
    pub api_version: String,
}

/// Whether anything is written to the CRM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reads and writes.
    Live,
    /// Plans and logs everything, writes nothing.
    Observe,
}
