//! Unix sockets and the files that clients find them by.

use super::options::Failed;
use super::{BindError, failed, step};
use crate::config::model::Bind;
use crate::net::raw;
use socket2::{Domain, SockAddr, Socket, Type};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file of a unix socket: by then another process may have put its own in this place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// What stands there now.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let found = std::fs::symlink_metadata(path).ok()?;
        Some(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Owner and mode as `bind` says, where `before` said something else.
    pub(super) fn change_owner(&self, bind: &Bind, before: &Bind) -> Result<(), Failed> {
        let changed = |now: Option<u32>, then: Option<u32>, usual: fn() -> u32| {
            if now == then { None } else { now.or_else(|| Some(usual())) }
        };
        let uid = changed(bind.uid, before.uid, raw::effective_uid);
        let gid = changed(bind.gid, before.gid, raw::effective_gid);
        let mode = changed(bind.mode, before.mode, usual_mode);
        if Self::at(&self.path).as_ref() != Some(self) {
            return Ok(());
        }
        set_owner_of(&self.path, uid, gid, mode)
    }

    /// Removes it, if it is still there.
    pub fn remove(&self) {
        if Self::at(&self.path).as_ref() == Some(self) {
            let _gone = std::fs::remove_file(&self.path);
        }
    }
}

/// The file of a unix socket that is not in its place yet.
#[derive(Debug)]
pub(super) struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        let _in_its_place = std::fs::remove_file(&self.0);
    }
}

impl Beside {
    /// As it will be, once it is at `path`.
    pub(super) fn file(&self, path: &Path) -> Option<SocketFile> {
        SocketFile::at(&self.0).map(|file| SocketFile { path: path.to_owned(), ..file })
    }

    pub(super) fn put_in_place(&self, path: &Path) -> Result<(), Failed> {
        std::fs::rename(&self.0, path).map_err(|e| ("cannot switch final and temporary UNIX sockets", e))
    }
}

/// Binds beside the path and renames into place, so that the path is never without a listener while one process
/// replaces another. It does not block.
///
/// # Errors
/// The step that failed.
pub fn unix_socket(bind: &Bind, path: &Path, backlog: i32) -> Result<Socket, BindError> {
    let (socket, beside) = socket_beside(bind, path, backlog)?;
    beside.put_in_place(path).map_err(step(bind))?;
    Ok(socket)
}

/// It listens where nobody looks.
pub(super) fn socket_beside(bind: &Bind, path: &Path, backlog: i32) -> Result<(Socket, Beside), BindError> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)
        .map_err(failed("cannot create UNIX socket", bind))?;
    let path = PathBuf::from(format!("{}.{}.tmp", path.display(), std::process::id()));
    let _ = std::fs::remove_file(&path);
    let addr = SockAddr::unix(&path).map_err(failed("socket path too long", bind))?;
    socket.bind(&addr).map_err(failed("cannot bind UNIX socket", bind))?;
    let beside = Beside(path);
    set_owner(bind, &beside.0)?;
    socket.listen(backlog).map_err(failed("cannot listen to UNIX socket", bind))?;
    Ok((socket, beside))
}

pub(super) fn set_owner(bind: &Bind, path: &Path) -> Result<(), BindError> {
    set_owner_of(path, bind.uid, bind.gid, bind.mode).map_err(step(bind))
}

fn set_owner_of(path: &Path, uid: Option<u32>, gid: Option<u32>, mode: Option<u32>) -> Result<(), Failed> {
    use std::os::unix::fs::PermissionsExt;
    if uid.is_some() || gid.is_some() {
        raw::chown(path, uid, gid).map_err(|e| ("cannot change UNIX socket ownership", e))?;
    }
    if let Some(mode) = mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .map_err(|e| ("cannot change UNIX socket permissions", e))?;
    }
    Ok(())
}

/// Of the file of a unix socket when nobody says.
fn usual_mode() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let mask = mask.and_then(|text| u32::from_str_radix(text.trim(), 8).ok());
    0o777 & !mask.unwrap_or(0o022)
}
