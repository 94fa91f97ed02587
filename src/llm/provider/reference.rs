//! The reference of the providers, in Markdown, out of the table. Pure.

use std::fmt::Write;

use serde_json::Value;

use super::support::{Support, features, support};
use super::{Provider, all};
use crate::llm::provider::service::Kind;

/// What follows the introduction of PROVIDERS.md.
pub fn reference() -> String {
    let mut providers: Vec<&'static Provider> = all().iter().collect();
    providers.sort_by_key(|provider| provider.name);
    let mut text = String::new();
    text.push_str("| provider | kind | key | base | does not take | notes |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    let (served, refused): (Vec<&'static Provider>, Vec<&'static Provider>) = providers
        .into_iter()
        .partition(|provider| provider.unsupported.is_none());
    for provider in &served {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} |",
            provider.name,
            kind(provider),
            key(provider),
            base(provider),
            codes(&provider.parameters.unsupported),
            notes(provider),
        );
    }
    support_table(&mut text, &served);
    text.push_str("\n### Known and not supported\n\n| provider | why |\n|---|---|\n");
    for provider in refused {
        let reason = provider.unsupported.unwrap_or_default();
        let _ = writeln!(text, "| `{}` | {} |", provider.name, reason);
    }
    text
}

/// What of a request each provider carries; one line for those that carry the same.
fn support_table(text: &mut String, served: &[&'static Provider]) {
    let features = features();
    let mut lines: Vec<(Vec<&str>, Vec<Support>)> = Vec::new();
    for provider in served {
        let found: Vec<Support> = features
            .iter()
            .map(|(_, members)| support(provider, members))
            .collect();
        match lines.iter_mut().find(|(_, known)| *known == found) {
            Some((names, _)) => names.push(provider.name),
            None => lines.push((vec![provider.name], found)),
        }
    }
    text.push_str("\n### What a request may ask for\n\n");
    text.push_str(
        "\"yes\" goes to the provider in its own words, which does not say that each of its models can do \
         it; \"tool\" is done by a tool that the model has to call; \"–\" is refused before anything is sent \
         (`drop_params` leaves it out where it is a parameter). For native providers it is what a model that \
         can do as much as any gets.\n\n",
    );
    let names: Vec<&str> = features.iter().map(|(name, _)| *name).collect();
    let _ = writeln!(text, "| provider | {} |", names.join(" | "));
    let _ = writeln!(text, "|---{}|", "|---".repeat(names.len()));
    for (providers, found) in lines {
        let cells: Vec<&str> = found
            .iter()
            .map(|support| match support {
                Support::Yes => "yes",
                Support::ByTool => "tool",
                Support::No => "–",
            })
            .collect();
        let _ = writeln!(text, "| {} | {} |", codes(&providers), cells.join(" | "));
    }
}

fn kind(provider: &Provider) -> &'static str {
    match provider.kind {
        Kind::Openai => "data",
        _ => "native",
    }
}

fn codes<T: AsRef<str>>(names: &[T]) -> String {
    let codes: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    codes.join(", ")
}

fn key(provider: &Provider) -> String {
    let mut text = codes(&provider.key_variables);
    if !provider.key_required && !text.is_empty() {
        text.push_str(" (optional)");
    }
    text
}

fn base(provider: &Provider) -> String {
    let variables = codes(&provider.base_variables);
    match (provider.default_base, variables.is_empty()) {
        (Some(base), true) => base.to_owned(),
        (Some(base), false) => format!("{base} or {variables}"),
        (None, true) if provider.kind == Kind::Openai => "`api_base`".to_owned(),
        (None, true) => String::new(),
        (None, false) => variables,
    }
}

fn notes(provider: &Provider) -> String {
    let own = &provider.parameters;
    let mut notes = Vec::new();
    if !provider.bare_names.is_empty() {
        notes.push(format!("without prefix: {}", codes(&provider.bare_names)));
    }
    if let Some(header) = &provider.key_header {
        notes.push(format!("key in `{header}`"));
    }
    for (header, variables) in &provider.header_variables {
        notes.push(format!("`{header}` from {}", codes(variables)));
    }
    for (name, other) in &own.rename {
        notes.push(format!(
            "`{name}` goes as `{}`",
            other.as_str().unwrap_or_default()
        ));
    }
    for (name, value) in &own.force {
        notes.push(format!("`{name}` is always `{value}`"));
    }
    for (name, value) in &own.maximum {
        notes.push(format!("`{name}` is at most {value}"));
    }
    for some in &own.models {
        let except = match some.except.as_slice() {
            [] => String::new(),
            except => format!(" (but {})", codes(except)),
        };
        notes.push(format!(
            "not taken by {}{except}: {}",
            codes(&some.names),
            codes(&some.unsupported)
        ));
    }
    for (name, values) in &own.instead {
        for (value, members) in values {
            let members = Value::Object(members.clone());
            notes.push(format!("`{name}` \"{value}\" goes as `{members}`"));
        }
    }
    if own.text_content {
        notes.push("text parts are sent as one text".to_owned());
    }
    notes.join("; ")
}
