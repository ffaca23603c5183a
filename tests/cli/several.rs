//! Several inputs at once, and outputs in a folder.

use std::fs;

use crate::local::names;
use crate::tool::{Run, Tool, sample, with_key};

const DAMAGED: &str = "cannot decrypt";

/// [`Tool::with_key`] and these files, each with its own path in it; their
/// folders are made.
fn tool_with(files: &[&str]) -> Tool {
    let tool = Tool::with_key();
    for file in files {
        fs::create_dir_all(tool.path(file).parent().unwrap()).unwrap();
        tool.write(file, file);
    }
    tool
}

/// Changes the last byte.
fn damage(tool: &Tool, name: &str) {
    let mut message = tool.read(name);
    *message.last_mut().unwrap() ^= 1;
    tool.write(name, message);
}

/// It ended with this exit code, and said these things, a line each.
#[track_caller]
fn ended(run: &Run, code: i32, lines: &[&[&str]]) {
    assert_eq!(run.code, Some(code), "{}", run.stderr);
    let said: Vec<_> = run.stderr.lines().collect();
    assert_eq!(said.len(), lines.len(), "{}", run.stderr);
    for (line, words) in said.iter().zip(lines) {
        assert!(line.starts_with("waxseal: "), "{line}");
        for word in *words {
            assert!(line.contains(word), "no {word:?} in: {line}");
        }
    }
}

#[test]
fn there_and_back() {
    let tool = tool_with(&["a", "x/b.txt", "x/y/ü c"]);
    let long = sample(200_000);
    tool.write("x/b.txt", &long);
    // Made where it is not there, and used again where it is.
    for _ in 0..2 {
        tool.works(with_key(&[
            "encrypt", "a", "x/b.txt", "x/y/ü c", "-o", "out",
        ]));
        let made = ["a.waxseal", "b.txt.waxseal", "ü c.waxseal"];
        assert_eq!(names(&tool.path("out")), made);
    }
    assert_eq!(tool.names(), ["a", "k", "out", "x"]);
    let messages = ["out/a.waxseal", "out/b.txt.waxseal", "out/ü c.waxseal"];
    // Options may stand between them.
    let [one, two, three] = messages;
    tool.works(with_key(&["decrypt", one, "-o", "back/", two, three]));
    assert_eq!(names(&tool.path("back")), ["a", "b.txt", "ü c"]);
    assert_eq!(tool.read("back/a"), b"a");
    assert!(tool.read("back/b.txt") == long);
    assert_eq!(tool.read("back/ü c"), "x/y/ü c".as_bytes());
    #[cfg(unix)]
    assert_eq!(crate::files::mode(&tool, "back/a"), 0o600);
    // Beside the inputs.
    tool.works(with_key(&["encrypt", "a", "x/b.txt", "-o", "."]));
    assert!(tool.exists("a.waxseal") && tool.exists("b.txt.waxseal"));
}

/// The default store is made once, and knows of its uses, though one failed.
#[test]
fn one_data_key_for_all_of_a_run() {
    let tool = tool_with(&["a", "b", "c"]);
    let run = tool.run(["encrypt", "a", "b", "c", "-o", "out"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let messages = ["out/a.waxseal", "out/b.waxseal", "out/c.waxseal"];
    tool.works([&["decrypt", "-o", "back"], &messages[..]].concat());
    assert_eq!(names(&tool.path("back")), ["a", "b", "c"]);
    let described = tool.works(["keys", "describe", "alias/default", "--json"]);
    let described: serde_json::Value = serde_json::from_slice(&described).unwrap();
    let used = &described["backing_keys"][0];
    assert_eq!(
        (&used["wraps"], &used["unwraps"]),
        (&1.into(), &1.into()),
        "{described}"
    );
}

#[test]
fn one_store_for_all() {
    let tool = tool_with(&["a", "b", "c"]);
    let run = tool.run(["encrypt", "a", "b", "c", "-o", "out"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stderr.matches("made the store").count(), 1);
    // A data key each.
    for input in ["a", "b", "c"] {
        tool.works(["encrypt", input, "-o", "out"]);
    }
    let messages = [
        "out/a.waxseal",
        "missing.waxseal",
        "out/b.waxseal",
        "out/c.waxseal",
    ];
    let run = tool.run([&["decrypt", "-o", "back"], &messages[..]].concat());
    ended(&run, 3, &[&["cannot read 'missing.waxseal'"]]);
    assert_eq!(names(&tool.path("back")), ["a", "b", "c"]);
    let described = tool.works(["keys", "describe", "alias/default", "--json"]);
    let described: serde_json::Value = serde_json::from_slice(&described).unwrap();
    assert_eq!(described["backing_keys"][0]["unwraps"], 3, "{described}");

    // Where that cannot be written, it is said once.
    let usage = format!("blobs/blob.usage.{}", described["id"].as_str().unwrap());
    let usage = crate::local::default_store(&tool).join(usage);
    fs::remove_file(&usage).unwrap();
    fs::create_dir(&usage).unwrap();
    let run = tool.run(["encrypt", "a", "missing", "b", "-o", "out"]);
    let unknown = ["warning", "does not know of this use"];
    ended(&run, 3, &[&["cannot read 'missing'"], &unknown]);
}

#[cfg(unix)]
#[test]
fn a_key_is_read_once() {
    let tool = tool_with(&["a", "b", "c"]);
    crate::files::set_mode(&tool, "k", 0o644);
    for args in [
        ["encrypt", "a", "b", "c", "-o", "out"],
        [
            "decrypt",
            "out/a.waxseal",
            "out/b.waxseal",
            "out/c.waxseal",
            "-o",
            "back",
        ],
    ] {
        let run = tool.run(with_key(&args));
        ended(&run, 0, &[&["warning: the key file"]]);
    }
}

#[test]
fn one_input_into_a_folder() {
    let tool = tool_with(&["x/in", "folder/other"]);
    for folder in ["folder", "folder/", "new/"] {
        tool.works(with_key(&["encrypt", "x/in", "-o", folder]));
        let message = format!("{}/in.waxseal", folder.trim_end_matches('/'));
        let plaintext = tool.works(with_key(&["decrypt", &message, "-o", "-"]));
        assert_eq!(plaintext, b"x/in");
        fs::rename(tool.path(&message), tool.path("message.waxseal")).unwrap();
        tool.works(with_key(&["decrypt", "message.waxseal", "-o", folder]));
        assert_eq!(tool.read(format!("{folder}/message")), b"x/in");
    }
    // What is not there and has no slash is a file, as always.
    tool.works(with_key(&["encrypt", "x/in", "-o", "file"]));
    assert!(tool.path("file").is_file());
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("folder", tool.path("link")).unwrap();
        tool.works(with_key(&["encrypt", "x/in", "-o", "link"]));
        assert!(tool.exists("folder/in.waxseal"));
    }

    tool.fails(
        with_key(&["decrypt", "file", "-o", "folder"]),
        2,
        &["'file'", ".waxseal"],
    );
    tool.fails(
        with_key(&["encrypt", "x/in", "-o", "file/"]),
        2,
        &["'file/'", "not a folder"],
    );
    for out in ["folder", "none/"] {
        for args in [["encrypt", "-o", out], ["decrypt", "-o", out]] {
            tool.fails(with_key(&args), 2, &[out, "standard input", "no file name"]);
        }
    }
    tool.fails(
        with_key(&["encrypt", "x/in", "-o", "no/ne/"]),
        3,
        &["'no/ne/'"],
    );
    let args = with_key(&["encrypt", "x/missing", "-o", "none/"]);
    tool.fails(args, 3, &["cannot read 'x/missing'"]);
    assert!(!tool.exists("none"));
}

/// Nothing is read or written then.
#[test]
fn outputs_of_one_name() {
    let tool = tool_with(&["x/a", "y/a", "b"]);
    let both = ["'x/a'", "'y/a'", "a.waxseal"];
    tool.fails(
        with_key(&["encrypt", "b", "x/a", "y/a", "-o", "out"]),
        2,
        &both,
    );
    // Also where one could not be read.
    let missing = with_key(&["encrypt", "b", "x/a", "z/a", "-o", "out"]);
    tool.fails(missing, 2, &["'x/a'", "'z/a'"]);
    let args = with_key(&["encrypt", "b", "x/a", "b", "-o", "out"]);
    tool.fails(args, 2, &["'b'", "twice"]);
    let args = with_key(&["encrypt", "b", "x/a", "./b", "-o", "out"]);
    tool.fails(args, 2, &["'b'", "'./b'"]);
    for folder in ["x", "y"] {
        tool.works(with_key(&["encrypt", "b", "-o", folder]));
    }
    let args = with_key(&["decrypt", "x/b.waxseal", "y/b.waxseal", "-o", "out"]);
    tool.fails(args, 2, &["'x/b.waxseal'", "'y/b.waxseal'", "b"]);
    assert_eq!(tool.names(), ["b", "k", "x", "y"]);

    // Two names of one file that would be replaced.
    #[cfg(unix)]
    {
        fs::create_dir(tool.path("out")).unwrap();
        tool.write("out/a.waxseal", b"old");
        std::os::unix::fs::symlink("a.waxseal", tool.path("out/b.waxseal")).unwrap();
        let args = with_key(&["encrypt", "b", "x/a", "-o", "out"]);
        tool.fails(args, 2, &["'b'", "'x/a'", "a.waxseal"]);
        assert_eq!(tool.read("out/a.waxseal"), b"old");
    }
}

/// As on file systems to which `A` and `a` are one: that shows only once the
/// first is there.
#[cfg(unix)]
#[test]
fn outputs_that_turn_out_to_be_one() {
    let tool = tool_with(&["a", "b", "c", "out/other"]);
    std::os::unix::fs::symlink("a.waxseal", tool.path("out/b.waxseal")).unwrap();
    let run = tool.run(with_key(&["encrypt", "a", "b", "c", "-o", "out"]));
    ended(&run, 2, &[&["'a'", "'b'", "b.waxseal"]]);
    for (message, plaintext) in [("out/a.waxseal", b"a"), ("out/c.waxseal", b"c")] {
        let args = with_key(&["decrypt", message, "-o", "-"]);
        assert_eq!(tool.works(args), plaintext);
    }
    assert!(
        fs::symlink_metadata(tool.path("out/b.waxseal"))
            .unwrap()
            .is_symlink()
    );
}

#[test]
fn what_the_output_may_not_be() {
    let tool = tool_with(&["a", "b", "file"]);
    for command in ["encrypt", "decrypt"] {
        let fails = |args: &[&str], code, words: &[&str]| {
            let args = [&[command], args].concat();
            tool.fails(with_key(&args), code, words);
        };
        fails(&["a", "b"], 2, &["-o FOLDER", "--help"]);
        fails(&["a", "b", "-o", "file"], 2, &["'file'", "not a folder"]);
        fails(&["a", "b", "-o", "file/"], 2, &["'file/'", "not a folder"]);
        fails(&["a", "b", "-o", "-"], 2, &["standard output", "folder"]);
        for inputs in [["a", "-"], ["-", "b"], ["-", "-"]] {
            let args = [&inputs[..], &["-o", "out"]].concat();
            fails(&args, 2, &["standard input", "one of several"]);
        }
        if cfg!(unix) {
            fails(&["a", "b", "-o", "/dev/null"], 2, &["not a folder"]);
            fails(&["a", "b", "-o", "file/out"], 3, &["'file/out'"]);
        }
    }
    // No folder is made above it.
    let args = with_key(&["encrypt", "a", "b", "-o", "no/ne"]);
    tool.fails(args, 3, &["cannot make the folder 'no/ne'"]);
    assert_eq!(tool.names(), ["a", "b", "file", "k"]);
}

/// Before anything is written.
#[test]
fn inputs_and_keys_are_not_replaced() {
    let tool = tool_with(&["a", "a.waxseal", "b", "x/k"]);
    let args = with_key(&["encrypt", "b", "a.waxseal", "a", "-o", "."]);
    tool.fails(args, 2, &["'a.waxseal'", "an input", "'a'"]);
    tool.works(with_key(&["encrypt", "b", "x/k", "-o", "out"]));
    let args = with_key(&["decrypt", "out/b.waxseal", "out/k.waxseal", "-o", "."]);
    tool.fails(args, 2, &["'k'", "a key file", "'out/k.waxseal'"]);
    assert_eq!(tool.read("a.waxseal"), b"a.waxseal");
    assert_eq!(tool.read("b"), b"b");
    assert_eq!(tool.read("k"), [7; 32]);
    assert_eq!(tool.names(), ["a", "a.waxseal", "b", "k", "out", "x"]);
    // One input, by the folder's name.
    tool.fails(
        with_key(&["decrypt", "out/k.waxseal", "-o", "."]),
        2,
        &["'k'", "key file"],
    );
    #[cfg(unix)]
    {
        // Also one that cannot be read (though root can).
        crate::files::set_mode(&tool, "a.waxseal", 0o000);
        let args = with_key(&["encrypt", "b", "a.waxseal", "a", "-o", "."]);
        tool.fails(args, 2, &["'a.waxseal'", "an input", "'a'"]);
        fs::hard_link(tool.path("b"), tool.path("x/a.waxseal")).unwrap();
        let args = with_key(&["encrypt", "a", "b", "-o", "x"]);
        tool.fails(args, 2, &["'b'", "an input", "'a'"]);
        let args = with_key(&["decrypt", "out/b.waxseal", "-o", "x"]);
        tool.works(args);
        fs::rename(tool.path("x/a.waxseal"), tool.path("x/b.waxseal")).unwrap();
        let args = with_key(&["encrypt", "b", "-o", "x"]);
        tool.fails(args, 2, &["'b'", "the input"]);
    }
}

/// The others go on, and what fails leaves nothing.
#[test]
fn some_fail() {
    let tool = tool_with(&["a", "b", "c", "d", "folder.waxseal/x"]);
    tool.works(with_key(&["encrypt", "a", "b", "c", "d", "-o", "m"]));
    damage(&tool, "m/b.waxseal");
    tool.write("m/d.waxseal", b"");
    tool.write("m/text", b"text");
    let inputs = [
        "m/a.waxseal",
        "m/b.waxseal",
        "m/missing.waxseal",
        "folder.waxseal",
        "m/text",
        "m/d.waxseal",
        "m/c.waxseal",
    ];
    let decrypt = |inputs: &[&str]| {
        let args = [&["decrypt", "-o", "out"], inputs].concat();
        let run = tool.run(with_key(&args));
        assert_eq!(names(&tool.path("out")), ["a", "c"]);
        assert_eq!(tool.read("out/a"), b"a");
        assert_eq!(tool.read("out/c"), b"c");
        run
    };
    let lines: [&[&str]; 5] = [
        &[DAMAGED, "'m/b.waxseal'"],
        &["cannot read 'm/missing.waxseal'"],
        &["cannot read 'folder.waxseal'", "directory"],
        &["'m/text'", ".waxseal", "-o"],
        &[DAMAGED, "'m/d.waxseal'", "empty"],
    ];
    ended(&decrypt(&inputs), 1, &lines);
    // The exit code is the first failure's.
    let mut inputs = inputs;
    inputs.swap(1, 2);
    let mut lines = lines;
    lines.swap(0, 1);
    ended(&decrypt(&inputs), 3, &lines);
    inputs.swap(1, 4);
    lines.swap(0, 3);
    ended(&decrypt(&inputs), 2, &lines);

    let run = tool.run(with_key(&[
        "encrypt",
        "a",
        "folder.waxseal",
        "..",
        "b",
        "-o",
        "e",
    ]));
    let is_folder = ["cannot read 'folder.waxseal'", "directory"];
    ended(&run, 3, &[&is_folder, &["cannot read '..'", "directory"]]);
    assert_eq!(names(&tool.path("e")), ["a.waxseal", "b.waxseal"]);
}

#[test]
fn existing_outputs() {
    let tool = tool_with(&["a", "b", "c", "out/a", "out/b", "out/c/x"]);
    tool.works(with_key(&["encrypt", "a", "b", "c", "-o", "m"]));
    damage(&tool, "m/a.waxseal");
    let args = [
        "decrypt",
        "m/a.waxseal",
        "m/c.waxseal",
        "m/b.waxseal",
        "-o",
        "out",
    ];
    let run = tool.run(with_key(&args));
    let lines: [&[&str]; 2] = [&[DAMAGED, "'m/a.waxseal'"], &["cannot write 'out/c'"]];
    ended(&run, 1, &lines);
    assert_eq!(tool.read("out/a"), b"out/a", "not replaced");
    assert_eq!(tool.read("out/b"), b"b", "replaced");
    assert_eq!(names(&tool.path("out")), ["a", "b", "c"]);
}

/// No store, no folder.
#[test]
fn nothing_is_made_in_vain() {
    let tool = tool_with(&["a", "b"]);
    let run = tool.run(["encrypt", "missing", "gone", "-o", "out"]);
    ended(&run, 3, &[&["'missing'"], &["'gone'"]]);
    let run = tool.run(["encrypt", "missing", "gone", "-o", "no/ne"]);
    ended(&run, 3, &[&["'missing'"], &["'gone'"]]);
    // What concerns all is said once.
    let args = [
        "encrypt",
        "a",
        "b",
        "-o",
        "out",
        "--key",
        "raw-aes:a:b:missing",
    ];
    tool.fails(args, 3, &["'missing'"]);
    assert_eq!(tool.names(), ["a", "b", "k"]);
    // A folder goes if nothing came into it.
    tool.works(with_key(&["encrypt", "a", "b", "-o", "m"]));
    let args = ["decrypt", "m/a.waxseal", "m/b.waxseal", "-o", "out"];
    tool.fails(args, 3, &["not a store"]);
    assert_eq!(tool.names(), ["a", "b", "k", "m"]);
    for message in ["m/a.waxseal", "m/b.waxseal"] {
        damage(&tool, message);
    }
    let run = tool.run(with_key(&[
        "decrypt",
        "m/a.waxseal",
        "m/b.waxseal",
        "-o",
        "out",
    ]));
    ended(&run, 1, &[&[DAMAGED], &[DAMAGED]]);
    assert_eq!(tool.names(), ["a", "b", "k", "m"]);
    // But not one that was there.
    fs::create_dir(tool.path("out")).unwrap();
    tool.run(with_key(&[
        "decrypt",
        "m/a.waxseal",
        "m/b.waxseal",
        "-o",
        "out",
    ]));
    assert!(tool.exists("out"));
}

#[test]
fn which_key_opened_each() {
    let tool = tool_with(&["a", "b"]);
    tool.works(with_key(&["encrypt", "a", "b", "-o", "m"]));
    let args = [
        "decrypt",
        "m/a.waxseal",
        "m/b.waxseal",
        "-o",
        "out",
        "--verbose",
    ];
    let run = tool.run(with_key(&args));
    let key = "opened by the key";
    let lines: [&[&str]; 2] = [&["'m/a.waxseal'", key], &["'m/b.waxseal'", key]];
    ended(&run, 0, &lines);
}

/// More than may be open at once.
#[cfg(unix)]
#[test]
fn many() {
    let tool = Tool::with_key();
    let inputs: Vec<_> = (0..100).map(|number| format!("in {number}")).collect();
    for input in &inputs {
        tool.write(input, input);
    }
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 40; exec \"$@\"", "sh"]);
    command.arg(crate::tool::binary());
    command
        .args(with_key(&["encrypt", "-o", "out"]))
        .args(&inputs);
    tool.prepare(&mut command);
    tool.finish(command.output().unwrap()).worked();
    assert_eq!(names(&tool.path("out")).len(), 100);
}

/// Starts an encryption of these inputs to `out`, one of which is a named pipe;
/// returns when its output is begun. It ends when the pipe is dropped.
#[cfg(target_os = "linux")]
fn at_a_pipe(tool: &Tool, inputs: &[&str], bytes: &[u8]) -> (std::process::Child, fs::File) {
    use std::io::Write;
    let path = tool.path("fifo");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    // To read too, so that neither this nor the write waits for a reader.
    let mut pipe = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    pipe.write_all(bytes).unwrap();
    let args = [&["encrypt", "-o", "out"], inputs].concat();
    let mut child = tool.command(with_key(&args)).spawn().unwrap();
    let out = tool.path("out");
    let is_begun = |name: &String| name.starts_with(".fifo.") && name.ends_with(".waxseal-tmp");
    while !(out.exists() && names(&out).iter().any(is_begun)) {
        assert_eq!(child.try_wait().unwrap(), None, "it ended early");
        std::thread::yield_now();
    }
    (child, pipe)
}

/// A pipe's turn comes after the file before it.
#[cfg(target_os = "linux")]
#[test]
fn named_pipes() {
    let tool = tool_with(&["a"]);
    let bytes = sample(50_000);
    let (child, pipe) = at_a_pipe(&tool, &["a", "fifo"], &bytes);
    assert!(tool.exists("out/a.waxseal"));
    drop(pipe);
    tool.finish(child.wait_with_output().unwrap()).worked();
    let args = with_key(&["decrypt", "out/fifo.waxseal", "-o", "-"]);
    assert!(tool.works(args) == bytes);
}

/// Whoever writes to a pipe would find its reader gone, if it were opened
/// before its turn.
#[cfg(target_os = "linux")]
#[test]
fn pipes_are_not_opened_to_be_checked() {
    use std::os::unix::fs::OpenOptionsExt;
    let tool = tool_with(&["a", "a.waxseal"]);
    let path = tool.path("fifo");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let args = with_key(&["encrypt", "fifo", "a.waxseal", "a", "-o", "."]);
    let mut child = tool.command(args).spawn().unwrap();
    // Works where there is a reader, also one that waits for a writer.
    let mut writer = fs::File::options();
    writer.write(true).custom_flags(O_NONBLOCK);
    while child.try_wait().unwrap().is_none() {
        assert!(writer.open(&path).is_err(), "it was opened");
        std::thread::yield_now();
    }
    let run = tool.finish(child.wait_with_output().unwrap());
    run.failed(2, &["'a.waxseal'", "an input"]);
}

#[cfg(target_os = "linux")]
const O_NONBLOCK: i32 = 0o4000;

/// What is whole stays, and nothing else.
#[cfg(target_os = "linux")]
#[test]
fn interrupted() {
    for (inputs, made) in [
        (["a", "fifo"], Some(vec!["a.waxseal".to_owned()])),
        (["fifo", "a"], None),
    ] {
        let tool = tool_with(&["a"]);
        let (child, pipe) = at_a_pipe(&tool, &inputs, &sample(50_000));
        crate::streams::signal(&child, "TERM");
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), None);
        tool.finish(output);
        drop(pipe);
        let out = tool.path("out");
        assert_eq!(out.exists().then(|| names(&out)), made);
    }
}
