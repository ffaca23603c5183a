//! Where bytes are written: a vector that grows, or the caller's own buffer.

use zeroize::Zeroize;

use crate::crypto::{SecretBuffer, extend_wiping};
use crate::error::{Error, Result};

pub(super) trait Output {
    fn length(&self) -> usize;

    /// Appends, and lends what was appended, to be worked on in place.
    fn put(&mut self, bytes: &[u8]) -> Result<&mut [u8]>;

    /// Wipes and takes back all beyond the first `length` bytes.
    fn retreat(&mut self, length: usize);
}

impl Output for Vec<u8> {
    fn length(&self) -> usize {
        self.len()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<&mut [u8]> {
        let start = self.len();
        extend_wiping(self, bytes);
        Ok(&mut self[start..])
    }

    fn retreat(&mut self, length: usize) {
        if let Some(tail) = self.get_mut(length..) {
            tail.zeroize();
            self.truncate(length);
        }
    }
}

impl Output for SecretBuffer {
    fn length(&self) -> usize {
        self.len()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<&mut [u8]> {
        let start = self.len();
        self.extend(bytes);
        Ok(&mut self.as_mut_slice()[start..])
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
    fn length(&self) -> usize {
        self.used
    }

    fn put(&mut self, bytes: &[u8]) -> Result<&mut [u8]> {
        let available = self.bytes.len();
        let free = &mut self.bytes[self.used..];
        let Some(taken) = free.get_mut(..bytes.len()) else {
            let needed = self.used as u64 + bytes.len() as u64;
            return Err(Error::OutputTooSmall { needed, available });
        };
        taken.copy_from_slice(bytes);
        self.used += bytes.len();
        Ok(taken)
    }

    fn retreat(&mut self, length: usize) {
        if let Some(tail) = self.bytes.get_mut(length..self.used) {
            tail.zeroize();
            self.used = length;
        }
    }
}
