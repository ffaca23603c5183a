//! `waxseal keys`.
