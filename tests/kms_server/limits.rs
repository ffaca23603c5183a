//! Too much, and what is no request.

use std::io::{Read as _, Write as _};

use crate::client::{connect, read_answer};
use crate::server::{ROOT, Server};

const TOO_LARGE: &str = "RequestEntityTooLargeException";

#[test]
fn a_body_that_is_too_large() {
    let server = Server::start();
    let client = server.client(ROOT);
    // The largest, which is no operation's.
    let padded = format!(r#"{{"Ignored":"{}"}}"#, "x".repeat(1024 * 1024 - 14));
    assert_eq!(padded.len(), 1024 * 1024);
    let answer = client.call("ListKeys", &padded);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = client.call("ListKeys", &format!("{padded} "));
    answer.is(413, TOO_LARGE);
    assert!(answer.head.contains("connection: close"), "{}", answer.head);
    // It is refused by what is announced, before it comes.
    let mut stream = connect(server.address);
    let request = client.request("ListKeys", "{}").sign();
    stream.write_all(&request.head(u64::MAX / 4)).unwrap();
    read_answer(&mut stream).unwrap().is(413, TOO_LARGE);
    // And where nothing is announced, once it has come.
    let mut stream = connect(server.address);
    let head = String::from_utf8(request.head("0")).unwrap();
    let head = head.replace("content-length: 0", "transfer-encoding: chunked");
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..20 {
        if stream.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    read_answer(&mut stream).unwrap().is(413, TOO_LARGE);
    server.goes_on();
}

#[test]
fn a_body_that_is_no_request() {
    let server = Server::start();
    let client = server.client(ROOT);
    let deep = format!("{}{}", r#"{"a":"#.repeat(5000), "}".repeat(5000));
    for body in [
        "{",
        "[]",
        "null",
        "\"x\"",
        "{} {}",
        "\u{fffd}",
        &deep,
        "{\"KeyId\":[]}",
    ] {
        client
            .call("DescribeKey", body)
            .is(400, "SerializationException");
    }
    let mut bytes = client.request("ListKeys", "");
    bytes.body = vec![0xff; 100];
    client.send(&bytes.sign()).is(400, "SerializationException");
    // Without one, as good as an empty one.
    assert_eq!(client.call("ListKeys", "").status, 200);
    server.goes_on();
}

#[test]
fn what_is_no_http() {
    let server = Server::start();
    let mut random = [0; 4096];
    getrandom::fill(&mut random).unwrap();
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000));
    let many: String = (0..2000).map(|n| format!("x{n}: y\r\n")).collect();
    let many = format!("POST / HTTP/1.1\r\nhost: a\r\n{many}\r\n");
    for garbage in [
        &random[..],
        b"\r\n\r\n\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nabc",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        long.as_bytes(),
        many.as_bytes(),
    ] {
        let mut stream = connect(server.address);
        // It may close before all is sent.
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || text.starts_with("HTTP/1."), "{text}");
        assert!(!text.contains(" 200 "), "{text}");
    }
    server.goes_on();
}

/// Who goes away in the middle disturbs nobody.
#[test]
fn half_a_request() {
    let server = Server::start();
    let client = server.client(ROOT);
    let bytes = client.request("CreateKey", "{}").sign().bytes();
    for length in (0..bytes.len()).step_by(7) {
        let mut stream = connect(server.address);
        stream.write_all(&bytes[..length]).unwrap();
    }
    server.goes_on();
}
