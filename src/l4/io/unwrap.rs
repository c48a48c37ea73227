//! For real servers in `forward tun`: the program that takes the outer header off, at the entrance of every Ethernet interface. It stays when
//! the process ends, until [`detach`].

use super::hook::ethernet;
use super::plane::{OBJECT, kernel, program, take};
use super::privilege;
use aya::EbpfLoader;
use aya::maps::Array;
use aya::programs::SchedClassifier;
use aya::programs::tc::{NlOptions, TcAttachOptions, TcAttachType, qdisc_add_clsact, qdisc_detach_program};

const UNWRAP: &str = "unwrap";

/// Where the program stands.
pub struct Attached {
    pub interfaces: Vec<String>,
    /// Those that got the queueing discipline `clsact` for it, which nobody had put there.
    pub prepared: Vec<String>,
}

/// Attaches it to interfaces that do not have it, and names all that have it now. `gue`: the UDP port at which packets come in GUE, too.
///
/// # Errors
/// A sentence that says what is missing.
pub fn attach(gue: Option<u16>) -> Result<Attached, String> {
    privilege::check()?;
    let mut object = EbpfLoader::new()
        .map_max_entries("flows", 1)
        .map_max_entries("templates", 1)
        .load(OBJECT)
        .map_err(|e| kernel("cannot make the maps", &e))?;
    // The program needs it while it is loaded.
    let mut ports: Array<_, u32> = take(&mut object, "unwrapped")?;
    if let Some(port) = gue {
        ports.set(0, u32::from(port.to_be()), 0).map_err(|e| kernel("cannot write the maps", &e))?;
    }
    let program = program::<SchedClassifier>(&mut object, UNWRAP)?;
    program.load().map_err(|e| kernel("the kernel refuses the program that unwraps packets", &e))?;
    let (interfaces, mut prepared) = (ethernet(), Vec::new());
    for name in &interfaces {
        // If it is there already, for us or for others, this fails, and that is fine.
        if qdisc_add_clsact(name).is_ok() {
            prepared.push(name.clone());
        }
        let _ = qdisc_detach_program(name, TcAttachType::Ingress, UNWRAP);
        let failed = |e| kernel(&format!("cannot attach to interface '{name}'"), &e);
        let options = TcAttachOptions::Netlink(NlOptions::default());
        let id = program.attach_with_options(name, TcAttachType::Ingress, options).map_err(failed)?;
        // The filter is to outlive the process: the link that would detach it is not dropped.
        std::mem::forget(program.take_link(id).map_err(failed)?);
    }
    Ok(Attached { interfaces, prepared })
}

/// Takes it off wherever it is; names where it was.
#[must_use]
pub fn detach() -> Vec<String> {
    ethernet()
        .into_iter()
        .filter(|name| qdisc_detach_program(name, TcAttachType::Ingress, UNWRAP).is_ok())
        .collect()
}
