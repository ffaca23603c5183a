//! The audit trail: one file for all accounts.

use std::path::PathBuf;
use std::sync::Arc;

use waxseal::kms::audit::{AuditFile, AuditKey};

use crate::args::Args;

/// The trail, if there is to be one. Its checkpoints are signed with the key
/// in `FILE.key`, which is made with it.
pub(crate) fn open(args: &Args) -> Result<Option<Arc<AuditFile>>, String> {
    let Some(path) = &args.audit else {
        return Ok(None);
    };
    let mut key = path.as_os_str().to_owned();
    key.push(".key");
    let key = AuditKey::from_file(PathBuf::from(key)).map_err(|error| error.to_string())?;
    let file = AuditFile::builder(path, key).open();
    let file = file.map_err(|error| error.to_string())?;
    // For the verifier; to be kept elsewhere.
    eprintln!(
        "the audit trail in {} is signed with the key {}",
        path.display(),
        file.public_key()
    );
    Ok(Some(Arc::new(file)))
}
