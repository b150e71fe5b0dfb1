//! Access and block lists: every text is a list or an error that names a line of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracker_core::access_list::Mode;
use tracker_core::{AccessList, BlockList};

fuzz_target!(|text: &str| {
    let lines = text.lines().count();
    match AccessList::parse(Mode::Deny, text) {
        Ok(list) => {
            let again = AccessList::parse(Mode::Deny, &list.to_text()).expect("a written list");
            assert_eq!(list.sorted(), again.sorted());
        }
        Err(bad) => assert!((1..=lines).contains(&bad.line), "{bad}"),
    }
    if let Err(bad) = BlockList::parse(text) {
        assert!((1..=lines).contains(&bad.line), "{bad}");
    }
});
