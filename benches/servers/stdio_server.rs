//! A trivial MCP server over stdio; see `answers.rs`.
//!
//! One blocking loop on one thread. It flushes when no further request waits, as a burst of requests
//! is answered as a burst. With `--tools N` it lists N tools.

mod answers;

use std::error::Error;
use std::io::{self, BufRead, BufReader, BufWriter, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = match arguments.as_slice() {
        [flag, count] if flag == "--tools" => count.parse()?,
        [] => 3,
        _ => return Err("usage: stdio_server [--tools N]".into()),
    };
    let known = answers::Known::new(count);

    let mut input = BufReader::with_capacity(1 << 20, io::stdin().lock());
    let mut output = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        if let Some(answer) = answers::answer(&line, &known)? {
            output.write_all(answer.as_bytes())?;
            output.write_all(b"\n")?;
        }
        line.clear();
        if input.buffer().is_empty() {
            output.flush()?;
        }
    }
    Ok(())
}
