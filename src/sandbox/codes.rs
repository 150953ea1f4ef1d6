//! Every error code that a client of leads has to know: where an org says it, with which status and in which words.

/// How far a refusal reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// No session is given out.
    Login,
    /// The HTTP call is refused, whatever is in it.
    Call,
    /// One resource: a call by itself, or one part of a composite.
    Part,
    /// One record: a call by itself, one part of a composite, or one item of a collection.
    Record,
}

/// What an org answers with one code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub code: &'static str,
    pub level: Level,
    /// On a call for one record; a collection's own status is 200.
    pub status: u16,
    /// `{id}` is the record or, where there is none yet, the org; `{other}` another record; `{object}` its kind.
    pub message: &'static str,
    /// The field at fault, unless a rule names another.
    pub field: Option<&'static str>,
}

/// Finds a code; names are exact.
pub(super) fn find(code: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.code == code)
}

const fn login(code: &'static str, message: &'static str) -> Known {
    Known { code, level: Level::Login, status: 400, message, field: None }
}

const fn call(status: u16, code: &'static str, message: &'static str) -> Known {
    Known { code, level: Level::Call, status, message, field: None }
}

const fn part(status: u16, code: &'static str, message: &'static str) -> Known {
    Known { code, level: Level::Part, status, message, field: None }
}

const fn record(status: u16, code: &'static str, message: &'static str) -> Known {
    Known { code, level: Level::Record, status, message, field: None }
}

const fn field(code: &'static str, field: &'static str, message: &'static str) -> Known {
    Known { code, level: Level::Record, status: 400, message, field: Some(field) }
}

const BUSY: &str = "Server is busy, try again later";
const BROKEN: &str = "An unexpected error occurred. ErrorId: 1234567890-1 (12345)";
const WINDOW: &str = "Sorry, data is read-only during maintenance";

/// In the order in which the API's guide groups them.
pub(super) const KNOWN: &[Known] = &[
    login("INVALID_LOGIN", "Invalid username, password, security token; or user locked out."),
    login("LOGIN_MUST_USE_SECURITY_TOKEN", "Invalid username, password, security token; or user locked out."),
    login("LOGIN_DURING_RESTRICTED_DOMAIN", "login from this IP address is not allowed"),
    login("LOGIN_DURING_RESTRICTED_TIME", "login at this time is not allowed"),
    login("LOGIN_CHALLENGE_ISSUED", "a login challenge was sent to the user"),
    login("LOGIN_CHALLENGE_PENDING", "a login challenge waits for the user's answer"),
    login("LOGIN_RATE_EXCEEDED", "login rate exceeded"),
    login("invalid_grant", "authentication failure"),
    login("invalid_client_id", "client identifier invalid"),
    login("invalid_client", "invalid client credentials"),
    login("unsupported_grant_type", "grant type not supported"),
    login("app_not_found", "External client app is not installed in this org"),
    login("invalid_request", "must use HTTP POST"),
    call(401, "INVALID_SESSION_ID", "Session expired or invalid"),
    call(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE"),
    call(403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization."),
    call(403, "API_CURRENTLY_DISABLED", "API is currently disabled"),
    call(403, "CLIENT_NOT_ACCESSIBLE_FOR_USER", "client is not accessible for this user"),
    call(403, "FUNCTIONALITY_NOT_ENABLED", "Feature is not currently enabled for this user"),
    call(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    call(400, "EXCEEDED_QUOTA", "quota exceeded"),
    call(400, "LIMIT_EXCEEDED", "limit exceeded"),
    call(503, "SERVER_UNAVAILABLE", BUSY),
    call(503, "REQUEST_RUNNING_TOO_LONG", "Your request was running for too long, and has been stopped."),
    call(500, "UNKNOWN_EXCEPTION", BROKEN),
    call(500, "INTERNAL_ERROR", BROKEN),
    call(503, "FUNCTIONALITY_TEMPORARILY_UNAVAILABLE", "this is not available at the moment"),
    call(503, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", WINDOW),
    call(503, "ORG_IN_MAINTENANCE", WINDOW),
    call(403, "ORG_LOCKED", "organization is locked"),
    call(403, "TRIAL_EXPIRED", "your trial has expired"),
    call(405, "METHOD_NOT_ALLOWED", "HTTP Method not allowed. See the resource's documentation"),
    call(415, "UNSUPPORTED_MEDIA_TYPE", "Request content-type is not supported. Supported: application/json"),
    call(410, "UNSUPPORTED_API_VERSION", "The requested API version is no longer supported."),
    call(410, "GONE", "The requested resource has been retired or removed."),
    call(400, "EXCEEDED_MAX_SIZE_REQUEST", "request is too large"),
    part(400, "QUERY_TIMEOUT", "Your query request was running for too long."),
    part(400, "MALFORMED_QUERY", "unexpected token: <EOF>"),
    part(
        400,
        "QUERY_TOO_COMPLICATED",
        "Query is either selecting too many fields or the filter conditions are too complicated.",
    ),
    part(400, "INVALID_QUERY_LOCATOR", "invalid query locator"),
    part(400, "INVALID_TYPE", "sObject type is not supported."),
    part(404, "NOT_FOUND", "The requested resource does not exist"),
    part(400, "JSON_PARSER_ERROR", "Unexpected character at [line:1, column:2]"),
    part(400, "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more than 200 records in this call"),
    part(400, "INVALID_BATCH_SIZE", "batch size is out of range"),
    part(400, "TOO_MANY_RECORDS", "too many records"),
    part(400, "INVALID_REPLICATION_DATE", "startDate before org replication enabled date"),
    part(
        400,
        "PROCESSING_HALTED",
        "The transaction was rolled back since another operation in the same transaction failed.",
    ),
    part(412, "BATCH_PROCESSING_HALTED", "Batch processing was halted by an error in another request"),
    part(400, "DUPLICATE_DEVELOPER_NAME", "There is already a field of this name"),
    part(400, "CUSTOM_ENTITY_OR_FIELD_LIMIT", "reached maximum number of custom fields"),
    part(400, "CUSTOM_FIELD_INDEX_LIMIT_EXCEEDED", "reached maximum number of indexed custom fields"),
    record(403, "INSUFFICIENT_ACCESS", "insufficient access rights on entity: {object}"),
    record(400, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id"),
    record(
        400,
        "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
        "insufficient access rights on cross-reference id: {other}",
    ),
    record(400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record or 1 records: {other}"),
    record(400, "TOO_MANY_APEX_REQUESTS", "too many Apex requests at once"),
    record(400, "COLLISION_DETECTED", "the record was changed by another transaction"),
    record(400, "RECORD_IN_USE_BY_WORKFLOW", "the record is in use by a workflow"),
    field("REQUIRED_FIELD_MISSING", "LastName", "Required fields are missing: [{field}]"),
    field("FIELD_CUSTOM_VALIDATION_EXCEPTION", "", "The record breaks a validation rule of this org"),
    field("FIELD_INTEGRITY_EXCEPTION", "", "field integrity exception: unknown (the value does not fit)"),
    field("FIELD_FILTER_VALIDATION_EXCEPTION", "OwnerId", "Value does not exist or does not match filter criteria."),
    record(
        400,
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "Guard: execution of BeforeSave caused by: System.NullPointerException: Attempt to de-reference a null object Trigger.Guard: \
         line 3, column 1",
    ),
    record(
        400,
        "CANNOT_EXECUTE_FLOW_TRIGGER",
        "We can't save this record because the \u{201c}Guard\u{201d} process failed.",
    ),
    record(400, "FLOW_EXCEPTION", "An unhandled fault has occurred in this flow"),
    record(400, "INVALID_FIELD", "No such column '{field}' on sobject of type {object}"),
    field("INVALID_FIELD_FOR_INSERT_UPDATE", "Title", "Unable to create/update fields: {field}."),
    field("FIELD_NOT_UPDATABLE", "Title", "field is not updatable: {field}"),
    record(400, "INVALID_TYPE_ON_FIELD_IN_RECORD", "invalid type on a field of the record"),
    field("STRING_TOO_LONG", "LastName", "Last Name: data value too large: x (max length=80)"),
    field(
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "CleanStatus",
        "Clean Status: bad value for restricted picklist field: x",
    ),
    field("INVALID_EMAIL_ADDRESS", "Email", "Email: invalid email address: x"),
    field(
        "NUMBER_OUTSIDE_VALID_RANGE",
        "NumberOfEmployees",
        "Employees: value outside of valid range on numeric field: 1000000000",
    ),
    field("MALFORMED_ID", "OwnerId", "Owner ID: id value of incorrect type: x"),
    field("INVALID_CROSS_REFERENCE_KEY", "OwnerId", "invalid cross reference id"),
    field("INACTIVE_OWNER_OR_USER", "OwnerId", "operation performed with inactive user [{user}] as owner of {object}"),
    field("TEXT_DATA_OUTSIDE_SUPPORTED_CHARSET", "LastName", "text data outside supported charset: {field}"),
    field("INVALID_CURRENCY_ISO", "CurrencyIsoCode", "invalid currency iso code: x"),
    field("INVALID_DATE_FORMAT", "CreatedDate", "invalid date format: x"),
    field("UNAVAILABLE_RECORDTYPE_EXCEPTION", "RecordTypeId", "Unable to find default record type"),
    record(400, "STORAGE_LIMIT_EXCEEDED", "storage limit exceeded"),
    record(
        400,
        "DUPLICATE_VALUE",
        "duplicate value found: Lead_System_Id__c duplicates value on record with id: {other}",
    ),
    // A status of its own where the key is in the path.
    Known {
        status: 300,
        ..field(
            "DUPLICATE_EXTERNAL_ID",
            "Lead_System_Id__c",
            "{field}: more than one record found for external id field: [{id}, {other}]",
        )
    },
    record(400, "DUPLICATES_DETECTED", super::duplicates::TEXT),
    record(
        412,
        "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE",
        "The requested resource has been modified since the given date",
    ),
    record(404, "ENTITY_IS_DELETED", "entity is deleted"),
    record(400, "ENTITY_IS_LOCKED", "the entity is locked for editing"),
    record(400, "ENTITY_IS_ARCHIVED", "entity is archived"),
    record(400, "CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead"),
    record(
        400,
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "Record rolled back because not all records were valid and the request was using AllOrNone header",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_known_once() {
        let mut codes: Vec<&str> = KNOWN.iter().map(|known| known.code).collect();
        codes.sort_unstable();
        let all = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), all);
        assert!(find("NO_SUCH_CODE").is_none() && find("not_found").is_none());
    }
}
