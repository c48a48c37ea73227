//! What the engine is asked about the kernel's tables. Questions are left at a desk on the control thread and answered in turn; a table
//! of flows is asked for in chunks, so that nobody waits for all of it.

use crate::live::Generation;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Questions that may wait.
const WAITING: usize = 64;

/// A flow, or a persistence template: its client's port is 0 then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowView {
    /// 6 or 17.
    pub protocol: u8,
    pub client: SocketAddr,
    /// As the client sees it.
    pub service: SocketAddr,
    pub server: SocketAddr,
    /// IPVS's name.
    pub state: &'static str,
    /// Seconds until it is forgotten if nothing more is heard.
    pub left: u64,
}

/// Some flows, and where to go on; `None`: that was the end.
#[derive(Debug, Default)]
pub struct Chunk {
    pub flows: Vec<FlowView>,
    pub next: Option<u32>,
}

/// A packet whose way is asked for. It opens a connection if no flow has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// 6 or 17.
    pub protocol: u8,
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

/// Something left at the desk, with the way back.
#[derive(Debug)]
pub enum Question {
    /// From where the last chunk ended.
    Flows(Option<u32>, oneshot::Sender<Chunk>),
    Templates(oneshot::Sender<Vec<FlowView>>),
    /// What would become of a packet, in words.
    Explain(Asked, oneshot::Sender<String>),
}

#[derive(Debug)]
pub struct Desk {
    questions: mpsc::Sender<Question>,
    /// Until the engine takes it.
    waiting: Mutex<Option<mpsc::Receiver<Question>>>,
}

impl Default for Desk {
    fn default() -> Self {
        let (questions, waiting) = mpsc::channel(WAITING);
        Self { questions, waiting: Mutex::new(Some(waiting)) }
    }
}

impl Desk {
    /// For the engine, until it leaves.
    #[must_use]
    pub fn attend(&self) -> Option<mpsc::Receiver<Question>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The engine ends, and another one may begin. Whoever waits learns that nobody answers.
    pub fn leave(&self, mut questions: mpsc::Receiver<Question>) {
        while questions.try_recv().is_ok() {}
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(questions);
    }
}

impl Generation {
    /// Flows from a place in the table on.
    pub async fn l4_flows(&self, from: Option<u32>) -> Chunk {
        self.ask_l4(|tell| Question::Flows(from, tell)).await.unwrap_or_default()
    }

    pub async fn l4_templates(&self) -> Vec<FlowView> {
        self.ask_l4(Question::Templates).await.unwrap_or_default()
    }

    /// `None`: nothing is forwarded by this process.
    pub async fn l4_explain(&self, asked: Asked) -> Option<String> {
        self.ask_l4(|tell| Question::Explain(asked, tell)).await
    }

    async fn ask_l4<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        if !self.process.l4.is_running() {
            return None;
        }
        let (tell, told) = oneshot::channel();
        self.process.l4.desk.questions.send(question(tell)).await.ok()?;
        told.await.ok()
    }
}
