//! The maps' pins: files on the BPF file system under which tools such as bpftool find the maps of a running tracker.
//!
//! A clean stop removes them. A killed tracker leaves them, and with them the memory of its swarm table; its counters go on in the next
//! one, if they have the same shape, and everything else is made anew, since it is written whole at start. aya opens a pinned map without
//! comparing its shape, and would let the kernel write large values into small buffers: so the comparison is here.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use aya::Ebpf;
use aya::maps::{Map, MapData, MapInfo};
use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;
use tracker_common::settings::{LAYOUT_VERSION, names};

/// Where this version's maps are pinned.
pub(super) fn directory(base: &Path) -> PathBuf {
    base.join(format!("v{LAYOUT_VERSION}"))
}

/// Makes the directory, claims it, and removes from it what can't be used again. `fresh` gives maps of the shape that is wanted.
///
/// The claim is a lock on the directory: it ends with the process, and a second tracker that is configured alike doesn't take the
/// first one's pins away.
pub(super) fn make_room(directory: &Path, fresh: &dyn Fn() -> anyhow::Result<Ebpf>) -> anyhow::Result<File> {
    fs::DirBuilder::new().recursive(true).mode(0o750).create(directory).context(HINT)?;
    let claim = File::open(directory)?;
    match claim.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            bail!("another tracker's are there: choose another xdp.pin_directory")
        }
        Err(TryLockError::Error(error)) => return Err(error).context("locking the directory"),
    }
    let mut removed = 0;
    for name in names::MAPS {
        let path = directory.join(name);
        if !path.exists() {
            continue;
        }
        if name == names::COUNTERS {
            match same_shape(&path, name, fresh) {
                Ok(None) => {
                    tracing::info!(
                        "{}: the counters of a tracker that didn't stop by itself go on",
                        path.display()
                    );
                    continue;
                }
                Ok(Some(difference)) => {
                    tracing::warn!("{}: another layout ({difference}): removed", path.display())
                }
                Err(error) => tracing::warn!("{}: not a map ({error:#}): removed", path.display()),
            }
        }
        fs::remove_file(&path).with_context(|| format!("removing {name}"))?;
        removed += 1;
    }
    if removed > 0 {
        tracing::info!(
            "{}: {removed} maps removed that a tracker left which didn't stop by itself",
            directory.display()
        );
    }
    Ok(claim)
}

/// What is different between the pinned map and the one that is wanted; `None` when nothing is.
fn same_shape(
    path: &Path,
    name: &str,
    fresh: &dyn Fn() -> anyhow::Result<Ebpf>,
) -> anyhow::Result<Option<String>> {
    let found = MapInfo::from_pin(path)?;
    let fresh = fresh()?;
    let wanted = data(fresh.map(name).context("the BPF object has no such map")?)
        .context("an unknown map type")?
        .info()?;
    let shape = |map: &MapInfo| -> anyhow::Result<String> {
        Ok(format!(
            "{:?}, key {}, value {}, {} entries, flags {}",
            map.map_type()?,
            map.key_size(),
            map.value_size(),
            map.max_entries(),
            map.map_flags()
        ))
    };
    let (found, wanted) = (shape(&found)?, shape(&wanted)?);
    Ok((found != wanted).then(|| format!("{found}; wanted {wanted}")))
}

/// Pins all maps, or none when one can't be.
pub(super) fn pin_all(claim: File, directory: &Path, ebpf: &Ebpf) -> anyhow::Result<Pins> {
    let mut pins = Pins { paths: Vec::new(), claim };
    for name in names::MAPS {
        let Some(map) = ebpf.map(name).and_then(data) else { continue };
        let path = directory.join(name);
        let pinned = if path.exists() { Ok(()) } else { map.pin(&path) };
        pins.paths.push(path);
        pinned.with_context(|| format!("{name}: {HINT}"))?;
    }
    Ok(pins)
}

/// What is asked when pinning fails.
const HINT: &str = "is it a BPF file system that may be written? (mount -t bpf bpf /sys/fs/bpf)";

/// The pins of a running tracker; they are removed with this, and the directories above when they are empty.
pub(super) struct Pins {
    paths: Vec<PathBuf>,
    claim: File,
}

impl Drop for Pins {
    fn drop(&mut self) {
        for pin in &self.paths {
            let Some(name) = pin.file_name() else { continue };
            // By way of the open directory: its path may not lead there any more, for want of privileges or after a chroot.
            match unlinkat(&self.claim, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => tracing::warn!("{}: {error}", pin.display()),
            }
        }
        if let Some(directory) = self.paths.first().and_then(|pin| pin.parent()) {
            // Somebody else's files keep the directories.
            let _kept =
                fs::remove_dir(directory).and_then(|()| directory.parent().map_or(Ok(()), fs::remove_dir));
        }
    }
}

fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::PerCpuArray(data)
        | Map::HashMap(data)
        | Map::LpmTrie(data)
        | Map::ArrayOfMaps(data)
        | Map::RingBuf(data) => Some(data),
        _ => None,
    }
}
