//! An audit trail, and what somebody who cannot sign makes of it.

use std::fs;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use waxseal::SecretBytes;
use waxseal::kms::audit::{
    AuditEvent, AuditFile, AuditHead, AuditId, AuditKey, AuditPublicKey, AuditSink,
};
use waxseal::test_util::ManualClock;

use crate::primitives::sha256;
use crate::splice::Splice;
use crate::tape::{Coded, Cuts, Tape};

/// How many events stand between two checkpoints.
pub const EVERY: u64 = 3;

/// What was written.
pub struct Trail {
    pub bytes: Vec<u8>,
    pub head: AuditHead,
    pub public_key: AuditPublicKey,
}

/// Ten events, the last of them after the last checkpoint.
pub static TRAIL: LazyLock<Trail> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("waxseal-fuzz-audit-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("audit");
    let key = AuditKey::new(&SecretBytes::from(vec![7; 48])).expect("a key");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000);
    let file = AuditFile::builder(&path, key)
        .checkpoint_every(EVERY)
        .clock(ManualClock::new(now))
        .open()
        .expect("a file");
    for number in 0..10 {
        let id = AuditId::from_bytes([number; 16]);
        let event = AuditEvent::new("Encrypt", now, id).with_region("eu-west-1");
        file.record(&event).expect("room");
    }
    let bytes = fs::read(&path).expect("a file");
    let trail = Trail {
        bytes,
        head: file.head(),
        public_key: file.public_key(),
    };
    drop(file);
    fs::remove_dir_all(&folder).expect("a folder");
    trail
});

/// What is done to it.
#[derive(Default)]
pub struct Input {
    /// Nothing of the trail is there, but the bytes.
    pub is_raw: bool,
    /// After the splices, all lines get hashes that fit.
    pub is_chained: bool,
    /// Lines are dropped, repeated and moved: from, to.
    pub moves: Vec<Move>,
    pub splices: Vec<Splice>,
    pub cuts: Cuts,
    pub bytes: Vec<u8>,
}

/// A line that is put elsewhere; whether it stays in its place too.
#[derive(Default)]
pub struct Move {
    from: u8,
    /// 255 is nowhere.
    to: u8,
    stays: bool,
}

impl Coded for Move {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.byte(&mut self.from);
        tape.byte(&mut self.to);
        tape.flag(&mut self.stays);
    }
}

impl Coded for Input {
    fn code(&mut self, tape: &mut impl Tape) {
        tape.flag(&mut self.is_raw);
        tape.flag(&mut self.is_chained);
        tape.list(&mut self.moves, 8);
        tape.list(&mut self.splices, 8);
        self.cuts.code(tape);
        tape.rest(&mut self.bytes);
    }
}

impl Move {
    pub fn new(from: u8, to: u8, stays: bool) -> Self {
        Move { from, to, stays }
    }
}

impl Input {
    /// The file that comes of it.
    pub fn file(&self) -> Vec<u8> {
        let mut bytes = match self.is_raw {
            true => self.bytes.clone(),
            false => moved(&TRAIL.bytes, &self.moves),
        };
        for splice in &self.splices {
            splice.apply(&mut bytes);
        }
        match self.is_chained {
            true => chained(&bytes),
            false => bytes,
        }
    }
}

fn moved(bytes: &[u8], moves: &[Move]) -> Vec<u8> {
    let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for Move { from, to, stays } in moves {
        if lines.is_empty() {
            break;
        }
        let from = usize::from(*from) % lines.len();
        let line = lines[from];
        if !stays {
            lines.remove(from);
        }
        if *to < u8::MAX {
            lines.insert(usize::from(*to) % (lines.len() + 1), line);
        }
    }
    lines.concat()
}

/// What stands in each line that has an envelope's length, in envelopes that
/// fit.
fn chained(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut prev = [0; 32];
    let payloads = bytes.split(|byte| *byte == b'\n').filter_map(payload);
    for (at, payload) in payloads.enumerate() {
        let seq = at as u64 + 1;
        let tag = b"waxseal audit line 1\n";
        let hash = sha256(&[&tag[..], &seq.to_be_bytes(), &prev, payload].concat());
        out.extend(format!("{{\"seq\":{seq},\"prev\":\"{}\",", hex(&prev)).bytes());
        out.extend(payload);
        out.extend(format!(",\"hash\":\"{}\"}}\n", hex(&hash)).bytes());
        prev = hash;
    }
    out
}

/// What is between the envelope's parts, if that is what they are.
pub fn payload(line: &[u8]) -> Option<&[u8]> {
    let prev = b",\"prev\":\"";
    let start = line.windows(prev.len()).position(|part| part == prev)?;
    let start = start + prev.len() + 64 + 2;
    let end = line.len().checked_sub(64 + 11)?;
    line.get(start..end)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chained_again_it_is_the_same() {
        assert_eq!(chained(&TRAIL.bytes), TRAIL.bytes);
        assert_eq!(Input::default().file(), TRAIL.bytes);
    }
}
