//! TLS of the HTTP transports: whose certificates are accepted, and which one is shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

use super::configuration;
use crate::error::{Error, Result};

/// Whose certificates are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those that the system trusts.
    System,
    /// Anybody's.
    Anybody,
    /// Those that a file of PEM certificates vouches for.
    Bundle(PathBuf),
    /// Those that these DER certificates vouch for.
    Certificates(Vec<Vec<u8>>),
}

/// The TLS of one connection; `identity` is a file with a client certificate and its key.
pub(in crate::mcp) fn client_config(
    trust: &Trust,
    identity: Option<&Path>,
) -> Result<ClientConfig> {
    let unusable = |cause: TlsError| {
        configuration(format!("TLS cannot be set up: {cause}")).with_source(cause)
    };
    let provider = CryptoProvider::get_default()
        .map_or_else(|| Arc::new(aws_lc_rs::default_provider()), Arc::clone);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match trust {
        Trust::System => {
            let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(unusable)?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        }
        Trust::Anybody => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        Trust::Bundle(path) => builder.with_root_certificates(bundle(path)?),
        Trust::Certificates(all) => {
            let mut roots = RootCertStore::empty();
            for one in all {
                let certificate = CertificateDer::from_slice(one).into_owned();
                roots.add(certificate).map_err(|cause| {
                    configuration("verify: a certificate cannot be read").with_source(cause)
                })?;
            }
            builder.with_root_certificates(roots)
        }
    };
    let Some(path) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let (chain, key) = read_identity(path)?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|cause| unpaired(path).with_source(cause))
}

fn bundle(path: &Path) -> Result<RootCertStore> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|cause| {
        configuration(format!(
            "verify: the certificates in {shown} cannot be read"
        ))
        .with_source(cause)
    })?;
    let unusable = || configuration(format!("verify: {shown} holds no PEM certificates"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|cause| unusable().with_source(cause))?;
        roots
            .add(certificate)
            .map_err(|cause| unusable().with_source(cause))?;
    }
    if roots.is_empty() {
        return Err(unusable());
    }
    Ok(roots)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read_identity(path: &Path) -> Result<Identity> {
    let text = std::fs::read(path).map_err(|cause| {
        configuration(format!("cert: {} cannot be read", path.display())).with_source(cause)
    })?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|cause| unpaired(path).with_source(cause))?;
    if chain.is_empty() {
        return Err(unpaired(path));
    }
    let key =
        PrivateKeyDer::from_pem_slice(&text).map_err(|cause| unpaired(path).with_source(cause))?;
    Ok((chain, key))
}

fn unpaired(path: &Path) -> Error {
    configuration(format!(
        "cert: {} does not hold a PEM certificate and its key",
        path.display()
    ))
}

/// Accepts whatever certificate is shown, because the caller said so.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
