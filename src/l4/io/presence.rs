//! Whether the program still stands where it was put: links can be detached by others (`bpftool link detach`), and the process that owns
//! one is not told.

#![allow(unsafe_code)]

use std::mem::size_of;

/// Of linux/bpf.h.
const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_TCX_INGRESS: u32 = 46;
/// More programs than anybody has at one interface.
const MOST: usize = 64;

/// The part of `union bpf_attr` that belongs to `BPF_PROG_QUERY`.
#[repr(C)]
#[derive(Default)]
struct Query {
    interface: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    program_ids: u64,
    programs: u32,
    _padding: u32,
    program_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

const _: () = assert!(size_of::<Query>() == 64);

/// Does the program with this id stand at the entrance of the interface? `None`: the kernel does not say (before Linux 6.6).
pub fn stands(program: u32, interface: u32) -> Option<bool> {
    let mut ids = [0u32; MOST];
    let mut query = Query {
        interface,
        attach_type: BPF_TCX_INGRESS,
        program_ids: ids.as_mut_ptr() as u64,
        programs: MOST as u32,
        ..Query::default()
    };
    // SAFETY: the pointer and size describe `query`, and the pointer in it leads to as many ids as it says; both outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut query, size_of::<Query>()) };
    let known = ids.get(..usize::try_from(query.programs).ok()?.min(MOST))?;
    (result == 0).then(|| known.contains(&program))
}
