//! The engine on the control thread: follows the servers' states with the maps, ends flows that are over, and attaches to interfaces that
//! appear.

use super::answer;
use super::host::{self, Families, Host};
use super::minimum;
use super::missing::missing;
use super::pins::Pins;
use super::routes::{self, Routes};
use super::sync::{self, Part, Sync};
use super::{Limits, Plane, Walk, now};
use crate::config::model::Config;
use crate::l4::abi::{Count, Mode, Server, Template, TemplateKey, server_flag};
use crate::l4::explain::Tables;
use crate::l4::ids::Ids;
use crate::l4::parity::Parity;
use crate::l4::plan::{Plan, Wanted, plan};
use crate::l4::reconcile;
use crate::l4::wanted::{Whole, wanted};
use crate::l4::write::Write;
use crate::live::Generation;
use crate::live::l4::{Figures, Question};
use crate::live::vrrp::RouterView;
use crate::logging::{self, level};
use crate::tasks;
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};

/// How often the servers' states are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Looks between two at the interfaces, and at what the servers carry.
const SELDOM: u32 = 10;
/// Chunks of the flows' table read at one look.
const CHUNKS: u32 = 8;
const UDP: u8 = 17;

/// What needs privileges, done before they are dropped: the programs loaded and attached, forwarding turned on.
pub struct Prepared {
    plane: Plane,
    host: Host,
    sync: Option<UdpSocket>,
}

impl Prepared {
    /// `None` without services in `mode l4`. `replaced`: processes that end when this one serves, and whose flows go on.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn open(config: &Config, replaced: &[i32]) -> Result<Option<Self>, String> {
        if config.l4_services.is_empty() {
            // A process that was killed may have had some.
            Pins::sweep();
            return Ok(None);
        }
        let sync = config.global.l4.sync.as_deref().map(sync::open).transpose()?;
        let mut plane = Plane::open_kept(Limits::default(), replaced)?;
        let vips = config.l4_services.iter().flat_map(|s| &s.vips);
        let mut host = Host::prepare(Families::of(vips.map(|v| v.address)))?;
        if let Err(problem) = plane.attach() {
            host.restore();
            return Err(problem);
        }
        host.take_over(plane.pins.as_ref().map_or(0, Pins::turned_on));
        Ok(Some(Self { plane, host, sync }))
    }

    /// Before the process becomes another user, who is to put away what is kept.
    pub fn give_to(&mut self, uid: Option<u32>) {
        if let Some(pins) = &mut self.plane.pins {
            pins.give_to(uid);
        }
    }

    /// It does not come to forwarding after all, and the process goes on.
    pub fn undo(mut self) {
        self.host.restore();
    }

    /// For the parent of a process that goes to the background: the child has it all, and undoes it.
    pub fn leave_to_child(self) {
        std::mem::forget(self);
    }
}

/// Forwards until told to stop.
pub async fn run(
    prepared: Prepared,
    generation: Arc<Generation>,
    log: Rc<logging::Sender>,
    stop: Rc<Notify>,
) {
    let Prepared { plane, host, sync } = prepared;
    let settings = generation.config.global.l4.sync.clone();
    let sync = sync.zip(settings).and_then(|(socket, settings)| Sync::new(socket, settings).ok());
    let mut engine = Engine {
        plane,
        host,
        generation,
        log,
        ids: Ids::default(),
        now: Plan::default(),
        wanted: Vec::new(),
        whole: Whole::new(),
        parity: Parity::default(),
        walk: Walk::default(),
        templates: Walk::default(),
        told: Vec::new(),
        sync,
    };
    for change in engine.host.changed() {
        engine.say(level::NOTICE, &format!("mode l4 : {change}"));
    }
    let process = Arc::clone(&engine.generation.process);
    engine.settle();
    process.l4.set_running(true);
    let mut routes = engine.watch_routes().await;
    let mut questions = process.l4.desk.attend();
    let mut looks = 0u32;
    loop {
        if engine.plane.is_ours() {
            engine.follow();
            engine.end_flows();
            if looks.is_multiple_of(SELDOM) {
                engine.attach();
                engine.publish();
                engine.find_out_who_speaks().await;
            }
            engine.synchronise();
        } else {
            // Another process goes on with the flows. Its program stands before ours.
            engine.host.leave();
            engine.sync = None;
        }
        looks = looks.wrapping_add(1);
        tokio::select! {
            biased;
            () = stop.notified() => break,
            () = process.l4.changed.notified() => {}
            Some(question) = asked(&mut questions) => {
                engine.answer(question);
                continue;
            }
            () = heard(engine.sync.as_ref()) => {}
            change = routes::change(&mut routes) => {
                engine.learn_routes(routes.as_mut(), change).await;
                continue;
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    process.l4.set_running(false);
    if let Some(questions) = questions {
        process.l4.desk.leave(questions);
    }
    if engine.plane.is_ours() {
        engine.host.restore();
    }
}

struct Engine {
    plane: Plane,
    host: Host,
    generation: Arc<Generation>,
    log: Rc<logging::Sender>,
    ids: Ids,
    /// What the maps hold.
    now: Plan,
    /// What that came from.
    wanted: Vec<Wanted>,
    whole: Whole,
    parity: Parity,
    walk: Walk,
    templates: Walk<TemplateKey, Template>,
    /// Problems already in the log.
    told: Vec<String>,
    sync: Option<Sync>,
}

impl Engine {
    /// Takes over what another process left, or begins with nothing.
    fn settle(&mut self) {
        match &mut self.plane.pins {
            Some(pins) => pins.settle(self.host.turned_on()),
            None => self.say(level::NOTICE, "mode l4 : no BPF file system at /sys/fs/bpf: flows end with this process (mount -t bpf bpf /sys/fs/bpf)"),
        }
        if let Some(held) = self.plane.taken_over() {
            self.ids = Ids::after(&held);
            self.now = held.plan();
            self.follow();
            let carried = self.carried();
            self.generation.process.l4.begin_with(carried);
        } else {
            self.follow();
        }
        let lost = self.plane.pins.as_mut().and_then(Pins::bury);
        lost.iter().for_each(|sentence| self.say(level::WARNING, sentence));
    }

    /// Brings the maps to what the servers' states ask for.
    fn follow(&mut self) {
        let idle: Vec<_> = self.ids.leaving().filter(|id| self.plane.is_idle(*id)).collect();
        for server in idle {
            self.ids.forget(server);
        }
        let before = self.whole.clone();
        self.generation = self.generation.latest();
        let mut all = wanted(&self.generation, &mut self.whole);
        self.tell_of_turns(&before);
        let mut problems = Vec::new();
        all.retain(|service| {
            let what = missing(service.settings.one_packet, service.servers.iter().map(|s| s.forward));
            problems.extend(what.map(|what| {
                format!(
                    "mode l4 : '{}' is not forwarded: '{what}' is not supported by weir yet",
                    service.name
                )
            }));
            what.is_none()
        });
        problems.extend(self.set_up(&all).err());
        let (ids, plane) = (&self.ids, &self.plane);
        self.parity.judge(&mut all, |service, server, address| {
            ids.find(service, server, address).map(|id| plane.load(id)).unwrap_or_default()
        });
        let (next, more) = plan(&all, &mut self.ids);
        problems.extend(more);
        let writes = reconcile::writes(&self.now, &next);
        for write in &writes {
            problems.extend(self.plane.apply(&localized(write.clone())).err());
        }
        // Once nothing leads there any more.
        for write in &writes {
            problems.extend(self.clear(write).err());
        }
        self.now = next;
        self.wanted = all;
        self.tell(problems);
    }

    /// What services that have come since the start need of the host.
    fn set_up(&mut self, all: &[Wanted]) -> Result<(), String> {
        let addresses = all.iter().flat_map(|service| {
            let servers = service.servers.iter().map(|server| server.address);
            service.addresses.iter().map(|(address, _)| *address).chain(servers)
        });
        let changes = self.host.serve(Families::of(addresses.map(|address| address.ip())))?;
        for change in &changes {
            self.say(level::NOTICE, &format!("mode l4 : {change}"));
        }
        if let (false, Some(pins)) = (changes.is_empty(), &mut self.plane.pins) {
            pins.note(self.host.turned_on());
        }
        Ok(())
    }

    /// Ends what a write leaves behind: UDP flows of a server that was removed, and a removed service's templates.
    fn clear(&mut self, write: &Write) -> Result<(), String> {
        match write {
            Write::Server { id, server } if server.flags & server_flag::END_UDP != 0 => {
                self.plane.end_flows_of(*id, Some(UDP), now()).map(drop)
            }
            Write::RemoveService { id } => self.plane.forget_templates_of(*id, now()),
            _ => Ok(()),
        }
    }

    /// Services that were lost, or are whole again.
    fn tell_of_turns(&self, before: &Whole) {
        for turn in minimum::turns(&self.generation.config, before, &self.whole) {
            self.say(if turn.is_whole { level::NOTICE } else { level::ALERT }, &turn.sentence());
            let (log, generation) = (Rc::clone(&self.log), Arc::clone(&self.generation));
            tasks::detached("l4 minimum", async move {
                if let Err(problem) = turn.tell().await {
                    say(&log, &generation, level::ERR, &problem);
                }
            });
        }
    }

    /// Puts what the servers carry where commands and pages read it.
    fn publish(&self) {
        let counts = Count::ALL.iter().map(|what| (what.name(), self.plane.count(*what))).collect();
        self.generation.process.l4.note_events(counts);
        self.generation.publish_l4(self.carried(), Instant::now());
    }

    fn carried(&self) -> HashMap<(String, SocketAddr), Figures> {
        let mut figures = HashMap::new();
        for service in &self.wanted {
            for server in &service.servers {
                let Some(id) = self.ids.find(&service.name, &server.name, server.address) else { continue };
                let (load, traffic) = (self.plane.load(id), self.plane.traffic(id));
                let carried = Figures {
                    active: load.active,
                    inactive: load.inactive,
                    persistent: load.persistent,
                    flows: traffic.flows,
                    in_packets: traffic.in_packets,
                    out_packets: traffic.out_packets,
                    in_bytes: traffic.in_bytes,
                    out_bytes: traffic.out_bytes,
                };
                figures.insert((service.name.to_string(), server.address), carried);
            }
        }
        figures
    }

    fn end_flows(&mut self) {
        for _ in 0..CHUNKS {
            match self.plane.expire_chunk(&mut self.walk, now()) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(problem) => return self.tell(vec![problem]),
            }
        }
        if let Err(problem) = self.plane.forget_chunk(&mut self.templates, now()) {
            self.tell(vec![problem]);
        }
    }

    /// Attaches to interfaces that have appeared. Where somebody took the program off it is put back at the next look, so that whoever
    /// follows this node's forwarding sees that it failed.
    fn attach(&mut self) {
        let lost = self.plane.lost();
        let ailment = if lost.is_empty() {
            self.plane.attach().err()
        } else {
            Some(format!("mode l4 : somebody took the packet program off {}", lost.join(", ")))
        };
        self.generation.process.l4.set_ailment(ailment.clone());
        self.tell(ailment.into_iter().collect());
    }

    /// Whoever has the virtual addresses tells of flows; where nobody says who has them, everybody does.
    async fn find_out_who_speaks(&mut self) {
        let Some(sync) = &mut self.sync else { return };
        let routers = self.generation.vrrp_routers().await;
        sync.play(if self.generation.config.vrrp.routers.is_empty() {
            Part::Equal
        } else if routers.iter().any(RouterView::is_master) {
            Part::Master
        } else {
            Part::Backup
        });
    }

    fn synchronise(&mut self) {
        let Some(sync) = &mut self.sync else { return };
        let heard = sync.hear(&mut self.plane, &self.now);
        sync.ask();
        let told = heard.and_then(|()| sync.tell(&self.plane, &self.now));
        self.tell(told.err().into_iter().collect());
    }

    /// From here on packets keep the routes they find.
    async fn watch_routes(&mut self) -> Option<Routes> {
        let mut routes = Routes::watch();
        if routes.is_none() {
            self.say(level::WARNING, "mode l4 : no netlink: every packet asks for its route, which is slow");
        }
        self.learn_routes(routes.as_mut(), routes::Change::Rules).await;
        routes
    }

    /// Packets forget at once what they know, before it is found out what the rules say now.
    async fn learn_routes(&mut self, routes: Option<&mut Routes>, change: routes::Change) {
        let Some(routes) = routes.filter(|_| self.plane.is_ours()) else { return };
        let mut turned = self.plane.routes_changed(routes.by_source);
        if change == routes::Change::Rules {
            routes.read_rules().await;
            turned = self.plane.routes_changed(routes.by_source);
        }
        self.tell(turned.err().into_iter().collect());
    }

    fn answer(&self, question: Question) {
        let tables = Tables { plan: &self.now, ids: &self.ids, wanted: &self.wanted };
        answer::answer(&self.plane, tables, question);
    }

    /// Each problem once.
    fn tell(&mut self, problems: Vec<String>) {
        for problem in problems {
            if !self.told.contains(&problem) {
                self.say(level::ERR, &problem);
                self.told.push(problem);
            }
        }
    }

    fn say(&self, level: u8, text: &str) {
        say(&self.log, &self.generation, level, text);
    }
}

async fn heard(sync: Option<&Sync>) {
    match sync {
        Some(sync) => sync.readable().await,
        None => std::future::pending().await,
    }
}

async fn asked(questions: &mut Option<mpsc::Receiver<Question>>) -> Option<Question> {
    match questions {
        Some(questions) => questions.recv().await,
        None => None,
    }
}

fn say(log: &logging::Sender, generation: &Generation, level: u8, text: &str) {
    log.emit(&generation.config.global.log, level, None, b"", text.as_bytes());
}

/// What the plan does not know: a server that is this host is handed its packets, and tunnels begin at an address of this host.
fn localized(write: Write) -> Write {
    let Write::Server { id, server } = write else { return write };
    let address = server.address.ip();
    if server.mode != 0 && crate::net::own::is_local(address) {
        return Write::Server { id, server: Server { mode: Mode::Local as u8, ..server } };
    }
    let local = host::address_towards(address).map(Into::into).unwrap_or_default();
    Write::Server { id, server: Server { local, ..server } }
}
