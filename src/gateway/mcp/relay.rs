//! Where a message of a client goes, and what comes back. Owns [`Relay`]; uses `mcp::Group`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::client::{Client, Outlet};
use super::message::{INVALID_PARAMS, METHOD_NOT_FOUND, Request, RpcError};
use crate::error::Result;
use crate::json::RawJson;
use crate::mcp::{CallOptions, Group, Opening, Params, ServerConfig};
use crate::tools::Separator;

/// The servers, as clients see them.
#[derive(Debug)]
pub(super) struct Relay {
    servers: Group,
}

#[derive(Deserialize)]
struct Call<'a> {
    name: String,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

impl Relay {
    pub(super) fn new(servers: Vec<ServerConfig>) -> Result<Self> {
        let relay = Self {
            servers: Group::new(Separator::default(), Arc::new(|_, _| {})),
        };
        relay.reload(servers)?;
        Ok(relay)
    }

    /// Takes other servers; those that did not change keep their connections.
    pub(super) fn reload(&self, servers: Vec<ServerConfig>) -> Result<()> {
        self.servers.replace(servers, |_| Opening::default())
    }

    /// What a client says without wanting an answer.
    #[expect(clippy::unused_async, reason = "nothing is passed on yet")]
    pub(super) async fn notification(
        &self,
        _client: &Arc<Client>,
        _method: &str,
        _params: Option<&RawJson>,
    ) {
    }

    /// A client is gone.
    #[expect(clippy::unused_self, reason = "clients have nothing of their own yet")]
    pub(super) fn closed(&self, _client: &Client) {}

    pub(super) async fn close(&self) {
        self.servers.close().await;
    }

    /// Answers a request of a client. What belongs to it on the way goes to `related`. Dropping the
    /// future cancels it everywhere.
    pub(super) async fn request(
        &self,
        client: &Arc<Client>,
        request: &Request,
        _related: &Arc<dyn Outlet>,
    ) -> Result<RawJson, RpcError> {
        match request.method.as_str() {
            "initialize" => {
                let answer = json!({
                    "protocolVersion": client.described().version,
                    "capabilities": {"tools": {"listChanged": true}},
                    "serverInfo": {"name": "toolbridge", "version": env!("CARGO_PKG_VERSION")},
                });
                Ok(RawJson::trusted(answer.to_string()))
            }
            "ping" => Ok(RawJson::trusted("{}")),
            "tools/list" => {
                let merged = self.servers.tools().await;
                let mut text = b"{\"tools\":".to_vec();
                text.extend_from_slice(merged.text.as_bytes());
                text.push(b'}');
                Ok(RawJson::trusted(text))
            }
            "tools/call" => {
                let params = request.params.as_ref();
                let call: Call<'_> = params
                    .and_then(|params| serde_json::from_slice(params.as_bytes()).ok())
                    .ok_or_else(|| RpcError::new(INVALID_PARAMS, "tools/call takes a name"))?;
                let (server, tool) = self.servers.find(&call.name).await?;
                let mut object = json!({"name": tool}).to_string();
                if let Some(arguments) = call.arguments {
                    object.truncate(object.len() - 1);
                    object.push_str(",\"arguments\":");
                    object.push_str(arguments.get());
                    object.push('}');
                }
                let params = Params {
                    object: Some(RawJson::trusted(object)),
                    meta: None,
                };
                let lasting = server.lasting();
                Ok(lasting
                    .request("tools/call", params, CallOptions::default())
                    .await?)
            }
            other => Err(RpcError::new(
                METHOD_NOT_FOUND,
                format!("{other} is not served"),
            )),
        }
    }
}
