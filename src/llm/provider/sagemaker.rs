//! Endpoints of Amazon `SageMaker` that speak OpenAI's chat completions:
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html>.

use http::{HeaderName, header};
use url::Url;

use super::aws;
use super::service::{Asked, Authentication, Service, join};
use crate::error::{Error, ErrorKind};
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// Chat completions at `{base}/endpoints/{model}/invocations`.
#[derive(Debug)]
pub struct SageMaker;

impl Service for SageMaker {
    fn options(&self) -> &'static [&'static [&'static str]] {
        &[&aws::OPTIONS]
    }

    fn wire(&self, _model: &ModelId) -> Wire {
        Wire::ChatInFrames
    }

    fn default_base(&self, asked: &Asked<'_>) -> Result<Option<String>, Error> {
        let base = match asked.variable("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME") {
            Some(base) => base,
            None => aws::host("runtime.sagemaker", &aws::region(asked, None)?),
        };
        Ok(Some(base))
    }

    fn url(&self, base: Url, asked: &Asked<'_>, streams: bool) -> Result<Url, Error> {
        let name = &asked.model.name;
        let fits = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-';
        if !name.bytes().all(fits) {
            return Err(asked.refusal(
                ErrorKind::BadRequest,
                format!(
                    "{name:?} is no name of an endpoint of SageMaker, which has letters, digits and \
                     dashes: write \"sagemaker_chat/my-endpoint\""
                ),
            ));
        }
        let verb = if streams {
            "invocations-response-stream"
        } else {
            "invocations"
        };
        Ok(join(base, &format!("endpoints/{name}/{verb}")))
    }

    fn authentication(
        &self,
        key: Option<String>,
        asked: &Asked<'_>,
    ) -> Result<Authentication, Error> {
        match key {
            // SageMaker itself has no keys; what stands in front of it may.
            Some(key) if asked.settings.api_base.is_some() => Ok(Authentication::Bearer(key)),
            _ => aws::sign(asked, "sagemaker", aws::region(asked, None)?),
        }
    }

    fn headers(&self, _asked: &Asked<'_>) -> Vec<(HeaderName, String)> {
        vec![(header::ACCEPT, "*/*".to_owned())]
    }
}
