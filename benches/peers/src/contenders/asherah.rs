//! asherah: a static master key, and a session whose intermediate key is
//! cached. It binds and stores no context.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use asherah::aead::AES256GCM;
use asherah::kms::StaticKMS;
use asherah::metastore::InMemoryMetastore;
use asherah::{Config, DataRowRecord, Session, SessionFactory, api, limits};

use crate::contender::{Contender, Who, processor_time, same};
use crate::work::{Fallible, KEY, KEY_NAME, NAMESPACE, Operation, Work};

type Kms = StaticKMS<AES256GCM>;

pub(crate) struct Asherah {
    /// The session's keys are its.
    _factory: SessionFactory<AES256GCM, Kms, InMemoryMetastore>,
    session: Session<AES256GCM, Kms, InMemoryMetastore>,
    work: Work,
    record: Option<DataRowRecord>,
}

impl Asherah {
    pub(crate) fn new() -> Fallible<Self> {
        let aead = Arc::new(AES256GCM::new());
        let kms = Arc::new(Kms::new(aead.clone(), KEY.to_vec())?);
        let store = Arc::new(InMemoryMetastore::new());
        let config = Config::new(NAMESPACE, KEY_NAME);
        let factory = api::new_session_factory(config, store, kms, aead);
        let session = factory.get_session("tenant-7");
        Ok(Asherah {
            _factory: factory,
            session,
            work: Work::default(),
            record: None,
        })
    }
}

impl Contender for Asherah {
    fn who(&self) -> Who {
        Who::Asherah
    }

    fn longest(&self) -> usize {
        limits::MAX_PAYLOAD_BYTES
    }

    fn prepare(&mut self, work: &Work) -> Fallible<()> {
        self.work = work.clone();
        self.record = Some(self.session.encrypt(&work.plaintext)?);
        Ok(())
    }

    fn sample(&mut self) -> Fallible<Option<Vec<u8>>> {
        let record = self.record.clone().ok_or("not prepared")?;
        same(&self.session.decrypt(record)?, &self.work.plaintext)?;
        Ok(None)
    }

    fn turn(&mut self, operation: Operation, messages: u32) -> Fallible<Duration> {
        let plaintext = &self.work.plaintext;
        match operation {
            Operation::Encrypt => processor_time(|| {
                for _ in 0..messages {
                    black_box(self.session.encrypt(plaintext)?);
                }
                Ok(())
            }),
            Operation::Decrypt => {
                // It takes its input for itself, which is not its own to make.
                let record = self.record.as_ref().ok_or("not prepared")?;
                let records = vec![record.clone(); messages as usize];
                processor_time(|| {
                    for record in records {
                        black_box(self.session.decrypt(record)?);
                    }
                    Ok(())
                })
            }
        }
    }
}
