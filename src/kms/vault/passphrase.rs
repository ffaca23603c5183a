//! A root key from a passphrase: Argon2id (RFC 9106), version 0x13.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroizing;

use crate::crypto::SecretBytes;
use crate::kms::codec::{Codec, Reader, Writer};

/// The length in bytes of the key that comes out.
const KEY_LENGTH: usize = 32;
/// The length in bytes of the salts that are drawn.
pub(super) const SALT_LENGTH: usize = 16;
/// The lengths in bytes of the salts that are read.
const SALT_LENGTHS: std::ops::RangeInclusive<usize> = SALT_LENGTH..=32;

/// What Argon2id costs for each try of a passphrase, here and to whoever
/// guesses.
///
/// The default is RFC 9106's second recommendation: 64 MiB, 3 passes, 4 lanes
/// (which run one after another), a fraction of a second. It is stored with
/// the salt, and what is read is held against the same limits, so that a
/// hostile file costs seconds at most: 256 MiB of memory, 16 passes, 4 lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseCost {
    /// Memory in KiB: at least 8 for each lane, at most 262,144.
    pub memory: u32,
    /// Passes over the memory: 1 to 16.
    pub passes: u32,
    /// Lanes: 1 to 4.
    pub lanes: u32,
}

impl PassphraseCost {
    const MAX_MEMORY: u32 = 256 * 1024;
    const MAX_PASSES: u32 = 16;
    const MAX_LANES: u32 = 4;

    fn is_within_limits(self) -> bool {
        (1..=Self::MAX_LANES).contains(&self.lanes)
            && (8 * self.lanes..=Self::MAX_MEMORY).contains(&self.memory)
            && (1..=Self::MAX_PASSES).contains(&self.passes)
    }
}

impl Default for PassphraseCost {
    fn default() -> Self {
        PassphraseCost {
            memory: 64 * 1024,
            passes: 3,
            lanes: 4,
        }
    }
}

/// How a passphrase becomes a key: stored, in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Derivation {
    pub(super) cost: PassphraseCost,
    pub(super) salt: Vec<u8>,
}

impl Codec<'_> for Derivation {
    fn write(&self, writer: &mut Writer) {
        writer.u32(self.cost.memory);
        writer.u32(self.cost.passes);
        writer.u32(self.cost.lanes);
        writer.bytes(&self.salt);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Derivation {
            cost: PassphraseCost {
                memory: reader.u32()?,
                passes: reader.u32()?,
                lanes: reader.u32()?,
            },
            salt: reader.bytes()?.to_vec(),
        })
    }
}

/// Why no key was derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotDerived {
    /// A cost or a salt beyond the limits.
    Limits,
    /// The memory is not to be had, or the passphrase is 4 GiB long.
    Failed,
}

impl Derivation {
    /// Blocks the thread for as long as the cost says.
    pub(super) fn derive(&self, passphrase: &SecretBytes) -> Result<SecretBytes, NotDerived> {
        let PassphraseCost {
            memory,
            passes,
            lanes,
        } = self.cost;
        if !self.cost.is_within_limits() || !SALT_LENGTHS.contains(&self.salt.len()) {
            return Err(NotDerived::Limits);
        }
        let params =
            Params::new(memory, passes, lanes, Some(KEY_LENGTH)).map_err(|_| NotDerived::Limits)?;
        // The crate's own memory is not wiped after use; this is.
        let mut blocks = Zeroizing::new(Vec::new());
        let count = params.block_count();
        blocks
            .try_reserve_exact(count)
            .map_err(|_| NotDerived::Failed)?;
        blocks.resize(count, Block::new());
        let mut key = SecretBytes::zeroed(KEY_LENGTH);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(
                passphrase.expose(),
                &self.salt,
                key.expose_mut(),
                &mut blocks[..],
            )
            .map_err(|_| NotDerived::Failed)?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: PassphraseCost = PassphraseCost {
        memory: 32,
        passes: 3,
        lanes: 4,
    };

    fn derive(cost: PassphraseCost, salt: &[u8], passphrase: &[u8]) -> Result<Vec<u8>, NotDerived> {
        let salt = salt.to_vec();
        Derivation { cost, salt }
            .derive(&SecretBytes::copy_from(passphrase))
            .map(|key| key.expose().to_vec())
    }

    #[test]
    fn all_of_it_decides_the_key() {
        let key = derive(CHEAP, &[2; 16], b"passphrase").unwrap();
        assert_eq!(derive(CHEAP, &[2; 16], b"passphrase").unwrap(), key);
        assert_ne!(derive(CHEAP, &[3; 16], b"passphrase").unwrap(), key);
        assert_ne!(derive(CHEAP, &[2; 16], b"passphrasf").unwrap(), key);
        for other in [
            PassphraseCost {
                memory: 40,
                ..CHEAP
            },
            PassphraseCost { passes: 4, ..CHEAP },
            PassphraseCost { lanes: 3, ..CHEAP },
        ] {
            assert_ne!(derive(other, &[2; 16], b"passphrase").unwrap(), key);
        }
    }

    #[test]
    fn costs_have_limits() {
        let cost = |memory, passes, lanes| PassphraseCost {
            memory,
            passes,
            lanes,
        };
        assert!(PassphraseCost::default().is_within_limits());
        for within in [cost(8, 1, 1), cost(32, 1, 4), cost(262_144, 16, 4)] {
            assert!(within.is_within_limits(), "{within:?}");
        }
        for beyond in [
            cost(7, 1, 1),
            cost(31, 1, 4),
            cost(262_145, 1, 1),
            cost(u32::MAX, 1, 1),
            cost(8, 0, 1),
            cost(8, 17, 1),
            cost(8, u32::MAX, 1),
            cost(64, 1, 0),
            cost(64, 1, 5),
            cost(u32::MAX, 1, u32::MAX),
        ] {
            assert_eq!(derive(beyond, &[2; 16], b"p"), Err(NotDerived::Limits));
        }
    }

    #[test]
    fn salts_have_16_to_32_bytes() {
        for (length, fits) in [(0, false), (15, false), (16, true), (32, true), (33, false)] {
            assert_eq!(derive(CHEAP, &vec![0; length], b"p").is_ok(), fits);
        }
    }
}
