//! How the readers and writers cut what goes through them: as it comes, or
//! gathered into pieces that are long enough for several threads.

use std::io;

use crate::crypto::ReusedBuffer;

/// How much the readers and writers take at a time, in bytes.
pub(super) const CHUNK: usize = 64 * 1024;

/// What is written to a stream, on its way into a piece.
pub(super) struct Gathered<const IS_SECRET: bool> {
    /// How long a piece is; `None` for what comes.
    piece: Option<usize>,
    bytes: ReusedBuffer<IS_SECRET>,
}

impl<const IS_SECRET: bool> Gathered<IS_SECRET> {
    pub(super) fn new(piece: Option<usize>) -> Self {
        Gathered {
            piece,
            bytes: ReusedBuffer::default(),
        }
    }

    /// Has pieces of another length from now on.
    pub(super) fn set_piece(&mut self, piece: Option<usize>) {
        self.piece = piece;
    }

    /// Takes of the input; says how much, and gives a piece when there is one.
    /// A piece that was given must be worked on, and [cleared](Self::clear)
    /// then.
    pub(super) fn take<'a>(&'a mut self, input: &'a [u8]) -> (usize, Option<&'a [u8]>) {
        let Some(piece) = self.piece else {
            let taken = input.len().min(CHUNK);
            return (taken, Some(&input[..taken]));
        };
        if self.bytes.is_empty() && input.len() >= piece {
            return (piece, Some(&input[..piece]));
        }
        let taken = input.len().min(piece.saturating_sub(self.bytes.len()));
        self.bytes.extend(&input[..taken]);
        let is_full = self.bytes.len() >= piece;
        (taken, is_full.then_some(self.bytes.as_slice()))
    }

    /// What waits for the rest of its piece.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }
}

/// What is read from a source, until it is worked on.
pub(super) struct Intake<const IS_SECRET: bool> {
    bytes: ReusedBuffer<IS_SECRET>,
    filled: usize,
    /// Whether a piece is waited for, or what comes is worked on.
    is_piece: bool,
    /// How the source ended, or failed, while there was something to work on:
    /// that comes first, and the source is not asked again before.
    end: Option<io::Result<()>>,
}

impl<const IS_SECRET: bool> Intake<IS_SECRET> {
    pub(super) fn new(piece: Option<usize>) -> Self {
        let mut bytes = ReusedBuffer::default();
        bytes.grow(piece.unwrap_or(CHUNK));
        Intake {
            bytes,
            filled: 0,
            is_piece: piece.is_some(),
            end: None,
        }
    }

    /// Where the next bytes go; empty when it is full.
    pub(super) fn free(&mut self) -> &mut [u8] {
        &mut self.bytes.as_mut_slice()[self.filled..]
    }

    /// How the source ended before, if that has not been said yet.
    pub(super) fn take_end(&mut self) -> Option<io::Result<()>> {
        self.end.take()
    }

    /// So many bytes came, or an error; gives what is to be said where there
    /// is enough to work on, or the source is at its end: nothing is
    /// [filled](Self::filled) then.
    pub(super) fn advance(&mut self, read: io::Result<usize>) -> Option<io::Result<()>> {
        let end = match read {
            Ok(0) => Ok(()),
            Ok(length) => {
                self.filled = self.filled.saturating_add(length).min(self.bytes.len());
                let is_enough = !self.is_piece || self.filled == self.bytes.len();
                return is_enough.then_some(Ok(()));
            }
            Err(error) => Err(error),
        };
        if self.filled == 0 {
            return Some(end);
        }
        self.end = Some(end);
        Some(Ok(()))
    }

    /// What came.
    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes.as_slice()[..self.filled]
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathers_pieces() {
        let mut gathered = Gathered::<true>::new(Some(4));
        assert_eq!(gathered.take(b"abcdef"), (4, Some(&b"abcd"[..])));
        assert_eq!(gathered.take(b"ef"), (2, None));
        assert_eq!(gathered.take(b"ghij"), (2, Some(&b"efgh"[..])));
        gathered.clear();
        assert_eq!(gathered.take(b"i"), (1, None));
        assert_eq!(gathered.rest(), b"i");
        let mut as_it_comes = Gathered::<false>::new(None);
        assert_eq!(as_it_comes.take(b"ab"), (2, Some(&b"ab"[..])));
        assert_eq!(as_it_comes.take(&vec![0; CHUNK + 1]).0, CHUNK);
        assert!(as_it_comes.rest().is_empty());
    }

    #[test]
    fn takes_in_pieces() {
        let mut intake = Intake::<true>::new(Some(4));
        intake.free()[..3].copy_from_slice(b"abc");
        assert!(intake.advance(Ok(3)).is_none());
        assert_eq!(intake.free().len(), 1);
        assert!(matches!(intake.advance(Ok(1)), Some(Ok(()))));
        assert_eq!(intake.filled(), b"abc\0");
        intake.clear();
        // The source's end, or an error.
        assert!(matches!(intake.advance(Ok(0)), Some(Ok(()))));
        assert!(intake.filled().is_empty());
        let failed = || Err(io::Error::other("broken"));
        assert!(matches!(intake.advance(failed()), Some(Err(_))));
        assert!(intake.take_end().is_none());
        // The same after something came.
        for (end, is_error) in [(Ok(0), false), (failed(), true)] {
            assert!(intake.advance(Ok(1)).is_none());
            assert!(matches!(intake.advance(end), Some(Ok(()))));
            assert_eq!(intake.filled().len(), 1);
            intake.clear();
            assert_eq!(intake.take_end().unwrap().is_err(), is_error);
            assert!(intake.take_end().is_none());
        }
        let mut as_it_comes = Intake::<false>::new(None);
        assert!(matches!(as_it_comes.advance(Ok(1)), Some(Ok(()))));
    }
}
