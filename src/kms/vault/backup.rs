//! Backups: one sealed, self-contained file of a store's records.

use std::cmp::Ordering;

use super::envelope::{self, Content, NotOpened, SUPPORTED};
use super::record::{BIRTH_LENGTH, check_schema, new_birth, seal_record};
use super::seen::Generation;
use super::{
    Loaded, MAX_ATTEMPTS, RootKey, Vault, busy, check_record_name, concerns_one_record,
    next_generation,
};
use crate::crypto::{Entropy, constant_time_eq};
use crate::kms::codec::{Codec, Reader, Writer, decode, encode};
use crate::kms::error::{KmsError, KmsResult, RecordProblem};
use crate::kms::store::{BlobVersion, Expected, StoreError};

/// What an import did, by record. A key is one record or a few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// Records that were written: there were none of their names, or older
    /// generations, or damaged ones.
    pub restored: u64,
    /// Records that were there already, the same.
    pub unchanged: u64,
    /// Records that were left as they are because they are newer here.
    pub older: u64,
    /// The names of records that were left as they are although the backup has
    /// others of the same generation: the store and the backup come from one
    /// store, and each was changed on its own.
    pub diverged: Vec<String>,
}

/// A backup's plaintext.
pub(super) struct Backup<'a> {
    pub(super) store_id: &'a str,
    pub(super) records: Vec<Entry<'a>>,
}

pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) generation: u64,
    pub(super) payload: &'a [u8],
}

impl<'a> Codec<'a> for Backup<'a> {
    fn write(&self, writer: &mut Writer) {
        writer.text(self.store_id);
        writer.list(&self.records);
    }

    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        Some(Backup {
            store_id: reader.text()?,
            records: reader.list()?,
        })
    }
}

impl<'a> Codec<'a> for Entry<'a> {
    fn write(&self, writer: &mut Writer) {
        writer.text(self.name);
        writer.u64(self.generation);
        writer.bytes(self.payload);
    }

    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        Some(Entry {
            name: reader.text()?,
            generation: reader.u64()?,
            payload: reader.bytes()?,
        })
    }
}

/// No record is changed more often; one that claims to be could never be
/// changed again.
const MAX_GENERATION: u64 = 1 << 48;

/// What the records hold, which the vault does not know: by name and payload.
pub(in crate::kms) trait Kinds: Sync {
    /// Whether a KMS can have written this.
    fn is_sound(&self, name: &str, payload: &[u8]) -> bool;

    /// Whether this is the last state that a record has.
    fn is_final(&self, name: &str, payload: &[u8]) -> bool;

    /// Whether nothing that cannot be got again is lost where the second takes
    /// the first's place.
    fn keeps(&self, name: &str, mine: &[u8], theirs: &[u8]) -> bool;
}

impl Backup<'_> {
    /// Refuses what no export can have written.
    fn check(&self, kinds: &dyn Kinds) -> KmsResult<()> {
        let mut last = "";
        for entry in &self.records {
            let name = entry.name;
            if check_record_name(name).is_err()
                || name <= last
                || !(1..=MAX_GENERATION).contains(&entry.generation)
            {
                return Err(not_a_backup());
            }
            last = name;
            check_schema(entry.payload).map_err(|problem| match problem {
                RecordProblem::NewerFormat { .. } => {
                    unreadable(format!("its record '{name}' {problem}"))
                }
                _ => not_a_backup(),
            })?;
            if !kinds.is_sound(name, entry.payload) {
                return Err(unreadable(format!("its record '{name}' is none of a KMS")));
            }
        }
        Ok(())
    }
}

impl Vault {
    /// All records, in one file under this root key: the state of each at some
    /// moment while this runs.
    ///
    /// # Errors
    /// Also where a record does not open: a backup without it would be one
    /// that lacks a key.
    pub(in crate::kms) async fn export(
        &self,
        under: &RootKey,
        kinds: &dyn Kinds,
    ) -> KmsResult<Vec<u8>> {
        let unlocked = under.unlock_new(&self.backend)?;
        let mut records: Vec<(String, Loaded)> = Vec::new();
        for name in self.names("").await? {
            // One that is gone was deleted meanwhile.
            if let Some(loaded) = self.load(&name).await? {
                let payload = loaded.plain.payload();
                let is_one = match check_schema(payload) {
                    Ok(()) => kinds.is_sound(&name, payload),
                    // What a newer version wrote is for that to import.
                    Err(problem) => problem != RecordProblem::Damaged,
                };
                if !is_one || loaded.stamp.generation > MAX_GENERATION {
                    return Err(KmsError::record(&name, RecordProblem::Damaged));
                }
                records.push((name, loaded));
            }
        }
        let backup = Backup {
            store_id: self.store_id(),
            records: records
                .iter()
                .map(|(name, loaded)| Entry {
                    name,
                    generation: loaded.stamp.generation,
                    payload: loaded.plain.payload(),
                })
                .collect(),
        };
        let plain = encode(&[], &backup);
        let pairs = [("store", self.store_id())];
        envelope::seal(
            Content::Backup,
            &unlocked,
            &self.backend,
            &pairs,
            plain.as_slice(),
        )
        .await
    }

    /// Writes what a backup has and this store has not, record by record:
    /// where there is none of its name, an older generation, or a damaged one.
    /// Nothing is written before all of the backup is authentic.
    ///
    /// Two copies of a store that both went on count apart. So a final record
    /// wins over one that is not, whatever their generations, and none takes
    /// the place of one that holds more: see [`Kinds`]. What was deleted and left
    /// no trace comes back.
    ///
    /// # Errors
    /// After one of the store's, some records may have been written; the same
    /// import goes on. A record that a newer version wrote, or that seems so,
    /// is left as it is, and named by the error after all others are done.
    pub(in crate::kms) async fn import(
        &self,
        backup: &[u8],
        under: &RootKey,
        kinds: &dyn Kinds,
    ) -> KmsResult<ImportReport> {
        let opened = envelope::open(Content::Backup, backup, under, None, &self.backend).await;
        let opened = opened.map_err(|why| match why {
            NotOpened::Damaged => not_a_backup(),
            NotOpened::NewerFormat { found } => unreadable(format!(
                "it has format {found}; this version reads up to {SUPPORTED}"
            )),
            NotOpened::WrongRoot { reason, .. } => unreadable(reason),
            NotOpened::Failed(error) => error,
        })?;
        let backup: Backup<'_> = decode(opened.plaintext.expose()).ok_or_else(not_a_backup)?;
        if opened.context.get("store") != Some(backup.store_id) {
            return Err(not_a_backup());
        }
        backup.check(kinds)?;
        let (mut report, mut problem) = (ImportReport::default(), None);
        for entry in &backup.records {
            match self.restore(entry, kinds).await {
                Ok(Restored::Written) => report.restored += 1,
                Ok(Restored::Unchanged) => report.unchanged += 1,
                Ok(Restored::Older) => report.older += 1,
                Ok(Restored::Diverged) => report.diverged.push(entry.name.to_owned()),
                Err(error) if concerns_one_record(&error, entry.name) => {
                    problem.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        problem.map_or(Ok(report), Err)
    }

    async fn restore(&self, entry: &Entry<'_>, kinds: &dyn Kinds) -> KmsResult<Restored> {
        let name = entry.name;
        for _ in 0..MAX_ATTEMPTS {
            let (version, least) = match self.compare(entry, kinds).await? {
                Compared::Keep(outcome) => return Ok(outcome),
                Compared::Replace(version, least) => (version, least),
            };
            let mut entropy = Entropy::draw(self.backend.random(), 32 + BIRTH_LENGTH)?;
            // A new birth: to those who have seen a newer generation of this
            // record, it is not an old one that was put back.
            let birth = new_birth(&mut entropy)?;
            let root = self.root();
            let (key, payload) = (root.sealing_key(), entry.payload);
            let generation = entry.generation.max(least);
            let blob = seal_record(
                &self.backend,
                &mut entropy,
                key,
                name,
                generation,
                &birth,
                payload,
            )?;
            let expected = version.as_ref().map_or(Expected::Absent, Expected::Version);
            match self.put(name, &blob, expected, generation).await {
                Ok(_) => {
                    let number = generation;
                    self.seen.note(name, Generation { birth, number });
                    return Ok(Restored::Written);
                }
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
        Err(busy(name))
    }

    /// Holds a backup's record against the store's.
    async fn compare(&self, entry: &Entry<'_>, kinds: &dyn Kinds) -> KmsResult<Compared> {
        let name = entry.name;
        let ends = kinds.is_final(name, entry.payload);
        let seen = self.seen.get(name);
        // Before the read, so that what is found damaged is what is replaced.
        let listed = self.store.list(name, None, 1).await?;
        let listed = listed.into_iter().find(|listed| listed.name == name);
        let listed = listed.map(|listed| listed.version);
        let blob = match self.store.read(name).await {
            Ok(Some(blob)) => blob,
            Ok(None) => return Ok(Compared::Replace(None, 0)),
            Err(StoreError::Damaged { .. }) => return Ok(Compared::Replace(listed, 0)),
            Err(error) => return Err(error.into()),
        };
        let version = blob.version.clone();
        let loaded = match self.open_blob(name, blob, seen).await {
            Ok(loaded) => loaded,
            Err(KmsError::Record {
                name: named,
                problem,
            }) if named == name => match problem {
                RecordProblem::Damaged => return Ok(Compared::Replace(Some(version), 0)),
                RecordProblem::OlderGeneration { seen, .. } => {
                    return Ok(if seen > entry.generation && !ends {
                        Compared::Keep(Restored::Older)
                    } else {
                        let least = if ends { next_generation(seen)? } else { 0 };
                        Compared::Replace(Some(version), least)
                    });
                }
                problem => return Err(KmsError::record(name, problem)),
            },
            Err(error) => return Err(error),
        };
        let (generation, payload) = (loaded.stamp.generation, loaded.plain.payload());
        match (kinds.is_final(name, payload), ends) {
            (false, true) => {
                return Ok(Compared::Replace(
                    Some(version),
                    next_generation(generation)?,
                ));
            }
            (true, false) => return Ok(Compared::Keep(Restored::Older)),
            (true, true) => return Ok(Compared::Keep(Restored::Unchanged)),
            (false, false) => {}
        }
        Ok(match generation.cmp(&entry.generation) {
            Ordering::Less if !kinds.keeps(name, payload, entry.payload) => {
                Compared::Keep(Restored::Diverged)
            }
            Ordering::Less => Compared::Replace(Some(version), 0),
            Ordering::Greater => Compared::Keep(Restored::Older),
            Ordering::Equal => {
                let same = constant_time_eq(payload, entry.payload);
                Compared::Keep(if same {
                    Restored::Unchanged
                } else {
                    Restored::Diverged
                })
            }
        })
    }
}

/// What became of a backup's record.
enum Restored {
    Written,
    Unchanged,
    Older,
    Diverged,
}

/// What is to become of it.
enum Compared {
    /// The store's stays.
    Keep(Restored),
    /// The store's, if there is one, is to be replaced, by one of at least this
    /// generation.
    Replace(Option<BlobVersion>, u64),
}

fn unreadable(reason: impl Into<String>) -> KmsError {
    KmsError::Backup {
        reason: reason.into(),
    }
}

fn not_a_backup() -> KmsError {
    unreadable("it is damaged, or is not a backup")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::codec::tests::assert_stored;

    #[test]
    fn backups_at_rest() {
        let entry = |name, generation, payload| Entry {
            name,
            generation,
            payload,
        };
        let backup = Backup {
            store_id: "id",
            records: vec![entry("a", 1, &[1, 2, 3]), entry("b/c", u64::MAX, &[])],
        };
        assert_stored(
            &backup,
            &[
                b"\x02id",
                b"\x02",
                b"\x01a\x01\x03\x01\x02\x03",
                b"\x03b/c\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00",
            ],
        );
    }
}
