//! `waxseal`: encrypts and decrypts files and pipes, and an example of the
//! library's streams.
//!
//! A command is one file, with its options; [`manage`] is `waxseal keys`, and
//! [`audit`] needs the feature `kms-policy`. What
//! they share: [`keys`] (and [`default_key`]), [`store`], [`passphrase`],
//! [`context`], [`policy`], [`batch`] (which input goes where), [`files`],
//! [`failure`].

mod audit;
mod aws_kms;
mod backend;
mod batch;
mod context;
mod decrypt;
mod default_key;
mod encrypt;
mod failure;
mod files;
mod inspect;
mod interrupt;
mod keygen;
mod keys;
mod manage;
mod passphrase;
mod policy;
mod progress;
mod range;
mod store;
mod threads;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Encrypts files so that only who has the key can read them, and nobody can
/// change them unseen.
///
/// Each file (or whatever comes through a pipe) becomes one message in the AWS
/// Encryption SDK's format, which the official SDKs read too. Nothing needs to
/// be set up: without --key, a store with a key is made for you on first use.
/// Keep copies: WHOEVER LOSES THE KEY LOSES THE DATA.
#[derive(Parser)]
#[command(name = "waxseal", version, after_help = EXAMPLES, after_long_help = LONG_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  waxseal encrypt notes.txt              makes notes.txt.waxseal
  waxseal decrypt notes.txt.waxseal      makes notes.txt again
  tar c photos | waxseal encrypt > photos.tar.waxseal
  waxseal decrypt < photos.tar.waxseal | tar x

`waxseal encrypt --help` explains keys and contexts.";

const LONG_HELP: &str = "\
Examples:
  waxseal encrypt notes.txt              makes notes.txt.waxseal
  waxseal decrypt notes.txt.waxseal      makes notes.txt again
  tar c photos | waxseal encrypt > photos.tar.waxseal
  waxseal decrypt < photos.tar.waxseal | tar x

Exit codes:
  0  all went well
  1  the message, a key, a passphrase, a store or a backup is wrong: changed, cut
     off, another one's, of another context; or a key may not be used; or an audit
     trail is not sound
  2  the command line asks for what cannot be
  3  a file cannot be read or written, or the system failed
Of several inputs, those that fail are named, and the code is that of the first.

An output file appears, or is replaced, only when all went well. Until then its
bytes are in a file beside it whose name ends in .waxseal-tmp; one that stays
behind (after a power cut, say) is unfinished, and can be removed.

`waxseal encrypt --help` explains keys and contexts.";

#[derive(Subcommand)]
enum Command {
    /// Encrypt a file or a pipe
    ///
    /// The input stays as it is; the message is a new file. Any length works,
    /// in little memory. Several inputs become a message each.
    #[command(after_long_help = ENCRYPT_EXAMPLES)]
    Encrypt(encrypt::Args),

    /// Decrypt a message
    ///
    /// Nothing comes out that is not authentic: a message that was changed
    /// anywhere fails, and an output file appears only when all of it has been
    /// checked. In a pipe, what came out before an error is authentic, but may
    /// not be all: look at the exit code.
    #[command(after_long_help = DECRYPT_EXAMPLES)]
    Decrypt(decrypt::Args),

    /// Show what a message says about itself, without a key
    ///
    /// Prints the suite, the encryption context and which keys open it. NOTHING
    /// OF IT IS VERIFIED: anybody may have written it. Only `decrypt`, with the
    /// key, checks it.
    #[command(after_long_help = INSPECT_EXAMPLES)]
    Inspect(inspect::Args),

    /// Manage the keys of a store: make, rotate, disable, delete, back up
    ///
    /// A key has an id that never changes, aliases (`alias/` and a name), and
    /// one version or more: rotating adds one, which encrypts from then on,
    /// and all that was encrypted before still opens. KEY is an id or an alias.
    ///
    /// Exit code 0 means that the change is on the disk. Rotations and
    /// deletions that have become due are done by the next command that changes
    /// something, and by `waxseal encrypt`.
    #[command(after_long_help = KEYS_HELP)]
    Keys(manage::Args),

    /// Verify the audit trail of a KMS, and print its head
    ///
    /// A trail is a file of events, each bound to the one before by a hash, and
    /// signed checkpoints. A head stands for all lines up to it: kept elsewhere,
    /// it shows later that nothing was changed or cut off.
    #[command(after_long_help = AUDIT_HELP)]
    Audit(audit::Args),

    /// Make a new key file
    ///
    /// Writes random bytes to a new file that only you can read. An existing
    /// file is never replaced. Keep a copy in a safe place: WHOEVER LOSES THE
    /// KEY LOSES THE DATA, and whoever has it can read the data.
    #[command(after_long_help = KEYGEN_EXAMPLES)]
    Keygen(keygen::Args),
}

const ENCRYPT_EXAMPLES: &str = "\
Examples:
  With the default key, alias/default of your store, made on first use:
    waxseal encrypt notes.txt

  Several files, each to a message of its own in the folder `backup`:
    waxseal encrypt notes.txt photos/*.jpg -o backup

  With another key of the store, or of another store:
    waxseal encrypt notes.txt --key local:/srv/keys:alias/notes

  With a key of your own, and bound to what the message is for:
    waxseal keygen backup.key
    waxseal encrypt db.dump --key raw-aes:acme:backup:backup.key \\
        --context purpose=backup --context host=db1

  So that either of two keys opens it:
    waxseal encrypt db.dump --key raw-aes:acme:backup:backup.key \\
        --key raw-aes:acme:escrow:/mnt/escrow.key

  In a pipe:
    pg_dump mydb | waxseal encrypt > mydb.sql.waxseal";

const DECRYPT_EXAMPLES: &str = "\
Examples:
  waxseal decrypt notes.txt.waxseal
  waxseal decrypt backup/*.waxseal -o restored
  waxseal decrypt db.dump.waxseal -o /tmp/db.dump \\
      --key raw-aes:acme:backup:backup.key --context purpose=backup
  waxseal decrypt < mydb.sql.waxseal | psql mydb";

const INSPECT_EXAMPLES: &str = "\
Examples:
  waxseal inspect db.dump.waxseal
  waxseal inspect db.dump.waxseal --json | jq .context";

const KEYS_HELP: &str = "\
Examples:
  waxseal keys create --store /srv/keys --alias backup --description 'nightly dumps'
  waxseal encrypt db.dump --key local:/srv/keys:alias/backup
  waxseal keys rotate alias/backup --store /srv/keys
  waxseal keys list
  waxseal keys export keys.backup --export-passphrase-file FILE

With --json, one JSON object on standard output. A key (`create`, `describe` and
whatever changes one) is:
  id, arn, state (enabled, disabled, pending_import, pending_deletion,
  unavailable), owner (customer, service), origin (local, external),
  description, aliases (names), tags (an object), created_at, deletion_at,
  rotation (days, next_at), current_version, minimum_version, last_used_at,
  backing_keys: for each version version, created_at, cause (creation,
    automatic_rotation, on_demand_rotation), material_id, present, expires_at,
    wraps, last_wrap_at, unwraps, last_unwrap_at, messages,
  usage_error: why last_used_at and the counts of uses are null, if they cannot be
    read; a change that was made is none the less: exit code 0, and a warning.
    `describe` and `list` show the rest then, with exit code 1.
  key and error instead: the change was made, and the key cannot be read after it.
`list`: keys, and damaged (texts: what cannot be read; exit code 1 then).
`schedule-deletion`: in_recent_use too. `alias`: alias, key_id, key_arn, created,
moved_from (an ARN). `export`: file, length. `import`: restored, unchanged, older,
diverged (names; exit code 1 if there are any). Dates are RFC 3339 in UTC; what there is not is null.";

const AUDIT_HELP: &str = "\
Examples:
  waxseal audit head /var/log/app/audit.jsonl
  waxseal audit verify /var/log/app/audit.jsonl --public-key audit.pub \\
      --head 1042:5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9

What `verify` finds in lines that somebody has changed, removed, moved, repeated
or inserted, it says with the file and the line; exit code 1 then. Whoever can
write the file may also make its hashes fit again: that is found before each
checkpoint with --public-key, and up to the head with --head. A cut at the end
is found with --head only. Lines that neither vouches for are counted as
unanchored, which is no error.

With --json, one JSON object on standard output. `head`: head. `verify`: sound,
files, lines, events, checkpoints, first (a line's number), head, unanchored,
public_keys, notices (file, line, notice), more_notices, findings (file, line,
problem), more_findings. What there is not is null.";

const KEYGEN_EXAMPLES: &str = "\
Example:
  waxseal keygen backup.key
  waxseal encrypt db.dump --key raw-aes:acme:backup:backup.key
  waxseal decrypt db.dump.waxseal --key raw-aes:acme:backup:backup.key";

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Encrypt(args) => encrypt::run(&args),
        Command::Decrypt(args) => decrypt::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Keys(args) => manage::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Keygen(args) => keygen::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
