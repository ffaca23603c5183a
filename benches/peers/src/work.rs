//! What all of the contenders do alike.

use std::fmt;
use std::sync::Arc;

pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

pub(crate) const FRAME_LENGTH: u32 = 4096;
pub(crate) const CONTEXT: [(&str, &str); 2] = [("tenant", "7"), ("purpose", "backup")];
pub(crate) const NAMESPACE: &str = "bench";
pub(crate) const KEY_NAME: &str = "key-1";
pub(crate) const KEY: [u8; 32] = [0x5a; 32];
pub(crate) const KIB: usize = 1 << 10;
pub(crate) const MIB: usize = 1 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Encrypt,
    Decrypt,
}

impl Operation {
    pub(crate) const BOTH: [Operation; 2] = [Operation::Encrypt, Operation::Decrypt];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Encrypt => "encrypt",
            Operation::Decrypt => "decrypt",
        }
    }
}

/// A plaintext, and what everyone who speaks the format decrypts, so that all
/// find the same frames.
#[derive(Clone, Default)]
pub(crate) struct Work {
    pub(crate) plaintext: Arc<Vec<u8>>,
    pub(crate) unsigned: Arc<Vec<u8>>,
    pub(crate) signed: Arc<Vec<u8>>,
}

impl Work {
    pub(crate) fn message(&self, signed: bool) -> &Arc<Vec<u8>> {
        match signed {
            true => &self.signed,
            false => &self.unsigned,
        }
    }
}

/// A plaintext of this length, which is not all alike.
pub(crate) fn plaintext(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// A length in words.
pub(crate) struct Bytes(pub(crate) usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes.is_multiple_of(MIB) && bytes > 0 => write!(f, "{} MiB", bytes / MIB),
            bytes if bytes.is_multiple_of(KIB) && bytes > 0 => write!(f, "{} KiB", bytes / KIB),
            bytes => write!(f, "{bytes} B"),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A crate's version in this package's Cargo.lock: the newest, where there are
/// several.
pub(crate) fn locked_version(name: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let package = format!("name = \"{name}\"\nversion = \"");
    let version = lock.rsplit_once(&package).and_then(|(_, rest)| {
        let (version, _) = rest.split_once('"')?;
        Some(version)
    });
    version.unwrap_or("of an unknown version")
}
