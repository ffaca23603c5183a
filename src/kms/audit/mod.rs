//! The audit trail: one event for each operation, allowed or refused, in the
//! shape of a CloudTrail record, handed to a sink.
//!
//! An [`AuditEvent`] borrows what it tells of, and costs nothing until a sink
//! writes it. It can hold names, numbers, dates and encryption contexts, and no
//! bytes: neither a plaintext nor key material has a way in.

mod event;
mod id;
mod json;
mod sink;

pub use crate::kms::parameter::{Parameter, Parameters};
pub use event::{AuditEvent, AuditEventKind};
pub use id::AuditId;
pub(crate) use id::AuditIds;
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use sink::TracingSink;
pub use sink::{AuditCallback, AuditError, AuditSettings, AuditSink, AuditSinks, OnAuditFailure};
