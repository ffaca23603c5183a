//! `waxseal keys export` and `import`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use waxseal::blocking::wait;
use waxseal::kms::{LocalKms, RootKey};

use super::Answer;
use crate::failure::Failure;
use crate::files::{create_private, is_standard, quoted};
use crate::passphrase;
use crate::store::{Place, Stores, run_due};

const WHAT: &str = "the passphrase of the backup";

/// What a backup is sealed under.
#[derive(clap::Args)]
pub(super) struct PassphraseOption {
    /// Read the passphrase of the backup from a file, instead of asking
    ///
    /// A newline at its end is not part of it.
    #[arg(long, value_name = "FILE")]
    export_passphrase_file: Option<PathBuf>,
}

impl PassphraseOption {
    fn read(&self, is_new: bool) -> Result<RootKey, Failure> {
        let passphrase = match &self.export_passphrase_file {
            Some(file) => passphrase::from_file(file, WHAT)?,
            None => passphrase::ask(WHAT, is_new, "give --export-passphrase-file FILE")?,
        };
        Ok(RootKey::passphrase(passphrase))
    }
}

pub(super) fn export(
    kms: &LocalKms,
    file: &Path,
    passphrase: &PassphraseOption,
) -> Result<Answer, Failure> {
    let name = quoted(file);
    if is_standard(file) {
        return Err(Failure::usage(
            "export writes a file, readable by you only, and not standard output",
        ));
    }
    let there = || {
        Failure::io(
            format_args!("cannot write the backup {name}"),
            "there is a file already, and export replaces none",
        )
    };
    // Before anybody is asked.
    if fs::symlink_metadata(file).is_ok() {
        return Err(there());
    }
    let root = passphrase.read(true)?;
    let backup = wait(kms.export(&root));
    let backup = backup.map_err(|error| Failure::kms("cannot export the store", &error))?;
    create_private(file, &backup).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => there(),
        _ => Failure::write(&name, &error),
    })?;
    Ok(Answer::new(
        format!("wrote a backup of the store to {name}; its passphrase is needed to restore it\n"),
        json!({ "file": file.to_string_lossy(), "length": backup.len() }),
    )
    .done())
}

pub(super) fn import(
    stores: &Stores<'_>,
    place: &Place,
    file: &Path,
    passphrase: &PassphraseOption,
) -> Result<Answer, Failure> {
    let name = quoted(file);
    let backup = fs::read(file)
        .map_err(|error| Failure::io(format_args!("cannot read the backup {name}"), error))?;
    let failed = |error| Failure::kms(format_args!("cannot restore {name}"), &error);
    let root = passphrase.read(false)?;
    if !stores.is_there(place)? {
        // What does not open leaves no store behind.
        let trial = LocalKms::in_memory().map_err(failed)?;
        wait(trial.import(&backup, &root)).map_err(failed)?;
    }
    let kms = stores.open_or_make(place)?;
    let report = wait(kms.import(&backup, &root)).map_err(failed)?;
    run_due(&kms);
    let text = format!(
        "restored {} records of {name}; {} were there already, {} are newer in the store\n",
        report.restored, report.unchanged, report.older
    );
    let json = json!({
        "restored": report.restored,
        "unchanged": report.unchanged,
        "older": report.older,
        "diverged": report.diverged,
    });
    let mut answer = Answer::new(text, json).done();
    let records = match report.diverged.len() {
        0 => return Ok(answer),
        1 => "1 record".to_owned(),
        count => format!("{count} records"),
    };
    answer.failure = Some(Failure::message(format!(
        "did not restore {records} of {name}, changed both in the store and in the backup since \
         they parted, and left as in the store: {}; what was encrypted under a key as only the \
         backup has it does not decrypt with this store: `waxseal keys import` the backup into a \
         new one, in another folder, to decrypt that",
        report.diverged.join(", ")
    )));
    Ok(answer)
}
