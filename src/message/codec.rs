//! Reading big-endian fields from a slice.

use crate::crypto::{TAG_LENGTH, Tag};
use crate::error::{Error, FormatError};

/// The bytes end before the field does: at least so many are needed, counted
/// from where the reader started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incomplete {
    pub(crate) needed: u64,
}

/// Why a part of a message was not read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// More bytes are needed.
    Incomplete(Incomplete),
    /// More bytes would not help.
    Invalid(Error),
}

impl From<Incomplete> for ReadError {
    fn from(incomplete: Incomplete) -> Self {
        ReadError::Incomplete(incomplete)
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        ReadError::Invalid(error)
    }
}

impl From<FormatError> for ReadError {
    fn from(error: FormatError) -> Self {
        ReadError::Invalid(error.into())
    }
}

/// A cursor over bytes. It never reads past the end and allocates nothing: a
/// length that was read is turned into a slice of what is there, or fails.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, position: 0 }
    }

    /// Starts in the middle; positions still count from the slice's start.
    pub(crate) fn at(bytes: &'a [u8], position: usize) -> Self {
        Reader {
            bytes,
            position: position.min(bytes.len()),
        }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// What was read from this position on.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.position).unwrap_or_default()
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.position == self.bytes.len()
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Incomplete> {
        let needed = (self.position as u64).saturating_add(length as u64);
        let rest = &self.bytes[self.position..];
        let taken = rest.get(..length).ok_or(Incomplete { needed })?;
        self.position += length;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Incomplete> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Incomplete> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Incomplete> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Incomplete> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Incomplete> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// Content of a length that may be hostile, and the tag after it. Asks for
    /// both at once where they are not there.
    pub(crate) fn take_with_tag(&mut self, length: u64) -> Result<(&'a [u8], Tag), Incomplete> {
        let needed = (self.position as u64)
            .saturating_add(length)
            .saturating_add(TAG_LENGTH as u64);
        if needed > self.bytes.len() as u64 {
            return Err(Incomplete { needed });
        }
        // It fits: it is not longer than the bytes that are there.
        Ok((self.take(length as usize)?, self.array()?))
    }

    /// A field with its length in two bytes before it.
    pub(crate) fn u16_prefixed(&mut self) -> Result<&'a [u8], Incomplete> {
        let length = self.u16()?;
        self.take(length.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_much_is_needed() {
        let mut reader = Reader::at(&[9, 0, 3, 1, 2], 1);
        assert_eq!(reader.clone().u16_prefixed(), Err(Incomplete { needed: 6 }));
        assert_eq!(reader.u16(), Ok(3));
        assert_eq!(reader.position(), 3);
        assert_eq!(reader.u32(), Err(Incomplete { needed: 7 }));
        assert_eq!(reader.take(2), Ok(&[1, 2][..]));
        assert!(reader.is_at_end());
        assert_eq!(
            reader.take(usize::MAX),
            Err(Incomplete { needed: u64::MAX })
        );
    }
}
