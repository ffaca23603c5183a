//! Traces: what they say, and ones that are made from a seed.

use serde_json::json;
use waxseal::AlgorithmSuite;

use crate::model::Difference;

/// Times are counted in eighths of a second, which JSON and floating point have
/// exactly.
pub(crate) const TICKS: u64 = 8;

/// How many lines a trace has.
const LINES: usize = 400;
/// How many traces of one kind there are.
const SEEDS: u64 = 6;

/// An encryption context, sorted.
pub(crate) type Pairs = Vec<(&'static str, String)>;

pub(crate) struct Trace {
    pub(crate) name: String,
    pub(crate) limits: Limits,
    pub(crate) lines: Vec<Line>,
    /// Which differences may show, and no others.
    pub(crate) differences: &'static [Difference],
}

#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) capacity: usize,
    /// Seconds.
    pub(crate) max_age: u64,
    pub(crate) max_messages: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
}

impl Limits {
    pub(crate) fn max_messages(self) -> u64 {
        self.max_messages.unwrap_or(1 << 32)
    }

    pub(crate) fn max_bytes(self) -> u64 {
        self.max_bytes.unwrap_or(i64::MAX as u64)
    }

    /// Both programs' options.
    pub(crate) fn options(self) -> Vec<String> {
        let options = [
            ("--capacity", Some(self.capacity as u64)),
            ("--max-age", Some(self.max_age)),
            ("--max-messages", self.max_messages),
            ("--max-bytes", self.max_bytes),
        ];
        let given = options
            .into_iter()
            .filter_map(|(name, value)| Some([name.to_owned(), value?.to_string()]));
        given.flatten().collect()
    }
}

pub(crate) struct Line {
    pub(crate) ticks: u64,
    pub(crate) client: Option<&'static str>,
    pub(crate) partition: Option<&'static str>,
    pub(crate) operation: Operation,
}

pub(crate) enum Operation {
    Encrypt {
        context: Pairs,
        suite: Option<AlgorithmSuite>,
        /// `None`: unknown.
        bytes: Option<u64>,
    },
    Decrypt {
        of: usize,
    },
}

impl Line {
    pub(crate) fn json(&self) -> String {
        let mut line = json!({ "t": self.ticks as f64 / TICKS as f64 });
        if let Some(client) = self.client {
            line["client"] = client.into();
        }
        if let Some(partition) = self.partition {
            line["partition"] = partition.into();
        }
        match &self.operation {
            Operation::Encrypt {
                context,
                suite,
                bytes,
            } => {
                line["op"] = "encrypt".into();
                let pairs = context.iter().map(|(key, value)| (*key, value.as_str()));
                line["context"] = pairs.collect();
                if let Some(suite) = suite {
                    line["suite"] = format!("0x{:04x}", suite.id()).into();
                }
                line["bytes"] = (*bytes).into();
            }
            Operation::Decrypt { of } => {
                line["op"] = "decrypt".into();
                line["of"] = (*of).into();
            }
        }
        line.to_string()
    }
}

/// A kind of trace.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    differences: &'static [Difference],
    capacities: &'static [usize],
    /// Different contexts.
    tenants: u64,
    /// Seconds.
    max_ages: &'static [u64],
    /// Time goes on by so many ticks, or by none.
    steps: &'static [u64],
    max_messages: &'static [Option<u64>],
    max_bytes: &'static [Option<u64>],
    lengths: &'static [Length],
    suites: &'static [Suite],
    /// Of ten lines, how many decrypt.
    decrypts: u64,
    /// Whether messages without key derivation are decrypted.
    decrypts_without_key_derivation: bool,
    /// Whether the tenants come in turns, not at random.
    in_turns: bool,
}

#[derive(Clone, Copy)]
enum Length {
    Unknown,
    Zero,
    /// Up to an eighth of the limit, or 4096.
    Small,
    /// Up to the limit, which it is not.
    Below,
    OneBelow,
    AtLimit,
    Above,
}

#[derive(Clone, Copy)]
enum Suite {
    /// None is named.
    Unnamed,
    /// The one that is taken where none is named.
    Default,
    DerivesKey,
    NoKeyDerivation,
}

/// Both answer alike: there is room for all, no age is ever exactly `max_age`
/// (which is no multiple of a step), and each message is under `max_bytes`.
const ALIKE: Kind = Kind {
    name: "alike",
    differences: &[],
    capacities: &[10_000],
    tenants: 5,
    max_ages: &[7, 10, 20],
    steps: &[3],
    max_messages: &[None, Some(3), Some(10), Some(2), Some(30), Some(1)],
    max_bytes: &[None, Some(5000), Some(20_000)],
    lengths: &[Length::Small, Length::Small, Length::Small, Length::Zero],
    suites: &[
        Suite::Unnamed,
        Suite::Unnamed,
        Suite::Unnamed,
        Suite::Default,
    ],
    decrypts: 4,
    decrypts_without_key_derivation: false,
    in_turns: false,
};

const EVERY_SUITE: &[Suite] = &[
    Suite::Unnamed,
    Suite::Unnamed,
    Suite::Unnamed,
    Suite::Unnamed,
    Suite::Default,
    Suite::DerivesKey,
    Suite::NoKeyDerivation,
];

const KINDS: [Kind; 11] = [
    ALIKE,
    Kind {
        name: "alike-every-suite",
        suites: EVERY_SUITE,
        lengths: &[
            Length::Small,
            Length::Small,
            Length::Below,
            Length::OneBelow,
            Length::Unknown,
        ],
        ..ALIKE
    },
    // The least recently used is the first that came.
    Kind {
        name: "alike-in-turns",
        capacities: &[5, 6, 4, 5, 6],
        suites: &[Suite::Unnamed],
        decrypts: 0,
        in_turns: true,
        ..ALIKE
    },
    Kind {
        name: "evictions",
        differences: &[Difference::FirstInFirstOut],
        capacities: &[2, 3, 5, 8, 13, 21],
        suites: &[Suite::Unnamed],
        ..ALIKE
    },
    // Among what is evicted is much that has expired, and was used until then.
    Kind {
        name: "expired-first",
        differences: &[Difference::FirstInFirstOut],
        capacities: &[6, 8, 10, 12],
        tenants: 8,
        max_ages: &[1, 2, 4],
        max_messages: &[None],
        suites: &[Suite::Unnamed],
        decrypts: 2,
        ..ALIKE
    },
    Kind {
        name: "no-key-derivation",
        differences: &[Difference::CachesDecryptionWithoutKeyDerivation],
        suites: EVERY_SUITE,
        decrypts_without_key_derivation: true,
        ..ALIKE
    },
    Kind {
        name: "exactly-max-age",
        differences: &[Difference::ValidAtMaxAge],
        max_ages: &[1, 2, 5],
        steps: &[4, 8],
        ..ALIKE
    },
    Kind {
        name: "exactly-max-bytes",
        differences: &[Difference::LeavesOutMaxBytes],
        lengths: &[
            Length::AtLimit,
            Length::AtLimit,
            Length::Zero,
            Length::Zero,
            Length::Small,
            Length::OneBelow,
        ],
        ..ALIKE
    },
    Kind {
        name: "above-max-bytes",
        differences: &[Difference::LooksUpAboveMaxBytes],
        max_bytes: &[Some(1), Some(5000), Some(20_000)],
        lengths: &[
            Length::Small,
            Length::Small,
            Length::Small,
            Length::Above,
            Length::Unknown,
        ],
        ..ALIKE
    },
    Kind {
        name: "all-at-once",
        differences: &Difference::ALL,
        capacities: &[3, 5, 8, 13, 21, 34],
        max_ages: &[1, 2, 5, 10],
        steps: &[1, 3, 4, 8],
        max_bytes: &[Some(1), Some(5000), Some(20_000)],
        lengths: &[
            Length::Small,
            Length::Small,
            Length::Zero,
            Length::Below,
            Length::AtLimit,
            Length::Above,
            Length::Unknown,
        ],
        suites: EVERY_SUITE,
        decrypts_without_key_derivation: true,
        ..ALIKE
    },
    // Enough entries that Python does not look at all of them each time.
    Kind {
        name: "many-entries",
        differences: &Difference::ALL,
        capacities: &[30, 60],
        tenants: 50,
        max_ages: &[5, 10, 20],
        steps: &[1, 4],
        max_bytes: &[None, Some(20_000)],
        lengths: &[Length::Small, Length::Small, Length::AtLimit],
        suites: EVERY_SUITE,
        decrypts_without_key_derivation: true,
        ..ALIKE
    },
];

/// All of them.
pub(crate) fn all() -> Vec<Trace> {
    let made = KINDS.iter().enumerate().flat_map(|(index, kind)| {
        (0..SEEDS).map(move |seed| kind.trace(seed, index as u64 * SEEDS + seed))
    });
    made.collect()
}

impl Kind {
    fn trace(&self, number: u64, seed: u64) -> Trace {
        let mut random = Random(seed);
        // Each value in its turn, so that none is left out.
        let turn = number as usize;
        let limits = Limits {
            capacity: self.capacities[turn % self.capacities.len()],
            max_age: self.max_ages[turn % self.max_ages.len()],
            max_messages: self.max_messages[turn % self.max_messages.len()],
            max_bytes: self.max_bytes[turn % self.max_bytes.len()],
        };
        let mut ticks = random.below(100) * self.steps[0];
        let mut lines: Vec<Line> = Vec::new();
        // Those that may be decrypted.
        let mut encrypted = Vec::new();
        for index in 0..LINES {
            // Mostly a tie.
            let step = *random.one_of(self.steps);
            ticks += if random.below(4) == 0 { step } else { 0 };
            let operation = if encrypted.is_empty() || random.below(10) >= self.decrypts {
                let operation = self.encrypt(&mut random, index, limits);
                if let Operation::Encrypt { suite, .. } = &operation
                    && (self.decrypts_without_key_derivation
                        || suite.is_none_or(AlgorithmSuite::derives_key))
                {
                    encrypted.push(index);
                }
                operation
            } else {
                // A recent one mostly.
                let oldest = random.below(encrypted.len() as u64);
                let back = random.below(oldest + 1);
                let of = encrypted[encrypted.len() - 1 - back as usize];
                Operation::Decrypt { of }
            };
            // A decrypt line often has its encrypt line's.
            let partitions: &[_] = match operation {
                _ if self.in_turns => &[Some("p")],
                Operation::Encrypt { .. } => &[None, None, None, None, Some("p"), Some("q")],
                Operation::Decrypt { .. } => &[None, None, None, None, None, Some("p")],
            };
            lines.push(Line {
                ticks,
                client: *random.one_of(&[None, Some("a"), Some("b")]),
                partition: *random.one_of(partitions),
                operation,
            });
        }
        Trace {
            name: format!("{}-{number}", self.name),
            limits,
            lines,
            differences: self.differences,
        }
    }

    fn encrypt(&self, random: &mut Random, index: usize, limits: Limits) -> Operation {
        let tenant = match self.in_turns {
            true => index as u64 % self.tenants,
            // The first ones are the busiest.
            false => {
                let last = random.below(self.tenants);
                random.below(last + 1)
            }
        };
        let mut context = Vec::new();
        // The second tenant's context is the first's with a pair more.
        if tenant == 1 {
            context.push(("purpose", "backup".to_owned()));
        }
        // The last tenant's is empty.
        if tenant + 1 != self.tenants {
            context.push(("tenant", tenant.saturating_sub(1).to_string()));
        }
        let suite = match random.one_of(self.suites) {
            Suite::Unnamed => None,
            Suite::Default => Some(AlgorithmSuite::Aes256GcmHkdfSha512CommitKey),
            Suite::DerivesKey => Some(random.suite(true)),
            Suite::NoKeyDerivation => Some(random.suite(false)),
        };
        let max_bytes = limits.max_bytes();
        let bytes = match random.one_of(self.lengths) {
            Length::Unknown => None,
            Length::Zero => Some(0),
            Length::Small => Some(random.below((max_bytes / 8).min(4096) + 1)),
            Length::Below => Some(random.below(max_bytes)),
            Length::OneBelow => Some(max_bytes - 1),
            Length::AtLimit => Some(max_bytes),
            Length::Above => Some(max_bytes + 1 + random.below(max_bytes)),
        };
        Operation::Encrypt {
            context,
            suite,
            bytes,
        }
    }
}

/// Numbers that look random (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_of<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        &values[self.below(values.len() as u64) as usize]
    }

    fn suite(&mut self, derives_key: bool) -> AlgorithmSuite {
        loop {
            let suite = *self.one_of(&AlgorithmSuite::ALL);
            if suite.derives_key() == derives_key {
                return suite;
            }
        }
    }
}
