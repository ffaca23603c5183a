//! Passphrases on a terminal.

use crate::local::run_with;
use crate::tool::Tool;

/// Asked for on a terminal, twice where it is new, and never shown. `script`
/// gives it a terminal.
#[test]
fn passphrases_on_a_terminal() {
    let tool = Tool::new();
    tool.write("in", b"text");
    let Some(mut made) = Asked::start(&tool, "encrypt in --store s --passphrase") else {
        crate::tool::skipped("`script` is not installed, so that there is no terminal");
        return;
    };
    made.wait_for("Enter the passphrase of the store: ");
    made.type_in("correct horse\n");
    made.wait_for("again: ");
    made.type_in("correct horse\n");
    let (code, shown) = made.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(
        shown.contains("made the store") && !shown.contains("horse"),
        "{shown}"
    );
    let decrypt = ["decrypt", "in.waxseal", "-o", "-", "--store", "s"];
    let run = run_with(&tool, "WAXSEAL_PASSPHRASE", "correct horse", &decrypt);
    assert_eq!(run.worked(), b"text");
    // Once, where it is not new.
    let mut once = Asked::start(&tool, "decrypt in.waxseal -o out --store s --passphrase").unwrap();
    once.wait_for("Enter the passphrase of the store: ");
    once.type_in("correct horse\n");
    let (code, shown) = once.end();
    assert_eq!((code, shown.contains("again")), (Some(0), false), "{shown}");
    assert_eq!(tool.read("out"), b"text");
    // A slip of the finger makes nothing.
    let mut slip = Asked::start(&tool, "keys create --store t --passphrase").unwrap();
    slip.wait_for(": ");
    slip.type_in("correct horse\n");
    slip.wait_for("again: ");
    slip.type_in("correct hose\n");
    let (code, shown) = slip.end();
    assert_eq!(code, Some(2), "{shown}");
    assert!(shown.contains("both times"), "{shown}");
    // Nor does Ctrl-C, which leaves no terminal without echo.
    let mut left = Asked::start(&tool, "encrypt in -o x --store t --passphrase; stty -a").unwrap();
    left.wait_for(": ");
    left.type_in("\u{3}");
    let (_, shown) = left.end();
    assert!(
        shown.contains(" echo ") && shown.contains(" icanon"),
        "{shown}"
    );
    assert!(!shown.contains("cannot"), "{shown}");
    assert_eq!(tool.names(), ["in", "in.waxseal", "out", "s"]);
}

/// The tool on a terminal of its own, which does not outlive the test.
struct Asked {
    child: std::process::Child,
    shown: String,
}

impl Asked {
    fn start(tool: &Tool, args: &str) -> Option<Self> {
        let line = format!("{} {args}", crate::tool::binary().display());
        let mut command = std::process::Command::new("script");
        command.args(["-q", "-e", "-c", &line, "/dev/null"]);
        tool.prepare(&mut command);
        command
            .env("TERM", "xterm")
            .stdin(std::process::Stdio::piped());
        let child = command.spawn().ok()?;
        let shown = String::new();
        Some(Asked { child, shown })
    }

    /// Reads until the terminal shows this, or nothing more comes.
    fn wait_for(&mut self, text: &str) {
        use std::io::Read as _;
        let stdout = self.child.stdout.as_mut().unwrap();
        let mut bytes = Vec::new();
        let mut byte = [0];
        while !bytes.ends_with(text.as_bytes()) {
            assert_eq!(stdout.read(&mut byte).unwrap(), 1, "{}", self.shown);
            bytes.push(byte[0]);
            self.shown.push(byte[0].into());
        }
    }

    fn type_in(&mut self, text: &str) {
        use std::io::Write as _;
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    fn end(mut self) -> (Option<i32>, String) {
        use std::io::Read as _;
        let mut rest = Vec::new();
        let stdout = self.child.stdout.as_mut().unwrap();
        stdout.read_to_end(&mut rest).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, self.shown.clone() + &String::from_utf8_lossy(&rest))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
