//! A message as the source of both readers of random access, and what somebody
//! does to it meanwhile.

use std::future::{pending, ready};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waxseal::{RangeSource, SourceFuture};

use crate::tape::{Coded, Tape};

/// What becomes of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Some bytes are missing at its end.
    Short,
    /// There are more. A [`Read`] cannot do this.
    Long,
    /// It is an error.
    Refused,
    /// It never comes. A [`Read`] gives an error instead.
    Never,
    /// A byte is changed.
    Flip,
    /// It comes with the second try, of a [`Read`].
    Interrupted,
}

const FAULTS: [Fault; 6] = [
    Fault::Short,
    Fault::Long,
    Fault::Refused,
    Fault::Never,
    Fault::Flip,
    Fault::Interrupted,
];

/// A fault, so many requests after the one before it.
#[derive(Clone, Debug, Default)]
pub struct Planned {
    pub after: u8,
    pub what: u8,
    pub by: u8,
}

impl Coded for Planned {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.byte(&mut self.after);
        tape.byte(&mut self.what);
        tape.byte(&mut self.by);
    }
}

/// What a source is made of.
#[derive(Clone, Debug)]
pub struct Content {
    /// The bytes, before and after somebody changes them.
    pub versions: [Vec<u8>; 2],
    /// What it says that its length is.
    pub length: u64,
    /// How many other bytes stand before the message, for a [`Seek`].
    pub base: u64,
    /// The most that one [`Read`] gives; 0 for all.
    pub piece: u8,
    pub faults: Vec<Planned>,
}

/// A source for one reader; clones are the same one.
#[derive(Clone, Debug)]
pub struct Source {
    content: Arc<Content>,
    /// The most bytes that may be asked for at once.
    most: u64,
    log: Arc<Mutex<Log>>,
    position: u64,
    /// What is being read.
    answer: Option<Answer>,
}

#[derive(Debug, Default)]
struct Log {
    is_changed: bool,
    requests: usize,
    hits: Vec<Fault>,
}

#[derive(Clone, Debug)]
struct Answer {
    fault: Option<Fault>,
    /// Bytes that are still to come.
    left: u64,
    /// Where a byte is changed.
    flip: Option<u64>,
}

impl Source {
    pub fn new(content: &Arc<Content>, most: u64) -> Self {
        Source {
            content: content.clone(),
            most,
            log: Arc::default(),
            position: content.base,
            answer: None,
        }
    }

    /// The other version from now on.
    pub fn change(&self) {
        let mut log = self.log();
        log.is_changed = !log.is_changed;
    }

    /// The faults since this was last asked, but for those that do no harm.
    pub fn take_hits(&self) -> Vec<Fault> {
        std::mem::take(&mut self.log().hits)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an answer for this range of the message, of which `is_able` says
    /// what can be wrong with it.
    fn begin(&self, range: Range<u64>, is_able: impl Fn(Fault) -> bool) -> Answer {
        assert!(
            !range.is_empty() && range.end <= self.content.length,
            "{range:?} is not in the source"
        );
        let length = range.end - range.start;
        assert!(length <= self.most, "{range:?} is too much at once");
        let mut log = self.log();
        let (mut at, now) = (0, log.requests);
        log.requests += 1;
        let planned = self.content.faults.iter().find(|planned| {
            at += usize::from(planned.after);
            at += 1;
            at - 1 == now
        });
        let fault = planned
            .map(|planned| FAULTS[usize::from(planned.what) % FAULTS.len()])
            .filter(|fault| is_able(*fault));
        log.hits
            .extend(fault.filter(|fault| *fault != Fault::Interrupted));
        let by = planned.map_or(0, |planned| u64::from(planned.by));
        Answer {
            fault,
            left: match fault {
                Some(Fault::Short) => length.saturating_sub(by.max(1)),
                Some(Fault::Long) => length + by.max(1),
                _ => length,
            },
            flip: (fault == Some(Fault::Flip)).then(|| range.start + by % length),
        }
    }

    /// At most so many bytes of the message from here on.
    fn message(&self, at: u64, most: u64, flip: Option<u64>) -> Vec<u8> {
        let version = &self.content.versions[usize::from(self.log().is_changed)];
        let start = at.min(version.len() as u64) as usize;
        let length = most.min((version.len() - start) as u64) as usize;
        let mut bytes = version[start..start + length].to_vec();
        let flipped = flip.and_then(|flip| bytes.get_mut(flip.checked_sub(at)? as usize));
        if let Some(byte) = flipped {
            *byte ^= 1;
        }
        bytes
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = match to {
            SeekFrom::Start(position) => position,
            SeekFrom::Current(0) => self.position,
            SeekFrom::End(0) => self.content.base + self.content.length,
            _ => panic!("{to:?}: no such seek is needed"),
        };
        self.answer = None;
        Ok(self.position)
    }
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let at = self.position.checked_sub(self.content.base);
        let at = at.expect("a place in the message");
        let mut answer = self
            .answer
            .take()
            .unwrap_or_else(|| self.begin(at..at + out.len() as u64, |fault| fault != Fault::Long));
        match answer.fault {
            Some(Fault::Refused | Fault::Never) => return Err(ErrorKind::ConnectionReset.into()),
            Some(Fault::Interrupted) => {
                answer.fault = None;
                self.answer = Some(answer);
                return Err(ErrorKind::Interrupted.into());
            }
            _ => {}
        }
        let piece = match self.content.piece {
            0 => out.len(),
            piece => out.len().min(piece.into()),
        };
        let bytes = self.message(at, answer.left.min(piece as u64), answer.flip);
        out[..bytes.len()].copy_from_slice(&bytes);
        answer.left -= bytes.len() as u64;
        self.answer = Some(answer);
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }
}

impl RangeSource for Source {
    fn length(&self) -> SourceFuture<'_, u64> {
        Box::pin(ready(Ok(self.content.length)))
    }

    fn read_range(&self, range: Range<u64>) -> SourceFuture<'_, Vec<u8>> {
        let at = range.start;
        let answer = self.begin(range, |fault| fault != Fault::Interrupted);
        match answer.fault {
            Some(Fault::Refused) => Box::pin(ready(Err(ErrorKind::ConnectionReset.into()))),
            Some(Fault::Never) => Box::pin(pending()),
            fault => {
                let mut bytes = self.message(at, answer.left, answer.flip);
                if fault == Some(Fault::Long) {
                    bytes.resize(answer.left as usize, 0);
                }
                Box::pin(ready(Ok(bytes)))
            }
        }
    }
}
