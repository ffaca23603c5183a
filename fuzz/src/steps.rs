//! What the target `ranges` reads: a message, what somebody does to its source,
//! and what is read of it.

use crate::craft::craft;
use crate::model::KnownSignature;
use crate::recipe::{Content, Recipe};
use crate::source::Planned;
use crate::splice::Splice;
use crate::tape::{Coded, Tape, Text};
use crate::vectors::reader_of_all;
use crate::{caller::Caller, source};

/// Longer messages are not made: more than what is read ahead is enough.
const LONGEST: usize = 160 << 10;

/// So that lengths that are only claimed cost little.
const MAX_BUFFERED: usize = 1 << 20;

#[derive(Clone, Debug, Default)]
pub struct Input {
    /// Signed messages, too.
    pub is_unverified: bool,
    pub claim: Claim,
    /// See [`source::Content`].
    pub base: u8,
    pub piece: u8,
    pub faults: Vec<Planned>,
    pub steps: Vec<Step>,
    /// How the message is changed, by [`What::Change`]; none stands for what it
    /// was before its recipe changed it.
    pub changes: Vec<Splice>,
    /// A message as it is, under the vectors' keys, and no recipe.
    pub is_raw: bool,
    pub raw: Vec<u8>,
    /// Frames beside the recipe's own.
    pub more: u16,
    pub recipe: Recipe,
}

/// What a source says of its length.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// The truth, less, more, or the number itself.
    pub how: u8,
    pub number: u32,
}

/// Something that is done with a reader.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub what: u8,
    pub from: Amount,
    pub length: Amount,
}

/// Bytes of plaintext: so many frames and some bytes more or less.
#[derive(Clone, Debug, Default)]
pub struct Amount {
    pub frames: u32,
    pub bytes: u8,
}

/// What a [`Step`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    ReadAt,
    ReadRange,
    /// Where the seek reader stands.
    ReadOn,
    SeekStart,
    /// Back, where `length` is of an odd number of frames.
    SeekCurrent,
    SeekEnd,
    VerifyLength,
    /// The source's bytes change, or change back.
    Change,
}

impl What {
    pub const ALL: [What; 8] = [
        What::ReadAt,
        What::ReadRange,
        What::ReadOn,
        What::SeekStart,
        What::SeekCurrent,
        What::SeekEnd,
        What::VerifyLength,
        What::Change,
    ];
}

impl Coded for Amount {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.number(&mut self.frames);
        tape.byte(&mut self.bytes);
    }
}

impl Coded for Step {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.byte(&mut self.what);
        self.from.code(tape);
        self.length.code(tape);
    }
}

impl Coded for Input {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.flag(&mut self.is_unverified);
        tape.byte(&mut self.claim.how);
        tape.number(&mut self.claim.number);
        tape.byte(&mut self.base);
        tape.byte(&mut self.piece);
        tape.list(&mut self.faults, 4);
        tape.list(&mut self.steps, 12);
        tape.list(&mut self.changes, 2);
        tape.flag(&mut self.is_raw);
        if self.is_raw {
            tape.rest(&mut self.raw);
        } else {
            tape.u16(&mut self.more);
            self.recipe.code(tape);
        }
    }
}

impl Step {
    pub fn what(&self) -> What {
        What::ALL[usize::from(self.what) % What::ALL.len()]
    }
}

impl Amount {
    pub fn new(frames: u32, bytes: i8) -> Self {
        Amount {
            frames,
            bytes: bytes as u8,
        }
    }

    /// In bytes. The greatest numbers are of the greatest bytes.
    pub fn of(&self, frame_length: u64) -> u64 {
        if self.frames >= 0xffff_ff00 {
            return u64::MAX - u64::from(!self.frames);
        }
        u64::from(self.frames)
            .saturating_mul(frame_length)
            .saturating_add_signed(i64::from(self.bytes as i8))
    }
}

impl Claim {
    fn of(&self, length: u64) -> u64 {
        let number = u64::from(self.number);
        match self.how % 4 {
            0 => length,
            1 => length.saturating_sub(number),
            2 => length.saturating_add(number),
            _ if self.number >= 0xffff_ff00 => u64::MAX - u64::from(!self.number),
            _ => number,
        }
    }
}

/// A message in its source, and who reads it.
pub struct Made {
    pub content: source::Content,
    pub caller: Caller,
    pub known: Option<KnownSignature>,
}

impl Input {
    pub fn make(&self) -> Made {
        let (message, sealed, mut caller, known) = if self.is_raw {
            (self.raw.clone(), self.raw.clone(), reader_of_all(), None)
        } else {
            let crafted = craft(&self.longer());
            let (message, sealed) = (crafted.message, crafted.sealed);
            (message, sealed, crafted.caller, crafted.known)
        };
        caller.max_buffered = caller.max_buffered.min(MAX_BUFFERED);
        let changed = if self.changes.is_empty() {
            sealed
        } else {
            let mut changed = message.clone();
            for change in &self.changes {
                change.apply(&mut changed);
            }
            changed
        };
        let base = u64::from(self.base);
        let length = self.claim.of(message.len() as u64).min(u64::MAX - base);
        let content = source::Content {
            versions: [message, changed],
            length,
            base,
            piece: self.piece,
            faults: self.faults.clone(),
        };
        Made {
            content,
            caller,
            known,
        }
    }

    /// The recipe with more frames, no two of which are alike.
    fn longer(&self) -> Recipe {
        let mut recipe = self.recipe.clone();
        let frame_length = match recipe.frame_length as usize {
            0 => 16,
            length => length,
        };
        let most = LONGEST / (frame_length + 32);
        let more = usize::from(self.more) % (most + 1);
        recipe.frames.extend((0..more).map(|number| {
            let byte = |place: usize| (place ^ (place >> 8) ^ (number * 73)) as u8;
            Content(Text::Raw((0..frame_length).map(byte).collect()))
        }));
        recipe
    }
}
