//! A gateway from its start to its end: what it says at the start, the file that is read again, the
//! signals that end it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::log::{Format, Log};
use super::{FAILED, Serve, UNUSABLE, complain, environment, read, sentence};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Gateway;
use crate::gateway::config::Config;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the processes of servers may take to end once nothing is waited for any more.
const LAST_PATIENCE: Duration = Duration::from_millis(500);
/// The variable that says where to listen if the command line does not: that of an image.
const HOST_VARIABLE: &str = "TOOLBRIDGE_HOST";
const HOST: &str = "127.0.0.1";
/// The variable that LiteLLM reads where no file is named.
const FILE_VARIABLE: &str = "CONFIG_FILE_PATH";

/// Serves until a signal ends it; the status of the process.
pub(super) async fn serve(serve: Serve, ignored: &[String], install: fn(Log)) -> u8 {
    let unusable = |failure: &Error| {
        complain(&sentence(failure));
        UNUSABLE
    };
    let path = match path(&serve) {
        Ok(path) => path,
        Err(failure) => return unusable(&failure),
    };
    let mut watched = Watched::new(path.clone());
    let config = match checked(path.clone(), serve.strict).await {
        Ok(config) => config,
        Err(failure) => return unusable(&failure),
    };
    let default = if config.has_json_logs {
        Format::Json
    } else {
        Format::Text
    };
    let format = serve.log_format.unwrap_or(default);
    install(Log::new(format, serve.detailed_debug, environment()));
    for line in ignored {
        tracing::warn!(target: "toolbridge::cli", "{line}");
    }
    report(&config);
    // Before it listens: whoever sees that it does may tell it to end.
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(cause) => {
            complain(&format!("toolbridge: signals cannot be heard: {cause}"));
            return FAILED;
        }
    };
    let host = serve.host.or_else(|| environment()(HOST_VARIABLE));
    let host = host.as_deref().unwrap_or(HOST);
    let gateway = match Gateway::start(config, host, serve.port).await {
        Ok(gateway) => gateway,
        Err(failure) => {
            complain(&sentence(&failure));
            return FAILED;
        }
    };
    tracing::info!(
        target: "toolbridge::cli",
        "toolbridge listens on http://{}",
        gateway.address()
    );
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::End => break,
                Signal::Reload => watched.seen(),
            },
            () = watched.changed() => {}
        }
        reload(&gateway, &path, serve.strict).await;
    }
    tracing::info!(
        target: "toolbridge::cli",
        "the gateway ends once what is in flight is done; a second signal ends it at once"
    );
    let is_done = tokio::select! {
        () = gateway.stop() => true,
        () = signals.end() => false,
    };
    if !is_done {
        tracing::warn!(target: "toolbridge::cli", "the gateway ends at once");
    }
    // Processes of servers that did not end by themselves do not stay behind.
    let _ = tokio::time::timeout(LAST_PATIENCE, crate::mcp::close_all()).await;
    u8::from(!is_done)
}

/// The file that is named.
fn path(serve: &Serve) -> Result<PathBuf> {
    let variable = || environment()(FILE_VARIABLE).map(PathBuf::from);
    serve.config.clone().or_else(variable).ok_or_else(|| {
        let message =
            "no configuration: give one with --config config.yaml (see toolbridge --help)";
        Error::new(ErrorKind::Configuration, message)
    })
}

/// Reads a configuration off the threads that serve.
async fn checked(path: PathBuf, is_strict: bool) -> Result<Config> {
    let reading = tokio::task::spawn_blocking(move || {
        let config = read(&path)?;
        if is_strict {
            config.strict()?;
        }
        Ok(config)
    });
    reading.await.unwrap_or_else(|cause| {
        let message = "the configuration could not be read to its end";
        Err(Error::new(ErrorKind::Internal, message).with_source(cause))
    })
}

fn report(config: &Config) {
    for notice in &config.notices {
        tracing::warn!(target: "toolbridge::config", "{notice}");
    }
}

/// Takes the file as it is now; one that cannot be used leaves the old one in force.
async fn reload(gateway: &Gateway, path: &Path, is_strict: bool) {
    let outcome = match checked(path.to_owned(), is_strict).await {
        Ok(config) => {
            report(&config);
            gateway.reload(config)
        }
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(()) => tracing::info!(
            target: "toolbridge::config",
            "the configuration was read again and is in force"
        ),
        Err(failure) => tracing::error!(
            target: "toolbridge::config",
            "the configuration was read again and cannot be used; the one before it stays in force: \
             {failure}"
        ),
    }
}

/// What tells one state of a file from another. Links are followed, for that is how a volume of
/// Kubernetes changes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    file: u64,
}

impl Stamp {
    /// None while there is no such file.
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        #[cfg(unix)]
        let file = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let file = 0;
        Some(Self {
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
            file,
        })
    }
}

/// A file that is looked at now and then.
struct Watched {
    path: PathBuf,
    /// As it was when it was last read.
    read: Option<Stamp>,
}

impl Watched {
    fn new(path: PathBuf) -> Self {
        let read = Stamp::of(&path);
        Self { path, read }
    }

    /// It is about to be read as it is now.
    fn seen(&mut self) {
        self.read = Stamp::of(&self.path);
    }

    /// Waits until the file is another one than was read, and is not being written any more.
    async fn changed(&mut self) {
        let mut before = self.read;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = Stamp::of(&self.path);
            // One that is gone is about to be replaced.
            if now.is_some() && now == before && now != self.read {
                self.read = now;
                return;
            }
            before = now;
        }
    }
}

/// What a signal asks for.
enum Signal {
    End,
    Reload,
}

/// The signals that a gateway hears.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::End,
            _ = self.interrupt.recv() => Signal::End,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }

    /// Waits for one that ends it.
    async fn end(&mut self) {
        while let Signal::Reload = self.next().await {}
    }
}

/// The signals that a gateway hears.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        // Without a handler the signal ends the process, which is what it is for.
        let _ = tokio::signal::ctrl_c().await;
        Signal::End
    }

    async fn end(&mut self) {
        self.next().await;
    }
}
