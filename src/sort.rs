//! A sort that is compiled once: the standard library's is a lot of code, and
//! anew for each type and comparison.

use std::cmp::Ordering;

/// The numbers below `count` in the order that `compare` gives them, those that
/// it finds equal in any. Takes no more than `count` times its logarithm,
/// whoever has chosen what is compared.
pub(crate) fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_unstable_by(|a, b| compare(*a, *b));
    order
}
