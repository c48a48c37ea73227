//! What the kernel tells of its routes: when they change, and whether they differ by where packets come from.

use crate::tasks::{self, Task};
use futures_util::stream::{LocalBoxStream, StreamExt};
use futures_util::{FutureExt, TryStreamExt};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::rule::{RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion, MulticastGroup};
use std::future::pending;

/// All that a route may depend on. Routes go with their interface without a word of their own.
const GROUPS: [MulticastGroup; 8] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
    MulticastGroup::Nexthop,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    Routes,
    /// Rules too: or nobody knows what.
    Rules,
}

pub struct Routes {
    handle: Handle,
    changes: LocalBoxStream<'static, Change>,
    _connection: Task,
    /// Routes may differ by where packets come from.
    pub by_source: bool,
}

impl Routes {
    pub fn watch() -> Option<Self> {
        let (connection, handle, messages) = rtnetlink::new_multicast_connection(&GROUPS).ok()?;
        let connection = tasks::start("l4 netlink", connection);
        let changes = messages.map(|(message, _)| change_of(&message)).boxed_local();
        Some(Self { handle, changes, _connection: connection, by_source: true })
    }

    pub async fn read_rules(&mut self) {
        let mut by_source = false;
        for version in [IpVersion::V4, IpVersion::V6] {
            let rules: Result<Vec<RuleMessage>, _> =
                self.handle.rule().get(version).execute().try_collect().await;
            // Without IPv6 there are none of it.
            by_source |= rules.is_ok_and(|rules| rules.iter().any(|rule| !is_ordinary(rule)));
        }
        self.by_source = by_source;
    }

    /// The next change; those that came with it are the same one.
    async fn next(&mut self) -> Option<Change> {
        let mut change = self.changes.next().await?;
        while let Some(Some(more)) = self.changes.next().now_or_never() {
            change = change.max(more);
        }
        Some(change)
    }
}

/// Waits for a change; without a watch, for ever.
pub async fn change(routes: &mut Option<Routes>) -> Change {
    let Some(watch) = routes else { return pending().await };
    match watch.next().await {
        Some(change) => change,
        None => pending().await,
    }
}

fn change_of(message: &NetlinkMessage<RouteNetlinkMessage>) -> Change {
    match message.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRule(_) | RouteNetlinkMessage::DelRule(_))
        | NetlinkPayload::Overrun(_) => Change::Rules,
        _ => Change::Routes,
    }
}

/// One of the three that are always there: for the tables local, main and default.
fn is_ordinary(rule: &RuleMessage) -> bool {
    let priority = rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Priority(priority) => Some(*priority),
        _ => None,
    });
    matches!(priority, None | Some(0 | 32766 | 32767)) && rule.header.src_len == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(priority: Option<u32>, source_length: u8) -> RuleMessage {
        let mut rule = RuleMessage::default();
        rule.header.src_len = source_length;
        rule.attributes.extend(priority.map(RuleAttribute::Priority));
        rule
    }

    #[test]
    fn tells_rules_that_were_added() {
        for ordinary in [None, Some(0), Some(32766), Some(32767)] {
            assert!(is_ordinary(&rule(ordinary, 0)), "{ordinary:?}");
        }
        assert!(!is_ordinary(&rule(Some(1000), 0)));
        assert!(!is_ordinary(&rule(Some(0), 24)));
    }
}
