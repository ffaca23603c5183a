//! AWS KMS's JSON protocol: which operations there are, what a request to each
//! may hold, and how a refusal is told. Bytes in, values out: no keys, no I/O,
//! so that it can be fuzzed alone.

mod decode;
mod error;
mod fields;
mod model;
mod shape;

pub(crate) use decode::{Request, operation_of};
pub(crate) use error::{ApiError, ApiResult};
pub(crate) use fields::Fields;
pub(crate) use model::Operation;
