//! How much comparing one decision may take. Who writes a policy and who calls may
//! be the same, and patterns, variables and encryption contexts multiply: without
//! a bound, one request could keep a thread busy for hours.

use std::cell::Cell;

/// Bytes compared or copied: some hundredths of a second. A policy of 32 KiB
/// without variables and a context of 1 KiB take no more whatever they hold.
const MOST: u64 = 1 << 25;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(MOST) };
}

/// Begins a decision, which is made on this thread.
pub(super) fn begin() {
    LEFT.set(MOST);
}

/// Whether the decision took too much: what was compared since is not reliable.
pub(super) fn is_over() -> bool {
    LEFT.get() == 0
}

/// Does so much of it; false if that is too much.
pub(super) fn spend(bytes: usize) -> bool {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    let left = LEFT.get().saturating_sub(bytes);
    LEFT.set(left);
    left > 0
}
