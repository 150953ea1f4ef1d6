//! Every error code that Salesforce is known to give, with what it means and what to do about it.
//!
//! One table for two readers: the verdict of [`super::classify`] and the operator who asks what an error means.

use super::Remedy;

/// What follows from a code; [`super::classify`] makes a [`crate::crm::CrmError`] of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Login,
    /// Told apart by the text: the day's allowance, or too much at once.
    RequestLimit,
    Throttle,
    Retry,
    /// Too big or too slow as a whole: repeated in halves, and later where it cannot be halved.
    TooMuch,
    /// Refused, unless the text says that a lock or a limit of the platform stands behind it.
    Trigger,
    Refused,
    Schema,
    Duplicate,
    Gone,
    /// A condition of the request no longer holds.
    Changed,
    Converted,
    Collateral,
    Operator,
}

pub(super) struct Code {
    pub name: &'static str,
    pub class: Class,
    pub remedy: Remedy,
}

const fn code(name: &'static str, class: Class, means: &'static str, todo: &'static str) -> Code {
    Code { name, class, remedy: Remedy { means, todo } }
}

const LATER: &str = "Nothing; it is tried again by itself.";
const CHANGING: &str =
    "Nothing; it is tried again by itself. If it does not stop, find out what keeps changing the record.";
const REPORT: &str = "Report it with the request ID from the sync log: the program asked for something it should not.";
const FIX_VALUE: &str =
    "Correct the value in the lead system, or change the row of the mapping; the next event of the lead tries again.";
const FIX_LOGIN: &str = "Check login url, client ID and secret and the app's Run As user in Salesforce (jwt_bearer: url, client ID, username and \
     key); then `leadrelay check`.";
const FIX_RESTRICTIONS: &str = "Check the user's login restrictions in Salesforce: addresses, hours, security token, identity confirmation; then `leadrelay \
     check`.";
const FIX_SCHEMA: &str = "Run `leadrelay check`: create the field, make it visible and editable for the integration user, or remove \
     the row from the mapping.";
const PERMISSION: &str = "Give the integration user's permission set the access that the message names; held leads are tried daily, and at \
     once by a sync or a resync.";
const ADMIN: &str = "Ask the Salesforce administrator; held leads are tried daily, and at once by a sync or a resync.";
const GONE: &str = "Restore the record in Salesforce, or let the integration user see it; then sync the lead.";
const CONVERTED: &str = "Nothing; the lead is looked up again and goes on as the contact that it became, where the mapping has rows for it.";
const OLD_VERSION: &str = "Salesforce no longer speaks the configured API version.";
const RAISE_VERSION: &str = "Raise api_version of the destination.";
const FIX_OBJECT: &str = "Give the integration user's permission set read access to the object; `leadrelay check` names it. It is tried \
     again by itself, and at once when the destination is resumed.";

/// Sorted by class, not by name; a name stands here once.
pub(super) const CODES: &[Code] = {
    use Class::*;
    &[
        code("INVALID_SESSION_ID", Login, "Salesforce refuses our session, even one just made.", FIX_LOGIN),
        code("INVALID_AUTH_HEADER", Login, "Salesforce cannot read our authorisation header.", REPORT),
        code("INVALID_LOGIN", Login, "User name or password is wrong, or the user is locked.", FIX_LOGIN),
        code("INVALID_GRANT", Login, "The app or the user may not log in.", FIX_LOGIN),
        code("INVALID_CLIENT", Login, "Client ID or secret is wrong.", FIX_LOGIN),
        code("INVALID_CLIENT_ID", Login, "Salesforce does not know the client ID.", FIX_LOGIN),
        code("UNSUPPORTED_GRANT_TYPE", Login, "The app is not allowed to log in by the configured flow.", FIX_LOGIN),
        code("APP_NOT_FOUND", Login, "The app is not installed in this org.", FIX_LOGIN),
        code("INVALID_REQUEST", Login, "The login endpoint cannot read our request.", FIX_LOGIN),
        code(
            "LOGIN_MUST_USE_SECURITY_TOKEN",
            Login,
            "The user's login needs a security token from where we are.",
            FIX_RESTRICTIONS,
        ),
        code("LOGIN_DURING_RESTRICTED_DOMAIN", Login, "The user may not log in from our address.", FIX_RESTRICTIONS),
        code("LOGIN_DURING_RESTRICTED_TIME", Login, "The user may not log in at this time.", FIX_RESTRICTIONS),
        code("LOGIN_CHALLENGE_ISSUED", Login, "Salesforce asks the user to confirm the identity.", FIX_RESTRICTIONS),
        code(
            "LOGIN_CHALLENGE_PENDING",
            Login,
            "Salesforce waits for the user to confirm the identity.",
            FIX_RESTRICTIONS,
        ),
        code("CLIENT_NOT_ACCESSIBLE_FOR_USER", Login, "The integration user may not use the app.", FIX_LOGIN),
        code(
            "REQUEST_LIMIT_EXCEEDED",
            RequestLimit,
            "The org's API allowance of the last 24 hours is used up.",
            "Find out what else calls the API, or raise the allowance; leads wait and are tried again by themselves.",
        ),
        code(
            "LOGIN_RATE_EXCEEDED",
            Throttle,
            "More logins within an hour than Salesforce allows the user.",
            "See whether another program logs in as the same user; leads wait and are tried again by themselves.",
        ),
        code("SERVER_UNAVAILABLE", Retry, "Salesforce is busy or in maintenance.", LATER),
        code("UNABLE_TO_LOCK_ROW", Retry, "Someone else is changing the record or its account.", LATER),
        code("COLLISION_DETECTED", Retry, "Two changes met on one record.", LATER),
        code("RECORD_IN_USE_BY_WORKFLOW", Retry, "A workflow holds the record.", LATER),
        code("TOO_MANY_APEX_REQUESTS", Retry, "The org's own code is overloaded.", LATER),
        code(
            "UNKNOWN_EXCEPTION",
            Retry,
            "Salesforce failed inside.",
            "If it does not stop, give Salesforce support the ErrorId from the message.",
        ),
        code(
            "INTERNAL_ERROR",
            Retry,
            "Salesforce failed inside.",
            "If it does not stop, give Salesforce support the ErrorId from the message.",
        ),
        code(
            "FUNCTIONALITY_TEMPORARILY_UNAVAILABLE",
            Retry,
            "Salesforce has switched the function off for now.",
            LATER,
        ),
        code(
            "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE",
            Retry,
            "The org is read-only during maintenance.",
            LATER,
        ),
        code("ORG_IN_MAINTENANCE", Retry, "The org is in maintenance.", LATER),
        code("INVALID_QUERY_LOCATOR", Retry, "The rest of a long answer has gone; the query starts again.", LATER),
        code(
            "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE",
            Changed,
            "The record changed since it was read; it is read again.",
            CHANGING,
        ),
        code("PRECONDITION_FAILED", Changed, "The record changed since it was read; it is read again.", CHANGING),
        code("REQUEST_RUNNING_TOO_LONG", TooMuch, "The request took Salesforce too long.", LATER),
        code(
            "QUERY_TIMEOUT",
            TooMuch,
            "The lookup took Salesforce too long.",
            "If it does not stop, ask for an index on the external ID field.",
        ),
        code("EXCEEDED_ID_LIMIT", TooMuch, "Too many records in one request.", REPORT),
        code("INVALID_BATCH_SIZE", TooMuch, "Too many records in one request.", REPORT),
        code("EXCEEDED_MAX_SIZE_REQUEST", TooMuch, "The request is too big.", REPORT),
        code("TOO_MANY_RECORDS", TooMuch, "Too many records in one request.", REPORT),
        code(
            "QUERY_TOO_COMPLICATED",
            TooMuch,
            "The lookup is too complicated.",
            "Take formula fields out of the mapping.",
        ),
        code(
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            Trigger,
            "An Apex trigger of the org refused the record.",
            "Read the message and ask the owner of the trigger.",
        ),
        code(
            "CANNOT_EXECUTE_FLOW_TRIGGER",
            Trigger,
            "A flow of the org refused the record.",
            "Read the message and ask the owner of the flow.",
        ),
        code(
            "FLOW_EXCEPTION",
            Trigger,
            "A flow of the org refused the record.",
            "Read the message and ask the owner of the flow.",
        ),
        code(
            "REQUIRED_FIELD_MISSING",
            Refused,
            "A field that Salesforce requires is empty.",
            "Map the field, give its row a default, or fill it in the lead system.",
        ),
        code(
            "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            Refused,
            "A validation rule of the org refused the record; the message is the rule's own.",
            "Correct the lead, or have the rule except the integration user.",
        ),
        code(
            "FIELD_INTEGRITY_EXCEPTION",
            Refused,
            "A value does not fit: a state or country not on the list, or a reference of the wrong kind.",
            FIX_VALUE,
        ),
        code("FIELD_FILTER_VALIDATION_EXCEPTION", Refused, "A lookup filter of the org refused the value.", FIX_VALUE),
        code("INVALID_TYPE_ON_FIELD_IN_RECORD", Refused, "A value has the wrong type.", FIX_VALUE),
        code(
            "STRING_TOO_LONG",
            Refused,
            "A text is longer than its field.",
            "Shorten it, lengthen the field, or set too_long = \"truncate\" on the row.",
        ),
        code(
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            Refused,
            "A value is not on the field's restricted picklist.",
            "Add the value in Salesforce, or translate it in the row's values.",
        ),
        code("INVALID_EMAIL_ADDRESS", Refused, "Salesforce takes the e-mail address for invalid.", FIX_VALUE),
        code("NUMBER_OUTSIDE_VALID_RANGE", Refused, "A number has more digits than its field.", FIX_VALUE),
        code("JSON_PARSER_ERROR", Refused, "A value has a form that its field cannot take.", FIX_VALUE),
        code("MALFORMED_ID", Refused, "A record ID is not one, or is of another object.", FIX_VALUE),
        code("MALFORMED_QUERY", Refused, "Salesforce cannot read our lookup.", REPORT),
        code(
            "INVALID_CROSS_REFERENCE_KEY",
            Refused,
            "A record that the values point to does not exist or may not be used.",
            FIX_VALUE,
        ),
        code(
            "INACTIVE_OWNER_OR_USER",
            Refused,
            "The owner is an inactive user.",
            "Give the lead another owner, or change the assignment rule that chose this one.",
        ),
        code(
            "TEXT_DATA_OUTSIDE_SUPPORTED_CHARSET",
            Refused,
            "A text holds characters that Salesforce cannot store.",
            FIX_VALUE,
        ),
        code("INVALID_CURRENCY_ISO", Refused, "The org does not know the currency.", FIX_VALUE),
        code("INVALID_DATE_FORMAT", Refused, "A date has a form that Salesforce cannot read.", FIX_VALUE),
        code(
            "UNAVAILABLE_RECORDTYPE_EXCEPTION",
            Refused,
            "The integration user has no record type for the record.",
            ADMIN,
        ),
        code("ENTITY_IS_ARCHIVED", Refused, "The record is archived.", ADMIN),
        code("INVALID_REPLICATION_DATE", Refused, "The span of time asked for is too long ago.", REPORT),
        code(
            "INVALID_FIELD",
            Schema,
            "A mapped field does not exist, or the integration user may not see it.",
            FIX_SCHEMA,
        ),
        code(
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            Schema,
            "A mapped field may not be written by the integration user.",
            FIX_SCHEMA,
        ),
        code("FIELD_NOT_UPDATABLE", Schema, "A mapped field may not be written by the integration user.", FIX_SCHEMA),
        code("INVALID_TYPE", Schema, "The object does not exist, or the integration user may not see it.", FIX_OBJECT),
        code(
            "DUPLICATE_VALUE",
            Duplicate,
            "Another record already holds the unique value.",
            "Nothing; the lead is looked up again. If it comes back, merge the two records in Salesforce.",
        ),
        code(
            "DUPLICATE_EXTERNAL_ID",
            Duplicate,
            "Several records hold the same external ID.",
            "Merge the records in Salesforce and make the field unique.",
        ),
        code(
            "DUPLICATES_DETECTED",
            Duplicate,
            "A duplicate rule of the org recognised an existing record.",
            "Answer the lead's open conflict: whether it is the record that was found, or somebody new.",
        ),
        code("ENTITY_IS_DELETED", Gone, "The record was deleted, or merged into another.", GONE),
        code("NOT_FOUND", Gone, "The record does not exist, or the integration user may not see it.", GONE),
        code("CANNOT_UPDATE_CONVERTED_LEAD", Converted, "The lead was converted in Salesforce.", CONVERTED),
        code("ALL_OR_NONE_OPERATION_ROLLED_BACK", Collateral, "Another record in the same request failed.", LATER),
        code("PROCESSING_HALTED", Collateral, "Another part of the same request failed.", LATER),
        code("BATCH_PROCESSING_HALTED", Collateral, "Another part of the same request failed.", LATER),
        code("API_DISABLED_FOR_ORG", Operator, "The org's edition has no API, or it is switched off.", ADMIN),
        code("API_CURRENTLY_DISABLED", Operator, "The org's API is switched off.", ADMIN),
        code("INSUFFICIENT_ACCESS", Operator, "The integration user may not change this record.", PERMISSION),
        code(
            "INSUFFICIENT_ACCESS_OR_READONLY",
            Operator,
            "The integration user may not change this record.",
            PERMISSION,
        ),
        code(
            "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
            Operator,
            "The integration user may not use a record that this one points to.",
            PERMISSION,
        ),
        code("FUNCTIONALITY_NOT_ENABLED", Operator, "The org does not have the function.", ADMIN),
        code("EXCEEDED_QUOTA", Operator, "A quota of the org is used up.", ADMIN),
        code("LIMIT_EXCEEDED", Operator, "A limit of the org is reached.", ADMIN),
        code("ORG_LOCKED", Operator, "Salesforce has locked the org.", ADMIN),
        code("TRIAL_EXPIRED", Operator, "The org's trial has ended.", ADMIN),
        code(
            "STORAGE_LIMIT_EXCEEDED",
            Operator,
            "The org's storage is full.",
            "Free or buy storage; held leads are tried daily, and at once by a sync or a resync.",
        ),
        code(
            "ENTITY_IS_LOCKED",
            Operator,
            "The record is locked by an approval process.",
            "Finish the approval in Salesforce; then sync the lead.",
        ),
        code("CUSTOM_ENTITY_OR_FIELD_LIMIT", Operator, "The object has as many fields as it may have.", ADMIN),
        code(
            "CUSTOM_FIELD_INDEX_LIMIT_EXCEEDED",
            Operator,
            "The object has as many external IDs as it may have.",
            ADMIN,
        ),
        code("DUPLICATE_DEVELOPER_NAME", Operator, "A field of that name exists already.", FIX_SCHEMA),
        code("METHOD_NOT_ALLOWED", Operator, "Salesforce does not offer what was asked.", REPORT),
        code("UNSUPPORTED_MEDIA_TYPE", Operator, "Salesforce does not read the form of our request.", REPORT),
        code("UNSUPPORTED_API_VERSION", Operator, OLD_VERSION, RAISE_VERSION),
        code("GONE", Operator, OLD_VERSION, RAISE_VERSION),
    ]
};

/// Our own words, for what Salesforce gives no code.
pub(super) const OWN: &[(&str, Remedy)] = &[
    (
        "login_without_user",
        Remedy {
            means: "The app has no Run As user, as whom the client credentials flow acts.",
            todo: "Choose the integration user as Run As in the app's policies (README, step 4); then `leadrelay check`.",
        },
    ),
    (
        "login_not_approved",
        Remedy {
            means: "The user was not admitted to the app, or there is no such user.",
            todo: "In the app's policies let admin approved users in, and give the app to the user's profile or permission set; \
                   compare `username` with the user's, and `url` with the org's; then `leadrelay check`.",
        },
    ),
    (
        "login_audience",
        Remedy {
            means: "The assertion is meant for another kind of org.",
            todo: "Write audience = \"https://login.salesforce.com\" for a production org, \"https://test.salesforce.com\" for a \
                   sandbox; then `leadrelay check`.",
        },
    ),
    (
        "login_expired",
        Remedy {
            means: "The assertion had ended when Salesforce read it: it is good for three minutes.",
            todo: "Set this machine's clock right and keep it so (NTP); it is tried again by itself.",
        },
    ),
    (
        "login_assertion",
        Remedy {
            means: "Salesforce cannot verify the assertion's signature.",
            todo: "Upload the certificate that belongs to `private_key` to the app of this `client_id` (Use digital signatures), and \
                   see that it has not run out; then `leadrelay check`.",
        },
    ),
    (
        "login_inactive_user",
        Remedy {
            means: "The user that leadrelay logs in as is inactive or frozen.",
            todo: "Activate the user in Salesforce, or configure another one; then `leadrelay check`.",
        },
    ),
    (
        "login_address",
        Remedy {
            means: "Salesforce takes no login of this user from this machine's address.",
            todo: "Add the address to the login IP ranges of the user's profile, or relax the app's IP restrictions.",
        },
    ),
    (
        "assertion_unsigned",
        Remedy {
            means: "The private key could not sign the login.",
            todo: "Make another RSA key with a certificate for the app, and configure it.",
        },
    ),
    ("throttled", Remedy { means: "Salesforce gets more calls at once than it takes.", todo: LATER }),
    (
        "no_answer",
        Remedy {
            means: "The request was sent and no answer came; it may have been carried out.",
            todo: "Nothing; the record is read before anything is written again.",
        },
    ),
    (
        "unreachable",
        Remedy {
            means: "Salesforce could not be reached.",
            todo: "Check network, DNS and the login url; leads wait and are tried again by themselves.",
        },
    ),
    (
        "answer_too_large",
        Remedy {
            means: "The answer was larger than any that belongs to our requests.",
            todo: "See what answers under the login url: a proxy in between, or another server.",
        },
    ),
    (
        "answer_unreadable",
        Remedy {
            means: "The answer is not what Salesforce sends, an HTML page for example.",
            todo: "See what answers under the login url: a proxy in between, a maintenance page, or another server.",
        },
    ),
    (
        "http",
        Remedy {
            means: "An HTTP error without a code of Salesforce's: from a server in front of it, or from another one.",
            todo: "If it does not stop, see what answers under the login url; status.salesforce.com tells of outages.",
        },
    ),
    (
        "too_many_matches",
        Remedy {
            means: "More records share the leads' keys than can be compared.",
            todo: "Find the e-mail address or name that very many records share, and exclude those leads.",
        },
    ),
    (
        "object_not_shown",
        Remedy { means: "The object does not exist, or the integration user may not see it.", todo: FIX_OBJECT },
    ),
    (
        "instance_refused",
        Remedy {
            means: "The login sent us to an address without encryption.",
            todo: "Check the login url; only https is accepted beyond this machine.",
        },
    ),
    ("converted", Remedy { means: "The lead was converted in Salesforce.", todo: CONVERTED }),
];
