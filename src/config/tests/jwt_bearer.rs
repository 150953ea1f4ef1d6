//! `flow = "jwt_bearer"`: its keys, the private key as PEM, and for whom the assertion is meant.

use super::super::reader::ReadFile;
use super::*;

const LOGIN: &str = r#"flow = "jwt_bearer", url = "https://example.my.salesforce.com", client_id = "${SF_ID}", username = "relay@example.com", private_key = "${file:key.pem}""#;

/// [`LEAST`] with this login, where `key.pem` holds this text.
fn parsed(login: &str, key: &'static str) -> Result<Config, ConfigErrors> {
    let line = LEAST.lines().find(|line| line.starts_with("login")).unwrap();
    let text = LEAST.replace(line, &format!("login = {{ {login} }}"));
    let read: ReadFile<'_> = &move |path| match path.to_str() {
        Some("etc/key.pem") => Ok(key.to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    Config::parse(&text, Path::new("etc/leadrelay.toml"), &environment, read)
}

fn login(login: &str, key: &'static str) -> SalesforceConfig {
    let config = parsed(login, key).unwrap();
    let DestinationKind::Salesforce(salesforce) = &config.destinations[&DestinationName::from("salesforce")].kind;
    salesforce.clone()
}

const PKCS8: &str = include_str!("../../../tests/support/keys/pkcs8.pem");

#[test]
fn both_forms_of_an_rsa_key_are_read_and_never_shown() {
    let pkcs1 = include_str!("../../../tests/support/keys/pkcs1.pem");
    let mut public = Vec::new();
    for key in [PKCS8, pkcs1] {
        let read = login(LOGIN, key);
        let SalesforceLogin::JwtBearer { client_id, username, private_key, .. } = &read.login else {
            panic!("{read:?}")
        };
        assert_eq!((client_id.as_str(), username.as_str()), ("consumer-key", "relay@example.com"));
        public.push(private_key.expose().public().as_ref().to_vec());
        assert!(format!("{read:?}").contains("private_key: [redacted]"), "{read:?}");
    }
    assert_eq!(public[0], public[1], "it is one key in two forms");
}

#[test]
fn the_audience_follows_the_kind_of_org() {
    let check = |host: &str, expected: &str| {
        let read = login(&LOGIN.replace("example.my.salesforce.com", host), PKCS8);
        let SalesforceLogin::JwtBearer { audience, .. } = &read.login else { panic!("{read:?}") };
        assert_eq!(audience, expected, "{host}");
    };
    let (production, sandbox) = ("https://login.salesforce.com", "https://test.salesforce.com");
    check("example.my.salesforce.com", production);
    check("example-dev-ed.develop.my.salesforce.com", production);
    check("login.salesforce.com", production);
    check("example--uat.sandbox.my.salesforce.com", sandbox);
    check("example--uat.my.salesforce.com", sandbox);
    check("example-123.scratch.my.salesforce.com", sandbox);
    check("test.salesforce.com", sandbox);
    let written = login(&format!("{LOGIN}, audience = \"https://test.salesforce.com/\""), PKCS8);
    assert!(
        matches!(&written.login, SalesforceLogin::JwtBearer { audience, .. } if audience == sandbox),
        "{written:?}"
    );
}

#[test]
fn what_is_no_key_to_sign_with_is_told_with_its_line() {
    let check = |key: &'static str, expected: &str| {
        let told = parsed(LOGIN, key).unwrap_err().to_string();
        let start = "etc/leadrelay.toml:7: destinations.salesforce.login.private_key: ";
        assert!(told.starts_with(&format!("{start}{expected}")), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    };
    let encrypted = "is encrypted with a passphrase, which nobody could type in at the start; decrypt it, openssl pkey";
    check(include_str!("../../../tests/support/keys/encrypted-pkcs8.pem"), encrypted);
    check(include_str!("../../../tests/support/keys/encrypted-pkcs1.pem"), encrypted);
    check(
        include_str!("../../../tests/support/keys/public.pem"),
        "is a public key; the login is signed with the private one",
    );
    check(
        include_str!("../../../tests/support/keys/certificate.pem"),
        "is a certificate, which the connected app is given",
    );
    check(
        include_str!("../../../tests/support/keys/elliptic.pem"),
        "is no RSA key, and the login is signed with RS256; make",
    );
    check(include_str!("../../../tests/support/keys/short.pem"), "is shorter than 2048 bits; make an RSA key");
    check("-----BEGIN OPENSSH PRIVATE KEY-----\n", "is in OpenSSH's own form");
    check("-----BEGIN EC PRIVATE KEY-----\n", "is no RSA key");
    check("key.pem", "is no private key in PEM form, which begins with -----BEGIN PRIVATE KEY-----");
    check("-----BEGIN PRIVATE KEY-----\nbm8=\n-----END PRIVATE KEY-----\n", "is damaged");
    check("-----BEGIN RSA PRIVATE KEY-----\n", "is damaged");
    let lacking = parsed(&LOGIN.replace(", private_key = \"${file:key.pem}\"", ""), PKCS8).unwrap_err().to_string();
    assert!(lacking.ends_with("private_key: is missing; write private_key = \"${file:key.pem}\""), "{lacking}");
    let secret = parsed(&format!("{LOGIN}, client_secret = \"x\""), PKCS8).unwrap_err().to_string();
    assert!(secret.contains("client_secret: is for flow = \"client_credentials\""), "{secret}");
}
