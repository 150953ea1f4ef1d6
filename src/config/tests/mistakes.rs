//! Each mistake with its line, its key, what is wrong and what to write instead.

use super::{LEAST, changed, messages, parse};

/// [`LEAST`] with `old` replaced by `new` has exactly this mistake.
pub(super) fn check(old: &str, new: &str, expected: &str) {
    assert_eq!(messages(&changed(old, new)), [format!("etc/leadrelay.toml:{expected}")], "{new}");
}

/// [`LEAST`] with sections behind it, of which the first line is line 16, has exactly this mistake.
pub(super) fn check_added(sections: &str, expected: &str) {
    assert_eq!(messages(&format!("{LEAST}{sections}")), [format!("etc/leadrelay.toml:{expected}")], "{sections}");
}

#[test]
fn what_is_no_toml_is_told_line_by_line() {
    let mend = "mend the line: text needs quotes, and a key stands once in its section";
    assert_eq!(
        messages("[server]\nlisten = 127.0.0.1\nmax_body = \n"),
        [
            format!("etc/leadrelay.toml:2: this is no TOML (invalid float, expected nothing); {mend}"),
            format!(
                "etc/leadrelay.toml:3: this is no TOML (string values must be quoted, expected literal string); {mend}"
            ),
        ]
    );
    check("preset =", "preset = \"klozeo\"\npreset =", &format!("3: this is no TOML (duplicate key); {mend}"));
    // Of a section that is there twice only that is told, and what is broken behind it.
    assert_eq!(
        messages("[store]\nmigrate = true\n[admin]\n[store]\nmigrate = true\nurl = \"a\"\n[alerts]\nsecret =\n"),
        [
            "etc/leadrelay.toml:4: the section [store] is written twice; put its keys into the first one".to_owned(),
            format!(
                "etc/leadrelay.toml:8: this is no TOML (string values must be quoted, expected literal string); {mend}"
            ),
        ]
    );
}

#[test]
fn an_unknown_key_is_an_error_with_the_key_that_was_meant() {
    check_added("[server]\nlisen = \"a\"\n", "17: server.lisen: is not a known key; did you mean `listen`?");
    check_added(
        "[store]\npath = \"a\"\n",
        "17: store.path: is not a known key; known here: url, migrate, retention, log_bodies, allow_unsafe_server",
    );
    check_added("[Server]\n", "16: Server: is not a known key; did you mean `server`?");
    check(
        "crm = \"Email\"",
        "crm = \"Email\"\nconflicts = \"review\"",
        "15: destinations.salesforce.fields[1].conflicts: is not a known key; did you mean `conflict`?",
    );
    check(
        "client_id =",
        "tenant = 1, client_id =",
        "7: destinations.salesforce.login.tenant: is not a known key; known here: flow, url, client_id, client_secret",
    );
}

#[test]
fn what_a_value_stands_for_must_be_there() {
    let key = "3: sources.klozeo.secrets[1]";
    let unset = "the environment variable NOPE is not set; set NOPE where leadrelay is started";
    check("${HOOK_SECRET}", "${NOPE}", &format!("{key}: {unset}"));
    check(
        "${HOOK_SECRET}",
        "${file:nope.secret}",
        &format!(
            "{key}: the file etc/nope.secret does not exist; create it, or mend the path (relative to \
             this configuration file) and its permissions"
        ),
    );
    check("${HOOK_SECRET}", "${HOOK", &format!("{key}: `${{` is not closed; write `${{NAME}}` or `${{file:PATH}}`"));
    check(
        "${HOOK_SECRET}",
        "${A B}",
        &format!("{key}: \"A B\" is no name of an environment variable; write `${{NAME}}` or `${{file:PATH}}`"),
    );
}

#[test]
fn a_value_of_the_wrong_kind_or_form_is_refused() {
    check_added("[server]\nlisten = 8080\n", "17: server.listen: must be text, not a number; write it in quotes");
    check_added(
        "[server]\nlisten = \"localhost:8080\"\n",
        "17: server.listen: \"localhost:8080\" is no address to listen on; write an IP address and a port, such as \
         \"127.0.0.1:8080\"",
    );
    let length = "write a whole number and ms, s, m, h or d, such as \"30s\"";
    for wrong in ["30", "30 s", "-1s", "1.5h", "s", "1w", "9999999999999999999d"] {
        check_added(
            &format!("[server]\nshutdown_grace = \"{wrong}\"\n"),
            &format!("17: server.shutdown_grace: \"{wrong}\" is no length of time; {length}"),
        );
    }
    check_added(
        "[server]\nmax_body = \"1MB\"\n",
        "17: server.max_body: \"1MB\" is no size; write a whole number and B, KiB or MiB, such as \"1MiB\"",
    );
    check_added(
        "[server]\nmax_body = \"1024MiB\"\n",
        "17: server.max_body: \"1024MiB\" is out of bounds; write a size from 1B to 64MiB",
    );
    check_added(
        "[server]\ntrusted_proxies = [\"lan\"]\n",
        "17: server.trusted_proxies[1]: \"lan\" is no network; write an address or a network such as \"10.0.0.0/8\"",
    );
    check_added(
        "[server]\ntrusted_proxies = [\"10.0.0.0/8\"]\n",
        "17: server.trusted_proxies: anything but the default is not built yet; leave it out",
    );
    for wrong in ["2", "101%", "1.234%", "-1%", "%"] {
        check_added(
            &format!("[alerts]\nerror_rate = \"{wrong}\"\n"),
            &format!(
                "17: alerts.error_rate: \"{wrong}\" is no share; write a number from 0 to 100 and %, such as \"2%\""
            ),
        );
    }
    check_added(
        "[store]\nmigrate = \"yes\"\n",
        "17: store.migrate: must be a boolean, not text; write true or false, without quotes",
    );
    check_added("[[server]]\n", "16: server: must be a table, not a list; write it as a section, [server]");
    check_added(
        "[alerts]\nqueue_depth = -1\n",
        "17: alerts.queue_depth: must be a whole number from 0 on; write a number such as 4",
    );
}

#[test]
fn the_store_is_a_file_that_keeps_what_it_must() {
    let check = |url: &str, problem: &str, remedy: &str| {
        check_added(&format!("[store]\nurl = \"{url}\"\n"), &format!("17: store.url: {problem}; {remedy}"));
    };
    let remedy = "write \"sqlite://\" and the path of a file, such as \"sqlite://leadrelay.db\", or an address such as \
                  \"postgres://user:password@host/database\"";
    let check_url = |url: &str, problem: &str| check(url, problem, remedy);
    check_url("sqlite::memory:", "a database in memory would lose every lead at a stop");
    check_url("leadrelay.db", "is no address of a database");
    check_url("sqlite://", "names no file");
    check_url("sqlite://a.db?mode=ro", "takes no options behind `?`");
    let remedy = "write \"postgres://user:password@host/database\", with %40 for @, %3A for :, %2F for /, %3F for ?, %23 for # \
                  and %25 for % in the password";
    check("postgres://user:hunter2@host", "names no database", remedy);
    check("postgresql://user:hunter2@host/a/b", "names no database", remedy);
    check("postgres:///leadrelay", "names no host", remedy);
    check("postgres://user:hun/ter2@host/db", "is no address of a database", remedy);
    check(
        "postgres://user:hunter2@host/db?sslmod=verify-full",
        "has a parameter behind `?` that is not known; known are sslmode, sslrootcert, sslcert, sslkey, host, hostaddr, \
         port, dbname, user, password, application_name and options",
        remedy,
    );
    check(
        "postgres://user:hunter2@host/db?sslmode=verify_full",
        "has an unknown sslmode; it is one of disable, allow, prefer, require, verify-ca and verify-full",
        remedy,
    );
    check("postgres://user:hun@ter2@host:a/db", "is no address of a database", remedy);
    check_added("[store]\nretention = \"89d\"\n", "17: store.retention: \"89d\" is too short; write \"90d\" or longer");
}

#[test]
fn the_admin_api_is_never_open_to_a_network() {
    let made = "make one with `leadrelay token --name NAME --role operator` and put in the lines that it prints";
    let problem = "are needed where `listen` is no loopback address";
    let open = "[admin]\nlisten = \"0.0.0.0:8081\"\n";
    check_added(open, &format!("16: admin.tokens: {problem}; {made}"));
    check_added(&format!("{open}tokens = []\n"), &format!("18: admin.tokens: {problem}; {made}"));
    let token = format!("[[admin.tokens]]\nname = \"ops\"\nrole = \"operator\"\nsha256 = \"{}\"\n", "ab".repeat(32));
    assert!(parse(&format!("{LEAST}{open}{token}")).is_ok());
    check_added(
        &format!("{token}{token}"),
        "21: admin.tokens[2].name: is the name of another token already; give each token a name of its own",
    );
    check_added(
        &token.replace("operator", "admin"),
        "18: admin.tokens[1].role: \"admin\" is not known here; write \"viewer\" or \"operator\"",
    );
    check_added(
        &token.replace("abab", ""),
        "19: admin.tokens[1].sha256: is no SHA-256 in hex (64 digits); take it from `leadrelay token`, which prints these \
         lines",
    );
}

#[test]
fn a_source_must_be_able_to_prove_itself() {
    let remedy = "write the secret that was given to the lead system, such as [\"${WEBHOOK_SECRET}\"]";
    check("secrets = [\"${HOOK_SECRET}\"]\n", "", &format!("1: sources.klozeo.secrets: is missing; {remedy}"));
    let open = "is empty, so anyone could send leads";
    check("[\"${HOOK_SECRET}\"]", "[]", &format!("3: sources.klozeo.secrets: {open}; {remedy}"));
    check("${HOOK_SECRET}", "${EMPTY}", &format!("3: sources.klozeo.secrets[1]: is an empty secret; {remedy}"));
    check(
        "${HOOK_SECRET}",
        "${SHORT_SECRET}",
        "3: sources.klozeo.secrets: secret 1 is shorter than 16 bytes and could be guessed; choose a longer one, or set \
         allow_short_secret = true",
    );
    assert!(parse(&changed("[\"${HOOK_SECRET}\"]", "[\"${SHORT_SECRET}\"]\nallow_short_secret = true")).is_ok());
    let by_token = changed("\"klozeo\"", "\"generic-header\"");
    let warned = |secrets: &str| parse(&by_token.replace("[\"${HOOK_SECRET}\"]", secrets)).unwrap().warnings();
    assert_eq!(
        warned("[\"${HOOK_SECRET}\", \"${SHORT_SECRET}\"]"),
        ["sources.klozeo.secrets: token 2 is shorter than 16 bytes and could be guessed; choose a longer one, or set \
             allow_short_secret = true"]
    );
    assert_eq!(warned("[\"${SHORT_SECRET}\"]\nallow_short_secret = true"), Vec::<String>::new());
    check(
        "\"klozeo\"",
        "\"standard-webhooks\"",
        "3: sources.klozeo.secrets: secret 1 is no base64; copy it from the sender once more",
    );
    check(
        "\"klozeo\"",
        "\"klozo\"",
        "2: sources.klozeo.preset: \"klozo\" is no known preset; did you mean \"klozeo\"?",
    );
    check(
        "\"klozeo\"",
        "\"n8n\"",
        "2: sources.klozeo.preset: \"n8n\" is no preset: it sends what you tell it to; write \"generic-header\" and have it \
         send the header X-Relay-Token",
    );
    check(
        "\"klozeo\"",
        "\"meta\"",
        "1: sources.klozeo.verify_token: is missing; write the verify token that you choose and enter at Meta, such as \
         \"${META_VERIFY_TOKEN}\"",
    );
    check(
        "\"klozeo\"",
        "\"linkedin\"\nverify_token = \"x\"",
        "3: sources.klozeo.verify_token: belongs to Meta's handshake; leave it out, or write handshake = \"meta\"",
    );
    check(
        "\"klozeo\"",
        "\"hubspot-v3\"",
        "1: sources.klozeo.verify.signed_content: signs the URL, and `server.public_url` is not set; set \
         `server.public_url` to the address that senders call",
    );
    check(
        "[sources.klozeo]",
        "[sources.\"a/b\"]",
        "1: sources.a/b: is no usable name; use letters, digits, `-` and `_`, at most 64 of them",
    );
}

#[test]
fn a_custom_source_must_say_how_it_is_verified_and_read() {
    let found = messages(&changed("\"klozeo\"", "\"custom\""));
    assert_eq!(
        found,
        [
            "etc/leadrelay.toml:1: sources.klozeo.verify.scheme: is missing; write \"hmac\" or \"token\": the preset \
             \"custom\" fills in nothing",
            "etc/leadrelay.toml:1: sources.klozeo.read.lead_id: is missing; write where the lead's ID is, such as \
             \"/data/id\"",
        ]
    );
}

#[test]
fn what_is_signed_must_be_known_and_cover_the_body() {
    let check_verify = |settings: &str, expected: &str| {
        check(
            "\"klozeo\"\n",
            &format!("\"klozeo\"\nverify = {{ {settings} }}\n"),
            &format!("3: sources.klozeo.{expected}"),
        );
    };
    check_verify(
        "signed_content = \"{method}\"",
        "verify.signed_content: does not cover the body, so anyone could change it; put {body} into it",
    );
    check_verify(
        "signed_content = \"{body}{nonce}\"",
        "verify.signed_content: \"{body}{nonce}\" has an unknown part; write text with {body}, {timestamp}, {id}, {method} \
         and {url}",
    );
    check_verify(
        "signed_content = \"{timestamp}.{body}\"",
        "verify.timestamp_from: is needed by {timestamp} in `signed_content`; write header:NAME or kv:KEY",
    );
    check_verify(
        "signed_content = \"{id}.{body}\"",
        "verify.id_from: is needed by {id} in `signed_content`; write header:NAME",
    );
    check_verify(
        "signed_content = \"{url}{body}\"",
        "verify.signed_content: signs the URL, and `server.public_url` is not set; set `server.public_url` to the address \
         that senders call",
    );
    check_verify(
        "signature_format = \"hex\"",
        "verify.signature_format: \"hex\" is not known here; write \"plain\", \"prefix:TEXT\", \"optional-prefix:TEXT\", \
         \"kv:KEY\" or \"list:VERSION\"",
    );
    check_verify(
        "algorithm = \"sha1\"",
        "verify.algorithm: SHA-1 is taken only where the preset's sender signs with nothing better (intercom, segment); \
         write \"sha256\", or start from that preset",
    );
    check_verify(
        "signature_header = \"X Sig\"",
        "verify.signature_header: \"X Sig\" is no name of a header; write a name such as \"X-Signature\"",
    );
    check_verify(
        "location = \"path\"",
        "verify.location: is not a known key; known here: scheme, signature_header, algorithm, encoding, \
         signature_format, signed_content, timestamp_from, timestamp_unit, tolerance, id_from, secret_encoding",
    );
}

#[test]
fn where_things_are_must_be_readable() {
    let check_read = |settings: &str, expected: &str| {
        check(
            "\"klozeo\"\n",
            &format!("\"klozeo\"\nread = {{ {settings} }}\n"),
            &format!("3: sources.klozeo.{expected}"),
        );
    };
    let pointer = "is no JSON pointer; write \"/a/b\", with ~1 for / and ~0 for ~ in a name";
    check_read("lead = \"data\"", &format!("read.lead: \"data\" {pointer}"));
    check_read("lead = \"/a~2\"", &format!("read.lead: \"/a~2\" {pointer}"));
    check_read("version = \"/updated\"", "read.version: must be a list, not text; write it in brackets: [ … ]");
    check_read("times = \"unix\"", "read.times: \"unix\" is not known here; did you mean \"unix_s\"?");
    check_read(
        "times = \"%H:%M\"",
        "read.times: \"%H:%M\" tells no day and time of day; write a pattern such as \"%Y-%m-%d %I:%M %p\", as strftime has \
         them",
    );
    check_read("lead = [\"/a\", \"b\"]", &format!("read.lead: \"b\" {pointer}"));
    check_read(
        "bodies = [\"yaml\"]",
        "read.bodies[1]: \"yaml\" is not known here; write \"json\", \"form\", \"multipart\" or \"xml\"",
    );
    check_read(
        "attributes = [{ name = \"/n\" }]",
        "read.attributes[1].at: is missing; write where the list of attributes is, such as \"/attributes\"",
    );
    check_read(
        "types = { upsert = [] }",
        "read.types: lets no event type change a lead; name the types that do: types = { upsert = [\"lead.*\"] }",
    );
}

#[test]
fn a_section_of_the_wrong_kind_is_told_once() {
    let text = changed("[sources.klozeo]\n", "[elsewhere]\n");
    let text = format!("sources = 1\n{text}");
    let found = messages(&text);
    assert_eq!(
        found.first().unwrap(),
        "etc/leadrelay.toml:1: sources: must be a table, not a number; write it as a section, [sources]"
    );
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn an_empty_file_is_told_what_it_needs() {
    assert_eq!(
        messages(""),
        [
            "etc/leadrelay.toml:1: sources: no source is configured; write a section such as [sources.klozeo]",
            "etc/leadrelay.toml:1: destinations: no destination is configured; write a section such as \
             [destinations.salesforce]",
        ]
    );
}

#[test]
fn ten_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    let text = r#"[server]
listen = "8080"
max_body = 1
[admin]
listn = "127.0.0.1:1"
[store]
url = "mysql://a"
[sources.klozeo]
preset = "klozeo"
secrets = ["${NOPE}"]
[destinations.salesforce]
kind = "salesforce"
mode = "dry"
login = { flow = "client_credentials", url = "ftp://a", client_id = "a" }
[destinations.salesforce.records]
external_id = ""
[[destinations.salesforce.fields]]
lead = "email"
crm = "Email"
type = "mail"
"#;
    let errors = parse(text).unwrap_err();
    let places: Vec<(usize, &str)> =
        errors.iter().map(|error| (error.line.unwrap(), error.key.rsplit('.').next().unwrap())).collect();
    let expected = [
        (2, "listen"),
        (3, "max_body"),
        (5, "listn"),
        (7, "url"),
        (10, "secrets[1]"),
        (13, "mode"),
        (14, "client_secret"),
        (14, "url"),
        (16, "external_id"),
        (20, "type"),
    ];
    assert_eq!(places, expected, "{errors}");
    assert_eq!(errors.to_string().lines().count(), 10);
}
