//! The key file that was used where no key was named, before there were
//! stores: what was encrypted under it still opens.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use waxseal::{CryptoBackend, KeyProvider};

use crate::failure::{Failure, say};
use crate::keys::load_raw_aes;
use crate::store::data_folder;

const VARIABLE: &str = "WAXSEAL_DEFAULT_KEY";
const NAMESPACE: &str = "waxseal";
const NAME: &str = "default";

fn named() -> Option<PathBuf> {
    let file = env::var_os(VARIABLE).filter(|file| !file.is_empty());
    file.map(PathBuf::from)
}

/// Where it is, if there is one. One that the user names must be there.
pub(crate) fn find() -> Option<PathBuf> {
    named().or_else(|| {
        let file = data_folder()?.join("waxseal").join("default.key");
        file.exists().then_some(file)
    })
}

/// Loads it, to decrypt.
pub(crate) fn load(file: &Path, backend: &CryptoBackend) -> Result<Arc<dyn KeyProvider>, Failure> {
    load_raw_aes(NAMESPACE, NAME, file, backend)
}

/// Tells whoever still names one that nothing is encrypted under it any more.
pub(crate) fn warn_if_named() {
    if let Some(file) = named() {
        say(&format!(
            "warning: {VARIABLE} is for decrypting only; to encrypt under that key, give \
             --key raw-aes:{NAMESPACE}:{NAME}:{}",
            file.display()
        ));
    }
}
