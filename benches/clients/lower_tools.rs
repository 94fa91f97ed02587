//! A thousand tools in the words of each target: no socket, no Python.
//!
//! Speaks the line protocol of `benches/peers/measure.py`. A row is `lower_` with the name of a target. The
//! tools are those that `tests/fixtures/schema/servers` has recorded, again and again;
//! `benches/peers/lowering.py` asks litellm for the same.

mod measure;
mod recorded;

use std::hint::black_box;
use std::time::Instant;

use serde_json::Value;
use toolbridge::schema::{Target, lower};

use measure::Failure;

const TOOLS: usize = 1_000;

fn main() -> Result<(), Failure> {
    let tools = recorded::tools()?.into_iter();
    let schemas: Vec<Value> = tools.map(|mut tool| tool["inputSchema"].take()).collect();
    measure::serve(|row, count| {
        let name = row.strip_prefix("lower_").unwrap_or_default();
        let target = Target::from_name(name).ok_or("a row without a target")?;
        let mut samples = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            for schema in schemas.iter().cycle().take(TOOLS) {
                black_box(lower(schema, target));
            }
            samples.push(start.elapsed());
        }
        Ok(samples)
    })
}
