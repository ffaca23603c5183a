//! The AWS Encryption SDK for Python, in a process of its own: `peer.py`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};

pub(crate) struct Python {
    process: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
}

const ANSWERS_WITHIN: Duration = Duration::from_secs(120);

impl Python {
    pub(crate) fn start(python: &str) -> Self {
        let peer = concat!(env!("CARGO_MANIFEST_DIR"), "/peer.py");
        let mut process = Command::new(python)
            .arg(peer)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("WAXSEAL_KMS_PYTHON is a Python");
        let (line, answers) = channel();
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        thread::spawn(move || {
            for answer in output.lines().map_while(Result::ok) {
                if line.send(answer).is_err() {
                    return;
                }
            }
        });
        Python {
            requests: process.stdin.take(),
            process,
            answers,
        }
    }

    fn ask(&mut self, request: &Value) -> Result<Value, String> {
        let requests = self.requests.as_mut().expect("until it is dropped");
        writeln!(requests, "{request}").expect("the peer listens");
        let answer = self.answers.recv_timeout(ANSWERS_WITHIN);
        let answer: Value = serde_json::from_str(&answer.expect("an answer")).expect("JSON");
        match answer["ok"].as_bool() {
            Some(true) => Ok(answer),
            _ => Err(answer["error"].to_string()),
        }
    }

    pub(crate) fn encrypt(&mut self, keyring: &Value, context: &Value) -> Result<Vec<u8>, String> {
        let answer = self.ask(&json!({
            "op": "encrypt",
            "keyring": keyring,
            "context": context,
            "plaintext_b64": BASE64_STANDARD.encode("text"),
        }))?;
        Ok(decoded(&answer["message_b64"]))
    }

    pub(crate) fn decrypt(
        &mut self,
        keyring: &Value,
        context: &Value,
        message: &[u8],
    ) -> Result<Vec<u8>, String> {
        let answer = self.ask(&json!({
            "op": "decrypt",
            "keyring": keyring,
            "context": context,
            "message_b64": BASE64_STANDARD.encode(message),
        }))?;
        Ok(decoded(&answer["plaintext_b64"]))
    }
}

fn decoded(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("a string");
    BASE64_STANDARD.decode(text).expect("base64")
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
