//! The swarm table as the program reads it: segments that the daemon has mapped and writes with plain stores.
//!
//! Every look-up is inlined by the verifier: a bounds check, the segment's map, a bounds check, an address.

use core::ffi::c_void;
use core::sync::atomic::{Ordering, compiler_fence};

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::btf_maps::{Array, ArrayOfMaps};
use aya_ebpf::helpers::bpf_loop;
use aya_ebpf::macros::btf_map;
use tracker_common::siphash::SipKey;
use tracker_common::table::layout::{Index, SEGMENT_RECORDS, SEGMENT_SHIFT, WORDS, root};
use tracker_common::table::{Record, Step, TableMemory};

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

/// A record's eight words.
type Words = [u64; WORDS];

/// Part of the table, 512 KiB.
type Segment = Array<Words, { SEGMENT_RECORDS as usize }, MMAPABLE>;

/// The root record.
#[btf_map]
static TABLE: Array<Words, 1, MMAPABLE> = Array::new();

/// Torrents, lines and directories. The daemon sets the number of entries when it loads the program.
#[btf_map]
static RECORDS: ArrayOfMaps<Segment, 1> = ArrayOfMaps::new();

/// Buckets. The daemon sets the number of entries.
#[btf_map]
static BUCKETS: ArrayOfMaps<Segment, 1> = ArrayOfMaps::new();

/// The swarm table.
pub(crate) struct Table;

/// A record that the daemon may be writing.
#[derive(Clone, Copy)]
pub(crate) struct Shared(*const Words);

impl Record for Shared {
    #[inline(always)]
    fn word(self, index: usize) -> u64 {
        // SAFETY: the pointer comes from a look-up, and maps live as long as the program runs. Volatile: the daemon writes meanwhile, and
        // each word is loaded once, whole, where the read path says.
        unsafe { self.0.cast::<u64>().add(index % WORDS).read_volatile() }
    }
}

#[inline(always)]
fn find<const N: usize>(space: &ArrayOfMaps<Segment, N>, number: u32) -> Option<Shared> {
    let offset = number & (SEGMENT_RECORDS - 1);
    space.get_value_ptr_mut(number >> SEGMENT_SHIFT, &offset).map(|words| Shared(words.cast_const()))
}

impl TableMemory for Table {
    type Record = Shared;

    #[inline(always)]
    fn root(&self) -> (Index, SipKey) {
        // Always there; the verifier can't know.
        let Some(record) = TABLE.get_ptr(0).map(Shared) else {
            return (Index { first: 0, buckets: 0 }, SipKey { k0: 0, k1: 0 });
        };
        let key = SipKey { k0: record.word(root::KEY), k1: record.word(root::KEY + 1) };
        (Index::from_word(record.word(root::INDEX)), key)
    }

    #[inline(always)]
    fn bucket(&self, number: u32) -> Option<Shared> {
        find(&BUCKETS, number)
    }

    #[inline(always)]
    fn record(&self, number: u32) -> Option<Shared> {
        find(&RECORDS, number)
    }

    #[inline(always)]
    fn generation(&self) -> u64 {
        // The program isn't preempted: what it has begun to read is at rest until it ends.
        0
    }

    #[inline(always)]
    fn acquire(&self) {
        // x86 keeps loads in order; the compiler has to be told. (arm64 would need a barrier here, which BPF has only as an atomic
        // instruction.)
        compiler_fence(Ordering::SeqCst);
    }

    #[inline(always)]
    fn repeat<S: Step>(times: u32, step: &mut S) {
        // By the helper: the verifier follows a step once, not as often as it may be taken.
        // SAFETY: `one_step::<S>` takes the pointer for what it is, and `step` lives until the helper returns.
        unsafe { bpf_loop(times, one_step::<S> as *mut c_void, (&raw mut *step).cast(), 0) };
    }
}

unsafe extern "C" fn one_step<S: Step>(index: u64, step: *mut S) -> i64 {
    // SAFETY: called by `repeat` alone, which passes a valid pointer that nobody else uses meanwhile.
    let go_on = unsafe { (*step).step(index as u32) };
    !go_on as i64
}
