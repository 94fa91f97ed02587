//! stdio: a child process and its pipes. Owns the spawn, the framing of both directions, and a
//! graceful end that leaves neither orphan nor zombie.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use rmcp::model::JsonRpcMessage;
use rmcp::service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::answers::{Answers, Untaken};
use super::framing::Framer;
use super::inbox::{Inbox, outgoing_text};
use super::scratch::{SCRATCH_BYTES, read_with};
use super::stderr::{Tail, forward};
use crate::error::{Error, ErrorKind, Result};
use crate::mcp::client::Place;
use crate::mcp::config::StdioServerParameters;
use crate::mcp::connection::Terminate;
use crate::mcp::session::{Ending, Link};

pub use super::stderr::ErrorLog;

/// How long a server may take at each step of its end: after its input closes, after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same when this process exits: nobody waits long for that.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);
/// How long the exit status and the last lines of a server that just ended are waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The servers that run, for the end of the process.
static RUNNING: Mutex<Vec<Weak<Process>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends every server that still runs, all at once.
pub async fn close_all() {
    let running: Vec<_> = lock(&RUNNING)
        .drain(..)
        .filter_map(|one| one.upgrade())
        // A forked child inherits the list, not the servers.
        .filter(|process| process.owner == std::process::id())
        .collect();
    let ends: Vec<_> = running
        .into_iter()
        .map(|process| tokio::spawn(async move { process.end(EXIT_PATIENCE).await }))
        .collect();
    for end in ends {
        // A server that cannot be ended is killed when its handle is dropped.
        let _ = end.await;
    }
}

/// The child process, shared by whoever may end it.
#[derive(Debug)]
pub struct Process {
    /// The command alone: arguments may be secrets.
    name: String,
    group: Option<u32>,
    /// The process that started it; a forked child of that one must leave it alone.
    owner: u32,
    outbox: Arc<Outbox>,
    child: tokio::sync::Mutex<Option<Child>>,
    status: Mutex<Option<ExitStatus>>,
    stderr: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    tail: Tail,
    link: Arc<Link>,
}

impl Terminate for Process {
    fn terminate(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.end(PATIENCE))
    }
}

impl Process {
    /// Closes the input, waits, then SIGTERM, waits, then SIGKILL; whatever the server itself
    /// started and left behind in its process group goes the same way.
    async fn end(&self, patience: Duration) {
        let mut slot = self.child.lock().await;
        let Some(mut child) = slot.take() else { return };
        self.link.end(Ending {
            what: format!(
                "the connection to the MCP server `{}` was closed",
                self.name
            ),
            last_lines: String::new(),
        });
        self.outbox.close();
        if self.wait(&mut child, patience).await.is_none() {
            self.signal_group(Signal::Terminate);
            if self.wait(&mut child, patience).await.is_none() {
                self.signal_group(Signal::Kill);
                // A killed child is reaped here, however long the system takes.
                *lock(&self.status) = child.wait().await.ok();
            }
        }
        self.signal_group(Signal::Kill);
        if let Some(reader) = self.stderr.lock().await.take() {
            // A grandchild with a session of its own may hold the pipe open: not waited for.
            let _ = tokio::time::timeout(LAST_WORDS, reader).await;
        }
    }

    async fn wait(&self, child: &mut Child, patience: Duration) -> Option<()> {
        let status = tokio::time::timeout(patience, child.wait()).await.ok()?;
        *lock(&self.status) = status.ok();
        Some(())
    }

    /// Gathers the exit status and the last lines of a server whose output ended by itself.
    async fn gather_ending(&self) -> Ending {
        let mut slot = self.child.lock().await;
        let mut status = *lock(&self.status);
        if let Some(child) = slot.as_mut()
            && let Ok(Ok(found)) = tokio::time::timeout(LAST_WORDS, child.wait()).await
        {
            *lock(&self.status) = Some(found);
            status = Some(found);
            if let Some(reader) = self.stderr.lock().await.take() {
                // As above.
                let _ = tokio::time::timeout(LAST_WORDS, reader).await;
            }
        }
        let what = match status {
            Some(status) => format!("the MCP server `{}` ended with {status}", self.name),
            None => format!("the MCP server `{}` closed its output", self.name),
        };
        Ending {
            what,
            last_lines: self.tail.lines(),
        }
    }

    /// What was waiting to be written will never be: usually because the server has ended, and
    /// its output tells why; otherwise the calls that it would answer are told here.
    async fn input_broke(&self) {
        let mut child = self.child.lock().await;
        let exited = match child.as_mut() {
            Some(child) => tokio::time::timeout(LAST_WORDS, child.wait()).await.is_ok(),
            None => true,
        };
        drop(child);
        if !exited {
            self.link.end(Ending {
                what: format!("the MCP server `{}` closed its input", self.name),
                last_lines: self.tail.lines(),
            });
        }
    }

    #[cfg(unix)]
    #[expect(unsafe_code, reason = "std and tokio cannot signal a process group")]
    fn signal_group(&self, signal: Signal) {
        let Some(group) = self.group.and_then(|group| i32::try_from(group).ok()) else {
            return;
        };
        let number = match signal {
            Signal::Terminate => libc::SIGTERM,
            Signal::Kill => libc::SIGKILL,
        };
        // SAFETY: killpg takes two numbers and touches no memory of ours. The group is the one
        // that the child was started in; while a member of it lives its number is not reused, and
        // without a member the call does nothing.
        let _ = unsafe { libc::killpg(group, number) };
    }

    #[cfg(not(unix))]
    fn signal_group(&self, _signal: Signal) {
        if let Ok(mut slot) = self.child.try_lock()
            && let Some(child) = slot.as_mut()
        {
            // A child that is already gone needs no end.
            let _ = child.start_kill();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.owner != std::process::id() {
            // Dropping the handle would kill the server of the parent process.
            Box::leak(Box::new(self.child.get_mut().take()));
            return;
        }
        self.outbox.close();
        if let Some(child) = self.child.get_mut()
            && !matches!(child.try_wait(), Ok(Some(_)))
        {
            self.signal_group(Signal::Kill);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Signal {
    #[cfg_attr(not(unix), expect(dead_code, reason = "only Unix has a polite signal"))]
    Terminate,
    Kill,
}

/// An open connection to a child process: the transport of one session.
#[derive(Debug)]
pub struct StdioConnection {
    process: Arc<Process>,
    place: Place,
    stdout: ChildStdout,
    framer: Framer,
    inbox: Inbox,
    /// Gathers the reason once the output has ended.
    ending: Option<JoinHandle<()>>,
    answers: Arc<Answers>,
    /// The server does not take its answers: what it still says is not read.
    is_flooded: AtomicBool,
}

impl StdioConnection {
    /// Starts the server. Must be called inside the runtime.
    pub fn open(parameters: &StdioServerParameters, log: ErrorLog) -> Result<Self> {
        let mut command = Command::new(&parameters.command);
        command
            .args(&parameters.args)
            .env_clear()
            .envs(parameters.environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(directory) = &parameters.cwd {
            command.current_dir(directory);
        }
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command
            .spawn()
            .map_err(|cause| spawn_error(parameters, cause))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Error::new(
                ErrorKind::Internal,
                "a pipe of the server is missing",
            ));
        };
        enlarge_pipe(&stdout);
        let tail = Tail::default();
        let reader = tokio::spawn(forward(stderr, log, tail.clone()));
        let link = Arc::<Link>::default();
        let outbox = Arc::new(Outbox::default());
        outbox.open(stdin);
        let process = Arc::new(Process {
            name: parameters.command.clone(),
            group: child.id(),
            owner: std::process::id(),
            outbox: Arc::clone(&outbox),
            child: tokio::sync::Mutex::new(Some(child)),
            status: Mutex::default(),
            stderr: tokio::sync::Mutex::new(Some(reader)),
            tail,
            link: Arc::clone(&link),
        });
        tokio::spawn(outbox.write_waiting(Arc::downgrade(&process)));
        let mut running = lock(&RUNNING);
        running.retain(|one| one.strong_count() > 0);
        running.push(Arc::downgrade(&process));
        drop(running);
        Ok(Self {
            process,
            place: Place::of_command(parameters),
            stdout,
            framer: Framer::new(parameters.maximum_message_bytes),
            inbox: Inbox::new(link, parameters.maximum_message_bytes),
            ending: None,
            answers: Arc::default(),
            is_flooded: AtomicBool::new(false),
        })
    }

    /// What the session and whoever closes the connection share.
    pub fn link(&self) -> Arc<Link> {
        Arc::clone(&self.process.link)
    }

    /// What is remembered of the server under.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// The child process, for whoever closes the connection.
    pub fn process(&self) -> Arc<Process> {
        Arc::clone(&self.process)
    }
}

fn spawn_error(parameters: &StdioServerParameters, cause: io::Error) -> Error {
    let command = &parameters.command;
    let message = match cause.kind() {
        io::ErrorKind::NotFound => match &parameters.cwd {
            Some(directory) if !directory.is_dir() => format!(
                "the MCP server `{command}` could not be started: its working directory {} does \
                 not exist",
                directory.display()
            ),
            _ => format!(
                "the command `{command}` of the MCP server was not found; give its full path, or a \
                 PATH in env that holds it"
            ),
        },
        io::ErrorKind::PermissionDenied => format!(
            "the command `{command}` of the MCP server may not be executed; is it a program, and is \
             its executable bit set?"
        ),
        _ => format!("the MCP server `{command}` could not be started: {cause}"),
    };
    Error::new(ErrorKind::Transport, message).with_source(cause)
}

/// Lets a large answer cross the pipe in few turns.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "F_SETPIPE_SZ has no wrapper in std or tokio")]
fn enlarge_pipe(stdout: &ChildStdout) {
    use std::os::fd::AsRawFd as _;
    // SAFETY: fcntl takes numbers, and the descriptor is open for as long as `stdout` lives. A
    // refusal leaves the pipe as it was.
    let _ = unsafe { libc::fcntl(stdout.as_raw_fd(), libc::F_SETPIPE_SZ, 1 << 20) };
}

#[cfg(not(target_os = "linux"))]
fn enlarge_pipe(_stdout: &ChildStdout) {}

impl StdioConnection {
    /// The next message; None once the output has ended.
    pub(crate) async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        while !self.is_flooded.load(Ordering::Relaxed) {
            if let Some(message) = self.inbox.next_message().await {
                return Some(message);
            }
            if self.process.link.is_congested() {
                self.process.link.room().await;
            }
            if let Some(frame) = self.framer.next_frame() {
                self.inbox.frame(frame);
                continue;
            }
            match self.read().await {
                Ok(count) if count > 0 => {}
                _ => match self.framer.finish() {
                    Some(frame) => self.inbox.frame(frame),
                    None => break,
                },
            }
        }
        // In a task of its own: rmcp drops this future whenever something else happens.
        let process = &self.process;
        let ending = self.ending.get_or_insert_with(|| {
            let process = Arc::clone(process);
            tokio::spawn(async move {
                if !process.link.has_ended() {
                    let ending = process.gather_ending().await;
                    process.link.end(ending);
                }
            })
        });
        if !ending.is_finished() {
            // The task cannot be cancelled, and a panic in it is shown by the runtime.
            let _ = ending.await;
        }
        None
    }

    /// Reads what there is. Only the rest of a large message goes where it will stay at once.
    async fn read(&mut self) -> io::Result<usize> {
        let (stdout, framer) = (&mut self.stdout, &mut self.framer);
        if framer.held() >= SCRATCH_BYTES {
            return stdout.read_buf(framer.large_space()).await;
        }
        read_with(stdout, |piece| {
            framer.space().extend_from_slice(piece);
            piece.len()
        })
        .await
    }

    /// Puts a message on the wire, or in the queue for it, before anything that is sent later.
    pub(crate) fn post(&self, message: &TxJsonRpcMessage<RoleClient>) -> io::Result<()> {
        let mut text = outgoing_text(&self.process.link, message).map_err(io::Error::other)?;
        text.push(b'\n');
        let untaken = match message {
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {
                match self.answers.add(text.len()) {
                    Ok(untaken) => Some(untaken),
                    Err(why) => return Err(self.flooded(&why)),
                }
            }
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        };
        let posted = self.process.outbox.post(text.into(), untaken);
        if posted.is_err() && self.process.outbox.close() {
            let process = Arc::clone(&self.process);
            tokio::spawn(async move { process.input_broke().await });
        }
        posted
    }

    /// Ends the server, of which nothing more is read.
    fn flooded(&self, why: &str) -> io::Error {
        let process = &self.process;
        self.is_flooded.store(true, Ordering::Relaxed);
        process.link.end(Ending {
            what: format!("the MCP server `{}` {why}", process.name),
            last_lines: process.tail.lines(),
        });
        if process.outbox.close() {
            let process = Arc::clone(process);
            tokio::spawn(async move { process.end(PATIENCE).await });
        }
        io::ErrorKind::BrokenPipe.into()
    }
}

/// What waits to be written to the child's input, in order.
#[derive(Debug, Default)]
struct Outbox {
    state: Mutex<OutboxState>,
    changed: Notify,
    closed: CancellationToken,
}

#[derive(Debug, Default)]
struct OutboxState {
    stdin: Option<ChildStdin>,
    /// Answers are counted for as long as they are here.
    waiting: VecDeque<(Bytes, Option<Untaken>)>,
}

impl Outbox {
    fn open(&self, stdin: ChildStdin) {
        lock(&self.state).stdin = Some(stdin);
    }

    /// Drops what waits and closes the pipe; tells whether it was open.
    fn close(&self) -> bool {
        let mut state = lock(&self.state);
        let was_open = !self.closed.is_cancelled();
        self.closed.cancel();
        state.waiting.clear();
        state.stdin = None;
        was_open
    }

    /// Writes at once what the pipe takes at once: most messages never wait for another task.
    fn post(&self, mut text: Bytes, untaken: Option<Untaken>) -> io::Result<()> {
        let mut state = lock(&self.state);
        if self.closed.is_cancelled() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if state.waiting.is_empty() {
            let mut nobody = Context::from_waker(Waker::noop());
            while !text.is_empty() {
                let Some(stdin) = state.stdin.as_mut() else {
                    break;
                };
                match Pin::new(stdin).poll_write(&mut nobody, &text) {
                    Poll::Ready(Ok(count)) => text.advance(count),
                    Poll::Ready(Err(failure)) => return Err(failure),
                    Poll::Pending => break,
                }
            }
        }
        if !text.is_empty() {
            state.waiting.push_back((text, untaken));
            drop(state);
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Writes what did not fit, whenever the pipe takes more.
    async fn write_waiting(self: Arc<Self>, process: Weak<Process>) {
        loop {
            tokio::select! {
                () = self.closed.cancelled() => return,
                () = self.changed.notified() => {}
            }
            while let Some((mut stdin, piece)) = self.take_first() {
                let written = tokio::select! {
                    () = self.closed.cancelled() => return,
                    written = stdin.write_all(&piece) => written,
                };
                if written.is_err() {
                    self.close();
                    if let Some(process) = process.upgrade() {
                        process.input_broke().await;
                    }
                    return;
                }
                let mut state = lock(&self.state);
                state.waiting.pop_front();
                state.stdin = Some(stdin);
            }
        }
    }

    /// The first piece stays in the queue while it is written, so that a message posted meanwhile
    /// queues behind it.
    fn take_first(&self) -> Option<(ChildStdin, Bytes)> {
        let mut state = lock(&self.state);
        let piece = state.waiting.front()?.0.clone();
        Some((state.stdin.take()?, piece))
    }
}
