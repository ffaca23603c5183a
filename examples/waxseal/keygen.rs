//! `waxseal keygen`.

use std::io;
use std::path::PathBuf;

use waxseal::SecretBytes;

use crate::failure::{Failure, say};
use crate::files::{create_private, is_standard, quoted};

/// The options of `keygen`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file to make
    out: PathBuf,

    /// Bytes in the key: 16 (AES-128), 24 (AES-192) or 32 (AES-256)
    #[arg(long, value_name = "BYTES", default_value = "32", value_parser = ["16", "24", "32"])]
    length: String,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if is_standard(&args.out) {
        return Err(Failure::usage(
            "keygen writes a file, readable by you only, and not standard output",
        ));
    }
    let length = args.length.parse().unwrap_or(32);
    let key =
        SecretBytes::random(length).map_err(|error| Failure::io("cannot make a key", error))?;
    let name = quoted(&args.out);
    create_private(&args.out, key.expose()).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::io(
            format_args!("cannot make the key {name}"),
            "there is a file already, and keygen replaces none",
        ),
        _ => Failure::write(&name, &error),
    })?;
    say(&format!(
        "made the key {name}: keep a copy in a safe place, because whoever loses it loses the data"
    ));
    Ok(())
}
