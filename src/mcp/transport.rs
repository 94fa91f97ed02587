//! The transports, on rmcp's `Transport` trait. Each hands answers over as raw text and routes
//! notifications itself, in wire order.

pub mod framing;
mod inbox;
mod stderr;
pub mod stdio;
