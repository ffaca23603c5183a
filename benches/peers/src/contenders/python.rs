//! The official Python SDK, in a process of its own that says how long it took.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::contender::{Contender, Who};
use crate::work::{
    CONTEXT, FRAME_LENGTH, Fallible, KEY, KEY_NAME, MIB, NAMESPACE, Operation, Work, hex,
};

pub(crate) struct Python {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    /// With the interpreter and `peer.py`. Gives its name and version, too.
    pub(crate) fn start(python: &Path, script: &Path) -> Fallible<(Self, String)> {
        let mut command = Command::new(python);
        command.arg(script);
        command.args([NAMESPACE, KEY_NAME, &hex(&KEY), &FRAME_LENGTH.to_string()]);
        for (key, value) in CONTEXT {
            command.args([key, value]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let requests = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut python = Python {
            child,
            requests,
            answers,
        };
        let name = python.ask("hello")?;
        Ok((python, name))
    }

    /// A line of standard output for a line of standard input.
    fn ask(&mut self, request: &str) -> Fallible<String> {
        writeln!(self.requests, "{request}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        match answer.trim_end() {
            "" => Err("the Python SDK has ended".into()),
            answer => Ok(answer.to_owned()),
        }
    }
}

impl Contender for Python {
    fn who(&self) -> Who {
        Who::Python
    }

    /// Beyond this it takes seconds for a message, and says nothing new.
    fn longest(&self) -> usize {
        MIB
    }

    fn prepare(&mut self, work: &Work) -> Fallible<()> {
        // What it holds does not matter beside the others.
        if work.plaintext.is_empty() {
            return Ok(());
        }
        self.ask(&format!(
            "prepare {} {}",
            hex(&work.plaintext),
            hex(&work.unsigned)
        ))?;
        Ok(())
    }

    fn sample(&mut self) -> Fallible<Option<Vec<u8>>> {
        let message = self.ask("sample")?;
        let pairs = message.as_bytes().chunks(2);
        let byte = |pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
        pairs.map(byte).collect::<Fallible<_>>().map(Some)
    }

    fn turn(&mut self, operation: Operation, messages: u32) -> Fallible<Duration> {
        let nanoseconds = self.ask(&format!("{} {messages}", operation.name()))?;
        Ok(Duration::from_nanos(nanoseconds.parse()?))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // Both fail only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
