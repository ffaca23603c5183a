//! The command line, the store's folder, and the end.

use std::fs;

use crate::server::{ROOT, Server, refuses};

const CREDENTIAL: [&str; 2] = ["--credential", "AKIAROOT:secret:111122223333"];

fn with<'a>(args: &[&'a str]) -> Vec<&'a str> {
    args.iter().copied().chain(CREDENTIAL).collect()
}

#[test]
fn what_it_does_not_start_with() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let missing = missing.to_str().unwrap();
    let policy = format!("111122223333:alice={missing}");
    let local = ["--listen", "127.0.0.1:0"];
    let cases: Vec<(Vec<&str>, Option<i32>, &str)> = vec![
        (local.to_vec(), Some(2), "--credential"),
        (CREDENTIAL.to_vec(), Some(2), "--listen"),
        (with(&["--listen", "0.0.0.0:0"]), Some(2), "loopback"),
        (with(&["--listen", "[::]:0"]), Some(2), "loopback"),
        (with(&["--listen", "localhost"]), Some(2), "--listen"),
        (
            [&with(&local)[..], &CREDENTIAL[..]].concat(),
            Some(2),
            "twice",
        ),
        (
            with(&[&local[..], &["--credential", "A:b"]].concat()),
            Some(2),
            "ACCESS_KEY_ID",
        ),
        (
            with(&[&local[..], &["--credential", "A:topsecret:1"]].concat()),
            Some(2),
            "12 digits",
        ),
        (
            with(&[&local[..], &["--identity-policy", &policy]].concat()),
            Some(2),
            "no --credential",
        ),
        (
            with(&[&local[..], &["--quota", "0"]].concat()),
            Some(2),
            "--quota",
        ),
        (
            with(&[&local[..], &["--credential", "A:B:topsecret"]].concat()),
            Some(2),
            "12 digits",
        ),
        (
            with(&[&local[..], &["--region", "US east"]].concat()),
            Some(2),
            "Region",
        ),
        (
            with(&[&local[..], &["--tls-cert", missing]].concat()),
            Some(2),
            "--tls-key",
        ),
        (
            with(&[&local[..], &["--tls-cert", missing, "--tls-key", missing]].concat()),
            Some(1),
            "missing",
        ),
    ];
    for (args, code, said) in cases {
        let output = refuses(&args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), code, "{args:?}: {error}");
        assert!(error.contains(said), "{args:?}: {error}");
        assert!(output.stdout.is_empty());
        // Not even a wrong one is repeated.
        assert!(!error.contains("topsecret"), "{error}");
    }
}

#[test]
fn keys_in_a_folder_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let store = store.to_str().unwrap();
    let key = {
        let server = Server::with(["--store", store]);
        server.client(ROOT).create_key()
    };
    let of_key = format!(r#"{{"KeyId":"{key}"}}"#);
    {
        let server = Server::with(["--store", store]);
        server.client(ROOT).works("DescribeKey", &of_key);
    }
    let root_key = folder.path().join("store/111122223333.key");
    let args = with(&["--listen", "127.0.0.1:0", "--store", store]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |mode| fs::set_permissions(&root_key, fs::Permissions::from_mode(mode));
        let is = fs::metadata(&root_key).unwrap().permissions().mode() & 0o777;
        assert_eq!(is, 0o600);
        mode(0o644).unwrap();
        let output = refuses(&args);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("others may read"));
        mode(0o600).unwrap();
    }
    // Another root key, and none: no new one is made over keys that are there.
    fs::write(&root_key, [7; 32]).unwrap();
    assert_eq!(refuses(&args).status.code(), Some(1));
    fs::remove_file(&root_key).unwrap();
    assert_eq!(refuses(&args).status.code(), Some(1));
    assert!(!root_key.exists());
}

/// Ends when it is told to, with whoever is still connected.
#[cfg(unix)]
#[test]
fn it_ends_cleanly() {
    use std::io::Write as _;

    use rustix::process::{Pid, Signal, kill_process};

    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start();
        let _idle = crate::client::connect(server.address);
        let mut half = crate::client::connect(server.address);
        half.write_all(b"POST / HTTP/1.1\r\n").unwrap();
        server.goes_on();
        let pid = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        assert_eq!(server.wait(), Some(0));
    }
}
