//! A message in arbitrary pieces through both kinds of decryptor, and the
//! readers and writers over them: the verdict of one shot, before it exactly
//! the frames that the model finds, and nothing after it.
#![no_main]

use std::io::{self, Read, Write};

use libfuzzer_sys::fuzz_target;
use waxseal::blocking::{Client, DecryptReader, DecryptWriter, Decryptor};
use waxseal::{DecryptionDetails, EncryptionContext, Error, ReleaseMode};
use waxseal_fuzz::caller::{Caller, kind};
use waxseal_fuzz::craft::craft;
use waxseal_fuzz::model::{self, Kind, KnownSignature, Reading, Way};
use waxseal_fuzz::recipe::Recipe;
use waxseal_fuzz::tape::{self, Coded, Cuts, Tape};
use waxseal_fuzz::vectors::reader_of_all;

#[derive(Default)]
struct Input {
    cuts: Cuts,
    /// Bits: unverified (of a signed message, which is slow, only this way or
    /// the other), and also one shot by the library.
    ways: u8,
    /// How it is driven.
    driver: u8,
    /// A message as it is, under the vectors' keys, and no recipe.
    is_raw: bool,
    raw: Vec<u8>,
    recipe: Recipe,
}

impl Coded for Input {
    fn code(&mut self, tape: &mut impl Tape) {
        self.cuts.code(tape);
        tape.byte(&mut self.ways);
        tape.byte(&mut self.driver);
        tape.flag(&mut self.is_raw);
        if self.is_raw {
            tape.rest(&mut self.raw);
        } else {
            self.recipe.code(tape);
        }
    }
}

struct Subject<'a> {
    message: &'a [u8],
    pieces: Vec<&'a [u8]>,
    client: Client,
    context: EncryptionContext,
}

fuzz_target!(|data: &[u8]| {
    let input: Input = tape::read(data);
    let (message, caller, known) = if input.is_raw {
        (input.raw, reader_of_all(), None)
    } else {
        let crafted = craft(&input.recipe);
        (crafted.message, crafted.caller, crafted.known)
    };
    let subject = Subject {
        message: &message,
        pieces: input.cuts.pieces(&message),
        client: caller.client(),
        context: caller.context(),
    };
    let is_signed =
        model::header(&message, None, usize::MAX).is_ok_and(|header| header.suite.curve.is_some());
    let known = known.as_ref();
    for way in [Way::Stream, Way::StreamUnverified] {
        let is_chosen = (input.ways & 1 == 0) == (way == Way::Stream);
        if is_chosen || !is_signed {
            let expected = model::read(&message, &caller, way, known);
            subject.stream(way, input.driver, &expected);
        }
    }
    if input.ways & 2 == 0 || !is_signed {
        subject.one_shot(&caller, known);
    }
});

impl Subject<'_> {
    fn stream(&self, way: Way, driver: u8, expected: &Reading) {
        let (client, context) = (&self.client, &self.context);
        let mut out = Vec::new();
        let result = match (way, driver % 3) {
            (Way::Stream, 0) => self.push(client.decryptor(context), &mut out),
            (Way::Stream, 1) => read(client.decrypt_reader(self.source(), context), &mut out),
            (Way::Stream, _) => self.write(client.decrypt_writer(&mut out, context)),
            (_, 0) => self.push(client.decryptor_unverified(context), &mut out),
            (_, 1) => {
                let reader = client.decrypt_reader_unverified(self.source(), context);
                read(reader, &mut out)
            }
            (_, _) => self.write(client.decrypt_writer_unverified(&mut out, context)),
        };
        let found = result.as_ref().map(|_| ()).map_err(kind);
        assert_eq!(found, expected.alone(self.message));
        assert!(out == expected.released, "other bytes came out");
        if let (Ok(details), Ok(end)) = (result, &expected.result) {
            assert_eq!(details.suite.id(), end.header.suite.id);
            assert_eq!(details.encrypted_data_key_index, end.index);
            assert_eq!(details.message_id(), end.header.message_id);
        }
    }

    /// One shot by the library itself, which has no limit of buffering and
    /// does not refuse signed messages.
    fn one_shot(&self, caller: &Caller, known: Option<&KnownSignature>) {
        let expected = model::read(self.message, caller, Way::Whole, known);
        match self.client.decrypt(self.message, &self.context) {
            Ok(decrypted) => {
                assert_eq!(expected.alone(self.message), Ok(()));
                assert!(decrypted.plaintext == expected.plaintext());
            }
            Err(error) => assert_eq!(Err(kind(&error)), expected.alone(self.message)),
        }
        let streamed = model::read(self.message, caller, Way::Stream, known);
        if !matches!(
            streamed.result,
            Err(Kind::Buffer(_) | Kind::SignedStreamRefused)
        ) {
            assert_eq!(
                streamed.alone(self.message),
                expected.alone(self.message),
                "the model itself"
            );
        }
    }
}

/// How a message ended.
type End = Result<DecryptionDetails, Error>;

impl Subject<'_> {
    fn source(&self) -> Pieces<'_> {
        Pieces {
            coming: self.pieces.iter(),
            now: &[],
        }
    }

    fn push<M: ReleaseMode>(&self, mut decryptor: Decryptor<M>, out: &mut Vec<u8>) -> End {
        for piece in &self.pieces {
            let Err(error) = decryptor.push(piece, out) else {
                continue;
            };
            let released = out.len();
            for more in [&b""[..], piece, self.message] {
                let closed = decryptor.push(more, out);
                assert!(matches!(closed, Err(Error::StreamClosed)), "{closed:?}");
            }
            assert_eq!(out.len(), released, "something came after the error");
            assert!(decryptor.details().is_none());
            assert!(matches!(decryptor.finish(), Err(Error::StreamClosed)));
            return Err(error);
        }
        decryptor.finish()
    }

    fn write<M: ReleaseMode>(&self, mut writer: DecryptWriter<&mut Vec<u8>, M>) -> End {
        for piece in &self.pieces {
            let Err(error) = writer.write_all(piece) else {
                continue;
            };
            let again = writer.write(piece).expect_err("an error stays");
            assert!(matches!(inner(again), Error::StreamClosed));
            let end = writer.finish().expect_err("an error stays");
            assert!(matches!(inner(end), Error::StreamClosed));
            return Err(inner(error));
        }
        let (_, details) = writer.finish().map_err(inner)?;
        Ok(details)
    }
}

fn read<M: ReleaseMode>(
    opened: io::Result<DecryptReader<Pieces<'_>, M>>,
    out: &mut Vec<u8>,
) -> End {
    let mut reader = opened.map_err(inner)?;
    let mut buffer = [0; 48];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => {
                assert!(matches!(reader.read(&mut buffer), Ok(0)));
                return Ok(reader.details().expect("it ended well").clone());
            }
            Ok(length) => out.extend_from_slice(&buffer[..length]),
            Err(error) => {
                let again = reader.read(&mut buffer).expect_err("an error stays");
                assert!(matches!(inner(again), Error::StreamClosed));
                return Err(inner(error));
            }
        }
    }
}

fn inner(error: io::Error) -> Error {
    *error
        .into_inner()
        .expect("the library's error")
        .downcast::<Error>()
        .expect("the library's error")
}

/// Gives the pieces one by one, as far as the buffer goes; an empty one would
/// be the end, and is left out.
struct Pieces<'a> {
    coming: std::slice::Iter<'a, &'a [u8]>,
    now: &'a [u8],
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.now.is_empty() {
            let next = self.coming.find(|piece| !piece.is_empty());
            self.now = next.copied().unwrap_or_default();
        }
        self.now.read(buffer)
    }
}
