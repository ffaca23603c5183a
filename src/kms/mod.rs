//! The embedded KMS.

mod error;
#[allow(dead_code)] // the vault and the keys are to use it
mod seal;
#[allow(dead_code)]
mod state;
pub mod store;

#[cfg(feature = "aws-lc-rs")]
#[cfg_attr(docsrs, doc(cfg(feature = "aws-lc-rs")))]
pub use crate::crypto::{WrappingAlgorithm, WrappingKeySpec};
pub use error::{KmsError, KmsResult, RecordProblem};
pub use state::{KeyState, Operation};
