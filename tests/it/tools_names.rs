//! Names of the tools of many servers.

use std::collections::HashSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use toolbridge::error::nearest;
use toolbridge::tools::names::MAXIMUM_NAME;
use toolbridge::tools::{Separator, ToolNames};

type Catalogue = Vec<(String, Vec<String>)>;

fn names(catalogue: &Catalogue) -> ToolNames {
    named("-", catalogue)
}

fn named(separator: &str, catalogue: &Catalogue) -> ToolNames {
    let listed = catalogue
        .iter()
        .map(|(server, tools)| (server.as_str(), tools.iter().map(String::as_str).collect()));
    ToolNames::new(Separator::new(separator).unwrap(), listed)
}

fn catalogue(servers: &[(&str, &[&str])]) -> Catalogue {
    let owned = |tools: &[&str]| tools.iter().map(|tool| (*tool).to_owned()).collect();
    servers
        .iter()
        .map(|(server, tools)| ((*server).to_owned(), owned(tools)))
        .collect()
}

fn found(names: &ToolNames, name: &str) -> (String, String) {
    let owned = names.find(name).unwrap();
    (owned.server.to_owned(), owned.tool.to_owned())
}

#[test]
fn a_name_is_the_server_and_the_tool() {
    let names = names(&catalogue(&[
        ("git", &["status", "log"]),
        ("time", &["now"]),
    ]));
    assert_eq!(names.name_of("git", "log"), Some("git-log"));
    assert_eq!(found(&names, "git-log"), ("git".into(), "log".into()));
    assert_eq!(found(&names, "now"), ("time".into(), "now".into()));
}

#[test]
fn the_server_with_the_longest_prefix_owns_a_name() {
    let names = names(&catalogue(&[("a", &["b-c", "d"]), ("a-b", &["c"])]));
    assert_eq!(found(&names, "a-b-c"), ("a-b".into(), "c".into()));
    let other = names.name_of("a", "b-c").unwrap().to_owned();
    assert!(other.starts_with("a-b-c_"), "{other}");
    assert_eq!(found(&names, &other), ("a".into(), "b-c".into()));
    assert_eq!(names.name_of("a", "d"), Some("a-d"));
}

#[test]
fn names_that_no_provider_takes_get_a_hash() {
    let long = "x".repeat(80);
    let listed = catalogue(&[("files", &["read.text", "read/text", &long])]);
    let names = names(&listed);
    let dotted = names.name_of("files", "read.text").unwrap();
    assert_eq!(dotted, "files-read_text_2d021e37");
    assert_ne!(names.name_of("files", "read/text").unwrap(), dotted);
    assert_eq!(names.name_of("files", &long).unwrap().len(), MAXIMUM_NAME);
    assert_eq!(
        found(&names, "files-read.text"),
        ("files".into(), "read.text".into())
    );
}

#[test]
fn servers_whose_names_become_the_same_are_told_apart() {
    let names = names(&catalogue(&[
        ("my server", &["t"]),
        ("my_server", &["t"]),
        ("my.server", &["t"]),
    ]));
    assert_eq!(names.name_of("my_server", "t"), Some("my_server-t"));
    let all: HashSet<_> = ["my server", "my_server", "my.server"]
        .map(|server| names.name_of(server, "t").unwrap())
        .into();
    assert_eq!(all.len(), 3);
}

#[test]
fn a_name_of_several_servers_names_the_choices() {
    let names = names(&catalogue(&[("a", &["t"]), ("b", &["t"])]));
    let message = names.find("t").unwrap_err().message().to_owned();
    assert_eq!(
        message,
        "several servers have a tool \"t\"; call one of a-t, b-t"
    );
    let message = names.find("a_t").unwrap_err().message().to_owned();
    assert_eq!(
        message,
        "no server has a tool \"a_t\"; the nearest is \"a-t\""
    );
}

#[test]
fn a_tool_of_a_server_without_a_list_is_found_by_its_prefix() {
    let names = names(&catalogue(&[("down", &[]), ("down-too", &[])]));
    assert_eq!(found(&names, "down-too-t"), ("down-too".into(), "t".into()));
    assert_eq!(found(&names, "down-t"), ("down".into(), "t".into()));
}

#[test]
fn a_separator_that_no_provider_takes_is_refused() {
    assert_eq!(names_with("__"), Some("git__log".to_owned()));
    for bad in ["", ".", "/", "waytoolong"] {
        assert!(Separator::new(bad).is_err(), "{bad}");
    }
}

/// What the providers say of names: OpenAI, Mistral and Bedrock `[a-zA-Z0-9_-]{1,64}`, Anthropic the same
/// up to 128, Gemini letters, digits, `_`, `.`, `:` and `-` up to 64, the first a letter or `_`.
fn refused_by(name: &str) -> Vec<&'static str> {
    let plain = |name: &str, more: &str| {
        name.chars()
            .all(|letter| letter.is_ascii_alphanumeric() || more.contains(letter))
    };
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let rules = [
        (
            "openai",
            plain(name, "_-") && (1..=64).contains(&name.len()),
        ),
        (
            "mistral",
            plain(name, "_-") && (1..=64).contains(&name.len()),
        ),
        (
            "bedrock",
            plain(name, "_-") && (1..=64).contains(&name.len()),
        ),
        (
            "anthropic",
            plain(name, "_-") && (1..=128).contains(&name.len()),
        ),
        (
            "gemini",
            plain(name, "_.:-") && (1..=64).contains(&name.len()) && starts,
        ),
    ];
    rules
        .into_iter()
        .filter_map(|(provider, is_taken)| (!is_taken).then_some(provider))
        .collect()
}

#[test]
fn the_rules_of_names_refuse() {
    assert_eq!(refused_by("1a"), ["gemini"]);
    assert_eq!(
        refused_by("a.b"),
        ["openai", "mistral", "bedrock", "anthropic"]
    );
    assert_eq!(refused_by("").len(), 5);
    assert_eq!(
        refused_by(&"a".repeat(65)),
        ["openai", "mistral", "bedrock", "gemini"]
    );
}

#[test]
fn a_name_begins_with_a_letter_or_an_underscore() {
    let listed = catalogue(&[
        ("1password", &["get"]),
        ("-x", &["t"]),
        ("_1password", &["get"]),
    ]);
    let names = names(&listed);
    assert_eq!(names.name_of("_1password", "get"), Some("_1password-get"));
    for (server, tool) in [("1password", "get"), ("-x", "t")] {
        let name = names.name_of(server, tool).unwrap();
        assert_eq!(refused_by(name), Vec::<&str>::new(), "{name}");
        assert_eq!(found(&names, name), (server.into(), tool.into()));
    }
    let alone = self::names(&catalogue(&[("1password", &["get"])]));
    assert_eq!(alone.name_of("1password", "get"), Some("_1password-get"));
}

fn names_with(separator: &str) -> Option<String> {
    let names = named(separator, &catalogue(&[("git", &["log"])]));
    names.name_of("git", "log").map(str::to_owned)
}

#[test]
fn the_nearest_name_is_one_that_is_near() {
    assert_eq!(nearest("comand", ["command", "args"]), Some("command"));
    assert_eq!(nearest("zzz", ["command", "args"]), None);
}

fn catalogues() -> impl Strategy<Value = Catalogue> {
    // Few letters, so that names collide; some of them are letters that no provider takes.
    let server = "[ab1._ -]{1,4}|[a-z]{38,50}";
    let tool = "[ab._ /-]{0,5}|[a-zé]{50,70}";
    btree_set(server, 1..6)
        .prop_flat_map(move |servers| {
            let count = servers.len();
            (Just(servers), vec(btree_set(tool, 0..6), count))
        })
        .prop_map(|(servers, tools)| {
            let tools = tools.into_iter().map(|tools| tools.into_iter().collect());
            servers.into_iter().zip(tools).collect()
        })
}

proptest! {
    #[test]
    fn every_name_is_safe_alone_and_leads_back(catalogue in catalogues()) {
        let names = names(&catalogue);
        let mut seen = HashSet::new();
        for (server, tools) in &catalogue {
            for tool in tools {
                let name = names.name_of(server, tool).unwrap();
                prop_assert!(name.len() <= MAXIMUM_NAME);
                prop_assert_eq!(refused_by(name), Vec::<&str>::new(), "{}", name);
                prop_assert!(seen.insert(name.to_owned()), "{name} stands for two tools");
                let owned = names.find(name).unwrap();
                prop_assert_eq!((owned.server, owned.tool), (server.as_str(), tool.as_str()));
            }
        }
    }

    #[test]
    fn names_do_not_depend_on_order_or_on_other_tools(catalogue in catalogues()) {
        let whole = names(&catalogue);
        let mut turned = catalogue.clone();
        turned.reverse();
        for (_, tools) in &mut turned {
            tools.reverse();
        }
        let turned = names(&turned);
        for (server, tools) in &catalogue {
            for tool in tools {
                let alone: Catalogue = catalogue
                    .iter()
                    .map(|(name, _)| (name.clone(), if name == server { vec![tool.clone()] } else { vec![] }))
                    .collect();
                let name = whole.name_of(server, tool);
                prop_assert_eq!(turned.name_of(server, tool), name);
                let alone = names(&alone);
                prop_assert_eq!(alone.name_of(server, tool), name);
            }
        }
    }
}
