//! Which ports services have: what most packets are told by that are not for one.

use aya::maps::{Array, MapData, MapError};

/// `struct l4_ports` of `bpf/abi.h`: a bit for each port; bit 0: some service has all.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Ports {
    bits: [u32; 2048],
}

const _: () = assert!(size_of::<Ports>() == 65536 / 8);

// SAFETY: integers alone, without padding: any bytes make a value.
#[allow(unsafe_code)]
unsafe impl aya::Pod for Ports {}

/// From now on packets to the port (in host order; 0: to any) are looked at.
///
/// # Errors
/// The kernel's.
pub fn open(map: &mut Array<MapData, Ports>, port: u16) -> Result<(), MapError> {
    let mut ports = map.get(&0, 0)?;
    if ports.add(port) { map.set(0, ports, 0) } else { Ok(()) }
}

impl Ports {
    /// Whether it is new.
    fn add(&mut self, port: u16) -> bool {
        let Some(word) = self.bits.get_mut(usize::from(port >> 5)) else { return false };
        let before = std::mem::replace(word, *word | 1 << (port & 31));
        before != *word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_where_the_program_looks() {
        let mut ports = Ports { bits: [0; 2048] };
        assert!(ports.add(80) && ports.add(0) && ports.add(65535) && !ports.add(80));
        assert_eq!((ports.bits[0], ports.bits[2], ports.bits[2047]), (1, 1 << 16, 1 << 31));
    }
}
