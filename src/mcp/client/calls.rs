//! Requests beyond one exchange: results that may be kept, and calls of tools with the headers that
//! they ask for, as tasks, and with results that fit their schema.

use std::sync::Arc;

use memchr::memmem;
use serde::Deserialize;

use super::cache::CacheMode;
use super::catalogue::{Catalogue, Known, TaskSupport, ToolFacts};
use super::headers::HEADER_MISMATCH;
use super::output::{may_be_structured, validate};
use super::{Client, Era, task};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::session::{CallOptions, Params};
use crate::mcp::wire::Stateless;

/// How many pages are read to find a tool.
const MAXIMUM_PAGES: usize = 100;
/// How large a result is that is checked where it arrives.
const SOON_CHECKED_BYTES: usize = 16 << 10;
const INVALID_PARAMS: i64 = -32_602;

/// What a call says of itself.
#[derive(Deserialize)]
struct Called<'a> {
    name: String,
    #[serde(borrow, default)]
    arguments: Option<&'a serde_json::value::RawValue>,
}

impl Client {
    /// The tools of the server, as far as it has listed them.
    pub fn catalogue(&self) -> &Catalogue {
        &self.knowledge.catalogue
    }

    /// The extensions that it knows by itself.
    pub(super) fn extensions(&self) -> &'static [&'static str] {
        if self.setup.follows_tasks {
            &[task::EXTENSION]
        } else {
            &[]
        }
    }

    /// Sends a request in the form of the agreed revision and waits for its answer, the text of the
    /// result.
    ///
    /// Dropping the future tells the server that the answer is no longer wanted.
    pub async fn request(
        &self,
        method: &str,
        params: Params,
        options: CallOptions,
    ) -> Result<RawJson> {
        match method {
            _ if options.verbatim => self.relay(method, params, options).await,
            "tools/call" => Box::pin(self.call(params, options)).await,
            "tools/list"
            | "prompts/list"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read" => Box::pin(self.fetch(method, params, options)).await,
            _ => self.exchange(method, params, options).await,
        }
    }

    /// A request whose answer may be kept.
    async fn fetch(&self, method: &str, params: Params, options: CallOptions) -> Result<RawJson> {
        let agreed = self.agreed();
        let is_modern = agreed
            .as_ref()
            .is_some_and(|agreed| agreed.era() == Era::Modern);
        let object = params.object.clone();
        let kept = self
            .knowledge
            .cache()
            .zip(agreed)
            .and_then(|(cache, agreed)| {
                let has_meta = params.meta.is_some();
                let version = &agreed.version;
                let ticket =
                    cache.ticket(method, object.as_ref(), has_meta, options.cache, version)?;
                Some((cache, ticket))
            });
        // A server that is gone has nothing fresh.
        if let Some((cache, ticket)) = &kept
            && !self.has_ended()
            && let Some(answer) = cache.get(ticket)
        {
            return Ok(self.heard(method, object.as_ref(), answer, is_modern));
        }
        let answer = match self.exchange(method, params, options).await {
            Ok(answer) => answer,
            Err(failure) => {
                // The listing that the cursor belongs to is no more.
                if let Some((cache, ticket)) = &kept
                    && failure.context().rpc_code == Some(INVALID_PARAMS)
                    && method != "resources/read"
                {
                    cache.forget_pages(ticket);
                }
                return Err(failure);
            }
        };
        let answer = self.heard(method, object.as_ref(), answer, is_modern);
        // The credentials may have become others on the way.
        if let Some(((_, ticket), cache)) = kept.as_ref().zip(self.knowledge.cache()) {
            cache.put(ticket, &answer, is_modern);
        }
        Ok(answer)
    }

    fn heard(
        &self,
        method: &str,
        params: Option<&RawJson>,
        answer: RawJson,
        is_modern: bool,
    ) -> RawJson {
        if method != "tools/list" {
            return answer;
        }
        let screens = is_modern && self.is_http && self.setup.screens_tools;
        self.knowledge.catalogue.hear(params, answer, screens)
    }

    /// Calls a tool.
    async fn call(&self, mut params: Params, mut options: CallOptions) -> Result<RawJson> {
        let is_modern = self
            .agreed()
            .is_some_and(|agreed| agreed.era() == Era::Modern);
        let object = params.object.clone();
        let called = object
            .as_ref()
            .and_then(|object| serde_json::from_slice::<Called<'_>>(object.as_bytes()).ok());
        let Some(called) = called else {
            // The server says what is wrong with it.
            return self.exchange("tools/call", params, options).await;
        };
        if !is_modern && self.runs_as_task(&called.name, options.hands_out_task) {
            params.object = Some(task::augmented(&params)?);
        }
        let mirrors = is_modern && self.is_http;
        if options.progress.is_some() && self.setup.follows_tasks {
            options.progress_lease = Some(Arc::default());
        }
        let own_headers = options.headers.clone();
        if mirrors {
            self.mirror(&called, &mut options);
        }
        let mut outcome = self
            .exchange("tools/call", params.clone(), options.clone())
            .await;
        if mirrors
            && is_mismatch(&outcome)
            && self.list_tools(&options, Some(&called.name)).await.is_ok()
        {
            options.headers = own_headers;
            self.mirror(&called, &mut options);
            outcome = self.exchange("tools/call", params, options.clone()).await;
        }
        let mut answer = outcome?;
        if self.setup.follows_tasks && task::is_created(&answer, is_modern) {
            if options.hands_out_task {
                return Ok(answer);
            }
            answer = self.finish_task(answer, &options, true).await?;
        }
        self.check_output(&called.name, &answer, &options).await?;
        Ok(answer)
    }

    /// Passes on a request of somebody else, who looks after all that is in it.
    async fn relay(
        &self,
        method: &str,
        params: Params,
        mut options: CallOptions,
    ) -> Result<RawJson> {
        let agreed = self.agreed();
        let stamp = agreed.as_ref().and_then(|agreed| agreed.stamp.as_ref());
        let object = params.object.clone();
        let Some(stamp) = stamp else {
            let answer = self.session.request(method, params, options).await?;
            return Ok(self.heard(method, object.as_ref(), answer, false));
        };
        stamp.head(method, object.as_ref(), &mut options.headers);
        let stateless = Stateless {
            subscriber: options.subscriber.take(),
        };
        let send = |params, options| {
            let stateless = Some(stateless.clone());
            self.session.send(method, params, options, stateless)
        };
        let called = object
            .as_ref()
            .filter(|_| self.is_http && method == "tools/call")
            .and_then(|object| serde_json::from_slice::<Called<'_>>(object.as_bytes()).ok());
        let Some(called) = called else {
            let answer = send(params, options).await?;
            return Ok(self.heard(method, object.as_ref(), answer, true));
        };
        let mut mirrored = options.clone();
        self.mirror(&called, &mut mirrored);
        let outcome = send(params.clone(), mirrored).await;
        if is_mismatch(&outcome) && self.list_tools(&options, Some(&called.name)).await.is_ok() {
            self.mirror(&called, &mut options);
            return send(params, options).await;
        }
        outcome
    }

    fn mirror(&self, called: &Called<'_>, options: &mut CallOptions) {
        let Some(arguments) = called.arguments else {
            return;
        };
        if let Some(facts) = self.knowledge.catalogue.facts(&called.name) {
            let mirrored = facts.parameter_headers().of_call(arguments.get());
            options.headers.extend(mirrored);
        }
    }

    /// Whether a call is made as a task of 2025-11-25.
    fn runs_as_task(&self, tool: &str, is_wanted: bool) -> bool {
        if !self.setup.follows_tasks {
            return false;
        }
        let Some(facts) = self.knowledge.catalogue.facts(tool) else {
            return false;
        };
        let is_possible = match facts.task_support {
            TaskSupport::Required => true,
            TaskSupport::Optional => is_wanted,
            TaskSupport::Forbidden => false,
        };
        is_possible
            && self
                .agreed()
                .is_some_and(|agreed| task::is_offered(&agreed.described))
    }

    /// Checks the result of a call against the output schema of its tool. A tool that was never
    /// listed is looked for once, if its result is structured.
    pub(super) async fn check_output(
        &self,
        tool: &str,
        answer: &RawJson,
        options: &CallOptions,
    ) -> Result<()> {
        if !self.setup.validates_output {
            return Ok(());
        }
        let mut known = self.knowledge.catalogue.look_up(tool);
        if matches!(known, Known::Unknown) && may_be_structured(answer) {
            let listed = self.list_tools(options, None).await;
            known = self.knowledge.catalogue.look_up(tool);
            if !matches!(known, Known::Tool(_)) {
                let why = listed
                    .err()
                    .map_or(String::new(), |failure| format!(": {failure}"));
                tracing::info!(
                    target: "toolbridge::mcp",
                    "the server does not list the tool {tool:?}, so its structured result is not \
                     checked{why}"
                );
            }
        }
        match known {
            Known::Tool(facts) if is_soon_checked(&facts, answer) => {
                validate(tool, facts.output_schema(), answer)
            }
            Known::Tool(facts) => {
                let (tool, answer) = (tool.to_owned(), answer.clone());
                let checked = tokio::task::spawn_blocking(move || {
                    validate(&tool, facts.output_schema(), &answer)
                });
                checked.await.unwrap_or_else(|cause| {
                    let message = "the check of a structured result did not come to its end";
                    Err(Error::new(ErrorKind::Internal, message).with_source(cause))
                })
            }
            Known::Unlisted | Known::Unknown => Ok(()),
        }
    }

    /// Reads the whole listing, or what of it is needed to find `tool`. Nobody asks twice at once.
    async fn list_tools(&self, options: &CallOptions, tool: Option<&str>) -> Result<()> {
        let knowledge = &self.knowledge;
        let alone = knowledge.walking.try_lock();
        if alone.is_err() && tool.is_none() {
            // Another call is at it, and what it finds is for all.
            drop(knowledge.walking.lock().await);
            return Ok(());
        }
        let mut cursor: Option<String> = None;
        for _ in 0..MAXIMUM_PAGES {
            let object = match &cursor {
                Some(cursor) => Some(RawJson::from_serialize(
                    &serde_json::json!({"cursor": cursor}),
                )?),
                None => None,
            };
            let params = Params { object, meta: None };
            let asked = CallOptions {
                timeout: options.timeout,
                cache: CacheMode::Refresh,
                ..CallOptions::default()
            };
            let page = match Box::pin(self.fetch("tools/list", params, asked)).await {
                Ok(page) => page,
                Err(failure) => {
                    // A server without a listing is not asked again and again.
                    knowledge.catalogue.note_walked();
                    return Err(failure);
                }
            };
            if tool.is_some_and(|tool| knowledge.catalogue.facts(tool).is_some()) {
                return Ok(());
            }
            match next_cursor(&page) {
                next @ Some(_) if next != cursor => cursor = next,
                _ => break,
            }
        }
        knowledge.catalogue.note_walked();
        Ok(())
    }
}

/// Whether a result is checked in less time than it takes to hand it to another thread: it is small, and
/// the schema is compiled and does not search.
fn is_soon_checked(facts: &ToolFacts, answer: &RawJson) -> bool {
    answer.as_bytes().len() <= SOON_CHECKED_BYTES && facts.is_output_schema_light()
}

fn is_mismatch(outcome: &Result<RawJson>) -> bool {
    let code = outcome.as_ref().err().map(Error::context);
    code.is_some_and(|context| context.rpc_code == Some(HEADER_MISMATCH))
}

fn next_cursor(page: &RawJson) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        #[serde(default)]
        next_cursor: Option<String>,
    }
    memmem::find(page.as_bytes(), b"\"nextCursor\"")?;
    let page: Page = serde_json::from_slice(page.as_bytes()).ok()?;
    page.next_cursor
}
