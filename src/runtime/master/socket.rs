//! `-S`: the master's own administration socket.

use super::children::Children;
use super::command::{self, Said};
use crate::tasks::{self, Task};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};

/// A line longer than this is none.
const LONGEST: usize = 65_536;

/// Binds `<path|address:port>[,mode,<octal>][,level,admin]`.
pub fn listen(at: &str, children: &Rc<Children>) -> io::Result<Task> {
    let mut words = at.split(',');
    let address = words.next().unwrap_or_default();
    let mut mode = 0o600;
    while let Some(option) = words.next() {
        match (option, words.next()) {
            ("level", Some("admin")) => {}
            ("mode", Some(text)) => {
                mode = u32::from_str_radix(text, 8).map_err(|_| invalid(&format!("bad mode '{text}'")))?;
            }
            (option, _) => return Err(invalid(&format!("'{option}' is not supported by weir yet"))),
        }
    }
    let children = Rc::clone(children);
    if let Some((_, port)) = address.rsplit_once(':').filter(|(host, _)| !host.contains('/'))
        && port.parse::<u16>().is_ok()
    {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        return Ok(tasks::start("master socket", async move {
            while let Ok((stream, _)) = listener.accept().await {
                tasks::detached("master client", talk(stream, Rc::clone(&children)));
            }
        }));
    }
    let path = address.strip_prefix("unix@").unwrap_or(address);
    let beside = format!("{path}.{}.tmp", std::process::id());
    let _none = std::fs::remove_file(&beside);
    let listener = UnixListener::bind(&beside)?;
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&beside, path)?;
    Ok(tasks::start("master socket", async move {
        while let Ok((stream, _)) = listener.accept().await {
            tasks::detached("master client", talk(stream, Rc::clone(&children)));
        }
    }))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// One client. Without a prompt the connection ends after the commands of one line.
async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, children: Rc<Children>) {
    let _gone = converse(stream, &children).await;
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, children: &Rc<Children>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut state = command::State::default();
    loop {
        let mut line = String::new();
        let read = (&mut stream).take(LONGEST as u64).read_line(&mut line).await?;
        if read == 0 {
            return Ok(());
        }
        for part in line.trim_end_matches(['\n', '\r']).split(';') {
            match command::run(part, &mut state, children) {
                Said::Text(text) => stream.get_mut().write_all(text.as_bytes()).await?,
                Said::Later(told) => {
                    let (done, said) = told.await.unwrap_or((false, "the master is ending\n".to_owned()));
                    let text = format!("Success={}\n--\n{said}", u8::from(done));
                    stream.get_mut().write_all(text.as_bytes()).await?;
                }
                Said::Worker(worker, words) => {
                    let mut answer = Vec::new();
                    let mut worker = worker?;
                    worker.write_all(format!("{words}\n").as_bytes()).await?;
                    worker.shutdown().await?;
                    worker.read_to_end(&mut answer).await?;
                    // Its last empty line is ours to write.
                    let text = answer.strip_suffix(b"\n").unwrap_or(&answer);
                    stream.get_mut().write_all(text).await?;
                }
                Said::Quit => return Ok(()),
            }
            let invitation = if state.prompt { "\nmaster> " } else { "\n" };
            stream.get_mut().write_all(invitation.as_bytes()).await?;
        }
        if !state.prompt {
            return stream.get_mut().shutdown().await;
        }
    }
}
