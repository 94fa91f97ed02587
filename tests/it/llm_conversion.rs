//! Conversions between chat completions and the protocols of providers: whole requests, answers and
//! streams. `wire` plays a call without a network.

mod anthropic;
pub(crate) mod bedrock;
mod cohere;
mod conversations;
mod mistral;
mod ollama;
pub(crate) mod play;
mod reasoning;
mod replicate;
mod responses;
mod schemas;
mod vertex;
