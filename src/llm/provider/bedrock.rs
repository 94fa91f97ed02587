//! Amazon Bedrock, by its Converse API:
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>.

use http::{HeaderName, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::aws;
use super::service::{Asked, Authentication, Service, join};
use crate::error::{Error, ErrorKind};
use crate::llm::conversion::bedrock::model;
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// What stays as it is in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Beside those of every service of AWS.
const OPTIONS: [&str; 2] = ["aws_bedrock_runtime_endpoint", "model_id"];

/// Variables that say where it is, LiteLLM's and AWS's.
const ENDPOINTS: [&str; 2] = [
    "AWS_BEDROCK_RUNTIME_ENDPOINT",
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
];

/// Routes of LiteLLM that mean another API.
const OTHERS: [&str; 5] = [
    "invoke/",
    "async_invoke/",
    "agent/",
    "agentcore/",
    "mantle/",
];

/// Converse at `{base}/model/{id}/converse`.
#[derive(Debug)]
pub struct Bedrock;

/// The id that requests go to: that of the model, or what stands behind it (`model_id`), as the ARN of
/// an inference profile whose name does not say of which family it is.
fn with_id<T>(asked: &Asked<'_>, use_it: impl FnOnce(model::ModelName<'_>) -> T) -> T {
    let given = asked.option("model_id");
    let named = model::parse(&asked.model.name);
    let Some(given) = &given else {
        return use_it(named);
    };
    let behind = model::parse(given);
    use_it(model::ModelName {
        region: named.region.or(behind.region),
        ..behind
    })
}

fn region(asked: &Asked<'_>) -> Result<String, Error> {
    with_id(asked, |name| aws::region(asked, name.region))
}

impl Service for Bedrock {
    fn options(&self) -> &'static [&'static [&'static str]] {
        &[&aws::OPTIONS, &OPTIONS]
    }

    fn wire(&self, _model: &ModelId) -> Wire {
        Wire::Converse
    }

    fn default_base(&self, asked: &Asked<'_>) -> Result<Option<String>, Error> {
        let given = asked.setting(&["aws_bedrock_runtime_endpoint"], &ENDPOINTS);
        match given {
            Some(base) => Ok(Some(base)),
            None => Ok(Some(aws::host("bedrock-runtime", &region(asked)?))),
        }
    }

    fn url(&self, base: Url, asked: &Asked<'_>, streams: bool) -> Result<Url, Error> {
        with_id(asked, |name| url(base, name.id, asked, streams))
    }

    fn authentication(
        &self,
        key: Option<String>,
        asked: &Asked<'_>,
    ) -> Result<Authentication, Error> {
        let given = asked.settings.api_key.as_ref();
        let is_given = given.is_some_and(|key| !key.is_empty());
        match key {
            // Credentials that the call names win over a key in the environment.
            Some(key) if is_given || !aws::says_who(asked) => Ok(Authentication::Bearer(key)),
            _ => aws::sign(asked, "bedrock", region(asked)?),
        }
    }

    fn headers(&self, _asked: &Asked<'_>) -> Vec<(HeaderName, String)> {
        vec![(header::ACCEPT, "*/*".to_owned())]
    }
}

fn url(base: Url, id: &str, asked: &Asked<'_>, streams: bool) -> Result<Url, Error> {
    if let Some(route) = OTHERS.iter().find(|route| id.starts_with(**route)) {
        return Err(asked.refusal(
            ErrorKind::BadRequest,
            format!(
                "bedrock/{route}… means another API of Bedrock than Converse, which is not supported: \
                 write \"bedrock/{}\"",
                id.trim_start_matches(route)
            ),
        ));
    }
    let id = utf8_percent_encode(id, SEGMENT);
    let verb = if streams {
        "converse-stream"
    } else {
        "converse"
    };
    Ok(join(base, &format!("model/{id}/{verb}")))
}
