//! Workers AI of Cloudflare, by its OpenAI-compatible endpoint:
//! <https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility/>.

use url::Url;

use super::openai::chat_completions_url;
use super::service::{Asked, Service, join};
use crate::error::{Error, ErrorKind};
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

const ACCOUNT_VARIABLE: &str = "CLOUDFLARE_ACCOUNT_ID";

/// Chat completions at `…/accounts/{account}/ai/v1/chat/completions`.
#[derive(Debug)]
pub struct Cloudflare;

impl Service for Cloudflare {
    fn options(&self) -> &'static [&'static [&'static str]] {
        &[&["account_id"]]
    }

    fn wire(&self, _model: &ModelId) -> Wire {
        Wire::Chat
    }

    fn default_base(&self, asked: &Asked<'_>) -> Result<Option<String>, Error> {
        let Some(account) = asked.setting(&["account_id"], &[ACCOUNT_VARIABLE]) else {
            return Err(asked.refusal(
                ErrorKind::Configuration,
                format!(
                    "cloudflare needs to know the account: set {ACCOUNT_VARIABLE}, or give the account_id \
                     or the api_base argument"
                ),
            ));
        };
        let is_id = account.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_id {
            return Err(asked.refusal(
                ErrorKind::Configuration,
                format!(
                    "the account of cloudflare ({ACCOUNT_VARIABLE} or account_id) is not an id: it is \
                     letters and digits"
                ),
            ));
        }
        let base = format!("https://api.cloudflare.com/client/v4/accounts/{account}/ai/v1");
        Ok(Some(base))
    }

    fn url(&self, base: Url, _asked: &Asked<'_>, _streams: bool) -> Result<Url, Error> {
        // The older path speaks another protocol.
        let path = base.path().trim_end_matches('/').to_owned();
        let base = match path.strip_suffix("/ai/run") {
            Some(start) => {
                let mut url = base;
                url.set_path(start);
                join(url, "ai/v1")
            }
            None => base,
        };
        Ok(chat_completions_url(base))
    }
}
