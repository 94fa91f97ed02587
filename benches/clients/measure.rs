//! The contender's side of the benchmark for work that waits for nothing: the line protocol of
//! `benches/peers/measure.py`.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Duration;

use serde::Deserialize;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

#[derive(Deserialize)]
struct Order {
    row: String,
    count: usize,
}

/// Answers each order, a row and a count, with its samples, until stdin ends.
pub(crate) fn serve(
    mut samples: impl FnMut(&str, usize) -> Result<Vec<Duration>, Failure>,
) -> Result<(), Failure> {
    let mut output = std::io::stdout();
    writeln!(output, "{{}}")?;
    for line in std::io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let samples = samples(&order.row, order.count)?;
        let seconds: Vec<f64> = samples.iter().map(Duration::as_secs_f64).collect();
        writeln!(output, "{}", serde_json::to_string(&seconds)?)?;
    }
    Ok(())
}
