//! Messages in an object store.

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;
use waxseal::{AlgorithmSuite, ObjectSource};

use crate::support::{client, context, plaintext, ready};

#[test]
fn ranges_of_an_object() {
    let client = client(AlgorithmSuite::Aes256GcmHkdfSha512CommitKey);
    let text = plaintext(100_000);
    let message = ready(client.encrypt(&text, &context())).unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let path = Path::from("backups/1");
    let runtime = Runtime::new().unwrap();
    runtime.block_on(store.put(&path, message.into())).unwrap();
    let source = ObjectSource::new(store.clone(), path).on_runtime(runtime.handle().clone());
    // From without the runtime, too.
    let read = async {
        let reader = client.range_reader(source, &context()).await.unwrap();
        assert_eq!(
            reader.read(50_000..50_010).await.unwrap(),
            text[50_000..50_010]
        );
        assert_eq!(reader.read(99_990..u64::MAX).await.unwrap(), text[99_990..]);
        assert_eq!(reader.verified_length().await.unwrap(), 100_000);
    };
    waxseal::blocking::wait(read);
    let missing = ObjectSource::new(store, "backups/2");
    let error = runtime
        .block_on(client.range_reader(missing, &context()))
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}
