//! Where credentials come from: the call, the environment, shared files, a login (SSO), an assumed role, a web
//! identity, the container, the machine. AWS's own crates know how; here is which of them, and how long
//! what they give is kept.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::profile::{self, ProfileFileCredentialsProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::os_shim_internal::{Env, Fs};

use super::transport::Transport;
use crate::error::{Error, ErrorKind};
use crate::llm::trust::Trust;

/// Credentials are renewed when they have no more than this left.
const MARGIN: Duration = Duration::from_mins(5);
/// Files may change: what says no end is read again after this.
const PATIENCE: Duration = Duration::from_mins(1);
/// Principals beyond this number are forgotten, the oldest first.
const MAX_KEPT: usize = 64;
/// The name of a session where the caller gives none.
const SESSION_NAME: &str = "toolbridge";
/// What credentials are said to come from.
const SOURCE: &str = "toolbridge";

/// A part of AWS's crate that is left out, as it names it: it brings a client and a signature of its own, for
/// what the command `aws` does as well.
const LEFT_OUT: &str = "enabled: credentials-login";
/// What it says where a login of `aws sso login` is missing or over, cannot be read, or is refused by the portal.
const NO_LOGIN: [&str; 3] = ["SSO token", "sso/cache", "UnauthorizedException"];

/// A key pair.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

impl Keys {
    fn credentials(&self) -> Credentials {
        Credentials::new(&self.id, &self.secret, self.token.clone(), None, SOURCE)
    }
}

/// Whose credentials are meant.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Principal {
    pub(super) keys: Option<Keys>,
    pub(super) profile: Option<String>,
    pub(super) role: Option<String>,
    pub(super) session_name: Option<String>,
    pub(super) external_id: Option<String>,
    /// The token itself, or the file that holds it.
    pub(super) web_identity_token: Option<String>,
    pub(super) sts_endpoint: Option<String>,
    pub(super) region: String,
    /// The profile of the environment, which is meant where nobody says who.
    pub(super) usual_profile: Option<String>,
}

impl std::fmt::Debug for Principal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Principal")
            .field("profile", &self.profile)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Principal {
    /// What must not be shown.
    pub(super) fn secrets(&self) -> Vec<String> {
        let keys = self.keys.iter();
        let mut secrets: Vec<String> = keys
            .flat_map(|keys| [Some(keys.secret.clone()), keys.token.clone()])
            .flatten()
            .collect();
        secrets.extend(self.external_id.clone());
        secrets.extend(self.web_identity_token.clone());
        secrets
    }

    /// The credentials, kept ones where they are good for a while.
    pub(super) async fn credentials(
        &self,
        provider: &str,
        trust: &Trust,
    ) -> Result<Credentials, Error> {
        if let (Some(keys), None) = (&self.keys, &self.role)
            && self.profile.is_none()
        {
            return Ok(keys.credentials());
        }
        let slot = slot(self);
        // One fetches, the others wait for what it gets.
        let mut kept = slot.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_fresh()) {
            return Ok(kept.credentials.clone());
        }
        match self.fetch(&Transport(trust.clone())).await {
            Ok(credentials) => {
                *kept = Some(Kept {
                    credentials: credentials.clone(),
                    since: Instant::now(),
                });
                Ok(credentials)
            }
            Err(cause) => match kept.as_ref().filter(|kept| kept.is_valid()) {
                Some(kept) => {
                    tracing::warn!(reason = %reasons(&cause), "AWS credentials cannot be renewed yet");
                    Ok(kept.credentials.clone())
                }
                None => Err(self.missing(provider, cause).await),
            },
        }
    }

    async fn fetch(&self, transport: &Transport) -> Result<Credentials, CredentialsError> {
        let config = ProviderConfig::without_region()
            .with_http_client(transport.clone())
            .with_region(Some(Region::new(self.region.clone())));
        if let (Some(token), Some(role)) = (&self.web_identity_token, &self.role) {
            return self.with_web_identity(token, role, transport).await;
        }
        let own = match (&self.keys, &self.profile) {
            (_, Some(profile)) => SharedCredentialsProvider::new(
                ProfileFileCredentialsProvider::builder()
                    .configure(&config)
                    .profile_name(profile)
                    .build(),
            ),
            (Some(keys), None) => SharedCredentialsProvider::new(keys.credentials()),
            (None, None) => SharedCredentialsProvider::new(
                DefaultCredentialsChain::builder()
                    .region(Region::new(self.region.clone()))
                    .configure(config)
                    .build()
                    .await,
            ),
        };
        let Some(role) = &self.role else {
            return own.provide_credentials().await;
        };
        let mut assumed = AssumeRoleProvider::builder(role)
            .session_name(self.session())
            .configure(&self.sts(transport));
        if let Some(id) = &self.external_id {
            assumed = assumed.external_id(id);
        }
        assumed
            .build_from_provider(own)
            .await
            .provide_credentials()
            .await
    }

    fn session(&self) -> &str {
        self.session_name.as_deref().unwrap_or(SESSION_NAME)
    }

    /// How STS is reached.
    fn sts(&self, transport: &Transport) -> SdkConfig {
        let mut builder = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .time_source(aws_smithy_async::time::SystemTimeSource::new())
            .sleep_impl(aws_smithy_async::rt::sleep::TokioSleep::new())
            .http_client(transport.clone());
        builder.set_endpoint_url(self.sts_endpoint.clone());
        builder.build()
    }

    async fn with_web_identity(
        &self,
        token: &str,
        role: &str,
        transport: &Transport,
    ) -> Result<Credentials, CredentialsError> {
        // Tokens have dots and no slashes; a path that is not there is said to be none.
        let token = if token.contains('/') || Path::new(token).is_file() {
            std::fs::read_to_string(token).map_err(CredentialsError::invalid_configuration)?
        } else {
            token.to_owned()
        };
        let answer = aws_sdk_sts::Client::new(&self.sts(transport))
            .assume_role_with_web_identity()
            .role_arn(role)
            .role_session_name(self.session())
            .web_identity_token(token.trim())
            .send()
            .await
            .map_err(CredentialsError::provider_error)?;
        let found = answer.credentials.ok_or_else(|| {
            CredentialsError::unhandled("STS answered without credentials".to_owned())
        })?;
        let end = SystemTime::try_from(found.expiration).ok();
        Ok(Credentials::new(
            found.access_key_id,
            found.secret_access_key,
            Some(found.session_token),
            end,
            SOURCE,
        ))
    }

    /// There are none: every place where they were looked for.
    async fn missing(&self, provider: &str, cause: CredentialsError) -> Error {
        let why = reasons(&cause);
        let kind = match cause {
            CredentialsError::ProviderTimedOut(_) => ErrorKind::Timeout,
            _ => ErrorKind::Authentication,
        };
        let message = match (&self.web_identity_token, &self.role, &self.profile) {
            (Some(_), Some(role), _) => format!(
                "STS gave no AWS credentials for the role {role} (aws_role_name) and the token in \
                 aws_web_identity_token: {why}"
            ),
            (_, Some(role), _) => {
                format!("STS gave no AWS credentials for the role {role} (aws_role_name): {why}")
            }
            (_, _, Some(profile)) => format!(
                "the profile {profile:?} (aws_profile_name) of ~/.aws/config and ~/.aws/credentials \
                 gives no AWS credentials: {why}"
            ),
            _ => format!(
                "no AWS credentials for {provider}. Looked in: the arguments aws_access_key_id and \
                 aws_secret_access_key, aws_profile_name, aws_role_name and aws_web_identity_token; the \
                 environment variables AWS_BEARER_TOKEN_BEDROCK (Bedrock alone), AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY; the profile AWS_PROFILE or \"default\" of ~/.aws/config and \
                 ~/.aws/credentials; AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN; the container \
                 (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, AWS_CONTAINER_CREDENTIALS_FULL_URI); the \
                 instance metadata of EC2. The last of them said: {why}"
            ),
        };
        let message = if why.contains(LEFT_OUT) {
            format!(
                "{message}. Profiles of `aws login` are not read: write their credentials into the environment \
                 with `eval \"$(aws configure export-credentials --profile NAME --format env)\"`, or give another \
                 profile `credential_process = aws configure export-credentials --profile NAME`"
            )
        } else if NO_LOGIN.iter().any(|words| why.contains(words)) {
            let profile = self.profile_of_login().await;
            format!(
                "{message}. The profile {profile:?} of ~/.aws/config is one of a login, and there is none that is \
                 good: log in with `aws sso login --profile {profile}`"
            )
        } else {
            message
        };
        Error::new(kind, message).with_source(cause)
    }

    /// The profile that a login is for: the one at the end of those that take their keys from another.
    async fn profile_of_login(&self) -> String {
        let named = self.profile.clone().or_else(|| self.usual_profile.clone());
        let mut name = named.unwrap_or_else(|| "default".to_owned());
        #[expect(
            clippy::default_trait_access,
            reason = "its name in aws-config is deprecated"
        )]
        let places = Default::default();
        if let Ok(all) = profile::load(&Fs::real(), &Env::real(), &places, None).await {
            // They may go round in a circle.
            for _ in all.profiles() {
                let source = all.get_profile(&name);
                let Some(source) = source.and_then(|one| one.get("source_profile")) else {
                    break;
                };
                source.clone_into(&mut name);
            }
        }
        name
    }
}

/// An error and what lies under it, each sentence once.
fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let said = deeper.to_string();
        if !said.is_empty() && !text.contains(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = deeper.source();
    }
    text
}

#[derive(Debug)]
struct Kept {
    credentials: Credentials,
    since: Instant,
}

impl Kept {
    fn left(&self) -> Option<Duration> {
        let end = self.credentials.expiry()?;
        Some(end.duration_since(SystemTime::now()).unwrap_or_default())
    }

    fn is_fresh(&self) -> bool {
        match self.left() {
            Some(left) => left > MARGIN,
            None => self.since.elapsed() < PATIENCE,
        }
    }

    fn is_valid(&self) -> bool {
        self.left().is_none_or(|left| left > Duration::ZERO)
    }
}

type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// The one for a principal. After a fork nobody may hold the locks any more that were held before it.
fn slot(principal: &Principal) -> Slot {
    static SLOTS: Mutex<Vec<(u32, Principal, Slot)>> = Mutex::new(Vec::new());
    let process = std::process::id();
    let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    slots.retain(|(of, _, _)| *of == process);
    if let Some((_, _, slot)) = slots.iter().find(|(_, known, _)| known == principal) {
        return slot.clone();
    }
    if slots.len() == MAX_KEPT {
        slots.remove(0);
    }
    let slot = Slot::default();
    slots.push((process, principal.clone(), slot.clone()));
    slot
}
