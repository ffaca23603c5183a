//! `waxseal inspect`.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde_json::{Value, json};
use waxseal::kms::LOCAL_KMS_PROVIDER_ID;
use waxseal::{ContentLayout, EncryptedDataKey, Error, UnverifiedHeader};

use crate::failure::{Action, Failure};
use crate::files::Input;

const ACTION: Action = Action::Inspect;

/// The longest header that is looked at, in bytes: twice what is decrypted.
const LONGEST: usize = 8 << 20;

/// How much is read at first, in bytes: most headers are shorter.
const FIRST: usize = 4096;

/// The options of `inspect`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The message to look at; - is standard input
    #[arg(default_value = "-")]
    input: PathBuf,

    /// Print one JSON object, for scripts
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut input = Input::open(&args.input)?;
    input.tell_if_terminal();
    let header = read_header(&mut input)?;
    let text = if args.json {
        format!("{}\n", to_json(&header))
    } else {
        to_text(input.name(), &header)
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::write("standard output", &error))
}

/// Reads no more than it takes: what follows may be endless.
fn read_header(input: &mut Input) -> Result<UnverifiedHeader, Failure> {
    let mut bytes = Vec::new();
    loop {
        let start = bytes.len();
        if start >= LONGEST {
            let error = Error::HeaderTooLong { limit: LONGEST };
            return Err(input.not_opened(ACTION, error.into()));
        }
        // Twice as much each time, so that a long header is not looked at too
        // often.
        bytes.resize(start.max(FIRST / 2) * 2, 0);
        let read = match input.read(&mut bytes[start..]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                bytes.truncate(start);
                continue;
            }
            Err(error) => return Err(input.not_opened(ACTION, error)),
        };
        bytes.truncate(start + read);
        match waxseal::inspect(&bytes) {
            Ok(header) => return Ok(header),
            Err(Error::Truncated) if read > 0 => {}
            Err(error) => return Err(input.not_opened(ACTION, error.into())),
        }
    }
}

fn to_json(header: &UnverifiedHeader) -> Value {
    let suite = header.suite();
    let (content_type, frame_length) = match header.layout() {
        ContentLayout::Framed { frame_length } => ("framed", Some(frame_length)),
        _ => ("unframed", None),
    };
    let context: serde_json::Map<_, _> = header
        .context()
        .iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    let edks: Vec<_> = header
        .encrypted_data_keys()
        .iter()
        .map(|edk| {
            json!({
                "provider_id": edk.provider_id(),
                "key_info": printable(edk.key_info()),
                "key_info_hex": Hex(edk.key_info()).to_string(),
                "ciphertext_length": edk.ciphertext().len(),
            })
        })
        .collect();
    json!({
        "verified": false,
        "suite": format!("0x{:04x}", suite.id()),
        "suite_name": suite.name(),
        "message_version": suite.message_version(),
        "message_id": Hex(header.message_id()).to_string(),
        "signed": suite.is_signed(),
        "committing": suite.commits(),
        "content_type": content_type,
        "frame_length": frame_length,
        "header_length": header.header_length(),
        "context": context,
        "encrypted_data_keys": edks,
    })
}

/// Texts of the message are quoted and escaped: they may be hostile.
fn to_text(name: &str, header: &UnverifiedHeader) -> String {
    let suite = header.suite();
    let mut lines = vec![
        format!("The header of {name}."),
        "NOTHING HERE IS VERIFIED: without a key, anybody may have written it.".to_owned(),
        String::new(),
        format!("suite           {suite}"),
        format!("version         {}", suite.message_version()),
        format!("message id      {}", Hex(header.message_id())),
        format!("signed          {}", yes_no(suite.is_signed())),
        format!("key commitment  {}", yes_no(suite.commits())),
        match header.layout() {
            ContentLayout::Framed { frame_length } => {
                format!("body            frames of {frame_length} bytes")
            }
            _ => "body            one block, not framed".to_owned(),
        },
        format!("header length   {} bytes", header.header_length()),
        String::new(),
    ];
    if header.context().is_empty() {
        lines.push("no encryption context".to_owned());
    } else {
        lines.push("encryption context".to_owned());
        for (key, value) in header.context() {
            lines.push(format!("  {key:?} = {value:?}"));
        }
    }
    lines.push(String::new());
    lines.push("encrypted data keys (each opens the message)".to_owned());
    for (index, edk) in header.encrypted_data_keys().iter().enumerate() {
        lines.push(format!("  {}. {}", index + 1, edk_text(edk)));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn edk_text(edk: &EncryptedDataKey) -> String {
    let (provider, length) = (edk.provider_id(), edk.ciphertext().len());
    if let Some(name) = raw_aes_name(edk.key_info()) {
        return format!("raw AES, namespace {provider:?}, name {name:?}, {length} bytes");
    }
    match printable(edk.key_info()) {
        Some(key) if provider == LOCAL_KMS_PROVIDER_ID => {
            format!("local key {key:?}, {length} bytes")
        }
        Some(info) => format!("provider {provider:?}, key info {info:?}, {length} bytes"),
        None => format!(
            "provider {provider:?}, key info {} (hex), {length} bytes",
            Hex(edk.key_info())
        ),
    }
}

/// The name in the key info of a raw AES key: before tag bits, IV length and
/// IV.
fn raw_aes_name(key_info: &[u8]) -> Option<&str> {
    let (rest, _iv) = key_info.split_last_chunk::<12>()?;
    printable(rest.strip_suffix(&[0, 0, 0, 128, 0, 0, 0, 12])?)
}

/// The bytes as text, where that is all of them.
fn printable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.contains(char::is_control)).then_some(text)
}

fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
