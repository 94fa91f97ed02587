//! The tools that `tests/fixtures/schema/servers` has recorded.

use std::path::Path;

use serde_json::Value;

use super::measure::Failure;

/// All of them, as their servers list them.
pub(crate) fn tools() -> Result<Vec<Value>, Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schema/servers");
    let mut tools = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let listed: Vec<Value> = serde_json::from_slice(&std::fs::read(entry?.path())?)?;
        tools.extend(listed);
    }
    Ok(tools)
}
