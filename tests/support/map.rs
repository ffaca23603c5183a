//! Where a message's fields are, read apart from the library.

use std::ops::Range;

/// A field that says how long something is, or how many there are.
#[derive(Clone, Debug)]
pub struct LengthField {
    pub name: String,
    pub at: usize,
    /// Bytes.
    pub width: usize,
}

#[derive(Clone, Debug)]
pub struct Frame {
    /// All of it, from its number (or IV) to its tag.
    pub bytes: Range<usize>,
    pub content: Range<usize>,
    pub is_final: bool,
}

/// A valid message's fields.
#[derive(Clone, Debug)]
pub struct Map {
    pub version: u8,
    pub framed: bool,
    pub lengths: Vec<LengthField>,
    pub header: Range<usize>,
    /// One for an un-framed body.
    pub frames: Vec<Frame>,
    pub footer: Range<usize>,
    pub length: usize,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    lengths: Vec<LengthField>,
}

impl Cursor<'_> {
    fn number(&mut self, width: usize) -> u64 {
        let field = &self.bytes[self.at..self.at + width];
        self.at += width;
        field
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn length(&mut self, name: impl Into<String>, width: usize) -> usize {
        self.lengths.push(LengthField {
            name: name.into(),
            at: self.at,
            width,
        });
        self.number(width) as usize
    }

    fn prefixed(&mut self, name: impl Into<String>) {
        let length = self.length(name, 2);
        self.at += length;
    }
}

impl Map {
    pub fn of(message: &[u8]) -> Self {
        let mut cursor = Cursor {
            bytes: message,
            at: 0,
            lengths: Vec::new(),
        };
        let version = cursor.number(1) as u8;
        if version == 1 {
            cursor.at += 1;
        }
        let suite = cursor.number(2);
        cursor.at += if version == 1 { 16 } else { 32 };
        if cursor.length("context length", 2) > 0 {
            for number in 0..cursor.length("pair count", 2) {
                cursor.prefixed(format!("length of key {number}"));
                cursor.prefixed(format!("length of value {number}"));
            }
        }
        for number in 0..cursor.length("count of encrypted data keys", 2) {
            cursor.prefixed(format!("length of provider id {number}"));
            cursor.prefixed(format!("length of key info {number}"));
            cursor.prefixed(format!("length of ciphertext {number}"));
        }
        let framed = cursor.number(1) == 2;
        if version == 1 {
            cursor.at += 4;
            cursor.length("IV length", 1);
        }
        let frame_length = cursor.length("frame length", 4);
        cursor.at += if version == 1 { 12 + 16 } else { 32 + 16 };
        let header = 0..cursor.at;
        let mut frames = Vec::new();
        loop {
            let start = cursor.at;
            let (is_final, length) = if !framed {
                cursor.at += 12;
                (true, cursor.length("un-framed body length", 8))
            } else if cursor.number(4) == 0xffff_ffff {
                cursor.at += 4 + 12;
                (true, cursor.length("final frame length", 4))
            } else {
                cursor.at += 12;
                (false, frame_length)
            };
            let content = cursor.at..cursor.at + length;
            cursor.at = content.end + 16;
            frames.push(Frame {
                bytes: start..cursor.at,
                content,
                is_final,
            });
            if is_final {
                break;
            }
        }
        let start = cursor.at;
        if [0x0214, 0x0346, 0x0378, 0x0578].contains(&suite) {
            cursor.prefixed("signature length");
        }
        assert_eq!(cursor.at, message.len(), "the message's end");
        Map {
            version,
            framed,
            lengths: cursor.lengths,
            header,
            frames,
            footer: start..cursor.at,
            length: cursor.at,
        }
    }

    pub fn is_signed(&self) -> bool {
        !self.footer.is_empty()
    }

    /// Bytes of plaintext in the frames that end at or before this byte.
    pub fn plaintext_before(&self, at: usize) -> usize {
        self.frames
            .iter()
            .filter(|frame| frame.bytes.end <= at)
            .map(|frame| frame.content.len())
            .sum()
    }

    /// Bytes of plaintext in all frames but the final one that end at or
    /// before this byte.
    pub fn regular_plaintext_before(&self, at: usize) -> usize {
        self.frames
            .iter()
            .filter(|frame| !frame.is_final && frame.bytes.end <= at)
            .map(|frame| frame.content.len())
            .sum()
    }
}
