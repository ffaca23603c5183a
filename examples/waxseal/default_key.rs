//! The key that is used where none is named, so that the first command needs
//! nothing set up.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use waxseal::{KeyProvider, SecretBytes};

use crate::failure::{Failure, say};
use crate::files::{create_private, quoted};
use crate::keys::load_raw_aes;

const VARIABLE: &str = "WAXSEAL_DEFAULT_KEY";
const NAMESPACE: &str = "waxseal";
const NAME: &str = "default";

/// Where it is, or will be.
pub(crate) fn place() -> Result<PathBuf, Failure> {
    if let Some(file) = env::var_os(VARIABLE).filter(|file| !file.is_empty()) {
        return Ok(file.into());
    }
    let folder = data_folder().ok_or_else(|| {
        Failure::usage(format!(
            "there is no home folder to keep the default key in: \
             give --key KEYSPEC, or set {VARIABLE}=FILE"
        ))
    })?;
    Ok(folder.join("waxseal").join("default.key"))
}

/// The user's data folder, as each system has it.
fn data_folder() -> Option<PathBuf> {
    // A relative path counts as not set (XDG Base Directory Specification).
    let folder = |variable| env::var_os(variable).map(PathBuf::from);
    let absolute = |variable| folder(variable).filter(|path| path.is_absolute());
    if cfg!(windows) {
        absolute("APPDATA")
    } else if cfg!(target_os = "macos") {
        Some(absolute("HOME")?.join("Library/Application Support"))
    } else {
        absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))
    }
}

/// Makes it if it is not there, and tells the user what that means.
pub(crate) fn make_once(file: &Path) -> Result<(), Failure> {
    let failed = |error| {
        Failure::io(
            format_args!("cannot make the default key {}", quoted(file)),
            error,
        )
    };
    if fs::symlink_metadata(file).is_ok() {
        return Ok(());
    }
    // A folder that the user named is the user's to make.
    if env::var_os(VARIABLE).is_none_or(|file| file.is_empty())
        && let Some(folder) = file.parent()
    {
        make_private_folder(folder).map_err(failed)?;
    }
    let key = SecretBytes::random(32).map_err(|error| Failure::io("cannot make a key", error))?;
    match create_private(file, key.expose()) {
        Ok(()) => {
            say(&format!(
                "made the default key {}; all that is encrypted without --key needs it: \
                 keep a copy in a safe place, because whoever loses it loses the data",
                quoted(file)
            ));
            Ok(())
        }
        // Another run was faster; its key is the one.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

fn make_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Loads it. It is never made here: a new key opens nothing.
pub(crate) fn load(file: &Path) -> Result<Arc<dyn KeyProvider>, Failure> {
    match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::io(
            format_args!("cannot find the default key {}", quoted(file)),
            "no --key was given, and `waxseal encrypt` without --key has not made this file here",
        )),
        _ => load_raw_aes(NAMESPACE, NAME, file),
    }
}
