//! The time of the keys.

use crate::client::Answer;
use crate::server::{ROOT, Server};

const DAY: u64 = 24 * 60 * 60;

fn move_clock(server: &Server, body: &str) -> Answer {
    let client = server.client(ROOT);
    let mut request = client.request("", body);
    request.path = "/clock".to_owned();
    request.headers.retain(|(name, _)| name == "host");
    client.send(&request)
}

fn advance(server: &Server, seconds: u64) {
    let answer = move_clock(server, &format!(r#"{{"advance_seconds":{seconds}}}"#));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn rotation_and_deletion_on_their_dates() {
    let server = Server::with(["--clock", "virtual"]);
    let client = server.client(ROOT);
    let key = client.create_key();
    let of_key = format!(r#"{{"KeyId":"{key}"}}"#);
    client.works("EnableKeyRotation", &of_key);
    advance(&server, 364 * DAY);
    let none = client.works("ListKeyRotations", &of_key);
    assert_eq!(none["Rotations"].as_array().unwrap().len(), 0);
    advance(&server, 2 * DAY);
    let one = client.works("ListKeyRotations", &of_key);
    assert_eq!(one["Rotations"][0]["RotationType"], "AUTOMATIC");
    let deletion = format!(r#"{{"KeyId":"{key}","PendingWindowInDays":7}}"#);
    client.works("ScheduleKeyDeletion", &deletion);
    advance(&server, 6 * DAY);
    client.works("DescribeKey", &of_key);
    advance(&server, 2 * DAY);
    client
        .call("DescribeKey", &of_key)
        .is(400, "NotFoundException");
    // Signatures are judged by the system's clock all the while.
    server.goes_on();
}

#[test]
fn moves_that_are_none() {
    let server = Server::with(["--clock", "virtual"]);
    for body in [
        "{}",
        r#"{"advance_seconds":-1}"#,
        r#"{"advance_seconds":1.5}"#,
        "[]",
    ] {
        move_clock(&server, body).is(400, "ValidationException");
    }
    move_clock(&server, "{").is(400, "SerializationException");
    let too_far = format!(r#"{{"advance_seconds":{}}}"#, u64::MAX);
    move_clock(&server, &too_far).is(400, "ValidationException");
    let client = server.client(ROOT);
    let mut get = client.request("", "");
    (get.method, get.path) = ("GET".to_owned(), "/clock".to_owned());
    client.send(&get).is(404, "UnknownOperationException");
    server.goes_on();
}

/// Nobody but a test may move the time.
#[test]
fn the_systems_clock_has_no_path() {
    let server = Server::start();
    move_clock(&server, r#"{"advance_seconds":1}"#).is(404, "UnknownOperationException");
}
