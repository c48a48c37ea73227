//! Routes and rules that follow the addresses, by rtnetlink.

use super::address::{Kernel, code, words};
use crate::config::model::vrrp::{Prefix, VirtualRoute, VirtualRule};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

/// RTPROT_KEEPALIVED: `ip route` names it so. Only what bears it is removed.
const PROTOCOL: RouteProtocol = RouteProtocol::Other(18);

impl Kernel {
    /// # Errors
    /// A sentence with the route; that it is there already is none.
    pub async fn add_route(
        &self,
        route: &VirtualRoute,
        device: Option<u32>,
        six: bool,
    ) -> Result<(), String> {
        let message = route_message(route, device, six);
        match self.handle.route().add(message).execute().await {
            Err(error) if code(&error) != Some(libc::EEXIST) => {
                Err(format!("cannot add route {}: {}", route.text, words(&error)))
            }
            _ => Ok(()),
        }
    }

    /// Whether it was there.
    ///
    /// # Errors
    /// A sentence with the route.
    pub async fn remove_route(
        &self,
        route: &VirtualRoute,
        device: Option<u32>,
        six: bool,
    ) -> Result<bool, String> {
        match self.handle.route().del(route_message(route, device, six)).execute().await {
            Ok(()) => Ok(true),
            // Gone with its interface or its address.
            Err(e)
                if matches!(
                    code(&e),
                    Some(libc::ESRCH | libc::ENODEV | libc::ENETDOWN | libc::ENETUNREACH)
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(format!("cannot remove route {}: {}", route.text, words(&error))),
        }
    }

    /// # Errors
    /// A sentence with the rule; that it is there already is none.
    pub async fn add_rule(&self, rule: &VirtualRule, six: bool) -> Result<(), String> {
        let mut request = self.handle.rule().add();
        *request.message_mut() = rule_message(rule, six);
        match request.execute().await {
            Err(error) if code(&error) != Some(libc::EEXIST) => {
                Err(format!("cannot add rule {}: {}", rule.text, words(&error)))
            }
            _ => Ok(()),
        }
    }

    /// Whether it was there.
    ///
    /// # Errors
    /// A sentence with the rule.
    pub async fn remove_rule(&self, rule: &VirtualRule, six: bool) -> Result<bool, String> {
        match self.handle.rule().del(rule_message(rule, six)).execute().await {
            Ok(()) => Ok(true),
            Err(error) if code(&error) == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(format!("cannot remove rule {}: {}", rule.text, words(&error))),
        }
    }
}

fn family(six: bool) -> AddressFamily {
    if six { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

fn route_message(route: &VirtualRoute, device: Option<u32>, six: bool) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = family(six);
    header.protocol = PROTOCOL;
    header.kind = RouteType::Unicast;
    // IPv6 has no scopes.
    header.scope = if route.via.is_some() || six { RouteScope::Universe } else { RouteScope::Link };
    let all = &mut message.attributes;
    if let Some(Prefix { address, length }) = route.to {
        header.destination_prefix_length = length;
        all.push(RouteAttribute::Destination(address.into()));
    }
    match u8::try_from(route.table) {
        Ok(table) => header.table = table,
        Err(_) => all.push(RouteAttribute::Table(route.table)),
    }
    all.extend(route.via.map(|via| RouteAttribute::Gateway(via.into())));
    all.extend(route.source.map(|source| RouteAttribute::PrefSource(source.into())));
    all.extend(device.map(RouteAttribute::Oif));
    all.extend(route.metric.map(RouteAttribute::Priority));
    message
}

fn rule_message(rule: &VirtualRule, six: bool) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family(six);
    message.header.action = RuleAction::ToTable;
    message.header.table = u8::try_from(rule.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    let all = &mut message.attributes;
    if let Some(Prefix { address, length }) = rule.from {
        message.header.src_len = length;
        all.push(RuleAttribute::Source(address));
    }
    if let Some(Prefix { address, length }) = rule.to {
        message.header.dst_len = length;
        all.push(RuleAttribute::Destination(address));
    }
    all.push(RuleAttribute::Table(rule.table));
    all.push(RuleAttribute::Protocol(PROTOCOL));
    all.extend(rule.interface.clone().map(RuleAttribute::Iifname));
    all.extend(rule.mark.map(RuleAttribute::FwMark));
    all.extend(rule.priority.map(RuleAttribute::Priority));
    message
}
