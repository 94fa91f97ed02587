//! Chat completions over bare sockets: as little work as a client can have, so that a measurement
//! shows what stands behind the URL.
//!
//! Speaks the line protocol of `benches/peers/measure.py`. The argument is the URL of the endpoint,
//! as in `http://127.0.0.1:4000/v1/chat/completions`.

use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use memchr::memmem;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const AT_ONCE: usize = 32;
const BODY: &str =
    r#"{"model":"gpt-4o","messages":[{"role":"user","content":"What is the capital of France?"}]}"#;
const ANSWER: &[u8] = b"The capital of France is Paris, on the river Seine.";

type Failure = Box<dyn Error + Send + Sync>;

#[derive(Deserialize)]
struct Order {
    row: String,
    count: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let url = std::env::args().nth(1).ok_or("usage: chat_load URL")?;
    let (host, path) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .ok_or("the URL has to be http://host:port/path")?;
    let length = BODY.len();
    let request = format!(
        "POST /{path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer sk-bench\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{BODY}"
    );
    let request: Arc<str> = request.into();
    let mut connections = Vec::new();
    for _ in 0..AT_ONCE {
        connections.push(Connection::open(host, Arc::clone(&request)).await?);
    }
    let mut output = std::io::stdout();
    writeln!(output, "{{}}")?;
    for line in std::io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let samples = match order.row.as_str() {
            "gateway_one" => one_by_one(&mut connections[0], order.count).await?,
            "gateway_many" => {
                let (back, took) = at_once(connections, order.count).await?;
                connections = back;
                vec![took]
            }
            row => return Err(format!("no row {row}").into()),
        };
        let seconds: Vec<f64> = samples.iter().map(Duration::as_secs_f64).collect();
        writeln!(output, "{}", serde_json::to_string(&seconds)?)?;
    }
    Ok(())
}

async fn one_by_one(connection: &mut Connection, count: usize) -> Result<Vec<Duration>, Failure> {
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        connection.complete().await?;
        samples.push(start.elapsed());
    }
    Ok(samples)
}

/// The time of one, of `count` in all over every connection.
async fn at_once(
    connections: Vec<Connection>,
    count: usize,
) -> Result<(Vec<Connection>, Duration), Failure> {
    let each = count / AT_ONCE;
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for mut connection in connections {
        workers.spawn(async move {
            for _ in 0..each {
                connection.complete().await?;
            }
            Ok::<_, Failure>(connection)
        });
    }
    let mut back = Vec::new();
    while let Some(worker) = workers.join_next().await {
        back.push(worker??);
    }
    let all = u32::try_from(each * AT_ONCE)?;
    Ok((back, start.elapsed() / all))
}

struct Connection {
    socket: TcpStream,
    request: Arc<str>,
    read: Vec<u8>,
}

impl Connection {
    async fn open(host: &str, request: Arc<str>) -> Result<Self, Failure> {
        let socket = TcpStream::connect(host).await?;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            request,
            read: Vec::with_capacity(8192),
        })
    }

    async fn complete(&mut self) -> Result<(), Failure> {
        self.socket.write_all(self.request.as_bytes()).await?;
        self.read.clear();
        let mut end = None;
        while end.is_none_or(|end| self.read.len() < end) {
            if self.socket.read_buf(&mut self.read).await? == 0 {
                return Err("the connection was closed".into());
            }
            if end.is_none()
                && let Some(head) = memmem::find(&self.read, b"\r\n\r\n")
            {
                end = Some(head + 4 + content_length(&self.read[..head])?);
            }
        }
        if !self.read.starts_with(b"HTTP/1.1 200") || memmem::find(&self.read, ANSWER).is_none() {
            return Err(String::from_utf8_lossy(&self.read).into());
        }
        Ok(())
    }
}

fn content_length(head: &[u8]) -> Result<usize, Failure> {
    let head = std::str::from_utf8(head)?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse())
    });
    Ok(length.ok_or("an answer without a length")??)
}
