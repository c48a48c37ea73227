//! `tls-ticket-keys <file>`

use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::expr::base64_decode;
use crate::tls::tickets::{KEYS, SIZES, TicketKeys};
use std::sync::Arc;

/// The keys of the file that word `index` names; `None`: they cannot be had, and that is reported.
pub fn read(parser: &mut Parser, line: &Line, index: usize) -> Option<Arc<TicketKeys>> {
    let name = line.word(index);
    if let Some(known) = parser.tls.store.ticket_keys(name) {
        return Some(known);
    }
    let keys = match std::fs::read_to_string(parser.path(line, name)) {
        Ok(text) => decode(&text),
        Err(_) => Err("unable to load ssl tickets keys file".to_owned()),
    };
    match keys {
        Ok(keys) => {
            let keys = Arc::new(TicketKeys::new(name.into(), keys));
            parser.tls.store.add_ticket_keys(Arc::clone(&keys));
            Some(keys)
        }
        Err(why) => {
            parser.alert(line, index, format!("'{name}' : {why}"));
            None
        }
    }
}

fn decode(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty()) {
        let key = base64_decode(line.trim_end().as_bytes(), false)
            .ok_or_else(|| format!("unable to decode base64 key on line {number}"))?;
        let wanted = keys.first().map_or(key.len(), Vec::len);
        if !SIZES.contains(&key.len()) || key.len() != wanted {
            return Err(format!("wrong sized key on line {number}"));
        }
        keys.push(key);
    }
    if keys.len() < KEYS {
        return Err(format!("please supply at least {KEYS} keys in the tls-tickets-file"));
    }
    Ok(keys)
}
