//! Inputs of the target `audit_verify`.

use crate::splice::Splice;
use crate::tape::write;
use crate::trail::{Input, Move, TRAIL};

/// The trail with nothing, and with one thing, done to it.
pub(super) fn trails() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for is_chained in [false, true] {
        let mut add = |moves, splices| {
            all.push(write(Input {
                is_chained,
                moves,
                splices,
                ..Input::default()
            }));
        };
        add(vec![], vec![]);
        for line in [0, 1, 3, 4, 8, 12] {
            add(vec![Move::new(line, u8::MAX, false)], vec![]);
            add(vec![Move::new(line, line + 1, false)], vec![]);
            add(vec![Move::new(line, line + 1, true)], vec![]);
        }
        for at in (0..TRAIL.bytes.len() as u16).step_by(211) {
            add(vec![], vec![Splice::new(at, 1, 0, b"0")]);
            add(vec![], vec![Splice::new(at, u8::MAX, 0, b"")]);
        }
    }
    // Not the trail itself: signatures are others in each process.
    all.push(write(Input {
        is_raw: true,
        bytes: b"{\"seq\":1,\"prev\":\"\n".to_vec(),
        ..Input::default()
    }));
    all
}
