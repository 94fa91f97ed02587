//! The table as text for readers.

use std::fmt::Write as _;

use super::{Section, State};

/// The reference of the configuration, in Markdown.
pub fn reference() -> String {
    let mut text = String::new();
    for section in Section::ALL {
        let _ = write!(text, "### {}\n\n", heading(section));
        text.push_str("| key | takes | default | what it does |\n|---|---|---|---|\n");
        for key in section.keys() {
            if key.state == State::Supported {
                let _ = writeln!(
                    text,
                    "| `{}` | {} | {} | {} |",
                    key.name, key.kind, key.default, key.about
                );
            }
        }
        others(section, &mut text);
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn heading(section: Section) -> String {
    match section {
        Section::File => section.name().to_owned(),
        _ => format!("`{}`", section.name()),
    }
}

/// The keys that are not obeyed, together with those of the same reason.
fn others(section: Section, text: &mut String) {
    let mut reasons: Vec<(State, Vec<&str>)> = Vec::new();
    for key in section.keys() {
        if key.state == State::Supported {
            continue;
        }
        match reasons.iter_mut().find(|(state, _)| *state == key.state) {
            Some((_, names)) => names.push(key.name),
            None => reasons.push((key.state, vec![key.name])),
        }
    }
    if reasons.is_empty() {
        return;
    }
    text.push_str("\n| of LiteLLM's | keys |\n|---|---|\n");
    for (state, names) in reasons {
        let (word, why) = match state {
            State::Planned(why) => ("planned", why),
            State::Not(why) => ("not", why),
            State::Supported => continue,
        };
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(text, "| {word}: {why} | {} |", names.join(", "));
    }
}
