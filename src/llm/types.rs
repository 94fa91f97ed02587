//! Wire types of the chat completion API, typed as far as conversions look into them; whatever
//! nobody here knows stays beside it. Pure; uses `error` alone.
//!
//! | module | owns |
//! |---|---|
//! | [`chat`] | a request, read with errors that say where |
//! | [`content`] | the content of its messages |
//! | [`completion`] | a whole answer, as it is written |
//! | [`chunk`] | the chunks of a stream, as they are written |
//! | [`fields`] | members of JSON objects, taken with errors that say where |

pub mod chat;
pub mod chunk;
pub mod completion;
pub mod content;
pub mod fields;
