//! What the benches share: ratios of things measured in one run, on a machine
//! that does other things too.
//!
//! Criterion gives the absolute times, one function after another. A ratio of
//! two of those says as much about what else ran meanwhile as about the code,
//! so that ratios are measured here: the contenders take turns, each turn lasts
//! milliseconds of this thread's processor time, which does not count while
//! others run, and the median of the turns' ratios is what counts.

#[cfg(feature = "backends")]
pub mod aead;
pub mod allocations;
pub mod bare;

use std::fmt;
use std::hint::black_box;
use std::pin::pin;
use std::sync::{Barrier, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use criterion::Criterion;

/// A turn shorter than this is mostly the clock's.
const TURN: Duration = Duration::from_millis(2);

/// One run of a bench: what the command line asks for.
pub struct Session {
    criterion: Criterion,
    depth: Depth,
    filter: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Full,
    Quick,
    /// Nothing is measured: Criterion lists its functions, or (without
    /// `cargo bench`) runs each once to see that it works.
    Nothing,
}

/// Something to measure, on state that all contenders share.
pub struct Contender<'a, S> {
    name: &'a str,
    run: Box<dyn FnMut(&mut S) + 'a>,
}

impl<'a, S> Contender<'a, S> {
    /// What `run` returns is kept from being optimised away; dropping it is
    /// part of what is measured.
    pub fn new<T>(name: &'a str, mut run: impl FnMut(&mut S) -> T + 'a) -> Self {
        Contender {
            name,
            run: Box::new(move |shared| {
                black_box(run(black_box(shared)));
            }),
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        self.name
    }

    fn turn(&mut self, clock: Clock, shared: &mut S, iterations: u64) -> Duration {
        let start = clock.now();
        for _ in 0..iterations {
            (self.run)(shared);
        }
        clock.now().saturating_sub(start)
    }

    /// How often it must run for a turn that is long enough. Twice, since the
    /// first may have been long for another reason.
    fn iterations(&mut self, clock: Clock, shared: &mut S) -> u64 {
        let mut iterations = 1;
        while (0..2).any(|_| self.turn(clock, shared, iterations) < TURN) {
            iterations *= 2;
        }
        iterations
    }
}

impl Session {
    /// Reads the command line, as Criterion does.
    pub fn from_args() -> Self {
        let mut arguments = std::env::args().skip(1).peekable();
        let (mut bench, mut quick, mut list, mut test) = (false, false, false, false);
        let mut filter = None;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => bench = true,
                "--quick" => quick = true,
                "--list" => list = true,
                "--test" => test = true,
                // An option's value, as in `--save-baseline main`.
                option if option.starts_with("--") && !option.contains('=') => {
                    arguments.next_if(|value| !value.starts_with('-'));
                }
                option if option.starts_with('-') => {}
                text => filter = Some(text.to_owned()),
            }
        }
        let depth = match (list || test || !bench, quick) {
            (true, _) => Depth::Nothing,
            (_, true) => Depth::Quick,
            _ => Depth::Full,
        };
        let criterion = Criterion::default()
            .without_plots()
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(1))
            .configure_from_args();
        Session {
            criterion,
            depth,
            filter,
        }
    }

    /// Whether anything is measured, and not just run or listed.
    pub fn measures(&self) -> bool {
        self.depth != Depth::Nothing
    }

    /// Whether the command line asks for this.
    pub fn wants(&self, name: &str) -> bool {
        let chosen = |filter: &String| name.contains(filter.as_str());
        self.filter.iter().all(chosen)
    }

    /// Lets the contenders take turns, in this thread's processor time. `None`
    /// where the command line leaves this out.
    pub fn measure<S>(
        &self,
        name: &str,
        shared: &mut S,
        contenders: &mut [Contender<'_, S>],
    ) -> Option<Measured> {
        self.measure_by(Clock::Processor, name, shared, contenders)
    }

    /// The same by another clock.
    pub fn measure_by<S>(
        &self,
        clock: Clock,
        name: &str,
        shared: &mut S,
        contenders: &mut [Contender<'_, S>],
    ) -> Option<Measured> {
        if !self.wants(name) {
            return None;
        }
        let (budget, least) = match self.depth {
            Depth::Full => (Duration::from_secs(3), 15),
            Depth::Quick => (Duration::from_millis(500), 7),
            Depth::Nothing => return None,
        };
        let iterations: Vec<u64> = contenders
            .iter_mut()
            .map(|contender| contender.iterations(clock, shared))
            .collect();
        let mut nanoseconds = vec![Vec::new(); contenders.len()];
        let start = Instant::now();
        for round in 0.. {
            if round >= least && start.elapsed() > budget {
                break;
            }
            for turn in 0..contenders.len() {
                // Back and forth, so that no contender is always the one that
                // comes after a certain other.
                let who = if round % 2 == 0 {
                    turn
                } else {
                    contenders.len() - 1 - turn
                };
                let took = contenders[who].turn(clock, shared, iterations[who]);
                let each = took.as_secs_f64() * 1e9 / iterations[who] as f64;
                nanoseconds[who].push(each);
            }
        }
        Some(Measured { nanoseconds })
    }

    /// Measures the contenders, prints each after the first against the first,
    /// and registers them.
    pub fn compare(&mut self, name: &str, contenders: &mut [Contender<'_, ()>], goal: Goal) {
        if let Some(measured) = self.measure(name, &mut (), contenders) {
            println!("{name}");
            for (index, contender) in contenders.iter().enumerate().skip(1) {
                let ratio = measured.ratio(index, 0);
                println!(
                    "  {} {:.0} ns, {} {:.0} ns, ratio {ratio}, {}",
                    contender.name(),
                    measured.time(index),
                    contenders[0].name(),
                    measured.time(0),
                    goal.verdict(ratio)
                );
            }
            println!();
        }
        self.register(name, &mut (), contenders);
    }

    /// Registers the contenders with Criterion, for absolute times and for
    /// comparing two commits.
    pub fn register<S>(&mut self, name: &str, shared: &mut S, contenders: &mut [Contender<'_, S>]) {
        let mut group = self.criterion.benchmark_group(name);
        for contender in contenders {
            group.bench_function(contender.name, |bencher| {
                bencher.iter(|| (contender.run)(shared));
            });
        }
        group.finish();
    }

    /// What Criterion prints when all is done.
    pub fn finish(self) {
        self.criterion.final_summary();
    }
}

/// A run's thread and its number on it.
type ThreadRun<'a> = &'a (dyn Fn(usize, u32) + Sync);

/// How much more two threads do than one, of each of these, against the gain of
/// the bare primitives. By the time that goes by, so that the machine must be
/// quiet.
pub fn gains<T>(
    name: &str,
    calls: u32,
    bare: impl Fn(usize, u32) -> T + Sync,
    contenders: &[(&str, ThreadRun<'_>)],
) {
    let bare = |thread, call| drop(black_box(bare(thread, call)));
    for (what, run) in contenders {
        let rounds: Vec<(f64, f64)> = (0..11)
            .map(|_| (gain(calls, run), gain(calls, &bare)))
            .collect();
        let spread = |pick: fn(&(f64, f64)) -> f64| Spread::of(rounds.iter().map(pick).collect());
        let ratio = spread(|(run, bare)| run / bare);
        println!("{name}, {what}");
        println!("  gain {}", spread(|(run, _)| *run));
        println!(
            "  gain of the bare primitives {}",
            spread(|(_, bare)| *bare)
        );
        println!("  ratio {ratio}, {}\n", Goal::AtLeast(0.9).verdict(ratio));
    }
}

/// The throughput of two threads over that of one.
fn gain(calls: u32, run: ThreadRun<'_>) -> f64 {
    let timed = |threads: usize| {
        let barrier = Barrier::new(threads);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|thread| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        let start = Instant::now();
                        for call in 0..calls {
                            run(thread, call);
                        }
                        start.elapsed()
                    })
                })
                .collect();
            let times = workers
                .into_iter()
                .map(|worker| worker.join().expect("ends"));
            times.max().unwrap_or_default()
        })
    };
    let (one, two) = (timed(1), timed(2));
    2.0 * one.as_secs_f64() / two.as_secs_f64()
}

/// Polls once: with a local provider, or a cached data key, nothing is waited
/// for.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it was not ready at once"),
    }
}

/// What a turn is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// This thread's processor time; the time that goes by, where the other is
    /// not to be had.
    Processor,
    /// The time that goes by: for what several threads do. The machine must be
    /// quiet.
    Wall,
}

impl Clock {
    fn now(self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        #[cfg(any(target_os = "linux", target_os = "macos"))]
        if self == Clock::Processor {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            return Duration::try_from(time).expect("not negative");
        }
        START.elapsed()
    }
}

/// The contenders' times, by round.
pub struct Measured {
    nanoseconds: Vec<Vec<f64>>,
}

impl Measured {
    /// The median time of one run, in nanoseconds.
    pub fn time(&self, contender: usize) -> f64 {
        Spread::of(self.nanoseconds[contender].clone()).median
    }

    /// The one of these contenders whose median is the least.
    pub fn fastest(&self, contenders: &[usize]) -> usize {
        let by_time = |a: &&usize, b: &&usize| self.time(**a).total_cmp(&self.time(**b));
        contenders
            .iter()
            .min_by(by_time)
            .copied()
            .unwrap_or_default()
    }

    /// The ratio of one contender's time to another's, over the rounds.
    pub fn ratio(&self, contender: usize, to: usize) -> Spread {
        let pairs = self.nanoseconds[contender].iter();
        let ratios = pairs.zip(&self.nanoseconds[to]).map(|(a, b)| a / b);
        Spread::of(ratios.collect())
    }
}

/// The least, the median and the greatest of some values.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The middle one.
    pub median: f64,
    /// The greatest.
    pub max: f64,
    /// How many there are.
    pub count: usize,
}

impl Spread {
    /// Those of these values.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Spread {
            min: at(0),
            median: at(count / 2),
            max: at(count.saturating_sub(1)),
            count,
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.3} (min {:.3}, max {:.3}, {} rounds)",
            self.median, self.min, self.max, self.count
        )
    }
}

/// What a ratio should be.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// Not less than this.
    AtLeast(f64),
    /// Not more than this.
    AtMost(f64),
}

impl Goal {
    /// Says what the goal is and whether the median meets it.
    pub fn verdict(self, ratio: Spread) -> String {
        let (sign, goal, met) = match self {
            Goal::AtLeast(goal) => ("≥", goal, ratio.median >= goal),
            Goal::AtMost(goal) => ("≤", goal, ratio.median <= goal),
        };
        format!("goal {sign} {goal}: {}", if met { "met" } else { "MISSED" })
    }
}
