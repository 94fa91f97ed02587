//! The command line, shared by the binary and the console script of the wheel. Owns [`main`]; uses
//! `gateway`, and the table of providers.
//!
//! | module | owns |
//! |---|---|
//! | `serve` | a gateway from its start to its end: signals, the file that changes |
//! | `authorize` | a person agrees, once |
//! | `litellm` | the flags of LiteLLM's command that mean nothing here |
//! | `log` | what is said while it serves |

mod authorize;
mod litellm;
mod log;
mod serve;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::document::fields::Lookup;
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::config::{Config, keys};
use crate::llm::provider::reference as providers;

pub use log::{Format, Log};

/// The status of a command that cannot do what it was asked for.
const FAILED: u8 = 1;
/// The status of a command line, or of a configuration, that cannot be used.
const UNUSABLE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  toolbridge serve --config config.yaml           start a gateway on http://127.0.0.1:4000
  toolbridge --config config.yaml --port 8000     the same, as LiteLLM's command
  toolbridge check config.yaml --strict           say what is wrong with a configuration
  toolbridge authorize config.yaml github         agree in a browser, once

A gateway reads its configuration again when the file changes, or on SIGHUP.";

/// A gateway to many MCP servers and many models, out of one file: LiteLLM's config.yaml.
#[derive(Debug, Parser)]
#[command(
    name = "toolbridge",
    version,
    about,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts a gateway.
    Serve(Serve),
    /// Says what is wrong with a configuration, without starting anything.
    Check(Check),
    /// Prints the providers of models, in Markdown: keys, bases, and what they do not take.
    Providers,
    /// Has a person agree in a browser that the gateway uses an MCP server, and keeps the tokens.
    Authorize(Authorize),
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// The configuration file, in the form of LiteLLM's config.yaml.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to listen on; another one than this machine's needs a key in the configuration
    /// [default: `TOOLBRIDGE_HOST`, else 127.0.0.1]
    #[arg(long)]
    host: Option<String>,
    /// The port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 4000)]
    port: u16,
    /// Logs every request; keys, headers and messages are never logged.
    #[arg(
        long = "detailed_debug",
        aliases = ["detailed-debug"],
        visible_alias = "debug"
    )]
    detailed_debug: bool,
    /// Refuses a configuration that has keys which are unknown or not implemented.
    #[arg(long)]
    strict: bool,
    /// How log lines are written.
    #[arg(
        long = "log-format",
        alias = "log_format",
        value_enum,
        value_name = "FORMAT"
    )]
    log_format: Option<Format>,
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The configuration file.
    #[arg(value_name = "FILE", required_unless_present = "reference")]
    config: Option<PathBuf>,
    /// Refuses keys which are unknown or not implemented.
    #[arg(long)]
    strict: bool,
    /// Prints the reference of the configuration, in Markdown, instead.
    #[arg(long)]
    reference: bool,
}

#[derive(Debug, clap::Args)]
struct Authorize {
    /// The configuration file.
    #[arg(value_name = "FILE")]
    config: PathBuf,
    /// The name of the MCP server.
    #[arg(value_name = "NAME")]
    server: String,
    /// The port on this machine that the browser comes back to; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Shows the address instead of opening it.
    #[arg(long = "no-browser")]
    no_browser: bool,
}

/// Runs a command line until it is done; the status that the process ends with. `install` has the
/// events of the process written. Must be called outside of any runtime.
pub fn main(arguments: impl IntoIterator<Item = OsString>, install: fn(Log)) -> u8 {
    let (arguments, ignored) = litellm::without(arguments);
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(failure) => {
            // Nobody is left to tell when the terminal is gone.
            let _ = failure.print();
            return u8::try_from(failure.exit_code()).unwrap_or(UNUSABLE);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("toolbridge")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(cause) => {
            complain(&format!("toolbridge: no thread can be started: {cause}"));
            return FAILED;
        }
    };
    let status = runtime.block_on(run(arguments, &ignored, install));
    // What still blocks, as the reading of a file, does not keep the process.
    runtime.shutdown_background();
    status
}

async fn run(arguments: Arguments, ignored: &[String], install: fn(Log)) -> u8 {
    let serve = match arguments.command {
        Some(Command::Check(check)) => return told(self::check(&check)),
        Some(Command::Providers) => {
            say(providers::reference().trim_end());
            return 0;
        }
        Some(Command::Authorize(authorize)) => {
            return told(authorize::authorize(&authorize).await);
        }
        Some(Command::Serve(serve)) => serve,
        None => arguments.serve,
    };
    serve::serve(serve, ignored, install).await
}

/// The status of a command, its failure told.
fn told(outcome: Result<()>) -> u8 {
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            complain(&sentence(&failure));
            match failure.kind() {
                ErrorKind::Configuration => UNUSABLE,
                _ => FAILED,
            }
        }
    }
}

/// A failure with its causes.
fn sentence(failure: &Error) -> String {
    let mut text = format!("toolbridge: {failure}");
    for cause in failure.causes() {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn check(check: &Check) -> Result<()> {
    let Some(path) = check.config.as_deref().filter(|_| !check.reference) else {
        say(keys::reference().trim_end());
        return Ok(());
    };
    let config = read(path)?;
    if check.strict {
        config.strict()?;
    }
    for notice in &config.notices {
        say(&notice.to_string());
    }
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    say(&format!(
        "{}: {}, {}, {}, {}",
        path.display(),
        counted(config.models.len(), "deployment"),
        counted(config.servers.len(), "MCP server"),
        match config.access.master_key {
            Some(_) => "a master key",
            None => "no master key",
        },
        counted(config.access.keys.len(), "further key"),
    ));
    Ok(())
}

/// Reads a configuration with the variables of the process; blocking.
fn read(path: &Path) -> Result<Config> {
    Config::read(path, environment())
}

fn environment() -> Lookup<'static> {
    &|name| std::env::var(name).ok()
}

/// A line for whoever asked, who may be gone already, as `head` is.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A line about what went wrong.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
