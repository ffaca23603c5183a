//! Policies, and how their documents are read (AWS IAM user guide, "Grammar of
//! the IAM JSON policy language").

use std::fmt;

use super::condition::{Condition, compile_parts};
use super::context::{ConditionKey, Known};
use super::error::PolicyError;
use super::json::Json;
use super::pattern::{Pattern, Syntax, arn_parts};
use super::statement::{Action, Effect, Listed, Resource, Statement, Who};
use crate::error::shown;
use crate::kms::access::principal::{Principal, PrincipalKind, is_account};

/// The longest policy in bytes: 256 KiB. (AWS KMS takes 32 KiB.)
pub const MAX_POLICY_LENGTH: usize = 256 * 1024;

/// Who may do what with a key: a policy in AWS's JSON that belongs to the key.
///
/// ```
/// use waxseal::kms::policy::KeyPolicy;
///
/// let policy = KeyPolicy::parse(r#"{
///     "Version": "2012-10-17",
///     "Statement": {
///         "Effect": "Allow",
///         "Principal": {"AWS": "arn:aws:iam::111122223333:role/app"},
///         "Action": ["kms:Encrypt", "kms:GenerateDataKey*"],
///         "Resource": "*",
///         "Condition": {"StringEquals": {"kms:EncryptionContext:tenant": "7"}}
///     }
/// }"#)?;
///
/// // A mistake is an error that says where it is.
/// let error = KeyPolicy::parse(&policy.as_str().replace("StringEquals", "StringEqual"));
/// assert_eq!(
///     error.unwrap_err().to_string(),
///     "Statement[0]: Condition.StringEqual.kms:EncryptionContext:tenant: \
///      'StringEqual' is no condition operator that is known here"
/// );
/// # Ok::<(), waxseal::kms::policy::PolicyError>(())
/// ```
pub struct KeyPolicy {
    pub(super) document: Document,
}

/// What a principal may do: a policy in AWS's JSON that belongs to the principal,
/// and so names none.
pub struct IdentityPolicy {
    pub(super) document: Document,
}

pub(super) struct Document {
    text: Box<str>,
    pub(super) statements: Vec<Statement>,
}

impl KeyPolicy {
    /// Reads a policy.
    ///
    /// # Errors
    /// When it is no JSON, longer than [`MAX_POLICY_LENGTH`], or has anything
    /// that AWS does not know or this library does not: nothing is skipped.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let document = Document::parse(text, Kind::Key)?;
        Ok(KeyPolicy { document })
    }

    /// AWS's default: it names the account's root for everything. The root may
    /// do all, and others of the account what their identity policies allow.
    ///
    /// # Errors
    /// When it is no account's id: 12 digits.
    pub fn default_for(account: &str) -> Result<Self, PolicyError> {
        let root = Principal::root(account)
            .map_err(|error| PolicyError::new("Principal", error.to_string()))?;
        Self::parse(&format!(
            r#"{{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {{
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : "{root}"
    }},
    "Action" : "kms:*",
    "Resource" : "*"
  }} ]
}}"#
        ))
    }

    /// The document, as it was given.
    pub fn as_str(&self) -> &str {
        &self.document.text
    }

    /// Whether it has a condition on the key's aliases, which are looked up
    /// only then.
    pub(crate) fn asks_for_aliases(&self) -> bool {
        self.document.asks_for_aliases()
    }
}

impl IdentityPolicy {
    /// Reads a policy.
    ///
    /// # Errors
    /// As [`KeyPolicy::parse`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let document = Document::parse(text, Kind::Identity)?;
        Ok(IdentityPolicy { document })
    }

    /// The document, as it was given.
    pub fn as_str(&self) -> &str {
        &self.document.text
    }

    /// Whether it has a condition on the key's aliases, which are looked up
    /// only then.
    pub(crate) fn asks_for_aliases(&self) -> bool {
        self.document.asks_for_aliases()
    }
}

macro_rules! document_traits {
    ($($policy:ident)*) => {$(
        impl fmt::Debug for $policy {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($policy)).field(&self.as_str()).finish()
            }
        }

        impl fmt::Display for $policy {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl PartialEq for $policy {
            /// Whether the documents are the same text.
            fn eq(&self, other: &Self) -> bool {
                self.as_str() == other.as_str()
            }
        }

        impl Eq for $policy {}

        impl std::str::FromStr for $policy {
            type Err = PolicyError;

            fn from_str(text: &str) -> Result<Self, PolicyError> {
                Self::parse(text)
            }
        }
    )*};
}

document_traits!(KeyPolicy IdentityPolicy);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Key,
    Identity,
}

type Parsed<T> = Result<T, PolicyError>;

impl Document {
    fn parse(text: &str, kind: Kind) -> Parsed<Self> {
        if text.len() > MAX_POLICY_LENGTH {
            let reason = format!("{} bytes; at most {MAX_POLICY_LENGTH}", text.len());
            return Err(PolicyError::new("the document", reason));
        }
        let json = Json::parse(text)
            .map_err(|error| PolicyError::new("the document", format!("no JSON: {error}")))?;
        let Json::Object(elements) = json else {
            return Err(PolicyError::new("the document", "is no object"));
        };

        let [mut version, mut id, mut statements] = [const { None }; 3];
        for (name, value) in elements {
            let place = match name.as_str() {
                "Version" => &mut version,
                "Id" => &mut id,
                "Statement" => &mut statements,
                _ => return Err(unknown_element(&name)),
            };
            once(place, &name, value)?;
        }
        // The language without variables is the default.
        let has_variables = match version {
            None => false,
            Some(Json::Text(version)) if version == "2012-10-17" => true,
            Some(Json::Text(version)) if version == "2008-10-17" => false,
            Some(_) => {
                return Err(PolicyError::new(
                    "Version",
                    "is neither 2012-10-17 nor 2008-10-17",
                ));
            }
        };
        if !matches!(id, None | Some(Json::Text(_))) {
            return Err(PolicyError::new("Id", "is no text"));
        }
        let statements = match statements {
            Some(Json::List(statements)) => statements,
            Some(statement @ Json::Object(_)) => vec![statement],
            Some(_) => return Err(PolicyError::new("Statement", "is neither object nor list")),
            None => return Err(PolicyError::new("Statement", "is missing")),
        };
        if statements.is_empty() {
            return Err(PolicyError::new("Statement", "is empty"));
        }

        let mut parsed: Vec<Statement> = Vec::with_capacity(statements.len());
        for (number, statement) in statements.into_iter().enumerate() {
            let statement = read_statement(statement, kind, has_variables)
                .map_err(|(sid, error)| error.in_statement(number, sid.as_deref()))?;
            let is_taken = |sid: &str| {
                let mut sids = parsed.iter().filter_map(|earlier| earlier.sid.as_deref());
                sids.any(|earlier| earlier == sid)
            };
            if let Some(sid) = statement.sid.as_deref().filter(|sid| !sid.is_empty())
                && is_taken(sid)
            {
                let error = PolicyError::new("Sid", "another statement has the same");
                return Err(error.in_statement(number, Some(sid)));
            }
            parsed.push(statement);
        }
        Ok(Document {
            text: text.into(),
            statements: parsed,
        })
    }

    fn asks_for_aliases(&self) -> bool {
        let aliases = ConditionKey::Known(Known::ResourceAliases);
        let mut conditions = self
            .statements
            .iter()
            .flat_map(|statement| &statement.conditions);
        conditions.any(|condition| *condition.key() == aliases)
    }
}

fn unknown_element(name: &str) -> PolicyError {
    PolicyError::new(name, "is no element that is known here")
}

/// Keeps an element's value, unless it has one.
fn once(place: &mut Option<Json>, name: &str, value: Json) -> Parsed<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(PolicyError::new(name, "is there twice")),
    }
}

/// An element and its `Not…`, of which there has to be one.
fn one_of(
    (name, plain): (&str, Option<Json>),
    (not_name, negated): (&str, Option<Json>),
) -> Parsed<(bool, Json)> {
    match (plain, negated) {
        (Some(value), None) => Ok((false, value)),
        (None, Some(value)) => Ok((true, value)),
        (None, None) => Err(PolicyError::new(name, "is missing")),
        (Some(_), Some(_)) => {
            let reason = format!("cannot stand beside {name}");
            Err(PolicyError::new(not_name, reason))
        }
    }
}

/// A text, or a list of texts with one at least.
fn texts(element: &str, value: Json) -> Parsed<Vec<String>> {
    let text = |value: Json| match value {
        Json::Text(text) => Ok(text),
        _ => Err(PolicyError::new(
            element,
            "is neither text nor a list of texts",
        )),
    };
    match value {
        Json::List(values) if values.is_empty() => Err(PolicyError::new(element, "is empty")),
        Json::List(values) => values.into_iter().map(text).collect(),
        value => Ok(vec![text(value)?]),
    }
}

/// An error comes with the statement's `Sid`, if that was read.
fn read_statement(
    json: Json,
    kind: Kind,
    has_variables: bool,
) -> Result<Statement, (Option<String>, PolicyError)> {
    let Json::Object(elements) = json else {
        return Err((None, PolicyError::new("Statement", "is no object")));
    };
    let sid = elements.iter().find_map(|(name, value)| match value {
        Json::Text(sid) if name == "Sid" => Some(sid.clone()),
        _ => None,
    });
    read_elements(elements, kind, has_variables).map_err(|error| (sid, error))
}

fn read_elements(
    elements: Vec<(String, Json)>,
    kind: Kind,
    has_variables: bool,
) -> Parsed<Statement> {
    let [mut sid, mut effect, mut principal, mut not_principal] = [const { None }; 4];
    let [mut action, mut not_action, mut resource, mut not_resource] = [const { None }; 4];
    let mut condition = None;
    for (name, value) in elements {
        let place = match name.as_str() {
            "Sid" => &mut sid,
            "Effect" => &mut effect,
            "Principal" => &mut principal,
            "NotPrincipal" => &mut not_principal,
            "Action" => &mut action,
            "NotAction" => &mut not_action,
            "Resource" => &mut resource,
            "NotResource" => &mut not_resource,
            "Condition" => &mut condition,
            _ => return Err(unknown_element(&name)),
        };
        once(place, &name, value)?;
    }

    let sid = match sid {
        None => None,
        Some(Json::Text(sid)) => Some(sid.into()),
        Some(_) => return Err(PolicyError::new("Sid", "is no text")),
    };
    let effect = match effect {
        Some(Json::Text(effect)) if effect == "Allow" => Effect::Allow,
        Some(Json::Text(effect)) if effect == "Deny" => Effect::Deny,
        Some(_) => return Err(PolicyError::new("Effect", "is neither Allow nor Deny")),
        None => return Err(PolicyError::new("Effect", "is missing")),
    };
    let principals = match kind {
        Kind::Key => {
            let names = (("Principal", principal), ("NotPrincipal", not_principal));
            let (negated, value) = one_of(names.0, names.1)?;
            let element = if negated { "NotPrincipal" } else { "Principal" };
            if negated && effect == Effect::Allow {
                // It would admit everybody else in the world.
                let reason = "has to come with \"Effect\": \"Deny\"";
                return Err(PolicyError::new(element, reason));
            }
            let list = read_principals(element, value)?;
            Some(Listed { negated, list })
        }
        Kind::Identity => {
            let given = [("Principal", principal), ("NotPrincipal", not_principal)];
            if let Some((name, _)) = given.into_iter().find(|(_, value)| value.is_some()) {
                let reason = "cannot stand in an identity policy, which is for whoever has it";
                return Err(PolicyError::new(name, reason));
            }
            None
        }
    };
    let (negated, value) = one_of(("Action", action), ("NotAction", not_action))?;
    let element = if negated { "NotAction" } else { "Action" };
    let actions = Listed {
        negated,
        list: read_each(element, value, read_action)?,
    };
    let (negated, value) = one_of(("Resource", resource), ("NotResource", not_resource))?;
    let element = if negated { "NotResource" } else { "Resource" };
    let resources = Listed {
        negated,
        list: read_each(element, value, |text| read_resource(text, has_variables))?,
    };
    let conditions = match condition {
        None => Vec::new(),
        Some(condition) => read_conditions(condition, has_variables)?,
    };
    Ok(Statement {
        sid,
        effect,
        principals,
        actions,
        resources,
        conditions,
    })
}

fn read_each<T>(
    element: &str,
    value: Json,
    read: impl Fn(&str) -> Result<T, String>,
) -> Parsed<Vec<T>> {
    let texts = texts(element, value)?;
    let read = |text: &String| read(text).map_err(|reason| PolicyError::new(element, reason));
    texts.iter().map(read).collect()
}

fn read_principals(element: &str, value: Json) -> Parsed<Vec<Who>> {
    let kinds = match value {
        Json::Text(text) if text == "*" => return Ok(vec![Who::Everyone]),
        Json::Object(kinds) => kinds,
        _ => return Err(PolicyError::new(element, "is neither \"*\" nor an object")),
    };
    if kinds.is_empty() {
        return Err(PolicyError::new(element, "is empty"));
    }
    let mut principals = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (kind, value) in kinds {
        let element = format!("{element}.{kind}");
        let read = match kind.as_str() {
            "AWS" => read_principal,
            "Service" | "Federated" | "CanonicalUser" => read_foreign,
            _ => return Err(PolicyError::new(element, "is no kind of principals")),
        };
        if seen.contains(&kind) {
            return Err(PolicyError::new(element, "is there twice"));
        }
        principals.extend(read_each(&element, value, read)?);
        seen.push(kind);
    }
    Ok(principals)
}

/// `*`, an account, or an ARN. "You cannot use a wildcard to match part of a
/// principal name or ARN" (AWS JSON policy elements: Principal).
fn read_principal(text: &str) -> Result<Who, String> {
    if text == "*" {
        return Ok(Who::Everyone);
    }
    if is_account(text) {
        return Ok(Who::Account(text.into()));
    }
    if text.contains(['*', '?']) {
        return Err(format!(
            "'{}' has a wildcard: only \"*\" alone is one",
            shown(text)
        ));
    }
    if is_session(text) {
        return Ok(Who::Foreign);
    }
    let principal: Principal = text.parse().map_err(|_| {
        format!(
            "'{}' is neither an account nor a principal's ARN",
            shown(text)
        )
    })?;
    Ok(match principal.kind() {
        PrincipalKind::Root => Who::Account(principal.account().into()),
        PrincipalKind::User | PrincipalKind::Role => Who::Arn(text.into()),
    })
}

/// Whether it is the ARN of a session of AWS STS, which this KMS has none of.
fn is_session(text: &str) -> bool {
    let named = text.strip_prefix("arn:aws:sts::").and_then(|rest| {
        let (account, session) = rest.split_once(':')?;
        let (kind, name) = session.split_once('/')?;
        let is_kind = matches!(kind, "assumed-role" | "federated-user");
        (is_account(account) && is_kind).then_some(name)
    });
    named.is_some_and(|name| !name.is_empty())
}

fn read_foreign(text: &str) -> Result<Who, String> {
    if text.is_empty() || text.contains(['*', '?']) {
        return Err(format!(
            "'{}' names nobody: a wildcard cannot stand here",
            shown(text)
        ));
    }
    Ok(Who::Foreign)
}

/// `*`, or `service:action` with wildcards in the action.
fn read_action(text: &str) -> Result<Action, String> {
    if text == "*" {
        return Ok(Action::Any);
    }
    let parts = text.split_once(':').filter(|(service, action)| {
        let in_service = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let in_action = |byte: u8| byte.is_ascii_alphanumeric() || b"*?-_".contains(&byte);
        !service.is_empty()
            && service.bytes().all(in_service)
            && !action.is_empty()
            && action.bytes().all(in_action)
    });
    let Some((service, action)) = parts else {
        return Err(format!(
            "'{}' is no action, as \"kms:Decrypt\" or \"*\"",
            shown(text)
        ));
    };
    if !service.eq_ignore_ascii_case("kms") {
        return Ok(Action::Foreign);
    }
    let syntax = Syntax {
        wildcards: true,
        no_variables: Some("cannot stand in an action"),
    };
    Ok(Action::Kms(Pattern::compile(action, syntax)?))
}

/// `*`, or an ARN with wildcards, and with variables in its last part. Of parts
/// that are missing any is meant ("IAM JSON policy elements: Resource").
fn read_resource(text: &str, has_variables: bool) -> Result<Resource, String> {
    if text == "*" {
        return Ok(Resource::Any);
    }
    let given = arn_parts(text);
    let mut parts = ["*"; 6];
    for (part, given) in parts.iter_mut().zip(&given) {
        *part = given;
    }
    let [arn, partition, service, region, account, name] = parts;
    if arn != "arn" || given.len() < 2 || given.iter().take(3).any(|part| part.is_empty()) {
        return Err(format!("'{}' is neither an ARN nor \"*\"", shown(text)));
    }
    if given
        .get(2)
        .is_some_and(|service| *service != "*" && service.contains(['*', '?']))
    {
        let reason = "has a wildcard in its service, which AWS does not allow";
        return Err(format!("'{}' {reason}", shown(text)));
    }
    if !text.contains(['*', '?', '$']) && given.len() == 6 {
        return Ok(Resource::Exact(text.into()));
    }
    let head = Syntax {
        wildcards: true,
        no_variables: Some("can stand in the last part of an ARN only"),
    };
    let last = Syntax {
        no_variables: (!has_variables).then_some("need \"Version\": \"2012-10-17\" in the policy"),
        ..head
    };
    let mut compiled = compile_parts([arn, partition, service, region, account, "*"], head)?;
    if let Some(pattern) = compiled.last_mut() {
        *pattern = Pattern::compile(name, last)?;
    }
    Ok(Resource::Arn(Box::new(compiled)))
}

fn read_conditions(value: Json, has_variables: bool) -> Parsed<Vec<Condition>> {
    let Json::Object(operators) = value else {
        return Err(PolicyError::new("Condition", "is no object"));
    };
    let mut conditions = Vec::new();
    let mut seen_operators = Vec::new();
    for (operator, keys) in operators {
        let element = format!("Condition.{operator}");
        // Neither operators nor keys are case-sensitive.
        let folded = operator.to_lowercase();
        if seen_operators.contains(&folded) {
            return Err(PolicyError::new(element, "is there twice"));
        }
        seen_operators.push(folded);
        let Json::Object(keys) = keys else {
            return Err(PolicyError::new(element, "is no object of condition keys"));
        };
        if keys.is_empty() {
            return Err(PolicyError::new(element, "is empty"));
        }
        let mut seen = Vec::new();
        for (key, values) in keys {
            let element = format!("{element}.{key}");
            let folded = key.to_lowercase();
            if seen.contains(&folded) {
                return Err(PolicyError::new(element, "is there twice"));
            }
            seen.push(folded);
            let values = condition_values(&element, values)?;
            let condition = Condition::compile(&operator, &key, &values, has_variables)
                .map_err(|reason| PolicyError::new(&element, reason))?;
            conditions.push(condition);
        }
    }
    Ok(conditions)
}

/// Numbers and truth values may stand without quotes.
fn condition_values(element: &str, value: Json) -> Parsed<Vec<String>> {
    let text = |value: Json| match value {
        Json::Text(text) | Json::Number(text) => Ok(text),
        Json::Bool(value) => Ok(value.to_string()),
        Json::Null | Json::List(_) | Json::Object(_) => Err(PolicyError::new(
            element,
            "has a value that is no text, number or truth value",
        )),
    };
    match value {
        Json::List(values) if values.is_empty() => Err(PolicyError::new(element, "has no values")),
        Json::List(values) => values.into_iter().map(text).collect(),
        value => Ok(vec![text(value)?]),
    }
}
