//! Output files: replaced only on success, permissions, links, devices.

use std::fs;

use crate::tool::{Tool, sample, with_key};

#[cfg(unix)]
pub(crate) fn mode(tool: &Tool, name: impl AsRef<std::path::Path>) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(tool.path(name)).unwrap();
    metadata.permissions().mode() & 0o7777
}

#[cfg(unix)]
pub(crate) fn set_mode(tool: &Tool, name: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(tool.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn replaced_on_success_only() {
    let tool = Tool::with_key();
    let plaintext = sample(20_000);
    tool.write("in", &plaintext);
    tool.write("in.waxseal", b"old");
    tool.works(with_key(&["encrypt", "in"]));
    let message = tool.read("in.waxseal");
    assert!(message.len() > plaintext.len());

    tool.write("in", b"old");
    tool.write("bad.waxseal", &message[..message.len() - 1]);
    tool.write("bad", b"old");
    tool.fails(with_key(&["decrypt", "bad.waxseal"]), 1, &["ends early"]);
    assert_eq!(tool.read("bad"), b"old");
    tool.fails(
        with_key(&["decrypt", "in.waxseal", "--context", "a=1"]),
        1,
        &["'a'"],
    );
    assert_eq!(tool.read("in"), b"old");
    tool.works(with_key(&["decrypt", "in.waxseal"]));
    assert_eq!(tool.read("in"), plaintext);

    // A failed encryption leaves the old message.
    tool.fails(with_key(&["encrypt", "in", "--suite", "0178"]), 2, &[]);
    tool.fails(["encrypt", "in", "--key", "raw-aes:a:b:missing"], 3, &[]);
    assert_eq!(tool.read("in.waxseal"), message);
    assert_eq!(
        tool.names(),
        ["bad", "bad.waxseal", "in", "in.waxseal", "k"]
    );
}

#[test]
fn a_failed_run_leaves_no_output() {
    let tool = Tool::with_key();
    tool.write("in", sample(20_000));
    tool.works(with_key(&["encrypt", "in"]));
    let mut message = tool.read("in.waxseal");
    let last = message.len() - 1;
    message[last] ^= 1;
    tool.write("in.waxseal", &message);
    for out in ["out", "long name ".repeat(25).as_str()] {
        tool.fails(
            with_key(&["decrypt", "in.waxseal", "-o", out]),
            1,
            &["frame 5"],
        );
    }
    assert_eq!(tool.names(), ["in", "in.waxseal", "k"]);
}

/// The temporary file's name must not be too long where the output's is not.
#[test]
fn the_longest_names() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    for out in ["n".repeat(255), "ü".repeat(127)] {
        tool.works(with_key(&["encrypt", "in", "-o", &out]));
        assert_eq!(tool.works(with_key(&["decrypt", &out, "-o", "-"])), b"text");
    }
}

#[test]
fn input_and_output_are_not_one() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    tool.works(with_key(&["encrypt", "in", "-o", "message"]));
    let message = tool.read("message");
    for same in ["in", "./in"] {
        tool.fails(
            with_key(&["encrypt", "in", "-o", same]),
            2,
            &["'in'", "the input"],
        );
        tool.fails(
            with_key(&["decrypt", "message", "-o", "message"]),
            2,
            &["'message'"],
        );
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("in", tool.path("link")).unwrap();
        fs::hard_link(tool.path("in"), tool.path("hard")).unwrap();
        for same in ["link", "hard"] {
            tool.fails(with_key(&["encrypt", "in", "-o", same]), 2, &["the input"]);
            tool.fails(with_key(&["encrypt", same, "-o", "in"]), 2, &["the input"]);
        }
        // Through the standard streams, too.
        let open = || {
            fs::OpenOptions::new()
                .append(true)
                .read(true)
                .open(tool.path("in"))
        };
        let mut command = tool.command(with_key(&["encrypt", "-o", "in"]));
        let output = command.stdin(open().unwrap()).output().unwrap();
        tool.finish(output).failed(2, &["the input"]);
        let mut command = tool.command(with_key(&["encrypt", "in", "-o", "-"]));
        let output = command.stdout(open().unwrap()).output().unwrap();
        tool.finish(output).failed(2, &["the input"]);
    }
    assert_eq!(tool.read("in"), b"text");
    assert_eq!(tool.read("message"), message);
}

/// Whoever loses the key loses the data.
#[test]
fn no_key_is_written_over() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    let key = tool.read("k");
    tool.fails(
        with_key(&["encrypt", "in", "-o", "k"]),
        2,
        &["'k'", "key file"],
    );
    tool.works(with_key(&["encrypt", "in"]));
    tool.fails(
        with_key(&["decrypt", "in.waxseal", "-o", "./k"]),
        2,
        &["key file"],
    );
    assert_eq!(tool.read("k"), key);
}

#[cfg(unix)]
#[test]
fn permissions() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    set_mode(&tool, "in", 0o644);
    // A message is as any new file: by the umask. A plaintext is private.
    let masked = |mask: &str, args: &[&str]| {
        let mut command = std::process::Command::new("sh");
        let script = format!("umask {mask}; exec \"$@\"");
        command
            .args(["-c", &script, "sh"])
            .arg(crate::tool::binary());
        tool.prepare(command.args(with_key(args)));
        tool.finish(command.output().unwrap()).worked();
    };
    masked("022", &["encrypt", "in", "-o", "m1"]);
    masked("027", &["encrypt", "in", "-o", "m2"]);
    assert_eq!((mode(&tool, "m1"), mode(&tool, "m2")), (0o644, 0o640));
    masked("022", &["decrypt", "m1", "-o", "out"]);
    assert_eq!(mode(&tool, "out"), 0o600);
    // What is replaced keeps its mode.
    for kept in [0o640, 0o444, 0o666, 0o600] {
        for args in [
            ["encrypt", "in", "-o", "m1"],
            ["decrypt", "m2", "-o", "out"],
        ] {
            let out = args[3];
            set_mode(&tool, out, kept);
            masked("022", &args);
            assert_eq!(mode(&tool, out), kept);
        }
    }
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link() {
    let tool = Tool::with_key();
    tool.write("in", b"text");
    fs::create_dir(tool.path("folder")).unwrap();
    tool.write("folder/target", b"old");
    std::os::unix::fs::symlink("folder/target", tool.path("link")).unwrap();
    tool.works(with_key(&["encrypt", "in", "-o", "link"]));
    assert!(
        fs::symlink_metadata(tool.path("link"))
            .unwrap()
            .is_symlink()
    );
    let message = tool.read("folder/target");
    assert!(waxseal::inspect(&message).is_ok());
    assert_eq!(tool.names(), ["folder", "in", "k", "link"]);
    assert_eq!(fs::read_dir(tool.path("folder")).unwrap().count(), 1);
}

/// What is no file is written to, and not replaced.
#[cfg(unix)]
#[test]
fn devices_and_named_pipes() {
    use std::os::unix::fs::FileTypeExt;
    let tool = Tool::with_key();
    tool.write("in", b"text");
    tool.works(with_key(&["encrypt", "in", "-o", "/dev/null"]));
    assert!(
        fs::metadata("/dev/null")
            .unwrap()
            .file_type()
            .is_char_device()
    );
    let message = tool.works(with_key(&["encrypt", "in", "-o", "/dev/stdout"]));
    assert!(waxseal::inspect(&message).is_ok());
    if cfg!(target_os = "linux") {
        tool.fails(
            with_key(&["encrypt", "in", "-o", "/dev/full"]),
            3,
            &["'/dev/full'"],
        );
        let mut command = tool.command(with_key(&["encrypt", "in", "-o", "-"]));
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = command.stdout(full).output().unwrap();
        tool.finish(output).failed(3, &["standard output"]);
    }

    let made = std::process::Command::new("mkfifo")
        .arg(tool.path("fifo"))
        .status();
    assert!(made.unwrap().success());
    let args = with_key(&["encrypt", "in", "-o", "fifo"]);
    let writer = tool.command(args).spawn().unwrap();
    let plaintext = tool.works(with_key(&["decrypt", "fifo", "-o", "-"]));
    assert_eq!(plaintext, b"text");
    tool.finish(writer.wait_with_output().unwrap()).worked();
    assert!(
        fs::metadata(tool.path("fifo"))
            .unwrap()
            .file_type()
            .is_fifo()
    );
}

/// Files that claim to be empty and are not.
#[cfg(target_os = "linux")]
#[test]
fn inputs_of_unknown_length() {
    let tool = Tool::with_key();
    tool.works(with_key(&["encrypt", "/proc/version", "-o", "message"]));
    let plaintext = tool.works(with_key(&["decrypt", "message", "-o", "-"]));
    assert_eq!(plaintext, fs::read("/proc/version").unwrap());
}

/// Names that are not UTF-8.
#[cfg(target_os = "linux")]
#[test]
fn names_that_are_no_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let tool = Tool::with_key();
    let name = OsStr::from_bytes(b"in\xff");
    tool.write(name, b"text");
    let key = crate::tool::KEY.map(OsStr::new);
    tool.works([OsStr::new("encrypt"), name, key[0], key[1]]);
    fs::remove_file(tool.path(name)).unwrap();
    let message = OsStr::from_bytes(b"in\xff.waxseal");
    tool.works([OsStr::new("decrypt"), message, key[0], key[1]]);
    assert_eq!(tool.read(name), b"text");
}
