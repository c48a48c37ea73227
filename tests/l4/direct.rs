//! `forward dr`: the packet as it is to the server's MAC address; the answer never crosses the director.

use crate::net::{Net, VIP, VIP6};

#[test]
fn packets_reach_the_server_untouched_and_replies_pass_the_director_by() {
    let net = Net::new("r");
    net.hold_address("s1");
    net.hold_address("s2");
    let _origins = [net.origin("s1", 80, "::"), net.origin("s2", 80, "::")];
    let mut director = net.director();
    director.services(80, 80, "dr", "rr");
    let [there, back] = [net.capture("s1", "tcp port 80"), net.capture("d", "tcp port 80")];
    let names = [0; 4].map(|_| net.curl(&format!("http://{VIP}/")).split(' ').next().unwrap().to_owned());
    assert_eq!(names, ["s1", "s2", "s1", "s2"]);
    let mac = |machine: &str| net.on(machine, "cat /sys/class/net/eth0/address").trim().to_owned();
    // From the director's MAC to the server's, between client and virtual address; only the router took one off the TTL.
    let frame = format!("{} > {},", mac("d"), mac("s1"));
    there.wait_for(&[&frame, "ttl 63", "10.71.0.2.", &format!("> {VIP}.80: Flags [S]")]);
    back.wait_for(&["10.71.0.2.", &format!("> {VIP}.80: Flags [S]")]);
    assert!(!back.has(&[&format!("{VIP}.80 > 10.71.0.2.")]), "{:?}", back.packets());
    net.move_much(&format!("http://{VIP}"));
    net.move_much(&format!("http://[{VIP6}]"));
    assert!(net.datagram(VIP, 80, "hello").ends_with("hello"));
    // One side only is seen: a client's FIN leaves the flow in FIN_WAIT.
    assert!(director.tell("flows").contains("FinWait"));
}
