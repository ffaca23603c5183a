//! Peak memory, each in a process of its own: what the system says was resident
//! at most (`VmHWM`, Linux).

use std::hint::black_box;
use std::io::{Read, Write, sink};
use std::path::{Path, PathBuf};
use std::process::Command;

use age::x25519::Identity;
use waxseal::EncryptionContext;

use crate::contender::{Output, Setup, Who};
use crate::contenders::{Age, AwsEsdk, Tink, Waxseal, backends, client};
use crate::work::{Bytes, CONTEXT, Fallible, MIB, Operation, plaintext};

/// The command that measures, for this program itself.
pub(crate) const CHILD: &str = "memory-of";

const LENGTH: usize = 100 * MIB;
const LONG_STREAM: usize = 1024 * MIB;

/// One message in one piece.
const ONE_SHOT: [&str; 7] = [
    "waxseal",
    "waxseal-in-place",
    "waxseal-into",
    "aws-esdk",
    "aws-esdk-signed",
    "age",
    "tink",
];

pub(crate) fn run() -> Fallible<()> {
    let folder = Scratch::new()?;
    let age = Identity::generate();
    let age = age::secrecy::ExposeSecret::expose_secret(&age.to_string()).to_owned();
    println!(
        "| peak memory, MiB | encrypt {0} | decrypt {0} |\n|---|--:|--:|",
        Bytes(LENGTH)
    );
    let mut peaks = Vec::new();
    for name in ONE_SHOT {
        let message = folder.0.join(name);
        let mut row = Vec::new();
        for operation in Operation::BOTH {
            row.push(measure(&[
                name,
                operation.name(),
                &message.to_string_lossy(),
                &age,
            ])?);
        }
        println!("| {} | {:.0} | {:.0} |", title(name), row[0], row[1]);
        peaks.push((name, row));
    }
    let streams = [LENGTH, LONG_STREAM].map(|length| measure(&["stream", &length.to_string()]));
    let [short, long] = streams;
    let (short, long) = (short?, long?);
    println!(
        "| waxseal, streams: encrypting into decrypting | {short:.1} | {long:.1} for {} |\n",
        Bytes(LONG_STREAM)
    );
    let peer = peaks.iter().find(|(name, _)| *name == "aws-esdk");
    for (name, row) in peaks.iter().filter(|(name, _)| name.starts_with("waxseal")) {
        for (index, operation) in Operation::BOTH.iter().enumerate() {
            let Some((_, of)) = peer else { continue };
            let share = row[index] / of[index];
            let verdict = if share <= 1.0 / 3.0 { "met" } else { "MISSED" };
            println!(
                "{}, {}: {share:.2} of aws-esdk's; goal ≤ a third: {verdict}",
                title(name),
                operation.name()
            );
        }
    }
    // Neither is longer than what allocators keep for themselves.
    let verdict = if long <= short + 1.0 { "met" } else { "MISSED" };
    println!(
        "streams: {long:.1} MiB at ten times the length of {short:.1} MiB; goal constant: {verdict}"
    );
    Ok(())
}

fn title(name: &str) -> String {
    let who = match name {
        "aws-esdk" => Who::AwsEsdk { signed: false },
        "aws-esdk-signed" => Who::AwsEsdk { signed: true },
        "age" => Who::Age {
            output: Output::Fresh,
        },
        "tink" => Who::Tink,
        "waxseal-in-place" => return "waxseal, in place".to_owned(),
        "waxseal-into" => return "waxseal, into the caller's buffer".to_owned(),
        _ => return "waxseal".to_owned(),
    };
    who.to_string()
}

/// The peak of this program run with these arguments, in MiB.
fn measure(arguments: &[&str]) -> Fallible<f64> {
    let output = Command::new(std::env::current_exe()?)
        .arg(CHILD)
        .args(arguments)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let kib: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(kib / 1024.0)
}

/// Does one thing and prints the peak, in KiB.
pub(crate) fn child(mut arguments: impl Iterator<Item = String>) -> Fallible<()> {
    let mut next = || arguments.next().ok_or("an argument is missing");
    let name = next()?;
    let peak = if name == "stream" {
        stream(next()?.parse()?)?;
        peak()?
    } else {
        let (operation, message, age) = (next()?, next()?, next()?);
        let (message, age) = (Path::new(&message), age.parse()?);
        match operation == Operation::Encrypt.name() {
            true => encrypt(&name, message, age)?,
            false => decrypt(&name, message, age)?,
        }
    };
    println!("{peak}");
    Ok(())
}

fn setup(output: Output) -> Setup {
    Setup::plain(backends()[0], output)
}

/// The peak, with the message written to this file after it was taken.
fn encrypt(name: &str, file: &Path, age: Identity) -> Fallible<u64> {
    let plaintext = plaintext(LENGTH);
    let message = match name {
        "waxseal-in-place" => {
            let client = client(setup(Output::Reused))?.0.blocking();
            let context = EncryptionContext::from(CONTEXT);
            let prepared = client.prepare(&context, Some(LENGTH as u64))?;
            let mut buffer = plaintext;
            buffer
                .reserve_exact(usize::try_from(prepared.message_length(LENGTH as u64)?)? - LENGTH);
            prepared.encrypt_in_place(&mut buffer)?;
            buffer
        }
        "waxseal-into" => {
            let client = client(setup(Output::Reused))?.0.blocking();
            let context = EncryptionContext::from(CONTEXT);
            let prepared = client.prepare(&context, Some(LENGTH as u64))?;
            let mut out = vec![0; usize::try_from(prepared.message_length(LENGTH as u64)?)?];
            prepared.encrypt_into(&plaintext, &mut out)?;
            out
        }
        "aws-esdk" | "aws-esdk-signed" => {
            AwsEsdk::new(name == "aws-esdk-signed")?.encrypt(plaintext)?
        }
        "age" => Age::with_identity(Output::Fresh, age).encrypt(&plaintext)?,
        "tink" => Tink::new()?.encrypt(&plaintext)?,
        _ => Waxseal::new(setup(Output::Fresh))?.encrypt(&plaintext)?,
    };
    let peak = peak()?;
    std::fs::write(file, message)?;
    Ok(peak)
}

fn decrypt(name: &str, file: &Path, age: Identity) -> Fallible<u64> {
    let message = std::fs::read(file)?;
    let plaintext = match name {
        "waxseal-in-place" => {
            let client = client(setup(Output::Reused))?.0.blocking();
            let mut buffer = message;
            client.decrypt_in_place(&mut buffer, &EncryptionContext::from(CONTEXT))?;
            buffer
        }
        "waxseal-into" => {
            let client = client(setup(Output::Reused))?.0.blocking();
            let mut out = vec![0; LENGTH];
            client.decrypt_into(&message, &EncryptionContext::from(CONTEXT), &mut out)?;
            out
        }
        "aws-esdk" | "aws-esdk-signed" => {
            AwsEsdk::new(name == "aws-esdk-signed")?.decrypt(message)?
        }
        "age" => Age::with_identity(Output::Fresh, age).decrypt(&message)?,
        "tink" => Tink::new()?.decrypt(&message)?,
        _ => Waxseal::new(setup(Output::Fresh))?.decrypt(&message)?,
    };
    if black_box(plaintext).len() != LENGTH {
        return Err("another plaintext came out".into());
    }
    peak()
}

/// So many bytes encrypted into what decrypts them, both at once.
fn stream(length: usize) -> Fallible<()> {
    let client = client(setup(Output::Fresh))?.0.blocking();
    let context = EncryptionContext::from(CONTEXT);
    let source = std::io::repeat(0x5a).take(length as u64);
    let message = client.encrypt_reader(source, &context)?;
    let mut plaintext = client.decrypt_reader(message, &context)?;
    let copied = std::io::copy(&mut plaintext, &mut sink().by_ref())?;
    match copied == length as u64 {
        true => Ok(()),
        false => Err("another plaintext came out".into()),
    }
}

/// What was resident at most, in KiB.
fn peak() -> Fallible<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.ok_or("no VmHWM in /proc/self/status")?.parse()?)
}

/// A folder for the messages, removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Fallible<Self> {
        let name = format!("waxseal-peers-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder)?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left there is no more than a folder of messages.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
