//! Processes that tests start: this program again, told what to do. Nothing
//! waits for one without a bound, and none outlives its test.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use waxseal::SecretBytes;
use waxseal::kms::RootKey;
use waxseal::kms::store::DirectoryStore;

const WORK: &str = "WAXSEAL_KMS_CHILD";
/// More than anything here takes, on however slow a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// In a started process: what it is to do, in which folder, and an argument.
pub(crate) fn work() -> Option<(String, PathBuf, String)> {
    let text = std::env::var(WORK).ok()?;
    let mut parts = text.splitn(3, '|');
    let mut part = || parts.next().unwrap().to_owned();
    let work = (part(), part().into(), part());
    // Should its parent be gone without having killed it.
    thread::spawn(|| {
        thread::sleep(PATIENCE * 5);
        std::process::exit(3);
    });
    Some(work)
}

/// In a started process: tells its parent something, at once.
pub(crate) fn say(line: &str) {
    let line = format!("{line}\n");
    let mut out = std::io::stdout().lock();
    // In one piece, so that a kill cuts no line.
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// In a started process: what its parent says next, if anything more.
pub(crate) fn hear() -> Option<String> {
    let mut line = String::new();
    let length = std::io::stdin().read_line(&mut line).unwrap();
    (length > 0).then(|| line.trim_end().to_owned())
}

/// A started process. Dropping it kills it.
pub(crate) struct Child {
    process: std::process::Child,
    lines: Receiver<String>,
}

impl Child {
    pub(crate) fn start(work: &str, folder: &Path, argument: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .env(WORK, format!("{work}|{}|{argument}", folder.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut line = String::new();
            while out.read_line(&mut line).is_ok_and(|length| length > 0)
                && line.ends_with('\n')
                && sender.send(line.trim_end().to_owned()).is_ok()
            {
                line.clear();
            }
        });
        Child { process, lines }
    }

    /// Tells it something.
    pub(crate) fn tell(&mut self, line: &str) {
        let to = self.process.stdin.as_mut().unwrap();
        to.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// What it says next; `None` once it has ended.
    pub(crate) fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("a process says nothing"),
        }
    }

    /// What it says next, which must be this.
    pub(crate) fn expect(&self, line: &str) {
        assert_eq!(self.line().as_deref(), Some(line));
    }

    /// What it has said and nobody has heard yet.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Kills it (SIGKILL), and gives back the rest of what it said.
    pub(crate) fn kill(&mut self) -> Vec<String> {
        // It may have failed before.
        if let Some(status) = self.process.try_wait().unwrap() {
            panic!("a process has ended by itself: {status}");
        }
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        std::iter::from_fn(|| self.line()).collect()
    }

    /// Waits for its end, and gives back the rest of what it said.
    pub(crate) fn finish(mut self) -> Vec<String> {
        drop(self.process.stdin.take());
        let lines = std::iter::from_fn(|| self.line()).collect();
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return lines;
            }
            assert!(began.elapsed() < PATIENCE, "a process does not end");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The store in this folder. A kill keeps the page cache, so waiting for the
/// disk would show nothing here; power cuts are tested on a simulated disk.
pub(crate) fn store(folder: &Path) -> DirectoryStore {
    DirectoryStore::builder(folder)
        .without_sync()
        .lock_timeout(PATIENCE)
        .open()
        .unwrap()
}

/// One of several roots.
pub(crate) fn root(number: u8) -> RootKey {
    RootKey::bytes(SecretBytes::from(vec![number + 1; 32]))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

/// Numbers that look random (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
