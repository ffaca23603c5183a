//! An allocator that counts on demand.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use crate::Contender;

/// Counts while [`Counting::count`] runs, and otherwise costs one load, so that
/// it may stay in place while times are measured. For one thread.
pub struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// What was allocated; growing an allocation counts as one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// How often.
    pub calls: usize,
    /// How many bytes.
    pub bytes: usize,
}

impl Counting {
    /// Counts what `run` allocates.
    pub fn count<T>(run: impl FnOnce() -> T) -> Allocated {
        CALLS.store(0, Relaxed);
        BYTES.store(0, Relaxed);
        ON.store(true, Relaxed);
        std::hint::black_box(run());
        ON.store(false, Relaxed);
        Allocated {
            calls: CALLS.load(Relaxed),
            bytes: BYTES.load(Relaxed),
        }
    }
}

/// As many as the library's, all of the average size, and all of them there at
/// once.
pub fn as_many_allocations(allocated: Allocated) -> Contender<'static, ()> {
    let size = allocated.bytes / allocated.calls.max(1);
    Contender::new("as many allocations", move |(): &mut ()| {
        let mut kept = [const { Vec::<u8>::new() }; 64];
        for place in kept.iter_mut().take(allocated.calls) {
            *place = Vec::with_capacity(size);
        }
        kept
    })
}

fn note(bytes: usize) {
    if ON.load(Relaxed) {
        CALLS.fetch_add(1, Relaxed);
        BYTES.fetch_add(bytes, Relaxed);
    }
}

#[allow(unsafe_code)] // reason: the trait is unsafe; each call goes to the system's as it came
// SAFETY: the system's allocator does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
