//! The KMS and its store in a bucket, over the S3 protocol: `interop/s3.sh` starts the
//! server. Without one nothing runs, aloud.

use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::thread;

use libtest_mimic::{Arguments, Failed, Trial};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult, UpdateVersion,
};
use tokio::runtime::Runtime;
use waxseal::blocking::wait;
use waxseal::kms::store::{BlobStore, Expected, ObjectBlobStore, StoreError, behaviour};
use waxseal::kms::{CreateKey, KmsError, LocalKms, RootKey};
use waxseal::{EncryptionContext, SecretBytes};

/// The server and its bucket.
struct Server {
    url: String,
    bucket: String,
    runtime: Runtime,
}

impl Server {
    fn from_environment() -> Option<Self> {
        let url = std::env::var("WAXSEAL_S3").ok()?;
        Some(Server {
            url,
            bucket: std::env::var("WAXSEAL_S3_BUCKET").expect("WAXSEAL_S3_BUCKET names the bucket"),
            runtime: Runtime::new().unwrap(),
        })
    }

    /// A client with connections of its own.
    fn client(&self) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(&self.url)
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name(&self.bucket)
            .with_access_key_id("test")
            .with_secret_access_key("test")
            .build()
            .unwrap()
    }

    fn open(&self, prefix: &str) -> Arc<dyn BlobStore> {
        let store = ObjectBlobStore::new(Arc::new(self.client()), prefix);
        Arc::new(store.on_runtime(self.runtime.handle().clone()))
    }

    fn put(
        &self,
        client: &AmazonS3,
        path: &Path,
        bytes: &'static [u8],
        mode: PutMode,
    ) -> Result<PutResult, Error> {
        let payload = PutPayload::from_static(bytes);
        self.runtime
            .block_on(client.put_opts(path, payload, PutOptions::from(mode)))
    }

    fn get(&self, client: &AmazonS3, path: &Path) -> Vec<u8> {
        let bytes = async { client.get(path).await?.bytes().await };
        self.runtime.block_on(bytes).unwrap().to_vec()
    }
}

/// Is given its own part of the bucket.
type Test = Box<dyn FnOnce(&Server, &str) + Send>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let Some(server) = Server::from_environment() else {
        println!("SKIPPED, NOT RUN: WAXSEAL_S3 names no server: see interop/README.md");
        println!("0 passed, 0 failed");
        return ExitCode::SUCCESS;
    };
    let server = Arc::new(server);
    let mut trials = Vec::new();
    let mut add = |name: String, test: Test| {
        let server = server.clone();
        trials.push(Trial::test(name.clone(), move || {
            test(&server, &name.replace("::", "/"));
            Ok::<(), Failed>(())
        }));
    };
    add("server::if_none_match".into(), Box::new(if_none_match));
    add("server::if_match".into(), Box::new(if_match));
    add(
        "server::one_of_several_puts".into(),
        Box::new(one_of_several_puts),
    );
    for behaviour in behaviour::all() {
        let name = behaviour.name();
        add(
            format!("one_handle::{name}"),
            Box::new(move |server, prefix| behaviour.check(server.open(prefix))),
        );
        add(
            format!("two_handles::{name}"),
            Box::new(move |server, prefix| {
                let handles = vec![server.open(prefix), server.open(prefix)];
                behaviour.check(behaviour::in_turn(handles));
            }),
        );
    }
    add(
        "two_handles::no_increment_is_lost".into(),
        Box::new(no_increment_is_lost),
    );
    add(
        "two_kms::no_version_is_lost".into(),
        Box::new(no_version_is_lost),
    );
    add(
        "two_kms::one_alias_is_one_key".into(),
        Box::new(one_alias_is_one_key),
    );
    libtest_mimic::run(&arguments, trials).exit_code()
}

// The server first: without its conditions, what fails elsewhere is not the
// store's fault, and what passes says nothing.

const AT_FAULT: &str = "THE SERVER IS AT FAULT, not the store: ";

fn if_none_match(server: &Server, prefix: &str) {
    let client = server.client();
    let path = Path::from(format!("{prefix}/a"));
    server
        .put(&client, &path, b"first", PutMode::Create)
        .unwrap();
    let again = server.put(&client, &path, b"second", PutMode::Create);
    assert!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "{AT_FAULT}it puts despite If-None-Match: {again:?}"
    );
    assert_eq!(server.get(&client, &path), b"first");
}

fn if_match(server: &Server, prefix: &str) {
    let client = server.client();
    let path = Path::from(format!("{prefix}/a"));
    let update = |result: &PutResult| {
        PutMode::Update(UpdateVersion {
            e_tag: result.e_tag.clone(),
            version: None,
        })
    };
    let first = server
        .put(&client, &path, b"first", PutMode::Create)
        .unwrap();
    assert!(first.e_tag.is_some(), "{AT_FAULT}it tells no ETag");
    let second = server
        .put(&client, &path, b"second", update(&first))
        .unwrap();
    assert_ne!(first.e_tag, second.e_tag);
    let stale = server.put(&client, &path, b"third", update(&first));
    assert!(
        matches!(stale, Err(Error::Precondition { .. })),
        "{AT_FAULT}it puts despite If-Match: {stale:?}"
    );
    assert_eq!(server.get(&client, &path), b"second");
    let absent = Path::from(format!("{prefix}/b"));
    let absent = server.put(&client, &absent, b"third", update(&first));
    assert!(
        absent.is_err(),
        "{AT_FAULT}it puts despite If-Match: {absent:?}"
    );
}

/// A condition and its put must be one step.
fn one_of_several_puts(server: &Server, prefix: &str) {
    for round in 0..30 {
        let path = Path::from(format!("{prefix}/{round}"));
        let done = race(4, |_| {
            let client = server.client();
            server.put(&client, &path, b"x", PutMode::Create).is_ok()
        });
        let done = done.into_iter().filter(|done| *done).count();
        assert_eq!(
            done, 1,
            "{AT_FAULT}of four puts with If-None-Match at once, {done} were done"
        );
    }
}

/// Two handles, two threads each, count to 100 together.
fn no_increment_is_lost(server: &Server, prefix: &str) {
    const THREADS: usize = 4;
    const INCREMENTS: usize = 25;
    let handles = [server.open(prefix), server.open(prefix)];
    let counted = race(THREADS, |number| {
        let store = &handles[number % handles.len()];
        let mut counted = Vec::new();
        // Each lost race is one that another has won.
        for _ in 0..=THREADS * INCREMENTS {
            if counted.len() == INCREMENTS {
                break;
            }
            let blob = server.runtime.block_on(store.read("counter")).unwrap();
            let (count, expected) = match &blob {
                None => (0, Expected::Absent),
                Some(blob) => (number_in(&blob.bytes), Expected::Version(&blob.version)),
            };
            let next = (count + 1).to_string();
            let write = store.write("counter", next.as_bytes(), expected);
            match server.runtime.block_on(write) {
                Ok(_) => counted.push(count + 1),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert!(counted.is_sorted());
        counted
    });
    // Each has written other numbers, and all of them.
    let mut counted = counted.concat();
    counted.sort_unstable();
    let all: Vec<usize> = (1..=THREADS * INCREMENTS).collect();
    assert_eq!(counted, all);
    for store in &handles {
        let last = server.runtime.block_on(store.read("counter")).unwrap();
        assert_eq!(number_in(&last.unwrap().bytes), all.len());
    }
}

fn kms(server: &Server, prefix: &str) -> LocalKms {
    let root = RootKey::bytes(SecretBytes::from(vec![1; 32]));
    wait(LocalKms::builder(server.open(prefix), root).open()).unwrap()
}

/// Two handles of the KMS rotate one key and wrap under it.
fn no_version_is_lost(server: &Server, prefix: &str) {
    const ROUNDS: u32 = 8;
    let handles = [kms(server, prefix), kms(server, prefix)];
    let context = EncryptionContext::from([("test", "s3")]);
    wait(handles[0].create_key(CreateKey::new().alias("alias/all"))).unwrap();
    let worked = race(2, |number| {
        let kms = &handles[number];
        let rounds = (0..ROUNDS).map(|_| {
            let version = wait(kms.rotate("alias/all")).unwrap();
            let sealed = wait(kms.encrypt("alias/all", b"text", &context)).unwrap();
            assert!(sealed.key_version >= version);
            (version, sealed.blob)
        });
        rounds.collect::<Vec<_>>()
    })
    .concat();
    let mut versions: Vec<u32> = worked.iter().map(|(version, _)| *version).collect();
    versions.sort_unstable();
    assert!(versions.into_iter().eq(2..=1 + 2 * ROUNDS));
    for kms in handles.iter().chain([&kms(server, prefix)]) {
        for (_, blob) in &worked {
            let opened = wait(kms.decrypt(blob, None, &context)).unwrap();
            assert_eq!(opened.plaintext.expose(), b"text");
        }
    }
}

/// Two handles of the KMS want the same names for keys of their own.
fn one_alias_is_one_key(server: &Server, prefix: &str) {
    const ROUNDS: usize = 8;
    let handles = [kms(server, prefix), kms(server, prefix)];
    let worked = race(2, |number| {
        let kms = &handles[number];
        let rounds = (0..ROUNDS).map(|round| {
            let request = CreateKey::new().alias(format!("alias/{round}"));
            match wait(kms.create_key(request)) {
                Ok(key) => Some(key.id),
                Err(KmsError::AlreadyExists { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        });
        rounds.collect::<Vec<_>>()
    });
    let kms = kms(server, prefix);
    for round in 0..ROUNDS {
        let made: Vec<_> = worked
            .iter()
            .filter_map(|made| made[round].as_ref())
            .collect();
        let [winner] = made[..] else {
            panic!("{} keys for one alias", made.len());
        };
        let arn = wait(kms.resolve(&format!("alias/{round}"))).unwrap();
        assert!(arn.ends_with(winner.as_str()));
    }
    let keys = wait(kms.list_keys(None, 100)).unwrap().keyrings;
    assert_eq!(keys.len(), ROUNDS);
}

fn number_in(bytes: &[u8]) -> usize {
    std::str::from_utf8(bytes).unwrap().parse().unwrap()
}

/// Runs this on several threads at once, and gives back what each said.
fn race<T: Send>(threads: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|number| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    work(number)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}
