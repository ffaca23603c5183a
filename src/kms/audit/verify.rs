//! The verifier.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::checkpoint::{AuditNotice, Checkpoint};
use super::key::AuditPublicKey;
use super::line::{AuditHead, Hash, Kind, Line, MAX_LINE, NOTHING};
use super::report::{AuditFinding, AuditPlace, AuditProblem, AuditReport};
use super::sink::AuditError;
use crate::crypto::CryptoBackend;

/// How many findings, and how many notices, a report holds.
const MAX_LISTED: usize = 100;

/// Verifies the files of a trail, oldest first, in little memory: see
/// [the module](super) for what it finds and what it cannot.
///
/// ```no_run
/// use waxseal::kms::audit::{AuditFile, AuditVerifier};
///
/// let mut verifier = AuditVerifier::new();
/// for file in AuditFile::files("/var/log/app/audit.jsonl")? {
///     verifier.file(file)?;
/// }
/// let report = verifier.finish();
/// for finding in &report.findings {
///     println!("{finding}");
/// }
/// # Ok::<(), waxseal::kms::audit::AuditError>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct AuditVerifier {
    backend: CryptoBackend,
    kept: Option<AuditHead>,
    pinned: Vec<AuditPublicKey>,
    report: AuditReport,
    next: Next,
    /// Up to which line something vouches for the lines.
    anchored: u64,
    /// What is known of the line of the head that was given.
    kept_is: Kept,
    /// Events since the last checkpoint, and how many there may be.
    since: u64,
    every: Option<u64>,
    /// Whether a checkpoint was there, or what may have been one.
    has_checkpoint: bool,
}

/// Which line is due.
#[derive(Debug)]
enum Next {
    /// Whichever comes: only some of the files are given.
    Any,
    Line {
        seq: u64,
        /// What it must follow: two hashes where the line before was changed,
        /// its own and the one that it should have; none where it was no line.
        prev: Vec<Hash>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    NotSeen,
    Seen,
    /// There is another line of its number.
    Other,
}

impl Default for AuditVerifier {
    fn default() -> Self {
        Self::new()
    }
}

impl AuditVerifier {
    /// Nothing is known but what is in the files.
    pub fn new() -> Self {
        AuditVerifier {
            backend: CryptoBackend::default(),
            kept: None,
            pinned: Vec::new(),
            report: AuditReport::default(),
            next: Next::Line {
                seq: 1,
                prev: vec![NOTHING],
            },
            anchored: 0,
            kept_is: Kept::NotSeen,
            since: 0,
            every: None,
            has_checkpoint: false,
        }
    }

    /// A head that was kept elsewhere: the trail must contain it.
    pub fn head(mut self, head: AuditHead) -> Self {
        self.kept = Some(head);
        self
    }

    /// A key that may sign checkpoints; any other one is a finding. Without
    /// any, all must be signed with the same key as the first, whichever that
    /// is.
    pub fn public_key(mut self, key: AuditPublicKey) -> Self {
        self.pinned.push(key);
        self
    }

    /// The first files may be missing: the trail begins where they begin.
    pub fn partial(mut self) -> Self {
        self.next = Next::Any;
        self
    }

    /// Reads the next file.
    ///
    /// # Errors
    /// When it cannot be read. What is wrong with it is a finding.
    pub fn file(&mut self, path: impl AsRef<Path>) -> Result<(), AuditError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(AuditError::io(path, "opened"))?;
        self.read(&path.display().to_string(), file)
            .map_err(AuditError::io(path, "read"))
    }

    /// Reads the next file from anywhere.
    ///
    /// # Errors
    /// The reader's.
    pub fn read(&mut self, name: &str, reader: impl Read) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(64 * 1024, reader);
        let mut line = Vec::new();
        let mut number = 0u64;
        loop {
            let end = read_line(&mut reader, &mut line)?;
            if end == End::Nothing {
                return Ok(());
            }
            number = number.saturating_add(1);
            let place = AuditPlace {
                file: name.to_owned(),
                line: number,
            };
            self.report.lines = self.report.lines.saturating_add(1);
            match end {
                End::Whole => self.line(place, &line),
                End::Torn => self.no_line(place, AuditProblem::Torn),
                _ => self.no_line(place, AuditProblem::TooLong),
            }
        }
    }

    /// The report.
    pub fn finish(mut self) -> AuditReport {
        let end = self.report.head.map_or(0, |head| head.seq);
        let whole = |problem| AuditFinding {
            place: None,
            problem,
        };
        if self.report.lines == 0 {
            self.found(whole(AuditProblem::Empty));
        } else if self.report.first == Some(1) && !self.has_checkpoint {
            self.found(whole(AuditProblem::NoFirstCheckpoint));
        }
        if let Some(kept) = self.kept {
            let problem = match self.kept_is {
                Kept::Seen => None,
                Kept::Other => Some(AuditProblem::OtherHead(kept.seq)),
                Kept::NotSeen if kept.seq > end => Some(AuditProblem::CutOff {
                    end,
                    head: kept.seq,
                }),
                Kept::NotSeen => Some(AuditProblem::HeadNotCovered(kept.seq)),
            };
            match problem {
                Some(problem) => self.found(whole(problem)),
                None => self.anchored = self.anchored.max(kept.seq),
            }
        }
        let start = self.report.first.map_or(0, |first| first.saturating_sub(1));
        self.report.unanchored = end.saturating_sub(self.anchored.max(start));
        self.report
    }

    fn found(&mut self, finding: AuditFinding) {
        if self.report.findings.len() < MAX_LISTED {
            self.report.findings.push(finding);
        } else {
            self.report.more_findings = self.report.more_findings.saturating_add(1);
        }
    }

    fn found_at(&mut self, place: &AuditPlace, problem: AuditProblem) {
        self.found(AuditFinding {
            place: Some(place.clone()),
            problem,
        });
    }

    /// Something stands where a line is due.
    fn no_line(&mut self, place: AuditPlace, problem: AuditProblem) {
        self.found_at(&place, problem);
        self.has_checkpoint = true;
        if let Next::Line { seq, prev } = &mut self.next {
            *seq = seq.saturating_add(1);
            prev.clear();
        }
    }

    fn line(&mut self, place: AuditPlace, bytes: &[u8]) {
        let Some(line) = Line::parse(bytes) else {
            return self.no_line(place, AuditProblem::Malformed);
        };
        let computed = line.computed(&self.backend);
        if computed != line.hash {
            self.no_line(place, AuditProblem::Changed);
            // The next line may follow what this one says or what it is.
            if let Next::Line { prev, .. } = &mut self.next {
                prev.extend([line.hash, computed]);
            }
            return;
        }
        let Some(kind) = line.kind() else {
            return self.no_line(place, AuditProblem::Malformed);
        };
        if self.is_in_place(&place, &line) {
            self.take(&place, &line, kind);
        }
    }

    /// Whether it goes on with the trail, here or after a gap.
    fn is_in_place(&mut self, place: &AuditPlace, line: &Line<'_>) -> bool {
        let problem = match &self.next {
            Next::Any => None,
            Next::Line { seq, .. } if line.seq > *seq => Some(AuditProblem::Missing {
                expected: *seq,
                found: line.seq,
            }),
            Next::Line { seq, .. } if line.seq < *seq => Some(AuditProblem::OutOfOrder {
                expected: *seq,
                found: line.seq,
            }),
            Next::Line { prev, .. } if prev.is_empty() || prev.contains(&line.prev) => None,
            Next::Line { .. } => Some(AuditProblem::Unlinked),
        };
        let Some(problem) = problem else {
            return true;
        };
        let stays = !matches!(problem, AuditProblem::OutOfOrder { .. });
        self.found_at(place, problem);
        stays
    }

    fn take(&mut self, place: &AuditPlace, line: &Line<'_>, kind: Kind) {
        let head = AuditHead {
            seq: line.seq,
            hash: line.hash,
        };
        if self.report.first.is_none() {
            self.report.first = Some(line.seq);
            self.begin(line);
        }
        self.next = Next::Line {
            seq: line.seq.saturating_add(1),
            prev: vec![line.hash],
        };
        self.report.head = Some(head);
        if let Some(kept) = self.kept.filter(|kept| kept.seq == line.seq) {
            self.kept_is = match (self.kept_is, kept == head) {
                (Kept::NotSeen, true) => Kept::Seen,
                _ => Kept::Other,
            };
        }
        match kind {
            Kind::Record => self.event(place),
            Kind::Checkpoint => self.checkpoint(place, line),
            Kind::Notice => match AuditNotice::parse(line) {
                Some(notice) if self.report.notices.len() < MAX_LISTED => {
                    self.report.notices.push((place.clone(), notice));
                }
                Some(_) => {
                    self.report.more_notices = self.report.more_notices.saturating_add(1);
                }
                None => self.found_at(place, AuditProblem::Malformed),
            },
        }
    }

    fn begin(&mut self, line: &Line<'_>) {
        // The head is the line before the first of these.
        let before = AuditHead {
            seq: line.seq.saturating_sub(1),
            hash: line.prev,
        };
        if let Some(kept) = self.kept.filter(|kept| kept.seq == before.seq) {
            self.kept_is = if kept == before {
                Kept::Seen
            } else {
                Kept::Other
            };
        }
    }

    fn event(&mut self, place: &AuditPlace) {
        self.report.events = self.report.events.saturating_add(1);
        self.since = self.since.saturating_add(1);
        if self.report.first == Some(1) && !self.has_checkpoint {
            self.has_checkpoint = true;
            self.found_at(place, AuditProblem::NoFirstCheckpoint);
        }
        if self.every.is_some_and(|every| self.since > every) {
            self.every = None;
            self.found_at(place, AuditProblem::CheckpointOverdue);
        }
    }

    fn checkpoint(&mut self, place: &AuditPlace, line: &Line<'_>) {
        self.has_checkpoint = true;
        let Some(checkpoint) = Checkpoint::verify(&self.backend, line) else {
            return self.found_at(place, AuditProblem::BadSignature);
        };
        let key = checkpoint.public_key;
        let known = &self.report.public_keys;
        let is_good = match self.pinned.is_empty() {
            true => known.is_empty() || known.contains(&key),
            false => self.pinned.contains(&key),
        };
        if !is_good {
            return self.found_at(place, AuditProblem::ForeignKey(key));
        }
        if !known.contains(&key) {
            self.report.public_keys.push(key);
        }
        self.report.checkpoints = self.report.checkpoints.saturating_add(1);
        self.anchored = line.seq;
        self.since = 0;
        self.every = Some(checkpoint.every);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Nothing,
    Whole,
    Torn,
    TooLong,
}

/// Reads a line without its end; what is too long is passed over.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<End> {
    line.clear();
    let mut is_too_long = false;
    loop {
        let available = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        if available.is_empty() {
            return Ok(match (is_too_long, line.is_empty()) {
                (true, _) => End::TooLong,
                (false, true) => End::Nothing,
                (false, false) => End::Torn,
            });
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = available
            .get(..end.unwrap_or(available.len()))
            .unwrap_or_default();
        is_too_long |= line.len() + part.len() >= MAX_LINE;
        if !is_too_long {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        match end {
            Some(_) if is_too_long => return Ok(End::TooLong),
            Some(_) => return Ok(End::Whole),
            None => {}
        }
    }
}
