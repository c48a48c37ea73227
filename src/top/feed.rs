//! The thread that asks the socket, so that a slow answer never holds up a key.

use super::client::{self, Address};
use super::snapshot::Snapshot;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

pub enum News {
    Snapshot(Snapshot),
    /// What a command answered; empty: done.
    Answer(String),
    Lost(String),
}

enum Order {
    Refresh,
    Command(String),
}

pub struct Feed {
    orders: Sender<Order>,
    news: Receiver<News>,
}

impl Feed {
    /// # Errors
    /// The system has no thread to spare.
    pub fn start(address: Address, interval: Duration) -> Result<Self, String> {
        let (orders, taken) = mpsc::channel();
        let (told, news) = mpsc::channel();
        std::thread::Builder::new()
            .name("feed".to_owned())
            .spawn(move || keep_asking(&address, interval, &taken, &told))
            .map_err(|e| format!("cannot start a thread: {e}"))?;
        Ok(Self { orders, news })
    }

    pub fn news(&self) -> Option<News> {
        self.news.try_recv().ok()
    }

    pub fn refresh(&self) {
        let _ = self.orders.send(Order::Refresh);
    }

    /// The command's answer comes as news, followed by a fresh snapshot.
    pub fn command(&self, command: String) {
        let _ = self.orders.send(Order::Command(command));
    }
}

fn keep_asking(address: &Address, interval: Duration, orders: &Receiver<Order>, told: &Sender<News>) {
    let mut next = Instant::now() + interval;
    loop {
        match orders.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Order::Command(command)) => {
                let news = match address.ask(&command) {
                    Ok(answer) => News::Answer(answer),
                    Err(problem) => News::Lost(problem),
                };
                if told.send(news).is_err() {
                    return;
                }
            }
            Ok(Order::Refresh) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let news = client::fetch(address).map_or_else(News::Lost, News::Snapshot);
        if told.send(news).is_err() {
            return;
        }
        next = Instant::now() + interval;
    }
}
