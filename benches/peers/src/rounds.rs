//! Taking turns.

use std::time::Duration;

use crate::contender::{Contender, Who};
use crate::work::{Fallible, MIB, Operation};

/// A turn is as many messages as take about so long.
const TURN: Duration = Duration::from_millis(20);

/// How often each has its turn.
#[derive(Clone, Copy)]
pub(crate) struct Rounds {
    /// Where a message takes less than a turn.
    pub(crate) short: usize,
    pub(crate) long: usize,
}

impl Rounds {
    pub(crate) const FULL: Rounds = Rounds { short: 21, long: 9 };
    pub(crate) const QUICK: Rounds = Rounds { short: 7, long: 3 };
}

/// The contenders' times for one operation on one length, by round.
pub(crate) struct Measured {
    pub(crate) operation: Operation,
    pub(crate) length: usize,
    times: Vec<(Who, Vec<f64>)>,
}

impl Measured {
    /// Lets the contenders take turns.
    pub(crate) fn of(
        contenders: &mut [Box<dyn Contender>],
        operation: Operation,
        length: usize,
        rounds: Rounds,
    ) -> Fallible<Self> {
        let mut counts = Vec::new();
        for contender in contenders.iter_mut() {
            counts.push(messages_a_turn(contender.as_mut(), operation)?);
        }
        let rounds = match length {
            length if length < 8 * MIB => rounds.short,
            _ => rounds.long,
        };
        let mut times: Vec<_> = contenders
            .iter()
            .map(|contender| (contender.who(), Vec::new()))
            .collect();
        for round in 0..rounds {
            for turn in 0..contenders.len() {
                // Back and forth, so that none always comes after a certain
                // other.
                let who = match round % 2 {
                    0 => turn,
                    _ => contenders.len() - 1 - turn,
                };
                let took = contenders[who].turn(operation, counts[who])?;
                times[who]
                    .1
                    .push(took.as_secs_f64() / f64::from(counts[who]));
            }
        }
        Ok(Measured {
            operation,
            length,
            times,
        })
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Who> {
        self.times.iter().map(|(who, _)| *who)
    }

    fn rounds_of(&self, who: Who) -> Option<&[f64]> {
        let found = self.times.iter().find(|(other, _)| *other == who);
        found.map(|(_, times)| times.as_slice())
    }

    /// The median of seconds a message; `None` for who was not there.
    pub(crate) fn seconds(&self, who: Who) -> Option<f64> {
        self.rounds_of(who).map(|times| median(times.to_vec()))
    }

    /// MiB of plaintext a second.
    pub(crate) fn speed(&self, who: Who) -> Option<f64> {
        let seconds = self.seconds(who)?;
        Some(self.length as f64 / MIB as f64 / seconds)
    }

    /// How many times as fast as `other` it is: the median of the rounds'
    /// ratios.
    pub(crate) fn ratio(&self, who: Who, other: Who) -> Option<f64> {
        let pairs = self.rounds_of(who)?.iter().zip(self.rounds_of(other)?);
        Some(median(pairs.map(|(who, other)| other / who).collect()))
    }

    /// The fastest of those that this picks.
    pub(crate) fn fastest(&self, pick: impl Fn(Who) -> bool) -> Option<Who> {
        let speed = |who: &Who| self.speed(*who).unwrap_or_default();
        let picked = self.all().filter(|who| pick(*who));
        picked.max_by(|a, b| speed(a).total_cmp(&speed(b)))
    }
}

/// How many messages take about a turn. Found twice, as the first time may have
/// been long for another reason.
fn messages_a_turn(contender: &mut dyn Contender, operation: Operation) -> Fallible<u32> {
    let mut count = 1;
    for _ in 0..2 {
        while contender.turn(operation, count)? < TURN {
            count *= 2;
        }
    }
    Ok(count)
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
