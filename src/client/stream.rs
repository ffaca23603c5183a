//! Messages in pieces, without I/O: bytes are pushed in, and what can be
//! released comes out. The readers and writers in [`blocking`](super::blocking)
//! and [`tokio`](super::tokio) are thin layers over these.

use std::fmt;
use std::marker::PhantomData;

use super::inspect::{ContentLayout, UnverifiedHeader};
use super::open::{Opener, Release};
use super::output::Output;
use super::seal::{Sealer, regular_length};
use super::{Client, DecryptionDetails, PreparedEncryption};
use crate::context::EncryptionContext;
use crate::crypto::SecretBuffer;
use crate::error::{Error, Result};
use crate::message::{HeaderParser, ReadError};

impl Client {
    /// Starts a message whose plaintext comes in pieces. `plaintext_bound` is
    /// the most there will be, where that is known: a cache charges by it, and
    /// more is refused.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt).
    pub async fn encryptor(
        &self,
        context: &EncryptionContext,
        plaintext_bound: Option<u64>,
    ) -> Result<Encryptor> {
        Ok(Encryptor::new(
            self.prepare(context, plaintext_bound).await?,
        ))
    }

    /// Starts reading a message that comes in pieces, releasing only what is
    /// authentic. An unsigned message is released frame by frame; a signed one
    /// is held back whole until its signature is verified, up to
    /// [`max_buffered`](super::ClientBuilder::max_buffered) bytes. The context
    /// is what the caller expects, as in [`decrypt`](Self::decrypt).
    pub fn decryptor(&self, context: &EncryptionContext) -> Decryptor<Authenticated> {
        Decryptor::new(self, context)
    }

    /// Starts reading a message that comes in pieces. Of a signed one each
    /// frame is released when it is authentic under the data key, but before
    /// the signature has been verified: **whoever can decrypt it could have
    /// made it**. The final frame is held back until the signature is
    /// verified, so that what ends well was signed.
    pub fn decryptor_unverified(&self, context: &EncryptionContext) -> Decryptor<Unverified> {
        Decryptor::new(self, context)
    }
}

/// Encrypts one message in pieces. Nothing is a message before
/// [`finish`](Self::finish): dropped before, what came out never verifies.
///
/// Holds back at most one frame, and at most the client's
/// [`max_buffered`](super::ClientBuilder::max_buffered) bytes of one.
pub struct Encryptor {
    sealer: Option<Sealer>,
    /// Until it has been given out.
    header: Vec<u8>,
    pending: SecretBuffer,
    frame_length: usize,
    max_buffered: usize,
    plaintext_bound: Option<u64>,
    total: u64,
    /// How long a piece is that several threads share.
    piece: Option<usize>,
}

impl Encryptor {
    fn new(prepared: PreparedEncryption) -> Self {
        Encryptor {
            frame_length: prepared.frame_length as usize,
            max_buffered: prepared.max_buffered,
            plaintext_bound: prepared.plaintext_bound,
            piece: prepared
                .sealer
                .parallelism()
                .piece(prepared.frame_length as usize, prepared.max_buffered),
            sealer: Some(prepared.sealer),
            header: prepared.header,
            pending: SecretBuffer::default(),
            total: 0,
        }
    }

    /// How much the readers and writers give at a time; `None` for what comes.
    pub(super) fn piece(&self) -> Option<usize> {
        self.piece
    }

    /// Takes plaintext, and appends the ciphertext that is ready.
    ///
    /// # Errors
    /// [`Error::PlaintextBoundExceeded`], [`Error::TooManyFrames`], and
    /// [`Error::BufferLimit`] where a frame would hold more than the client
    /// buffers; the message is lost then.
    pub fn update(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.update_into(plaintext, out)
    }

    pub(super) fn update_into(&mut self, plaintext: &[u8], out: &mut impl Output) -> Result<()> {
        let mut sealer = self.sealer.take().ok_or(Error::StreamClosed)?;
        self.total = self.total.saturating_add(plaintext.len() as u64);
        if let Some(bound) = self.plaintext_bound.filter(|bound| self.total > *bound) {
            return Err(Error::PlaintextBoundExceeded { bound });
        }
        let held = self
            .frame_length
            .min(self.pending.len().saturating_add(plaintext.len()));
        if held > self.max_buffered {
            let (needed, limit) = (held as u64, self.max_buffered);
            return Err(Error::BufferLimit { needed, limit });
        }
        out.put(&std::mem::take(&mut self.header))?;
        let mut rest = plaintext;
        // A full frame is sealed once more plaintext has come: then it is not
        // the final one.
        if !self.pending.is_empty() && self.pending.len() + rest.len() > self.frame_length {
            let (filling, after) = rest.split_at(self.frame_length - self.pending.len());
            self.pending.extend(filling);
            sealer.regular(self.pending.as_slice(), out)?;
            self.pending.clear();
            rest = after;
        }
        if self.pending.is_empty() {
            let (frames, after) = rest.split_at(regular_length(rest.len(), self.frame_length));
            sealer.regular(frames, out)?;
            rest = after;
        }
        self.pending.extend(rest);
        self.sealer = Some(sealer);
        Ok(())
    }

    /// Ends the message, and appends the last of its ciphertext.
    ///
    /// # Errors
    /// [`Error::Random`] where a signature needs randomness, and
    /// [`Error::StreamClosed`] after an earlier error.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<()> {
        self.finish_into(out)
    }

    pub(super) fn finish_into(mut self, out: &mut impl Output) -> Result<()> {
        let sealer = self.sealer.take().ok_or(Error::StreamClosed)?;
        out.put(&self.header)?;
        sealer.last(self.pending.as_slice(), out)
    }
}

impl fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryptor")
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

/// What comes out is authentic, and its signature verified where it has one.
#[derive(Clone, Copy, Debug)]
pub enum Authenticated {}

/// What comes out of a signed message comes before its signature has been
/// verified.
#[derive(Clone, Copy, Debug)]
pub enum Unverified {}

/// [`Authenticated`] or [`Unverified`], for code over a [`Decryptor`] of either.
pub trait ReleaseMode: sealed::Sealed + Send + Sync + Unpin + 'static {}

impl ReleaseMode for Authenticated {}
impl ReleaseMode for Unverified {}

mod sealed {
    use super::Release;

    pub trait Sealed {
        #[doc(hidden)]
        #[allow(private_interfaces)] // reason: the trait cannot be named outside
        const RELEASE: Release;
    }

    #[allow(private_interfaces)] // reason: as above
    impl Sealed for super::Authenticated {
        const RELEASE: Release = Release::AllWhenVerified;
    }

    #[allow(private_interfaces)] // reason: as above
    impl Sealed for super::Unverified {
        const RELEASE: Release = Release::FinalWhenVerified;
    }
}

/// Decrypts one message in pieces. Whether it may come out before a signature
/// is verified stands in the type.
///
/// Holds back what a frame holds (or an un-framed body, or what `M` asks to be
/// held back), up to the client's
/// [`max_buffered`](super::ClientBuilder::max_buffered).
pub struct Decryptor<M = Authenticated> {
    client: Client,
    expected: EncryptionContext,
    stage: Stage,
    mode: PhantomData<fn() -> M>,
}

enum Stage {
    Header {
        parser: Box<HeaderParser>,
        bytes: Vec<u8>,
    },
    Body(Box<Body>),
    /// After an error, or while a key is being unwrapped: a future that is
    /// dropped there leaves this behind.
    Closed,
}

struct Body {
    opener: Opener,
    header: UnverifiedHeader,
    details: DecryptionDetails,
}

impl<M: ReleaseMode> Decryptor<M> {
    fn new(client: &Client, expected: &EncryptionContext) -> Self {
        let limits = client.inner.settings.header_limits();
        let parser = Box::new(HeaderParser::new(limits));
        Decryptor {
            client: client.clone(),
            expected: expected.clone(),
            stage: Stage::Header {
                parser,
                bytes: Vec::new(),
            },
            mode: PhantomData,
        }
    }

    /// Takes a piece of the message, and appends the plaintext that may be
    /// released. The provider is asked once, when the header is complete.
    ///
    /// After an error, what was appended before it (also by this call) is
    /// authentic, and nothing more will come.
    ///
    /// # Errors
    /// As [`Client::decrypt`], [`Error::BufferLimit`], and
    /// [`Error::SignedStreamRefused`].
    pub async fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.push_into(input, out).await
    }

    pub(super) async fn push_into(&mut self, input: &[u8], out: &mut impl Output) -> Result<()> {
        let rest = match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Header {
                mut parser,
                mut bytes,
            } => {
                // The usual case, a header in one piece, is read in place.
                let in_place = bytes.is_empty();
                if !in_place {
                    bytes.extend_from_slice(input);
                }
                let all = if in_place { input } else { &bytes[..] };
                match parser.advance(all) {
                    Ok(()) => {
                        let (body, header_length) = self.open(*parser, all).await?;
                        self.stage = Stage::Body(body);
                        let kept = all.len() - header_length;
                        &input[input.len() - kept..]
                    }
                    Err(ReadError::Incomplete(_)) => {
                        if in_place {
                            bytes.extend_from_slice(input);
                        }
                        self.stage = Stage::Header { parser, bytes };
                        return Ok(());
                    }
                    Err(ReadError::Invalid(error)) => return Err(error),
                }
            }
            stage => {
                self.stage = stage;
                input
            }
        };
        self.push_body(rest, out)
    }

    /// The same once the header has been read: nothing to wait for.
    pub(super) fn push_body(&mut self, input: &[u8], out: &mut impl Output) -> Result<()> {
        let Stage::Body(body) = &mut self.stage else {
            return Err(Error::StreamClosed);
        };
        let pushed = match body.opener.push(input, out) {
            Ok(consumed) if consumed < input.len() => Err(Error::TrailingBytes),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if pushed.is_err() {
            self.stage = Stage::Closed;
        }
        pushed
    }

    async fn open(&self, parser: HeaderParser, bytes: &[u8]) -> Result<(Box<Body>, usize)> {
        let header = parser.finish();
        let settings = &self.client.inner.settings;
        let suite = header.suite;
        settings.check_suite_for_decrypt(suite)?;
        if settings.refuse_signed_streams && suite.is_signed() {
            return Err(Error::SignedStreamRefused { suite });
        }
        let obtained = self
            .client
            .decryption_materials(&header, &self.expected)
            .await?;
        let raw = bytes.get(..header.length).ok_or(Error::Truncated)?;
        let (release, max_buffered) = (M::RELEASE, settings.max_buffered);
        let opener = Opener::start(
            settings,
            &header,
            raw,
            &obtained.materials,
            release,
            max_buffered,
        )?;
        let length = header.length;
        let unverified = UnverifiedHeader::of(&header);
        let details = DecryptionDetails::new(header, obtained);
        Ok((
            Box::new(Body {
                opener,
                header: unverified,
                details,
            }),
            length,
        ))
    }

    /// How much the readers and writers give at a time; `None` for what comes.
    /// The header says more about it.
    pub(super) fn piece(&self) -> Option<usize> {
        let settings = &self.client.inner.settings;
        let frame_length = match self.header().map(UnverifiedHeader::layout) {
            Some(ContentLayout::Framed { frame_length }) => frame_length as usize,
            Some(ContentLayout::Unframed) | None => 0,
        };
        settings
            .parallelism
            .piece(frame_length, settings.max_buffered)
    }

    /// Whether the header has been read and is authentic.
    pub(super) fn has_header(&self) -> bool {
        matches!(self.stage, Stage::Body(_))
    }

    /// What the message is and what opened it, once its header has been read.
    /// The header is authentic; the message is only once
    /// [`finish`](Self::finish) has said so.
    pub fn details(&self) -> Option<&DecryptionDetails> {
        match &self.stage {
            Stage::Body(body) => Some(&body.details),
            _ => None,
        }
    }

    /// The header, once it has been read.
    pub fn header(&self) -> Option<&UnverifiedHeader> {
        match &self.stage {
            Stage::Body(body) => Some(&body.header),
            _ => None,
        }
    }

    /// Says that the input has ended, and whether the message has.
    ///
    /// # Errors
    /// [`Error::Truncated`], and [`Error::StreamClosed`] after an earlier
    /// error.
    pub fn finish(self) -> Result<DecryptionDetails> {
        self.check_end()?;
        match self.stage {
            Stage::Body(body) => Ok(body.details),
            _ => Err(Error::StreamClosed),
        }
    }

    pub(super) fn check_end(&self) -> Result<()> {
        match &self.stage {
            Stage::Header { .. } => Err(Error::Truncated),
            Stage::Body(body) => body.opener.finish(),
            Stage::Closed => Err(Error::StreamClosed),
        }
    }
}

impl<M> fmt::Debug for Decryptor<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Header { .. } => "header",
            Stage::Body(_) => "body",
            Stage::Closed => "closed",
        };
        f.debug_struct("Decryptor")
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}

/// Plaintext on its way from a [`Decryptor`] to a reader: what the readers
/// share. An error comes after the plaintext that came before it.
pub(super) struct PlaintextQueue<M> {
    decryptor: Decryptor<M>,
    out: SecretBuffer,
    read: usize,
    end: Option<Result<()>>,
}

impl<M: ReleaseMode> PlaintextQueue<M> {
    pub(super) fn new(decryptor: Decryptor<M>) -> Self {
        PlaintextQueue {
            decryptor,
            out: SecretBuffer::default(),
            read: 0,
            end: None,
        }
    }

    pub(super) fn decryptor(&self) -> &Decryptor<M> {
        &self.decryptor
    }

    /// Feeds the header, and what comes with it. Its errors come at once.
    pub(super) async fn feed_header(&mut self, input: &[u8]) -> Result<()> {
        let fed = self.decryptor.push_into(input, &mut self.out).await;
        match fed {
            Err(error) if !self.out.is_empty() => {
                self.end = Some(Err(error));
                Ok(())
            }
            fed => fed,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.decryptor.has_header() || self.end.is_some()
    }

    /// Takes plaintext; `None` asks for input.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Option<Result<usize>> {
        let ready = &self.out.as_slice()[self.read..];
        if !ready.is_empty() || out.is_empty() {
            let length = ready.len().min(out.len());
            out[..length].copy_from_slice(&ready[..length]);
            self.read += length;
            return Some(Ok(length));
        }
        self.out.clear();
        self.read = 0;
        match &self.end {
            None => None,
            Some(Ok(())) => Some(Ok(0)),
            Some(Err(_)) => match self.end.replace(Err(Error::StreamClosed)) {
                Some(Err(error)) => Some(Err(error)),
                _ => Some(Err(Error::StreamClosed)),
            },
        }
    }

    /// Feeds a piece of the body; an empty one is the end.
    pub(super) fn feed(&mut self, input: &[u8]) {
        if input.is_empty() {
            self.end = Some(self.decryptor.check_end());
        } else if let Err(error) = self.decryptor.push_body(input, &mut self.out) {
            self.end = Some(Err(error));
        }
    }
}
