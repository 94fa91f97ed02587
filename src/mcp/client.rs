//! One server and what is known of it. Uses `session`, `json` and `error`.

pub mod headers;
