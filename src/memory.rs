//! How much of the heap this thread has taken and given back: what a piece of work holds afterwards is the difference.
//!
//! It costs an addition to a cell of the thread's own for each allocation. What C libraries allocate (keys and certificates in
//! aws-lc) does not come by here, nor do the kernel's buffers.

#![allow(unsafe_code)]

use libmimalloc_sys as mi;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ffi::c_void;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// Bytes that this thread has allocated, less those it has freed, whoever allocated them. 0 where the executable does not count.
#[must_use]
#[inline]
pub fn held() -> isize {
    HELD.get()
}

/// Does a piece of work, and tells how many bytes more are there after it.
pub fn measure<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = held();
    let result = work();
    (result, usize::try_from(held() - before).unwrap_or(0))
}

/// An allocator that counts for [`held`].
#[derive(Debug)]
pub struct Counting<A>(pub A);

#[inline]
fn count(bytes: usize, sign: isize) {
    // A layout is never larger than isize::MAX.
    HELD.set(HELD.get().wrapping_add(sign * bytes as isize));
}

// SAFETY: every call is handed on as it came to an allocator that keeps the contract. Counting does not allocate, and cannot unwind: the
// cell is constant from the beginning and has no destructor, so that it can be used as long as its thread lives.
//
// Not inlined: the counting would stand at every place that allocates or frees, most of them in code that is seldom run and lies in
// between code that is.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    #[inline(never)]
    // SAFETY: the caller's promises are those of `A::alloc`.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as promised by the caller.
        unsafe { self.0.alloc(layout) }
    }

    #[inline(never)]
    // SAFETY: the caller's promises are those of `A::dealloc`.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: as promised by the caller.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    #[inline(never)]
    // SAFETY: the caller's promises are those of `A::alloc_zeroed`.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as promised by the caller.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline(never)]
    // SAFETY: the caller's promises are those of `A::realloc`.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: as promised by the caller.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}

/// mimalloc, asked for an alignment only where it has none like it by itself. Asked for one, it takes for most blocks of more
/// than a kilobyte a larger one, and a longer way.
#[derive(Debug)]
pub struct Mimalloc;

impl Mimalloc {
    /// Every block is aligned at 8 bytes, and one of 16 bytes or more at 16 (`MI_MAX_ALIGN_SIZE`).
    fn aligns_by_itself(layout: Layout, size: usize) -> bool {
        layout.align() <= 8 || layout.align() == 16 && size >= 16
    }
}

// SAFETY: mimalloc keeps the contract of an allocator: what it answers has the size and, by the rule above, the alignment of the layout,
// belongs to nobody else until it is freed, and is null where there is no memory. It does not unwind.
unsafe impl GlobalAlloc for Mimalloc {
    #[inline]
    // SAFETY: any size may be asked for; the alignment of a layout is a power of two.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = layout.size();
        let block = if Self::aligns_by_itself(layout, size) {
            // SAFETY: as above.
            unsafe { mi::mi_malloc(size) }
        } else {
            // SAFETY: as above.
            unsafe { mi::mi_malloc_aligned(size, layout.align()) }
        };
        block.cast()
    }

    #[inline]
    // SAFETY: as for `alloc`.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let size = layout.size();
        let block = if Self::aligns_by_itself(layout, size) {
            // SAFETY: as for `alloc`.
            unsafe { mi::mi_zalloc(size) }
        } else {
            // SAFETY: as for `alloc`.
            unsafe { mi::mi_zalloc_aligned(size, layout.align()) }
        };
        block.cast()
    }

    #[inline]
    // SAFETY: the caller promises that the block came from here.
    unsafe fn dealloc(&self, pointer: *mut u8, _: Layout) {
        // SAFETY: as promised by the caller; either way of allocating is freed like this.
        unsafe { mi::mi_free(pointer.cast::<c_void>()) }
    }

    #[inline]
    // SAFETY: the caller promises that the block came from here, with this layout.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let pointer = pointer.cast::<c_void>();
        // A block that is large enough stays as it is: it has to have been aligned by itself as well.
        let block = if Self::aligns_by_itself(layout, size) && Self::aligns_by_itself(layout, layout.size()) {
            // SAFETY: as promised by the caller.
            unsafe { mi::mi_realloc(pointer, size) }
        } else {
            // SAFETY: as promised by the caller.
            unsafe { mi::mi_realloc_aligned(pointer, size, layout.align()) }
        };
        block.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::System;

    #[test]
    fn counts_what_is_held() {
        let allocator = Counting(System);
        let layout = Layout::from_size_align(100, 8).unwrap();
        let more = Layout::from_size_align(300, 8).unwrap();
        let (pointer, grown) = measure(|| {
            // SAFETY: the layout is not empty; the block is grown by the layout it was made with.
            unsafe { allocator.realloc(allocator.alloc(layout), layout, 300) }
        });
        assert_eq!(grown, 300);
        let before = held();
        // SAFETY: the block was grown to this layout, and nobody uses it any more.
        unsafe { allocator.dealloc(pointer, more) };
        assert_eq!(held() - before, -300);
        let (_, nothing) = measure(|| ());
        assert_eq!(nothing, 0);
    }

    #[test]
    fn blocks_are_aligned_and_keep_what_is_in_them() {
        let sizes =
            [1, 7, 8, 15, 16, 17, 24, 100, 1000, 1025, 1500, 3000, 5000, 40_000, 1_000_000, 20_000_000];
        for (align, size) in [1, 2, 4, 8, 16, 32, 64, 128, 4096].iter().flat_map(|a| sizes.map(|s| (*a, s))) {
            let layout = Layout::from_size_align(size, align).unwrap();
            for grown in [size, size / 2 + 1, size * 3] {
                // SAFETY: the sizes are not 0; the block is filled, grown and freed by the layouts it has.
                unsafe {
                    let block = Mimalloc.alloc(layout);
                    assert!(!block.is_null() && block.addr().is_multiple_of(align), "{size} at {align}");
                    block.write_bytes(0x5a, size);
                    let block = Mimalloc.realloc(block, layout, grown);
                    assert!(!block.is_null() && block.addr().is_multiple_of(align), "{grown} at {align}");
                    let kept = std::slice::from_raw_parts(block, size.min(grown));
                    assert!(kept.iter().all(|b| *b == 0x5a), "{size} to {grown} at {align}");
                    Mimalloc.dealloc(block, Layout::from_size_align(grown, align).unwrap());
                    let block = Mimalloc.alloc_zeroed(layout);
                    assert!(!block.is_null() && block.addr().is_multiple_of(align), "{size} at {align}");
                    assert!(std::slice::from_raw_parts(block, size).iter().all(|b| *b == 0));
                    Mimalloc.dealloc(block, layout);
                }
            }
        }
    }
}
