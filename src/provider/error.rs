//! What goes wrong at a provider: which operation, which key, and whether a
//! retry makes sense.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::crypto::RandomError;
use crate::message::EncryptedDataKey;

/// What a provider was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderOperation {
    /// Make a data key.
    Generate,
    /// Wrap a data key.
    Wrap,
    /// Unwrap an encrypted data key.
    Unwrap,
}

impl fmt::Display for ProviderOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generate => "generate a data key",
            Self::Wrap => "wrap a data key",
            Self::Unwrap => "unwrap a data key",
        })
    }
}

/// Why a provider could not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderErrorKind {
    /// The encrypted data key is for no key that this provider was configured
    /// for.
    NotConfigured,
    /// The encrypted data key does not decrypt under this key and context: it
    /// is damaged, bound to another context, or made by another key.
    InvalidCiphertext,
    /// The provider does not do this operation, or not for this suite.
    Unsupported,
    /// The caller may not use this key.
    AccessDenied,
    /// The key is there, and its state forbids the operation.
    KeyDisabled,
    /// There is no such key.
    NotFound,
    /// Too many calls: retry, after the time given if one is.
    Throttled {
        /// How long the service asks to wait.
        retry_after: Option<Duration>,
    },
    /// The service cannot be reached or is failing: retry later.
    Unavailable,
    /// No answer within the time limit: retry later.
    TimedOut,
    /// The provider answered with something that breaks its protocol.
    InvalidResponse,
    /// Waiting here would block the thread that has to do the work.
    WouldBlock,
    /// The random source failed.
    Random,
    /// Something else; the source says what.
    Other,
}

impl ProviderErrorKind {
    fn text(self) -> &'static str {
        match self {
            Self::NotConfigured => "it is for no key that this provider was configured for",
            Self::InvalidCiphertext => "it does not decrypt under this key and context",
            Self::Unsupported => "the provider does not do this",
            Self::AccessDenied => "access denied",
            Self::KeyDisabled => "the key's state forbids it",
            Self::NotFound => "no such key",
            Self::Throttled { .. } => "too many calls",
            Self::Unavailable => "the service is unavailable",
            Self::TimedOut => "no answer within the time limit",
            Self::InvalidResponse => "the answer breaks the protocol",
            Self::WouldBlock => "waiting here would block the thread that has to do the work",
            Self::Random => "the random source failed",
            Self::Other => "it failed",
        }
    }
}

/// A provider's error: which operation, which provider and key, what kind, and
/// the cause where there is one.
///
/// A clone is the same error: callers that wait for one call of a provider share
/// it.
#[derive(Clone, Debug)]
pub struct ProviderError(Arc<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    operation: ProviderOperation,
    kind: ProviderErrorKind,
    provider: String,
    key: Option<String>,
    request_id: Option<String>,
    attempts: u32,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl ProviderError {
    /// An error of this provider (by its identity's label).
    pub fn new(
        operation: ProviderOperation,
        kind: ProviderErrorKind,
        provider: impl Into<String>,
    ) -> Self {
        ProviderError(Arc::new(Parts {
            operation,
            kind,
            provider: provider.into(),
            key: None,
            request_id: None,
            attempts: 1,
            source: None,
        }))
    }

    pub(crate) fn random(
        operation: ProviderOperation,
        provider: impl Into<String>,
        error: RandomError,
    ) -> Self {
        Self::new(operation, ProviderErrorKind::Random, provider).with_source(error)
    }

    /// Names the wrapping key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).key = Some(key.into());
        self
    }

    /// Adds the service's id of the request.
    #[must_use]
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).request_id = Some(id.into());
        self
    }

    /// Adds the cause. It must not depend on secret bytes.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source: Box<dyn StdError + Send + Sync> = source.into();
        Arc::make_mut(&mut self.0).source = Some(source.into());
        self
    }

    /// What was asked.
    pub fn operation(&self) -> ProviderOperation {
        self.0.operation
    }

    /// Why it failed.
    pub fn kind(&self) -> ProviderErrorKind {
        self.0.kind
    }

    /// The provider's label.
    pub fn provider(&self) -> &str {
        &self.0.provider
    }

    /// The wrapping key's name, where one was tried.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// The service's id of the request, where it gave one.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// Says how often it was tried, unless a retry layer below has said more.
    pub(crate) fn set_attempts(&mut self, attempts: u32) {
        let parts = Arc::make_mut(&mut self.0);
        parts.attempts = parts.attempts.max(attempts);
    }

    /// How often it was tried: more than once only by a
    /// [retry layer](crate::RetryProvider). The error is the last try's.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.0.kind,
            ProviderErrorKind::Throttled { .. }
                | ProviderErrorKind::Unavailable
                | ProviderErrorKind::TimedOut
        )
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &*self.0;
        write!(f, "{} could not {}", parts.provider, parts.operation)?;
        match (&parts.key, parts.kind) {
            // The key that there is was not tried.
            (Some(key), ProviderErrorKind::NotConfigured) => {
                write!(f, ": {} ('{key}')", parts.kind.text())?;
            }
            (Some(key), kind) => write!(f, " under key '{key}': {}", kind.text())?,
            (None, kind) => write!(f, ": {}", kind.text())?,
        }
        if let ProviderErrorKind::Throttled {
            retry_after: Some(after),
        } = parts.kind
        {
            write!(f, " (retry after {} ms)", after.as_millis())?;
        }
        if parts.attempts > 1 {
            write!(f, " (after {} attempts)", parts.attempts)?;
        }
        if let Some(source) = &parts.source {
            write!(f, " ({source})")?;
        }
        if let Some(id) = &parts.request_id {
            write!(f, " [request {id}]")?;
        }
        Ok(())
    }
}

impl StdError for ProviderError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Why one encrypted data key did not unwrap.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UnwrapFailure {
    /// Which of the message's encrypted data keys, from 0.
    pub index: usize,
    /// Its provider id.
    pub provider_id: String,
    /// Its key info, with what is not printable ASCII escaped.
    pub key_info: String,
    /// Why: of each provider that was asked and had something to say.
    pub causes: Vec<ProviderError>,
}

/// No encrypted data key could be unwrapped: for each, why.
#[derive(Clone, Debug, Default)]
pub struct UnwrapFailures(Vec<UnwrapFailure>);

/// How much of a hostile message's text an error repeats, in bytes.
const SHOWN: usize = 200;

/// How many failures the text of an error lists; [`UnwrapFailures::iter`] has
/// all of them.
const LISTED: usize = 16;

impl UnwrapFailures {
    /// No failures yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the cause for the encrypted data key of this index.
    pub fn push(&mut self, index: usize, edk: &EncryptedDataKey, cause: ProviderError) {
        match self.place(index) {
            Ok(place) => self.0[place].causes.push(cause),
            Err(place) => {
                let failure = UnwrapFailure {
                    index,
                    provider_id: shown(edk.provider_id().as_bytes()),
                    key_info: shown(edk.key_info()),
                    causes: vec![cause],
                };
                self.0.insert(place, failure);
            }
        }
    }

    /// Where the failure of this index is, or belongs. They are sorted, so
    /// that a header of many encrypted data keys does not cost their square.
    fn place(&self, index: usize) -> Result<usize, usize> {
        self.0.binary_search_by_key(&index, |failure| failure.index)
    }

    /// Adds what another provider said of the same encrypted data keys. That a
    /// key is not one's own is worth saying only where nobody says more.
    pub(crate) fn merge(&mut self, other: UnwrapFailures) {
        for theirs in other.0 {
            let mine = match self.place(theirs.index) {
                Ok(place) => &mut self.0[place],
                Err(place) => {
                    self.0.insert(place, theirs);
                    continue;
                }
            };
            mine.causes.extend(theirs.causes);
            let own = |cause: &ProviderError| cause.kind() != ProviderErrorKind::NotConfigured;
            if mine.causes.iter().any(own) {
                mine.causes.retain(own);
            } else {
                mine.causes.truncate(1);
            }
        }
    }

    /// The failures, by the message's order.
    pub fn iter(&self) -> impl Iterator<Item = &UnwrapFailure> {
        self.0.iter()
    }

    /// All causes, to say more of each.
    pub(crate) fn causes_mut(&mut self) -> impl Iterator<Item = &mut ProviderError> {
        self.0.iter_mut().flat_map(|failure| &mut failure.causes)
    }

    /// All causes.
    pub(crate) fn causes(&self) -> impl Iterator<Item = &ProviderError> {
        self.0.iter().flat_map(|failure| &failure.causes)
    }

    /// Whether a retry makes sense for at least one of them.
    pub fn is_retryable(&self) -> bool {
        self.causes().any(ProviderError::is_retryable)
    }
}

fn shown(bytes: &[u8]) -> String {
    let mut text = bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string();
    if bytes.len() > SHOWN {
        text.push('…');
    }
    text
}

impl fmt::Display for UnwrapFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "none of the encrypted data keys could be unwrapped")?;
        for failure in self.0.iter().take(LISTED) {
            // A raw AES key's name, without the binary lengths and IV after it.
            let (name, cut) = match failure.key_info.split_once("\\x00") {
                Some((name, _)) if !name.is_empty() => (name, "…"),
                _ => (failure.key_info.as_str(), ""),
            };
            let (index, provider_id) = (failure.index, &failure.provider_id);
            write!(
                f,
                "; #{index} (provider '{provider_id}', key info '{name}{cut}'):"
            )?;
            for (number, cause) in failure.causes.iter().enumerate() {
                write!(f, "{} {cause}", if number > 0 { "," } else { "" })?;
            }
        }
        match self.0.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl StdError for UnwrapFailures {}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(kind: ProviderErrorKind) -> ProviderError {
        ProviderError::new(ProviderOperation::Unwrap, kind, "a provider")
    }

    fn found(failures: &UnwrapFailures) -> Vec<(usize, usize)> {
        let each = |failure: &UnwrapFailure| (failure.index, failure.causes.len());
        failures.iter().map(each).collect()
    }

    #[test]
    fn failures_stand_in_the_messages_order() {
        let edk = EncryptedDataKey::new("p", "k", "c").unwrap();
        let mut failures = UnwrapFailures::new();
        for index in [2, 0, 1, 2] {
            failures.push(index, &edk, cause(ProviderErrorKind::InvalidCiphertext));
        }
        assert_eq!(found(&failures), [(0, 1), (1, 1), (2, 2)]);
    }

    #[test]
    fn the_text_names_the_key_and_has_an_end() {
        let edk = EncryptedDataKey::new("p", *b"name\0\0\0\x80\0\0\0\x0c", "c").unwrap();
        let mut failures = UnwrapFailures::new();
        for index in 0..1000 {
            failures.push(index, &edk, cause(ProviderErrorKind::NotFound));
        }
        let text = failures.to_string();
        assert!(text.contains("#0 (provider 'p', key info 'name…'): a provider could not"));
        assert!(
            text.ends_with("; and 984 more") && text.len() < 4000,
            "{text}"
        );
        assert_eq!(failures.iter().count(), 1000);
    }

    #[test]
    fn merged_failures_say_more_than_not_configured() {
        use ProviderErrorKind::{AccessDenied, NotConfigured, Unavailable};
        let edk = EncryptedDataKey::new("p", "k", "c").unwrap();
        let failures = |kinds: &[(usize, ProviderErrorKind)]| {
            let mut failures = UnwrapFailures::new();
            for (index, kind) in kinds {
                failures.push(*index, &edk, cause(*kind));
            }
            failures
        };
        let mut all = failures(&[(1, NotConfigured), (3, Unavailable), (4, NotConfigured)]);
        all.merge(failures(&[
            (0, NotConfigured),
            (1, AccessDenied),
            (3, AccessDenied),
            (4, NotConfigured),
        ]));
        assert_eq!(found(&all), [(0, 1), (1, 1), (3, 2), (4, 1)]);
        assert_eq!(all.iter().nth(1).unwrap().causes[0].kind(), AccessDenied);
        assert!(all.is_retryable());
    }
}
