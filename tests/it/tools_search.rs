//! Finding tools by words.

use proptest::prelude::*;
use serde_json::{Value, json};
use toolbridge::tools::search::Index;

fn tool(name: &str, description: &str, parameters: &[(&str, &str)]) -> Value {
    let properties: serde_json::Map<String, Value> = parameters
        .iter()
        .map(|(name, said)| {
            (
                (*name).to_owned(),
                json!({"type": "string", "description": said}),
            )
        })
        .collect();
    json!({
        "name": name, "description": description,
        "inputSchema": {"type": "object", "properties": properties},
    })
}

fn catalogue() -> Vec<Value> {
    vec![
        tool(
            "github-list_issues",
            "Lists the issues of a repository.",
            &[("repository", "owner/name"), ("state", "open or closed")],
        ),
        tool(
            "github-create_pull_request",
            "Opens a pull request.",
            &[("repository", "owner/name"), ("title", "Its title")],
        ),
        tool(
            "calendar-createEvent",
            "Puts an event into the calendar.",
            &[
                ("start", "When it begins"),
                ("attendees", "Addresses of e-mail"),
            ],
        ),
        tool(
            "mail.sendMessage",
            "Sends an e-mail.",
            &[("to", "The address"), ("subject", "The subject line")],
        ),
        tool(
            "files/read",
            "Reads a file of the workspace.",
            &[("path", "Where it is")],
        ),
        tool("weather", "The weather of a city.", &[("city", "The city")]),
    ]
}

fn first(index: &Index, query: &str) -> Option<usize> {
    index.search(query, 1).first().map(|(place, _)| *place)
}

#[test]
fn a_tool_is_found_by_its_name_its_description_and_its_parameters() {
    let index = Index::new(&catalogue());
    for (query, place) in [
        ("list the issues", 0),
        ("issue", 0),
        ("GitHub pull requests", 1),
        ("create event", 2),
        ("createEvent", 2),
        ("schedule a meeting with attendees", 2),
        ("send message", 3),
        ("subject", 3),
        ("read file", 4),
        ("path", 4),
        ("What is the weather like?", 5),
        ("CITY", 5),
    ] {
        assert_eq!(first(&index, query), Some(place), "{query}");
    }
}

#[test]
fn what_fits_nothing_finds_nothing_and_the_limit_holds() {
    let index = Index::new(&catalogue());
    assert_eq!(index.search("quantum chromodynamics", 5), []);
    assert_eq!(index.search("", 5), []);
    assert_eq!(index.search("repository", 0), []);
    assert_eq!(index.search("repository", 1).len(), 1);
    assert_eq!(index.search("repository", 10).len(), 2);
    assert_eq!((index.len(), index.is_empty()), (6, false));
    let none = Index::new(&[]);
    assert!(none.is_empty());
    assert_eq!(none.search("weather", 5), []);
}

#[test]
fn tools_of_providers_are_read_like_those_of_mcp() {
    let tools = [
        json!({"type": "function", "function": {"name": "a", "description": "Reads mail.", "parameters": {"type": "object", "properties": {"folder": {"type": "string"}}}}}),
        json!({"name": "b", "input_schema": {"type": "object", "properties": {"query": {"type": "array", "items": {"properties": {"author": {"type": "string"}}}}}}}),
        json!({"name": "c", "title": "Tide tables"}),
        json!("no tool"),
    ];
    let index = Index::new(&tools);
    assert_eq!(first(&index, "folder"), Some(0));
    assert_eq!(first(&index, "author"), Some(1));
    assert_eq!(first(&index, "tides"), Some(2));
}

#[test]
fn a_rare_word_counts_more_than_a_usual_one() {
    let mut tools: Vec<Value> = (0..50)
        .map(|number| tool(&format!("list_{number}"), "Lists things.", &[]))
        .collect();
    tools.push(tool("archive", "Lists the parchments.", &[]));
    let index = Index::new(&tools);
    assert_eq!(first(&index, "list parchments"), Some(50));
}

#[test]
fn ten_thousand_tools_are_searched_completely() {
    let tools: Vec<Value> = (0..10_000)
        .map(|number| {
            tool(
                &format!("server{}-tool_{number}", number % 40),
                "Does something with a record of the database.",
                &[("record", "The record"), ("database", "The database")],
            )
        })
        .collect();
    let index = Index::new(&tools);
    assert_eq!(first(&index, "server7-tool_9967"), Some(9_967));
    let all = index.search("record of the database", 20_000);
    assert_eq!(all.len(), 10_000);
}

proptest! {
    #[test]
    fn a_query_that_is_the_name_of_a_tool_finds_it_first(
        names in prop::collection::hash_set("[a-zA-Z_.\u{e4}-]{1,8}|(get|list)[_-](file|File|issue)s?", 1..20),
        text in "[a-z ]{0,40}",
    ) {
        let names: Vec<String> = names.into_iter().collect();
        let tools: Vec<Value> = names.iter().map(|name| tool(name, &format!("{text} {}", names[0]), &[])).collect();
        let index = Index::new(&tools);
        for (place, name) in names.iter().enumerate() {
            prop_assert_eq!(first(&index, name), Some(place), "{}", name);
        }
    }

    #[test]
    fn answers_are_ordered_bounded_and_the_same_every_time(
        texts in prop::collection::vec("[a-e ]{0,20}", 0..30), query in "[a-e ]{0,10}", limit in 0_usize..40,
    ) {
        let tools: Vec<Value> = texts.iter().map(|text| tool(text, text, &[])).collect();
        let found = Index::new(&tools).search(&query, limit);
        prop_assert!(found.len() <= limit);
        prop_assert!(found.iter().all(|(place, score)| *place < tools.len() && *score > 0.0));
        prop_assert!(found.windows(2).all(|pair| pair[0].1 > pair[1].1 || pair[0].1 == pair[1].1 && pair[0].0 < pair[1].0));
        prop_assert_eq!(&found, &Index::new(&tools).search(&query, limit));
        let all = Index::new(&tools).search(&query, tools.len());
        prop_assert_eq!(&found[..], &all[..found.len()]);
    }

    #[test]
    fn no_catalogue_breaks_the_index(name in any::<String>(), query in any::<String>()) {
        let tools = [json!({"name": name, "description": [1], "inputSchema": {"properties": {"x": {"properties": 5}}}}), json!(null)];
        let found = Index::new(&tools).search(&query, 5);
        prop_assert!(found.len() <= 2);
    }
}
