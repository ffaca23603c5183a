//! The KMS's store in an object store, over `object_store`'s in-memory one.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use waxseal::kms::store::{BlobStore, Expected, ObjectBlobStore, StoreError, behaviour};

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the in-memory store's future was not ready at its first poll"),
    }
}

fn bytes(store: &ObjectBlobStore, name: &str) -> Option<Vec<u8>> {
    ready(store.read(name)).unwrap().map(|blob| blob.bytes)
}

#[test]
fn does_what_every_store_does() {
    for behaviour in behaviour::all() {
        println!("{}", behaviour.name());
        let objects = Arc::new(InMemory::new());
        behaviour.check(Arc::new(ObjectBlobStore::new(objects, "a/prefix")));
        let objects = Arc::new(InMemory::new());
        let open = || -> Arc<dyn BlobStore> { Arc::new(ObjectBlobStore::new(objects.clone(), "")) };
        behaviour.check(behaviour::in_turn(vec![open(), open()]));
    }
}

#[test]
fn does_it_on_a_runtime_from_any_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (handle, stopped) = (runtime.handle().clone(), stop.clone());
    let thread = std::thread::spawn(move || {
        runtime.block_on(async {
            while !stopped.load(Ordering::Acquire) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    });
    for behaviour in behaviour::all() {
        let store = ObjectBlobStore::new(Arc::new(InMemory::new()), "");
        behaviour.check(Arc::new(store.on_runtime(handle.clone())));
    }
    stop.store(true, Ordering::Release);
    thread.join().unwrap();
    // Its runtime is gone.
    let store = ObjectBlobStore::new(Arc::new(InMemory::new()), "").on_runtime(handle);
    let error = ready(store.read("a")).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}

#[test]
fn prefixes_are_apart() {
    let objects = Arc::new(InMemory::new());
    let open = |prefix: &str| ObjectBlobStore::new(objects.clone(), prefix);
    let stores = [open(""), open("a"), open("a/b"), open("ab")];
    for (number, store) in stores.iter().enumerate().skip(1) {
        ready(store.write("x", &[number as u8], Expected::Absent)).unwrap();
    }
    let names = |store: &ObjectBlobStore| -> Vec<String> {
        let entries = ready(store.list("", None, 10)).unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    };
    assert_eq!(names(&stores[1]), ["b/x", "x"]);
    assert_eq!(names(&stores[2]), ["x"]);
    assert_eq!(names(&stores[3]), ["x"]);
    assert_eq!(bytes(&stores[3], "x").unwrap(), [3]);
}

#[test]
fn damage_and_foreign_objects() {
    let objects = Arc::new(InMemory::new());
    let store = ObjectBlobStore::new(objects.clone(), "p");
    ready(store.write("a", b"content", Expected::Absent)).unwrap();
    ready(store.write("b", b"neighbour", Expected::Absent)).unwrap();
    let path = Path::from("p/a");
    let get = |path: &Path| ready(async { objects.get(path).await?.bytes().await }).unwrap();
    let put = |bytes: Vec<u8>| drop(ready(objects.put(&path, bytes.into())).unwrap());
    let whole = get(&path).to_vec();
    let damaged = || match ready(store.read("a")) {
        Err(StoreError::Damaged { name, .. }) => assert_eq!(name, "a"),
        other => panic!("{other:?}"),
    };
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        put(bytes);
        damaged();
    }
    for length in 0..whole.len() {
        put(whole[..length].to_vec());
        damaged();
    }
    put(get(&Path::from("p/b")).to_vec());
    damaged();
    // It can be replaced.
    let listed = ready(store.list("", None, 10)).unwrap();
    assert_eq!(listed.len(), 2);
    let version = &listed[0].version;
    ready(store.write("a", b"repaired", Expected::Version(version))).unwrap();
    assert_eq!(bytes(&store, "a").unwrap(), b"repaired");
    ready(objects.put(&Path::from("p/Notes.txt"), "x".into())).unwrap();
    assert_eq!(ready(store.list("", None, 10)).unwrap().len(), 2);
    let small = store.clone().max_blob_length(7);
    let error = ready(small.read("a")).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::TooLarge {
                length: 8,
                limit: 7,
                ..
            }
        ),
        "{error}"
    );
    let error = ready(small.write("c", &[0; 8], Expected::Absent)).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
}

#[test]
fn what_is_deleted_is_not_in_the_object() {
    let objects = Arc::new(InMemory::new());
    let store = ObjectBlobStore::new(objects.clone(), "");
    let version = ready(store.write("a", b"content", Expected::Absent)).unwrap();
    ready(store.delete("a", &version)).unwrap();
    let left = ready(async { objects.get(&Path::from("a")).await?.bytes().await }).unwrap();
    assert_eq!(left.len(), 24);
    assert_eq!(bytes(&store, "a"), None);
    assert_eq!(ready(store.list("", None, 10)).unwrap(), []);
}

/// How a put goes wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It is done, and the client, having had no answer, tries again.
    DoneTwice,
    /// It is done, and there is no answer.
    DoneUnknown,
    /// It is not done, and there is no answer.
    NotDone,
    /// It is done, and no ETag is told.
    NoTag,
    NoConditions,
    Denied,
    NoBucket,
}

#[derive(Debug)]
struct Faulty(InMemory, Fault);

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

type Later<'a, T> = Pin<Box<dyn Future<Output = object_store::Result<T>> + Send + 'a>>;
type Stream<T> =
    Pin<Box<dyn futures_core::Stream<Item = object_store::Result<T>> + Send + 'static>>;

impl ObjectStore for Faulty {
    fn put_opts<'a, 'b, 'c>(
        &'a self,
        path: &'b Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Later<'c, PutResult>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(async move {
            let source = || "injected".into();
            let no_answer = || Error::Generic {
                store: "faulty",
                source: source(),
            };
            let path_text = path.to_string();
            match self.1 {
                Fault::DoneTwice => {
                    self.0
                        .put_opts(path, payload.clone(), options.clone())
                        .await?;
                    let again = self.0.put_opts(path, payload, options).await;
                    assert!(again.is_err());
                    again
                }
                Fault::DoneUnknown => {
                    self.0.put_opts(path, payload, options).await?;
                    Err(no_answer())
                }
                Fault::NotDone => Err(no_answer()),
                Fault::NoTag => {
                    let mut result = self.0.put_opts(path, payload, options).await?;
                    result.e_tag = None;
                    Ok(result)
                }
                Fault::NoConditions if matches!(options.mode, PutMode::Overwrite) => {
                    self.0.put_opts(path, payload, options).await
                }
                Fault::NoConditions => Err(Error::NotImplemented {
                    operation: "conditional put".into(),
                    implementer: "faulty".into(),
                }),
                Fault::Denied => Err(Error::PermissionDenied {
                    path: path_text,
                    source: source(),
                }),
                Fault::NoBucket => Err(Error::NotFound {
                    path: path_text,
                    source: source(),
                }),
            }
        })
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        path: &'b Path,
        options: PutMultipartOptions,
    ) -> Later<'c, Box<dyn MultipartUpload>>
    where
        'a: 'c,
        'b: 'c,
    {
        self.0.put_multipart_opts(path, options)
    }

    fn get_opts<'a, 'b, 'c>(&'a self, path: &'b Path, options: GetOptions) -> Later<'c, GetResult>
    where
        'a: 'c,
        'b: 'c,
    {
        self.0.get_opts(path, options)
    }

    fn delete_stream(&self, paths: Stream<Path>) -> Stream<Path> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> Stream<ObjectMeta> {
        self.0.list(prefix)
    }

    fn list_with_delimiter<'a, 'b, 'c>(&'a self, prefix: Option<&'b Path>) -> Later<'c, ListResult>
    where
        'a: 'c,
        'b: 'c,
    {
        self.0.list_with_delimiter(prefix)
    }

    fn copy_opts<'a, 'b, 'c, 'd>(
        &'a self,
        from: &'b Path,
        to: &'c Path,
        options: CopyOptions,
    ) -> Later<'d, ()>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
    {
        self.0.copy_opts(from, to, options)
    }
}

#[test]
fn puts_that_go_wrong() {
    for fault in [
        Fault::DoneTwice,
        Fault::DoneUnknown,
        Fault::NotDone,
        Fault::NoTag,
        Fault::NoConditions,
        Fault::Denied,
        Fault::NoBucket,
    ] {
        // A store with one blob, that then goes wrong.
        let whole = Arc::new(InMemory::new());
        let store = ObjectBlobStore::new(whole.clone(), "");
        ready(store.write("a", b"first", Expected::Absent)).unwrap();
        let store = ObjectBlobStore::new(Arc::new(Faulty(whole.fork(), fault)), "");
        let version = ready(store.read("a")).unwrap().unwrap().version;
        let results = [
            ready(store.write("b", b"new", Expected::Absent)).map(Some),
            ready(store.write("a", b"second", Expected::Version(&version))).map(Some),
        ];
        let done = !matches!(
            fault,
            Fault::NotDone | Fault::NoConditions | Fault::Denied | Fault::NoBucket
        );
        assert_eq!(
            bytes(&store, "a").unwrap(),
            if done { &b"second"[..] } else { b"first" }
        );
        assert_eq!(bytes(&store, "b").is_some(), done);
        for (result, name) in results.into_iter().zip(["b", "a"]) {
            match (fault, result) {
                (Fault::DoneTwice | Fault::NoTag, Ok(version)) => {
                    assert_eq!(
                        ready(store.read(name)).unwrap().map(|blob| blob.version),
                        version
                    );
                }
                (Fault::DoneUnknown | Fault::NotDone, Err(StoreError::Uncertain { .. }))
                | (Fault::NoConditions, Err(StoreError::Unsupported { .. }))
                | (Fault::Denied, Err(StoreError::AccessDenied { .. }))
                | (Fault::NoBucket, Err(StoreError::Io { .. })) => {}
                (_, result) => panic!("{fault:?}: {result:?}"),
            }
        }
        if matches!(fault, Fault::DoneTwice) {
            let version = ready(store.read("a")).unwrap().unwrap().version;
            ready(store.delete("a", &version)).unwrap();
            assert_eq!(bytes(&store, "a"), None);
            ready(store.write("a", b"again", Expected::Absent)).unwrap();
        }
    }
}
