//! Encrypting, decrypting, inspecting: whole messages here, streams in
//! [`stream`], random access in [`ranged`], the same things blocking in
//! [`blocking`].
//!
//! Only getting materials is async. With materials in hand all is plain code,
//! in [`seal`] and [`open`], that every client and stream shares.

pub mod blocking;
mod builder;
mod frames;
mod in_place;
mod inspect;
mod keys;
mod open;
mod output;
mod parallel;
mod pieces;
mod ranged;
mod seal;
mod settings;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(feature = "tokio")]
pub mod tokio;

use std::fmt;
use std::sync::Arc;

pub use builder::ClientBuilder;
pub use inspect::{ContentLayout, UnverifiedHeader, inspect};
pub use parallel::Parallelism;
#[cfg(feature = "object-store")]
pub use ranged::ObjectSource;
pub use ranged::{RangePlan, RangeReader, RangeSource, SourceFuture};
pub use stream::{Authenticated, Decryptor, Encryptor, ReleaseMode, Unverified};

use crate::context::EncryptionContext;
use crate::crypto::Entropy;
use crate::error::{Error, Result};
use crate::materials::caching::CacheOutcome;
use crate::materials::{
    Caller, DecryptionMaterials, DecryptionRequest, EncryptionRequest, MaterialsManager, Obtained,
    check_encryption_context,
};
use crate::message::{EncryptedDataKey, Header, HeaderParser, MessageId, ReadError};
use crate::provider::{KeyProvider, ProviderIdentity};
use crate::suite::AlgorithmSuite;
use open::{Opener, Release};
use output::{Buffer, Output};
use seal::Sealer;
use settings::Settings;

/// Encrypts and decrypts messages with a key provider. Cheap to clone;
/// [`blocking::Client`] is the same without async.
///
/// Only asking the provider for keys is async; the cryptography itself runs
/// where the future is polled (at a gigabyte a second and more: move very
/// large one-shot calls off an executor's thread, or stream).
///
/// Dropping a future abandons the call and leaves nothing half-done.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use waxseal::{Client, EncryptionContext, RawAesProvider, SecretBytes};
///
/// let key = SecretBytes::from(vec![7; 32]); // from a file or a vault, really
/// let client = Client::new(RawAesProvider::new("example", "key-1", &key)?);
/// let context = EncryptionContext::from([("tenant", "7")]);
///
/// let message = client.encrypt(b"attack at dawn", &context).await?;
/// let decrypted = client.decrypt(&message, &context).await?;
/// assert_eq!(decrypted.plaintext, b"attack at dawn");
/// assert_eq!(decrypted.details.key, "key-1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    caller: Caller,
}

struct Inner {
    settings: Settings,
    manager: MaterialsManager,
    provider: ProviderIdentity,
}

impl Client {
    /// A client with the default settings: suite 0x0478 (AES-256-GCM with key
    /// commitment, unsigned), commitment required on both sides, frames of
    /// 4,096 bytes, at most 16 encrypted data keys.
    pub fn new(provider: impl KeyProvider + 'static) -> Self {
        Self::builder(provider).build_checked()
    }

    /// Starts a client with other settings. The provider may be an
    /// `Arc<dyn KeyProvider>`.
    pub fn builder(provider: impl KeyProvider + 'static) -> ClientBuilder {
        ClientBuilder::new(Arc::new(provider))
    }

    /// The partition of its data-key cache, where it has one: to evict it
    /// ([`DataKeyCache::evict_partition`](crate::DataKeyCache::evict_partition)).
    pub fn cache_partition(&self) -> Option<&str> {
        self.inner.manager.partition()
    }

    /// The same client without async.
    pub fn blocking(&self) -> blocking::Client {
        blocking::Client::from(self.clone())
    }

    /// Encrypts into one message. The context is stored in the message (but
    /// for required keys), in the clear, and authenticated.
    ///
    /// # Errors
    /// The caller's: a context too long or with reserved keys, a required key
    /// missing, a suite outside the policy, too many frames. The provider's:
    /// [`Error::Provider`]. The random source's: [`Error::Random`].
    pub async fn encrypt(&self, plaintext: &[u8], context: &EncryptionContext) -> Result<Vec<u8>> {
        self.prepare(context, Some(plaintext.len() as u64))
            .await?
            .encrypt(plaintext)
    }

    /// Encrypts into the caller's buffer, and returns the message's length.
    /// [`prepare`](Self::prepare) says beforehand how long it will be.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt), and [`Error::OutputTooSmall`] before
    /// anything is written; after another error nothing in the buffer is a
    /// message.
    pub async fn encrypt_into(
        &self,
        plaintext: &[u8],
        context: &EncryptionContext,
        out: &mut [u8],
    ) -> Result<usize> {
        self.prepare(context, Some(plaintext.len() as u64))
            .await?
            .encrypt_into(plaintext, out)
    }

    /// Gets a data key for one message, so that the exact length of the
    /// message is known before it is encrypted. `plaintext_bound` is the most
    /// plaintext there will be, where that is known: a cache charges by it.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt).
    pub async fn prepare(
        &self,
        context: &EncryptionContext,
        plaintext_bound: Option<u64>,
    ) -> Result<PreparedEncryption> {
        let settings = &self.inner.settings;
        let suite = settings.suite()?;
        if let Some(bound) = plaintext_bound {
            seal::body_length(suite, settings.frame_length, bound)?;
        }
        // A message id, a data key and a nonce to wrap it with: one call.
        let message_id = MessageId::zeroed(suite);
        let expected = message_id.as_ref().len() + self.inner.manager.entropy(suite);
        let mut entropy = Entropy::draw(settings.backend.random(), expected)?;
        let request = EncryptionRequest {
            suite,
            suite_is_named: settings.suite_is_named(),
            context,
            required: &settings.required_context_keys,
            policy: settings.policy,
            caller: self.caller,
            plaintext_bound,
            entropy: &mut entropy,
        };
        let obtained = self.inner.manager.encryption_materials(request).await?;
        let Obtained { materials, cache } = obtained;
        let (sealer, header) = Sealer::start(settings, suite, materials, message_id, &mut entropy)?;
        Ok(PreparedEncryption {
            suite,
            frame_length: settings.frame_length,
            max_buffered: settings.max_buffered,
            plaintext_bound,
            cache,
            sealer,
            header,
        })
    }

    /// The exact length of a message of so much plaintext, signed or not,
    /// from the lengths that its encrypted data keys take
    /// ([`EncryptedDataKey::encoded_length`], or a provider's word such as
    /// [`RawAesProvider::encrypted_data_key_length`](crate::RawAesProvider::encrypted_data_key_length)).
    ///
    /// # Errors
    /// Those of [`encrypt`](Self::encrypt) that can be told beforehand.
    pub fn message_length(
        &self,
        plaintext_length: u64,
        context: &EncryptionContext,
        encrypted_data_key_lengths: &[usize],
    ) -> Result<u64> {
        let settings = &self.inner.settings;
        let suite = settings.suite()?;
        settings.check_edk_count(encrypted_data_key_lengths.len())?;
        check_encryption_context(context, &settings.required_context_keys)?;
        let header = seal::header_length(settings, suite, context, encrypted_data_key_lengths)?;
        let body = seal::body_length(suite, settings.frame_length, plaintext_length)?;
        body.checked_add(header).ok_or(Error::TooManyFrames)
    }

    /// Decrypts one whole message. The context is what the caller expects of
    /// it: for each pair, the message must hold that value; it may hold more.
    /// Keys that the client lists as required are bound and not stored, and
    /// their values must be given here.
    ///
    /// Nothing is returned of a message that is not authentic as a whole.
    ///
    /// # Errors
    /// Each way in which a message can be wrong has its variant of [`Error`];
    /// bytes after the message are [`Error::TrailingBytes`].
    pub async fn decrypt(&self, message: &[u8], context: &EncryptionContext) -> Result<Decrypted> {
        let header = self.read_header(message)?;
        let obtained = self.decryption_materials(&header, context).await?;
        let (mut decrypted, rest) = self.open_to_vec(message, header, obtained)?;
        if !rest.is_empty() {
            decrypted.plaintext.retreat(0);
            return Err(Error::TrailingBytes);
        }
        Ok(decrypted)
    }

    /// Decrypts the message at the start of the input, and returns what comes
    /// after it.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt), but for trailing bytes.
    pub async fn decrypt_prefix<'m>(
        &self,
        input: &'m [u8],
        context: &EncryptionContext,
    ) -> Result<(Decrypted, &'m [u8])> {
        let header = self.read_header(input)?;
        let obtained = self.decryption_materials(&header, context).await?;
        self.open_to_vec(input, header, obtained)
    }

    /// Decrypts one whole message into the caller's buffer, and returns the
    /// plaintext's length; a buffer of the message's length is always enough.
    /// After an error nothing of the plaintext is in the buffer.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt), and [`Error::OutputTooSmall`].
    pub async fn decrypt_into(
        &self,
        message: &[u8],
        context: &EncryptionContext,
        out: &mut [u8],
    ) -> Result<(usize, DecryptionDetails)> {
        let header = self.read_header(message)?;
        let obtained = self.decryption_materials(&header, context).await?;
        let (mut opener, body) = self.start_whole(message, &header, &obtained.materials)?;
        let mut buffer = Buffer::new(out);
        let extent = opener.extent(body);
        let consumed = opener.open_all(body, &extent, &mut buffer)?;
        if consumed < body.len() {
            buffer.retreat(0);
            return Err(Error::TrailingBytes);
        }
        Ok((buffer.length(), DecryptionDetails::new(header, obtained)))
    }

    fn read_header(&self, input: &[u8]) -> Result<Header> {
        let mut parser = HeaderParser::new(self.inner.settings.header_limits());
        parser.advance(input).map_err(whole)?;
        Ok(parser.finish())
    }

    fn open_to_vec<'m>(
        &self,
        input: &'m [u8],
        header: Header,
        obtained: Obtained<DecryptionMaterials>,
    ) -> Result<(Decrypted, &'m [u8])> {
        let (mut opener, body) = self.start_whole(input, &header, &obtained.materials)?;
        // By the frames that are there, and not by what may follow this message.
        let extent = opener.extent(body);
        let mut plaintext;
        let consumed;
        if opener.appends(&extent) {
            plaintext = Vec::with_capacity(extent.plaintext_length);
            consumed = opener.open_all(body, &extent, &mut plaintext)?;
        } else {
            plaintext = vec![0; extent.plaintext_length];
            let mut buffer = Buffer::new(&mut plaintext);
            consumed = opener.open_all(body, &extent, &mut buffer)?;
            let length = buffer.length();
            plaintext.truncate(length);
        }
        let details = DecryptionDetails::new(header, obtained);
        Ok((Decrypted { plaintext, details }, &body[consumed..]))
    }

    /// Verifies the header with materials in hand; gives the body, and what
    /// opens it.
    fn start_whole<'m>(
        &self,
        input: &'m [u8],
        header: &Header,
        materials: &DecryptionMaterials,
    ) -> Result<(Opener, &'m [u8])> {
        let (raw, body) = input
            .split_at_checked(header.length)
            .ok_or(Error::Truncated)?;
        let (settings, release) = (&self.inner.settings, Release::EachFrame);
        let opener = Opener::start(settings, header, raw, materials, release, usize::MAX)?;
        Ok((opener, body))
    }

    /// Checks what can be checked without a key, and gets the data key.
    async fn decryption_materials(
        &self,
        header: &Header,
        expected: &EncryptionContext,
    ) -> Result<Obtained<DecryptionMaterials>> {
        let settings = &self.inner.settings;
        settings.check_suite_for_decrypt(header.suite)?;
        let request = DecryptionRequest {
            suite: header.suite,
            stored: &header.context,
            expected,
            required: &settings.required_context_keys,
            edks: &header.edks,
            policy: settings.policy,
            caller: self.caller,
        };
        self.inner.manager.decryption_materials(request).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("provider", &self.inner.provider)
            .field("settings", &self.inner.settings)
            .finish()
    }
}

/// What the end of a whole message means.
fn whole(error: ReadError) -> Error {
    match error {
        ReadError::Incomplete(_) => Error::Truncated,
        ReadError::Invalid(error) => error,
    }
}

/// A data key that waits for its message: it serves one, and the type sees to
/// it that it cannot serve two.
pub struct PreparedEncryption {
    suite: AlgorithmSuite,
    frame_length: u32,
    max_buffered: usize,
    plaintext_bound: Option<u64>,
    cache: Option<CacheOutcome>,
    sealer: Sealer,
    header: Vec<u8>,
}

impl PreparedEncryption {
    /// The exact length of the message for so much plaintext, in bytes.
    ///
    /// # Errors
    /// [`Error::TooManyFrames`].
    pub fn message_length(&self, plaintext_length: u64) -> Result<u64> {
        let body = seal::body_length(self.suite, self.frame_length, plaintext_length)?;
        Ok(self.header.len() as u64 + body)
    }

    /// Where the data key came from; `None` for a client without a cache.
    pub fn cache_outcome(&self) -> Option<CacheOutcome> {
        self.cache
    }

    /// Encrypts into one message.
    ///
    /// # Errors
    /// [`Error::TooManyFrames`], [`Error::PlaintextBoundExceeded`], and
    /// [`Error::Random`] where a signature needs randomness.
    pub fn encrypt(self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let length = usize::try_from(self.check(plaintext)?).map_err(|_| Error::TooManyFrames)?;
        let mut out;
        if self.sealer.appends(plaintext.len()) {
            out = Vec::with_capacity(length);
            self.run(plaintext, &mut out)?;
        } else {
            out = vec![0; length];
            self.run(plaintext, &mut Buffer::new(&mut out))?;
        }
        Ok(out)
    }

    /// Encrypts into the caller's buffer, and returns the message's length.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt), and [`Error::OutputTooSmall`] before
    /// anything is written.
    pub fn encrypt_into(self, plaintext: &[u8], out: &mut [u8]) -> Result<usize> {
        let (needed, available) = (self.check(plaintext)?, out.len());
        if needed > available as u64 {
            return Err(Error::OutputTooSmall { needed, available });
        }
        let mut buffer = Buffer::new(out);
        self.run(plaintext, &mut buffer)?;
        Ok(buffer.length())
    }

    fn check(&self, plaintext: &[u8]) -> Result<u64> {
        let length = plaintext.len() as u64;
        match self.plaintext_bound {
            Some(bound) if length > bound => Err(Error::PlaintextBoundExceeded { bound }),
            _ => self.message_length(length),
        }
    }

    fn run(self, plaintext: &[u8], out: &mut impl Output) -> Result<()> {
        out.put(&self.header)?;
        self.sealer.all(plaintext, out)
    }
}

impl fmt::Debug for PreparedEncryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedEncryption")
            .field("suite", &self.suite)
            .finish_non_exhaustive()
    }
}

/// A decrypted message.
#[non_exhaustive]
pub struct Decrypted {
    /// The plaintext. Wiping it when done is the caller's to do.
    pub plaintext: Vec<u8>,
    /// What the message was and what opened it.
    pub details: DecryptionDetails,
}

impl fmt::Debug for Decrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decrypted")
            .field("plaintext", &format_args!("{} bytes", self.plaintext.len()))
            .field("details", &self.details)
            .finish()
    }
}

/// What a message was, and what opened it; all of it authentic, by the header's
/// tag.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DecryptionDetails {
    /// The message's suite. A reader who relies on signatures checks here
    /// that it is a signed one, of a message that was decrypted to its end: a
    /// reader of parts ([`SeekReader`](blocking::SeekReader), [`RangeReader`])
    /// never verifies the signature, and an unverified stream does at its end.
    /// [`require_signed`](ClientBuilder::require_signed) is the surer way.
    pub suite: AlgorithmSuite,
    /// The encryption context: what the message stores (a signed one also its
    /// public key) and what it only binds.
    pub context: EncryptionContext,
    /// The provider that unwrapped the data key.
    pub provider: ProviderIdentity,
    /// The wrapping key's name.
    pub key: String,
    /// The wrapping key's version, where the provider has such.
    pub key_version: Option<String>,
    /// The encrypted data key that was unwrapped.
    pub encrypted_data_key: EncryptedDataKey,
    /// Which of the message's encrypted data keys it is, from 0.
    pub encrypted_data_key_index: usize,
    /// Where the data key came from; `None` for a client without a cache.
    pub cache_outcome: Option<CacheOutcome>,
    message_id: MessageId,
}

impl DecryptionDetails {
    fn new(header: Header, obtained: Obtained<DecryptionMaterials>) -> Self {
        let Obtained { materials, cache } = obtained;
        let mut edks = header.edks;
        let mut context = header.context;
        context.extend(&materials.bound_context);
        DecryptionDetails {
            suite: header.suite,
            context,
            provider: materials.provider,
            key: materials.key,
            key_version: materials.key_version,
            // The manager has checked the index.
            encrypted_data_key: edks.swap_remove(materials.index),
            encrypted_data_key_index: materials.index,
            cache_outcome: cache,
            message_id: header.message_id,
        }
    }

    /// The message's id: 16 bytes in version 1, 32 in version 2.
    pub fn message_id(&self) -> &[u8] {
        self.message_id.as_ref()
    }
}
