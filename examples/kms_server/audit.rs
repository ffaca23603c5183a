//! The audit trail: one file for all accounts.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use waxseal::kms::audit::{AuditCallback, AuditSink};

use crate::args::Args;

/// Where events go, if anywhere.
pub(crate) fn open(args: &Args) -> Result<Option<Arc<dyn AuditSink>>, String> {
    let Some(file) = &args.audit else {
        return Ok(None);
    };
    let file = OpenOptions::new().create(true).append(true).open(file).map_err(|e| e.to_string())?;
    let file = Mutex::new(file);
    Ok(Some(Arc::new(AuditCallback::new(move |event| {
        let _ = writeln!(file.lock().unwrap(), "{}", event.to_json());
    }))))
}
