//! The KMS's stores: what every store does, processes that work and are killed
//! side by side, damaged files, and folders that are no stores.

mod crashes;
mod damage;
mod folders;
mod processes;
mod system;

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use libtest_mimic::{Arguments, Failed, Trial};
use waxseal::kms::store::{BlobStore, DirectoryStore, MemoryStore, behaviour};

/// Set for the processes that tests start: what they are to do.
const CHILD: &str = "WAXSEAL_STORE_CHILD";

fn main() -> ExitCode {
    if let Some(work) = std::env::var_os(CHILD) {
        return processes::child(&work.into_string().unwrap());
    }
    let mut trials = Vec::new();
    for behaviour in behaviour::all() {
        let name = behaviour.name();
        trials.push(trial(format!("memory::{name}"), move || {
            behaviour.check(Arc::new(MemoryStore::new()));
        }));
        trials.push(trial(format!("directory::{name}"), move || {
            let folder = tempfile::tempdir().unwrap();
            behaviour.check(Arc::new(DirectoryStore::open(folder.path()).unwrap()));
        }));
        trials.push(trial(
            format!("directory_by_two_handles::{name}"),
            move || {
                let folder = tempfile::tempdir().unwrap();
                let open = || -> Arc<dyn BlobStore> {
                    let builder = DirectoryStore::builder(folder.path()).without_sync();
                    Arc::new(builder.open().unwrap())
                };
                behaviour.check(behaviour::in_turn(vec![open(), open()]));
            },
        ));
    }
    trials.extend(folders::trials());
    trials.extend(damage::trials());
    trials.extend(processes::trials());
    trials.extend(crashes::trials());
    trials.extend(system::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: impl Into<String>, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, || {
        test();
        Ok::<(), Failed>(())
    })
}

/// Drives a future that is ready at its first poll, as a local store's are.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a local store's future was not ready at its first poll"),
    }
}

fn bytes(store: &dyn BlobStore, name: &str) -> Option<Vec<u8>> {
    ready(store.read(name)).unwrap().map(|blob| blob.bytes)
}
