//! Where the metadata of a resource and of its authorization server are, and whether they may be
//! believed: RFC 9728, RFC 8414, OpenID Connect Discovery, RFC 8707. Pure.

use url::Url;

use super::document::Document;
use super::near::{is_loopback, is_near};
use crate::error::{Error, ErrorKind, Result};

pub(super) fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::OAuthFlow, message)
}

/// What a URL is called in an error: nothing that may be a secret.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    // Credentials in the URL of a server are for the server alone.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// The path of a URL without the slash at its end; empty for the root.
fn path(url: &Url) -> &str {
    url.path().trim_end_matches('/')
}

/// Where the metadata of a protected resource may be, the likeliest first.
pub(super) fn resource_locations(server: &Url, named: Option<&str>) -> Vec<Url> {
    let known = "/.well-known/oauth-protected-resource";
    let mut all = Vec::new();
    all.extend(named.and_then(|named| server.join(named).ok()));
    let mut with_path = at(server, &format!("{known}{}", path(server)));
    with_path.set_query(server.query());
    all.push(with_path);
    all.push(at(server, known));
    all.dedup();
    all
}

/// Where the metadata of an authorization server may be, the likeliest first.
pub(super) fn server_locations(issuer: &Url) -> Vec<Url> {
    let path = path(issuer);
    let inserted = [
        at(
            issuer,
            &format!("/.well-known/oauth-authorization-server{path}"),
        ),
        at(issuer, &format!("/.well-known/openid-configuration{path}")),
    ];
    let appended = at(issuer, &format!("{path}/.well-known/openid-configuration"));
    let mut all = inserted.to_vec();
    if !all.contains(&appended) {
        all.push(appended);
    }
    all
}

/// The endpoints of a server of 2025-03-26 that has no metadata.
pub(super) fn default_endpoints(server: &Url) -> Document {
    let mut endpoints = Document::default();
    endpoints.set("issuer", origin(server));
    for (name, path) in [
        ("authorization_endpoint", "/authorize"),
        ("token_endpoint", "/token"),
        ("registration_endpoint", "/register"),
    ] {
        endpoints.set(name, String::from(at(server, path)));
    }
    endpoints
}

/// The identifier of a resource without metadata of its own: its URL.
pub(super) fn resource_of(server: &Url) -> String {
    let mut url = server.clone();
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let text = String::from(url);
    // The parser adds a slash to an origin; the canonical form of the specification has none.
    match text.strip_suffix('/') {
        Some(root) if server.path() == "/" && server.query().is_none() => root.to_owned(),
        _ => text,
    }
}

/// Refuses metadata that is about another resource (RFC 9728, section 3.3): a token for that one
/// would be handed to this server. A parent of the server stands for it.
pub(super) fn check_resource(server: &Url, resource: &str) -> Result<()> {
    let is_parent = Url::parse(resource).is_ok_and(|parent| {
        let (own, of_parent) = (path(server), path(&parent));
        parent.origin() == server.origin()
            && own
                .strip_prefix(of_parent)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    if is_parent {
        return Ok(());
    }
    let found = Url::parse(resource).map_or_else(
        |_| "no URL".to_owned(),
        |url| match origin(&url) {
            same if same == origin(server) => "another path of it".to_owned(),
            other => other,
        },
    );
    Err(refused(format!(
        "the metadata of the MCP server at {} is about another resource ({found}); a token for that \
         one is not asked for",
        origin(server)
    )))
}

/// Whether two issuers are the same: the same text, but for the slash of a root.
pub(super) fn is_same_issuer(one: &str, other: &str) -> bool {
    let is_root = |text: &str| Url::parse(text).is_ok_and(|url| url.path() == "/");
    one == other
        || (one.trim_end_matches('/') == other.trim_end_matches('/')
            && is_root(one)
            && is_root(other))
}

/// Refuses metadata that another server could have written (RFC 8414, section 3.3).
pub(super) fn check_issuer(metadata: &Document, expected: &str) -> Result<()> {
    match metadata.text("issuer") {
        Some(issuer) if is_same_issuer(issuer, expected) => Ok(()),
        Some(issuer) => Err(refused(format!(
            "the metadata of the authorization server {expected} names another issuer, {issuer}"
        ))),
        None => Err(refused(format!(
            "the metadata of the authorization server {expected} names no issuer"
        ))),
    }
}

/// Refuses a callback that comes from another server than was asked (RFC 9207, section 2.4).
pub(super) fn check_callback_issuer(metadata: &Document, received: Option<&str>) -> Result<()> {
    let expected = metadata.text("issuer").unwrap_or_default();
    match received {
        // No normalization: anything else may be another server.
        Some(issuer) if issuer == expected => Ok(()),
        Some(issuer) => Err(refused(format!(
            "the answer to the authorization request comes from issuer {issuer}, and {expected} was \
             asked"
        ))),
        None if metadata.flag("authorization_response_iss_parameter_supported") => {
            Err(refused(format!(
                "the answer to the authorization request names no issuer (iss), and the \
                 authorization server {expected} says that its answers do"
            )))
        }
        None => Ok(()),
    }
}

/// A URL that credentials, or a browser, may be sent to. Plain HTTP is for this machine alone; it and
/// its network are for servers that are themselves there: no other server may lead there.
pub(super) fn endpoint(server: &Url, named: &str, what: &str) -> Result<Url> {
    let url = Url::parse(named)
        .ok()
        .filter(Url::has_host)
        .ok_or_else(|| refused(format!("the {what} is not an absolute URL")))?;
    match url.scheme() {
        "https" | "http" if is_near(&url) && !is_near(server) => Err(refused(format!(
            "the {what} at {} is on this machine or in its network, where a server elsewhere has \
             nothing to say",
            origin(&url)
        ))),
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        scheme => Err(refused(format!(
            "the {what} at {scheme}://{} is not reached over https, which authorization needs \
             except on this machine",
            url.host_str().unwrap_or_default()
        ))),
    }
}

/// Where metadata may be read: as [`endpoint`], and at the server itself however it is reached.
pub(super) fn metadata_location(server: &Url, location: &Url) -> Result<()> {
    if location.origin() == server.origin() {
        return Ok(());
    }
    endpoint(server, location.as_str(), "metadata").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn texts(all: &[Url]) -> Vec<&str> {
        all.iter().map(Url::as_str).collect()
    }

    #[test]
    fn the_metadata_of_a_resource_is_looked_for_in_order() {
        assert_eq!(
            texts(&resource_locations(
                &url("https://u:p@h/a/mcp"),
                Some("https://h/x")
            )),
            [
                "https://h/x",
                "https://h/.well-known/oauth-protected-resource/a/mcp",
                "https://h/.well-known/oauth-protected-resource",
            ]
        );
        assert_eq!(
            texts(&resource_locations(&url("https://h/"), None)),
            ["https://h/.well-known/oauth-protected-resource"]
        );
    }

    #[test]
    fn the_metadata_of_a_server_is_looked_for_in_order() {
        assert_eq!(
            texts(&server_locations(&url("https://h/t/"))),
            [
                "https://h/.well-known/oauth-authorization-server/t",
                "https://h/.well-known/openid-configuration/t",
                "https://h/t/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            texts(&server_locations(&url("https://h"))),
            [
                "https://h/.well-known/oauth-authorization-server",
                "https://h/.well-known/openid-configuration",
            ]
        );
    }

    #[test]
    fn a_resource_is_the_server_or_a_parent_of_it() {
        let server = url("https://h/a/mcp");
        for right in [
            "https://h/a/mcp",
            "https://h/a/mcp/",
            "https://h/a",
            "https://h",
        ] {
            check_resource(&server, right).unwrap();
        }
        for wrong in [
            "https://h/a/m",
            "https://h/a/mcp/b",
            "https://g/a/mcp",
            "http://h/a/mcp",
            "https://h:8443/a/mcp",
            "mcp",
        ] {
            let error = check_resource(&server, wrong).unwrap_err();
            assert!(error.message().contains("another resource"), "{error}");
        }
        assert_eq!(resource_of(&url("https://h")), "https://h");
        assert_eq!(resource_of(&url("https://k:v@h/a/#x")), "https://h/a/");
    }

    #[test]
    fn issuers_are_compared_as_texts() {
        let metadata = Document::parse(br#"{"issuer":"https://h"}"#).unwrap();
        check_issuer(&metadata, "https://h/").unwrap();
        check_issuer(&metadata, "https://h/t").unwrap_err();
        check_issuer(&Document::default(), "https://h").unwrap_err();
        assert!(!is_same_issuer("https://h/t", "https://h/t/"));
        check_callback_issuer(&metadata, Some("https://h")).unwrap();
        check_callback_issuer(&metadata, None).unwrap();
        check_callback_issuer(&metadata, Some("https://h/")).unwrap_err();
        let advertised = Document::parse(
            br#"{"issuer":"https://h","authorization_response_iss_parameter_supported":true}"#,
        );
        check_callback_issuer(&advertised.unwrap(), None).unwrap_err();
    }

    #[test]
    fn credentials_leave_over_https_or_stay_on_this_machine() {
        let (secure, plain) = (url("https://h/mcp"), url("http://h/mcp"));
        endpoint(&secure, "https://a/x", "token endpoint").unwrap();
        let near = [
            "https://127.0.0.1/x",
            "https://10.1.2.3/",
            "https://[::1]/",
            "https://[::ffff:192.168.0.1]/",
            "https://169.254.169.254/latest",
            "http://localhost:1/x",
        ];
        for local in near {
            endpoint(&url("http://127.0.0.1/mcp"), local, "token endpoint").unwrap();
            for server in [&secure, &plain] {
                let error = endpoint(server, local, "token endpoint").unwrap_err();
                assert!(error.message().contains("in its network"), "{error}");
            }
        }
        for wrong in [
            "http://a/x",
            "javascript:alert(1)",
            "file:///etc",
            "/token",
            "ftp://a/x",
        ] {
            endpoint(&secure, wrong, "token endpoint").unwrap_err();
            endpoint(&plain, wrong, "token endpoint").unwrap_err();
        }
        let local = url("http://10.0.0.1/mcp");
        endpoint(&local, "http://10.0.0.1/token", "token endpoint").unwrap_err();
        metadata_location(&local, &url("http://10.0.0.1/.well-known/x")).unwrap();
        metadata_location(&plain, &url("http://10.0.0.1/.well-known/x")).unwrap_err();
    }
}
