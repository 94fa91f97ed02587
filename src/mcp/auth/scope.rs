//! Which scope is asked for. Pure.

use super::document::Document;

/// Both scopes, the first one first, each word once.
pub(super) fn union(first: Option<&str>, second: Option<&str>) -> Option<String> {
    let mut words: Vec<&str> = Vec::new();
    for word in first
        .into_iter()
        .chain(second)
        .flat_map(str::split_whitespace)
    {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    (!words.is_empty()).then(|| words.join(" "))
}

/// Whether a granted scope holds all of a wanted one.
pub(super) fn covers(granted: Option<&str>, wanted: &str) -> bool {
    let granted: Vec<_> = granted.unwrap_or_default().split_whitespace().collect();
    wanted
        .split_whitespace()
        .all(|word| granted.contains(&word))
}

/// What the choice of a scope depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wishes<'a> {
    /// That of the refusal.
    pub(super) challenged: Option<&'a str>,
    /// That of the settings.
    pub(super) configured: Option<&'a str>,
    /// What was granted before, if the request needs more than that.
    pub(super) granted: Option<&'a str>,
    /// The metadata of the resource.
    pub(super) resource: Option<&'a Document>,
    /// The metadata of the authorization server.
    pub(super) server: &'a Document,
    /// Whether the client can use refresh tokens, and gets them by a scope of their own.
    pub(super) wants_refresh: bool,
}

/// The scope to ask for; none leaves it to the server.
pub(super) fn select(wishes: Wishes<'_>) -> Option<String> {
    let named = union(wishes.challenged, wishes.configured).or_else(|| {
        let supported = wishes.resource?.list("scopes_supported")?;
        (!supported.is_empty()).then(|| supported.join(" "))
    });
    let scope = union(wishes.granted, named.as_deref())?;
    let has_offline = wishes
        .server
        .list("scopes_supported")
        .is_some_and(|all| all.contains(&OFFLINE));
    if wishes.wants_refresh && has_offline {
        return union(Some(&scope), Some(OFFLINE));
    }
    Some(scope)
}

/// The scope of OpenID Connect that asks for a refresh token.
pub(super) const OFFLINE: &str = "offline_access";

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_challenge_comes_before_the_metadata_and_nothing_is_asked_for_without_either() {
        let resource = document(r#"{"scopes_supported":["p","q"]}"#);
        let server = Document::default();
        let wishes = Wishes {
            challenged: Some("a"),
            configured: None,
            granted: None,
            resource: Some(&resource),
            server: &server,
            wants_refresh: true,
        };
        assert_eq!(select(wishes).as_deref(), Some("a"));
        let unnamed = Wishes {
            challenged: None,
            ..wishes
        };
        assert_eq!(select(unnamed).as_deref(), Some("p q"));
        let nowhere = Wishes {
            resource: None,
            ..unnamed
        };
        assert_eq!(select(nowhere), None);
        let configured = Wishes {
            configured: Some("c a"),
            ..wishes
        };
        assert_eq!(select(configured).as_deref(), Some("a c"));
        let more = Wishes {
            granted: Some("old"),
            ..wishes
        };
        assert_eq!(select(more).as_deref(), Some("old a"));
    }

    #[test]
    fn offline_access_is_asked_for_where_the_server_has_it() {
        let server = document(r#"{"scopes_supported":["a","offline_access"]}"#);
        let wishes = Wishes {
            challenged: Some("a"),
            configured: None,
            granted: None,
            resource: None,
            server: &server,
            wants_refresh: true,
        };
        assert_eq!(select(wishes).as_deref(), Some("a offline_access"));
        let machine = Wishes {
            wants_refresh: false,
            ..wishes
        };
        assert_eq!(select(machine).as_deref(), Some("a"));
        let unnamed = Wishes {
            challenged: None,
            ..wishes
        };
        assert_eq!(select(unnamed), None);
    }

    #[test]
    fn a_scope_covers_its_parts() {
        assert!(covers(Some("a b"), "b"));
        assert!(covers(None, " "));
        assert!(!covers(Some("a b"), "b c"));
        assert!(!covers(None, "a"));
    }
}
