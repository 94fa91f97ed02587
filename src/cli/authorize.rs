//! `toolbridge authorize`: a person agrees in a browser that the gateway uses an MCP server. Waits on
//! this machine for the browser to come back, and keeps the tokens where the gateway looks for them.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Html;
use axum::routing::get;
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

use super::{Authorize, read, say};
use crate::error::{Error, ErrorKind, Result, nearest};
use crate::gateway::config::Config;
use crate::mcp::auth::{Callbacks, Document, Grant, OAuth, Pending};
use crate::mcp::client::Mode;
use crate::mcp::{OAuthConfig, Opening, ServerConfig, Target, connect};

/// How long the person may take.
const PATIENCE_SECONDS: f64 = 600.0;
const PATH: &str = "/callback";
const DONE: &str = "<!doctype html><title>toolbridge</title><p>Done. You can close this page.</p>";

fn unusable(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

/// The person in front of the terminal.
struct Person {
    is_browser_opened: bool,
    answers: Mutex<mpsc::Receiver<Document>>,
}

impl Callbacks for Person {
    fn redirect(&self, url: String) -> Pending<'_, ()> {
        say(&format!("Agree to it here:\n\n  {url}\n"));
        if self.is_browser_opened {
            open(&url);
        }
        Box::pin(async { Ok(()) })
    }

    fn callback(&self) -> Pending<'_, Document> {
        Box::pin(async {
            let mut answers = self.answers.lock().await;
            answers.recv().await.ok_or_else(|| {
                let message = "nobody listens for the browser any more";
                Error::new(ErrorKind::OAuthFlow, message)
            })
        })
    }
}

/// Opens a page where there is a browser; the address stands in the terminal for where there is none.
fn open(url: &str) {
    let command = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let nothing = std::process::Stdio::null;
    let _ = std::process::Command::new(command)
        .arg(url)
        .stdin(nothing())
        .stdout(nothing())
        .stderr(nothing())
        .spawn();
}

/// Runs the flow.
pub(super) async fn authorize(asked: &Authorize) -> Result<()> {
    let config = read(&asked.config)?;
    let (server, oauth) = find(&config, &asked.server, &asked.config)?;
    let token_file = oauth.token_file.as_deref().ok_or_else(|| {
        unusable(
            "there is no place for tokens: HOME is not set; name a file with \
             general_settings.token_file",
        )
    })?;
    make_folder(token_file)?;
    let refused = |cause: std::io::Error| {
        let message = format!(
            "the browser cannot come back to port {}: {cause}",
            asked.port
        );
        Error::new(ErrorKind::Transport, message).with_source(cause)
    };
    let listener = TcpListener::bind(("127.0.0.1", asked.port))
        .await
        .map_err(refused)?;
    let port = listener.local_addr().map_err(refused)?.port();
    let (sender, answers) = mpsc::channel(1);
    let router = Router::new().route(PATH, get(came_back)).with_state(sender);
    let listening = tokio::spawn(async move {
        // Whoever waits is told by the channel that closes.
        let _ = axum::serve(listener, router).await;
    });
    let outcome = flow(asked, server, oauth, port, answers).await;
    listening.abort();
    outcome?;
    say(&format!(
        "toolbridge may use {:?}; its tokens are in {}. A gateway that serves already looks there when \
         it is called, or on SIGHUP",
        server.name,
        token_file.display()
    ));
    Ok(())
}

/// The server of that name, if it is one that a person agrees to.
fn find<'a>(
    config: &'a Config,
    name: &str,
    path: &Path,
) -> Result<(&'a ServerConfig, &'a OAuthConfig)> {
    let found = config
        .servers
        .iter()
        .find(|server| server.name == name || server.alias.as_deref() == Some(name));
    let Some(server) = found else {
        let names: Vec<&str> = config.servers.iter().map(|one| one.name.as_str()).collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None if names.is_empty() => "there are none".to_owned(),
            None => format!("there are {}", names.join(", ")),
        };
        let shown = path.display();
        return Err(unusable(format!(
            "{shown} has no MCP server {name:?}; {hint}"
        )));
    };
    match &server.oauth {
        Some(oauth) if oauth.settings.grant == Grant::AuthorizationCode => Ok((server, oauth)),
        Some(_) => Err(unusable(format!(
            "the MCP server {name:?} is used with client_credentials, which needs nobody's consent"
        ))),
        None => Err(unusable(format!(
            "the MCP server {name:?} is not used with auth_type: oauth2, so there is nothing to agree \
             to"
        ))),
    }
}

/// The folder of the tokens, for its owner alone.
fn make_folder(file: &Path) -> Result<()> {
    let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|cause| {
        unusable(format!(
            "the folder {} cannot be made: {cause}",
            folder.display()
        ))
    })
}

/// Connects to the server, which leads to the authorization server and back.
async fn flow(
    asked: &Authorize,
    server: &ServerConfig,
    oauth: &OAuthConfig,
    port: u16,
    answers: mpsc::Receiver<Document>,
) -> Result<()> {
    let mut settings = oauth.settings.clone();
    settings.timeout_seconds = PATIENCE_SECONDS;
    let redirect = format!("http://127.0.0.1:{port}{PATH}");
    settings
        .client_metadata
        .set("redirect_uris", vec![redirect]);
    let person = Arc::new(Person {
        is_browser_opened: !asked.no_browser,
        answers: Mutex::new(answers),
    });
    let authorizer = Arc::new(OAuth::new(settings, person, oauth.storage())?);
    let mut target = server.target.clone();
    if let Target::Http { settings, .. } = &mut target {
        settings.authorizer = Some(authorizer);
    }
    let mode = server.mode.as_deref().map_or(Ok(Mode::Auto), Mode::parse)?;
    let connected = connect(&target, &mode, &Opening::default()).await?;
    connected.client.close().await;
    if oauth.storage().tokens().await?.is_none() {
        return Err(Error::new(
            ErrorKind::OAuthFlow,
            format!(
                "the MCP server {:?} asks for no authorization: auth_type: oauth2 is not needed",
                server.name
            ),
        ));
    }
    Ok(())
}

/// The browser comes back with the answer.
async fn came_back(
    State(sender): State<mpsc::Sender<Document>>,
    Query(query): Query<Map<String, Value>>,
) -> Html<&'static str> {
    let mut answer = Document::default();
    for (name, value) in query {
        answer.set(&name, value);
    }
    // A second answer to one request is nobody's.
    let _ = sender.try_send(answer);
    Html(DONE)
}
