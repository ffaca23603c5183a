//! What an error of the SDK's is to who asked for a data key.

use std::error::Error;
use std::io;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::operation::RequestId;

use super::super::ProviderErrorKind;
use super::limit::TooLong;

/// Why a call failed: what a [`ProviderError`](crate::ProviderError) says,
/// without what only the provider knows.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: ProviderErrorKind,
    pub(super) request_id: Option<String>,
    pub(super) source: String,
}

/// How much of what a service says is repeated, in bytes.
const SHOWN: usize = 300;

impl Failure {
    pub(super) fn new(kind: ProviderErrorKind, source: impl Into<String>) -> Self {
        Failure {
            kind,
            request_id: None,
            source: source.into(),
        }
    }

    pub(super) fn with_request_id(mut self, id: Option<&str>) -> Self {
        self.request_id = id.map(shown);
        self
    }

    pub(super) fn from_sdk<E>(error: &SdkError<E>) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        let code = error
            .as_service_error()
            .and_then(|error| error.meta().code());
        let kind = match error {
            SdkError::TimeoutError(_) => ProviderErrorKind::TimedOut,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => {
                ProviderErrorKind::TimedOut
            }
            SdkError::DispatchFailure(_) => not_sent(error),
            SdkError::ResponseError(_) if find::<TooLong>(error).is_some() => {
                ProviderErrorKind::InvalidResponse
            }
            // The connection broke while the answer was read.
            SdkError::ResponseError(_) => ProviderErrorKind::Unavailable,
            SdkError::ServiceError(answer) => {
                let (status, headers) = (answer.raw().status().as_u16(), answer.raw().headers());
                let after = retry_after(|name| headers.get(name));
                refused(status, code.unwrap_or_default(), after)
            }
            _ => ProviderErrorKind::Other,
        };
        let source = match (code, error.as_service_error()) {
            (Some(code), Some(error)) => match error.meta().message() {
                Some(message) => shown(&format!("{code}: {message}")),
                None => shown(code),
            },
            _ => shown(&chain(error)),
        };
        Failure::new(kind, source).with_request_id(error.request_id())
    }
}

/// Why nothing was sent, or nothing came back.
fn not_sent(error: &(dyn Error + 'static)) -> ProviderErrorKind {
    match find::<CredentialsError>(error) {
        Some(CredentialsError::ProviderTimedOut(_)) => return ProviderErrorKind::TimedOut,
        Some(
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_),
        ) => return ProviderErrorKind::AccessDenied,
        Some(_) => return ProviderErrorKind::Unavailable,
        None => {}
    }
    // What a TLS library says of a peer that it cannot trust or understand:
    // whoever answers, it is not the service, and asking again helps nobody.
    let untrusted = causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::InvalidData);
    if untrusted {
        return ProviderErrorKind::InvalidResponse;
    }
    ProviderErrorKind::Unavailable
}

/// What the service's error means, by its code, and where that is unknown by
/// the status (KMS API reference, "Common Errors" and each operation's).
fn refused(status: u16, code: &str, retry_after: Option<Duration>) -> ProviderErrorKind {
    match code {
        "AccessDeniedException"
        | "AccessDenied"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidClientTokenId"
        | "InvalidGrantTokenException"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => ProviderErrorKind::AccessDenied,
        "DisabledException" | "KMSInvalidStateException" => ProviderErrorKind::KeyDisabled,
        "NotFoundException" | "InvalidArnException" => ProviderErrorKind::NotFound,
        "InvalidCiphertextException" | "IncorrectKeyException" => {
            ProviderErrorKind::InvalidCiphertext
        }
        "InvalidKeyUsageException" => ProviderErrorKind::Unsupported,
        "BandwidthLimitExceeded"
        | "LimitExceededException"
        | "PriorRequestNotComplete"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown"
        | "ThrottledException"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequestsException" => ProviderErrorKind::Throttled { retry_after },
        // The service's word on it: "You can retry the request."
        "DependencyTimeoutException"
        | "InternalFailure"
        | "InternalServerError"
        | "KMSInternalException"
        | "KeyUnavailableException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => ProviderErrorKind::Unavailable,
        _ => match status {
            429 => ProviderErrorKind::Throttled { retry_after },
            408 | 500.. => ProviderErrorKind::Unavailable,
            401 | 403 => ProviderErrorKind::AccessDenied,
            // An error of the service's that is not known here.
            400..500 if !code.is_empty() => ProviderErrorKind::Other,
            // No error and no answer of this protocol.
            _ => ProviderErrorKind::InvalidResponse,
        },
    }
}

fn retry_after<'a>(header: impl Fn(&'static str) -> Option<&'a str>) -> Option<Duration> {
    let number = |name| header(name)?.trim().parse::<u32>().ok().map(u64::from);
    let exact = number("x-amz-retry-after").map(Duration::from_millis);
    exact.or_else(|| number("retry-after").map(Duration::from_secs))
}

/// An error and its causes.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        // The source of one that wraps another is the other's source.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// An error and its causes, each said once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error).map(ToString::to_string) {
        if text.len() > SHOWN {
            break;
        }
        if !text.ends_with(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    text
}

/// A peer's text, with an end and on one line.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    shown.retain(|character| !character.is_control());
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_statuses() {
        use ProviderErrorKind::*;
        let throttled = Throttled { retry_after: None };
        for (status, code, kind) in [
            (400, "AccessDeniedException", AccessDenied),
            (400, "DisabledException", KeyDisabled),
            (400, "KMSInvalidStateException", KeyDisabled),
            (400, "NotFoundException", NotFound),
            (400, "InvalidCiphertextException", InvalidCiphertext),
            (400, "IncorrectKeyException", InvalidCiphertext),
            (400, "InvalidKeyUsageException", Unsupported),
            (400, "ThrottlingException", throttled),
            (400, "LimitExceededException", throttled),
            (500, "KeyUnavailableException", Unavailable),
            (500, "KMSInternalException", Unavailable),
            (400, "ValidationException", Other),
            (429, "", throttled),
            (503, "", Unavailable),
            (500, "NoSuchError", Unavailable),
            (403, "", AccessDenied),
            (400, "", InvalidResponse),
            (302, "", InvalidResponse),
            (200, "", InvalidResponse),
        ] {
            assert_eq!(refused(status, code, None), kind, "{status} {code}");
        }
    }

    #[test]
    fn the_services_delay() {
        let after = |pairs: &'static [(&'static str, &'static str)]| {
            retry_after(|name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1))
        };
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[("retry-after", "2")]), Some(Duration::from_secs(2)));
        let exact = after(&[("retry-after", "2"), ("x-amz-retry-after", "150")]);
        assert_eq!(exact, Some(Duration::from_millis(150)));
        for text in [
            "-1",
            "1.5",
            "99999999999999999999",
            "Wed, 21 Oct 2026 07:28:00 GMT",
        ] {
            assert_eq!(
                retry_after(|name| (name == "retry-after").then_some(text)),
                None
            );
        }
    }

    #[test]
    fn a_peers_text_has_an_end() {
        assert_eq!(shown("a\r\nb\u{1b}[0m"), "ab[0m");
        assert_eq!(shown(&"é".repeat(1000)).chars().count(), SHOWN + 1);
    }
}
