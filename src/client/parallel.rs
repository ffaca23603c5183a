//! One message on several threads: its frames are independent of each other,
//! but for the order in which they are released.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::pieces::CHUNK;

/// How many threads work on one message; set by
/// [`ClientBuilder::parallelism`](super::ClientBuilder::parallelism). By
/// default one, the caller's.
///
/// The message is the same, byte for byte, and so is every guarantee: frames
/// are released in their order, each only when it is authentic, and after an
/// error nothing from that frame on. The calling thread works too, and when
/// the call ends all the work has ended.
///
/// It pays from about half a MiB on: less is done by the calling thread alone,
/// and so is a message of one frame. Give streams pieces of several MiB; the
/// readers and writers gather such pieces by themselves: 1 MiB or two frames for
/// each thread, 8 MiB at most, and never more than
/// [`max_buffered`](super::ClientBuilder::max_buffered). So they use threads for
/// frames of up to 2 MiB. What is read or written
/// [in parts](super::Client::range_reader) is read on the calling thread. Of a
/// signed message the calling thread hashes while the others encrypt or decrypt,
/// so that two threads are all that it can use.
///
/// ```
/// use waxseal::{Client, EncryptionContext, Parallelism, RawAesProvider, SecretBytes};
///
/// let key = SecretBytes::from(vec![7; 32]); // from a file or a vault, really
/// let client = Client::builder(RawAesProvider::new("example", "key-1", &key)?)
///     .frame_length(64 * 1024)
///     .parallelism(Parallelism::threads(4))
///     .build()?
///     .blocking();
/// let plaintext = vec![0; 4 << 20];
/// let message = client.encrypt(&plaintext, &EncryptionContext::new())?;
/// let decrypted = client.decrypt(&message, &EncryptionContext::new())?;
/// assert_eq!(decrypted.plaintext, plaintext);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Parallelism(Workers);

#[derive(Clone, Default)]
enum Workers {
    #[default]
    None,
    /// Started for each call (or each piece of a stream), and joined at its end.
    Threads(usize),
    #[cfg(feature = "rayon")]
    Pool(std::sync::Arc<rayon_core::ThreadPool>),
}

/// Bytes of plaintext that a thread takes at a time, in whole frames. Small
/// enough for an even share, and for a hash to find it in the caches; large
/// enough that taking it costs nothing beside working on it.
const SHARE: usize = 128 * 1024;

/// The most of it in a long run that no hash follows: memory is read ahead in
/// longer stretches, which makes it some 5 % faster.
const LONG_SHARE: usize = 512 * 1024;

/// How many shares each thread has at least of a run before they get longer, so
/// that no thread has much to do when there is nothing left for the others.
const SHARES_EACH: usize = 8;

/// Bytes of plaintext in a stream's piece, for each thread, and at most.
const PIECE: usize = 1024 * 1024;
const LARGEST_PIECE: usize = 8 * 1024 * 1024;

/// What is done with a message's frames, in both directions, so that it is
/// compiled once: from where, to where, and the number of the first of them.
pub(super) type Job<'a> = ((&'a [u8], &'a mut [u8]), u32);

/// What is sealed or authentic of it, as it is on the wire, and whether that is
/// all.
pub(super) type Done<'a> = (&'a [u8], bool);

/// What a run of frames is handed out as.
pub(super) struct Shares {
    /// Frames in each of them, but in the last.
    pub(super) each: usize,
    /// How many there are; 1 where the calling thread does all of it, in
    /// however many jobs.
    pub(super) count: usize,
}

impl Parallelism {
    /// The calling thread alone: the default.
    pub fn none() -> Self {
        Parallelism::default()
    }

    /// So many threads, the calling one included; 0 and 1 are the calling
    /// thread alone. They are started when there is work for them and joined
    /// before the call returns, which costs some 30 microseconds. Never more
    /// than the machine has processors for this process (but two, where two
    /// or more are asked for).
    pub fn threads(count: usize) -> Self {
        match count {
            0 | 1 => Parallelism::default(),
            count => Parallelism(Workers::Threads(count)),
        }
    }

    /// As many threads as the machine has processors for this process.
    pub fn available() -> Self {
        Self::threads(processors())
    }

    /// The threads of this pool, beside the calling one. They are there
    /// already, which saves their start, and bounds what a process uses for
    /// all its messages together.
    ///
    /// A call waits until the pool has come to what it was given, so that jobs
    /// of the pool that take long keep a message waiting. **No job of the pool
    /// may wait for a thread that encrypts or decrypts on this pool** (such as
    /// one that it sends plaintext to, through a channel that can be full):
    /// where all the pool's threads do, nothing goes on. Calls from within the
    /// pool are safe.
    #[cfg(feature = "rayon")]
    #[cfg_attr(docsrs, doc(cfg(feature = "rayon")))]
    pub fn pool(pool: std::sync::Arc<rayon_core::ThreadPool>) -> Self {
        Parallelism(Workers::Pool(pool))
    }

    /// How many threads help the calling one, at most.
    fn helpers(&self) -> usize {
        match &self.0 {
            Workers::None => 0,
            Workers::Threads(count) => (*count).min(processors().max(2)) - 1,
            #[cfg(feature = "rayon")]
            Workers::Pool(pool) => pool.current_num_threads(),
        }
    }

    /// How much a stream's adapters take at a time, in bytes of plaintext, of a
    /// message with frames of this length; `None` for what comes.
    pub(super) fn piece(&self, frame_length: usize, most: usize) -> Option<usize> {
        let threads = match self.helpers() {
            0 => return None,
            helpers => helpers + 1,
        };
        let frames = frame_length.saturating_mul(2);
        let piece = frames.max(PIECE).saturating_mul(threads);
        Some(piece.min(LARGEST_PIECE).min(most.max(CHUNK)))
    }

    /// How many frames of this length are a thread's share, at least.
    pub(super) fn share(frame_length: usize) -> usize {
        (SHARE / frame_length.max(1)).max(1)
    }

    /// Whether so many frames are shared with other threads: where that pays.
    pub(super) fn splits(&self, frames: usize, frame_length: usize) -> bool {
        let pays = frames.saturating_mul(frame_length) >= 4 * SHARE;
        pays && self.helpers() > 0 && frames > Self::share(frame_length)
    }

    /// How so many frames are handed out, which are hashed thereafter or not.
    pub(super) fn shares(&self, frames: usize, frame_length: usize, are_hashed: bool) -> Shares {
        let least = Self::share(frame_length);
        if !self.splits(frames, frame_length) {
            return Shares {
                each: least,
                count: 1,
            };
        }
        let most = match are_hashed {
            true => least,
            false => least.max(LONG_SHARE / frame_length.max(1)),
        };
        let even = frames / (SHARES_EACH * (self.helpers() + 1));
        let each = even.clamp(least, most);
        Shares {
            each,
            count: frames.div_ceil(each),
        }
    }

    /// Does the jobs, in so many [shares](Self::shares), and gives their results
    /// to `take` in the jobs' order, on this thread. When `take` breaks off, no
    /// further job is begun, and those under way are waited for.
    ///
    /// This thread prefers taking to working, and works where there is nothing
    /// to take: it can do all of it alone, so that helpers who come late find
    /// nothing to do. They are waited for all the same, a pool's too, since they
    /// borrow what this call was given.
    pub(super) fn in_order<J, R, B>(
        &self,
        jobs: impl Iterator<Item = J> + Send,
        shares: usize,
        work: &(dyn Fn(J) -> R + Sync),
        take: &mut dyn FnMut(R) -> ControlFlow<B>,
    ) -> ControlFlow<B>
    where
        J: Send,
        R: Send,
    {
        if shares <= 1 {
            for job in jobs {
                take(work(job))?;
            }
            return ControlFlow::Continue(());
        }
        let queue = Queue::new(jobs);
        let finished = Finished::default();
        let help = |helper: Helper<'_, R>| {
            while let Some((number, job)) = queue.next() {
                helper.give(number, work(job));
            }
        };
        let mut lead = || {
            // Whatever happens here, nobody begins another job.
            let _stop = StopWhenDropped(&queue.is_stopped);
            // Finished, and not their turn yet.
            let mut early: Vec<(usize, R)> = Vec::new();
            let mut taken = 0;
            loop {
                finished.take(&mut early);
                while let Some(at) = early.iter().position(|(number, _)| *number == taken) {
                    taken += 1;
                    take(early.swap_remove(at).1)?;
                }
                if let Some((number, job)) = queue.next() {
                    early.push((number, work(job)));
                } else if taken == queue.handed_out() {
                    return ControlFlow::Continue(());
                } else {
                    // The next is with a helper.
                    if !finished.wait(&mut early) {
                        return ControlFlow::Continue(());
                    }
                }
            }
        };
        let helpers = self.helpers().min(shares - 1);
        match &self.0 {
            Workers::None => lead(),
            Workers::Threads(_) => std::thread::scope(|scope| {
                for _ in 0..helpers {
                    let (helper, help) = (finished.helper(), &help);
                    let builder = std::thread::Builder::new().name("waxseal".to_owned());
                    // Where the system has no thread to give, there are fewer.
                    if builder.spawn_scoped(scope, move || help(helper)).is_err() {
                        break;
                    }
                }
                lead()
            }),
            #[cfg(feature = "rayon")]
            Workers::Pool(pool) => pool.in_place_scope(|scope| {
                for _ in 0..helpers {
                    let (helper, help) = (finished.helper(), &help);
                    scope.spawn(move |_| help(helper));
                }
                lead()
            }),
        }
    }
}

/// Jobs to be handed out, each once and numbered from 0.
struct Queue<I> {
    jobs: Mutex<(usize, I)>,
    is_stopped: AtomicBool,
}

impl<I: Iterator> Queue<I> {
    fn new(jobs: I) -> Self {
        Queue {
            jobs: Mutex::new((0, jobs)),
            is_stopped: AtomicBool::new(false),
        }
    }

    fn next(&self) -> Option<(usize, I::Item)> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return None;
        }
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let (handed_out, jobs) = &mut *jobs;
        let job = jobs.next()?;
        *handed_out += 1;
        Some((*handed_out - 1, job))
    }

    fn handed_out(&self) -> usize {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What helpers have finished. The standard library's channels would do, and
/// take longer to compile than the rest of this file.
struct Finished<R> {
    state: Mutex<FinishedState<R>>,
    changed: Condvar,
}

struct FinishedState<R> {
    results: Vec<(usize, R)>,
    helpers: usize,
}

impl<R> Default for Finished<R> {
    fn default() -> Self {
        Finished {
            state: Mutex::new(FinishedState {
                results: Vec::new(),
                helpers: 0,
            }),
            changed: Condvar::new(),
        }
    }
}

impl<R> Finished<R> {
    fn lock(&self) -> MutexGuard<'_, FinishedState<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One helper more, from now on: not only once he works.
    fn helper(&self) -> Helper<'_, R> {
        self.lock().helpers += 1;
        Helper(self)
    }

    /// Moves the results that are there.
    fn take(&self, to: &mut Vec<(usize, R)>) {
        to.append(&mut self.lock().results);
    }

    /// The same, and waits for one; `false` when there is no helper from whom
    /// one could come.
    fn wait(&self, to: &mut Vec<(usize, R)>) -> bool {
        let nothing_yet =
            |state: &mut FinishedState<R>| state.results.is_empty() && state.helpers > 0;
        let waited = self.changed.wait_while(self.lock(), nothing_yet);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let some = !state.results.is_empty();
        to.append(&mut state.results);
        some
    }
}

/// Counts as one for as long as it lives.
struct Helper<'a, R>(&'a Finished<R>);

impl<R> Helper<'_, R> {
    fn give(&self, number: usize, result: R) {
        self.0.lock().results.push((number, result));
        self.0.changed.notify_one();
    }
}

impl<R> Drop for Helper<'_, R> {
    fn drop(&mut self) {
        self.0.lock().helpers -= 1;
        self.0.changed.notify_one();
    }
}

struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asked once: it reads files.
fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, Into::into))
}

impl fmt::Debug for Parallelism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Workers::None => f.write_str("Parallelism::none()"),
            Workers::Threads(count) => write!(f, "Parallelism::threads({count})"),
            #[cfg(feature = "rayon")]
            Workers::Pool(pool) => {
                write!(f, "Parallelism::pool({})", pool.current_num_threads())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn long_frames_are_shared_too() {
        let two = Parallelism::threads(2);
        for frame_length in [4096, 64 << 10, 512 << 10, MIB, 2 * MIB] {
            let piece = two.piece(frame_length, usize::MAX).unwrap();
            assert!(piece <= LARGEST_PIECE);
            // One may wait for its rest, one for what follows it.
            let frames = piece / frame_length - 2;
            assert!(two.splits(frames, frame_length), "{frame_length}");
        }
        assert!(two.splits(2, 16 * MIB));
        assert!(!two.splits(1, 16 * MIB));
        assert!(!two.splits(127, 4096));
        assert!(two.splits(128, 4096));
        assert!(!Parallelism::none().splits(1 << 20, 4096));
        assert_eq!(Parallelism::none().piece(4096, usize::MAX), None);
    }

    #[test]
    fn long_runs_have_longer_shares() {
        let two = Parallelism::threads(2);
        let bytes = |length, are_hashed| {
            let shares = two.shares(length / 4096, 4096, are_hashed);
            assert!(shares.count * shares.each * 4096 >= length);
            shares.each * 4096
        };
        assert_eq!(bytes(MIB, false), SHARE);
        assert_eq!(bytes(4 * MIB, false), 2 * SHARE);
        assert_eq!(bytes(100 * MIB, false), LONG_SHARE);
        assert_eq!(bytes(100 * MIB, true), SHARE);
        assert_eq!(two.shares(100, 16 * MIB, false).each, 1);
        assert_eq!(two.shares(100, 4096, false).count, 1);
    }

    #[test]
    fn a_piece_is_no_longer_than_may_be_buffered() {
        let two = Parallelism::threads(2);
        assert_eq!(two.piece(4096, MIB), Some(MIB));
        assert_eq!(two.piece(4096, 1), Some(CHUNK));
        let many = Parallelism(Workers::Threads(usize::MAX));
        assert!(many.piece(usize::MAX, usize::MAX) <= Some(LARGEST_PIECE));
    }

    #[test]
    fn no_job_is_begun_after_it_was_broken_off() {
        let begun = AtomicUsize::new(0);
        let work = |_| {
            begun.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(1));
        };
        let two = Parallelism::threads(2);
        let broken = two.in_order(0..2000, 2000, &work, &mut |()| ControlFlow::Break(()));
        assert!(broken.is_break());
        assert!(begun.load(Ordering::Relaxed) < 2000);
    }

    /// A helper that panics is one from whom nothing comes any more: it is not
    /// waited for, and his panic goes on in the caller.
    #[test]
    fn a_panic_is_not_waited_for() {
        let two = Parallelism::threads(2);
        let calling = std::thread::current().id();
        let work = |_| {
            std::thread::sleep(Duration::from_millis(1));
            assert_eq!(std::thread::current().id(), calling, "on purpose");
        };
        let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| {
            two.in_order(
                0..200,
                200,
                &work,
                &mut |()| ControlFlow::<()>::Continue(()),
            )
        }));
        assert!(panicked.is_err());
    }

    #[test]
    fn no_more_threads_than_processors() {
        assert!(Parallelism::threads(1000).helpers() < processors().max(2));
    }
}
