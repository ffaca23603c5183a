//! The message format: bytes in, values out. No I/O, no async, no keys.
//!
//! Specification: data-format/message.md and the files that it names. For
//! each part, reading and writing stand side by side. The same reading code
//! takes whole messages and pieces: what is not there yet is
//! [`ReadError::Incomplete`], which a whole message turns into [`Error::Truncated`](crate::Error::Truncated).

mod body;
mod codec;
mod edk;
mod footer;
mod header;
mod id;

pub(crate) use body::{
    Aad, ContentType, FrameHead, FrameKind, MAX_UNFRAMED, RegularFrame, SEQUENCE_NUMBER_END,
    frame_iv,
};
pub(crate) use codec::{ReadError, Reader};
pub use edk::EncryptedDataKey;
pub(crate) use footer::{FOOTER_OVERHEAD, read_footer, write_footer};
pub(crate) use header::{Header, HeaderBody, HeaderLimits, HeaderParser};
pub(crate) use id::MessageId;
