//! Certificates: one that is trusted, and those that are not.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use rcgen::{CertificateParams, CertifiedKey, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use waxseal::blocking::Client;
use waxseal::{AwsKmsProvider, EncryptionContext, ProviderErrorKind, RetryPolicy};
use waxseal_interop_aws_kms::{Double, REGION, arn, settings};

use super::cause;

/// TLS before a double: with a certificate of its own for these names.
struct Front {
    endpoint: String,
    certificate: String,
    runtime: tokio::runtime::Runtime,
    double: Double,
}

impl Front {
    fn start(names: &[&str], is_expired: bool) -> Self {
        let double = Double::start();
        let upstream = double.endpoint().replace("http://", "");
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        if is_expired {
            parameters.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let signing_key = KeyPair::generate().unwrap();
        let cert = parameters.self_signed(&signing_key).unwrap();
        let CertifiedKey { cert, signing_key } = CertifiedKey { cert, signing_key };
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("https://{}", listener.local_addr().unwrap());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
                tokio::spawn(async move {
                    let mut client = acceptor.accept(stream).await?;
                    let mut service = TcpStream::connect(upstream).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut service).await
                });
            }
        });
        Front {
            endpoint,
            certificate: cert.pem(),
            runtime,
            double,
        }
    }

    /// A client that trusts this certificate, or only the machine's.
    fn client(&self, trusted: Option<&str>) -> Client {
        let mut settings = settings(&self.endpoint, REGION, "test", "test");
        if let Some(certificate) = trusted {
            let store = TrustStore::empty().with_pem_certificate(certificate);
            let context = TlsContext::builder().with_trust_store(store);
            let http = Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                .tls_context(context.build().unwrap())
                .build_https();
            settings = settings.http_client(http);
        }
        let sdk = aws_sdk_kms::Client::from_conf(settings.build());
        let provider = AwsKmsProvider::builder(sdk)
            .on_runtime(self.runtime.handle().clone())
            .generator(arn("one"))
            .retries(RetryPolicy::new().total_time(Duration::from_secs(60)))
            .build();
        Client::new(provider.unwrap())
    }
}

#[test]
fn a_certificate_that_is_trusted() {
    let front = Front::start(&["127.0.0.1"], false);
    let client = front.client(Some(&front.certificate));
    let context = EncryptionContext::new();
    let message = client.encrypt(b"text", &context).unwrap();
    assert!(client.decrypt(&message, &context).is_ok());
}

/// Nothing is asked of whoever shows it, and not again.
#[test]
fn a_wrong_certificate() {
    let good = Front::start(&["127.0.0.1"], false);
    let another_name = Front::start(&["kms.us-east-1.amazonaws.com"], false);
    let expired = Front::start(&["127.0.0.1"], true);
    for client in [
        good.client(None),
        good.client(Some(&another_name.certificate)),
        another_name.client(Some(&another_name.certificate)),
        expired.client(Some(&expired.certificate)),
    ] {
        let error = client.encrypt(b"text", &EncryptionContext::new());
        let error = cause(error.unwrap_err());
        assert_eq!(error.kind(), ProviderErrorKind::InvalidResponse, "{error}");
        assert_eq!(error.attempts(), 1, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    for front in [&good, &another_name, &expired] {
        assert_eq!(front.double.requests(), 0);
    }
}
