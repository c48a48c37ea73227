//! The named ACLs of a proxy: found by name however many there are.

use super::Acl;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Acls {
    /// In the order of their first lines.
    list: Vec<Arc<Acl>>,
    places: HashMap<String, usize>,
}

impl Acls {
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Acl>> {
        self.places.get(name).and_then(|place| self.list.get(*place))
    }

    /// Adds an ACL, or another line's alternatives to the one of that name. `false`: a rule holds that one already.
    pub fn declare(&mut self, acl: Acl) -> bool {
        if let Some(known) = self.places.get(&acl.name).and_then(|place| self.list.get_mut(*place)) {
            return Arc::get_mut(known).map(|known| known.join(acl)).is_some();
        }
        self.places.insert(acl.name.clone(), self.list.len());
        self.list.push(Arc::new(acl));
        true
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|acl| acl.name.as_str())
    }

    pub fn clear(&mut self) {
        self.list.clear();
        self.places.clear();
    }
}
