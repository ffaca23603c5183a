//! The other implementations, each a process that answers JSON lines: see
//! `interop/README.md`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Much longer than any request takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// Whose SDK it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Python,
    JavaScript,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Python => "python",
            Kind::JavaScript => "javascript",
        }
    }

    /// How it starts, from the folder that `interop/setup.sh` installed into.
    fn command(self, home: &Path) -> Command {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
        let mut command;
        match self {
            Kind::Python => {
                command = Command::new(home.join("venv/bin/python"));
                command.arg(scripts.join("peer.py"));
            }
            Kind::JavaScript => {
                command = Command::new("node");
                command.arg(scripts.join("peer.mjs")).arg(home.join("node"));
            }
        }
        command
    }
}

/// Peers of one kind: as many as tests run at once.
pub(crate) struct Pool {
    pub(crate) kind: Kind,
    home: PathBuf,
    idle: Mutex<Vec<Peer>>,
    /// What the SDK calls itself.
    pub(crate) sdk: String,
}

impl Pool {
    /// Starts the first, so that one that cannot start is known before the
    /// tests.
    pub(crate) fn start(kind: Kind, home: &Path) -> Result<Self, String> {
        let mut peer = Peer::start(kind, home)?;
        let hello = peer.ask(&json!({ "op": "hello" }))?;
        let sdk = hello["sdk"].as_str().ok_or("no name in its hello")?;
        Ok(Pool {
            kind,
            home: home.to_owned(),
            sdk: sdk.to_owned(),
            idle: Mutex::new(vec![peer]),
        })
    }

    /// Lends a peer that nobody else uses. One that broke the protocol, or
    /// whose test panicked, is ended.
    pub(crate) fn with<T>(
        &self,
        test: impl FnOnce(&mut Peer) -> Result<T, String>,
    ) -> Result<T, String> {
        let idle = self.idle.lock().unwrap().pop();
        let mut peer = match idle {
            Some(peer) => peer,
            None => Peer::start(self.kind, &self.home)?,
        };
        let outcome = test(&mut peer);
        if !peer.broken {
            self.idle.lock().unwrap().push(peer);
        }
        outcome
    }
}

/// One process.
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    child: Child,
    requests: ChildStdin,
    answers: Receiver<Vec<u8>>,
    broken: bool,
}

/// What a peer says of a message that it decrypted.
pub(crate) struct Opened {
    pub(crate) plaintext: Vec<u8>,
    /// The pairs in the message's header.
    pub(crate) context: Value,
}

impl Peer {
    fn start(kind: Kind, home: &Path) -> Result<Self, String> {
        let mut command = kind.command(home);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{command:?}: {error}"))?;
        let requests = child.stdin.take().expect("piped");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, answers) = channel();
        // A thread, so that waiting for an answer can end without one. It ends
        // with the process.
        thread::spawn(move || {
            let mut line = Vec::new();
            while output
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });
        Ok(Peer {
            kind,
            child,
            requests,
            answers,
            broken: false,
        })
    }

    /// The answer, also where it is a refusal; an error is the peer's own
    /// failure to answer.
    fn ask(&mut self, request: &Value) -> Result<Value, String> {
        self.broken = true;
        let mut line = request.to_string();
        line.push('\n');
        self.requests
            .write_all(line.as_bytes())
            .map_err(|error| format!("the {} peer takes no requests: {error}", self.kind.name()))?;
        let answer = self.answers.recv_timeout(PATIENCE).map_err(|error| {
            let what = match error {
                RecvTimeoutError::Timeout => "gave no answer in time",
                RecvTimeoutError::Disconnected => "has ended",
            };
            format!("the {} peer {what}", self.kind.name())
        })?;
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|error| format!("the {} peer's answer: {error}", self.kind.name()))?;
        self.broken = false;
        match answer["ok"] {
            Value::Bool(_) => Ok(answer),
            _ => Err(format!("neither a yes nor a no: {answer}")),
        }
    }

    fn ask_ok(&mut self, request: &Value) -> Result<Value, String> {
        let answer = self.ask(request)?;
        match answer["error"].as_str() {
            None => Ok(answer),
            Some(error) => Err(format!("the {} peer says: {error}", self.kind.name())),
        }
    }

    /// The message that it makes. `request` has the protocol's fields but for
    /// `op` and the plaintext.
    pub(crate) fn encrypt(
        &mut self,
        mut request: Value,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, String> {
        request["op"] = "encrypt".into();
        request["plaintext_b64"] = STANDARD.encode(plaintext).into();
        bytes(&self.ask_ok(&request)?["message_b64"])
    }

    /// What it makes of a message. `request` has the protocol's fields but for
    /// `op` and the message.
    pub(crate) fn decrypt(&mut self, request: Value, message: &[u8]) -> Result<Opened, String> {
        let mut answer = self.ask_ok(&decrypt_request(request, message))?;
        Ok(Opened {
            plaintext: bytes(&answer["plaintext_b64"])?,
            context: answer["context"].take(),
        })
    }

    /// Whether it refuses a message, by what its error says; not being able to
    /// do what is asked is no refusal.
    pub(crate) fn refuses(&mut self, request: Value, message: &[u8]) -> Result<(), String> {
        let answer = self.ask(&decrypt_request(request, message))?;
        match answer["error"].as_str() {
            None => Err(format!("the {} peer decrypted it", self.kind.name())),
            Some(error) if error.contains("unsupported") => Err(error.to_owned()),
            Some(_) => Ok(()),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn decrypt_request(mut request: Value, message: &[u8]) -> Value {
    request["op"] = "decrypt".into();
    request["message_b64"] = STANDARD.encode(message).into();
    request
}

fn bytes(value: &Value) -> Result<Vec<u8>, String> {
    let text = value.as_str().ok_or("no base64 text in the answer")?;
    STANDARD.decode(text).map_err(|error| error.to_string())
}
