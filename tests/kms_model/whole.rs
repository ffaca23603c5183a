//! Time, and what concerns the store as a whole.

use std::time::Duration;

use waxseal::blocking::wait;
use waxseal::kms::LocalKms;
use waxseal::kms::store::MemoryStore;

use crate::fault::{Checked, Fault, ensure, outcome, same};
use crate::harness::{World, open, root_key};
use crate::model::{DAY, Time};
use crate::operation::Pass;

impl World<'_> {
    pub(crate) fn pass(&mut self, pass: Pass) {
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

    pub(crate) fn run_due(&mut self, handle: usize) -> Checked<Option<Fault>> {
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

    pub(crate) fn reopen(&mut self, handle: usize) {
        self.handles[handle] = open(&self.store, &self.clock, self.root);
        self.model.is_connected[handle] = true;
    }

    pub(crate) fn change_root(&mut self, handle: usize) -> Checked<Option<Fault>> {
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
    pub(crate) fn backup(&mut self, handle: usize) -> Checked<Option<Fault>> {
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
}
