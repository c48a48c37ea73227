//! What the algorithms may know of a backend's servers.

/// One server as an algorithm sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// HAProxy's server `id`, from 1: `first` sorts by it, consistent hashing places nodes by it.
    pub id: u32,
    /// What the ring's points are computed from when it is not the id (`hash-key`).
    pub ring_key: Option<u32>,
    /// Configured weight, 0..=256.
    pub weight: u32,
    /// Effective weight: scaled, ramped by slow start, 0 in drain.
    pub effective: u32,
    pub backup: bool,
    /// Up, not in maintenance, not draining, effective weight above 0.
    pub usable: bool,
    /// Connections it has now.
    pub served: u32,
    /// Requests that wait for it alone.
    pub queued: u32,
    /// 0: no limit.
    pub maxconn: u32,
    pub minconn: u32,
    /// 0: no limit.
    pub maxqueue: u32,
    /// Slow start's share of `maxconn`, in percent; 100 when it is over.
    pub ramp: u32,
}

/// All servers of a backend, in the order of the configuration.
#[derive(Debug, Default)]
pub struct Pool {
    pub servers: Vec<Candidate>,
    /// Sessions in the backend (queued ones too), for the dynamic `maxconn`.
    pub sessions: u32,
    /// Sum of `served`.
    pub served: u32,
    /// 0: no dynamic limit.
    pub fullconn: u32,
    pub allbackups: bool,
    active: usize,
    backups: usize,
    weight_active: u32,
    weight_backup: u32,
    first_backup: Option<usize>,
}

/// Which servers take part now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    Active,
    /// The one backup server that replaces all (without `option allbackups`).
    Single(usize),
    Backups,
    Nobody,
}

impl Pool {
    #[must_use]
    pub fn new(servers: Vec<Candidate>, fullconn: u32, allbackups: bool) -> Self {
        let mut pool = Self { servers, fullconn, allbackups, ..Self::default() };
        pool.recount();
        pool
    }

    /// To be called after `usable` or `effective` of a server changed.
    pub fn recount(&mut self) {
        (self.active, self.backups, self.weight_active, self.weight_backup) = (0, 0, 0, 0);
        self.first_backup = None;
        for (i, s) in self.servers.iter().enumerate().filter(|(_, s)| s.usable) {
            if s.backup {
                self.backups += 1;
                self.weight_backup += s.effective;
                if !self.allbackups && self.first_backup.is_none() {
                    self.first_backup = Some(i);
                }
            } else {
                self.active += 1;
                self.weight_active += s.effective;
            }
        }
    }

    #[must_use]
    pub fn serving(&self) -> Serving {
        match (self.active, self.first_backup, self.backups) {
            (1.., _, _) => Serving::Active,
            (_, Some(i), _) => Serving::Single(i),
            (_, _, 1..) => Serving::Backups,
            _ => Serving::Nobody,
        }
    }

    /// Is server `i` among those that take new requests now?
    #[must_use]
    pub fn takes_part(&self, i: usize) -> bool {
        self.servers.get(i).is_some_and(|s| {
            s.usable
                && match self.serving() {
                    Serving::Active => !s.backup,
                    Serving::Single(only) => only == i,
                    Serving::Backups => s.backup,
                    Serving::Nobody => false,
                }
        })
    }

    #[must_use]
    pub fn active(&self) -> usize {
        self.active
    }

    #[must_use]
    pub fn backups(&self) -> usize {
        self.backups
    }

    /// How many servers a request may go to (HAProxy's `nbsrv`).
    #[must_use]
    pub fn usable(&self) -> usize {
        match self.serving() {
            Serving::Active => self.active,
            Serving::Single(_) => 1,
            Serving::Backups => self.backups,
            Serving::Nobody => 0,
        }
    }

    /// Sum of the effective weights of those that take part.
    #[must_use]
    pub fn weight(&self) -> u32 {
        match self.serving() {
            Serving::Active => self.weight_active,
            Serving::Single(i) => self.servers.get(i).map_or(0, |s| s.effective),
            Serving::Backups => self.weight_backup,
            Serving::Nobody => 0,
        }
    }

    /// Connections server `i` may have now: between `minconn` and `maxconn` by the backend's load, less while it warms
    /// up. 0: no limit.
    #[must_use]
    pub fn limit(&self, i: usize) -> u32 {
        let Some(s) = self.servers.get(i) else { return 0 };
        if s.maxconn == 0 {
            return 0;
        }
        let max = if s.minconn == s.maxconn || self.fullconn == 0 || self.sessions >= self.fullconn {
            s.maxconn
        } else {
            let share = u64::from(self.sessions) * u64::from(s.maxconn) / u64::from(self.fullconn);
            s.minconn.max(u32::try_from(share).unwrap_or(u32::MAX))
        };
        if s.ramp >= 100 { max } else { (max.saturating_mul(s.ramp) / 100).max(1) }
    }

    /// How many more connections server `i` takes now; `None`: no limit.
    #[must_use]
    pub fn room(&self, i: usize) -> Option<u32> {
        let s = self.servers.get(i).filter(|s| s.maxconn > 0)?;
        Some(self.limit(i).saturating_sub(s.served))
    }

    /// May server `i` take a connection now, nobody waiting before?
    #[must_use]
    pub fn has_room(&self, i: usize) -> bool {
        let Some(s) = self.servers.get(i) else { return false };
        s.maxconn == 0 || (s.queued == 0 && s.served < self.limit(i))
    }

    #[must_use]
    pub fn below_limit(&self, i: usize) -> bool {
        self.servers.get(i).is_some_and(|s| s.maxconn == 0 || s.served < self.limit(i))
    }

    pub fn take(&mut self, i: usize) {
        if let Some(s) = self.servers.get_mut(i) {
            s.served += 1;
            self.served += 1;
        }
    }

    pub fn release(&mut self, i: usize) {
        if let Some(s) = self.servers.get_mut(i) {
            s.served = s.served.saturating_sub(1);
            self.served = self.served.saturating_sub(1);
        }
    }
}
