//! The command as a process: what it says about its input, how it serves, reloads and ends.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::routing::post;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};
use tokio::sync::Notify;
use toolbridge::gateway::config::keys;

const MODELS: &str =
    "model_list:\n  - {model_name: first, litellm_params: {model: gpt-4o, mock_response: hi}}\n";

/// A file that is there for as long as its test runs.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("toolbridge-cli-{}-{number}.yaml", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    /// Another file takes the place of this one, as editors do it.
    fn write(&self, text: &str) {
        let scratch = self.0.with_extension("new");
        std::fs::write(&scratch, text).unwrap();
        std::fs::rename(&scratch, &self.0).unwrap();
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A command without the keys of whoever runs the tests.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toolbridge"));
    command.args(arguments).stdin(Stdio::null());
    for name in [
        "OPENAI_API_KEY",
        "TOOLBRIDGE_MASTER_KEY",
        "LITELLM_MASTER_KEY",
        "TOOLBRIDGE_LOG",
        "LITELLM_LOG",
        "CONFIG_FILE_PATH",
        "TOOLBRIDGE_HOST",
    ] {
        command.env_remove(name);
    }
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A gateway that serves.
struct Serving {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    seen: Vec<String>,
    url: String,
}

impl Serving {
    async fn start(arguments: &[&str]) -> Self {
        let mut all = vec!["serve", "--port", "0"];
        all.extend_from_slice(arguments);
        Self::of(command(&all)).await
    }

    async fn of(command: Command) -> Self {
        let mut child = tokio::process::Command::from(command)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let mut serving = Self {
            child,
            lines: BufReader::new(stderr).lines(),
            seen: Vec::new(),
            url: String::new(),
        };
        let line = serving.until("listens on http://").await;
        let start = line.find("http://").unwrap();
        let address = line[start..].split('"').next().unwrap();
        serving.url = address.to_owned();
        serving
    }

    /// Reads lines until one holds the words.
    async fn until(&mut self, words: &str) -> String {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.seen.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
        panic!("{words:?} was never said, but {:?}", self.seen);
    }

    fn signal(&self, signal: i32) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        let status = Command::new("kill")
            .args([format!("-{signal}"), id.to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    async fn ended(mut self) -> (ExitStatus, Vec<String>) {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.seen.push(line);
        }
        (self.child.wait().await.unwrap(), self.seen)
    }

    async fn models(&self) -> Vec<String> {
        let text = reqwest::get(format!("{}/v1/models", self.url));
        let text = text.await.unwrap().text().await.unwrap();
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        let models = list["data"].as_array().unwrap().iter();
        models
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

const HANGUP: i32 = 1;
const INTERRUPT: i32 = 2;
const TERMINATE: i32 = 15;

#[test]
fn wrong_input_gets_a_sentence_and_status_2() {
    let broken = File::new("model_list:\n  - model_name: m\n");
    let lenient = File::new("model_list: []\nnonsense: 1\n");
    let cases: [(&[&str], &str); 8] = [
        (
            &[],
            "toolbridge: no configuration: give one with --config config.yaml (see toolbridge --help)\n",
        ),
        (&["serve", "--confg", "x"], "unexpected argument '--confg'"),
        (
            &["serve", "--port", "many"],
            "invalid value 'many' for '--port",
        ),
        (
            &["serve", "--config", "/nowhere.yaml"],
            "toolbridge: the configuration file /nowhere.yaml cannot be read: ",
        ),
        (
            &["--config", broken.name()],
            "line 2: model_list[0] has no litellm_params\n",
        ),
        (
            &["check", broken.name()],
            "line 2: model_list[0] has no litellm_params\n",
        ),
        (
            &["check", lenient.name(), "--strict"],
            "line 2: nonsense is no known key and was ignored\n",
        ),
        (
            &["--config", lenient.name(), "--strict"],
            "line 2: nonsense is no known key and was ignored\n",
        ),
    ];
    for (arguments, expected) in cases {
        let (status, output, error) = run(arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert_eq!(output, "");
    }
}

#[test]
fn a_gateway_that_everybody_can_reach_needs_a_key() {
    let file = File::new(MODELS);
    let (status, _, error) = run(&["--config", file.name(), "--host", "0.0.0.0", "--port", "0"]);
    assert_eq!(status, Some(1));
    assert!(
        error.contains("the gateway does not listen on 0.0.0.0 without a key"),
        "{error}"
    );
}

/// What the image runs: the variables that it sets, and its program with its first arguments.
fn image() -> (Vec<(&'static str, &'static str)>, Vec<String>) {
    let lines = include_str!("../../Dockerfile").lines();
    let variables = lines.clone().filter_map(|line| line.strip_prefix("ENV "));
    let variables = variables.filter_map(|pair| pair.split_once('=')).collect();
    let mut entry = lines.filter_map(|line| line.strip_prefix("ENTRYPOINT "));
    (
        variables,
        serde_json::from_str(entry.next_back().unwrap()).unwrap(),
    )
}

#[tokio::test]
async fn the_image_serves_everybody_with_a_key_and_says_why_it_does_not_without() {
    let file = File::new(MODELS);
    let (variables, entry) = image();
    let mut arguments: Vec<&str> = entry[1..].iter().map(String::as_str).collect();
    // As on LiteLLM's page, but for the port.
    arguments.extend(["--config", file.name(), "--port", "0", "--detailed_debug"]);
    let mut keyless = command(&arguments);
    keyless.envs(variables.iter().copied());
    let output = keyless.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("the gateway does not listen on 0.0.0.0 without a key: set"),
        "{error}"
    );
    let mut with_key = command(&arguments);
    with_key
        .envs(variables)
        .env("LITELLM_MASTER_KEY", "sk-of-the-image");
    let mut serving = Serving::of(with_key).await;
    assert!(serving.url.starts_with("http://0.0.0.0:"));
    serving.url = serving.url.replace("0.0.0.0", "127.0.0.1");
    let request = reqwest::Client::new().get(format!("{}/v1/models", serving.url));
    let asked = request.try_clone().unwrap().send().await.unwrap();
    assert_eq!(asked.status(), 401);
    let asked = request.bearer_auth("sk-of-the-image").send().await.unwrap();
    assert_eq!(asked.status(), 200);
}

#[test]
fn what_the_image_is_built_from_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = include_str!("../../Dockerfile");
    let sources = file.lines().filter_map(|line| line.strip_prefix("COPY "));
    let sources = sources.filter(|line| !line.starts_with("--from"));
    let mut names = sources.flat_map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        words[..words.len() - 1].to_vec()
    });
    assert!(names.all(|name| root.join(name).exists()), "{file}");
    assert!(file.contains("cargo build --locked --release --no-default-features --bin toolbridge"));
    assert!(file.contains("\nUSER toolbridge\n"));
}

#[test]
fn help_says_what_can_be_done() {
    let (status, output, _) = run(&["--help"]);
    assert_eq!(status, Some(0));
    for words in ["serve", "check", "authorize", "Examples:", "--config"] {
        assert!(output.contains(words), "{output}");
    }
    let (status, output, _) = run(&["--version"]);
    assert_eq!(status, Some(0));
    assert_eq!(
        output,
        format!("toolbridge {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_check_says_it_all_without_starting() {
    let file = File::new(
        "
model_list: [{model_name: m, litellm_params: {model: gpt-4o, mock_response: x}}]
mcp_servers: {a: {command: /does/not/exist}, b: {url: 'http://h'}}
general_settings: {master_key: s3cret, database_url: x}
",
    );
    let (status, output, error) = run(&["check", file.name()]);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    let name = file.name();
    assert_eq!(
        output,
        format!(
            "{name}, line 4: general_settings.database_url is not implemented and was ignored: keys \
             stand in the configuration, not in a database\n{name}: 1 deployment, 2 MCP servers, a \
             master key, 0 further keys\n"
        )
    );
}

#[test]
fn the_reference_is_printed() {
    let (status, output, _) = run(&["check", "--reference"]);
    assert_eq!(status, Some(0));
    assert_eq!(output, keys::reference());
}

#[test]
fn authorizing_what_needs_no_consent_is_refused() {
    let file = File::new(
        "
mcp_servers:
  open: {url: 'http://h'}
  machine: {url: 'http://h', auth_type: oauth2, client_id: a, client_secret: b, token_url: 'http://h/t'}
",
    );
    for (name, expected) in [
        ("opn", "has no MCP server \"opn\"; did you mean \"open\"?"),
        ("open", "is not used with auth_type: oauth2"),
        ("machine", "is used with client_credentials"),
    ] {
        let (status, _, error) = run(&["authorize", file.name(), name]);
        assert_eq!(status, Some(2), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn flags_of_litellm_are_taken_with_a_word() {
    let file = File::new(MODELS);
    let mut serving = Serving::start(&[
        "--config",
        file.name(),
        "--num_workers",
        "4",
        "--detailed_debug",
    ])
    .await;
    assert!(
        serving.seen[0].contains("--num_workers is a flag of LiteLLM's command"),
        "{:?}",
        serving.seen
    );
    serving.models().await;
    let line = serving.until("a request was answered").await;
    assert!(
        line.contains("method=\"GET\" path=\"/v1/models\" status=200"),
        "{line}"
    );
}

#[tokio::test]
async fn a_change_of_the_file_is_in_force_and_a_broken_one_is_not() {
    let file = File::new(MODELS);
    let mut serving = Serving::start(&["--config", file.name()]).await;
    assert_eq!(serving.models().await, ["first"]);
    file.write(&MODELS.replace("first", "second"));
    serving.until("read again and is in force").await;
    assert_eq!(serving.models().await, ["second"]);
    file.write("model_list:\n  - model_name: third\n");
    let line = serving.until("the one before it stays in force").await;
    assert!(
        line.contains(&format!("{}, line 2: model_list[0] has no", file.name())),
        "{line}"
    );
    assert_eq!(serving.models().await, ["second"]);
    file.write(&MODELS.replace("first", "fourth"));
    serving.signal(HANGUP);
    serving.until("read again and is in force").await;
    assert_eq!(serving.models().await, ["fourth"]);
    serving.signal(TERMINATE);
    let (status, lines) = serving.ended().await;
    assert!(status.success(), "{lines:?}");
}

#[tokio::test]
async fn log_lines_are_objects_where_they_are_asked_for_and_hold_no_secrets() {
    let file = File::new(&format!(
        "{MODELS}general_settings: {{master_key: s3cret-key}}\nnonsense: 1\nlitellm_settings: {{json_logs: true}}\n"
    ));
    let serving = Serving::start(&["--config", file.name(), "--detailed_debug"]).await;
    let client = reqwest::Client::new();
    for key in ["s3cret-key", "s3cret-wrong"] {
        let url = format!("{}/v1/models?key=s3cret-query", serving.url);
        client.get(url).bearer_auth(key).send().await.unwrap();
    }
    serving.signal(INTERRUPT);
    let (status, lines) = serving.ended().await;
    assert!(status.success());
    let lines: Vec<serde_json::Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["level"], "WARN");
    assert_eq!(lines[0]["logger"], "toolbridge::config");
    assert!(lines[0]["message"].as_str().unwrap().contains("nonsense"));
    let answered: Vec<_> = lines
        .iter()
        .filter(|line| line["path"] == "/v1/models")
        .map(|line| line["status"].as_u64().unwrap())
        .collect();
    assert_eq!(answered, [200, 401]);
    assert!(!format!("{lines:?}").contains("s3cret"));
}

/// A model that answers when it is told to.
async fn slow_model() -> (String, &'static Notify, &'static Notify) {
    let (asked, go): (&'static Notify, &'static Notify) =
        (Box::leak(Box::default()), Box::leak(Box::default()));
    let answer = move || async move {
        asked.notify_one();
        go.notified().await;
        r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"late"},"finish_reason":"stop"}]}"#
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/chat/completions", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked, go)
}

fn slow_config(url: &str) -> File {
    File::new(&format!(
        "model_list: [{{model_name: m, litellm_params: {{model: openai/m, api_key: k, api_base: '{url}'}}}}]\n"
    ))
}

fn ask(url: &str) -> tokio::task::JoinHandle<reqwest::Result<String>> {
    let request = reqwest::Client::new()
        .post(format!("{url}/v1/chat/completions"))
        .body(r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#);
    tokio::spawn(async move { request.send().await?.error_for_status()?.text().await })
}

#[tokio::test]
async fn what_is_in_flight_is_finished_before_the_end() {
    let (model, asked, go) = slow_model().await;
    let file = slow_config(&model);
    let mut serving = Serving::start(&["--config", file.name()]).await;
    let answer = ask(&serving.url);
    asked.notified().await;
    serving.signal(TERMINATE);
    serving.until("the gateway ends once").await;
    go.notify_one();
    assert!(answer.await.unwrap().unwrap().contains("late"));
    let (status, lines) = serving.ended().await;
    assert_eq!(status.code(), Some(0), "{lines:?}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (model, asked, _) = slow_model().await;
    let file = slow_config(&model);
    let mut serving = Serving::start(&["--config", file.name()]).await;
    let answer = ask(&serving.url);
    asked.notified().await;
    serving.signal(TERMINATE);
    serving.until("the gateway ends once").await;
    serving.signal(INTERRUPT);
    let (status, lines) = serving.ended().await;
    assert_eq!(status.code(), Some(1), "{lines:?}");
    answer.await.unwrap().unwrap_err();
}
