//! Futures that a test polls one by one, or as an executor would: only those
//! that were woken.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use waxseal::{CacheOutcome, Client, Error};

use crate::world::{World, tenant};

/// Longer than anything takes: a test fails by it and does not hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub(crate) struct Task<T> {
    future: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    result: Option<T>,
    flag: Arc<Flag>,
}

impl<T> Task<T> {
    pub(crate) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Task {
            future: Some(Box::pin(future)),
            result: None,
            flag: Arc::new(Flag(AtomicBool::new(true))),
        }
    }

    /// Polls once, woken or not, and says whether it has ended.
    pub(crate) fn poll(&mut self) -> bool {
        self.flag.0.store(false, Ordering::SeqCst);
        if let Some(future) = &mut self.future {
            let waker = Waker::from(self.flag.clone());
            if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.result = Some(result);
                self.future = None;
            }
        }
        self.future.is_none()
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.future.is_some() && self.flag.0.load(Ordering::SeqCst)
    }

    /// Gives it up.
    pub(crate) fn cancel(&mut self) {
        self.future = None;
    }

    #[track_caller]
    pub(crate) fn result(&mut self) -> T {
        self.result.take().expect("it has ended")
    }
}

/// Polls those that were woken until nobody is.
pub(crate) fn run<T>(tasks: &mut [Task<T>]) {
    let deadline = Instant::now() + PATIENCE;
    while let Some(task) = tasks.iter_mut().find(|task| task.is_woken()) {
        task.poll();
        assert!(Instant::now() < deadline, "they wake one another for ever");
    }
}

/// Lets held calls go on, and those that are made because of them, in rounds:
/// each is there to be joined before it ends.
pub(crate) fn run_in_rounds<T>(world: &World, tasks: &mut [Task<T>]) {
    run(tasks);
    while world.delaying.release_all() > 0 {
        run(tasks);
    }
}

pub(crate) type Outcome = Result<CacheOutcome, Error>;

/// A request for a data key for a message of one byte of the first tenant.
pub(crate) fn encryption(client: &Client) -> Task<Outcome> {
    let client = client.clone();
    Task::new(async move {
        let prepared = client.prepare(&tenant(0), Some(1)).await?;
        Ok(prepared.cache_outcome().expect("there is a cache"))
    })
}

pub(crate) fn encryptions(client: &Client, count: usize) -> Vec<Task<Outcome>> {
    (0..count).map(|_| encryption(client)).collect()
}

/// A request for the data key of this tenant's message.
pub(crate) fn decryption(client: &Client, message: &[u8], number: usize) -> Task<Outcome> {
    let (client, message) = (client.clone(), message.to_vec());
    Task::new(async move {
        let decrypted = client.decrypt(&message, &tenant(number)).await?;
        Ok(decrypted.details.cache_outcome.expect("there is a cache"))
    })
}

/// How many of each outcome there are; all of them succeeded.
#[track_caller]
pub(crate) fn outcomes(tasks: &mut [Task<Outcome>]) -> [usize; 3] {
    let all: Vec<_> = tasks
        .iter_mut()
        .map(|task| task.result().unwrap())
        .collect();
    let count = |outcome| all.iter().filter(|found| **found == outcome).count();
    let counts = [
        CacheOutcome::Miss,
        CacheOutcome::Coalesced,
        CacheOutcome::Hit,
    ]
    .map(count);
    assert_eq!(counts.iter().sum::<usize>(), all.len(), "{all:?}");
    counts
}

/// Whether so many requests come to wait for a call of another's.
pub(crate) fn wait_for_coalesced(world: &World, count: u64) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while world.statistics().coalesced < count {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// Requests on threads of their own, which a test that fails leaves behind.
pub(crate) struct Threads(Receiver<CacheOutcome>);

impl Threads {
    pub(crate) fn start(
        count: u64,
        request: impl Fn() -> Option<CacheOutcome> + Send + Sync + 'static,
    ) -> Self {
        let (sender, receiver) = channel();
        let request = Arc::new(request);
        for _ in 0..count {
            let (sender, request) = (sender.clone(), request.clone());
            std::thread::spawn(move || {
                // A failed test listens no more.
                let _ = sender.send(request().expect("there is a cache"));
            });
        }
        Threads(receiver)
    }

    /// What one of them has met.
    #[track_caller]
    pub(crate) fn outcome(&self) -> CacheOutcome {
        self.0.recv_timeout(PATIENCE).expect("a thread ends")
    }
}
