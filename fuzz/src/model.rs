//! A second reader of messages: what the specification says
//! (data-format/, client-apis/decrypt.md), straight down, over a whole message
//! in memory. It is here to be compared with the library.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use waxseal::{AlgorithmSuite, FormatError};

use crate::caller::Caller;
use crate::primitives::{Curve, Suite, open};

/// What is wrong with a message: the library's errors, by what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Format(FormatError),
    Truncated,
    Trailing,
    TooManyEdks(usize),
    HeaderTooLong,
    Forbidden,
    UnsignedRefused,
    SignedStreamRefused,
    SignedRangeRefused,
    RequiredInMessage(String),
    RequiredMissing(String),
    Mismatch(String),
    NotInMessage(String),
    ContextTooLong(usize),
    Unwrap,
    DataKeyLength(usize),
    Commitment,
    HeaderTag,
    Sequence { expected: u32, found: u32 },
    Buffer(u64),
    FrameTag(u32),
    Signature,
}

impl From<FormatError> for Kind {
    fn from(error: FormatError) -> Self {
        Kind::Format(error)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edk {
    pub provider_id: String,
    pub key_info: Vec<u8>,
    pub ciphertext: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Header {
    pub suite: &'static Suite,
    pub message_id: Vec<u8>,
    /// As they stand in the message.
    pub pairs: Vec<(String, String)>,
    pub edks: Vec<Edk>,
    /// `None` for an un-framed message.
    pub frame_length: Option<u32>,
    pub commitment: Vec<u8>,
    /// Bytes that the tag is over.
    pub body_length: usize,
    pub iv: [u8; 12],
    pub tag: Vec<u8>,
    /// Bytes of all of it.
    pub length: usize,
}

impl Header {
    pub fn context(&self) -> BTreeMap<String, String> {
        self.pairs.iter().cloned().collect()
    }
}

/// Bytes, and how far they have been read.
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
    /// Fields must end before this byte.
    pub(crate) limit: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Kind> {
        let end = self.at + length;
        if end > self.limit {
            return Err(Kind::HeaderTooLong);
        }
        let taken = self.bytes.get(self.at..end).ok_or(Kind::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self, length: usize) -> Result<u64, Kind> {
        let bytes = self.take(length)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8], Kind> {
        let length = self.number(2)?;
        self.take(length as usize)
    }
}

/// Reads the header at the start of the input.
pub fn header(input: &[u8], max_edks: Option<usize>, max_length: usize) -> Result<Header, Kind> {
    let mut cursor = Cursor {
        bytes: input,
        at: 0,
        limit: max_length,
    };
    let version = cursor.number(1)? as u8;
    match version {
        1 => match cursor.number(1)? as u8 {
            0x80 => {}
            other => return Err(FormatError::UnknownType(other).into()),
        },
        2 => {}
        b'A' if matches!(cursor.number(1)? as u8, b'Y' | b'g') => {
            return Err(FormatError::Base64Text.into());
        }
        other => return Err(FormatError::UnknownVersion(other).into()),
    }
    let id = cursor.number(2)? as u16;
    let suite = Suite::by_id(id).ok_or(FormatError::UnknownSuite(id))?;
    if suite.version() != version {
        let suite = AlgorithmSuite::from_id(id).expect("all are known");
        return Err(FormatError::WrongVersion { suite, version }.into());
    }
    let message_id = cursor.take(suite.id_length())?.to_vec();
    let pairs = pairs(cursor.prefixed()?)?;
    let count = cursor.number(2)? as usize;
    if count == 0 {
        return Err(FormatError::NoEncryptedDataKeys.into());
    }
    if max_edks.is_some_and(|limit| count > limit) {
        return Err(Kind::TooManyEdks(count));
    }
    let mut edks = Vec::new();
    for _ in 0..count {
        let [provider_id, key_info, ciphertext] =
            [cursor.prefixed()?, cursor.prefixed()?, cursor.prefixed()?];
        edks.push(Edk {
            provider_id: text(provider_id, "key provider id")?,
            key_info: key_info.to_vec(),
            ciphertext: ciphertext.to_vec(),
        });
    }
    let content_type = cursor.number(1)? as u8;
    if version == 1 {
        if cursor.number(4)? != 0 {
            return Err(FormatError::ReservedBytes.into());
        }
        match cursor.number(1)? {
            12 => {}
            other => return Err(FormatError::IvLength(other as u8).into()),
        }
    }
    let frame_length = match (content_type, cursor.number(4)? as u32) {
        (1, 0) => None,
        (2, length @ 1..) => Some(length),
        (1 | 2, length) => return Err(FormatError::FrameLength(length).into()),
        (other, _) => return Err(FormatError::UnknownContentType(other).into()),
    };
    let commitment = cursor.take(if suite.commits() { 32 } else { 0 })?.to_vec();
    let body_length = cursor.at;
    let mut iv = [0; 12];
    if version == 1 {
        iv.copy_from_slice(cursor.take(12)?);
    }
    let tag = cursor.take(16)?.to_vec();
    Ok(Header {
        suite,
        message_id,
        pairs,
        edks,
        frame_length,
        commitment,
        body_length,
        iv,
        tag,
        length: cursor.at,
    })
}

fn text(bytes: &[u8], what: &'static str) -> Result<String, FormatError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| FormatError::NotUtf8(what))
}

fn pairs(bytes: &[u8]) -> Result<Vec<(String, String)>, FormatError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut cursor = Cursor {
        bytes,
        at: 0,
        limit: usize::MAX,
    };
    let short = |_| FormatError::ContextLength;
    let mut pairs: Vec<(String, String)> = Vec::new();
    for _ in 0..cursor.number(2).map_err(short)? {
        let what = "encryption context";
        let key = text(cursor.prefixed().map_err(short)?, what)?;
        let value = text(cursor.prefixed().map_err(short)?, what)?;
        if pairs.iter().any(|(other, _)| *other == key) {
            return Err(FormatError::DuplicateContextKey { key });
        }
        pairs.push((key, value));
    }
    if cursor.at < bytes.len() {
        return Err(FormatError::ContextLength);
    }
    Ok(pairs)
}

/// The canonical bytes of pairs that come sorted (framework/structures.md).
pub fn canonical<'a>(
    pairs: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<Vec<u8>, Kind> {
    let (mut count, mut bytes) = (0u16, Vec::new());
    for (key, value) in pairs {
        count = count.wrapping_add(1);
        for text in [key, value] {
            bytes.extend_from_slice(&(text.len() as u16).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    if !bytes.is_empty() {
        bytes.splice(0..0, count.to_be_bytes());
    }
    if bytes.len() > 65_535 {
        return Err(Kind::ContextTooLong(bytes.len()));
    }
    Ok(bytes)
}

/// The public key that a message's context holds: there if the suite is
/// signed, and only then.
pub fn public_key(
    suite: &Suite,
    context: &BTreeMap<String, String>,
) -> Result<Option<(Curve, Vec<u8>)>, Kind> {
    match (suite.curve, context.get("aws-crypto-public-key")) {
        (None, None) => Ok(None),
        (Some(curve), Some(encoded)) => {
            let point = STANDARD.decode(encoded).unwrap_or_default();
            if curve.is_point(&point) {
                Ok(Some((curve, point)))
            } else {
                Err(FormatError::PublicKey.into())
            }
        }
        _ => Err(FormatError::PublicKey.into()),
    }
}

/// How a message is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Whole,
    /// A signed message comes out when its signature is verified.
    Stream,
    /// A signed message's frames, but for the last, come out before that.
    StreamUnverified,
    /// Parts of it: no signed message is.
    Ranges,
    /// The same, and nobody looks at a signature.
    RangesUnverified,
}

/// A message that was read as far as it goes.
#[derive(Debug)]
pub struct Reading {
    /// The frames that are authentic under the data key, up to the error.
    pub frames: Vec<Vec<u8>>,
    /// What a stream gives out, up to the error.
    pub released: Vec<u8>,
    pub result: Result<End, Kind>,
}

/// What a message was.
#[derive(Debug)]
pub struct End {
    pub header: Header,
    /// What it stores and what it only binds.
    pub context: BTreeMap<String, String>,
    /// The encrypted data key that was used.
    pub index: usize,
    /// Where the message ends.
    pub consumed: usize,
}

impl Reading {
    pub fn plaintext(&self) -> Vec<u8> {
        self.frames.concat()
    }

    /// The verdict where nothing may follow the message.
    pub fn alone(&self, input: &[u8]) -> Result<(), Kind> {
        match &self.result {
            Ok(end) if end.consumed < input.len() => Err(Kind::Trailing),
            Ok(_) => Ok(()),
            Err(kind) => Err(kind.clone()),
        }
    }
}

/// A signature known to be right (and slow to verify once more).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownSignature {
    pub point: Vec<u8>,
    pub digest: Vec<u8>,
    pub signature: Vec<u8>,
}

/// Reads the message at the start of the input.
pub fn read(input: &[u8], caller: &Caller, way: Way, known: Option<&KnownSignature>) -> Reading {
    let mut reading = Reading {
        frames: Vec::new(),
        released: Vec::new(),
        result: Err(Kind::Truncated),
    };
    let is_verified = |curve: Curve, point: &[u8], signature: &[u8], signed: &[u8]| {
        let digest = curve.digest(signed);
        known.is_some_and(|known| {
            known.point == point && known.digest == digest && known.signature == signature
        }) || curve.verify(point, &digest, signature)
    };
    reading.result = read_into(input, caller, way, &is_verified, &mut reading);
    reading
}

type IsVerified<'a> = &'a dyn Fn(Curve, &[u8], &[u8], &[u8]) -> bool;

/// A message whose header is authentic.
#[derive(Debug)]
pub struct Opened {
    pub header: Header,
    /// What it stores and what it only binds.
    pub context: BTreeMap<String, String>,
    /// The encrypted data key that was used.
    pub index: usize,
    /// Of the frames.
    pub key: Vec<u8>,
    /// Who must have signed it.
    pub signing: Option<(Curve, Vec<u8>)>,
}

/// Reads the header at the start of the input, and verifies it.
pub fn opened(input: &[u8], caller: &Caller, way: Way) -> Result<Opened, Kind> {
    let header = header(input, caller.max_edks, caller.max_header_length)?;
    let suite = header.suite;
    if caller.requires_commitment && !suite.commits() {
        return Err(Kind::Forbidden);
    }
    if caller.require_signed && suite.curve.is_none() {
        return Err(Kind::UnsignedRefused);
    }
    if caller.refuse_signed_streams && suite.curve.is_some() && way != Way::Whole {
        return Err(Kind::SignedStreamRefused);
    }
    let is_refused = way == Way::Ranges || (way == Way::RangesUnverified && caller.require_signed);
    if suite.curve.is_some() && is_refused {
        return Err(Kind::SignedRangeRefused);
    }
    let stored = header.context();
    let (context, bound_only) = compare(&stored, caller)?;
    let signing = public_key(suite, &context)?;
    let wrapping_aad = canonical(&context)?;
    let bound = canonical(&bound_only)?;
    let (index, data_key) = caller
        .keys
        .open(suite, &header.edks, &wrapping_aad)
        .ok_or(Kind::Unwrap)?;
    if data_key.len() != suite.key_length {
        return Err(Kind::DataKeyLength(data_key.len()));
    }
    let (key, commitment) = suite.derive(&data_key, &header.message_id);
    if header.commitment != commitment {
        return Err(Kind::Commitment);
    }
    let aad = [&input[..header.body_length], &bound].concat();
    open(&key, &header.iv, &aad, &header.tag).ok_or(Kind::HeaderTag)?;
    Ok(Opened {
        header,
        context,
        index,
        key,
        signing,
    })
}

fn read_into(
    input: &[u8],
    caller: &Caller,
    way: Way,
    is_verified: IsVerified<'_>,
    reading: &mut Reading,
) -> Result<End, Kind> {
    let Opened {
        header,
        context,
        index,
        key,
        signing,
    } = opened(input, caller, way)?;
    let holds_all = signing.is_some() && way == Way::Stream;
    let mut held = 0;
    let mut cursor = Cursor {
        bytes: input,
        at: header.length,
        limit: usize::MAX,
    };
    for expected in 1.. {
        let frame = Frame::read(&mut cursor, &header)?;
        if frame.number != expected {
            return Err(Kind::Sequence {
                expected,
                found: frame.number,
            });
        }
        if way != Way::Whole && frame.length > caller.max_buffered as u64 {
            return Err(Kind::Buffer(frame.length));
        }
        let length = usize::try_from(frame.length).expect("64 bits");
        let content = cursor.take(length + 16)?;
        held += length;
        if holds_all && held > caller.max_buffered {
            return Err(Kind::Buffer(held as u64));
        }
        let aad = frame.aad(&header.message_id);
        let plaintext = open(&key, &frame.iv, &aad, content).ok_or(Kind::FrameTag(frame.number))?;
        if signing.is_none() || (way == Way::StreamUnverified && !frame.is_last) {
            reading.released.extend_from_slice(&plaintext);
        }
        reading.frames.push(plaintext);
        if frame.is_last {
            break;
        }
    }
    if let Some((curve, point)) = signing {
        let signed = &input[..cursor.at];
        let signature = cursor.prefixed()?;
        if !is_verified(curve, &point, signature, signed) {
            return Err(Kind::Signature);
        }
        reading.released = reading.plaintext();
    }
    Ok(End {
        header,
        context,
        index,
        consumed: cursor.at,
    })
}

type Context = BTreeMap<String, String>;

/// Holds what the caller expects against what the message stores: the whole
/// context, and the part that is only bound.
fn compare(stored: &Context, caller: &Caller) -> Result<(Context, Context), Kind> {
    for key in &caller.required {
        if stored.contains_key(key) {
            return Err(Kind::RequiredInMessage(key.clone()));
        }
        if !caller.expected.contains_key(key) {
            return Err(Kind::RequiredMissing(key.clone()));
        }
    }
    let mut context = stored.clone();
    let mut bound = BTreeMap::new();
    for (key, value) in &caller.expected {
        if caller.required.contains(key) {
            context.insert(key.clone(), value.clone());
            bound.insert(key.clone(), value.clone());
        } else if let Some(found) = stored.get(key) {
            if found != value {
                return Err(Kind::Mismatch(key.clone()));
            }
        } else {
            return Err(Kind::NotInMessage(key.clone()));
        }
    }
    Ok((context, bound))
}

/// What stands before a frame's content, or an un-framed body's.
pub struct Frame {
    pub number: u32,
    pub iv: [u8; 12],
    pub length: u64,
    pub is_last: bool,
    pub is_framed: bool,
}

impl Frame {
    pub(crate) fn read(cursor: &mut Cursor<'_>, header: &Header) -> Result<Self, Kind> {
        let Some(frame_length) = header.frame_length else {
            let iv = cursor.take(12)?.try_into().expect("12 bytes");
            let length = cursor.number(8)?;
            if length > (1 << 36) - 32 {
                return Err(FormatError::BodyLength(length).into());
            }
            return Ok(Frame {
                number: 1,
                iv,
                length,
                is_last: true,
                is_framed: false,
            });
        };
        let mut number = cursor.number(4)? as u32;
        let is_last = number == u32::MAX;
        if is_last {
            number = cursor.number(4)? as u32;
        }
        let iv = cursor.take(12)?.try_into().expect("12 bytes");
        let mut length = frame_length;
        if is_last {
            length = cursor.number(4)? as u32;
            if length > frame_length {
                return Err(FormatError::FinalFrameLength {
                    length,
                    frame_length,
                }
                .into());
            }
        }
        Ok(Frame {
            number,
            iv,
            length: length.into(),
            is_last,
            is_framed: true,
        })
    }

    pub fn aad(&self, message_id: &[u8]) -> Vec<u8> {
        let content = match (self.is_framed, self.is_last) {
            (false, _) => "AWSKMSEncryptionClient Single Block",
            (true, false) => "AWSKMSEncryptionClient Frame",
            (true, true) => "AWSKMSEncryptionClient Final Frame",
        };
        let mut aad = message_id.to_vec();
        aad.extend_from_slice(content.as_bytes());
        aad.extend_from_slice(&self.number.to_be_bytes());
        aad.extend_from_slice(&self.length.to_be_bytes());
        aad
    }
}
