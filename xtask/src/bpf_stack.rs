//! How much stack a program takes, as the verifiers of Linux 6.1 to 6.7 count it: later ones round each function's share to 16 bytes and let
//! programs in that those refuse.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use object::{
    File, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionIndex, SectionKind,
    SymbolKind, SymbolSection,
};

use crate::bpf_object::INSTRUCTION;

/// Bytes that all functions of a chain of calls have together (`MAX_BPF_STACK`).
pub(crate) const STACK: u32 = 512;

/// Each function's share is rounded up to this.
const SHARE: u32 = 32;

/// The frame pointer, from which the stack grows down.
const R10: u8 = 10;

/// A function's place: its section and its first instruction's number there.
type Place = (usize, i64);

/// What there is to know of a function.
#[derive(Debug, Default)]
struct Function {
    name: String,
    /// Bytes below its frame pointer.
    depth: u32,
    calls: Vec<Place>,
}

/// A chain of calls: its bytes, and its functions with their own.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) bytes: u32,
    pub(crate) functions: Vec<(String, u32)>,
}

/// The chain of calls that takes most.
///
/// # Errors
///
/// The object isn't whole.
pub(crate) fn deepest(file: &File<'_>) -> Result<Chain> {
    let functions = functions(file)?;
    Ok(functions
        .keys()
        .map(|place| chain(&functions, *place, 0))
        .max_by_key(|chain| chain.bytes)
        .unwrap_or_default())
}

/// More than the kernel follows; a BPF program has no recursion.
const MAX_CALLS: u32 = 16;

fn chain(functions: &BTreeMap<Place, Function>, place: Place, calls: u32) -> Chain {
    let Some(function) = functions.get(&place).filter(|_| calls < MAX_CALLS) else { return Chain::default() };
    let below = function.calls.iter().map(|place| chain(functions, *place, calls + 1));
    let below = below.max_by_key(|chain| chain.bytes).unwrap_or_default();
    let own = function.depth.max(1).next_multiple_of(SHARE);
    let functions = std::iter::once((function.name.clone(), own)).chain(below.functions).collect();
    Chain { bytes: own + below.bytes, functions }
}

fn functions(file: &File<'_>) -> Result<BTreeMap<Place, Function>> {
    let mut functions = BTreeMap::new();
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        let code = section.data().context("a section of code")?;
        let referred = referred(file, &section);
        let symbols = file.symbols().filter(|symbol| {
            symbol.kind() == SymbolKind::Text && symbol.section() == SymbolSection::Section(section.index())
        });
        for symbol in symbols {
            let (begin, end) = (symbol.address() as usize, (symbol.address() + symbol.size()) as usize);
            let code = code.get(begin..end).context("a function behind its section's end")?;
            let name = symbol.name().context("a function's name")?.to_owned();
            let begin = (begin / INSTRUCTION) as i64;
            let (depth, calls) = decoded(code, (section.index().0, begin), &referred);
            functions.insert((section.index().0, begin), Function { name, depth, calls });
        }
    }
    Ok(functions)
}

/// What an instruction's address part is completed by, by the instruction's number: a symbol's section and address.
type Referred = HashMap<i64, (SectionIndex, u64)>;

fn referred(file: &File<'_>, section: &object::Section<'_, '_>) -> Referred {
    let relocations = section.relocations().filter_map(|(offset, relocation)| {
        let RelocationTarget::Symbol(symbol) = relocation.target() else { return None };
        let symbol = file.symbol_by_index(symbol).ok()?;
        let SymbolSection::Section(section) = symbol.section() else { return None };
        let is_code = file.section_by_index(section).is_ok_and(|section| section.kind() == SectionKind::Text);
        is_code.then_some((offset as i64 / INSTRUCTION as i64, (section, symbol.address())))
    });
    relocations.collect()
}

/// Bytes of stack that a function's instructions take, and whom they call.
fn decoded(code: &[u8], (section, begin): Place, referred: &Referred) -> (u32, Vec<Place>) {
    let (mut depth, mut calls) = (0, Vec::new());
    let (instructions, _) = code.as_chunks::<INSTRUCTION>();
    for (number, instruction) in (begin..).zip(instructions) {
        let &[operation, registers, o0, o1, i0, i1, i2, i3] = instruction;
        let (to, from) = (registers & 15, registers >> 4);
        let (offset, immediate) = (i16::from_le_bytes([o0, o1]), i32::from_le_bytes([i0, i1, i2, i3]));
        let distance = i64::from(immediate);
        match operation {
            // Loads, and stores of a value and of a register.
            _ if operation & 7 == 1 && from == R10 => depth = depth.max(-i32::from(offset)),
            _ if matches!(operation & 7, 2 | 3) && to == R10 => depth = depth.max(-i32::from(offset)),
            // An address on the stack is the frame pointer's copy less a number; a few that are less something else do no harm.
            0x07 if (-(STACK as i32)..0).contains(&immediate) => depth = depth.max(-immediate),
            // A call of a function of the program.
            0x85 if from == 1 => calls.push(match referred.get(&number) {
                Some((section, address)) => (section.0, *address as i64 / INSTRUCTION as i64 + distance + 1),
                None => (section, number + distance + 1),
            }),
            // The address of a function, which a helper is going to call.
            0x18 => {
                if let Some((section, address)) = referred.get(&number) {
                    calls.push((section.0, (*address as i64 + distance) / INSTRUCTION as i64));
                }
            }
            _ => {}
        }
    }
    (depth.unsigned_abs(), calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(operation: u8, to: u8, from: u8, offset: i16, immediate: i32) -> [u8; INSTRUCTION] {
        let ([o0, o1], [i0, i1, i2, i3]) = (offset.to_le_bytes(), immediate.to_le_bytes());
        [operation, from << 4 | to, o0, o1, i0, i1, i2, i3]
    }

    #[test]
    fn stack_and_calls_are_seen_in_code() {
        let code = [
            instruction(0x7b, R10, 1, -24, 0), // *(u64 *)(r10 - 24) = r1
            instruction(0xbf, 2, R10, 0, 0),   // r2 = r10
            instruction(0x07, 2, 0, 0, -40),   // r2 += -40
            instruction(0x85, 0, 0, 0, 200),   // a helper
            instruction(0x85, 0, 1, 0, 3),     // the function four further
            instruction(0x85, 0, 1, 0, -1),    // the one that the relocation names
            instruction(0x18, 3, 4, 0, 16),    // an address
            instruction(0, 0, 0, 0, 0),
            instruction(0x61, 1, R10, -4, 0),
        ];
        let referred = Referred::from([(105, (SectionIndex(7), 80)), (106, (SectionIndex(7), 0))]);
        let (depth, calls) = decoded(code.as_flattened(), (3, 100), &referred);
        assert_eq!((depth, calls), (40, vec![(3, 108), (7, 10), (7, 2)]));
    }

    #[test]
    fn longest_chain_is_found_with_rounded_shares() {
        let function = |name: &str, depth, calls: &[i64]| Function {
            name: name.to_owned(),
            depth,
            calls: calls.iter().map(|number| (0, *number)).collect(),
        };
        let functions = BTreeMap::from([
            ((0, 1), function("main", 33, &[2, 3, 4])),
            ((0, 2), function("deep", 200, &[])),
            ((0, 3), function("short", 0, &[4])),
            ((0, 4), function("long", 193, &[])),
        ]);
        let deepest = chain(&functions, (0, 1), 0);
        let names: Vec<_> = deepest.functions.iter().map(|(name, own)| (name.as_str(), *own)).collect();
        assert_eq!(names, [("main", 64), ("short", 32), ("long", 224)]);
        assert_eq!(deepest.bytes, 320);
    }
}
