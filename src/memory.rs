//! How much of the heap this thread has taken and given back: what a piece of work holds afterwards is the difference.
//!
//! It costs an addition to a cell of the thread's own for each allocation. What C libraries allocate (keys and certificates in
//! aws-lc) does not come by here, nor do the kernel's buffers.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

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
}
