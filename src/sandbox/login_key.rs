//! The key by which the app's assertions are verified, as a connected app is given it.

use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use webpki::ring::RSA_PKCS1_2048_8192_SHA256;
use webpki::{EndEntityCert, RawPublicKeyEntity};

/// An RSA public key, bare or in a certificate.
#[derive(Debug)]
pub struct LoginKey(Form);

#[derive(Debug)]
enum Form {
    Certificate(CertificateDer<'static>),
    Bare(SubjectPublicKeyInfoDer<'static>),
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoginKeyError {
    /// Neither kind of PEM is in it.
    #[error("it holds neither a certificate nor a public key as PEM")]
    Pem(#[source] pem::Error),
    /// What is in it is no key.
    #[error("the certificate or public key cannot be read")]
    Unreadable(#[source] webpki::Error),
}

impl LoginKey {
    /// Takes a certificate or a public key as PEM.
    pub fn read(text: &str) -> Result<Self, LoginKeyError> {
        if let Ok(certificate) = CertificateDer::from_pem_slice(text.as_bytes()) {
            EndEntityCert::try_from(&certificate).map_err(LoginKeyError::Unreadable)?;
            return Ok(Self(Form::Certificate(certificate)));
        }
        let bare = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(LoginKeyError::Pem)?;
        RawPublicKeyEntity::try_from(&bare).map_err(LoginKeyError::Unreadable)?;
        Ok(Self(Form::Bare(bare)))
    }

    /// Whether its private half made this signature, by RS256.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.0 {
            Form::Certificate(der) => EndEntityCert::try_from(der)
                .and_then(|known| known.verify_signature(RSA_PKCS1_2048_8192_SHA256, message, signature)),
            Form::Bare(der) => RawPublicKeyEntity::try_from(der)
                .and_then(|known| known.verify_signature(RSA_PKCS1_2048_8192_SHA256, message, signature)),
        };
        verified.is_ok()
    }
}
