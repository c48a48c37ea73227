//! Reading a hash map in chunks, by the kernel's batch operation: thousands of entries for one call. And entries of arrays that each CPU has
//! for itself, for processes that can no longer see how many CPUs there are.

#![allow(unsafe_code)]

use aya::Pod;
use aya::maps::MapData;
use aya::util::nr_cpus;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// `BPF_MAP_LOOKUP_ELEM`, `BPF_MAP_UPDATE_ELEM`, `BPF_MAP_LOOKUP_BATCH` of linux/bpf.h.
const LOOKUP: libc::c_long = 1;
const UPDATE: libc::c_long = 2;
const LOOKUP_BATCH: libc::c_long = 24;

/// The `batch` member of the kernel's `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Its member for single elements.
#[repr(C)]
struct Element {
    map: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Where a walk over a hash map stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position {
    /// The kernel's own: a bucket's number.
    bucket: Option<u32>,
    pub is_end: bool,
}

impl Position {
    /// A walk that goes on where another stood.
    pub fn at(bucket: Option<u32>) -> Self {
        Self { bucket, is_end: false }
    }

    /// Where it stands; `None` at the end.
    pub fn bucket(&self) -> Option<u32> {
        self.bucket.filter(|_| !self.is_end)
    }
}

/// Entries of `map` from `position` on, which moves: at most as many as the buffers hold. Both are resized to what came.
///
/// # Errors
/// The kernel's; `ENOSPC`: one bucket has more entries than the buffers hold.
pub fn read<K: Pod + Default, V: Pod + Default>(
    map: impl AsFd,
    position: &mut Position,
    keys: &mut Vec<K>,
    values: &mut Vec<V>,
    most: usize,
) -> io::Result<()> {
    keys.resize(most, K::default());
    values.resize(most, V::default());
    let mut next = 0u32;
    let mut attributes = Attributes {
        in_batch: position.bucket.as_ref().map_or(0, |at| std::ptr::from_ref(at) as u64),
        out_batch: std::ptr::from_mut(&mut next) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: u32::try_from(most).unwrap_or(u32::MAX),
        map: u32::try_from(map.as_fd().as_raw_fd()).unwrap_or(u32::MAX),
        ..Attributes::default()
    };
    let result = call(map.as_fd(), &mut attributes);
    let count = attributes.count as usize;
    position.is_end = match result {
        Ok(()) => false,
        // The walk is over; what came with it counts.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
        Err(error) => return Err(error),
    };
    position.bucket = Some(next);
    keys.truncate(count);
    values.truncate(count);
    Ok(())
}

/// One entry of a hash map.
pub fn one<K: Pod, V: Pod + Default>(map: impl AsFd, key: &K) -> Option<V> {
    let mut value = V::default();
    element(LOOKUP, map.as_fd(), key, std::slice::from_mut(&mut value)).ok()?;
    Some(value)
}

/// An array of which each of `cpus` CPUs has its own entries.
pub struct PerCpu<V> {
    map: MapData,
    cpus: usize,
    value: PhantomData<V>,
}

impl<V: Pod + Default> PerCpu<V> {
    /// The kernel leaves room between values that are not of whole words.
    const WHOLE: () = assert!(size_of::<V>().is_multiple_of(8));

    /// # Errors
    /// The number of CPUs cannot be read.
    pub fn new(map: MapData) -> io::Result<Self> {
        let () = Self::WHOLE;
        Ok(Self { map, cpus: nr_cpus().map_err(|(_, error)| error)?, value: PhantomData })
    }

    /// The CPUs' values of an entry; none if it cannot be read.
    pub fn get(&self, at: u32) -> Vec<V> {
        let mut values = vec![V::default(); self.cpus];
        if self.ask(LOOKUP, at, &mut values).is_err() {
            values.clear();
        }
        values
    }

    /// # Errors
    /// The kernel's.
    pub fn clear(&mut self, at: u32) -> io::Result<()> {
        self.ask(UPDATE, at, &mut vec![V::default(); self.cpus])
    }

    fn ask(&self, command: libc::c_long, at: u32, values: &mut [V]) -> io::Result<()> {
        element(command, self.map.fd().as_fd(), &at, values)
    }
}

/// Reads or writes one entry: `values` are all that the kernel has of it, one for each CPU where each has its own.
fn element<K: Pod, V: Pod>(
    command: libc::c_long,
    map: BorrowedFd,
    key: &K,
    values: &mut [V],
) -> io::Result<()> {
    let attributes = Element {
        map: u32::try_from(map.as_raw_fd()).unwrap_or(u32::MAX),
        pad: 0,
        key: std::ptr::from_ref(key) as u64,
        value: values.as_mut_ptr() as u64,
        flags: 0,
    };
    // SAFETY: the pointers are to a live key and to live values of the map's own types, as many as the kernel has of an entry and of whole words
    // where that is more than one (any bytes make one); the kernel reads or writes no more than those, and the descriptor is open while it is
    // borrowed.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(&attributes), size_of::<Element>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn call(_map: BorrowedFd, attributes: &mut Attributes) -> io::Result<()> {
    // SAFETY: the pointers in `attributes` are to live buffers of `count` keys and values of the map's own types (any bytes make a value of
    // them), and to two u32 for the position; the kernel writes nothing beyond them, and the descriptor is open while it is borrowed.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, LOOKUP_BATCH, std::ptr::from_mut(attributes), size_of::<Attributes>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
