//! Replicate's API: <https://replicate.com/docs/reference/http>.

use url::Url;

use super::service::{Asked, Service, join};
use crate::error::{Error, ErrorKind};
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// Predictions of a model, of a version of one, or of a deployment.
#[derive(Debug)]
pub struct Replicate;

impl Service for Replicate {
    fn wire(&self, _model: &ModelId) -> Wire {
        Wire::Replicate
    }

    fn url(&self, base: Url, asked: &Asked<'_>, _streams: bool) -> Result<Url, Error> {
        let name = &asked.model.name;
        let is_part = |part: &str| {
            !part.is_empty()
                && part != ".."
                && part != "."
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let path = if name.contains(':') || is_version(name) {
            "predictions".to_owned()
        } else {
            match name.split('/').collect::<Vec<_>>().as_slice() {
                [owner, model] if is_part(owner) && is_part(model) => {
                    format!("models/{owner}/{model}/predictions")
                }
                ["deployments", owner, model] if is_part(owner) && is_part(model) => {
                    format!("deployments/{owner}/{model}/predictions")
                }
                _ => {
                    return Err(asked.refusal(
                        ErrorKind::BadRequest,
                        format!(
                            "{name:?} is no model of replicate: write replicate/owner/name, \
                             replicate/owner/name:version or replicate/deployments/owner/name"
                        ),
                    ));
                }
            }
        };
        Ok(join(base, &path))
    }
}

/// Whether a name is the id of a version alone.
fn is_version(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
