//! How `weir reload -p <file>` and `-sf <pid>` reach a process of which they know the pid: an abstract unix socket named
//! after that, for root and for the process's own user.

use crate::net::raw;
use crate::tasks::{self, Task};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as Bound, UnixStream as Knocking};
use tokio::net::{UnixListener, UnixStream};

/// Where a process is reached.
///
/// # Errors
/// None in practice: the name is short.
fn address(pid: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("weir-control-{pid}"))
}

/// Knocks at the door of a process.
///
/// # Errors
/// Nobody answers, or somebody else than that process.
pub fn connect(pid: u32) -> io::Result<Knocking> {
    let stream = Knocking::connect_addr(&address(pid)?)?;
    let owner = rustix::net::sockopt::socket_peercred(&stream)?.pid;
    if u32::try_from(owner.as_raw_nonzero().get()) == Ok(pid) {
        Ok(stream)
    } else {
        Err(io::Error::other(format!("process {pid} is not who answers")))
    }
}

/// Hands over who comes. Where somebody else has the name, nobody does.
pub fn listen(mut take: impl FnMut(UnixStream) + 'static) -> Option<Task> {
    let listener = address(std::process::id()).and_then(|at| Bound::bind_addr(&at)).ok()?;
    listener.set_nonblocking(true).ok()?;
    let listener = UnixListener::from_std(listener).ok()?;
    Some(tasks::start("back door", async move {
        while let Ok((client, _)) = listener.accept().await {
            let uid = client.peer_cred().map(|peer| peer.uid());
            if uid.is_ok_and(|uid| uid == 0 || uid == raw::effective_uid()) {
                take(client);
            }
        }
    }))
}
