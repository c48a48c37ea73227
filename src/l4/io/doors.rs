//! Which ports services have, and whose they are: what most packets are told by that are not for one, and what spares the others a search.

use crate::l4::abi::{Address, AddressKey};
use crate::l4::write::ServiceId;
use aya::maps::{Array, MapData, MapError};

/// `struct l4_door` of `bpf/abi.h`: what packets to a port find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Door {
    address: Address,
    service: u32,
    protocol: u8,
    state: u8,
    pad: u16,
}

const _: () = assert!(size_of::<Door>() == 24);

// SAFETY: integers and an array of them, and no padding (the size above is the sum of the fields): any bytes make a value.
#[allow(unsafe_code)]
unsafe impl aya::Pod for Door {}

/// `enum l4_door_state`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DoorState {
    Closed = 0,
    /// The service is looked for.
    Open = 1,
    /// It is the one at the door.
    One = 2,
}

pub(super) type Doors = Array<MapData, Door>;

/// What is to become of a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It says who is behind it.
    Named,
    /// Packets look for whom they are for, there are several.
    Open,
}

/// Before an address is written: from now on packets to its port are looked at.
///
/// # Errors
/// The kernel's.
pub(super) fn open(doors: &mut Doors, key: &AddressKey) -> Result<Next, MapError> {
    let (at, now) = (port(key), doors.get(&port(key), 0)?);
    let next = after(&now, key);
    let state = DoorState::Open as u8;
    // It is of use only when all of it is there: the rest comes first.
    let door = if next == Next::Named { door(key, state) } else { Door { state, ..now } };
    doors.set(at, door, 0)?;
    Ok(next)
}

/// The address is written: the door may say so.
///
/// # Errors
/// The kernel's.
pub(super) fn name(
    doors: &mut Doors,
    next: Next,
    key: &AddressKey,
    service: ServiceId,
) -> Result<(), MapError> {
    if next == Next::Open {
        return Ok(());
    }
    let named = Door { service: service.0, ..door(key, DoorState::Open as u8) };
    doors.set(port(key), named, 0)?;
    doors.set(port(key), Door { state: DoorState::One as u8, ..named }, 0)
}

/// The address is about to go. Who has the port beside it is not known here, so that packets look for it from now on.
///
/// # Errors
/// The kernel's.
pub(super) fn unname(doors: &mut Doors, key: &AddressKey) -> Result<(), MapError> {
    let now = doors.get(&port(key), 0)?;
    if now.state != DoorState::One as u8 || !is_of(&now, key) {
        return Ok(());
    }
    doors.set(port(key), Door { state: DoorState::Open as u8, ..now }, 0)
}

/// What a door becomes by an address more. Port 0 is every port's: its packets come through the others' doors.
fn after(now: &Door, key: &AddressKey) -> Next {
    let is_first =
        now.state == DoorState::Closed as u8 || now.state == DoorState::One as u8 && is_of(now, key);
    if key.port != 0 && is_first { Next::Named } else { Next::Open }
}

fn port(key: &AddressKey) -> u32 {
    u32::from(u16::from_be(key.port))
}

fn door(key: &AddressKey, state: u8) -> Door {
    Door { address: key.address, service: 0, protocol: key.protocol, state, pad: 0 }
}

fn is_of(door: &Door, key: &AddressKey) -> bool {
    door.address == key.address && door.protocol == key.protocol
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_names_the_only_one_behind_it() {
        let key = |address: &str, protocol| AddressKey::new(address.parse().unwrap(), protocol);
        let web = key("192.0.2.1:80", 6);
        let named = Door { state: DoorState::One as u8, ..door(&web, 0) };
        let open = Door { state: DoorState::Open as u8, ..named };
        for (now, next, expected) in [
            (Door::default(), web, Next::Named),
            (Door::default(), key("192.0.2.1:0", 6), Next::Open),
            // The same again, of another service perhaps.
            (named, web, Next::Named),
            (named, key("192.0.2.1:80", 17), Next::Open),
            (named, key("192.0.2.2:80", 6), Next::Open),
            // Once several, always several.
            (open, web, Next::Open),
        ] {
            assert_eq!(after(&now, &next), expected, "{now:?} {next:?}");
        }
    }
}
