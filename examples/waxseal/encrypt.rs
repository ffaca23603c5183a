//! `waxseal encrypt`.

use std::path::PathBuf;
use std::sync::Arc;

use waxseal::blocking::{self, EncryptReader};
use waxseal::{AlgorithmSuite, Client, EncryptionContext, Error, KeyProvider};

use crate::backend::BackendOption;
use crate::batch::{Batch, caching};
use crate::context::ContextOptions;
use crate::failure::{Action, Failure, say};
use crate::files::{Contents, Input, Output};
use crate::keys::KeyOptions;
use crate::policy::PolicyOption;
use crate::threads::ThreadsOption;

const ACTION: Action = Action::Encrypt;

/// The options of `encrypt`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The files to encrypt; - is standard input
    ///
    /// Each becomes one message. Several need -o FOLDER, and if one of them
    /// fails, the others are encrypted all the same.
    #[arg(value_name = "INPUT", default_value = "-")]
    inputs: Vec<PathBuf>,

    /// Where to write the message: a file, or a folder; - is standard output
    ///
    /// Without it: INPUT with `.waxseal` added, or standard output where INPUT
    /// is standard input. In a folder: INPUT's file name with `.waxseal` added.
    /// An existing file is replaced, once the message is whole.
    ///
    /// OUT is a folder if there is one of that name, if it ends in a slash, or
    /// if there are several inputs; a folder that is not there is made, but
    /// none above it.
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

    #[command(flatten)]
    threads: ThreadsOption,

    #[command(flatten)]
    backend: BackendOption,

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
    let out = args.out.as_deref();
    Batch::plan(&args.inputs, out, Contents::Message, &keys)?.run(
        &keys,
        || client(args, suite, keys.load_or_make(&args.backend.backend())?),
        |client, input, output| encrypt(client, &context, input, output),
    )
}

/// The client of a run, for all its inputs.
fn client(
    args: &Args,
    suite: AlgorithmSuite,
    provider: Arc<dyn KeyProvider>,
) -> Result<blocking::Client, Failure> {
    let mut builder = Client::builder(provider)
        .backend(args.backend.backend())
        .caching(caching())
        .parallelism(args.threads.parallelism())
        .commitment_policy(args.policy.policy)
        .suite(suite)
        // Naming such a suite is the opt-in.
        .allow_suites_without_key_derivation(true);
    if let Some(bytes) = args.frame_length {
        builder = builder.frame_length(bytes);
    }
    match builder.build() {
        Ok(client) => Ok(client.blocking()),
        Err(error) => Err(Failure::library(ACTION, "with these options", &error)),
    }
}

fn encrypt(
    client: &blocking::Client,
    context: &EncryptionContext,
    mut input: Input,
    mut output: Output,
) -> Result<(), Failure> {
    let name = input.name().to_owned();
    let encryptor = client
        .encryptor(context, input.length())
        .map_err(|error| Failure::library(ACTION, &name, &error))?;
    input.tell_if_terminal();
    input.show_progress(&output);
    output.copy_from(EncryptReader::new(&mut input, encryptor), |error| {
        Failure::read(ACTION, &name, error)
    })?;
    input.end_progress();
    output.commit()
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
