//! One record: its head and its seal.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the format, 1 |
//! | 8 | the generation, big-endian, from 1 |
//! | | sealed ([`seal`](crate::kms::seal)) under a version of the store key, whose id is the store's |
//!
//! The seal's context is the record's name with its length before it (four
//! bytes, big-endian), the generation, and the format. What is sealed:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | the birth: random, drawn when the record was made, and kept by its changes |
//! | 1 | the schema, 1 |
//! | | the value, coded ([`codec`](crate::kms::codec)) |

use crate::crypto::{CryptoBackend, Entropy, SecretBuffer, SecretBytes};
use crate::kms::codec::{Codec, decode, encode};
use crate::kms::error::{KmsError, KmsResult, RecordProblem};
use crate::kms::seal::{Purpose, SealError, Sealed, SealingKey, seal};

const FORMAT: u8 = 1;
const SCHEMA: u8 = 1;
pub(super) const BIRTH_LENGTH: usize = 8;

/// Tells a record from one that was made later under the same name.
pub(super) type Birth = [u8; BIRTH_LENGTH];

/// For a record that is made now.
pub(super) fn new_birth(entropy: &mut Entropy) -> KmsResult<Birth> {
    let mut birth = [0; BIRTH_LENGTH];
    entropy.fill(&mut birth)?;
    Ok(birth)
}

/// A record as its blob has it. Nothing of it is authentic before it opens.
pub(super) struct Record<'a> {
    pub(super) generation: u64,
    pub(super) sealed: Sealed<'a>,
}

impl<'a> Record<'a> {
    pub(super) fn parse(blob: &'a [u8]) -> Result<Self, RecordProblem> {
        let (&format, rest) = blob.split_first().ok_or(RecordProblem::Damaged)?;
        match format {
            FORMAT => {}
            0 => return Err(RecordProblem::Damaged),
            newer => return Err(newer_format(newer, FORMAT)),
        }
        let (generation, sealed) = rest.split_first_chunk().ok_or(RecordProblem::Damaged)?;
        let generation = u64::from_be_bytes(*generation);
        if generation == 0 {
            return Err(RecordProblem::Damaged);
        }
        Ok(Record {
            generation,
            sealed: Sealed::parse(sealed).ok_or(RecordProblem::Damaged)?,
        })
    }

    pub(super) fn open(
        &self,
        backend: &CryptoBackend,
        name: &str,
        material: &SecretBytes,
    ) -> Result<Plain, RecordProblem> {
        let context = context(name, self.generation);
        let opened = self
            .sealed
            .open(backend, Purpose::Record, material, &context);
        let plaintext = opened.map_err(|_| RecordProblem::Damaged)?;
        let (birth, _) = plaintext
            .expose()
            .split_first_chunk()
            .ok_or(RecordProblem::Damaged)?;
        Ok(Plain {
            birth: *birth,
            plaintext,
        })
    }
}

/// The generation that a blob claims.
pub(super) fn claimed_generation(blob: &[u8]) -> Option<u64> {
    Record::parse(blob).ok().map(|record| record.generation)
}

/// What a record holds.
pub(super) struct Plain {
    pub(super) birth: Birth,
    plaintext: SecretBytes,
}

impl Plain {
    /// The schema and the value.
    pub(super) fn payload(&self) -> &[u8] {
        self.plaintext.expose().get(BIRTH_LENGTH..).unwrap_or(&[])
    }
}

/// A record's blob.
pub(super) fn seal_record(
    backend: &CryptoBackend,
    entropy: &mut Entropy,
    key: SealingKey<'_>,
    name: &str,
    generation: u64,
    birth: &Birth,
    payload: &[u8],
) -> KmsResult<Vec<u8>> {
    let mut plaintext = SecretBuffer::default();
    plaintext.extend(birth);
    plaintext.extend(payload);
    let context = context(name, generation);
    let purpose = Purpose::Record;
    let sealed = seal(
        backend,
        entropy,
        purpose,
        key,
        &context,
        plaintext.as_slice(),
    );
    let sealed = sealed.map_err(|error| match error {
        SealError::Random(error) => KmsError::Random(error),
        SealError::TooLong => KmsError::invalid(format!("the record '{name}' is too long")),
    })?;
    let mut blob = Vec::with_capacity(1 + 8 + sealed.len());
    blob.push(FORMAT);
    blob.extend_from_slice(&generation.to_be_bytes());
    blob.extend_from_slice(&sealed);
    Ok(blob)
}

fn context(name: &str, generation: u64) -> Vec<u8> {
    let mut context = Vec::with_capacity(4 + name.len() + 8 + 1);
    // A name has 200 bytes at most.
    context.extend_from_slice(&(name.len() as u32).to_be_bytes());
    context.extend_from_slice(name.as_bytes());
    context.extend_from_slice(&generation.to_be_bytes());
    context.push(FORMAT);
    context
}

/// The payload of a value.
pub(super) fn encode_payload<'a>(value: &impl Codec<'a>) -> SecretBuffer {
    encode(&[SCHEMA], value)
}

/// The value of a payload.
pub(in crate::kms) fn decode_payload<'a, T: Codec<'a>>(
    payload: &'a [u8],
) -> Result<T, RecordProblem> {
    check_schema(payload)?;
    decode(&payload[1..]).ok_or(RecordProblem::Damaged)
}

/// Whether the payload's schema is one that is known here.
pub(super) fn check_schema(payload: &[u8]) -> Result<(), RecordProblem> {
    match payload.first() {
        Some(&SCHEMA) => Ok(()),
        None | Some(0) => Err(RecordProblem::Damaged),
        Some(&newer) => Err(newer_format(newer, SCHEMA)),
    }
}

fn newer_format(found: u8, supported: u8) -> RecordProblem {
    RecordProblem::NewerFormat {
        found: found.into(),
        supported: supported.into(),
    }
}
