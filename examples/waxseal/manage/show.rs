//! Keys, as text for people and JSON for scripts.

use std::time::SystemTime;

use serde_json::{Value, json};
use waxseal::blocking::wait;
use waxseal::kms::{
    BackingKeyCause, BackingKeyInfo, KeyState, KeyUsage, Keyring, KmsError, KmsResult, LocalKms,
    Origin, Owner, VersionUsage,
};

use super::Answer;
use crate::failure::Failure;

/// How many keys are asked for at once.
const PAGE: usize = 500;

/// A date as all output has it: RFC 3339, UTC, to the second.
pub(super) fn date(date: SystemTime) -> String {
    humantime::format_rfc3339_seconds(date).to_string()
}

/// All there is to tell about a key.
pub(super) struct Key {
    pub(super) keyring: Keyring,
    aliases: Vec<String>,
    usage: KmsResult<KeyUsage>,
    /// Why there may be more aliases.
    unread_aliases: Vec<KmsError>,
}

impl Key {
    /// Reads what belongs to a key. What cannot be read of it hides nothing
    /// else: see [`unread`](Self::unread).
    pub(super) fn read(kms: &LocalKms, keyring: Keyring) -> Self {
        let (aliases, unread_aliases) = match wait(kms.list_aliases(Some(&keyring.id))) {
            Ok(list) => (list.aliases, list.damaged),
            Err(error) => (Vec::new(), vec![error]),
        };
        Key {
            aliases: aliases.into_iter().map(|alias| alias.name).collect(),
            usage: wait(kms.usage(&keyring.id)),
            unread_aliases,
            keyring,
        }
    }

    /// What could not be read.
    pub(super) fn unread(&self) -> impl Iterator<Item = &KmsError> {
        self.usage
            .as_ref()
            .err()
            .into_iter()
            .chain(&self.unread_aliases)
    }

    pub(super) fn to_json(&self) -> Value {
        let key = &self.keyring;
        let rotation = key
            .rotation
            .map(|rotation| json!({ "days": rotation.days, "next_at": date(rotation.due) }));
        let backing_keys: Vec<_> = key
            .backing_keys
            .iter()
            .map(|backing| {
                let known = self.usage_of(backing);
                let usage = known.unwrap_or_default();
                json!({
                    "version": backing.version,
                    "created_at": date(backing.created),
                    "cause": cause(backing.cause).replace(' ', "_"),
                    "material_id": backing.material_id,
                    "present": backing.is_present,
                    "expires_at": backing.expires.map(date),
                    "wraps": known.map(|usage| usage.wraps),
                    "last_wrap_at": usage.last_wrap.map(date),
                    "unwraps": known.map(|usage| usage.unwraps),
                    "last_unwrap_at": usage.last_unwrap.map(date),
                    "messages": known.map(|usage| usage.messages),
                })
            })
            .collect();
        json!({
            "id": key.id,
            "arn": key.arn,
            "state": state(key.state).replace(' ', "_"),
            "owner": owner(&key.owner),
            "origin": origin(key.origin),
            "description": key.description,
            "aliases": self.aliases,
            "tags": key.tags,
            "created_at": date(key.created),
            "deletion_at": key.deletion.map(date),
            "rotation": rotation,
            "current_version": key.current_version(),
            "minimum_version": key.minimum_version,
            "last_used_at": self.last_used().map(date),
            "usage_error": self.usage.as_ref().err().map(ToString::to_string),
            "backing_keys": backing_keys,
        })
    }

    /// Texts that users have given are quoted and escaped.
    pub(super) fn to_text(&self) -> String {
        let key = &self.keyring;
        let mut lines = vec![
            format!("key          {}", key.id),
            format!("arn          {}", key.arn),
            format!("aliases      {}", or_none(self.aliases.join(", "))),
            format!("description  {:?}", key.description),
            format!("state        {}", state(key.state)),
            format!("owner        {}", owner(&key.owner)),
            format!("material     {}", origin(key.origin)),
            format!("created      {}", date(key.created)),
            match key.rotation {
                Some(rotation) => format!(
                    "rotation     every {} days, next {}",
                    rotation.days,
                    date(rotation.due)
                ),
                None => "rotation     on demand only".to_owned(),
            },
            match &self.usage {
                Ok(usage) => format!("last used    {}", or_never(usage.last_used())),
                Err(error) => format!("last used    cannot be told: {error}"),
            },
        ];
        if let Some(deletion) = key.deletion {
            lines.push(format!("deletion     {}", date(deletion)));
        }
        if key.minimum_version > 1 {
            lines.push(format!(
                "cut off      versions below {} do not decrypt",
                key.minimum_version
            ));
        }
        for (tag, value) in &key.tags {
            lines.push(format!("tag          {tag:?} = {value:?}"));
        }
        lines.push(String::new());
        lines.push("versions (backing keys)".to_owned());
        for backing in &key.backing_keys {
            lines.push(self.version_text(backing));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    fn version_text(&self, backing: &BackingKeyInfo) -> String {
        let mut text = format!(
            "  {}. of {}, by {}",
            backing.version,
            date(backing.created),
            cause(backing.cause),
        );
        if let Some(usage) = self.usage_of(backing) {
            text.push_str(&format!(
                "; {}, {}",
                times("encrypted", usage.wraps, usage.last_wrap),
                times("decrypted", usage.unwraps, usage.last_unwrap),
            ));
        }
        if let Some(expires) = backing.expires {
            text.push_str(&format!("; expires {}", date(expires)));
        }
        if !backing.is_present {
            text.push_str("; its material is not there");
        }
        text
    }

    fn last_used(&self) -> Option<SystemTime> {
        self.usage.as_ref().ok()?.last_used()
    }

    /// `None` where it cannot be told.
    fn usage_of(&self, backing: &BackingKeyInfo) -> Option<VersionUsage> {
        let versions = &self.usage.as_ref().ok()?.versions;
        Some(versions.get(&backing.version).copied().unwrap_or_default())
    }
}

/// All keys. What cannot be read is named, and the rest is listed.
pub(super) fn list(kms: &LocalKms) -> Result<Answer, Failure> {
    let failed = |error: &KmsError| Failure::kms("cannot list the keys", error);
    let mut keys = Vec::new();
    let mut damaged = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = wait(kms.list_keys(after.as_deref(), PAGE)).map_err(|error| failed(&error))?;
        keys.extend(page.keyrings);
        damaged.extend(page.damaged);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let list = wait(kms.list_aliases(None)).map_err(|error| failed(&error))?;
    damaged.extend(list.damaged);
    let mut aliases = list.aliases;
    let mut text = String::new();
    let mut json = Vec::new();
    for keyring in keys {
        let usage = match wait(kms.usage(&keyring.id)) {
            // Deleted meanwhile.
            Err(KmsError::NotFound { .. }) => continue,
            usage @ (Ok(_) | Err(KmsError::Record { .. })) => usage,
            Err(error) => return Err(failed(&error)),
        };
        let own = aliases.extract_if(.., |alias| alias.key_arn == keyring.arn);
        let key = Key {
            aliases: own.map(|alias| alias.name).collect(),
            usage,
            // They are told of the whole list.
            unread_aliases: Vec::new(),
            keyring,
        };
        text.push_str(&format!(
            "{}  {:<16}  version {:<3}  {}\n",
            key.keyring.id,
            state(key.keyring.state),
            key.keyring.current_version(),
            or_none(key.aliases.join(", ")),
        ));
        json.push(key.to_json());
        damaged.extend(key.usage.err());
    }
    let texts: Vec<String> = damaged.iter().map(ToString::to_string).collect();
    let failure = damaged.first().map(|first| {
        let rest = match damaged.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more records like it)"),
        };
        Failure::kms(format_args!("cannot list all of the keys{rest}"), first)
    });
    let mut answer = Answer::new(text, json!({ "keys": json, "damaged": texts }));
    answer.failure = failure;
    Ok(answer)
}

fn state(state: KeyState) -> String {
    state.to_string()
}

fn owner(owner: &Owner) -> String {
    match owner {
        Owner::Customer => "customer".to_owned(),
        _ => "service".to_owned(),
    }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Local => "local",
        _ => "external",
    }
}

fn cause(cause: BackingKeyCause) -> &'static str {
    match cause {
        BackingKeyCause::Creation => "creation",
        BackingKeyCause::AutomaticRotation => "automatic rotation",
        _ => "on demand rotation",
    }
}

fn or_none(text: String) -> String {
    if text.is_empty() {
        "none".to_owned()
    } else {
        text
    }
}

/// How often something was done, and when last.
fn times(done: &str, count: u64, last: Option<SystemTime>) -> String {
    let on = |word| last.map_or_else(String::new, |last| format!(" ({word}{})", date(last)));
    match count {
        0 => format!("never {done}"),
        1 => format!("{done} once{}", on("")),
        _ => format!("{done} {count} times{}", on("last ")),
    }
}

fn or_never(time: Option<SystemTime>) -> String {
    time.map_or_else(|| "never".to_owned(), date)
}
