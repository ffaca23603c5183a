//! A client of these tests' own: requests byte by byte, signed here, by other
//! code than the server's.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::server::PATIENCE;

#[derive(Clone, Copy)]
pub(crate) struct Credential {
    pub(crate) id: &'static str,
    pub(crate) secret: &'static str,
    pub(crate) account: &'static str,
}

pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    credential: Credential,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) head: String,
}

impl Answer {
    /// That it is this refusal.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.body["__type"].as_str()),
            (status, Some(code)),
            "{}",
            self.body
        );
    }
}

/// A request, and how it is to be signed.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) signed: Vec<String>,
    pub(crate) scope: [String; 4],
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, credential: Credential) -> Self {
        Client {
            address,
            credential,
        }
    }

    /// A request as an SDK makes it, now.
    pub(crate) fn request(&self, operation: &str, body: &str) -> Request {
        self.request_at(operation, body, SystemTime::now())
    }

    pub(crate) fn request_at(&self, operation: &str, body: &str, time: SystemTime) -> Request {
        let date: String = humantime::format_rfc3339_seconds(time)
            .to_string()
            .chars()
            .filter(|c| !"-:".contains(*c))
            .collect();
        let headers = [
            ("host", self.address.to_string()),
            ("x-amz-date", date.clone()),
            ("x-amz-target", format!("TrentService.{operation}")),
            ("content-type", "application/x-amz-json-1.1".to_owned()),
        ];
        let names = headers.iter().map(|(name, _)| (*name).to_owned());
        Request {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            signed: names.collect(),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            body: body.as_bytes().to_vec(),
            scope: [&date[..8], "us-east-1", "kms", "aws4_request"].map(str::to_owned),
            id: self.credential.id.to_owned(),
            secret: self.credential.secret.to_owned(),
        }
    }

    /// Makes a call.
    pub(crate) fn call(&self, operation: &str, body: &str) -> Answer {
        self.send(&self.request(operation, body).sign())
    }

    /// Makes a call that must succeed: its answer.
    #[track_caller]
    pub(crate) fn works(&self, operation: &str, body: &str) -> Value {
        let answer = self.call(operation, body);
        assert_eq!(answer.status, 200, "{operation}: {}", answer.body);
        answer.body
    }

    /// Makes a key: its id.
    #[track_caller]
    pub(crate) fn create_key(&self) -> String {
        let key = self.works("CreateKey", "{}");
        key["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
    }

    /// Sends a request and reads its answer.
    pub(crate) fn send(&self, request: &Request) -> Answer {
        let mut stream = connect(self.address);
        // The server may answer and close before all was sent.
        let _ = stream.write_all(&request.bytes());
        read_answer(&mut stream).expect("an answer")
    }
}

impl Request {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn signed_header(mut self, name: &str, value: &str) -> Self {
        self.signed.push(name.to_owned());
        self.header(name, value)
    }

    /// Replaces a header's value.
    pub(crate) fn change(mut self, name: &str, value: &str) -> Self {
        let header = self.headers.iter_mut().find(|(given, _)| given == name);
        header.unwrap().1 = value.to_owned();
        self
    }

    /// Leaves a header out of those that are signed.
    pub(crate) fn unsigned(mut self, name: &str) -> Self {
        self.signed.retain(|signed| signed != name);
        self
    }

    /// Adds the header `Authorization`.
    pub(crate) fn sign(self) -> Self {
        let authorization = self.authorization();
        self.header("authorization", &authorization)
    }

    pub(crate) fn authorization(&self) -> String {
        let mut signed = self.signed.clone();
        signed.sort();
        let mut canonical = format!("{}\n{}\n\n", self.method, self.path);
        for name in &signed {
            let values: Vec<&str> = self
                .headers
                .iter()
                .filter(|(given, _)| given == name)
                .map(|(_, value)| value.trim())
                .collect();
            let _ = writeln!(canonical, "{name}:{}", values.join(","));
        }
        let signed = signed.join(";");
        let _ = write!(
            canonical,
            "\n{signed}\n{}",
            hex(&Sha256::digest(&self.body))
        );
        let scope = self.scope.join("/");
        let date = self.headers.iter().find(|(name, _)| name == "x-amz-date");
        let date = date.map(|(_, date)| date.as_str()).unwrap_or_default();
        let hash = hex(&Sha256::digest(&canonical));
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in &self.scope {
            key = mac(&key, part.as_bytes());
        }
        let signature = hex(&mac(&key, to_sign.as_bytes()));
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
            self.id
        )
    }

    pub(crate) fn head(&self, length: impl std::fmt::Display) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "content-length: {length}\r\n\r\n");
        head.into_bytes()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head(self.body.len());
        bytes.extend(&self.body);
        bytes
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One answer; `None` if the connection ends before.
pub(crate) fn read_answer(stream: &mut impl Read) -> Option<Answer> {
    let mut bytes = Vec::new();
    let end = loop {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
        if bytes.ends_with(b"\r\n\r\n") {
            break bytes.len();
        }
        assert!(end_is_near(&bytes), "an endless head");
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let body = match body.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&body).unwrap(),
    };
    Some(Answer { status, body, head })
}

fn end_is_near(bytes: &[u8]) -> bool {
    bytes.len() < 64 * 1024
}

/// Whether the other side has closed the connection, or does so in this time.
pub(crate) fn is_closed_within(stream: &mut TcpStream, time: Duration) -> bool {
    stream.set_read_timeout(Some(time)).unwrap();
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => !matches!(
            error.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
    }
}

fn mac(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(bytes);
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
