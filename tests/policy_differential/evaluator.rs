//! The other evaluator, a process that answers JSON lines: see
//! `interop/iam/evaluator.mjs`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::case::{Case, Verdict};

/// Much longer than any answer takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) struct Evaluator {
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Evaluator {
    /// From the folder that `interop/iam/setup.sh` installed into.
    pub(crate) fn start(home: &Path) -> Result<Self, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/iam/evaluator.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(home);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{command:?}: {error}"))?;
        let requests = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, answers) = channel();
        // A thread, so that waiting for an answer can end without one. It ends
        // with the process.
        thread::spawn(move || {
            for line in output.lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Evaluator {
            child,
            requests,
            answers,
        })
    }

    /// Its verdict. Requests and answers take turns, so that no pipe fills.
    pub(crate) fn ask(&mut self, case: &Case) -> Result<Verdict, String> {
        let requests = self.requests.as_mut().expect("it is not dropped");
        let mut line = case.to_json().to_string();
        line.push('\n');
        requests
            .write_all(line.as_bytes())
            .map_err(|error| format!("the evaluator takes no requests: {error}"))?;
        let answer = self
            .answers
            .recv_timeout(PATIENCE)
            .map_err(|error| format!("the evaluator gives no answer: {error}"))?;
        let answer: Value = serde_json::from_str(&answer)
            .map_err(|error| format!("the evaluator's answer: {error}"))?;
        match answer.as_str() {
            Some("Allowed") => Ok(Verdict::Allowed),
            Some("ExplicitlyDenied") => Ok(Verdict::ExplicitlyDenied),
            Some("ImplicitlyDenied") => Ok(Verdict::Denied),
            _ => Err(format!("the evaluator says {answer} to {line}")),
        }
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        self.requests = None;
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
