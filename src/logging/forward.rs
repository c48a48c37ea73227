//! A ring's log servers: each gets every event over a TCP connection of its own, which is made again when it is lost.

use super::level;
use super::sender::Sender;
use crate::config::model::ring::{Framing, RingServer};
use crate::live::Generation;
use crate::live::rings::Ring;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the configuration gives no `timeout connect`.
const CONNECT: Duration = Duration::from_secs(5);

/// Serves all servers of all rings, for ever.
pub async fn run(generation: Arc<Generation>, log: Rc<Sender>) {
    let mut servers = Vec::new();
    for ring in generation.process.rings.all() {
        for (index, server) in ring.conf.servers.clone().into_iter().enumerate() {
            let forward = Forward { ring: Arc::clone(&ring), index, server };
            let (generation, log) = (Arc::clone(&generation), Rc::clone(&log));
            servers.push(crate::tasks::start("ring server", forward.run(generation, log)));
        }
    }
    std::future::pending::<()>().await;
    drop(servers);
}

struct Forward {
    ring: Arc<Ring>,
    index: usize,
    server: RingServer,
}

impl Forward {
    async fn run(self, generation: Arc<Generation>, log: Rc<Sender>) {
        let mut next = 0;
        // Said once each time it is lost, and to other targets than itself: nobody would see it there.
        let mut reachable = true;
        loop {
            let why = match self.connect().await {
                Ok(connection) => {
                    reachable = true;
                    match self.send(connection, &mut next).await {
                        Ok(()) => "it closed the connection".to_owned(),
                        Err(e) => e.to_string(),
                    }
                }
                Err(e) => e.to_string(),
            };
            if std::mem::take(&mut reachable) {
                let (ring, server) = (&self.ring.conf.name, &self.server.name);
                let text = format!("Log server {server} of ring {ring} is lost ({why}), connecting again.");
                let targets = &generation.config.global.log;
                log.emit(targets, level::WARNING, None, b"", text.as_bytes());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let limit = self.ring.conf.connect.unwrap_or(CONNECT);
        let connecting = TcpStream::connect(self.server.address);
        let stream = tokio::time::timeout(limit, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Sends what there is and what comes, until the server closes.
    async fn send(&self, connection: TcpStream, next: &mut u64) -> io::Result<()> {
        let (mut read, mut write) = connection.into_split();
        let mut bytes = Vec::new();
        loop {
            tokio::select! {
                ended = until_closed(&mut read) => return ended,
                () = self.ring.wait(*next) => {}
            }
            bytes.clear();
            let after = self.ring.read(*next, |event| frame(self.server.framing, event, &mut bytes));
            self.write(&mut write, &bytes).await?;
            *next = after;
            self.ring.take(self.index, after);
        }
    }

    async fn write(&self, write: &mut OwnedWriteHalf, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let writing = write.write(bytes);
            let n = match self.ring.conf.patience {
                Some(limit) => {
                    tokio::time::timeout(limit, writing).await.map_err(|_| io::ErrorKind::TimedOut)??
                }
                None => writing.await?,
            };
            bytes = bytes.get(n..).unwrap_or_default();
        }
        Ok(())
    }
}

/// What a log server says is of no interest; that it leaves is.
async fn until_closed(read: &mut OwnedReadHalf) -> io::Result<()> {
    let mut chunk = [0; 256];
    while read.read(&mut chunk).await? > 0 {}
    Ok(())
}

fn frame(framing: Framing, event: &[u8], out: &mut Vec<u8>) {
    if framing == Framing::OctetCount {
        out.extend_from_slice(event.len().to_string().as_bytes());
        out.push(b' ');
    }
    out.extend_from_slice(event);
    if framing == Framing::Legacy {
        out.push(b'\n');
    }
}
