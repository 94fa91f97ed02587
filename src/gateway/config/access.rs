//! Who may call: `general_settings.master_key` and `keys`. Owns [`AccessConfig`] and [`KeyConfig`].

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};

use super::keys::Section;
use super::notice::Notices;
use crate::document::fields::{Fields, Lookup, Spelling};
use crate::document::{Data, Node, Place};
use crate::error::{Error, Result};

/// The variables that hold the master key where the file does not, the first that is set wins.
const MASTER_KEY_VARIABLES: [&str; 2] = ["TOOLBRIDGE_MASTER_KEY", "LITELLM_MASTER_KEY"];
const HASHED: &str = "sha256:";

/// Who may call.
#[derive(Default, Clone)]
pub struct AccessConfig {
    /// The key that may do everything; without one everybody may.
    pub master_key: Option<String>,
    /// Further keys, each with what it may use.
    pub keys: Vec<KeyConfig>,
    /// Names of the gateway besides those of loopback, without a port.
    pub allowed_hosts: Vec<String>,
    /// Pages of browsers that may use it, as in `https://app.example`; `*` is every page.
    pub allowed_origins: Vec<String>,
}

impl fmt::Debug for AccessConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AccessConfig")
            .field("master_key", &self.master_key.is_some())
            .field("keys", &self.keys)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("allowed_origins", &self.allowed_origins)
            .finish()
    }
}

/// A key beside the master key. What is None it may use without limit; an empty list lets it use
/// nothing.
#[derive(Clone)]
pub struct KeyConfig {
    /// What it is called in logs and metrics.
    pub name: String,
    /// The SHA-256 of the key.
    pub digest: [u8; 32],
    /// MCP servers, by name or alias.
    pub servers: Option<Vec<String>>,
    /// Access groups of MCP servers; what they name is usable beside `servers`.
    pub access_groups: Option<Vec<String>>,
    /// Tools, as `server-tool` or by their own name.
    pub tools: Option<Vec<String>>,
    /// Models, by the names of `model_list`.
    pub models: Option<Vec<String>>,
}

impl fmt::Debug for KeyConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyConfig")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What is known of an entry of `keys` beside what it says.
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) key: KeyConfig,
}

/// The master key: what the file says, else what a variable does.
pub(super) fn master_key(fields: &mut Fields<'_>, variables: Lookup<'_>) -> Result<Option<String>> {
    let Some(key) = fields.text(&["master_key"])? else {
        return Ok(master_key_of(variables));
    };
    if key.trim().is_empty() {
        // Whoever names one does not want an open door.
        let place = fields.place.clone();
        let place = fields.find(&["master_key"]).map_or(place, |found| found.0);
        return Err(place.error("is empty; it takes a key"));
    }
    Ok(Some(key))
}

/// The master key of the variables.
pub(super) fn master_key_of(variables: Lookup<'_>) -> Option<String> {
    let mut found = MASTER_KEY_VARIABLES.into_iter().filter_map(variables);
    found.find(|key| !key.trim().is_empty())
}

/// Reads `keys`.
pub(super) fn keys(
    list: &Node,
    place: &Place,
    variables: Lookup<'_>,
    notices: &mut Notices,
) -> Result<Vec<Entry>> {
    let Data::List(entries) = &list.data else {
        return Err(place.error(&format!("is {}; it takes a list of keys", list.kind())));
    };
    let mut found: Vec<Entry> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let place = place.element(index, entry);
        let key = key(entry, place.clone(), variables, notices)?;
        for Entry { key: other, .. } in &found {
            if other.name == key.name {
                let name = &key.name;
                return Err(place.error(&format!("has the name {name:?}, which another key has")));
            }
            if other.digest == key.digest {
                let name = &other.name;
                return Err(place.error(&format!("is the same key as {name:?}")));
            }
        }
        found.push(Entry { place, key });
    }
    Ok(found)
}

fn key(
    entry: &Node,
    place: Place,
    variables: Lookup<'_>,
    notices: &mut Notices,
) -> Result<KeyConfig> {
    let mut fields = Fields::new(entry, place, variables, Spelling::OsEnviron)?;
    let name = fields.text(&["name"])?;
    let key = fields.text(&["key"])?;
    let config = |digest, name, fields: &mut Fields<'_>| {
        Ok::<_, Error>(KeyConfig {
            name,
            digest,
            servers: fields.texts(&["servers"])?,
            access_groups: fields.texts(&["access_groups"])?,
            tools: fields.texts(&["tools"])?,
            models: fields.texts(&["models"])?,
        })
    };
    let needs = |key: &str| fields.place.error(&format!("has no {key}"));
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| needs("name"))?;
    let key = key.ok_or_else(|| needs("key"))?;
    let digest = digest_of(&key).ok_or_else(|| {
        let place = fields.find(&["key"]).map(|found| found.0);
        place.unwrap_or_else(|| fields.place.clone()).error(
            "is no key; it takes one, best as os.environ/NAME, or sha256: and 64 hexadecimal digits",
        )
    })?;
    let config = config(digest, name, &mut fields)?;
    notices.finish(Section::CallerKey, &fields);
    Ok(config)
}

/// The SHA-256 of a key, however it is written.
fn digest_of(key: &str) -> Option<[u8; 32]> {
    let key = key.trim();
    let Some(hex) = key.strip_prefix(HASHED) else {
        let digest = digest(&SHA256, key.as_bytes());
        return digest.as_ref().try_into().ok().filter(|_| !key.is_empty());
    };
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}
