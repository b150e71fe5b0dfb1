//! What survives a restart: the keys of the connection ids and the access mode that was set at run time.
//!
//! Used by `daemon` at start and by `lists` when the mode changes. The state directory may be missing or unwritable; then the
//! tracker runs with keys in memory, and ids end with it. Files are replaced whole, by [`replace_file`]. Tests are below.

use std::fs::{self, File, Metadata, Permissions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tracker_common::connection_id::Keys;

use crate::config::AccessMode;

const KEYS_FILE: &str = "connection-id.keys";
const MODE_FILE: &str = "access-mode";
/// What `map limit` has set.
pub const LIMITS_FILE: &str = "limits";
const LOCK_FILE: &str = "lock";
const RUNNING_FILE: &str = "running";

/// The state directory.
#[derive(Debug)]
pub struct State {
    directory: PathBuf,
    boot_id: String,
}

/// Content of the file of connection-id keys.
#[derive(Serialize, Deserialize)]
struct KeysFile {
    /// Epochs count from boot: under the same key, the ids of an earlier boot would become valid again.
    boot_id: String,
    keys: String,
}

/// A mode set by `map access mode`, and the configured mode that it overrides.
#[derive(Serialize, Deserialize)]
struct ModeFile {
    configured: AccessMode,
    r#override: AccessMode,
}

impl State {
    /// Uses `directory`, making it when it is missing; what can't be done is reported when something is written.
    pub fn open(directory: &Path) -> Self {
        Self::of_boot(directory, &boot_id())
    }

    /// The same where `/proc` can't be read: with the [`boot_id`] that was.
    pub fn of_boot(directory: &Path, boot_id: &str) -> Self {
        Self { directory: directory.to_owned(), boot_id: boot_id.to_owned() }
    }

    /// Path of a file in the state directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The keys of the connection ids: those of the previous run if the machine wasn't restarted since, else new ones.
    pub fn connection_id_keys(&self) -> anyhow::Result<Keys> {
        let path = self.file(KEYS_FILE);
        match self.stored_keys(&path) {
            Ok(Some(keys)) => return Ok(keys),
            Ok(None) => {}
            Err(reason) => {
                tracing::warn!("{}: {reason}; connection ids issued so far end now", path.display())
            }
        }
        let mut bytes = [0; Keys::BYTES];
        getrandom::fill(&mut bytes)
            .map_err(|error| anyhow::anyhow!("random bytes for the connection ids: {error}"))?;
        if let Err(error) = self.store_keys(&path, &bytes) {
            tracing::warn!(
                "{}: {error}; connection ids won't survive a restart of the tracker. Make the directory {} writable for it or \
                 choose another one with --state-directory",
                path.display(),
                self.directory.display()
            );
        }
        Ok(Keys::from_bytes(&bytes))
    }

    fn stored_keys(&self, path: &Path) -> Result<Option<Keys>, String> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            // What may not be read can't be written either, and that is reported.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.to_string()),
        };
        let stored: KeysFile =
            serde_json::from_str(&text).map_err(|error| format!("not a file of keys ({error})"))?;
        if self.boot_id.is_empty() || stored.boot_id != self.boot_id {
            return Ok(None);
        }
        let bytes = from_hex(&stored.keys).ok_or("the keys are not 128 hexadecimal digits")?;
        Ok(Some(Keys::from_bytes(&bytes)))
    }

    fn store_keys(&self, path: &Path, bytes: &[u8; Keys::BYTES]) -> io::Result<()> {
        let keys = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = serde_json::to_string(&KeysFile { boot_id: self.boot_id.clone(), keys })?;
        self.make_directory()?;
        replace_file(path, format!("{text}\n").as_bytes(), 0o600)
    }

    /// The access mode in force: one set at run time counts until the configured one is edited.
    pub fn access_mode(&self, configured: AccessMode) -> AccessMode {
        let path = self.file(MODE_FILE);
        let Ok(text) = fs::read_to_string(&path) else { return configured };
        match serde_json::from_str::<ModeFile>(&text) {
            Ok(stored) if stored.configured == configured => {
                if stored.r#override != configured {
                    tracing::info!(
                        "access list mode {}, set at run time over the configured {configured} (kept in {})",
                        stored.r#override,
                        path.display()
                    );
                }
                stored.r#override
            }
            Ok(stored) => {
                tracing::info!(
                    "access list mode {configured}: the configuration was edited since {} was set at run time",
                    stored.r#override
                );
                configured
            }
            Err(error) => {
                tracing::warn!(
                    "{}: {error}; the configured access list mode {configured} counts",
                    path.display()
                );
                configured
            }
        }
    }

    /// Remembers a mode set at run time, once it is committed.
    pub fn new_access_mode(&self, configured: AccessMode, mode: AccessMode) -> io::Result<Replacement> {
        let text = serde_json::to_string(&ModeFile { configured, r#override: mode })?;
        self.make_directory()?;
        Replacement::new(&self.file(MODE_FILE), format!("{text}\n").as_bytes(), 0o640)
    }

    /// Waits until nobody else changes the lists or what is in this directory: a tracker and its command line exclude each other while they
    /// read and write. The lock ends with the value, or with the process.
    ///
    /// # Errors
    ///
    /// The directory can't be written.
    pub fn lock(&self) -> io::Result<File> {
        let file = self.lock_file(LOCK_FILE)?;
        file.lock()?;
        Ok(file)
    }

    /// Says that a tracker runs with this directory, until the value or the process ends.
    ///
    /// # Errors
    ///
    /// The directory can't be written.
    pub fn claim(&self) -> io::Result<File> {
        let file = self.lock_file(RUNNING_FILE)?;
        file.lock_shared()?;
        Ok(file)
    }

    /// Whether a tracker has a [`State::claim`]; false also where nothing can be seen of it.
    pub fn is_claimed(&self) -> bool {
        let file = File::open(self.file(RUNNING_FILE));
        file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    fn lock_file(&self, name: &str) -> io::Result<File> {
        self.make_directory()?;
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).mode(0o640).open(self.file(name))?;
        give_to(&file, &fs::metadata(&self.directory)?);
        Ok(file)
    }

    /// Removes what a killed tracker has begun to write. Nobody else may be writing.
    pub fn remove_unfinished(&self) {
        [KEYS_FILE, MODE_FILE, LIMITS_FILE].iter().for_each(|name| remove_unfinished(&self.file(name)));
    }

    /// Makes the state directory when it is missing.
    pub fn make_directory(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o750).create(&self.directory)
    }
}

/// The kernel's name for the time since the machine was started; empty when it doesn't tell.
pub fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Replaces a file so that a reader, and whoever comes after a crash, sees the old content or the new one, never a part.
pub fn replace_file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace_file_by(path, mode, |file| file.write_all(content))
}

/// The same with content that `write` writes, piece by piece.
pub fn replace_file_by(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    Replacement::write(path, mode, write)?.commit()
}

/// New content of a file, whole and on disk beside the old one, which still counts. Dropped, it is gone.
///
/// For a change of several things that counts everywhere or nowhere: a disk that is full says so before anything is changed.
#[derive(Debug)]
pub struct Replacement {
    file: NamedTempFile,
    path: PathBuf,
}

impl Replacement {
    /// Writes what is to replace a file.
    ///
    /// # Errors
    ///
    /// Those of writing beside the file.
    pub fn new(path: &Path, content: &[u8], mode: u32) -> io::Result<Self> {
        Self::write(path, mode, |file| file.write_all(content))
    }

    fn write(
        path: &Path,
        mode: u32,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Self> {
        let directory = directory_of(path);
        let mut file = tempfile::Builder::new()
            .prefix(&unfinished(path))
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(directory)?;
        let mut buffered = BufWriter::new(&mut file);
        write(&mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        give_to(file.as_file(), &fs::metadata(path).or_else(|_new| fs::metadata(directory))?);
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// The file that it is to replace.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it in the old one's place.
    ///
    /// # Errors
    ///
    /// Those of the rename; then the old content is still there.
    pub fn commit(self) -> io::Result<()> {
        self.file.persist(&self.path).map_err(|error| error.error)?;
        // The rename is in the directory: without this it may be lost although the content is on disk. It has happened for everyone who looks
        // now, so that to call it failed would be wrong.
        if let Err(error) = File::open(directory_of(&self.path)).and_then(|directory| directory.sync_all()) {
            tracing::warn!(
                "{}: it is written, but may be the old one again if the machine loses power now: {error}",
                self.path.display()
            );
        }
        Ok(())
    }
}

/// Makes a file somebody else's, as another one is: what root's command line writes has to stay a tracker's that isn't root.
fn give_to(file: &File, owner: &Metadata) {
    // Only root may; others write files of their own.
    let _kept = std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()));
}

/// Removes what a killed [`replace_file`] of this path has left. Nobody else may be replacing it meanwhile.
pub fn remove_unfinished(path: &Path) {
    let begin = unfinished(path);
    for entry in fs::read_dir(directory_of(path)).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&begin) {
            // Left where it is, it does no harm but that of its size.
            let _kept = fs::remove_file(entry.path());
        }
    }
}

/// How the names of files begin that are to replace this one.
fn unfinished(path: &Path) -> String {
    format!(".{}.tracker-", path.file_name().unwrap_or_default().to_string_lossy())
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_a_restart_but_not_a_reboot() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("made/by/the/tracker");
        let first = State::of_boot(&path, "boot-1").connection_id_keys().expect("random bytes");
        let restarted = State::of_boot(&path, "boot-1").connection_id_keys().expect("random bytes");
        let rebooted = State::of_boot(&path, "boot-2").connection_id_keys().expect("random bytes");
        assert_eq!(first.to_bytes(), restarted.to_bytes());
        assert_ne!(first.to_bytes(), rebooted.to_bytes());
    }

    #[test]
    fn keys_are_readable_by_the_owner_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        State::of_boot(directory.path(), "boot").connection_id_keys().expect("random bytes");
        let metadata = fs::metadata(directory.path().join(KEYS_FILE)).expect("the file was made");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn unwritable_directory_gives_keys_in_memory() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("file");
        fs::write(&file, "").expect("it can be written");
        // A path below a file can't be made by anybody, root included.
        let state = State::of_boot(&file.join("state"), "boot");
        let one = state.connection_id_keys().expect("random bytes");
        let other = state.connection_id_keys().expect("random bytes");
        assert_ne!(one.to_bytes(), other.to_bytes());
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_and_other_files_stay() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let names = [".list.tracker-aB3", ".list2.tracker-x", "list", ".tracker-x"];
        names.iter().for_each(|name| fs::write(directory.path().join(name), "x").expect("it can be written"));
        remove_unfinished(&directory.path().join("list"));
        let left: Vec<_> = names.iter().filter(|name| directory.path().join(name).exists()).collect();
        assert_eq!(left, [&names[1], &names[2], &names[3]]);
    }

    #[test]
    fn replaced_file_keeps_its_owner_and_a_new_one_gets_the_directory_s() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (old, new) = (directory.path().join("old"), directory.path().join("new"));
        fs::write(&old, "").expect("it can be written");
        if std::os::unix::fs::chown(&old, Some(65534), Some(65534)).is_err() {
            // Not root: whatever is written is ours.
            return;
        }
        std::os::unix::fs::chown(directory.path(), Some(65533), Some(65533)).expect("root may");
        replace_file(&old, b"x", 0o640).expect("it can be written");
        replace_file(&new, b"x", 0o640).expect("it can be written");
        let owner =
            |path: &Path| fs::metadata(path).map(|file| (file.uid(), file.gid())).expect("it is there");
        assert_eq!((owner(&old), owner(&new)), ((65534, 65534), (65533, 65533)));
    }

    #[test]
    fn claim_is_seen_until_it_ends() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let state = State::of_boot(directory.path(), "boot");
        assert!(!state.is_claimed());
        let claim = state.claim().expect("the directory can be written");
        assert!(state.is_claimed());
        drop(claim);
        assert!(!state.is_claimed());
    }

    #[test]
    fn lock_keeps_others_out_until_it_ends() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let state = State::of_boot(directory.path(), "boot");
        let lock = state.lock().expect("the directory can be written");
        let other = File::open(state.file(LOCK_FILE)).expect("it was made");
        assert!(other.try_lock().is_err());
        drop(lock);
        other.try_lock().expect("nobody has it");
    }

    #[test]
    fn damaged_keys_are_replaced() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let state = State::of_boot(directory.path(), "boot");
        for damaged in ["", "{}", r#"{"boot_id":"boot","keys":"12"}"#, r#"{"boot_id":"boot","keys":5}"#] {
            fs::write(directory.path().join(KEYS_FILE), damaged).expect("it can be written");
            let fresh = state.connection_id_keys().expect("random bytes");
            let kept = state.connection_id_keys().expect("random bytes");
            assert_eq!(fresh.to_bytes(), kept.to_bytes(), "after {damaged:?}");
        }
    }

    #[test]
    fn mode_set_at_run_time_counts_until_the_configuration_is_edited() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let state = State::of_boot(directory.path(), "boot");
        assert_eq!(state.access_mode(AccessMode::Deny), AccessMode::Deny);
        let mode = state.new_access_mode(AccessMode::Deny, AccessMode::Allow).expect("it can be written");
        assert_eq!(state.access_mode(AccessMode::Deny), AccessMode::Deny);
        mode.commit().expect("it can be written");
        assert_eq!(state.access_mode(AccessMode::Deny), AccessMode::Allow);
        assert_eq!(state.access_mode(AccessMode::Off), AccessMode::Off);
    }

    #[test]
    fn replaced_file_has_the_new_content_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("list");
        replace_file(&path, b"one", 0o640).expect("it can be written");
        replace_file(&path, b"two", 0o640).expect("it can be written");
        assert_eq!(fs::read(&path).expect("it can be read"), b"two");
        assert_eq!(fs::read_dir(directory.path()).expect("it can be read").count(), 1);
    }

    #[test]
    fn replacement_that_is_not_committed_changes_nothing_and_goes_away() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("list");
        replace_file(&path, b"one", 0o640).expect("it can be written");
        let replacement = Replacement::new(&path, b"two", 0o640).expect("it can be written");
        assert_eq!(fs::read(&path).expect("it can be read"), b"one");
        drop(replacement);
        assert_eq!(fs::read_dir(directory.path()).expect("it can be read").count(), 1);
    }
}
