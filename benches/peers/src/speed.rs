//! Encrypting and decrypting from 16 bytes to 100 MiB: each back end and each
//! peer.

use std::fmt::Write as _;

use waxseal::{AlgorithmSuite, ContentLayout, inspect};

use crate::contender::{Contender, Output, Setup, Who};
use crate::contenders::{Age, Asherah, AwsEsdk, Python, Signature, Tink, Waxseal, backends};
use crate::rounds::{Measured, Rounds};
use crate::work::{Bytes, CONTEXT, FRAME_LENGTH, Fallible, KIB, MIB, Operation, Work, plaintext};
use crate::{Options, goals, plot};

const LENGTHS: [usize; 6] = [16, KIB, 64 * KIB, MIB, 32 * MIB, 100 * MIB];

pub(crate) fn run(options: &Options) -> Fallible<()> {
    let rounds = match options.quick {
        true => Rounds::QUICK,
        false => Rounds::FULL,
    };
    let mut contenders = contenders(options)?;
    let mut results = Vec::new();
    for length in LENGTHS {
        let work = work(length)?;
        // Only those who take it, so that the others hold no memory meanwhile.
        let (mut taking, idle): (Vec<_>, Vec<_>) = contenders
            .into_iter()
            .partition(|contender| contender.longest() >= length);
        for contender in &mut taking {
            check(contender.as_mut(), &work)?;
        }
        for operation in Operation::BOTH {
            eprintln!("{}, {}", operation.name(), Bytes(length));
            results.push(Measured::of(&mut taking, operation, length, rounds)?);
        }
        for contender in &mut taking {
            contender.prepare(&Work::default())?;
        }
        taking.extend(idle);
        contenders = taking;
    }
    let order: Vec<Who> = results
        .first()
        .map(|first| first.all().collect())
        .unwrap_or_default();
    let table = table(&order, &results)?;
    println!("{table}\n{}", goals::report(&results));
    // A part of them is not what the files are to show.
    if let (Some(folder), None) = (&options.out, &options.only) {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("table.md"), table)?;
        for operation in Operation::BOTH {
            let name = format!("{}.svg", operation.name());
            std::fs::write(folder.join(name), plot::draw(operation, &order, &results))?;
        }
    }
    Ok(())
}

/// All of them, this library's first.
fn contenders(options: &Options) -> Fallible<Vec<Box<dyn Contender>>> {
    let mut contenders: Vec<Box<dyn Contender>> = Vec::new();
    for (index, backend) in backends().into_iter().enumerate() {
        let setup = Setup::plain(backend, Output::Reused);
        contenders.push(Box::new(Waxseal::new(setup)?));
        if index == 0 {
            let (output, signed, threads) = (Output::Fresh, true, 2);
            contenders.push(Box::new(Waxseal::new(Setup { threads, ..setup })?));
            contenders.push(Box::new(Waxseal::new(Setup { output, ..setup })?));
            contenders.push(Box::new(Waxseal::new(Setup {
                cached: true,
                ..setup
            })?));
            contenders.push(Box::new(Waxseal::new(Setup { signed, ..setup })?));
            contenders.push(Box::new(Waxseal::new(Setup {
                signed,
                threads,
                ..setup
            })?));
        }
    }
    contenders.push(Box::new(Signature::default()));
    contenders.push(Box::new(AwsEsdk::new(false)?));
    contenders.push(Box::new(AwsEsdk::new(true)?));
    contenders.push(Box::new(Age::new(Output::Fresh)));
    contenders.push(Box::new(Age::new(Output::Reused)));
    contenders.push(Box::new(Tink::new()?));
    contenders.push(Box::new(Asherah::new()?));
    if let Some((python, script)) = &options.python {
        let (python, name) = Python::start(python, script)?;
        eprintln!("the Python SDK is {name}");
        contenders.push(Box::new(python));
    }
    if let Some(word) = &options.only {
        let first = contenders[0].who();
        contenders.retain(|contender| {
            contender.who() == first || contender.who().to_string().contains(word)
        });
    }
    Ok(contenders)
}

fn work(length: usize) -> Fallible<Work> {
    let unsigned = Setup::plain(backends()[0], Output::Fresh);
    let signed = Setup {
        signed: true,
        ..unsigned
    };
    let plaintext = plaintext(length);
    Ok(Work {
        unsigned: Waxseal::new(unsigned)?.encrypt(&plaintext)?.into(),
        signed: Waxseal::new(signed)?.encrypt(&plaintext)?.into(),
        plaintext: plaintext.into(),
    })
}

/// That its message is what is asked for, and that it reads the others'.
fn check(contender: &mut dyn Contender, work: &Work) -> Fallible<()> {
    contender.prepare(work)?;
    let Some(message) = contender.sample()? else {
        return Ok(());
    };
    let header = inspect(&message)?;
    let public_key = |(key, _): &(&str, &str)| *key != "aws-crypto-public-key";
    let context: Vec<_> = header.context().iter().filter(public_key).collect();
    let mut expected = CONTEXT;
    expected.sort();
    let layout = ContentLayout::Framed {
        frame_length: FRAME_LENGTH,
    };
    let suite = match contender.who().signed() {
        true => AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384,
        false => AlgorithmSuite::Aes256GcmHkdfSha512CommitKey,
    };
    let reader = Waxseal::new(Setup::plain(backends()[0], Output::Fresh))?;
    let alike = header.suite() == suite
        && header.layout() == layout
        && context == expected
        && header.encrypted_data_keys().len() == 1
        && reader.decrypt(&message)? == *work.plaintext;
    match alike {
        true => Ok(()),
        false => Err(format!("{} does other work: {header:?}", contender.who()).into()),
    }
}

/// A row for each, a column for each length: microseconds a message below
/// 64 KiB, MiB a second from there, encrypting and decrypting.
fn table(order: &[Who], results: &[Measured]) -> Fallible<String> {
    let mut table = String::from("| encrypt / decrypt |");
    for length in LENGTHS {
        let unit = if in_microseconds(length) {
            "µs"
        } else {
            "MiB/s"
        };
        write!(table, " {}, {unit} |", Bytes(length))?;
    }
    writeln!(table, "\n|---|{}", "--:|".repeat(LENGTHS.len()))?;
    for who in order {
        write!(table, "| {who} |")?;
        for length in LENGTHS {
            let cell = |operation| {
                let at =
                    |result: &&Measured| result.operation == operation && result.length == length;
                let measured = results.iter().find(at)?;
                Some(match in_microseconds(length) {
                    true => format!("{:.1}", measured.seconds(*who)? * 1e6),
                    false => format!("{:.0}", measured.speed(*who)?),
                })
            };
            match (cell(Operation::Encrypt), cell(Operation::Decrypt)) {
                (Some(encrypt), Some(decrypt)) => write!(table, " {encrypt} / {decrypt} |")?,
                _ => write!(table, " – |")?,
            }
        }
        writeln!(table)?;
    }
    writeln!(
        table,
        "\nMedians of rounds in turns, processor time of one thread where nothing else is said. Frames of {FRAME_LENGTH} bytes \
         where there are frames, a context of two pairs, one raw AES key of 32 bytes; waxseal into a \
         reused buffer where nothing else is said, suite 0x0478, and 0x0578 where it is signed."
    )?;
    Ok(table)
}

fn in_microseconds(length: usize) -> bool {
    length < 64 * KIB
}
