//! The audit trail: one event for each operation, allowed or refused, in the
//! shape of a CloudTrail record, handed to a sink.
//!
//! An [`AuditEvent`] borrows what it tells of, and costs nothing until a sink
//! writes it. It can hold names, numbers, dates and encryption contexts, and no
//! bytes: neither a plaintext nor key material has a way in.
//!
//! # The file
//!
//! [`AuditFile`] writes a line for each event, with the record in an envelope:
//!
//! ```text
//! {"seq":SEQ,"prev":"PREV",PAYLOAD,"hash":"HASH"}
//! PAYLOAD   = "record":{…} | "checkpoint":{…} | "notice":{…}
//! HASH      = SHA-256("waxseal audit line 1\n" ‖ SEQ (8 bytes) ‖ PREV ‖ PAYLOAD)
//! signature = ECDSA P-384 with SHA-384, DER, over
//!     "waxseal audit checkpoint 1\n" ‖ SEQ ‖ PREV ‖ PAYLOAD up to `,"signature"`
//! ```
//!
//! SEQ counts from 1, PREV is the HASH of the line before (zeros before the
//! first), and both are in binary and big-endian where they are hashed. PAYLOAD
//! is hashed as it stands there, so that nobody has to write JSON again to
//! verify it. The trail begins with a checkpoint; others follow after so many
//! events or so long a time, before a file is rotated, and at the end. The chain
//! goes on through rotated files and restarts.
//!
//! # What the verifier finds
//!
//! [`AuditVerifier`] finds, and says where: a line that was changed, removed,
//! moved, repeated or inserted, a line that is no line, a file that ends within
//! one. Whoever can write the files, and not sign, can make all hashes fit
//! again; then it finds, by
//!
//! | what | given a head kept elsewhere | given the public key | given neither |
//! |---|---|---|---|
//! | lines rewritten, removed or inserted before a checkpoint | if the head is later | yes | yes, unless all checkpoints are made anew with another key |
//! | all lines rewritten, signed with another key | yes | yes | **no** |
//! | lines after the last checkpoint rewritten | up to the head | no: they are reported as unanchored | the same |
//! | the end cut off | up to the head | **no** | **no** |
//! | all files replaced by another trail of the same key | yes | **no** | **no** |
//! | the first files removed | yes, unless only some are asked for | the same | the same |
//!
//! So give it both: the public key once, and a head as often as possible
//! ([`AuditFile::head`], `waxseal audit head`), kept where the writer of the
//! files cannot change it. Whoever has the signing key can rewrite all that no
//! kept head covers: the trail protects against others, not against the process
//! that writes it.
//!
//! After a crash, lines since the last checkpoint were not signed, and whoever
//! could write the file until the restart could have changed them: a notice
//! [`Unclosed`](AuditNotice::Unclosed) stands there. A crash may leave a part of
//! a line; a notice [`Torn`](AuditNotice::Torn) keeps it. Events that could not
//! be written are counted in a notice [`Lost`](AuditNotice::Lost).

mod checkpoint;
mod event;
mod file;
mod id;
mod json;
mod key;
mod line;
mod report;
mod sink;
mod verify;

pub use crate::kms::parameter::{Parameter, Parameters};
pub use checkpoint::AuditNotice;
pub use event::{AuditEvent, AuditEventKind};
pub use file::{AuditFile, AuditFileBuilder, AuditSync};
pub use id::AuditId;
pub(crate) use id::AuditIds;
pub use key::{AuditKey, AuditPublicKey, InvalidAuditPublicKey};
pub use line::{AuditHead, InvalidAuditHead};
pub use report::{AuditFinding, AuditPlace, AuditProblem, AuditReport};
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use sink::TracingSink;
pub use sink::{AuditCallback, AuditError, AuditSettings, AuditSink, AuditSinks, OnAuditFailure};
pub use verify::AuditVerifier;
