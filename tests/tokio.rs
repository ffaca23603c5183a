//! Messages through `AsyncRead` and `AsyncWrite`.

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use waxseal::{Client, EncryptionContext, Error, RawAesProvider, SecretBytes};

fn client(signed: bool) -> Client {
    let key = SecretBytes::from(vec![7; 32]);
    let provider = RawAesProvider::new("ns", "key", &key).unwrap();
    Client::builder(provider)
        .signed(signed)
        .frame_length(1000)
        .build()
        .unwrap()
}

fn context() -> EncryptionContext {
    EncryptionContext::from([("a", "b")])
}

fn plaintext(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}

/// I/O that is pending every other time, and takes or gives little.
struct Awkward<T> {
    inner: T,
    step: usize,
}

impl<T> Awkward<T> {
    fn new(inner: T) -> Self {
        Awkward { inner, step: 0 }
    }

    fn is_pending(&mut self, cx: &mut Context<'_>) -> bool {
        self.step += 1;
        cx.waker().wake_by_ref();
        self.step.is_multiple_of(2)
    }
}

impl AsyncRead for Awkward<&[u8]> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.is_pending(cx) {
            return Poll::Pending;
        }
        let length = buffer
            .remaining()
            .min(self.inner.len())
            .min(17 + self.step % 1500);
        let (now, later) = self.inner.split_at(length);
        buffer.put_slice(now);
        self.inner = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Awkward<Vec<u8>> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.is_pending(cx) {
            return Poll::Pending;
        }
        let length = bytes.len().min(13 + self.step % 1500);
        self.inner.extend_from_slice(&bytes[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn cause(error: &std::io::Error) -> &Error {
    error
        .get_ref()
        .and_then(|cause| cause.downcast_ref())
        .expect("an error of this library")
}

#[tokio::test]
async fn every_adapter_round_trips() {
    for signed in [false, true] {
        let client = client(signed);
        for length in [0, 1, 999, 1000, 1001, 5000, 200_000] {
            let plaintext = plaintext(length);
            let sink = Awkward::new(Vec::new());
            let mut writer = client.encrypt_writer(sink, &context()).await.unwrap();
            writer.write_all(&plaintext).await.unwrap();
            let written = writer.finish().await.unwrap().inner;

            let source = Awkward::new(&plaintext[..]);
            let mut reader = client.encrypt_reader(source, &context()).await.unwrap();
            let mut read = Vec::new();
            reader.read_to_end(&mut read).await.unwrap();

            for message in [written, read] {
                let source = Awkward::new(&message[..]);
                let mut reader = client.decrypt_reader(source, &context()).await.unwrap();
                assert_eq!(reader.details().unwrap().key, "key");
                assert_eq!(reader.header().unwrap().is_signed(), signed);
                let mut out = Vec::new();
                reader.read_to_end(&mut out).await.unwrap();
                assert!(out == plaintext);

                let source = Awkward::new(&message[..]);
                let mut reader = client
                    .decrypt_reader_unverified(source, &context())
                    .await
                    .unwrap();
                let mut out = Vec::new();
                reader.read_to_end(&mut out).await.unwrap();
                assert!(out == plaintext);

                let sink = Awkward::new(Vec::new());
                let mut writer = client.decrypt_writer(sink, &context());
                for piece in message.chunks(777) {
                    writer.write_all(piece).await.unwrap();
                }
                let (sink, details) = writer.finish().await.unwrap();
                assert!(sink.inner == plaintext);
                assert_eq!(details.context.get("a"), Some("b"));
            }
        }
    }
}

#[tokio::test]
async fn shutting_down_ends_a_message_and_dropping_does_not() {
    let client = client(false);
    let plaintext = plaintext(3000);
    let mut ended = Vec::new();
    let mut writer = client.encrypt_writer(&mut ended, &context()).await.unwrap();
    writer.write_all(&plaintext).await.unwrap();
    writer.shutdown().await.unwrap();
    assert!(writer.write_all(b"more").await.is_err());
    assert_eq!(
        client.decrypt(&ended, &context()).await.unwrap().plaintext,
        plaintext
    );

    let mut dropped = Vec::new();
    let mut writer = client
        .encrypt_writer(&mut dropped, &context())
        .await
        .unwrap();
    writer.write_all(&plaintext).await.unwrap();
    writer.flush().await.unwrap();
    drop(writer);
    let error = client.decrypt(&dropped, &context()).await.unwrap_err();
    assert!(matches!(error, Error::Truncated), "{error}");
}

#[tokio::test]
async fn an_error_comes_after_the_frames_before_it() {
    let client = client(false);
    let plaintext = plaintext(5000);
    let mut message = client.encrypt(&plaintext, &context()).await.unwrap();
    let at = message.len() - 3000;
    message[at] ^= 1;
    // Damaged in frame 3.
    let mut reader = client
        .decrypt_reader(&message[..], &context())
        .await
        .unwrap();
    let mut out = Vec::new();
    let error = reader.read_to_end(&mut out).await.unwrap_err();
    assert!(
        matches!(
            cause(&error),
            Error::FrameAuthentication { sequence_number: 3 }
        ),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(out, plaintext[..2000]);
    let again = reader.read(&mut [0; 10]).await.unwrap_err();
    assert!(matches!(cause(&again), Error::StreamClosed));

    let mut sink = Vec::new();
    let mut writer = client.decrypt_writer(&mut sink, &context());
    // Taken, and judged with the next call.
    let written = writer.write_all(&message).await;
    let error = match written {
        Ok(()) => writer.finish().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(
        matches!(
            cause(&error),
            Error::FrameAuthentication { sequence_number: 3 }
        ),
        "{error}"
    );
    assert_eq!(sink, plaintext[..2000]);
}

#[tokio::test]
async fn ends_that_are_none() {
    let client = client(true);
    let message = client.encrypt(&plaintext(2500), &context()).await.unwrap();
    for end in [0, 1, 100, message.len() - 200, message.len() - 1] {
        let mut out = Vec::new();
        let read = match client.decrypt_reader(&message[..end], &context()).await {
            Ok(mut reader) => reader.read_to_end(&mut out).await,
            Err(error) => Err(error),
        };
        let error = read.unwrap_err();
        assert!(matches!(cause(&error), Error::Truncated), "{error}");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(out.is_empty(), "unverified plaintext came out");

        let mut writer = client.decrypt_writer(Vec::new(), &context());
        writer.write_all(&message[..end]).await.unwrap();
        let error = writer.finish().await.unwrap_err();
        assert!(matches!(cause(&error), Error::Truncated), "{error}");
    }
    let longer = [&message[..], b"x"].concat();
    let mut reader = client
        .decrypt_reader(&longer[..], &context())
        .await
        .unwrap();
    let error = reader.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert!(matches!(cause(&error), Error::TrailingBytes), "{error}");
}
