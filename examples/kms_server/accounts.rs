//! The accounts: each has a KMS of its own.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use waxseal::SecretBytes;
use waxseal::blocking::wait;
use waxseal::kms::audit::{AuditFile, AuditSettings};
use waxseal::kms::store::{BlobStore, DirectoryStore, MemoryStore};
use waxseal::kms::{Grant, Keyring, KmsError, KmsResult, LocalKms, Principal, Quotas, RootKey};

use crate::args::{Args, StoreArg};
use crate::clock::ServerClock;

const ROOT_KEY_LENGTH: usize = 32;

/// An account, and its keys.
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) kms: LocalKms,
    /// The same keys without policies and audit trail: for what the server has
    /// to know to answer a request that was allowed, as which of its accounts
    /// has a key, and which no caller has asked.
    view: LocalKms,
    /// Changes that are judged or told by what was there before are made one at
    /// a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

/// All accounts that a credential names.
pub(crate) struct Accounts(BTreeMap<String, Account>);

impl Accounts {
    pub(crate) fn open(
        args: &Args,
        clock: &ServerClock,
        audit: Option<&Arc<AuditFile>>,
    ) -> Result<Self, String> {
        let mut accounts = BTreeMap::new();
        for credential in &args.credentials {
            let id = credential.principal.account();
            if !accounts.contains_key(id) {
                let account = Account::open(id, args, clock, audit)?;
                accounts.insert(id.to_owned(), account);
            }
        }
        Ok(Accounts(accounts))
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Account> {
        self.0.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Account> {
        self.0.values()
    }
}

impl Account {
    fn open(
        id: &str,
        args: &Args,
        clock: &ServerClock,
        audit: Option<&Arc<AuditFile>>,
    ) -> Result<Self, String> {
        let of = |error: &dyn std::fmt::Display| format!("the account {id}: {error}");
        let (store, root) = match &args.store {
            StoreArg::Memory => {
                let root = SecretBytes::random(ROOT_KEY_LENGTH).map_err(|error| of(&error))?;
                (Arc::new(MemoryStore::new()) as Arc<dyn BlobStore>, root)
            }
            StoreArg::Folder(folder) => {
                let folder = folder.join(id);
                let in_folder = |error: &dyn std::fmt::Display| {
                    of(&format_args!("{}: {error}", folder.display()))
                };
                if let Some(parent) = folder.parent() {
                    make_private(parent).map_err(|error| in_folder(&error))?;
                }
                let store = DirectoryStore::open(&folder).map_err(|error| in_folder(&error))?;
                let root = root_key(&folder, &store).map_err(|error| in_folder(&error))?;
                (Arc::new(store) as Arc<dyn BlobStore>, root)
            }
        };
        let build = || {
            let root = RootKey::bytes(SecretBytes::copy_from(root.expose()));
            LocalKms::builder(Arc::clone(&store), root)
                .account(id)
                .region(&args.region)
                .clock(clock.clone())
        };
        let mut builder = build();
        if let Some(quota) = args.quota {
            builder = builder.quotas(Quotas::none().cryptographic(quota));
        }
        if let Some(audit) = audit {
            builder = builder.audit(AuditSettings::new(Arc::clone(audit)));
        }
        let kms = wait(builder.open()).map_err(|error| of(&error))?;
        // It must see at once what the other has written.
        let view = build().max_staleness(Duration::ZERO).create(false);
        let view = wait(view.open()).map_err(|error| of(&error))?;
        Ok(Account {
            id: id.to_owned(),
            kms,
            view,
            changing: tokio::sync::Mutex::new(()),
        })
    }

    /// Whether there is a key of this id or alias, whoever may see it.
    pub(crate) async fn has(&self, name: &str) -> bool {
        let found = self.view.resolve(name).await;
        // A key's policy may shut the account's own root out.
        matches!(found, Ok(_) | Err(KmsError::AccessDenied { .. }))
    }

    /// The grants on this account's keys that a principal may retire, also one
    /// of another account.
    pub(crate) async fn retirable_by(&self, principal: &Principal) -> KmsResult<Vec<Grant>> {
        self.view.list_retirable_grants(principal).await
    }

    /// A key as it is, whoever may see it.
    pub(crate) async fn look_at(&self, id: &str) -> Option<Keyring> {
        match self.view.describe_key(id).await {
            Err(KmsError::AccessDenied { .. }) => {
                // Each key is in the list: this one is the first after the id
                // before it.
                let page = self.view.list_keys(Some(&before(id)?), 1).await.ok()?;
                page.keyrings.into_iter().find(|keyring| keyring.id == id)
            }
            found => found.ok(),
        }
    }
}

/// The UUID that comes before this one.
fn before(id: &str) -> Option<String> {
    let digits: String = id.chars().filter(|c| *c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?.checked_sub(1)?;
    let mut before = format!("{number:032x}");
    for place in [20, 16, 12, 8] {
        before.insert(place, '-');
    }
    Some(before)
}

fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The root key of a store, beside its folder; made with the store.
fn root_key(folder: &Path, store: &DirectoryStore) -> io::Result<SecretBytes> {
    let mut file = folder.as_os_str().to_owned();
    file.push(".key");
    let file = PathBuf::from(file);
    if !file.exists() {
        let is_new = wait(store.list("", None, 1))
            .map_err(io::Error::other)?
            .is_empty();
        if !is_new {
            return Err(io::Error::other("its root key is not there"));
        }
        let key = SecretBytes::random(ROOT_KEY_LENGTH).map_err(io::Error::other)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut made = options.open(&file)?;
        made.write_all(key.expose())?;
        made.sync_all()?;
    }
    let opened = File::open(&file)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if opened.metadata()?.permissions().mode() & 0o077 != 0 {
            return Err(io::Error::other("others may read its root key"));
        }
    }
    let mut bytes = Vec::with_capacity(ROOT_KEY_LENGTH + 1);
    opened
        .take(ROOT_KEY_LENGTH as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() != ROOT_KEY_LENGTH {
        return Err(io::Error::other(format!(
            "its root key is not {ROOT_KEY_LENGTH} bytes"
        )));
    }
    Ok(SecretBytes::from(bytes))
}
