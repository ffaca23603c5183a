//! What an event tells.

use std::fmt;
use std::time::SystemTime;

use super::id::AuditId;
use super::json;
use crate::context::EncryptionContext;
use crate::kms::access::Principal;
use crate::kms::parameter::{Parameter, Parameters};

/// Whether somebody asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditEventKind {
    /// A call (`AwsApiCall`).
    ApiCall,
    /// What the KMS does by itself, when it is due (`AwsServiceEvent`).
    ServiceEvent,
}

/// One event: what was asked, by whom, and what came of it.
///
/// It borrows everything, and is written only when a sink asks for it. As JSON
/// it is a CloudTrail record. Texts are bounded as CloudTrail bounds them (1 KiB
/// for a user agent and for an error, 100 KiB for all parameters of a request):
/// a longer one is cut, and ends with `…[N bytes cut]`.
///
/// The library makes the events of its own operations. A service around it adds
/// its own, such as requests that it refuses itself:
///
/// ```
/// use std::time::SystemTime;
/// use waxseal::kms::Principal;
/// use waxseal::kms::audit::{AuditEvent, AuditId, Parameter};
///
/// let alice = Principal::user("111122223333", "alice")?;
/// let parameters = [("keyId", Parameter::Text("alias/app"))];
/// let event = AuditEvent::new("TagResource", SystemTime::now(), AuditId::from_bytes([1; 16]))
///     .with_principal(&alice)
///     .with_account("111122223333")
///     .with_region("us-east-1")
///     .with_parameters(&parameters)
///     .with_error("LimitExceededException", &"no more than 50 tags");
/// assert!(event.to_json().contains(r#""errorCode":"LimitExceededException""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Secrets and bytes have no way in:
///
/// ```compile_fail,E0308
/// use waxseal::{SecretBytes, kms::audit::Parameter};
///
/// let secret = SecretBytes::from(vec![7; 32]);
/// let parameter = Parameter::Text(&secret);
/// ```
///
/// ```compile_fail,E0308
/// use waxseal::kms::audit::Parameter;
///
/// let parameter = Parameter::Text(b"plaintext");
/// ```
///
/// ```compile_fail,E0277
/// use std::time::SystemTime;
/// use waxseal::{SecretBytes, kms::audit::{AuditEvent, AuditId}};
///
/// let secret = SecretBytes::from(vec![7; 32]);
/// let event = AuditEvent::new("Encrypt", SystemTime::now(), AuditId::from_bytes([1; 16]))
///     .with_error("code", &secret);
/// ```
#[derive(Clone, Copy)]
pub struct AuditEvent<'a> {
    pub(crate) time: SystemTime,
    pub(crate) event_id: AuditId,
    /// None of what the KMS does by itself.
    pub(crate) request_id: Option<AuditId>,
    pub(crate) kind: AuditEventKind,
    pub(crate) event_name: &'a str,
    /// `None` is the KMS itself.
    pub(crate) principal: Option<&'a Principal>,
    /// The account whose trail this is: the key's.
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    /// `None` where no network is in between.
    pub(crate) source_ip: Option<&'a str>,
    pub(crate) user_agent: Option<&'a str>,
    /// AWS's code, and the message.
    pub(crate) error: Option<(&'a str, &'a dyn fmt::Display)>,
    pub(crate) parameters: Parameters<'a>,
    pub(crate) response: Parameters<'a>,
    /// Of what the KMS does by itself.
    pub(crate) details: Parameters<'a>,
    /// The backing key's id.
    pub(crate) key_material_id: Option<&'a str>,
    /// That of what was re-encrypted.
    pub(crate) source_key_material_id: Option<&'a str>,
    /// The ARNs of the keys and aliases that it concerns.
    pub(crate) resources: &'a [&'a str],
    pub(crate) read_only: bool,
}

impl<'a> AuditEvent<'a> {
    /// A call by the KMS itself that reads and has succeeded: say what is
    /// different.
    pub fn new(event_name: &'a str, time: SystemTime, event_id: AuditId) -> Self {
        AuditEvent {
            time,
            event_id,
            request_id: None,
            kind: AuditEventKind::ApiCall,
            event_name,
            principal: None,
            account: "",
            region: "",
            source_ip: None,
            user_agent: None,
            error: None,
            parameters: &[],
            response: &[],
            details: &[],
            key_material_id: None,
            source_key_material_id: None,
            resources: &[],
            read_only: true,
        }
    }

    /// Who asked.
    pub fn with_principal(mut self, principal: &'a Principal) -> Self {
        self.principal = Some(principal);
        self
    }

    /// The account whose trail this is.
    pub fn with_account(mut self, account: &'a str) -> Self {
        self.account = account;
        self
    }

    /// The region.
    pub fn with_region(mut self, region: &'a str) -> Self {
        self.region = region;
        self
    }

    /// Where the request came from.
    pub fn with_source_ip(mut self, source_ip: &'a str) -> Self {
        self.source_ip = Some(source_ip);
        self
    }

    /// What the client says that it is.
    pub fn with_user_agent(mut self, user_agent: &'a str) -> Self {
        self.user_agent = Some(user_agent);
        self
    }

    /// The request's id.
    pub fn with_request_id(mut self, request_id: AuditId) -> Self {
        self.request_id = Some(request_id);
        self
    }

    /// It failed or was refused: AWS's name of the error, and the message.
    pub fn with_error(mut self, code: &'a str, message: &'a dyn fmt::Display) -> Self {
        self.error = Some((code, message));
        self
    }

    /// What was asked.
    pub fn with_parameters(mut self, parameters: Parameters<'a>) -> Self {
        self.parameters = parameters;
        self
    }

    /// What was answered.
    pub fn with_response(mut self, response: Parameters<'a>) -> Self {
        self.response = response;
        self
    }

    /// The ARNs of the keys and aliases that it concerns.
    pub fn with_resources(mut self, resources: &'a [&'a str]) -> Self {
        self.resources = resources;
        self
    }

    /// Whether nothing was to be changed.
    pub fn with_read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// When it happened.
    pub fn time(&self) -> SystemTime {
        self.time
    }

    /// The event's own id.
    pub fn event_id(&self) -> AuditId {
        self.event_id
    }

    /// The request's id; `None` of what the KMS does by itself.
    pub fn request_id(&self) -> Option<AuditId> {
        self.request_id
    }

    /// Whether somebody asked for it.
    pub fn kind(&self) -> AuditEventKind {
        self.kind
    }

    /// The operation, by AWS KMS's name.
    pub fn event_name(&self) -> &'a str {
        self.event_name
    }

    /// Who asked; `None` is the KMS itself.
    pub fn principal(&self) -> Option<&'a Principal> {
        self.principal
    }

    /// The account whose trail this is.
    pub fn account(&self) -> &'a str {
        self.account
    }

    /// The region.
    pub fn region(&self) -> &'a str {
        self.region
    }

    /// Where the request came from; `None` where no network is in between.
    pub fn source_ip(&self) -> Option<&'a str> {
        self.source_ip
    }

    /// What the client says that it is.
    pub fn user_agent(&self) -> Option<&'a str> {
        self.user_agent
    }

    /// AWS's name of the error, where there was one.
    pub fn error_code(&self) -> Option<&'a str> {
        self.error.map(|(code, _)| code)
    }

    /// What the error says.
    pub fn error_message(&self) -> Option<&'a dyn fmt::Display> {
        self.error.map(|(_, message)| message)
    }

    /// What was asked.
    pub fn parameters(&self) -> Parameters<'a> {
        self.parameters
    }

    /// What was answered.
    pub fn response(&self) -> Parameters<'a> {
        self.response
    }

    /// What the KMS tells of something that it did by itself.
    pub fn service_event_details(&self) -> Parameters<'a> {
        self.details
    }

    /// The encryption context of the request, if it had one.
    pub fn encryption_context(&self) -> Option<&'a EncryptionContext> {
        self.parameters
            .iter()
            .find_map(|(name, value)| match value {
                Parameter::Context(context) if *name == "encryptionContext" => Some(*context),
                _ => None,
            })
    }

    /// The id of the backing key that was used.
    pub fn key_material_id(&self) -> Option<&'a str> {
        self.key_material_id
    }

    /// The id of the backing key that what was re-encrypted was under.
    pub fn source_key_material_id(&self) -> Option<&'a str> {
        self.source_key_material_id
    }

    /// The ARNs of the keys and aliases that it concerns.
    pub fn resources(&self) -> &'a [&'a str] {
        self.resources
    }

    /// Whether nothing was to be changed.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// The CloudTrail record, in one line without a line's end.
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(1024);
        self.write_json(&mut out);
        // `serde_json` writes UTF-8 only.
        String::from_utf8(out).unwrap_or_default()
    }

    /// Appends what [`to_json`](Self::to_json) gives.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        json::write(self, out);
    }
}

impl fmt::Debug for AuditEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}
