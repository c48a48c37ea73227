//! VRRP adverts: no bytes panic, in the codec or in a router; what is accepted and written again is read as the same advert.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};
use weir::vrrp::{Input, Preempt, Received, Router, Settings};
use weir::wire::vrrp::{Advert, Auth, GROUP_V4, GROUP_V6, TTL, Version};

fuzz_target!(|bytes: &[u8]| {
    let Some((first, payload)) = bytes.split_first() else { return };
    let six = first & 1 == 1;
    let (source, own, destination): (IpAddr, IpAddr, IpAddr) = if six {
        (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::UNSPECIFIED.into(), GROUP_V6.into())
    } else {
        (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::UNSPECIFIED.into(), GROUP_V4.into())
    };
    // A checksum made right lets the fuzzer behind it.
    let mut payload = payload.to_vec();
    if first & 2 == 2 && payload.len() >= 8 {
        payload[6..8].fill(0);
        let sum = if payload[0] >> 4 == 2 {
            weir::wire::checksum::Sum::of(&payload)
        } else {
            weir::wire::checksum::Sum::pseudo_header(source, destination, 112, payload.len()).and(&payload)
        };
        let sum = sum.finish().to_be_bytes();
        payload[6..8].copy_from_slice(&sum);
    }
    let Ok(advert) = Advert::parse(&payload, source, destination) else { return };
    let written = advert.write(source, destination);
    assert_eq!(Advert::parse(&written, source, destination).as_ref(), Ok(&advert));
    let mut router = Router::new(Settings {
        name: "VI".into(),
        version: advert.version,
        vrid: advert.vrid,
        priority: 100,
        interval: if advert.version == Version::V2 { advert.interval } else { Duration::from_secs(1) },
        preempt: Preempt::After(Duration::from_secs(u64::from(first >> 2))),
        starts_master: false,
        start_delay: Duration::ZERO,
        auth: if advert.version == Version::V2 { advert.auth } else { Auth::None },
        source: own,
        addresses: advert.addresses.clone(),
        peers: Vec::new(),
        min_ttl: TTL,
        announce_again: None,
        announce_every: None,
        announce_lower: Some(Duration::from_secs(1)),
        provokes: true,
    });
    let now = Instant::now();
    router.handle_input(Input::Start, now);
    for step in 0..4 {
        let now = now + Duration::from_secs(step);
        router.handle_timeout(now);
        router.handle_input(Input::Packet(Received { path: 0, local: own, source, destination, ttl: TTL, payload: &payload }), now);
        while router.poll_output().is_some() {}
    }
});
