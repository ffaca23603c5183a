//! The embedded KMS.

mod error;
#[allow(dead_code)] // the keys are to use it
mod seal;
#[allow(dead_code)]
mod state;
pub mod store;
#[allow(dead_code)] // the keys are to use it
mod vault;

pub use error::{KmsError, KmsResult, RecordProblem};
pub use state::{KeyState, Operation};
pub use vault::{ImportReport, PassphraseCost, RootKey};
