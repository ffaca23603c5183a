//! What becomes of a request: who sent it, what it asks, and the answer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, USER_AGENT};
use hyper::{Method, Uri};
use waxseal::Clock as _;
use waxseal::blocking::wait;
use waxseal::kms::audit::{AuditEvent, AuditFile, AuditId, AuditSink as _};
use waxseal::kms::policy::IdentityPolicy;
use waxseal::kms::{self, DueReport, Scheduler};

use crate::accounts::Accounts;
use crate::args::{Args, ClockArg};
use crate::audit;
use crate::clock::ServerClock;
use crate::operations::{self, Materials, Session};
use crate::protocol::{ApiError, ApiResult, Request, operation_of};
use crate::sigv4::{self, Authorization, Signed};

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
/// How often the schedulers look whether something is due.
const SCHEDULE: Duration = Duration::from_secs(5);
/// A key may have several things due, one after the other.
const MAX_ROUNDS: usize = 16;
const MAX_USER_AGENT: usize = 256;
const MAX_EVENT_NAME: usize = 64;

/// A request as it came, its body read.
pub(crate) struct Incoming {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: ApiResult<Bytes>,
    pub(crate) peer: IpAddr,
}

/// Somebody who may call.
pub(crate) struct Caller {
    credentials: Credentials,
    /// With the principal's policies.
    caller: kms::Caller,
}

/// The accounts, and who may call.
pub(crate) struct Server {
    pub(crate) region: String,
    pub(crate) accounts: Accounts,
    pub(crate) materials: Materials,
    callers: HashMap<String, Caller>,
    audit: Option<Arc<AuditFile>>,
    clock: ServerClock,
    is_clock_virtual: bool,
}

impl Server {
    pub(crate) fn new(args: &Args) -> Result<Self, String> {
        let clock = ServerClock::default();
        let audit = audit::open(args)?;
        let accounts = Accounts::open(args, &clock, audit.as_ref())?;
        let mut callers = HashMap::new();
        for given in &args.credentials {
            let id = given.access_key_id.clone();
            let secret = std::str::from_utf8(given.secret.expose()).unwrap_or_default();
            let credentials = Credentials::new(id.clone(), secret, None, None, "command line");
            let mut caller = kms::Caller::new(given.principal.clone());
            for policy in &args.identity_policies {
                if policy.principal == given.principal {
                    caller = caller.identity_policy(identity_policy(&policy.file)?);
                }
            }
            let caller = Caller {
                credentials,
                caller,
            };
            callers.insert(id, caller);
        }
        Ok(Server {
            region: args.region.clone(),
            accounts,
            materials: Materials::default(),
            callers,
            audit,
            clock,
            is_clock_virtual: args.clock == ClockArg::Virtual,
        })
    }

    /// Rotation, expiry and deletion on their dates.
    pub(crate) fn start_schedulers(&self) -> Result<Vec<Scheduler>, String> {
        let start = |account: &crate::accounts::Account| {
            let id = account.id.clone();
            let scheduler = account
                .kms
                .start_scheduler(SCHEDULE, move |report| match report {
                    Ok(report) => tell_failed(&id, &report),
                    Err(error) => eprintln!("account {id}: what is due was not done: {error}"),
                });
            scheduler.map_err(|error| format!("no scheduler: {error}"))
        };
        self.accounts.iter().map(start).collect()
    }

    /// Writes what is not written yet.
    pub(crate) fn finish(&self) -> Result<(), String> {
        for account in self.accounts.iter() {
            wait(account.kms.flush_usage())
                .map_err(|error| format!("account {}: {error}", account.id))?;
        }
        match &self.audit {
            Some(audit) => audit
                .checkpoint()
                .map(drop)
                .map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    /// The answer to a request, and the request's id.
    pub(crate) async fn answer(&self, call: Incoming) -> (String, ApiResult<Vec<u8>>) {
        let id = AuditId::from_bytes(random_uuid());
        if self.is_clock_virtual && call.uri.path() == "/clock" {
            return (id.to_string(), self.move_clock(&call));
        }
        let result = match self.authenticate(&call) {
            Ok(caller) => {
                let caller = caller
                    .caller
                    .clone()
                    .source_ip(call.peer.to_string())
                    .user_agent(user_agent(&call.headers))
                    .request_id(id);
                let result = self.perform(&call, &caller).await;
                result.map_err(|error| self.record_refusal(&call, &caller, error))
            }
            Err(error) => Err(self.record_stranger(&call, id, error)),
        };
        (id.to_string(), result)
    }

    async fn perform(&self, call: &Incoming, caller: &kms::Caller) -> ApiResult<Vec<u8>> {
        let operation = operation_of(target(&call.headers))?;
        let body = call.body.as_ref().map_err(Clone::clone)?;
        let request = Request::decode(operation, body)?;
        let session = Session {
            server: self,
            caller,
            operation: request.operation,
        };
        operations::perform(&session, &request.fields).await
    }

    /// Puts a refusal of the server's own into the trail of the caller's
    /// account. The KMS records those that are its own.
    fn record_refusal(&self, call: &Incoming, caller: &kms::Caller, error: ApiError) -> ApiError {
        let account = self.accounts.get(caller.principal().account());
        let Some(account) = account.filter(|_| !error.is_recorded) else {
            return error;
        };
        let message = error.message.as_deref().unwrap_or_default();
        let kms = account.kms.acting_as(caller.clone());
        let name = event_name(&call.headers);
        let (code, key) = (recorded_code(error.code), error.key_arn.as_deref());
        match kms.record_refusal(&name, code, message, key) {
            Ok(()) => error,
            Err(failed) => unrecorded(&failed),
        }
    }

    /// The same of a request of which it is not known who has sent it.
    fn record_stranger(&self, call: &Incoming, id: AuditId, error: ApiError) -> ApiError {
        let Some(audit) = &self.audit else {
            return error;
        };
        let name = event_name(&call.headers);
        let message = error.message.as_deref().unwrap_or_default();
        let (address, agent) = (call.peer.to_string(), user_agent(&call.headers));
        let event = AuditEvent::new(&name, self.clock.now(), AuditId::from_bytes(random_uuid()))
            .with_region(&self.region)
            .with_source_ip(&address)
            .with_user_agent(&agent)
            .with_request_id(id)
            .with_error(error.code, &message);
        match audit.record(&event) {
            Ok(()) => error,
            Err(failed) => unrecorded(&failed),
        }
    }

    fn authenticate(&self, call: &Incoming) -> ApiResult<&Caller> {
        let body = call.body.as_ref().map_err(Clone::clone)?;
        if call.method != Method::POST || call.uri.path() != "/" {
            return Err(ApiError::bare("UnknownOperationException"));
        }
        if call.uri.query().is_some() {
            return Err(ApiError::new(
                "IncompleteSignatureException",
                "A request is signed in the Authorization header, and has no query.",
            ));
        }
        let authorization = Authorization::read(&call.headers)?;
        let caller = self
            .callers
            .get(authorization.access_key_id)
            .ok_or_else(sigv4::unrecognized)?;
        let signed = Signed {
            method: call.method.as_str(),
            path: call.uri.path(),
            headers: &call.headers,
            body,
        };
        authorization.verify(
            &caller.credentials,
            &self.region,
            &signed,
            SystemTime::now(),
        )?;
        Ok(caller)
    }

    fn move_clock(&self, call: &Incoming) -> ApiResult<Vec<u8>> {
        let body = call.body.as_ref().map_err(Clone::clone)?;
        if call.method != Method::POST {
            return Err(ApiError::bare("UnknownOperationException"));
        }
        let request: serde_json::Value = serde_json::from_slice(body)
            .map_err(|_| ApiError::serialization("The body is not valid JSON"))?;
        let seconds = request["advance_seconds"].as_u64().ok_or_else(|| {
            ApiError::validation("advance_seconds is a number of whole seconds, and not negative")
        })?;
        self.clock
            .advance(seconds)
            .ok_or_else(|| ApiError::validation("The clock moves a thousand years at most"))?;
        tokio::task::block_in_place(|| {
            for account in self.accounts.iter() {
                for _ in 0..MAX_ROUNDS {
                    let report = wait(account.kms.run_due())
                        .map_err(|_| ApiError::bare("KMSInternalException"))?;
                    tell_failed(&account.id, &report);
                    if report.rotated.is_empty()
                        && report.expired.is_empty()
                        && report.deleted.is_empty()
                    {
                        break;
                    }
                }
            }
            Ok(())
        })?;
        let now = operations::seconds(self.clock.now());
        Ok(serde_json::json!({ "now": now }).to_string().into_bytes())
    }
}

fn tell_failed(account: &str, report: &DueReport) {
    for error in &report.failed {
        eprintln!("account {account}: what is due was not done: {error}");
    }
}

/// What the client says that it is, in short and printable.
fn user_agent(headers: &HeaderMap) -> String {
    let given = headers.get(USER_AGENT).map(|agent| agent.as_bytes());
    let printable = given.unwrap_or_default().iter().take(MAX_USER_AGENT);
    printable
        .map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '?',
        })
        .collect()
}

/// CloudTrail's name of an error.
fn recorded_code(code: &str) -> &str {
    match code {
        "AccessDeniedException" => "AccessDenied",
        code => code,
    }
}

fn target(headers: &HeaderMap) -> &str {
    let target = headers.get(TARGET);
    target
        .and_then(|target| target.to_str().ok())
        .unwrap_or_default()
}

/// What was asked for, also where there is no such thing.
fn event_name(headers: &HeaderMap) -> String {
    let target = target(headers);
    let name = target.strip_prefix("TrentService.").unwrap_or(target);
    match name.is_empty() {
        true => "Unknown".to_owned(),
        false => name.chars().take(MAX_EVENT_NAME).collect(),
    }
}

/// Nothing is answered that the trail does not have.
fn unrecorded(failed: &dyn std::fmt::Display) -> ApiError {
    eprintln!("the audit trail cannot be written: {failed}");
    ApiError::bare("KMSInternalException")
}

fn identity_policy(file: &Path) -> Result<IdentityPolicy, String> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    IdentityPolicy::parse(&text).map_err(|error| format!("{}: {error}", file.display()))
}

/// A UUID, version 4.
fn random_uuid() -> [u8; 16] {
    let mut bytes = [0; 16];
    // Without randomness there is no KMS either; an id of zeros tells enough.
    let _ = getrandom::fill(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}
