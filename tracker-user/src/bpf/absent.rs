//! What stands for the XDP program in a tracker that was built without it.

use std::os::fd::{AsFd, BorrowedFd};

use tracker_common::connection_id::Keys;
use tracker_common::counters::Counters;
use tracker_common::event::AnnounceEvent;
use tracker_common::settings::{Endpoints, Settings};

use super::{AttachError, AttachMode, Prefix, Taken};
use crate::config::{Config, XdpAnswer};
use crate::interface::Interface;

/// No value of this type exists: every method is unreachable, and the compiler knows it.
pub enum Kernel {}

/// Ordinary memory is all there is.
pub type KernelSegments = tracker_core::HeapSegments;

/// No value of this type exists either.
#[derive(Debug)]
pub enum EventRing {}

/// Nor of this.
#[derive(Clone, Copy, Debug)]
pub enum RingGauge {}

impl RingGauge {
    /// Unreachable.
    pub fn bytes_in_use(&self) -> u64 {
        match *self {}
    }
}

impl EventRing {
    /// Unreachable.
    pub fn end(&self) -> u64 {
        match *self {}
    }

    /// Unreachable.
    pub fn take(&mut self, _end: u64, _most: usize, _events: &mut Vec<AnnounceEvent>) -> Taken {
        match *self {}
    }

    /// Unreachable.
    pub fn is_empty(&self) -> bool {
        match *self {}
    }

    /// Unreachable.
    pub fn gauge(&self) -> RingGauge {
        match *self {}
    }
}

impl AsFd for EventRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}

impl Kernel {
    /// Always refuses.
    pub fn load(_config: &Config) -> anyhow::Result<Self> {
        anyhow::bail!("this tracker was built without XDP (cargo feature `xdp`)")
    }

    /// Always refuses.
    pub fn try_program(config: &Config) -> anyhow::Result<XdpAnswer> {
        Self::load(config).map(|never| match never {})
    }

    /// Always refuses.
    pub fn can_pin(config: &Config) -> anyhow::Result<std::path::PathBuf> {
        Self::load(config).map(|never| match never {})
    }

    /// Where nothing is pinned.
    pub fn pin_directory(config: &Config) -> std::path::PathBuf {
        config.xdp.pin_directory.clone()
    }

    /// Unreachable.
    pub fn segments(&mut self) -> anyhow::Result<KernelSegments> {
        match *self {}
    }

    /// Unreachable.
    pub fn events(&mut self) -> anyhow::Result<EventRing> {
        match *self {}
    }

    /// Unreachable.
    pub fn attach(&mut self, _interface: &Interface, _mode: AttachMode) -> Result<(), AttachError> {
        match *self {}
    }

    /// Unreachable.
    pub fn set_settings(&mut self, _settings: &Settings) -> anyhow::Result<()> {
        match *self {}
    }

    /// Unreachable.
    pub fn set_endpoints(&mut self, _endpoints: &Endpoints) -> anyhow::Result<()> {
        match *self {}
    }

    /// Unreachable.
    pub fn set_keys(&mut self, _keys: &Keys) -> anyhow::Result<()> {
        match *self {}
    }

    /// Unreachable.
    pub fn counters(&self) -> anyhow::Result<Counters> {
        match *self {}
    }

    /// Unreachable.
    pub fn replace_access<'a>(
        &mut self,
        _len: usize,
        _hashes: impl Iterator<Item = &'a [u8; 20]>,
    ) -> anyhow::Result<()> {
        match *self {}
    }

    /// Unreachable.
    pub fn add_access(&mut self, _hash: &[u8; 20]) -> anyhow::Result<bool> {
        match *self {}
    }

    /// Unreachable.
    pub fn remove_access(&mut self, _hash: &[u8; 20]) -> anyhow::Result<()> {
        match *self {}
    }

    /// Unreachable.
    pub fn replace_blocks(&mut self, _v4: Vec<Prefix<4>>, _v6: Vec<Prefix<16>>) -> anyhow::Result<()> {
        match *self {}
    }

    /// Unreachable.
    pub fn detach(self) {
        match self {}
    }
}
