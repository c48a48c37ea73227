//! What this node does for the network: the virtual routers, and the forwarding of `mode l4`. Both begin with the process, or with a reload.

use super::control::Signals;
use crate::config::model::Config;
use crate::live::Generation;
use crate::{l4, logging, tasks, vrrp};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// How long handing over virtual addresses may take: the routers' own bound, and what the system needs to remove them.
const HAND_OVER: Duration = vrrp::settings::LONGEST_HAND_OVER.saturating_add(Duration::from_secs(2));

/// What was opened for the network while the process had its privileges.
pub struct Networks {
    pub vrrp: Option<vrrp::io::Prepared>,
    pub l4: Option<l4::io::Prepared>,
    /// Limits of open files for the programs that are started.
    pub open_files: Option<(u64, u64)>,
}

/// The virtual routers, which hand their addresses over before anything else ends, and then the forwarding.
pub struct Duty {
    vrrp: Option<Routers>,
    l4: Option<Running>,
    log: Rc<logging::Sender>,
    open_files: Option<(u64, u64)>,
}

struct Running {
    stop: Rc<Notify>,
    task: tasks::Task,
}

struct Routers {
    running: Running,
    renew: mpsc::UnboundedSender<vrrp::io::Renewed>,
}

/// What another configuration makes of it. All that can fail is done.
pub struct Change {
    vrrp: Option<VrrpChange>,
    l4: Option<L4Change>,
}

enum VrrpChange {
    Begins(vrrp::io::Prepared),
    GoesOn(vrrp::io::Renewal),
}

enum L4Change {
    Begins(Box<l4::io::Prepared>),
    Ends,
}

impl Change {
    /// It does not come to it.
    pub fn undo(self) {
        if let Some(L4Change::Begins(prepared)) = self.l4 {
            prepared.undo();
        }
    }
}

impl Duty {
    pub fn start(networks: Networks, generation: &Arc<Generation>, log: &Rc<logging::Sender>) -> Self {
        let Networks { vrrp, l4, open_files } = networks;
        let mut duty = Self { vrrp: None, l4: None, log: Rc::clone(log), open_files };
        duty.begin(vrrp, l4, generation);
        duty
    }

    fn begin(
        &mut self,
        vrrp: Option<vrrp::io::Prepared>,
        l4: Option<l4::io::Prepared>,
        generation: &Arc<Generation>,
    ) {
        let inputs = || (Arc::clone(generation), Rc::clone(&self.log), Rc::new(Notify::new()));
        if let Some(prepared) = vrrp {
            let (generation, log, stop) = inputs();
            let (renew, renewals) = mpsc::unbounded_channel();
            let routers = vrrp::io::run(prepared, generation, log, Rc::clone(&stop), renewals);
            let running = Running { stop, task: tasks::start("vrrp", routers) };
            self.vrrp = Some(Routers { running, renew });
        }
        if let Some(prepared) = l4 {
            let (generation, log, stop) = inputs();
            let forwarding = l4::io::run(prepared, generation, log, Rc::clone(&stop));
            self.l4 = Some(Running { stop, task: tasks::start("l4", forwarding) });
        }
    }

    /// Makes what another configuration needs.
    ///
    /// # Errors
    /// What it lacks, as a sentence.
    pub async fn prepare(&self, old: &Config, new: &Arc<Config>) -> Result<Change, String> {
        let vrrp = match &self.vrrp {
            Some(_) => Some(VrrpChange::GoesOn(vrrp::io::Renewal::open(old, new).await?)),
            None => vrrp::io::Prepared::begin(new, self.open_files).await?.map(VrrpChange::Begins),
        };
        let l4 = match (&self.l4, new.l4_services.is_empty()) {
            (None, false) => begin_forwarding(new).await?.map(L4Change::Begins),
            (Some(_), true) => Some(L4Change::Ends),
            _ => None,
        };
        Ok(Change { vrrp, l4 })
    }

    /// Goes over to what was prepared; returns when that is done.
    pub async fn change(&mut self, change: Change, generation: &Arc<Generation>) {
        let Change { vrrp, l4 } = change;
        if let Some(L4Change::Ends) = l4
            && let Some(Running { stop, task }) = self.l4.take()
        {
            stop.notify_one();
            task.await;
        }
        let forwards = match l4 {
            Some(L4Change::Begins(prepared)) => Some(*prepared),
            _ => None,
        };
        match vrrp {
            Some(VrrpChange::Begins(prepared)) => self.begin(Some(prepared), forwards, generation),
            Some(VrrpChange::GoesOn(renewal)) => {
                self.begin(None, forwards, generation);
                self.renew(renewal, generation).await;
            }
            None => self.begin(None, forwards, generation),
        }
    }

    async fn renew(&self, renewal: vrrp::io::Renewal, generation: &Arc<Generation>) {
        let Some(routers) = &self.vrrp else { return };
        let (done, told) = oneshot::channel();
        let renewed = vrrp::io::Renewed { renewal, generation: Arc::clone(generation), done };
        // They end only with the process, or when they could not begin.
        if routers.renew.send(renewed).is_ok() {
            let _ended = told.await;
        }
    }

    /// Clients are served until the addresses have a new holder. A further signal to end, which is answered, cuts that short.
    pub async fn end(self, signals: &mut Signals) -> Option<i32> {
        let mut hurried = None;
        let all = self.vrrp.map(|routers| routers.running).into_iter().chain(self.l4);
        for Running { stop, mut task } in all {
            stop.notify_one();
            let ended = async {
                loop {
                    hurried = Some(tokio::select! {
                        () = &mut task => break,
                        _ = signals.term.recv() => libc::SIGTERM,
                        _ = signals.int.recv() => libc::SIGINT,
                    });
                    stop.notify_one();
                }
            };
            let _ = tokio::time::timeout(HAND_OVER, ended).await;
        }
        hurried
    }
}

/// Loading the programs takes a while, in which adverts must not wait.
async fn begin_forwarding(config: &Arc<Config>) -> Result<Option<Box<l4::io::Prepared>>, String> {
    let config = Arc::clone(config);
    let opened = tasks::blocking(move || l4::io::Prepared::open(&config, &[])).await;
    let prepared = opened.unwrap_or_else(|| Err("the process is ending".to_owned()))?;
    Ok(prepared.map(Box::new))
}
