//! Ten thousand connections that say nothing.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::{connect, read_answer};
use crate::server::{ROOT, Server};

const CONNECTIONS: usize = 10_000;
/// So long the server lets a connection be idle, and a bit less.
const IDLE: Duration = Duration::from_secs(50);
/// What this test has open besides.
const OTHER_FILES: u64 = 100;

#[test]
fn ten_thousand_idle_connections() {
    let count = match raise_limit() {
        Some(files) if files < CONNECTIONS as u64 + OTHER_FILES => {
            let count = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap();
            eprintln!(
                "NOT ALL IS TESTED: this system allows {files} open files, so that only {count} of \
                 {CONNECTIONS} idle connections are made"
            );
            count
        }
        _ => CONNECTIONS,
    };
    let server = Server::start();
    let request = server.client(ROOT).request("ListKeys", "{}").sign().bytes();
    let mut idle: Vec<(Instant, TcpStream)> = Vec::with_capacity(count);
    for number in 0..count {
        idle.push((Instant::now(), connect(server.address)));
        if number % 1000 == 0 {
            server.goes_on();
        }
    }
    server.goes_on();
    // The connections themselves are of use, too: those that were not closed
    // for having been idle for too long, on a machine that is slow.
    let mut served = 0;
    for (since, stream) in idle.iter_mut().rev().step_by(count / 10) {
        if stream.write_all(&request).is_ok()
            && let Some(answer) = read_answer(stream)
        {
            assert_eq!(answer.status, 200, "{}", answer.body);
            served += 1;
        } else {
            assert!(since.elapsed() > IDLE, "a connection is closed too soon");
        }
    }
    assert!(served > 0);
    drop(idle);
    server.goes_on();
}

/// As many open files as the system allows; `None` where it says no number.
fn raise_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let limits = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limits.maximum,
            ..limits
        };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limits.maximum,
            Err(_) => limits.current,
        }
    }
    #[cfg(not(unix))]
    None
}
