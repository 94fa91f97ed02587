//! rmcp alone, in Rust: what a call costs before any Python is involved.
//!
//! Speaks the line protocol of `benches/peers/measure.py`: prints `{}` when ready, then answers each
//! `{"row": …, "count": …}` on stdin with one line, a JSON list of seconds. The arguments are the
//! command line of the MCP server.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::RunningService;
use rmcp::transport::TokioChildProcess;
use rmcp::{RoleClient, ServiceExt};
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;
use tokio::task::JoinSet;

type Session = RunningService<RoleClient, ()>;

#[derive(Deserialize)]
struct Order {
    row: String,
    count: usize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut command = Command::new(
        arguments
            .next()
            .ok_or("usage: rmcp_stdio SERVER [ARGUMENT]…")?,
    );
    command.args(arguments);
    let session = ().serve(TokioChildProcess::new(command)?).await?;

    let mut output = std::io::stdout();
    writeln!(output, "{{}}")?;
    for line in std::io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let samples = match order.row.as_str() {
            "call_one" => one_at_a_time(&session, order.count).await?,
            "call_many" => vec![at_once(&session, order.count).await?],
            row => return Err(format!("no row {row}").into()),
        };
        writeln!(output, "{}", serde_json::to_string(&samples)?)?;
    }
    session.cancel().await?;
    Ok(())
}

fn echo() -> CallToolRequestParams {
    let arguments = json!({ "text": "hello" });
    CallToolRequestParams::new("echo")
        .with_arguments(arguments.as_object().cloned().unwrap_or_default())
}

fn check(result: &CallToolResult) -> Result<(), Box<dyn Error>> {
    match result.content.first().and_then(|block| block.as_text()) {
        Some(block) if block.text == "hello" => Ok(()),
        _ => Err("the echo came back changed".into()),
    }
}

async fn one_at_a_time(session: &Session, count: usize) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        let result = session.peer().call_tool(echo()).await?;
        samples.push(start.elapsed().as_secs_f64());
        check(&result)?;
    }
    Ok(samples)
}

async fn at_once(session: &Session, count: usize) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..count {
        let peer = session.peer().clone();
        calls.spawn(async move { peer.call_tool(echo()).await });
    }
    while let Some(result) = calls.join_next().await {
        check(&result??)?;
    }
    Ok(start.elapsed().as_secs_f64())
}
