//! Providers around a [`Table`] that need a runtime, or do less than it.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use waxseal::{
    EncryptedDataKey, GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderFuture,
    ProviderIdentity, UnwrapDataKey, UnwrapFailures, UnwrappedDataKey, WrapDataKey,
};

use crate::table::Table;

/// Each call first waits for something in the runtime, as for an answer over
/// the network, in a task of that runtime.
pub(crate) struct Worker {
    table: Arc<Table>,
    runtime: Handle,
    takes: Duration,
}

impl Worker {
    pub(crate) fn new(table: Arc<Table>, runtime: Handle, takes: Duration) -> Self {
        Worker {
            table,
            runtime,
            takes,
        }
    }

    async fn work(&self) {
        let takes = self.takes;
        let task = self
            .runtime
            .spawn(async move { tokio::time::sleep(takes).await });
        task.await.expect("a task that sleeps");
    }
}

impl KeyProvider for Worker {
    fn identity(&self) -> ProviderIdentity {
        self.table.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(async move {
            self.work().await;
            self.table.generate_data_key(request).await
        })
    }

    fn wrap_data_key<'a>(
        &'a self,
        request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        Box::pin(async move {
            self.work().await;
            self.table.wrap_data_key(request).await
        })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(async move {
            self.work().await;
            self.table.unwrap_data_key(request).await
        })
    }
}

/// Its futures work only inside a runtime.
pub(crate) struct Inside(pub(crate) Table);

impl KeyProvider for Inside {
    fn identity(&self) -> ProviderIdentity {
        self.0.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_micros(50)).await;
            self.0.generate_data_key(request).await
        })
    }

    fn wrap_data_key<'a>(
        &'a self,
        request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        self.0.wrap_data_key(request)
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_micros(50)).await;
            self.0.unwrap_data_key(request).await
        })
    }
}

/// Leaves wrapping to the trait's default.
pub(crate) struct WithoutWrap(pub(crate) Table);

impl KeyProvider for WithoutWrap {
    fn identity(&self) -> ProviderIdentity {
        self.0.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        self.0.generate_data_key(request)
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        self.0.unwrap_data_key(request)
    }
}
