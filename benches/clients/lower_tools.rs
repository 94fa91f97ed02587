//! A thousand tools in the words of each target: `cargo run --profile profiling --no-default-features
//! --example lower_tools`. The tools are those that `tests/fixtures/schema/servers` has recorded, again and
//! again. Prints milliseconds for each target: the fastest of several rounds.

#![expect(clippy::print_stdout, reason = "what it measures is its output")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use toolbridge::schema::{Target, lower};

const TOOLS: usize = 1_000;
const ROUNDS: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schema/servers");
    let mut schemas = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let tools: Vec<Value> = serde_json::from_slice(&std::fs::read(entry?.path())?)?;
        schemas.extend(tools.into_iter().map(|mut tool| tool["inputSchema"].take()));
    }
    for target in Target::ALL {
        let mut fastest = Duration::MAX;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            for schema in schemas.iter().cycle().take(TOOLS) {
                std::hint::black_box(lower(schema, target));
            }
            fastest = fastest.min(begun.elapsed());
        }
        println!(
            "{:<18} {:>8.2} ms",
            target.name(),
            fastest.as_secs_f64() * 1e3
        );
    }
    Ok(())
}
