//! MCP tools as the tools of providers, the tool calls of models as calls over MCP, and the results of
//! tools as models read them; completions that a server asks for. Pure: no I/O, and no provider is named
//! outside of this module's formats.
//!
//! The transforms are written once, over [`Tree`](crate::schema::Tree), for JSON values of Rust and the
//! dicts of Python. Uses `schema` and `error`.

pub mod arguments;
mod call;
mod definition;
pub mod names;
pub mod result;
pub mod sampling;
pub mod search;

pub use arguments::InputSchema;
pub use call::{Call, arguments, read_call};
pub use definition::{Described, Format, describe, with_remarks};
pub use names::{Separator, ToolNames};
