//! The file `changes`: what happens in the folder, for readers that hold no
//! lock. It lives in the page cache of one machine and is never synced: after
//! a power cut, whatever it holds is true enough.
//!
//! - A flag says whether a change is under way that may not be on the disk. A
//!   writer raises it before the first name changes, and lowers it when all is
//!   synced; one that is killed leaves it raised. So a reader that finds it
//!   lowered, *after* it has read, has seen nothing that a power cut can take
//!   back; one that finds it raised waits for the lock, and syncs if need be.
//!   Without it, a process could see a key that another is about to write,
//!   encrypt under it, and outlive it.
//! - Each of a few slots is random bytes that change with every change of a
//!   blob whose first segment falls into it, once its new content can be read
//!   and before the flag is lowered: for `change_token`. After a kill, whoever
//!   lowers the flag changes all slots.
//!
//! It is written under the lock, in place. A reader that sees it half written
//! sees a slot of neither state, which differs from both, or the raised flag.

use super::super::ChangeToken;
use super::super::format::VersionBytes;
use crate::crypto::{CryptoBackend, RandomError, SecureRandom};
use crate::kms::digest::{digest, hex};

const MAGIC: &[u8; 15] = b"waxseal changes";
const LOWERED: u8 = b'0';
const RAISED: u8 = b'1';
const SLOTS: usize = 32;
const SLOT: usize = size_of::<VersionBytes>();
const HEAD: usize = MAGIC.len() + 1;
pub(super) const LENGTH: usize = HEAD + SLOTS * SLOT;

/// Where the flag is, and what to write there.
pub(super) const RAISE: (u64, &[u8]) = (MAGIC.len() as u64, &[RAISED]);
pub(super) const LOWER: (u64, &[u8]) = (MAGIC.len() as u64, &[LOWERED]);

#[derive(PartialEq, Eq)]
pub(super) struct Changes(Vec<u8>);

impl Changes {
    /// `None`: the file is not whole, which means that nothing is known.
    pub(super) fn read(file: Vec<u8>) -> Option<Self> {
        let whole = file.len() == LENGTH
            && file.starts_with(MAGIC)
            && matches!(file[MAGIC.len()], LOWERED | RAISED);
        whole.then_some(Changes(file))
    }

    /// All slots anew, and the flag lowered.
    pub(super) fn fresh(random: &dyn SecureRandom) -> Result<Vec<u8>, RandomError> {
        let mut file = vec![LOWERED; LENGTH];
        file[..MAGIC.len()].copy_from_slice(MAGIC);
        random.fill(&mut file[HEAD..])?;
        Ok(file)
    }

    pub(super) fn settled(&self) -> bool {
        self.0[MAGIC.len()] == LOWERED
    }

    pub(super) fn token(&self, crypto: &CryptoBackend, prefix: &str) -> ChangeToken {
        ChangeToken(match prefix.split_once('/') {
            Some((segment, _)) => {
                let start = HEAD + SLOT * slot(segment);
                hex(&self.0[start..start + SLOT])
            }
            // The first segment is not whole: it may be any of several.
            None => hex(&digest(crypto, &self.0[HEAD..])),
        })
    }
}

/// Where a blob's slot is.
pub(super) fn slot_offset(name: &str) -> u64 {
    let segment = name.split('/').next().unwrap_or(name);
    (HEAD + SLOT * slot(segment)) as u64
}

/// FNV-1a: an even spread, and the same in every version of the library.
fn slot(segment: &str) -> usize {
    let hash = segment
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    (hash % SLOTS as u64) as usize
}
