//! Flags of LiteLLM's own command that scripts carry and that mean nothing here: they are taken away,
//! and said once. Pure.

use std::ffi::OsString;

/// A flag, whether a value follows it, and why it is not needed.
struct Flag(&'static str, bool, &'static str);

const ONE_PROCESS: &str = "a gateway is one process that uses every core";
const NO_DATABASE: &str = "there is no database";
const OWN_SERVER: &str = "the server is built in";

const FLAGS: &[Flag] = &[
    Flag("num_workers", true, ONE_PROCESS),
    Flag("granian_threads", true, ONE_PROCESS),
    Flag("run_gunicorn", false, OWN_SERVER),
    Flag("run_hypercorn", false, OWN_SERVER),
    Flag("run_granian", false, OWN_SERVER),
    Flag("max_requests_before_restart", true, ONE_PROCESS),
    Flag("max_requests_before_restart_jitter", true, ONE_PROCESS),
    Flag("timeout_worker_healthcheck", true, ONE_PROCESS),
    Flag(
        "keepalive_timeout",
        true,
        "connections are kept until their clients close them",
    ),
    Flag(
        "limit_concurrency",
        true,
        "requests are limited in the configuration",
    ),
    Flag("log_config", true, "log lines are chosen with --log-format"),
    Flag("telemetry", true, "nothing is reported to anybody"),
    Flag("use_queue", false, "requests are never queued"),
    Flag("use_prisma_db_push", false, NO_DATABASE),
    Flag("enforce_prisma_migration_check", false, NO_DATABASE),
    Flag("iam_token_db_auth", false, NO_DATABASE),
    Flag("azure_postgresql_auth", false, NO_DATABASE),
    Flag("local", false, "it is one program"),
    Flag(
        "reload",
        false,
        "the configuration is read again when it changes",
    ),
];

/// The command line without those flags, and a sentence for each.
pub(super) fn without(
    arguments: impl IntoIterator<Item = OsString>,
) -> (Vec<OsString>, Vec<String>) {
    let mut kept = Vec::new();
    let mut ignored = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let Some((Flag(name, has_value, why), is_whole)) = argument.to_str().and_then(find) else {
            kept.push(argument);
            continue;
        };
        ignored.push(format!(
            "--{name} is a flag of LiteLLM's command that means nothing here: {why}"
        ));
        if *has_value && is_whole {
            arguments.next();
        }
    }
    (kept, ignored)
}

/// The flag that an argument is, and whether its value is not in it.
fn find(argument: &str) -> Option<(&'static Flag, bool)> {
    let text = argument.strip_prefix("--")?;
    let (name, is_whole) = match text.split_once('=') {
        Some((name, _)) => (name, false),
        None => (text, true),
    };
    let name = name.replace('-', "_");
    let flag = FLAGS.iter().find(|flag| flag.0 == name)?;
    Some((flag, is_whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_mean_nothing_are_taken_away_with_their_values() {
        let given = [
            "toolbridge",
            "--config",
            "c.yaml",
            "--num_workers",
            "4",
            "--run-gunicorn",
            "--telemetry=False",
            "--port",
            "1",
        ];
        let (kept, ignored) = without(given.map(OsString::from));
        assert_eq!(kept, ["toolbridge", "--config", "c.yaml", "--port", "1"]);
        assert_eq!(ignored.len(), 3);
        assert_eq!(
            ignored[0],
            "--num_workers is a flag of LiteLLM's command that means nothing here: a gateway is one \
             process that uses every core"
        );
    }
}
