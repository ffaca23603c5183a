//! Policies: what is read keeps its text, and comes to one verdict however it is
//! written; what is refused says where; a deny wins over all of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxseal_fuzz::policy::check;

fuzz_target!(|data: &[u8]| {
    let Some((call, text)) = data.split_first() else {
        return;
    };
    if let Ok(text) = std::str::from_utf8(text) {
        check(*call, text);
    }
});
