//! The tool loop: a model is asked, the tools that it calls are called, their results go back, until
//! it answers without a call. Owns [`Run`]; uses `llm`, `mcp`, `tools` and `schema`; knows nothing of
//! Python and nothing of the gateway.
//!
//! | module | owns |
//! |---|---|
//! | [`model`] | who is asked: a provider, or what else answers like one; what is put around it |
//! | [`toolbox`] | whose tools are called: a group of MCP servers, or what else has tools |
//! | [`offer`] | which tools a model is told of, and what it may send to them |
//! | [`conversation`] | the messages, and the body of the next request |
//! | `turn` | what a model said in one round, whole or out of its stream |
//! | `calls` | the calls of one round, side by side |
//! | [`approval`] | whether a call is made |
//! | `finding` | catalogues that are too large to be told |
//! | [`event`] | what a run tells while it goes on |
//! | [`run`] | the loop |
//! | `results` | results of calls as messages, and what did not fit into them |
//! | [`completion`] | a run as one chat completion |
//! | [`cassette`] | runs that are recorded and replayed |
//! | [`outcome`] | how a run ended, and what it needs to go on later |

pub mod approval;
mod calls;
pub mod cassette;
pub mod completion;
pub mod conversation;
pub mod event;
mod finding;
pub mod model;
pub mod offer;
pub mod outcome;
mod results;
pub mod run;
pub mod toolbox;
mod turn;

pub use approval::{Approver, Decision};
pub use cassette::Cassette;
pub use conversation::{Conversation, Head, elements};
pub use event::{Event, Listener};
pub use model::{Model, Origin, Provider, Reply};
pub use offer::Choice;
pub use outcome::{Call, Done, Outcome, Stop};
pub use run::{Run, Search, Settings};
pub use toolbox::{CallTerms, GroupTools, Tool, Toolbox};
