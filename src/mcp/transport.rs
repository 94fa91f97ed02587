//! The transports, on rmcp's `Transport` trait. Each hands answers over as raw text and routes
//! notifications itself, in wire order.

mod answers;
pub mod event_stream;
pub mod framing;
pub mod http;
mod inbox;
mod scratch;
pub mod sse;
mod stderr;
pub mod stdio;
pub mod streamable_http;
mod traffic;
