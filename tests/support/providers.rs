//! Providers that do what a test wants.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use waxseal::{
    EncryptedDataKey, GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderFuture,
    ProviderIdentity, SecretBytes, UnwrapDataKey, UnwrapFailures, UnwrappedDataKey, WrapDataKey,
};

/// Hands out a data key that the test knows, and opens every message with it.
pub struct Fixed;

impl Fixed {
    pub fn data_key(length: usize) -> Vec<u8> {
        (0..length)
            .map(|at| 0xd1 ^ (at as u8).wrapping_mul(29))
            .collect()
    }

    pub fn encrypted_data_key() -> EncryptedDataKey {
        EncryptedDataKey::new("fixed", *b"info", *b"wrapped").expect("a short one")
    }
}

impl KeyProvider for Fixed {
    fn identity(&self) -> ProviderIdentity {
        ProviderIdentity::new("fixed", &[])
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        let data_key = SecretBytes::from(Self::data_key(request.suite().data_key_length()));
        let generated = GeneratedDataKey::new(data_key, vec![Self::encrypted_data_key()]);
        Box::pin(std::future::ready(Ok(generated)))
    }

    fn wrap_data_key<'a>(
        &'a self,
        _request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        Box::pin(std::future::ready(Ok(vec![Self::encrypted_data_key()])))
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        let data_key = SecretBytes::from(Self::data_key(request.suite().data_key_length()));
        let unwrapped = UnwrappedDataKey::new(data_key, 0, self.identity(), "fixed key");
        Box::pin(std::future::ready(Ok(unwrapped)))
    }
}

/// Another provider whose futures are pending so many times before it is asked.
pub struct Slow<P> {
    pub inner: P,
    pub times: usize,
    /// How many futures came to an end.
    pub ended: Arc<AtomicUsize>,
}

impl<P> Slow<P> {
    pub fn new(inner: P, times: usize) -> Self {
        Slow {
            inner,
            times,
            ended: Arc::default(),
        }
    }

    async fn wait(&self) {
        Yields(self.times).await;
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// Pending so many times, waking at once.
pub struct Yields(pub usize);

impl Future for Yields {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<P: KeyProvider> KeyProvider for Slow<P> {
    fn identity(&self) -> ProviderIdentity {
        self.inner.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(async move {
            self.wait().await;
            self.inner.generate_data_key(request).await
        })
    }

    fn wrap_data_key<'a>(
        &'a self,
        request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        Box::pin(async move {
            self.wait().await;
            self.inner.wrap_data_key(request).await
        })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(async move {
            self.wait().await;
            self.inner.unwrap_data_key(request).await
        })
    }
}
