//! The RSA key that signs assertions: PEM as PKCS#8 or PKCS#1, checked while the configuration is read.

use std::fmt;
use std::sync::Arc;

use ring::rsa::KeyPair;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::reader::{Item, Wrong};

/// An RSA private key of at least 2048 bits. Prints as `[redacted]`.
#[derive(Clone)]
pub struct PrivateKey(Arc<KeyPair>);

impl PrivateKey {
    /// The key itself, for the one place that signs with it.
    pub fn expose(&self) -> Arc<KeyPair> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

const WRITE_THE_KEY: &str =
    "write private_key = \"${file:key.pem}\", the key to the certificate that the app was given";

pub(super) fn private_key(item: &Item<'_>) -> Result<PrivateKey, Wrong> {
    let text = item.text()?;
    let holds = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
    let wrong = |problem: &str, remedy: &str| Err(Wrong::new(problem, remedy));
    if holds("ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return wrong(
            "is encrypted with a passphrase, which nobody could type in at the start",
            "decrypt it, openssl pkey -in key.pem -out plain.pem, and let only leadrelay's user read that file",
        );
    }
    if holds("PRIVATE KEY") || holds("RSA PRIVATE KEY") {
        return read(&text);
    }
    if holds("EC PRIVATE KEY") {
        return wrong("is no RSA key, and the login is signed with RS256", MAKE_ANOTHER);
    }
    if holds("OPENSSH PRIVATE KEY") {
        return wrong(
            "is in OpenSSH's own form",
            "turn a copy of it into PEM, ssh-keygen -p -m PEM -f copy, and name that file",
        );
    }
    if holds("PUBLIC KEY") || holds("RSA PUBLIC KEY") {
        return wrong("is a public key; the login is signed with the private one", WRITE_THE_KEY);
    }
    if holds("CERTIFICATE") {
        return wrong(
            "is a certificate, which the connected app is given; the login is signed with its key",
            WRITE_THE_KEY,
        );
    }
    // Its text is not shown: it may be a key that lost its first line.
    wrong("is no private key in PEM form, which begins with -----BEGIN PRIVATE KEY-----", WRITE_THE_KEY)
}

const MAKE_ANOTHER: &str = "make an RSA key of 2048 bits or more with a certificate for the connected app: openssl req -x509 -newkey \
     rsa:2048 -nodes -days 730 -subj /CN=leadrelay -keyout key.pem -out certificate.pem";

fn read(text: &str) -> Result<PrivateKey, Wrong> {
    let damaged = || Wrong::new("is damaged: between its first and last line stands no key", WRITE_THE_KEY);
    let made = match PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| damaged())? {
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(Wrong::new("is no RSA key, and the login is signed with RS256", MAKE_ANOTHER)),
    };
    made.map(|pair| PrivateKey(Arc::new(pair))).map_err(|rejected| match rejected.to_string().as_str() {
        "WrongAlgorithm" => Wrong::new("is no RSA key, and the login is signed with RS256", MAKE_ANOTHER),
        "TooSmall" => Wrong::new("is shorter than 2048 bits", MAKE_ANOTHER),
        "InvalidEncoding" | "InvalidComponent" | "InconsistentComponents" => damaged(),
        other => Wrong::new(format!("cannot be used ({other})"), MAKE_ANOTHER),
    })
}
