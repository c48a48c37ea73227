//! `weir l4 server-setup`: a real server takes packets for a virtual address, and does not answer for it in the segment. What was there before
//! is kept in a file under /run, for `--undo`.

use super::{options, probe};
use crate::l4::io::unwrap;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// The host answers ARP for addresses of the interface asked alone, and announces none of another one.
const SETTINGS: [(&str, &str); 2] =
    [("net/ipv4/conf/all/arp_ignore", "1"), ("net/ipv4/conf/all/arp_announce", "2")];

pub fn run(words: &[String]) -> Result<ExitCode, String> {
    let (mut vips, mut tunnel, mut undo, mut gue) = (Vec::new(), false, false, None);
    for (name, value) in options(words, &["--vip", "--mode", "--gue-port"], &["--undo"])? {
        match (name, value) {
            ("--undo", _) => undo = true,
            ("--vip", list) => {
                for text in list.split(',') {
                    let vip: IpAddr =
                        text.parse().map_err(|_| format!("'--vip' : '{text}' is not an IP address"))?;
                    vips.push(vip);
                }
            }
            ("--gue-port", port) => {
                let port: Option<u16> = port.parse().ok().filter(|port| *port > 0);
                gue = Some(port.ok_or_else(|| format!("'--gue-port' : '{value}' is not a port"))?);
            }
            (_, "dr") => tunnel = false,
            (_, "tun") => tunnel = true,
            _ => {
                return Err(format!(
                    "'--mode' : '{value}' is neither dr nor tun; with nat and fullnat a real server needs no virtual address"
                ));
            }
        }
    }
    let mut before = Before::read()?;
    if undo {
        return take_back(&mut before, &vips).map(|()| ExitCode::SUCCESS);
    }
    if vips.is_empty() {
        return Err("'server-setup' needs --vip <ip>".to_owned());
    }
    if gue.is_some() && !tunnel {
        return Err("'--gue-port' goes with --mode tun".to_owned());
    }
    // ARP first: the address must never be answered for.
    for (setting, value) in SETTINGS {
        before.set(setting, value)?;
    }
    for vip in vips {
        before.add(vip)?;
    }
    if tunnel {
        let attached = unwrap::attach(gue)?;
        let also = gue.map_or_else(String::new, |port| format!(", those in GUE if they come to port {port}"));
        println!("packets in tunnels are unwrapped at {}{also}", attached.interfaces.join(", "));
        before.unwraps = true;
        before.prepared.extend(attached.prepared);
        before.write()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn take_back(before: &mut Before, vips: &[IpAddr]) -> Result<(), String> {
    let chosen = |vip: &IpAddr| vips.is_empty() || vips.contains(vip);
    for vip in before.addresses.iter().copied().filter(chosen).collect::<Vec<_>>() {
        if holds(vip) {
            probe::ip(&["address", "del", &with_prefix(vip), "dev", "lo"])?;
        }
        println!("{vip} is no longer on lo");
        before.addresses.retain(|a| *a != vip);
        before.write()?;
    }
    if !before.addresses.is_empty() {
        return Ok(());
    }
    if before.unwraps {
        println!("packets in tunnels are no longer unwrapped at {}", unwrap::detach().join(", "));
        for interface in &before.prepared {
            remove_empty(interface)?;
        }
    }
    for (setting, value) in std::mem::take(&mut before.settings) {
        let ours = SETTINGS.iter().find(|(name, _)| *name == setting).map(|(_, value)| *value);
        // Somebody else changed it meanwhile: it is theirs now.
        if ours == Some(read(&setting)?.as_str()) {
            write(&setting, &value)?;
            println!("{setting} is {value} again");
        }
    }
    match fs::remove_file(path()?) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(format!("cannot remove {}: {e}", path()?.display())),
        _ => Ok(()),
    }
}

/// Takes the queueing discipline off that was put there for the program, unless others use it by now.
fn remove_empty(interface: &str) -> Result<(), String> {
    for side in ["ingress", "egress"] {
        // An interface that is gone has taken it along.
        let Ok(filters) = probe::tc(&["filter", "show", "dev", interface, side]) else { return Ok(()) };
        if !filters.trim().is_empty() {
            return Ok(());
        }
    }
    probe::tc(&["qdisc", "del", "dev", interface, "clsact"]).map(drop)
}

/// What was there, and what was added.
#[derive(Debug, Default, PartialEq, Eq)]
struct Before {
    settings: BTreeMap<String, String>,
    addresses: Vec<IpAddr>,
    unwraps: bool,
    /// Interfaces that got a queueing discipline for that.
    prepared: BTreeSet<String>,
}

impl Before {
    fn read() -> Result<Self, String> {
        match fs::read_to_string(path()?) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(format!("cannot read {}: {e}", path()?.display())),
        }
    }

    fn parse(text: &str) -> Self {
        let mut before = Self::default();
        for line in text.lines() {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["setting", name, value] => {
                    before.settings.insert((*name).to_owned(), (*value).to_owned());
                }
                ["address", address] => before.addresses.extend(address.parse::<IpAddr>()),
                ["unwraps"] => before.unwraps = true,
                ["prepared", interface] => {
                    before.prepared.insert((*interface).to_owned());
                }
                _ => {}
            }
        }
        before
    }

    fn text(&self) -> String {
        let settings = self.settings.iter().map(|(name, value)| format!("setting {name} {value}\n"));
        let addresses = self.addresses.iter().map(|a| format!("address {a}\n"));
        let unwraps = self.unwraps.then(|| "unwraps\n".to_owned());
        let prepared = self.prepared.iter().map(|name| format!("prepared {name}\n"));
        settings.chain(addresses).chain(unwraps).chain(prepared).collect()
    }

    fn write(&self) -> Result<(), String> {
        let path = path()?;
        let failed = |e| format!("cannot write {}: {e}", path.display());
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        let beside = path.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&beside, self.text()).and_then(|()| fs::rename(&beside, &path)).map_err(failed)
    }

    /// What is right already is nobody's to undo.
    fn set(&mut self, setting: &str, value: &str) -> Result<(), String> {
        let now = read(setting)?;
        if now == value {
            println!("{setting} is {value} already");
            return Ok(());
        }
        // Noted before it is changed: what breaks off here can be undone.
        self.settings.entry(setting.to_owned()).or_insert_with(|| now.clone());
        self.write()?;
        write(setting, value)?;
        println!("{setting} is {value} now; it was {now}");
        Ok(())
    }

    fn add(&mut self, vip: IpAddr) -> Result<(), String> {
        if holds(vip) {
            println!("{vip} is on lo already");
            return Ok(());
        }
        self.addresses.push(vip);
        self.write()?;
        let prefix = with_prefix(vip);
        let mut words = vec!["address", "add", prefix.as_str(), "dev", "lo"];
        if vip.is_ipv6() {
            words.push("nodad");
        }
        probe::ip(&words)?;
        println!("{vip} is on lo now");
        Ok(())
    }
}

fn with_prefix(vip: IpAddr) -> String {
    format!("{vip}/{}", if vip.is_ipv4() { 32 } else { 128 })
}

fn holds(vip: IpAddr) -> bool {
    let text = probe::ip(&["-o", "address", "show", "dev", "lo"]).unwrap_or_default();
    let wanted = with_prefix(vip);
    text.split_whitespace().any(|word| word == wanted || word == vip.to_string())
}

/// One file for each network namespace: what it tells of is theirs.
fn path() -> Result<PathBuf, String> {
    let space =
        fs::metadata("/proc/self/ns/net").map_err(|e| format!("cannot read /proc/self/ns/net: {e}"))?;
    Ok(PathBuf::from(format!("/run/weir/l4-server-setup.{}", space.ino())))
}

fn read(setting: &str) -> Result<String, String> {
    let text = fs::read_to_string(format!("/proc/sys/{setting}"))
        .map_err(|e| format!("cannot read {setting}: {e}"))?;
    Ok(text.trim().to_owned())
}

fn write(setting: &str, value: &str) -> Result<(), String> {
    fs::write(format!("/proc/sys/{setting}"), value)
        .map_err(|e| format!("cannot set {setting}: {e}; this needs root, or CAP_NET_ADMIN"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_read_as_it_was_written() {
        let before = Before {
            settings: BTreeMap::from([("net/ipv4/conf/all/arp_ignore".to_owned(), "0".to_owned())]),
            addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            unwraps: true,
            prepared: BTreeSet::from(["eth0".to_owned()]),
        };
        assert_eq!(Before::parse(&before.text()), before);
        assert_eq!(Before::parse(""), Before::default());
    }
}
