//! A refusal, as AWS KMS tells it.

/// The result of a request.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// A refusal: AWS's name for it, the HTTP status that goes with it, and a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: &'static str,
    pub(crate) status: u16,
    /// `None` where AWS gives none, so that a caller learns no more than the
    /// name.
    pub(crate) message: Option<String>,
    /// Whether the audit trail has it already.
    pub(crate) is_recorded: bool,
    /// The key that it is about, by its ARN, where that is known: for the trail.
    pub(crate) key_arn: Option<String>,
}

impl ApiError {
    /// A refusal by this name. AWS answers nearly all of them with 400.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        ApiError {
            code,
            status: status_of(code),
            message: Some(message.into()),
            is_recorded: false,
            key_arn: None,
        }
    }

    /// A refusal that says no more than its name.
    pub(crate) fn bare(code: &'static str) -> Self {
        ApiError {
            code,
            status: status_of(code),
            message: None,
            is_recorded: false,
            key_arn: None,
        }
    }

    /// The same, where the audit trail has it already.
    pub(crate) fn recorded(self) -> Self {
        ApiError {
            is_recorded: true,
            ..self
        }
    }

    /// The same, of this key.
    pub(crate) fn about(self, key_arn: String) -> Self {
        ApiError {
            key_arn: Some(key_arn),
            ..self
        }
    }

    /// An argument that is out of its range.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    /// A body that is not what the operation takes at all.
    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", message)
    }

    /// Something of AWS KMS's that this server does not have.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new("UnsupportedOperationException", message)
    }

    /// The body of the answer.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = serde_json::json!({ "__type": self.code });
        if let Some(message) = &self.message {
            body["message"] = message.as_str().into();
        }
        body.to_string().into_bytes()
    }
}

/// AWS KMS's API reference, "Errors" of each operation and "Common errors".
fn status_of(code: &str) -> u16 {
    match code {
        "UnknownOperationException" => 404,
        "RequestTimeoutException" => 408,
        "RequestEntityTooLargeException" => 413,
        "KMSInternalException" | "KeyUnavailableException" => 500,
        "DependencyTimeoutException" | "ServiceUnavailableException" => 503,
        _ => 400,
    }
}
