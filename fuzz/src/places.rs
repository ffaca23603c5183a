//! Random access: which frames of a message are authentic at their own places,
//! whatever lies between them. It is here to be compared with the library.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::model::{Cursor, Frame, Opened};
use crate::primitives::{Curve, open};

/// Bytes that a regular frame has beside its content.
const OVERHEAD: u64 = 32;

/// The frames of a message by their places.
#[derive(Debug, Default)]
pub struct Places {
    /// Bytes of plaintext of a regular frame.
    pub frame_length: u64,
    /// By their index, from 0.
    pub frames: BTreeMap<u64, Place>,
    /// Where the plaintext may end: once, but for very odd messages.
    pub ends: BTreeSet<u64>,
}

/// A frame that is authentic.
#[derive(Debug)]
pub struct Place {
    pub plaintext: Vec<u8>,
    /// Where it stands in the message, with the footer that follows it.
    pub message: Range<u64>,
}

impl Places {
    /// The frames among these bytes, which are the message's beginning; the
    /// message is said to have this length.
    pub fn find(opened: &Opened, bytes: &[u8], length: u64) -> Self {
        let held = usize::try_from(length).map_or(bytes.len(), |length| bytes.len().min(length));
        let bytes = &bytes[..held];
        let mut places = Places {
            frame_length: opened.header.frame_length.map_or(u64::MAX, u64::from),
            ..Places::default()
        };
        let mut start = opened.header.length as u64;
        for index in 0.. {
            if start >= bytes.len() as u64 {
                break;
            }
            if let Some((place, is_last)) = frame(opened, bytes, length, index, start as usize) {
                if is_last {
                    let before = index * places.frame_length;
                    places.ends.insert(before + place.plaintext.len() as u64);
                }
                places.frames.insert(index, place);
            }
            if opened.header.frame_length.is_none() {
                break;
            }
            start = start.saturating_add(places.frame_length + OVERHEAD);
        }
        places
    }

    /// What is authentic from here on, to the end of its frame.
    pub fn piece(&self, offset: u64) -> Option<&[u8]> {
        let index = offset / self.frame_length;
        let skipped = usize::try_from(offset - index * self.frame_length).ok()?;
        let rest = self.frames.get(&index)?.plaintext.get(skipped..)?;
        Some(rest).filter(|rest| !rest.is_empty())
    }

    /// What a read gives; `None` where it comes to something that is not
    /// authentic.
    pub fn read(&self, offset: u64, length: u64) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        while (out.len() as u64) < length {
            let at = offset.saturating_add(out.len() as u64);
            let Some(piece) = self.piece(at) else {
                return self.is_end(at).then_some(out);
            };
            let wanted = length - out.len() as u64;
            out.extend_from_slice(&piece[..piece.len().min(wanted as usize)]);
        }
        Some(out)
    }

    /// Whether the plaintext ends here, or before.
    pub fn is_end(&self, offset: u64) -> bool {
        self.ends.first().is_some_and(|end| *end <= offset)
    }

    /// Whether there is more than one end, or something behind it: then either
    /// is right.
    pub fn is_ambiguous(&self) -> bool {
        let Some(end) = self.ends.first() else {
            return false;
        };
        self.ends.len() > 1 || self.piece(*end).is_some()
    }

    /// The most bytes that an authentic frame has.
    pub fn longest(&self) -> u64 {
        let lengths = self.frames.values().map(|place| place.plaintext.len());
        lengths.max().unwrap_or(0) as u64
    }
}

/// The frame at this place, and whether it is the final one, which it is only
/// where the message ends with it.
fn frame(
    opened: &Opened,
    bytes: &[u8],
    length: u64,
    index: u64,
    start: usize,
) -> Option<(Place, bool)> {
    let mut cursor = Cursor {
        bytes,
        at: start,
        limit: usize::MAX,
    };
    let frame = Frame::read(&mut cursor, &opened.header).ok()?;
    if u64::from(frame.number) != index + 1 {
        return None;
    }
    let content = usize::try_from(frame.length).ok()?;
    let sealed = cursor.take(content.checked_add(16)?).ok()?;
    if frame.is_last {
        if let Some((curve, _)) = &opened.signing {
            let footer = cursor.prefixed().ok()?;
            if footer.len() > longest_signature(*curve) {
                return None;
            }
        }
        if cursor.at as u64 != length {
            return None;
        }
    }
    let aad = frame.aad(&opened.header.message_id);
    let plaintext = open(&opened.key, &frame.iv, &aad, sealed)?;
    let place = Place {
        plaintext,
        message: start as u64..cursor.at as u64,
    };
    Some((place, frame.is_last))
}

/// The most bytes that the DER of a signature has: a sequence of two integers,
/// each with a zero before it.
fn longest_signature(curve: Curve) -> usize {
    2 + 2 * (2 + curve.point_length())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Way, opened};
    use crate::vectors::cases;

    /// As in the model of whole messages, the vectors come first.
    #[test]
    fn the_places_of_the_vectors() {
        let mut good = 0;
        for case in cases() {
            let Ok(opened) = opened(&case.message, &case.caller, Way::RangesUnverified) else {
                assert_eq!(case.plaintext, None, "{}", case.id);
                continue;
            };
            let length = case.message.len() as u64;
            let places = Places::find(&opened, &case.message, length);
            let Some(plaintext) = case.plaintext else {
                continue;
            };
            assert_eq!(
                places.read(0, u64::MAX),
                Some(plaintext.clone()),
                "{}",
                case.id
            );
            assert!(places.ends.iter().eq([&(plaintext.len() as u64)]));
            assert!(!places.is_ambiguous());
            // Cut off, what is left is there, and no end is.
            let cut = length - 1;
            let places = Places::find(&opened, &case.message, cut);
            assert!(places.ends.is_empty());
            good += 1;
        }
        assert!(good > 30, "{good}");
    }
}
