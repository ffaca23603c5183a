//! The encryption context and its canonical bytes.
//!
//! Specification: framework/structures.md, "Encryption Context".

use std::cmp::Ordering;
use std::fmt;
use std::slice::Iter;

use crate::error::{Error, Result};

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
    /// The keys and the values: one piece, as each message has a context.
    text: String,
    /// Where they are. Both have the order of the keys' UTF-8 bytes, which is
    /// the canonical form's.
    pairs: Vec<Pair>,
}

/// Where a pair stands in the text: its value comes after its key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Pair {
    start: usize,
    key_end: usize,
    end: usize,
}

impl Pair {
    fn key(self, text: &str) -> &str {
        &text[self.start..self.key_end]
    }

    fn value(self, text: &str) -> &str {
        &text[self.key_end..self.end]
    }

    fn moved(self, from: usize, to: usize) -> Self {
        Pair {
            start: self.start - from + to,
            key_end: self.key_end - from + to,
            end: self.end - from + to,
        }
    }
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
        let start = self.start_of(index);
        self.text.insert_str(start, value);
        self.text.insert_str(start, key);
        let key_end = start + key.len();
        let end = key_end + value.len();
        let pair = Pair {
            start,
            key_end,
            end,
        };
        self.pairs.insert(index, pair);
        self.move_from(index + 1, start, end);
        before
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let index = self.find(key).ok()?;
        Some(self.pairs.get(index)?.value(&self.text))
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
            .binary_search_by(|pair| pair.key(&self.text).cmp(key))
    }

    fn start_of(&self, index: usize) -> usize {
        self.pairs
            .get(index)
            .map_or(self.text.len(), |pair| pair.start)
    }

    fn remove_at(&mut self, index: usize) -> Option<String> {
        let pair = *self.pairs.get(index)?;
        let value = pair.value(&self.text).to_owned();
        self.text.drain(pair.start..pair.end);
        self.pairs.remove(index);
        self.move_from(index, pair.end, pair.start);
        Some(value)
    }

    /// What stood at `from` stands at `to` now, and the pairs after it too.
    fn move_from(&mut self, index: usize, from: usize, to: usize) {
        for pair in self.pairs.iter_mut().skip(index) {
            *pair = pair.moved(from, to);
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
        self.encode_where(&|_| true)
    }

    /// The canonical bytes of the pairs whose keys are chosen.
    pub(crate) fn encode_where(&self, chosen: &dyn Fn(&str) -> bool) -> Result<Vec<u8>> {
        let length = self.encoded_length_where(chosen)?;
        let mut out = Vec::with_capacity(length);
        if length > 0 {
            out.extend_from_slice(&[0; 2]);
            let mut count = 0u16;
            for (key, value) in self.iter().filter(|(key, _)| chosen(key)) {
                // A context within MAX_LENGTH has at most 16,383 pairs, each of
                // lengths below 65,536.
                count += 1;
                for text in [key, value] {
                    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
                    out.extend_from_slice(text.as_bytes());
                }
            }
            out[..2].copy_from_slice(&count.to_be_bytes());
        }
        Ok(out)
    }

    /// The length that [`encode_where`](Self::encode_where) gives.
    pub(crate) fn encoded_length_where(&self, chosen: &dyn Fn(&str) -> bool) -> Result<usize> {
        let mut length = 0usize;
        for (key, value) in self.iter().filter(|(key, _)| chosen(key)) {
            let pair = key.len().saturating_add(value.len()).saturating_add(4);
            length = length.saturating_add(pair);
        }
        if length > 0 {
            length = length.saturating_add(2);
        }
        if length > MAX_LENGTH {
            return Err(Error::ContextTooLong { length });
        }
        Ok(length)
    }

    /// Refuses the keys that the format keeps for itself.
    pub(crate) fn check_unreserved(&self) -> Result<()> {
        match self
            .iter()
            .find(|(key, _)| key.starts_with(RESERVED_PREFIX))
        {
            Some((key, _)) => Err(Error::ReservedContextKey {
                key: key.to_owned(),
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
    /// With room for so many pairs, and so many bytes of keys and values.
    pub(crate) fn with_capacity(pairs: usize, text: usize) -> Self {
        UnsortedContext {
            context: EncryptionContext {
                text: String::with_capacity(text),
                pairs: Vec::with_capacity(pairs),
            },
            is_sorted: true,
        }
    }

    pub(crate) fn push(&mut self, key: &str, value: &str) {
        let EncryptionContext { text, pairs } = &mut self.context;
        self.is_sorted &= pairs.last().is_none_or(|last| last.key(text) < key);
        let start = text.len();
        text.push_str(key);
        let key_end = text.len();
        text.push_str(value);
        let end = text.len();
        pairs.push(Pair {
            start,
            key_end,
            end,
        });
    }

    /// The context, or a key that came twice.
    pub(crate) fn finish(self) -> Result<EncryptionContext, String> {
        if self.is_sorted {
            return Ok(self.context);
        }
        let EncryptionContext { text, mut pairs } = self.context;
        pairs.sort_unstable_by(|a, b| a.key(&text).cmp(b.key(&text)));
        let mut sorted = Self::with_capacity(pairs.len(), text.len());
        for pair in pairs {
            sorted.push(pair.key(&text), pair.value(&text));
            if !sorted.is_sorted {
                return Err(pair.key(&text).to_owned());
            }
        }
        Ok(sorted.context)
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
        for (key, value) in pairs {
            self.insert(key, value);
        }
    }
}

impl<'a> IntoIterator for &'a EncryptionContext {
    type Item = (&'a str, &'a str);
    type IntoIter = ContextIter<'a>;

    fn into_iter(self) -> ContextIter<'a> {
        ContextIter {
            text: &self.text,
            pairs: self.pairs.iter(),
        }
    }
}

/// The pairs of an [`EncryptionContext`], sorted by key.
#[derive(Clone)]
pub struct ContextIter<'a> {
    text: &'a str,
    pairs: Iter<'a, Pair>,
}

impl<'a> Iterator for ContextIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let pair = self.pairs.next()?;
        Some((pair.key(self.text), pair.value(self.text)))
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
        assert_eq!(
            context.encode_where(&|key| key == "b").unwrap(),
            b"\0\x01\0\x01b\0\0"
        );
        assert!(context.encode_where(&|_| false).unwrap().is_empty());
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
            assert_eq!(context, pairs.collect::<EncryptionContext>());
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
