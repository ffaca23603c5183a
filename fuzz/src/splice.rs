//! Small changes of bytes, as a tape describes them.

use crate::tape::{Coded, Tape, Text};

/// Cuts some bytes out, puts others in, and flips bits of the byte after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Splice {
    at: u16,
    cut: u8,
    flip: u8,
    text: Text,
}

impl Splice {
    pub fn new(at: u16, cut: u8, flip: u8, text: &[u8]) -> Self {
        let text = Text::Raw(text.to_vec());
        Splice {
            at,
            cut,
            flip,
            text,
        }
    }

    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let start = usize::from(self.at) % (bytes.len() + 1);
        // The greatest number cuts all that is left.
        let end = match self.cut {
            u8::MAX => bytes.len(),
            cut => bytes.len().min(start + usize::from(cut)),
        };
        let text = self.text.bytes();
        let after = start + text.len();
        bytes.splice(start..end, text);
        if let Some(byte) = bytes.get_mut(after) {
            *byte ^= self.flip;
        }
    }
}

impl Coded for Splice {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.u16(&mut self.at);
        tape.byte(&mut self.cut);
        tape.byte(&mut self.flip);
        self.text.code(tape);
    }
}
