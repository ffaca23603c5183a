//! What is sealed under a root key: the root record, and backups.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `waxsroot` or `waxsback` |
//! | 1 | the format, 1 |
//! | 2 | the header's length, big-endian |
//! | | the header, coded ([`codec`](crate::kms::codec)): how the root key is had (a key; a passphrase, with Argon2id's cost and salt; a provider) |
//! | | a message of this library's own, under the root key |
//! | 32 | SHA-256 of all before |
//!
//! The message's encryption context names what it is for (`waxseal-kms`:
//! `root` or `backup`), the store (`store`), for a root its generation
//! (`generation`), and binds all that stands before it (`header`: SHA-256 in
//! hex).
//!
//! The digest at the end authenticates nothing: it tells a damaged file from a
//! wrong root key, which look the same to the message.

use super::root_key::{Locked, RootKey, Unlocked, Way};
use crate::context::EncryptionContext;
use crate::crypto::{CryptoBackend, SecretBytes};
use crate::error::Error;
use crate::kms::codec::{decode, encode};
use crate::kms::digest::{DIGEST_LENGTH, digest, hex};
use crate::kms::error::{KmsError, KmsFuture};
use crate::provider::ProviderErrorKind;

const FORMAT: u8 = 1;

/// What a message under a root key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Root,
    Backup,
}

impl Content {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Content::Root => b"waxsroot",
            Content::Backup => b"waxsback",
        }
    }

    fn context(self, prefix: &str) -> EncryptionContext {
        let purpose = match self {
            Content::Root => "root",
            Content::Backup => "backup",
        };
        EncryptionContext::from([("waxseal-kms", purpose), ("header", prefix)])
    }
}

/// Why something under a root key does not open.
#[derive(Debug)]
pub(super) enum NotOpened {
    Damaged,
    NewerFormat {
        found: u32,
    },
    WrongRoot {
        reason: String,
        source: Option<Box<Error>>,
    },
    /// The root could not be asked, or is none.
    Failed(KmsError),
}

/// The newest format that is read.
pub(super) const SUPPORTED: u32 = FORMAT as u32;

/// Seals, with these pairs in the encryption context.
pub(super) fn seal<'a>(
    content: Content,
    unlocked: &'a Unlocked,
    backend: &'a CryptoBackend,
    pairs: &'a [(&'a str, &'a str)],
    plaintext: &'a [u8],
) -> KmsFuture<'a, Vec<u8>> {
    Box::pin(async move {
        let header = encode(&[], &unlocked.way);
        let length = u16::try_from(header.len()).unwrap_or(u16::MAX);
        let mut bytes = Vec::new();
        bytes.extend_from_slice(content.magic());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(header.as_slice());
        let mut context = content.context(&hex(&digest(backend, &bytes)));
        context.extend(pairs.iter().copied());
        let message = unlocked.client.encrypt(plaintext, &context).await;
        bytes.extend_from_slice(&message.map_err(|error| match error {
            Error::Random(error) => KmsError::Random(error),
            error => KmsError::Root(Box::new(error)),
        })?);
        let digest = digest(backend, &bytes);
        bytes.extend_from_slice(&digest);
        Ok(bytes)
    })
}

/// What came out of an envelope, all authentic.
pub(super) struct Opened {
    pub(super) unlocked: Unlocked,
    pub(super) context: EncryptionContext,
    pub(super) plaintext: SecretBytes,
}

/// Opens, with one call to the root key; `ready` saves Argon2id's work where
/// it is this root key, unlocked in the same way.
pub(super) fn open<'a>(
    content: Content,
    bytes: &'a [u8],
    root: &'a RootKey,
    ready: Option<&'a Unlocked>,
    backend: &'a CryptoBackend,
) -> KmsFuture<'a, Opened, NotOpened> {
    Box::pin(async move {
        let Parsed {
            way,
            prefix,
            message,
        } = Parsed::read(content, bytes, backend)?;
        let unlocked = match ready {
            Some(ready) if ready.way == way => ready.clone(),
            _ => root.unlock(way, backend).map_err(|locked| match locked {
                Locked::Limits => NotOpened::Damaged,
                Locked::Kind { reason } => NotOpened::WrongRoot {
                    reason,
                    source: None,
                },
                Locked::Kms(error) => NotOpened::Failed(error),
            })?,
        };
        let expected = content.context(&hex(&digest(backend, prefix)));
        let decrypted = unlocked.client.decrypt(message, &expected).await;
        let decrypted = decrypted.map_err(|error| not_opened(&unlocked.way, error))?;
        Ok(Opened {
            unlocked,
            context: decrypted.details.context,
            plaintext: SecretBytes::from(decrypted.plaintext),
        })
    })
}

struct Parsed<'a> {
    way: Way,
    prefix: &'a [u8],
    message: &'a [u8],
}

impl<'a> Parsed<'a> {
    fn read(content: Content, bytes: &'a [u8], backend: &CryptoBackend) -> Result<Self, NotOpened> {
        let rest = bytes.strip_prefix(content.magic());
        let (&[format], rest) = rest
            .and_then(<[u8]>::split_first_chunk)
            .ok_or(NotOpened::Damaged)?;
        match format {
            FORMAT => {}
            0 => return Err(NotOpened::Damaged),
            newer => {
                return Err(NotOpened::NewerFormat {
                    found: newer.into(),
                });
            }
        }
        let body = |rest: &'a [u8]| {
            let (length, rest) = rest.split_first_chunk()?;
            let (header, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
            let (message, found) = rest.split_last_chunk::<DIGEST_LENGTH>()?;
            Some((header, message, found))
        };
        let (header, message, found) = body(rest).ok_or(NotOpened::Damaged)?;
        let (before, _) = bytes.split_at(bytes.len() - DIGEST_LENGTH);
        if digest(backend, before) != *found {
            return Err(NotOpened::Damaged);
        }
        Ok(Parsed {
            way: decode(header).ok_or(NotOpened::Damaged)?,
            prefix: &before[..before.len() - message.len()],
            message,
        })
    }
}

/// A message that is whole, and does not decrypt: whose fault is it?
fn not_opened(way: &Way, error: Error) -> NotOpened {
    let another = |error| NotOpened::WrongRoot {
        reason: match way {
            Way::Bytes => "the key is another one",
            Way::Passphrase(_) => "the passphrase is another one",
            Way::Provider => "the provider does not have its key",
        }
        .to_owned(),
        source: Some(Box::new(error)),
    };
    match error {
        Error::Unwrap(failures) => {
            let is_another = failures.causes().all(|cause| {
                matches!(
                    cause.kind(),
                    ProviderErrorKind::NotConfigured | ProviderErrorKind::InvalidCiphertext
                )
            });
            let error = Error::Unwrap(failures);
            if is_another {
                another(error)
            } else {
                NotOpened::Failed(KmsError::Root(Box::new(error)))
            }
        }
        Error::Random(error) => NotOpened::Failed(KmsError::Random(error)),
        error @ (Error::Provider(_) | Error::InvalidMaterials(_)) => {
            NotOpened::Failed(KmsError::Root(Box::new(error)))
        }
        _ => NotOpened::Damaged,
    }
}
