//! A search over ten thousand tools: no socket, no Python.
//!
//! Speaks the line protocol of `benches/peers/measure.py`; the row is `search_index`, one sample one
//! search. The tools are those that `tests/fixtures/schema/servers` has recorded, again and again under
//! names of their own, so that every word of a query stands in many of them.

mod measure;
mod recorded;

use std::hint::black_box;
use std::time::Instant;

use serde_json::Value;
use toolbridge::tools::search::Index;

use measure::Failure;

const TOOLS: usize = 10_000;
/// What a model asks for at once.
const LIMIT: usize = 10;
const QUERIES: [&str; 4] = [
    "read a file",
    "commit the changes of a git repository",
    "current time in a timezone",
    "search the nodes and relations of a knowledge graph by name, type and content of observations",
];

fn main() -> Result<(), Failure> {
    let recorded = recorded::tools()?;
    let numbered = (0..TOOLS).zip(recorded.iter().cycle());
    let tools: Vec<Value> = numbered
        .map(|(number, tool)| {
            let mut tool = tool.clone();
            let name = tool["name"].as_str().unwrap_or_default();
            tool["name"] = format!("{name}_{number}").into();
            tool
        })
        .collect();
    let index = Index::new(&tools);
    measure::serve(|row, count| {
        if row != "search_index" {
            return Err(format!("no row {row}").into());
        }
        let mut samples = Vec::with_capacity(count);
        for query in QUERIES.iter().cycle().take(count) {
            let start = Instant::now();
            let found = black_box(index.search(query, LIMIT));
            samples.push(start.elapsed());
            if found.len() != LIMIT {
                return Err(format!("{} tools fit {query:?}", found.len()).into());
            }
        }
        Ok(samples)
    })
}
