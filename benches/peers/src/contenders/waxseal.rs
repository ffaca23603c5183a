//! This library.

use std::hint::black_box;
use std::time::Duration;

use waxseal::{
    Caching, Client, CryptoBackend, DataKeyCache, EncryptionContext, Parallelism, RawAesProvider,
    SecretBytes, blocking,
};

use crate::contender::{Contender, Output, Setup, Who, processor_time, same, wall_time};
use crate::work::{CONTEXT, FRAME_LENGTH, Fallible, KEY, KEY_NAME, NAMESPACE, Operation, Work};

/// The SDKs' tutorials' values.
const CAPACITY: usize = 100;
const MAX_AGE: Duration = Duration::from_secs(300);

/// The names of the back ends that run here, the fastest first.
pub(crate) fn backends() -> Vec<&'static str> {
    let available = CryptoBackend::available();
    available.iter().map(CryptoBackend::name).collect()
}

/// A client as this setup asks for.
pub(crate) fn client(setup: Setup) -> Fallible<(Client, Option<DataKeyCache>)> {
    let provider = RawAesProvider::new(NAMESPACE, KEY_NAME, &SecretBytes::copy_from(&KEY))?;
    let backend = CryptoBackend::available()
        .into_iter()
        .find(|backend| backend.name() == setup.backend)
        .ok_or("no such back end here")?;
    let mut builder = Client::builder(provider)
        .backend(backend)
        .frame_length(FRAME_LENGTH)
        .signed(setup.signed)
        .parallelism(Parallelism::threads(setup.threads));
    let cache = setup.cached.then(|| DataKeyCache::new(CAPACITY));
    if let Some(cache) = &cache {
        builder = builder.caching(Caching::new(cache, MAX_AGE));
    }
    Ok((builder.build()?, cache))
}

pub(crate) struct Waxseal {
    setup: Setup,
    client: blocking::Client,
    cache: Option<DataKeyCache>,
    context: EncryptionContext,
    work: Work,
    out: Vec<u8>,
}

impl Waxseal {
    pub(crate) fn new(setup: Setup) -> Fallible<Self> {
        let (client, cache) = client(setup)?;
        Ok(Waxseal {
            setup,
            client: client.blocking(),
            cache,
            context: EncryptionContext::from(CONTEXT),
            work: Work::default(),
            out: Vec::new(),
        })
    }

    pub(crate) fn encrypt(&self, plaintext: &[u8]) -> Fallible<Vec<u8>> {
        Ok(self.client.encrypt(plaintext, &self.context)?)
    }

    pub(crate) fn decrypt(&self, message: &[u8]) -> Fallible<Vec<u8>> {
        Ok(self.client.decrypt(message, &self.context)?.plaintext)
    }

    fn once(&mut self, operation: Operation) -> Fallible<()> {
        let Waxseal {
            client,
            context,
            work,
            out,
            ..
        } = self;
        let message = work.message(self.setup.signed);
        match (operation, self.setup.output) {
            (Operation::Encrypt, Output::Fresh) => {
                black_box(client.encrypt(&work.plaintext, context)?);
            }
            (Operation::Encrypt, Output::Reused) => {
                black_box(client.encrypt_into(&work.plaintext, context, out)?);
            }
            (Operation::Decrypt, Output::Fresh) => {
                black_box(client.decrypt(message, context)?);
            }
            (Operation::Decrypt, Output::Reused) => {
                black_box(client.decrypt_into(message, context, out)?);
            }
        }
        Ok(())
    }
}

impl Contender for Waxseal {
    fn who(&self) -> Who {
        Who::Waxseal(self.setup)
    }

    fn prepare(&mut self, work: &Work) -> Fallible<()> {
        self.work = work.clone();
        self.out = Vec::new();
        if self.setup.output == Output::Reused {
            self.out = vec![0; work.message(self.setup.signed).len()];
        }
        Ok(())
    }

    fn sample(&mut self) -> Fallible<Option<Vec<u8>>> {
        let hits =
            |cache: &Option<DataKeyCache>| cache.as_ref().map(|cache| cache.statistics().hits);
        let work = self.work.clone();
        let mut before = None;
        let mut message = Vec::new();
        for _ in 0..2 {
            before = hits(&self.cache);
            same(
                &self.decrypt(work.message(self.setup.signed))?,
                &work.plaintext,
            )?;
            message = self.encrypt(&work.plaintext)?;
        }
        if before.map(|hits| hits + 2) != hits(&self.cache) {
            return Err("the second time did not come from the cache".into());
        }
        if self.setup.output == Output::Reused {
            self.once(Operation::Decrypt)?;
            same(&self.out[..work.plaintext.len()], &work.plaintext)?;
            self.once(Operation::Encrypt)?;
            message.clone_from(&self.out);
        }
        Ok(Some(message))
    }

    fn turn(&mut self, operation: Operation, messages: u32) -> Fallible<Duration> {
        let all = |this: &mut Self| (0..messages).try_for_each(|_| this.once(operation));
        match self.setup.threads {
            1 => processor_time(|| all(self)),
            _ => wall_time(|| all(self)),
        }
    }
}
