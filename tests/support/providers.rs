//! Providers that do what a test wants.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use waxseal::{
    EncryptedDataKey, GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderError,
    ProviderErrorKind, ProviderFuture, ProviderIdentity, ProviderOperation, SecretBytes,
    UnwrapDataKey, UnwrapFailures, UnwrappedDataKey, WrapDataKey,
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

/// Another provider, and the data key that it unwrapped last.
pub struct Spy<P> {
    pub inner: P,
    pub data_key: Arc<Mutex<Vec<u8>>>,
}

impl<P> Spy<P> {
    pub fn new(inner: P) -> Self {
        Spy {
            inner,
            data_key: Arc::default(),
        }
    }
}

impl<P: KeyProvider> KeyProvider for Spy<P> {
    fn identity(&self) -> ProviderIdentity {
        self.inner.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        self.inner.generate_data_key(request)
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(async move {
            let unwrapped = self.inner.unwrap_data_key(request).await?;
            *self.data_key.lock().expect("a lock") = unwrapped.data_key.expose().to_vec();
            Ok(unwrapped)
        })
    }
}

/// Answers as it is told, right or wrong.
pub struct Answers {
    /// `None` for an error.
    pub data_key: Option<Vec<u8>>,
    pub encrypted_data_keys: Vec<EncryptedDataKey>,
    pub index: usize,
    pub kind: ProviderErrorKind,
}

impl Answers {
    /// Fails with [`ProviderErrorKind::Unavailable`] whatever is asked.
    pub fn nothing() -> Self {
        Answers::kind(ProviderErrorKind::Unavailable)
    }

    /// Fails with this kind whatever is asked.
    pub fn kind(kind: ProviderErrorKind) -> Self {
        Answers {
            data_key: None,
            encrypted_data_keys: Vec::new(),
            index: 0,
            kind,
        }
    }

    /// Gives this data key whatever the suite.
    pub fn data_key(data_key: Vec<u8>) -> Self {
        Answers {
            data_key: Some(data_key),
            encrypted_data_keys: vec![Fixed::encrypted_data_key()],
            ..Answers::nothing()
        }
    }

    fn error(&self, operation: ProviderOperation) -> ProviderError {
        ProviderError::new(operation, self.kind, "answers").with_key("its key")
    }
}

impl KeyProvider for Answers {
    fn identity(&self) -> ProviderIdentity {
        ProviderIdentity::new("answers", &[])
    }

    fn generate_data_key<'a>(
        &'a self,
        _request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        let answer = match &self.data_key {
            Some(data_key) => Ok(GeneratedDataKey::new(
                SecretBytes::copy_from(data_key),
                self.encrypted_data_keys.clone(),
            )),
            None => Err(self.error(ProviderOperation::Generate)),
        };
        Box::pin(std::future::ready(answer))
    }

    fn wrap_data_key<'a>(
        &'a self,
        _request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        let answer = match &self.data_key {
            Some(_) => Ok(self.encrypted_data_keys.clone()),
            None => Err(self.error(ProviderOperation::Wrap)),
        };
        Box::pin(std::future::ready(answer))
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        let answer = match &self.data_key {
            Some(data_key) => Ok(UnwrappedDataKey::new(
                SecretBytes::copy_from(data_key),
                self.index,
                self.identity(),
                "its key",
            )),
            None => {
                let mut failures = UnwrapFailures::new();
                for (index, edk) in request.encrypted_data_keys().iter().enumerate() {
                    failures.push(index, edk, self.error(ProviderOperation::Unwrap));
                }
                Err(failures)
            }
        };
        Box::pin(std::future::ready(answer))
    }
}
