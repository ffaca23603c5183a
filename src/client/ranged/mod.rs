//! Random access: parts of a message without the rest of it.
//!
//! [`layout`] says where what stands, [`message`] opens frames from bytes that
//! somebody fetches for it, and does no I/O. The readers fetch: [`seek`] from
//! `Read + Seek`, [`remote`] from whatever gives ranges of bytes.

mod layout;
mod message;
#[cfg(feature = "object-store")]
mod object;
mod opening;
mod remote;
mod seek;

pub use layout::RangePlan;
#[cfg(feature = "object-store")]
pub use object::ObjectSource;
pub use remote::{RangeReader, RangeSource, SourceFuture};
pub use seek::SeekReader;

/// How much is read at once, in bytes, to find the header.
const FIRST: u64 = 4096;

/// How many bytes of whole frames are read ahead of one who reads on, and kept
/// open; one frame at least.
const AHEAD: u64 = 64 * 1024;
