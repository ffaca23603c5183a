//! Streams on several threads do what they do on one, also where the source
//! or the sink does not.

mod support;

use std::io::{self, Read, Write};

use support::{builder, context, plaintext, raw, ready};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use waxseal::{AlgorithmSuite, Client, Parallelism};

const UNSIGNED: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;
const SIGNED: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384;

fn with(suite: AlgorithmSuite, parallelism: Parallelism) -> Client {
    builder(suite, raw("key", 7))
        .parallelism(parallelism)
        .build()
        .unwrap()
}

/// Alone, and with another thread.
fn both() -> [Client; 2] {
    [Parallelism::none(), Parallelism::threads(2)].map(|parallelism| with(UNSIGNED, parallelism))
}

/// A source whose reads are these, and then its end.
struct Reads(Vec<io::Result<Vec<u8>>>);

impl Read for Reads {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let bytes = self.0.remove(0)?;
        let length = bytes.len().min(out.len());
        out[..length].copy_from_slice(&bytes[..length]);
        if length < bytes.len() {
            self.0.insert(0, Ok(bytes[length..].to_vec()));
        }
        Ok(length)
    }
}

impl tokio::io::AsyncRead for Reads {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        let length = Read::read(self.get_mut(), buffer.initialize_unfilled());
        std::task::Poll::Ready(length.map(|length| buffer.advance(length)))
    }
}

fn broken() -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::ConnectionReset.into())
}

#[test]
fn what_came_goes_before_the_error_of_the_source() {
    let text = plaintext(3_000_000);
    let mut read = Vec::new();
    for client in both() {
        let message = ready(client.encrypt(&text, &context())).unwrap();
        let source = || Reads(vec![Ok(message[..1_500_000].to_vec()), broken()]);
        let plain = || Reads(vec![Ok(text[..1_500_000].to_vec()), broken()]);
        let blocking = client.blocking();
        let mut opened = Vec::new();
        let mut reader = blocking.decrypt_reader(source(), &context()).unwrap();
        let error = reader.read_to_end(&mut opened).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(text.starts_with(&opened));
        let mut sealed = Vec::new();
        let mut reader = blocking.encrypt_reader(plain(), &context()).unwrap();
        reader.read_to_end(&mut sealed).unwrap_err();
        // The same of the async ones.
        let mut again = Vec::new();
        let mut reader = ready(client.decrypt_reader(source(), &context())).unwrap();
        ready(reader.read_to_end(&mut again)).unwrap_err();
        assert!(again == opened);
        let mut again = Vec::new();
        let mut reader = ready(client.encrypt_reader(plain(), &context())).unwrap();
        ready(reader.read_to_end(&mut again)).unwrap_err();
        assert_eq!(again.len(), sealed.len());
        read.push((opened.len(), sealed.len()));
    }
    assert_eq!(read[0], read[1]);
}

#[test]
fn a_source_that_has_ended_is_not_read_again() {
    for client in both() {
        let source = || {
            Reads(vec![
                Ok(b"before".to_vec()),
                Ok(Vec::new()),
                Ok(b"after".to_vec()),
            ])
        };
        let mut message = Vec::new();
        let mut reader = client
            .blocking()
            .encrypt_reader(source(), &context())
            .unwrap();
        reader.read_to_end(&mut message).unwrap();
        let opened = ready(client.decrypt(&message, &context())).unwrap();
        assert_eq!(opened.plaintext, b"before");
        let mut message = Vec::new();
        let mut reader = ready(client.encrypt_reader(source(), &context())).unwrap();
        ready(reader.read_to_end(&mut message)).unwrap();
        let opened = ready(client.decrypt(&message, &context())).unwrap();
        assert_eq!(opened.plaintext, b"before");
    }
}

#[test]
fn a_flush_after_the_end_passes_on() {
    for client in both() {
        let mut writer = ready(client.encrypt_writer(Vec::new(), &context())).unwrap();
        ready(writer.write_all(&plaintext(1000))).unwrap();
        ready(writer.shutdown()).unwrap();
        ready(writer.flush()).unwrap();
        let message = ready(writer.finish()).unwrap();
        let opened = ready(client.decrypt(&message, &context())).unwrap();
        assert!(opened.plaintext == plaintext(1000));
    }
}

#[tokio::test]
async fn async_readers_and_writers() {
    for suite in [UNSIGNED, SIGNED] {
        let client = with(suite, Parallelism::threads(2));
        for length in [0, 1, 4096, 3 << 20, (5 << 20) + 17] {
            let text = plaintext(length);
            let mut writer = client.encrypt_writer(Vec::new(), &context()).await.unwrap();
            for (number, piece) in text.chunks(700_001).enumerate() {
                writer.write_all(piece).await.unwrap();
                if number.is_multiple_of(2) {
                    writer.flush().await.unwrap();
                }
            }
            let message = writer.finish().await.unwrap();
            let mut reader = client
                .decrypt_reader(&message[..], &context())
                .await
                .unwrap();
            let mut opened = Vec::new();
            reader.read_to_end(&mut opened).await.unwrap();
            assert!(opened == text);
            let mut writer = client.decrypt_writer(Vec::new(), &context());
            for piece in message.chunks(300_001) {
                writer.write_all(piece).await.unwrap();
                writer.flush().await.unwrap();
            }
            assert!(writer.finish().await.unwrap().0 == text);
            let mut reader = client.encrypt_reader(&text[..], &context()).await.unwrap();
            let mut message = Vec::new();
            reader.read_to_end(&mut message).await.unwrap();
            let opened = client.decrypt(&message, &context()).await.unwrap();
            assert!(opened.plaintext == text);
            if length > 1 << 20 {
                let mut damaged = message.clone();
                damaged[message.len() / 2] ^= 1;
                let mut writer = client.decrypt_writer(Vec::new(), &context());
                let written = writer.write_all(&damaged).await;
                assert!(written.is_err() || writer.shutdown().await.is_err());
                assert!(writer.finish().await.is_err());
            }
        }
    }
}

/// A sink that takes so much and no more.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn nothing_more_after_a_sink_that_failed() {
    let text = plaintext(9 << 20);
    for client in both() {
        let message = ready(client.encrypt(&text, &context())).unwrap();
        let blocking = client.blocking();
        let mut writer = blocking.encrypt_writer(Full(1 << 20), &context()).unwrap();
        assert!(writer.write_all(&text).is_err());
        assert!(writer.write_all(&text).is_err());
        assert!(writer.finish().is_err());
        let mut writer = blocking.decrypt_writer(Full(1 << 20), &context());
        assert!(writer.write_all(&message).is_err());
        assert!(writer.write_all(&message).is_err());
        assert!(writer.finish().is_err());
    }
}
