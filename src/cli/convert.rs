//! `mainstay convert`: a configuration in the other language.

use crate::cli::{exit, out};
use crate::conf::write::Form;
use crate::conf::{self, Options};
use clap::{Args, ValueEnum};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct ConvertArgs {
    /// The configuration to read.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The language to write.
    #[arg(long, value_name = "LANGUAGE")]
    to: Language,
    /// Where to write; without it, standard output.
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Exit with 0 in spite of warnings.
    #[arg(long)]
    lenient: bool,
    /// Configuration id, what `@NAME` lines of the file are compared with.
    #[arg(short = 'i', long, value_name = "ID")]
    config_id: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Language {
    /// TOML.
    Toml,
    /// keepalived's language.
    Keepalived,
}

pub(super) fn main(args: &ConvertArgs) -> ExitCode {
    let options = Options {
        config_id: args.config_id.clone(),
        ..Options::default()
    };
    let form = match args.to {
        Language::Toml => Form::Toml,
        Language::Keepalived => Form::Keepalived,
    };
    let converted = conf::convert(&args.file, &options, form);
    let name = args.file.display();
    if !converted.diagnostics.is_empty() {
        let colour = io::stderr().is_terminal() && out::coloured();
        let findings = conf::render(&converted.diagnostics, &converted.sources, colour);
        // There is nobody left to be told that this failed.
        let _ = write!(io::stderr(), "{findings}");
    }
    let code = conf::exit_code(&converted.diagnostics, args.lenient);
    let Some(text) = converted.text else {
        out::complain(&format!("{name} has errors and is not converted"));
        return ExitCode::from(exit::CONFIG);
    };
    if !converted.left_out.is_empty() {
        let words = converted.left_out.join(", ");
        out::complain(&format!(
            "{name}: left out, because it has no effect here: {words}"
        ));
    }
    match &args.output {
        None => out::print_bytes(&text, ExitCode::from(code)),
        Some(path) => match std::fs::write(path, &text) {
            Ok(()) => ExitCode::from(code),
            Err(error) => {
                out::complain(&format!("{}: cannot be written: {error}", path.display()));
                ExitCode::from(exit::FAILURE)
            }
        },
    }
}
