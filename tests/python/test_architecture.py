"""The house rules of DESIGN section 2, checked on the sources, and shown failing on wrong ones."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from architecture import wrong_arrows

ROOT = Path(__file__).resolve().parents[2]
LINES_PER_FILE = 640
# Public import paths of the packages that this one stands in for.
MIRRORED = {"toolbridge/types/utils.py"}
VAGUE_NAMES = {"helper", "helpers", "util", "utils", "manager", "common", "misc"}


def sources(folder: str, pattern: str) -> dict[str, str]:
    base = ROOT / folder
    return {
        path.relative_to(base).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(base.rglob(pattern))
    }


def test_every_arrow_of_the_crate_runs_downwards() -> None:
    files = sources("src", "*.rs")
    assert len(files) > 5
    assert wrong_arrows(files) == []


def test_python_is_an_optional_part_of_the_crate() -> None:
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    assert manifest["dependencies"]["pyo3"]["optional"] is True
    assert set(manifest["features"]["python"]) >= {"dep:pyo3"}
    named_unconditionally = [name for name in manifest["dependencies"] if name.startswith("pyo3-")]
    assert named_unconditionally == []


def test_every_file_reads_in_one_sitting() -> None:
    files = {**sources("src", "*.rs"), **sources("python", "*.py")}
    long = {name: text.count("\n") for name, text in files.items()}
    assert {name: lines for name, lines in long.items() if lines > LINES_PER_FILE} == {}


def test_no_file_has_a_vague_name() -> None:
    names = [*sources("src", "*.rs"), *sources("python", "*.py")]
    words = {
        name: set(name.removesuffix(".rs").removesuffix(".py").replace("_", "/").split("/"))
        for name in names
    }
    assert {name for name in words if words[name] & VAGUE_NAMES} - MIRRORED == set()


def test_modules_are_files_beside_their_folder() -> None:
    assert [name for name in sources("src", "*.rs") if name.endswith("mod.rs")] == []


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("mcp.rs", "use crate::llm::Client;", "`mcp` names `llm`, which stands beside it"),
        ("llm/client.rs", "use crate::mcp;", "`llm` names `mcp`, which stands beside it"),
        ("tools.rs", "use crate::mcp::Session;", "`tools` names `mcp`, which stands above it"),
        ("tools/openai.rs", "use super::super::llm::X;", "`tools` names `llm`"),
        ("tools/openai.rs", "fn f() { crate::gateway::serve() }", "`tools` names `gateway`"),
        ("json.rs", "use crate::{error::Error, schema::{self, Schema}};", "`json` names `schema`"),
        ("error.rs", "use crate::json::RawJson;", "`error` names `json`"),
        ("schema.rs", "pub(crate) use super::tools as below;", "`schema` names `tools`"),
        ("agent.rs", "use crate::gateway::State;", "`agent` names `gateway`"),
        ("mcp/session.rs", "use crate::runtime::handle;", "`mcp` uses `runtime`"),
        ("runtime.rs", "use crate::mcp::Session;", "`runtime` names `mcp`"),
        ("main.rs", "use toolbridge::python::x;", "`main` names `python`, which stands beside it"),
        ("mcp.rs", "use crate::*;", "named as a whole"),
        ("mcp.rs", "use super::{self as root};", "named as a whole"),
        ("mcp.rs", "use crate::shortcuts::Everything;", "`shortcuts` is not a module of the map"),
        ("mcp.rs", "mod tests { mod deep { use super::super::super::llm; } }", "`mcp` names `llm`"),
        ("mcp.rs", "fn f(x: &'static str) { let c = 'x'; crate::llm::f(c) }", "`mcp` names `llm`"),
        ("mcp.rs", 'fn f() { let s = "\\"//"; crate::llm::f(s) }', "`mcp` names `llm`"),
        ("mcp.rs", "/* outer /* inner */ still */ use crate::llm::X;", "`mcp` names `llm`"),
        ("mcp.rs", "macro_rules! m { () => { $crate::llm::f() } }", "`mcp` names `llm`"),
        ("mcp.rs", "use pyo3::Python;", "`pyo3` is named outside src/python"),
        ("lib.rs", "extern crate pyo3_ffi;", "`pyo3_ffi` is named outside src/python"),
        ("json.rs", "use jiter::PythonParse;", "jiter's `PythonParse`"),
        ("mcp.rs", '#[cfg(feature = "python")] mod bridge;', "the feature `python` gates more"),
        ("lib.rs", '#[cfg(feature = "python")] pub mod llm;', "the feature `python` gates more"),
        ("mcp.rs", 'include!("other.rs");', "`include!` hides source"),
        ("mcp.rs", '#[path = "../llm.rs"] mod inner;', "`#[path]` hides a module"),
        ("mcp.rs", "extern crate self as home;", "the crate must not be renamed"),
        ("tools.rs", "use std::fs::File;", "`tools` does no I/O, and names `std::fs`"),
        ("llm/conversion/openai.rs", "async fn f() { tokio::time::sleep(d).await }", "tokio::time"),
    ],
)
def test_a_wrong_source_is_refused(file: str, source: str, expected: str) -> None:
    problems = wrong_arrows({file: source})
    assert len(problems) == 1, problems
    assert expected in problems[0]
    assert problems[0].startswith(f"{file}:1: ")


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("python/session.rs", "use pyo3::prelude::*; use crate::{mcp, llm, runtime, tools};"),
        ("python.rs", "use crate::error::{Error, ErrorKind}; use jiter::PythonParse;"),
        ("gateway/mcp.rs", "use crate::{agent::Run, mcp::Session, llm, tools, error::Error};"),
        ("mcp.rs", '// use crate::llm;\n/// crate::llm\nconst A: &str = "crate::llm";'),
        ("mcp.rs", 'const A: &str = r#"use crate::llm; "quoted" "#;'),
        ("mcp/session.rs", "use super::transport::{self, Stdio}; use self::inner::X;"),
        ("mcp.rs", "mod tests { use super::*; use crate::error::Error; }"),
        ("llm/client.rs", "use tokio::time::sleep; use std::env; use super::super::tools;"),
        ("lib.rs", '#[cfg(feature = "python")]\nmod python;\npub mod mcp;'),
        ("tools.rs", "use std::{fmt, collections::HashMap}; use crate::json::RawJson;"),
        ("mcp.rs", "pub(in crate::mcp) struct Inner;"),
        ("main.rs", "use toolbridge::gateway::serve;"),
        ("mcp.rs", "fn f() -> impl Future + use<'_> { async { g(); } }"),
    ],
)
def test_a_right_source_is_accepted(file: str, source: str) -> None:
    assert wrong_arrows({file: source}) == []


def test_lines_are_counted_through_comments_and_strings() -> None:
    source = '/* one\ntwo */\nconst A: &str = "three\nfour";\nuse crate::llm::X;\n'
    assert wrong_arrows({"mcp.rs": source})[0].startswith("mcp.rs:5: ")
