//! Message ids.

use std::fmt;

use crate::suite::AlgorithmSuite;

/// A message id: 16 bytes in version 1, 32 in version 2.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageId {
    bytes: [u8; 32],
    length: usize,
}

impl MessageId {
    pub(crate) fn zeroed(suite: AlgorithmSuite) -> Self {
        MessageId {
            bytes: [0; 32],
            length: suite.message_id_length(),
        }
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl AsRef<[u8]> for MessageId {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
