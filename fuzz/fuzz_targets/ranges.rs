//! Random access through both readers: every read gives what the model finds
//! at its place and in a good message what one shot gives, or an error where
//! there is none; the readers agree, and no source makes them give anything
//! else.
#![no_main]

use std::fmt::Debug;
use std::io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use waxseal::blocking::SeekReader;
use waxseal::{EncryptionContext, Error, RangeReader, ReleaseMode, UnverifiedHeader};
use waxseal_fuzz::caller::{Caller, kind};
use waxseal_fuzz::model::{self, Kind, KnownSignature, Opened, Way, opened};
use waxseal_fuzz::places::Places;
use waxseal_fuzz::source::{Content, Fault, Source};
use waxseal_fuzz::steps::{Input, Made, Step, What};
use waxseal_fuzz::tape::read;

/// What buffers hold before the library writes to them.
const UNTOUCHED: u8 = 0xa5;

/// The longest buffer that is read into.
const LONGEST_BUFFER: u64 = 200_000;

/// The most that each reader asks for at once, or a frame and what stands
/// beside it.
const SEEK_MOST: u64 = 1 << 20;
const RANGE_MOST: u64 = 8 << 20;
const BESIDE: u64 = 4096;

/// Why a reader gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    Library(Kind),
    Io(ErrorKind),
    /// The source never answered.
    Dropped,
}

type Outcome<T> = Result<T, Failure>;

impl Failure {
    fn of(error: io::Error) -> Self {
        match error.downcast::<Error>() {
            Ok(error) => Failure::Library(kind(&error)),
            Err(error) => Failure::Io(error.kind()),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let input: Input = read(data);
    let made = input.make();
    let content = Arc::new(made.content.clone());
    let limit = made.caller.max_buffered as u64;
    let source = |most: u64| Source::new(&content, most.max(limit) + BESIDE);
    let (seekable, remote) = (source(SEEK_MOST), source(RANGE_MOST));
    let sources = [seekable.clone(), remote.clone()];
    let client = made.caller.async_client();
    let blocking = client.clone().blocking();
    let context = made.caller.context();
    if input.is_unverified {
        let seek = blocking.seek_reader_unverified(seekable, &context);
        let range = once(client.range_reader_unverified(remote, &context));
        let way = Way::RangesUnverified;
        opened_both(&input.steps, &made, way, seek, range, sources);
    } else {
        let seek = blocking.seek_reader(seekable, &context);
        let range = once(client.range_reader(remote, &context));
        opened_both(&input.steps, &made, Way::Ranges, seek, range, sources);
    }
});

/// What is ready at once; the rest is dropped.
fn once<T>(future: impl Future<Output = io::Result<T>>) -> Outcome<T> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(result) => result.map_err(Failure::of),
        Poll::Pending => Err(Failure::Dropped),
    }
}

/// Holds the headers' verdicts against the model's, and goes on with two good
/// readers.
fn opened_both<M: ReleaseMode>(
    steps: &[Step],
    made: &Made,
    way: Way,
    seek: io::Result<SeekReader<Source, M>>,
    range: Outcome<RangeReader<Source, M>>,
    sources: [Source; 2],
) {
    let seek = seek.map_err(Failure::of);
    let Content {
        versions, length, ..
    } = &made.content;
    let message = &versions[0];
    let is_all_there = *length <= message.len() as u64;
    let there = if is_all_there {
        &message[..*length as usize]
    } else {
        message
    };
    let expected = opened(there, &made.caller, way);
    let verdict = expected.as_ref().map(|_| ()).map_err(Clone::clone);
    let verdicts = [
        seek.as_ref().map(|_| ()).map_err(Clone::clone),
        range.as_ref().map(|_| ()).map_err(Clone::clone),
    ];
    let mut hits = Vec::new();
    for (source, found) in sources.iter().zip(&verdicts) {
        let is_hit = source.take_hits();
        match found {
            Ok(()) => assert!(verdict.is_ok() || is_hit.contains(&Fault::Flip)),
            Err(_) if !is_hit.is_empty() => {}
            Err(Failure::Library(Kind::Truncated)) if !is_all_there => {}
            Err(Failure::Library(kind)) => assert_eq!(Err(kind), verdict.as_ref()),
            Err(other) => panic!("{other:?}, and nothing was done to the source"),
        }
        hits.extend(is_hit);
    }
    assert!(
        !hits.is_empty() || verdicts[0] == verdicts[1],
        "{verdicts:?}"
    );
    let (Ok(mut seek), Ok(range), Ok(opened)) = (seek, range, expected) else {
        return;
    };
    for (header, length) in [
        (seek.header(), seek.source_length()),
        (range.header(), range.source_length()),
    ] {
        assert_eq!(header.header_length(), opened.header.length);
        assert_eq!(length, made.content.length);
    }
    for details in [seek.details(), range.details()] {
        assert_eq!(details.suite.id(), opened.header.suite.id);
        assert_eq!(details.message_id(), opened.header.message_id);
        assert_eq!(details.encrypted_data_key_index, opened.index);
    }
    let mut subject = Subject::new(made, opened, is_all_there);
    if is_all_there {
        subject.good_is_good(there, &made.caller, way, made.known.as_ref());
    }
    for step in steps {
        subject.step(step, &mut seek, &range, &sources);
    }
    assert_eq!(seek.stream_position().ok(), Some(subject.position));
}

/// What is known of the message that is read.
struct Subject<'a> {
    message: &'a [u8],
    caller: &'a Caller,
    context: EncryptionContext,
    opened: Opened,
    /// Of both versions.
    places: [Places; 2],
    length: u64,
    /// Whether all of the length that the source claims is there.
    is_all_there: bool,
    is_changed: bool,
    /// Whether one shot decrypts it.
    is_good: bool,
    /// Whether both readers have asked for the same so far, and got it: then
    /// they have the same open.
    is_in_step: bool,
    /// Where the seek reader stands.
    position: u64,
    has_tried_plan: bool,
}

impl<'a> Subject<'a> {
    fn new(made: &'a Made, opened: Opened, is_all_there: bool) -> Self {
        let Content {
            versions, length, ..
        } = &made.content;
        let places = |bytes: &[u8]| Places::find(&opened, bytes, *length);
        Subject {
            places: [places(&versions[0]), places(&versions[1])],
            message: &versions[0],
            context: made.caller.context(),
            caller: &made.caller,
            opened,
            length: *length,
            is_all_there,
            is_changed: false,
            is_good: false,
            is_in_step: true,
            position: 0,
            has_tried_plan: false,
        }
    }

    /// A frame's length, as steps count.
    fn frame_length(&self) -> u64 {
        self.opened.header.frame_length.map_or(16, u64::from)
    }

    fn step<M: ReleaseMode>(
        &mut self,
        step: &Step,
        seek: &mut SeekReader<Source, M>,
        range: &RangeReader<Source, M>,
        sources: &[Source; 2],
    ) {
        let from = step.from.of(self.frame_length());
        let length = step.length.of(self.frame_length());
        let place = match step.what() {
            What::ReadAt => {
                let length = length.min(LONGEST_BUFFER);
                let found = [
                    self.buffered(from, length, |out| {
                        seek.read_at(from, out).map_err(Failure::of)
                    }),
                    self.buffered(from, length, |out| once(range.read_at(from, out))),
                ];
                self.check_reads(from, length, &found, sources);
                return;
            }
            What::ReadRange => {
                let end = from.saturating_add(length);
                let found = [
                    seek.read_range(from..end).map_err(Failure::of),
                    once(range.read(from..end)),
                ];
                self.check_reads(from, end - from, &found, sources);
                self.check_plan(seek.header(), from, end);
                return;
            }
            What::ReadOn => {
                self.read_on(length.min(LONGEST_BUFFER), seek, range, sources);
                return;
            }
            What::VerifyLength => {
                let found = [
                    seek.verified_length().map_err(Failure::of),
                    once(range.verified_length()),
                ];
                self.check_lengths(&found, sources);
                return;
            }
            What::Change => {
                sources.iter().for_each(Source::change);
                self.is_changed = true;
                return;
            }
            What::SeekStart => SeekFrom::Start(from),
            What::SeekCurrent | What::SeekEnd => {
                let distance = i64::try_from(from).unwrap_or(i64::MAX);
                let is_back = step.length.frames % 2 == 1;
                let distance = if is_back { -distance } else { distance };
                match step.what() {
                    What::SeekEnd => SeekFrom::End(distance),
                    _ => SeekFrom::Current(distance),
                }
            }
        };
        self.seek(place, seek, range, sources);
    }

    fn seek<M: ReleaseMode>(
        &mut self,
        to: SeekFrom,
        seek: &mut SeekReader<Source, M>,
        range: &RangeReader<Source, M>,
        sources: &[Source; 2],
    ) {
        let found = seek.seek(to).map_err(Failure::of);
        let base = match to {
            SeekFrom::Start(place) => Ok(place),
            SeekFrom::Current(_) => Ok(self.position),
            SeekFrom::End(distance) => {
                // It says where the end is, or nothing.
                let end = match &found {
                    Ok(place) => place.checked_add_signed(-distance),
                    Err(Failure::Io(ErrorKind::InvalidInput)) => seek.verified_length().ok(),
                    Err(_) => None,
                };
                let found = match (&found, end) {
                    (_, Some(end)) => Ok(end),
                    (Err(failure), None) => Err(failure.clone()),
                    (Ok(place), None) => panic!("{place} is {distance} from no end"),
                };
                self.check_lengths(&[found.clone(), once(range.verified_length())], sources);
                found
            }
        };
        let sought = base.and_then(|base| {
            let distance = match to {
                SeekFrom::Start(_) => 0,
                SeekFrom::Current(distance) | SeekFrom::End(distance) => distance,
            };
            let sought = base.checked_add_signed(distance);
            sought.ok_or(Failure::Io(ErrorKind::InvalidInput))
        });
        assert_eq!(found, sought);
        self.position = sought.unwrap_or(self.position);
        assert_eq!(seek.stream_position().ok(), Some(self.position));
    }

    /// Reads where the seek reader stands, and the same with the other one.
    fn read_on<M: ReleaseMode>(
        &mut self,
        length: u64,
        seek: &mut SeekReader<Source, M>,
        range: &RangeReader<Source, M>,
        sources: &[Source; 2],
    ) {
        let at = self.position;
        let found = self.buffered(at, length, |out| seek.read(out).map_err(Failure::of));
        // How much comes at once is the reader's to say, but for nothing.
        self.is_in_step = false;
        let wanted = match &found {
            Ok(bytes) if !bytes.is_empty() => bytes.len() as u64,
            _ => length.min(1),
        };
        let other = self.buffered(at, wanted, |out| once(range.read_at(at, out)));
        self.position += found.as_ref().map_or(0, |bytes| bytes.len() as u64);
        self.check_reads(at, wanted, &[found, other], sources);
    }

    /// Reads into a buffer, in which nothing else may be left.
    fn buffered(
        &self,
        offset: u64,
        length: u64,
        read: impl FnOnce(&mut [u8]) -> Outcome<usize>,
    ) -> Outcome<Vec<u8>> {
        let mut out = vec![UNTOUCHED; length as usize];
        let found = read(&mut out);
        let filled = *found.as_ref().unwrap_or(&0);
        for (index, byte) in out.iter().enumerate().skip(filled) {
            let is_right = |places: &Places| {
                let place = offset.checked_add(index as u64);
                let piece = place.and_then(|place| places.piece(place));
                piece.is_some_and(|piece| piece[0] == *byte)
            };
            assert!(
                matches!(*byte, UNTOUCHED | 0) || self.in_use().any(is_right),
                "what is not authentic is left in the buffer"
            );
        }
        out.truncate(filled);
        found.map(|_| out)
    }

    /// The versions that the readers may have seen.
    fn in_use(&self) -> impl Iterator<Item = &Places> {
        self.places[..=usize::from(self.is_changed)].iter()
    }

    fn check_reads(
        &mut self,
        offset: u64,
        length: u64,
        found: &[Outcome<Vec<u8>>; 2],
        sources: &[Source; 2],
    ) {
        let mut all_hits = Vec::new();
        for (found, source) in found.iter().zip(sources) {
            let hits = source.take_hits();
            if let Ok(bytes) = found {
                self.check_released(offset, length, bytes);
            }
            let expected = self.places[0].read(offset, length);
            self.check(
                found.as_ref().map_err(Clone::clone),
                expected.as_ref(),
                &hits,
            );
            all_hits.extend(hits);
        }
        self.check_agreement(&all_hits, found);
    }

    fn check_lengths(&mut self, found: &[Outcome<u64>; 2], sources: &[Source; 2]) {
        let mut all_hits = Vec::new();
        for (found, source) in found.iter().zip(sources) {
            let hits = source.take_hits();
            if let Ok(end) = found {
                let is_end = |places: &Places| places.ends.contains(end);
                assert!(self.in_use().any(is_end), "{end} is no end");
            }
            self.check(
                found.as_ref().map_err(Clone::clone),
                self.places[0].ends.first(),
                &hits,
            );
            all_hits.extend(hits);
        }
        self.check_agreement(&all_hits, found);
    }

    /// Of a source that is what it says, or of the same answers, the readers
    /// make the same.
    fn check_agreement<T: PartialEq + Debug>(&mut self, hits: &[Fault], found: &[Outcome<T>; 2]) {
        let is_same = match hits {
            [] => self.is_in_step || (self.is_all_there && !self.is_changed),
            // One of them cannot have these.
            hits => {
                self.is_in_step && !hits.contains(&Fault::Long) && !hits.contains(&Fault::Never)
            }
        };
        assert!(
            !is_same || found[0] == found[1],
            "the readers disagree: {found:?}"
        );
        self.is_in_step &= found.iter().all(Result::is_ok);
    }

    /// What came out is authentic, piece by piece, and ends early only at an
    /// end.
    fn check_released(&self, offset: u64, length: u64, bytes: &[u8]) {
        assert!(bytes.len() as u64 <= length);
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let pieces = self.in_use().filter_map(|places| places.piece(at));
            let fitting = pieces
                .map(|piece| &piece[..piece.len().min(rest.len())])
                .filter(|piece| rest.starts_with(piece))
                .map(<[u8]>::len);
            let Some(piece) = fitting.max() else {
                panic!("what is not authentic came out at {at}");
            };
            at += piece as u64;
            rest = &rest[piece..];
        }
        if (bytes.len() as u64) < length {
            let is_end = |places: &Places| places.is_end(at);
            assert!(self.in_use().any(is_end), "it ended early, at {at}");
        }
    }

    /// The outcome is the model's, if nothing was done to the source; what was
    /// done to it comes out.
    fn check<T: PartialEq + Debug>(
        &self,
        found: Outcome<&T>,
        expected: Option<&T>,
        hits: &[Fault],
    ) {
        match hits.first() {
            Some(Fault::Long) => {
                assert_eq!(found, Err(Failure::Io(ErrorKind::InvalidData)));
                return;
            }
            Some(Fault::Short) => {
                assert_eq!(found, Err(Failure::Library(Kind::Truncated)));
                return;
            }
            Some(Fault::Refused | Fault::Never) => {
                let failures = [Failure::Io(ErrorKind::ConnectionReset), Failure::Dropped];
                assert!(found.is_err_and(|found| failures.contains(&found)));
                return;
            }
            Some(Fault::Flip | Fault::Interrupted) => return,
            None => {}
        }
        if self.is_changed || !self.is_all_there || self.places[0].is_ambiguous() {
            return;
        }
        match (found, expected) {
            (Ok(found), Some(expected)) => assert!(found == expected, "other plaintext came out"),
            (Ok(_), None) => panic!("something came out where nothing is authentic"),
            (Err(Failure::Library(Kind::Buffer(needed))), _) => self.check_buffer(needed),
            (Err(found), Some(_)) => panic!("{found:?}, and all of it is authentic"),
            (Err(Failure::Library(kind)), None) => self.check_kind(&kind),
            (Err(found), None) => panic!("{found:?}, and nothing was done to the source"),
        }
    }

    /// More than the limit was needed.
    fn check_buffer(&self, needed: u64) {
        let limit = self.caller.max_buffered as u64;
        assert!(needed > limit);
        let is_needed = !self.is_good || self.places[0].longest() > limit;
        assert!(is_needed, "{needed}, and no frame is as long");
        match self.opened.header.frame_length {
            Some(frame_length) => assert!(needed <= frame_length.into()),
            None => assert!(needed < 1 << 36),
        }
    }

    /// An error of a frame's, that says of no authentic frame that it is none.
    fn check_kind(&self, kind: &Kind) {
        let number = match kind {
            Kind::FrameTag(number) => *number,
            Kind::Sequence { expected, found } => {
                assert_ne!(expected, found);
                *expected
            }
            Kind::Format(_) | Kind::Truncated | Kind::Trailing => return,
            other => panic!("{other:?} is no error of a frame's"),
        };
        let index = u64::from(number - 1);
        assert!(!self.places[0].frames.contains_key(&index));
    }

    /// If one shot decrypts the message, there are all its frames.
    fn good_is_good(
        &mut self,
        message: &[u8],
        caller: &Caller,
        way: Way,
        known: Option<&KnownSignature>,
    ) {
        let is_signed = self.opened.signing.is_some();
        let plaintext = if is_signed {
            // By the library it would be slow, and other targets do it.
            assert_eq!(way, Way::RangesUnverified);
            let reading = model::read(message, caller, Way::Whole, known);
            reading.alone(message).is_ok().then(|| reading.plaintext())
        } else {
            let decrypted = caller.client().decrypt(message, &self.context);
            decrypted.ok().map(|decrypted| decrypted.plaintext)
        };
        let Some(plaintext) = plaintext else {
            return;
        };
        self.is_good = true;
        let length = plaintext.len() as u64;
        assert!(self.places[0].ends.iter().eq([&length]));
        assert_eq!(self.places[0].read(0, u64::MAX), Some(plaintext));
        let header = waxseal::inspect(message).expect("a message");
        let foretold = header.plaintext_length(message.len() as u64);
        // A signature may be shorter or longer than most.
        assert!(is_signed || foretold == Some(length), "{foretold:?}");
    }

    /// The plan for a range covers it, and no more than is needed for it.
    fn check_plan(&mut self, header: &UnverifiedHeader, from: u64, end: u64) {
        let foretold = header.plaintext_length(self.length);
        assert!(foretold.is_none_or(|foretold| foretold < self.length));
        let places = &self.places[0];
        let plan = header.plan_range(from..end);
        let index = from / places.frame_length;
        if plan.frames.is_empty() {
            assert!(plan.message.is_empty() && plan.plaintext.is_empty());
            assert!(from == end || index >= u64::from(u32::MAX));
            return;
        }
        assert_eq!(plan.frames.start, index + 1);
        assert!(plan.plaintext.start <= from);
        assert!(plan.message.start >= header.header_length() as u64);
        if places.frame_length != u64::MAX {
            let count = plan.frames.end - plan.frames.start;
            assert_eq!(
                plan.plaintext.end - plan.plaintext.start,
                count * places.frame_length
            );
            // The final frame's head is longer, and a signature may follow it.
            let frames = count.saturating_mul(places.frame_length + 32);
            let footer = self.opened.signing.as_ref().map_or(0, |_| 2 + 104);
            let most = frames.saturating_add(8 + footer);
            assert!(plan.message.end - plan.message.start <= most);
        }
        let last = (end - 1) / places.frame_length;
        for (index, place) in places.frames.range(index..=last) {
            assert!(plan.frames.contains(&(index + 1)));
            assert!(plan.message.start <= place.message.start);
            assert!(plan.message.end >= place.message.end);
        }
        if let Some(expected) = places.read(from, end - from)
            && self.is_all_there
            && !std::mem::replace(&mut self.has_tried_plan, true)
        {
            self.plan_suffices(&plan.message, from, &expected);
        }
    }

    /// What is outside a plan is of no matter to a read within it.
    fn plan_suffices(&self, plan: &Range<u64>, from: u64, expected: &[u8]) {
        let mut message = self.message[..self.length as usize].to_vec();
        let header = self.opened.header.length;
        for (at, byte) in message.iter_mut().enumerate().skip(header) {
            if !plan.contains(&(at as u64)) {
                *byte ^= 0x55;
            }
        }
        let client = self.caller.client();
        let reader = client.seek_reader_unverified(Cursor::new(message), &self.context);
        let mut reader = reader.expect("the header is as it was");
        let mut out = vec![UNTOUCHED; expected.len()];
        match reader.read_at(from, &mut out).map_err(Failure::of) {
            Ok(length) => assert_eq!(out[..length], *expected),
            Err(Failure::Library(Kind::Buffer(needed))) => self.check_buffer(needed),
            Err(other) => panic!("{other:?} within a plan"),
        }
    }
}
