//! `balance first`: the server with the lowest id that has room.

use super::pool::Pool;

#[derive(Debug)]
pub struct First {
    by_id: Vec<usize>,
}

impl First {
    #[must_use]
    pub fn new(pool: &Pool) -> Self {
        let mut by_id: Vec<usize> = (0..pool.servers.len()).collect();
        by_id.sort_by_key(|i| pool.servers.get(*i).map(|s| s.id));
        Self { by_id }
    }

    #[must_use]
    pub fn pick(&self, pool: &Pool, avoid: Option<usize>) -> Option<usize> {
        let mut avoided = None;
        for i in self.by_id.iter().copied().filter(|i| pool.takes_part(*i) && pool.has_room(*i)) {
            if Some(i) != avoid {
                return Some(i);
            }
            avoided = Some(i);
        }
        avoided
    }
}
