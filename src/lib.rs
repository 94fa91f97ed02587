//! The map of the crate. Arrows run one way:
//! `{python, main} -> cli -> gateway -> agent -> {mcp, llm} -> tools -> schema -> {document, json} -> error`; a
//! layer may be skipped, never climbed.
//!
//! | module | owns | may use |
//! |---|---|---|
//! | [`error`] | the one error type and its kinds | nothing of this crate |
//! | [`document`] | a configuration file as a tree whose values know their lines | `error` |
//! | [`json`] | JSON text that is passed on as it came | `error` |
//! | [`schema`] | JSON Schema: values checked against it, schemas in the words of providers; pure | `json`, `error` |
//! | [`tools`] | MCP tool <-> provider tool, tool calls and results, names of many servers' tools, search, completions for servers; pure | `schema`, `json`, `error` |
//! | [`mcp`] | sessions, transports, authorization, connections that last, groups of servers | `document`, `tools`, `json`, `error` |
//! | [`llm`] | the completion call: providers, streams, retries | `tools`, `schema`, `json`, `error` |
//! | [`agent`] | the tool loop: a model, the tools that it calls, until it is done | `mcp`, `llm` and what is below them |
//! | [`gateway`] | many servers and many models behind one address | `agent`, `mcp`, `llm` and what is below them |
//! | [`cli`] | the command line | `gateway` and what is below it |
//! | [`runtime`] | the tokio runtime of the process | `error` |
//! | `python` | the only code that knows Python | all of the above |
//!
//! `mcp` and `llm` never name each other; `runtime` is used by `python` and `main` alone.

pub mod agent;
pub mod cli;
pub mod document;
pub mod error;
pub mod gateway;
pub mod json;
pub mod llm;
pub mod mcp;
#[cfg(feature = "python")]
mod python;
pub mod runtime;
pub mod schema;
pub mod tools;
