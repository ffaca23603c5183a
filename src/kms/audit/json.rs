//! Events as CloudTrail records.
//!
//! Source: AWS KMS Developer Guide, "Examples of AWS KMS log entries", and AWS
//! CloudTrail User Guide, "CloudTrail record contents".

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::io;
use std::time::SystemTime;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::event::{AuditEvent, AuditEventKind};
use crate::kms::access::{Principal, PrincipalKind};
use crate::kms::parameter::{Parameter, Parameters};

/// The version of CloudTrail's record format that AWS KMS writes.
const EVENT_VERSION: &str = "1.11";
const EVENT_SOURCE: &str = "kms.amazonaws.com";
/// What stands for an address and a user agent where there is no network.
const INTERNAL: &str = "AWS Internal";

/// CloudTrail's own bounds.
const MAX_TEXT: usize = 1024;
const MAX_SECTION: usize = 100 * 1024;
/// Not CloudTrail's: a call concerns one or two.
const MAX_RESOURCES: usize = 16;
const MAX_DEPTH: u8 = 4;
/// A bound on a record, which the parts' bounds keep: four sections, and all
/// texts with each byte escaped.
#[cfg(test)]
const MAX_RECORD: usize = 512 * 1024;

pub(super) fn write(event: &AuditEvent<'_>, out: &mut Vec<u8>) {
    let mut serializer = serde_json::Serializer::with_formatter(out, NoControls);
    // A vector takes everything, and these types fail at nothing.
    let _ = event.serialize(&mut serializer);
}

/// JSON that is also safe to print: `serde_json` escapes the control characters
/// of ASCII, and this the others and what ends a line elsewhere.
struct NoControls;

impl serde_json::ser::Formatter for NoControls {
    fn write_string_fragment<W>(&mut self, out: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut rest = fragment;
        while let Some((at, found)) = rest.char_indices().find(|(_, char)| is_hidden(*char)) {
            let (before, after) = rest.split_at(at);
            out.write_all(before.as_bytes())?;
            write!(out, "\\u{:04x}", u32::from(found))?;
            rest = after.get(found.len_utf8()..).unwrap_or_default();
        }
        out.write_all(rest.as_bytes())
    }
}

/// Control characters, line and paragraph separators, and what turns the
/// direction of a text.
fn is_hidden(char: char) -> bool {
    matches!(char, '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Serialize for AuditEvent<'_> {
    /// As a CloudTrail record.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_call = self.kind == AuditEventKind::ApiCall;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("eventVersion", EVENT_VERSION)?;
        map.serialize_entry("userIdentity", &Identity(self))?;
        map.serialize_entry("eventTime", &Date(self.time))?;
        map.serialize_entry("eventSource", EVENT_SOURCE)?;
        map.serialize_entry("eventName", &Text(self.event_name))?;
        map.serialize_entry("awsRegion", &Text(self.region))?;
        map.serialize_entry("sourceIPAddress", &Text(self.source_ip.unwrap_or(INTERNAL)))?;
        map.serialize_entry("userAgent", &Text(self.user_agent.unwrap_or(INTERNAL)))?;
        if let Some((code, message)) = self.error {
            map.serialize_entry("errorCode", &Text(code))?;
            map.serialize_entry("errorMessage", &Message(message))?;
        }
        map.serialize_entry("requestParameters", &Section::new(self.parameters))?;
        map.serialize_entry("responseElements", &Section::new(self.response))?;
        let materials = match (self.source_key_material_id, self.key_material_id) {
            (None, None) => None,
            (None, Some(id)) => Some([("keyMaterialId", id), ("", "")]),
            (Some(source), id) => Some([
                ("sourceKeyMaterialId", source),
                ("destinationKeyMaterialId", id.unwrap_or_default()),
            ]),
        };
        if let Some(materials) = materials {
            let data = materials.map(|(name, id)| (name, Parameter::Text(id)));
            let length = materials.iter().filter(|(_, id)| !id.is_empty()).count();
            let data = data.get(..length).unwrap_or_default();
            map.serialize_entry("additionalEventData", &Section::new(data))?;
        }
        if let Some(id) = self.request_id {
            map.serialize_entry("requestID", &Shown(id))?;
        }
        map.serialize_entry("eventID", &Shown(self.event_id))?;
        map.serialize_entry("readOnly", &self.read_only)?;
        map.serialize_entry("resources", &Resources(self))?;
        let kind = if is_call {
            "AwsApiCall"
        } else {
            "AwsServiceEvent"
        };
        map.serialize_entry("eventType", kind)?;
        map.serialize_entry("managementEvent", &true)?;
        if !self.account.is_empty() {
            map.serialize_entry("recipientAccountId", &Text(self.account))?;
        }
        if !self.details.is_empty() {
            map.serialize_entry("serviceEventDetails", &Section::new(self.details))?;
        }
        map.serialize_entry("eventCategory", "Management")?;
        map.end()
    }
}

/// `userIdentity`.
struct Identity<'a>(&'a AuditEvent<'a>);

impl Serialize for Identity<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0.principal {
            Some(principal) => {
                map.serialize_entry("type", identity_type(principal))?;
                // Accounts' roots have the account's id in AWS too; the unique
                // name of others is their ARN.
                let id = match principal.kind() {
                    PrincipalKind::Root => principal.account(),
                    _ => principal.arn(),
                };
                map.serialize_entry("principalId", &Text(id))?;
                map.serialize_entry("arn", &Text(principal.arn()))?;
                map.serialize_entry("accountId", principal.account())?;
                if let Some(name) = principal.name() {
                    map.serialize_entry("userName", &Text(name))?;
                }
            }
            // A request that could not be told whose it is.
            None if self.0.kind == AuditEventKind::ApiCall => {
                map.serialize_entry("type", "Unknown")?;
            }
            None => {
                map.serialize_entry("type", "AWSService")?;
                map.serialize_entry("accountId", &Text(self.0.account))?;
                map.serialize_entry("invokedBy", INTERNAL)?;
            }
        }
        map.end()
    }
}

fn identity_type(principal: &Principal) -> &'static str {
    match principal.kind() {
        PrincipalKind::Root => "Root",
        PrincipalKind::User => "IAMUser",
        PrincipalKind::Role => "Role",
    }
}

/// `resources`.
struct Resources<'a>(&'a AuditEvent<'a>);

impl Serialize for Resources<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let arns = self.0.resources;
        let mut list = serializer.serialize_seq(None)?;
        for arn in arns.iter().take(MAX_RESOURCES) {
            list.serialize_element(&Resource(arn, self.0.account))?;
        }
        list.end()
    }
}

struct Resource<'a>(&'a str, &'a str);

impl Serialize for Resource<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // arn:PARTITION:kms:REGION:ACCOUNT:key/ID
        let mut parts = self.0.splitn(6, ':').skip(4);
        let account = parts.next().filter(|account| !account.is_empty());
        let is_alias = parts.next().is_some_and(|name| name.starts_with("alias/"));
        let kind = if is_alias {
            "AWS::KMS::Alias"
        } else {
            "AWS::KMS::Key"
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("accountId", &Text(account.unwrap_or(self.1)))?;
        map.serialize_entry("type", kind)?;
        map.serialize_entry("ARN", &Text(self.0))?;
        map.end()
    }
}

/// Something that prints itself.
struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A text of its own, cut.
struct Text<'a>(&'a str);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_text(self.0, &Cell::new(MAX_TEXT), serializer)
    }
}

/// Writes a text as far as there is room for it, and takes that room.
fn write_text<S: Serializer>(
    text: &str,
    room: &Cell<usize>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut left = room.get();
    let end = text
        .bytes()
        .position(|byte| match left.checked_sub(cost(byte)) {
            Some(less) => {
                left = less;
                false
            }
            None => true,
        });
    room.set(left);
    match end {
        None => serializer.serialize_str(text),
        Some(end) => {
            room.set(0);
            let kept = start_of(text, end);
            let cut = text.len() - kept.len();
            serializer.collect_str(&format_args!("{kept}…[{cut} bytes cut]"))
        }
    }
}

/// At most so many bytes of a text, and no part of a character.
fn start_of(text: &str, length: usize) -> &str {
    let length = length.min(text.len());
    let end = (0..=length).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// How many bytes a byte of a text may take in JSON, at most.
fn cost(byte: u8) -> usize {
    match byte {
        0..=0x1f | 0x7f => 6,
        b'"' | b'\\' => 2,
        // The first bytes of what `is_hidden` has.
        0xc2 | 0xd8 | 0xe2 => 6,
        _ => 1,
    }
}

/// What an error says, cut; the whole is never put together.
struct Message<'a>(&'a dyn fmt::Display);

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bounded = Bounded {
            out: f,
            room: MAX_TEXT,
            cut: 0,
        };
        write!(bounded, "{}", self.0)?;
        match bounded.cut {
            0 => Ok(()),
            cut => write!(f, "…[{cut} bytes cut]"),
        }
    }
}

struct Bounded<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    room: usize,
    cut: usize,
}

impl fmt::Write for Bounded<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = if self.cut == 0 { self.room } else { 0 };
        let kept = start_of(text, room);
        self.room -= kept.len();
        self.cut = self.cut.saturating_add(text.len() - kept.len());
        self.out.write_str(kept)
    }
}

/// Parameters, or a group of them; `null` where there are none. All that is in
/// one shares its room.
struct Section<'a> {
    parameters: Parameters<'a>,
    room: Room<'a>,
    depth: u8,
}

enum Room<'a> {
    Own(Cell<usize>),
    Shared(&'a Cell<usize>),
}

impl<'a> Section<'a> {
    fn new(parameters: Parameters<'a>) -> Self {
        Section {
            parameters,
            room: Room::Own(Cell::new(MAX_SECTION)),
            depth: 0,
        }
    }

    fn room(&self) -> &Cell<usize> {
        match &self.room {
            Room::Own(room) => room,
            Room::Shared(room) => room,
        }
    }
}

impl Serialize for Section<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.parameters.is_empty() && self.depth == 0 {
            return serializer.serialize_none();
        }
        let room = self.room();
        let pairs = self.parameters.iter().map(|(name, value)| (*name, value));
        write_map(pairs, self.parameters.len(), room, serializer, |value| {
            Value {
                value,
                room,
                depth: self.depth,
            }
        })
    }
}

struct Value<'a> {
    value: &'a Parameter<'a>,
    room: &'a Cell<usize>,
    depth: u8,
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let room = self.room;
        match *self.value {
            Parameter::Text(text) => write_text(text, room, serializer),
            Parameter::Number(number) => serializer.serialize_u64(number),
            Parameter::Bool(bool) => serializer.serialize_bool(bool),
            Parameter::Time(time) => Date(time).serialize(serializer),
            Parameter::Texts(texts) => {
                let items = texts.iter().map(|text| InRoom(text, room));
                write_list(items, texts.len(), room, serializer)
            }
            Parameter::Context(context) => {
                let pairs = context.into_iter();
                write_map(pairs, context.len(), room, serializer, |value| {
                    InRoom(value, room)
                })
            }
            Parameter::Tags(tags) => {
                let items = tags.iter().map(|(key, value)| Tag(key, value, room));
                write_list(items, tags.len(), room, serializer)
            }
            // Nothing nests so deep; whoever tries is not followed.
            Parameter::Group(_) if self.depth >= MAX_DEPTH => serializer.serialize_str("…"),
            Parameter::Group(parameters) => Section {
                parameters,
                room: Room::Shared(room),
                depth: self.depth + 1,
            }
            .serialize(serializer),
        }
    }
}

/// What quotes, a colon, a comma, a number or a date take, at most.
const AROUND: usize = 32;

/// Takes room for one more; whether there was any.
fn has_room(room: &Cell<usize>) -> bool {
    let left = room.get().checked_sub(AROUND);
    room.set(left.unwrap_or_default());
    left.is_some()
}

/// Writes pairs as long as there is room, and how many there were more.
fn write_map<'a, S: Serializer, V: 'a, T: Serialize>(
    pairs: impl Iterator<Item = (&'a str, V)>,
    count: usize,
    room: &Cell<usize>,
    serializer: S,
    write: impl Fn(V) -> T,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    for (at, (key, value)) in pairs.enumerate() {
        if !has_room(room) {
            let more = count.saturating_sub(at);
            map.serialize_entry("…", &Shown(format_args!("[{more} more cut]")))?;
            break;
        }
        map.serialize_entry(&InRoom(key, room), &write(value))?;
    }
    map.end()
}

/// The same with a list.
fn write_list<S: Serializer, T: Serialize>(
    items: impl Iterator<Item = T>,
    count: usize,
    room: &Cell<usize>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(None)?;
    for (at, item) in items.enumerate() {
        if !has_room(room) {
            let more = count.saturating_sub(at);
            list.serialize_element(&Shown(format_args!("…[{more} more cut]")))?;
            break;
        }
        list.serialize_element(&item)?;
    }
    list.end()
}

struct InRoom<'a>(&'a str, &'a Cell<usize>);

impl Serialize for InRoom<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_text(self.0, self.1, serializer)
    }
}

struct Tag<'a>(&'a str, &'a str, &'a Cell<usize>);

impl Serialize for Tag<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("tagKey", &InRoom(self.0, self.2))?;
        map.serialize_entry("tagValue", &InRoom(self.1, self.2))?;
        map.end()
    }
}

/// A date: RFC 3339, to the second, UTC.
pub(super) struct Date(pub(super) SystemTime);

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// 9999-12-31T23:59:59Z.
        const LAST: u64 = 253_402_300_799;
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.map_or(0, |since| since.as_secs()).min(LAST);
        // Days since 0000-03-01, so that a leap day ends its year; 400 years
        // have 146,097 days.
        let days = seconds / 86_400 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        let year = era * 400 + year + next;
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

#[cfg(test)]
mod tests;
