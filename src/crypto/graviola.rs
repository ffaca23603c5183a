//! `graviola`: AES-GCM in Rust's intrinsics, at hardware speed without a C
//! compiler.
//!
//! # The verdict on it, as of 0.4.4
//!
//! - **Upkeep.** One author, of rustls (Joe Birr-Pixton), with regular releases;
//!   "this project is very new, so exercise due caution", its README says.
//! - **Assurance.** The arithmetic of the curves is s2n-bignum's assembly, proven
//!   against its specification and translated to inline assembly. AES, GHASH and
//!   SHA-2, so all that seals a message here, are its own intrinsics with no
//!   proof behind them: known-answer tests (NIST CAVP), Wycheproof, comparisons
//!   with a slow model and with AWS-LC, and here all vectors of this library.
//!   `unsafe` is confined to its lowest layer, each with its reason.
//! - **Side channels.** AES and carry-less multiplication by instructions, no
//!   tables that secrets index. It does not set Intel's DOITM.
//! - **Memory.** Key schedules, GHASH's powers and scalars are wiped when they
//!   are dropped, and registers are on leaving it. Not wiped: with AVX-512 the
//!   round keys that it spreads over the stack for one call, and registers 16 to
//!   31.
//! - **Licence and size.** Apache-2.0, ISC or MIT-0; `cfg-if` and `getrandom`
//!   below it, which are there already.
//!
//! So it does AES-GCM, where the CPU has what it needs ([`is_supported`]) and it
//! is measured to be 3.5 to 4 times as fast as `aes-gcm` with AVX-512, 1.5 to 2
//! times without. Its ECDSA is not used: it takes messages, no digests. Its
//! SHA-2 is slower than `sha2`.

use std::sync::LazyLock;

use graviola::aead::AesGcm;

use super::rust_crypto::RustCrypto;
use super::{Aead, AeadKey, InvalidKey, Iv, NotAuthentic, TAG_LENGTH, Tag};

/// Only where [`is_supported`] says so: its functions panic elsewhere.
pub(super) struct Graviola;

/// Whether this CPU has what graviola needs.
pub(super) fn is_supported() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        // Its multiplications use BMI2 (mulx), which its own check leaves out:
        // CPUs with ADX have it, unless a hypervisor hides it.
        graviola::util::is_cpu_supported() && std::arch::is_x86_feature_detected!("bmi2")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        graviola::util::is_cpu_supported()
    }
}

impl Aead for Graviola {
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, InvalidKey> {
        match key.len() {
            16 | 32 => Ok(Box::new(GcmKey {
                key: AesGcm::new(key),
                _clean: CleanRegisters,
            })),
            // AES-192, which graviola has not (it panics), and what is no key.
            _ => RustCrypto.key(key),
        }
    }
}

struct GcmKey {
    key: AesGcm,
    // After the key: fields are dropped in this order.
    _clean: CleanRegisters,
}

impl AeadKey for GcmKey {
    fn seal(&self, iv: &Iv, aad: &[u8], data: &mut [u8]) -> Result<Tag, InvalidKey> {
        check(aad, data)?;
        let mut tag = [0; TAG_LENGTH];
        self.key.encrypt(iv, aad, data, &mut tag);
        Ok(tag)
    }

    fn open(&self, iv: &Iv, aad: &[u8], data: &mut [u8], tag: &Tag) -> Result<(), NotAuthentic> {
        check(aad, data).map_err(|_| NotAuthentic)?;
        self.key
            .decrypt(iv, aad, data, tag)
            .map_err(|_| NotAuthentic)
    }
}

/// NIST SP 800-38D's limits (5.2.1.1), which graviola leaves to its caller: a
/// longer text would make the counter come round.
fn check(aad: &[u8], data: &[u8]) -> Result<(), InvalidKey> {
    check_lengths(aad.len() as u64, data.len() as u64)
}

/// Of additional data and text, in bytes.
fn check_lengths(aad: u64, text: u64) -> Result<(), InvalidKey> {
    const LONGEST_TEXT: u64 = (1 << 36) - 32;
    const LONGEST_AAD: u64 = (1 << 61) - 1;
    if text > LONGEST_TEXT || aad > LONGEST_AAD {
        return Err(InvalidKey);
    }
    Ok(())
}

/// When it is dropped, a call into graviola that leaves the vector registers
/// clean. Dropping a key wipes it through them, and leaves their upper halves in
/// use: until something resets that, CPUs run all code compiled
/// for SSE slower, graviola's key set-up among it (measured: 4.4 µs for a key
/// instead of 0.6).
struct CleanRegisters;

impl Drop for CleanRegisters {
    fn drop(&mut self) {
        static NO_SECRET: LazyLock<AesGcm> = LazyLock::new(|| AesGcm::new(&[0; 16]));
        NO_SECRET.encrypt(&[0; 12], &[], &mut [], &mut [0; TAG_LENGTH]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2^39 - 256 bits of text, and 2^64 - 1 bits of additional data.
    #[test]
    fn the_standards_limits() {
        let (aad, text) = (((1 << 61) - 1), (1 << 36) - 32);
        for fits in [(0, 0), (0, text), (aad, 0), (aad, text)] {
            assert!(check_lengths(fits.0, fits.1).is_ok(), "{fits:?}");
        }
        for longer in [
            (0, text + 1),
            (aad + 1, 0),
            (0, u64::MAX),
            (u64::MAX, 0),
            (u64::MAX, u64::MAX),
        ] {
            assert!(check_lengths(longer.0, longer.1).is_err(), "{longer:?}");
        }
    }
}
