//! This library against what users would pick instead: `run.sh` beside this
//! builds it, installs the Python SDK, and runs one of the commands below.
//!
//! All take turns in one run, in processor time where they have one thread, so
//! that the ratios hold on a machine that does other things too.

mod contender;
mod contenders;
mod goals;
mod memory;
mod plot;
mod rounds;
mod speed;
mod suite;
mod work;

use std::path::PathBuf;

use work::Fallible;

const USAGE: &str = "\
usage: waxseal-peers COMMAND [OPTION]...

  speed   encrypt and decrypt from 16 bytes to 100 MiB, with each back end and
          each peer: a table, the goals, and two plots
  memory  peak memory of one message of 100 MiB, in a process of its own for
          each, and of streams
  suite   AWS's published suite: sizes from 1 KB to 100 MB by 1 to 16 threads

  --quick               fewer rounds
  --only WORD           speed: only the contenders whose name contains this, and
                        the default back end
  --out FOLDER          speed: where to write encrypt.svg, decrypt.svg, table.md
  --python EXE SCRIPT   speed: the Python SDK's interpreter, and peer.py
";

/// What the command line asks for.
#[derive(Default)]
struct Options {
    quick: bool,
    only: Option<String>,
    out: Option<PathBuf>,
    python: Option<(PathBuf, PathBuf)>,
}

fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    if command == memory::CHILD {
        return memory::child(arguments);
    }
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--only" => options.only = Some(value()?),
            "--out" => options.out = Some(value()?.into()),
            "--python" => options.python = Some((value()?.into(), value()?.into())),
            _ => return Err(USAGE.into()),
        }
    }
    match command.as_str() {
        "speed" => speed::run(&options),
        "memory" => memory::run(),
        "suite" => suite::run(options.quick),
        _ => Err(USAGE.into()),
    }
}
