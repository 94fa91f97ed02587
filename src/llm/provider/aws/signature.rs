//! Requests with signatures of the fourth kind (`SigV4`).

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderName, HeaderValue, header};

use super::credentials::Principal;
use crate::error::{Error, ErrorKind};
use crate::llm::provider::authorize::{Authorized, Authorizer, Outgoing};

/// Signs requests to one service in one region.
#[derive(Debug)]
pub(super) struct Signer {
    provider: &'static str,
    service: &'static str,
    region: String,
    principal: Principal,
}

impl Signer {
    pub(super) fn new(
        provider: &'static str,
        service: &'static str,
        region: String,
        principal: Principal,
    ) -> Self {
        Self {
            provider,
            service,
            region,
            principal,
        }
    }

    fn sign(&self, request: &mut Outgoing<'_>, credentials: Credentials) -> Result<(), Error> {
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(
                ErrorKind::Authentication,
                format!("the request cannot be signed for AWS: {cause}"),
            )
        };
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|cause| failed(cause.into()))?
            .into();
        // What a proxy may change is not signed.
        let headers = request.headers.iter().filter_map(|(name, value)| {
            let name = name.as_str();
            let is_signed = name == header::CONTENT_TYPE.as_str() || name.starts_with("x-amz");
            Some((name, value.to_str().ok()?)).filter(|_| is_signed)
        });
        let signable = SignableRequest::new(
            "POST",
            request.url.as_str(),
            headers,
            SignableBody::Bytes(request.body),
        )
        .map_err(|cause| failed(cause.into()))?;
        let (instructions, _) = sign(signable, &parameters)
            .map_err(|cause| failed(cause.into()))?
            .into_parts();
        for (name, value) in instructions.headers() {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|cause| failed(cause.into()))?;
            let mut value = HeaderValue::from_str(value).map_err(|cause| failed(cause.into()))?;
            value.set_sensitive(true);
            request.headers.insert(name, value);
        }
        Ok(())
    }
}

impl Authorizer for Signer {
    fn authorize<'a>(&'a self, mut request: Outgoing<'a>) -> Authorized<'a> {
        Box::pin(async move {
            let credentials = self
                .principal
                .credentials(self.provider, request.trust)
                .await?;
            self.sign(&mut request, credentials)
        })
    }
}
