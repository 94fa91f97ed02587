//! A client of the gateway on a raw socket: it sends exactly the bytes that a test gives it.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use toolbridge::gateway::Gateway;
use toolbridge::gateway::config::Config;
use toolbridge::mcp::config::Document;

/// A gateway on a free port.
pub(crate) async fn gateway(text: &str) -> Gateway {
    let document = Document::parse(text, Path::new("config.yaml")).unwrap();
    let config = Config::from_document(&document, &|_| None).unwrap();
    Gateway::start(config, "127.0.0.1", 0).await.unwrap()
}

/// An entry of `model_list`.
pub(crate) fn model(name: &str, origin: &str, more: &str) -> String {
    format!(
        "  - model_name: {name}\n    litellm_params: {{model: openai/wire-name, api_base: {origin}/v1, \
         api_key: sk-of-the-provider{more}}}\n"
    )
}

pub(crate) struct Connection {
    socket: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A POST with a length.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

impl Connection {
    pub(crate) async fn open(gateway: &Gateway) -> Self {
        let socket = TcpStream::connect(gateway.address()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self {
            socket,
            read: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// Up to and with this text, which has to come.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            let found = String::from_utf8_lossy(&self.read).into_owned();
            if let Some(place) = found.find(end) {
                let taken: Vec<u8> = self.read.drain(..place + end.len()).collect();
                return String::from_utf8(taken).unwrap();
            }
            self.more().await;
        }
    }

    async fn more(&mut self) {
        let length = self.socket.read_buf(&mut self.read).await.unwrap();
        assert!(
            length > 0,
            "closed after {:?}",
            String::from_utf8_lossy(&self.read)
        );
    }

    /// All that comes before the connection is closed.
    pub(crate) async fn rest(mut self) -> String {
        self.socket.read_to_end(&mut self.read).await.unwrap();
        String::from_utf8(self.read).unwrap()
    }

    /// The next answer, with a length or in chunks.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.until("\r\n\r\n").await;
        let mut answer = Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: String::new(),
        };
        if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().unwrap();
            while self.read.len() < length {
                self.more().await;
            }
            let body = self.read.drain(..length).collect();
            answer.body = String::from_utf8(body).unwrap();
        } else {
            assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
            while let Some(chunk) = self.chunk().await {
                answer.body += &chunk;
            }
        }
        answer
    }

    /// The next piece of a body in chunks.
    pub(crate) async fn chunk(&mut self) -> Option<String> {
        let size = self.until("\r\n").await;
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        while self.read.len() < size + 2 {
            self.more().await;
        }
        let chunk: Vec<u8> = self.read.drain(..size + 2).collect();
        (size > 0).then(|| String::from_utf8(chunk[..size].to_vec()).unwrap())
    }

    pub(crate) async fn ask(&mut self, path: &str, headers: &str, body: &str) -> Answer {
        self.send(&post(path, headers, body)).await;
        self.answer().await
    }
}

/// One request on a connection of its own.
pub(crate) async fn ask(gateway: &Gateway, body: &str) -> Answer {
    let mut connection = Connection::open(gateway).await;
    connection.ask("/v1/chat/completions", "", body).await
}

/// A GET on a connection of its own.
pub(crate) async fn get(gateway: &Gateway, path: &str) -> Answer {
    let mut connection = Connection::open(gateway).await;
    connection
        .send(&format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"))
        .await;
    connection.answer().await
}
