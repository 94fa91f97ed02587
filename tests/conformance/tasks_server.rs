//! A server with the tasks extension, on rmcp's own server and task manager.
//!
//! It has the tools that the tasks scenarios of the official conformance suite call. It listens on a free port over
//! Streamable HTTP and writes its URL to stdout; with `--stdio` it speaks over stdin and stdout. Either way it ends
//! with its stdin.

use std::error::Error;
use std::io::{Read, Write};
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ClientCapabilities,
    ContentBlock, CreateTaskResult, GetTaskParams, GetTaskResult, InputRequest,
    InputRequiredResult, JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities,
    ServerConfig, Tool, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What a tool does in the end, whether a task does it or the call itself.
type Outcome = Result<CallToolResult, TaskExit>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = TasksServer::default();
    match std::env::args().nth(1).as_deref() {
        None => over_http(server).await,
        Some("--stdio") => {
            server
                .serve(rmcp::transport::stdio())
                .await?
                .waiting()
                .await?;
            Ok(())
        }
        Some(_) => Err("usage: tasks_server [--stdio]".into()),
    }
}

async fn over_http(server: TasksServer) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "http://{}/mcp", listener.local_addr()?)?;
    let service = StreamableHttpService::new(
        // One store of tasks for all requests: the new revision has no sessions to keep one in.
        move || Ok(server.clone()),
        LocalSessionManager::default().into(),
        StreamableHttpServerConfig::default(),
    );
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::warn!(%error, "TCP_NODELAY");
        }
    });
    tokio::select! {
        served = axum::serve(listener, Router::new().route_service("/mcp", service)) => served?,
        ended = tokio::task::spawn_blocking(wait_for_end_of_input) => { ended??; }
    }
    Ok(())
}

/// Returns when whoever started this program has gone.
fn wait_for_end_of_input() -> std::io::Result<usize> {
    std::io::stdin().lock().read_to_end(&mut Vec::new())
}

#[derive(Clone, Default)]
struct TasksServer {
    tasks: TaskManager,
}

impl ServerHandler for TasksServer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(
            ServerCapabilities::builder()
                .enable_tools()
                .enable_tasks()
                .build(),
        )
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let text = json!({"type": "string"});
        Ok(ListToolsResult::with_all_items(vec![
            tool("greet", "Answers at once", json!({"name": text})),
            tool(
                "slow_compute",
                "Takes its time",
                json!({"seconds": {"type": "number"}, "label": text}),
            ),
            tool("failing_job", "Fails; only as a task", json!({})),
            tool("protocol_error_job", "Cannot be run", json!({})),
            tool("confirm_delete", "Asks once", json!({"filename": text})),
            tool("multi_input", "Asks twice at once", json!({})),
            tool("test_tool_with_task", "Asks before its task", json!({})),
        ]))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = call.arguments.unwrap_or_default();
        let has_tasks = context
            .client_capabilities()
            .is_some_and(|capabilities| capabilities.supports_tasks());
        match call.name.as_ref() {
            "greet" => {
                let name = arguments.get("name").and_then(Value::as_str);
                Ok(text(format!("Hello, {}!", name.unwrap_or("world"))).into())
            }
            "slow_compute" => {
                let seconds = arguments.get("seconds").and_then(Value::as_f64);
                let time = Duration::try_from_secs_f64(seconds.unwrap_or(1.0))
                    .map_err(|error| ErrorData::invalid_params(error.to_string(), None))?;
                if has_tasks {
                    return Ok(self.start(move |task| Box::pin(compute(task, time))));
                }
                tokio::time::sleep(time).await;
                Ok(text("computed").into())
            }
            "test_tool_with_task" if call.input_responses.is_none() => {
                let asked = [("user_name".to_owned(), question("Who are you?", "name")?)].into();
                Ok(InputRequiredResult::new(Some(asked), Some("asked".to_owned())).into())
            }
            // What is left runs as a task only.
            "failing_job"
            | "protocol_error_job"
            | "confirm_delete"
            | "multi_input"
            | "test_tool_with_task"
                if !has_tasks =>
            {
                Err(ErrorData::missing_required_client_capability(
                    ClientCapabilities::builder().enable_tasks().build(),
                ))
            }
            "failing_job" => Ok(self.start(|_| {
                Box::pin(async { Ok(CallToolResult::error(vec![ContentBlock::text("failed")])) })
            })),
            "protocol_error_job" => Ok(self.start(|_| {
                Box::pin(async { Err(ErrorData::internal_error("it broke", None).into()) })
            })),
            "confirm_delete" => Ok(self.start(|task| Box::pin(confirm(task)))),
            "multi_input" => Ok(self.start(|task| Box::pin(ask_twice(task)))),
            "test_tool_with_task" => {
                let answers = serde_json::to_value(call.input_responses)
                    .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
                let name = &answers["user_name"]["content"]["name"];
                let said = text(format!("It is {name}"));
                Ok(self.start(|_| Box::pin(async { Ok(said) })))
            }
            unknown => Err(ErrorData::invalid_params(
                format!("unknown tool {unknown}"),
                None,
            )),
        }
    }

    async fn get_task(
        &self,
        asked: GetTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        Ok(GetTaskResult::new(self.tasks.get_task(&asked.task_id)?))
    }

    async fn update_task(
        &self,
        asked: UpdateTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks
            .update_task(&asked.task_id, asked.input_responses)
    }

    async fn cancel_task(
        &self,
        asked: CancelTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&asked.task_id)
    }
}

impl TasksServer {
    fn start(
        &self,
        work: impl FnOnce(TaskContext) -> rmcp::task_manager::TaskFuture,
    ) -> CallToolResponse {
        let options = TaskOptions::new().with_poll_interval_ms(50);
        CallToolResponse::Task(CreateTaskResult::new(self.tasks.spawn(options, work)))
    }
}

fn tool(name: &'static str, description: &'static str, properties: Value) -> Tool {
    let schema = [
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), properties),
    ];
    Tool::new(
        name,
        description,
        schema.into_iter().collect::<JsonObject>(),
    )
}

fn text(said: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(said.into())])
}

/// A form with one field.
fn question(message: &str, field: &str) -> Result<InputRequest, ErrorData> {
    let schema = json!({"type": "object", "properties": {field: {"type": "string"}}});
    let params = json!({"mode": "form", "message": message, "requestedSchema": schema});
    serde_json::from_value(json!({"method": "elicitation/create", "params": params}))
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

async fn compute(task: TaskContext, time: Duration) -> Outcome {
    tokio::select! {
        () = task.cancelled() => Err(TaskExit::Cancelled),
        () = tokio::time::sleep(time) => Ok(text("computed")),
    }
}

async fn confirm(task: TaskContext) -> Outcome {
    let answer = task
        .request_input("confirm", question("Delete it?", "confirm")?)
        .await?;
    Ok(text(answer.to_string()))
}

async fn ask_twice(task: TaskContext) -> Outcome {
    let (first, second) = tokio::try_join!(
        task.request_input("first", question("What is the first?", "name")?),
        task.request_input("second", question("What is the second?", "name")?),
    )?;
    Ok(text(format!("{first} {second}")))
}
