//! `waxseal keys`: the keys of a store.

mod backup;
mod show;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};
use waxseal::blocking::wait;
use waxseal::kms::{CreateKey, KmsError, KmsResult, LocalKms};

use crate::failure::{Failure, say};
use crate::store::{Place, StoreOptions, Stores, run_due};
use show::{Key, date};

/// The options of `keys`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    store: StoreOptions,

    /// Print one JSON object, for scripts: see `waxseal keys --help`
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Make a key, and the store where there is none yet
    Create {
        /// A name for it, with or without `alias/` before it
        #[arg(long, value_name = "NAME")]
        alias: Option<String>,

        /// What it is for, for people: at most 8192 characters
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
    },

    /// List the keys
    List,

    /// Tell about a key: state, versions, rotation, uses, aliases, tags
    Describe {
        /// An id, or alias/NAME
        key: String,
    },

    /// Add a version to a key, which encrypts from now on
    ///
    /// What was encrypted before still opens; nothing needs to be encrypted
    /// again.
    Rotate {
        /// An id, or alias/NAME
        key: String,
    },

    /// Allow the use of a key again
    Enable {
        /// An id, or alias/NAME
        key: String,
    },

    /// Forbid the use of a key: nothing encrypts, and nothing decrypts
    Disable {
        /// An id, or alias/NAME
        key: String,
    },

    /// Have a key deleted, in 7 to 30 days
    ///
    /// It cannot be used meanwhile, and `cancel-deletion` keeps it. Once it is
    /// deleted, WHAT WAS ENCRYPTED UNDER IT IS LOST. `describe` shows when it
    /// was last used.
    ScheduleDeletion {
        /// An id, or alias/NAME
        key: String,

        /// After so many days
        #[arg(
            long,
            value_name = "N",
            default_value_t = 30,
            value_parser = clap::value_parser!(u16).range(7..=30)
        )]
        days: u16,
    },

    /// Keep a key that was to be deleted; it is disabled then
    CancelDeletion {
        /// An id, or alias/NAME
        key: String,
    },

    /// Give a key a name, or move a name to it
    Alias {
        /// The name, with or without `alias/` before it
        name: String,
        /// An id, or alias/NAME
        key: String,
    },

    /// Write a backup of the store: one sealed file
    ///
    /// It opens with a passphrase of its own, which is asked for on the
    /// terminal. An existing file is never replaced.
    Export {
        /// The file to make
        file: PathBuf,

        #[command(flatten)]
        passphrase: backup::PassphraseOption,
    },

    /// Restore a backup, into a new store or one that is in use
    ///
    /// Of each record the later one wins: an old backup takes nothing back, and
    /// what was deleted stays deleted.
    ///
    /// A record that was changed both in the store and in the backup since they
    /// parted is left as it is in the store, and named; all others are restored,
    /// and the exit code is 1, because what was encrypted under a key as only
    /// the backup has it does not decrypt with this store.
    Import {
        /// The backup
        file: PathBuf,

        #[command(flatten)]
        passphrase: backup::PassphraseOption,
    },
}

/// What a command says on standard output.
struct Answer {
    text: String,
    json: Value,
    /// What was changed, to be said where the answer cannot be written.
    done: Option<String>,
    /// What went wrong although there is an answer.
    failure: Option<Failure>,
}

impl Answer {
    fn new(text: impl Into<String>, json: Value) -> Self {
        Answer {
            text: text.into(),
            json,
            done: None,
            failure: None,
        }
    }

    /// The answer of a command that changes something, and says so in its text.
    fn done(mut self) -> Self {
        self.done = Some(self.text.trim_end().to_owned());
        self
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let place = args.store.place()?;
    let stores = Stores::new(&args.store);
    let answer = answer(&args.command, &place, &stores)?;
    stores.count_uses();
    let text = match args.json {
        true => format!("{}\n", answer.json),
        false => answer.text,
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| {
            let failure = Failure::write("standard output", &error);
            match &answer.done {
                Some(done) => {
                    failure.with_hint(&format!("what was asked is done all the same: {done}"))
                }
                None => failure,
            }
        })?;
    answer.failure.map_or(Ok(()), Err)
}

fn answer(command: &Command, place: &Place, stores: &Stores<'_>) -> Result<Answer, Failure> {
    let changing = |what: &str, key: &str, change: &dyn Fn(&LocalKms) -> KmsResult<Answer>| {
        let kms = stores.open(place)?;
        run_due(&kms);
        change(&kms).map_err(|error| refused(what, key, &error))
    };
    match command {
        Command::Create { alias, description } => create(place, stores, alias, description),
        Command::List => show::list(&stores.open(place)?),
        Command::Describe { key } => describe(&stores.open(place)?, key),
        Command::Rotate { key } => changing("rotate the key", key, &|kms| {
            let version = wait(kms.rotate(key))?;
            let done = format!("rotated: version {version} encrypts now");
            Ok(changed(kms, key, &done))
        }),
        Command::Enable { key } => changing("enable the key", key, &|kms| {
            wait(kms.enable_key(key))?;
            Ok(changed(kms, key, "enabled"))
        }),
        Command::Disable { key } => changing("disable the key", key, &|kms| {
            wait(kms.disable_key(key))?;
            Ok(changed(kms, key, "disabled"))
        }),
        Command::ScheduleDeletion { key, days } => changing("have deleted the key", key, &|kms| {
            schedule_deletion(kms, key, *days)
        }),
        Command::CancelDeletion { key } => changing("keep the key", key, &|kms| {
            wait(kms.cancel_deletion(key))?;
            let done = "will not be deleted; it is disabled: `waxseal keys enable` allows its use";
            Ok(changed(kms, key, done))
        }),
        Command::Alias { name, key } => {
            let name = with_prefix(name);
            changing(&format!("give the name {name} to the key"), key, &|kms| {
                give_alias(kms, &name, key)
            })
        }
        Command::Export { file, passphrase } => {
            let kms = stores.open(place)?;
            run_due(&kms);
            backup::export(&kms, file, passphrase)
        }
        Command::Import { file, passphrase } => backup::import(stores, place, file, passphrase),
    }
}

fn create(
    place: &Place,
    stores: &Stores<'_>,
    alias: &Option<String>,
    description: &str,
) -> Result<Answer, Failure> {
    let alias = alias.as_deref().map(with_prefix);
    let request = || {
        let request = CreateKey::new().description(description);
        match &alias {
            Some(alias) => request.alias(alias),
            None => request,
        }
    };
    if !stores.is_there(place)? {
        // What cannot be leaves no store behind.
        let trial = LocalKms::in_memory().and_then(|kms| wait(kms.create_key(request())));
        trial.map_err(|error| not_created(&error))?;
    }
    let kms = stores.open_or_make(place)?;
    run_due(&kms);
    let key = wait(kms.create_key(request())).map_err(|error| not_created(&error))?;
    let named = alias.map_or(String::new(), |alias| format!(", {alias}"));
    let text = format!("created the key {}{named}\n", key.id);
    let key = Key::read(&kms, key);
    warn_of_unread(&key);
    Ok(Answer::new(text, key.to_json()).done())
}

fn not_created(error: &KmsError) -> Failure {
    let failure = Failure::kms("cannot create a key", error);
    match error {
        KmsError::AlreadyExists { .. } => {
            failure.with_hint("`waxseal keys alias` moves it to another key")
        }
        _ => failure,
    }
}

fn describe(kms: &LocalKms, key: &str) -> Result<Answer, Failure> {
    let keyring =
        wait(kms.describe_key(key)).map_err(|error| refused("describe the key", key, &error))?;
    let read = Key::read(kms, keyring);
    let mut answer = Answer::new(read.to_text(), read.to_json());
    let unread = read.unread().next();
    answer.failure = unread.map(|error| refused("tell all about the key", key, error));
    Ok(answer)
}

/// What to say of a key that was changed. As that is done, what cannot be read
/// now is no failure.
fn changed(kms: &LocalKms, key: &str, done: &str) -> Answer {
    match wait(kms.describe_key(key)) {
        Ok(keyring) => {
            let key = Key::read(kms, keyring);
            warn_of_unread(&key);
            let text = format!("the key {} {done}\n", key.keyring.id);
            Answer::new(text, key.to_json()).done()
        }
        Err(error) => {
            say(&format!(
                "warning: the key {key} {done}, but cannot be read now: {error}"
            ));
            let json = json!({ "key": key, "error": error.to_string() });
            Answer::new(format!("the key {key} {done}\n"), json).done()
        }
    }
}

fn warn_of_unread(key: &Key) {
    for error in key.unread() {
        say(&format!(
            "warning: not all about the key {} can be told: {error}",
            key.keyring.id
        ));
    }
}

fn schedule_deletion(kms: &LocalKms, key: &str, days: u16) -> KmsResult<Answer> {
    let scheduled = wait(kms.schedule_deletion(key, Some(days)))?;
    let when = date(scheduled.date);
    let usage = wait(kms.usage(key));
    let warning = match (&usage, scheduled.last_used) {
        (Err(_), _) => Some("MAY BE IN USE: whether it is in use cannot be told".to_owned()),
        (Ok(_), Some(last)) if scheduled.is_in_recent_use => {
            Some(format!("IS IN USE (last on {})", date(last)))
        }
        _ => None,
    };
    if let Some(warning) = warning {
        say(&format!(
            "WARNING: the key {key} {warning}: what was encrypted under it will be LOST on \
             {when}; `waxseal keys cancel-deletion {key}` keeps it"
        ));
    }
    let done = format!("will be deleted on {when}; it cannot be used until then");
    let mut answer = changed(kms, key, &done);
    let in_recent_use = usage.ok().map(|_| scheduled.is_in_recent_use);
    answer.json["in_recent_use"] = json!(in_recent_use);
    Ok(answer)
}

/// Makes an alias, or moves one.
fn give_alias(kms: &LocalKms, name: &str, key: &str) -> KmsResult<Answer> {
    let arn = wait(kms.resolve(key))?;
    let id = wait(kms.describe_key(&arn))?.id;
    let answer = |text: String, created: bool, moved_from: Option<&str>| {
        let json = json!({
            "alias": name,
            "key_id": id,
            "key_arn": arn,
            "created": created,
            "moved_from": moved_from,
        });
        Ok(Answer::new(text, json).done())
    };
    match wait(kms.create_alias(name, &arn)) {
        Ok(()) => return answer(format!("{name} names the key {id} now\n"), true, None),
        Err(KmsError::AlreadyExists { .. }) => {}
        Err(error) => return Err(error),
    }
    let before = wait(kms.resolve(name))?;
    if before == arn {
        return answer(format!("{name} names the key {id} already\n"), false, None);
    }
    wait(kms.update_alias(name, &arn))?;
    let text = format!("{name} names the key {id} now, and no longer {before}\n");
    answer(text, false, Some(&before))
}

fn with_prefix(name: &str) -> String {
    match name.starts_with("alias/") {
        true => name.to_owned(),
        false => format!("alias/{name}"),
    }
}

fn refused(what: &str, key: &str, error: &KmsError) -> Failure {
    Failure::kms(format_args!("cannot {what} {key}"), error)
}
