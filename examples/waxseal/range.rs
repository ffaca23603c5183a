//! `waxseal decrypt --range`.

use std::io::{self, Read, Seek, SeekFrom};
use std::str::FromStr;

use waxseal::blocking::{Client, SeekReader};
use waxseal::{DecryptionDetails, EncryptionContext, ReleaseMode};

use crate::failure::{Action, Failure, say};
use crate::files::{Input, Output};

/// Bytes of plaintext, as the command line names them.
#[derive(Clone, Copy)]
pub(crate) struct ByteRange {
    start: u64,
    /// Excluded; `None` is the plaintext's end.
    end: Option<u64>,
}

impl FromStr for ByteRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "a range is A..B, A.. or ..B, of whole bytes from 0";
        let number = |digits: &str| {
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| is_number).ok_or(FORM)
        };
        let (start, end) = text.split_once("..").ok_or(FORM)?;
        if start.is_empty() && end.is_empty() {
            return Err(FORM);
        }
        let range = ByteRange {
            start: match start {
                "" => 0,
                start => number(start)?,
            },
            end: match end {
                "" => None,
                end => Some(number(end)?),
            },
        };
        if range.end.is_some_and(|end| end < range.start) {
            return Err("it ends before it begins");
        }
        Ok(range)
    }
}

impl ByteRange {
    /// Decrypts it, reading only what it needs; says what opened the message.
    pub(crate) fn decrypt(
        self,
        action: Action,
        client: &Client,
        context: &EncryptionContext,
        allow_unverified: bool,
        input: &mut Input,
        output: &mut Output,
    ) -> Result<DecryptionDetails, Failure> {
        if !input.is_seekable() {
            return Err(Failure::usage(format!(
                "--range needs a file that it can read parts of, and {} is not one: \
                 give its name, or decrypt all of it",
                input.name()
            )));
        }
        if allow_unverified {
            match client.seek_reader_unverified(&mut *input, context) {
                Ok(reader) => self.copy(action, reader, output),
                Err(error) => Err(input.not_opened(action, error)),
            }
        } else {
            match client.seek_reader(&mut *input, context) {
                Ok(reader) => self.copy(action, reader, output),
                Err(error) => Err(input.not_opened(action, error)),
            }
        }
    }

    fn copy<M: ReleaseMode>(
        self,
        action: Action,
        mut reader: SeekReader<&mut Input, M>,
        output: &mut Output,
    ) -> Result<DecryptionDetails, Failure> {
        let details = reader.details().clone();
        if details.suite.is_signed() {
            say(
                "warning: the signature is not verified, whatever the exit code: \
                 it is over all of the message",
            );
        }
        let name = reader.get_ref().name().to_owned();
        let failed = |error| Failure::read(action, &name, error);
        reader.seek(SeekFrom::Start(self.start)).map_err(failed)?;
        let length = self.end.map_or(u64::MAX, |end| end - self.start);
        let mut counted = Counted {
            reader: reader.by_ref().take(length),
            count: 0,
        };
        output.copy_from(&mut counted, failed)?;
        // A range of nothing begins somewhere, too.
        let begins = counted.count > 0
            || self.start == 0
            || (length == 0 && reader.read_at(self.start, &mut [0]).map_err(failed)? > 0);
        // Where nothing came, the end is known already.
        if !begins {
            let length = reader.verified_length().map_err(failed)?;
            if length < self.start {
                return Err(Failure::usage(format!(
                    "--range begins behind the end of {name}, whose plaintext has {length} bytes"
                )));
            }
        }
        Ok(details)
    }
}

/// Counts what is read.
struct Counted<R> {
    reader: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(out)?;
        self.count += read as u64;
        Ok(read)
    }
}
