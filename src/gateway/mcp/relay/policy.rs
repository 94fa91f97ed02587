//! What of a server's tools the configuration offers, and a caller may use: which of them, and with which parameters. Pure.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::splice::{member, members, replaced, text_member};
use crate::gateway::access::Caller;
use crate::gateway::mcp::message::{INVALID_PARAMS, RpcError};
use crate::json::RawJson;
use crate::mcp::ServerConfig;

/// Whether a call of a tool is one that the configuration offers.
pub(super) fn check(
    caller: &Caller,
    config: &ServerConfig,
    params: &RawJson,
) -> Result<(), RpcError> {
    let restricts = restricts_tools(caller, config) || !config.policy.allowed_params.is_empty();
    if !restricts {
        return Ok(());
    }
    let text = params.as_bytes();
    // The server says what is wrong with a call without a name.
    let Some(name) = text_member(text, "name") else {
        return Ok(());
    };
    if !caller.may_call(config, &name) {
        let message = format!("Unknown tool: {name}");
        return Err(RpcError::new(INVALID_PARAMS, message));
    }
    let Some(allowed) = config.policy.allowed_params.get(&name) else {
        return Ok(());
    };
    let given = member(text, "arguments").map_or("{}", RawValue::get);
    let given = members(given.as_bytes()).into_iter();
    let refused: Vec<_> = given
        .map(|(name, _)| name)
        .filter(|name| !allowed.contains(name))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let message = format!(
        "the configuration of this gateway does not let {} of the tool {name:?} be set; it takes {}",
        refused.join(", "),
        if allowed.is_empty() {
            Cow::from("no parameters")
        } else {
            allowed.join(", ").into()
        }
    );
    Err(RpcError::new(INVALID_PARAMS, message))
}

fn restricts_tools(caller: &Caller, config: &ServerConfig) -> bool {
    caller.is_limited() || config.allowed_tools.is_some() || !config.disallowed_tools.is_empty()
}

/// A page of `tools/list` without the tools that are not offered.
pub(super) fn offered(caller: &Caller, config: &ServerConfig, page: RawJson) -> RawJson {
    let Some(list) = member(page.as_bytes(), "tools").filter(|_| restricts_tools(caller, config))
    else {
        return page;
    };
    let tools: Vec<&RawValue> = serde_json::from_str(list.get()).unwrap_or_default();
    let tools = tools.into_iter().filter(|tool| {
        text_member(tool.get().as_bytes(), "name").is_none_or(|name| caller.may_call(config, &name))
    });
    let tools: Vec<_> = tools.map(RawValue::get).collect();
    replaced(&page, list, format!("[{}]", tools.join(",")).as_bytes())
}
