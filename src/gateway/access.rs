//! Who calls, and what a caller may use. Owns [`Access`] and [`Caller`]; uses `config`.
//!
//! A wrong key is answered at once and as often as it is tried: a delay is got around by whoever does
//! not wait for it, and an address that is shut out is shared by others. What stands against guessing
//! is the length of a key, so a short one is warned of; wrong keys are counted and logged.

mod rights;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{ConnectInfo, FromRequestParts};
use http::HeaderMap;
use http::request::Parts;

use super::Current;
use super::config::AccessConfig;
use super::failure::Failure;
use super::log::sent_by;
use super::origin::is_loopback;
use crate::error::{Error, ErrorKind, Result};
use crate::mcp::ServerConfig;
use rights::Rights;

/// The key that the documentation of LiteLLM gives as its example.
const PUBLIC_KEY: &str = "sk-1234";
/// A shorter key can be found by trying.
const SAFE_KEY_BYTES: usize = 20;
/// The headers that carry a key, the first that is there counts. `Authorization` is the last, for a
/// client may have to say something else to a server with it.
const KEY_HEADERS: [&str; 3] = ["x-litellm-api-key", "api-key", "authorization"];

/// The keys that are accepted.
#[derive(Debug)]
pub(super) struct Access {
    /// Empty accepts everybody.
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    digest: Digest,
    identity: Identity,
    rights: Arc<Rights>,
}

struct Digest([u8; 32]);

impl std::fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Digest")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    /// There is no master key.
    Anybody,
    Master,
    /// A key of the configuration, by its name.
    Key(Arc<str>),
}

/// Whoever sent a request. Two are equal that are the same, with the same rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    identity: Identity,
    rights: Arc<Rights>,
    /// Whether it calls from this machine or a network of the same house.
    is_internal: bool,
}

impl Access {
    pub(super) fn new(config: &AccessConfig, host: &str) -> Result<Self> {
        let Some(master_key) = config.master_key.as_deref() else {
            if is_loopback(host) {
                return Ok(Self { keys: Vec::new() });
            }
            return Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "the gateway does not listen on {host} without a key: set general_settings.master_key, \
                     TOOLBRIDGE_MASTER_KEY or LITELLM_MASTER_KEY, or listen on 127.0.0.1"
                ),
            ));
        };
        check_strength(master_key, host)?;
        let master = Key {
            digest: Digest(digest_of(master_key.trim().as_bytes())),
            identity: Identity::Master,
            rights: Arc::default(),
        };
        let others = config.keys.iter().map(|key| Key {
            digest: Digest(key.digest),
            identity: Identity::Key(key.name.as_str().into()),
            rights: Arc::new(Rights::new(key)),
        });
        Ok(Self {
            keys: std::iter::once(master).chain(others).collect(),
        })
    }

    /// Finds out who sent a request, from where.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        from: Option<IpAddr>,
    ) -> std::result::Result<Caller, Failure> {
        let caller = |identity, rights| Caller {
            identity,
            rights,
            is_internal: from.is_some_and(is_internal),
        };
        if self.keys.is_empty() {
            return Ok(caller(Identity::Anybody, Arc::default()));
        }
        let Some(given) = given(headers) else {
            return Err(Failure::unauthorized(
                "no key was given: send one as Authorization: Bearer …, x-litellm-api-key or api-key",
                false,
            ));
        };
        let digest = digest_of(given);
        // Every key is looked at, and digests are of one length: the time says nothing.
        let mut found = None;
        for key in &self.keys {
            if verify_slices_are_equal(&digest, &key.digest.0).is_ok() {
                found = Some(key);
            }
        }
        match found {
            Some(key) => Ok(caller(key.identity.clone(), Arc::clone(&key.rights))),
            None => Err(Failure::unauthorized("the key is not known", true)),
        }
    }
}

impl Caller {
    /// What it is called in logs and metrics; never the key.
    pub(super) fn name(&self) -> &str {
        match &self.identity {
            Identity::Anybody => "anybody",
            Identity::Master => "master",
            Identity::Key(name) => name,
        }
    }

    /// Whether it had to give no key.
    pub(super) fn is_anybody(&self) -> bool {
        self.identity == Identity::Anybody
    }

    /// What it is told apart from all others by; never the key.
    pub(super) fn identity(&self) -> String {
        match &self.identity {
            Identity::Key(name) => format!("key {name}"),
            _ => self.name().to_owned(),
        }
    }

    /// Whether there is anything that it may not use.
    pub(super) fn is_limited(&self) -> bool {
        !self.is_internal || !self.rights.is_everything()
    }

    /// Whether it may see what concerns everybody.
    pub(super) fn is_operator(&self) -> bool {
        self.rights.is_everything()
    }

    /// Whether it may use a server. One that it may not use does not exist for it.
    pub(super) fn may_use(&self, server: &ServerConfig) -> bool {
        (self.is_internal || !server.policy.internal_only) && self.rights.has_server(server)
    }

    /// Whether it may call a tool, by its own name, of a server.
    pub(super) fn may_call(&self, server: &ServerConfig, tool: &str) -> bool {
        self.may_use(server) && server.allows(tool) && self.rights.has_tool(server, tool)
    }

    /// Whether it may ask a model, by the name that it asks for.
    pub(super) fn may_ask(&self, model: &str) -> bool {
        self.rights.has_model(model)
    }
}

impl FromRequestParts<Current> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(
        parts: &mut Parts,
        current: &Current,
    ) -> std::result::Result<Self, Failure> {
        let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let from = from.map(|ConnectInfo(address)| address.ip());
        let caller = current.get().access.check(&parts.headers, from)?;
        sent_by(parts, &caller);
        Ok(caller)
    }
}

/// Refuses a key that everybody knows where others can reach the gateway.
fn check_strength(key: &str, host: &str) -> Result<()> {
    let is_local = is_loopback(host);
    if key == PUBLIC_KEY {
        if !is_local {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "the master key is the example of a documentation, which everybody knows; with it the \
                     gateway listens on 127.0.0.1 alone, not on {host}"
                ),
            ));
        }
        tracing::warn!(
            target: "toolbridge::gateway",
            "the master key is the example of a documentation, which everybody knows; it is accepted \
             because the gateway listens on {host}"
        );
    } else if !is_local && key.len() < SAFE_KEY_BYTES {
        tracing::warn!(
            target: "toolbridge::gateway",
            "the master key is shorter than {SAFE_KEY_BYTES} characters, and can be found by trying; make \
             one with: openssl rand -hex 24"
        );
    }
    Ok(())
}

/// The SHA-256 of a key.
fn digest_of(key: &[u8]) -> [u8; 32] {
    let digest = digest(&SHA256, key);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

/// The key of a request, whichever header carries it.
fn given(headers: &HeaderMap) -> Option<&[u8]> {
    let value = KEY_HEADERS.into_iter().find_map(|name| headers.get(name))?;
    let value = value.as_bytes().trim_ascii();
    let key = match value.split_at_checked(6) {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case(b"bearer")
                && rest.first().is_none_or(u8::is_ascii_whitespace) =>
        {
            rest.trim_ascii()
        }
        _ => value,
    };
    (!key.is_empty()).then_some(key)
}

/// Whether an address is of this machine or of a private network.
fn is_internal(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::config::KeyConfig;
    use crate::mcp::{HttpSettings, Target};

    const KEY: &str = "sk-a-key-of-the-tests-alone";

    fn limited() -> AccessConfig {
        let names = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        AccessConfig {
            master_key: Some(KEY.to_owned()),
            keys: vec![KeyConfig {
                name: "team".to_owned(),
                digest: digest_of(b"sk-team"),
                servers: names(&["time", "s"]),
                access_groups: names(&["code"]),
                tools: names(&["now", "sums-add", "git_status"]),
                models: names(&["small"]),
            }],
            ..AccessConfig::default()
        }
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    fn caller(access: &Access, name: &'static str, value: &str) -> Option<String> {
        let caller = access.check(&headers(name, value), None).ok()?;
        Some(caller.name().to_owned())
    }

    fn server(name: &str) -> ServerConfig {
        let target = Target::Http {
            settings: HttpSettings::new("http://127.0.0.1/"),
            kind: None,
        };
        ServerConfig::new(name, target)
    }

    #[test]
    fn a_key_is_taken_from_each_of_its_headers() {
        let access = Access::new(&limited(), "127.0.0.1").unwrap();
        for (name, value) in [
            ("authorization", format!("Bearer {KEY}")),
            ("authorization", format!("bearer  {KEY} ")),
            ("x-litellm-api-key", KEY.to_owned()),
            ("x-litellm-api-key", format!("Bearer {KEY}")),
            ("api-key", KEY.to_owned()),
        ] {
            let found = caller(&access, name, &value);
            assert_eq!(found.as_deref(), Some("master"), "{name}");
        }
        assert_eq!(
            caller(&access, "api-key", "sk-team").as_deref(),
            Some("team")
        );
        for (name, value) in [
            ("authorization", "Bearer sk-other"),
            ("authorization", "Bearer"),
            ("authorization", "Basic sk-team"),
            ("x-api-key", KEY),
            ("api-key", "sk-a-key-of-the-tests-alon"),
            ("api-key", ""),
        ] {
            assert_eq!(caller(&access, name, value), None, "{name}: {value}");
        }
        let mut both = headers("authorization", "Bearer for-a-server");
        both.insert("x-litellm-api-key", "sk-team".parse().unwrap());
        assert_eq!(access.check(&both, None).unwrap().name(), "team");
    }

    #[test]
    fn a_gateway_for_others_has_a_key_that_not_everybody_knows() {
        let with = |key: Option<&str>| AccessConfig {
            master_key: key.map(str::to_owned),
            ..AccessConfig::default()
        };
        assert!(Access::new(&with(None), "0.0.0.0").is_err());
        assert!(Access::new(&with(Some("sk-1234")), "0.0.0.0").is_err());
        assert!(Access::new(&with(Some(KEY)), "0.0.0.0").is_ok());
        assert!(Access::new(&with(Some("sk-1234")), "localhost").is_ok());
        let open = Access::new(&with(None), "127.0.0.1").unwrap();
        assert_eq!(
            caller(&open, "authorization", "Bearer x").as_deref(),
            Some("anybody")
        );
        assert!(open.check(&HeaderMap::new(), None).is_ok());
    }

    #[test]
    fn a_key_may_use_what_is_named_and_nothing_else() {
        let access = Access::new(&limited(), "127.0.0.1").unwrap();
        let local = Some(IpAddr::from([127, 0, 0, 1]));
        let team = access.check(&headers("api-key", "sk-team"), local).unwrap();
        let master = access.check(&headers("api-key", KEY), local).unwrap();
        assert!(team.is_limited() && !master.is_limited());
        let (time, mut sums, mut git) = (server("time"), server("sums-long"), server("git"));
        assert!(team.may_use(&time) && !team.may_use(&sums) && !team.may_use(&git));
        sums.alias = Some("s".to_owned());
        git.policy.access_groups = vec!["code".to_owned()];
        assert!(team.may_use(&sums) && team.may_use(&git));
        assert!(team.may_call(&time, "now") && !team.may_call(&time, "convert"));
        assert!(team.may_call(&git, "git_status") && !team.may_call(&git, "status"));
        assert!(!team.may_call(&sums, "add"));
        sums.alias = Some("sums".to_owned());
        assert!(!team.may_use(&sums) && !team.may_call(&sums, "add"));
        sums.policy.allow_all_keys = true;
        assert!(team.may_call(&sums, "add") && !team.may_call(&sums, "drop"));
        assert!(team.may_ask("small") && !team.may_ask("large"));
        assert!(master.may_call(&sums, "drop") && master.may_ask("large"));
    }

    #[test]
    fn a_server_for_the_house_is_no_server_for_the_internet() {
        let access = Access::new(&limited(), "0.0.0.0").unwrap();
        let mut own = server("own");
        own.policy.internal_only = true;
        for (from, may) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("::1", true),
            ("::ffff:192.168.0.1", true),
            ("fd00::1", true),
            ("8.8.8.8", false),
            ("2606:4700::1", false),
        ] {
            let from = Some(from.parse().unwrap());
            let master = access.check(&headers("api-key", KEY), from).unwrap();
            assert_eq!(master.may_use(&own), may, "{from:?}");
            assert!(master.may_use(&server("other")));
        }
    }

    #[test]
    fn a_caller_whose_rights_change_is_another_one() {
        let before = Access::new(&limited(), "127.0.0.1").unwrap();
        let mut config = limited();
        config.keys[0].models = Some(Vec::new());
        let after = Access::new(&config, "127.0.0.1").unwrap();
        let team = |access: &Access| access.check(&headers("api-key", "sk-team"), None).unwrap();
        assert_eq!(team(&before), team(&before));
        assert_ne!(team(&before), team(&after));
    }

    #[test]
    fn no_key_shows() {
        let access = Access::new(&limited(), "127.0.0.1").unwrap();
        let caller = access.check(&headers("api-key", KEY), None).unwrap();
        let shown = format!("{access:?} {caller:?}");
        assert!(!shown.contains("sk-"), "{shown}");
    }
}
