//! What the services of AWS have in common: regions, hosts, whose credentials are meant.
//!
//! | module | owns |
//! |---|---|
//! | `credentials` | where credentials come from, and how long they are kept |
//! | `signature` | requests signed with them |
//! | `transport` | the HTTP client that they are fetched with |

mod credentials;
mod signature;
mod transport;

use std::sync::Arc;

use aws_config::meta::region::ProvideRegion;
use aws_config::profile::region::ProfileFileRegionProvider;
use futures_util::FutureExt;
use http::header;

use super::service::{Asked, Authentication};
use crate::error::{Error, ErrorKind};
use credentials::{Keys, Principal};
use signature::Signer;

/// What says whose credentials are meant, and where.
pub(super) const OPTIONS: [&str; 10] = [
    "aws_access_key_id",
    "aws_external_id",
    "aws_profile_name",
    "aws_region_name",
    "aws_role_name",
    "aws_secret_access_key",
    "aws_session_name",
    "aws_session_token",
    "aws_sts_endpoint",
    "aws_web_identity_token",
];

/// Variables that say where, the first that is set wins.
const REGION_VARIABLES: [&str; 3] = ["AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION"];

/// The region of a request: the model's, the caller's, the environment's, that of the profile.
pub(super) fn region(asked: &Asked<'_>, of_model: Option<&str>) -> Result<String, Error> {
    let found = asked
        .option("aws_region_name")
        .or_else(|| of_model.map(str::to_owned))
        .or_else(|| {
            asked
                .first_variable(&REGION_VARIABLES)
                .map(|(_, value)| value)
        })
        .or_else(|| region_of_profile(asked));
    let Some(region) = found else {
        return Err(asked.refusal(
            ErrorKind::Configuration,
            format!(
                "{} needs a region: give the aws_region_name argument (as in \"us-east-1\"), set one of \
                 the environment variables {}, or have a region in the profile of ~/.aws/config",
                asked.provider().name,
                REGION_VARIABLES.join(", "),
            ),
        ));
    };
    // It becomes part of a host name.
    let is_name =
        |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
    if region.bytes().all(is_name) {
        return Ok(region);
    }
    Err(asked.refusal(
        ErrorKind::Configuration,
        format!("the region {region:?} is no name of a region of AWS, as in \"us-east-1\""),
    ))
}

/// Read at once: it is a small file, and the URL depends on it.
fn region_of_profile(asked: &Asked<'_>) -> Option<String> {
    let mut builder = ProfileFileRegionProvider::builder();
    if let Some(profile) = asked.option("aws_profile_name") {
        builder = builder.profile_name(profile);
    }
    let found = builder.build().region().now_or_never()??;
    Some(found.as_ref().to_owned())
}

/// `https://{service}.{region}.…`.
pub(super) fn host(service: &str, region: &str) -> String {
    let suffix = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    format!("https://{service}.{region}.{suffix}")
}

/// A signature for each request, with the credentials that the caller or the machine has.
pub(super) fn sign(
    asked: &Asked<'_>,
    service: &'static str,
    region: String,
) -> Result<Authentication, Error> {
    // The caller says by a header who it is.
    let says_it = asked
        .settings
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(header::AUTHORIZATION.as_str()));
    if says_it {
        return Ok(Authentication::Nothing);
    }
    let principal = principal(asked, &region)?;
    let secrets = principal.secrets();
    let signer = Signer::new(asked.provider().name, service, region, principal);
    Ok(Authentication::Each(Arc::new(signer), secrets))
}

/// Whether the call itself says whose credentials are meant.
pub(super) fn says_who(asked: &Asked<'_>) -> bool {
    [
        "aws_access_key_id",
        "aws_profile_name",
        "aws_role_name",
        "aws_web_identity_token",
    ]
    .iter()
    .any(|name| asked.option(name).is_some())
}

fn principal(asked: &Asked<'_>, region: &str) -> Result<Principal, Error> {
    let given = [
        ("aws_access_key_id", asked.option("aws_access_key_id")),
        (
            "aws_secret_access_key",
            asked.option("aws_secret_access_key"),
        ),
    ];
    let token = asked.option("aws_session_token");
    let profile = asked.option("aws_profile_name");
    let keys = match given {
        [(_, Some(id)), (_, Some(secret))] => Some(Keys { id, secret, token }),
        [(_, None), (_, None)] => {
            // A profile that the call names wins over the environment.
            let id = asked.variable("AWS_ACCESS_KEY_ID");
            let secret = asked.variable("AWS_SECRET_ACCESS_KEY");
            id.zip(secret)
                .filter(|_| profile.is_none())
                .map(|(id, secret)| Keys {
                    id,
                    secret,
                    token: asked.variable("AWS_SESSION_TOKEN"),
                })
        }
        [(one, first), (other, _)] => {
            let (there, missing) = if first.is_some() {
                (one, other)
            } else {
                (other, one)
            };
            return Err(asked.refusal(
                ErrorKind::Authentication,
                format!("{there} is given without {missing}: give both or neither"),
            ));
        }
    };
    let role = asked.option("aws_role_name");
    let web_identity_token = asked.option("aws_web_identity_token");
    if web_identity_token.is_some() && role.is_none() {
        return Err(asked.refusal(
            ErrorKind::Authentication,
            "aws_web_identity_token is given without aws_role_name, the role that it is for",
        ));
    }
    Ok(Principal {
        keys,
        profile,
        role,
        session_name: asked.option("aws_session_name"),
        external_id: asked.option("aws_external_id"),
        web_identity_token,
        sts_endpoint: asked.option("aws_sts_endpoint"),
        region: region.to_owned(),
        usual_profile: asked.variable("AWS_PROFILE"),
    })
}
