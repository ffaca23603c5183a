//! A trace: one JSON object a line.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead};
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use waxseal::{AlgorithmSuite, EncryptionContext};

use crate::decimal;
use crate::failure::Failure;

/// The longest plaintext that a line may name.
const MOST_BYTES: u64 = i64::MAX as u64;

/// One line of a trace.
pub(crate) struct Line {
    /// In the file, from 1: blank lines count here, and not in a trace's
    /// indices.
    pub(crate) number: usize,
    pub(crate) at: Duration,
    /// `None` for the one that all share who name none.
    pub(crate) partition: Option<Arc<str>>,
    /// `None` for the client's default.
    pub(crate) suite: Option<AlgorithmSuite>,
    pub(crate) request: Request,
}

pub(crate) enum Request {
    Encrypt {
        context: Arc<EncryptionContext>,
        /// `None` where the length is unknown.
        bytes: Option<u64>,
        /// How many lines decrypt its message.
        decryptions: usize,
    },
    Decrypt {
        /// The index of an encrypt line before this one.
        of: usize,
    },
}

/// A whole trace, so that it is known which messages are needed later.
pub(crate) struct Trace {
    name: String,
    pub(crate) lines: Vec<Line>,
}

impl Trace {
    pub(crate) fn read(name: &str, mut source: impl BufRead) -> Result<Self, Failure> {
        let mut reader = Reader::default();
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            let length = source.read_until(b'\n', &mut bytes);
            if length.map_err(|error| cannot_read(name, &error))? == 0 {
                break;
            }
            let refuse = |reason: &str| fault(name, number, reason);
            let text = std::str::from_utf8(&bytes).map_err(|_| refuse("not UTF-8"))?;
            if !text.trim().is_empty() {
                let added = reader.add(number, text);
                added.map_err(|reason| refuse(&reason))?;
            }
        }
        Ok(Trace {
            name: name.to_owned(),
            lines: reader.lines,
        })
    }

    /// What is wrong with a line, by its index.
    pub(crate) fn fault(&self, index: usize, reason: &str) -> Failure {
        fault(&self.name, self.lines[index].number, reason)
    }
}

fn fault(name: &str, number: usize, reason: &str) -> Failure {
    Failure::usage(format!("{name}: line {number}: {reason}"))
}

pub(crate) fn cannot_read(name: &str, error: &io::Error) -> Failure {
    Failure::io(format!("cannot read {name}: {error}"))
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Default)]
struct Reader {
    lines: Vec<Line>,
    /// Each context and partition once: a trace repeats few of them.
    contexts: HashMap<String, Arc<EncryptionContext>>,
    partitions: HashMap<String, Arc<str>>,
}

impl Reader {
    fn add(&mut self, number: usize, text: &str) -> Result<(), String> {
        let fields: Fields<'_> = serde_json::from_str(text)
            .map_err(|error| format!("not a JSON object: {}", said(&error)))?;
        let at = given(&fields, "t").ok_or_else(|| missing("t"))?;
        let at = decimal::seconds(at.get()).map_err(|error| format!("\"t\" {error}"))?;
        if let Some(before) = self.lines.last()
            && at < before.at
        {
            return Err(format!(
                "\"t\" goes back, from that of line {}",
                before.number
            ));
        }
        let op = string(&fields, "op")?.ok_or_else(|| missing("op"))?;
        let line = match &*op {
            "encrypt" => self.encrypt(number, at, &fields)?,
            "decrypt" => self.decrypt(number, at, &fields)?,
            _ => return Err("\"op\" is neither \"encrypt\" nor \"decrypt\"".to_owned()),
        };
        self.lines.push(line);
        Ok(())
    }

    fn encrypt(
        &mut self,
        number: usize,
        at: Duration,
        fields: &Fields<'_>,
    ) -> Result<Line, String> {
        let suite = match string(fields, "suite")? {
            Some(name) => Some(
                name.parse()
                    .map_err(|error| format!("\"suite\": {error}"))?,
            ),
            None => None,
        };
        let bytes = integer(fields, "bytes")?;
        if bytes.is_some_and(|bytes| bytes > MOST_BYTES) {
            return Err(format!("\"bytes\" is more than {MOST_BYTES}"));
        }
        Ok(Line {
            number,
            at,
            partition: self.partition(fields)?,
            suite,
            request: Request::Encrypt {
                context: self.context(fields)?,
                bytes,
                decryptions: 0,
            },
        })
    }

    fn decrypt(
        &mut self,
        number: usize,
        at: Duration,
        fields: &Fields<'_>,
    ) -> Result<Line, String> {
        let of = integer(fields, "of")?.ok_or_else(|| missing("of"))?;
        let named = self.partition(fields)?;
        let index = usize::try_from(of).ok();
        let Some((index, encrypt)) = index.and_then(|of| Some((of, self.lines.get_mut(of)?)))
        else {
            return Err(format!(
                "\"of\" names line {of} (from 0), which is not before this one"
            ));
        };
        let Request::Encrypt { decryptions, .. } = &mut encrypt.request else {
            return Err(format!(
                "\"of\" names line {of} (from 0), which encrypts nothing"
            ));
        };
        *decryptions += 1;
        Ok(Line {
            number,
            at,
            partition: named.or_else(|| encrypt.partition.clone()),
            suite: encrypt.suite,
            request: Request::Decrypt { of: index },
        })
    }

    fn partition(&mut self, fields: &Fields<'_>) -> Result<Option<Arc<str>>, String> {
        let Some(name) = string(fields, "partition")? else {
            return Ok(None);
        };
        let new = || name.as_str().into();
        let partition = self.partitions.entry(name.clone()).or_insert_with(new);
        Ok(Some(partition.clone()))
    }

    fn context(&mut self, fields: &Fields<'_>) -> Result<Arc<EncryptionContext>, String> {
        let raw = given(fields, "context").map_or("{}", RawValue::get);
        if let Some(context) = self.contexts.get(raw) {
            return Ok(context.clone());
        }
        let pairs: BTreeMap<String, String> = serde_json::from_str(raw).map_err(|error| {
            format!("\"context\" is not an object of strings: {}", said(&error))
        })?;
        let context = Arc::new(pairs.into_iter().collect::<EncryptionContext>());
        self.contexts.insert(raw.to_owned(), context.clone());
        Ok(context)
    }
}

/// A field that is there; null is as good as left out.
fn given<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields.get(name).copied().filter(|raw| raw.get() != "null")
}

fn string(fields: &Fields<'_>, name: &str) -> Result<Option<String>, String> {
    let value = given(fields, name).map(|raw| serde_json::from_str(raw.get()));
    let value = value.transpose();
    value.map_err(|_| format!("\"{name}\" is not a string"))
}

fn integer(fields: &Fields<'_>, name: &str) -> Result<Option<u64>, String> {
    let value = given(fields, name).map(|raw| serde_json::from_str(raw.get()));
    let value = value.transpose();
    value.map_err(|_| format!("\"{name}\" is not a whole number of 0 or more"))
}

fn missing(name: &str) -> String {
    format!("\"{name}\" is missing")
}

/// Without serde_json's own line number, which is always 1 here.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => format!("{} at column {}", &text[..end], error.column()),
        None => text,
    }
}
