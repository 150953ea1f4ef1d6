//! The command line: what it prints, and how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::postgres::Cluster;

const CONFIGURATION: &str = r#"
[sources.klozeo]
preset = "klozeo"
secrets = ["leadrelay-test-secret"]

[destinations.salesforce]
kind = "salesforce"
login = { flow = "client_credentials", url = "http://127.0.0.1:1", client_id = "a", client_secret = "b" }

[destinations.salesforce.records]
external_id = "Lead_System_Id__c"

[[destinations.salesforce.fields]]
lead = "name"
crm = "LastName"
type = "text"
"#;

/// The configuration with its database at this address.
fn at_a_database(url: &str) -> String {
    format!("[store]\nurl = \"{url}\"\n{CONFIGURATION}")
}

fn leadrelay(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadrelay"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    for variable in ["LEADRELAY_CONFIG", "LEADRELAY_LOG", "LEADRELAY_LOG_FORMAT", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command
}

/// A process that is killed when the test ends, however it does.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder with a configuration.
fn folder(configuration: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("leadrelay.toml"), configuration).unwrap();
    folder
}

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    told(leadrelay(folder, arguments).output().unwrap())
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_wrong_configuration_ends_with_2_and_names_every_mistake_with_its_line() {
    let folder =
        folder(&CONFIGURATION.replace("\"text\"", "\"texxt\"").replace("preset = \"klozeo\"", "preset = \"klozoe\""));
    for command in [["serve"].as_slice(), &["check", "--offline"], &["migrate"], &["mapping"]] {
        let (code, out, err) = run(folder.path(), command);
        assert_eq!(code, 2, "{command:?}: {err}");
        assert_eq!(out, "", "{command:?}");
        assert!(err.contains("leadrelay.toml:3: sources.klozeo.preset"), "{err}");
        assert!(err.contains("leadrelay.toml:16: "), "{err}");
    }
    let (code, out, _) = run(folder.path(), &["check", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, report["configuration"]["errors"].as_array().unwrap().len()), (2, 2), "{report}");
}

#[test]
fn a_token_that_is_made_at_start_is_a_result_and_no_log_line() {
    let free = "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    let folder = folder(&format!("{free}{CONFIGURATION}"));
    let served = leadrelay(folder.path(), &["serve"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut serving = Serving(served.unwrap());
    let mut out = BufReader::new(serving.0.stdout.take().unwrap());
    let mut err = serving.0.stderr.take().unwrap();
    let is_token = |line: &str| line.len() == 64 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (found, finds) = std::sync::mpsc::channel();
    let reads_out = std::thread::spawn(move || {
        let token = out.by_ref().lines().map(|line| line.unwrap().trim().to_owned()).find(|line| is_token(line));
        // The test may have given up waiting.
        let _ = found.send(token);
        std::io::copy(&mut out, &mut std::io::sink()).unwrap();
    });
    let reads_err = std::thread::spawn(move || {
        let mut said = String::new();
        err.read_to_string(&mut said).unwrap();
        said
    });
    let token = finds.recv_timeout(std::time::Duration::from_secs(30)).ok().flatten();
    drop(serving);
    reads_out.join().unwrap();
    let logged = reads_err.join().unwrap();
    let token = token.unwrap_or_else(|| panic!("it printed no token, but: {logged}"));
    assert!(!logged.contains(&token), "{logged}");
}

#[test]
fn a_crm_out_of_reach_is_a_finding_and_ends_with_1() {
    let folder = folder(CONFIGURATION);
    assert_eq!(run(folder.path(), &["check", "--offline"]).0, 0);
    let (code, out, _) = run(folder.path(), &["check", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["ok"]), (1, &false.into()));
    let finding = &report["destinations"][0]["findings"][0];
    assert_eq!((&finding["severity"], &finding["subject"]), (&"error".into(), &"login".into()));
    assert!(!finding["remedy"].as_str().unwrap().is_empty());
}

#[test]
fn an_offline_check_looks_at_the_configuration_only() {
    let folder = folder(&at_a_database("postgres://nobody@127.0.0.1:1/nowhere"));
    let (code, out, err) = run(folder.path(), &["check", "--offline"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("Neither a CRM nor the database was asked"), "{out}");
}

#[test]
fn a_database_out_of_reach_is_a_finding_beside_those_of_the_crm() {
    let folder = folder(&at_a_database("postgres://nobody@127.0.0.1:1/nowhere"));
    let (code, out, err) = run(folder.path(), &["check", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    assert_eq!((code, &report["ok"]), (1, &false.into()), "{report}");
    let found = &report["database"][0];
    assert_eq!((&found["severity"], &found["subject"]), (&"error".into(), &"store.url".into()), "{report}");
    assert!(found["remedy"].as_str().unwrap().contains("see whether it runs"), "{report}");
    assert_eq!(report["destinations"][0]["findings"][0]["subject"], "login", "{report}");
    let (code, out, _) = run(folder.path(), &["check"]);
    assert_eq!(code, 1);
    assert!(out.contains("the server cannot be reached") && out.contains("2 errors"), "{out}");
}

#[test]
fn a_check_reads_the_database_without_taking_it_from_a_service() {
    let folder = folder(CONFIGURATION);
    let found = || {
        let (_, out, err) = run(folder.path(), &["check", "--json"]);
        let report: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        let found = report["database"][0].clone();
        (found["severity"].as_str().unwrap().to_owned(), found["finding"].as_str().unwrap().to_owned())
    };
    assert_eq!(found(), ("ok".to_owned(), "there is no database yet; the service makes it".to_owned()));
    assert!(!folder.path().join("leadrelay.db").exists());
    assert_eq!(run(folder.path(), &["migrate"]).0, 0);
    let lock = folder.path().join("leadrelay.db.lock");
    fs::remove_file(&lock).unwrap();
    assert_eq!(found().0, "ok");
    assert!(!lock.exists(), "it was locked");

    let db = rusqlite::Connection::open(folder.path().join("leadrelay.db")).unwrap();
    db.execute("UPDATE _sqlx_migrations SET version = 99 WHERE version = 1", []).unwrap();
    let (severity, finding) = found();
    assert!(severity == "error" && finding.contains("newer than this program"), "{severity}: {finding}");
}

#[test]
fn options_that_make_no_sense_together_end_with_2() {
    let folder = folder(CONFIGURATION);
    for wrong in [["check", "--create-missing", "--offline"].as_slice(), &["check", "--yes"]] {
        assert_eq!(run(folder.path(), wrong).0, 2, "{wrong:?}");
    }
}

#[test]
fn the_sandbox_refuses_to_listen_where_others_could_reach_it() {
    let (code, _, err) = run(Path::new("."), &["sandbox", "--listen", "0.0.0.0:0"]);
    assert_eq!(code, 2);
    assert!(err.contains("loopback"), "{err}");
}

#[test]
fn the_sandbox_names_the_file_that_is_no_certificate() {
    let folder = folder(CONFIGURATION);
    let with = |certificate: &str, key: &str| {
        run(folder.path(), &["sandbox", "--listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key])
    };
    let (code, _, err) = with("absent.pem", "absent.pem");
    assert_eq!(code, 2);
    assert!(err.contains("cannot read absent.pem"), "{err}");
    let (code, _, err) = with("leadrelay.toml", "leadrelay.toml");
    assert_eq!(code, 2);
    assert!(err.contains("there is no certificate in the file"), "{err}");
    let (code, _, err) = run(folder.path(), &["sandbox", "--tls-cert", "leadrelay.toml"]);
    assert_eq!(code, 2);
    assert!(err.contains("--tls-key"), "{err}");
}

#[test]
fn sign_prints_the_header_that_the_source_would_send() {
    let folder = folder(CONFIGURATION);
    let mut command = leadrelay(folder.path(), &["sign", "--source", "klozeo", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{}").unwrap();
    let (code, out, _) = told(child.wait_with_output().unwrap());
    assert_eq!(code, 0);
    // From `printf '{}' | openssl dgst -sha256 -hmac leadrelay-test-secret`.
    assert_eq!(out, "X-Klozeo-Signature: bbefb690973d8ca4a3f23c6f03c3edb733034e51b06c413cc7517265e2595081\n");
    assert_eq!(run(folder.path(), &["sign", "--source", "nobody", "leadrelay.toml"]).0, 2);
}

#[test]
fn a_backup_is_a_database_and_never_takes_the_place_of_a_file() {
    let folder = folder(CONFIGURATION);
    assert_eq!(run(folder.path(), &["backup", "copy.db"]).0, 2, "there is nothing to copy");
    assert_eq!(run(folder.path(), &["migrate"]).0, 0);
    let (code, out, _) = run(folder.path(), &["backup", "copy.db", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, told["file"].as_str(), told["database"].as_str()), (0, Some("copy.db"), Some("leadrelay.db")));
    let copy = fs::read(folder.path().join("copy.db")).unwrap();
    assert!(copy.starts_with(b"SQLite format 3\0"));
    let (code, _, err) = run(folder.path(), &["backup", "copy.db"]);
    assert_eq!(code, 2);
    assert!(err.contains("copy.db exists already"), "{err}");
    assert_eq!(fs::read(folder.path().join("copy.db")).unwrap(), copy);
}

#[test]
fn a_token_that_was_made_is_one_that_the_configuration_takes() {
    let made = run(Path::new("."), &["token", "--name", "ops", "--role", "operator"]).1;
    let (told, _) = made.split_at(made.find("[[admin.tokens]]").unwrap());
    assert!(told.contains("reload") && !told.contains("restart"), "a reload takes tokens: {told}");
    let lines = &made[made.find("[[admin.tokens]]").unwrap()..];
    let folder = folder(&format!("{CONFIGURATION}\n[admin]\nlisten = \"0.0.0.0:8081\"\n{lines}"));
    let (code, _, err) = run(folder.path(), &["check", "--offline"]);
    assert_eq!(code, 0, "{err}");
}

/// What the configuration is warned of, its lead system beside one that sends what its users tell it to.
fn warned_of(configuration: &str) -> Vec<String> {
    warned_by(&["check", "--offline", "--json"], 0, configuration)
}

/// What a check that ends with this code warns of.
fn warned_by(check: &[&str], ends_with: i32, configuration: &str) -> Vec<String> {
    let folder = folder(configuration);
    let (code, out, err) = run(folder.path(), check);
    assert_eq!((code, &*err), (ends_with, ""), "{out}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let told = report["configuration"]["warnings"].as_array().unwrap().iter().map(|told| told.as_str().unwrap());
    told.filter(|told| !told.contains("talks plain http")).map(str::to_owned).collect()
}

fn with_forms(configuration: &str) -> String {
    let forms = "[sources.forms]\npreset = \"generic-header\"\nsecrets = [\"leadrelay-test-secret\"]\n";
    let records = "external_id = \"Lead_System_Id__c\"\nexternal_id_value = \"{source}:{lead_id}\"";
    forms.to_owned() + &configuration.replace("external_id = \"Lead_System_Id__c\"", records)
}

#[test]
fn nobody_guesses_at_fields_that_nobody_can_know_and_what_a_required_field_lacks_is_told() {
    let misspelt = CONFIGURATION.replace("lead = \"name\"", "lead = \"nmae\"\ndefault = \"Unknown\"");
    let told = warned_of(&misspelt);
    assert!(told[0].contains("did you mean \"name\"?"), "{told:?}");
    let lacks = "sources.klozeo: its leads are not known to have \"nmae\", from which destinations.salesforce fills the \
                 required LastName: records without it get \"Unknown\"; if it calls it otherwise, name that in \
                 sources.klozeo.read.fields";
    assert_eq!(told[1..], [lacks]);
    let told = warned_of(&with_forms(&misspelt));
    assert!(!told.iter().any(|told| told.contains("did you mean")), "forms may send it: {told:?}");
    assert!(told.contains(&lacks.to_owned()), "{told:?}");

    // Whether forms has a name is not known before its first event, unless the configuration says so.
    let right = with_forms(&CONFIGURATION.replace("lead = \"name\"", "lead = \"name\"\ndefault = \"Unknown\""));
    let told = warned_of(&right);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("sources.forms: whether its leads have \"name\""), "{told:?}");
    let named = right.replace("[sources.klozeo]", "read.fields = { name = \"/full_name\" }\n[sources.klozeo]");
    assert_eq!(warned_of(&named), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_events_had_is_known_while_the_service_runs() {
    let mut stage = crate::harness::Stage::new().await;
    stage.text = with_forms(&CONFIGURATION.replace("lead = \"name\"", "lead = \"name\"\ndefault = \"Unknown\""));
    let harness = stage.start(|_| {}).await;
    let leadrelay::config::StoreUrl::Sqlite(file) = harness.config().store.url.clone() else { return };
    let token = [("X-Relay-Token", "leadrelay-test-secret"), ("Content-Type", "application/json")];
    let body = br#"{"id":"1","surname":"Lovelace"}"#.to_vec();
    assert_eq!(harness.post_to("/webhooks/forms", &token, body).await.0, 202);
    harness.settled().await;
    let store = format!("[store]\nurl = \"sqlite://{}\"\n", file.display());
    let configuration = store + &with_forms(&CONFIGURATION.replace("\"name\"", "\"name\"\ndefault = \"Unknown\""));
    // The CRM is out of reach, and the database is asked all the same.
    let told = warned_by(&["check", "--json"], 1, &configuration);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("sources.forms: its leads are not known to have \"name\""), "{told:?}");
    let folder = folder(&configuration);
    let (code, out, err) = run(folder.path(), &["mapping", "--offline", "--format", "csv"]);
    assert_eq!((code, &*err, out.contains("surname")), (0, "", true), "{out}");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_whose_keys_were_formed_otherwise_are_told_with_and_without_a_service() {
    let harness = crate::harness::Harness::start(|_| {}).await;
    let leadrelay::config::StoreUrl::Sqlite(file) = harness.config().store.url.clone() else { return };
    let lead = serde_json::json!({ "id": "cl_1", "name": "Ada Lovelace" });
    harness.send(&crate::harness::event("lead.created", 1_767_225_600, &lead)).await;
    harness.settled().await;
    let store = format!("[store]\nurl = \"sqlite://{}\"\n", file.display());
    // The CRM is out of reach, and the database is asked all the same.
    let about_keys = |configuration: &str| {
        let folder = folder(&format!("{store}{configuration}"));
        let (code, out, err) = run(folder.path(), &["check", "--json"]);
        assert_eq!((code, &*err), (1, ""), "{out}");
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        let of = |list: &str| report.pointer(list).unwrap().as_array().unwrap().clone();
        let text = |found: &serde_json::Value, key: &str| found[key].as_str().unwrap().to_owned();
        let told = of("/destinations/0/findings").into_iter().chain(of("/database"));
        told.filter(|found| found["subject"] != "login")
            .map(|found| ["severity", "subject", "finding"].map(|key| text(&found, key)).join(" "))
            .collect::<Vec<_>>()
    };
    let readable = "ok store.url the database can be read";
    let expected = "warning Lead.Lead_System_Id__c 1 linked lead has a record that carries a key that was formed otherwise \
                    than by records.external_id_value = \"{source}:{lead_id}\"";
    let check = || {
        assert_eq!(about_keys(CONFIGURATION), [readable]);
        assert_eq!(about_keys(&with_forms(CONFIGURATION)), [expected, readable]);
    };
    check();
    harness.app.stop().await;
    check();
    rusqlite::Connection::open(&file).unwrap().execute_batch("ALTER TABLE links RENAME TO lost").unwrap();
    let told = about_keys(CONFIGURATION);
    assert!(told.len() == 1 && told[0].starts_with("error store.url ") && told[0].contains("links"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hides_people_from_us_is_a_finding_that_ends_with_1() {
    let sandbox = leadrelay::sandbox::Sandbox::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let shipped = include_str!("../../leadrelay.toml");
    let url = shipped.lines().find(|line| line.contains("client_credentials")).unwrap();
    let (_, rest) = url.split_once("url = \"").unwrap();
    let (url, _) = rest.split_once('"').unwrap();
    let folder = folder(&shipped.replace(url, &sandbox.url()));
    let check = || {
        let (code, out, err) = run(folder.path(), &["check", "--json"]);
        let report: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        let mut findings = report["destinations"][0]["findings"].as_array().unwrap().clone();
        findings.retain(|finding| finding["severity"] == "error");
        let told = |finding: &serde_json::Value| format!("{}: {}", finding["subject"], finding["remedy"]);
        (code, findings.iter().map(told).collect::<Vec<_>>())
    };
    assert_eq!(check(), (0, vec![]));
    let order = async |method: reqwest::Method, path: &str, body: serde_json::Value| {
        let url = format!("{}/_sandbox/{path}", sandbox.url());
        reqwest::Client::new().request(method, url).json(&body).send().await.unwrap().error_for_status().unwrap();
    };
    let hidden = serde_json::json!({ "object": "Contact", "name": "Email", "hide": true });
    order(reqwest::Method::DELETE, "fields", hidden).await;
    let (code, errors) = check();
    assert_eq!((code, errors.len()), (1, 1), "{errors:?}");
    assert!(errors[0].contains("Contact.Email") && errors[0].contains("visible to the integration user"), "{errors:?}");
    for status in [403, 404] {
        let rule = serde_json::json!({ "fault": "status", "status": status, "path": "Contact/describe" });
        order(reqwest::Method::POST, "faults", serde_json::json!({ "rules": [rule] })).await;
        let (code, errors) = check();
        assert_eq!((code, errors.len()), (1, 1), "{errors:?}");
        assert!(errors[0].contains("\"Contact\"") && errors[0].contains("read access to Contact"), "{errors:?}");
    }
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_moved_to_postgresql_and_the_old_file_is_not_served_any_more() {
    let Some(server) = Cluster::new("fsync = off\n") else { return };
    let url = server.url(&server.create_database().await);
    let folder =
        folder(&format!("[admin]\nlisten = \"127.0.0.1:0\"\n[server]\nlisten = \"127.0.0.1:0\"\n{CONFIGURATION}"));
    assert_eq!(run(folder.path(), &["migrate"]).0, 0);
    let copy = ["migrate", "--copy-from", "sqlite://leadrelay.db", "--to", "${NEW_DATABASE}"];
    let (code, _, err) = run(folder.path(), &copy);
    assert_eq!((code, err.contains("NEW_DATABASE is not set")), (2, true), "{err}");

    let copied = || told(leadrelay(folder.path(), &copy).env("NEW_DATABASE", &url).output().unwrap());
    let (code, _, err) = copied();
    assert_eq!((code, err.contains("fsync")), (2, true), "a server that may forget: {err}");
    let unsafe_server = "[store]\nallow_unsafe_server = true\n";
    let old = fs::read_to_string(folder.path().join("leadrelay.toml")).unwrap();
    fs::write(folder.path().join("leadrelay.toml"), format!("{unsafe_server}{old}")).unwrap();

    let mut serving = Serving(leadrelay(folder.path(), &["serve"]).stderr(Stdio::null()).spawn().unwrap());
    // It writes its number where a second process would find the database locked.
    let holder = || fs::read_to_string(folder.path().join("leadrelay.db.lock")).unwrap_or_default();
    while holder().trim() != serving.0.id().to_string() {
        assert!(serving.0.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let (code, out, err) = copied();
    assert_eq!((code, err.contains("still runs")), (1, true), "{out}{err}");
    let new = format!("{unsafe_server}url = \"{url}\"\n{CONFIGURATION}");
    fs::write(folder.path().join("new.toml"), new).unwrap();
    let (code, _, err) = run(folder.path(), &["serve", "--config", "new.toml"]);
    assert_eq!((code, err.contains("is not complete")), (2, true), "{err}");

    drop(serving);
    let (code, out, err) = copied();
    assert_eq!((code, out.contains("Everything was copied")), (0, true), "{out}{err}");
    let (code, _, err) = run(folder.path(), &["serve"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("leadrelay.db was moved to 127.0.0.1") && err.contains("leadrelay.db.moved"), "{err}");
}
