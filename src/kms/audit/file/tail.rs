//! Where a trail ends: found again when it is opened, and read by whoever wants
//! its head.

use std::io;
use std::path::{Path, PathBuf};
use std::{fs, mem};

use super::super::checkpoint::TornBytes;
use super::super::line::{AuditHead, Kind, Line, MAX_LINE, number};
use super::super::sink::AuditError;
use super::disk::{Disk, Output, SystemDisk};
use crate::crypto::CryptoBackend;

const BLOCK: u64 = 64 * 1024;

/// The file, and those that it was rotated to before: `FILE.000001`, …
pub(super) struct Family {
    /// By number, rising.
    pub(super) rotated: Vec<(u64, PathBuf)>,
    /// The file itself, where it is there.
    pub(super) current: Option<PathBuf>,
}

impl Family {
    pub(super) fn find(path: &Path) -> Result<Self, AuditError> {
        let folder = folder(path);
        let entries = fs::read_dir(folder).map_err(AuditError::io(folder, "listed"))?;
        let mut family = Family {
            rotated: Vec::new(),
            current: None,
        };
        for entry in entries {
            let name = entry.map_err(AuditError::io(folder, "listed"))?.file_name();
            let own = path.file_name().unwrap_or_default();
            if name == own {
                family.current = Some(path.to_owned());
            }
            let number = name
                .as_encoded_bytes()
                .strip_prefix(own.as_encoded_bytes())
                .and_then(|rest| rest.strip_prefix(b"."))
                .and_then(rotation_number);
            if let Some(number) = number {
                family.rotated.push((number, path.with_file_name(name)));
            }
        }
        family.rotated.sort_unstable();
        Ok(family)
    }

    pub(super) fn paths(self) -> Vec<PathBuf> {
        let rotated = self.rotated.into_iter().map(|(_, path)| path);
        rotated.chain(self.current).collect()
    }
}

/// The folder of a file.
pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Six digits or more.
fn rotation_number(digits: &[u8]) -> Option<u64> {
    let significant = digits.iter().position(|digit| *digit != b'0')?;
    let rest = number(digits.get(significant..)?)?;
    (digits.len() == 6 || digits.len() > 6 && significant == 0).then_some(rest)
}

pub(super) fn rotated_path(path: &Path, number: u64) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{number:06}"));
    path.with_file_name(name)
}

/// How a file ends.
#[derive(Default)]
pub(super) struct Tail {
    /// The last whole line, and what it holds; `None` where there is none.
    pub(super) last: Option<(AuditHead, Kind)>,
    /// Up to where its lines are whole.
    pub(super) whole: u64,
    /// What is behind them.
    pub(super) torn: Option<TornBytes>,
}

impl Tail {
    pub(super) fn read(
        backend: &CryptoBackend,
        path: &Path,
        file: &mut dyn Output,
    ) -> Result<Self, AuditError> {
        let read = AuditError::io(path, "read");
        match Self::bytes(file).map_err(read)? {
            Bytes::TooLong => Err(AuditError::file(path, "ends with a line that is too long")),
            Bytes::Line(mut tail, line) => {
                if let Some(line) = line {
                    let line =
                        Line::parse(&line).filter(|line| line.computed(backend) == line.hash);
                    let last = line.and_then(|line| {
                        let Line { seq, hash, .. } = line;
                        Some((AuditHead { seq, hash }, line.kind()?))
                    });
                    tail.last = Some(last.ok_or_else(|| {
                        AuditError::file(
                            path,
                            "is damaged: its last whole line is no line of a trail",
                        )
                    })?);
                }
                Ok(tail)
            }
        }
    }

    fn bytes(file: &mut dyn Output) -> io::Result<Bytes> {
        let length = file.length()?;
        let whole = after_last_newline(file, length, 0)?;
        let mut tail = Tail {
            whole,
            ..Tail::default()
        };
        if whole < length {
            let torn = length - whole;
            let mut start =
                vec![0; TornBytes::KEPT.min(usize::try_from(torn).unwrap_or(usize::MAX))];
            file.read_at(whole, &mut start)?;
            tail.torn = Some(TornBytes {
                length: torn,
                start,
            });
        }
        let Some(end) = whole.checked_sub(1) else {
            return Ok(Bytes::Line(tail, None));
        };
        let least = whole.saturating_sub(MAX_LINE as u64);
        let begin = after_last_newline(file, end, least)?;
        if begin == least && least > 0 {
            return Ok(Bytes::TooLong);
        }
        // At most `MAX_LINE`.
        let mut line = vec![0; (end - begin) as usize];
        file.read_at(begin, &mut line)?;
        Ok(Bytes::Line(tail, Some(line)))
    }
}

enum Bytes {
    TooLong,
    Line(Tail, Option<Vec<u8>>),
}

/// The offset behind the last newline between `least` and `end`, or `least`.
fn after_last_newline(file: &mut dyn Output, end: u64, least: u64) -> io::Result<u64> {
    let mut block = Vec::new();
    let mut end = end;
    while end > least {
        let begin = end.saturating_sub(BLOCK).max(least);
        block.resize((end - begin) as usize, 0);
        file.read_at(begin, &mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(least)
}

/// How a whole trail ends: in the newest of its files that has a line.
pub(super) struct End {
    pub(super) head: AuditHead,
    /// Whether the last line is a checkpoint, or there is none at all.
    pub(super) is_signed: bool,
    /// How the file itself ends; nothing of it where it is not there.
    pub(super) current: Tail,
    pub(super) next_number: u64,
}

impl End {
    pub(super) fn find(
        backend: &CryptoBackend,
        disk: &dyn Disk,
        path: &Path,
    ) -> Result<Self, AuditError> {
        let family = Family::find(path)?;
        let last_number = family.rotated.last().map_or(0, |(number, _)| *number);
        let read = |path: &Path| {
            let mut file = disk.open(path).map_err(AuditError::io(path, "opened"))?;
            Tail::read(backend, path, &mut *file)
        };
        let mut current = match &family.current {
            Some(path) => read(path)?,
            None => Tail::default(),
        };
        let mut last = mem::take(&mut current.last);
        for (_, path) in family.rotated.iter().rev() {
            if last.is_some() {
                break;
            }
            let tail = read(path)?;
            if tail.torn.is_some() {
                return Err(AuditError::file(
                    path,
                    "ends within a line, and others follow it",
                ));
            }
            last = tail.last;
        }
        let (head, kind) = last.unwrap_or((AuditHead::START, Kind::Checkpoint));
        Ok(End {
            head,
            is_signed: kind == Kind::Checkpoint,
            current,
            next_number: last_number.saturating_add(1),
        })
    }
}

/// The files of a trail, oldest first.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, AuditError> {
    let paths = Family::find(path)?.paths();
    if paths.is_empty() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        return Err(AuditError::io(path, "opened")(missing));
    }
    Ok(paths)
}

/// The last line of a trail.
pub(super) fn head(path: &Path) -> Result<AuditHead, AuditError> {
    files(path)?;
    let end = End::find(&CryptoBackend::default(), &SystemDisk, path)?;
    if end.current.torn.is_some() {
        return Err(AuditError::file(
            path,
            "ends within a line: it is being written, or the writer crashed",
        ));
    }
    match end.head {
        AuditHead { seq: 0, .. } => Err(AuditError::file(path, "has no line yet")),
        head => Ok(head),
    }
}
