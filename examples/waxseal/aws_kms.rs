//! Keys of AWS KMS, where the program is built with the feature `aws-kms`.

use std::sync::Arc;

use waxseal::KeyProvider;

use crate::failure::Failure;

/// A provider under this key, with what the environment says of credentials.
#[cfg(feature = "aws-kms")]
pub(crate) fn provider(key: &str, endpoint: Option<&str>) -> Result<Arc<dyn KeyProvider>, Failure> {
    let mut builder = waxseal::AwsKmsProvider::from_env()
        .generator(key)
        .multi_region()
        .on_own_runtime();
    // A key answers in its own Region, whatever the environment's is.
    let parts: Vec<_> = key.split(':').collect();
    if let ["arn", _, _, region, ..] = parts[..] {
        builder = builder.region(region);
    }
    if let Some(endpoint) = endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    match builder.build() {
        Ok(provider) => Ok(Arc::new(provider)),
        Err(error @ waxseal::InvalidAwsKmsProvider::Runtime(_)) => {
            Err(Failure::io("cannot use AWS KMS", error))
        }
        // The text is not repeated, as with every KEYSPEC.
        Err(_) => Err(Failure::usage(
            "an AWS KMS key is aws-kms:KEY, and KEY is no ARN, id or alias of a key",
        )),
    }
}

#[cfg(not(feature = "aws-kms"))]
pub(crate) fn provider(_: &str, _: Option<&str>) -> Result<Arc<dyn KeyProvider>, Failure> {
    Err(Failure::usage(
        "this program was built without AWS KMS: build it with --features aws-kms",
    ))
}
