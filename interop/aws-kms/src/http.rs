//! As much of HTTP/1.1 as a double and a proxy need: messages with a length.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A request or an answer: its head with the empty line, and its body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

const LONGEST_HEAD: usize = 64 * 1024;
const LONGEST_BODY: usize = 1024 * 1024;

impl Message {
    /// The next one; `None` where the peer has nothing more to say.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) if head.len() < LONGEST_HEAD => head.push(byte),
                Err(error) if head.is_empty() && error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(None);
                }
                Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
                Err(error) => return Err(error),
            }
        }
        let head = String::from_utf8(head).map_err(|_| io::ErrorKind::InvalidData)?;
        let mut message = Message {
            head,
            body: Vec::new(),
        };
        let length = message.header("content-length").unwrap_or("0");
        let length = length.parse().ok().filter(|length| *length <= LONGEST_BODY);
        message.body = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
        stream.read_exact(&mut message.body).await?;
        Ok(Some(message))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut found = headers.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    }

    /// An answer with this status, these headers and this body.
    pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut head = format!("HTTP/1.1 {status} Status\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        Message {
            head,
            body: body.to_vec(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }
}
