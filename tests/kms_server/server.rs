//! A server for one test.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, Credential};
use crate::example::example;

/// Bounds every wait of these tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) const ROOT: Credential = Credential {
    id: "AKIAROOT",
    secret: "the/root's+secret",
    account: "111122223333",
};
pub(crate) const ALICE: Credential = Credential {
    id: "AKIAALICE",
    secret: "alice-secret",
    account: "111122223333",
};
pub(crate) const OTHER: Credential = Credential {
    id: "AKIAOTHER",
    secret: "another-secret",
    account: "444455556666",
};

/// A running server, ended with the value.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

pub(crate) fn command() -> Command {
    let program = example("kms_server").unwrap_or_else(|missing| panic!("{missing}"));
    Command::new(program)
}

impl Server {
    /// In memory, with the three credentials above.
    pub(crate) fn start() -> Self {
        Self::with([] as [&str; 0])
    }

    /// The same, with these options too.
    pub(crate) fn with(options: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0"]);
        for (credential, user) in [(ROOT, ""), (ALICE, ":alice"), (OTHER, "")] {
            let Credential {
                id,
                secret,
                account,
            } = credential;
            command.arg("--credential");
            command.arg(format!("{id}:{secret}:{account}{user}"));
        }
        command.args(options);
        Self::run(&mut command)
    }

    fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (said, saying) = mpsc::channel();
        thread::spawn(move || {
            let mut out = BufReader::new(out);
            let mut line = String::new();
            let _ = out.read_line(&mut line);
            let _ = said.send(line);
            // So that it never waits for a reader.
            let _ = out.read_to_end(&mut Vec::new());
        });
        let line = saying
            .recv_timeout(PATIENCE)
            .expect("it says where it listens");
        let line = line.trim_end();
        let address = line
            .strip_prefix("listening on http://")
            .or_else(|| line.strip_prefix("listening on https://"))
            .unwrap_or_else(|| panic!("not an address: {line:?}"));
        Server {
            address: address.parse().unwrap(),
            child,
        }
    }

    pub(crate) fn client(&self, credential: Credential) -> Client {
        Client::new(self.address, credential)
    }

    /// That it still serves somebody who comes anew.
    pub(crate) fn goes_on(&self) {
        let answer = self.client(ROOT).call("ListKeys", "{}");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end: the exit code.
    pub(crate) fn wait(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it with arguments with which it ends by itself.
pub(crate) fn refuses(args: &[&str]) -> Output {
    let mut child = command()
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("it runs with {args:?}");
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}
