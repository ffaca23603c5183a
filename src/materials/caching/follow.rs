//! Eviction when a key of the embedded KMS changes.

use std::sync::Arc;

use super::DataKeyCache;
use crate::kms::LocalKms;

impl DataKeyCache {
    /// Evicts the data keys under a key of this KMS as soon as the key changes:
    /// it is disabled or its deletion scheduled, it is rotated, its material
    /// goes, its description or tags change, an alias of it is moved or deleted.
    /// After
    /// [`disconnect`](LocalKms::disconnect) and an import everything is evicted.
    ///
    /// A change that another process makes is met when this one looks at the
    /// key again: with its next call of the provider, or by a
    /// [scheduler](LocalKms::start_scheduler). Until then, and without this,
    /// data keys are used until their
    /// [`max_age`](super::Caching::new), whatever happens to their key.
    ///
    /// ```
    /// use std::time::Duration;
    /// use waxseal::blocking::{Client, wait};
    /// use waxseal::kms::{CreateKey, LocalKms};
    /// use waxseal::{Caching, DataKeyCache, EncryptionContext};
    ///
    /// let kms = LocalKms::in_memory()?;
    /// wait(kms.create_key(CreateKey::new().alias("alias/app")))?;
    /// let cache = DataKeyCache::new(100);
    /// cache.follow(&kms);
    /// let caching = Caching::new(&cache, Duration::from_secs(300));
    /// let client = Client::builder(kms.provider("alias/app")).caching(caching).build()?.blocking();
    ///
    /// client.encrypt(b"attack at dawn", &EncryptionContext::new())?;
    /// assert_eq!(cache.statistics().entries, 1);
    /// wait(kms.disable_key("alias/app"))?;
    /// assert_eq!(cache.statistics().entries, 0);
    /// assert!(client.encrypt(b"attack at noon", &EncryptionContext::new()).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn follow(&self, kms: &LocalKms) {
        let cache = Arc::downgrade(self.shared());
        kms.inner().listen(move |key| {
            let Some(cache) = cache.upgrade().map(DataKeyCache) else {
                return false;
            };
            match key {
                Some(key) => cache.evict_key(key),
                None => cache.clear(),
            };
            true
        });
    }
}
