//! The tests of the engine, one module for each part; one binary, so that it links once.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod gateway_access;
#[cfg(test)]
mod gateway_chat;
#[cfg(test)]
mod gateway_cli;
#[cfg(test)]
mod gateway_client;
#[cfg(test)]
mod gateway_config;
#[cfg(test)]
mod gateway_config_bytes;
#[cfg(test)]
mod gateway_costs;
#[cfg(test)]
mod gateway_deployments;
#[cfg(test)]
mod gateway_downstream;
#[cfg(test)]
mod gateway_mcp;
#[cfg(test)]
mod gateway_operations;
#[cfg(test)]
mod gateway_reload;
#[cfg(test)]
mod gateway_rest;
#[cfg(test)]
mod gateway_traces;
#[cfg(test)]
mod gateway_upstream;
#[cfg(test)]
mod llm_answers;
#[cfg(test)]
mod llm_azure;
#[cfg(test)]
mod llm_bytes;
#[cfg(test)]
mod llm_clouds;
#[cfg(test)]
mod llm_conversion;
#[cfg(test)]
mod llm_endpoint;
#[cfg(test)]
mod llm_fetch;
#[cfg(test)]
mod llm_golden;
#[cfg(test)]
mod llm_matrix;
#[cfg(test)]
mod llm_passage;
#[cfg(test)]
mod llm_providers;
#[cfg(test)]
mod llm_router;
#[cfg(test)]
mod llm_streams;
#[cfg(test)]
mod mcp_auth;
#[cfg(test)]
mod mcp_bytes;
#[cfg(test)]
mod mcp_cache;
#[cfg(test)]
mod mcp_client;
#[cfg(test)]
mod mcp_config;
#[cfg(test)]
mod mcp_group;
#[cfg(test)]
mod mcp_headers;
#[cfg(test)]
mod mcp_http;
#[cfg(test)]
mod mcp_http2;
#[cfg(test)]
mod mcp_lasting;
#[cfg(test)]
mod mcp_output;
#[cfg(test)]
mod mcp_stdio;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod tools_call;
#[cfg(test)]
mod tools_definition;
#[cfg(test)]
mod tools_names;
#[cfg(test)]
mod tools_results;
#[cfg(test)]
mod tools_search;
