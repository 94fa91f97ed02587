//! Every schema of `fixtures/schema/cases.json` in the words of every target, one file for each target in
//! `fixtures/schema/lowered`, and the table of features that `TOOLS.md` shows. With `UPDATE_GOLDEN=1` both
//! are written anew.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use toolbridge::schema::lower::Action;
use toolbridge::schema::{Lowered, Target, lower};

use super::rules::problems;

pub(super) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schema")
}

pub(super) fn read(path: &str) -> Map<String, Value> {
    let text = std::fs::read(folder().join(path)).unwrap_or_else(|_| panic!("{path} is missing"));
    serde_json::from_slice(&text).unwrap()
}

fn told(lowered: &Lowered) -> Value {
    if !lowered.is_changed() {
        return json!("as it is");
    }
    let changes: Vec<String> = lowered.changes.iter().map(ToString::to_string).collect();
    let mut told = json!({"schema": lowered.schema, "changes": changes});
    if !lowered.remarks.is_empty() {
        told["remarks"] = Value::from(lowered.remarks.as_str());
    }
    told
}

/// The order of members counts.
fn written_out(value: &Value) -> String {
    value.to_string()
}

/// One case on each line.
fn written(cases: &Map<String, Value>) -> String {
    let lines: Vec<String> = cases
        .iter()
        .map(|(name, told)| format!("  {}: {told}", Value::from(name.as_str())))
        .collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

fn is_written_anew() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

#[test]
fn every_schema_is_lowered_for_every_target_as_its_golden_file_says() {
    let cases = read("cases.json");
    let mut differences = Vec::new();
    for target in Target::ALL {
        let found: Map<_, _> = cases
            .iter()
            .map(|(name, case)| (name.clone(), told(&lower(&case["schema"], target))))
            .collect();
        let path = format!("lowered/{}.json", target.name());
        if is_written_anew() {
            std::fs::create_dir_all(folder().join("lowered")).unwrap();
            std::fs::write(folder().join(&path), written(&found)).unwrap();
            continue;
        }
        let golden = read(&path);
        for (name, told) in &found {
            let wanted = golden.get(name).unwrap_or(&Value::Null);
            if written_out(wanted) != written_out(told) {
                differences.push(format!(
                    "{path}, {name}:\n  found  {told}\n  golden {wanted}"
                ));
            }
        }
        assert_eq!(
            golden.len(),
            found.len(),
            "{path}: cases were added or removed"
        );
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_lowered_schema_is_accepted_by_its_target() {
    let mut refused = String::new();
    for (name, case) in read("cases.json") {
        for target in Target::ALL {
            let lowered = lower(&case["schema"], target);
            for problem in problems(lowered.target, &lowered.schema) {
                let _ = writeln!(
                    refused,
                    "{name} for {}: {problem}\n  {}",
                    target.name(),
                    lowered.schema
                );
            }
        }
    }
    assert!(refused.is_empty(), "{refused}");
}

#[test]
fn a_schema_that_its_target_accepts_is_left_as_it_is() {
    let mut changed = String::new();
    for (name, case) in read("cases.json") {
        for target in Target::ALL {
            let schema = &case["schema"];
            let lowered = lower(schema, target);
            let is_same = written_out(&lowered.schema) == written_out(schema);
            assert_eq!(
                !lowered.is_changed(),
                is_same,
                "{name} for {}",
                target.name()
            );
            // What a model cannot call without a hint is repaired though nobody refuses it.
            let is_hint =
                ["required_draft_03", "reference_elsewhere", "enum_empty"].contains(&name.as_str());
            if lowered.is_changed() && !is_hint && problems(target, schema).is_empty() {
                let _ = writeln!(
                    changed,
                    "{name} for {}: {:?}",
                    target.name(),
                    lowered.changes
                );
            }
        }
    }
    assert!(changed.is_empty(), "{changed}");
}

/// How a target takes a feature, by what became of it.
fn verdict(lowered: &Lowered) -> &'static str {
    let has = |actions: &[Action]| {
        lowered
            .changes
            .iter()
            .any(|change| actions.contains(&change.action))
    };
    if has(&[Action::Described, Action::Widened, Action::Narrowed]) {
        "description"
    } else if has(&[Action::Rewritten, Action::Repaired, Action::Added]) {
        "other words"
    } else if has(&[Action::Dropped]) {
        "left out"
    } else {
        "as it is"
    }
}

const BEGIN: &str = "<!-- generated: schema features -->";
const END: &str = "<!-- end: schema features -->";

fn table() -> String {
    let mut table = String::from("| |");
    for target in Target::ALL {
        let _ = write!(table, " {} |", target.name());
    }
    table += "\n|---|";
    table += &"---|".repeat(Target::ALL.len());
    table.push('\n');
    for (_, case) in read("cases.json") {
        let Some(feature) = case["feature"].as_str() else {
            continue;
        };
        let _ = write!(table, "| {feature} |");
        for target in Target::ALL {
            let _ = write!(table, " {} |", verdict(&lower(&case["schema"], target)));
        }
        table.push('\n');
    }
    table
}

#[test]
fn the_table_of_features_is_the_one_of_these_cases() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("TOOLS.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text
        .split_once(BEGIN)
        .expect("TOOLS.md has no place for the table");
    let (_, after) = rest
        .split_once(END)
        .expect("the table of TOOLS.md has no end");
    let fresh = format!("{before}{BEGIN}\n\n{}\n{END}{after}", table());
    if is_written_anew() {
        std::fs::write(&path, fresh).unwrap();
    } else {
        assert_eq!(
            text, fresh,
            "TOOLS.md is stale: `make reference` writes it anew"
        );
    }
}
