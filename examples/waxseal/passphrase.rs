//! Passphrases: from the terminal, a file or a variable.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::thread;
use std::time::Duration;

use waxseal::SecretBytes;

use crate::failure::Failure;
use crate::files::{quoted, read_secret};
use crate::interrupt::SilentTerminal;

/// The longest passphrase that is read from a file, in bytes.
const LONGEST: usize = 64 * 1024;

/// Whether somebody is there who can be asked.
fn can_ask() -> bool {
    io::stdin().is_terminal() || io::stderr().is_terminal()
}

/// Asks on the terminal, without echo; twice for a new passphrase, so that a
/// slip of the finger locks nobody out. `instead` is what to do where there is
/// no terminal.
pub(crate) fn ask(what: &str, is_new: bool, instead: &str) -> Result<SecretBytes, Failure> {
    let failed = |error| Failure::io(format_args!("cannot ask for {what}"), error);
    if !can_ask() {
        let text = format!("cannot ask for {what}: there is no terminal; {instead}");
        return Err(Failure::usage(text));
    }
    let once = |prompt: String| -> Result<SecretBytes, Failure> {
        let terminal = SilentTerminal::start().map_err(failed)?;
        let typed = rpassword::prompt_password(prompt).map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                // Ctrl-C: the signal is about to end the program.
                thread::sleep(Duration::from_secs(1));
            }
            failed(error)
        })?;
        drop(terminal);
        Ok(SecretBytes::from(typed.into_bytes()))
    };
    let passphrase = once(format!("Enter {what}: "))?;
    check(&passphrase, what)?;
    // Both are the user's own: no secret of anybody else's is compared.
    if is_new && once(format!("Enter {what} again: "))?.expose() != passphrase.expose() {
        return Err(Failure::usage(format!(
            "{what} was not the same both times: nothing was made"
        )));
    }
    Ok(passphrase)
}

/// Reads a file that holds it; one newline at its end is not part of it.
pub(crate) fn from_file(file: &Path, what: &str) -> Result<SecretBytes, Failure> {
    let read = read_secret(file, LONGEST).map_err(|error| {
        Failure::io(
            format_args!("cannot read {what} from {}", quoted(file)),
            error,
        )
    })?;
    if read.len() > LONGEST {
        return Err(Failure::message(format!(
            "{} is too long for a passphrase: it holds more than {LONGEST} bytes",
            quoted(file)
        )));
    }
    let bytes = read.expose();
    let line = bytes
        .strip_suffix(b"\r\n")
        .or_else(|| bytes.strip_suffix(b"\n"))
        .unwrap_or(bytes);
    let passphrase = SecretBytes::copy_from(line);
    check(&passphrase, &format!("{what} in {}", quoted(file)))?;
    Ok(passphrase)
}

/// What a variable holds; one that is empty counts as not set.
pub(crate) fn from_variable(variable: &str) -> Result<Option<SecretBytes>, Failure> {
    let Some(value) = env::var_os(variable).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    match bytes_of(value) {
        Some(bytes) => Ok(Some(SecretBytes::from(bytes))),
        None => Err(Failure::usage(format!("{variable} is not Unicode text"))),
    }
}

#[cfg(unix)]
fn bytes_of(value: OsString) -> Option<Vec<u8>> {
    Some(std::os::unix::ffi::OsStringExt::into_vec(value))
}

#[cfg(not(unix))]
fn bytes_of(value: OsString) -> Option<Vec<u8>> {
    value.into_string().ok().map(String::into_bytes)
}

fn check(passphrase: &SecretBytes, what: &str) -> Result<(), Failure> {
    if passphrase.is_empty() {
        return Err(Failure::usage(format!("{what} is empty")));
    }
    Ok(())
}
