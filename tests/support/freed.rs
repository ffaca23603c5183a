//! An allocator that keeps what is freed, and the secrets to look for in it.
//!
//! While a thread watches, its freed blocks are set aside as they are, and
//! really freed only when the test has searched them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeSet;

use waxseal::AlgorithmSuite;

use crate::support::craft::Craft;
use crate::support::providers::Fixed;

pub(crate) struct Keeping;

/// How many blocks one watch can keep.
const CAPACITY: usize = 1 << 16;

#[derive(Clone, Copy)]
struct Block {
    start: *mut u8,
    layout: Layout,
}

/// Where the watching thread notes its blocks; `None` when it does not watch.
#[derive(Clone, Copy)]
struct Log {
    blocks: *mut Block,
    length: usize,
}

thread_local! {
    static LOG: Cell<Option<Log>> = const { Cell::new(None) };
}

/// Notes a block instead of freeing it; `false` if nobody watches.
fn keep(start: *mut u8, layout: Layout) -> bool {
    let kept = LOG.try_with(|log| {
        let Some(mut now) = log.get() else {
            return false;
        };
        if now.length == CAPACITY {
            // A panic would allocate.
            std::process::abort();
        }
        // SAFETY: `watch` made room for CAPACITY blocks, and only this thread
        // writes to them.
        unsafe { now.blocks.add(now.length).write(Block { start, layout }) };
        now.length += 1;
        log.set(Some(now));
        true
    });
    kept.unwrap_or(false)
}

// SAFETY: every block comes from the system's allocator and goes back to it,
// at once or when `Freed` is dropped; while one is kept nobody else has it.
unsafe impl GlobalAlloc for Keeping {
    // Zeroed, so that a block never holds what an earlier user of its memory
    // left there.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !keep(block, layout) {
            // SAFETY: the caller's promises are passed on.
            unsafe { System.dealloc(block, layout) }
        }
    }

    // The default `realloc` allocates, copies and calls `dealloc`, which is
    // what a moving one leaves behind at worst.
}

/// The blocks that were freed during a watch.
pub(crate) struct Freed(Vec<Block>);

/// Runs this, and keeps all that it frees.
pub(crate) fn watch<T>(run: impl FnOnce() -> T) -> (T, Freed) {
    /// Also where `run` panics.
    struct Stop;

    impl Drop for Stop {
        fn drop(&mut self) {
            LOG.set(None);
        }
    }

    let mut blocks = Vec::with_capacity(CAPACITY);
    wipe_stack();
    let stop = Stop;
    LOG.set(Some(Log {
        blocks: blocks.as_mut_ptr(),
        length: 0,
    }));
    let value = run();
    let length = LOG.get().map_or(0, |log| log.length);
    drop(stop);
    // SAFETY: `keep` has written so many, within the capacity.
    unsafe { blocks.set_len(length) };
    (value, Freed(blocks))
}

/// Overwrites what the test itself left on the stack below: the needles. What
/// is moved from the stack to the heap carries gaps along that nobody wrote to.
#[inline(never)]
fn wipe_stack() {
    std::hint::black_box(&mut [0u8; 64 * 1024]);
}

impl Freed {
    fn blocks(&self) -> impl Iterator<Item = &[u8]> {
        // SAFETY: the blocks are kept, nobody writes to them, and all of each
        // was zeroed before it was first used.
        let bytes =
            |block: &Block| unsafe { std::slice::from_raw_parts(block.start, block.layout.size()) };
        self.0.iter().map(bytes)
    }
}

impl Freed {
    /// Whether the block that starts here was freed.
    #[allow(dead_code)] // reason: not every test file asks
    pub(crate) fn has(&self, start: usize) -> bool {
        self.0.iter().any(|block| block.start as usize == start)
    }
}

impl Drop for Freed {
    fn drop(&mut self) {
        for block in &self.0 {
            // SAFETY: the block was to be freed with this layout, and was not.
            unsafe { System.dealloc(block.start, block.layout) }
        }
    }
}

/// Repeated, so that any 15 bytes of plaintext hold it, and any 8 a rotation.
const PATTERN: [u8; 8] = *b"\xf1PLA1N\xf7\x1e";

pub(crate) fn plaintext(length: usize) -> Vec<u8> {
    PATTERN.iter().copied().cycle().take(length).collect()
}

/// Every eight bytes of each secret.
pub(crate) struct Secrets(Vec<(&'static str, [u8; 8])>);

impl Secrets {
    pub(crate) fn none() -> Self {
        Secrets(Vec::new())
    }

    pub(crate) fn of_plaintext() -> Self {
        Self::none().and("plaintext", &plaintext(15))
    }

    pub(crate) fn and(mut self, name: &'static str, secret: &[u8]) -> Self {
        let windows = secret.windows(8);
        self.0
            .extend(windows.map(|window| (name, window.try_into().expect("eight bytes"))));
        self
    }

    /// A data key, and what is derived from it for this message.
    pub(crate) fn and_keys(self, suite: AlgorithmSuite, data_key: &[u8], message: &[u8]) -> Self {
        let start = if suite.commits() { 3 } else { 4 };
        let mut craft = Craft::new(suite);
        craft.data_key = data_key.to_vec();
        craft.message_id = message[start..start + craft.message_id.len()].to_vec();
        self.and("data key", data_key)
            .and("derived key", &craft.derived().0)
    }

    /// The parts that were left behind.
    fn left_in(&self, freed: &Freed) -> BTreeSet<(&'static str, [u8; 8])> {
        let mut starts = [false; 256];
        for (_, secret) in &self.0 {
            starts[usize::from(secret[0])] = true;
        }
        let mut left = BTreeSet::new();
        for window in freed.blocks().flat_map(|block| block.windows(8)) {
            if starts[usize::from(window[0])] {
                left.extend(self.0.iter().filter(|(_, secret)| secret == window));
            }
        }
        left
    }

    #[track_caller]
    pub(crate) fn are_gone(&self, freed: &Freed, what: &str) {
        assert!(freed.blocks().count() > 0, "{what}: nothing was freed");
        if let Some((name, _)) = self.left_in(freed).first() {
            panic!("{what}: the {name} was left behind");
        }
    }
}

#[test]
fn what_is_left_behind_is_found() {
    let secrets = Secrets::of_plaintext().and("data key", &Fixed::data_key(32));
    let ((), freed) = watch(|| drop(plaintext(100)));
    assert_eq!(secrets.left_in(&freed).len(), 8);
    let ((), freed) = watch(|| drop(Fixed::data_key(32)));
    assert_eq!(secrets.left_in(&freed).len(), 25);
    // Growing leaves the old block behind.
    let mut grown = plaintext(100);
    let ((), freed) = watch(|| grown.reserve_exact(1000));
    assert_eq!(secrets.left_in(&freed).len(), 8);
    // What is still there is not found, nor what was there earlier.
    let (block, freed) = watch(|| Vec::<u8>::with_capacity(1100));
    assert_eq!(secrets.left_in(&freed).len(), 0);
    drop(grown);
    let ((), freed) = watch(|| drop(block));
    assert_eq!(secrets.left_in(&freed).len(), 0);
}
