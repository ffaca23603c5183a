//! Who sent a request: AWS Signature Version 4, in the header `Authorization`.
//!
//! `aws-sigv4`, the signer of AWS's own SDK, signs the request once more as the
//! caller says it was signed, and the two signatures are compared. What the
//! caller says is checked first: that all that matters is signed, for this
//! service, this Region and about now.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SessionTokenMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName};
use subtle::ConstantTimeEq;

use crate::protocol::{ApiError, ApiResult};

/// The service's name in a credential's scope.
pub(crate) const SERVICE: &str = "kms";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
/// How far a request's date may be from the system's.
const MAX_SKEW: Duration = Duration::from_secs(5 * 60);
/// More is no request of an SDK's, and costs time.
const MAX_SIGNED_HEADERS: usize = 50;

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// What a request's header `Authorization` says, not verified yet.
pub(crate) struct Authorization<'a> {
    /// Whose signature it is said to be.
    pub(crate) access_key_id: &'a str,
    scope: Scope<'a>,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

struct Scope<'a> {
    date: &'a str,
    region: &'a str,
    service: &'a str,
    terminator: &'a str,
}

/// The request that was signed.
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a str,
    /// Without a query: one that has any is refused before.
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

fn incomplete(message: impl Into<String>) -> ApiError {
    ApiError::new("IncompleteSignatureException", message)
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidSignatureException", message)
}

/// What AWS says of a credential that it does not know.
pub(crate) fn unrecognized() -> ApiError {
    ApiError::new(
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )
}

impl<'a> Authorization<'a> {
    /// Reads the header, of which there must be one.
    pub(crate) fn read(headers: &'a HeaderMap) -> ApiResult<Self> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (first, more) = (given.next(), given.next());
        let Some(header) = first else {
            return Err(ApiError::new(
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            ));
        };
        if more.is_some() {
            return Err(incomplete("Authorization header must be given once."));
        }
        let text = header
            .to_str()
            .map_err(|_| incomplete("Authorization header is not printable ASCII."))?;
        let (algorithm, parameters) = text.split_once(' ').unwrap_or((text, ""));
        if algorithm != ALGORITHM {
            return Err(incomplete(format!(
                "Authorization header requires the algorithm '{ALGORITHM}'."
            )));
        }
        Self::parse(parameters)
    }

    fn parse(parameters: &'a str) -> ApiResult<Self> {
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for parameter in parameters.split(',') {
            let (name, value) = parameter.trim().split_once('=').unwrap_or_default();
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(incomplete("Authorization header has an unknown parameter.")),
            };
            if value.is_empty() || place.replace(value).is_some() {
                return Err(incomplete(format!(
                    "Authorization header requires one '{name}' parameter."
                )));
            }
        }
        let need = |value: Option<&'a str>, name: &str| {
            value.ok_or_else(|| {
                incomplete(format!("Authorization header requires '{name}' parameter."))
            })
        };
        let credential = need(credential, "Credential")?;
        let signed_headers = need(signed_headers, "SignedHeaders")?;
        let signature = need(signature, "Signature")?;
        let elements: Vec<&str> = credential.splitn(6, '/').collect();
        let [access_key_id, date, region, service, terminator] = elements[..] else {
            return Err(incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term.",
            ));
        };
        let signed_headers: Vec<&str> =
            signed_headers.splitn(MAX_SIGNED_HEADERS + 1, ';').collect();
        if signed_headers.len() > MAX_SIGNED_HEADERS {
            return Err(incomplete(
                "Authorization header has too many SignedHeaders.",
            ));
        }
        Ok(Authorization {
            access_key_id,
            scope: Scope {
                date,
                region,
                service,
                terminator,
            },
            signed_headers,
            signature,
        })
    }

    /// Whether this is the signature of that request, made about now.
    pub(crate) fn verify(
        &self,
        credentials: &Credentials,
        region: &str,
        request: &Signed<'_>,
        now: SystemTime,
    ) -> ApiResult<()> {
        if request.headers.contains_key(SECURITY_TOKEN) {
            // Temporary credentials are not among those that the server has.
            return Err(unrecognized());
        }
        let (time, date_time) = date_of(request.headers)?;
        self.check_scope(region, date_time)?;
        check_age(time, date_time, now)?;
        let headers = self.signed(request.headers)?;
        let identity = credentials.clone().into();
        let mut settings = SigningSettings::default();
        // Only what was signed is handed over, and all of that.
        settings.excluded_headers = None;
        settings.session_token_mode = SessionTokenMode::Exclude;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(SERVICE)
            .time(time)
            .settings(settings)
            .build()
            .map_err(|_| invalid(MISMATCH))?
            .into();
        let signable = SignableRequest::new(
            request.method,
            request.path,
            headers.into_iter(),
            SignableBody::Bytes(request.body),
        );
        let signable = signable.map_err(|_| invalid(MISMATCH))?;
        let (instructions, expected) = sign(signable, &params)
            .map_err(|_| invalid(MISMATCH))?
            .into_parts();
        drop(instructions);
        if !bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) {
            return Err(invalid(MISMATCH));
        }
        check_content(request)
    }

    fn check_scope(&self, region: &str, date_time: &str) -> ApiResult<()> {
        let scope = &self.scope;
        if scope.terminator != TERMINATOR {
            return Err(invalid(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}'."
            )));
        }
        if scope.service != SERVICE {
            return Err(invalid(format!(
                "Credential should be scoped to correct service: '{SERVICE}'."
            )));
        }
        if scope.region != region {
            return Err(invalid("Credential should be scoped to a valid region."));
        }
        if !date_time.starts_with(scope.date) || scope.date.len() != "YYYYMMDD".len() {
            return Err(invalid(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date \
                 from HTTP.",
            ));
        }
        Ok(())
    }

    /// The headers that were signed, among which must be all that mean
    /// anything to the service.
    fn signed<'h>(&self, headers: &'h HeaderMap) -> ApiResult<Vec<(&'h str, &'h str)>> {
        for name in headers.keys() {
            let must = *name == HOST || name.as_str().starts_with("x-amz-");
            if must && !self.signed_headers.contains(&name.as_str()) {
                return Err(invalid(format!(
                    "'{name}' must be a 'SignedHeader' in the AWS Authorization."
                )));
            }
            if must && headers.get_all(name).iter().nth(1).is_some() {
                return Err(invalid(format!("'{name}' must be given once.")));
            }
        }
        let mut signed = Vec::with_capacity(self.signed_headers.len());
        for name in &self.signed_headers {
            if !headers.contains_key(*name) {
                return Err(invalid(format!(
                    "The SignedHeader '{name}' must be in the request."
                )));
            }
        }
        for (name, value) in headers {
            if self.signed_headers.contains(&name.as_str()) {
                let value = value
                    .to_str()
                    .map_err(|_| invalid(format!("'{name}' is not printable ASCII.")))?;
                signed.push((name.as_str(), value));
            }
        }
        for must in [HOST, DATE] {
            if !self.signed_headers.contains(&must.as_str()) {
                return Err(invalid(format!(
                    "'{must}' must be a 'SignedHeader' in the AWS Authorization."
                )));
            }
        }
        Ok(signed)
    }
}

const MISMATCH: &str = "The request signature we calculated does not match the signature you \
                        provided. Check your AWS Secret Access Key and signing method. Consult \
                        the service documentation for details.";

/// The header `X-Amz-Date`: `YYYYMMDDTHHMMSSZ`.
fn date_of(headers: &HeaderMap) -> ApiResult<(SystemTime, &str)> {
    let mut given = headers.get_all(DATE).iter();
    let (Some(header), None) = (given.next(), given.next()) else {
        return Err(incomplete(
            "Authorization header requires existence of one 'X-Amz-Date' header.",
        ));
    };
    let parsed = header.to_str().ok().and_then(|text| {
        let is_basic = text.len() == "YYYYMMDDTHHMMSSZ".len()
            && text.bytes().enumerate().all(|(place, byte)| match place {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            });
        if !is_basic {
            return None;
        }
        let extended = format!(
            "{}-{}-{}T{}:{}:{}Z",
            text.get(0..4)?,
            text.get(4..6)?,
            text.get(6..8)?,
            text.get(9..11)?,
            text.get(11..13)?,
            text.get(13..15)?
        );
        let time = humantime::parse_rfc3339(&extended).ok()?;
        Some((time, text))
    });
    parsed.ok_or_else(|| incomplete("Date must be in ISO-8601 'basic format'."))
}

fn check_age(time: SystemTime, date_time: &str, now: SystemTime) -> ApiResult<()> {
    let now_text = humantime::format_rfc3339_seconds(now);
    if time + MAX_SKEW < now {
        return Err(invalid(format!(
            "Signature expired: {date_time} is now earlier than {now_text} - 5 min."
        )));
    }
    if now + MAX_SKEW < time {
        return Err(invalid(format!(
            "Signature not yet current: {date_time} is still later than {now_text} + 5 min."
        )));
    }
    Ok(())
}

/// A hash of the body that a header tells must be the body's, which was signed
/// itself: an unsigned payload is not for this service.
fn check_content(request: &Signed<'_>) -> ApiResult<()> {
    use sha2::{Digest, Sha256};

    let Some(told) = request.headers.get(CONTENT_SHA256) else {
        return Ok(());
    };
    let digest: String = Sha256::digest(request.body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if told.as_bytes() != digest.as_bytes() {
        return Err(invalid(
            "The value passed in as x-amz-content-sha256 does not match the calculated hash.",
        ));
    }
    Ok(())
}
