//! How a call is driven by those who wait for it: polled when it asked to be,
//! and never forgotten.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use waxseal::CacheOutcome::Coalesced;
use waxseal::{
    GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderFuture, ProviderIdentity,
    RawAesProvider, UnwrapDataKey, UnwrapFailures, UnwrappedDataKey,
};

use crate::support::raw;
use crate::tasks::{encryptions, run};
use crate::world::World;

/// What a call does as it is polled; whether it is ready then.
type Step = dyn FnMut(&mut Context<'_>) -> bool + Send;

/// Lets a test see and steer each poll.
struct Steps {
    inner: RawAesProvider,
    step: Arc<Mutex<Box<Step>>>,
}

struct Stepping(Arc<Mutex<Box<Step>>>);

impl Future for Stepping {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // A call of its own, made while another is polled, fails and waits not.
        let mut step = self.0.try_lock().expect("one call at a time");
        let is_ready = step(context);
        drop(step);
        if is_ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl KeyProvider for Steps {
    fn identity(&self) -> ProviderIdentity {
        self.inner.identity()
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(async move {
            Stepping(self.step.clone()).await;
            self.inner.generate_data_key(request).await
        })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        self.inner.unwrap_data_key(request)
    }
}

fn steps(step: impl FnMut(&mut Context<'_>) -> bool + Send + 'static) -> World {
    let provider = Steps {
        inner: raw("key", 7),
        step: Arc::new(Mutex::new(Box::new(step))),
    };
    World::with(10, provider, |cache| cache)
}

/// However many wait and are polled for other reasons.
#[test]
fn polled_only_when_it_asked_to_be() {
    let polls = Arc::new(AtomicUsize::new(0));
    let waker = Arc::new(Mutex::new(None));
    let world = {
        let (polls, waker) = (polls.clone(), waker.clone());
        steps(move |context| {
            *waker.lock().unwrap() = Some(context.waker().clone());
            polls.fetch_add(1, Ordering::Relaxed) == 1
        })
    };
    let mut tasks = encryptions(&world.client(), 10);
    for _ in 0..3 {
        for task in &mut tasks {
            task.poll();
        }
    }
    assert_eq!(polls.load(Ordering::Relaxed), 1);
    waker.lock().unwrap().take().unwrap().wake();
    assert!(tasks.iter().all(|task| task.is_woken()));
    run(&mut tasks);
    assert_eq!(polls.load(Ordering::Relaxed), 2);
    for task in &mut tasks {
        task.result().unwrap();
    }
}

/// One who comes while another polls the call finds nothing to do, and must
/// hear of it when the call has asked for the next poll meanwhile: the other
/// may be gone then.
#[test]
fn who_comes_while_another_polls_is_woken() {
    let waiting = Arc::new(Mutex::new(Vec::new()));
    let world = {
        let waiting = waiting.clone();
        let mut polls = 0;
        steps(move |context| {
            polls += 1;
            if polls == 1 {
                context.waker().wake_by_ref();
                for task in waiting.lock().unwrap().iter_mut() {
                    let task: &mut crate::tasks::Task<_> = task;
                    assert!(!task.poll());
                }
            }
            polls > 1
        })
    };
    let client = world.client();
    let mut first = encryptions(&client, 1);
    *waiting.lock().unwrap() = encryptions(&client, 2);
    assert!(!first[0].poll());
    first[0].cancel();
    let mut waiting = waiting.lock().unwrap();
    run(&mut waiting);
    for task in waiting.iter_mut() {
        assert_eq!(task.result().unwrap(), Coalesced);
    }
}
