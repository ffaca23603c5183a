//! Why a document is no policy.

use std::fmt;

use crate::error::shown;

/// Why a document is no policy that this library decides by.
///
/// Nothing in a policy is ever skipped: what is not known here is an error,
/// since a condition that is not looked at would allow what its author forbade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    statement: Option<usize>,
    sid: Option<Box<str>>,
    element: Box<str>,
    reason: Box<str>,
}

impl PolicyError {
    pub(super) fn new(element: impl AsRef<str>, reason: impl Into<Box<str>>) -> Self {
        PolicyError {
            statement: None,
            sid: None,
            element: shown(element.as_ref()).into(),
            reason: reason.into(),
        }
    }

    /// Says which statement it is about.
    pub(super) fn in_statement(mut self, statement: usize, sid: Option<&str>) -> Self {
        self.statement = Some(statement);
        self.sid = sid.map(|sid| shown(sid).into());
        self
    }

    /// The statement that it is about, counted from 0; `None` when it is about
    /// the document.
    pub fn statement(&self) -> Option<usize> {
        self.statement
    }

    /// The `Sid` of the statement, if it has one.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// The element that it is about, as `Action` or
    /// `Condition.StringEquals.kms:ViaService`.
    pub fn element(&self) -> &str {
        &self.element
    }

    /// What is wrong with it.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(statement) = self.statement {
            write!(f, "Statement[{statement}]")?;
            if let Some(sid) = &self.sid {
                write!(f, " ('{sid}')")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}: {}", self.element, self.reason)
    }
}

impl std::error::Error for PolicyError {}
