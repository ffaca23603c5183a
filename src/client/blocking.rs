//! The same client without async, and messages through [`Read`] and [`Write`].
//! It needs no runtime.
//!
//! A local provider is ready at once. For one that waits for something (a
//! remote service), the calling thread sleeps until it is woken.

mod io;

use std::cell::Cell;
use std::future::Future;
use std::io::{Read, Seek, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

pub use io::{DecryptReader, DecryptWriter, EncryptReader, EncryptWriter};

pub use super::ranged::SeekReader;
use super::stream::ReleaseMode;
use super::{
    Authenticated, ClientBuilder, Decrypted, DecryptionDetails, Encryptor, PreparedEncryption,
    Unverified, UnverifiedHeader,
};
use crate::context::EncryptionContext;
use crate::error::Result;
use crate::materials::Caller;
use crate::provider::KeyProvider;

/// Encrypts and decrypts messages with a key provider, as
/// [`waxseal::Client`](crate::Client) does, and blocks where that one waits.
///
/// ```
/// use waxseal::{EncryptionContext, RawAesProvider, SecretBytes, blocking::Client};
///
/// let key = SecretBytes::from(vec![7; 32]); // from a file or a vault, really
/// let client = Client::new(RawAesProvider::new("example", "key-1", &key)?);
/// let context = EncryptionContext::from([("tenant", "7")]);
///
/// let message = client.encrypt(b"attack at dawn", &context)?;
/// let decrypted = client.decrypt(&message, &context)?;
/// assert_eq!(decrypted.plaintext, b"attack at dawn");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client(crate::Client);

impl From<crate::Client> for Client {
    fn from(client: crate::Client) -> Self {
        Client(crate::Client {
            caller: Caller::Blocking,
            ..client
        })
    }
}

impl Client {
    /// A client with the default settings: see
    /// [`Client::new`](crate::Client::new).
    pub fn new(provider: impl KeyProvider + 'static) -> Self {
        crate::Client::new(provider).into()
    }

    /// Starts a client with other settings; turn what comes out of it into
    /// this one with [`blocking`](crate::Client::blocking).
    pub fn builder(provider: impl KeyProvider + 'static) -> ClientBuilder {
        crate::Client::builder(provider)
    }

    /// See [`Client::cache_partition`](crate::Client::cache_partition).
    pub fn cache_partition(&self) -> Option<&str> {
        self.0.cache_partition()
    }

    /// See [`Client::encrypt`](crate::Client::encrypt).
    ///
    /// # Errors
    /// As there.
    pub fn encrypt(&self, plaintext: &[u8], context: &EncryptionContext) -> Result<Vec<u8>> {
        block_on(self.0.encrypt(plaintext, context))
    }

    /// See [`Client::encrypt_into`](crate::Client::encrypt_into).
    ///
    /// # Errors
    /// As there.
    pub fn encrypt_into(
        &self,
        plaintext: &[u8],
        context: &EncryptionContext,
        out: &mut [u8],
    ) -> Result<usize> {
        block_on(self.0.encrypt_into(plaintext, context, out))
    }

    /// See [`Client::encrypt_in_place`](crate::Client::encrypt_in_place).
    ///
    /// # Errors
    /// As there.
    pub fn encrypt_in_place(
        &self,
        buffer: &mut Vec<u8>,
        context: &EncryptionContext,
    ) -> Result<()> {
        block_on(self.0.encrypt_in_place(buffer, context))
    }

    /// See [`Client::prepare`](crate::Client::prepare).
    ///
    /// # Errors
    /// As there.
    pub fn prepare(
        &self,
        context: &EncryptionContext,
        plaintext_bound: Option<u64>,
    ) -> Result<PreparedEncryption> {
        block_on(self.0.prepare(context, plaintext_bound))
    }

    /// See [`Client::message_length`](crate::Client::message_length).
    ///
    /// # Errors
    /// As there.
    pub fn message_length(
        &self,
        plaintext_length: u64,
        context: &EncryptionContext,
        encrypted_data_key_lengths: &[usize],
    ) -> Result<u64> {
        self.0
            .message_length(plaintext_length, context, encrypted_data_key_lengths)
    }

    /// See [`Client::decrypt`](crate::Client::decrypt).
    ///
    /// # Errors
    /// As there.
    pub fn decrypt(&self, message: &[u8], context: &EncryptionContext) -> Result<Decrypted> {
        block_on(self.0.decrypt(message, context))
    }

    /// See [`Client::decrypt_prefix`](crate::Client::decrypt_prefix).
    ///
    /// # Errors
    /// As there.
    pub fn decrypt_prefix<'m>(
        &self,
        input: &'m [u8],
        context: &EncryptionContext,
    ) -> Result<(Decrypted, &'m [u8])> {
        block_on(self.0.decrypt_prefix(input, context))
    }

    /// See [`Client::decrypt_into`](crate::Client::decrypt_into).
    ///
    /// # Errors
    /// As there.
    pub fn decrypt_into(
        &self,
        message: &[u8],
        context: &EncryptionContext,
        out: &mut [u8],
    ) -> Result<(usize, DecryptionDetails)> {
        block_on(self.0.decrypt_into(message, context, out))
    }

    /// See [`Client::decrypt_in_place`](crate::Client::decrypt_in_place).
    ///
    /// # Errors
    /// As there.
    pub fn decrypt_in_place(
        &self,
        buffer: &mut Vec<u8>,
        context: &EncryptionContext,
    ) -> Result<DecryptionDetails> {
        block_on(self.0.decrypt_in_place(buffer, context))
    }

    /// See [`Client::encryptor`](crate::Client::encryptor).
    ///
    /// # Errors
    /// As there.
    pub fn encryptor(
        &self,
        context: &EncryptionContext,
        plaintext_bound: Option<u64>,
    ) -> Result<Encryptor> {
        block_on(self.0.encryptor(context, plaintext_bound))
    }

    /// See [`Client::decryptor`](crate::Client::decryptor).
    pub fn decryptor(&self, context: &EncryptionContext) -> Decryptor<Authenticated> {
        Decryptor(self.0.decryptor(context))
    }

    /// See [`Client::decryptor_unverified`](crate::Client::decryptor_unverified).
    pub fn decryptor_unverified(&self, context: &EncryptionContext) -> Decryptor<Unverified> {
        Decryptor(self.0.decryptor_unverified(context))
    }

    /// Encrypts what is written to it into `sink`, in constant memory. It
    /// must be [finished](EncryptWriter::finish).
    ///
    /// Its length is unknown, so that it goes past a data-key cache; where a
    /// bound is known, use [`EncryptWriter::new`] with an
    /// [`encryptor`](Self::encryptor) of that bound.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt).
    pub fn encrypt_writer<W: Write>(
        &self,
        sink: W,
        context: &EncryptionContext,
    ) -> Result<EncryptWriter<W>> {
        Ok(EncryptWriter::new(sink, self.encryptor(context, None)?))
    }

    /// Encrypts what `source` gives, in constant memory: the message is read
    /// from what is returned.
    ///
    /// Its length is unknown, so that it goes past a data-key cache; where a
    /// bound is known, use [`EncryptReader::new`] with an
    /// [`encryptor`](Self::encryptor) of that bound.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt).
    pub fn encrypt_reader<R: Read>(
        &self,
        source: R,
        context: &EncryptionContext,
    ) -> Result<EncryptReader<R>> {
        Ok(EncryptReader::new(source, self.encryptor(context, None)?))
    }

    /// Decrypts the message that `source` gives, in constant memory for an
    /// unsigned one. A signed one is held back until its signature is
    /// verified: see [`decryptor`](Self::decryptor). Reads the header at once.
    ///
    /// The end of what is read means that the message was whole; an error
    /// comes after the frames that were authentic before it.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt) for the header and what was read with it;
    /// the source's errors.
    pub fn decrypt_reader<R: Read>(
        &self,
        source: R,
        context: &EncryptionContext,
    ) -> std::io::Result<DecryptReader<R, Authenticated>> {
        DecryptReader::open(source, self.0.decryptor(context))
    }

    /// Decrypts the message that `source` gives, in constant memory. What it
    /// gives of a signed message is not verified before it has ended: see
    /// [`decryptor_unverified`](Self::decryptor_unverified).
    ///
    /// # Errors
    /// As [`decrypt_reader`](Self::decrypt_reader).
    pub fn decrypt_reader_unverified<R: Read>(
        &self,
        source: R,
        context: &EncryptionContext,
    ) -> std::io::Result<DecryptReader<R, Unverified>> {
        DecryptReader::open(source, self.0.decryptor_unverified(context))
    }

    /// Opens the message that begins where `source` stands and ends where it
    /// ends, to be read anywhere without the rest of it: reads its header at
    /// once, and verifies that. Signed messages are refused, as a part of one
    /// cannot be verified.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt) for the header,
    /// [`Error::SignedRangeRefused`](crate::Error::SignedRangeRefused), and the
    /// source's.
    pub fn seek_reader<R: Read + Seek>(
        &self,
        source: R,
        context: &EncryptionContext,
    ) -> std::io::Result<SeekReader<R, Authenticated>> {
        SeekReader::open(source, &self.0, context)
    }

    /// The same for signed messages too, whose signature **is never
    /// verified** this way: what is read is authentic under the data key only,
    /// and whoever can decrypt the message could have made it.
    ///
    /// # Errors
    /// As [`seek_reader`](Self::seek_reader), but that signed messages are only
    /// refused by a client that
    /// [refuses them in streams](ClientBuilder::refuse_signed_streams) or that
    /// [relies on signatures](ClientBuilder::require_signed).
    pub fn seek_reader_unverified<R: Read + Seek>(
        &self,
        source: R,
        context: &EncryptionContext,
    ) -> std::io::Result<SeekReader<R, Unverified>> {
        SeekReader::open(source, &self.0, context)
    }

    /// Decrypts the message that is written to it into `sink`. It must be
    /// [finished](DecryptWriter::finish), which says whether the message was
    /// whole.
    pub fn decrypt_writer<W: Write>(
        &self,
        sink: W,
        context: &EncryptionContext,
    ) -> DecryptWriter<W, Authenticated> {
        DecryptWriter::new(sink, self.0.decryptor(context))
    }

    /// The same with what [`decryptor_unverified`](Self::decryptor_unverified)
    /// says.
    pub fn decrypt_writer_unverified<W: Write>(
        &self,
        sink: W,
        context: &EncryptionContext,
    ) -> DecryptWriter<W, Unverified> {
        DecryptWriter::new(sink, self.0.decryptor_unverified(context))
    }
}

/// [`Decryptor`](crate::Decryptor) without async.
#[derive(Debug)]
pub struct Decryptor<M = Authenticated>(crate::Decryptor<M>);

impl<M: ReleaseMode> Decryptor<M> {
    /// See [`Decryptor::push`](crate::Decryptor::push).
    ///
    /// # Errors
    /// As there.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        block_on(self.0.push(input, out))
    }

    /// See [`Decryptor::details`](crate::Decryptor::details).
    pub fn details(&self) -> Option<&DecryptionDetails> {
        self.0.details()
    }

    /// See [`Decryptor::header`](crate::Decryptor::header).
    pub fn header(&self) -> Option<&UnverifiedHeader> {
        self.0.header()
    }

    /// See [`Decryptor::finish`](crate::Decryptor::finish).
    ///
    /// # Errors
    /// As there.
    pub fn finish(self) -> Result<DecryptionDetails> {
        self.0.finish()
    }
}

/// Drives a future of this library on this thread, and sleeps where it waits:
/// for the calls that have no blocking form of their own, such as those of the
/// embedded KMS.
///
/// With a local store or provider it is ready at once. Do not call it on the
/// thread of an async runtime that the future needs to go on.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    block_on(future)
}

/// Drives a future on this thread: usually it is ready at its first poll.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let _waiting = Waiting::begin();
    let mut future = pin!(future);
    let mut first = Context::from_waker(Waker::noop());
    if let Poll::Ready(value) = future.as_mut().poll(&mut first) {
        return value;
    }
    let sleeper = Sleeper::new();
    let waker = Waker::from(sleeper.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        sleeper.sleep();
    }
}

/// This thread, asleep until it is woken.
struct Sleeper {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Sleeper {
    fn new() -> Arc<Self> {
        Arc::new(Sleeper {
            thread: std::thread::current(),
            is_woken: AtomicBool::new(false),
        })
    }

    /// A provider that parks this thread within its poll takes the unpark with
    /// it, so that being woken is remembered apart.
    fn sleep(&self) {
        while !self.is_woken.swap(false, Ordering::Acquire) {
            std::thread::park();
        }
    }
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

thread_local! {
    static IS_WAITING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread polls in order to sleep until that is ready, so that
/// nothing else will happen on it.
#[cfg(any(feature = "aws-kms", feature = "object-store"))]
pub(crate) fn is_waiting() -> bool {
    IS_WAITING.get()
}

/// While it lives, this thread is waiting.
struct Waiting {
    before: bool,
}

impl Waiting {
    fn begin() -> Self {
        Waiting {
            before: IS_WAITING.replace(true),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        IS_WAITING.set(self.before);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::mpsc;
    use std::task::Poll;
    use std::time::Duration;

    use super::block_on;

    #[test]
    fn a_wake_is_not_lost_in_a_poll_that_parks() {
        let (ended, watchdog) = mpsc::channel();
        std::thread::spawn(move || {
            let mut polls = 0;
            block_on(poll_fn(|context| {
                polls += 1;
                match polls {
                    1 => Poll::Pending,
                    2 => {
                        context.waker().wake_by_ref();
                        std::thread::park();
                        Poll::Pending
                    }
                    _ => Poll::Ready(()),
                }
            }));
            ended.send(()).unwrap();
        });
        assert!(watchdog.recv_timeout(Duration::from_secs(60)).is_ok());
    }
}
