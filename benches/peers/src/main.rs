//! This library, with its data-key cache and without, against the official
//! Rust and Python SDKs on the same messages: `run.sh` beside this builds it,
//! installs the Python SDK, and prints the table.
//!
//! All take turns in one run, in processor time, so that the ratios hold on a
//! machine that does other things too.

mod contenders;
mod python;

use std::time::Duration;

use contenders::{AwsEsdk, Contender, Fallible, Waxseal};
use python::Python;
use waxseal::{AlgorithmSuite, ContentLayout, inspect};

/// A turn is as many messages as take about so long.
const TURN: Duration = Duration::from_millis(40);
const ROUNDS: usize = 21;
const FRAME_LENGTH: u32 = 4096;
const CONTEXT: [(&str, &str); 2] = [("tenant", "7"), ("purpose", "backup")];
const NAMESPACE: &str = "bench";
const KEY_NAME: &str = "key-1";
const KEY: [u8; 32] = [0x5a; 32];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Encrypt,
    Decrypt,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Encrypt => "encrypt",
            Operation::Decrypt => "decrypt",
        }
    }
}

/// What all of them do alike.
struct Work {
    what: &'static str,
    plaintext: Vec<u8>,
    /// What all of them decrypt, so that all find the same frames.
    message: Vec<u8>,
}

fn main() -> Fallible<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(python), Some(script)) = (arguments.next(), arguments.next()) else {
        return Err("usage: waxseal-peers PYTHON SCRIPT".into());
    };
    let plain = Waxseal::uncached()?;
    let works = [("16 bytes", 16), ("64 KiB", 65_536)]
        .into_iter()
        .map(|(what, length)| {
            let plaintext: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let message = plain.message(&plaintext)?;
            Ok(Work {
                what,
                plaintext,
                message,
            })
        })
        .collect::<Fallible<Vec<_>>>()?;
    // The first is what the others are compared with.
    let mut contenders: Vec<Box<dyn Contender>> = vec![
        Box::new(Waxseal::cached()?),
        Box::new(plain),
        Box::new(AwsEsdk::new()?),
        Box::new(Python::start(&python, &script)?),
    ];

    println!("| | | µs a message | MiB/s | its time to the first's |");
    println!("|---|---|--:|--:|--:|");
    for work in &works {
        for contender in &mut contenders {
            check(contender.as_mut(), work)?;
        }
        for operation in [Operation::Encrypt, Operation::Decrypt] {
            measure(&mut contenders, operation, work)?;
        }
    }
    println!();
    println!(
        "Medians of {ROUNDS} rounds in turns, processor time of one thread. Suite 0x0478, frames of \
         {FRAME_LENGTH} bytes, a context of two pairs, one raw AES key of 32 bytes."
    );
    Ok(())
}

/// That its message is what is asked for, and that it reads the others'.
fn check(contender: &mut dyn Contender, work: &Work) -> Fallible<()> {
    contender.prepare(work)?;
    let message = contender.sample()?;
    let header = inspect(&message)?;
    let context: Vec<_> = header.context().iter().collect();
    let mut expected = CONTEXT;
    expected.sort();
    let layout = ContentLayout::Framed {
        frame_length: FRAME_LENGTH,
    };
    let alike = header.suite() == AlgorithmSuite::Aes256GcmHkdfSha512CommitKey
        && header.layout() == layout
        && context == expected
        && header.encrypted_data_keys().len() == 1
        && Waxseal::uncached()?.open(&message)? == work.plaintext;
    match alike {
        true => Ok(()),
        false => Err(format!("{} does other work: {header:?}", contender.name()).into()),
    }
}

/// Prints a row for each.
fn measure(
    contenders: &mut [Box<dyn Contender>],
    operation: Operation,
    work: &Work,
) -> Fallible<()> {
    let mut counts = Vec::new();
    for contender in contenders.iter_mut() {
        contender.prepare(work)?;
        counts.push(messages_a_turn(contender.as_mut(), operation)?);
    }
    let mut seconds = vec![Vec::new(); contenders.len()];
    for round in 0..ROUNDS {
        for turn in 0..contenders.len() {
            // Back and forth, so that none always comes after a certain other.
            let who = match round % 2 {
                0 => turn,
                _ => contenders.len() - 1 - turn,
            };
            let took = contenders[who].turn(operation, counts[who])?;
            seconds[who].push(took.as_secs_f64() / f64::from(counts[who]));
        }
    }
    for (who, contender) in contenders.iter().enumerate() {
        let ratios = seconds[who].iter().zip(&seconds[0]).map(|(a, b)| a / b);
        let ratio = median(ratios.collect());
        let each = median(seconds[who].clone());
        println!(
            "| {}, {} | {} | {:.2} | {:.1} | {ratio:.2} |",
            operation.name(),
            work.what,
            contender.name(),
            each * 1e6,
            work.plaintext.len() as f64 / each / f64::from(1 << 20),
        );
    }
    Ok(())
}

/// How many messages take about a turn. Found twice, as the first time may have
/// been long for another reason.
fn messages_a_turn(contender: &mut dyn Contender, operation: Operation) -> Fallible<u32> {
    let mut count = 1;
    for _ in 0..2 {
        while contender.turn(operation, count)? < TURN {
            count *= 2;
        }
    }
    Ok(count)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
