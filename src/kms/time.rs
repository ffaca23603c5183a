//! Dates, as records keep them.

use std::time::{Duration, SystemTime};

use super::codec::{Codec, Reader, Writer};

/// Milliseconds since 1970, UTC. Dates before that are 1970, and those that no
/// `u64` holds are the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Timestamp(u64);

impl Codec<'_> for Timestamp {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.u64().map(Timestamp)
    }
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl Timestamp {
    /// Before everything, and after it.
    pub(super) const FIRST: Self = Timestamp(0);
    pub(super) const LAST: Self = Timestamp(u64::MAX);

    pub(super) fn plus_days(self, days: u16) -> Self {
        Timestamp(self.0.saturating_add(u64::from(days) * DAY_MS))
    }

    pub(super) fn plus(self, duration: Duration) -> Self {
        let more = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_add(more))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        let millis = since.map_or(0, |since| since.as_millis());
        Timestamp(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        // A hostile record may hold a date that the platform has not.
        const LAST: Duration = Duration::from_secs(253_402_300_799); // 9999-12-31
        let since = Duration::from_millis(time.0);
        SystemTime::UNIX_EPOCH + since.min(LAST)
    }
}
