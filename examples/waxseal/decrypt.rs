//! `waxseal decrypt`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use waxseal::{Client, DecryptionDetails, EncryptionContext, Error, KeyProvider, blocking};

use crate::backend::BackendOption;
use crate::batch::{Batch, caching};
use crate::context::ContextOptions;
use crate::failure::{Action, Failure, say};
use crate::files::{Contents, Input, Output, is_standard};
use crate::keys::KeyOptions;
use crate::policy::PolicyOption;
use crate::range::ByteRange;
use crate::threads::ThreadsOption;

/// The options of `decrypt`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The messages to decrypt; - is standard input
    ///
    /// Several need -o FOLDER, and if one of them fails, the others are
    /// decrypted all the same.
    #[arg(value_name = "INPUT", default_value = "-")]
    inputs: Vec<PathBuf>,

    /// Where to write the plaintext: a file, or a folder; - is standard output
    ///
    /// Without it: INPUT with `.waxseal` taken off, or standard output where
    /// INPUT is standard input. In a folder: INPUT's file name with `.waxseal`
    /// taken off. An existing file is replaced, once the whole message has
    /// proved authentic.
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

    #[command(flatten)]
    policy: PolicyOption,

    #[command(flatten)]
    threads: ThreadsOption,

    #[command(flatten)]
    backend: BackendOption,

    /// Write only these bytes of the plaintext: A..B is from A on and before B,
    /// counted from 0; A.. and ..B go to the end and from the beginning
    ///
    /// Only the frames that hold them are read and verified, whatever the
    /// message's length. INPUT must be a file, not a pipe. Where the plaintext
    /// ends before B, what there is of it is written, as `head` and `tail` do;
    /// that it ends there is verified. If it ends before A, that is an error.
    /// -o must say where to (- is standard output), unless INPUT is standard
    /// input. One thread does it, whatever --threads says.
    ///
    /// The signature of a signed message is over all of it, and is never
    /// verified for a range: such a message needs --allow-unverified, when
    /// writing a file too.
    #[arg(long, value_name = "A..B")]
    range: Option<ByteRange>,

    /// Write a signed message to standard output before its signature is
    /// verified, or a --range of one
    ///
    /// A signed message is otherwise held back, up to --max-buffered, until its
    /// end has been seen. With this, trust what came out only once the exit
    /// code is 0. Not needed for the whole message in a file: that one appears
    /// only at the end.
    ///
    /// With --range it is needed for a file too, and the exit code 0 says
    /// nothing about the signature: that is not verified at all.
    #[arg(long)]
    allow_unverified: bool,

    /// The most bytes that are held back in memory [default: 67108864, which is
    /// 64 MiB]
    ///
    /// Held back are one frame, or a body without frames, until it is
    /// authentic; and a signed message on its way to standard output.
    #[arg(long, value_name = "BYTES")]
    max_buffered: Option<usize>,

    /// Say which key opened the message, of several each
    ///
    /// Of a local key also the version: a rotation adds one, and every one
    /// opens what was encrypted under it.
    #[arg(short, long)]
    verbose: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let keys = args.keys.parse()?;
    let action = Action::Decrypt {
        names_keys: keys.are_named(),
    };
    let context = args.context.parse(action)?;
    let out = args.out.as_deref();
    // A part does not take the place of the whole.
    if args.range.is_some() && out.is_none() && !args.inputs.iter().all(|input| is_standard(input))
    {
        return Err(Failure::usage(
            "--range needs -o OUT, for what it writes is not all of the plaintext; \
             - is standard output",
        ));
    }
    Batch::plan(&args.inputs, out, Contents::Plaintext, &keys)?.run(
        &keys,
        || client(args, action, keys.load(&args.backend.backend())?),
        |client, input, output| {
            let name = input.name().to_owned();
            let opened_by = decrypt(args, action, client, &context, input, output)?;
            match opened_by.filter(|_| args.verbose) {
                Some(opened) if args.inputs.len() > 1 => say(&format!("{name}: {opened}")),
                Some(opened) => say(&opened),
                None => {}
            }
            Ok(())
        },
    )
}

/// The client of a run, for all its inputs.
fn client(
    args: &Args,
    action: Action,
    provider: Arc<dyn KeyProvider>,
) -> Result<blocking::Client, Failure> {
    let mut builder = Client::builder(provider)
        .backend(args.backend.backend())
        .caching(caching())
        .parallelism(args.threads.parallelism())
        .commitment_policy(args.policy.policy);
    if let Some(bytes) = args.max_buffered {
        builder = builder.max_buffered(bytes);
    }
    match builder.build() {
        Ok(client) => Ok(client.blocking()),
        Err(error) => Err(Failure::library(action, "with these options", &error)),
    }
}

/// Says what opened the message.
fn decrypt(
    args: &Args,
    action: Action,
    client: &blocking::Client,
    context: &EncryptionContext,
    mut input: Input,
    mut output: Output,
) -> Result<Option<String>, Failure> {
    let name = input.name().to_owned();
    let is_stream = output.is_stream();
    input.tell_if_terminal();
    if args.range.is_none() {
        input.show_progress(&output);
    }
    let failed = |error| Failure::read(action, &name, error);
    let opened_by;
    if let Some(range) = args.range {
        let details = range.decrypt(
            action,
            client,
            context,
            args.allow_unverified,
            &mut input,
            &mut output,
        )?;
        opened_by = Some(describe(&details));
    } else if is_stream && !args.allow_unverified {
        let opened = client.decrypt_reader(&mut input, context);
        let reader = match opened {
            Ok(reader) => reader,
            Err(error) => return Err(input.not_opened(action, error)),
        };
        let signed = reader.header().is_some_and(|header| header.is_signed());
        let failed = |error| held_back(action, signed, &name, error);
        opened_by = reader.details().map(describe);
        output.copy_from(reader, failed)?;
    } else {
        // A file gets its name only when the signature has been verified.
        let opened = client.decrypt_reader_unverified(&mut input, context);
        let reader = match opened {
            Ok(reader) => reader,
            Err(error) => return Err(input.not_opened(action, error)),
        };
        if is_stream && reader.header().is_some_and(|header| header.is_signed()) {
            say("warning: the signature is verified at the end; \
                 trust the output only if the exit code is 0");
        }
        opened_by = reader.details().map(describe);
        output.copy_from(reader, failed)?;
    }
    input.end_progress();
    output.commit()?;
    Ok(opened_by)
}

fn describe(details: &DecryptionDetails) -> String {
    match &details.key_version {
        Some(version) => format!("opened by the key {}, version {version}", details.key),
        None => format!(
            "opened by the key '{}' ({})",
            details.key,
            details.provider.label()
        ),
    }
}

/// What the reader of a message met that is held back if it is signed.
fn held_back(action: Action, signed: bool, name: &str, error: io::Error) -> Failure {
    let limit = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
        .filter(|inner| signed && matches!(inner, Error::BufferLimit { .. }));
    match limit {
        Some(limit) => Failure::message(format!(
            "cannot decrypt {name}: {limit}; a signed message is held back from standard output \
             until its signature is verified: write to a file with -o, or give --allow-unverified"
        )),
        None => Failure::read(action, name, error),
    }
}
