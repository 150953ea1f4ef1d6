//! `[destinations.NAME]`: the CRMs that leads are synced to.

use std::time::Duration;

use url::Url;

use crate::domain::cel::Expression;
use crate::domain::ids::{FieldName, ObjectName, SourceName};
use crate::domain::mapping::FieldRow;
use crate::domain::plan::OnDelete;

use super::private_key::{PrivateKey, private_key};
use super::reader::{Item, Table, Wrong};
use super::values::{duration, expression, filled_text, one_built_of, one_of, remote_address};
use super::{LimitsConfig, RecordsConfig, RetryConfig, Secret, Unmapped, fields, limits, records};

/// `[destinations.NAME]`: one CRM, and how leads become its records.
#[derive(Clone, Debug)]
pub struct DestinationConfig {
    /// Which CRM it is, and how to log in.
    pub kind: DestinationKind,
    /// `live` if left out.
    pub mode: Mode,
    /// The sources whose leads it gets, in order of name; all configured sources if left out.
    pub sources: Vec<SourceName>,
    /// Which leads come here; all if left out. A lead that falls out of it is left alone.
    pub filter: Option<Expression>,
    pub records: RecordsConfig,
    pub limits: LimitsConfig,
    pub retry: RetryConfig,
    /// The field mapping document, in file order; at least one row. The last one may stand for attributes without a row.
    pub fields: Vec<FieldRow>,
}

/// The CRMs that leadrelay knows.
#[derive(Clone, Debug)]
pub enum DestinationKind {
    Salesforce(SalesforceConfig),
}

/// How to reach a Salesforce org and log in.
#[derive(Clone, Debug)]
pub struct SalesforceConfig {
    /// The org's My Domain address, without a path; https, or http for a loopback address.
    pub url: Url,
    pub login: SalesforceLogin,
    /// `v62.0` if left out.
    pub api_version: String,
}

/// `login` of a Salesforce org: who we are there, and how that is proved.
#[derive(Clone, Debug)]
pub enum SalesforceLogin {
    /// As the app's Run As user, by the app's secret.
    ClientCredentials { client_id: String, client_secret: Secret },
    /// As `username`, by an assertion that is signed with the app's key.
    JwtBearer {
        client_id: String,
        username: String,
        private_key: PrivateKey,
        /// By the url if left out: `https://test.salesforce.com` for a sandbox, else `https://login.salesforce.com`.
        audience: String,
    },
}

/// Whether anything is written to the CRM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reads and writes.
    Live,
    /// Plans and logs everything, writes nothing.
    Observe,
}

/// Reads one `[destinations.NAME]`; `known` are the names of all sources, right or wrong, in order.
pub(super) fn read(table: Table<'_>, known: &[SourceName]) -> Option<DestinationConfig> {
    let known_kind = table.required("kind", "write \"salesforce\"", one_built_of(&[("salesforce", ())], &["hubspot"]));
    if table.item("kind").and_then(|kind| kind.text().ok()).as_deref() == Some("hubspot") {
        // It has keys of its own, of which nothing can be said yet.
        return None;
    }
    let mode = table.or("mode", Mode::Live, one_of(&[("live", Mode::Live), ("observe", Mode::Observe)]));
    let sources = sources(&table, known);
    let filter = table.optional("filter", expression);
    table.later_unless("poll_every", Duration::from_secs(60), duration);
    table.later("lifecycle");
    let salesforce = salesforce(&table);
    let records = records::read(table.section("records"), sources.len());
    let (limits, retry) = limits::read(table.section("limits"), table.section("retry"));
    let object = records.as_ref().map_or_else(|| ObjectName::from("Lead"), |records| records.object.clone());
    let external_id: Option<&FieldName> = records.as_ref().map(|records| &records.external_id);
    let note_field = records.as_ref().and_then(|records| match &records.unmapped {
        Unmapped::Note(field) => Some(field),
        Unmapped::Drop | Unmapped::Error => None,
    });
    let fields = fields::read(&table, &object, external_id, note_field);
    if let Some(records) = &records {
        fields::check_companies(&table, records.company, &fields);
    }
    let flag = records.as_ref().and_then(|records| match &records.on_delete {
        OnDelete::Flag(field) => Some(field),
        OnDelete::Ignore | OnDelete::Delete => None,
    });
    if let Some(row) = flag.and_then(|flag| fields.iter().find(|row| row.crm == *flag)) {
        let problem = format!("the row of {} writes the field that is `delete_flag`", row.crm);
        table.wrong("fields", problem, "give the flag a field of its own");
    }
    table.finish();
    known_kind?;
    let kind = DestinationKind::Salesforce(salesforce?);
    Some(DestinationConfig { kind, mode, sources, filter, records: records?, limits, retry, fields })
}

fn sources(table: &Table<'_>, known: &[SourceName]) -> Vec<SourceName> {
    let Some(mut named) = table.list("sources", |item| source_name(item, known)) else {
        return known.to_vec();
    };
    if table.length("sources") == Some(0) {
        table.wrong("sources", "is empty, so no lead would come here", "name a source, or leave it out for all");
    }
    named.sort();
    named.dedup();
    named
}

fn source_name(item: &Item<'_>, known: &[SourceName]) -> Result<SourceName, Wrong> {
    let text = item.text()?;
    known.iter().find(|name| name.as_str() == text).cloned().ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(SourceName::as_str).collect();
        Wrong::new(format!("there is no source {}", item.shown()), format!("the sources are: {}", names.join(", ")))
    })
}

const LOGIN: &str = "write login = { flow = \"client_credentials\", url = \"https://example.my.salesforce.com\", \
                     client_id = \"${SF_ID}\", client_secret = \"${SF_SECRET}\" }";

fn salesforce(table: &Table<'_>) -> Option<SalesforceConfig> {
    let api_version = table.or("api_version", "v62.0".to_owned(), api_version);
    let login = table.required("login", LOGIN, Item::table)?;
    let flows = one_built_of(&[("client_credentials", Flow::Client), ("jwt_bearer", Flow::Jwt)], &["refresh_token"]);
    let flow = login.required("flow", "write \"client_credentials\" or \"jwt_bearer\"", flows)?;
    let url =
        login.required("url", "write the org's My Domain address, https://example.my.salesforce.com", org_address);
    let client_id = login.required("client_id", "write the connected app's consumer key", filled_text);
    let belongs = |keys: &[&'static str], other: &str| {
        for key in keys.iter().filter(|key| login.has(key)) {
            login.item(key);
            login.wrong(key, format!("is for flow = {other:?}"), "leave it out, or change the flow");
        }
    };
    let read = match flow {
        Flow::Client => {
            let secret = login.required("client_secret", "write the connected app's consumer secret", filled_text);
            belongs(&["username", "private_key", "audience"], "jwt_bearer");
            client_id.zip(secret).map(|(client_id, secret)| SalesforceLogin::ClientCredentials {
                client_id,
                client_secret: Secret::new(secret),
            })
        }
        Flow::Jwt => {
            let username =
                login.required("username", "write the username of the user that leadrelay logs in as", filled_text);
            let private_key = login.required("private_key", "write private_key = \"${file:key.pem}\"", private_key);
            let audience = login.optional("audience", audience);
            let audience = audience.or_else(|| Some(default_audience(url.as_ref()?).to_owned()));
            belongs(&["client_secret"], "client_credentials");
            client_id.zip(username).zip(private_key.zip(audience)).map(
                |((client_id, username), (private_key, audience))| SalesforceLogin::JwtBearer {
                    client_id,
                    username,
                    private_key,
                    audience,
                },
            )
        }
    };
    login.finish();
    Some(SalesforceConfig { url: url?, login: read?, api_version })
}

#[derive(Clone, Copy)]
enum Flow {
    Client,
    Jwt,
}

/// For whom an assertion is meant: the login host of the kind of org that the url is of.
fn default_audience(url: &Url) -> &'static str {
    let host = url.host_str().unwrap_or_default();
    let is_test = host == "test.salesforce.com"
        || host.ends_with(".sandbox.my.salesforce.com")
        || host.ends_with(".scratch.my.salesforce.com")
        // Sandboxes without enhanced domains: company--sandbox.my.salesforce.com.
        || host.strip_suffix(".my.salesforce.com").is_some_and(|name| !name.contains('.') && name.contains("--"));
    if is_test { "https://test.salesforce.com" } else { "https://login.salesforce.com" }
}

/// Salesforce compares it letter by letter, and knows none with a slash at the end.
fn audience(item: &Item<'_>) -> Result<String, Wrong> {
    remote_address(item)?;
    Ok(item.text()?.trim_end_matches('/').to_owned())
}

fn org_address(item: &Item<'_>) -> Result<Url, Wrong> {
    let url = remote_address(item)?;
    if url.path() != "/" {
        return Err(Wrong::new("must have no path", "write the address only, https://example.my.salesforce.com"));
    }
    Ok(url)
}

fn api_version(item: &Item<'_>) -> Result<String, Wrong> {
    let text = item.text()?;
    let number = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let version = text.strip_prefix('v').and_then(|text| text.split_once('.'));
    if version.is_some_and(|(major, minor)| number(major) && number(minor)) {
        return Ok(text);
    }
    Err(Wrong::new(format!("{} is no version of the API", item.shown()), "write a version such as \"v62.0\""))
}
