//! The completion call: which provider a model name means, the request on the wire, retries, the
//! answer and the stream. Uses `tools`, `json` and `error`; knows nothing of `mcp` and nothing of
//! Python. Environment variables are handed in by the caller, never read in here.
//!
//! | module | owns |
//! |---|---|
//! | [`model_id`] | `openai/gpt-4o`, `gpt-4o`, `custom_llm_provider` -> provider and wire name |
//! | [`call_id`] | what a call is known by |
//! | [`catalogue`] | limits, prices and capabilities of models; how many tokens a text has; pure |
//! | [`provider`] | the table of providers; URL, headers and key of one request |
//! | [`types`] | wire types of chat completions |
//! | [`conversion`] | chat completions as other protocols have them, and back; pure |
//! | [`wire`] | the protocols: their conversion, their framing |
//! | [`failure`] | error answers -> [`crate::error::Error`], with every secret taken out |
//! | [`retry`] | whether and when a request is repeated |
//! | [`answer`] | what makes a body an answer, and the repairs that it gets |
//! | [`stream`] | server-sent events out of bytes |
//! | [`framing`] | events out of bytes, for every way to frame them |
//! | [`judge`] | what the events of a stream are |
//! | [`chat_stream`] | a running stream: buffering, back-pressure, how it ended |
//! | [`passage`] | a running stream that is passed on as it came |
//! | [`rebuild`] | one whole answer out of the chunks of a stream; pure |
//! | [`patience`] | how long a stream may keep its reader waiting |
//! | [`trust`] | whose certificates are trusted |
//! | [`client`] | the connection pool and the calls |
//! | [`router`] | several deployments behind one name of a model |
//! | [`tool_results`] | what the messages to a model have room for |

pub mod answer;
pub mod call_id;
pub mod catalogue;
pub mod chat_stream;
pub mod client;
pub mod conversion;
pub mod failure;
pub mod framing;
pub mod judge;
pub mod model_id;
pub mod passage;
pub mod patience;
pub mod provider;
pub mod rebuild;
pub mod retry;
pub mod router;
pub mod stream;
pub mod tool_results;
pub mod trust;
pub mod types;
pub mod wire;
