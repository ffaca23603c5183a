//! A blob's file or object: a header and the content.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `waxblob` and the format, 1 |
//! | 16 | the version: random, drawn for this write |
//! | 8 | the content's length, big-endian |
//! | 32 | SHA-256 of the content |
//! | 1 | the name's length |
//! | 1 to 200 | the name |
//! | 32 | SHA-256 of all before |
//! | | the content |
//!
//! The digests authenticate nothing: whoever can write the file can make them.
//! They tell a damaged, truncated, misplaced or half-overwritten file from a
//! whole one, so that there is a clear error, or another try.

use super::{Blob, BlobVersion, MAX_NAME_LENGTH};
use crate::crypto::CryptoBackend;
use crate::kms::digest::{DIGEST_LENGTH as DIGEST, digest, hex};

const MAGIC: &[u8; 8] = b"waxblob\x01";
const FIXED: usize = MAGIC.len() + 16 + 8 + DIGEST + 1;
/// The shortest header.
#[cfg(feature = "object-store")]
pub(super) const MIN_HEADER: usize = FIXED + 1 + DIGEST;
/// The longest header.
pub(super) const MAX_HEADER: usize = FIXED + MAX_NAME_LENGTH + DIGEST;

/// The random bytes that a version is.
pub(super) type VersionBytes = [u8; 16];

/// What is wrong with a file, in words for an error.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flaw(pub(super) String);

pub(super) struct Header {
    pub(super) version: VersionBytes,
    pub(super) name: String,
    /// Of the header itself.
    length: usize,
    pub(super) content_length: u64,
    content_digest: [u8; DIGEST],
}

impl Header {
    /// The whole file of a blob.
    pub(super) fn encode(
        crypto: &CryptoBackend,
        name: &str,
        version: &VersionBytes,
        content: &[u8],
    ) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAX_HEADER + content.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(version);
        bytes.extend_from_slice(&(content.len() as u64).to_be_bytes());
        bytes.extend_from_slice(&digest(crypto, content));
        // `check_name` has seen to it that this fits.
        bytes.push(u8::try_from(name.len()).unwrap_or(0));
        bytes.extend_from_slice(name.as_bytes());
        let checksum = digest(crypto, &bytes);
        bytes.extend_from_slice(&checksum);
        bytes.extend_from_slice(content);
        bytes
    }

    /// Reads the header at the start of a file.
    pub(super) fn read(crypto: &CryptoBackend, file: &[u8]) -> Result<Self, Flaw> {
        let mut reader = Reader(file);
        if reader.array()? != *MAGIC {
            return Err(Flaw("it does not start as a blob's file".into()));
        }
        let version = reader.array()?;
        let content_length = u64::from_be_bytes(reader.array()?);
        let content_digest = reader.array()?;
        let [name_length] = reader.array()?;
        let name = reader.take(name_length.into())?;
        let length = file.len() - reader.0.len();
        if reader.array()? != digest(crypto, &file[..length]) {
            return Err(Flaw("its header does not fit its checksum".into()));
        }
        Ok(Header {
            version,
            name: String::from_utf8_lossy(name).into_owned(),
            length: length + DIGEST,
            content_length,
            content_digest,
        })
    }

    /// Reads a whole file that should be this blob's.
    pub(super) fn open(
        crypto: &CryptoBackend,
        name: &str,
        mut file: Vec<u8>,
    ) -> Result<Blob, Flaw> {
        let header = Self::read(crypto, &file)?;
        if header.name != name {
            return Err(Flaw(format!(
                "it is the file of the blob '{}'",
                header.name.escape_default()
            )));
        }
        let content = &file[header.length..];
        if content.len() as u64 != header.content_length {
            return Err(Flaw(format!(
                "it holds {} bytes instead of {}",
                content.len(),
                header.content_length
            )));
        }
        if digest(crypto, content) != header.content_digest {
            return Err(Flaw("its content does not fit its checksum".into()));
        }
        file.drain(..header.length);
        Ok(Blob::new(file, version(&header.version)))
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Flaw> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| Flaw("it ends within its header".into()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
}

pub(super) fn version(bytes: &VersionBytes) -> BlobVersion {
    BlobVersion(hex(bytes))
}

/// The version of a file whose header cannot be read: what it holds.
pub(super) fn damaged_version(crypto: &CryptoBackend, file: &[u8]) -> BlobVersion {
    BlobVersion(format!("damaged-{}", hex(&digest(crypto, file))))
}
