//! Where tokens and clients are kept between sessions. Owns the trait, memory and the file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Pending;
use super::document::Document;
use crate::error::{Error, ErrorKind, Result};

/// How many links may lead to a file, one after the other.
const MAXIMUM_LINKS: usize = 40;

/// Keeps what authorization found out about one server.
pub trait TokenStorage: Send + Sync {
    /// The tokens, as the token endpoint gave them.
    fn tokens(&self) -> Pending<'_, Option<Document>>;
    /// Keeps tokens instead of those before.
    fn set_tokens(&self, tokens: Document) -> Pending<'_, ()>;
    /// The client that is registered with an issuer, or the one that was kept last.
    fn client<'a>(&'a self, issuer: Option<&'a str>) -> Pending<'a, Option<Document>>;
    /// Keeps a client; its `issuer` says with whom it is registered.
    fn set_client(&self, client: Document) -> Pending<'_, ()>;
    /// The key that the tokens are bound to.
    fn key(&self) -> Pending<'_, Option<String>> {
        Box::pin(async { Ok(None) })
    }
    /// Keeps the key that the tokens are bound to.
    fn set_key(&self, _key: String) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// What is kept about one server.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<Document>,
    /// By issuer; the empty one for clients of no issuer.
    #[serde(default)]
    clients: BTreeMap<String, Document>,
    /// The issuer of the client that was kept last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dpop_key: Option<String>,
}

impl Entry {
    fn client(&self, issuer: Option<&str>) -> Option<Document> {
        let of = |issuer: &str| self.clients.get(issuer).cloned();
        match issuer {
            Some(issuer) => of(issuer).or_else(|| of("")),
            None => of(self.issuer.as_deref().unwrap_or_default()),
        }
    }

    fn set_client(&mut self, client: Document) {
        let issuer = client.text("issuer").unwrap_or_default().to_owned();
        self.clients.insert(issuer.clone(), client);
        self.issuer = Some(issuer);
    }
}

/// Keeps everything for as long as the process lives.
#[derive(Default)]
pub struct MemoryStorage(Mutex<Entry>);

impl std::fmt::Debug for MemoryStorage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MemoryStorage")
    }
}

impl MemoryStorage {
    fn with<T>(&self, change: impl FnOnce(&mut Entry) -> T) -> Pending<'_, T>
    where
        T: Send + 'static,
    {
        let value = change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async { Ok(value) })
    }
}

impl TokenStorage for MemoryStorage {
    fn tokens(&self) -> Pending<'_, Option<Document>> {
        self.with(|entry| entry.tokens.clone())
    }

    fn set_tokens(&self, tokens: Document) -> Pending<'_, ()> {
        self.with(|entry| entry.tokens = Some(tokens))
    }

    fn client<'a>(&'a self, issuer: Option<&'a str>) -> Pending<'a, Option<Document>> {
        self.with(|entry| entry.client(issuer))
    }

    fn set_client(&self, client: Document) -> Pending<'_, ()> {
        self.with(|entry| entry.set_client(client))
    }

    fn key(&self) -> Pending<'_, Option<String>> {
        self.with(|entry| entry.dpop_key.clone())
    }

    fn set_key(&self, key: String) -> Pending<'_, ()> {
        self.with(|entry| entry.dpop_key = Some(key))
    }
}

/// Keeps what belongs to one server in a file, which may hold many and be shared by processes. The
/// file is its owner's alone, and is replaced as a whole.
#[derive(Clone)]
pub struct FileStorage {
    path: Arc<Path>,
    server: Arc<str>,
}

impl std::fmt::Debug for FileStorage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("FileStorage")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

type Entries = BTreeMap<String, Entry>;

impl FileStorage {
    /// The part of the file that belongs to the server with this URL.
    pub fn new(path: impl Into<PathBuf>, server: &str) -> Self {
        Self {
            path: path.into().into(),
            server: server.into(),
        }
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_os_string();
        name.push(ending);
        self.path.with_file_name(name)
    }

    fn failed(&self, what: &str, cause: std::io::Error) -> Error {
        let shown = self.path.display();
        Error::new(
            ErrorKind::OAuthFlow,
            format!("the tokens in {shown} cannot be {what}: {cause}"),
        )
        .with_source(cause)
    }

    fn read(&self) -> Result<Entries> {
        let mut text = Vec::new();
        match File::open(&self.path) {
            Ok(mut file) => file
                .read_to_end(&mut text)
                .map_err(|cause| self.failed("read", cause))?,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Entries::new()),
            Err(cause) => return Err(self.failed("read", cause)),
        };
        serde_json::from_slice(&text).map_err(|cause| {
            let shown = self.path.display();
            // The error of the parser could show what it found.
            Error::new(
                ErrorKind::OAuthFlow,
                format!(
                    "{shown} is not a file of tokens (line {}, column {}); remove it, or give \
                     another path",
                    cause.line(),
                    cause.column()
                ),
            )
        })
    }

    fn write(&self, entries: &Entries) -> Result<()> {
        let text = serde_json::to_vec_pretty(entries).map_err(std::io::Error::other);
        let scratch = self.beside(&format!(".{}", std::process::id()));
        text.and_then(|text| {
            let mut file = private(&scratch, true)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&scratch, &self.path)
        })
        .map_err(|cause| {
            // The half of a file is of no use to anybody.
            let _ = std::fs::remove_file(&scratch);
            self.failed("written", cause)
        })
    }

    /// The file itself, where the path is a link: that is replaced, and the link stays.
    fn behind_links(&self) -> Result<Self> {
        let mut path = self.path.to_path_buf();
        for _ in 0..MAXIMUM_LINKS {
            let is_link = std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink());
            if !is_link {
                return Ok(Self {
                    path: path.into(),
                    server: Arc::clone(&self.server),
                });
            }
            let target = std::fs::read_link(&path).map_err(|cause| self.failed("found", cause))?;
            // A relative one starts in the folder of the link.
            path = path.with_file_name("").join(target);
        }
        let cause = std::io::Error::other("its link leads to a link, and so on");
        Err(self.failed("found", cause))
    }

    /// Reads and changes the entry of the server while no other process does.
    fn change<T>(&self, change: impl FnOnce(&mut Entry) -> T) -> Result<T> {
        let guard = private(&self.beside(".lock"), false)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|cause| self.failed("locked", cause))?;
        let mut entries = self.read()?;
        let value = change(entries.entry(self.server.to_string()).or_default());
        self.write(&entries)?;
        drop(guard);
        Ok(value)
    }

    fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(Entry) -> T + Send + 'static,
    ) -> Pending<'static, T> {
        let storage = self.clone();
        Box::pin(blocking(move || {
            let entry = storage.read()?.remove(&*storage.server);
            Ok(look(entry.unwrap_or_default()))
        }))
    }

    fn keep(&self, change: impl FnOnce(&mut Entry) + Send + 'static) -> Pending<'static, ()> {
        let storage = self.clone();
        Box::pin(blocking(move || storage.behind_links()?.change(change)))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|cause| {
            Err(Error::new(ErrorKind::Internal, "the tokens could not be kept").with_source(cause))
        })
}

/// Opens a file that only its owner may read.
fn private(path: &Path, is_new: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(is_new);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    if is_new {
        // One that a process of the same number left behind may have another mode.
        let _ = std::fs::remove_file(path);
        options.create_new(true);
    }
    options.open(path)
}

impl TokenStorage for FileStorage {
    fn tokens(&self) -> Pending<'_, Option<Document>> {
        self.look(|entry| entry.tokens)
    }

    fn set_tokens(&self, tokens: Document) -> Pending<'_, ()> {
        self.keep(|entry| entry.tokens = Some(tokens))
    }

    fn client<'a>(&'a self, issuer: Option<&'a str>) -> Pending<'a, Option<Document>> {
        let issuer = issuer.map(str::to_owned);
        self.look(move |entry| entry.client(issuer.as_deref()))
    }

    fn set_client(&self, client: Document) -> Pending<'_, ()> {
        self.keep(|entry| entry.set_client(client))
    }

    fn key(&self) -> Pending<'_, Option<String>> {
        self.look(|entry| entry.dpop_key)
    }

    fn set_key(&self, key: String) -> Pending<'_, ()> {
        self.keep(|entry| entry.dpop_key = Some(key))
    }
}
