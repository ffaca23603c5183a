//! How a run fails: one line on standard error, and an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

/// Why a run failed.
pub(crate) struct Failure {
    code: u8,
    /// `None` where nobody is there to read it.
    text: Option<String>,
}

impl Failure {
    /// An argument or the trace is wrong.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Failure {
            code: 2,
            text: Some(text.into()),
        }
    }

    /// A file or the system is the cause.
    pub(crate) fn io(text: impl Into<String>) -> Self {
        Failure {
            code: 3,
            text: Some(text.into()),
        }
    }

    /// Whoever reads a pipe may stop when they have enough, and wants no word
    /// about it.
    pub(crate) fn write(error: &io::Error) -> Self {
        let failure = Failure::io(format!("cannot write the result: {error}"));
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure {
                text: None,
                ..failure
            },
            _ => failure,
        }
    }

    /// Says it, and gives the exit code. A trace's texts may hold anything: no
    /// control character reaches the terminal.
    pub(crate) fn report(self) -> ExitCode {
        if let Some(text) = &self.text {
            let mut line = String::from("cache_sim: ");
            for character in text.chars() {
                if character.is_control() {
                    line.extend(character.escape_default());
                } else {
                    line.push(character);
                }
            }
            line.push('\n');
            // Where standard error is closed there is nobody to tell.
            let _ = io::stderr().lock().write_all(line.as_bytes());
        }
        ExitCode::from(self.code)
    }
}
