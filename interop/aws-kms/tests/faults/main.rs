//! What goes wrong between the provider and the service: each fault gives its
//! own kind of error within the time limits, and the provider recovers when the
//! service does.

mod tls;

use std::time::Duration;

use waxseal::blocking::Client;
use waxseal::{AwsKmsProvider, EncryptionContext, Error, ProviderError, ProviderErrorKind};
use waxseal::{Result, RetryPolicy};
use waxseal_interop_aws_kms::{Double, Fault, Proxy, arn, client};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

/// A client of a double, with a proxy between them.
struct World {
    proxy: Proxy,
    client: Client,
    context: EncryptionContext,
    /// Written before anything went wrong.
    message: Vec<u8>,
    _double: Double,
}

impl World {
    fn new(request_timeout: Duration, retries: RetryPolicy) -> Self {
        let double = Double::start();
        let proxy = Proxy::before(&double.endpoint());
        let provider = AwsKmsProvider::builder(client(&proxy.endpoint()))
            .on_own_runtime()
            .generator(arn("one"))
            .request_timeout(request_timeout)
            .retries(retries)
            .build()
            .unwrap();
        let client = Client::new(provider);
        let context = EncryptionContext::from([("tenant", "7")]);
        let message = client.encrypt(b"text", &context).unwrap();
        World {
            proxy,
            client,
            context,
            message,
            _double: double,
        }
    }

    fn encrypt(&self) -> Result<Vec<u8>> {
        self.client.encrypt(b"text", &self.context)
    }

    fn decrypt(&self) -> Result<()> {
        self.client
            .decrypt(&self.message, &self.context)
            .map(|decrypted| assert_eq!(decrypted.plaintext, b"text"))
    }

    /// Both operations fail so; and when the fault is over, both work.
    fn fails(&self, fault: &Fault, kind: ProviderErrorKind) -> Vec<ProviderError> {
        self.proxy.set(fault.clone());
        let errors = vec![
            cause(self.encrypt().unwrap_err()),
            cause(self.decrypt().unwrap_err()),
        ];
        for error in &errors {
            assert_eq!(error.kind(), kind, "{fault:?}: {error}");
            assert_eq!(error.key(), Some(&*arn("one")), "{fault:?}: {error}");
        }
        self.proxy.set(Fault::None);
        self.encrypt().unwrap();
        self.decrypt().unwrap();
        errors
    }
}

fn cause(error: Error) -> ProviderError {
    match error {
        Error::Provider(error) => error,
        Error::Unwrap(failures) => {
            let mut causes = failures.iter().flat_map(|failure| failure.causes.clone());
            causes.next().expect("a cause")
        }
        error => panic!("{error}"),
    }
}

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Fault {
    Fault::Answer {
        status,
        headers: headers.to_vec(),
        body,
    }
}

fn throttled(milliseconds: Option<u64>) -> ProviderErrorKind {
    ProviderErrorKind::Throttled {
        retry_after: milliseconds.map(Duration::from_millis),
    }
}

const THROTTLING: &str = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
const LIMIT: &str = r#"{"__type":"LimitExceededException","message":"too many"}"#;
const INTERNAL: &str = r#"{"__type":"KMSInternalException","message":"sorry"}"#;
const UNAVAILABLE: &str = r#"{"__type":"KeyUnavailableException","message":"later"}"#;
const INCORRECT: &str = r#"{"__type":"IncorrectKeyException","message":"no"}"#;

/// Faults that show at once, and their kinds.
fn at_once() -> Vec<(Fault, ProviderErrorKind)> {
    use ProviderErrorKind::{InvalidCiphertext, InvalidResponse, Other, Unavailable};
    vec![
        (Fault::Refuse, Unavailable),
        (Fault::ResetBeforeAnswer, Unavailable),
        (Fault::ResetInBody, Unavailable),
        (Fault::EndInBody, Unavailable),
        (Fault::EndlessBody, InvalidResponse),
        (answer(429, &[], ""), throttled(None)),
        (
            answer(429, &[("retry-after", "2")], "slow down"),
            throttled(Some(2000)),
        ),
        (answer(400, &[], THROTTLING), throttled(None)),
        (
            answer(400, &[("retry-after", "1")], THROTTLING),
            throttled(Some(1000)),
        ),
        (
            answer(400, &[("x-amz-retry-after", "70")], LIMIT),
            throttled(Some(70)),
        ),
        (answer(500, &[], ""), Unavailable),
        (answer(500, &[], INTERNAL), Unavailable),
        (answer(500, &[], UNAVAILABLE), Unavailable),
        (answer(502, &[], "<html>bad gateway</html>"), Unavailable),
        (answer(503, &[], "{"), Unavailable),
        (answer(200, &[], "garbage"), InvalidResponse),
        (answer(200, &[], ""), InvalidResponse),
        (answer(200, &[], "[]"), InvalidResponse),
        (answer(200, &[], r#"{"KeyId":7}"#), InvalidResponse),
        (answer(200, &[], r#"{"Plaintext":"%%%"}"#), InvalidResponse),
        (
            answer(301, &[("location", "http://127.0.0.1/")], ""),
            InvalidResponse,
        ),
        (answer(400, &[], "garbage"), InvalidResponse),
        (answer(400, &[], INCORRECT), InvalidCiphertext),
        (
            answer(400, &[], r#"{"__type":"ValidationException"}"#),
            Other,
        ),
        (
            Fault::Rewrite {
                from: "key/one".to_owned(),
                to: "key/two".to_owned(),
            },
            InvalidResponse,
        ),
    ]
}

#[test]
fn each_fault_has_its_kind() {
    let world = World::new(LONG, RetryPolicy::never().total_time(LONG));
    for (fault, kind) in at_once() {
        world.fails(&fault, kind);
    }
}

#[test]
fn the_services_request_id_is_told() {
    let world = World::new(LONG, RetryPolicy::never().total_time(LONG));
    let fault = answer(400, &[("x-amzn-requestid", "request-7")], THROTTLING);
    for error in world.fails(&fault, throttled(None)) {
        assert_eq!(error.request_id(), Some("request-7"));
        let text = error.to_string();
        assert!(
            text.contains("ThrottlingException: Rate exceeded"),
            "{text}"
        );
    }
}

#[test]
fn what_takes_too_long_times_out() {
    let world = World::new(SHORT, RetryPolicy::never().total_time(LONG));
    for fault in [Fault::SlowHeaders, Fault::Silence] {
        for error in world.fails(&fault, ProviderErrorKind::TimedOut) {
            assert!(error.is_retryable());
        }
    }
}

#[test]
fn the_total_time_is_for_all_attempts() {
    let policy = RetryPolicy::new()
        .max_attempts(u32::MAX)
        .base_delay(Duration::from_millis(1))
        .total_time(SHORT);
    let world = World::new(LONG, policy);
    world.fails(&Fault::Silence, ProviderErrorKind::TimedOut);
    let refused = world.fails(&Fault::ResetBeforeAnswer, ProviderErrorKind::Unavailable);
    assert!(refused.iter().all(|error| error.attempts() > 1));
}

/// An address that answers nothing to a connection: its queue is full.
#[test]
fn a_connection_that_is_not_made_times_out() {
    let full = FullQueue::new();
    let provider = AwsKmsProvider::builder(client(&full.endpoint))
        .on_own_runtime()
        .generator(arn("one"))
        .connect_timeout(SHORT)
        .request_timeout(LONG)
        .retries(RetryPolicy::never().total_time(LONG))
        .build()
        .unwrap();
    let client = Client::new(provider);
    let error = client.encrypt(b"text", &EncryptionContext::new());
    let error = cause(error.unwrap_err());
    assert_eq!(error.kind(), ProviderErrorKind::TimedOut);
    // By this limit, and none of the SDK's own.
    assert!(error.to_string().contains("300ms"), "{error}");
}

struct FullQueue {
    endpoint: String,
    _listener: std::net::TcpListener,
    _waiting: Vec<std::net::TcpStream>,
}

impl FullQueue {
    /// Linux has at least as many places as asked for; it is filled until
    /// a further connection is not made.
    fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, SHORT) {
            waiting.push(stream);
            assert!(waiting.len() < 100_000, "its queue has no end");
        }
        FullQueue {
            endpoint: format!("http://{address}"),
            _listener: listener,
            _waiting: waiting,
        }
    }
}

fn quick(attempts: u32) -> RetryPolicy {
    RetryPolicy::new()
        .max_attempts(attempts)
        .base_delay(Duration::from_millis(1))
        .total_time(LONG)
}

/// A fault that passes is not seen where a retry makes sense, and asked once
/// where it makes none.
#[test]
fn retries_get_over_what_passes() {
    let world = World::new(LONG, quick(3));
    for (fault, kind) in at_once() {
        if matches!(fault, Fault::Refuse) {
            continue;
        }
        let passes = kind == ProviderErrorKind::Unavailable
            || matches!(kind, ProviderErrorKind::Throttled { .. });
        world.proxy.set_for(2, fault.clone());
        let before = world.proxy.requests();
        let result = world.encrypt();
        assert_eq!(result.is_ok(), passes, "{fault:?}");
        let asked = world.proxy.requests() - before;
        assert_eq!(asked, if passes { 3 } else { 1 }, "{fault:?}");
        if passes {
            world.proxy.set_for(2, fault.clone());
            world.decrypt().unwrap();
        }
    }
    let world = World::new(SHORT, quick(3));
    for fault in [Fault::SlowHeaders, Fault::Silence] {
        world.proxy.set_for(2, fault);
        world.encrypt().unwrap();
    }
}

#[test]
fn the_last_error_says_how_often_it_was_tried() {
    let world = World::new(LONG, quick(3));
    for error in world.fails(&answer(503, &[], ""), ProviderErrorKind::Unavailable) {
        assert_eq!(error.attempts(), 3);
    }
    // A wait beyond the total time is not begun.
    let fault = answer(429, &[("retry-after", "3600")], "");
    for error in world.fails(&fault, throttled(Some(3_600_000))) {
        assert_eq!(error.attempts(), 1);
    }
}

/// The SDK's own retries are off: one attempt is one request.
#[test]
fn the_sdk_does_not_retry() {
    let world = World::new(LONG, RetryPolicy::never());
    for (fault, _) in at_once() {
        if matches!(fault, Fault::Refuse) {
            continue;
        }
        world.proxy.set(fault.clone());
        let before = world.proxy.requests();
        world.encrypt().unwrap_err();
        assert_eq!(world.proxy.requests() - before, 1, "{fault:?}");
    }
}

/// The most attempts are each request's; a call may make several.
#[test]
fn each_request_of_a_call_has_its_attempts() {
    let double = Double::start();
    let proxy = Proxy::before(&double.endpoint());
    let provider = AwsKmsProvider::builder(client(&proxy.endpoint()))
        .on_own_runtime()
        .generator(arn("one"))
        .key(arn("two"))
        .key(arn("three"))
        .retries(quick(2))
        .build();
    let client = Client::new(provider.unwrap());
    proxy.set_alternating(answer(503, &[], ""));
    client.encrypt(b"text", &EncryptionContext::new()).unwrap();
    assert_eq!(proxy.requests(), 6);
}
