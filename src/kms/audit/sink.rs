//! Where events go.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::event::AuditEvent;

/// Takes events: a file, a callback, a log, or one of your own.
pub trait AuditSink: Send + Sync {
    /// Records an event, before the call that it tells of gives its result.
    ///
    /// It is called from within the operation: what waits here, the operation
    /// waits for.
    ///
    /// # Errors
    /// When the event is not recorded: see [`OnAuditFailure`].
    fn record(&self, event: &AuditEvent<'_>) -> Result<(), AuditError>;

    /// Whether the next event can probably be recorded. It is asked before
    /// something is changed, so that a change does not stand with no event to
    /// tell of it. By default yes.
    ///
    /// # Errors
    /// When the next [`record`](Self::record) would fail.
    fn ready(&self) -> Result<(), AuditError> {
        Ok(())
    }
}

impl<S: AuditSink + ?Sized> AuditSink for Arc<S> {
    fn record(&self, event: &AuditEvent<'_>) -> Result<(), AuditError> {
        (**self).record(event)
    }

    fn ready(&self) -> Result<(), AuditError> {
        (**self).ready()
    }
}

impl<S: AuditSink + ?Sized> AuditSink for Box<S> {
    fn record(&self, event: &AuditEvent<'_>) -> Result<(), AuditError> {
        (**self).record(event)
    }

    fn ready(&self) -> Result<(), AuditError> {
        (**self).ready()
    }
}

/// An event was not recorded.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuditError {
    /// A file could not be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// What was done with it: `opened`, `written`, ….
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The file is not what this process has written: somebody else writes it,
    /// or has changed it. Look at it with the verifier.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The signing key cannot be used, or the random source failed.
    Signing(String),
    /// Another sink's reason.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io {
                path,
                action,
                source,
            } => write!(
                f,
                "the audit file {} cannot be {action}: {source}",
                path.display()
            ),
            Self::File { path, problem } => {
                write!(f, "the audit file {} {problem}", path.display())
            }
            Self::Signing(reason) => write!(f, "the audit trail cannot be signed: {reason}"),
            Self::Other(reason) => write!(f, "the event was not recorded: {reason}"),
        }
    }
}

impl std::error::Error for AuditError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl AuditError {
    /// Any other reason.
    pub fn other(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(reason.into())
    }

    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            action,
            source,
        }
    }

    pub(super) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }
}

/// What becomes of a call whose event cannot be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnAuditFailure {
    /// The call fails: nothing is given out that the trail does not tell of.
    #[default]
    Refuse,
    /// The call goes on, and the event is counted as missing:
    /// [`AuditSettings::unrecorded`].
    CountAndContinue,
}

/// Where a KMS's events go, and what happens when they cannot.
///
/// A clone shares the count.
#[derive(Clone)]
#[must_use]
pub struct AuditSettings {
    sink: Arc<dyn AuditSink>,
    on_failure: OnAuditFailure,
    unrecorded: Arc<AtomicU64>,
}

impl AuditSettings {
    /// Events go to this sink; a call whose event cannot be recorded fails.
    pub fn new(sink: impl AuditSink + 'static) -> Self {
        AuditSettings {
            sink: Arc::new(sink),
            on_failure: OnAuditFailure::default(),
            unrecorded: Arc::default(),
        }
    }

    /// What becomes of a call whose event cannot be recorded.
    pub fn on_failure(mut self, on_failure: OnAuditFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// How many events the sink has not recorded.
    pub fn unrecorded(&self) -> u64 {
        self.unrecorded.load(Ordering::Relaxed)
    }

    /// Records an event; an error means that the call is to fail.
    pub(crate) fn record(&self, event: &AuditEvent<'_>) -> Result<(), AuditError> {
        let Err(error) = self.sink.record(event) else {
            return Ok(());
        };
        self.unrecorded.fetch_add(1, Ordering::Relaxed);
        match self.on_failure {
            OnAuditFailure::Refuse => Err(error),
            OnAuditFailure::CountAndContinue => Ok(()),
        }
    }

    /// Whether something may be changed now; an error means that it must not.
    pub(crate) fn ready(&self) -> Result<(), AuditError> {
        match self.on_failure {
            OnAuditFailure::Refuse => self.sink.ready(),
            OnAuditFailure::CountAndContinue => Ok(()),
        }
    }
}

impl fmt::Debug for AuditSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditSettings")
            .field("on_failure", &self.on_failure)
            .field("unrecorded", &self.unrecorded())
            .finish_non_exhaustive()
    }
}

/// Hands each event to a function.
///
/// ```
/// use waxseal::kms::audit::{AuditCallback, AuditSettings};
///
/// let audit = AuditSettings::new(AuditCallback::new(|event| {
///     println!("{} {:?}", event.event_name(), event.error_code());
/// }));
/// # let _ = audit;
/// ```
pub struct AuditCallback<F>(F);

impl<F: Fn(&AuditEvent<'_>) + Send + Sync> AuditCallback<F> {
    /// Calls this function with each event.
    pub fn new(function: F) -> Self {
        AuditCallback(function)
    }
}

impl<F: Fn(&AuditEvent<'_>) + Send + Sync> AuditSink for AuditCallback<F> {
    fn record(&self, event: &AuditEvent<'_>) -> Result<(), AuditError> {
        (self.0)(event);
        Ok(())
    }
}

impl<F> fmt::Debug for AuditCallback<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditCallback").finish_non_exhaustive()
    }
}

/// Several sinks at once: each gets each event, whatever becomes of the others,
/// and the first error is the whole's.
#[derive(Default)]
pub struct AuditSinks(Vec<Box<dyn AuditSink>>);

impl AuditSinks {
    /// No sink yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// And this one.
    #[must_use]
    pub fn and(mut self, sink: impl AuditSink + 'static) -> Self {
        self.0.push(Box::new(sink));
        self
    }

    fn all(
        &self,
        work: impl Fn(&dyn AuditSink) -> Result<(), AuditError>,
    ) -> Result<(), AuditError> {
        let mut result = Ok(());
        for sink in &self.0 {
            let done = work(&**sink);
            result = result.and(done);
        }
        result
    }
}

impl AuditSink for AuditSinks {
    fn record(&self, event: &AuditEvent<'_>) -> Result<(), AuditError> {
        self.all(|sink| sink.record(event))
    }

    fn ready(&self) -> Result<(), AuditError> {
        self.all(|sink| sink.ready())
    }
}

impl fmt::Debug for AuditSinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuditSinks").field(&self.0.len()).finish()
    }
}

/// Events to the crate `tracing`, as events of level `INFO` and target
/// `waxseal::kms::audit`, with the record as JSON in the field `record`.
///
/// A subscriber that is not interested, or fails, drops them: no error comes
/// back from there.
#[cfg(feature = "tracing")]
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingSink;

#[cfg(feature = "tracing")]
impl AuditSink for TracingSink {
    fn record(&self, event: &AuditEvent<'_>) -> Result<(), AuditError> {
        // The record is written only if somebody is interested.
        tracing::info!(
            target: "waxseal::kms::audit",
            event_name = event.event_name(),
            event_id = %event.event_id(),
            principal = event.principal().map(|principal| principal.arn()),
            error_code = event.error_code(),
            record = event.to_json(),
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::SystemTime;

    use super::*;
    use crate::error::texts;
    use crate::kms::audit::AuditId;

    struct Failing;

    impl AuditSink for Failing {
        fn record(&self, _: &AuditEvent<'_>) -> Result<(), AuditError> {
            Err(AuditError::other("no"))
        }

        fn ready(&self) -> Result<(), AuditError> {
            Err(AuditError::other("not now"))
        }
    }

    fn event() -> AuditEvent<'static> {
        AuditEvent::new(
            "Encrypt",
            SystemTime::UNIX_EPOCH,
            AuditId::from_bytes([0; 16]),
        )
    }

    #[test]
    fn refused_or_counted() {
        let refusing = AuditSettings::new(Failing);
        refusing.record(&event()).unwrap_err();
        refusing.ready().unwrap_err();
        let counting = AuditSettings::new(Failing).on_failure(OnAuditFailure::CountAndContinue);
        let shared = counting.clone();
        for _ in 0..3 {
            counting.ready().unwrap();
            counting.record(&event()).unwrap();
        }
        assert_eq!((refusing.unrecorded(), shared.unrecorded()), (1, 3));
    }

    #[test]
    fn each_text() {
        let path = Path::new("dir/x");
        let io = AuditError::io(path, "opened")(io::Error::other("no"));
        for (error, expected) in [
            (io, &["the audit file dir/x cannot be opened: no", "no"][..]),
            (
                AuditError::file(path, "so it is"),
                &["the audit file dir/x so it is"],
            ),
            (
                AuditError::Signing("no".into()),
                &["the audit trail cannot be signed: no"],
            ),
            (AuditError::other("no"), &["the event was not recorded: no"]),
        ] {
            assert_eq!(texts(&error), expected);
        }
    }

    #[test]
    fn each_sink_gets_it() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = |name: &'static str| {
            let seen = seen.clone();
            AuditCallback::new(move |event: &AuditEvent<'_>| {
                seen.lock()
                    .unwrap()
                    .push((name, event.event_name().to_owned()));
            })
        };
        let sinks = AuditSinks::new().and(sink("a")).and(Failing).and(sink("b"));
        let error = sinks.record(&event()).unwrap_err();
        assert_eq!(error.to_string(), "the event was not recorded: no");
        sinks.ready().unwrap_err();
        let names: Vec<_> = seen.lock().unwrap().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
