//! Which entries of a list stand behind one key: nearly always one.

/// Entry numbers in ascending order, never empty while stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Places {
    One(u32),
    Many(Vec<u32>),
}

impl Places {
    pub fn first(&self) -> u32 {
        match self {
            Self::One(index) => *index,
            Self::Many(all) => all.first().copied().unwrap_or(u32::MAX),
        }
    }

    pub fn all(&self) -> &[u32] {
        match self {
            Self::One(index) => std::slice::from_ref(index),
            Self::Many(all) => all,
        }
    }

    pub fn add(&mut self, index: u32) {
        match self {
            Self::One(first) => *self = Self::Many(vec![*first, index]),
            Self::Many(all) => all.push(index),
        }
    }

    /// Answers whether none is left.
    pub fn remove(&mut self, index: u32) -> bool {
        match self {
            Self::One(first) => *first == index,
            Self::Many(all) => {
                all.retain(|i| *i != index);
                all.is_empty()
            }
        }
    }
}

/// Notes `index` under `key`.
pub(crate) fn note<K: std::hash::Hash + Eq>(
    table: &mut std::collections::HashMap<K, Places>,
    key: K,
    index: u32,
) {
    table.entry(key).and_modify(|places| places.add(index)).or_insert(Places::One(index));
}

/// Forgets `index` under `key`.
pub(crate) fn forget<K, Q>(table: &mut std::collections::HashMap<K, Places>, key: &Q, index: u32)
where
    K: std::hash::Hash + Eq + std::borrow::Borrow<Q>,
    Q: std::hash::Hash + Eq + ?Sized,
{
    if table.get_mut(key).is_some_and(|places| places.remove(index)) {
        table.remove(key);
    }
}
