//! Mistakes in destinations, their records and their mapping rows.

use super::mistakes::{check, check_added};
use super::{LEAST, changed, destination, messages, parse};
use crate::domain::mapping::Computed;

#[test]
fn a_crm_is_reached_safely() {
    check(
        "https://example.my.salesforce.com",
        "http://example.my.salesforce.com",
        "7: destinations.salesforce.login.url: plain http:// would send credentials and leads in the clear; write \
         https://; http:// is for loopback addresses only",
    );
    for loopback in ["http://127.0.0.1:8090", "http://[::1]:8090", "http://localhost:8090"] {
        assert!(parse(&changed("https://example.my.salesforce.com", loopback)).is_ok(), "{loopback}");
    }
    check(
        "https://example",
        "https://ops:hunter2@example",
        "7: destinations.salesforce.login.url: must not hold a user name or password; write an address such as \
         \"https://example.com\"",
    );
    check(
        "salesforce.com",
        "salesforce.com/services",
        "7: destinations.salesforce.login.url: must have no path; write the address only, \
         https://example.my.salesforce.com",
    );
    check(
        "client_credentials",
        "refresh_token",
        "7: destinations.salesforce.login.flow: \"refresh_token\" is not built yet; write \"client_credentials\" or \
         \"jwt_bearer\"",
    );
    check(
        "client_id =",
        "audience = \"https://login.salesforce.com\", client_id =",
        "7: destinations.salesforce.login.audience: is for flow = \"jwt_bearer\"; leave it out, or change the flow",
    );
    check(
        ", client_secret = \"${SF_SECRET}\"",
        "",
        "7: destinations.salesforce.login.client_secret: is missing; write the connected app's consumer secret",
    );
}

#[test]
fn a_destination_fits_its_sources_and_its_limits() {
    check(
        "kind = \"salesforce\"",
        "kind = \"hubspot\"",
        "6: destinations.salesforce.kind: \"hubspot\" is not built yet; write \"salesforce\"",
    );
    check(
        "kind = \"salesforce\"",
        "kind = \"salesforce\"\nsources = [\"klozeo\", \"web\"]",
        "7: destinations.salesforce.sources[2]: there is no source \"web\"; the sources are: klozeo",
    );
    check_added(
        "[sources.other]\npreset = \"klozeo\"\nsecrets = [\"${HOOK_SECRET}\"]\n",
        "9: destinations.salesforce.records.external_id_value: leads of several sources could get the same key; write \
         \"{source}:{lead_id}\", or name one source in `sources`; records of linked leads get the new key by a resync",
    );
    let lease = "the lease must be at least twice `limits.timeout`; lengthen `retry.lease` or shorten `limits.timeout`";
    check_added(
        "[destinations.salesforce.limits]\ntimeout = \"60s\"\n",
        &format!("17: destinations.salesforce.limits.timeout: {lease}"),
    );
    check_added(
        "[destinations.salesforce.retry]\nlease = \"59s\"\n",
        &format!("17: destinations.salesforce.retry.lease: {lease}"),
    );
    check_added(
        "[destinations.salesforce.retry]\nlongest = \"1s\"\n",
        "17: destinations.salesforce.retry.longest: is shorter than `first`; make it at least as long",
    );
    check_added(
        "[destinations.salesforce.limits]\nconcurrency = 0\n",
        "17: destinations.salesforce.limits.concurrency: 0 is out of bounds; write a number from 1 to 100",
    );
}

#[test]
fn the_record_of_a_lead_is_told_by_a_key_of_its_own() {
    let check_records = |settings: &str, expected: &str| {
        let old = "\"Lead_System_Id__c\"\n";
        check(old, &format!("{old}{settings}\n"), &format!("11: destinations.salesforce.records.{expected}"));
    };
    let remedy = "write text with {lead_id} and, if you like, {source}, such as \"{source}:{lead_id}\"";
    check_records(
        "external_id_value = \"lead\"",
        &format!("external_id_value: gives every lead the same key; {remedy}"),
    );
    check_records(
        "external_id_value = \"{id}\"",
        &format!("external_id_value: \"{{id}}\" cannot be filled in; {remedy}"),
    );
    check_records("match = [\"external_id\", \"email\", \"email\"]", "match: names a key twice; write each key once");
    check_records("object = \"lead\"", "object: \"lead\" is not known here; did you mean \"Lead\"?");
    check_records("object = \"Account\"", "object: \"Account\" is not known here; write \"Lead\" or \"Contact\"");
    check_records(
        "company_by_contacts = true",
        "company_by_contacts: says nothing while `company` is \"inline\"; write company = \"account\", or leave it out",
    );
    check_records(
        "duplicate_rule = \"save\"",
        "duplicate_rule: \"save\" is not known here; write \"review\" or \"allow\"",
    );
    check_records(
        "on_delete = \"gone\"",
        "on_delete: \"gone\" is not known here; write \"ignore\", \"flag\" or \"delete\"",
    );
    check_records(
        "on_crm_delete = \"delete\"",
        "on_crm_delete: \"delete\" is not known here; write \"hold\", \"unlink\", \"recreate\" or \"review\"",
    );
    check_records(
        "delete_flag = \"Gone__c\"",
        "delete_flag: is used with on_delete = \"flag\" only; write that, or leave this key out",
    );
    check_records(
        "delete_flag = \"Lead_System_Id__c\"\non_delete = \"flag\"",
        "delete_flag: is the field that holds our key; write the API name of a checkbox, date, date and time or text \
         field, such as \"Deleted_In_Source__c\"",
    );
    check_records(
        "note_field = \"Notes__c\"",
        "note_field: is for unmapped = \"note\"; write unmapped = \"note\", or leave it out",
    );
    check(
        "external_id = \"Lead_System_Id__c\"\n",
        "external_id = \"Lead_System_Id__c\"\nunmapped = \"note\"\n",
        "9: destinations.salesforce.records.note_field: is missing; write the API name of a long text field, such as \"Lead_Attributes__c\"",
    );
    check_records("unmapped = \"keep\"", "unmapped: \"keep\" is not known here; write \"drop\", \"note\" or \"error\"");
    check(
        "\"Lead_System_Id__c\"",
        "\"Id' OR Name != '\"",
        "10: destinations.salesforce.records.external_id: \"Id' OR Name != '\" is no API name; write the name that the \
         CRM's setup shows, such as \"Email\" or \"Lead_Score__c\"",
    );
}

#[test]
fn a_mapping_row_says_one_thing_and_fits_its_type() {
    let check_row = |settings: &str, expected: &str| {
        let old = "type = \"email\"\n";
        check(old, &format!("{old}{settings}\n"), &format!("16: destinations.salesforce.fields[1].{expected}"));
    };
    check_row("direction = \"both\"", "direction: \"both\" is not built yet; write \"to_crm\" or \"none\"");
    check_row(
        "conflict = \"merge\"",
        "conflict: \"merge\" is for lists only; write type = \"multi_picklist\", or another rule",
    );
    check_row(
        "enforce = true\nconflict = \"review\"",
        "enforce: sets edits in the CRM back, but conflict = \"review\" lets them count; \
         write conflict = \"lead_wins\", or leave `enforce` out",
    );
    check_row("country = \"FR\"", "country: is for phones only; write type = \"phone\", or leave it out");
    check_row(
        "format = \"unix_s\"",
        "format: is for dates only; write type = \"date\" or \"datetime\", or leave it out",
    );
    check_row(
        "default = \"nobody\"",
        "default: \"nobody\" does not fit the type; write an address such as \"a@example.com\"",
    );
    check_row(
        "on = [\"Campaign\"]",
        "on[1]: \"Campaign\" is not known here; write \"Lead\", \"Contact\", \"Account\" or \"Opportunity\"",
    );
    check_row(
        "values = { a = \"b\" }",
        "values: are for picklists and text only; write type = \"picklist\" or \"multi_picklist\", or leave it out",
    );
    check_row("on = []", "on: is empty, so the row applies to nothing; name an object, or leave `on` out");
    let check_type = |row: &str, expected: &str| {
        check("type = \"email\"\n", &format!("{row}\n"), &format!("15: destinations.salesforce.fields[1].{expected}"));
    };
    check_type(
        "clear = true\ntype = \"owner\"",
        "clear: a record is never without an owner; leave it out: a blank leaves the owner as it is",
    );
    check_type(
        "default = \"Sam\"\ntype = \"owner\"",
        "default: \"Sam\" does not fit the type; write an address such as \"a@example.com\"",
    );
    check_type(
        "type = \"string\"",
        "type: \"string\" is not known here; write \"text\", \"email\", \"phone\", \"url\", \
         \"number\", \"integer\", \"currency\", \"percent\", \"boolean\", \"date\", \"datetime\", \"picklist\", \
         \"multi_picklist\" or \"owner\"",
    );
    check_type(
        "format = \"%d/%Q\"\ntype = \"date\"",
        "format: \"%d/%Q\" is no way to write dates; write \"unix_s\", \"unix_ms\", \"rfc3339\" or a pattern such as \
         \"%d/%m/%Y\"",
    );
    check_type(
        "default = \"soon\"\ntype = \"date\"",
        "default: \"soon\" does not fit the type; write a date such as \"2026-01-31\"",
    );
    check_type(
        "default = 1.5\ntype = \"integer\"",
        "default: 1.5 does not fit the type; write a whole number such as 0",
    );
    check_type(
        "country = \"France\"\ntype = \"phone\"",
        "country: \"France\" is no country code; write its ISO 3166 code, such as \"FR\"",
    );
    assert!(parse(&changed("type = \"email\"", "type = \"integer\"\ndefault = 7")).is_ok());
    assert!(parse(&changed("type = \"email\"", "type = \"date\"\nformat = \"%d/%m/%Y\"")).is_ok());
}

#[test]
fn rows_for_companies_and_the_setting_that_they_belong_to_go_together() {
    let account =
        "[[destinations.salesforce.fields]]\nlead = \"org\"\ncrm = \"Name\"\ntype = \"text\"\non = [\"Account\"]\n";
    check_added(
        account,
        "12: destinations.salesforce.fields: Name has a row for Account, and records.company is \"inline\"; write company = \
         \"account\" or \"match_only\" in `records`, or leave Account out of the row's `on`",
    );
    let key = "external_id = \"Lead_System_Id__c\"\n";
    let with = |company: &str, rows: &str| changed(key, &format!("{key}company = \"{company}\"\n")) + rows;
    let with_companies = |rows: &str| with("account", rows);
    assert_eq!(
        messages(&with_companies("")),
        ["etc/leadrelay.toml:13: destinations.salesforce.fields: no row says what a company is called, which \
          records.company = \"account\" needs; write a row with crm = \"Name\", on = [\"Account\"]"]
    );
    assert!(parse(&with_companies(account)).is_ok());
    // One that is only looked for may be known by its domain alone.
    assert_eq!(messages(&with("match_only", "")), [""; 0]);
}

#[test]
fn rows_of_what_many_people_share_may_have_any_rule_and_keep_what_is_there_if_they_have_none() {
    let key = "external_id = \"Lead_System_Id__c\"\n";
    let rule = |on: &str, more: &str| {
        let row = format!(
            "[[destinations.salesforce.fields]]\nlead = \"tags\"\ncrm = \"Tags__c\"\ntype = \"multi_picklist\"\non = [{on}]\n"
        );
        let text = changed(key, &format!("{key}company = \"match_only\"\n")) + &row + more;
        destination(&parse(&text).unwrap_or_else(|errors| panic!("{on} {more}: {errors}"))).fields[1].conflict.as_str()
    };
    for shared in ["\"Account\"", "\"Opportunity\"", "\"Account\", \"Opportunity\""] {
        for written in ["lead_wins", "crm_wins", "latest_wins", "review", "merge"] {
            assert_eq!(rule(shared, &format!("conflict = \"{written}\"\n")), written);
        }
        assert_eq!(rule(shared, ""), "crm_wins", "of {shared} only blanks are filled");
        assert_eq!(rule(shared, "enforce = true\n"), "crm_wins");
    }
    assert_eq!(rule("\"Account\", \"Lead\"", ""), "lead_wins");
}

#[test]
fn a_record_is_looked_for_by_our_own_key_first_whatever_else_is_written() {
    use crate::domain::matching::MatchedBy::{Email, ExternalId, NameAndCompanyDomain};
    let key = "external_id = \"Lead_System_Id__c\"\n";
    let told = "destinations.salesforce.records.match: a record is looked for by its external ID first, wherever that stands; \
                write \"external_id\" as the first key";
    for (written, keys, warnings) in [
        ("\"external_id\", \"email\"", &[ExternalId, Email][..], &[][..]),
        ("\"email\"", &[ExternalId, Email], &[told]),
        ("\"email\", \"external_id\"", &[ExternalId, Email], &[told]),
        (
            "\"name_and_company_domain\", \"external_id\", \"email\"",
            &[ExternalId, NameAndCompanyDomain, Email],
            &[told],
        ),
        ("", &[ExternalId], &[told]),
    ] {
        let config = parse(&changed(key, &format!("{key}match = [{written}]\n"))).unwrap();
        assert_eq!(destination(&config).records.match_by, keys, "{written}");
        assert_eq!(config.warnings(), warnings, "{written}");
    }
}

#[test]
fn two_rows_never_write_one_field() {
    let row = "[[destinations.salesforce.fields]]\nlead = \"mail\"\ncrm = \"email\"\ntype = \"text\"\n";
    check_added(
        row,
        "18: destinations.salesforce.fields[2].crm: email of Lead has a row in line 12 already; keep one of the two rows",
    );
    assert!(parse(&format!("{LEAST}{row}direction = \"none\"\n")).is_ok());
    check_added(
        &row.replace("\"email\"", "\"Lead_System_Id__c\""),
        "18: destinations.salesforce.fields[2].crm: is the external ID, which leadrelay writes itself; leave this row out",
    );
    let rowless = LEAST.split("[[destinations").next().unwrap();
    assert_eq!(
        messages(rowless),
        ["etc/leadrelay.toml:5: destinations.salesforce.fields: has no row, so nothing would be written; write one \
          [[…fields]] for each CRM field"]
    );
}

#[test]
fn an_expression_is_read_with_the_configuration() {
    let check_value = |value: &str, expected: &str| {
        check(
            "lead = \"email\"\n",
            &format!("value = {value}\n"),
            &format!("13: destinations.salesforce.fields[1].value: {expected}"),
        );
    };
    check_value("'lower(email)'", "character 1: there is no function lower(); did you mean lowerAscii()?");
    check_value(
        "\"\"\"\nemail +\n\"\"\"",
        "line 2, character 1: the end stands here; expected: a value, such as a field, a number or a text in quotes",
    );
    check(
        "lead = \"email\"\n",
        "lead = \"email\"\nvalue = 'email'\n",
        "13: destinations.salesforce.fields[1].lead: stands beside `value`; keep one of the two",
    );
    check(
        "kind = \"salesforce\"\n",
        "kind = \"salesforce\"\nfilter = 'score >= '\n",
        "7: destinations.salesforce.filter: character 10: the end stands here; expected: a value, such as a field, a \
         number or a text in quotes",
    );
    let written = "kind = \"salesforce\"\nfilter = 'score >= 20.0 && !(\"spam\" in tags)'\n";
    let config = parse(&changed("kind = \"salesforce\"\n", written)).unwrap();
    let filter = config.destinations[&"salesforce".into()].filter.as_ref().unwrap();
    assert_eq!(filter.source(), "score >= 20.0 && !(\"spam\" in tags)");
    assert_eq!(filter.reads().iter().map(String::as_str).collect::<Vec<_>>(), ["score", "tags"]);
}

#[test]
fn attributes_without_a_row_get_a_row_of_their_own_where_the_note_is_asked_for() {
    let external = "external_id = \"Lead_System_Id__c\"\n";
    let noted = |field: &str| format!("{external}unmapped = \"note\"\nnote_field = \"{field}\"\n");
    let config = parse(&changed(external, &noted("Notes__c"))).unwrap();
    let rows = &config.destinations[&"salesforce".into()].fields;
    let last = rows.last().unwrap();
    assert_eq!((last.crm.as_str(), last.lead.as_str(), rows.len()), ("Notes__c", "attributes.*", 2));
    let Some(Computed::Unmapped(covered)) = &last.computed else { panic!("{last:?}") };
    assert!(covered.holds("email") && !covered.holds("attributes.size"));
    assert_eq!(last.on, ["Lead".into()]);
    let of_contacts = noted("Notes__c")
        + "[[destinations.salesforce.fields]]\nlead = \"phone\"\ncrm = \"Phone\"\ntype = \"phone\"\non = [\"Contact\", \"Opportunity\"]\n";
    let config = parse(&changed(external, &of_contacts)).unwrap();
    let on = &config.destinations[&"salesforce".into()].fields.last().unwrap().on;
    assert_eq!(*on, ["Lead".into(), "Contact".into()], "wherever people are written");
    let twice = parse(&changed(external, &noted("email"))).unwrap_err().to_string();
    assert!(twice.contains("fields[1].crm: is `records.note_field` already"), "{twice}");
}
