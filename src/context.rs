//! The encryption context and its canonical bytes.
//!
//! Specification: framework/structures.md, "Encryption Context".

use std::cmp::Ordering;
use std::fmt;
use std::slice::Iter;

use crate::error::{Error, Result};
use crate::sort;

/// The prefix of the keys that the format keeps for itself.
pub(crate) const RESERVED_PREFIX: &str = "aws-crypto-";
/// Where a signed message keeps its public key.
pub(crate) const PUBLIC_KEY: &str = "aws-crypto-public-key";
/// The longest context, in canonical bytes.
pub(crate) const MAX_LENGTH: usize = u16::MAX as usize;

/// Pairs of text that say what a message is for. They are stored in the
/// message in the clear and authenticated with it: never put a secret in one.
///
/// A context is at most 65,535 bytes long when serialized: two for the count
/// and four for each pair beside its key's and value's UTF-8 bytes. Keys
/// starting with `aws-crypto-` are the format's own. Both are checked when
/// the context is used, so that building one cannot fail.
///
/// ```
/// use waxseal::EncryptionContext;
///
/// let mut context = EncryptionContext::from([("tenant", "7"), ("purpose", "backup")]);
/// context.insert("region", "eu");
/// assert_eq!(context.get("tenant"), Some("7"));
/// assert_eq!(context.len(), 3);
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct EncryptionContext {
    /// The canonical form, as each message asks for it. Of a context that is too
    /// long for it the counts are cut off, and nobody gets these bytes.
    bytes: Vec<u8>,
    /// Where the pairs are in it, by the keys' UTF-8 bytes.
    pairs: Vec<Pair>,
}

/// Bytes before the pairs, and before a key or a value: how many there are.
const COUNT: usize = 2;

/// Where a pair stands: each of its texts has its length before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Pair {
    start: usize,
    key_end: usize,
    end: usize,
}

impl Pair {
    /// Where a pair stands that begins here.
    fn at(start: usize, key: &str, value: &str) -> Self {
        let key_end = start + COUNT + key.len();
        Pair {
            start,
            key_end,
            end: key_end + COUNT + value.len(),
        }
    }

    /// Appends a pair.
    fn append(key: &str, value: &str, bytes: &mut Vec<u8>) -> Self {
        let pair = Self::at(bytes.len(), key, value);
        for text in [key, value] {
            bytes.extend_from_slice(&(text.len() as u16).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        pair
    }

    fn key(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start + COUNT..self.key_end]
    }

    fn value(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.key_end + COUNT..self.end]
    }

    fn moved(self, from: usize, to: usize) -> Self {
        Pair {
            start: self.start - from + to,
            key_end: self.key_end - from + to,
            end: self.end - from + to,
        }
    }
}

/// Only text was put in.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

impl EncryptionContext {
    /// An empty context.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair, and returns the value that the key had before.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) -> Option<String> {
        self.insert_text(&key.into(), &value.into())
    }

    fn insert_text(&mut self, key: &str, value: &str) -> Option<String> {
        let (index, before) = match self.find(key) {
            Ok(index) => (index, self.remove_at(index)),
            Err(index) => (index, None),
        };
        if self.is_empty() {
            self.bytes.resize(COUNT, 0);
        }
        let (start, at) = (self.start_of(index), self.bytes.len());
        let pair = Pair::append(key, value, &mut self.bytes).moved(at, start);
        self.bytes[start..].rotate_right(pair.end - pair.start);
        self.pairs.insert(index, pair);
        self.move_from(index + 1, pair.start, pair.end);
        self.write_count();
        before
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let index = self.find(key).ok()?;
        Some(text(self.pairs.get(index)?.value(&self.bytes)))
    }

    /// Whether there is such a key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    /// Removes a key, and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.remove_at(self.find(key).ok()?)
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The index of a key, or the one that it would have.
    fn find(&self, key: &str) -> Result<usize, usize> {
        self.pairs
            .binary_search_by(|pair| pair.key(&self.bytes).cmp(key.as_bytes()))
    }

    fn start_of(&self, index: usize) -> usize {
        self.pairs
            .get(index)
            .map_or(self.bytes.len(), |pair| pair.start)
    }

    fn remove_at(&mut self, index: usize) -> Option<String> {
        let pair = *self.pairs.get(index)?;
        let value = text(pair.value(&self.bytes)).to_owned();
        self.bytes.drain(pair.start..pair.end);
        self.pairs.remove(index);
        self.move_from(index, pair.end, pair.start);
        self.write_count();
        Some(value)
    }

    /// What stood at `from` stands at `to` now, and the pairs after it too.
    fn move_from(&mut self, index: usize, from: usize, to: usize) {
        for pair in self.pairs.iter_mut().skip(index) {
            *pair = pair.moved(from, to);
        }
    }

    fn write_count(&mut self) {
        if self.is_empty() {
            self.bytes.clear();
        } else if let Some(count) = self.bytes.first_chunk_mut() {
            *count = (self.pairs.len() as u16).to_be_bytes();
        }
    }

    /// The pairs, sorted by the UTF-8 bytes of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.into_iter()
    }

    /// The canonical bytes: what a provider binds as additional data. A count
    /// and the pairs, sorted by key; no bytes at all for an empty context.
    ///
    /// # Errors
    /// [`Error::ContextTooLong`] over 65,535 bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.canonical().map(<[u8]>::to_vec)
    }

    /// The same, borrowed.
    pub(crate) fn canonical(&self) -> Result<&[u8]> {
        match self.bytes.len() {
            // Its 16,383 pairs at most and their lengths are below 65,536.
            0..=MAX_LENGTH => Ok(&self.bytes),
            length => Err(Error::ContextTooLong { length }),
        }
    }

    /// The pairs whose keys are chosen.
    pub(crate) fn filtered(&self, chosen: &dyn Fn(&str) -> bool) -> Self {
        let mut filtered = UnsortedContext::with_capacity(self.len(), self.bytes.len());
        for (key, value) in self.iter().filter(|(key, _)| chosen(key)) {
            filtered.push(key, value);
        }
        filtered.sorted().0
    }

    /// Refuses the keys that the format keeps for itself.
    pub(crate) fn check_unreserved(&self) -> Result<()> {
        let is_reserved = |key: &[u8]| key.starts_with(RESERVED_PREFIX.as_bytes());
        let mut keys = self.pairs.iter().map(|pair| pair.key(&self.bytes));
        match keys.find(|key| is_reserved(key)) {
            Some(key) => Err(Error::ReservedContextKey {
                key: text(key).to_owned(),
            }),
            None => Ok(()),
        }
    }
}

/// Pairs that come one by one, in any order: sorting them once takes no more
/// than their number times its logarithm, whoever has chosen the order.
pub(crate) struct UnsortedContext {
    context: EncryptionContext,
    is_sorted: bool,
}

impl UnsortedContext {
    /// With room for so many pairs, and so many canonical bytes.
    pub(crate) fn with_capacity(pairs: usize, bytes: usize) -> Self {
        EncryptionContext {
            bytes: Vec::with_capacity(bytes),
            pairs: Vec::with_capacity(pairs),
        }
        .into()
    }

    /// With a message's bytes, which are the canonical ones where their pairs
    /// are sorted. They come by [`push_at`](Self::push_at), and no others do.
    pub(crate) fn from_wire(bytes: &[u8], pairs: usize) -> Self {
        UnsortedContext {
            context: EncryptionContext {
                bytes: bytes.to_vec(),
                pairs: Vec::with_capacity(pairs),
            },
            is_sorted: true,
        }
    }

    /// Adds the pair that stands at `start` in a message's bytes.
    pub(crate) fn push_at(&mut self, start: usize, key: &str, value: &str) {
        self.add(Pair::at(start, key, value));
    }

    pub(crate) fn push(&mut self, key: &str, value: &str) {
        let pair = Pair::append(key, value, &mut self.context.bytes);
        self.add(pair);
    }

    fn add(&mut self, pair: Pair) {
        let EncryptionContext { bytes, pairs } = &mut self.context;
        let last = pairs.last();
        self.is_sorted &= last.is_none_or(|last| last.key(bytes) < pair.key(bytes));
        pairs.push(pair);
    }

    /// The context, or the key that was the first to come twice.
    pub(crate) fn finish(self) -> Result<EncryptionContext, String> {
        match self.sorted() {
            (context, None) => Ok(context),
            (_, Some(key)) => Err(key),
        }
    }

    /// The context, where the last value of a key holds; and the key that was
    /// the first to come twice.
    fn sorted(mut self) -> (EncryptionContext, Option<String>) {
        if self.is_sorted {
            self.context.write_count();
            return (self.context, None);
        }
        let EncryptionContext { bytes, pairs } = self.context;
        let key = |index: usize| pairs[index].key(&bytes);
        let order = sort::order(pairs.len(), &|a, b| (key(a), a).cmp(&(key(b), b)));
        let again = order.windows(2).filter_map(|two| match *two {
            [first, again] if key(first) == key(again) => Some(again),
            _ => None,
        });
        let twice = again.min().map(|index| text(key(index)).to_owned());
        let mut sorted = Self::with_capacity(pairs.len(), bytes.len());
        for (place, index) in order.iter().copied().enumerate() {
            let next = order.get(place + 1);
            if next.is_none_or(|next| key(*next) != key(index)) {
                sorted.push(text(key(index)), text(pairs[index].value(&bytes)));
            }
        }
        sorted.context.write_count();
        (sorted.context, twice)
    }
}

impl From<EncryptionContext> for UnsortedContext {
    fn from(mut context: EncryptionContext) -> Self {
        if context.is_empty() {
            context.bytes.resize(COUNT, 0);
        }
        UnsortedContext {
            context,
            is_sorted: true,
        }
    }
}

impl fmt::Debug for EncryptionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl PartialOrd for EncryptionContext {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EncryptionContext {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other)
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for EncryptionContext {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for EncryptionContext {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut context = Self::new();
        context.extend(pairs);
        context
    }
}

impl<K: Into<String>, V: Into<String>> Extend<(K, V)> for EncryptionContext {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        let mut pairs = pairs.into_iter().peekable();
        if pairs.peek().is_none() {
            return;
        }
        let mut all = UnsortedContext::from(std::mem::take(self));
        for (key, value) in pairs {
            all.push(&key.into(), &value.into());
        }
        *self = all.sorted().0;
    }
}

impl<'a> IntoIterator for &'a EncryptionContext {
    type Item = (&'a str, &'a str);
    type IntoIter = ContextIter<'a>;

    fn into_iter(self) -> ContextIter<'a> {
        ContextIter {
            bytes: &self.bytes,
            pairs: self.pairs.iter(),
        }
    }
}

/// The pairs of an [`EncryptionContext`], sorted by key.
#[derive(Clone)]
pub struct ContextIter<'a> {
    bytes: &'a [u8],
    pairs: Iter<'a, Pair>,
}

impl<'a> Iterator for ContextIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let pair = self.pairs.next()?;
        let (key, value) = (pair.key(self.bytes), pair.value(self.bytes));
        Some((text(key), text(value)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.pairs.size_hint()
    }
}

impl ExactSizeIterator for ContextIter<'_> {}

impl fmt::Debug for ContextIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_bytes() {
        assert!(EncryptionContext::new().to_bytes().unwrap().is_empty());
        let context = EncryptionContext::from([("b", ""), ("a", "xy")]);
        assert_eq!(
            context.to_bytes().unwrap(),
            b"\0\x02\0\x01a\0\x02xy\0\x01b\0\0"
        );
        let chosen = context.filtered(&|key| key == "b");
        assert_eq!(chosen.canonical().unwrap(), b"\0\x01\0\x01b\0\0");
        assert!(context.filtered(&|_| false).canonical().unwrap().is_empty());
    }

    /// UTF-16 would sort the astral key (a surrogate pair, U+D800 and up)
    /// before U+E000; UTF-8 sorts by code point.
    #[test]
    fn sorted_by_utf8_bytes() {
        let context =
            EncryptionContext::from([("\u{1f512}", "1"), ("\u{ffff}", "2"), ("\u{e000}", "3")]);
        let keys: Vec<_> = context.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["\u{e000}", "\u{ffff}", "\u{1f512}"]);
    }

    /// As a map does it, whatever is done.
    #[test]
    fn like_a_map() {
        let texts = ["", "a", "ab", "b", "é", "\u{1f512}", "zz"];
        let mut map = std::collections::BTreeMap::new();
        let mut context = EncryptionContext::new();
        let mut state = 1u32;
        for _ in 0..2000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = texts[(state >> 8) as usize % texts.len()];
            let value = texts[(state >> 16) as usize % texts.len()];
            if state >> 30 == 0 {
                let removed: Option<&str> = map.remove(key);
                assert_eq!(context.remove(key).as_deref(), removed);
            } else {
                let before = map.insert(key, value);
                assert_eq!(context.insert(key, value).as_deref(), before);
            }
            let pairs = map.iter().map(|(key, value)| (*key, *value));
            assert!(context.iter().eq(pairs.clone()));
            let anew: EncryptionContext = pairs.collect();
            assert_eq!(context, anew);
            assert_eq!(context.to_bytes().unwrap(), anew.to_bytes().unwrap());
            assert_eq!(context.len(), map.len());
            for key in texts {
                assert_eq!(context.get(key), map.get(key).copied());
                assert_eq!(context.contains_key(key), map.contains_key(key));
            }
        }
    }

    #[test]
    fn ordered_as_their_pairs_are() {
        let of = |pairs: &[(&str, &str)]| pairs.iter().copied().collect::<EncryptionContext>();
        let ascending = [
            of(&[]),
            of(&[("a", "b")]),
            of(&[("a", "b"), ("b", "")]),
            of(&[("a", "c")]),
            of(&[("ab", "")]),
        ];
        assert!(ascending.is_sorted());
        // The same text, cut elsewhere.
        assert_ne!(of(&[("ab", "c")]), of(&[("a", "bc")]));
        assert_eq!(format!("{:?}", ascending[2]), r#"{"a": "b", "b": ""}"#);
    }

    #[test]
    fn sorted_when_they_have_come() {
        let push = |keys: &[&str]| {
            let mut pairs = UnsortedContext::with_capacity(0, 0);
            keys.iter().for_each(|key| pairs.push(key, "v"));
            pairs.finish()
        };
        let expected: EncryptionContext = ["a", "b", "c"].map(|key| (key, "v")).into();
        for keys in [["a", "b", "c"], ["c", "a", "b"], ["c", "b", "a"]] {
            assert_eq!(push(&keys).unwrap(), expected);
        }
        let last = EncryptionContext::from([("b", "1"), ("a", "2"), ("b", "3"), ("a", "4")]);
        assert_eq!(last, EncryptionContext::from([("a", "4"), ("b", "3")]));
        let mut extended = last.clone();
        extended.extend([("b", "5"), ("", "6"), ("b", "7")]);
        assert_eq!(format!("{extended:?}"), r#"{"": "6", "a": "4", "b": "7"}"#);
        extended.extend(&EncryptionContext::new());
        assert_eq!(extended.len(), 3);
        assert_eq!(push(&["b", "a", "b", "c", "a"]).unwrap_err(), "b");
        assert_eq!(push(&["a", "b", "a", "b"]).unwrap_err(), "a");
        for keys in [["a", "b", "a"], ["b", "a", "a"], ["a", "a", "b"]] {
            assert_eq!(push(&keys).unwrap_err(), "a");
        }
    }

    #[test]
    fn longest() {
        let exact = EncryptionContext::from([("k".to_owned(), "v".repeat(MAX_LENGTH - 7))]);
        assert_eq!(exact.to_bytes().unwrap().len(), MAX_LENGTH);
        let over = EncryptionContext::from([("k".to_owned(), "v".repeat(MAX_LENGTH - 6))]);
        assert!(matches!(
            over.to_bytes(),
            Err(Error::ContextTooLong { length: 65_536 })
        ));
    }
}
