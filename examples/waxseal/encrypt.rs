//! `waxseal encrypt`.

use std::path::{Path, PathBuf};

use waxseal::blocking::EncryptReader;
use waxseal::{AlgorithmSuite, Client, Error};

use crate::context::ContextOptions;
use crate::failure::{Action, Failure, say};
use crate::files::{Contents, Destination, EXTENSION, Input};
use crate::keys::KeyOptions;
use crate::policy::PolicyOption;

const ACTION: Action = Action::Encrypt;

/// The options of `encrypt`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file to encrypt; - is standard input
    #[arg(default_value = "-")]
    input: PathBuf,

    /// Where to write the message; - is standard output
    ///
    /// Without it: INPUT with `.waxseal` added, or standard output where INPUT
    /// is standard input. An existing file is replaced, once the message is
    /// whole.
    #[arg(short, long = "output", value_name = "OUT")]
    out: Option<PathBuf>,

    #[command(flatten)]
    keys: KeyOptions,

    #[command(flatten)]
    context: ContextOptions,

    /// The algorithm suite, by its number [default: 0x0478, or 0x0178 with
    /// --policy forbid-encrypt-allow-decrypt]
    ///
    /// With key commitment: 0x0478, and 0x0578, which also signs (so that who
    /// can read a message cannot forge one).
    ///
    /// Without, for --policy forbid-encrypt-allow-decrypt: 0x0114, 0x0146,
    /// 0x0178, and signed 0x0214, 0x0346, 0x0378. For very old readers only, as
    /// they derive no key: 0x0014, 0x0046, 0x0078.
    #[arg(long)]
    suite: Option<AlgorithmSuite>,

    #[command(flatten)]
    policy: PolicyOption,

    /// Bytes of plaintext in each frame [default: 4096]
    ///
    /// A reader holds one frame in memory, so that it can check it before it
    /// passes it on. Longer ones, 65536 say, make long messages a little
    /// shorter and faster. Many readers refuse frames over 64 MiB.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    frame_length: Option<u32>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let keys = args.keys.parse()?;
    let context = args.context.parse(ACTION)?;
    let suite = suite(args)?;
    let mut input = Input::open(&args.input)?;
    let destination = Destination::choose(args.out.as_deref(), &args.input, with_extension)?;
    destination.refuse_terminal()?;
    destination.refuse_input(&input)?;
    for file in keys.files() {
        destination.refuse_key_file(&file)?;
    }
    let mut output = destination.create(Contents::Message)?;

    let mut builder = Client::builder(keys.load_or_make()?)
        .commitment_policy(args.policy.policy)
        .suite(suite)
        // Naming such a suite is the opt-in.
        .allow_suites_without_key_derivation(true);
    if let Some(bytes) = args.frame_length {
        builder = builder.frame_length(bytes);
    }
    let name = input.name().to_owned();
    let refused = |error: Error| Failure::library(ACTION, &name, &error);
    let client = builder.build().map_err(refused)?.blocking();
    let encryptor = client
        .encryptor(&context, input.length())
        .map_err(refused)?;

    input.tell_if_terminal();
    input.show_progress(&output);
    output.copy_from(EncryptReader::new(&mut input, encryptor), |error| {
        Failure::read(ACTION, &name, error)
    })?;
    input.end_progress();
    output.commit()?;
    keys.finish();
    Ok(())
}

/// The suite, which the policy must allow: found out before a key is made.
fn suite(args: &Args) -> Result<AlgorithmSuite, Failure> {
    let policy = args.policy.policy;
    let suite = args.suite.unwrap_or(policy.default_suite(false));
    if !policy.allows_encrypt(suite) {
        let error = Error::SuiteForbidden { suite, policy };
        return Err(Failure::library(ACTION, "with this --suite", &error));
    }
    if !suite.derives_key() {
        say(&format!(
            "warning: suite {suite} derives no key for each message and does not commit to it: \
             use it only for readers that know nothing else"
        ));
    }
    Ok(suite)
}

fn with_extension(input: &Path) -> Result<PathBuf, Failure> {
    let mut name = input.as_os_str().to_owned();
    name.push(".");
    name.push(EXTENSION);
    Ok(name.into())
}
