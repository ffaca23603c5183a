//! Pipes: what comes out when, of which length, and how they break.

use std::io::{Read, Write};
use std::process::{Child, Stdio};

use crate::tool::{KEY, Tool, sample, with_key};

fn spawn(tool: &Tool, args: &[&str]) -> Child {
    let mut command = tool.command(with_key(args));
    command.stdin(Stdio::piped()).spawn().unwrap()
}

/// Half of a message through the pipe gives that part of the plaintext, while
/// the other half does not exist yet.
#[test]
fn frames_come_out_as_they_go_in() {
    let tool = Tool::with_key();
    let plaintext = sample(300_000);
    let message = tool.pipe(with_key(&["encrypt"]), &plaintext).worked();
    for (args, input, least) in [
        (&["encrypt"][..], &plaintext, 100_000),
        (&["decrypt"], &message, 100_000),
    ] {
        let mut child = spawn(&tool, args);
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (first, second) = input.split_at(200_000);
        std::thread::scope(|scope| {
            scope.spawn(|| stdin.write_all(first).unwrap());
            stdout.read_exact(&mut vec![0; least]).unwrap();
        });
        let mut rest = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(second).unwrap());
            stdout.read_to_end(&mut rest).unwrap();
        });
        tool.finish(child.wait_with_output().unwrap()).worked();
    }
}

/// More goes through than may be resident.
#[cfg(target_os = "linux")]
#[test]
fn memory_stays_flat() {
    const LENGTH: usize = 20 << 20;
    const LIMIT_KIB: u64 = 16 << 10;
    let tool = Tool::with_key();
    let mut encrypt = KilledAtLast(spawn(&tool, &["encrypt"]));
    let mut decrypt = KilledAtLast(spawn(&tool, &["decrypt"]));
    let peak = |child: &Child| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let mut source = encrypt.0.stdin.take().unwrap();
    let mut between = (
        encrypt.0.stdout.take().unwrap(),
        decrypt.0.stdin.take().unwrap(),
    );
    let mut sink = decrypt.0.stdout.take().unwrap();
    std::thread::scope(|scope| {
        // Both may find nobody there any more, at the end.
        scope.spawn(|| std::io::copy(&mut between.0, &mut between.1));
        scope.spawn(|| {
            let chunk = vec![0; 1 << 20];
            for _ in 0..LENGTH / chunk.len() {
                let _ = source.write_all(&chunk);
            }
        });
        // Whatever happens here, both are killed before the threads are waited for: one that
        // writes to a full pipe would wait for ever.
        let (encrypt, decrypt) = (encrypt, decrypt);
        // All but what both ends may hold back has gone through then.
        sink.read_exact(&mut vec![1; LENGTH - (1 << 20)]).unwrap();
        for child in [&encrypt.0, &decrypt.0] {
            let peak = peak(child);
            assert!(peak < LIMIT_KIB, "{peak} KiB");
        }
    });
}

/// A process that does not outlive its test.
#[cfg(target_os = "linux")]
struct KilledAtLast(Child);

#[cfg(target_os = "linux")]
impl Drop for KilledAtLast {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `| head -c 1`: no word, no panic, and not 0.
#[test]
fn a_reader_that_has_enough() {
    let tool = Tool::with_key();
    tool.write("in", sample(1 << 20));
    tool.works(with_key(&["encrypt", "in"]));
    for args in [
        &["encrypt", "in", "-o", "-"][..],
        &["decrypt", "in.waxseal", "-o", "-"],
    ] {
        let mut child = tool.command(with_key(args)).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0]).unwrap();
        drop(stdout);
        let run = tool.finish(child.wait_with_output().unwrap());
        assert_eq!((run.code, run.stderr.as_str()), (Some(3), ""));
    }
    let mut child = tool.command(["inspect", "in.waxseal"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = tool.finish(child.stdout(writer).output().unwrap());
    assert_eq!((run.code, run.stderr.as_str()), (Some(3), ""));
}

#[test]
fn input_that_stops_early() {
    let tool = Tool::with_key();
    let message = tool.pipe(with_key(&["encrypt"]), &sample(100_000)).worked();
    for length in [0, 10, 1000, 50_000, message.len() - 1] {
        let run = tool.pipe(with_key(&["decrypt"]), &message[..length]);
        run.failed(1, &["standard input", "ends early"]);
        assert!(sample(100_000).starts_with(&run.stdout));
        let run = tool.pipe(with_key(&["decrypt", "-o", "out"]), &message[..length]);
        run.failed(1, &["standard input", "ends early"]);
    }
    assert_eq!(tool.names(), ["k"]);
}

/// Standard input that is not there at all is an empty one.
#[cfg(unix)]
#[test]
fn input_that_is_closed() {
    let tool = Tool::with_key();
    let closed = |args: &[&str]| {
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", "exec \"$@\" <&-", "sh"])
            .arg(crate::tool::binary());
        tool.prepare(command.args(with_key(args)));
        tool.finish(command.output().unwrap())
    };
    let message = closed(&["encrypt"]).worked();
    assert_eq!(tool.pipe(with_key(&["decrypt"]), &message).worked(), b"");
    closed(&["decrypt"]).failed(1, &["empty"]);
}

fn signed_message(tool: &Tool, length: usize) -> (Vec<u8>, Vec<u8>) {
    let plaintext = sample(length);
    let args = with_key(&["encrypt", "--suite", "0x0578"]);
    let message = tool.pipe(args, &plaintext).worked();
    (plaintext, message)
}

#[test]
fn signed_to_standard_output_is_held_back() {
    let tool = Tool::with_key();
    let (plaintext, message) = signed_message(&tool, 100_000);
    assert_eq!(
        tool.pipe(with_key(&["decrypt"]), &message).worked(),
        plaintext
    );
    // Nothing of it comes out if its end is wrong.
    let mut damaged = message.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    for bad in [&damaged[..], &message[..last], &message[..90_000]] {
        let run = tool.pipe(with_key(&["decrypt"]), bad);
        run.failed(1, &["cannot decrypt"]);
        assert!(run.stdout.is_empty());
    }
    // Beyond the limit it is refused: the limit is what is held, exactly.
    let args = with_key(&["decrypt", "--max-buffered", "100000"]);
    assert_eq!(tool.pipe(args, &message).worked(), plaintext);
    let args = with_key(&["decrypt", "--max-buffered", "99999"]);
    let run = tool.pipe(args, &message);
    run.failed(1, &["99999", "with -o", "--allow-unverified"]);
    assert!(run.stdout.is_empty());
}

/// 64 MiB where nothing else is said: a frame that says it holds more.
#[test]
fn the_default_limit() {
    let tool = Tool::with_key();
    let args = with_key(&["encrypt", "--suite", "0578", "--frame-length", "100000000"]);
    let mut message = tool.pipe(args, b"text").worked();
    let body = waxseal::inspect(&message).unwrap().header_length();
    // Final frame: end marker, sequence number, IV, length.
    let length = body + 4 + 4 + 12;
    message[length..length + 4].copy_from_slice(&((64u32 << 20) + 1).to_be_bytes());
    tool.pipe(with_key(&["decrypt"]), &message)
        .failed(1, &["allows 67108864"]);
}

#[test]
fn signed_to_standard_output_when_asked() {
    let tool = Tool::with_key();
    let (plaintext, message) = signed_message(&tool, 100_000);
    let args = with_key(&["decrypt", "--allow-unverified", "--max-buffered", "5000"]);
    let run = tool.pipe(&args, &message);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("warning"), "{}", run.stderr);
    assert_eq!(run.stdout, plaintext);
    // What came out before a wrong signature is said to be wrong.
    let last = message.len() - 1;
    let run = tool.pipe(&args, &message[..last]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("ends early"), "{}", run.stderr);
    assert!(!run.stdout.is_empty() && run.stdout.len() < plaintext.len());
    // An unsigned one is not concerned.
    let unsigned = tool.pipe(with_key(&["encrypt"]), &plaintext).worked();
    assert_eq!(tool.pipe(&args, &unsigned).worked(), plaintext);
}

/// A file has its name only once the signature is verified.
#[test]
fn signed_to_a_file_needs_no_holding_back() {
    let tool = Tool::with_key();
    let (plaintext, message) = signed_message(&tool, 100_000);
    tool.write("m.waxseal", &message);
    let args = with_key(&["decrypt", "m.waxseal", "--max-buffered", "5000"]);
    tool.works(&args);
    assert_eq!(tool.read("m"), plaintext);
    tool.write("m", b"old");
    for end in [message.len() - 1, message.len() - 100] {
        tool.write("m.waxseal", &message[..end]);
        tool.fails(&args, 1, &["ends early"]);
        assert_eq!(tool.read("m"), b"old");
    }
}

#[test]
fn frames_beyond_the_limit() {
    let tool = Tool::with_key();
    let plaintext = sample(200_000);
    let args = with_key(&["encrypt", "--frame-length", "190000"]);
    let message = tool.pipe(args, &plaintext).worked();
    let args = with_key(&["decrypt", "--max-buffered", "1000"]);
    tool.pipe(args, &message)
        .failed(1, &["1000", "--max-buffered"]);
    let args = with_key(&["decrypt", "--max-buffered", "200000"]);
    assert_eq!(tool.pipe(args, &message).worked(), plaintext);
}

/// A file that grows meanwhile would give a message of no moment in time.
#[test]
fn input_that_grows() {
    let tool = Tool::with_key();
    tool.write("in", sample(1 << 20));
    let args = with_key(&["encrypt", "in", "-o", "-"]);
    let mut child = tool.command(args).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // It has begun, and the pipe does not take all of it.
    stdout.read_exact(&mut [0]).unwrap();
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(tool.path("in"))
        .unwrap();
    file.write_all(b"more").unwrap();
    let mut message = Vec::new();
    stdout.read_to_end(&mut message).unwrap();
    tool.finish(child.wait_with_output().unwrap())
        .failed(3, &["'in'", "grew"]);
}

/// Starts a decryption to `out`, and gives it all of the message but the end;
/// returns when its temporary file is there.
#[cfg(target_os = "linux")]
fn half_decrypted(tool: &Tool, command: &mut std::process::Command) -> (Child, Vec<u8>) {
    let mut message = tool.pipe(with_key(&["encrypt"]), &sample(200_000)).worked();
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let end = message.split_off(150_000);
    child.stdin.as_mut().unwrap().write_all(&message).unwrap();
    let is_temporary = |name: &String| name.ends_with(".waxseal-tmp");
    let name = loop {
        if let Some(name) = tool.names().into_iter().find(is_temporary) {
            break name;
        }
        assert_eq!(child.try_wait().unwrap(), None, "it ended early");
        std::thread::yield_now();
    };
    assert!(name.starts_with(".out."), "{name}");
    assert_eq!(crate::files::mode(tool, &name), 0o600);
    (child, end)
}

#[cfg(target_os = "linux")]
pub(crate) fn signal(child: &Child, name: &str) {
    let (signal, pid) = (format!("-{name}"), child.id().to_string());
    let killed = std::process::Command::new("kill")
        .args([signal, pid])
        .status();
    assert!(killed.unwrap().success());
}

/// An interrupted run leaves nothing, and ends by the signal.
#[cfg(target_os = "linux")]
#[test]
fn interrupted() {
    use std::os::unix::process::ExitStatusExt;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    let tool = Tool::with_key();
    tool.write("out", b"old");
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        if ignored >> (number - 1) & 1 == 1 {
            crate::tool::skipped(&format!("SIG{name} is ignored here, and so by the tool"));
            continue;
        }
        let mut command = tool.command(with_key(&["decrypt", "-o", "out"]));
        let (mut child, _) = half_decrypted(&tool, &mut command);
        let stdin = child.stdin.take();
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(number));
        tool.finish(output);
        drop(stdin);
        assert_eq!(tool.read("out"), b"old");
    }
}

/// What was ignored when the tool was started (by nohup, say) stays ignored.
#[cfg(target_os = "linux")]
#[test]
fn not_interrupted() {
    let tool = Tool::with_key();
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(crate::tool::binary());
    tool.prepare(command.args(with_key(&["decrypt", "-o", "out"])));
    let (mut child, end) = half_decrypted(&tool, &mut command);
    signal(&child, "HUP");
    child.stdin.take().unwrap().write_all(&end).unwrap();
    tool.finish(child.wait_with_output().unwrap()).worked();
    assert!(tool.read("out") == sample(200_000));
}

/// `script` gives it a terminal.
#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal() {
    let tool = Tool::with_key();
    tool.write("short", sample(1000));
    tool.write("long", vec![0; 9 << 20]);
    let binary = crate::tool::binary();
    let on_terminal = |args: &str| {
        let (key, spec) = (KEY[0], KEY[1]);
        let (command, rest) = args.split_once(' ').unwrap();
        let line = format!("{} {command} {key} {spec} {rest}", binary.display());
        let mut command = std::process::Command::new("script");
        command.args(["-q", "-e", "-c", &line, "/dev/null"]);
        tool.prepare(&mut command);
        command.env("TERM", "xterm").output()
    };
    let Ok(output) = on_terminal("encrypt short") else {
        crate::tool::skipped("`script` is not installed, so that there is no terminal");
        return;
    };
    let text = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        (text(&output).as_str(), output.status.code()),
        ("", Some(0))
    );
    let output = on_terminal("encrypt long").unwrap();
    assert!(text(&output).contains("9.00 MiB"), "{}", text(&output));
    assert_eq!(output.status.code(), Some(0));
    // A message is binary.
    let output = on_terminal("encrypt - < short").unwrap();
    assert!(text(&output).contains("waxseal: "), "{}", text(&output));
    assert!(text(&output).contains("-o FILE"), "{}", text(&output));
    assert_eq!(output.status.code(), Some(2));
    let output = on_terminal("encrypt short -o -").unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.len() > 1000);
    // In a pipe there is no bar.
    let output = on_terminal("decrypt long.waxseal -o - | wc -c").unwrap();
    let quiet = on_terminal("encrypt long -o - 2>&1 >/dev/null | cat").unwrap();
    for output in [output, quiet] {
        assert!(!text(&output).contains("MiB"), "{}", text(&output));
    }
}
