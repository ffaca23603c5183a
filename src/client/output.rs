//! Where bytes are written: a vector that grows, a buffer that is used again,
//! or the caller's own.

use zeroize::Zeroize;

use crate::crypto::{ReusedBuffer, reserve_wiping};
use crate::error::{Error, Result};

pub(super) trait Output {
    /// Whether [`grow`](Self::grow) costs nothing, so that writing from one
    /// buffer into the other beats appending and working in place.
    const GROWS_FREELY: bool;

    fn length(&self) -> usize;

    /// How many bytes more there is room for.
    fn room(&self) -> usize;

    /// Appends, and lends what was appended, to be worked on in place.
    fn put(&mut self, bytes: &[u8]) -> Result<&mut [u8]>;

    /// Appends so many bytes, to be overwritten: they may hold anything. The
    /// caller has the bytes that they are made from: no announced length.
    fn grow(&mut self, length: usize) -> Result<&mut [u8]>;

    /// Wipes and takes back all beyond the first `length` bytes.
    fn retreat(&mut self, length: usize);
}

impl Output for Vec<u8> {
    const GROWS_FREELY: bool = false;

    fn length(&self) -> usize {
        self.len()
    }

    fn room(&self) -> usize {
        isize::MAX as usize - self.len()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<&mut [u8]> {
        let start = self.len();
        reserve_wiping(self, bytes.len());
        self.extend_from_slice(bytes);
        Ok(&mut self[start..])
    }

    fn grow(&mut self, length: usize) -> Result<&mut [u8]> {
        let start = self.len();
        reserve_wiping(self, length);
        self.resize(start + length, 0);
        Ok(&mut self[start..])
    }

    fn retreat(&mut self, length: usize) {
        if let Some(tail) = self.get_mut(length..) {
            tail.zeroize();
            self.truncate(length);
        }
    }
}

impl<const IS_SECRET: bool> Output for ReusedBuffer<IS_SECRET> {
    const GROWS_FREELY: bool = true;

    fn length(&self) -> usize {
        self.len()
    }

    fn room(&self) -> usize {
        isize::MAX as usize - self.len()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<&mut [u8]> {
        let room = ReusedBuffer::grow(self, bytes.len());
        room.copy_from_slice(bytes);
        Ok(room)
    }

    fn grow(&mut self, length: usize) -> Result<&mut [u8]> {
        Ok(ReusedBuffer::grow(self, length))
    }

    fn retreat(&mut self, length: usize) {
        self.truncate(length);
    }
}

/// The caller's buffer, and how much of it is used.
pub(super) struct Buffer<'a> {
    bytes: &'a mut [u8],
    used: usize,
}

impl<'a> Buffer<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Buffer { bytes, used: 0 }
    }
}

impl Output for Buffer<'_> {
    const GROWS_FREELY: bool = true;

    fn length(&self) -> usize {
        self.used
    }

    fn room(&self) -> usize {
        self.bytes.len() - self.used
    }

    fn put(&mut self, bytes: &[u8]) -> Result<&mut [u8]> {
        let room = self.grow(bytes.len())?;
        room.copy_from_slice(bytes);
        Ok(room)
    }

    fn grow(&mut self, length: usize) -> Result<&mut [u8]> {
        let available = self.bytes.len();
        let free = &mut self.bytes[self.used..];
        let Some(taken) = free.get_mut(..length) else {
            let needed = self.used as u64 + length as u64;
            return Err(Error::OutputTooSmall { needed, available });
        };
        self.used += length;
        Ok(taken)
    }

    fn retreat(&mut self, length: usize) {
        if let Some(tail) = self.bytes.get_mut(length..self.used) {
            tail.zeroize();
            self.used = length;
        }
    }
}
