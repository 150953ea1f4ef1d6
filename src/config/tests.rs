//! The whole reader: defaults, the shipped example, the reference, secrets, and text of any kind.

use std::io;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::ids::LeadKey;
use crate::domain::mapping::{ConflictRule, Direction, FieldType};
use crate::domain::matching::{MatchedBy, OnAmbiguous, OnShared};
use crate::domain::signature::{TokenLocation, TokenRules, VerifyRules};

mod destinations;
mod jwt_bearer;
mod mistakes;

/// The least that a configuration must say.
const LEAST: &str = r#"[sources.klozeo]
preset = "klozeo"
secrets = ["${HOOK_SECRET}"]

[destinations.salesforce]
kind = "salesforce"
login = { flow = "client_credentials", url = "https://example.my.salesforce.com", client_id = "${SF_ID}", client_secret = "${SF_SECRET}" }

[destinations.salesforce.records]
external_id = "Lead_System_Id__c"

[[destinations.salesforce.fields]]
lead = "email"
crm = "Email"
type = "email"
"#;

fn environment(name: &str) -> Option<String> {
    match name {
        "HOOK_SECRET" => Some("  hook-secret-of-the-environment\n".to_owned()),
        "SHORT_SECRET" => Some("hunter2".to_owned()),
        "SF_ID" => Some("consumer-key".to_owned()),
        "SF_SECRET" => Some("consumer-secret-of-the-environment".to_owned()),
        "EMPTY" => Some(" ".to_owned()),
        _ => None,
    }
}

fn file(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("etc/hook.secret") => Ok("hook-secret-of-a-file\n".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(text, Path::new("etc/leadrelay.toml"), &environment, &file)
}

/// [`LEAST`] with `old` replaced by `new`.
fn changed(old: &str, new: &str) -> String {
    assert!(LEAST.contains(old), "{old} is not in the least configuration");
    LEAST.replacen(old, new, 1)
}

fn messages(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

fn source(config: &Config) -> &SourceConfig {
    config.sources.values().next().unwrap()
}

fn destination(config: &Config) -> &DestinationConfig {
    config.destinations.values().next().unwrap()
}

#[test]
fn a_database_on_a_server_is_shown_without_its_password() {
    let shown = |url: &str| {
        let url = ServerUrl::parse(url).unwrap();
        assert_eq!(format!("{url:?}"), url.to_string());
        url.to_string()
    };
    assert_eq!(shown("postgres://app:hunter2@db.example.com:5433/leads?sslmode=require"), "db.example.com:5433/leads");
    assert_eq!(shown("postgresql:///leads?host=/run/postgresql&user=app&password=hunter2"), "/run/postgresql/leads");
}

#[test]
fn what_is_left_out_has_its_documented_default() {
    let config = parse(LEAST).unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.public_url, None);
    assert_eq!(config.server.max_body, 1024 * 1024);
    assert_eq!(config.server.shutdown_grace, seconds(30));
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:8081");
    assert_eq!(config.admin.tokens, []);
    assert_eq!(config.store.url, StoreUrl::Sqlite("leadrelay.db".into()));
    assert!(config.store.migrate && config.store.log_bodies && !config.store.allow_unsafe_server);
    assert_eq!(config.store.retention, seconds(90 * 86_400));
    assert!(source(&config).enabled);
    let destination = destination(&config);
    let DestinationKind::Salesforce(salesforce) = &destination.kind;
    assert_eq!(salesforce.api_version, "v62.0");
    let SalesforceLogin::ClientCredentials { client_id, .. } = &salesforce.login else { panic!("{salesforce:?}") };
    assert_eq!(client_id, "consumer-key");
    assert_eq!(destination.mode, Mode::Live);
    assert_eq!(destination.sources, [SourceName::from("klozeo")]);
    assert_eq!(destination.records.object.as_str(), "Lead");
    assert_eq!(destination.records.external_id_value, ExternalIdTemplate::lead_id());
    let keys = [MatchedBy::ExternalId, MatchedBy::Email, MatchedBy::NameAndCompanyDomain];
    assert_eq!(destination.records.match_by, keys);
    assert_eq!(destination.records.on_ambiguous, OnAmbiguous::Review);
    assert_eq!(destination.records.on_shared, OnShared::Review);
    assert!(destination.records.auto_assign);
    let limits = LimitsConfig {
        calls_per_day: 15_000,
        org_stop: Percent::new(90),
        reserve_for_live: Percent::new(20),
        concurrency: 4.try_into().unwrap(),
        linger: Duration::ZERO,
        timeout: seconds(30),
    };
    assert_eq!(destination.limits, limits);
    let retry = RetryConfig {
        first: seconds(5),
        longest: seconds(15 * 60),
        give_up_after: seconds(3 * 86_400),
        lease: seconds(90),
    };
    assert_eq!(destination.retry, retry);
    let row = destination.fields.first().unwrap();
    assert_eq!((row.direction, row.conflict), (Direction::ToCrm, ConflictRule::LeadWins));
    assert_eq!((row.kind, row.clear), (FieldType::Email, false));
    let alerts = AlertsConfig {
        error_rate: Percent::new(2),
        error_window: seconds(15 * 60),
        queue_depth: 1000,
        retry_age: seconds(30 * 60),
    };
    assert_eq!(config.alerts, alerts);
    assert_eq!(config.warnings(), Vec::<String>::new());
}

#[test]
fn the_shipped_example_is_valid_and_documents_its_defaults_truly() {
    let example = include_str!("../../leadrelay.toml");
    let read =
        |text: &str| Config::parse(text, Path::new("leadrelay.toml"), &|_| None, &file).map_err(|e| e.to_string());
    let shipped = read(example).unwrap();
    assert_eq!(source(&shipped).secrets, [Secret::new("leadrelay-test-secret")]);
    assert_eq!(destination(&shipped).limits.linger, Duration::from_millis(200));
    assert!(destination(&shipped).fields.len() >= 20);
    let warning = "destinations.salesforce.login: talks plain http to http://127.0.0.1:8090/";
    assert_eq!(shipped.warnings(), [warning]);

    // What stands behind `#` is the default: taking all of it in changes nothing but the token, the public address and the
    // filter.
    let all: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') && !setting.is_empty() => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let mut written_out = read(&all).unwrap();
    assert_eq!(written_out.admin.tokens.len(), 1);
    assert!(written_out.server.public_url.is_some());
    written_out.admin.tokens.clear();
    written_out.server.public_url = None;
    for destination in written_out.destinations.values_mut() {
        assert!(destination.filter.take().is_some());
    }
    let (written_out, shipped) = (format!("{written_out:#?}"), format!("{shipped:#?}"));
    let different = written_out.lines().zip(shipped.lines()).find(|(ours, theirs)| ours != theirs);
    assert_eq!(different, None);
    assert_eq!(written_out.lines().count(), shipped.lines().count());
}

#[test]
fn every_documented_key_is_taken_or_named_as_not_built() {
    let not_built = [
        "server.trusted_proxies",
        "sources.klozeo.api.kind",
        "sources.klozeo.api.base_url",
        "sources.klozeo.api.key",
        "destinations.salesforce.lifecycle",
        "alerts.notify",
        "alerts.secret",
        "alerts.silent_source",
    ];
    let text = include_str!("tests/documented.toml");
    let env = |_: &str| Some("a-value-of-the-environment".to_owned());
    let errors = Config::parse(text, Path::new("leadrelay.toml"), &env, &file).unwrap_err();
    let keys: Vec<&str> = errors.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(keys, not_built, "{errors}");
    assert!(errors.iter().all(|error| error.problem.contains("not built yet")), "{errors}");
}

#[test]
fn secrets_come_from_the_environment_and_from_files_beside_the_configuration() {
    let secrets = r#"secrets = ["${HOOK_SECRET}", "${file:hook.secret}", "v2-${HOOK_SECRET}-${SF_ID}"]"#;
    let config = parse(&changed(r#"secrets = ["${HOOK_SECRET}"]"#, secrets)).unwrap();
    let read: Vec<&str> = source(&config).secrets.iter().map(Secret::expose).collect();
    let expected =
        ["hook-secret-of-the-environment", "hook-secret-of-a-file", "v2-hook-secret-of-the-environment-consumer-key"];
    assert_eq!(read, expected);
}

#[test]
fn a_secret_shows_in_no_debug_output_and_in_no_message() {
    let config = parse(LEAST).unwrap();
    let shown = format!("{config:?} {:?}", config.warnings());
    assert!(shown.contains("[redacted]"));
    let broken =
        LEAST.replace("secrets = [", "secrets = [5, \"${SHORT_SECRET}\", ").replace("\"email\"", "\"${SF_SECRET}\"");
    let messages = messages(&broken).join("\n");
    assert!(messages.contains("secret 1 is shorter than 16 bytes"), "{messages}");
    for secret in ["hunter2", "hook-secret", "consumer-secret"] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!messages.contains(secret), "{messages}");
    }
}

#[test]
fn a_preset_gives_way_key_by_key() {
    let own = "preset = \"klozeo\"\nverify.signature_header = \"X-Other\"\nread.types.delete = [\"lead.gone\"]\n\
               read.event_id = \"header:X-Event\"";
    let (config, preset) = (parse(&changed("preset = \"klozeo\"", own)).unwrap(), parse(LEAST).unwrap());
    let (config, preset) = (source(&config), source(&preset));
    let (VerifyRules::Hmac(rules), VerifyRules::Hmac(base)) = (&config.verify, &preset.verify) else {
        panic!("klozeo signs with an HMAC");
    };
    assert_eq!(rules.signature_header, "X-Other");
    assert_eq!(rules.signed_content, base.signed_content);
    assert_eq!(config.read.types.delete, ["lead.gone"]);
    assert_eq!(config.read.types.upsert, preset.read.types.upsert);
    assert_eq!(config.read.lead_id, preset.read.lead_id);
    assert!(config.read.event_id.is_some());
}

#[test]
fn a_custom_source_says_itself_what_a_preset_would() {
    let own = "preset = \"custom\"\nverify = { scheme = \"token\", location = \"header\", name = \"Authorization\", \
               prefix = \"Bearer \" }\nread = { lead_id = \"/id\", version = [\"/changed\"], times = \"rfc3339\" }";
    let config = parse(&changed("preset = \"klozeo\"", own)).unwrap();
    let location = TokenLocation::Header { name: "Authorization".into(), prefix: "Bearer ".into() };
    assert_eq!(source(&config).verify, VerifyRules::Token(TokenRules { location }));
    assert_eq!(source(&config).read.version.len(), 1);
    assert_eq!(source(&config).read.lead, [""]);
}

#[test]
fn every_key_of_reading_can_be_written() {
    let own = "preset = \"generic-query\"\nverify.name = \"key\"\n[sources.klozeo.read]\n\
               bodies = [\"json\", \"form\"]\njson_fields = [\"raw\"]\nlead = [\"/raw\", \"\"]\n\
               lead_id = \"/id | sha256:/raw\"\nfields = { source_name = \"=form\" }\n\
               version = [\"{/day} {/time}\"]\ntimes = \"%d.%m.%Y %H:%M\"\nfield_versions = { score = [\"/scored\"] }\n\
               types = { thin = [\"x\"] }\n\
               attributes = [{ at = \"/hidden\" }, { at = \"/answers\", name = \"/ref | /id\", value = \"/text | /email\", \
               options = { at = \"/options\" } }]";
    let config = parse(&changed(
        "preset = \"klozeo\"\nsecrets = [\"${HOOK_SECRET}\"]",
        &format!("secrets = [\"${{HOOK_SECRET}}\"]\n{own}"),
    ));
    let config = config.unwrap();
    let source = source(&config);
    assert_eq!(source.verify, VerifyRules::Token(TokenRules { location: TokenLocation::Query { name: "key".into() } }));
    let read = &source.read;
    assert!(read.bodies.form && !read.bodies.multipart && read.bodies.json_fields == ["raw"]);
    assert_eq!(
        (read.lead.as_slice(), read.lead_id.to_string()),
        (&["/raw".to_owned(), String::new()][..], "/id | sha256:/raw".into())
    );
    assert_eq!(read.time_pattern.as_deref(), Some("%d.%m.%Y %H:%M"));
    assert_eq!((read.field_versions.len(), read.fields.len(), read.types.thin.len()), (1, 1, 1));
    assert_eq!(read.attributes[0].value.to_string(), "/value");
    assert_eq!(read.attributes[1].name.to_string(), "/ref | /id");
    assert_eq!(read.attributes[1].options.as_ref().map(|options| options.text.as_str()), Some("/text"));
}

#[test]
fn an_external_id_keeps_leads_of_two_sources_apart() {
    let two = format!(
        "{}external_id_value = \"{{source}}:{{lead_id}}\"\n{}\n[sources.other]\npreset = \"klozeo\"\nsecrets = [\"${{HOOK_SECRET}}\"]\n",
        &LEAST.split_inclusive("__c\"\n").next().unwrap(),
        &LEAST.split_inclusive("__c\"\n").nth(1).unwrap(),
    );
    let config = parse(&two).unwrap();
    let records = &destination(&config).records;
    assert_eq!(records.external_id_value.value_for(&LeadKey::new("other", "cl_1")), "other:cl_1");
    assert_eq!(records.external_id_value.value_for(&LeadKey::new("other", "cl_1 \u{a0}")), "other:cl_1");
    assert_eq!(destination(&config).sources.len(), 2);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leadrelay.toml");
    let message = |path: &Path| Config::load(path, &environment).unwrap_err().to_string();
    let remedy = "write this file, or name another with --config";
    let shown = path.display();
    let expected = format!("{shown}: the configuration cannot be read: {shown} does not exist; {remedy}");
    assert_eq!(message(&path), expected);
    fs::write(&path, b"[server]\nlisten = \"\xff\"\n").unwrap();
    let expected = format!("{}:2: the configuration cannot be read: it is not UTF-8; {remedy}", path.display());
    assert_eq!(message(&path), expected);
    fs::write(&path, LEAST).unwrap();
    assert!(Config::load(&path, &environment).is_ok());
}

#[test]
fn a_share_is_exact() {
    assert_eq!(Percent::new(20).of(15_000), 3_000);
    assert_eq!(Percent::new(2).as_fraction(), 0.02);
    assert_eq!(Percent::new(90).to_string(), "90%");
    let config = parse(&format!("{LEAST}[alerts]\nerror_rate = \"0.25%\"\n")).unwrap();
    assert_eq!(config.alerts.error_rate.to_string(), "0.25%");
    assert_eq!(config.alerts.error_rate.of(10_000), 25);
}

/// Pieces that TOML and our own notations are made of, so that chance comes near to sense.
fn piece() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "[",
        "]",
        "[[",
        "]]",
        "=",
        "\n",
        "\"",
        "'",
        "{",
        "}",
        ",",
        ".",
        "${",
        "${HOOK_SECRET}",
        "${file:",
        "#",
        "sources",
        "destinations",
        "a",
        "fields",
        "preset",
        "\"klozeo\"",
        "secrets",
        "match",
        "9999999999999999999d",
        "-1",
        "0x1f",
        "1e400",
        "true",
        "1979-05-27",
        "\"%\"",
        "\"{\"",
        "é",
        "\u{feff}",
        "\0",
        "types",
        "values",
        "format",
        "\"%9999d\"",
    ]);
    prop_oneof![known.prop_map(str::to_owned), any::<String>()]
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(pieces in prop::collection::vec(piece(), 0..40)) {
        let _ = parse(&pieces.concat());
    }

    #[test]
    fn no_value_anywhere_makes_the_reader_panic(line in 0usize..15, value in piece()) {
        let broken: String = LEAST
            .lines()
            .enumerate()
            .map(|(index, text)| match text.split_once(" = ") {
                Some((key, _)) if index == line => format!("{key} = {value}\n"),
                _ => format!("{text}\n"),
            })
            .collect();
        let _ = parse(&broken);
    }
}
