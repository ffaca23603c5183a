//! Tests of what cannot be made to happen from outside: failing calls, power
//! cuts, full disks.

mod disk;
mod faults;
mod history;
mod kms;
mod power_cut;
mod tokens;
