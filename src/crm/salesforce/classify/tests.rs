use proptest::prelude::*;
use serde_json::json;

use super::*;

fn error(code: &str, message: &str, fields: &[&str]) -> ApiError {
    let fields = fields.iter().map(|field| (*field).to_owned()).collect();
    ApiError { code: code.into(), message: message.into(), fields, duplicate: None }
}

/// The verdict's name and its code.
fn verdict(error: &CrmError) -> String {
    let name = format!("{error:?}");
    name.split([' ', '{']).next().unwrap_or_default().to_owned()
}

/// The contract page's table, code by code: `class: codes`.
const TABLE: &str = "
Unauthorised: INVALID_SESSION_ID INVALID_AUTH_HEADER INVALID_LOGIN CLIENT_NOT_ACCESSIBLE_FOR_USER
Unauthorised: LOGIN_MUST_USE_SECURITY_TOKEN LOGIN_DURING_RESTRICTED_DOMAIN LOGIN_DURING_RESTRICTED_TIME LOGIN_CHALLENGE_ISSUED
Unauthorised: LOGIN_CHALLENGE_PENDING LOGIN_SOMETHING_NEW
Throttled: LOGIN_RATE_EXCEEDED
BudgetSpent: REQUEST_LIMIT_EXCEEDED
Unavailable: SERVER_UNAVAILABLE UNABLE_TO_LOCK_ROW REQUEST_RUNNING_TOO_LONG QUERY_TIMEOUT TOO_MANY_APEX_REQUESTS UNKNOWN_EXCEPTION
Unavailable: INTERNAL_ERROR FUNCTIONALITY_TEMPORARILY_UNAVAILABLE INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE
Unavailable: ORG_IN_MAINTENANCE INVALID_QUERY_LOCATOR COLLISION_DETECTED RECORD_IN_USE_BY_WORKFLOW QUERY_TOO_COMPLICATED
Changed: ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE PRECONDITION_FAILED
Unavailable: EXCEEDED_ID_LIMIT INVALID_BATCH_SIZE EXCEEDED_MAX_SIZE_REQUEST TOO_MANY_RECORDS
Operator: API_DISABLED_FOR_ORG API_CURRENTLY_DISABLED INSUFFICIENT_ACCESS INSUFFICIENT_ACCESS_OR_READONLY
Operator: INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY FUNCTIONALITY_NOT_ENABLED EXCEEDED_QUOTA LIMIT_EXCEEDED ORG_LOCKED
Operator: TRIAL_EXPIRED STORAGE_LIMIT_EXCEEDED CUSTOM_ENTITY_OR_FIELD_LIMIT CUSTOM_FIELD_INDEX_LIMIT_EXCEEDED ENTITY_IS_LOCKED
Operator: DUPLICATE_DEVELOPER_NAME METHOD_NOT_ALLOWED UNSUPPORTED_MEDIA_TYPE UNSUPPORTED_API_VERSION GONE
Refused: REQUIRED_FIELD_MISSING FIELD_CUSTOM_VALIDATION_EXCEPTION FIELD_INTEGRITY_EXCEPTION FIELD_FILTER_VALIDATION_EXCEPTION
Refused: CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY CANNOT_EXECUTE_FLOW_TRIGGER FLOW_EXCEPTION INVALID_TYPE_ON_FIELD_IN_RECORD
Refused: STRING_TOO_LONG INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST INVALID_EMAIL_ADDRESS NUMBER_OUTSIDE_VALID_RANGE
Refused: JSON_PARSER_ERROR MALFORMED_ID MALFORMED_QUERY INVALID_CROSS_REFERENCE_KEY INACTIVE_OWNER_OR_USER
Refused: TEXT_DATA_OUTSIDE_SUPPORTED_CHARSET INVALID_CURRENCY_ISO INVALID_DATE_FORMAT UNAVAILABLE_RECORDTYPE_EXCEPTION
Refused: ENTITY_IS_ARCHIVED INVALID_REPLICATION_DATE
SchemaDrift: INVALID_FIELD INVALID_FIELD_FOR_INSERT_UPDATE FIELD_NOT_UPDATABLE INVALID_TYPE
Duplicate: DUPLICATE_VALUE DUPLICATE_EXTERNAL_ID DUPLICATES_DETECTED
Gone: ENTITY_IS_DELETED NOT_FOUND
Converted: CANNOT_UPDATE_CONVERTED_LEAD
Collateral: ALL_OR_NONE_OPERATION_ROLLED_BACK PROCESSING_HALTED BATCH_PROCESSING_HALTED
Unfamiliar: SOMETHING_NEW
";

fn table() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = TABLE.lines().filter_map(|line| line.split_once(": "));
    lines.flat_map(|(class, codes)| codes.split(' ').map(move |code| (class, code)))
}

#[test]
fn every_code_of_the_contract_page_has_its_verdict() {
    for (class, code) in table() {
        let found = classify(400, None, &[error(code, "some text", &[])]);
        assert_eq!(verdict(&found), class, "{code}");
    }
}

#[test]
fn every_code_that_the_table_knows_is_on_the_contract_page_or_a_login_error() {
    for known in CODES {
        let login = [
            "INVALID_GRANT",
            "INVALID_CLIENT",
            "INVALID_CLIENT_ID",
            "UNSUPPORTED_GRANT_TYPE",
            "APP_NOT_FOUND",
            "INVALID_REQUEST",
        ];
        assert!(login.contains(&known.name) || table().any(|(_, code)| code == known.name), "{}", known.name);
        assert_eq!(CODES.iter().filter(|other| other.name == known.name).count(), 1, "{}", known.name);
    }
}

#[test]
fn text_decides_only_where_the_code_says_too_little() {
    let check = |code: &str, message: &str, expected: &str| {
        assert_eq!(verdict(&classify(403, None, &[error(code, message, &[])])), expected, "{message}");
    };
    check("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", "BudgetSpent");
    check("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", "Throttled");
    check("REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.", "Throttled");
    check("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: System.DmlException: UNABLE_TO_LOCK_ROW, unable", "Unavailable");
    check(
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "T: System.LimitException: Too many SOQL queries: 101",
        "Unavailable",
    );
    check("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: phone is required", "Refused");
    check("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", "Gone");
    check("INVALID_CROSS_REFERENCE_KEY", "Owner ID: owner cannot be blank", "Refused");
    let in_german = error("INVALID_CROSS_REFERENCE_KEY", "ung\u{fc}ltige Querverweis-ID", &[]);
    assert_eq!(verdict(&classify(404, None, &[in_german])), "Gone", "a record with an address of its own");
}

#[test]
fn a_status_without_code_has_the_safe_verdict() {
    let check = |status: u16, expected: &str| assert_eq!(verdict(&classify(status, None, &[])), expected, "{status}");
    check(300, "Duplicate");
    check(302, "Unavailable");
    check(401, "Unauthorised");
    check(404, "Unfamiliar");
    check(412, "Changed");
    check(420, "Unavailable");
    check(429, "Throttled");
    check(500, "Unavailable");
    check(503, "Unavailable");
    assert_eq!(verdict(&classify(500, None, &[error("BRAND_NEW", "", &[])])), "Unavailable");
    assert_eq!(classify(412, None, &[error("BRAND_NEW", "", &[])]), CrmError::Changed { code: "BRAND_NEW".into() });
    assert_eq!(verdict(&classify(412, None, &[error("BATCH_PROCESSING_HALTED", "", &[])])), "Collateral");
    assert_eq!(verdict(&classify(500, None, &[error("UNABLE_TO_LOCK_ROW", "", &[])])), "Unavailable");
}

#[test]
fn a_rate_refusal_keeps_how_long_to_wait() {
    let wait = Some(Duration::from_secs(90));
    assert_eq!(classify(429, wait, &[error("WHATEVER", "", &[])]), CrmError::throttled(wait));
}

#[test]
fn of_several_errors_the_worst_counts_and_all_their_fields() {
    let errors = [
        error("UNABLE_TO_LOCK_ROW", "", &[]),
        error("STRING_TOO_LONG", "First", &["FirstName"]),
        error("INVALID_EMAIL_ADDRESS", "Email", &["Email", "FirstName"]),
    ];
    let CrmError::Refused { fields, .. } = classify(400, None, &errors) else { panic!("not refused") };
    assert_eq!(fields, [FieldName::new("FirstName"), FieldName::new("Email")]);
}

#[test]
fn a_missing_field_is_named() {
    let missing = |message: &str, fields: &[&str]| match classify(400, None, &[error("INVALID_FIELD", message, fields)])
    {
        CrmError::SchemaDrift { field, .. } => field.map(|field| field.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        missing("\nSELECT Foo__c FROM Lead\n^\nNo such column 'Foo__c' on entity 'Lead'.", &[]).as_deref(),
        Some("Foo__c")
    );
    // The lead's name stands in quotes before the column's.
    let repeated = "\nWHERE Email IN ('No such column 'x','ada@lovelace.example')\n      ^\nERROR at Row:1:Column:112\n\
                    No such column 'Email' on entity 'Contact'. If you are attempting to use a custom field, be sure to";
    assert_eq!(missing(repeated, &[]).as_deref(), Some("Email"));
    assert_eq!(missing("no quotes here", &["Bar__c"]).as_deref(), Some("Bar__c"));
    assert_eq!(missing("a 'quoted sentence'", &[]), None);
    assert_eq!(missing("no quotes here", &[]), None);
}

#[test]
fn the_query_with_peoples_data_is_no_part_of_the_text() {
    let told = |code: &str, message: &str| classify(400, None, &[error(code, message, &[])]).to_string();
    let query = "\nWHERE Email IN ('ada@lovelace.example')\n      ^\nERROR at Row:1:Column:112\n";
    let drift = told("INVALID_FIELD", &format!("{query}No such column 'Email' on entity 'Contact'."));
    let expected =
        "the CRM does not let us use the field Email (INVALID_FIELD): No such column 'Email' on entity 'Contact'.";
    assert_eq!(drift, expected);
    for code in ["MALFORMED_QUERY", "INVALID_TYPE", "SOMETHING_NEW"] {
        let told = told(code, &format!("{query}unexpected token"));
        assert!(!told.contains("ada@") && told.ends_with("unexpected token"), "{told}");
    }
    let older = told(
        "INVALID_FIELD",
        "\nSELECT Foo__c FROM Lead WHERE Email IN ('ada@lovelace.example')\n^\nNo such column 'Foo__c'",
    );
    assert!(!older.contains("ada@"), "{older}");
    let rule = told("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Line one\nline two");
    assert!(rule.ends_with("Line one\nline two"), "{rule}");
}

/// The records that are there already, the rules that found them, and whether one blocks.
fn all(errors: &[ApiError]) -> (Vec<String>, Option<String>, bool) {
    match classify(400, None, errors) {
        CrmError::Duplicate { records, rule, blocks, .. } => {
            let told = |record: RecordRef| format!("{} {}", record.object, record.id);
            (records.into_iter().map(told).collect(), rule, blocks)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_field_whose_value_another_record_holds_is_read() {
    #[track_caller]
    fn check(message: &str, listed: &[&str], expected: &[&str]) {
        let CrmError::Duplicate { fields, .. } = classify(400, None, &[error("DUPLICATE_VALUE", message, listed)])
        else {
            panic!("{message}")
        };
        assert_eq!(fields.iter().map(FieldName::as_str).collect::<Vec<_>>(), expected, "{message}");
    }
    let named = "duplicate value found: Ext__c duplicates value on record with id: 00Q5g00000KabcD";
    check(named, &[], &["Ext__c"]);
    check("duplicate value found: <unknown> duplicates value on record with id: <unknown>", &[], &[]);
    check("There is such a value already", &["Ext__c"], &["Ext__c"]);
}

#[test]
fn the_records_that_are_there_already_are_read() {
    let of = |errors: &[ApiError]| all(errors).0.pop();
    let text = "duplicate value found: Ext__c duplicates value on record with id: 00Q5g00000KabcD";
    assert_eq!(of(&[error("DUPLICATE_VALUE", text, &[])]).map(|told| told.len()), Some("Lead ".len() + 18));
    assert_eq!(of(&[error("DUPLICATE_VALUE", "duplicate value found: <unknown>", &[])]), None);
    let body = br#"[{"duplicateResut":{"allowSave":true,"matchResults":[{"entityType":"Contact","matchRecords":[
        {"matchConfidence":100.0,"record":{"attributes":{"type":"Contact"},"Id":"0035g00000AbCdEAAV"}}]}]},
        "errorCode":"DUPLICATES_DETECTED","message":"You're creating a duplicate record."}]"#;
    assert_eq!(of(&read_errors(body)).as_deref(), Some("Contact 0035g00000AbCdEAAV"));
    let bare = br#"[{"duplicateResult":{"matchResults":[{"matchRecords":[{"record":{"Id":"0015g00000AbCdEAAV"}}]}]},
        "errorCode":"DUPLICATES_DETECTED","message":"m"}]"#;
    assert_eq!(of(&read_errors(bare)).as_deref(), Some("Account 0015g00000AbCdEAAV"), "the ID tells the kind");
    let several = br#"[{"duplicateResut":{"allowSave":false,"duplicateRule":"No_Twins","matchResults":[
        {"matchRecords":[{"record":{"attributes":{"type":"Lead"},"Id":"00Q5g00000AbCdEEAV"}},
                         {"record":{"attributes":{"type":"Lead"},"Id":"00Q5g00000FgHiJEAV"}}]},
        {"matchRecords":[{"record":{"attributes":{"type":"Lead"},"Id":"00Q5g00000AbCdEEAV"}},
                         {"record":{"attributes":{"type":"Contact"},"Id":"0035g00000AbCdEAAV"}}]}]},
        "errorCode":"DUPLICATES_DETECTED","message":"m"}]"#;
    let (records, rule, blocks) = all(&read_errors(several));
    assert_eq!(records, ["Lead 00Q5g00000AbCdEEAV", "Lead 00Q5g00000FgHiJEAV", "Contact 0035g00000AbCdEAAV"]);
    assert_eq!((rule.as_deref(), blocks), (Some("No_Twins"), true));
    let (.., blocks) = all(&read_errors(body));
    assert!(!blocks, "an alert may be overruled");
}

#[test]
fn what_each_of_several_rules_found_is_told_together() {
    let of_rule = |rule: &str, save: bool, ids: [&str; 2]| {
        let records = ids.map(|id| format!(r#"{{"record":{{"Id":"{id}"}}}}"#)).join(",");
        format!(
            r#"{{"duplicateResut":{{"allowSave":{save},"duplicateRule":"{rule}","matchResults":[{{"matchRecords":[{records}]}}]}},
                "errorCode":"DUPLICATES_DETECTED","message":"m"}}"#
        )
    };
    let (first, second, both) = ("00Q5g00000AbCdEEAV", "0035g00000AbCdEAAV", "00Q5g00000FgHiJEAV");
    for (saves, blocks) in [([true, true], false), ([true, false], true), ([false, true], true)] {
        let of = [of_rule("Leads", saves[0], [first, both]), of_rule("Contacts", saves[1], [both, second])];
        let told = all(&read_errors(format!("[{}]", of.join(",")).as_bytes()));
        let records = [format!("Lead {first}"), format!("Lead {both}"), format!("Contact {second}")];
        assert_eq!(told, (records.to_vec(), Some("Leads and Contacts".to_owned()), blocks));
    }
}

#[test]
fn both_spellings_of_the_code_are_read_and_no_body_breaks_the_reader() {
    let errors =
        read_errors(br#"[{"statusCode":"STRING_TOO_LONG","message":"m","fields":["LastName"]},{"errorCode":"X"}]"#);
    assert_eq!(errors.iter().map(|error| error.code.as_str()).collect::<Vec<_>>(), ["STRING_TOO_LONG", "X"]);
    for body in ["", "null", "<html><body>Down</body></html>", "{}", "[1]", "[{}]", "\u{0}"] {
        assert_eq!(read_errors(body.as_bytes()), [], "{body}");
    }
}

#[test]
fn login_errors_have_their_verdicts() {
    let check = |status: u16, body: &str, expected: &str| {
        assert_eq!(verdict(&classify_login(status, None, body.as_bytes())), expected, "{body}");
    };
    check(400, r#"{"error":"invalid_grant","error_description":"no client credentials user enabled"}"#, "Unauthorised");
    check(400, r#"{"error":"invalid_client","error_description":"invalid client credentials"}"#, "Unauthorised");
    check(401, r#"{"error":"invalid_client_id"}"#, "Unauthorised");
    check(
        400,
        r#"{"error":"app_not_found","error_description":"External client app is not installed"}"#,
        "Unauthorised",
    );
    check(403, r#"{"error":"LOGIN_RATE_EXCEEDED"}"#, "Throttled");
    check(400, r#"[{"errorCode":"LOGIN_RATE_EXCEEDED","message":"x"}]"#, "Throttled");
    check(503, "<html>", "Unavailable");
    check(200, "<html>", "Unavailable");
    check(429, "", "Throttled");
}

#[test]
fn each_cause_of_an_invalid_grant_has_its_own_remedy() {
    let check = |description: &str, code: &str, todo: &str| {
        let body = json!({"error": "invalid_grant", "error_description": description}).to_string();
        let CrmError::Unauthorised { code: said, detail } = classify_login(400, None, body.as_bytes()) else {
            panic!("{description} is no refused login")
        };
        assert_eq!((said.as_str(), detail), (code, format!("invalid_grant: {description}")));
        assert!(remedy(&said).todo.contains(todo), "{}", remedy(&said).todo);
    };
    check("no client credentials user enabled", "login_without_user", "Run As");
    check("user hasn't approved this consumer", "login_not_approved", "admin approved users");
    check("audience is invalid", "login_audience", "https://test.salesforce.com");
    check("expired authorization code", "login_expired", "clock");
    check("invalid assertion", "login_assertion", "certificate");
    check("inactive user", "login_inactive_user", "Activate the user");
    check("ip restricted", "login_address", "IP ranges");
    check("authentication failure", "invalid_grant", "leadrelay check");
}

#[test]
fn only_an_expired_session_is_worth_a_new_token() {
    let worth = |code: &str, message: &str| is_expired_session(&[error(code, message, &[])]);
    assert!(worth("INVALID_SESSION_ID", "Session expired or invalid"));
    assert!(!worth("INVALID_SESSION_ID", "This session is not valid for use with the REST API"));
    assert!(!worth("INVALID_AUTH_HEADER", ""));
    assert!(!is_expired_session(&[]));
}

proptest! {
    #[test]
    fn no_answer_makes_the_reader_panic(
        status in 100..600u16, body in any::<Vec<u8>>(), code in "[A-Z_]{0,20}", message in any::<String>(), records in 0..3usize,
    ) {
        let errors = [read_errors(&body), vec![error(&code, &message, &[]), error("INVALID_FIELD", &message, &[])]].concat();
        of_the_whole(classify(status, None, &errors), records);
        duplicates_of(&errors[0]);
        classify_login(status, None, &body);
    }
}

#[test]
fn a_batch_refused_as_a_whole_blames_nobody_but_the_one_that_stood_alone() {
    let refused = || classify(400, None, &[error("JSON_PARSER_ERROR", "at 1:20", &[])]);
    assert_eq!(of_the_whole(refused(), 2), CrmError::Collateral { code: "JSON_PARSER_ERROR".into() });
    assert_eq!(of_the_whole(refused(), 1), refused());
    let slow = || classify(400, None, &[error("REQUEST_RUNNING_TOO_LONG", "", &[])]);
    assert_eq!(verdict(&of_the_whole(slow(), 2)), "Collateral");
    assert_eq!(verdict(&of_the_whole(slow(), 1)), "Unavailable");
    let large = || CrmError::Unavailable { code: "answer_too_large".into(), detail: String::new() };
    assert_eq!(verdict(&of_the_whole(large(), 2)), "Collateral");
    assert_eq!(verdict(&of_the_whole(large(), 1)), "Unavailable");
    let drift = || classify(400, None, &[error("INVALID_FIELD", "", &["A"])]);
    assert_eq!(of_the_whole(drift(), 200), drift());
}

#[test]
fn every_code_has_a_meaning_and_a_remedy() {
    let unknown = remedy("SOMETHING_NEW");
    for code in CODES.iter().map(|known| known.name).chain(OWN.iter().map(|(name, _)| *name)) {
        assert_ne!(remedy(code), unknown, "{code}");
        assert!(!remedy(code).means.is_empty() && !remedy(code).todo.is_empty(), "{code}");
    }
}
