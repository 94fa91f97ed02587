//! HTTP+SSE of 2024-11-05: a stream that names the place to post to.

use http::StatusCode;

pub(in crate::gateway) async fn get() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}
