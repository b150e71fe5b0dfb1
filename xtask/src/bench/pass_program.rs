//! The smallest XDP program, `return XDP_PASS`, as an object file that `ip link` loads.
//!
//! A veth drops what the other end sends by XDP_TX unless it has an XDP program itself, so the client's end gets this one.
//! Two instructions don't need a compiler.

use anyhow::{Context as _, Result};
use object::write::{Object, StandardSegment, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

/// The section's name, which is also how libbpf knows the program's type.
pub(crate) const SECTION: &str = "xdp";

/// `r0 = 2` (XDP_PASS), `exit`.
const CODE: [u8; 16] = [0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

pub(crate) fn object() -> Result<Vec<u8>> {
    with_code(&CODE, &[])
}

/// An object with this code in the section, and symbols of these names on top of the program's.
fn with_code(code: &[u8], symbols: &[&str]) -> Result<Vec<u8>> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let segment = object.segment_name(StandardSegment::Text).to_vec();
    let section = object.add_section(segment, SECTION.into(), SectionKind::Text);
    let offset = object.append_section_data(section, code, 8);
    for name in [&["pass"], symbols].concat() {
        object.add_symbol(Symbol {
            name: name.into(),
            value: offset,
            size: code.len() as u64,
            kind: SymbolKind::Text,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
    }
    object.write().context("cannot write the pass program's object")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf_object::BpfObject;

    #[test]
    fn pass_program_is_an_object_that_cannot_panic() {
        let bytes = object().unwrap();
        let object = BpfObject::parse(&bytes).unwrap();
        assert_eq!(object.panic_paths(), Vec::<String>::new());
        assert_eq!(object.summary(), "section xdp: 2 instructions");
    }

    #[test]
    fn functions_that_only_panics_need_are_found() {
        for name in
            ["_RNvNtCsiEHDzxyzcHT_4core9panicking9panic_fmt", "_ZN4core9panicking5panic17h0123456789abcdefE"]
        {
            let bytes = with_code(&CODE, &[name]).unwrap();
            assert_eq!(BpfObject::parse(&bytes).unwrap().panic_paths(), [name]);
        }
    }

    #[test]
    fn endless_loop_is_found() {
        let bytes = with_code(&[0x05, 0, 0xff, 0xff, 0, 0, 0, 0], &[]).unwrap();
        assert_eq!(BpfObject::parse(&bytes).unwrap().panic_paths(), ["an endless loop in section xdp"]);
    }

    #[test]
    fn other_files_are_refused() {
        assert!(BpfObject::parse(b"not an object").is_err());
        assert!(BpfObject::parse(&std::fs::read("/proc/self/exe").unwrap()).is_err());
    }
}
