//! Runs the tool in a folder of its own.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::example::example;

/// A folder with nothing in it, where the tool runs with an empty home.
pub(crate) struct Tool {
    folder: tempfile::TempDir,
}

/// What a run gave.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Tool {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Tool { folder }
    }

    /// The same with a key of 32 bytes in `k`, for [`KEY`].
    pub(crate) fn with_key() -> Self {
        let tool = Self::new();
        tool.write("k", [7; 32]);
        tool
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file that is new is for its owner only, as key files are to be.
    pub(crate) fn write(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(self.path(name)).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn exists(&self, name: impl AsRef<Path>) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    /// The folder's names, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// A command to be started here.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(binary());
        self.prepare(&mut command);
        command.args(args);
        command
    }

    /// Sets folder, home and standard streams.
    pub(crate) fn prepare(&self, command: &mut Command) {
        command
            .current_dir(self.folder.path())
            .env("HOME", self.path("home"))
            .env("APPDATA", self.path("home"))
            .env_remove("XDG_DATA_HOME")
            .env_remove("WAXSEAL_DEFAULT_KEY")
            .env_remove("WAXSEAL_PASSPHRASE")
            .env_remove("WAXSEAL_STORE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.finish(self.command(args).output().unwrap())
    }

    /// Runs it with these bytes on standard input.
    pub(crate) fn pipe<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Run {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            // The tool may stop reading before all has been written.
            scope.spawn(move || stdin.write_all(input));
            child.wait_with_output().unwrap()
        });
        self.finish(output)
    }

    /// No run leaves a temporary file.
    pub(crate) fn finish(&self, output: Output) -> Run {
        let names = self.names();
        let temporary = |name: &String| name.ends_with(".waxseal-tmp");
        assert!(!names.iter().any(temporary), "left behind: {names:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{stderr}");
        Run {
            code: output.status.code(),
            stdout: output.stdout,
            stderr,
        }
    }

    /// Runs what must work and have nothing to say.
    #[track_caller]
    pub(crate) fn works<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Vec<u8> {
        self.run(args).worked()
    }

    /// Runs what must fail: see [`Run::failed`].
    #[track_caller]
    pub(crate) fn fails<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        code: i32,
        words: &[&str],
    ) {
        let run = self.run(args);
        assert!(run.stdout.is_empty(), "wrote to standard output");
        run.failed(code, words);
    }
}

impl Run {
    #[track_caller]
    pub(crate) fn worked(self) -> Vec<u8> {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        assert_eq!(self.stderr, "");
        self.stdout
    }

    /// It failed with this exit code, and one line that has all these words.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, words: &[&str]) {
        let line = &self.stderr;
        assert_eq!(self.code, Some(code), "{line}");
        assert!(line.starts_with("waxseal: "), "{line}");
        assert_eq!(
            line.find('\n'),
            Some(line.len() - 1),
            "not one line: {line}"
        );
        for word in words {
            assert!(line.contains(word), "no {word:?} in: {line}");
        }
    }
}

/// The options for the key in `k`.
pub(crate) const KEY: [&str; 2] = ["--key", "raw-aes:ns:key-1:k"];

/// A command line with [`KEY`].
pub(crate) fn with_key<'a>(args: &[&'a str]) -> Vec<&'a str> {
    args.iter().chain(&KEY).copied().collect()
}

/// Bytes that look like nothing.
pub(crate) fn sample(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(length)
    .collect()
}

pub(crate) fn binary() -> PathBuf {
    example("waxseal").unwrap_or_else(|why| panic!("{why}"))
}

/// Says on the real standard error, which libtest does not capture, that a
/// test could not run.
#[cfg(target_os = "linux")]
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED 1 test of the file tool: {why}");
}
