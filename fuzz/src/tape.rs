//! How the bytes that a fuzzer makes describe something. One function for
//! each type serves both ways, so that seeds can be written from real messages
//! (which is why this is not the `arbitrary` crate: it only reads).
//!
//! Where the bytes end, zeros follow: zero must always mean the plain case.

/// A tape of bytes that is read into values, or written from them.
pub trait Tape {
    fn byte(&mut self, value: &mut u8);

    /// How many bytes are left on a tape that is read.
    fn left(&self) -> usize;

    fn u16(&mut self, value: &mut u16) {
        let mut bytes = value.to_be_bytes();
        bytes.iter_mut().for_each(|byte| self.byte(byte));
        *value = u16::from_be_bytes(bytes);
    }

    fn flag(&mut self, value: &mut bool) {
        let mut byte = u8::from(*value);
        self.byte(&mut byte);
        *value = byte & 1 == 1;
    }

    /// Small numbers and the greatest in two bytes, all others in five.
    fn number(&mut self, value: &mut u32) {
        let (mut tag, mut low) = match *value {
            0..=255 => (0, *value as u8),
            0xffff_ff00.. => (1, !*value as u8),
            _ => (2, 0),
        };
        self.byte(&mut tag);
        if tag % 4 < 2 {
            self.byte(&mut low);
            *value = if tag % 4 == 0 {
                low.into()
            } else {
                !u32::from(low)
            };
        } else {
            let mut bytes = value.to_be_bytes();
            bytes.iter_mut().for_each(|byte| self.byte(byte));
            *value = u32::from_be_bytes(bytes);
        }
    }

    /// At most `max` (below 256) things.
    fn list<T: Coded>(&mut self, values: &mut Vec<T>, max: usize)
    where
        Self: Sized,
    {
        let mut length = values.len().min(max) as u8;
        self.byte(&mut length);
        let length = usize::from(length) % (max + 1);
        values.truncate(length);
        values.resize_with(length, T::default);
        values.iter_mut().for_each(|value| value.code(self));
    }

    /// All that is left: the last thing on a tape.
    fn rest(&mut self, bytes: &mut Vec<u8>) {
        let more = self.left();
        bytes.resize(bytes.len() + more, 0);
        bytes.iter_mut().for_each(|byte| self.byte(byte));
    }
}

/// What can stand on a tape.
pub trait Coded: Default {
    fn code(&mut self, tape: &mut impl Tape);
}

pub fn read<T: Coded>(bytes: &[u8]) -> T {
    let mut value = T::default();
    value.code(&mut Reading(bytes));
    value
}

pub fn write<T: Coded>(mut value: T) -> Vec<u8> {
    let mut tape = Writing(Vec::new());
    value.code(&mut tape);
    tape.0
}

struct Reading<'a>(&'a [u8]);

impl Tape for Reading<'_> {
    fn byte(&mut self, value: &mut u8) {
        *value = 0;
        if let Some((first, rest)) = self.0.split_first() {
            *value = *first;
            self.0 = rest;
        }
    }

    fn left(&self) -> usize {
        self.0.len()
    }
}

struct Writing(Vec<u8>);

impl Tape for Writing {
    fn byte(&mut self, value: &mut u8) {
        self.0.push(*value);
    }

    fn left(&self) -> usize {
        0
    }
}

/// A short text or a few bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// One of [`WORDS`].
    Word(u8),
    /// One byte many times.
    Repeat(u8, u16),
    Raw(Vec<u8>),
}

/// What a context, an encrypted data key or a plaintext may be made of. Two
/// keys are the format's own; some order differently in UTF-8 and UTF-16; the
/// last is no UTF-8.
pub const WORDS: [&[u8]; 12] = [
    b"",
    b"a",
    b"b",
    b"ab",
    b"tenant",
    "\u{e000}".as_bytes(),
    "\u{ffff}".as_bytes(),
    "\u{1f512}".as_bytes(),
    b"aws-crypto-public-key",
    b"aws-crypto-x",
    b"aws-kms",
    b"\xff",
];

const RAW: u8 = WORDS.len() as u8 + 1;
pub const LONGEST_RAW: usize = (u8::MAX - RAW) as usize;

impl Default for Text {
    fn default() -> Self {
        Text::Word(0)
    }
}

impl From<&[u8]> for Text {
    /// At most [`LONGEST_RAW`] bytes, or one byte repeated; else only the
    /// beginning.
    fn from(bytes: &[u8]) -> Self {
        match bytes.first() {
            Some(first) if bytes.len() > 3 && bytes.iter().all(|byte| byte == first) => {
                Text::Repeat(*first, bytes.len() as u16)
            }
            _ => Text::Raw(bytes[..bytes.len().min(LONGEST_RAW)].to_vec()),
        }
    }
}

impl Text {
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Text::Word(word) => WORDS[usize::from(*word) % WORDS.len()].to_vec(),
            Text::Repeat(byte, length) => vec![*byte; usize::from(*length)],
            Text::Raw(bytes) => bytes.clone(),
        }
    }

    /// The bytes, with what is not UTF-8 replaced.
    pub fn string(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

impl Coded for Text {
    fn code(&mut self, tape: &mut impl Tape) {
        let mut tag = match self {
            Text::Word(word) => *word,
            Text::Repeat(..) => RAW - 1,
            Text::Raw(bytes) => RAW + bytes.len() as u8,
        };
        tape.byte(&mut tag);
        if tag < RAW - 1 {
            *self = Text::Word(tag);
        } else if tag == RAW - 1 {
            let (mut byte, mut length) = match self {
                Text::Repeat(byte, length) => (*byte, *length),
                _ => (0, 0),
            };
            tape.byte(&mut byte);
            tape.u16(&mut length);
            *self = Text::Repeat(byte, length);
        } else {
            let mut bytes = match self {
                Text::Raw(bytes) => std::mem::take(bytes),
                _ => Vec::new(),
            };
            bytes.resize(usize::from(tag - RAW), 0);
            bytes.iter_mut().for_each(|byte| tape.byte(byte));
            *self = Text::Raw(bytes);
        }
    }
}

/// A key and a value of a context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    pub key: Text,
    pub value: Text,
}

impl Coded for Pair {
    fn code(&mut self, tape: &mut impl Tape) {
        self.key.code(tape);
        self.value.code(tape);
    }
}

/// Where a message is cut into pieces: the lengths of the pieces, again from
/// the first when they have been used up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cuts(Vec<Length>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Length(u8);

impl Coded for Length {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.byte(&mut self.0);
    }
}

impl Coded for Cuts {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.list(&mut self.0, 8);
    }
}

impl Cuts {
    pub fn new(lengths: &[u8]) -> Self {
        Cuts(lengths.iter().copied().map(Length).collect())
    }

    /// The pieces; some of them may be empty.
    pub fn pieces<'a>(&self, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        if self.0.iter().any(|length| length.0 > 0) {
            for length in self.0.iter().cycle() {
                if bytes.is_empty() {
                    break;
                }
                let (piece, rest) = bytes.split_at(bytes.len().min(length.0.into()));
                pieces.push(piece);
                bytes = rest;
            }
        } else {
            pieces.push(bytes);
        }
        pieces
    }
}
