//! The environment as the configuration sees and changes it (`setenv` and its family act while reading).

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    vars: BTreeMap<String, String>,
}

impl Environment {
    /// The process's own environment; values that are not UTF-8 are read lossily.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned()))
            .collect()
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.vars.insert(name.to_owned(), value.to_owned());
    }

    pub fn unset(&mut self, name: &str) {
        self.vars.remove(name);
    }

    /// `resetenv`: only the names in `kept` stay.
    pub fn keep_only(&mut self, kept: &[&str]) {
        self.vars.retain(|name, _| kept.contains(&name.as_str()));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.vars.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(iter: T) -> Self {
        Self { vars: iter.into_iter().collect() }
    }
}
