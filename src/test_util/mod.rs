//! For tests of code that uses this library, and of key providers (feature
//! `test-util`). Nothing here belongs into a program that protects anything.
//!
//! | to test | use |
//! |---|---|
//! | how often a provider is asked | [`CountingProvider`] |
//! | what happens when it fails | [`FailingProvider`] |
//! | what happens when it is slow, or several wait for it | [`DelayingProvider`] |
//! | what happens in a year | [`ManualClock`] |
//! | the very bytes that come out | [`SequentialRandom`], [`FixedRandom`] |
//! | what happens without randomness | [`FailingRandom`] |
//!
//! The providers wrap any other and each other, and are handles: keep a clone
//! of what is given to a client, and steer it or look at it from the test.

mod clock;
mod counting;
mod delaying;
mod failing;
mod random;
mod timer;

pub use clock::ManualClock;
pub use counting::{CallCounts, CountingProvider, ProviderCounts};
pub use delaying::{Delay, DelayingProvider};
pub use failing::FailingProvider;
pub use random::{FailingRandom, FixedRandom, SequentialRandom};
