//! Which client this is to an authorization server, and how it proves that at the token endpoint.
//! Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::{Host, Url};

use super::discovery::is_same_issuer;
use super::document::Document;
use crate::error::{Error, ErrorKind, Result};

/// How a client authenticates at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    None,
    Basic,
    Post,
    PrivateKeyJwt,
}

const NAMES: [(&str, Method); 4] = [
    ("none", Method::None),
    ("client_secret_basic", Method::Basic),
    ("client_secret_post", Method::Post),
    ("private_key_jwt", Method::PrivateKeyJwt),
];

fn named(name: &str) -> Option<Method> {
    let found = NAMES.iter().find(|(known, _)| *known == name)?;
    Some(found.1)
}

/// How `client` authenticates: as it was registered, else as `asked`, else by what it has and the
/// server takes.
pub(super) fn method(client: &Document, asked: Option<&str>, server: &Document) -> Result<Method> {
    let has_secret = client.has("client_secret");
    let unusable = |sentence: String| Err(Error::new(ErrorKind::OAuthRegistration, sentence));
    if let Some(name) = client.text("token_endpoint_auth_method").or(asked) {
        return match named(name) {
            Some(Method::Basic | Method::Post) if !has_secret => unusable(format!(
                "the client is registered for {name}, but has no client_secret"
            )),
            Some(method) => Ok(method),
            None => unusable(format!(
                "the client is registered for the authentication method {name}; known are none, \
                 client_secret_basic, client_secret_post and private_key_jwt"
            )),
        };
    }
    if !has_secret {
        return Ok(Method::None);
    }
    let Some(taken) = server.list("token_endpoint_auth_methods_supported") else {
        return Ok(Method::Basic);
    };
    let choices = [Method::Basic, Method::Post, Method::None];
    let takes = |method: &Method| taken.iter().any(|name| named(name) == Some(*method));
    choices.into_iter().find(takes).map_or_else(
        || {
            unusable(format!(
                "the authorization server takes no client with a secret, but {}",
                taken.join(", ")
            ))
        },
        Ok,
    )
}

/// The method that a registration asks for, when the user named none.
pub(super) fn method_to_register(server: &Document) -> Option<&'static str> {
    let taken = server.list("token_endpoint_auth_methods_supported")?;
    // A program on somebody's machine keeps no secret, so none is asked for where none is needed.
    let (name, _) = NAMES[..3].iter().find(|(name, _)| taken.contains(name))?;
    Some(name)
}

/// The credentials of `client_secret_basic`: both halves form-encoded first (RFC 6749, section
/// 2.3.1). A space is `%20`, which those who forget about forms read rightly too.
pub(super) fn basic(id: &str, secret: &str) -> String {
    let encoded = |text: &str| {
        let form: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        form.replace('+', "%20")
    };
    let pair = format!("{}:{}", encoded(id), encoded(secret));
    format!("Basic {}", STANDARD.encode(pair))
}

/// Whether a kept client may be shown to an issuer: it is registered there, or with nobody in
/// particular, or is a document that everybody reads.
pub(super) fn belongs_to(client: &Document, issuer: &str, document_url: Option<&str>) -> bool {
    match client.text("issuer") {
        None => true,
        Some(own) => {
            is_same_issuer(own, issuer)
                || (document_url.is_some() && client.text("client_id") == document_url)
        }
    }
}

/// Whether a client that was registered earlier can still be called back. One that the user
/// brought along, without an issuer, is taken as it is.
pub(super) fn takes_redirect(client: &Document, redirect: &str) -> bool {
    match (client.text("issuer"), client.list("redirect_uris")) {
        (Some(_), Some(known)) if !known.is_empty() => known.contains(&redirect),
        _ => true,
    }
}

/// The kind of application that calls itself back at `redirect` (OpenID Connect Registration).
pub(super) fn application_type(redirect: &str) -> &'static str {
    let is_remote = Url::parse(redirect).is_ok_and(|url| {
        let is_here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => true,
        };
        url.scheme() == "https" && !is_here
    });
    if is_remote { "web" } else { "native" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_method_is_that_of_the_registration_or_one_that_the_server_takes() {
        let secret = document(r#"{"client_id":"c","client_secret":"s"}"#);
        let server = |list: &str| {
            document(&format!(
                r#"{{"token_endpoint_auth_methods_supported":[{list}]}}"#
            ))
        };
        let anywhere = Document::default();
        let mut registered = secret.clone();
        registered.set("token_endpoint_auth_method", "client_secret_post");
        let post = server(r#""client_secret_post""#);
        let cases = [
            (&registered, None, &anywhere, Method::Post),
            (&secret, None, &anywhere, Method::Basic),
            (&secret, None, &post, Method::Post),
            (&secret, None, &server(r#""none""#), Method::None),
            (&secret, Some("none"), &post, Method::None),
            (&document(r#"{"client_id":"c"}"#), None, &post, Method::None),
        ];
        for (client, asked, server, expected) in cases {
            assert_eq!(method(client, asked, server).unwrap(), expected);
        }
        let error = method(&secret, None, &server(r#""tls_client_auth""#)).unwrap_err();
        assert!(error.message().contains("tls_client_auth"), "{error}");
        method(&Document::default(), Some("client_secret_post"), &post).unwrap_err();
        method(&secret, Some("client_secret_jwt"), &post).unwrap_err();
    }

    #[test]
    fn both_halves_of_basic_credentials_are_form_encoded() {
        let expected = STANDARD.encode("a%3Ab%20c:%C3%A9%2B%25%2F");
        assert_eq!(basic("a:b c", "é+%/"), format!("Basic {expected}"));
    }

    #[test]
    fn a_client_is_shown_to_its_own_issuer_alone() {
        let client = document(r#"{"client_id":"https://c/x","issuer":"https://a"}"#);
        assert!(belongs_to(&client, "https://a/", None));
        assert!(!belongs_to(&client, "https://b", None));
        assert!(belongs_to(&client, "https://b", Some("https://c/x")));
        assert!(belongs_to(
            &document(r#"{"client_id":"c"}"#),
            "https://b",
            None
        ));
    }

    #[test]
    fn applications_on_this_machine_are_native() {
        for (redirect, expected) in [
            ("http://127.0.0.1:1/callback", "native"),
            ("http://localhost/callback", "native"),
            ("com.example.app:/callback", "native"),
            ("https://example.com/callback", "web"),
        ] {
            assert_eq!(application_type(redirect), expected);
        }
    }
}
