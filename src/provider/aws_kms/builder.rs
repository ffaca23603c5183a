//! The settings of a provider.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use super::arn::KeyName;
use super::service::{Service, Source};
use super::{AwsKmsProvider, Inner, Mode, StrictKey};
use crate::provider::{ProviderIdentity, RetryPolicy};
use crate::runtime::{OwnRuntime, Runtime};

/// Settings that no [`AwsKmsProvider`] can have.
#[derive(Debug)]
#[non_exhaustive]
pub enum InvalidAwsKmsProvider {
    /// This is no ARN, id or alias of a key.
    Key(String),
    /// A generator was given twice.
    TwoGenerators,
    /// Neither keys nor a discovery filter were given, or both.
    Mode,
    /// The discovery filter has no partition, or no account, or an empty one.
    DiscoveryFilter,
    /// There is no Tokio runtime here, and none was given or asked for.
    NoRuntime,
    /// The runtime that was asked for cannot be started.
    Runtime(std::io::Error),
}

impl fmt::Display for InvalidAwsKmsProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(given) => write!(f, "'{given}' is no ARN, id or alias of an AWS KMS key"),
            Self::TwoGenerators => f.write_str("a provider has one generator"),
            Self::Mode => f.write_str("a provider has either keys or a discovery filter"),
            Self::DiscoveryFilter => {
                f.write_str("a discovery filter has a partition and at least one account")
            }
            Self::NoRuntime => f.write_str(
                "no Tokio runtime is here: give one, or ask for one of the provider's own",
            ),
            Self::Runtime(error) => write!(f, "the runtime cannot be started: {error}"),
        }
    }
}

impl std::error::Error for InvalidAwsKmsProvider {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Runtime(error) => Some(error),
            _ => None,
        }
    }
}

impl From<std::io::Error> for InvalidAwsKmsProvider {
    fn from(error: std::io::Error) -> Self {
        Self::Runtime(error)
    }
}

/// The settings of an [`AwsKmsProvider`].
#[must_use]
pub struct AwsKmsProviderBuilder {
    source: Source,
    generators: Vec<String>,
    keys: Vec<String>,
    discovery: Option<(String, Vec<String>)>,
    multi_region: bool,
    grant_tokens: Vec<String>,
    connect_timeout: Duration,
    request_timeout: Duration,
    retries: RetryPolicy,
    runtime: Where,
}

enum Where {
    Here,
    On(Handle),
    Own,
}

impl AwsKmsProvider {
    /// A provider with this client's credentials, Region, endpoint and HTTP
    /// client. The client itself stays as it is.
    pub fn builder(client: aws_sdk_kms::Client) -> AwsKmsProviderBuilder {
        AwsKmsProviderBuilder::new(Source::Client(client))
    }

    /// A provider with what the environment says, as every AWS tool reads it:
    /// variables, profiles, the machine's role. It is read at the first call.
    pub fn from_env() -> AwsKmsProviderBuilder {
        AwsKmsProviderBuilder::new(Source::Environment {
            region: None,
            endpoint: None,
        })
    }
}

impl AwsKmsProviderBuilder {
    fn new(source: Source) -> Self {
        AwsKmsProviderBuilder {
            source,
            generators: Vec::new(),
            keys: Vec::new(),
            discovery: None,
            multi_region: false,
            grant_tokens: Vec::new(),
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(10),
            retries: RetryPolicy::new(),
            runtime: Where::Here,
        }
    }

    /// Generates data keys under this key, and wraps and unwraps under it: an
    /// ARN, a key id or an alias, but see [which keys](AwsKmsProvider#which-keys).
    pub fn generator(mut self, key: impl Into<String>) -> Self {
        self.generators.push(key.into());
        self
    }

    /// Wraps and unwraps under this key too.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Unwraps under any key of this partition (`aws`, `aws-cn`, …) and these
    /// accounts. There is no discovery without such a filter: whoever writes a
    /// message names the key, and so who hears of it being read.
    pub fn discovery(
        mut self,
        partition: impl Into<String>,
        accounts: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let accounts = accounts.into_iter().map(Into::into).collect();
        self.discovery = Some((partition.into(), accounts));
        self
    }

    /// Takes a multi-Region key and its replicas for one. A message under one
    /// of them is opened with the one that the provider was given, or, in
    /// discovery mode, with the one in the client's own Region; there, other
    /// keys are opened only in that Region.
    pub fn multi_region(mut self) -> Self {
        self.multi_region = true;
        self
    }

    /// Sends these grant tokens with each request.
    pub fn grant_tokens(mut self, tokens: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.grant_tokens = tokens.into_iter().map(Into::into).collect();
        self
    }

    /// The Region, instead of the environment's. Of no effect on a client that
    /// was given.
    pub fn region(mut self, name: impl Into<String>) -> Self {
        if let Source::Environment { region, .. } = &mut self.source {
            *region = Some(name.into());
        }
        self
    }

    /// The address of the service, instead of the environment's: for tests, or
    /// a VPC endpoint. Of no effect on a client that was given.
    pub fn endpoint_url(mut self, url: impl Into<String>) -> Self {
        if let Source::Environment { endpoint, .. } = &mut self.source {
            *endpoint = Some(url.into());
        }
        self
    }

    /// The most time to connect in; 3 seconds by default.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// The most time for one request and its answer; 10 seconds by default.
    /// What all requests of a call may take is the retries'
    /// [total time](RetryPolicy::total_time).
    pub fn request_timeout(mut self, time: Duration) -> Self {
        self.request_timeout = time;
        self
    }

    /// When to ask the service again.
    pub fn retries(mut self, policy: RetryPolicy) -> Self {
        self.retries = policy;
        self
    }

    /// Works on this runtime, which must have I/O and time.
    pub fn on_runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Where::On(runtime);
        self
    }

    /// Works on a runtime of its own, with one thread, which ends with the
    /// provider: for programs that have none, and for blocking calls inside of
    /// one.
    pub fn on_own_runtime(mut self) -> Self {
        self.runtime = Where::Own;
        self
    }

    /// The provider. It asks the service nothing yet.
    ///
    /// # Errors
    /// See [`InvalidAwsKmsProvider`].
    pub fn build(self) -> Result<AwsKmsProvider, InvalidAwsKmsProvider> {
        let named = |text: String| match KeyName::parse(&text) {
            Some(name) => Ok(StrictKey { text, name }),
            None => Err(InvalidAwsKmsProvider::Key(text)),
        };
        if self.generators.len() > 1 {
            return Err(InvalidAwsKmsProvider::TwoGenerators);
        }
        let generator = self.generators.into_iter().next().map(named).transpose()?;
        let others: Vec<_> = self.keys.into_iter().map(named).collect::<Result<_, _>>()?;
        let first = generator.iter().chain(&others).next();
        let (label, mode) = match (first, self.discovery) {
            (Some(first), None) => {
                let label = format!("aws-kms '{}'", first.text);
                (label, Mode::Strict { generator, others })
            }
            (None, Some((partition, accounts))) => {
                let empty = accounts.iter().any(String::is_empty);
                if partition.is_empty() || accounts.is_empty() || empty {
                    return Err(InvalidAwsKmsProvider::DiscoveryFilter);
                }
                let accounts = accounts.into_iter().collect();
                let mode = Mode::Discovery {
                    partition,
                    accounts,
                };
                ("aws-kms discovery".to_owned(), mode)
            }
            _ => return Err(InvalidAwsKmsProvider::Mode),
        };
        let runtime = match self.runtime {
            Where::On(handle) => Runtime::Given(handle),
            Where::Own => Runtime::Own(Arc::new(OwnRuntime::start("waxseal aws-kms")?)),
            Where::Here => {
                let here = Handle::try_current();
                Runtime::Given(here.map_err(|_| InvalidAwsKmsProvider::NoRuntime)?)
            }
        };
        // Credentials cannot be compared, so that each one built is another.
        static BUILT: AtomicU64 = AtomicU64::new(0);
        let number = BUILT.fetch_add(1, Ordering::Relaxed);
        let service = Service::new(self.source, self.connect_timeout, self.grant_tokens);
        Ok(AwsKmsProvider(Arc::new(Inner {
            identity: ProviderIdentity::new(label, &[&number.to_be_bytes()]),
            mode,
            multi_region: self.multi_region,
            request_timeout: self.request_timeout,
            retries: self.retries,
            runtime,
            service: Arc::new(service),
        })))
    }
}

impl fmt::Debug for AwsKmsProviderBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKmsProviderBuilder")
            .field("generators", &self.generators)
            .field("keys", &self.keys)
            .field("discovery", &self.discovery)
            .field("multi_region", &self.multi_region)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::texts;

    #[test]
    fn each_text() {
        let runtime = InvalidAwsKmsProvider::from(std::io::Error::other("no"));
        for (error, expected) in [
            (
                InvalidAwsKmsProvider::Key("x".into()),
                &["'x' is no ARN, id or alias of an AWS KMS key"][..],
            ),
            (
                InvalidAwsKmsProvider::TwoGenerators,
                &["a provider has one generator"],
            ),
            (
                InvalidAwsKmsProvider::Mode,
                &["a provider has either keys or a discovery filter"],
            ),
            (
                InvalidAwsKmsProvider::DiscoveryFilter,
                &["a discovery filter has a partition and at least one account"],
            ),
            (
                InvalidAwsKmsProvider::NoRuntime,
                &["no Tokio runtime is here: give one, or ask for one of the provider's own"],
            ),
            (runtime, &["the runtime cannot be started: no", "no"]),
        ] {
            assert_eq!(texts(&error), expected);
        }
    }
}
