//! A message described by its parts, and what is changed about it.
//!
//! Without edits, and with a context that may be, a recipe is a good message
//! and a reader who can read it. Edits are applied before, while and after the
//! message is sealed; [`craft`](crate::craft) says how.

use crate::tape::{Coded, Pair, Tape, Text};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    /// In the table of suites.
    pub suite: u8,
    pub is_unframed: bool,
    /// 0 stands for 16.
    pub frame_length: u32,
    /// Filled up with zeros.
    pub message_id: Text,
    pub key_seed: u8,
    /// Whether the data key is bound to the context: if not, messages get past
    /// it with another one.
    pub is_unbound: bool,
    /// What the message stores, in this order; a signed one also its key.
    pub pairs: Vec<Pair>,
    /// Where the public key stands among them.
    pub public_key_at: u8,
    /// Which of them the reader expects, bit by bit.
    pub expects: u8,
    /// What is bound and not stored.
    pub bound: Vec<Pair>,
    /// None stands for one that is empty.
    pub edks: Vec<EdkParts>,
    /// The plaintexts of the regular frames, cut or filled up to the frame
    /// length, and of the final one.
    pub frames: Vec<Content>,
    pub last: Content,
    pub edits: Vec<Edit>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdkParts {
    pub provider_id: Text,
    pub key_info: Text,
    pub ciphertext: Text,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content(pub Text);

/// One change: what it does with the numbers and the text is said at each
/// [`What`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    pub what: u8,
    pub at: u16,
    pub number: u32,
    pub text: Text,
}

impl Coded for EdkParts {
    fn code(&mut self, tape: &mut impl Tape) {
        self.provider_id.code(tape);
        self.key_info.code(tape);
        self.ciphertext.code(tape);
    }
}

impl Coded for Content {
    fn code(&mut self, tape: &mut impl Tape) {
        self.0.code(tape);
    }
}

impl Coded for Edit {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.byte(&mut self.what);
        tape.u16(&mut self.at);
        tape.number(&mut self.number);
        self.text.code(tape);
    }
}

impl Coded for Recipe {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.byte(&mut self.suite);
        tape.flag(&mut self.is_unframed);
        tape.number(&mut self.frame_length);
        self.message_id.code(tape);
        tape.byte(&mut self.key_seed);
        tape.flag(&mut self.is_unbound);
        // The edits first, so that bytes added to the others do not move them.
        tape.list(&mut self.edits, 6);
        tape.list(&mut self.frames, 8);
        self.last.code(tape);
        tape.list(&mut self.pairs, 6);
        tape.byte(&mut self.public_key_at);
        tape.byte(&mut self.expects);
        tape.list(&mut self.bound, 4);
        tape.list(&mut self.edks, 4);
    }
}

/// What an [`Edit`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    // Of the header, before it is sealed: the field is `number`.
    Version,
    Type,
    SuiteId,
    ContextLength,
    PairCount,
    EdkCount,
    ContentType,
    Reserved,
    IvLength,
    FrameLength,
    /// At byte `at`, `number & 15` bytes are taken out, `text` put in, and the
    /// next byte changed by the rest of `number`.
    SpliceHeader,
    /// `text` is version 1's IV.
    HeaderIv,
    /// Byte `at` of the commitment is changed by `number`.
    Commitment,
    /// `number` chooses: the other key, the other curve's, not compressed, no
    /// base64, no point, `text`, none (in a signed message), one (in another).
    PublicKey,
    /// `number` chooses what the tag is over beside the header: nothing, a
    /// zero count, the bound pairs not sorted, all pairs.
    SealedContext,
    /// The header's tag is changed by `number`.
    HeaderTag,

    // Of frame number `at`, while it is sealed.
    /// Regular, final, or the block of an un-framed body, by `number`.
    FrameKind,
    /// Its number on the wire and in the additional data.
    FrameNumber,
    /// Its number in the additional data only.
    FrameNumberSealed,
    /// The length on the wire of a final frame or un-framed body, also in the
    /// additional data.
    FrameLengthField,
    /// Its length in the additional data only.
    FrameLengthSealed,
    /// It is neither cut nor filled up.
    FrameAsIs,
    /// `text` is its IV.
    FrameIv,
    /// Its tag is changed by `number`.
    FrameTag,
    /// It comes once more.
    RepeatFrame,
    /// It does not come.
    DropFrame,
    /// It changes places with the next one, as sealed.
    SwapFrames,

    // Before signing.
    SpliceBody,

    // The footer.
    /// The other of the two signatures that are right.
    NegateSignature,
    OtherSigner,
    SignatureLength,
    SpliceSignature,
    NoFooter,
    /// A footer of `text`, in an unsigned message too.
    ExtraFooter,

    // After all is sealed.
    SpliceMessage,
    /// All from byte `at` on is gone.
    Truncate,
    /// `text` follows.
    Trailing,

    // The reader.
    /// `text` is a required key.
    Require,
    /// `text` is the value expected for stored pair `at`, if `number` is even;
    /// else a key that is expected, with pair `at`'s value.
    Expect,
    /// The same for bound pairs.
    ExpectBound,
    /// Bound pair `at` is not given.
    Forget,
    /// Bound pair `at` is not required.
    NotRequired,
    /// Bits of `number`: requires commitment, requires signatures, refuses
    /// signed streams.
    Policy,
    MaxEdks,
    MaxHeaderLength,
    MaxBuffered,
    /// The encrypted data key that is opened.
    OpenIndex,
    DataKeyLength,
    OtherDataKey,
    /// The buffer for the plaintext has `number` bytes.
    OutputLength,
}

impl What {
    pub const ALL: [What; 50] = [
        What::Version,
        What::Type,
        What::SuiteId,
        What::ContextLength,
        What::PairCount,
        What::EdkCount,
        What::ContentType,
        What::Reserved,
        What::IvLength,
        What::FrameLength,
        What::SpliceHeader,
        What::HeaderIv,
        What::Commitment,
        What::PublicKey,
        What::SealedContext,
        What::HeaderTag,
        What::FrameKind,
        What::FrameNumber,
        What::FrameNumberSealed,
        What::FrameLengthField,
        What::FrameLengthSealed,
        What::FrameAsIs,
        What::FrameIv,
        What::FrameTag,
        What::RepeatFrame,
        What::DropFrame,
        What::SwapFrames,
        What::SpliceBody,
        What::NegateSignature,
        What::OtherSigner,
        What::SignatureLength,
        What::SpliceSignature,
        What::NoFooter,
        What::ExtraFooter,
        What::SpliceMessage,
        What::Truncate,
        What::Trailing,
        What::Require,
        What::Expect,
        What::ExpectBound,
        What::Forget,
        What::NotRequired,
        What::Policy,
        What::MaxEdks,
        What::MaxHeaderLength,
        What::MaxBuffered,
        What::OpenIndex,
        What::DataKeyLength,
        What::OtherDataKey,
        What::OutputLength,
    ];
}

impl Edit {
    pub fn new(what: What, at: u16, number: u32, text: Text) -> Self {
        Edit {
            what: what as u8,
            at,
            number,
            text,
        }
    }

    pub fn what(&self) -> What {
        What::ALL[usize::from(self.what) % What::ALL.len()]
    }

    /// Splices these bytes, as [`What::SpliceHeader`] says.
    pub fn splice(&self, bytes: &mut Vec<u8>) {
        let start = usize::from(self.at) % (bytes.len() + 1);
        let end = bytes.len().min(start + (self.number & 15) as usize);
        bytes.splice(start..end, self.text.bytes());
        if let Some(byte) = bytes.get_mut(start) {
            *byte ^= (self.number >> 4) as u8;
        }
    }
}

impl Recipe {
    pub fn edits(&self, what: What) -> impl Iterator<Item = &Edit> {
        self.edits.iter().filter(move |edit| edit.what() == what)
    }

    pub fn has(&self, what: What) -> bool {
        self.edits(what).next().is_some()
    }

    /// The number of the first edit of this kind.
    pub fn number(&self, what: What) -> Option<u32> {
        self.edits(what).next().map(|edit| edit.number)
    }
}
