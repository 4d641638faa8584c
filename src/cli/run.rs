//! `mainstay run`: the daemon in the foreground.

use crate::cli::{LogLevel, exit, out};
use crate::daemon::{self, RunOptions};
use crate::obs::log::{Format, LogOptions};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where a configuration is looked for when none is named; the first that exists.
const FILES: [&str; 3] = [
    "/etc/mainstay/mainstay.conf",
    "/etc/mainstay/mainstay.toml",
    "/etc/keepalived/keepalived.conf",
];
const RUNTIME_DIR: &str = "/run/mainstay";
const STATE_DIR: &str = "/var/lib/mainstay";

#[derive(Args)]
pub(super) struct RunArgs {
    /// The configuration; else the first of /etc/mainstay/mainstay.conf,
    /// /etc/mainstay/mainstay.toml and /etc/keepalived/keepalived.conf that exists.
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// Folder of the control socket and of what this run put into the kernel. One daemon each.
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// Folder of what outlives a reboot [default: /var/lib/mainstay, or the folder `state` in
    /// --runtime-dir if only that is given].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Form of the log [default: journald if systemd runs it, else plain].
    #[arg(long, value_name = "FORM")]
    log_format: Option<LogFormat>,
    /// From which level on the log tells.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: LogLevel,
    /// Refuse a file with any error, not only with those keepalived refuses.
    #[arg(long)]
    strict: bool,
    /// Configuration id, what `@NAME` lines of the file are compared with.
    #[arg(short = 'i', long, value_name = "ID")]
    config_id: Option<String>,
    /// Run in this network namespace, whatever net_namespace in the file says. Unless folders are
    /// named, the daemon has its own below the usual ones: /run/mainstay/NAME.
    #[arg(short = 's', long, value_name = "NAME")]
    namespace: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// Text on standard error.
    Plain,
    /// One JSON object a line on standard error.
    Json,
    /// Journald's own protocol, with fields.
    Journald,
}

pub(super) fn main(args: RunArgs) -> ExitCode {
    let Some(file) = args.file.clone().or_else(default_file) else {
        out::complain(&missing());
        return ExitCode::from(exit::CONFIG);
    };
    daemon::run(options(args, file))
}

/// The default configuration, if there is one.
pub(super) fn default_file() -> Option<PathBuf> {
    FILES
        .iter()
        .map(Path::new)
        .find(|file| file.exists())
        .map(Path::to_path_buf)
}

/// What to say if there is none.
pub(super) fn missing() -> String {
    format!(
        "no configuration: none of {} exists (name one with --file)",
        FILES.join(", ")
    )
}

fn options(args: RunArgs, file: PathBuf) -> RunOptions {
    let usual_dirs = args.runtime_dir.is_none() && args.state_dir.is_none();
    let state_dir = match (args.state_dir, &args.runtime_dir) {
        (Some(dir), _) => dir,
        (None, Some(runtime)) => runtime.join("state"),
        (None, None) => STATE_DIR.into(),
    };
    RunOptions {
        file,
        runtime_dir: args.runtime_dir.unwrap_or_else(|| RUNTIME_DIR.into()),
        state_dir,
        log: LogOptions {
            format: args.log_format.map(|format| match format {
                LogFormat::Plain => Format::Plain,
                LogFormat::Json => Format::Json,
                LogFormat::Journald => Format::Journald,
            }),
            level: args.log_level.into(),
        },
        strict: args.strict,
        config_id: args.config_id,
        namespace: args.namespace,
        usual_dirs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::obs::log::Threshold;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: RunArgs,
    }

    fn of(words: &[&str]) -> RunOptions {
        let only = Only::try_parse_from([&["run"], words].concat()).expect("valid words");
        options(only.args, "f".into())
    }

    #[test]
    fn the_state_folder_follows_the_runtime_folder() {
        assert_eq!(of(&[]).state_dir, Path::new("/var/lib/mainstay"));
        assert_eq!(of(&[]).runtime_dir, Path::new("/run/mainstay"));
        assert_eq!(
            of(&["--runtime-dir", "/r"]).state_dir,
            Path::new("/r/state")
        );
        let both = of(&["--runtime-dir", "/r", "--state-dir", "/s"]);
        assert_eq!(both.state_dir, Path::new("/s"));
        assert_eq!(
            of(&["--state-dir", "/s"]).runtime_dir,
            Path::new("/run/mainstay")
        );
    }

    #[test]
    fn words_reach_the_daemon() {
        let options = of(&[
            "--log-format",
            "json",
            "--log-level",
            "debug",
            "--strict",
            "-i",
            "left",
            "-s",
            "blue",
        ]);
        assert_eq!(options.log.format, Some(Format::Json));
        assert_eq!(options.log.level, Threshold::Debug);
        assert!(options.strict);
        assert_eq!(options.config_id.as_deref(), Some("left"));
        assert_eq!(options.namespace.as_deref(), Some("blue"));
        assert!(options.usual_dirs && !of(&["--runtime-dir", "/r"]).usual_dirs);
        assert_eq!(of(&[]).log, LogOptions::default());
    }
}
