//! Adverts on an interface that are none of its routers': another id. They are counted, and wake nobody: they wait in a socket that
//! nobody listens to, which has room for one or two, and the kernel counts those it has no room for.

use super::link::Link;
use super::socket::{filtered, op, take};
use crate::net::raw;
use libc::{BPF_ABS, BPF_B, BPF_IND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_LDX, BPF_MSH};
use socket2::{SockFilter, Socket};
use std::cell::Cell;
use std::io;
use std::rc::Rc;

pub struct Strays {
    socket: Socket,
    /// What the kernel had counted when they were counted last.
    lost: Cell<u32>,
    total: Rc<Cell<u64>>,
}

impl Strays {
    /// Adds to `total` those with none of these `vrids`.
    ///
    /// # Errors
    /// The system's: no privilege, no such interface.
    pub fn open(link: &Link, six: bool, vrids: &[u8], total: &Rc<Cell<u64>>) -> io::Result<Self> {
        let socket = filtered(link, six, &none_of(vrids, six))?;
        // Less than the least, which is what the kernel makes of it.
        socket.set_recv_buffer_size(0)?;
        let mut strays = Self { socket, lost: Cell::new(0), total: Rc::default() };
        // Whatever came before there was a filter.
        strays.count();
        strays.total = Rc::clone(total);
        Ok(strays)
    }

    /// Brings the total up to now; also when the interface goes.
    pub fn count(&self) {
        let lost = raw::lost_packets(&self.socket).unwrap_or(self.lost.get());
        let mut seen = u64::from(lost.wrapping_sub(self.lost.replace(lost)));
        while rustix::io::read(&self.socket, &mut [0; 1]).is_ok() {
            seen += 1;
        }
        self.total.set(self.total.get() + seen);
    }
}

impl Drop for Strays {
    fn drop(&mut self) {
        self.count();
    }
}

fn none_of(vrids: &[u8], six: bool) -> Vec<SockFilter> {
    let mut program = if six {
        vec![op(BPF_LD | BPF_B | BPF_ABS, 0, 1)]
    } else {
        vec![op(BPF_LDX | BPF_B | BPF_MSH, 0, 0), op(BPF_LD | BPF_B | BPF_IND, 0, 1)]
    };
    // To the last instruction, over those that are left and the one before it.
    let jumps = (1..=u8::MAX).take(vrids.len()).rev();
    program.extend(
        vrids.iter().zip(jumps).map(|(vrid, jump)| {
            SockFilter::new((BPF_JMP | BPF_JEQ | BPF_K) as u16, jump, 0, u32::from(*vrid))
        }),
    );
    // A byte is enough to be counted.
    program.extend([take(1), take(0)]);
    program
}
