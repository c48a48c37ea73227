//! Files in which others write a number, followed by inotify. No file counts as 0.

use super::Event;
use crate::net::raw;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

/// Longer than any number.
const LONGEST: u64 = 64;
/// A file behind a symbolic link may change without an event in its directory.
const LOOK: Duration = Duration::from_secs(5);
/// The same while a directory is not there.
const SEARCH: Duration = Duration::from_secs(1);

/// A file, and the routers and places of the tracks that follow it.
pub struct Followed {
    pub path: PathBuf,
    pub followers: Vec<(usize, usize)>,
}

/// Tells of each change of a number.
pub async fn watch(files: Vec<Followed>, tell: mpsc::Sender<Event>) {
    // Without inotify it looks now and then.
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
    let events = events.and_then(|fd| raw::watch(fd).ok());
    let mut last: Vec<Option<Result<i32, String>>> = vec![None; files.len()];
    loop {
        // Before the files are read, so that no change falls between.
        let watched = events.as_ref().is_some_and(|fd| files.iter().all(|f| listen(fd, &f.path)));
        for (file, last) in files.iter().zip(&mut last) {
            let value = number(&file.path);
            if last.as_ref() == Some(&value) {
                continue;
            }
            for &(router, track) in &file.followers {
                let event = Event::Number { router, track, value: value.clone() };
                if tell.send(event).await.is_err() {
                    return;
                }
            }
            *last = Some(value);
        }
        let pause = if watched { LOOK } else { SEARCH };
        let _later = tokio::time::timeout(pause, changed(events.as_ref())).await;
    }
}

/// Its directory, because the file may be replaced, or not be there yet.
fn listen(events: &AsyncFd<OwnedFd>, file: &Path) -> bool {
    let flags = WatchFlags::CLOSE_WRITE
        | WatchFlags::MOVED_TO
        | WatchFlags::MOVED_FROM
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF;
    let directory = file.parent().unwrap_or_else(|| Path::new("/"));
    inotify::add_watch(events.get_ref(), directory, flags).is_ok()
}

/// Something happened in one of the directories.
async fn changed(events: Option<&AsyncFd<OwnedFd>>) {
    let Some(events) = events else { return std::future::pending().await };
    let Ok(mut ready) = events.readable().await else { return std::future::pending().await };
    let mut buffer = [0; 4096];
    while let Ok(Ok(1..)) = ready.try_io(|fd| rustix::io::read(fd, &mut buffer).map_err(io::Error::from)) {}
}

fn number(path: &Path) -> Result<i32, String> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(format!("file {shown}: {error}")),
        // A pipe would keep us waiting.
        Ok(data) if !data.is_file() => return Err(format!("file {shown} is no file")),
        Ok(_) => {}
    }
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST).read_to_string(&mut text))
        .map_err(|error| format!("file {shown}: {error}"))?;
    parse(&text).ok_or_else(|| format!("file {shown} holds no number: '{}'", text.trim().escape_debug()))
}

fn parse(text: &str) -> Option<i32> {
    match text.trim() {
        // As it is for a moment while a shell writes it.
        "" => Some(0),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers() {
        let check = |text, expected| assert_eq!(super::parse(text), expected, "{text:?}");
        check("12\n", Some(12));
        check(" -3 ", Some(-3));
        check("", Some(0));
        check("drain", None);
        check("1 2", None);
        check("99999999999", None);
    }
}
