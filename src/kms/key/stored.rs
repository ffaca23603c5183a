//! A key's bytes at rest.

use std::collections::BTreeMap;

use super::{
    BackingKey, BackingKeyCause, KeyEntry, KeyRecord, Material, MaterialId, Origin, Owner,
    Rotation, Tombstone,
};
use crate::kms::access::AccessRecord;
use crate::kms::alias::arn_at_rest;
use crate::kms::codec::{Codec, Reader, Writer};
use crate::kms::time::Timestamp;

/// A key that nobody was let use stands as it did before there were policies
/// and grants.
impl Codec<'_> for KeyEntry {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Live(record) if record.access.is_default() => {
                writer.variant(0);
                record.write(writer);
            }
            Self::Deleted(tombstone) => {
                writer.variant(1);
                tombstone.write(writer);
            }
            Self::Live(record) => {
                writer.variant(2);
                record.write(writer);
                record.access.write(writer);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.variant()? {
            0 => KeyRecord::read(reader).map(|record| Self::Live(Box::new(record))),
            1 => Tombstone::read(reader).map(Self::Deleted),
            2 => {
                let mut record = Box::new(KeyRecord::read(reader)?);
                record.access = AccessRecord::read(reader)?;
                Some(Self::Live(record))
            }
            _ => None,
        }
    }
}

impl Codec<'_> for Tombstone {
    fn write(&self, writer: &mut Writer) {
        writer.text(&arn_at_rest(&self.arn));
        self.created.write(writer);
        self.deleted.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Tombstone {
            arn: reader.string()?,
            created: Timestamp::read(reader)?,
            deleted: Timestamp::read(reader)?,
        })
    }
}

/// All but `access`.
impl Codec<'_> for KeyRecord {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.id);
        writer.text(&arn_at_rest(&self.arn));
        self.owner.write(writer);
        self.origin.write(writer);
        writer.text(&self.description);
        self.tags.write(writer);
        self.created.write(writer);
        writer.bool(self.enabled);
        writer.option(&self.deletion);
        writer.option(&self.rotation);
        writer.u32(self.minimum_version);
        writer.list(&self.backing_keys);
        writer.option(&self.next);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(KeyRecord {
            id: reader.string()?,
            arn: reader.string()?,
            owner: Owner::read(reader)?,
            origin: Origin::read(reader)?,
            description: reader.string()?,
            tags: BTreeMap::read(reader)?,
            created: Timestamp::read(reader)?,
            enabled: reader.bool()?,
            deletion: reader.option()?,
            rotation: reader.option()?,
            minimum_version: reader.u32()?,
            backing_keys: reader.list()?,
            next: reader.option()?,
            access: AccessRecord::default(),
        })
    }
}

impl Codec<'_> for Owner {
    fn write(&self, writer: &mut Writer) {
        match self {
            Owner::Customer => writer.variant(0),
            Owner::Service(name) => {
                writer.variant(1);
                writer.text(name);
            }
            Owner::Owned(name) => {
                writer.variant(2);
                writer.text(name);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.variant()? {
            0 => Some(Owner::Customer),
            1 => reader.string().map(Owner::Service),
            2 => reader.string().map(Owner::Owned),
            _ => None,
        }
    }
}

impl Codec<'_> for Origin {
    fn write(&self, writer: &mut Writer) {
        writer.variant(match self {
            Origin::Local => 0,
            Origin::External => 1,
        });
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.variant()? {
            0 => Some(Origin::Local),
            1 => Some(Origin::External),
            _ => None,
        }
    }
}

impl Codec<'_> for Rotation {
    fn write(&self, writer: &mut Writer) {
        writer.u16(self.days);
        self.due.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Rotation {
            days: reader.u16()?,
            due: Timestamp::read(reader)?,
        })
    }
}

impl Codec<'_> for BackingKey {
    fn write(&self, writer: &mut Writer) {
        self.created.write(writer);
        self.cause.write(writer);
        writer.array(&self.material_id.0);
        writer.option(&self.material);
        writer.option(&self.expires);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(BackingKey {
            created: Timestamp::read(reader)?,
            cause: BackingKeyCause::read(reader)?,
            material_id: MaterialId(reader.array()?),
            material: reader.option()?,
            expires: reader.option()?,
        })
    }
}

impl Codec<'_> for BackingKeyCause {
    fn write(&self, writer: &mut Writer) {
        writer.variant(match self {
            BackingKeyCause::Creation => 0,
            BackingKeyCause::AutomaticRotation => 1,
            BackingKeyCause::OnDemandRotation => 2,
        });
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.variant()? {
            0 => Some(BackingKeyCause::Creation),
            1 => Some(BackingKeyCause::AutomaticRotation),
            2 => Some(BackingKeyCause::OnDemandRotation),
            _ => None,
        }
    }
}

impl Codec<'_> for Material {
    fn write(&self, writer: &mut Writer) {
        writer.bytes(self.0.expose());
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.secret().map(Material)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::crypto::SecretBytes;
    use crate::kms::codec::decode;
    use crate::kms::codec::tests::assert_stored;

    const LOCAL_ARN: &[u8] = b"\x28arn:waxseal:kms:local:000000000000:key/k";

    fn at(millis: u64) -> Timestamp {
        Timestamp::FIRST.plus(Duration::from_millis(millis))
    }

    fn material(byte: u8) -> Option<Material> {
        Material::new(SecretBytes::from(vec![byte; 32])).ok()
    }

    fn least() -> Box<KeyRecord> {
        Box::new(KeyRecord {
            id: "k".to_owned(),
            // At rest it is the local one.
            arn: "arn:aws:kms:eu-west-1:111122223333:key/k".to_owned(),
            owner: Owner::Customer,
            origin: Origin::Local,
            description: String::new(),
            tags: BTreeMap::new(),
            created: at(0),
            enabled: false,
            deletion: None,
            rotation: None,
            minimum_version: 1,
            backing_keys: Vec::new(),
            next: None,
            access: AccessRecord::default(),
        })
    }

    #[test]
    fn a_key_with_the_least() {
        assert_stored(
            &KeyEntry::Live(least()),
            &[
                b"\x00", b"\x01k", LOCAL_ARN, b"\x00", b"\x00", b"\x00", b"\x00", b"\x00", b"\x00",
                b"\x00", b"\x00", b"\x01", b"\x00", b"\x00",
            ],
        );
    }

    #[test]
    fn a_key_with_everything_but_grants() {
        let key = |cause, material, expires| BackingKey {
            created: at(128),
            cause,
            material_id: MaterialId([0xab; 32]),
            material,
            expires,
        };
        let record = KeyRecord {
            owner: Owner::Service("s3".to_owned()),
            origin: Origin::External,
            description: "ü".to_owned(),
            tags: BTreeMap::from([("b", ""), ("a", "1")].map(|(k, v)| (k.into(), v.into()))),
            created: at(127),
            enabled: true,
            deletion: Some(Timestamp::LAST),
            rotation: Some(Rotation {
                days: 365,
                due: at(300),
            }),
            minimum_version: u32::MAX,
            backing_keys: vec![
                key(BackingKeyCause::Creation, material(1), None),
                key(BackingKeyCause::AutomaticRotation, None, None),
                key(BackingKeyCause::OnDemandRotation, material(3), Some(at(9))),
            ],
            next: Some(key(BackingKeyCause::Creation, material(4), Some(at(9)))),
            ..*least()
        };
        let some_material = |byte| [&[1, 32][..], &[byte; 32]].concat();
        let key = |start: &[u8], material: &[u8], expires: &[u8]| {
            [start, &[0xab; 32], material, expires].concat()
        };
        assert_stored(
            &KeyEntry::Live(Box::new(record)),
            &[
                b"\x00",
                b"\x01k",
                LOCAL_ARN,
                b"\x01\x02s3",
                b"\x01",
                b"\x02\xc3\xbc",
                b"\x02\x01a\x011\x01b\x00",
                b"\x7f",
                b"\x01",
                b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                b"\x01\xed\x02\xac\x02",
                b"\xff\xff\xff\xff\x0f",
                b"\x03",
                &key(b"\x80\x01\x00", &some_material(1), b"\x00"),
                &key(b"\x80\x01\x01", b"\x00", b"\x00"),
                &key(b"\x80\x01\x02", &some_material(3), b"\x01\x09"),
                b"\x01",
                &key(b"\x80\x01\x00", &some_material(4), b"\x01\x09"),
            ],
        );
    }

    #[test]
    fn a_key_with_a_policy() {
        let record = KeyRecord {
            owner: Owner::Owned("o".to_owned()),
            access: AccessRecord {
                policy: Some("{}".to_owned()),
                grants: Vec::new(),
            },
            ..*least()
        };
        assert_stored(
            &KeyEntry::Live(Box::new(record)),
            &[
                b"\x02",
                b"\x01k",
                LOCAL_ARN,
                b"\x02\x01o",
                b"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00",
                b"\x01\x02{}",
                b"\x00",
            ],
        );
    }

    #[test]
    fn what_is_left_of_a_key() {
        let tombstone = Tombstone {
            arn: least().arn,
            created: at(1 << 40),
            deleted: at(16_384),
        };
        assert_stored(
            &KeyEntry::Deleted(tombstone),
            &[
                b"\x01",
                LOCAL_ARN,
                b"\x80\x80\x80\x80\x80\x20",
                b"\x80\x80\x01",
            ],
        );
    }

    #[test]
    fn no_other_variants() {
        assert!(decode::<KeyEntry>(&[3]).is_none());
        assert!(decode::<Owner>(&[3]).is_none());
        assert!(decode::<Origin>(&[2]).is_none());
        assert!(decode::<BackingKeyCause>(&[3]).is_none());
    }
}
