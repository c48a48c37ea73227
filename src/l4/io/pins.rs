//! Where maps and links live between processes: pinned to the BPF file system, so that flows go on while the process is replaced, or
//! after it was killed.
//!
//! A directory holds those of one forwarding process. Its name says for which network and which layout of the maps it is; its map `owner`
//! says whose it is. Who replaces that process, or finds that it died, takes the maps over by writing itself there; the old process then
//! leaves them alone. An orderly end puts everything away.

use super::plane::kernel;
use crate::l4::abi::{Load, Owner};
use aya::maps::{Array, Map, MapData};
use rustix::fs::{AtFlags, Dir, Gid, Mode, OFlags, Uid};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where systemd mounts it.
const BPF_FS: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of linux/magic.h.
const MAGIC: u64 = 0xcafe_4a11;
const OWNER: &str = "owner";

/// The maps that are kept; the others hold nothing beyond a packet.
pub const KEPT: [&str; 20] = [
    OWNER,
    "addresses",
    "doors",
    "services",
    "servers",
    "loads",
    "traffic",
    "counts",
    "origins",
    "answering",
    "turns",
    "epochs",
    "ways",
    "members",
    "tables",
    "sources",
    "flows",
    "templates",
    "fragments",
    "localities",
];

pub struct Pins {
    path: PathBuf,
    /// Stays good when the process changes its root.
    directory: Arc<OwnedFd>,
    /// Begins the names of this process's links.
    links: String,
    /// Whose the maps were; `None`: they are new.
    former: Option<Owner>,
    /// Those of a process with another layout, whose place this one takes all the same.
    superseded: Option<Superseded>,
    me: Owner,
    /// The process serves: what it leaves is no longer what it found.
    settled: bool,
    owner: Option<Array<MapData, Owner>>,
}

impl Pins {
    /// The maps of a process that `replaced` names, or that died; or a place for new ones. `None` without a BPF file system.
    ///
    /// # Errors
    /// What cannot be made, and why.
    pub fn find(limits: &impl Hash, replaced: &[i32]) -> Result<Option<Self>, String> {
        if !is_mounted() {
            return Ok(None);
        }
        let (prefix, layout) = (prefix(), layout(limits));
        let (mut found, mut superseded) = (None, None);
        for (path, name) in directories(&prefix) {
            let owner = owner_of(&path);
            let lives = owner.as_ref().is_some_and(Owner::lives);
            let gives = lives && owner.as_ref().is_some_and(|owner| replaced.contains(&owner.pid()));
            match owner.filter(|_| name.starts_with(&layout)) {
                // Who is replaced comes before who died.
                Some(owner) if gives || !lives && found.is_none() => found = Some((path, owner)),
                // Of another layout.
                None if gives || !lives && owner.is_some() && superseded.is_none() => {
                    superseded = owner.and_then(|owner| Superseded::open(path, owner));
                }
                // That too, or half made.
                None if !lives => remove(&path),
                _ => {}
            }
        }
        let (path, former) = match found {
            Some((path, owner)) => (path, Some(owner)),
            None => (new_directory(&format!("{prefix}{layout}"))?, None),
        };
        let failed = |e| kernel(&format!("cannot open {}", path.display()), &e);
        let directory = Arc::new(open(&path).map_err(failed)?);
        let links = format!("link-{}-", std::process::id());
        let theirs = former.iter().chain(superseded.iter().map(|there| &there.former));
        let turned_on = theirs.fold(0, |all, owner| all | owner.turned_on);
        let me = Owner { turned_on, ..Owner::me() };
        Ok(Some(Self { path, directory, links, former, superseded, me, settled: false, owner: None }))
    }

    /// Puts away what a process left that died, when none takes its place.
    pub fn sweep() {
        if is_mounted() {
            let dead = |path: &Path| !owner_of(path).as_ref().is_some_and(Owner::lives);
            directories(&prefix()).filter(|(path, _)| dead(path)).for_each(|(path, _)| remove(&path));
        }
    }

    pub fn path(&self, map: &str) -> PathBuf {
        self.path.join(map)
    }

    /// Where the link at an interface is to be pinned, and what takes it away.
    pub fn link(&self, interface: u32) -> (PathBuf, Pin) {
        let name = format!("{}{interface}", self.links);
        (self.path.join(&name), Pin { directory: Arc::clone(&self.directory), name })
    }

    /// Were the maps another process's?
    pub fn is_taken_over(&self) -> bool {
        self.former.is_some()
    }

    /// What the former process changed of the host.
    pub fn turned_on(&self) -> u64 {
        self.me.turned_on
    }

    /// From now on the maps are this process's; the former one has them back if this one fails to start.
    ///
    /// # Errors
    /// The kernel's.
    pub fn claim(&mut self, mut owner: Array<MapData, Owner>) -> Result<(), String> {
        owner.set(0, self.me, 0).map_err(|e| kernel("cannot take the maps over", &e))?;
        self.owner = Some(owner);
        self.supersede();
        Ok(())
    }

    /// A process with another layout leaves its maps, and what it changed of the host, to this one.
    fn supersede(&mut self) {
        if let Some(there) = &mut self.superseded {
            let _ = there.owner.set(0, self.me, 0);
        }
    }

    /// Puts away the maps of a process with another layout, whose services are served by this one now. Says what ends with them.
    pub fn bury(&mut self) -> Option<String> {
        let there = self.superseded.take()?;
        let sentence = there.lost();
        remove(&there.path);
        Some(sentence)
    }

    /// The process serves. Links of the former one are no longer needed.
    pub fn settle(&mut self, turned_on: u64) {
        self.me.turned_on = turned_on;
        self.settled = true;
        if let Some(owner) = &mut self.owner {
            let _ = owner.set(0, self.me, 0);
        }
        clear(&self.directory, |name| name.starts_with("link-") && !name.starts_with(&self.links));
    }

    /// More of the host was changed, for whoever takes over.
    pub fn note(&mut self, turned_on: u64) {
        self.me.turned_on = turned_on;
        if let Some(owner) = &mut self.owner {
            let _ = owner.set(0, self.me, 0);
        }
    }

    /// No other process has taken the maps over.
    pub fn is_ours(&self) -> bool {
        self.owner.as_ref().and_then(|owner| owner.get(&0, 0).ok()).is_none_or(|owner| owner == self.me)
    }

    /// Once the process is in the background, and before it becomes another user or changes its root: it is to put them away itself.
    pub fn give_to(&mut self, uid: Option<u32>) {
        self.me = Owner { turned_on: self.me.turned_on, ..Owner::me() };
        if let Some(owner) = &mut self.owner {
            let _ = owner.set(0, self.me, 0);
        }
        self.supersede();
        let _ = rustix::fs::fchown(&self.directory, uid.map(Uid::from_raw), None::<Gid>);
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        if let Some(there) = &mut self.superseded {
            let _ = there.owner.set(0, there.former, 0);
        }
        if let (false, Some(former)) = (self.settled, self.former) {
            if let Some(owner) = &mut self.owner {
                let _ = owner.set(0, former, 0);
            }
            return;
        }
        clear(&self.directory, |_| true);
        // Beyond another root it stays, empty, until the next start.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Where maps of another layout are.
struct Superseded {
    path: PathBuf,
    former: Owner,
    owner: Array<MapData, Owner>,
    loads: Option<Array<MapData, Load>>,
}

impl Superseded {
    fn open(path: PathBuf, former: Owner) -> Option<Self> {
        let map = |name| Some(Map::Array(MapData::from_pin(path.join(name)).ok()?));
        let owner = Array::try_from(map(OWNER)?).ok()?;
        let loads = map("loads").and_then(|map| Array::try_from(map).ok());
        Some(Self { path, former, owner, loads })
    }

    fn lost(&self) -> String {
        let mut sum = Load::default();
        for load in self.loads.iter().flat_map(Array::iter).flatten() {
            sum.active = sum.active.saturating_add(load.active);
            sum.inactive = sum.inactive.saturating_add(load.inactive);
            sum.persistent = sum.persistent.saturating_add(load.persistent);
        }
        format!(
            "mode l4 : the maps of process {} have the layout of another version: its flows end, {} active and {} inactive, and {} clients \
             are no longer kept on their servers",
            self.former.pid, sum.active, sum.inactive, sum.persistent
        )
    }
}

/// A link's name in the file system; gone when dropped.
pub struct Pin {
    directory: Arc<OwnedFd>,
    name: String,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let _ = rustix::fs::unlinkat(&*self.directory, self.name.as_str(), AtFlags::empty());
    }
}

fn is_mounted() -> bool {
    rustix::fs::statfs(BPF_FS).is_ok_and(|fs| u64::try_from(fs.f_type).is_ok_and(|kind| kind == MAGIC))
}

fn base() -> PathBuf {
    Path::new(BPF_FS).join("weir")
}

/// Those of this network, and what their names are beyond it.
fn directories(prefix: &str) -> impl Iterator<Item = (PathBuf, String)> {
    let entries = fs::read_dir(base()).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let rest = entry.file_name().to_str()?.strip_prefix(prefix)?.to_owned();
        Some((entry.path(), rest))
    })
}

fn new_directory(name: &str) -> Result<PathBuf, String> {
    let path = base().join(format!("{name}-{}", std::process::id()));
    remove(&path);
    fs::create_dir_all(&path).map_err(|e| kernel(&format!("cannot make {}", path.display()), &e))?;
    Ok(path)
}

fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn remove(path: &Path) {
    if let Ok(directory) = open(path) {
        clear(&directory, |_| true);
    }
    let _ = fs::remove_dir(path);
}

/// Takes the entries of such names out of a directory.
fn clear(directory: &OwnedFd, which: impl Fn(&str) -> bool) {
    let entries = Dir::read_from(directory).into_iter().flatten().flatten();
    let names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().to_str().map(str::to_owned).ok()).collect();
    for name in names.iter().filter(|name| !name.starts_with('.') && which(name)) {
        let _ = rustix::fs::unlinkat(directory, name.as_str(), AtFlags::empty());
    }
}

/// The network and the numbering of processes this process is in.
fn prefix() -> String {
    let number = |space: &str| fs::metadata(format!("/proc/self/ns/{space}")).map_or(0, |file| file.ino());
    format!("l4-{:x}-{:x}-", number("net"), number("pid"))
}

/// Maps of another layout, or of another length, are not for us.
fn layout(limits: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    code(include_str!("../../../bpf/abi.h")).hash(&mut hasher);
    limits.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// C without its comments, and without what stands between words.
fn code(text: &str) -> String {
    let mut parts = text.split("/*");
    let first = parts.next().unwrap_or_default();
    let rest = parts.map(|part| part.split_once("*/").map_or("", |(_, code)| code));
    let words = std::iter::once(first).chain(rest).flat_map(str::split_whitespace);
    words.collect::<Vec<_>>().join(" ")
}

fn owner_of(directory: &Path) -> Option<Owner> {
    let map = Map::Array(MapData::from_pin(directory.join(OWNER)).ok()?);
    Array::<_, Owner>::try_from(map).ok()?.get(&0, 0).ok()
}

impl Owner {
    fn me() -> Self {
        let pid = std::process::id();
        Self { pid: u64::from(pid), started: started(u64::from(pid)).unwrap_or(0), turned_on: 0 }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.pid).unwrap_or(0)
    }

    /// The process is there, and no other has its number.
    fn lives(&self) -> bool {
        started(self.pid) == Some(self.started)
    }
}

/// When a process started, in ticks since boot; `None`: it is dead.
fn started(pid: u64) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    let state = words.next()?;
    words.nth(18)?.parse().ok().filter(|_| !matches!(state, "Z" | "X"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_no_layout() {
        assert_eq!(code("/* a */\nint b; /* c\n d */ int e;\n"), "int b; int e;");
    }

    #[test]
    fn knows_the_living() {
        assert!(Owner::me().lives());
        assert!(!Owner { started: 1, ..Owner::me() }.lives());
        assert!(!Owner { pid: u64::from(u32::MAX), ..Owner::me() }.lives());
    }
}
