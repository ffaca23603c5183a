//! A double of AWS KMS: GenerateDataKey, Encrypt and Decrypt in its JSON
//! protocol, for any key that is named, in the Region that a request is signed
//! for. It checks no signature.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aes_gcm::aead::array::Array;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::http::Message;
use crate::server::Server;

/// A Region.
pub const REGION: &str = "us-east-1";
/// The account of the double's keys.
pub const ACCOUNT: &str = "111122223333";

/// The ARN of the key of this id, in that Region.
///
/// A key whose id starts with `missing`, `disabled` or `denied` is so; one that
/// starts with `mrk-` is the same key in every Region.
pub fn arn(id: &str) -> String {
    format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{id}")
}

/// A running double, which ends when this is dropped.
pub struct Double {
    server: Server,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    delay: Duration,
    requests: AtomicU64,
}

impl Double {
    /// A double that answers at once.
    pub fn start() -> Self {
        Self::with_delay(Duration::ZERO)
    }

    /// A double that takes so long for each answer.
    pub fn with_delay(delay: Duration) -> Self {
        let state = Arc::new(State {
            delay,
            ..State::default()
        });
        let serving = state.clone();
        Double {
            server: Server::start(move |listener| serve(listener, serving)),
            state,
        }
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// How many requests it has answered.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, state.clone()));
    }
}

async fn connection(mut stream: TcpStream, state: Arc<State>) {
    let _ = stream.set_nodelay(true);
    while let Ok(Some(request)) = Message::read(&mut stream).await {
        if !state.delay.is_zero() {
            tokio::time::sleep(state.delay).await;
        }
        let number = state.requests.fetch_add(1, Ordering::Relaxed);
        let (status, body) = match answer(&request) {
            Some(Ok(body)) => (200, body),
            Some(Err(code)) => (400, refusal(code)),
            None => (400, refusal("SerializationException")),
        };
        let id = format!("00000000-0000-4000-8000-{number:012}");
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amzn-requestid", &*id),
        ];
        let answer = Message::answer(status, &headers, body.to_string().as_bytes());
        if stream.write_all(&answer.bytes()).await.is_err() {
            return;
        }
    }
}

fn refusal(code: &str) -> Value {
    json!({ "__type": code, "message": "said the double" })
}

/// An answer, a refusal, or nothing for what is no request.
fn answer(request: &Message) -> Option<Result<Value, &'static str>> {
    let operation = request.header("x-amz-target")?;
    let body: Value = serde_json::from_slice(&request.body).ok()?;
    let (region, id) = match name(body["KeyId"].as_str()?, region(request)?) {
        Some(name) => name,
        None => return Some(Err("NotFoundException")),
    };
    for (start, code) in [
        ("missing", "NotFoundException"),
        ("disabled", "DisabledException"),
        ("denied", "AccessDeniedException"),
    ] {
        if id.starts_with(start) {
            return Some(Err(code));
        }
    }
    let context: BTreeMap<String, String> = match &body["EncryptionContext"] {
        Value::Null => BTreeMap::new(),
        context => serde_json::from_value(context.clone()).ok()?,
    };
    let context = json!(context).to_string();
    let arn = format!("arn:aws:kms:{region}:{ACCOUNT}:key/{id}");
    let bytes = |name: &str| BASE64_STANDARD.decode(body[name].as_str()?).ok();
    Some(Ok(match operation {
        "TrentService.GenerateDataKey" => {
            let mut plaintext = vec![0; usize::try_from(body["NumberOfBytes"].as_u64()?).ok()?];
            getrandom::fill(&mut plaintext).ok()?;
            json!({
                "KeyId": arn,
                "Plaintext": BASE64_STANDARD.encode(&plaintext),
                "CiphertextBlob": BASE64_STANDARD.encode(seal(&id, &context, &plaintext)?),
            })
        }
        "TrentService.Encrypt" => {
            let blob = seal(&id, &context, &bytes("Plaintext")?)?;
            json!({ "KeyId": arn, "CiphertextBlob": BASE64_STANDARD.encode(blob) })
        }
        "TrentService.Decrypt" => match open(&id, &context, &bytes("CiphertextBlob")?) {
            Some(plaintext) => {
                json!({ "KeyId": arn, "Plaintext": BASE64_STANDARD.encode(plaintext) })
            }
            None => return Some(Err("InvalidCiphertextException")),
        },
        _ => return Some(Err("UnknownOperationException")),
    }))
}

/// The Region that a request is signed for.
fn region(request: &Message) -> Option<&str> {
    let (_, scope) = request.header("authorization")?.split_once("Credential=")?;
    scope.split('/').nth(2)
}

/// The Region and id of a key, which is not known in another Region.
fn name(text: &str, here: &str) -> Option<(String, String)> {
    let id = match text.strip_prefix("arn:aws:kms:") {
        None => text.strip_prefix("alias/").unwrap_or(text),
        Some(rest) => {
            let resource = rest.strip_prefix(here)?.strip_prefix(':')?;
            let resource = resource.strip_prefix(ACCOUNT)?.strip_prefix(':')?;
            resource
                .strip_prefix("key/")
                .or_else(|| resource.strip_prefix("alias/"))?
        }
    };
    Some((here.to_owned(), id.to_owned()))
}

/// A key for each id.
fn cipher(id: &str) -> Aes256Gcm {
    let mut key = [7; 32];
    for (place, byte) in key.iter_mut().zip(id.bytes()) {
        *place ^= byte;
    }
    Aes256Gcm::new(&Array(key))
}

fn seal(id: &str, context: &str, plaintext: &[u8]) -> Option<Vec<u8>> {
    let mut nonce = [0; 12];
    getrandom::fill(&mut nonce).ok()?;
    let payload = Payload {
        msg: plaintext,
        aad: context.as_bytes(),
    };
    let sealed = cipher(id).encrypt(&Array(nonce), payload).ok()?;
    Some([&nonce[..], &sealed].concat())
}

fn open(id: &str, context: &str, blob: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = blob.split_first_chunk::<12>()?;
    let payload = Payload {
        msg: sealed,
        aad: context.as_bytes(),
    };
    cipher(id).decrypt(&Array(*nonce), payload).ok()
}
