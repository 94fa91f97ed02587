//! The HTTP client that credentials are fetched with: reqwest, as everywhere in the completion call, so
//! that there is one TLS and one way through proxies.

use std::sync::LazyLock;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use url::Url;

use crate::llm::trust::Trust;

/// How long a connection may take where AWS's crates do not say.
const CONNECT: Duration = Duration::from_secs(3);
/// The same for an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Gives connectors that trust whom the caller does.
#[derive(Debug, Clone)]
pub(super) struct Transport(pub(super) Trust);

impl HttpClient for Transport {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connect = settings.connect_timeout().unwrap_or(CONNECT);
        let answer = settings.read_timeout().unwrap_or(ANSWER);
        SharedHttpConnector::new(Connector {
            trust: self.0.clone(),
            limit: connect.saturating_add(answer),
        })
    }
}

#[derive(Debug)]
struct Connector {
    trust: Trust,
    limit: Duration,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (limit, trust) = (self.limit, self.trust.clone());
        HttpConnectorFuture::new(async move {
            tokio::time::timeout(limit, send(request, &trust))
                .await
                .map_err(|late| ConnectorError::timeout(late.into()))?
        })
    }
}

async fn send(request: HttpRequest, trust: &Trust) -> Result<HttpResponse, ConnectorError> {
    let user = |cause: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(cause);
    let (parts, body) = request
        .try_into_http1x()
        .map_err(|cause| user(cause.into()))?
        .into_parts();
    let url = Url::parse(&parts.uri.to_string()).map_err(|cause| user(cause.into()))?;
    let client = client(&url, trust)?;
    let mut message = reqwest::Request::new(parts.method, url);
    *message.headers_mut() = parts.headers;
    let body = body
        .bytes()
        .ok_or_else(|| user("a body that is a stream".into()))?;
    *message.body_mut() = Some(Bytes::copy_from_slice(body).into());
    let response = client.execute(message).await.map_err(failed)?;
    let mut answer = http::Response::builder().status(response.status());
    if let Some(headers) = answer.headers_mut() {
        headers.clone_from(response.headers());
    }
    let body = response.bytes().await.map_err(failed)?;
    answer
        .body(SdkBody::from(body))
        .map_err(|cause| user(cause.into()))?
        .try_into()
        .map_err(|cause: aws_smithy_runtime_api::http::HttpError| user(cause.into()))
}

fn failed(cause: reqwest::Error) -> ConnectorError {
    // URLs may hold tokens.
    let cause = cause.without_url();
    if cause.is_timeout() {
        ConnectorError::timeout(cause.into())
    } else {
        ConnectorError::io(cause.into())
    }
}

/// The metadata of machines and containers is plain HTTP and next door: no proxy knows it, and it needs
/// no certificates. Connections are not kept, since they would belong to the runtime that made them.
fn client(url: &Url, trust: &Trust) -> Result<reqwest::Client, ConnectorError> {
    static NEAR: LazyLock<Result<reqwest::Client, String>> = LazyLock::new(|| {
        let builder = bare().no_proxy().tls_certs_only([]);
        builder.build().map_err(|cause| cause.to_string())
    });
    static FAR: LazyLock<Result<reqwest::Client, String>> =
        LazyLock::new(|| bare().build().map_err(|cause| cause.to_string()));
    let made = match (url.scheme(), trust) {
        ("http", _) => &NEAR,
        (_, Trust::System) => &FAR,
        _ => {
            let builder = trust.for_others(bare());
            let builder = builder.map_err(|cause| ConnectorError::user(cause.into()))?;
            return builder
                .build()
                .map_err(|cause| ConnectorError::user(cause.into()));
        }
    };
    made.as_ref()
        .map(Clone::clone)
        .map_err(|cause| ConnectorError::user(cause.clone().into()))
}

fn bare() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
}
