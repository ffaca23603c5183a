//! Opening a KMS.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

#[cfg(feature = "kms-policy")]
use super::authorise::Access;
use super::shelf::Shelf;
use super::{Inner, LocalKms};
use crate::client::blocking;
use crate::clock::{Clock, SystemClock};
use crate::crypto::{CryptoBackend, SecretBytes};
use crate::kms::access::is_account;
#[cfg(feature = "kms-policy")]
use crate::kms::access::{Buckets, Quotas};
use crate::kms::alias::Names;
#[cfg(feature = "kms-policy")]
use crate::kms::audit::{AuditIds, AuditSettings};
use crate::kms::error::{KmsError, KmsResult};
use crate::kms::store::{BlobStore, MemoryStore};
use crate::kms::vault::{Creation, RootKey, Vault};

/// How long a change of another process may stay unseen, where nothing else is
/// said.
const DEFAULT_MAX_STALENESS: Duration = Duration::from_secs(1);
const DEFAULT_USAGE_FLUSH_INTERVAL: Duration = Duration::from_secs(5);

/// Settings of a [`LocalKms`], and opening it.
#[must_use]
pub struct LocalKmsBuilder {
    store: Arc<dyn BlobStore>,
    root: RootKey,
    account: Option<String>,
    region: Option<String>,
    #[cfg(feature = "kms-policy")]
    quotas: Option<Quotas>,
    #[cfg(feature = "kms-policy")]
    audit: Option<AuditSettings>,
    create: bool,
    backend: CryptoBackend,
    clock: Arc<dyn Clock>,
    max_staleness: Duration,
    usage_flush_interval: Duration,
}

impl LocalKmsBuilder {
    fn new(store: Arc<dyn BlobStore>, root: RootKey) -> Self {
        LocalKmsBuilder {
            store,
            root,
            account: None,
            region: None,
            #[cfg(feature = "kms-policy")]
            quotas: None,
            #[cfg(feature = "kms-policy")]
            audit: None,
            create: true,
            backend: CryptoBackend::default(),
            clock: Arc::new(SystemClock),
            max_staleness: DEFAULT_MAX_STALENESS,
            usage_flush_interval: DEFAULT_USAGE_FLUSH_INTERVAL,
        }
    }

    /// Whether an empty store is made into a KMS. On by default; off, opening
    /// one is [`KmsError::NoKms`](crate::kms::KmsError::NoKms).
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// The account that the KMS stands for: 12 digits. Keys have ARNs of AWS's
    /// form then (`arn:aws:kms:REGION:ACCOUNT:key/ID`), and the account's root
    /// is who makes calls, where nobody else does. Without it, and without a
    /// [`region`](Self::region), the account is `000000000000` and ARNs are
    /// local ones.
    ///
    /// The account and the Region belong to the handle, not to the store: keys
    /// and messages of before still open.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// The Region that the KMS stands for, in ARNs: at most 32 lower-case
    /// letters, digits and hyphens. `us-east-1` where only the
    /// [`account`](Self::account) is given.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Limits how many calls an account may make each second; over it they are
    /// [`KmsError::Throttled`]. Off by default.
    #[cfg(feature = "kms-policy")]
    #[cfg_attr(docsrs, doc(cfg(feature = "kms-policy")))]
    pub fn quotas(mut self, quotas: Quotas) -> Self {
        self.quotas = Some(quotas);
        self
    }

    /// Records each call, allowed or refused, and what the KMS does by itself.
    /// Off by default.
    #[cfg(feature = "kms-policy")]
    #[cfg_attr(docsrs, doc(cfg(feature = "kms-policy")))]
    pub fn audit(mut self, audit: AuditSettings) -> Self {
        self.audit = Some(audit);
        self
    }

    /// The primitives.
    pub fn crypto(mut self, backend: CryptoBackend) -> Self {
        self.backend = backend;
        self
    }

    /// Where time comes from: a test's own, for years in milliseconds.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long a change of another process (a rotation, a key that was
    /// disabled) may stay unseen: one second by default. So often at most, and
    /// only when keys are used, the store is asked whether anything changed.
    /// Zero asks with every call.
    pub fn max_staleness(mut self, max_staleness: Duration) -> Self {
        self.max_staleness = max_staleness;
        self
    }

    /// How often the counts of a key's usage are written: every five seconds
    /// by default. A crash loses that much of the counts.
    pub fn usage_flush_interval(mut self, interval: Duration) -> Self {
        self.usage_flush_interval = interval;
        self
    }

    /// Opens the KMS, with one call to the root however many keys there are;
    /// makes one where there is none yet (see [`create`](Self::create)).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::kms::KmsError::InvalidArgument) for the
    /// account and the Region; [`NoKms`](crate::kms::KmsError::NoKms),
    /// [`WrongRoot`](crate::kms::KmsError::WrongRoot),
    /// [`Root`](crate::kms::KmsError::Root),
    /// [`Record`](crate::kms::KmsError::Record) of the record `root`, and the
    /// store's errors.
    pub async fn open(self) -> KmsResult<LocalKms> {
        self.check()?;
        let creation = match self.create {
            true => Creation::IfMissing,
            false => Creation::Never,
        };
        let vault = Vault::open(self.store, self.root, self.backend.clone(), creation).await?;
        let names = Names::new(self.account.as_deref(), self.region.as_deref());
        #[cfg(feature = "kms-policy")]
        let access = Access::new(
            &names.account,
            self.quotas
                .map(|quotas| Buckets::new(quotas, self.clock.clone())),
            self.audit,
            AuditIds::new(&**self.backend.random())?,
        )?;
        let inner = Inner {
            names,
            #[cfg(feature = "kms-policy")]
            access,
            vault,
            backend: self.backend,
            clock: self.clock,
            connected: AtomicBool::new(true),
            keys: Shelf::new("keys/", self.max_staleness),
            aliases: Shelf::new("aliases/", self.max_staleness),
            counters: Default::default(),
            usage_flush_interval: self.usage_flush_interval,
            schedulers: AtomicUsize::new(0),
            listeners: Default::default(),
        };
        Ok(LocalKms(Arc::new(inner), None))
    }

    fn check(&self) -> KmsResult<()> {
        let in_region =
            |byte: u8| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if let Some(account) = &self.account
            && !is_account(account)
        {
            return Err(KmsError::invalid("an account has 12 digits"));
        }
        if let Some(region) = &self.region
            && !((1..=32).contains(&region.len()) && region.bytes().all(in_region))
        {
            return Err(KmsError::invalid(
                "a Region has 1 to 32 lower-case letters, digits and hyphens",
            ));
        }
        Ok(())
    }
}

impl LocalKms {
    /// Starts a KMS on a store, sealed under a root.
    pub fn builder(store: impl BlobStore + 'static, root: RootKey) -> LocalKmsBuilder {
        LocalKmsBuilder::new(Arc::new(store), root)
    }

    /// A new KMS in memory, under a root key of its own: its keys live as long
    /// as it does.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn in_memory() -> KmsResult<LocalKms> {
        let root = RootKey::bytes(SecretBytes::random(32)?);
        // A store in memory is ready at once.
        blocking::block_on(Self::builder(MemoryStore::new(), root).open())
    }
}

impl fmt::Debug for LocalKmsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKmsBuilder")
            .field("root", &self.root)
            .field("create", &self.create)
            .field("max_staleness", &self.max_staleness)
            .field("usage_flush_interval", &self.usage_flush_interval)
            .finish_non_exhaustive()
    }
}
