//! Does each operation to the KMS and to the model, and compares.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use waxseal::blocking::{Client, wait};
use waxseal::kms::store::{BlobStore, MemoryStore};
use waxseal::kms::{
    BackingKeyInfo, CreateKey, DataKeySpec, ImportOptions, ImportType, Keyring, KmsResult,
    LocalKms, Origin, Owner, RootKey,
};
use waxseal::test_util::ManualClock;
use waxseal::{Clock, EncryptionContext, Error, ProviderError, ProviderErrorKind, SecretBytes};

use crate::Statistics;
use crate::model::{Class, DAY, Fault, Material, Model, Named, Outcome, RESERVED, Time};
use crate::operation::{Form, Given, Op, Pass, Sealed, Target};

const ALIASES: [&str; 7] = [
    "alias/a",
    "alias/b",
    "alias/c/c",
    "alias/d-d",
    "alias/e_e",
    "alias/aws/s3",
    "alias/not one",
];
const NAMES: [&str; 2] = ["s3", "rds"];
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";
/// Checks of everything are many times an operation's work.
const CHECK_EVERY: usize = 40;

type Checked<T = ()> = Result<T, String>;

macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

/// What was encrypted, once.
struct Secret {
    key: usize,
    version: u32,
    context: EncryptionContext,
    bytes: Vec<u8>,
    plaintext: Vec<u8>,
}

pub(crate) struct World<'a> {
    model: Model,
    clock: ManualClock,
    store: MemoryStore,
    root: u8,
    handles: [LocalKms; 2],
    /// The keys' ids, by the model's numbers.
    ids: Vec<String>,
    /// By the names' numbers.
    service_keys: BTreeMap<usize, usize>,
    owned_keys: BTreeMap<usize, usize>,
    /// The ids of a key's materials: of version, or of what was imported.
    material_ids: BTreeMap<(usize, Result<u32, u8>), String>,
    blobs: Vec<Secret>,
    messages: Vec<Secret>,
    drawn: u8,
    done: usize,
    statistics: &'a RefCell<Statistics>,
}

fn time(time: SystemTime) -> Time {
    time.duration_since(UNIX_EPOCH).unwrap().as_millis() as Time
}

fn date(time: Time) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(time)
}

fn root_key(number: u8) -> RootKey {
    RootKey::bytes(SecretBytes::from(vec![number; 32]))
}

fn context(which: u8) -> EncryptionContext {
    match which % 4 {
        0 => EncryptionContext::new(),
        1 => EncryptionContext::from([("tenant", "1")]),
        2 => EncryptionContext::from([("tenant", "2")]),
        _ => EncryptionContext::from([("tenant", "1"), ("table", "x")]),
    }
}

fn open(store: &MemoryStore, clock: &ManualClock, root: u8) -> LocalKms {
    let builder = LocalKms::builder(store.clone(), root_key(root))
        .clock(clock.clone())
        .max_staleness(Duration::ZERO);
    wait(builder.open()).unwrap()
}

/// The same outcome, as a value: an error that the model does not know is told.
fn outcome<T>(result: KmsResult<T>) -> Checked<Outcome<T>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => match Fault::of(&error) {
            Some(fault) => Ok(Err(fault)),
            None => Err(format!("{error:?}")),
        },
    }
}

fn same<T: Debug + PartialEq>(what: &str, found: T, expected: T) -> Checked {
    ensure!(
        found == expected,
        "{what}: the KMS has\n  {found:?}\nand the model\n  {expected:?}"
    );
    Ok(())
}

/// Both succeed, or fail alike.
fn agree<T, U>(found: KmsResult<T>, expected: Outcome<U>) -> Checked<Outcome<(T, U)>> {
    match (outcome(found)?, expected) {
        (Ok(found), Ok(expected)) => Ok(Ok((found, expected))),
        (Err(found), Err(expected)) if found == expected => Ok(Err(found)),
        (found, expected) => Err(format!(
            "the KMS gives {:?}, the model {:?}",
            found.map(drop),
            expected.map(drop)
        )),
    }
}

/// What a message's error is.
fn message_fault(error: &Error) -> Checked<Fault> {
    let of_provider = |error: &ProviderError| {
        use ProviderErrorKind as Kind;
        let kms = error.source().and_then(|source| source.downcast_ref());
        let fault = match kms {
            Some(error) => Fault::of(error),
            None if error.kind() == Kind::NotConfigured => Some(Fault::OtherKey),
            None => None,
        };
        let kind = match fault {
            Some(Fault::NotFound) => Kind::NotFound,
            Some(Fault::Disabled | Fault::InvalidState(_) | Fault::VersionCutOff { .. }) => {
                Kind::KeyDisabled
            }
            Some(Fault::OtherKey) => Kind::NotConfigured,
            _ => return Err(format!("{error:?}")),
        };
        ensure!(error.kind() == kind, "{error:?}");
        fault.ok_or_else(|| format!("{error:?}"))
    };
    match error {
        Error::ContextMismatch { .. } | Error::ContextKeyNotInMessage { .. } => Ok(Fault::Context),
        Error::Provider(error) => of_provider(error),
        Error::Unwrap(failures) => match failures.iter().next() {
            Some(failure) if failure.causes.len() == 1 => of_provider(&failure.causes[0]),
            _ => Err(format!("{failures:?}")),
        },
        error => Err(format!("{error:?}")),
    }
}

impl<'a> World<'a> {
    pub(crate) fn new(statistics: &'a RefCell<Statistics>) -> Self {
        let (clock, store) = (ManualClock::default(), MemoryStore::new());
        let handles = [0, 1].map(|_| open(&store, &clock, 0));
        let mut world = World {
            model: Model::new(time(clock.now())),
            clock,
            store,
            root: 0,
            handles,
            ids: Vec::new(),
            service_keys: BTreeMap::new(),
            owned_keys: BTreeMap::new(),
            material_ids: BTreeMap::new(),
            blobs: Vec::new(),
            messages: Vec::new(),
            drawn: 0,
            done: 0,
            statistics,
        };
        // Something to begin with.
        for is_external in [false, true] {
            let request = CreateKey::new();
            let request = match is_external {
                true => request.external(),
                false => request,
            };
            let key = wait(world.handles[0].create_key(request)).unwrap();
            world.ids.push(key.id);
            world.model.create(is_external, None, None).unwrap();
        }
        world
    }

    /// One operation, and what it came to in the statistics.
    pub(crate) fn run(&mut self, operation: &Op) -> Checked {
        let fault = self.apply(operation)?;
        let name = fault.map_or_else(|| "Ok".to_owned(), Fault::name);
        self.statistics.borrow_mut().count(operation.name(), name);
        self.done += 1;
        if self.done.is_multiple_of(CHECK_EVERY) {
            self.check_all(self.done / CHECK_EVERY % 2)?;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Checked {
        for handle in [0, 1] {
            self.check_all(handle)?;
        }
        let started = Model::new(time(ManualClock::default().now())).now;
        let mut statistics = self.statistics.borrow_mut();
        statistics.keys += self.ids.len() as u64;
        statistics.sealed += (self.blobs.len() + self.messages.len()) as u64;
        statistics.milliseconds += u128::from(self.model.now - started);
        Ok(())
    }

    fn arn(&self, key: usize) -> String {
        format!("arn:waxseal:kms:local:000000000000:key/{}", self.ids[key])
    }

    /// A key as the model and as the KMS know it.
    fn named(&self, key: usize, form: Form, alias: u8) -> (Named, String) {
        match form {
            Form::Id => (Named::Key(key), self.ids[key].clone()),
            Form::Arn => (Named::Key(key), self.arn(key)),
            Form::Alias => {
                // Mostly one that the key has, if it has one.
                let is_own = !alias.is_multiple_of(4);
                let mut own = self.model.aliases.iter();
                let name = match own.find(|(_, entry)| entry.key == key) {
                    Some((name, _)) if is_own => name.clone(),
                    None if is_own => return self.named(key, Form::Id, alias),
                    _ => ALIASES[usize::from(alias / 4) % ALIASES.len()].to_owned(),
                };
                (Named::Alias(name.clone()), name)
            }
            Form::Unknown => (Named::Nothing, UNKNOWN.to_owned()),
        }
    }

    /// Mostly a key that is there, and often one that allows the operation.
    fn target(&self, target: Target, class: Class) -> (Named, String) {
        let mut keys: Vec<usize> = (0..self.ids.len()).collect();
        let mut prefer = |fits: &dyn Fn(usize) -> bool| {
            if keys.iter().any(|key| fits(*key)) {
                keys.retain(|key| fits(*key));
            }
        };
        if !target.key.is_multiple_of(8) {
            prefer(&|key| self.model.is_alive(key));
        }
        if !target.key.is_multiple_of(2) {
            let handle = target.handle;
            prefer(&|key| self.model.admit(class, &Named::Key(key), handle).is_ok());
        }
        let key = keys[usize::from(target.key / 2) % keys.len()];
        self.named(key, target.form, target.key)
    }

    fn given(&self, given: Given, key: usize) -> Option<(Named, String)> {
        match given {
            Given::None => None,
            Given::Own(form) => Some(self.named(key, form, 1)),
            Given::Any(target) => Some(self.target(target, Class::Use)),
        }
    }

    fn draw(&mut self) -> Vec<u8> {
        self.drawn = self.drawn.wrapping_add(1);
        vec![self.drawn; usize::from(self.drawn % 40)]
    }

    /// A call that changes a key: both agree, and the key is the same after.
    fn manage(
        &mut self,
        on: Target,
        class: Class,
        call: impl FnOnce(&LocalKms, &str) -> KmsResult<()>,
        model: impl FnOnce(&mut Model, &Named) -> Outcome<()>,
    ) -> Checked<Option<Fault>> {
        let (named, text) = self.target(on, class);
        let found = call(&self.handles[on.handle], &text);
        let expected = model(&mut self.model, &named);
        let agreed = agree(found, expected)?;
        if let Ok(key) = self.model.find(&named) {
            self.check_key(key)?;
        }
        Ok(agreed.err())
    }

    fn apply(&mut self, operation: &Op) -> Checked<Option<Fault>> {
        match *operation {
            Op::Create {
                handle,
                external,
                alias,
                rotation,
            } => self.create(handle, external, alias, rotation),
            Op::ServiceKey { handle, name } => self.service_key(handle, name),
            Op::OwnedKey { handle, name } => self.owned_key(handle, name),
            Op::CreateAlias { alias, on } => {
                let alias = ALIASES[usize::from(alias) % ALIASES.len()];
                let checked = self.manage(
                    on,
                    Class::Manage,
                    |kms, key| wait(kms.create_alias(alias, key)),
                    |model, key| model.create_alias(alias, key, on.handle),
                )?;
                self.check_aliases(on.handle)?;
                Ok(checked)
            }
            Op::UpdateAlias { alias, on } => {
                let alias = ALIASES[usize::from(alias) % ALIASES.len()];
                let checked = self.manage(
                    on,
                    Class::Manage,
                    |kms, key| wait(kms.update_alias(alias, key)),
                    |model, key| model.update_alias(alias, key, on.handle),
                )?;
                self.check_aliases(on.handle)?;
                Ok(checked)
            }
            Op::DeleteAlias { handle, alias } => {
                let alias = ALIASES[usize::from(alias) % ALIASES.len()];
                let found = wait(self.handles[handle].delete_alias(alias));
                let agreed = agree(found, self.model.delete_alias(alias))?;
                self.check_aliases(handle)?;
                Ok(agreed.err())
            }
            Op::Describe { on, text } => {
                let text = format!("description {text}");
                self.manage(
                    on,
                    Class::Manage,
                    |kms, key| wait(kms.update_description(key, &text)),
                    |model, named| {
                        let key = model.admit(Class::Manage, named, on.handle)?;
                        model.keys[key].description = text.clone();
                        Ok(())
                    },
                )
            }
            Op::Tag { on, tag } => {
                let tags = BTreeMap::from([(format!("tag {}", tag % 4), tag.to_string())]);
                self.manage(
                    on,
                    Class::Manage,
                    |kms, key| wait(kms.tag(key, &tags)),
                    |model, named| {
                        let key = model.admit(Class::Manage, named, on.handle)?;
                        model.keys[key].tags.extend(tags.clone());
                        Ok(())
                    },
                )
            }
            Op::Untag { on, tag } => {
                let tag = format!("tag {}", tag % 4);
                self.manage(
                    on,
                    Class::Manage,
                    |kms, key| wait(kms.untag(key, &[&tag])),
                    |model, named| {
                        let key = model.admit(Class::Manage, named, on.handle)?;
                        model.keys[key].tags.remove(&tag);
                        Ok(())
                    },
                )
            }
            Op::Encrypt { on, context: which } => {
                let (named, text) = self.target(on, Class::Use);
                let (plaintext, context) = (self.draw(), context(which));
                let found = wait(self.handles[on.handle].encrypt(&text, &plaintext, &context));
                let expected = self.model.wrap(&named, on.handle);
                let agreed = agree(found, expected)?;
                self.keep(agreed.map(|(found, at)| (found, plaintext, at)), context)
            }
            Op::GenerateDataKey {
                on,
                context: which,
                shown,
            } => self.generate_data_key(on, context(which), shown),
            Op::Decrypt(from) => self.decrypt(from),
            Op::ReEncrypt { from, to, context } => self.re_encrypt(from, to, context),
            Op::EncryptMessage { on, context: which } => self.encrypt_message(on, context(which)),
            Op::DecryptMessage {
                on,
                which,
                own,
                any,
                context,
            } => self.decrypt_message(on, which, own, any, context),
            Op::Rotate(on) => {
                let (named, text) = self.target(on, Class::Rotate);
                let found = wait(self.handles[on.handle].rotate(&text));
                let agreed = agree(found, self.model.rotate(&named, on.handle))?;
                if let Ok((found, expected)) = agreed {
                    same("the new version", found, expected)?;
                    self.check_key(self.model.find(&named).unwrap())?;
                }
                Ok(agreed.err())
            }
            Op::EnableRotation { on, days } => self.manage(
                on,
                Class::SetRotation,
                |kms, key| wait(kms.enable_rotation(key, days)),
                |model, key| model.enable_rotation(key, days, on.handle),
            ),
            Op::DisableRotation(on) => self.manage(
                on,
                Class::SetRotation,
                |kms, key| wait(kms.disable_rotation(key)),
                |model, named| {
                    let key = model.admit(Class::SetRotation, named, on.handle)?;
                    model.keys[key].rotation = None;
                    Ok(())
                },
            ),
            Op::Enable(on) => self.manage(
                on,
                Class::Toggle,
                |kms, key| wait(kms.enable_key(key)),
                |model, named| {
                    let key = model.admit(Class::Toggle, named, on.handle)?;
                    model.keys[key].is_enabled = true;
                    Ok(())
                },
            ),
            Op::Disable(on) => self.manage(
                on,
                Class::Toggle,
                |kms, key| wait(kms.disable_key(key)),
                |model, named| {
                    let key = model.admit(Class::Toggle, named, on.handle)?;
                    model.keys[key].is_enabled = false;
                    Ok(())
                },
            ),
            Op::Schedule { on, days } => self.schedule(on, days),
            Op::Cancel(on) => self.manage(
                on,
                Class::Cancel,
                |kms, key| wait(kms.cancel_deletion(key)),
                |model, key| model.cancel(key, on.handle),
            ),
            Op::SetMinimum { on, minimum } => self.manage(
                on,
                Class::Manage,
                |kms, key| wait(kms.set_minimum_version(key, minimum)),
                |model, key| model.set_minimum(key, minimum, on.handle),
            ),
            Op::Import {
                on,
                material,
                is_new,
                days,
                length,
            } => self.import(on, material, is_new, days, length),
            Op::DeleteMaterial { on, which } => self.delete_material(on, which),
            Op::Pass(pass) => {
                self.pass(pass);
                Ok(None)
            }
            Op::RunDue { handle } => self.run_due(handle),
            Op::Disconnect { handle } => {
                self.handles[handle].disconnect();
                self.model.is_connected[handle] = false;
                Ok(None)
            }
            Op::Connect { handle } => {
                let agreed = agree(wait(self.handles[handle].connect()), Ok(()))?;
                self.model.is_connected[handle] = true;
                Ok(agreed.err())
            }
            Op::Reopen { handle } => {
                self.reopen(handle);
                Ok(None)
            }
            Op::RotateStoreKey { handle } => {
                let agreed = agree(wait(self.handles[handle].rotate_store_key()), Ok(()))?;
                Ok(agreed.err())
            }
            Op::ChangeRoot { handle } => self.change_root(handle),
            Op::Backup { handle } => self.backup(handle),
            Op::CheckAll { handle } => {
                self.check_all(handle)?;
                Ok(None)
            }
        }
    }

    fn create(
        &mut self,
        handle: usize,
        external: bool,
        alias: Option<u8>,
        rotation: Option<u16>,
    ) -> Checked<Option<Fault>> {
        let alias = alias.map(|alias| ALIASES[usize::from(alias) % ALIASES.len()]);
        let mut request = CreateKey::new();
        if external {
            request = request.external();
        }
        if let Some(alias) = alias {
            request = request.alias(alias);
        }
        if let Some(days) = rotation {
            request = request.rotate_every(days);
        }
        let found = wait(self.handles[handle].create_key(request));
        let expected = self.model.create(external, alias, rotation);
        let agreed = agree(found, expected)?;
        if let Ok((keyring, key)) = &agreed {
            ensure!(!self.ids.contains(&keyring.id), "an id that there was");
            self.ids.push(keyring.id.clone());
            self.compare(*key, keyring, 0, true)?;
            self.check_key(*key)?;
            self.check_aliases(handle)?;
        }
        Ok(agreed.err())
    }

    fn service_key(&mut self, handle: usize, name: u8) -> Checked<Option<Fault>> {
        let place = usize::from(name) % NAMES.len();
        let name = NAMES[place];
        let found = wait(self.handles[handle].service_key(name));
        let agreed = agree(found, Ok(()))?;
        if let Ok((keyring, ())) = &agreed {
            let key = match self.service_keys.get(&place) {
                Some(key) => *key,
                None => {
                    let owner = Owner::Service(name.to_owned());
                    let key = self.model.add_key(owner, Origin::Local, Some(365));
                    self.model.name(&format!("{RESERVED}{name}"), key);
                    self.ids.push(keyring.id.clone());
                    self.service_keys.insert(place, key);
                    key
                }
            };
            self.compare(key, keyring, handle, false)?;
            self.check_aliases(handle)?;
        }
        Ok(agreed.err())
    }

    fn owned_key(&mut self, handle: usize, name: u8) -> Checked<Option<Fault>> {
        let place = usize::from(name) % NAMES.len();
        let name = NAMES[place];
        let found = wait(self.handles[handle].owned_key(name));
        let agreed = agree(found, Ok(()))?;
        if let Ok((arn, ())) = &agreed {
            let key = match self.owned_keys.get(&place) {
                Some(key) => *key,
                None => {
                    let owner = Owner::Owned(name.to_owned());
                    let key = self.model.add_key(owner, Origin::Local, Some(365));
                    let id = arn.rsplit('/').next().unwrap_or_default();
                    self.ids.push(id.to_owned());
                    self.owned_keys.insert(place, key);
                    key
                }
            };
            same("an owned key's ARN", arn.clone(), self.arn(key))?;
        }
        Ok(agreed.err())
    }

    /// Keeps a ciphertext that was made, to decrypt it again and again.
    fn keep(
        &mut self,
        made: Outcome<(waxseal::kms::Ciphertext, Vec<u8>, (usize, u32))>,
        context: EncryptionContext,
    ) -> Checked<Option<Fault>> {
        match made {
            Ok((found, plaintext, (key, version))) => {
                same("the key", found.key_arn, self.arn(key))?;
                same("the version", found.key_version, version)?;
                self.blobs.push(Secret {
                    key,
                    version,
                    context,
                    bytes: found.blob,
                    plaintext,
                });
                Ok(None)
            }
            Err(fault) => Ok(Some(fault)),
        }
    }

    fn generate_data_key(
        &mut self,
        on: Target,
        context: EncryptionContext,
        shown: bool,
    ) -> Checked<Option<Fault>> {
        let (named, text) = self.target(on, Class::Use);
        let kms = &self.handles[on.handle];
        if shown {
            let spec = DataKeySpec::Aes256;
            let found = wait(kms.generate_data_key(&text, spec, &context));
            let agreed = agree(found, self.model.wrap(&named, on.handle))?;
            let made = agreed.map(|(found, at)| {
                let plaintext = found.plaintext.expose().to_vec();
                (found.ciphertext, plaintext, at)
            });
            if let Ok((_, plaintext, _)) = &made {
                same("the length", plaintext.len(), 32)?;
            }
            return self.keep(made, context);
        }
        let spec = DataKeySpec::Bytes(20);
        let found = wait(kms.generate_data_key_without_plaintext(&text, spec, &context));
        let agreed = agree(found, self.model.wrap(&named, on.handle))?;
        let Ok((found, at)) = agreed else {
            return Ok(agreed.err());
        };
        // Only a decryption tells what it is.
        let opened = wait(kms.decrypt(&found.blob, None, &context));
        self.model.unwrap(at.0, at.1, true, on.handle).unwrap();
        let opened = opened.map_err(|error| format!("{error:?}"))?;
        same("the length", opened.plaintext.len(), 20)?;
        let plaintext = opened.plaintext.expose().to_vec();
        self.keep(Ok((found, plaintext, at)), context)
    }

    /// The ciphertext that is meant, as it is given, with its context.
    fn choose(&self, from: Sealed) -> Option<(&Secret, Vec<u8>, EncryptionContext, bool)> {
        let place = usize::from(from.which).checked_rem(self.blobs.len())?;
        let secret = &self.blobs[place];
        let mut bytes = secret.bytes.clone();
        if from.damage {
            // The last one belongs to the tag.
            *bytes.last_mut()? ^= 1;
        }
        let mut context = secret.context.clone();
        if from.wrong_context {
            context.insert("wrong".to_owned(), "1".to_owned());
        }
        Some((secret, bytes, context, !from.damage && !from.wrong_context))
    }

    fn decrypt(&mut self, from: Sealed) -> Checked<Option<Fault>> {
        let Some((secret, bytes, context, is_sound)) = self.choose(from) else {
            return Ok(Some(Fault::NotFound));
        };
        let (key, version) = (secret.key, secret.version);
        let plaintext = secret.plaintext.clone();
        let given = self.given(from.given, key);
        let text = given.as_ref().map(|(_, text)| text.as_str());
        let found = wait(self.handles[from.handle].decrypt(&bytes, text, &context));
        let named = given.as_ref().map(|(named, _)| named);
        let expected = self
            .model
            .decrypt(key, version, named, is_sound, from.handle);
        let agreed = agree(found, expected)?;
        if let Ok((found, ())) = &agreed {
            same("the plaintext", found.plaintext.expose(), &plaintext)?;
            same("the key", found.key_arn.clone(), self.arn(key))?;
            same("the version", found.key_version, version)?;
        }
        Ok(agreed.err())
    }

    fn re_encrypt(&mut self, from: Sealed, to: Target, which: u8) -> Checked<Option<Fault>> {
        let Some((secret, bytes, source, is_sound)) = self.choose(from) else {
            return Ok(Some(Fault::NotFound));
        };
        let (key, version) = (secret.key, secret.version);
        let plaintext = secret.plaintext.clone();
        let given = self.given(from.given, key);
        let text = given.as_ref().map(|(_, text)| text.as_str());
        let (destination, to_text) = self.target(to, Class::Use);
        let context = context(which);
        let kms = &self.handles[from.handle];
        let found = wait(kms.re_encrypt(&bytes, text, &source, &to_text, &context));
        let named = given.as_ref().map(|(named, _)| named);
        let model = &mut self.model;
        let expected = model
            .decrypt(key, version, named, is_sound, from.handle)
            .and_then(|()| model.wrap(&destination, from.handle));
        let agreed = agree(found, expected)?;
        self.keep(agreed.map(|(found, at)| (found, plaintext, at)), context)
    }

    fn encrypt_message(
        &mut self,
        on: Target,
        context: EncryptionContext,
    ) -> Checked<Option<Fault>> {
        let (named, text) = self.target(on, Class::Use);
        let plaintext = self.draw();
        let client = Client::new(self.handles[on.handle].provider(text));
        let found = client.encrypt(&plaintext, &context);
        match (found, self.model.wrap(&named, on.handle)) {
            (Ok(bytes), Ok((key, version))) => {
                self.messages.push(Secret {
                    key,
                    version,
                    context,
                    bytes,
                    plaintext,
                });
                Ok(None)
            }
            (Err(error), Err(expected)) => {
                same("the error", message_fault(&error)?, expected)?;
                Ok(Some(expected))
            }
            (found, expected) => Err(format!("{:?}, not {expected:?}", found.map(drop))),
        }
    }

    fn decrypt_message(
        &mut self,
        on: Target,
        which: u16,
        own: bool,
        any: bool,
        other_context: Option<u8>,
    ) -> Checked<Option<Fault>> {
        let Some(place) = usize::from(which).checked_rem(self.messages.len()) else {
            return Ok(Some(Fault::NotFound));
        };
        let key = self.messages[place].key;
        let (named, text) = match own {
            true => self.named(key, on.form, 1),
            false => self.target(on, Class::Use),
        };
        let context = match other_context {
            Some(which) => context(which),
            None => self.messages[place].context.clone(),
        };
        self.try_message(place, &named, &text, any, &context, on.handle)
    }

    fn try_message(
        &mut self,
        place: usize,
        named: &Named,
        text: &str,
        any: bool,
        context: &EncryptionContext,
        handle: usize,
    ) -> Checked<Option<Fault>> {
        let message = &self.messages[place];
        let (key, version) = (message.key, message.version);
        let provider = self.handles[handle].provider(text);
        let provider = match any {
            true => provider.opening_any_key(),
            false => provider,
        };
        let found = Client::new(provider).decrypt(&message.bytes, context);
        let expected = self.message_outcome(place, named, any, context, handle);
        match (found, expected) {
            (Ok(found), Ok(())) => {
                same(
                    "the plaintext",
                    &*found.plaintext,
                    &*self.messages[place].plaintext,
                )?;
                same("the key", found.details.key, self.arn(key))?;
                same(
                    "the version",
                    found.details.key_version,
                    Some(version.to_string()),
                )?;
                Ok(None)
            }
            (Err(error), Err(expected)) => {
                same("the error", message_fault(&error)?, expected)?;
                Ok(Some(expected))
            }
            (found, expected) => Err(format!("{:?}, not {expected:?}", found.map(drop))),
        }
    }

    fn message_outcome(
        &mut self,
        place: usize,
        named: &Named,
        any: bool,
        context: &EncryptionContext,
        handle: usize,
    ) -> Outcome<()> {
        let message = &self.messages[place];
        let holds = |(key, value): (&str, &str)| message.context.get(key) == Some(value);
        if !context.iter().all(holds) {
            return Err(Fault::Context);
        }
        if !any && self.model.find(named)? != message.key {
            return Err(Fault::OtherKey);
        }
        self.model
            .unwrap(message.key, message.version, true, handle)
    }

    fn schedule(&mut self, on: Target, days: Option<u16>) -> Checked<Option<Fault>> {
        let (named, text) = self.target(on, Class::Manage);
        // What the other handle has counted is known once it is written.
        let is_flushed = on.key.is_multiple_of(3);
        if is_flushed {
            self.flush()?;
        }
        let found = wait(self.handles[on.handle].schedule_deletion(&text, days));
        let agreed = agree(found, self.model.schedule(&named, days, on.handle))?;
        if let Ok((found, expected)) = &agreed {
            let key = self.model.find(&named).unwrap();
            same("the key", found.key_arn.clone(), self.arn(key))?;
            same("the date", time(found.date), expected.0)?;
            if is_flushed {
                let found = (found.last_used.map(time), found.is_in_recent_use);
                same("the last use", found, (expected.1, expected.2))?;
            }
            self.check_key(key)?;
        }
        Ok(agreed.err())
    }

    fn import(
        &mut self,
        on: Target,
        material: u8,
        is_new: Option<bool>,
        days: Option<u16>,
        length: usize,
    ) -> Checked<Option<Fault>> {
        let mut options = ImportOptions::new();
        if let Some(is_new) = is_new {
            options = options.import_type(match is_new {
                true => ImportType::New,
                false => ImportType::Existing,
            });
        }
        let expires = days.map(|days| self.model.now + Time::from(days) * DAY);
        if let Some(expires) = expires {
            options = options.expires(date(expires));
        }
        let secret = SecretBytes::from(vec![material; length]);
        self.manage(
            on,
            Class::Import,
            |kms, key| wait(kms.import_key_material(key, &secret, options)),
            |model, key| {
                if length != 32 {
                    model.admit(Class::Import, key, on.handle)?;
                    return Err(Fault::InvalidArgument);
                }
                model.import(key, material, is_new, expires, on.handle)
            },
        )
    }

    fn delete_material(&mut self, on: Target, which: Option<u8>) -> Checked<Option<Fault>> {
        let (named, _) = self.target(on, Class::DeleteMaterial);
        let key = self.model.find(&named).ok();
        let count = key.map_or(0, |key| {
            let key = &self.model.keys[key];
            key.versions.len() + usize::from(key.next.is_some())
        });
        let which = which.map(|which| usize::from(which) % (count + 1));
        let mut id = "0".repeat(64);
        if let (Some(which), Some(key)) = (which, key)
            && let Ok(keyring) = wait(self.handles[on.handle].describe_key(&self.ids[key]))
            && let Some(info) = keyring.backing_keys.iter().chain(&keyring.next).nth(which)
        {
            id = info.material_id.clone();
        }
        let id = which.map(|_| id.as_str());
        self.manage(
            on,
            Class::DeleteMaterial,
            |kms, key| wait(kms.delete_imported_key_material(key, id)),
            |model, key| model.delete_material(key, which, on.handle),
        )
    }

    fn pass(&mut self, pass: Pass) {
        let by = match pass {
            Pass::Seconds(seconds) => seconds * 1000,
            Pass::Hours(hours) => hours * DAY / 24,
            Pass::Days(days) => days * DAY,
            Pass::Years(years) => years * 365 * DAY,
            Pass::Date { which, just_before } => {
                let dates = self.model.dates();
                match usize::from(which).checked_rem(dates.len()) {
                    Some(place) => dates[place] - self.model.now - Time::from(just_before),
                    None => DAY,
                }
            }
        };
        self.clock.advance(Duration::from_millis(by));
        self.model.now += by;
    }

    fn run_due(&mut self, handle: usize) -> Checked<Option<Fault>> {
        let report = wait(self.handles[handle].run_due());
        let report = report.map_err(|error| format!("{error:?}"))?;
        let (rotated, expired, deleted) = self.model.run_due(handle);
        let mut statistics = self.statistics.borrow_mut();
        statistics.automatic_rotations += rotated.len() as u64;
        drop(statistics);
        ensure!(report.failed.is_empty(), "{:?}", report.failed);
        let sorted = |mut list: Vec<String>| {
            list.sort_unstable();
            list
        };
        let arns = |keys: Vec<usize>| sorted(keys.into_iter().map(|key| self.arn(key)).collect());
        let shown = |(arn, version): (String, u32)| format!("{arn} {version}");
        let expected = rotated
            .into_iter()
            .map(|(key, version)| (self.arn(key), version));
        same(
            "rotated",
            sorted(report.rotated.into_iter().map(shown).collect()),
            sorted(expected.map(shown).collect()),
        )?;
        same("expired", sorted(report.expired), arns(expired))?;
        same("deleted", sorted(report.deleted), arns(deleted))?;
        let again = wait(self.handles[handle].run_due());
        let again = again.map_err(|error| format!("{error:?}"))?;
        ensure!(again.is_empty(), "something is due again: {again:?}");
        Ok(None)
    }

    fn reopen(&mut self, handle: usize) {
        self.handles[handle] = open(&self.store, &self.clock, self.root);
        self.model.is_connected[handle] = true;
    }

    fn change_root(&mut self, handle: usize) -> Checked<Option<Fault>> {
        let other = 1 - handle;
        let old = self.root;
        // So that it has read what it needs of the root: the store keys.
        self.check_all(other)?;
        self.root = self.root.wrapping_add(1);
        let changed = wait(self.handles[handle].change_root(root_key(self.root)));
        changed.map_err(|error| format!("{error:?}"))?;
        // The other handle goes on with that, but cannot reach its root.
        self.check_all(other)?;
        let refused = outcome(wait(self.handles[other].connect()))?;
        same("with the old root", refused, Err(Fault::WrongRoot))?;
        let mut statistics = self.statistics.borrow_mut();
        statistics.count("Connect", Fault::WrongRoot.name());
        drop(statistics);
        let builder = LocalKms::builder(self.store.clone(), root_key(old));
        let refused = outcome(wait(builder.open()).map(drop))?;
        same("opened with the old root", refused, Err(Fault::WrongRoot))?;
        self.reopen(other);
        Ok(None)
    }

    /// Goes on in a new store, with what a backup has brought.
    fn backup(&mut self, handle: usize) -> Checked<Option<Fault>> {
        self.flush()?;
        let under = root_key(200);
        let backup = wait(self.handles[handle].export(&under));
        let backup = backup.map_err(|error| format!("{error:?}"))?;
        let store = MemoryStore::new();
        self.root = self.root.wrapping_add(1);
        let restored = open(&store, &self.clock, self.root);
        let report = wait(restored.import(&backup, &under));
        let report = report.map_err(|error| format!("{error:?}"))?;
        ensure!(report.restored > 0, "{report:?}");
        let again = wait(restored.import(&backup, &under));
        let again = again.map_err(|error| format!("{error:?}"))?;
        same("a second import", again.restored, 0)?;
        same("a second import", again.unchanged, report.restored)?;
        self.store = store;
        self.handles[handle] = restored;
        self.model.is_connected[handle] = true;
        self.reopen(1 - handle);
        self.check_all(handle)?;
        Ok(None)
    }

    fn flush(&self) -> Checked {
        for kms in &self.handles {
            wait(kms.flush_usage()).map_err(|error| format!("{error:?}"))?;
        }
        Ok(())
    }

    /// A key, as both handles show it.
    fn check_key(&mut self, key: usize) -> Checked {
        for handle in [0, 1] {
            let found = wait(self.handles[handle].describe_key(&self.ids[key]));
            let expected = self.model.admit(Class::Show, &Named::Key(key), handle);
            if let Ok((keyring, _)) = agree(found, expected)? {
                self.compare(key, &keyring, handle, false)?;
            }
        }
        Ok(())
    }

    /// A new key is Enabled or PendingImport for any handle that makes it.
    fn compare(&mut self, key: usize, found: &Keyring, handle: usize, is_new: bool) -> Checked {
        let model = &self.model.keys[key];
        same("the id", &found.id, &self.ids[key])?;
        same("the ARN", found.arn.clone(), self.arn(key))?;
        if !is_new {
            same("the state", found.state, self.model.state(key, handle))?;
        }
        same("the owner", &found.owner, &model.owner)?;
        same("the origin", found.origin, model.origin)?;
        same("the description", &found.description, &model.description)?;
        same("the tags", &found.tags, &model.tags)?;
        same("the creation", time(found.created), model.created)?;
        same("the deletion", found.deletion.map(time), model.deletion)?;
        let rotation = found.rotation.map(|to| (to.days, time(to.due)));
        same("the rotation", rotation, model.rotation)?;
        same("the minimum", found.minimum_version, model.minimum)?;
        same("the version", found.current_version(), model.current())?;
        same(
            "the backing keys",
            found.backing_keys.len(),
            model.versions.len(),
        )?;
        same("what waits", found.next.is_some(), model.next.is_some())?;
        let now = self.model.now;
        let all = model.versions.iter().chain(&model.next);
        let found = found.backing_keys.iter().chain(&found.next);
        let mut seen = Vec::new();
        for (version, (found, material)) in (1..).zip(found.zip(all)) {
            let shown = |info: &BackingKeyInfo| {
                let expires = info.expires.map(time);
                (
                    info.version,
                    time(info.created),
                    info.cause,
                    info.is_present,
                    expires,
                )
            };
            let expected = |material: &Material| {
                let is_present = material.is_usable(now);
                let Material {
                    created,
                    cause,
                    expires,
                    ..
                } = *material;
                (version, created, cause, is_present, expires)
            };
            same("a backing key", shown(found), expected(material))?;
            let which = material.imported.ok_or(version);
            let which = match which {
                Ok(imported) => Err(imported),
                Err(version) => Ok(version),
            };
            let ids = &mut self.material_ids;
            let id = ids
                .entry((key, which))
                .or_insert_with(|| found.material_id.clone());
            same("a material's id", &found.material_id, id)?;
            ensure!(!seen.contains(id), "two materials of one id");
            seen.push(id.clone());
        }
        Ok(())
    }

    fn check_aliases(&self, handle: usize) -> Checked {
        let found = wait(self.handles[handle].list_aliases(None));
        let found = found.map_err(|error| format!("{error:?}"))?;
        ensure!(found.damaged.is_empty(), "{:?}", found.damaged);
        let found: Vec<_> = found
            .aliases
            .into_iter()
            .map(|alias| {
                let (created, updated) = (time(alias.created), time(alias.updated));
                (alias.name, alias.key_arn, created, updated)
            })
            .collect();
        let living = self.model.aliases.iter();
        let living = living.filter(|(_, entry)| self.model.is_alive(entry.key));
        let expected: Vec<_> = living
            .map(|(name, entry)| {
                let arn = self.arn(entry.key);
                (name.clone(), arn, entry.created, entry.updated)
            })
            .collect();
        same("the aliases", found, expected)
    }

    /// Everything, through one handle.
    fn check_all(&mut self, handle: usize) -> Checked {
        for key in 0..self.ids.len() {
            self.check_key(key)?;
        }
        self.check_aliases(handle)?;
        self.check_list(handle)?;
        self.check_secrets(handle)?;
        self.check_usage(handle)?;
        self.check_deleted(handle)
    }

    fn check_list(&self, handle: usize) -> Checked {
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = wait(self.handles[handle].list_keys(next.as_deref(), 3));
            let page = page.map_err(|error| format!("{error:?}"))?;
            ensure!(page.damaged.is_empty(), "{:?}", page.damaged);
            ensure!(
                page.keyrings.len() <= 3,
                "a page of {}",
                page.keyrings.len()
            );
            found.extend(page.keyrings.into_iter().map(|key| key.id));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        let shown = |key: &usize| {
            let owner = &self.model.keys[*key].owner;
            self.model.is_alive(*key) && !matches!(owner, Owner::Owned(_))
        };
        let keys = (0..self.ids.len()).filter(shown);
        let mut expected: Vec<_> = keys.map(|key| self.ids[key].clone()).collect();
        expected.sort_unstable();
        same("the keys", found, expected)
    }

    /// Every ciphertext and message there ever was.
    fn check_secrets(&mut self, handle: usize) -> Checked {
        let (mut opened, mut refused) = (0, 0);
        for which in 0..self.blobs.len() {
            let fault = self.decrypt(Sealed {
                handle,
                which: which as u16,
                given: Given::None,
                wrong_context: false,
                damage: false,
            })?;
            *if fault.is_none() {
                &mut opened
            } else {
                &mut refused
            } += 1;
        }
        for place in 0..self.messages.len() {
            let message = &self.messages[place];
            let (named, text) = self.named(message.key, Form::Arn, 0);
            let context = message.context.clone();
            let fault = self.try_message(place, &named, &text, true, &context, handle)?;
            *if fault.is_none() {
                &mut opened
            } else {
                &mut refused
            } += 1;
        }
        let mut statistics = self.statistics.borrow_mut();
        statistics.opened += opened;
        statistics.refused += refused;
        Ok(())
    }

    fn check_usage(&self, handle: usize) -> Checked {
        self.flush()?;
        for key in 0..self.ids.len() {
            let found = wait(self.handles[handle].usage(&self.ids[key]));
            let expected = self.model.admit(Class::Show, &Named::Key(key), handle);
            let Ok((found, _)) = agree(found, expected)? else {
                continue;
            };
            let last_used = found.last_used().map(time);
            let found: BTreeMap<_, _> = found
                .versions
                .into_iter()
                .map(|(version, usage)| {
                    let uses = crate::model::Uses {
                        wraps: usage.wraps,
                        last_wrap: usage.last_wrap.map(time),
                        unwraps: usage.unwraps,
                        last_unwrap: usage.last_unwrap.map(time),
                    };
                    (version, uses)
                })
                .collect();
            let model = &self.model.keys[key];
            same("the usage", &found, &model.uses)?;
            same("the last use", last_used, model.last_used())?;
        }
        Ok(())
    }

    /// What is left of keys that are gone, and what is not.
    fn check_deleted(&self, handle: usize) -> Checked {
        for (key, id) in self.ids.iter().enumerate() {
            let found = wait(self.handles[handle].deleted_key(id));
            let found = found.map_err(|error| format!("{error:?}"))?;
            let found = found.map(|gone| (gone.arn, time(gone.created), time(gone.deleted)));
            let model = &self.model.keys[key];
            let date = model.deletion.filter(|_| !self.model.is_alive(key));
            let expected = date.map(|date| (self.arn(key), model.created, date));
            same("what is left of a key", found, expected)?;
            if model.is_purged {
                let usage = wait(self.store.read(&format!("usage/{id}")));
                let usage = usage.map_err(|error| format!("{error:?}"))?;
                ensure!(usage.is_none(), "the usage of a deleted key is kept");
            }
        }
        Ok(())
    }
}
