//! Whose certificates a call trusts: the caller's `ssl_verify`, for the provider's endpoint and for
//! whatever else a call connects to (tokens, pictures). Owns [`Trust`].

use std::path::{Path, PathBuf};

use reqwest::{Certificate, ClientBuilder};

use crate::error::{Error, ErrorKind};

/// Whom to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// The certificates of the system.
    #[default]
    System,
    /// The certificates of this PEM file, and no others.
    Bundle(PathBuf),
    /// Everybody.
    Anybody,
}

impl Trust {
    /// For connections to the provider's endpoint.
    pub(super) fn for_endpoint(&self, builder: ClientBuilder) -> Result<ClientBuilder, Error> {
        Ok(match self {
            Self::System => builder,
            Self::Anybody => builder.tls_danger_accept_invalid_certs(true),
            Self::Bundle(path) => builder.tls_certs_only(certificates(path)?),
        })
    }

    /// For connections to others. A bundle may hold the certificate of the endpoint alone, and those
    /// others are public: it is trusted beside the system.
    pub(super) fn for_others(&self, builder: ClientBuilder) -> Result<ClientBuilder, Error> {
        match self {
            Self::Bundle(path) => Ok(builder.tls_certs_merge(certificates(path)?)),
            Self::System | Self::Anybody => self.for_endpoint(builder),
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, Error> {
    let shown = path.display();
    let problem = |what: &str| {
        let message = format!("ssl_verify: {what}");
        Error::new(ErrorKind::Configuration, message)
    };
    let text = std::fs::read(path).map_err(|cause| {
        problem(&format!("the certificates in {shown} cannot be read")).with_source(cause)
    })?;
    let none = || problem(&format!("{shown} holds no PEM certificates"));
    let found = Certificate::from_pem_bundle(&text).map_err(|cause| none().with_source(cause))?;
    if found.is_empty() {
        return Err(none());
    }
    Ok(found)
}
