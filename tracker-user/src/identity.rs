//! As whom the tracker runs: the change to another user and root directory, and the capabilities that threads keep.
//!
//! The kernel keeps capabilities by thread, and a new thread has its maker's. So the change happens before there is a second thread, the main
//! thread keeps what attaching needs until that is done, and everything that needs nothing is started by [`without_capabilities`].
//! Tested end to end in `tests/cli` (`identity`).

use std::fs;
use std::io;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, bail};
use nix::unistd::{Gid, Group, Uid, User, chroot, setgroups, setresgid, setresuid};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use crate::config::Privileges;

/// What loading and attaching need.
pub const FOR_XDP: CapabilitySet =
    CapabilitySet::BPF.union(CapabilitySet::PERFMON).union(CapabilitySet::NET_ADMIN);

/// What maps that are made at run time need.
pub const FOR_MAPS: CapabilitySet = CapabilitySet::BPF;

/// Set once the process gives up what it doesn't need. Root that was asked to stay root keeps everything.
static REDUCES: AtomicBool = AtomicBool::new(false);

/// Who the tracker becomes.
#[derive(Debug)]
pub struct Identity {
    user: Option<(Uid, Gid)>,
    chroot: Option<PathBuf>,
}

impl Identity {
    /// Looks up names.
    ///
    /// # Errors
    ///
    /// Unknown ones; a change that only root can make.
    pub fn of(privileges: &Privileges) -> anyhow::Result<Self> {
        let Privileges { user, group, chroot } = privileges;
        let chroot = (!chroot.as_os_str().is_empty()).then(|| chroot.clone());
        if user.is_empty() {
            return Ok(Self { user: None, chroot });
        }
        let (uid, own_group) = find_user(user)?;
        let gid = if group.is_empty() { own_group } else { find_group(group)? };
        if !Uid::effective().is_root() && uid != Uid::effective() {
            bail!(
                "privileges.user = {user:?}: only root can become another user: start as root, or remove the key"
            );
        }
        Ok(Self { user: Some((uid, gid)), chroot })
    }

    /// Makes a directory that the tracker writes to its user's, with the files in it; it is made if it is missing.
    ///
    /// # Errors
    ///
    /// Those of making it and of changing owners.
    pub fn own_directory(&self, path: &Path) -> anyhow::Result<()> {
        let Some((uid, gid)) = self.user.filter(|_| Uid::effective().is_root()) else { return Ok(()) };
        let own = || -> io::Result<()> {
            fs::create_dir_all(path)?;
            lchown(path, Some(uid.as_raw()), Some(gid.as_raw()))?;
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    lchown(entry.path(), Some(uid.as_raw()), Some(gid.as_raw()))?;
                }
            }
            Ok(())
        };
        own().with_context(|| format!("{}: making it the tracker's", path.display()))
    }

    /// Makes one path the user's.
    ///
    /// # Errors
    ///
    /// Those of `lchown`.
    pub fn own(&self, path: &Path) -> anyhow::Result<()> {
        let Some((uid, gid)) = self.user.filter(|_| Uid::effective().is_root()) else { return Ok(()) };
        lchown(path, Some(uid.as_raw()), Some(gid.as_raw()))
            .with_context(|| format!("{}: making it the tracker's", path.display()))
    }

    /// Becomes the user, inside of the chroot, and keeps [`FOR_XDP`] of the capabilities. Called while there is one thread.
    ///
    /// # Errors
    ///
    /// Those of the system calls; the process has to end then.
    pub fn assume(&self) -> anyhow::Result<()> {
        // Nothing that this process starts may get more than it has; a thread's children have its setting.
        rustix::thread::set_no_new_privs(true).context("no_new_privs")?;
        if self.user.is_none() && Uid::effective().is_root() {
            return Ok(());
        }
        if let Some(directory) = &self.chroot {
            let enter = || -> nix::Result<()> {
                chroot(directory)?;
                nix::unistd::chdir("/")
            };
            enter().with_context(|| format!("chroot to {}", directory.display()))?;
        }
        if let Some((uid, gid)) = self.user.filter(|_| Uid::effective().is_root()) {
            rustix::thread::set_keep_capabilities(true).context("keeping capabilities")?;
            setgroups(&[gid]).context("giving up root's groups")?;
            setresgid(gid, gid, gid).context("taking the group")?;
            setresuid(uid, uid, uid).context("taking the user")?;
            rustix::thread::set_keep_capabilities(false).context("keeping capabilities")?;
        }
        REDUCES.store(true, Ordering::Relaxed);
        keep_only(FOR_XDP)
    }
}

/// Gives up all capabilities of this thread but some.
///
/// # Errors
///
/// Those of `capset`.
pub fn keep_only(wanted: CapabilitySet) -> anyhow::Result<()> {
    if !REDUCES.load(Ordering::Relaxed) {
        return Ok(());
    }
    let kept = capabilities(None).context("asking for the capabilities")?.permitted & wanted;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).context("giving up capabilities")
}

/// Runs `start` in a thread that keeps only some capabilities; the threads that it starts have no others either.
///
/// # Errors
///
/// Those of giving up, and of `start`.
pub fn with_only<T: Send>(
    wanted: CapabilitySet,
    start: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let run = || {
        keep_only(wanted)?;
        start()
    };
    thread::scope(|scope| match scope.spawn(run).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// The same without any.
///
/// # Errors
///
/// Those of giving up, and of `start`.
pub fn without_capabilities<T: Send>(start: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    with_only(CapabilitySet::empty(), start)
}

fn find_user(name: &str) -> anyhow::Result<(Uid, Gid)> {
    if let Ok(number) = name.parse() {
        let uid = Uid::from_raw(number);
        let known = User::from_uid(uid).context("looking up the user")?;
        return Ok((uid, known.map_or(Gid::from_raw(number), |user| user.gid)));
    }
    let user = User::from_name(name).context("looking up the user")?;
    let user = user.with_context(|| {
        format!("privileges.user = {name:?}: there is no such user; make one with `useradd --system {name}`")
    })?;
    Ok((user.uid, user.gid))
}

fn find_group(name: &str) -> anyhow::Result<Gid> {
    if let Ok(number) = name.parse() {
        return Ok(Gid::from_raw(number));
    }
    let group = Group::from_name(name).context("looking up the group")?;
    group
        .map(|group| group.gid)
        .with_context(|| format!("privileges.group = {name:?}: there is no such group"))
}
