//! A handle of the embedded KMS on a store that somebody has changed, and
//! everything that can be done with it: what is right, wherever the store is
//! as it was, and nothing wrong anywhere.

use std::collections::{BTreeMap, BTreeSet};

use waxseal::blocking::wait;
use waxseal::kms::store::StoreError;
use waxseal::kms::{KeyState, Keyring, KmsError, KmsResult, LocalKms};

use crate::world::{ARN_PREFIX, Key, Known, Use, World, context};

/// What was done to a store.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    /// The names of the blobs that were changed.
    pub names: BTreeSet<String>,
    /// Whether records hold what no KMS has written: their errors may be any.
    pub is_forged: bool,
    /// Whether time has passed, and what was due may be done.
    pub is_later: bool,
}

impl Touched {
    pub fn touch(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    /// Whether this record may be another than it was, or unreadable.
    pub fn concerns(&self, name: &str) -> bool {
        self.names.contains(name) || self.names.contains("root")
    }

    /// Whether an error is one of the store's, and names what was changed.
    ///
    /// # Panics
    /// If it names something else, or is no error that a store can lead to.
    pub fn is_the_stores(&self, error: &KmsError) -> bool {
        match error {
            KmsError::Record { name, .. } | KmsError::Store(StoreError::Damaged { name, .. }) => {
                assert!(
                    self.concerns(name),
                    "of a record that was not changed: {error:?}"
                );
                true
            }
            KmsError::WrongRoot { .. } | KmsError::Root(_) => {
                assert!(self.names.contains("root"), "{error:?}");
                true
            }
            KmsError::Store(_) | KmsError::Random(_) | KmsError::Busy { .. } | KmsError::NoKms => {
                panic!("no such error was to be had: {error:?}")
            }
            _ => false,
        }
    }
}

/// A handle, and what is known of its store.
pub struct Subject<'a> {
    pub kms: LocalKms,
    pub keys: &'a [Key],
    pub known: &'a [Known],
    /// What each alias may name; a whole one names the last.
    pub aliases: &'a BTreeMap<String, Vec<Option<usize>>>,
    pub touched: &'a Touched,
}

/// The aliases of a world.
pub fn aliases(world: &World) -> BTreeMap<String, Vec<Option<usize>>> {
    let names = |alias: &crate::world::Alias| {
        let mut names: Vec<_> = alias.ever.iter().copied().map(Some).collect();
        names.extend([None, alias.target]);
        (alias.name.to_owned(), names)
    };
    world.aliases.iter().map(names).collect()
}

impl Subject<'_> {
    /// Looks at everything.
    pub fn look(&self) {
        self.look_at_keys();
        for key in self.keys {
            self.look_at_key(key);
        }
        for (alias, targets) in self.aliases {
            self.look_at_alias(alias, targets);
        }
        if let Some(aliases) = self.store_error(wait(self.kms.list_aliases(None))) {
            for error in &aliases.damaged {
                assert!(self.touched.is_the_stores(error), "{error:?}");
            }
            for alias in aliases.aliases {
                self.check_target(&alias.name, &alias.key_arn);
            }
        }
        // Of each text and data key that were made together, one.
        for known in self.known.iter().step_by(2) {
            self.decrypt(known);
        }
    }

    /// The value, or an error of the store's that names what was changed.
    fn store_error<T>(&self, result: KmsResult<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(self.touched.is_the_stores(&error), "{error:?}");
                None
            }
        }
    }

    /// Each key is listed once, whatever the page's length, and nothing hides
    /// those that are whole.
    fn look_at_keys(&self) {
        let mut listed = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = wait(self.kms.list_keys(after.as_deref(), 2));
            let Some(page) = self.store_error(page) else {
                // Only what all keys need keeps them from being listed.
                assert!(self.touched.names.contains("root"));
                return;
            };
            assert!(page.keyrings.len() + page.damaged.len() <= 2);
            for error in &page.damaged {
                assert!(self.touched.is_the_stores(error), "{error:?}");
            }
            for keyring in page.keyrings {
                check(&keyring);
                let id = keyring.id.clone();
                assert!(listed.insert(id, keyring).is_none(), "it was listed twice");
            }
            let Some(next) = page.next else {
                break;
            };
            assert!(after.is_none_or(|after| after < next), "a page goes back");
            after = Some(next);
        }
        for keyring in listed.values() {
            let described = wait(self.kms.describe_key(&keyring.id)).expect("it was listed");
            assert_eq!(&described, keyring);
        }
        for key in self.keys {
            if !self.touched.concerns(&key.record()) && !self.touched.is_later {
                let is_there = key.usable != Use::Deleted && !key.is_owned;
                assert_eq!(listed.contains_key(&key.id), is_there, "{key:?}");
            }
        }
    }

    fn look_at_key(&self, key: &Key) {
        let is_whole = !self.touched.concerns(&key.record());
        match wait(self.kms.describe_key(&key.id)) {
            Ok(keyring) => {
                check(&keyring);
                assert_eq!((&keyring.id, &keyring.arn), (&key.id, &key.arn()));
                if is_whole && !self.touched.is_later {
                    let state = match key.usable {
                        Use::Allowed => keyring.state == KeyState::Enabled,
                        Use::Disabled => keyring.state == KeyState::Disabled,
                        Use::InvalidState => true,
                        Use::Deleted => false,
                    };
                    assert!(state, "{key:?} is {keyring:?}");
                    assert_eq!(keyring.current_version(), key.current);
                    assert_eq!(keyring.minimum_version, key.minimum);
                }
                if let Some(arn) = self.store_error(wait(self.kms.resolve(&key.id))) {
                    assert_eq!(arn, key.arn());
                }
                let rotations = wait(self.kms.rotations(&key.id)).expect("it was described");
                assert_eq!(rotations, keyring.rotations());
                assert_eq!(
                    wait(self.kms.deleted_key(&key.id)).expect("it was described"),
                    None
                );
                self.store_error(wait(self.kms.usage(&key.id)));
                if let Some(names) = self.store_error(wait(self.kms.list_aliases(Some(&key.id)))) {
                    for alias in names.aliases {
                        assert_eq!(alias.key_arn, key.arn());
                        self.check_target(&alias.name, &alias.key_arn);
                    }
                }
            }
            Err(KmsError::NotFound { .. }) => {
                let may_be_gone = key.usable == Use::Deleted || key.is_owned;
                assert!(!is_whole || may_be_gone || self.touched.is_later, "{key:?}");
                match wait(self.kms.deleted_key(&key.id)) {
                    Ok(Some(deleted)) => assert_eq!(deleted.arn, key.arn()),
                    Ok(None) => assert!(key.is_owned || self.touched.is_forged),
                    Err(error) => assert!(!is_whole, "{error:?}"),
                }
            }
            Err(error) => assert!(self.touched.is_the_stores(&error), "{error:?}"),
        }
    }

    /// It names one of its keys, or the error says why not.
    fn look_at_alias(&self, alias: &str, targets: &[Option<usize>]) {
        let target = targets.last().copied().flatten();
        match wait(self.kms.resolve(alias)) {
            Ok(arn) => self.check_target(alias, &arn),
            Err(KmsError::NotFound { .. }) => {
                if let Some(target) = target {
                    let key = &self.keys[target];
                    let is_gone = key.usable == Use::Deleted || key.is_owned;
                    let is_changed = self.touched.concerns(&key.record())
                        || self.touched.concerns(&record_of(alias));
                    assert!(is_gone || is_changed || self.touched.is_later, "{alias}");
                }
            }
            Err(error) => assert!(self.touched.is_the_stores(&error), "{error:?}"),
        }
    }

    fn check_target(&self, alias: &str, arn: &str) {
        let Some(targets) = self.aliases.get(alias) else {
            assert!(self.touched.is_forged, "nobody made the alias {alias}");
            return;
        };
        let key = self.keys.iter().position(|key| key.arn() == arn);
        let is_changed = self.touched.concerns(&record_of(alias))
            || key.is_some_and(|key| self.touched.concerns(&self.keys[key].record()));
        if is_changed {
            let is_right = key.is_some_and(|key| targets.contains(&Some(key)));
            assert!(is_right || self.touched.is_forged, "{alias} is {arn}");
        } else {
            assert_eq!(key, targets.last().copied().flatten(), "{alias} is {arn}");
        }
    }

    /// What was encrypted decrypts to what it was, or the error says why not.
    pub fn decrypt(&self, known: &Known) {
        let key = &self.keys[known.key];
        let found = wait(self.kms.decrypt(&known.blob, None, &context(known.context)));
        let is_whole = !self.touched.concerns(&key.record());
        match found {
            Ok(found) => {
                assert_eq!(found.plaintext.expose(), known.plaintext);
                assert_eq!(found.key_arn, key.arn());
                assert_eq!(found.key_version, known.version);
                assert!(
                    !is_whole || self.touched.is_later || key.expected(known.version).is_none(),
                    "{key:?} was used"
                );
            }
            Err(error) => {
                let is_the_stores = self.touched.is_the_stores(&error);
                if is_whole && !self.touched.is_later {
                    assert!(!is_the_stores);
                    let expected = key.expected(known.version);
                    assert_eq!(Some(Refusal::of(&error)), expected, "{error:?}");
                }
            }
        }
    }
}

/// Why a key may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotFound,
    Disabled,
    State,
    CutOff,
    Other,
}

impl Refusal {
    fn of(error: &KmsError) -> Self {
        match error {
            KmsError::NotFound { .. } => Refusal::NotFound,
            KmsError::Disabled { .. } => Refusal::Disabled,
            KmsError::InvalidState { .. } => Refusal::State,
            KmsError::VersionCutOff { .. } => Refusal::CutOff,
            _ => Refusal::Other,
        }
    }
}

impl Key {
    /// Why nothing decrypts under this version, if so.
    fn expected(&self, version: u32) -> Option<Refusal> {
        match self.usable {
            Use::Allowed if version < self.minimum => Some(Refusal::CutOff),
            Use::Allowed => None,
            Use::Disabled => Some(Refusal::Disabled),
            Use::InvalidState => Some(Refusal::State),
            Use::Deleted => Some(Refusal::NotFound),
        }
    }
}

/// Whether what is told of a key fits together.
pub fn check(keyring: &Keyring) {
    assert_eq!(keyring.id.len(), 36);
    assert_eq!(keyring.arn, format!("{ARN_PREFIX}{}", keyring.id));
    let versions = keyring.backing_keys.iter().map(|key| key.version);
    assert!(versions.eq(1..=keyring.current_version()));
    assert!((1..=keyring.current_version().max(1)).contains(&keyring.minimum_version));
    if let Some(next) = &keyring.next {
        assert_eq!(next.version, keyring.current_version() + 1);
    }
    let is_complete = keyring.backing_keys.iter().all(|key| key.is_present);
    match keyring.state {
        KeyState::PendingDeletion => assert!(keyring.deletion.is_some()),
        KeyState::PendingImport => assert!(!is_complete || keyring.backing_keys.is_empty()),
        KeyState::Enabled | KeyState::Disabled => {
            assert!(is_complete && keyring.deletion.is_none());
            assert!(keyring.current_version() > 0);
        }
        _ => panic!("{keyring:?}"),
    }
}

/// The name of an alias's record.
pub fn record_of(alias: &str) -> String {
    let digest = crate::primitives::sha256(alias.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("aliases/{hex}")
}
