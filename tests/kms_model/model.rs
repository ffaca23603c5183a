//! What a KMS does, in plain structs and without any cryptography: by AWS
//! KMS's documentation, and that of `LocalKms` where it goes beyond.

use std::collections::BTreeMap;

use waxseal::kms::{BackingKeyCause, KeyState, Origin, Owner};

use crate::fault::{Fault, Outcome, state_name};

/// Milliseconds since 1970.
pub(crate) type Time = u64;
pub(crate) const DAY: Time = 24 * 60 * 60 * 1000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    pub(crate) wraps: u64,
    pub(crate) last_wrap: Option<Time>,
    pub(crate) unwraps: u64,
    pub(crate) last_unwrap: Option<Time>,
}

/// One version of a key's material.
#[derive(Clone, Debug)]
pub(crate) struct Material {
    /// Which one was imported.
    pub(crate) imported: Option<u8>,
    pub(crate) created: Time,
    pub(crate) cause: BackingKeyCause,
    /// Not deleted, and not wiped.
    pub(crate) is_there: bool,
    pub(crate) expires: Option<Time>,
}

impl Material {
    pub(crate) fn is_usable(&self, now: Time) -> bool {
        self.is_there && self.expires.is_none_or(|expires| expires > now)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) owner: Owner,
    pub(crate) origin: Origin,
    pub(crate) created: Time,
    pub(crate) description: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) is_enabled: bool,
    pub(crate) deletion: Option<Time>,
    /// The material is out of the store.
    pub(crate) is_purged: bool,
    /// Days, and when the next one is due.
    pub(crate) rotation: Option<(u16, Time)>,
    pub(crate) minimum: u32,
    pub(crate) versions: Vec<Material>,
    pub(crate) next: Option<Material>,
    pub(crate) uses: BTreeMap<u32, Uses>,
}

impl Key {
    pub(crate) fn current(&self) -> u32 {
        self.versions.len() as u32
    }

    fn is_whole(&self, now: Time) -> bool {
        !self.versions.is_empty() && self.versions.iter().all(|key| key.is_usable(now))
    }

    pub(crate) fn last_used(&self) -> Option<Time> {
        let times = self.uses.values();
        times
            .flat_map(|uses| [uses.last_wrap, uses.last_unwrap])
            .flatten()
            .max()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct AliasEntry {
    pub(crate) key: usize,
    pub(crate) created: Time,
    pub(crate) updated: Time,
}

/// How a key is named in a call.
#[derive(Clone, Debug)]
pub(crate) enum Named {
    Key(usize),
    Alias(String),
    Nothing,
}

/// What operations have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Use,
    Show,
    Manage,
    Toggle,
    Cancel,
    Rotate,
    SetRotation,
    Import,
    DeleteMaterial,
}

pub(crate) const RESERVED: &str = "alias/aws/";

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) now: Time,
    pub(crate) keys: Vec<Key>,
    pub(crate) aliases: BTreeMap<String, AliasEntry>,
    pub(crate) is_connected: [bool; 2],
}

impl Model {
    pub(crate) fn new(now: Time) -> Model {
        Model {
            now,
            keys: Vec::new(),
            aliases: BTreeMap::new(),
            is_connected: [true, true],
        }
    }

    pub(crate) fn is_alive(&self, key: usize) -> bool {
        self.keys[key].deletion.is_none_or(|date| date > self.now)
    }

    /// The living key that a name means.
    pub(crate) fn find(&self, named: &Named) -> Outcome<usize> {
        let key = match named {
            Named::Key(key) => Some(*key),
            Named::Alias(name) => self.aliases.get(name).map(|alias| alias.key),
            Named::Nothing => None,
        };
        key.filter(|key| self.is_alive(*key)).ok_or(Fault::NotFound)
    }

    /// The state of a living key, for this handle.
    pub(crate) fn state(&self, key: usize, handle: usize) -> KeyState {
        let record = &self.keys[key];
        if record.deletion.is_some() {
            KeyState::PendingDeletion
        } else if !record.is_whole(self.now) {
            KeyState::PendingImport
        } else if !self.is_connected[handle] {
            KeyState::Unavailable
        } else if record.is_enabled {
            KeyState::Enabled
        } else {
            KeyState::Disabled
        }
    }

    pub(crate) fn admit(&self, class: Class, named: &Named, handle: usize) -> Outcome<usize> {
        use KeyState::{Disabled, Enabled, PendingDeletion, PendingImport, Unavailable};
        let key = self.find(named)?;
        let record = &self.keys[key];
        match (&record.owner, class) {
            (_, Class::Use) | (Owner::Customer, _) | (Owner::Service(_), Class::Show) => {}
            (Owner::Service(_), _) => return Err(Fault::Unsupported),
            _ => return Err(Fault::NotFound),
        }
        match (record.origin, class) {
            (Origin::Local, Class::Import | Class::DeleteMaterial)
            | (Origin::External, Class::SetRotation) => return Err(Fault::Unsupported),
            _ => {}
        }
        let state = self.state(key, handle);
        let allows: &[KeyState] = match class {
            Class::Use | Class::Rotate | Class::SetRotation => {
                if state == Disabled {
                    return Err(Fault::Disabled);
                }
                &[Enabled]
            }
            Class::Show => &KeyState::ALL,
            Class::Manage => &[Enabled, Disabled, PendingImport, Unavailable],
            Class::Toggle => &[Enabled, Disabled, Unavailable],
            Class::Cancel => &[PendingDeletion],
            Class::Import => &[Enabled, Disabled, PendingImport],
            Class::DeleteMaterial => &[Enabled, Disabled, PendingImport, PendingDeletion],
        };
        match allows.contains(&state) {
            true => Ok(key),
            false => Err(Fault::InvalidState(state_name(state))),
        }
    }

    fn check_name(alias: &str) -> Outcome<()> {
        match alias.starts_with(RESERVED) || alias.contains(' ') {
            true => Err(Fault::InvalidAlias),
            false => Ok(()),
        }
    }

    /// Whether a name is given, to a key that is still there.
    fn is_taken(&self, alias: &str) -> bool {
        let entry = self.aliases.get(alias);
        entry.is_some_and(|entry| self.is_alive(entry.key))
    }

    pub(crate) fn name(&mut self, alias: &str, key: usize) {
        let (created, updated) = (self.now, self.now);
        let entry = AliasEntry {
            key,
            created,
            updated,
        };
        self.aliases.insert(alias.to_owned(), entry);
    }

    pub(crate) fn add_key(&mut self, owner: Owner, origin: Origin, rotation: Option<u16>) -> usize {
        let mut key = Key {
            owner,
            origin,
            created: self.now,
            description: String::new(),
            tags: BTreeMap::new(),
            is_enabled: true,
            deletion: None,
            is_purged: false,
            rotation: rotation.map(|days| (days, self.now + Time::from(days) * DAY)),
            minimum: 1,
            versions: Vec::new(),
            next: None,
            uses: BTreeMap::new(),
        };
        if origin == Origin::Local {
            key.versions
                .push(self.material(None, BackingKeyCause::Creation));
        }
        self.keys.push(key);
        self.keys.len() - 1
    }

    fn material(&self, imported: Option<u8>, cause: BackingKeyCause) -> Material {
        Material {
            imported,
            created: self.now,
            cause,
            is_there: true,
            expires: None,
        }
    }

    pub(crate) fn create(
        &mut self,
        is_external: bool,
        alias: Option<&str>,
        rotation: Option<u16>,
    ) -> Outcome<usize> {
        if let Some(alias) = alias {
            Self::check_name(alias)?;
            if self.is_taken(alias) {
                return Err(Fault::AlreadyExists);
            }
        }
        if rotation.is_some_and(|days| is_external || !(90..=2560).contains(&days)) {
            return Err(Fault::InvalidArgument);
        }
        let origin = match is_external {
            true => Origin::External,
            false => Origin::Local,
        };
        let key = self.add_key(Owner::Customer, origin, rotation);
        if let Some(alias) = alias {
            self.name(alias, key);
        }
        Ok(key)
    }

    pub(crate) fn create_alias(
        &mut self,
        alias: &str,
        named: &Named,
        handle: usize,
    ) -> Outcome<()> {
        Self::check_name(alias)?;
        let key = self.admit(Class::Manage, named, handle)?;
        if self.is_taken(alias) {
            return Err(Fault::AlreadyExists);
        }
        self.name(alias, key);
        Ok(())
    }

    pub(crate) fn update_alias(
        &mut self,
        alias: &str,
        named: &Named,
        handle: usize,
    ) -> Outcome<()> {
        Self::check_name(alias)?;
        let key = self.admit(Class::Manage, named, handle)?;
        if !self.is_taken(alias) {
            return Err(Fault::NotFound);
        }
        let now = self.now;
        let entry = self.aliases.get_mut(alias).unwrap();
        (entry.key, entry.updated) = (key, now);
        Ok(())
    }

    pub(crate) fn delete_alias(&mut self, alias: &str) -> Outcome<()> {
        Self::check_name(alias)?;
        if !self.is_taken(alias) {
            return Err(Fault::NotFound);
        }
        self.aliases.remove(alias);
        Ok(())
    }

    /// Seals under the key's current version.
    pub(crate) fn wrap(&mut self, named: &Named, handle: usize) -> Outcome<(usize, u32)> {
        let key = self.admit(Class::Use, named, handle)?;
        let now = self.now;
        let record = &mut self.keys[key];
        let version = record.current();
        let uses = record.uses.entry(version).or_default();
        uses.wraps += 1;
        uses.last_wrap = Some(now);
        Ok((key, version))
    }

    /// Opens what was sealed under this version of this key. The key's state
    /// comes first, then its floor, and the ciphertext last.
    pub(crate) fn unwrap(
        &mut self,
        key: usize,
        version: u32,
        is_sound: bool,
        handle: usize,
    ) -> Outcome<()> {
        self.admit(Class::Use, &Named::Key(key), handle)?;
        let now = self.now;
        let record = &mut self.keys[key];
        let minimum = record.minimum;
        if version < minimum {
            return Err(Fault::VersionCutOff { version, minimum });
        }
        if !is_sound {
            return Err(Fault::InvalidCiphertext);
        }
        let uses = record.uses.entry(version).or_default();
        uses.unwraps += 1;
        uses.last_unwrap = Some(now);
        Ok(())
    }

    pub(crate) fn decrypt(
        &mut self,
        key: usize,
        version: u32,
        given: Option<&Named>,
        is_sound: bool,
        handle: usize,
    ) -> Outcome<()> {
        if let Some(given) = given
            && self.find(given)? != key
        {
            return Err(Fault::IncorrectKey);
        }
        self.unwrap(key, version, is_sound, handle)
    }

    pub(crate) fn rotate(&mut self, named: &Named, handle: usize) -> Outcome<u32> {
        let key = self.admit(Class::Rotate, named, handle)?;
        let cause = BackingKeyCause::OnDemandRotation;
        let now = self.now;
        let made = self.material(None, cause);
        let record = &mut self.keys[key];
        let material = match record.origin {
            Origin::External => {
                let usable = record.next.take_if(|next| next.is_usable(now));
                let imported = usable.ok_or(Fault::Unsupported)?;
                Material {
                    created: now,
                    cause,
                    ..imported
                }
            }
            _ => made,
        };
        record.versions.push(material);
        Ok(record.current())
    }

    pub(crate) fn enable_rotation(
        &mut self,
        named: &Named,
        days: Option<u16>,
        handle: usize,
    ) -> Outcome<()> {
        let key = self.admit(Class::SetRotation, named, handle)?;
        let days = days.unwrap_or(365);
        if !(90..=2560).contains(&days) {
            return Err(Fault::InvalidArgument);
        }
        let due = self.now + Time::from(days) * DAY;
        let rotation = &mut self.keys[key].rotation;
        if rotation.is_none_or(|(same, _)| same != days) {
            *rotation = Some((days, due));
        }
        Ok(())
    }

    pub(crate) fn set_minimum(
        &mut self,
        named: &Named,
        minimum: u32,
        handle: usize,
    ) -> Outcome<()> {
        let key = self.admit(Class::Manage, named, handle)?;
        let record = &mut self.keys[key];
        if minimum < 1 || (minimum > 1 && minimum > record.current()) {
            return Err(Fault::InvalidArgument);
        }
        record.minimum = minimum;
        Ok(())
    }

    /// The date, the last use, and whether that was less than 30 days ago.
    pub(crate) fn schedule(
        &mut self,
        named: &Named,
        days: Option<u16>,
        handle: usize,
    ) -> Outcome<(Time, Option<Time>, bool)> {
        let key = self.admit(Class::Manage, named, handle)?;
        let days = days.unwrap_or(30);
        if !(7..=30).contains(&days) {
            return Err(Fault::InvalidArgument);
        }
        let date = self.now + Time::from(days) * DAY;
        let now = self.now;
        let record = &mut self.keys[key];
        record.deletion = Some(date);
        let last = record.last_used();
        Ok((date, last, last.is_some_and(|last| now - last < 30 * DAY)))
    }

    pub(crate) fn cancel(&mut self, named: &Named, handle: usize) -> Outcome<()> {
        let key = self.admit(Class::Cancel, named, handle)?;
        let record = &mut self.keys[key];
        (record.deletion, record.is_enabled) = (None, false);
        Ok(())
    }

    pub(crate) fn import(
        &mut self,
        named: &Named,
        material: u8,
        is_new: Option<bool>,
        expires: Option<Time>,
        handle: usize,
    ) -> Outcome<()> {
        let key = self.admit(Class::Import, named, handle)?;
        let now = self.now;
        if expires.is_some_and(|expires| expires <= now) {
            return Err(Fault::InvalidArgument);
        }
        let mut fresh = self.material(Some(material), BackingKeyCause::Creation);
        fresh.expires = expires;
        let record = &mut self.keys[key];
        let was_whole = record.is_whole(now);
        let has_none = record.versions.is_empty();
        let is_new = is_new.unwrap_or(has_none);
        let mut all = record.versions.iter_mut().chain(&mut record.next);
        match all.find(|known| known.imported == Some(material)) {
            Some(_) if is_new => return Err(Fault::InvalidArgument),
            Some(known) => (known.is_there, known.expires) = (true, expires),
            None if !is_new => return Err(Fault::IncorrectKeyMaterial),
            None if has_none => record.versions.push(fresh),
            None => record.next = Some(fresh),
        }
        if !was_whole && record.is_whole(now) {
            record.is_enabled = true;
        }
        Ok(())
    }

    /// Deletes one material, counted over all versions and then the one that
    /// waits, or all.
    pub(crate) fn delete_material(
        &mut self,
        named: &Named,
        which: Option<usize>,
        handle: usize,
    ) -> Outcome<()> {
        let key = self.admit(Class::DeleteMaterial, named, handle)?;
        let record = &mut self.keys[key];
        let count = record.versions.len();
        if which.is_some_and(|which| which >= count + usize::from(record.next.is_some())) {
            return Err(Fault::NotFound);
        }
        if which.is_none_or(|which| which == count) {
            record.next = None;
        }
        for (place, version) in record.versions.iter_mut().enumerate() {
            if which.is_none_or(|which| which == place) {
                (version.is_there, version.expires) = (false, None);
            }
        }
        Ok(())
    }

    /// Keys that were rotated (with the new version), whose material was wiped,
    /// and that were deleted.
    pub(crate) fn run_due(&mut self, handle: usize) -> (Vec<(usize, u32)>, Vec<usize>, Vec<usize>) {
        let (mut rotated, mut expired, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
        let now = self.now;
        for key in 0..self.keys.len() {
            if !self.is_alive(key) {
                let record = &mut self.keys[key];
                if !record.is_purged {
                    record.is_purged = true;
                    deleted.push(key);
                }
                continue;
            }
            let is_enabled = self.state(key, handle) == KeyState::Enabled;
            let made = self.material(None, BackingKeyCause::AutomaticRotation);
            let record = &mut self.keys[key];
            let waiting = record.next.take_if(|next| !next.is_usable(now));
            let mut is_wiped = waiting.is_some();
            for version in &mut record.versions {
                if version.is_there && !version.is_usable(now) {
                    (version.is_there, version.expires) = (false, None);
                    is_wiped = true;
                }
            }
            if is_wiped {
                expired.push(key);
            }
            if let Some((days, due)) = record.rotation
                && due <= now
                && is_enabled
            {
                record.rotation = Some((days, now + Time::from(days) * DAY));
                record.versions.push(made);
                rotated.push((key, record.current()));
            }
        }
        (rotated, expired, deleted)
    }

    /// All dates that are still to come.
    pub(crate) fn dates(&self) -> Vec<Time> {
        let mut dates = Vec::new();
        for key in self.keys.iter().filter(|key| !key.is_purged) {
            dates.extend(key.deletion);
            dates.extend(key.rotation.map(|(_, due)| due));
            let materials = key.versions.iter().chain(&key.next);
            dates.extend(materials.filter_map(|material| material.expires));
        }
        dates.retain(|date| *date > self.now);
        dates.sort_unstable();
        dates
    }
}
