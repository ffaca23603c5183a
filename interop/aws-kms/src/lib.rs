//! What the AWS KMS provider is tested against without a server: a double of
//! the service, and a proxy that makes faults before it or any other.

mod double;
mod http;
mod proxy;
mod server;

pub use double::{ACCOUNT, Double, REGION, arn};
pub use proxy::{Fault, Proxy};

use aws_credential_types::Credentials;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::{BehaviorVersion, Builder, Region};

/// The settings of a client of the service at this address, with these
/// credentials.
pub fn settings(endpoint: &str, region: &str, access_key: &str, secret: &str) -> Builder {
    let credentials = Credentials::new(access_key, secret, None, None, "test");
    Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(credentials)
        .endpoint_url(endpoint)
}

/// A client of a double, or of what stands before it.
pub fn client(endpoint: &str) -> Client {
    client_in(endpoint, REGION)
}

/// The same, in this Region.
pub fn client_in(endpoint: &str, region: &str) -> Client {
    Client::from_conf(settings(endpoint, region, "test", "test").build())
}
