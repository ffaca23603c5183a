//! The encryption context and its canonical bytes.
//!
//! Specification: framework/structures.md, "Encryption Context".

use std::collections::BTreeMap;
use std::collections::btree_map::Iter;

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EncryptionContext {
    // `String` orders by UTF-8 bytes, which is the order of the canonical form.
    pairs: BTreeMap<String, String>,
}

impl EncryptionContext {
    /// An empty context.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair, and returns the value that the key had before.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) -> Option<String> {
        self.pairs.insert(key.into(), value.into())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.get(key).map(String::as_str)
    }

    /// Whether there is such a key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.pairs.contains_key(key)
    }

    /// Removes a key, and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.pairs.remove(key)
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
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
        self.encode_where(|_| true)
    }

    /// The canonical bytes of the pairs whose keys are chosen.
    pub(crate) fn encode_where(&self, chosen: impl Fn(&str) -> bool) -> Result<Vec<u8>> {
        let length = self.encoded_length_where(&chosen)?;
        let mut out = Vec::with_capacity(length);
        if length > 0 {
            let count = self.pairs.keys().filter(|key| chosen(key)).count();
            // A context within MAX_LENGTH has at most 16,383 pairs, each of
            // lengths below 65,536.
            out.extend_from_slice(&(count as u16).to_be_bytes());
            for (key, value) in self.pairs.iter().filter(|(key, _)| chosen(key)) {
                for text in [key, value] {
                    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
                    out.extend_from_slice(text.as_bytes());
                }
            }
        }
        Ok(out)
    }

    /// The length that [`encode_where`](Self::encode_where) gives.
    pub(crate) fn encoded_length_where(&self, chosen: impl Fn(&str) -> bool) -> Result<usize> {
        let mut length = 0usize;
        for (key, value) in self.pairs.iter().filter(|(key, _)| chosen(key)) {
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
            .pairs
            .keys()
            .find(|key| key.starts_with(RESERVED_PREFIX))
        {
            Some(key) => Err(Error::ReservedContextKey { key: key.clone() }),
            None => Ok(()),
        }
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
        ContextIter(self.pairs.iter())
    }
}

/// The pairs of an [`EncryptionContext`], sorted by key.
#[derive(Clone, Debug)]
pub struct ContextIter<'a>(Iter<'a, String, String>);

impl<'a> Iterator for ContextIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.0
            .next()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
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
            context.encode_where(|key| key == "b").unwrap(),
            b"\0\x01\0\x01b\0\0"
        );
        assert!(context.encode_where(|_| false).unwrap().is_empty());
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
