//! What the simulated application has: one provider, one cache, and a client
//! for each partition and suite on them.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use waxseal::{
    AlgorithmSuite, Caching, Client, CommitmentPolicy, DataKeyCache, RawAesProvider, SecretBytes,
};

use crate::world::{Calls, RemoteProvider, VirtualClock};

pub(crate) struct Service {
    pub(crate) clock: VirtualClock,
    pub(crate) calls: Calls,
    pub(crate) cache: DataKeyCache,
    caching: Caching,
    provider: Arc<RemoteProvider>,
    clients: HashMap<(Option<Arc<str>>, Option<AlgorithmSuite>), Client>,
}

impl Service {
    /// With a cache of this capacity, to which `limits` adds the limits, and a
    /// provider that takes this time.
    ///
    /// # Errors
    /// Limits that cannot be.
    pub(crate) fn new(
        capacity: usize,
        limits: impl FnOnce(&DataKeyCache) -> Caching,
        latency: Duration,
    ) -> Result<Self, Box<dyn Error>> {
        let clock = VirtualClock::default();
        let calls = Calls::default();
        let key = RawAesProvider::new("cache_sim", "key", &SecretBytes::random(32)?)?;
        let provider = RemoteProvider::new(key, clock.clone(), latency, calls.clone());
        let cache = DataKeyCache::builder(capacity).clock(clock.clone()).build();
        let mut service = Service {
            clock,
            calls,
            caching: limits(&cache),
            cache,
            provider: Arc::new(provider),
            clients: HashMap::new(),
        };
        // A client is what checks the limits.
        service.client(None, None)?;
        Ok(service)
    }

    pub(crate) fn client(
        &mut self,
        partition: Option<&Arc<str>>,
        suite: Option<AlgorithmSuite>,
    ) -> waxseal::Result<Client> {
        let key = (partition.cloned(), suite);
        if let Some(client) = self.clients.get(&key) {
            return Ok(client.clone());
        }
        // The one without a name has a name that no other can have.
        let partition = match partition {
            Some(name) => format!("named {name}"),
            None => "common".to_owned(),
        };
        let mut builder = Client::builder(self.provider.clone())
            .commitment_policy(policy(suite))
            .allow_suites_without_key_derivation(true)
            // As long as they get, for messages of up to 2^63 - 1 bytes.
            .frame_length(u32::MAX)
            .caching(self.caching.clone().partition(partition));
        if let Some(suite) = suite {
            builder = builder.suite(suite);
        }
        let client = builder.build()?;
        self.clients.insert(key, client.clone());
        Ok(client)
    }
}

/// One for each suite, so that a decryption's is that of its encryption.
fn policy(suite: Option<AlgorithmSuite>) -> CommitmentPolicy {
    match suite {
        Some(suite) if !suite.commits() => CommitmentPolicy::ForbidEncryptAllowDecrypt,
        _ => CommitmentPolicy::RequireEncryptRequireDecrypt,
    }
}
