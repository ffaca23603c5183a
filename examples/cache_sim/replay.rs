//! Replays a trace: each line is a request to a real client at its time, and
//! between the lines the provider's calls end as they are due.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use waxseal::{CacheOutcome, Client, Clock, EncryptionContext};

use crate::failure::Failure;
use crate::service::Service;
use crate::trace::{Request, Trace};

/// What a line came to.
pub(crate) struct Done {
    pub(crate) outcome: CacheOutcome,
    /// Those that its own request made.
    pub(crate) provider_calls: u32,
    pub(crate) latency: Duration,
}

/// What each line came to, in the trace's order.
pub(crate) fn replay(trace: &Trace, service: &mut Service) -> Result<Vec<Done>, Failure> {
    let mut replay = Replay {
        trace,
        service,
        lines: trace.lines.iter().map(|_| State::Before).collect(),
        messages: HashMap::new(),
        waiting: HashMap::new(),
        startable: Vec::new(),
        woken: Woken::default(),
    };
    for (index, line) in trace.lines.iter().enumerate() {
        replay.advance(line.at)?;
        replay.service.clock.set(line.at);
        replay.arrive(index)?;
    }
    replay.advance(Duration::MAX)?;
    let done = replay.lines.into_iter().map(|state| match state {
        State::Done(done) => Some(done),
        State::Before | State::Pending(_) => None,
    });
    // Every call ends, and whoever waits for it is woken.
    let all: Option<Vec<_>> = done.collect();
    all.ok_or_else(|| Failure::io("the simulation has stopped before its requests have ended"))
}

/// Where a request's data key came from, and an encryption's message if it is
/// decrypted later.
type Answer = waxseal::Result<(Option<CacheOutcome>, Option<Vec<u8>>)>;

enum State {
    Before,
    Pending(Pending),
    Done(Done),
}

struct Pending {
    request: Pin<Box<dyn Future<Output = Answer>>>,
    waker: Waker,
    since: Duration,
    provider_calls: u32,
}

/// A message, and how many lines will decrypt it.
struct Message {
    bytes: Rc<Vec<u8>>,
    decryptions: usize,
}

/// Requests to be polled again, by their indices.
type Woken = Arc<Mutex<VecDeque<usize>>>;

struct RequestWaker {
    index: usize,
    woken: Woken,
}

impl Wake for RequestWaker {
    fn wake(self: Arc<Self>) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        woken.push_back(self.index);
    }
}

struct Replay<'a> {
    trace: &'a Trace,
    service: &'a mut Service,
    lines: Vec<State>,
    messages: HashMap<usize, Message>,
    /// Decryptions of a message that is still being made.
    waiting: HashMap<usize, Vec<usize>>,
    /// Those of one that has just been made.
    startable: Vec<usize>,
    woken: Woken,
}

impl Replay<'_> {
    /// Lets everything happen that is due until then.
    fn advance(&mut self, until: Duration) -> Result<(), Failure> {
        let clock = self.service.clock.clone();
        while let Some(due) = clock.next_due().filter(|due| *due <= until) {
            clock.set(due);
            // First all calls that end at this time, in the order of their
            // starts; then whatever has waited for their messages.
            while let Some(waker) = clock.take_due() {
                waker.wake();
                while let Some(index) = self.next_woken() {
                    self.poll(index)?;
                }
            }
            let mut startable = std::mem::take(&mut self.startable);
            startable.sort_unstable();
            for index in startable {
                self.start(index)?;
            }
        }
        Ok(())
    }

    fn next_woken(&self) -> Option<usize> {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        woken.pop_front()
    }

    /// The time of a line has come.
    fn arrive(&mut self, index: usize) -> Result<(), Failure> {
        match self.trace.lines[index].request {
            Request::Decrypt { of } if !matches!(self.lines[of], State::Done(_)) => {
                self.waiting.entry(of).or_default().push(index);
                Ok(())
            }
            _ => self.start(index),
        }
    }

    fn start(&mut self, index: usize) -> Result<(), Failure> {
        let line = &self.trace.lines[index];
        let client = self.service.client(line.partition.as_ref(), line.suite);
        let client = client.map_err(|error| self.trace.fault(index, &error.to_string()))?;
        let request: Pin<Box<dyn Future<Output = Answer>>> = match &line.request {
            Request::Encrypt {
                context,
                bytes,
                decryptions,
            } => Box::pin(encrypt(client, context.clone(), *bytes, *decryptions > 0)),
            Request::Decrypt { of } => Box::pin(decrypt(client, self.message(*of))),
        };
        let woken = self.woken.clone();
        self.lines[index] = State::Pending(Pending {
            request,
            waker: Waker::from(Arc::new(RequestWaker { index, woken })),
            since: self.service.clock.elapsed(),
            provider_calls: 0,
        });
        self.poll(index)
    }

    /// A message for one of its decryptions; the last one takes it.
    fn message(&mut self, of: usize) -> Rc<Vec<u8>> {
        let Some(message) = self.messages.get_mut(&of) else {
            return Rc::default();
        };
        let bytes = message.bytes.clone();
        message.decryptions = message.decryptions.saturating_sub(1);
        if message.decryptions == 0 {
            self.messages.remove(&of);
        }
        bytes
    }

    fn poll(&mut self, index: usize) -> Result<(), Failure> {
        let State::Pending(pending) = &mut self.lines[index] else {
            return Ok(());
        };
        let mut context = Context::from_waker(&pending.waker);
        let polled = pending.request.as_mut().poll(&mut context);
        // Nobody else has been polled meanwhile: they are this line's.
        pending.provider_calls += self.service.calls.take();
        let Poll::Ready(answer) = polled else {
            return Ok(());
        };
        let provider_calls = pending.provider_calls;
        let latency = self.service.clock.elapsed().saturating_sub(pending.since);
        let fault = |reason: &str| self.trace.fault(index, reason);
        let (outcome, message) = answer.map_err(|error| fault(&error.to_string()))?;
        let outcome = outcome.ok_or_else(|| fault("its client has no cache"))?;
        self.lines[index] = State::Done(Done {
            outcome,
            provider_calls,
            latency,
        });
        if let (Some(bytes), &Request::Encrypt { decryptions, .. }) =
            (message, &self.trace.lines[index].request)
        {
            let bytes = Rc::new(bytes);
            self.messages.insert(index, Message { bytes, decryptions });
        }
        self.startable
            .extend(self.waiting.remove(&index).into_iter().flatten());
        Ok(())
    }
}

/// No body is made: `bytes` is what the data key is charged with.
async fn encrypt(
    client: Client,
    context: Arc<EncryptionContext>,
    bytes: Option<u64>,
    is_decrypted: bool,
) -> Answer {
    let prepared = client.prepare(&context, bytes).await?;
    let outcome = prepared.cache_outcome();
    let message = if is_decrypted {
        Some(prepared.encrypt(b"")?)
    } else {
        None
    };
    Ok((outcome, message))
}

async fn decrypt(client: Client, message: Rc<Vec<u8>>) -> Answer {
    let decrypted = client.decrypt(&message, &EncryptionContext::new()).await?;
    Ok((decrypted.details.cache_outcome, None))
}
