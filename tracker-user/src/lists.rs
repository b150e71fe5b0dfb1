//! The access list and the block list: in their files, in the sets of the socket workers, and in the kernel.
//!
//! Owned by the main loop of `daemon`; while no tracker runs, by a command line that edits the files. Invariant: what is answered as done is in all
//! three places, and what is refused has changed none: the new file is written beside the old one, the kernel is told, and a rename comes last
//! of what can fail. Workers see a list change as a whole, by [`SharedLists`]. Who reads or writes the
//! files has [`State::lock`], so that a command line and a tracker that is just starting don't overwrite each other's changes. Tests are
//! below, and for a kernel that refuses in `tests/cli` (`kernel_refuses`).
//!
//! - `file`: where a list's text is; `text`: its edits, line by line, so that its comments stay.
//! - `in_kernel`: the lists in the program's maps and settings.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use arc_swap::ArcSwap;
use tracker_common::wire::InfoHash;
use tracker_core::SharedLists;
use tracker_core::access_list::{AccessList, Mode, format_info_hash, parse_info_hash};
use tracker_core::block_list::{BlockList, Network};

use crate::bpf::Kernel;
use crate::config::{AccessMode, Config};
use crate::control::{Answer, Request, Response};
use crate::state::{Replacement, State};
use crate::stats;

mod file;
mod in_kernel;
mod text;

use file::ListFile;
pub use in_kernel::Program;
use in_kernel::{Edit, Switches, change_access, replace_access, replace_block};

/// Both lists, with the files they come from.
#[derive(Debug)]
pub struct Lists {
    shared: Arc<SharedLists>,
    state: State,
    configured_mode: AccessMode,
    access_file: ListFile,
    block_file: ListFile,
}

impl Lists {
    /// Reads both lists. The caller has the state directory's lock, if there can be one.
    ///
    /// # Errors
    ///
    /// A bad line; a file that is missing although the configuration needs it.
    pub fn load(config: &Config, state: State) -> anyhow::Result<Self> {
        let configured_mode = config.access_list.mode;
        let access_file = ListFile::new("access list", &config.access_list.path, &state, "access-list.txt");
        let block_file = ListFile::new("block list", &config.block_list.path, &state, "block-list.txt");
        access_file.tidy();
        block_file.tidy();
        let mode = state.access_mode(configured_mode);
        let access = read_access(&access_file, mode.into())?;
        let block = read_block(&block_file)?;
        let shared =
            SharedLists { access: ArcSwap::from_pointee(access), block: ArcSwap::from_pointee(block) };
        Ok(Self { shared: Arc::new(shared), state, configured_mode, access_file, block_file })
    }

    /// The lists as the workers see them.
    pub fn shared(&self) -> Arc<SharedLists> {
        Arc::clone(&self.shared)
    }

    /// The access list as it is.
    pub fn access(&self) -> Arc<AccessList> {
        self.shared.access.load_full()
    }

    /// The block list as it is.
    pub fn block(&self) -> Arc<BlockList> {
        self.shared.block.load_full()
    }

    /// Writes both lists into the kernel's maps.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn fill(&self, kernel: &mut Kernel) -> anyhow::Result<()> {
        replace_access(kernel, &self.access())?;
        replace_block(kernel, &self.block())
    }

    /// Reads both files again. A list whose file can't be read, or has a bad line, or that the kernel refuses, stays as it is. One sentence or
    /// error for each.
    pub fn reload(&self, mut program: Option<Program<'_>>) -> Vec<anyhow::Result<String>> {
        let _lock = self.lock();
        vec![self.reload_access(program.as_mut()), self.reload_block(program.as_mut())]
    }

    fn reload_access(&self, program: Option<&mut Program<'_>>) -> anyhow::Result<String> {
        let list = read_access(&self.access_file, self.access().mode())?;
        let sentence = format!("access list: {}, mode {}", count(list.len(), "torrent"), list.mode());
        self.commit_access([], list, &Edit::Whole, program)?;
        Ok(sentence)
    }

    fn reload_block(&self, program: Option<&mut Program<'_>>) -> anyhow::Result<String> {
        let list = read_block(&self.block_file)?;
        let sentence = format!("block list: {}", count(list.len(), "network"));
        self.commit_block([], list, program)?;
        Ok(sentence)
    }

    /// Keeps the command line of a stopped tracker away from the files. A tracker whose state directory can't be written goes without.
    pub fn lock(&self) -> Option<fs::File> {
        let lock = self.state.lock();
        lock.inspect_err(|error| tracing::debug!("{}: {error}", self.state.file("lock").display())).ok()
    }

    /// Does what a request about the lists says; whether something was changed, and the answer. The caller has [`Lists::lock`].
    ///
    /// # Errors
    ///
    /// Why nothing was changed.
    pub fn answer(
        &self,
        request: Request,
        mut program: Option<Program<'_>>,
    ) -> anyhow::Result<(bool, Answer)> {
        let program = program.as_mut();
        let told = |response| Ok((false, Answer::Now(response)));
        let changed = match request {
            Request::AccessAdd { hashes } => self.add_access(&hashes, program),
            Request::AccessRemove { hashes } => self.remove_access(&hashes, program),
            Request::AccessLoad { name, text } => self.load_access(&name, &text, program),
            Request::AccessClear => self.clear_access(program),
            Request::AccessMode { mode: Some(mode) } => self.set_mode(mode, program),
            Request::AccessMode { mode: None } => return told(Response::Mode(self.access().mode().into())),
            Request::AccessCount => return told(Response::Count(self.access().len() as u64)),
            Request::AccessList => {
                let list = self.access();
                // Sorted by whoever writes the answer: the main loop has other things to do.
                let entries = std::iter::once(list).flat_map(|list| list.sorted());
                return Ok((false, Answer::Entries(Box::new(entries.map(|hash| format_info_hash(&hash))))));
            }
            Request::BlockAdd { networks } => self.add_block(&networks, program),
            Request::BlockRemove { networks } => self.remove_block(&networks, program),
            Request::BlockLoad { name, text } => self.load_block(&name, &text, program),
            Request::BlockClear => self.clear_block(program),
            Request::BlockCount => return told(Response::Count(self.block().len() as u64)),
            Request::BlockList => {
                let entries = std::iter::once(self.block()).flat_map(|list| list.networks().to_vec());
                return Ok((false, Answer::Entries(Box::new(entries.map(|network| network.to_string())))));
            }
            Request::Limit(_) | Request::Stats | Request::Torrent { .. } | Request::Top { .. } => {
                bail!("not a question about the lists")
            }
        };
        changed.map(|sentence| (true, Answer::Now(Response::Done(sentence))))
    }

    fn add_access(&self, hashes: &[String], program: Option<&mut Program<'_>>) -> anyhow::Result<String> {
        let hashes = parse_hashes(hashes)?;
        let mut list = AccessList::clone(&self.access());
        let added = hashes.iter().filter(|hash| list.insert(**hash)).count();
        let old_text = self.access_file.text()?;
        let text = text::with(&old_text, parse_hash, &hashes, format_info_hash);
        let file = self.new_access_file(&old_text, &text)?;
        self.commit_access(file, list, &Edit::Add(&hashes), program)?;
        Ok(self.access_now(&format!("{added} added, {} listed already", hashes.len() - added)))
    }

    fn remove_access(&self, hashes: &[String], program: Option<&mut Program<'_>>) -> anyhow::Result<String> {
        let hashes = parse_hashes(hashes)?;
        let mut list = AccessList::clone(&self.access());
        let removed = hashes.iter().filter(|hash| list.remove(hash)).count();
        let old_text = self.access_file.text()?;
        let gone: HashSet<&InfoHash> = hashes.iter().collect();
        let text = text::without(&old_text, parse_hash, |hash| gone.contains(hash));
        let file = self.new_access_file(&old_text, &text)?;
        self.commit_access(file, list, &Edit::Remove(&hashes), program)?;
        Ok(self.access_now(&format!("{removed} removed, {} not listed", hashes.len() - removed)))
    }

    fn load_access(
        &self,
        name: &str,
        text: &str,
        program: Option<&mut Program<'_>>,
    ) -> anyhow::Result<String> {
        let list = AccessList::parse(self.access().mode(), text)
            .map_err(|bad| anyhow!("{name}:{}: {}", bad.line, bad.reason))?;
        let file = self.new_access_file(&self.access_file.text()?, text)?;
        self.commit_access(file, list, &Edit::Whole, program)?;
        Ok(self.access_now("loaded"))
    }

    fn clear_access(&self, program: Option<&mut Program<'_>>) -> anyhow::Result<String> {
        let old_text = self.access_file.text()?;
        let list = AccessList::new(self.access().mode());
        let text = text::without(&old_text, parse_hash, |_| true);
        let file = self.new_access_file(&old_text, &text)?;
        self.commit_access(file, list, &Edit::Whole, program)?;
        Ok(self.access_now("cleared"))
    }

    fn set_mode(&self, mode: AccessMode, program: Option<&mut Program<'_>>) -> anyhow::Result<String> {
        // A mode that needs the file must find one at the next start, so it comes first.
        let list_file =
            if self.access_file.exists() { None } else { Some(self.access_file.prepare("", &self.state)?) };
        let mode_file = self
            .state
            .new_access_mode(self.configured_mode, mode)
            .context("the mode wouldn't survive a restart: state directory")?;
        let mut list = AccessList::clone(&self.access());
        list.set_mode(mode.into());
        self.commit_access(list_file.into_iter().chain([mode_file]), list, &Edit::Mode, program)?;
        Ok(self.access_now(&format!("mode {mode}")))
    }

    fn access_now(&self, what: &str) -> String {
        let list = self.access();
        format!("{what}; {} listed, mode {}", count(list.len(), "torrent"), list.mode())
    }

    /// The file with another text, unless it has that.
    fn new_access_file(&self, old_text: &str, text: &str) -> anyhow::Result<Option<Replacement>> {
        let wanted = text != old_text || !self.access_file.exists();
        wanted.then(|| self.access_file.prepare(text, &self.state)).transpose()
    }

    fn commit_access(
        &self,
        files: impl IntoIterator<Item = Replacement>,
        list: AccessList,
        edit: &Edit<'_>,
        program: Option<&mut Program<'_>>,
    ) -> anyhow::Result<()> {
        let (old, block) = (self.access(), self.block());
        commit(
            program,
            files,
            [Switches::of(&old, &block), Switches::of(&list, &block)],
            |kernel| change_access(kernel, &list, edit),
            |kernel| change_access(kernel, &old, edit.back()),
        )?;
        self.shared.access.store(Arc::new(list));
        Ok(())
    }

    fn add_block(&self, networks: &[String], program: Option<&mut Program<'_>>) -> anyhow::Result<String> {
        let networks = parse_networks(networks)?;
        let old = self.block();
        let list: BlockList = old.networks().iter().chain(&networks).copied().collect();
        let added = list.len() - old.len();
        let old_text = self.block_file.text()?;
        let text = text::with(&old_text, parse_network, &networks, Network::to_string);
        let file = self.new_block_file(&old_text, &text)?;
        self.commit_block(file, list, program)?;
        Ok(self.block_now(&format!("{added} added, {} listed already", networks.len() - added)))
    }

    fn remove_block(&self, networks: &[String], program: Option<&mut Program<'_>>) -> anyhow::Result<String> {
        let gone: HashSet<Network> = parse_networks(networks)?.into_iter().collect();
        let old = self.block();
        let list: BlockList =
            old.networks().iter().filter(|network| !gone.contains(network)).copied().collect();
        let removed = old.len() - list.len();
        let old_text = self.block_file.text()?;
        let text = text::without(&old_text, parse_network, |network| gone.contains(network));
        let file = self.new_block_file(&old_text, &text)?;
        self.commit_block(file, list, program)?;
        Ok(self.block_now(&format!("{removed} removed, {} not listed", gone.len() - removed)))
    }

    fn load_block(
        &self,
        name: &str,
        text: &str,
        program: Option<&mut Program<'_>>,
    ) -> anyhow::Result<String> {
        let list = BlockList::parse(text).map_err(|bad| anyhow!("{name}:{}: {}", bad.line, bad.reason))?;
        let file = self.new_block_file(&self.block_file.text()?, text)?;
        self.commit_block(file, list, program)?;
        Ok(self.block_now("loaded"))
    }

    fn clear_block(&self, program: Option<&mut Program<'_>>) -> anyhow::Result<String> {
        let old_text = self.block_file.text()?;
        let text = text::without(&old_text, parse_network, |_| true);
        let file = self.new_block_file(&old_text, &text)?;
        self.commit_block(file, BlockList::default(), program)?;
        Ok(self.block_now("cleared"))
    }

    fn block_now(&self, what: &str) -> String {
        format!("{what}; {} blocked", count(self.block().len(), "network"))
    }

    /// As [`Lists::new_access_file`].
    fn new_block_file(&self, old_text: &str, text: &str) -> anyhow::Result<Option<Replacement>> {
        let wanted = text != old_text || !self.block_file.exists();
        wanted.then(|| self.block_file.prepare(text, &self.state)).transpose()
    }

    fn commit_block(
        &self,
        files: impl IntoIterator<Item = Replacement>,
        list: BlockList,
        program: Option<&mut Program<'_>>,
    ) -> anyhow::Result<()> {
        let (access, old) = (self.access(), self.block());
        commit(
            program,
            files,
            [Switches::of(&access, &old), Switches::of(&access, &list)],
            |kernel| replace_block(kernel, &list),
            |kernel| replace_block(kernel, &old),
        )?;
        self.shared.block.store(Arc::new(list));
        Ok(())
    }

    /// The access list in short.
    pub fn access_stats(&self) -> stats::AccessList {
        let list = self.access();
        stats::AccessList { mode: list.mode().into(), torrents: list.len() as u64 }
    }

    /// Networks in the block list.
    pub fn blocked_networks(&self) -> u64 {
        self.block().len() as u64
    }

    /// Whether any IPv4 and any IPv6 network is blocked.
    pub fn blocks_any(&self) -> (bool, bool) {
        let switches = self.switches();
        (switches.block4 != 0, switches.block6 != 0)
    }

    /// The mode as the XDP program knows it.
    pub fn kernel_mode(&self) -> u32 {
        self.switches().access_mode
    }

    fn switches(&self) -> Switches {
        Switches::of(&self.access(), &self.block())
    }
}

/// Changes the kernel, by `forth`, and then the files, or nothing: what is refused is taken back, by `back`. The switches are the old and the
/// new ones.
fn commit(
    mut program: Option<&mut Program<'_>>,
    files: impl IntoIterator<Item = Replacement>,
    [old, new]: [Switches; 2],
    forth: impl FnOnce(&mut Kernel) -> anyhow::Result<()>,
    back: impl Fn(&mut Kernel) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if let Some(program) = &mut program {
        program.change(new, forth, &back)?;
    }
    for file in files {
        let path = file.path().to_owned();
        let Err(error) = file.commit() else { continue };
        let error = anyhow::Error::new(error).context(format!("replacing {}", path.display()));
        let taken_back = match &mut program {
            Some(program) => program.change(old, &back, |_kernel| Ok(())),
            None => Ok(()),
        };
        return Err(match taken_back {
            Ok(()) => error,
            Err(second) => error.context(format!("the kernel keeps the change: {second:#}")),
        });
    }
    Ok(())
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

fn read_access(file: &ListFile, mode: Mode) -> anyhow::Result<AccessList> {
    let path = file.path();
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

fn read_block(file: &ListFile) -> anyhow::Result<BlockList> {
    let path = file.path();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.default => String::new(),
        Err(error) => {
            return Err(error).with_context(|| {
                format!("block list {}: create it, or set block_list.path to \"\"", path.display())
            });
        }
    };
    BlockList::parse(&text).map_err(|bad| anyhow!("{}:{}: {}", path.display(), bad.line, bad.reason))
}

/// A number with its noun.
fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn parse_hash(text: &str) -> Option<InfoHash> {
    parse_info_hash(text).ok()
}

fn parse_network(text: &str) -> Option<Network> {
    Network::parse(text).ok()
}

/// All hashes or the first error: nothing is changed for a part of them.
fn parse_hashes(hashes: &[String]) -> anyhow::Result<Vec<InfoHash>> {
    Ok(hashes.iter().map(|hash| parse_info_hash(hash)).collect::<Result<_, _>>()?)
}

/// All networks, each once, or the first error.
fn parse_networks(networks: &[String]) -> anyhow::Result<Vec<Network>> {
    let mut parsed = networks.iter().map(|network| Network::parse(network)).collect::<Result<Vec<_>, _>>()?;
    parsed.sort_unstable();
    parsed.dedup();
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    use tracker_common::settings::access_mode;

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
        match lists.answer(request, None).expect("it is allowed").1 {
            Answer::Now(response) => response,
            Answer::Later(response) => response(),
            Answer::Entries(entries) => Response::Entries(entries.collect()),
        }
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
        assert_eq!(ask(&lists, Request::AccessList), Response::Entries(vec![B.to_lowercase(), C.to_owned()]));
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

    fn block(networks: &[&str]) -> Vec<String> {
        networks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn blocked_network_is_in_the_set_and_in_the_file_and_survives_a_restart() {
        let fixture = Fixture::new(AccessMode::Off, None);
        let lists = fixture.lists();
        let networks = block(&["192.0.2.77/24", "2001:db8::1", "192.0.2.0/24"]);
        let response = ask(&lists, Request::BlockAdd { networks });
        assert_eq!(response, Response::Done("2 added, 0 listed already; 2 networks blocked".to_owned()));
        let path = fixture.config.state_directory.join("block-list.txt");
        let text = || fs::read_to_string(&path).expect("it was made");
        assert_eq!(text(), "192.0.2.0/24\n2001:db8::1\n");
        assert_eq!(lists.blocks_any(), (true, true));
        assert_eq!(fixture.lists().blocked_networks(), 2);

        fs::write(&path, format!("# mine\n{}", text())).expect("it can be written");
        let networks = block(&["2001:db8::1/128", "10.0.0.0/8"]);
        let response = ask(&lists, Request::BlockRemove { networks });
        assert_eq!(response, Response::Done("1 removed, 1 not listed; 1 network blocked".to_owned()));
        assert_eq!(text(), "# mine\n192.0.2.0/24\n");
        assert_eq!(ask(&lists, Request::BlockList), Response::Entries(block(&["192.0.2.0/24"])));
        ask(&lists, Request::BlockClear);
        assert_eq!((text().as_str(), ask(&lists, Request::BlockCount)), ("# mine\n", Response::Count(0)));
    }

    #[test]
    fn bad_network_is_quoted_and_changes_nothing() {
        let fixture = Fixture::new(AccessMode::Off, None);
        let lists = fixture.lists();
        ask(&lists, Request::BlockAdd { networks: block(&["192.0.2.0/24"]) });
        let bad = block(&["10.0.0.0/8", "10.0.0.0/33"]);
        let load = Request::BlockLoad { name: "new".to_owned(), text: "10.0.0.0/8\nhost\n".to_owned() };
        for (request, wanted) in [
            (Request::BlockAdd { networks: bad.clone() }, "\"10.0.0.0/33\""),
            (Request::BlockRemove { networks: bad }, "\"10.0.0.0/33\""),
            (load, "new:2: \"host\""),
        ] {
            let error = lists.answer(request, None).map(|_| ()).expect_err("it is bad").to_string();
            assert!(error.contains(wanted), "{error}");
            assert_eq!(ask(&lists, Request::BlockList), Response::Entries(block(&["192.0.2.0/24"])));
        }
    }

    #[test]
    fn missing_block_list_is_empty_at_its_default_path_and_an_error_at_a_configured_one() {
        let mut fixture = Fixture::new(AccessMode::Off, None);
        assert_eq!(fixture.lists().blocked_networks(), 0);
        fixture.config.block_list.path = fixture.directory.path().join("none");
        let error = fixture.load().map(|_| ()).expect_err("it is configured");
        assert!(format!("{error:#}").contains("create it"), "{error:#}");
    }
}
