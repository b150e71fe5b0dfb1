//! The access list and the block list: in their files, in the sets of the socket workers, and in the kernel.
//!
//! Owned by the main loop of `daemon`. Invariant: what is answered as done is in all three places, and what is refused has changed
//! none. Workers see a list change as a whole, by [`SharedLists`]. The text of the access list's file is edited line by line, so that its
//! comments stay. Tests are below.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use arc_swap::ArcSwap;
use tracker_common::settings::access_mode;
use tracker_common::wire::InfoHash;
use tracker_core::SharedLists;
use tracker_core::access_list::{AccessList, Mode, format_info_hash, parse_info_hash};
use tracker_core::block_list::BlockList;

use crate::bpf::{Kernel, Prefix};
use crate::config::{AccessMode, Config};
use crate::control::{Request, Response};
use crate::state::{State, replace_file};
use crate::stats;

mod text;

use text::{with_hashes, without};

/// Both lists, with the files they come from.
#[derive(Debug)]
pub struct Lists {
    shared: Arc<SharedLists>,
    state: State,
    configured_mode: AccessMode,
    access_path: PathBuf,
    block_path: Option<PathBuf>,
}

/// What a change of the access list is for the kernel's map.
enum Edit<'a> {
    Add(&'a [InfoHash]),
    Remove(&'a [InfoHash]),
    Whole,
}

impl Lists {
    /// Reads both lists.
    ///
    /// # Errors
    ///
    /// A bad line; a file that is missing although the configuration needs it.
    pub fn load(config: &Config, state: State) -> anyhow::Result<Self> {
        let configured_mode = config.access_list.mode;
        let access_path = match config.access_list.path.as_os_str().is_empty() {
            true => state.file("access-list.txt"),
            false => config.access_list.path.clone(),
        };
        let block_path = Some(config.block_list.path.clone()).filter(|path| !path.as_os_str().is_empty());
        let mode = state.access_mode(configured_mode);
        let access = read_access(&access_path, mode.into())?;
        let block = read_block(block_path.as_deref())?;
        let shared =
            SharedLists { access: ArcSwap::from_pointee(access), block: ArcSwap::from_pointee(block) };
        Ok(Self { shared: Arc::new(shared), state, configured_mode, access_path, block_path })
    }

    /// The lists as the workers see them.
    pub fn shared(&self) -> Arc<SharedLists> {
        Arc::clone(&self.shared)
    }

    /// The access list as it is.
    pub fn access(&self) -> Arc<AccessList> {
        self.shared.access.load_full()
    }

    /// Writes both lists into the kernel's maps.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn fill(&self, kernel: &mut Kernel) -> anyhow::Result<()> {
        replace_access(kernel, &self.access())?;
        replace_block(kernel, &self.shared.block.load())
    }

    /// Reads both files again. A list whose file can't be read, or has a bad line, stays as it is. One sentence or error for each.
    pub fn reload(&self, mut kernel: Option<&mut Kernel>) -> Vec<anyhow::Result<String>> {
        vec![self.reload_access(kernel.as_deref_mut()), self.reload_block(kernel)]
    }

    fn reload_access(&self, kernel: Option<&mut Kernel>) -> anyhow::Result<String> {
        let list = read_access(&self.access_path, self.access().mode())?;
        if let Some(kernel) = kernel {
            replace_access(kernel, &list)?;
        }
        let sentence = format!("access list: {}, mode {}", count(list.len(), "torrent"), list.mode());
        self.shared.access.store(Arc::new(list));
        Ok(sentence)
    }

    fn reload_block(&self, kernel: Option<&mut Kernel>) -> anyhow::Result<String> {
        let list = read_block(self.block_path.as_deref())?;
        if let Some(kernel) = kernel {
            replace_block(kernel, &list)?;
        }
        let sentence = format!("block list: {}", count(list.len(), "network"));
        self.shared.block.store(Arc::new(list));
        Ok(sentence)
    }

    /// Does what a request about the access list says; whether something was changed, and the answer.
    ///
    /// # Errors
    ///
    /// Why nothing was changed.
    pub fn answer(&self, request: Request, kernel: Option<&mut Kernel>) -> anyhow::Result<(bool, Response)> {
        match request {
            Request::AccessAdd { hashes } => self.add(&hashes, kernel),
            Request::AccessRemove { hashes } => self.remove(&hashes, kernel),
            Request::AccessLoad { name, text } => self.replace(&name, text, kernel),
            Request::AccessClear => self.clear(kernel),
            Request::AccessMode { mode: Some(mode) } => self.set_mode(mode),
            Request::AccessMode { mode: None } => Ok((false, Response::Mode(self.access().mode().into()))),
            Request::AccessList => {
                let hashes = self.access().sorted().iter().map(format_info_hash).collect();
                Ok((false, Response::Hashes(hashes)))
            }
            Request::Limit(_) | Request::Stats => bail!("not a question about the lists"),
        }
    }

    fn add(&self, hashes: &[String], kernel: Option<&mut Kernel>) -> anyhow::Result<(bool, Response)> {
        let hashes = parse_all(hashes)?;
        let mut list = AccessList::clone(&self.access());
        let added = hashes.iter().filter(|hash| list.insert(**hash)).count();
        let old_text = self.text()?;
        self.commit(&old_text, &with_hashes(&old_text, &hashes), list, &Edit::Add(&hashes), kernel)?;
        let already = hashes.len() - added;
        Ok(self.done(&format!("{added} added, {already} listed already")))
    }

    fn remove(&self, hashes: &[String], kernel: Option<&mut Kernel>) -> anyhow::Result<(bool, Response)> {
        let hashes = parse_all(hashes)?;
        let mut list = AccessList::clone(&self.access());
        let removed = hashes.iter().filter(|hash| list.remove(hash)).count();
        let old_text = self.text()?;
        let gone: HashSet<&InfoHash> = hashes.iter().collect();
        let text = without(&old_text, |hash| gone.contains(hash));
        self.commit(&old_text, &text, list, &Edit::Remove(&hashes), kernel)?;
        let unlisted = hashes.len() - removed;
        Ok(self.done(&format!("{removed} removed, {unlisted} not listed")))
    }

    fn replace(
        &self,
        name: &str,
        text: String,
        kernel: Option<&mut Kernel>,
    ) -> anyhow::Result<(bool, Response)> {
        let list = AccessList::parse(self.access().mode(), &text)
            .map_err(|bad| anyhow!("{name}:{}: {}", bad.line, bad.reason))?;
        self.commit(&self.text()?, &text, list, &Edit::Whole, kernel)?;
        Ok(self.done("loaded"))
    }

    fn clear(&self, kernel: Option<&mut Kernel>) -> anyhow::Result<(bool, Response)> {
        let old_text = self.text()?;
        let list = AccessList::new(self.access().mode());
        self.commit(&old_text, &without(&old_text, |_| true), list, &Edit::Whole, kernel)?;
        Ok(self.done("cleared"))
    }

    /// The kernel's switch is written by the caller, who owns the settings.
    fn set_mode(&self, mode: AccessMode) -> anyhow::Result<(bool, Response)> {
        // A mode that needs the file must find one at the next start.
        if !self.access_path.exists() {
            self.write(&self.text()?)?;
        }
        self.state
            .set_access_mode(self.configured_mode, mode)
            .context("the mode wouldn't survive a restart: state directory")?;
        let mut list = AccessList::clone(&self.access());
        list.set_mode(mode.into());
        self.shared.access.store(Arc::new(list));
        Ok(self.done(&format!("mode {mode}")))
    }

    fn done(&self, what: &str) -> (bool, Response) {
        let list = self.access();
        (
            true,
            Response::Done(format!("{what}; {} listed, mode {}", count(list.len(), "torrent"), list.mode())),
        )
    }

    /// Changes file, kernel and workers' set, in this order: what can fail comes first, and is taken back.
    fn commit(
        &self,
        old_text: &str,
        text: &str,
        list: AccessList,
        edit: &Edit<'_>,
        kernel: Option<&mut Kernel>,
    ) -> anyhow::Result<()> {
        if text != old_text || !self.access_path.exists() {
            self.write(text)?;
        }
        if let Some(kernel) = kernel
            && let Err(error) = change_access(kernel, &list, edit)
        {
            let restored = self.write(old_text).and_then(|()| replace_access(kernel, &self.access()));
            return Err(match restored {
                Ok(()) => error.context("the kernel refused the change"),
                Err(second) => {
                    error.context(format!("the kernel refused the change, and taking it back: {second:#}"))
                }
            });
        }
        self.shared.access.store(Arc::new(list));
        Ok(())
    }

    fn text(&self) -> anyhow::Result<String> {
        match fs::read_to_string(&self.access_path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error).with_context(|| format!("access list {}", self.access_path.display())),
        }
    }

    fn write(&self, text: &str) -> anyhow::Result<()> {
        // A link is followed, so that the rename doesn't replace it by a file.
        let path = fs::canonicalize(&self.access_path).unwrap_or_else(|_missing| self.access_path.clone());
        let mode = fs::metadata(&path).map_or(0o640, |metadata| metadata.permissions().mode() & 0o777);
        let write = || -> io::Result<()> {
            if self.access_path.starts_with(self.state.file("")) {
                self.state.make_directory()?;
            }
            replace_file(&path, text.as_bytes(), mode)
        };
        write().with_context(|| {
            format!(
                "access list {}: the file and its directory have to be writable for the tracker",
                path.display()
            )
        })
    }

    /// The access list in short.
    pub fn access_stats(&self) -> stats::AccessList {
        let list = self.access();
        stats::AccessList { mode: list.mode().into(), torrents: list.len() as u64 }
    }

    /// Networks in the block list.
    pub fn blocked_networks(&self) -> u64 {
        self.shared.block.load().len() as u64
    }

    /// Whether any IPv4 and any IPv6 network is blocked.
    pub fn blocks_any(&self) -> (bool, bool) {
        let block = self.shared.block.load();
        let any = |v4: bool| block.networks().iter().any(|network| network.address.is_ipv4() == v4);
        (any(true), any(false))
    }

    /// The mode as the XDP program knows it.
    pub fn kernel_mode(&self) -> u32 {
        match self.access().mode() {
            Mode::Off => access_mode::OFF,
            Mode::Deny => access_mode::DENY,
            Mode::Allow => access_mode::ALLOW,
        }
    }
}

impl From<AccessMode> for Mode {
    fn from(mode: AccessMode) -> Self {
        match mode {
            AccessMode::Off => Self::Off,
            AccessMode::Deny => Self::Deny,
            AccessMode::Allow => Self::Allow,
        }
    }
}

impl From<Mode> for AccessMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Off => Self::Off,
            Mode::Deny => Self::Deny,
            Mode::Allow => Self::Allow,
        }
    }
}

fn read_access(path: &Path, mode: Mode) -> anyhow::Result<AccessList> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && mode == Mode::Off => String::new(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && mode == Mode::Off => {
            tracing::warn!("access list {}: {error}; it isn't needed while the mode is off", path.display());
            String::new()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "access list {}: the file doesn't exist, and the mode is {mode}: create it (`touch {0}` for an empty list), name another \
             one in access_list.path, or set access_list.mode to \"off\"",
            path.display()
        ),
        Err(error) => return Err(error).with_context(|| format!("access list {}", path.display())),
    };
    AccessList::parse(mode, &text).map_err(|bad| anyhow!("{}:{}: {}", path.display(), bad.line, bad.reason))
}

fn read_block(path: Option<&Path>) -> anyhow::Result<BlockList> {
    let Some(path) = path else { return Ok(BlockList::default()) };
    let text = fs::read_to_string(path).with_context(|| {
        format!("block list {}: create it, or set block_list.path to \"\" to block nobody", path.display())
    })?;
    BlockList::parse(&text).map_err(|bad| anyhow!("{}:{}: {}", path.display(), bad.line, bad.reason))
}

/// A number with its noun.
fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// All hashes or the first error: nothing is changed for a part of them.
fn parse_all(hashes: &[String]) -> anyhow::Result<Vec<InfoHash>> {
    Ok(hashes.iter().map(|hash| parse_info_hash(hash)).collect::<Result<_, _>>()?)
}

fn replace_access(kernel: &mut Kernel, list: &AccessList) -> anyhow::Result<()> {
    kernel.replace_access(list.len(), list.iter())
}

/// Changes the kernel's map in place where that is possible.
fn change_access(kernel: &mut Kernel, list: &AccessList, edit: &Edit<'_>) -> anyhow::Result<()> {
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
    }
}

fn replace_block(kernel: &mut Kernel, list: &BlockList) -> anyhow::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
    const C: &str = "cccccccccccccccccccccccccccccccccccccccc";

    struct Fixture {
        directory: tempfile::TempDir,
        config: Config,
    }

    impl Fixture {
        fn new(mode: AccessMode, access: Option<&str>) -> Self {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let mut config = Config { state_directory: directory.path().join("state"), ..Config::default() };
            config.access_list.mode = mode;
            config.access_list.path = directory.path().join("list");
            if let Some(text) = access {
                fs::write(&config.access_list.path, text).expect("it can be written");
            }
            Self { directory, config }
        }

        fn load(&self) -> anyhow::Result<Lists> {
            Lists::load(&self.config, State::open(&self.config.state_directory))
        }

        fn lists(&self) -> Lists {
            self.load().expect("the list is valid")
        }

        fn text(&self) -> String {
            fs::read_to_string(&self.config.access_list.path).expect("the file exists")
        }
    }

    fn hash(text: &str) -> InfoHash {
        parse_info_hash(text).expect("a hash")
    }

    fn add(hashes: &[&str]) -> Request {
        Request::AccessAdd { hashes: hashes.iter().map(ToString::to_string).collect() }
    }

    fn remove(hashes: &[&str]) -> Request {
        Request::AccessRemove { hashes: hashes.iter().map(ToString::to_string).collect() }
    }

    fn ask(lists: &Lists, request: Request) -> Response {
        lists.answer(request, None).expect("it is allowed").1
    }

    #[test]
    fn added_torrent_is_in_the_set_and_in_the_file_and_survives_a_restart() {
        let fixture = Fixture::new(AccessMode::Deny, Some("# mine\n"));
        let lists = fixture.lists();
        let response = ask(&lists, add(&[A, B, A]));
        assert_eq!(
            response,
            Response::Done("2 added, 1 listed already; 2 torrents listed, mode deny".to_owned())
        );
        assert!(!lists.access().allows(&hash(A)));
        assert_eq!(fixture.text(), format!("# mine\n{A}\n{}\n", B.to_lowercase()));
        assert!(!fixture.lists().access().allows(&hash(B)));
    }

    #[test]
    fn bad_hash_is_quoted_and_nothing_is_changed_even_as_the_third_of_five() {
        let fixture = Fixture::new(AccessMode::Deny, Some(A));
        let lists = fixture.lists();
        for request in [add(&[B, C, "xyz", A, B]), remove(&[A, A, "xyz", A, A])] {
            let error = lists.answer(request, None).map(|_| ()).expect_err("one is bad").to_string();
            assert!(error.contains("\"xyz\""), "{error}");
            assert_eq!(fixture.text(), A);
            assert_eq!(lists.access().len(), 1);
        }
    }

    #[test]
    fn removal_keeps_comments_and_other_lines() {
        let fixture = Fixture::new(AccessMode::Deny, Some(&format!("# one\n\n{A} # first\n  {B}  \r\n{C}")));
        let lists = fixture.lists();
        assert_eq!(
            ask(&lists, remove(&[&B.to_lowercase(), A, "dddddddddddddddddddddddddddddddddddddddd"])),
            Response::Done("2 removed, 1 not listed; 1 torrent listed, mode deny".to_owned())
        );
        assert_eq!(fixture.text(), format!("# one\n\n{C}"));
        ask(&lists, add(&[A]));
        assert_eq!(fixture.text(), format!("# one\n\n{C}\n{A}\n"));
    }

    #[test]
    fn clear_keeps_comments_and_load_takes_the_file_as_it_is() {
        let fixture = Fixture::new(AccessMode::Deny, Some(&format!("# one\n{A}\n")));
        let lists = fixture.lists();
        ask(&lists, Request::AccessClear);
        assert_eq!((fixture.text().as_str(), lists.access().len()), ("# one\n", 0));
        let text = format!("{B}\n# two\n{C}\n");
        ask(&lists, Request::AccessLoad { name: "new".to_owned(), text: text.clone() });
        assert_eq!((fixture.text(), lists.access().len()), (text, 2));
        assert_eq!(ask(&lists, Request::AccessList), Response::Hashes(vec![B.to_lowercase(), C.to_owned()]));
    }

    #[test]
    fn loading_a_bad_file_names_its_line_and_changes_nothing() {
        let fixture = Fixture::new(AccessMode::Deny, Some(A));
        let lists = fixture.lists();
        let request =
            Request::AccessLoad { name: "new.txt".to_owned(), text: format!("{B}\n# x\nnonsense\n") };
        let error = lists.answer(request, None).map(|_| ()).expect_err("a line is bad").to_string();
        assert!(error.starts_with("new.txt:3: \"nonsense\""), "{error}");
        assert_eq!((fixture.text().as_str(), lists.access().len()), (A, 1));
    }

    #[test]
    fn unwritable_file_changes_nothing() {
        let mut fixture = Fixture::new(AccessMode::Off, None);
        // A path below a file can't be made by anybody, root included.
        fs::write(fixture.directory.path().join("file"), "").expect("it can be written");
        fixture.config.access_list.path = fixture.directory.path().join("file/list");
        fixture.config.state_directory = fixture.directory.path().join("file/state");
        let Ok(lists) = fixture.load() else { return };
        assert!(lists.answer(add(&[A]), None).is_err());
        assert!(lists.answer(Request::AccessMode { mode: Some(AccessMode::Deny) }, None).is_err());
        assert_eq!((lists.access().len(), lists.access().mode()), (0, Mode::Off));
    }

    #[test]
    fn mode_set_at_run_time_survives_a_restart_even_without_a_file() {
        let fixture = Fixture::new(AccessMode::Off, None);
        let lists = fixture.lists();
        ask(&lists, Request::AccessMode { mode: Some(AccessMode::Allow) });
        assert_eq!(ask(&lists, Request::AccessMode { mode: None }), Response::Mode(AccessMode::Allow));
        assert_eq!(lists.kernel_mode(), access_mode::ALLOW);
        assert_eq!(fixture.lists().access().mode(), Mode::Allow);
    }

    #[test]
    fn missing_file_is_an_empty_list_when_off_and_an_error_with_the_remedy_otherwise() {
        assert_eq!(Fixture::new(AccessMode::Off, None).lists().access().len(), 0);
        let error =
            Fixture::new(AccessMode::Allow, None).load().map(|_| ()).expect_err("it is needed").to_string();
        assert!(error.contains("doesn't exist") && error.contains("touch"), "{error}");
    }

    #[test]
    fn bad_line_at_start_is_an_error_with_file_and_line() {
        let fixture = Fixture::new(AccessMode::Off, Some(&format!("{A}\n\n12345\n")));
        let error = fixture.load().map(|_| ()).expect_err("a line is bad").to_string();
        let path = fixture.config.access_list.path.display();
        assert!(error.starts_with(&format!("{path}:3: \"12345\"")), "{error}");
    }

    #[test]
    fn reload_reads_both_files_and_a_bad_line_keeps_that_list() {
        let mut fixture = Fixture::new(AccessMode::Deny, Some(A));
        let block = fixture.directory.path().join("block");
        fs::write(&block, "192.0.2.0/24\n").expect("it can be written");
        fixture.config.block_list.path = block.clone();
        let lists = fixture.lists();
        fs::write(&fixture.config.access_list.path, format!("{A}\n{B}\nbad\n")).expect("it can be written");
        fs::write(&block, "192.0.2.0/24\n2001:db8::/32\n").expect("it can be written");
        let results = lists.reload(None);
        let error = results[0].as_ref().expect_err("a line is bad").to_string();
        assert!(error.contains("list:3: \"bad\""), "{error}");
        assert_eq!(results[1].as_ref().expect("it is valid"), "block list: 2 networks");
        assert_eq!(
            (lists.access().len(), lists.blocked_networks(), lists.blocks_any()),
            (1, 2, (true, true))
        );
        fs::write(&fixture.config.access_list.path, format!("{A}\n{B}\n")).expect("it can be written");
        assert_eq!(
            lists.reload(None)[0].as_ref().expect("it is valid"),
            "access list: 2 torrents, mode deny"
        );
    }

    #[test]
    fn link_to_the_file_stays_a_link() {
        let mut fixture = Fixture::new(AccessMode::Deny, Some(A));
        let link = fixture.directory.path().join("link");
        std::os::unix::fs::symlink(&fixture.config.access_list.path, &link).expect("it can be made");
        let target = std::mem::replace(&mut fixture.config.access_list.path, link.clone());
        ask(&fixture.lists(), add(&[C]));
        assert!(fs::symlink_metadata(&link).expect("it exists").is_symlink());
        assert_eq!(fs::read_to_string(target).expect("it exists"), format!("{A}\n{C}\n"));
    }
}
