//! `waxseal audit`.

#[cfg(feature = "kms-policy")]
pub(crate) use trail::{Args, run};
#[cfg(not(feature = "kms-policy"))]
pub(crate) use without::{Args, run};

#[cfg(not(feature = "kms-policy"))]
mod without {
    use std::ffi::OsString;

    use crate::failure::Failure;

    /// What another build would take.
    #[derive(clap::Args)]
    pub(crate) struct Args {
        #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
        _arguments: Vec<OsString>,
    }

    pub(crate) fn run(_: &Args) -> Result<(), Failure> {
        Err(Failure::usage(
            "this program was built without `waxseal audit`: build it with --features kms-policy",
        ))
    }
}

#[cfg(feature = "kms-policy")]
mod trail {
    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::path::{Path, PathBuf};

    use clap::Subcommand;
    use serde_json::{Value, json};
    use waxseal::kms::audit::{
        AuditError, AuditFile, AuditFinding, AuditHead, AuditPlace, AuditPublicKey, AuditReport,
        AuditVerifier,
    };

    use crate::failure::{Failure, say};
    use crate::files::quoted;

    /// The options of `audit`.
    #[derive(clap::Args)]
    pub(crate) struct Args {
        #[command(subcommand)]
        command: Command,

        /// Print one JSON object, for scripts: see `waxseal audit --help`
        #[arg(long, global = true)]
        json: bool,
    }

    #[derive(Subcommand)]
    enum Command {
        /// Print the head of a trail, to be kept elsewhere
        ///
        /// Only the last line is looked at: `verify` looks at all.
        Head {
            /// The file that is written
            file: PathBuf,
        },

        /// Verify a trail
        Verify {
            /// The file that is written: those that it was rotated to are taken
            /// too; or several files, oldest first
            #[arg(required = true)]
            files: Vec<PathBuf>,

            /// A head that was kept: SEQ:HASH
            #[arg(long)]
            head: Option<AuditHead>,

            /// The key that signs checkpoints: hexadecimal digits, or a file
            /// that holds them; several if the key was changed
            #[arg(long, value_name = "FILE|HEX")]
            public_key: Vec<String>,

            /// Take it that the first files are missing
            #[arg(long)]
            partial: bool,
        },
    }

    pub(crate) fn run(args: &Args) -> Result<(), Failure> {
        match &args.command {
            Command::Head { file } => {
                let head = AuditFile::head_of(file).map_err(|error| failed(file, &error))?;
                print(&match args.json {
                    true => json!({ "head": head.to_string() }).to_string(),
                    false => head.to_string(),
                })
            }
            Command::Verify {
                files,
                head,
                public_key,
                partial,
            } => {
                let mut verifier = AuditVerifier::new();
                if let Some(head) = head {
                    verifier = verifier.head(*head);
                }
                for key in public_key {
                    verifier = verifier.public_key(read_public_key(key)?);
                }
                if *partial {
                    verifier = verifier.partial();
                }
                let files = all_of(files)?;
                for file in &files {
                    verifier.file(file).map_err(|error| failed(file, &error))?;
                }
                tell(
                    &verifier.finish(),
                    files.len(),
                    args.json,
                    !public_key.is_empty(),
                )
            }
        }
    }

    fn all_of(files: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
        match files {
            [file] => AuditFile::files(file).map_err(|error| failed(file, &error)),
            files => Ok(files.to_vec()),
        }
    }

    fn read_public_key(given: &str) -> Result<AuditPublicKey, Failure> {
        /// More than a key and a line's end.
        const LONGEST: u64 = 200;
        if let Ok(key) = given.parse() {
            return Ok(key);
        }
        let path = Path::new(given);
        let what = format!("cannot read the public key from {}", quoted(path));
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(LONGEST).read_to_string(&mut text))
            .map_err(|error| Failure::io(&what, error))?;
        let key = text.trim().parse();
        key.map_err(|error| Failure::usage(format!("{what}: {error}")))
    }

    fn failed(file: &Path, error: &AuditError) -> Failure {
        let what = format!("cannot use {}", quoted(file));
        match error {
            AuditError::File { .. } => Failure::message(format!("{what}: {error}")),
            error => Failure::io(what, error),
        }
    }

    fn tell(
        report: &AuditReport,
        files: usize,
        as_json: bool,
        knows_key: bool,
    ) -> Result<(), Failure> {
        if as_json {
            print(&to_json(report, files).to_string())?;
        } else {
            print(&to_text(report, files, knows_key))?;
            for finding in &report.findings {
                say(&finding.to_string());
            }
            if report.more_findings > 0 {
                say(&format!("and {} more", report.more_findings));
            }
        }
        match report.is_sound() {
            true => Ok(()),
            false => {
                let count = report.findings.len() as u64 + report.more_findings;
                let failure = Failure::message(format!("the trail is not sound: {count} findings"));
                Err(failure)
            }
        }
    }

    fn to_text(report: &AuditReport, files: usize, knows_key: bool) -> String {
        let mut lines = vec![format!(
            "{files} files, {} lines, {} events, {} checkpoints",
            report.lines, report.events, report.checkpoints
        )];
        if let Some(head) = report.head {
            lines.push(format!("head: {head}"));
        }
        for key in &report.public_keys {
            lines.push(match knows_key {
                true => format!("signed with: {key}"),
                false => format!("signed with, if that is the right key (--public-key): {key}"),
            });
        }
        for (AuditPlace { file, line }, notice) in &report.notices {
            let file = quoted(Path::new(file));
            lines.push(format!("notice: {file}, line {line}: {notice}"));
        }
        if report.more_notices > 0 {
            lines.push(format!("and {} more notices", report.more_notices));
        }
        if report.unanchored > 0 {
            lines.push(format!(
                "unanchored: nothing vouches for the last {} lines, nor that none were cut off",
                report.unanchored
            ));
        }
        lines.join("\n")
    }

    fn to_json(report: &AuditReport, files: usize) -> Value {
        let finding = |AuditFinding { place, problem }: &AuditFinding| {
            json!({
                "file": place.as_ref().map(|place| &place.file),
                "line": place.as_ref().map(|place| place.line),
                "problem": problem.to_string(),
            })
        };
        let notice = |(AuditPlace { file, line }, notice): &(AuditPlace, _)| json!({ "file": file, "line": line, "notice": notice });
        let keys = report.public_keys.iter().map(ToString::to_string);
        json!({
            "sound": report.is_sound(),
            "files": files,
            "lines": report.lines,
            "events": report.events,
            "checkpoints": report.checkpoints,
            "first": report.first,
            "head": report.head.map(|head| head.to_string()),
            "unanchored": report.unanchored,
            "public_keys": keys.collect::<Vec<_>>(),
            "notices": report.notices.iter().map(notice).collect::<Vec<_>>(),
            "more_notices": report.more_notices,
            "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
            "more_findings": report.more_findings,
        })
    }

    fn print(text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")
            .and_then(|()| out.flush())
            .map_err(|error| Failure::write("standard output", &error))
    }
}
