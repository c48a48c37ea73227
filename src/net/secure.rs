//! TLS on a connected stream, either side, behind the interface of the plain one.
//!
//! Written means handed to the kernel, as on a plain stream: bytes are taken, made records, and reported as written only
//! when the last of these is out. Whoever is told to wait offers the same bytes again, as with a plain socket.

use super::Stream;
use super::tls_counts::{self, Counted};
use crate::tls::ServerHandshake;
use crate::tls::early::Early;
use rustls::Connection;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

/// The most that is made records at once: what a slow reader may cost beside the engine's own buffer.
const MOST: usize = 32 * 1024;

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Secure {
    socket: Stream,
    _counted: Counted,
    inner: RefCell<Inner>,
    /// What a server said; of clients the connection's facts tell.
    server: Option<Arc<ServerHandshake>>,
}

#[derive(Debug)]
struct Inner {
    tls: Connection,
    /// Bytes that were read before TLS began, still to be taken.
    read: io::Cursor<Vec<u8>>,
    /// Bytes of the caller's that stand in records which are not all out yet.
    owed: usize,
    /// The socket's stream ended.
    ended: bool,
    /// Nothing is to be said any more: the end was told, or the connection is broken or to vanish.
    mute: bool,
    /// Early data may come, or came and has not been read.
    early: Option<Box<EarlyData>>,
}

/// What a client said before its side of the handshake was done. The library bounds it (`max_early_data_size`).
#[derive(Debug, Default)]
struct EarlyData {
    bytes: io::Cursor<Vec<u8>>,
    state: Arc<Early>,
}

impl EarlyData {
    fn is_read(&self) -> bool {
        self.bytes.position() >= self.bytes.get_ref().len() as u64
    }
}

/// Runs a handshake to its end. What the other side sent behind it stays inside.
///
/// # Errors
/// `UnexpectedEof` when the other side closed, `InvalidData` around a [`rustls::Error`], else the socket's own.
pub async fn shake(socket: Stream, tls: Connection) -> io::Result<Stream> {
    shake_behind(socket, tls, Vec::new(), false).await.map_err(|(_, error)| error)
}

/// The same where the first bytes from the other side have been read already. An error comes with the plain stream.
/// `early`: done as soon as a client has said something early; the rest of the handshake goes on as it is read from.
pub async fn shake_behind(
    socket: Stream,
    tls: Connection,
    read: Vec<u8>,
    early: bool,
) -> Result<Stream, (Stream, io::Error)> {
    let mut secure = Box::new(Secure::new(socket, tls));
    let inner = secure.inner.get_mut();
    inner.read = io::Cursor::new(read);
    inner.early = early.then(Box::default);
    match poll_fn(|cx| secure.poll_shake(cx)).await {
        Ok(()) => {
            secure.see(tls_counts::shaken);
            Ok(Stream::Tls(secure))
        }
        Err(error) => {
            secure.hush();
            Err((std::mem::replace(&mut secure.socket, Stream::Gone), error))
        }
    }
}

impl Secure {
    fn new(socket: Stream, mut tls: Connection) -> Self {
        // How much is taken is bounded where it is written.
        tls.set_buffer_limit(None);
        Self {
            socket,
            _counted: Counted::new(&tls),
            server: None,
            inner: RefCell::new(Inner {
                tls,
                read: io::Cursor::default(),
                owed: 0,
                ended: false,
                mute: false,
                early: None,
            }),
        }
    }

    /// The stream below.
    pub fn socket(&self) -> &Stream {
        &self.socket
    }

    /// What the server on the other side said in the handshake.
    #[must_use]
    pub fn server(&self) -> Option<&Arc<ServerHandshake>> {
        self.server.as_ref()
    }

    /// The client has said something before its side of the handshake was done: whether that is done now.
    pub(super) fn early(&self) -> Option<Arc<Early>> {
        self.inner.borrow().early.as_ref().map(|early| Arc::clone(&early.state))
    }

    pub(super) fn keep(&mut self, said: ServerHandshake) {
        self.server = Some(Arc::new(said));
    }

    /// Reads what the handshake said.
    pub fn see<R>(&self, see: impl FnOnce(&Connection) -> R) -> R {
        see(&self.inner.borrow().tls)
    }

    fn poll_shake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, inner, .. } = self;
        let inner = inner.get_mut();
        if inner.early.is_some()
            && let Err(error) = inner.process()
        {
            let _ = inner.flush(socket);
            return Poll::Ready(Err(error));
        }
        loop {
            ready!(inner.poll_flush(socket, cx))?;
            if !inner.tls.is_handshaking() || inner.has_early() {
                return Poll::Ready(Ok(()));
            }
            if inner.ended {
                inner.mute = true;
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            ready!(inner.poll_take(socket, cx))?;
        }
    }

    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner.borrow_mut();
        if inner.ended || inner.has_something() {
            return Poll::Ready(Ok(()));
        }
        self.socket.poll_read_ready(cx)
    }

    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { socket, inner, .. } = self;
        let inner = inner.get_mut();
        loop {
            if let Some(read) = inner.read(buf) {
                return Poll::Ready(read);
            }
            // Answers of TLS itself (key updates, alerts) go out on the way; they are no reason to wait.
            let _ = inner.poll_flush(socket, cx)?;
            ready!(inner.poll_take(socket, cx))?;
        }
    }

    /// As [`Stream::poll_read_into`].
    pub fn poll_read_into(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { socket, inner, .. } = self;
        let inner = inner.get_mut();
        loop {
            if let Some(read) = inner.read_into(buf) {
                return Poll::Ready(read);
            }
            let _ = inner.poll_flush(socket, cx)?;
            ready!(inner.poll_take(socket, cx))?;
        }
    }

    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.inner.borrow_mut();
        loop {
            if let Some(read) = inner.read(buf) {
                return read;
            }
            inner.flush(&self.socket).or_else(|e| if would_block(&e) { Ok(()) } else { Err(e) })?;
            inner.take(&mut Reading(|buf: &mut [u8]| self.socket.try_read(buf)))?;
        }
    }

    pub fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(cx)
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(buf) {
                Err(e) if would_block(&e) => ready!(self.socket.poll_write_ready(cx))?,
                done => return Poll::Ready(done),
            }
        }
    }

    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.write(&[IoSlice::new(buf)], false)
    }

    /// As [`Stream::try_write_last`]: the end is told with it.
    pub fn try_write_last(&self, buf: &[u8]) -> io::Result<usize> {
        self.write(&[IoSlice::new(buf)], buf.len() <= MOST)
    }

    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write(bufs, false)
    }

    fn write(&self, bufs: &[IoSlice<'_>], last: bool) -> io::Result<usize> {
        let mut inner = self.inner.borrow_mut();
        if inner.owed == 0 {
            let mut room = MOST;
            for buf in bufs {
                let part = buf.get(..room.min(buf.len())).unwrap_or_default();
                inner.owed += inner.tls.writer().write(part)?;
                room -= part.len();
            }
            if last {
                inner.say_end();
            }
        } else if bufs.iter().map(|buf| buf.len()).sum::<usize>() < inner.owed {
            // Told to wait, the caller took back what stands in records already: what it writes now has no place.
            return Err(io::ErrorKind::InvalidInput.into());
        }
        inner.flush(&self.socket)?;
        Ok(std::mem::take(&mut inner.owed))
    }

    /// Tells the end, then half-closes the socket.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.say_end();
        self.socket.shutdown_write()
    }

    /// The close that follows is to say nothing.
    pub fn hush(&self) {
        self.inner.borrow_mut().mute = true;
    }

    fn say_end(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.say_end();
        let _ = inner.flush(&self.socket);
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        if !self.inner.get_mut().mute {
            self.say_end();
        }
    }
}

impl Inner {
    fn say_end(&mut self) {
        if !std::mem::replace(&mut self.mute, true) {
            self.tls.send_close_notify();
        }
    }

    fn has_something(&mut self) -> bool {
        self.has_early() || !matches!(self.tls.reader().fill_buf(), Err(e) if would_block(&e))
    }

    fn has_early(&self) -> bool {
        self.early.as_ref().is_some_and(|early| !early.is_read())
    }

    /// Looks at what came: early data is put aside, to be read before the rest.
    fn process(&mut self) -> io::Result<()> {
        self.tls.process_new_packets().map_err(|error| {
            self.mute = true;
            io::Error::new(io::ErrorKind::InvalidData, error)
        })?;
        if let Some(early) = &mut self.early {
            if let Connection::Server(tls) = &mut self.tls
                && let Some(mut data) = tls.early_data()
            {
                let _all = data.read_to_end(early.bytes.get_mut())?;
            }
            if !self.tls.is_handshaking() {
                early.state.finish();
                self.early.take_if(|early| early.is_read());
            }
        }
        Ok(())
    }

    /// What is there in clear; `None`: more has to come. 0 is the end, told or not.
    fn read(&mut self, buf: &mut [u8]) -> Option<io::Result<usize>> {
        if let Some(early) = self.early.as_mut().filter(|early| !early.is_read()) {
            return Some(early.bytes.read(buf));
        }
        match self.tls.reader().read(buf) {
            Err(e) if would_block(&e) => self.ended.then_some(Ok(0)),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Some(Ok(0)),
            done => Some(done),
        }
    }

    /// The same, copied from where it was deciphered.
    fn read_into(&mut self, buf: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        if let Some(early) = self.early.as_mut().filter(|early| !early.is_read()) {
            let read = early.bytes.read(buf.initialize_unfilled());
            return Some(read.map(|n| buf.advance(n)));
        }
        let mut reader = self.tls.reader();
        let taken = match reader.fill_buf() {
            Ok(clear) => {
                let part = clear.get(..clear.len().min(buf.remaining())).unwrap_or_default();
                buf.put_slice(part);
                part.len()
            }
            Err(e) if would_block(&e) => return self.ended.then_some(Ok(())),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Some(Ok(())),
            Err(e) => return Some(Err(e)),
        };
        reader.consume(taken);
        Some(Ok(()))
    }

    fn poll_take(&mut self, socket: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut reading = Reading(|buf: &mut [u8]| now(socket.poll_read(cx, buf)));
        match self.take(&mut reading) {
            Err(e) if would_block(&e) => Poll::Pending,
            Err(e) => {
                // The alert that says what was wrong.
                let _ = self.flush(socket);
                Poll::Ready(Err(e))
            }
            Ok(()) => Poll::Ready(Ok(())),
        }
    }

    /// Takes what the socket has, once.
    fn take(&mut self, source: &mut dyn Read) -> io::Result<()> {
        // Never from the empty one: for the library that is the end.
        let first = self.read.position() < self.read.get_ref().len() as u64;
        let read = if first { self.tls.read_tls(&mut self.read) } else { self.tls.read_tls(source) };
        match read {
            Ok(0) => self.ended = true,
            Ok(_) => self.process()?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn poll_flush(&mut self, socket: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.flush(socket) {
                Err(e) if would_block(&e) => ready!(socket.poll_write_ready(cx))?,
                done => return Poll::Ready(done),
            }
        }
    }

    /// Hands all records to the kernel, or answers `WouldBlock`.
    fn flush(&mut self, socket: &Stream) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Writing(socket)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// What may be had at once.
pub(super) fn now(polled: Poll<io::Result<usize>>) -> io::Result<usize> {
    match polled {
        Poll::Ready(read) => read,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

pub(super) struct Reading<F>(pub F);

impl<F: FnMut(&mut [u8]) -> io::Result<usize>> Read for Reading<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (self.0)(buf)
    }
}

struct Writing<'a>(&'a Stream);

impl Write for Writing<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
    use tokio::net::UnixStream;

    const CERTIFICATE: &[u8] = include_bytes!("../../tests/data/tls/localhost.crt");
    const KEY: &[u8] = include_bytes!("../../tests/data/tls/localhost.key");

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    /// A client and a server, after their handshake.
    async fn pair() -> (Stream, Stream) {
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
        let server = ServerConfig::builder().with_no_client_auth();
        let server = server.with_single_cert(vec![certificate], key).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let client = Connection::from(ClientConnection::new(Arc::new(client), name).unwrap());
        let server = Connection::from(ServerConnection::new(Arc::new(server)).unwrap());
        let (a, b) = UnixStream::pair().unwrap();
        let (a, b) = tokio::join!(shake(Stream::Unix(a), client), shake(Stream::Unix(b), server));
        (a.unwrap(), b.unwrap())
    }

    async fn send(to: &mut Stream, bytes: &[u8]) {
        let mut sent = 0;
        while sent < bytes.len() {
            sent += poll_fn(|cx| to.poll_write(cx, &bytes[sent..])).await.unwrap();
        }
    }

    async fn receive(from: &mut Stream, chunk: usize) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buf = vec![0; chunk];
        loop {
            match poll_fn(|cx| from.poll_read(cx, &mut buf)).await.unwrap() {
                0 => return all,
                n => all.extend_from_slice(&buf[..n]),
            }
        }
    }

    #[test]
    fn bytes_come_whole_and_the_end_is_told() {
        run(async {
            // More than a socket's buffers hold, read in pieces smaller and larger than a record.
            let text: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
            for chunk in [1000, 40_000] {
                let (mut a, mut b) = pair().await;
                let writing = async {
                    send(&mut a, &text).await;
                    a.shutdown_write().unwrap();
                };
                let ((), read) = tokio::join!(writing, receive(&mut b, chunk));
                assert!(read == text);
                // The other direction is still open.
                send(&mut b, b"later").await;
                drop(b);
                assert_eq!(receive(&mut a, 16).await, b"later");
            }
        });
    }

    #[test]
    fn what_is_written_is_with_the_kernel() {
        run(async {
            let (a, mut b) = pair().await;
            let block = vec![7; 100_000];
            let mut written = 0;
            // Until it would block: what was reported before arrives although the writer is gone.
            while let Ok(n) = a.try_write(&block) {
                written += n;
            }
            assert!(written > 0);
            a.reset_on_close();
            drop(a);
            let mut got = 0;
            let mut buf = vec![0; 65536];
            while let Ok(n) = poll_fn(|cx| b.poll_read(cx, &mut buf)).await
                && n > 0
            {
                got += n;
            }
            assert!(got >= written, "{got} of {written}");
        });
    }

    #[test]
    fn what_was_offered_cannot_be_taken_back() {
        run(async {
            let (a, _b) = pair().await;
            let block = vec![7; 100_000];
            while a.try_write(&block).is_ok() {}
            // The same and more is the same; less is an error, and none of it is taken for written.
            let more = vec![7; 200_000];
            assert_eq!(a.try_write(&more).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            assert_eq!(a.try_write(b"other").unwrap_err().kind(), io::ErrorKind::InvalidInput);
            assert_eq!(a.try_write(&block).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        });
    }

    #[test]
    fn garbage_is_an_error_and_no_end() {
        run(async {
            let (a, mut b) = pair().await;
            a.secure().unwrap().socket().try_write(b"this is no record").unwrap();
            let mut buf = [0; 16];
            let error = poll_fn(|cx| b.poll_read(cx, &mut buf)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        });
    }
}
