//! Both lists as the program has them: in its maps, and as switches in its settings.
//!
//! Used by [`Lists`](super::Lists); tested end to end in `tests/cli`.

use std::net::IpAddr;

use tracker_common::settings::{Settings, access_mode};
use tracker_common::wire::InfoHash;
use tracker_core::access_list::{AccessList, Mode};
use tracker_core::block_list::BlockList;

use crate::bpf::{Kernel, Prefix};

/// The program for a change of lists: its maps, and the settings in which the lists have switches.
pub struct Program<'a> {
    kernel: &'a mut Kernel,
    settings: Settings,
}

impl<'a> Program<'a> {
    /// The program with the settings that it has, of which the lists' switches alone will change.
    pub fn new(kernel: &'a mut Kernel, settings: Settings) -> Self {
        Self { kernel, settings }
    }

    /// Changes maps by `forth`, and then the switches. What has been changed before something is refused is taken back by `back`.
    pub(super) fn change(
        &mut self,
        switches: Switches,
        forth: impl FnOnce(&mut Kernel) -> anyhow::Result<()>,
        back: impl FnOnce(&mut Kernel) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let settings = switches.in_settings(self.settings);
        let changed = forth(self.kernel).and_then(|()| self.kernel.set_settings(&settings));
        changed.map_err(|error| {
            let context = "the kernel refused the change";
            match back(self.kernel) {
                Ok(()) => error.context(context),
                Err(second) => error.context(format!("{context}, and taking it back: {second:#}")),
            }
        })
    }
}

/// What the program's settings say of the lists.
#[derive(Clone, Copy)]
pub(super) struct Switches {
    pub(super) access_mode: u32,
    pub(super) block4: u32,
    pub(super) block6: u32,
}

impl Switches {
    pub(super) fn of(access: &AccessList, block: &BlockList) -> Self {
        let any = |v4: bool| block.networks().iter().any(|network| network.address.is_ipv4() == v4).into();
        let access_mode = match access.mode() {
            Mode::Off => access_mode::OFF,
            Mode::Deny => access_mode::DENY,
            Mode::Allow => access_mode::ALLOW,
        };
        Self { access_mode, block4: any(true), block6: any(false) }
    }

    /// These settings with the lists' switches.
    pub(super) fn in_settings(self, settings: Settings) -> Settings {
        let Self { access_mode, block4, block6 } = self;
        Settings { access_mode, block4, block6, ..settings }
    }
}

/// What a change of the access list is for the kernel's map.
pub(super) enum Edit<'a> {
    Add(&'a [InfoHash]),
    Remove(&'a [InfoHash]),
    Whole,
    /// The mode alone, which is no map's.
    Mode,
}

impl Edit<'_> {
    /// What takes it back: maps that were changed midway are made anew.
    pub(super) fn back(&self) -> &'static Edit<'static> {
        match self {
            Edit::Mode => &Edit::Mode,
            Edit::Add(_) | Edit::Remove(_) | Edit::Whole => &Edit::Whole,
        }
    }
}

pub(super) fn replace_access(kernel: &mut Kernel, list: &AccessList) -> anyhow::Result<()> {
    kernel.replace_access(list.len(), list.iter())
}

/// Changes the kernel's map in place where that is possible. A packet may see a part of many additions; a list is seen whole.
pub(super) fn change_access(kernel: &mut Kernel, list: &AccessList, edit: &Edit<'_>) -> anyhow::Result<()> {
    match edit {
        Edit::Add(hashes) => {
            for hash in *hashes {
                if !kernel.add_access(hash)? {
                    return replace_access(kernel, list);
                }
            }
            Ok(())
        }
        Edit::Remove(hashes) => hashes.iter().try_for_each(|hash| kernel.remove_access(hash)),
        Edit::Whole => replace_access(kernel, list),
        Edit::Mode => Ok(()),
    }
}

pub(super) fn replace_block(kernel: &mut Kernel, list: &BlockList) -> anyhow::Result<()> {
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for network in list.networks() {
        match network.address {
            IpAddr::V4(ip) => v4.push(Prefix { address: ip.octets(), len: network.prefix_len }),
            IpAddr::V6(ip) => v6.push(Prefix { address: ip.octets(), len: network.prefix_len }),
        }
    }
    kernel.replace_blocks(v4, v6)
}
