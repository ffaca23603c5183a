//! Work that needs a Tokio runtime, for callers that have none or another.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
#[cfg(feature = "aws-kms")]
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

#[cfg(feature = "aws-kms")]
pub(crate) use own::OwnRuntime;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, coop};

use crate::client::blocking::is_waiting;

/// A runtime to work on.
#[derive(Clone)]
pub(crate) enum Runtime {
    Given(Handle),
    #[cfg(feature = "aws-kms")]
    Own(Arc<OwnRuntime>),
}

/// Why work was not done.
#[derive(Debug)]
pub(crate) enum RunError {
    /// The caller would sleep on a thread of the very runtime, which then may
    /// never come to the work.
    WouldBlock,
    ShutDown,
    Panicked,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WouldBlock => {
                "this thread is the runtime's own: await the future, or call from \
                 `spawn_blocking` or from a thread outside"
            }
            Self::ShutDown => "the runtime has shut down",
            Self::Panicked => "the work panicked",
        })
    }
}

impl std::error::Error for RunError {}

impl Runtime {
    /// Does this work on the runtime; the result can be awaited from anywhere.
    /// Dropped, the work is abandoned.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, RunError> {
        #[allow(clippy::infallible_destructuring_match)] // reason: one of two in another build
        let handle = match self {
            Runtime::Given(handle) => handle,
            #[cfg(feature = "aws-kms")]
            Runtime::Own(own) => &own.handle,
        };
        let mut task = Task(handle.spawn(work));
        poll_fn(|context| match Pin::new(&mut task.0).poll(context) {
            Poll::Ready(Ok(value)) => Poll::Ready(Ok(value)),
            Poll::Ready(Err(error)) if error.is_panic() => Poll::Ready(Err(RunError::Panicked)),
            Poll::Ready(Err(_)) => Poll::Ready(Err(RunError::ShutDown)),
            Poll::Pending if is_waiting() && works_here(handle) => {
                Poll::Ready(Err(RunError::WouldBlock))
            }
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether this thread is inside a task of this runtime, so that what it is
/// about to wait for may never run. (Another worker could do it, but need not:
/// what a worker spawns may be kept for that worker.)
///
/// Within `spawn_blocking` and `block_in_place` the runtime goes on elsewhere.
/// What tells those from a task is that a task has a budget. Using it up costs
/// the task a turn at most, after it has got its error.
fn works_here(runtime: &Handle) -> bool {
    if Handle::try_current().is_ok_and(|current| current.id() == runtime.id()) {
        let mut context = Context::from_waker(Waker::noop());
        // Tokio's budget is 128; twice that is far from it, and has an end.
        for _ in 0..1024 {
            if !coop::has_budget_remaining() {
                return true;
            }
            let _ = pin!(coop::consume_budget()).poll(&mut context);
        }
    }
    false
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Runtime::Given(_) => "Given",
            #[cfg(feature = "aws-kms")]
            Runtime::Own(_) => "Own",
        })
    }
}

#[cfg(feature = "aws-kms")]
mod own {
    use std::{io, thread};

    use tokio::runtime::{Builder, Handle};
    use tokio::sync::oneshot;

    /// A runtime with a thread of its own, which ends when this is dropped.
    pub(crate) struct OwnRuntime {
        pub(super) handle: Handle,
        // The thread waits until it is dropped.
        _stop: oneshot::Sender<()>,
    }

    impl OwnRuntime {
        pub(crate) fn start(name: &str) -> io::Result<Self> {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let (stop, stopped) = oneshot::channel();
            // It is dropped there too: never in an async context, where that panics.
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || drop(runtime.block_on(stopped)))?;
            Ok(OwnRuntime {
                handle,
                _stop: stop,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::texts;

    #[test]
    fn each_text() {
        for (error, text) in [
            (
                RunError::WouldBlock,
                "this thread is the runtime's own: await the future, or call from \
                 `spawn_blocking` or from a thread outside",
            ),
            (RunError::ShutDown, "the runtime has shut down"),
            (RunError::Panicked, "the work panicked"),
        ] {
            assert_eq!(texts(&error), [text]);
        }
    }
}
