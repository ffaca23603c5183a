//! A plain model of a data-key cache: the specification's rules as this library
//! keeps them, and what the Python SDK does otherwise, each by its name.

use std::fmt;

use waxseal::AlgorithmSuite;

use crate::trace::{Limits, Line, Operation, Pairs, TICKS, Trace};

/// Where the Python SDK is meant to answer otherwise than this library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    FirstInFirstOut,
    CachesDecryptionWithoutKeyDerivation,
    ValidAtMaxAge,
    LeavesOutMaxBytes,
    LooksUpAboveMaxBytes,
}

impl Difference {
    pub(crate) const ALL: [Difference; 5] = [
        Difference::FirstInFirstOut,
        Difference::CachesDecryptionWithoutKeyDerivation,
        Difference::ValidAtMaxAge,
        Difference::LeavesOutMaxBytes,
        Difference::LooksUpAboveMaxBytes,
    ];

    /// What Python does, and why this library does not.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Difference::FirstInFirstOut => {
                "evicts first in, first out, although it is documented as LRU; \
                 the specification wants the least recently used evicted"
            }
            Difference::CachesDecryptionWithoutKeyDerivation => {
                "caches decryption without key derivation; \
                 the specification says never to cache such a suite"
            }
            Difference::ValidAtMaxAge => {
                "still hits at an age of exactly max_age; \
                 in the specification an entry is valid while it is younger"
            }
            Difference::LeavesOutMaxBytes => {
                "does not store a data key whose first message has exactly max_bytes; \
                 in the specification the limit is what may be encrypted"
            }
            Difference::LooksUpAboveMaxBytes => {
                "looks up and charges a request above max_bytes, so that the old entry goes; \
                 here it passes the cache by, as it can never be served from it"
            }
        }
    }
}

/// The differences that apply: none for this library, all for Python.
///
/// Not here, since it cannot show in a trace of one caller: Python drops
/// expired encryption entries when it stores or removes one, ten at a time,
/// where this library drops them all when it needs the room. All entries live
/// equally long, so that the first in are the first to expire, and whichever
/// way they go, those that are valid stay the same. Its identifiers have no
/// commitment policy and no expected pairs: in a trace both follow from the
/// rest of the identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules<'a>(pub(crate) &'a [Difference]);

impl Rules<'_> {
    pub(crate) const OURS: Rules<'static> = Rules(&[]);
    pub(crate) const PYTHON: Rules<'static> = Rules(&Difference::ALL);

    fn has(self, difference: Difference) -> bool {
        self.0.contains(&difference)
    }
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Hit,
    Miss,
    Bypass,
}

impl Outcome {
    pub(crate) const ALL: [Outcome; 3] = [Outcome::Hit, Outcome::Miss, Outcome::Bypass];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Outcome::Hit => "hit",
            Outcome::Miss => "miss",
            Outcome::Bypass => "bypass",
        }
    }

    pub(crate) fn provider_calls(self) -> u64 {
        u64::from(self != Outcome::Hit)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The outcome of each line.
pub(crate) fn replay(trace: &Trace, rules: Rules<'_>) -> Vec<Outcome> {
    let mut model = Model {
        rules,
        limits: trace.limits,
        now: 0,
        entries: Vec::new(),
        messages: Vec::new(),
        data_keys: 0,
    };
    trace.lines.iter().map(|line| model.step(line)).collect()
}

/// By what an entry is found.
#[derive(Clone, PartialEq)]
enum Identifier {
    Encryption {
        partition: Option<&'static str>,
        /// Unnamed is not the same as the default named.
        suite: Option<AlgorithmSuite>,
        context: Pairs,
    },
    Decryption {
        partition: Option<&'static str>,
        /// Stands for its encrypted form, and so for suite and context.
        data_key: u64,
    },
}

struct Entry {
    identifier: Identifier,
    created: u64,
    data_key: u64,
    messages: u64,
    bytes: u128,
}

/// What a decryption needs of the line it refers to.
#[derive(Clone, Copy)]
struct Message {
    partition: Option<&'static str>,
    data_key: u64,
    derives_key: bool,
}

struct Model<'a> {
    rules: Rules<'a>,
    limits: Limits,
    now: u64,
    /// The first is evicted first.
    entries: Vec<Entry>,
    /// One for each line so far; a decrypt line has none.
    messages: Vec<Option<Message>>,
    data_keys: u64,
}

impl Model<'_> {
    fn step(&mut self, line: &Line) -> Outcome {
        self.now = line.ticks;
        match &line.operation {
            Operation::Encrypt {
                context,
                suite,
                bytes,
            } => {
                let derives_key = suite.is_none_or(AlgorithmSuite::derives_key);
                let identifier = Identifier::Encryption {
                    partition: line.partition,
                    suite: *suite,
                    context: context.clone(),
                };
                let (outcome, data_key) = self.encrypt(identifier, derives_key, *bytes);
                self.messages.push(Some(Message {
                    partition: line.partition,
                    data_key,
                    derives_key,
                }));
                outcome
            }
            Operation::Decrypt { of } => {
                let message = self.messages[*of].expect("an encrypt line");
                self.messages.push(None);
                self.decrypt(message, line.partition.or(message.partition))
            }
        }
    }

    fn encrypt(
        &mut self,
        identifier: Identifier,
        derives_key: bool,
        bytes: Option<u64>,
    ) -> (Outcome, u64) {
        let max_bytes = self.limits.max_bytes();
        let looks_up =
            |bytes| bytes <= max_bytes || self.rules.has(Difference::LooksUpAboveMaxBytes);
        let Some(bytes) = bytes.filter(|bytes| derives_key && looks_up(*bytes)) else {
            return (Outcome::Bypass, self.new_data_key());
        };
        if let Some(at) = self.valid(&identifier) {
            let entry = &mut self.entries[at];
            // Charged before it is handed out.
            entry.messages += 1;
            entry.bytes += u128::from(bytes);
            let data_key = entry.data_key;
            if entry.messages <= self.limits.max_messages() && entry.bytes <= max_bytes.into() {
                self.used(at);
                return (Outcome::Hit, data_key);
            }
            self.entries.remove(at);
        }
        let data_key = self.new_data_key();
        let stored = match self.rules.has(Difference::LeavesOutMaxBytes) {
            true => bytes < max_bytes,
            false => bytes <= max_bytes,
        };
        if stored {
            self.insert(Entry {
                identifier,
                created: self.now,
                data_key,
                messages: 1,
                bytes: bytes.into(),
            });
        }
        (Outcome::Miss, data_key)
    }

    fn decrypt(&mut self, message: Message, partition: Option<&'static str>) -> Outcome {
        let Message { data_key, .. } = message;
        if !message.derives_key
            && !self
                .rules
                .has(Difference::CachesDecryptionWithoutKeyDerivation)
        {
            return Outcome::Bypass;
        }
        let identifier = Identifier::Decryption {
            partition,
            data_key,
        };
        if let Some(at) = self.valid(&identifier) {
            self.used(at);
            return Outcome::Hit;
        }
        self.insert(Entry {
            identifier,
            created: self.now,
            data_key,
            messages: 0,
            bytes: 0,
        });
        Outcome::Miss
    }

    fn new_data_key(&mut self) -> u64 {
        self.data_keys += 1;
        self.data_keys
    }

    fn is_valid(&self, entry: &Entry) -> bool {
        let (age, max_age) = (self.now - entry.created, self.limits.max_age * TICKS);
        age < max_age || (age == max_age && self.rules.has(Difference::ValidAtMaxAge))
    }

    /// Where the entry is. One that is too old goes.
    fn valid(&mut self, identifier: &Identifier) -> Option<usize> {
        let is_it = |entry: &Entry| entry.identifier == *identifier;
        let at = self.entries.iter().position(is_it)?;
        if !self.is_valid(&self.entries[at]) {
            self.entries.remove(at);
            return None;
        }
        Some(at)
    }

    fn used(&mut self, at: usize) {
        if !self.rules.has(Difference::FirstInFirstOut) {
            let entry = self.entries.remove(at);
            self.entries.push(entry);
        }
    }

    fn insert(&mut self, entry: Entry) {
        if self.entries.len() >= self.limits.capacity {
            let entries = std::mem::take(&mut self.entries);
            self.entries = entries
                .into_iter()
                .filter(|entry| self.is_valid(entry))
                .collect();
        }
        if self.entries.len() >= self.limits.capacity {
            self.entries.remove(0);
        }
        self.entries.push(entry);
    }
}
