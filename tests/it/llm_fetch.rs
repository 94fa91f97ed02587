//! What a request names by URL and its protocol carries as bytes alone: what is fetched, from where,
//! and what is refused.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use toolbridge::llm::client::Reach;
use toolbridge::llm::client::fetch::{Connecting, Fetcher, MAX_BYTES, MAX_FETCHES};
use toolbridge::llm::conversion::{Conversion, Notes, Translator, Unreadable};
use toolbridge::llm::types::chat::ChatRequest;
use toolbridge::llm::types::completion::Completion;
use toolbridge::llm::types::content::{Part, PartKind, Source};
use toolbridge::llm::types::fields::Unusable;

use crate::llm_endpoint::{Endpoint, Reply, Step, answer};

/// A protocol that carries bytes alone.
#[derive(Debug)]
struct BytesAlone;

impl Conversion for BytesAlone {
    fn request(&self, _: &mut ChatRequest, _: &mut Notes) -> Result<Map<String, Value>, Unusable> {
        unreachable!("nothing is sent")
    }

    fn answer(&self, _: &[u8], _: &Notes) -> Result<Completion, Unreadable> {
        unreachable!("nothing is sent")
    }

    fn stream(&self, _: &Notes) -> Box<dyn Translator> {
        unreachable!("nothing is sent")
    }

    fn needs_bytes(&self, part: &Part) -> bool {
        matches!(part.kind, PartKind::Image { .. } | PartKind::File { .. })
    }
}

fn loopback() -> Fetcher {
    Fetcher::new(Reach::with(vec!["127.0.0.1".parse().unwrap()]))
}

fn picture(url: &str) -> Value {
    json!({"type": "image_url", "image_url": {"url": url}})
}

fn request(parts: &[Value]) -> ChatRequest {
    let body = json!({"messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": parts},
    ]});
    ChatRequest::read(body.as_object().unwrap().clone()).unwrap()
}

async fn filled(fetcher: &Fetcher, parts: &[Value]) -> Result<Vec<Source>, Unusable> {
    let mut request = request(parts);
    fetcher
        .fill(&mut request, &BytesAlone, Connecting::default(), None)
        .await?;
    let parts = std::mem::take(&mut request.messages[1].content).into_iter();
    let sources = parts.map(|part| match part.kind {
        PartKind::Image { source, .. } | PartKind::File { source, .. } => source,
        other => panic!("{other:?}"),
    });
    Ok(sources.collect())
}

fn data(media_type: &str, base64: &str) -> Source {
    Source::Data {
        media_type: media_type.to_owned(),
        base64: base64.to_owned(),
    }
}

fn png() -> Reply {
    answer("200 OK", "content-type: image/png; x=y\r\n", "abc")
}

fn redirect(to: &str) -> Reply {
    answer("302 Found", &format!("location: {to}\r\n"), "")
}

async fn refused(fetcher: &Fetcher, url: &str) -> Unusable {
    let fault = filled(fetcher, &[picture(url)]).await.unwrap_err();
    assert_eq!(fault.place, "messages[1].content[0]", "{fault}");
    assert!(fault.problem.contains("data: URL"), "{fault}");
    assert!(!fault.problem.contains("secret"), "{fault}");
    fault
}

#[tokio::test]
async fn urls_are_replaced_by_what_they_lead_to_and_everything_else_stays() {
    let file = answer(
        "200 OK",
        "content-type: application/octet-stream\r\n",
        "%PDF-1",
    );
    let first = Endpoint::start(vec![png()]).await;
    let second = Endpoint::start(vec![file]).await;
    let sources = filled(
        &loopback(),
        &[
            picture(&format!("{}/a.gif", first.origin)),
            picture("data:image/gif;base64,AAAA"),
            json!({"type": "file", "file": {"file_id": format!("{}/b", second.origin)}}),
            picture("gs://bucket/a.png"),
        ],
    )
    .await
    .unwrap();
    assert_eq!(
        sources,
        [
            data("image/png", "YWJj"),
            data("image/gif", "AAAA"),
            data("application/pdf", "JVBERi0x"),
            Source::Url("gs://bucket/a.png".to_owned()),
        ]
    );
    let sent = first.requests().remove(0);
    assert!(sent.starts_with("GET /a.gif HTTP/1.1\r\n"), "{sent}");
    assert!(
        !sent.to_ascii_lowercase().contains("authorization"),
        "{sent}"
    );
}

#[tokio::test]
async fn addresses_that_are_not_public_are_never_asked() {
    let endpoint = Endpoint::start(vec![png()]).await;
    let port = endpoint.origin.rsplit_once(':').unwrap().1;
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
    ] {
        let url = format!("http://{host}:{port}/secret?key=secret");
        let fault = refused(&Fetcher::default(), &url).await;
        assert!(fault.problem.contains("not a public one"), "{fault}");
        assert!(fault.problem.contains(&format!(":{port}")), "{fault}");
    }
    assert_eq!(endpoint.connections(), 0);
}

#[tokio::test]
async fn a_redirect_is_checked_like_the_url_that_led_to_it() {
    let endpoint = Endpoint::start(vec![redirect("/b"), png()]).await;
    let sources = filled(&loopback(), &[picture(&endpoint.origin)])
        .await
        .unwrap();
    assert_eq!(sources, [data("image/png", "YWJj")]);

    for place in [
        "http://127.0.0.2:1/secret",
        "http://10.0.0.1/secret",
        "http://localhost6.localdomain6.invalid/secret",
        "file:///secret",
    ] {
        let endpoint = Endpoint::start(vec![redirect(place), png()]).await;
        refused(&loopback(), &endpoint.origin).await;
        assert_eq!(endpoint.requests().len(), 1, "{place}");
    }
    let endpoint = Endpoint::start(vec![redirect("http://127.0.0.2:1/secret")]).await;
    let fault = refused(&loopback(), &endpoint.origin).await;
    assert!(fault.problem.contains("not a public one"), "{fault}");
}

#[tokio::test]
async fn redirects_end() {
    let endpoint = Endpoint::start(vec![redirect("/again"); 20]).await;
    let fault = refused(&loopback(), &endpoint.origin).await;
    assert!(fault.problem.contains("redirects"), "{fault}");
    assert_eq!(endpoint.requests().len(), 6);
}

#[tokio::test]
async fn what_is_too_large_is_not_read_to_its_end() {
    let length = MAX_BYTES + 1;
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: {length}\r\n\r\n");
    let said = Endpoint::start(vec![vec![Step::Send(head.into_bytes())]]).await;
    let fault = refused(&loopback(), &said.origin).await;
    assert!(fault.problem.contains("larger than 20 MB"), "{fault}");

    let gone = std::sync::Arc::new(Notify::new());
    let endless = Endpoint::start(vec![vec![
        Step::Send(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n".to_vec()),
        Step::Send(vec![b'a'; length]),
        Step::UntilGone(std::sync::Arc::clone(&gone)),
    ]])
    .await;
    let fault = refused(&loopback(), &endless.origin).await;
    assert!(fault.problem.contains("larger than 20 MB"), "{fault}");
}

#[tokio::test]
async fn what_is_no_picture_is_refused() {
    for (reply, said) in [
        (answer("404 Not Found", "", "secret"), "404"),
        (
            answer("200 OK", "content-type: text/html\r\n", "<html>"),
            "text/html",
        ),
        (answer("200 OK", "", "abc"), "Content-Type"),
        (answer("200 OK", "content-type: image/png\r\n", ""), "empty"),
        (vec![Step::Close], "cannot be fetched"),
    ] {
        let endpoint = Endpoint::start(vec![reply]).await;
        let url = format!("{}/secret?key=secret", endpoint.origin);
        let fault = refused(&loopback(), &url).await;
        assert!(fault.problem.contains(said), "{fault}");
        assert!(fault.problem.contains(&endpoint.origin), "{fault}");
    }
}

#[tokio::test]
async fn a_request_that_names_too_many_fetches_none() {
    let endpoint = Endpoint::start(vec![png(); MAX_FETCHES + 1]).await;
    let parts = vec![picture(&endpoint.origin); MAX_FETCHES + 1];
    let fault = filled(&loopback(), &parts).await.unwrap_err();
    assert_eq!(fault.place, "messages[1].content[16]");
    assert_eq!(endpoint.connections(), 0);
    let sources = filled(&loopback(), &parts[1..]).await.unwrap();
    assert_eq!(sources.len(), MAX_FETCHES);
}

#[tokio::test]
async fn fetching_ends_with_the_time_of_the_call() {
    let endpoint =
        Endpoint::start(vec![vec![Step::Wait(std::sync::Arc::new(Notify::new()))]]).await;
    let mut request = request(&[picture(&endpoint.origin)]);
    let limit = Some(Duration::from_millis(50));
    let fault = loopback()
        .fill(&mut request, &BytesAlone, Connecting::default(), limit)
        .await
        .unwrap_err();
    assert_eq!(fault.place, "messages[1].content[0]");
    assert!(fault.problem.contains("0.05 s"), "{fault}");
}

#[tokio::test]
async fn all_are_fetched_at_once() {
    let gate = std::sync::Arc::new(Notify::new());
    let late: Reply = [vec![Step::Wait(std::sync::Arc::clone(&gate))], png()].concat();
    let first = Endpoint::start(vec![late]).await;
    let second = Endpoint::start(vec![png()]).await;
    let parts = [picture(&first.origin), picture(&second.origin)];
    let fetcher = loopback();
    let open = async {
        // The second comes while the first waits.
        while second.requests().is_empty() || first.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        gate.notify_one();
    };
    let (sources, ()) = tokio::join!(filled(&fetcher, &parts), open);
    assert_eq!(sources.unwrap().len(), 2);
}
