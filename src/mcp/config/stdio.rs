//! What a stdio server is started with. Owns [`StdioServerParameters`] and the safe environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// The variables that a server inherits: the list of the official SDKs, so that a server meets no
/// secret of its client that was not handed to it.
pub const INHERITED_VARIABLES: &[&str] = if cfg!(windows) {
    &[
        "APPDATA",
        "HOMEDRIVE",
        "HOMEPATH",
        "LOCALAPPDATA",
        "PATH",
        "PATHEXT",
        "PROCESSOR_ARCHITECTURE",
        "SYSTEMDRIVE",
        "SYSTEMROOT",
        "TEMP",
        "USERNAME",
        "USERPROFILE",
    ]
} else {
    &["HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"]
};

/// How to start a server that speaks MCP on its standard input and output.
#[derive(Clone, PartialEq, Eq)]
pub struct StdioServerParameters {
    /// The executable, looked up on the `PATH` of the server's environment.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables beside the inherited ones.
    pub env: BTreeMap<String, String>,
    /// Its working directory; none is that of this process.
    pub cwd: Option<PathBuf>,
    /// The largest message that is read, in bytes.
    pub maximum_message_bytes: usize,
}

impl std::fmt::Debug for StdioServerParameters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Arguments and variables carry keys: they are counted, not shown.
        formatter
            .debug_struct("StdioServerParameters")
            .field("command", &self.command)
            .field("args", &self.args.len())
            .field("env", &self.env.len())
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}

impl StdioServerParameters {
    /// The largest message that is read unless told otherwise: 256 MiB.
    pub const DEFAULT_MAXIMUM_MESSAGE_BYTES: usize = 256 << 20;

    /// The whole environment of the server.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let mut environment: BTreeMap<OsString, OsString> = INHERITED_VARIABLES
            .iter()
            .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)))
            // An exported shell function is code, not a value.
            .filter(|(_, value)| !value.to_string_lossy().starts_with("()"))
            .collect();
        for (name, value) in &self.env {
            environment.insert(name.into(), value.into());
        }
        environment.into_iter().collect()
    }

    /// What no process can be started with; a sentence part without the values, which may be secrets.
    pub fn wrong(&self) -> Option<String> {
        if self.command.trim().is_empty() {
            return Some("has an empty command; it takes the name or path of an executable".into());
        }
        let holds_nul = |text: &str| text.contains('\0');
        if holds_nul(&self.command) {
            return Some(
                "has a command with a NUL character, which no process can be given".into(),
            );
        }
        if let Some(at) = self.args.iter().position(|one| holds_nul(one)) {
            return Some(format!(
                "has a NUL character in args[{at}], which no process can be given"
            ));
        }
        self.env.iter().find_map(|(name, value)| {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Some(format!(
                    "has a variable {name:?} in env; a name has at least one character, and no \"=\" \
                     and no NUL"
                ));
            }
            holds_nul(value)
                .then(|| format!("has a NUL character in the value of {name:?} in env"))
        })
    }
}
