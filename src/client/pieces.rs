//! How the readers and writers cut what goes through them: as it comes, or
//! gathered into pieces that are long enough for several threads.

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
}

impl<const IS_SECRET: bool> Intake<IS_SECRET> {
    pub(super) fn new(piece: Option<usize>) -> Self {
        let mut bytes = ReusedBuffer::default();
        bytes.grow(piece.unwrap_or(CHUNK));
        Intake {
            bytes,
            filled: 0,
            is_piece: piece.is_some(),
        }
    }

    /// Where the next bytes go; empty when it is full.
    pub(super) fn free(&mut self) -> &mut [u8] {
        &mut self.bytes.as_mut_slice()[self.filled..]
    }

    /// So many bytes came; says whether there is enough to work on.
    pub(super) fn advance(&mut self, length: usize) -> bool {
        self.filled = self.filled.saturating_add(length).min(self.bytes.len());
        !self.is_piece || length == 0 || self.filled == self.bytes.len()
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
        assert!(!intake.advance(3));
        assert_eq!(intake.free().len(), 1);
        assert!(intake.advance(1));
        assert_eq!(intake.filled(), b"abc\0");
        intake.clear();
        // The source's end.
        assert!(intake.advance(0));
        assert!(intake.filled().is_empty());
        assert!(Intake::<false>::new(None).advance(1));
    }
}
