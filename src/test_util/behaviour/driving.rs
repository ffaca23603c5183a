//! Driving futures in ways that no executor does.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::subject::Outcome;
use crate::timer::Sleep;

/// Makes a panic, or not ending in time, a failure.
pub(super) async fn guarded(check: impl Future<Output = Outcome>, limit: Duration) -> Outcome {
    let (mut check, mut time) = (pin!(check), Sleep::new(limit));
    std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| check.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) => Pin::new(&mut time)
                .poll(context)
                .map(|()| Err(format!("it did not end within {limit:?}"))),
            Ok(ready) => ready,
            Err(panic) => Poll::Ready(Err(panicked(&*panic))),
        }
    })
    .await
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("(no text)"))
}

/// Polls a future so many times at most, each when it asks for it, and then
/// drops it.
pub(super) async fn at_most<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let (mut left, mut future) = (polls, pin!(future));
    std::future::poll_fn(move |context| {
        let Some(next) = left.checked_sub(1) else {
            return Poll::Ready(None);
        };
        left = next;
        match future.as_mut().poll(context) {
            Poll::Pending if left == 0 => Poll::Ready(None),
            polled => polled.map(Some),
        }
    })
    .await
}

/// Drives futures side by side on this task.
pub(super) async fn together<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<_> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                *output = Some(value);
            }
        }
        if outputs.iter().any(Option::is_none) {
            return Poll::Pending;
        }
        Poll::Ready(outputs.drain(..).flatten().collect())
    })
    .await
}

/// Runs something on a thread of its own, without blocking the one that waits:
/// it may be the only one of a runtime that the provider needs.
pub(super) async fn in_thread(work: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    let shared = Arc::new(Mutex::new((None, None::<Waker>)));
    let theirs = shared.clone();
    let work = move || {
        let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|p| Err(panicked(&*p)));
        let mut shared = theirs.lock().unwrap_or_else(PoisonError::into_inner);
        shared.0 = Some(done);
        let waker = shared.1.take();
        drop(shared);
        waker.into_iter().for_each(Waker::wake);
    };
    let thread = std::thread::Builder::new().name("waxseal behaviour".to_owned());
    thread
        .spawn(work)
        .map_err(|error| format!("no thread: {error}"))?;
    std::future::poll_fn(|context| {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = shared.0.take() {
            return Poll::Ready(done);
        }
        let replaced = shared.1.replace(context.waker().clone());
        drop(shared);
        drop(replaced);
        Poll::Pending
    })
    .await
}
