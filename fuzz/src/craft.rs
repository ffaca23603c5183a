//! Makes the message that a recipe describes, and the reader that it is for.
//!
//! The header is built and edited first, and then sealed as it stands, with
//! the keys that its reader will derive from it: so that an edit meets the
//! library's own checks, and no tag hides them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::caller::{Caller, Keys, static_data_key};
use crate::model::{Frame, Header, KnownSignature, canonical, header};
use crate::primitives::{Curve, SUITES, Suite, seal};
use crate::recipe::{Content, EdkParts, Recipe, What};

/// Frames longer than this are not filled up.
const LONGEST_FILLED: u32 = 4096;

#[derive(Clone, Debug)]
pub struct Crafted {
    pub message: Vec<u8>,
    pub caller: Caller,
    /// The signature that was made.
    pub known: Option<KnownSignature>,
    /// The message before anything was done to it as a whole.
    pub sealed: Vec<u8>,
    /// How much of that every reader must find authentic: all but the footer.
    pub authentic: usize,
    /// What must come out, if the recipe is a good one.
    pub plaintext: Option<Vec<u8>>,
    /// The length of the buffer to decrypt into.
    pub output_length: Option<usize>,
}

pub fn craft(recipe: &Recipe) -> Crafted {
    let bound = bound(recipe);
    let mut body = header_body(recipe);
    recipe
        .edits(What::SpliceHeader)
        .for_each(|edit| edit.splice(&mut body));
    let sealing = Sealing::new(recipe, &mut body, &bound);
    let tag = header_tag(recipe, &sealing, &body, &bound);
    let mut message = body;
    message.extend_from_slice(&tag);
    let (frames, plaintext) = sealing.frames(recipe);
    message.extend_from_slice(&frames);
    recipe
        .edits(What::SpliceBody)
        .for_each(|edit| edit.splice(&mut message));
    let authentic = message.len();
    let known = footer(recipe, &sealing, &mut message);
    let sealed = message.clone();

    for edit in recipe.edits(What::SpliceMessage) {
        edit.splice(&mut message);
    }
    for edit in recipe.edits(What::Truncate) {
        message.truncate(usize::from(edit.at) % (message.len() + 1));
    }
    for edit in recipe.edits(What::Trailing) {
        message.extend_from_slice(&edit.text.bytes());
    }
    Crafted {
        caller: caller(recipe, &bound),
        plaintext: is_good(recipe, &bound).then_some(plaintext),
        output_length: recipe
            .number(What::OutputLength)
            .map(|number| number as usize % 100_000),
        message,
        known,
        sealed,
        authentic,
    }
}

fn suite(recipe: &Recipe) -> &'static Suite {
    &SUITES[usize::from(recipe.suite) % SUITES.len()]
}

/// The pairs that are bound and not stored. The format's own keys cannot be.
fn bound(recipe: &Recipe) -> BTreeMap<String, String> {
    recipe
        .bound
        .iter()
        .map(|pair| (pair.key.string(), pair.value.string()))
        .filter(|(key, _)| !key.starts_with("aws-crypto-"))
        .collect()
}

/// The pairs that are stored, with the public key of a signed message.
fn stored(recipe: &Recipe) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut pairs: Vec<_> = recipe
        .pairs
        .iter()
        .map(|pair| (pair.key.bytes(), pair.value.bytes()))
        .collect();
    let edit = recipe.edits(What::PublicKey).next();
    let choice = edit.map(|edit| edit.number % 8);
    let curve = suite(recipe).curve;
    let encoded = |curve: Curve, which, compressed| {
        STANDARD.encode(curve.point(which, compressed)).into_bytes()
    };
    let value = match (curve, choice) {
        (None, Some(7)) => Some(encoded(Curve::P256, 0, true)),
        (None, _) | (Some(_), Some(6)) => None,
        (Some(curve), Some(0)) => Some(encoded(curve, 1, true)),
        (Some(Curve::P256), Some(1)) => Some(encoded(Curve::P384, 0, true)),
        (Some(Curve::P384), Some(1)) => Some(encoded(Curve::P256, 0, true)),
        (Some(curve), Some(2)) => Some(encoded(curve, 0, false)),
        (Some(curve), Some(3)) => {
            let mut text = encoded(curve, 0, true);
            text.pop();
            Some(text)
        }
        (Some(curve), Some(4)) => {
            let mut point = curve.point(0, true);
            point[1] ^= edit.map_or(0, |edit| edit.at as u8);
            Some(STANDARD.encode(point).into_bytes())
        }
        (Some(_), Some(5)) => edit.map(|edit| edit.text.bytes()),
        (Some(curve), _) => Some(encoded(curve, 0, true)),
    };
    if let Some(value) = value {
        let at = usize::from(recipe.public_key_at) % (pairs.len() + 1);
        pairs.insert(at, (b"aws-crypto-public-key".to_vec(), value));
    }
    pairs
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// The header up to its tag, with its fields as the edits want them.
fn header_body(recipe: &Recipe) -> Vec<u8> {
    let suite = suite(recipe);
    let is_v1 = suite.version() == 1;
    let number = |what| recipe.number(what);
    let byte = |what, natural: u8| number(what).map_or(natural, |number| number as u8);
    let mut out = vec![byte(What::Version, suite.version())];
    if is_v1 {
        out.push(byte(What::Type, 0x80));
    }
    let id = match number(What::SuiteId) {
        None => suite.id,
        Some(number) => SUITES
            .get(number as usize)
            .map_or(number as u16, |suite| suite.id),
    };
    out.extend_from_slice(&id.to_be_bytes());
    let mut message_id = recipe.message_id.bytes();
    message_id.resize(suite.id_length(), 0);
    out.extend_from_slice(&message_id);

    let pairs = stored(recipe);
    let mut context = Vec::new();
    if !pairs.is_empty() || number(What::PairCount).is_some() {
        let count = number(What::PairCount).map_or(pairs.len() as u16, |number| number as u16);
        context.extend_from_slice(&count.to_be_bytes());
    }
    for (key, value) in &pairs {
        put(&mut context, key);
        put(&mut context, value);
    }
    let length = number(What::ContextLength).map_or(context.len() as u16, |number| number as u16);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&context);

    let edks = edks(recipe);
    let count = number(What::EdkCount).map_or(edks.len() as u16, |number| number as u16);
    out.extend_from_slice(&count.to_be_bytes());
    for edk in &edks {
        put(&mut out, &edk.provider_id.bytes());
        put(&mut out, &edk.key_info.bytes());
        put(&mut out, &edk.ciphertext.bytes());
    }

    let content_type = if recipe.is_unframed { 1 } else { 2 };
    out.push(byte(What::ContentType, content_type));
    if is_v1 {
        out.extend_from_slice(&number(What::Reserved).unwrap_or(0).to_be_bytes());
        out.push(byte(What::IvLength, 12));
    }
    let frame_length = match (recipe.is_unframed, recipe.frame_length) {
        (true, _) => 0,
        (false, 0) => 16,
        (false, length) => length,
    };
    let frame_length = number(What::FrameLength).unwrap_or(frame_length);
    out.extend_from_slice(&frame_length.to_be_bytes());
    if suite.commits() {
        out.extend_from_slice(&[0; 32]);
    }
    out
}

fn edks(recipe: &Recipe) -> Vec<EdkParts> {
    if recipe.edks.is_empty() {
        vec![EdkParts::default()]
    } else {
        recipe.edks.clone()
    }
}

/// With what a message is sealed.
struct Sealing {
    suite: &'static Suite,
    message_id: Vec<u8>,
    /// `None` for an un-framed message.
    frame_length: Option<u32>,
    key: Vec<u8>,
}

impl Sealing {
    /// Reads the header as its reader will, and fills in the commitment.
    fn new(recipe: &Recipe, body: &mut Vec<u8>, bound: &BTreeMap<String, String>) -> Self {
        let length = body.len();
        body.resize(length + 256, 0);
        let Ok(read) = header(body, None, usize::MAX) else {
            // No reader will come to the tags.
            body.truncate(length);
            return Sealing {
                suite: suite(recipe),
                message_id: Vec::new(),
                frame_length: (!recipe.is_unframed).then_some(16),
                key: vec![0; 32],
            };
        };
        body.truncate(read.body_length);
        let key = derive(recipe, &read, body, bound);
        Sealing {
            suite: read.suite,
            message_id: read.message_id,
            frame_length: read.frame_length,
            key,
        }
    }

    /// All frames, or the un-framed body, and their plaintext.
    fn frames(&self, recipe: &Recipe) -> (Vec<u8>, Vec<u8>) {
        let mut contents: Vec<&Content> = Vec::new();
        if self.frame_length.is_some() {
            contents.extend(&recipe.frames);
        }
        contents.push(&recipe.last);
        let count = contents.len();
        let (mut sealed, mut plaintext) = (Vec::new(), Vec::new());
        for (index, content) in contents.into_iter().enumerate() {
            let edits = FrameEdits {
                recipe,
                index,
                count,
            };
            let (content, frame) = self.frame(&edits, content);
            plaintext.extend_from_slice(&content);
            if !edits.has(What::DropFrame) {
                sealed.push(frame.clone());
            }
            if edits.has(What::RepeatFrame) {
                sealed.push(frame);
            }
        }
        for edit in recipe.edits(What::SwapFrames) {
            let at = usize::from(edit.at) % sealed.len().max(1);
            if at + 1 < sealed.len() {
                sealed.swap(at, at + 1);
            }
        }
        (sealed.concat(), plaintext)
    }

    fn frame(&self, edits: &FrameEdits<'_>, content: &Content) -> (Vec<u8>, Vec<u8>) {
        let is_last = edits.index + 1 == edits.count;
        let (is_framed, is_last) = match edits.number(What::FrameKind) {
            None => (self.frame_length.is_some(), is_last),
            Some(number) => [(true, false), (true, true), (false, true)][number as usize % 3],
        };
        let mut content = content.0.bytes();
        let frame_length = self.frame_length.unwrap_or(u32::MAX);
        if !edits.has(What::FrameAsIs) && frame_length <= LONGEST_FILLED {
            if is_last {
                content.truncate(frame_length as usize);
            } else {
                content.resize(frame_length as usize, 0);
            }
        }
        let number = edits
            .number(What::FrameNumber)
            .unwrap_or(edits.index as u32 + 1);
        let mut iv = [0; 12];
        iv[8..].copy_from_slice(&number.to_be_bytes());
        if let Some(text) = edits.text(What::FrameIv) {
            let length = text.len().min(12);
            iv[..length].copy_from_slice(&text[..length]);
        }
        let length = if is_framed && !is_last {
            frame_length.into()
        } else {
            edits
                .number(What::FrameLengthField)
                .map_or(content.len() as u64, |number| long(number, is_framed))
        };

        let mut out = Vec::new();
        if is_framed && is_last {
            out.extend_from_slice(&[0xff; 4]);
        }
        if is_framed {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&iv);
        match (is_framed, is_last) {
            (false, _) => out.extend_from_slice(&length.to_be_bytes()),
            (true, true) => out.extend_from_slice(&(length as u32).to_be_bytes()),
            (true, false) => {}
        }
        let sealed = Frame {
            number: edits.number(What::FrameNumberSealed).unwrap_or(number),
            iv,
            length: edits
                .number(What::FrameLengthSealed)
                .map_or(length, u64::from),
            is_last,
            is_framed,
        };
        let mut ciphertext = seal(&self.key, &iv, &sealed.aad(&self.message_id), &content);
        if let (Some(number), Some(last)) = (edits.number(What::FrameTag), ciphertext.last_mut()) {
            *last ^= number as u8;
        }
        out.extend_from_slice(&ciphertext);
        (content, out)
    }
}

/// An un-framed body's length has 64 bits: the greatest numbers stand for more
/// than AES-GCM allows.
fn long(number: u32, is_framed: bool) -> u64 {
    match number {
        0xffff_ff00.. if !is_framed => u64::from(number) << 8,
        _ => number.into(),
    }
}

/// The edits of one frame.
struct FrameEdits<'a> {
    recipe: &'a Recipe,
    index: usize,
    count: usize,
}

impl FrameEdits<'_> {
    fn find(&self, what: What) -> Option<&crate::recipe::Edit> {
        self.recipe
            .edits(what)
            .find(|edit| usize::from(edit.at) % self.count == self.index)
    }

    fn has(&self, what: What) -> bool {
        self.find(what).is_some()
    }

    fn number(&self, what: What) -> Option<u32> {
        self.find(what).map(|edit| edit.number)
    }

    fn text(&self, what: What) -> Option<Vec<u8>> {
        self.find(what).map(|edit| edit.text.bytes())
    }
}

/// The message's key; writes the commitment into the header.
fn derive(
    recipe: &Recipe,
    read: &Header,
    body: &mut [u8],
    bound: &BTreeMap<String, String>,
) -> Vec<u8> {
    let mut context = read.context();
    context.extend(bound.clone());
    let aad = canonical(&context).unwrap_or_default();
    let aad = (!recipe.is_unbound).then_some(&aad[..]);
    let data_key = static_data_key(recipe.key_seed, aad, read.suite.key_length);
    let (key, mut commitment) = read.suite.derive(&data_key, &read.message_id);
    for edit in recipe.edits(What::Commitment) {
        let at = usize::from(edit.at) % 32;
        if let Some(byte) = commitment.get_mut(at) {
            *byte ^= edit.number as u8;
        }
    }
    let start = body.len() - commitment.len();
    body[start..].copy_from_slice(&commitment);
    key
}

/// The header's tag, and in version 1 the IV before it.
fn header_tag(
    recipe: &Recipe,
    sealing: &Sealing,
    body: &[u8],
    bound: &BTreeMap<String, String>,
) -> Vec<u8> {
    let sorted = canonical(bound).unwrap_or_default();
    let bound = match recipe.number(What::SealedContext).map(|number| number % 4) {
        None => sorted,
        Some(0) => Vec::new(),
        Some(1) => vec![0, 0],
        Some(2) => {
            let mut bytes = (bound.len() as u16).to_be_bytes().to_vec();
            for (key, value) in bound.iter().rev() {
                put(&mut bytes, key.as_bytes());
                put(&mut bytes, value.as_bytes());
            }
            bytes
        }
        Some(_) => {
            let mut all: BTreeMap<_, _> = recipe
                .pairs
                .iter()
                .map(|pair| (pair.key.string(), pair.value.string()))
                .collect();
            all.extend(bound.clone());
            canonical(&all).unwrap_or_default()
        }
    };
    let mut iv = [0; 12];
    let mut out = Vec::new();
    if sealing.suite.version() == 1 {
        for edit in recipe.edits(What::HeaderIv) {
            let text = edit.text.bytes();
            let length = text.len().min(12);
            iv[..length].copy_from_slice(&text[..length]);
        }
        out.extend_from_slice(&iv);
    }
    let mut tag = seal(&sealing.key, &iv, &[body, &bound].concat(), b"");
    tag[0] ^= recipe.number(What::HeaderTag).unwrap_or(0) as u8;
    out.extend_from_slice(&tag);
    out
}

fn footer(recipe: &Recipe, sealing: &Sealing, message: &mut Vec<u8>) -> Option<KnownSignature> {
    let mut known = None;
    if let (Some(curve), false) = (sealing.suite.curve, recipe.has(What::NoFooter)) {
        let which = recipe.has(What::OtherSigner).into();
        let digest = curve.digest(message);
        let signature = curve.sign(which, &digest, recipe.has(What::NegateSignature));
        known = Some(KnownSignature {
            point: curve.point(which, true),
            digest,
            signature: signature.clone(),
        });
        let mut written = signature;
        recipe
            .edits(What::SpliceSignature)
            .for_each(|edit| edit.splice(&mut written));
        let length = recipe
            .number(What::SignatureLength)
            .map_or(written.len() as u16, |number| number as u16);
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(&written);
    }
    for edit in recipe.edits(What::ExtraFooter) {
        put(message, &edit.text.bytes());
    }
    known
}

fn caller(recipe: &Recipe, bound: &BTreeMap<String, String>) -> Caller {
    let number = |what| recipe.number(what);
    let mut caller = Caller {
        keys: Keys::Static {
            index: number(What::OpenIndex).unwrap_or(0) as usize,
            seed: recipe.key_seed ^ u8::from(recipe.has(What::OtherDataKey)),
            is_bound: !recipe.is_unbound,
            length: number(What::DataKeyLength).map(|number| number as usize % 34),
        },
        required: bound.keys().cloned().collect(),
        expected: bound.clone(),
        ..Caller::default()
    };
    for (bit, pair) in recipe.pairs.iter().enumerate() {
        if recipe.expects >> bit & 1 == 1 {
            let value = pair.value.string();
            caller.expected.entry(pair.key.string()).or_insert(value);
        }
    }
    let nth = |at: u16| bound.keys().nth(usize::from(at) % bound.len().max(1));
    for edit in &recipe.edits {
        let text = edit.text.string();
        let pair = recipe
            .pairs
            .get(usize::from(edit.at) % recipe.pairs.len().max(1));
        match (edit.what(), pair, nth(edit.at)) {
            (What::Require, ..) if !text.starts_with("aws-crypto-") => {
                caller.required.insert(text);
            }
            (What::Expect, pair, _) if edit.number % 2 == 1 => {
                let value = pair.map(|pair| pair.value.string());
                caller.expected.insert(text, value.unwrap_or_default());
            }
            (What::Expect, Some(pair), _) => {
                caller.expected.insert(pair.key.string(), text);
            }
            (What::ExpectBound, _, Some(key)) => {
                caller.expected.insert(key.clone(), text);
            }
            (What::Forget, _, Some(key)) => {
                caller.expected.remove(key);
            }
            (What::NotRequired, _, Some(key)) => {
                caller.required.remove(key);
            }
            (What::Policy, ..) => {
                caller.requires_commitment = edit.number & 1 != 0;
                caller.require_signed = edit.number & 2 != 0;
                caller.refuse_signed_streams = edit.number & 4 != 0;
            }
            _ => {}
        }
    }
    caller.max_edks = number(What::MaxEdks).map(|number| number as usize);
    if let Some(number) = number(What::MaxHeaderLength) {
        caller.max_header_length = number as usize;
    }
    if let Some(number) = number(What::MaxBuffered) {
        caller.max_buffered = number as usize;
    }
    caller
}

/// Whether a message must decrypt by what its recipe says.
fn is_good(recipe: &Recipe, bound: &BTreeMap<String, String>) -> bool {
    let mut context = bound.clone();
    let stored = stored(recipe);
    let are_texts = stored.iter().all(|(key, value)| {
        let (Ok(key), Ok(value)) = (str::from_utf8(key), str::from_utf8(value)) else {
            return false;
        };
        // Every key once, and a public key only where it must be.
        context.insert(key.to_owned(), value.to_owned()).is_none()
    });
    let owns_key = context.contains_key("aws-crypto-public-key");
    are_texts
        && recipe.edits.is_empty()
        && owns_key == suite(recipe).curve.is_some()
        && canonical(&context).is_ok()
        && edks(recipe)
            .iter()
            .all(|edk| String::from_utf8(edk.provider_id.bytes()).is_ok())
        && (recipe.frame_length <= LONGEST_FILLED
            || (recipe.frames.is_empty()
                && recipe.last.0.bytes().len() as u64 <= recipe.frame_length.into()))
}
