//! A read of 64 KiB at a random place of messages of 1 GiB and 10 GiB: opening,
//! reading and closing. What it costs must not depend on the message's length.
//!
//! The messages are not on the disk: of each only the frames that are read are
//! there, sealed once and then handed out, so that what is measured is the
//! reader.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use aes_gcm::aead::array::Array;
use aes_gcm::{Aes256Gcm, KeyInit};
use waxseal::EncryptionContext;
use waxseal::blocking::Client;
use waxseal_bench::bare::{self, BareMessage};
use waxseal_bench::{Contender, Goal, Session};

const GIB: u64 = 1 << 30;
const READ: usize = 64 * 1024;
/// How many places, taken in turn.
const PLACES: u64 = 64;

/// A message that is sealed where it is read.
struct Message {
    header: Vec<u8>,
    message_id: Vec<u8>,
    key: Aes256Gcm,
    frame_length: u64,
    plaintext_length: u64,
    frames: RefCell<HashMap<u64, Vec<u8>>>,
    reads: RefCell<Vec<usize>>,
}

impl Message {
    fn new(client: &Client, frame_length: u32, plaintext_length: u64) -> Self {
        let context = EncryptionContext::from([("tenant", "7")]);
        let message = client.encrypt(b"text", &context).expect("encrypts");
        let header = waxseal::inspect(&message).expect("a message");
        let message_id = header.message_id();
        let bare = BareMessage::new(&message, frame_length);
        let data_key = bare.wrapped.open(&bare::wrapping_key());
        let id = message_id.try_into().expect("version 2");
        let (key, _) = bare::derive(&data_key, &id);
        Message {
            header: message[..header.header_length()].to_vec(),
            message_id: message_id.to_vec(),
            key: Aes256Gcm::new(&Array(key)),
            frame_length: frame_length.into(),
            plaintext_length,
            frames: RefCell::default(),
            reads: RefCell::default(),
        }
    }

    fn last_frame(&self) -> u64 {
        (self.plaintext_length - 1) / self.frame_length
    }

    fn length(&self) -> u64 {
        let last = self.last_frame();
        self.header.len() as u64 + self.plaintext_length + 32 * last + 40
    }

    fn seal(&self, index: u64) -> Vec<u8> {
        let start = index * self.frame_length;
        let length = self.frame_length.min(self.plaintext_length - start);
        let number = u32::try_from(index + 1).expect("a number").to_be_bytes();
        let is_last = index == self.last_frame();
        let kind = if is_last { "Final Frame" } else { "Frame" };
        let aad = [
            &self.message_id[..],
            b"AWSKMSEncryptionClient ",
            kind.as_bytes(),
            &number,
            &length.to_be_bytes(),
        ]
        .concat();
        let mut iv = [0; bare::IV_LENGTH];
        iv[8..].copy_from_slice(&number);
        let mut content = vec![index as u8; length as usize];
        let tag = bare::seal(&self.key, iv, &aad, &mut content);
        let mut frame = Vec::new();
        if is_last {
            frame.extend([0xff; 4]);
        }
        frame.extend(number);
        frame.extend(iv);
        if is_last {
            frame.extend((length as u32).to_be_bytes());
        }
        frame.extend(content);
        frame.extend(tag);
        frame
    }

    fn read(&self, mut at: u64, mut out: &mut [u8]) {
        let header = self.header.len() as u64;
        let wire_length = self.frame_length + 32;
        while !out.is_empty() {
            let mut frames = self.frames.borrow_mut();
            let bytes = if at < header {
                &self.header[at as usize..]
            } else {
                let index = ((at - header) / wire_length).min(self.last_frame());
                let skipped = (at - header - index * wire_length) as usize;
                let frame = frames.entry(index).or_insert_with(|| self.seal(index));
                &frame[skipped..]
            };
            let length = bytes.len().min(out.len());
            let (now, later) = out.split_at_mut(length);
            now.copy_from_slice(&bytes[..length]);
            out = later;
            at += length as u64;
        }
    }
}

/// A stream over one.
struct Source<'a> {
    message: &'a Message,
    position: u64,
}

impl Read for Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.message.length().saturating_sub(self.position);
        let length = left.min(out.len() as u64) as usize;
        self.message.read(self.position, &mut out[..length]);
        self.message.reads.borrow_mut().push(length);
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = match to {
            SeekFrom::Start(position) => position,
            SeekFrom::Current(distance) => self.position.saturating_add_signed(distance),
            SeekFrom::End(distance) => self.message.length().saturating_add_signed(distance),
        };
        Ok(self.position)
    }
}

/// Opens the message and reads at one of the places.
fn read_at(client: &Client, message: &Message, turn: &mut u64, out: &mut [u8]) -> Range<u64> {
    let context = EncryptionContext::from([("tenant", "7")]);
    let place = (*turn % PLACES + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    *turn += 1;
    let place = place % (message.plaintext_length - READ as u64);
    let position = 0;
    let source = Source { message, position };
    let mut reader = client.seek_reader(source, &context).expect("opens");
    let length = reader.read_at(place, out).expect("reads");
    assert_eq!(length, out.len());
    place..place + length as u64
}

fn main() {
    let mut session = Session::from_args();
    for frame_length in [4096, 65_536] {
        let client = bare::client(frame_length, false).blocking();
        let short = Message::new(&client, frame_length, GIB);
        let long = Message::new(&client, frame_length, 10 * GIB);
        let mut out = vec![0; READ];
        let (mut reads, mut bytes) = (0, 0);
        for message in [&short, &long] {
            // Every place once: its frames are there from now on.
            for turn in 0..PLACES {
                message.reads.borrow_mut().clear();
                let range = read_at(&client, message, &mut turn.clone(), &mut out);
                let expected = range.map(|at| (at / u64::from(frame_length)) as u8);
                assert!(out.iter().copied().eq(expected), "another plaintext");
                let done = message.reads.borrow();
                reads = reads.max(done.len());
                bytes = bytes.max(done.iter().sum());
            }
        }
        let name = format!("64 KiB at a random place/{frame_length}");
        if session.wants(&name) {
            let verdict = |met| if met { "met" } else { "MISSED" };
            println!(
                "{name}: {reads} source reads at most, goal ≤ 3: {}; {bytes} bytes at most, \
                 goal < 204800: {}",
                verdict(reads <= 3),
                verdict(bytes < 200 * 1024)
            );
        }
        let (mut one, mut ten) = (0, 0);
        let mut other = out.clone();
        let mut contenders = [
            Contender::new("1 GiB", |_: &mut ()| {
                short.reads.borrow_mut().clear();
                read_at(&client, &short, &mut one, &mut out)
            }),
            Contender::new("10 GiB", |_: &mut ()| {
                long.reads.borrow_mut().clear();
                read_at(&client, &long, &mut ten, &mut other)
            }),
        ];
        session.compare(&name, &mut contenders, Goal::AtMost(1.2));
    }
    session.finish();
}
