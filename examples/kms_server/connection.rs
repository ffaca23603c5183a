//! How long a connection may take for what: to be idle, to send a request's
//! head, to have a request answered. Whoever is slower is cut off, so that slow
//! and silent clients hold no more than a connection, and not for long.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Between requests, and before the first.
const IDLE: Duration = Duration::from_secs(60);
/// From a head's first byte to its last.
const HEAD: Duration = Duration::from_secs(10);
/// From a request's head to its answer.
const REQUEST: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Request,
}

impl Phase {
    fn limit(self) -> Duration {
        match self {
            Phase::Idle => IDLE,
            Phase::Head => HEAD,
            Phase::Request => REQUEST,
        }
    }
}

/// What a connection is doing, and since when.
#[derive(Clone)]
pub(crate) struct Pace(Arc<Inner>);

struct Inner {
    phase: Mutex<(Phase, Instant)>,
    /// The deadline may have come nearer.
    nearer: Notify,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Pace(Arc::new(Inner {
            phase: Mutex::new((Phase::Idle, Instant::now())),
            nearer: Notify::new(),
        }))
    }

    /// A request's head is there.
    pub(crate) fn begin(&self) {
        self.enter(|_| Some(Phase::Request));
    }

    /// A request was answered.
    pub(crate) fn end(&self) {
        self.enter(|_| Some(Phase::Idle));
    }

    fn bytes_came(&self) {
        self.enter(|phase| (phase == Phase::Idle).then_some(Phase::Head));
    }

    fn enter(&self, next: impl FnOnce(Phase) -> Option<Phase>) {
        let mut phase = self.0.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = next(phase.0) {
            *phase = (next, Instant::now());
            if next == Phase::Head {
                self.0.nearer.notify_one();
            }
        }
    }

    /// Is ready when the connection has taken too long.
    pub(crate) async fn expired(&self) {
        loop {
            let (phase, since) = *self.0.phase.lock().unwrap_or_else(PoisonError::into_inner);
            let deadline = since + phase.limit();
            if deadline <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(deadline) => {}
                () = self.0.nearer.notified() => {}
            }
        }
    }
}

/// A stream that tells its pace when bytes come.
pub(crate) struct Paced<S> {
    stream: S,
    pace: Pace,
}

impl<S> Paced<S> {
    pub(crate) fn new(stream: S, pace: Pace) -> Self {
        Paced { stream, pace }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.pace.bytes_came();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
