//! A client's settings, and the checks that follow from them alone.

use std::collections::BTreeSet;

use super::parallel::Parallelism;
use crate::context::RESERVED_PREFIX;
use crate::crypto::CryptoBackend;
use crate::error::{Error, Result};
use crate::message::HeaderLimits;
use crate::suite::{AlgorithmSuite, CommitmentPolicy};

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) backend: CryptoBackend,
    pub(super) policy: CommitmentPolicy,
    pub(super) suite: Option<AlgorithmSuite>,
    pub(super) signed: bool,
    pub(super) require_signed: bool,
    pub(super) frame_length: u32,
    pub(super) max_encrypted_data_keys: Option<usize>,
    pub(super) max_header_length: usize,
    pub(super) max_buffered: usize,
    pub(super) required_context_keys: BTreeSet<String>,
    pub(super) allow_suites_without_key_derivation: bool,
    pub(super) refuse_signed_streams: bool,
    pub(super) parallelism: Parallelism,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            backend: CryptoBackend::default(),
            policy: CommitmentPolicy::default(),
            suite: None,
            signed: false,
            require_signed: false,
            frame_length: 4096,
            max_encrypted_data_keys: Some(16),
            max_header_length: 4 << 20,
            max_buffered: 64 << 20,
            required_context_keys: BTreeSet::new(),
            allow_suites_without_key_derivation: false,
            refuse_signed_streams: false,
            parallelism: Parallelism::default(),
        }
    }
}

impl Settings {
    /// Whether the caller chose the suite, or the policy does.
    pub(super) fn suite_is_named(&self) -> bool {
        self.suite.is_some()
    }

    /// The suite of the messages that are written.
    pub(super) fn suite(&self) -> Result<AlgorithmSuite> {
        let signed = self.signed || self.require_signed;
        let suite = self
            .suite
            .unwrap_or_else(|| self.policy.default_suite(signed));
        self.check_suite_for_encrypt(suite)?;
        Ok(suite)
    }

    pub(super) fn check_suite_for_encrypt(&self, suite: AlgorithmSuite) -> Result<()> {
        if !self.policy.allows_encrypt(suite) {
            return Err(Error::SuiteForbidden {
                suite,
                policy: self.policy,
            });
        }
        self.check_signed(suite)?;
        if !suite.derives_key() && !self.allow_suites_without_key_derivation {
            return Err(Error::SuiteWithoutKeyDerivation { suite });
        }
        Ok(())
    }

    pub(super) fn check_suite_for_decrypt(&self, suite: AlgorithmSuite) -> Result<()> {
        if !self.policy.allows_decrypt(suite) {
            return Err(Error::SuiteForbidden {
                suite,
                policy: self.policy,
            });
        }
        self.check_signed(suite)
    }

    fn check_signed(&self, suite: AlgorithmSuite) -> Result<()> {
        if self.require_signed && !suite.is_signed() {
            return Err(Error::UnsignedRefused { suite });
        }
        Ok(())
    }

    pub(super) fn check_edk_count(&self, found: usize) -> Result<()> {
        let limit = self
            .max_encrypted_data_keys
            .unwrap_or(usize::MAX)
            .min(u16::MAX.into());
        if found > limit {
            return Err(Error::TooManyEncryptedDataKeys { found, limit });
        }
        Ok(())
    }

    /// What is not read is not written either.
    pub(super) fn check_header_length(&self, length: u64) -> Result<()> {
        let limit = self.max_header_length;
        if length > limit as u64 {
            return Err(Error::HeaderTooLong { limit });
        }
        Ok(())
    }

    pub(super) fn header_limits(&self) -> HeaderLimits {
        HeaderLimits {
            max_edks: self.max_encrypted_data_keys,
            max_length: self.max_header_length,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.frame_length == 0 {
            return Err(Error::InvalidFrameLength);
        }
        match self
            .required_context_keys
            .iter()
            .find(|key| key.starts_with(RESERVED_PREFIX))
        {
            Some(key) => Err(Error::ReservedContextKey { key: key.clone() }),
            None => Ok(()),
        }
    }
}
