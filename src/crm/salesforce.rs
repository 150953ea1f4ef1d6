//! Salesforce over its REST API: lookups and writes of up to 200 records in one counted call each.
//!
//! `auth` keeps the token, for which `assertion` signs, `transport` makes the calls, `wire` has the forms on the wire,
//! `classify` the verdicts, `soql`, `find` and `owners` the lookups, `write` the writes, `describe` the schema.

mod assertion;
mod auth;
mod classify;
mod companies;
mod describe;
mod duplicates;
mod find;
mod follow;
mod opportunities;
mod owners;
mod rows;
mod setup;
mod soql;
mod transport;
mod wire;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use url::Url;

pub use self::auth::Credentials;
pub use self::classify::{Remedy, record_named, remedy};
use self::describe::DescribeAnswer;
use self::transport::{Http, Outgoing, SendError, Transport};
use super::{
    CallMeter, Crm, CrmError, FieldMaking, FindRequest, PermissionHolder, UserObject, WriteRequest, WriteResult,
};
use crate::clock::Clock;
use crate::domain::company::CompanyObject;
use crate::domain::divergence::DuplicateRule;
use crate::domain::ids::{FieldName, ObjectName};
use crate::domain::matching::{Candidates, KeyField, PersonObject};
use crate::domain::missing::NewField;
use crate::domain::opportunity::OpportunityObject;
use crate::domain::record::{ObjectSchema, Schema};

/// Every word that this adapter has for [`super::Call::endpoint`].
pub const ENDPOINTS: [&str; 7] = ["collections", "composite", "describe", "query_more", "record", "setup", "token"];

const EMAIL: &str = "Email";
const LAST_NAME: &str = "LastName";
const WEBSITE: &str = "Website";
const IS_ACTIVE: &str = "IsActive";
const USER: &str = "User";
const OWNER: &str = "OwnerId";
/// By which a Contact points to its Account.
const ACCOUNT: &str = "AccountId";

/// Where the org is and how it is spoken to.
#[derive(Clone, Debug)]
pub struct SalesforceSettings {
    /// The org's My Domain address; https, or this machine.
    pub login_url: Url,
    pub credentials: Credentials,
    /// As in the API's paths: `v62.0`.
    pub api_version: String,
    /// How long one HTTP call may take. A request whose session has ended takes up to three: itself, the login, the replay.
    pub timeout: Duration,
    /// By which assertions end; it must be right to the minute.
    pub clock: Clock,
}

/// Why no adapter can be made of the settings.
#[derive(Debug, thiserror::Error)]
pub enum SalesforceSettingsError {
    #[error("the login url must be https, or http to this machine")]
    LoginUrl,
    #[error("the API version must look like v62.0")]
    ApiVersion,
    #[error("the HTTP client cannot be set up")]
    Client(#[from] reqwest::Error),
}

/// One Salesforce org.
pub struct Salesforce {
    transport: Transport,
    /// `/services/data/v62.0`.
    root: String,
    described: RwLock<BTreeMap<ObjectName, Described>>,
}

/// Objects as they were last described.
type KnownObjects = BTreeMap<ObjectName, Arc<ObjectSchema>>;

struct Described {
    schema: Arc<ObjectSchema>,
    /// Sent back to be told in few bytes that nothing changed.
    last_modified: Option<String>,
}

impl fmt::Debug for Salesforce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Salesforce").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Salesforce {
    /// Makes ready to speak to the org; nothing is sent before the first call.
    pub fn new(settings: SalesforceSettings, meter: Arc<dyn CallMeter>) -> Result<Self, SalesforceSettingsError> {
        if !auth::is_confidential(&settings.login_url) {
            return Err(SalesforceSettingsError::LoginUrl);
        }
        let number = settings.api_version.strip_prefix('v').ok_or(SalesforceSettingsError::ApiVersion)?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(SalesforceSettingsError::ApiVersion);
        }
        let http = Http::new(settings.timeout, auth::is_loopback(&settings.login_url), meter)?;
        let login = auth::Login::new(&settings.login_url, settings.credentials, settings.clock);
        Ok(Self {
            transport: Transport::new(http, login),
            root: format!("/services/data/v{number}"),
            described: RwLock::default(),
        })
    }

    /// Logs in if that has not been done yet; for the preflight check, which wants to name a wrong login as such.
    pub async fn login(&self) -> Result<(), CrmError> {
        self.transport.session().await.map(|_| ())
    }

    /// The objects as last described; describes only those that never were.
    async fn known_objects(&self, objects: &BTreeSet<&ObjectName>) -> Result<KnownObjects, CrmError> {
        let mut known = KnownObjects::new();
        for object in objects {
            let described = self.read_described().get(*object).map(|described| Arc::clone(&described.schema));
            let described = match described {
                Some(described) => described,
                None => self.describe_object(object).await?,
            };
            known.insert((*object).clone(), described);
        }
        Ok(known)
    }

    async fn describe_object(&self, object: &ObjectName) -> Result<Arc<ObjectSchema>, CrmError> {
        let is_name = object.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name || object.as_str().is_empty() {
            return Err(no_such_object(object, "INVALID_TYPE"));
        }
        let previous = {
            let described = self.read_described();
            described.get(object).map(|described| (Arc::clone(&described.schema), described.last_modified.clone()))
        };
        let request = Outgoing {
            if_modified_since: previous.as_ref().and_then(|(_, stamp)| stamp.clone()),
            ..Outgoing::get("describe", format!("{}/sobjects/{object}/describe", self.root))
        };
        let answer = self.transport.send(&request).await.map_err(SendError::of_a_read)?;
        match (answer.status, previous) {
            (304, Some((schema, _))) => Ok(schema),
            (200, _) => {
                let read: DescribeAnswer =
                    serde_json::from_slice(&answer.body).map_err(|_| classify::unreadable(answer.status))?;
                let schema = Arc::new(read.into_schema(object));
                let described = Described { schema: Arc::clone(&schema), last_modified: answer.last_modified };
                self.write_described().insert(object.clone(), described);
                Ok(schema)
            }
            _ => Err(match answer.error() {
                CrmError::Gone { code, .. } => no_such_object(object, &code),
                other => other,
            }),
        }
    }

    /// A refused field means that what we know of the schema is out of date; `describe` will not be told "unchanged".
    fn forget_after_drift(&self, error: &CrmError) {
        if matches!(error, CrmError::SchemaDrift { .. }) {
            self.write_described().clear();
        }
    }

    // No code that can panic runs under these locks.
    fn read_described(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<ObjectName, Described>> {
        self.described.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_described(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<ObjectName, Described>> {
        self.described.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Crm for Salesforce {
    fn people(&self) -> Vec<PersonObject> {
        let person = |object: &str, website: Option<&str>| PersonObject {
            object: object.into(),
            email: EMAIL.into(),
            first_name: "FirstName".into(),
            last_name: LAST_NAME.into(),
            website: website.map(Into::into),
        };
        vec![person("Lead", Some(WEBSITE)), person("Contact", None)]
    }

    fn companies(&self) -> CompanyObject {
        CompanyObject {
            object: "Account".into(),
            name: "Name".into(),
            website: WEBSITE.into(),
            name_of_person: "Company".into(),
            website_of_person: WEBSITE.into(),
            lookups: vec![("Contact".into(), ACCOUNT.into())],
        }
    }

    fn opportunities(&self) -> OpportunityObject {
        let converted = KeyField { object: "Lead".into(), field: "ConvertedOpportunityId".into() };
        OpportunityObject { object: "Opportunity".into(), converted }
    }

    fn users(&self) -> UserObject {
        UserObject { object: USER.into(), fields: [EMAIL, IS_ACTIVE].map(FieldName::from).to_vec() }
    }

    async fn describe(&self, objects: &[ObjectName]) -> Result<Schema, CrmError> {
        let mut schema = Schema::default();
        for object in objects {
            let described = self.describe_object(object).await?;
            schema.objects.insert(object.clone(), (*described).clone());
        }
        Ok(schema)
    }

    async fn find(&self, request: &FindRequest) -> Result<Vec<Candidates>, CrmError> {
        let found = find::find(self, request).await;
        found
            .inspect_err(|error| self.forget_after_drift(error))
            .map_err(|error| classify::of_the_whole(error, request.keys.len()))
    }

    async fn write(&self, request: &WriteRequest) -> Vec<WriteResult> {
        let results = write::write(self, request).await;
        for result in &results {
            if let Err(error) = &result.outcome {
                self.forget_after_drift(error);
            }
        }
        results
    }

    async fn duplicate_rules(&self) -> Result<Vec<DuplicateRule>, CrmError> {
        duplicates::duplicate_rules(self).await
    }

    async fn permission_holders(&self) -> Result<Vec<PermissionHolder>, CrmError> {
        setup::permission_holders(self).await
    }

    async fn existing_fields(&self, fields: &[NewField]) -> Result<BTreeSet<(ObjectName, FieldName)>, CrmError> {
        setup::existing_fields(self, fields).await
    }

    async fn make_field(&self, field: &NewField, holder: &PermissionHolder) -> Result<FieldMaking, CrmError> {
        self.write_described().remove(&field.object);
        setup::make_field(self, field, holder).await
    }
}

/// Under a word of our own: Salesforce's `NOT_FOUND` is said of records as well, and means something else there.
fn no_such_object(object: &ObjectName, code: &str) -> CrmError {
    let message = format!("there is no object {object} that we may see ({code})");
    CrmError::SchemaDrift { code: "object_not_shown".into(), field: None, message }
}

/// A request's body; only a value that JSON cannot hold could fail, and there is none in our requests.
fn to_bytes(body: &impl Serialize) -> Result<Bytes, CrmError> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|error| CrmError::Unfamiliar { code: "request_unwritable".into(), message: error.to_string() })
}

#[cfg(test)]
mod tests;
