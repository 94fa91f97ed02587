//! The command line, shared by the binary and the console script of the wheel. Owns [`run`]; uses
//! `gateway`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Gateway;
use crate::gateway::config::Config;

/// A gateway to many MCP servers and many models.
#[derive(Debug, Parser)]
#[command(
    name = "toolbridge",
    version,
    about,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the gateway.
    Serve(Serve),
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// The configuration file, in the form of LiteLLM's config.yaml.
    #[arg(long, short)]
    config: Option<PathBuf>,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 4000)]
    port: u16,
    /// Logs what happens in detail.
    #[arg(long, alias = "detailed-debug", visible_alias = "debug")]
    detailed_debug: bool,
}

/// Runs a command line until it is done; the status that the process ends with.
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(failure) => {
            // Nobody is left to tell when the terminal is gone.
            let _ = failure.print();
            return u8::try_from(failure.exit_code()).unwrap_or(2);
        }
    };
    let serve = match arguments.command {
        Some(Command::Serve(serve)) => serve,
        None => arguments.serve,
    };
    match start(serve).await {
        Ok(()) => 0,
        Err(failure) => {
            report(&format!("toolbridge: {failure}"));
            1
        }
    }
}

async fn start(serve: Serve) -> Result<()> {
    let Some(path) = serve.config else {
        let message = "no configuration: give one with --config config.yaml";
        return Err(Error::new(ErrorKind::Configuration, message));
    };
    let config = Config::read(&path, &|name| std::env::var(name).ok())?;
    for notice in &config.notices {
        report(&notice.to_string());
    }
    let gateway = Gateway::start(config, &serve.host, serve.port).await?;
    report(&format!(
        "toolbridge listens on http://{}",
        gateway.address()
    ));
    // Without a handler the signal ends the process, which is what it is for.
    let _ = tokio::signal::ctrl_c().await;
    gateway.stop().await;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a command talks to its terminal")]
fn report(line: &str) {
    eprintln!("{line}");
}
