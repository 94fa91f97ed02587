//! Sessions over stdio with a server that is a few lines of shell: no Python, no build of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use toolbridge::error::ErrorKind;
use toolbridge::json::RawJson;
use toolbridge::mcp::session::PeerAnswer;
use toolbridge::mcp::transport::stdio::ErrorLog;
use toolbridge::mcp::{
    CallOptions, Connection, Events, Params, PeerError, Session, StdioConnection,
    StdioServerParameters,
};

const SERVER: &str = r#"
answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$1" "$2"; }
waiting=
while IFS= read -r line; do
    id=${line#*\"id\":}; id=${id%%,*}; id=${id%\}}
    case $line in
        *'"method":"exact"'*) answer "$id" '{"z":1.10,"a":null,"n":123456789012345678901234567890}' ;;
        *'"method":"said"'*) answer "$id" "$line" ;;
        *'"method":"silent"'*) ;;
        *'"method":"wait"'*) waiting=$id ;;
        *'"method":"notifications/cancelled"'*) answer "$waiting" "$line" ;;
        *'"method":"report"'*)
            token=${line#*progressToken\":}; token=${token%%\}*}
            for step in 1 2 3; do
                printf '{"method":"notifications/progress","params":{"progressToken":%s,"progress":%s}}\n' "$token" "$step"
                printf '{"method":"notifications/message","params":{"step":%s}}\n' "$step"
            done
            answer "$id" '{}' ;;
        *'"method":"garbage"'*) echo 'Listening.'; answer "$id" '{}' ;;
        *'"method":"large"'*) answer "$id" "\"$(printf '%04000d' 0)\"" ;;
        *'"method":"ask"'*) waiting=$id; printf '{"id":"a-1","method":"%s"}\n' "$ASKED" ;;
        *'"id":"a-1"'*) answer "$waiting" "$line" ;;
        *'"method":"die"'*) echo 'the reason' >&2; exit 3 ;;
    esac
done
"#;

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn text(raw: &RawJson) -> &str {
    std::str::from_utf8(raw.as_bytes()).unwrap()
}

impl Events for Heard {
    fn notification(&self, method: &str, params: Option<RawJson>) {
        let params = params.as_ref().map_or("", text);
        self.note(format!("{method} {params}"));
    }

    fn garbage(&self, preview: &str, _reason: &str) {
        self.note(format!("garbage {preview}"));
    }

    fn request(&self, method: &str, _params: Option<RawJson>) -> PeerAnswer {
        let outcome = match method {
            "roots/list" => Ok(RawJson::trusted(r#"{"roots":[],"b":1.10}"#)),
            other => Err(PeerError::method_not_found(other)),
        };
        Box::pin(async move { outcome })
    }
}

fn parameters() -> StdioServerParameters {
    StdioServerParameters {
        command: "sh".into(),
        args: vec!["-c".into(), SERVER.into()],
        env: [("ASKED".to_owned(), "roots/list".to_owned())].into(),
        cwd: None,
        maximum_message_bytes: 2000,
    }
}

fn open_with(parameters: &StdioServerParameters) -> (Arc<Session>, Arc<Heard>) {
    let connection = StdioConnection::open(parameters, ErrorLog::Discard).unwrap();
    let heard = Arc::new(Heard::default());
    let link = connection.link();
    assert!(link.listen(Arc::clone(&heard) as Arc<dyn Events>));
    let session = Session::start(Connection::Stdio(connection), link);
    (Arc::new(session), heard)
}

fn open() -> (Arc<Session>, Arc<Heard>) {
    open_with(&parameters())
}

async fn call(session: &Session, method: &str) -> toolbridge::error::Result<RawJson> {
    session
        .request(method, Params::default(), CallOptions::default())
        .await
}

#[tokio::test]
async fn an_answer_is_the_text_that_the_server_wrote() {
    let (session, _) = open();
    let answer = call(&session, "exact").await.unwrap();
    assert_eq!(
        text(&answer),
        r#"{"z":1.10,"a":null,"n":123456789012345678901234567890}"#
    );
    session.close().await;
}

#[tokio::test]
async fn a_request_carries_the_text_of_its_parameters_and_no_progress_token() {
    let (session, _) = open();
    let params = Params {
        object: Some(RawJson::trusted(r#"{"b":1.10,"a":null}"#)),
        meta: Some(RawJson::trusted(r#"{"k":[1]}"#)),
    };
    let said = session
        .request("said", params, CallOptions::default())
        .await
        .unwrap();
    let said = text(&said);
    assert!(
        said.contains(r#""method":"said","params":{"b":1.10,"a":null,"_meta":{"k":[1]}}}"#),
        "{said}"
    );
    session.close().await;
}

#[tokio::test]
async fn notifications_are_heard_in_wire_order_and_before_the_answer() {
    let (session, heard) = open();
    let progress = Arc::clone(&heard);
    let options = CallOptions {
        progress: Some(Arc::new(move |params: RawJson| {
            let value = params.to_value().unwrap();
            progress.note(format!("progress {}", value["progress"]));
        })),
        ..CallOptions::default()
    };
    session
        .request("report", Params::default(), options)
        .await
        .unwrap();
    let expected: Vec<String> = (1..=3)
        .flat_map(|step| {
            [
                format!("progress {step}"),
                format!("notifications/message {{\"step\":{step}}}"),
            ]
        })
        .collect();
    assert_eq!(heard.all(), expected);
    session.close().await;
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_at_the_server() {
    let (session, _) = open();
    let waiting = tokio::spawn({
        let session = Arc::clone(&session);
        async move { call(&session, "wait").await }
    });
    // The server has read "wait" once it has answered what came after it.
    while !waiting.is_finished() {
        call(&session, "exact").await.unwrap();
        let silent = session.request("silent", Params::default(), CallOptions::default());
        assert!(
            tokio::time::timeout(Duration::from_millis(5), silent)
                .await
                .is_err()
        );
    }
    let cancelled = waiting.await.unwrap().unwrap().to_value().unwrap();
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert!(cancelled["params"]["requestId"].is_number());
    session.close().await;
}

#[tokio::test]
async fn a_call_without_an_answer_times_out() {
    let (session, _) = open();
    let options = CallOptions {
        timeout: Some(Duration::from_millis(10)),
        ..CallOptions::default()
    };
    let failure = session
        .request("silent", Params::default(), options)
        .await
        .unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::McpTimeout);
    assert_eq!(failure.context().rpc_code, Some(-32_001));
    session.close().await;
}

#[tokio::test]
async fn a_server_that_dies_fails_every_call_with_its_status_and_last_words() {
    let (session, _) = open();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let session = Arc::clone(&session);
            tokio::spawn(async move { call(&session, "silent").await })
        })
        .collect();
    call(&session, "exact").await.unwrap();
    let mut failures = vec![call(&session, "die").await.unwrap_err()];
    for one in waiting {
        failures.push(one.await.unwrap().unwrap_err());
    }
    failures.push(call(&session, "exact").await.unwrap_err());
    for failure in failures {
        assert_eq!(failure.kind(), ErrorKind::ConnectionClosed);
        assert!(
            failure
                .message()
                .contains("`sh` ended with exit status: 3, so"),
            "{failure}"
        );
        assert!(failure.message().ends_with("the reason"), "{failure}");
    }
    session.close().await;
}

#[tokio::test]
async fn a_closed_session_fails_what_waits_and_what_comes() {
    let (session, _) = open();
    let waiting = tokio::spawn({
        let session = Arc::clone(&session);
        async move { call(&session, "silent").await }
    });
    call(&session, "exact").await.unwrap();
    tokio::join!(session.close(), session.close());
    let failure = waiting.await.unwrap().unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::ConnectionClosed);
    let failure = call(&session, "exact").await.unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::ConnectionClosed);
    assert!(failure.message().contains("closed"), "{failure}");
}

#[tokio::test]
async fn an_answer_over_the_limit_fails_its_caller_alone() {
    let (session, _) = open();
    let failure = call(&session, "large").await.unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Transport);
    assert!(
        failure.message().contains("maximum_message_bytes"),
        "{failure}"
    );
    call(&session, "exact").await.unwrap();
    session.close().await;
}

#[tokio::test]
async fn garbage_is_reported_and_skipped() {
    let (session, heard) = open();
    call(&session, "garbage").await.unwrap();
    assert_eq!(heard.all(), ["garbage Listening."]);
    session.close().await;
}

#[tokio::test]
async fn requests_of_the_server_are_answered() {
    for (method, answered) in [
        ("ping", r#""result":{}"#),
        ("roots/list", r#""result":{"roots":[],"b":1.10}"#),
        ("x/unknown", "-32601"),
    ] {
        let mut asking = parameters();
        asking.env.insert("ASKED".into(), method.into());
        let (session, _) = open_with(&asking);
        let answer = call(&session, "ask").await.unwrap();
        assert!(text(&answer).contains(answered), "{}", text(&answer));
        session.close().await;
    }
}

#[tokio::test]
async fn a_command_that_is_not_there_is_named() {
    let mut missing = parameters();
    missing.command = "no-such-command-here".into();
    let failure = StdioConnection::open(&missing, ErrorLog::Discard).unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Transport);
    assert!(failure.message().contains("`no-such-command-here`"));
    assert!(!format!("{missing:?}").contains("method"));
}

/// A listener that never answers.
#[derive(Default)]
struct Pondering {
    asked: std::sync::atomic::AtomicUsize,
    given_up: Arc<std::sync::atomic::AtomicUsize>,
}

/// Counts when it is dropped.
struct Counted(Arc<std::sync::atomic::AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Events for Pondering {
    fn notification(&self, _method: &str, _params: Option<RawJson>) {}

    fn garbage(&self, preview: &str, _reason: &str) {
        panic!("{preview}");
    }

    fn request(&self, _method: &str, _params: Option<RawJson>) -> PeerAnswer {
        self.asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let counted = Counted(Arc::clone(&self.given_up));
        Box::pin(async move {
            std::future::pending::<()>().await;
            drop(counted);
            Err(PeerError::unanswered("never"))
        })
    }
}

fn open_flood(script: &str) -> (Session, Arc<Pondering>) {
    let parameters = StdioServerParameters {
        args: vec!["-c".into(), script.into()],
        ..parameters()
    };
    let connection = StdioConnection::open(&parameters, ErrorLog::Discard).unwrap();
    let pondering = Arc::<Pondering>::default();
    let link = connection.link();
    assert!(link.listen(Arc::clone(&pondering) as Arc<dyn Events>));
    let session = Session::start(Connection::Stdio(connection), link);
    (session, pondering)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_without_an_end_and_never_reads_is_ended() {
    let script = r#"seq -f '{"id":%.0f,"method":"ping"}' 1 1000000; tail -f /dev/null"#;
    let (session, _) = open_flood(script);
    let (other, _) = open();
    let failure = call(&session, "anything").await.unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::ConnectionClosed);
    let said = failure.message();
    assert!(
        said.contains("`sh` sent requests and did not take the answers"),
        "{said}"
    );
    call(&other, "exact").await.unwrap();
    session.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_beyond_those_that_are_handled_at_once_are_refused() {
    // The first line that it reads is the call below; the others are the answers.
    let script = r#"
        IFS= read -r line; id=${line#*\"id\":}; id=${id%%,*}
        seq -f '{"id":"a%.0f","method":"roots/list"}' 1 300
        for _ in $(seq 44); do IFS= read -r line; done
        printf '{"id":%s,"result":%s}\n' "$id" "$line"
        IFS= read -r line; printf '{"id":"p","method":"ping"}\n'
        id=${line#*\"id\":}; id=${id%%,*}
        IFS= read -r line; printf '{"id":%s,"result":%s}\n' "$id" "$line"
        cat > /dev/null
    "#;
    let (session, pondering) = open_flood(script);
    let answer = call(&session, "flood").await.unwrap();
    let refusal = text(&answer);
    assert!(
        refusal.contains("handles 256 requests at once"),
        "{refusal}"
    );
    let ordering = std::sync::atomic::Ordering::SeqCst;
    assert_eq!(pondering.asked.load(ordering), 256);
    let answer = call(&session, "what of a ping").await.unwrap();
    assert!(
        text(&answer).contains(r#""id":"p","result":{}"#),
        "{}",
        text(&answer)
    );
    session.close().await;
    assert_eq!(pondering.given_up.load(ordering), 256);
}
