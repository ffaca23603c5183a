//! What the verifier says.

use std::fmt;

use super::checkpoint::AuditNotice;
use super::key::AuditPublicKey;
use super::line::AuditHead;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPlace {
    /// The file, as it was given.
    pub file: String,
    /// The line, from 1 on.
    pub line: u64,
}

impl fmt::Display for AuditPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.file, self.line)
    }
}

/// Something that is wrong with a trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFinding {
    /// Where; `None` where it is about the trail as a whole.
    pub place: Option<AuditPlace>,
    /// What.
    pub problem: AuditProblem,
}

impl fmt::Display for AuditFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.problem),
            None => write!(f, "{}", self.problem),
        }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditProblem {
    /// The line is not what was written: its hash is another one.
    Changed,
    /// No line of a trail stands there.
    Malformed,
    /// Longer than any line that is written.
    TooLong,
    /// The file ends within a line.
    Torn,
    /// Lines are missing before this one.
    Missing {
        /// The number that was expected.
        expected: u64,
        /// The number that is there.
        found: u64,
    },
    /// The line has a number that was there before, or was expected before.
    OutOfOrder {
        /// The number that was expected.
        expected: u64,
        /// The number that is there.
        found: u64,
    },
    /// The line was written after another one than the one before it.
    Unlinked,
    /// A checkpoint's signature does not fit.
    BadSignature,
    /// A checkpoint is signed with another key than the given ones, or than the
    /// checkpoints before it.
    ForeignKey(AuditPublicKey),
    /// More events follow a checkpoint than its writer allows.
    CheckpointOverdue,
    /// The trail has no checkpoint, or an event stands before the first one.
    NoFirstCheckpoint,
    /// No line is there.
    Empty,
    /// The trail ends before the head that was given.
    CutOff {
        /// The last line's number.
        end: u64,
        /// The head's.
        head: u64,
    },
    /// The head's line is another one.
    OtherHead(u64),
    /// The trail begins after the head that was given.
    HeadNotCovered(u64),
}

impl fmt::Display for AuditProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("the line was changed: its hash does not fit"),
            Self::Malformed => {
                f.write_str("this is no line of a trail: it was changed or inserted")
            }
            Self::TooLong => f.write_str("the line is longer than any that is written"),
            Self::Torn => f.write_str(
                "the line has no end: the file was cut, or is being written, or the writer crashed",
            ),
            Self::Missing { expected, found } => write!(
                f,
                "lines are missing before this one: {expected} to {} were removed or moved",
                found - 1
            ),
            Self::OutOfOrder { expected, found } => write!(
                f,
                "the line {found} stands where {expected} is due: it was moved, repeated or \
                 inserted"
            ),
            Self::Unlinked => f.write_str(
                "the line does not follow the one before it: that one, or this one, was replaced \
                 or inserted",
            ),
            Self::BadSignature => f.write_str(
                "the checkpoint's signature does not fit: lines up to here were rewritten",
            ),
            Self::ForeignKey(key) => {
                write!(f, "the checkpoint is signed with another key: {key}")
            }
            Self::CheckpointOverdue => f.write_str(
                "a checkpoint is overdue: it was removed, or the lines were written by another \
                 program",
            ),
            Self::NoFirstCheckpoint => {
                f.write_str("the first checkpoint, with which a trail begins, is missing")
            }
            Self::Empty => f.write_str("there is no line"),
            Self::CutOff { end, head } => write!(
                f,
                "the trail ends with the line {end}, and the head is the line {head}: the end \
                 was cut off"
            ),
            Self::OtherHead(line) => write!(
                f,
                "the line {line} is not the one of the head: the trail was rewritten"
            ),
            Self::HeadNotCovered(line) => {
                write!(f, "the line {line} of the head is in none of these files")
            }
        }
    }
}

impl std::error::Error for AuditProblem {}

/// What the verifier found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditReport {
    /// What is wrong, in the order of the lines: the first hundred.
    pub findings: Vec<AuditFinding>,
    /// How many more findings there are.
    pub more_findings: u64,
    /// How many lines there are.
    pub lines: u64,
    /// How many of them are events.
    pub events: u64,
    /// How many of them are checkpoints whose signature fits.
    pub checkpoints: u64,
    /// What the trail says about itself: the first hundred.
    pub notices: Vec<(AuditPlace, AuditNotice)>,
    /// How many more notices there are.
    pub more_notices: u64,
    /// The number of the first line.
    pub first: Option<u64>,
    /// The last line.
    pub head: Option<AuditHead>,
    /// How many lines at the end nothing vouches for: they are after the last
    /// checkpoint, and after the head that was given. Whoever can write the
    /// file could have replaced them or cut some off.
    pub unanchored: u64,
    /// The keys that signed checkpoints, as far as they are taken for good.
    pub public_keys: Vec<AuditPublicKey>,
}

impl AuditReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::texts;

    #[test]
    fn each_problem() {
        // The base point, whose secret is 1.
        let key = "03aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a\
                   385502f25dbf55296c3a545e3872760ab7";
        let foreign = format!("the checkpoint is signed with another key: {key}");
        for (problem, text) in [
            (
                AuditProblem::Changed,
                "the line was changed: its hash does not fit",
            ),
            (
                AuditProblem::Malformed,
                "this is no line of a trail: it was changed or inserted",
            ),
            (
                AuditProblem::TooLong,
                "the line is longer than any that is written",
            ),
            (
                AuditProblem::Torn,
                "the line has no end: the file was cut, or is being written, or the writer crashed",
            ),
            (
                AuditProblem::Missing {
                    expected: 3,
                    found: 6,
                },
                "lines are missing before this one: 3 to 5 were removed or moved",
            ),
            (
                AuditProblem::OutOfOrder {
                    expected: 6,
                    found: 3,
                },
                "the line 3 stands where 6 is due: it was moved, repeated or inserted",
            ),
            (
                AuditProblem::Unlinked,
                "the line does not follow the one before it: that one, or this one, was replaced \
                 or inserted",
            ),
            (
                AuditProblem::BadSignature,
                "the checkpoint's signature does not fit: lines up to here were rewritten",
            ),
            (AuditProblem::ForeignKey(key.parse().unwrap()), &*foreign),
            (
                AuditProblem::CheckpointOverdue,
                "a checkpoint is overdue: it was removed, or the lines were written by another \
                 program",
            ),
            (
                AuditProblem::NoFirstCheckpoint,
                "the first checkpoint, with which a trail begins, is missing",
            ),
            (AuditProblem::Empty, "there is no line"),
            (
                AuditProblem::CutOff { end: 3, head: 6 },
                "the trail ends with the line 3, and the head is the line 6: the end was cut off",
            ),
            (
                AuditProblem::OtherHead(6),
                "the line 6 is not the one of the head: the trail was rewritten",
            ),
            (
                AuditProblem::HeadNotCovered(6),
                "the line 6 of the head is in none of these files",
            ),
        ] {
            assert_eq!(texts(&problem), [text]);
        }
    }
}
