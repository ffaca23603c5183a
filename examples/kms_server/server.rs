//! What becomes of a request: who sent it, what it asks, and the answer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, USER_AGENT};
use hyper::{Method, Uri};
use waxseal::blocking::wait;
use waxseal::kms::{DueReport, Principal, Scheduler};

use crate::accounts::Accounts;
use crate::args::{Args, ClockArg};
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
    pub(crate) principal: Principal,
}

/// The accounts, and who may call.
pub(crate) struct Server {
    pub(crate) region: String,
    pub(crate) accounts: Accounts,
    pub(crate) materials: Materials,
    callers: HashMap<String, Caller>,
    clock: ServerClock,
    is_clock_virtual: bool,
}

impl Server {
    pub(crate) fn new(args: &Args) -> Result<Self, String> {
        let clock = ServerClock::default();
        let accounts = Accounts::open(args, &clock)?;
        let mut callers = HashMap::new();
        for given in &args.credentials {
            let id = given.access_key_id.clone();
            let secret = std::str::from_utf8(given.secret.expose()).unwrap_or_default();
            let credentials = Credentials::new(id.clone(), secret, None, None, "command line");
            let caller = Caller {
                credentials,
                principal: given.principal.clone(),
            };
            callers.insert(id, caller);
        }
        Ok(Server {
            region: args.region.clone(),
            accounts,
            materials: Materials::default(),
            callers,
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
        Ok(())
    }

    /// The answer to a request, and the request's id.
    pub(crate) async fn answer(&self, call: Incoming) -> (String, ApiResult<Vec<u8>>) {
        let id = request_id();
        if self.is_clock_virtual && call.uri.path() == "/clock" {
            return (id, self.move_clock(&call));
        }
        let result = self.perform(&call, &id).await;
        (id, result)
    }

    async fn perform(&self, call: &Incoming, id: &str) -> ApiResult<Vec<u8>> {
        let caller = self.authenticate(call)?;
        let target = call.headers.get(TARGET);
        let target = target.and_then(|target| target.to_str().ok());
        let operation = operation_of(target.unwrap_or_default())?;
        let body = call.body.as_ref().map_err(Clone::clone)?;
        let request = Request::decode(operation, body)?;
        let session = Session {
            server: self,
            principal: &caller.principal,
            request_id: id,
            source_ip: call.peer,
            user_agent: user_agent(&call.headers),
            operation,
        };
        operations::perform(&session, &request.fields).await
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
        let now = operations::seconds(waxseal::Clock::now(&self.clock));
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

/// A UUID, version 4.
fn request_id() -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness there is no KMS either; an id of zeros tells enough.
    let _ = getrandom::fill(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut id = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            id.push('-');
        }
        for digit in [byte >> 4, byte & 0x0f] {
            id.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    id
}
