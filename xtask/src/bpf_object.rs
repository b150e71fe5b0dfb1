//! What can be said about a BPF object without loading it: that it can't panic, what it calls, how much stack it takes, and how large it is.

use anyhow::{Context as _, Result, ensure};
use object::{
    Architecture, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionKind,
};

use crate::bpf_stack::{self, Chain};

/// Bytes of one BPF instruction.
pub(crate) const INSTRUCTION: usize = 8;

/// `goto -1`, what `loop {}` in a panic handler becomes when it is inlined.
const JUMP_TO_ITSELF: [u8; INSTRUCTION] = [0x05, 0, 0xff, 0xff, 0, 0, 0, 0];

/// See [`BpfObject::slow_calls`].
const SLOW: [&str; 5] = ["memset", "memcpy", "memmove", "memcmp", "bcmp"];

/// A parsed object file.
pub(crate) struct BpfObject<'data> {
    file: object::File<'data>,
}

impl<'data> BpfObject<'data> {
    pub(crate) fn parse(bytes: &'data [u8]) -> Result<Self> {
        let file = object::File::parse(bytes).context("not an object file")?;
        ensure!(file.architecture() == Architecture::Bpf, "an object for {:?}, not BPF", file.architecture());
        Ok(Self { file })
    }

    /// Everything that only a panic leads to: functions of `core::panicking` and the handler, defined or called,
    /// and loops that never end. Empty means that no input can make the program panic.
    pub(crate) fn panic_paths(&self) -> Vec<String> {
        let symbols = self.file.symbols().filter_map(|symbol| symbol.name().ok());
        let mut found: Vec<String> =
            symbols.chain(self.called()).filter(|name| is_of_panics(name)).map(str::to_owned).collect();
        for section in self.code() {
            let loops =
                section.data().is_ok_and(|code| code.as_chunks::<INSTRUCTION>().0.contains(&JUMP_TO_ITSELF));
            if loops {
                found.push(format!("an endless loop in section {}", section.name().unwrap_or("?")));
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// Functions of memory that are called: what LLVM makes of a copy or a comparison that is too long for it, or of zeros. Each goes byte
    /// by byte.
    pub(crate) fn slow_calls(&self) -> Vec<&str> {
        let mut found: Vec<_> = self.called().filter(|name| SLOW.contains(name)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The chain of calls that takes the most stack.
    pub(crate) fn deepest(&self) -> Result<Chain> {
        bpf_stack::deepest(&self.file)
    }

    /// Everything that code refers to.
    fn called(&self) -> impl Iterator<Item = &str> {
        self.code().flat_map(|section| section.relocations()).filter_map(|(_, relocation)| {
            match relocation.target() {
                RelocationTarget::Symbol(index) => self.file.symbol_by_index(index).ok()?.name().ok(),
                _ => None,
            }
        })
    }

    /// The sections with code and how many instructions each holds.
    pub(crate) fn summary(&self) -> String {
        let sections = self.code().filter(|section| section.size() > 0).map(|section| {
            let name = section.name().unwrap_or("?");
            format!("section {name}: {} instructions", section.size() / INSTRUCTION as u64)
        });
        sections.collect::<Vec<_>>().join(", ")
    }

    fn code(&self) -> impl Iterator<Item = object::Section<'data, '_>> {
        self.file.sections().filter(|section| section.kind() == SectionKind::Text)
    }
}

fn is_of_panics(symbol: &str) -> bool {
    // `core::panicking` in the old and the new mangling; the handler is called rust_begin_unwind in both.
    symbol.contains("4core9panicking")
        || (symbol.contains("4core") && symbol.contains("9panicking"))
        || symbol.contains("rust_begin_unwind")
}
