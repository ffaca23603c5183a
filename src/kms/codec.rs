//! How the values of records are written: the format of the crate `postcard`,
//! version 1 (<https://postcard.jamesmunns.com/wire-format>), as much of it as
//! there is in records.
//!
//! | value | bytes |
//! |---|---|
//! | `bool` | one: 0 or 1 |
//! | `u16`, `u32`, `u64` | a varint: seven bits a byte, the lowest first, and bit 7 set in all bytes but the last |
//! | bytes; a text, in UTF-8 | how many bytes, a varint; the bytes |
//! | `[u8; N]` | the N bytes |
//! | `Option` | 0; or 1, and the value |
//! | a list | how many values, a varint; the values |
//! | a map | how many entries, a varint; the key and the value of each, by ascending keys |
//! | a struct | its fields, in their order |
//! | an enum | the variant's number, from 0, a varint; the variant's fields |
//!
//! What is read is what `postcard` 1.2 reads: nothing after the value, no other
//! bytes for a `bool` or an `Option`, and no varint that has a bit beyond its
//! type's. It reads two forms that are never written, and so does this: a
//! varint with zeros at its end, and a map's keys in any order, where the last
//! of equal ones holds. Nobody can turn one form into another: records are
//! authentic before they are read, and an envelope's header is bound, as bytes,
//! to the message in it.
//!
//! Each type has its two directions side by side, beside its definition, or a
//! key's types all in [`stored`](super::key).

use std::collections::BTreeMap;

use crate::crypto::{SecretBuffer, SecretBytes};

/// A value of records; `'a` is what it borrows from.
pub(super) trait Codec<'a>: Sized {
    fn write(&self, writer: &mut Writer);

    /// `None` where the bytes are none of this type's. Reads the fields in the
    /// order in which they are written.
    fn read(reader: &mut Reader<'a>) -> Option<Self>;
}

/// The bytes of a value, after others.
pub(super) fn encode<'a>(before: &[u8], value: &impl Codec<'a>) -> SecretBuffer {
    let mut writer = Writer::default();
    writer.array(before);
    value.write(&mut writer);
    writer.0
}

/// The value of these bytes, where they are that and no more.
pub(super) fn decode<'a, T: Codec<'a>>(bytes: &'a [u8]) -> Option<T> {
    let mut reader = Reader(bytes);
    let value = T::read(&mut reader)?;
    reader.0.is_empty().then_some(value)
}

/// Writes into memory that wipes itself, also what it leaves behind.
#[derive(Default)]
pub(super) struct Writer(SecretBuffer);

impl Writer {
    pub(super) fn bool(&mut self, value: bool) {
        self.0.extend(&[value.into()]);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.u64(value.into());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.u64(value.into());
    }

    pub(super) fn u64(&mut self, value: u64) {
        let mut rest = value;
        while rest > 0x7f {
            self.0.extend(&[rest as u8 | 0x80]);
            rest >>= 7;
        }
        self.0.extend(&[rest as u8]);
    }

    /// The number of an enum's variant.
    pub(super) fn variant(&mut self, number: u32) {
        self.u32(number);
    }

    /// How many values of a list or entries of a map follow.
    pub(super) fn count(&mut self, count: usize) {
        self.u64(count as u64);
    }

    /// Bytes of a length that the type has.
    pub(super) fn array(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.array(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn option<'a, T: Codec<'a>>(&mut self, value: &Option<T>) {
        self.bool(value.is_some());
        if let Some(value) = value {
            value.write(self);
        }
    }

    pub(super) fn list<'a, T: Codec<'a>>(&mut self, values: &[T]) {
        self.count(values.len());
        for value in values {
            value.write(self);
        }
    }
}

/// Reads what a [`Writer`] has written, or somebody else. Each length is held
/// against what is left before it is used.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bool(&mut self) -> Option<bool> {
        match self.array()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.varint(u16::BITS)?.try_into().ok()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.varint(u32::BITS)?.try_into().ok()
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.varint(u64::BITS)
    }

    /// A number of so many bits: of 16, 32 or 64.
    fn varint(&mut self, bits: u32) -> Option<u64> {
        let mut value = 0;
        for shift in (0..bits).step_by(7) {
            let [byte] = self.array()?;
            let left = bits - shift;
            if left < 7 && byte >> left != 0 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// The number of an enum's variant.
    pub(super) fn variant(&mut self) -> Option<u32> {
        self.u32()
    }

    /// How many values of a list or entries of a map follow: no more than there
    /// are bytes, since each has one at least.
    pub(super) fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.u64()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    /// Bytes of a length that the type has.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.count()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn string(&mut self) -> Option<String> {
        self.text().map(str::to_owned)
    }

    /// Bytes, straight into memory that wipes itself.
    pub(super) fn secret(&mut self) -> Option<SecretBytes> {
        self.bytes().map(SecretBytes::copy_from)
    }

    pub(super) fn option<T: Codec<'a>>(&mut self) -> Option<Option<T>> {
        match self.bool()? {
            false => Some(None),
            true => T::read(self).map(Some),
        }
    }

    /// The list grows with what was read, and not by what it claims to be.
    pub(super) fn list<T: Codec<'a>>(&mut self) -> Option<Vec<T>> {
        let mut values = Vec::new();
        for _ in 0..self.count()? {
            values.push(T::read(self)?);
        }
        Some(values)
    }
}

impl Codec<'_> for String {
    fn write(&self, writer: &mut Writer) {
        writer.text(self);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.string()
    }
}

impl Codec<'_> for BTreeMap<String, String> {
    fn write(&self, writer: &mut Writer) {
        writer.count(self.len());
        for (key, value) in self {
            writer.text(key);
            writer.text(value);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut map = BTreeMap::new();
        for _ in 0..reader.count()? {
            map.insert(reader.string()?, reader.string()?);
        }
        Some(map)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;

    /// Holds a value against its bytes at rest, which the crate `postcard`
    /// wrote: they are written, read again, and nothing of them can be missing.
    #[track_caller]
    pub(in crate::kms) fn assert_stored<'a, T: Codec<'a>>(value: &T, expected: &[&[u8]]) {
        // What is read may borrow from them for as long as the value does.
        let bytes: &[u8] = expected.concat().leak();
        assert_eq!(encode(&[], value).as_slice(), bytes);
        let read: T = decode(bytes).unwrap();
        assert_eq!(encode(&[], &read).as_slice(), bytes);
        for length in 0..bytes.len() {
            assert!(decode::<T>(&bytes[..length]).is_none(), "{length} bytes");
        }
        let longer = [bytes, &[0]].concat().leak();
        assert!(decode::<T>(longer).is_none());
    }

    fn written(write: impl Fn(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::default();
        write(&mut writer);
        writer.0.as_slice().to_vec()
    }

    /// What is read of these bytes, where it is all of them.
    fn whole<'a, T>(bytes: &'a [u8], read: impl Fn(&mut Reader<'a>) -> Option<T>) -> Option<T> {
        let mut reader = Reader(bytes);
        read(&mut reader).filter(|_| reader.0.is_empty())
    }

    #[test]
    fn numbers() {
        for (value, bytes) in [
            (0, &b"\x00"[..]),
            (1, b"\x01"),
            (127, b"\x7f"),
            (128, b"\x80\x01"),
            (16_383, b"\xff\x7f"),
            (16_384, b"\x80\x80\x01"),
            (65_535, b"\xff\xff\x03"),
            (65_536, b"\x80\x80\x04"),
            (u32::MAX.into(), b"\xff\xff\xff\xff\x0f"),
            (1 << 32, b"\x80\x80\x80\x80\x10"),
            (1 << 63, b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
            (u64::MAX, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ] {
            assert_eq!(written(|writer| writer.u64(value)), bytes);
            assert_eq!(whole(bytes, Reader::u64), Some(value));
            assert_eq!(whole(bytes, Reader::u32), value.try_into().ok());
            assert_eq!(whole(bytes, Reader::u16), value.try_into().ok());
            for length in 0..bytes.len() {
                assert_eq!(Reader(&bytes[..length]).u64(), None);
            }
        }
        assert_eq!(written(|writer| writer.u16(300)), b"\xac\x02");
        assert_eq!(written(|writer| writer.u32(300)), b"\xac\x02");
    }

    #[test]
    fn numbers_beyond_their_types() {
        let ones = |count: usize, last: u8| [&vec![0xff; count][..], &[last]].concat();
        for last in [0x04, 0x05, 0x40, 0x7f, 0x80, 0x83, 0xff] {
            assert_eq!(Reader(&ones(2, last)).u16(), None, "{last}");
        }
        for last in [0x10, 0x1f, 0x40, 0x7f, 0x80, 0x8f, 0xff] {
            assert_eq!(Reader(&ones(4, last)).u32(), None, "{last}");
        }
        for last in [0x02, 0x03, 0x40, 0x7f, 0x80, 0x81, 0xff] {
            assert_eq!(Reader(&ones(9, last)).u64(), None, "{last}");
        }
        let mut endless = vec![0x80; 30];
        endless.push(0);
        assert_eq!(Reader(&endless).u16(), None);
        assert_eq!(Reader(&endless).u32(), None);
        assert_eq!(Reader(&endless).u64(), None);
    }

    /// They are read, up to the most bytes that the type has, and not written.
    #[test]
    fn numbers_with_zeros_at_their_end() {
        assert_eq!(whole(b"\x81\x80\x00", Reader::u16), Some(1));
        assert_eq!(whole(b"\x81\x80\x80\x80\x00", Reader::u32), Some(1));
        let longest = b"\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00";
        assert_eq!(whole(longest, Reader::u64), Some(1));
        assert_eq!(whole(b"\x82\x00ab", Reader::text), Some("ab"));
    }

    #[test]
    fn one_byte_for_yes_and_no() {
        assert_eq!(written(|writer| writer.bool(false)), [0]);
        assert_eq!(written(|writer| writer.bool(true)), [1]);
        assert_eq!(written(|writer| writer.option(&None::<String>)), [0]);
        let some = Some(String::from("a"));
        assert_eq!(written(|writer| writer.option(&some)), b"\x01\x01a");
        assert_eq!(whole(b"\x01\x01a", Reader::option), Some(some));
        for other in 2..=255 {
            assert_eq!(Reader(&[other, 0]).bool(), None);
            assert_eq!(Reader(&[other, 0]).option::<String>(), None);
        }
    }

    #[test]
    fn bytes_and_texts() {
        assert_eq!(written(|writer| writer.array(&[7, 8])), [7, 8]);
        assert_eq!(whole(&[7, 8], Reader::array), Some([7, 8]));
        assert_eq!(Reader(&[7]).array::<2>(), None);
        assert_eq!(written(|writer| writer.bytes(&[7, 8])), [2, 7, 8]);
        assert_eq!(whole(&[2, 7, 8], Reader::bytes), Some(&[7, 8][..]));
        let secret = whole(&[2, 7, 8], Reader::secret).unwrap();
        assert_eq!(secret.expose(), [7, 8]);
        let long = written(|writer| writer.text(&"ü".repeat(100)));
        assert_eq!(long[..4], [0xc8, 0x01, 0xc3, 0xbc]);
        assert_eq!(whole(&long, Reader::string), Some("ü".repeat(100)));
        assert_eq!(Reader(b"\x02\xc3\x28").text(), None);
        assert_eq!(Reader(b"\x01\xc3\xbc").text(), None);
    }

    #[test]
    fn lists_and_maps() {
        let list = [String::from("a"), String::new()];
        assert_eq!(written(|writer| writer.list(&list)), b"\x02\x01a\x00");
        assert_eq!(whole(b"\x02\x01a\x00", Reader::list), Some(list.to_vec()));
        let map = BTreeMap::from([("b", "1"), ("a", "2")].map(|(k, v)| (k.into(), v.into())));
        assert_stored(&map, &[b"\x02", b"\x01a\x012", b"\x01b\x011"]);
        let turned = b"\x03\x01b\x010\x01a\x012\x01b\x011";
        assert_eq!(decode::<BTreeMap<_, _>>(turned), Some(map));
    }

    /// Nothing is read, or made room for, of what cannot be there.
    #[test]
    fn counts_beyond_what_is_left() {
        assert_eq!(Reader(&[2, 0, 0]).count(), Some(2));
        assert_eq!(Reader(&[3, 0, 0]).count(), None);
        for count in [128, 1 << 31, 1 << 40, 1 << 63, u64::MAX] {
            let mut bytes = written(|writer| writer.u64(count));
            bytes.extend_from_slice(&[0; 100]);
            assert_eq!(Reader(&bytes).count(), None);
            assert_eq!(Reader(&bytes).bytes(), None);
            assert_eq!(Reader(&bytes).list::<String>(), None);
            assert_eq!(decode::<BTreeMap<_, _>>(&bytes), None);
        }
    }

    #[test]
    fn what_stands_before_a_value_stays() {
        let encoded = encode(&[9, 9], &String::from("a"));
        assert_eq!(encoded.as_slice(), b"\x09\x09\x01a");
    }

    fn comes_back<T: for<'a> Codec<'a> + PartialEq + Debug>(value: T) {
        let encoded = encode(&[], &value);
        assert_eq!(decode(encoded.as_slice()), Some(value));
    }

    proptest! {
        #[test]
        fn values_come_back(
            (small, number, large) in any::<(u16, u32, u64)>(),
            bytes: Vec<u8>,
            text: String,
            map: BTreeMap<String, String>,
        ) {
            let bits = written(|writer| {
                writer.u16(small);
                writer.u32(number);
                writer.u64(large);
                writer.bytes(&bytes);
                writer.option(&Some(text.clone()));
                writer.list(std::slice::from_ref(&text));
            });
            let mut reader = Reader(&bits);
            prop_assert_eq!(reader.u16(), Some(small));
            prop_assert_eq!(reader.u32(), Some(number));
            prop_assert_eq!(reader.u64(), Some(large));
            prop_assert_eq!(reader.bytes(), Some(&bytes[..]));
            prop_assert_eq!(reader.option(), Some(Some(text.clone())));
            prop_assert_eq!(reader.list(), Some(vec![text.clone()]));
            prop_assert!(reader.0.is_empty());
            comes_back(text);
            comes_back(map);
        }
    }
}
