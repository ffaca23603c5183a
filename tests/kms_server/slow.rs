//! Who is slow is cut off, and nobody waits for it.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{connect, is_closed_within, read_answer};
use crate::server::{PATIENCE, ROOT, Server};

/// Sends a byte now and then, until the other side has had enough.
fn drip(stream: &mut TcpStream, bytes: &[u8]) {
    let deadline = Instant::now() + PATIENCE;
    for byte in bytes.iter().cycle() {
        assert!(Instant::now() < deadline, "it waits on and on");
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        if is_closed_within(stream, Duration::from_millis(300)) {
            return;
        }
    }
}

#[test]
fn a_slow_head() {
    let server = Server::start();
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut stream = connect(server.address);
                stream.write_all(b"POST / HTTP/1.1\r\n").unwrap();
                drip(&mut stream, b"x-a: b\r\n");
            });
        }
        for _ in 0..5 {
            server.goes_on();
            thread::sleep(Duration::from_millis(200));
        }
    });
    server.goes_on();
}

#[test]
fn a_second_head_that_is_slow() {
    let server = Server::start();
    let mut stream = connect(server.address);
    let request = server.client(ROOT).request("ListKeys", "{}").sign();
    stream.write_all(&request.bytes()).unwrap();
    assert_eq!(read_answer(&mut stream).unwrap().status, 200);
    drip(&mut stream, b"POST / HTTP/1.1\r\nx-a: b\r\n");
    server.goes_on();
}

#[test]
fn a_slow_body() {
    let server = Server::start();
    let request = server.client(ROOT).request("ListKeys", "{}").sign();
    // Three that hold more than their part, and one small one.
    let mut waiting: Vec<TcpStream> = [100, 100_000, 1_000_000, 1_000_000]
        .map(|length| {
            let mut stream = connect(server.address);
            stream.write_all(&request.head(length)).unwrap();
            stream.write_all(b"{").unwrap();
            stream
        })
        .into();
    server.goes_on();
    for stream in &mut waiting {
        let answer = read_answer(stream).expect("an answer to a slow request");
        answer.is(408, "RequestTimeoutException");
        assert!(is_closed_within(stream, PATIENCE));
    }
    server.goes_on();
}

#[test]
fn a_silent_connection() {
    let server = Server::start();
    let silent = || {
        let mut stream = connect(server.address);
        assert!(is_closed_within(&mut stream, PATIENCE));
    };
    // Also after a request.
    let silent_after_one = || {
        let mut stream = connect(server.address);
        let request = server.client(ROOT).request("ListKeys", "{}").sign();
        stream.write_all(&request.bytes()).unwrap();
        assert_eq!(read_answer(&mut stream).unwrap().status, 200);
        assert!(is_closed_within(&mut stream, PATIENCE));
    };
    thread::scope(|scope| {
        scope.spawn(silent);
        scope.spawn(silent_after_one);
    });
    server.goes_on();
}

/// Large bodies at once are so many at most, and small requests go on.
#[test]
fn many_large_bodies() {
    let server = Server::start();
    let request = server.client(ROOT).request("ListKeys", "{}").sign();
    let large = || {
        let mut stream = connect(server.address);
        stream.write_all(&request.head(1_000_000)).unwrap();
        stream.write_all(b"{").unwrap();
        stream
    };
    let mut waiting: Vec<TcpStream> = (0..80).map(|_| large()).collect();
    server.goes_on();
    let mut refused = 0;
    for stream in &mut waiting {
        let answer = read_answer(stream).expect("an answer");
        match answer.status {
            503 => {
                answer.is(503, "ServiceUnavailableException");
                refused += 1;
            }
            _ => answer.is(408, "RequestTimeoutException"),
        }
    }
    assert!((1..80).contains(&refused), "{refused} of 80 were refused");
    server.goes_on();
}
