//! `-S`: the master's own administration socket.

use super::children::Children;
use super::command::{self, Said};
use super::lines::Lines;
use crate::config::model::global::Level;
use crate::config::model::{Address, Bind};
use crate::live::reload::Outcome;
use crate::net::{listener, raw};
use crate::tasks::{self, Task};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// A command longer than this is none.
const LONGEST: usize = 1 << 20;

/// Clients that may wait.
const BACKLOG: i32 = 128;

/// After the last answer: how much and how long to go on reading.
const LINGER: (u64, Duration) = (1 << 20, Duration::from_secs(1));

/// What stands behind the address.
#[derive(Debug, PartialEq, Eq)]
struct Settings {
    mode: u32,
    level: Level,
    uid: Option<u32>,
    gid: Option<u32>,
}

fn settings<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Settings, String> {
    let mut settings = Settings { mode: 0o600, level: Level::Admin, uid: None, gid: None };
    while let Some(option) = words.next() {
        let value = words.next().ok_or_else(|| format!("'{option}' needs a value"))?;
        let wrong = || format!("'{option} {value}' is not understood");
        match option {
            "level" => {
                let known = Level::NAMES.into_iter().find(|(name, _)| *name == value);
                settings.level = known.ok_or_else(wrong)?.1;
            }
            "mode" => settings.mode = u32::from_str_radix(value, 8).map_err(|_| wrong())?,
            "uid" => settings.uid = Some(value.parse().map_err(|_| wrong())?),
            "gid" => settings.gid = Some(value.parse().map_err(|_| wrong())?),
            "user" => settings.uid = Some(raw::user_ids(value).ok_or_else(wrong)?.0),
            "group" => settings.gid = Some(raw::group_id(value).ok_or_else(wrong)?),
            _ => return Err(format!("'{option}' is not supported by weir on this socket")),
        }
    }
    Ok(settings)
}

/// Binds `<path|address:port>[,<option>,<value>]…`, with the options of a `bind` line that have a meaning here.
pub fn listen(at: &str, children: &Rc<Children>) -> io::Result<(Task, Option<PathBuf>)> {
    let mut words = at.split(',');
    let address = words.next().unwrap_or_default();
    let settings = settings(words).map_err(|what| io::Error::new(io::ErrorKind::InvalidInput, what))?;
    let (children, level) = (Rc::clone(children), settings.level);
    if let Some((_, port)) = address.rsplit_once(':').filter(|(host, _)| !host.contains('/'))
        && port.parse::<u16>().is_ok()
    {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                tasks::detached("master client", talk(stream, level, Rc::clone(&children)));
            }
        };
        return Ok((tasks::start("master socket", accept), None));
    }
    let path = PathBuf::from(address.strip_prefix("unix@").unwrap_or(address));
    let bind = Bind {
        mode: Some(settings.mode),
        uid: settings.uid,
        gid: settings.gid,
        ..Bind::bare(Address::Unix(path.clone()))
    };
    let socket = listener::unix_socket(&bind, &path, BACKLOG).map_err(|failed| failed.error)?;
    let listener = UnixListener::from_std(OwnedFd::from(socket).into())?;
    let accept = async move {
        while let Ok((stream, _)) = listener.accept().await {
            tasks::detached("master client", talk(stream, level, Rc::clone(&children)));
        }
    };
    Ok((tasks::start("master socket", accept), Some(path)))
}

/// One client: it stays until it is done, as with HAProxy's master.
pub async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, level: Level, children: Rc<Children>) {
    let mut stream = stream;
    let _gone = converse(&mut stream, level, &children).await;
    let _gone = stream.shutdown().await;
    // Closing with something unread would take the answer away again.
    let (most, time) = LINGER;
    let mut rest = stream.take(most);
    let _gone = tokio::time::timeout(time, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
}

async fn converse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    level: Level,
    children: &Rc<Children>,
) -> io::Result<()> {
    let mut state = command::State::new(level);
    let mut lines = Lines::default();
    let mut chunk = vec![0; 16_384];
    loop {
        while let Some(command) = lines.take() {
            match command::run(&command, &mut state, children) {
                Said::Nothing => {}
                Said::Text(text) => stream.write_all(format!("{text}\n").as_bytes()).await?,
                Said::Last(text) => return stream.write_all(text.as_bytes()).await,
                // As with HAProxy, a reload ends the connection.
                Said::Later(told) => {
                    let ending = |_| Outcome::new(false, "the master is ending\n");
                    let text = told.await.unwrap_or_else(ending).reply();
                    return stream.write_all(format!("{text}\n").as_bytes()).await;
                }
                Said::Worker(worker, command) => relay(worker, &command, stream).await?,
                Said::Joined(mut worker, command) => {
                    if !command.trim().is_empty() {
                        worker.write_all(format!("{command}\n").as_bytes()).await?;
                    }
                    tokio::io::copy_bidirectional(stream, &mut worker).await?;
                    return Ok(());
                }
                Said::Quit => return Ok(()),
            }
            stream.write_all(state.invitation(children).as_bytes()).await?;
        }
        let read = stream.read(&mut chunk).await?;
        if read == 0 || lines.waiting() > LONGEST {
            return Ok(());
        }
        lines.push(chunk.get(..read).unwrap_or_default());
    }
}

/// One command and its answer, as it comes.
async fn relay(
    mut worker: UnixStream,
    command: &str,
    client: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let end = if command.ends_with('\n') { "" } else { "\n" };
    worker.write_all(format!("{command}{end}").as_bytes()).await?;
    worker.shutdown().await?;
    let mut chunk = vec![0; 16_384];
    loop {
        match worker.read(&mut chunk).await? {
            0 => return Ok(()),
            n => client.write_all(chunk.get(..n).unwrap_or_default()).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let check = |text: &str| settings(text.split(',').filter(|w| !w.is_empty()));
        let plain = Settings { mode: 0o600, level: Level::Admin, uid: None, gid: None };
        assert_eq!(check(""), Ok(plain));
        let all = Settings { mode: 0o660, level: Level::User, uid: Some(0), gid: Some(5) };
        assert_eq!(check("uid,0,gid,5,mode,660,level,user"), Ok(all));
        for wrong in ["mode", "mode,9", "level,root", "user,nobody-of-that-name", "accept-proxy,x"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
