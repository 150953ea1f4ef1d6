//! HTTPS, for clients that speak nothing else.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// Who the sandbox says it is: a certificate with its key.
pub struct TlsIdentity {
    config: Arc<ServerConfig>,
    certificate: String,
}

/// Why a certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// What was read is no PEM of the kind it should be.
    #[error("the {0} is not readable as PEM")]
    Pem(&'static str, #[source] pem::Error),
    /// The file holds no certificate.
    #[error("there is no certificate in the file")]
    Empty,
    /// The key does not belong to the certificate, or neither can be used.
    #[error("the certificate and its key cannot be used together")]
    Unusable(#[from] rustls::Error),
    /// A certificate could not be made.
    #[error("a certificate cannot be made")]
    Unmade(#[from] rcgen::Error),
}

impl TlsIdentity {
    /// Takes a certificate, followed by those that vouch for it, and its private key, both as PEM.
    pub fn read(certificate: &str, key: &str) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|err| TlsError::Pem("certificate", err))?;
        if chain.is_empty() {
            return Err(TlsError::Empty);
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|err| TlsError::Pem("key", err))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), certificate: certificate.to_owned() })
    }

    /// Makes a certificate for this machine's loopback names that vouches for itself.
    pub fn self_signed() -> Result<Self, TlsError> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names)?;
        Self::read(&cert.pem(), &signing_key.serialize_pem())
    }

    /// The certificate as PEM, which a client has to be told to trust.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

impl std::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}
