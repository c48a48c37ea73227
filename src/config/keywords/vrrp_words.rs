//! How many words a line of the `vrrp` sections has, and what keepalived calls it.

use crate::config::keyword::Section;
use crate::config::parser::Parser;
use crate::config::raw::Line;

/// A word too many is told: it would be ignored else.
pub fn fit(parser: &mut Parser, line: &Line) -> bool {
    match line.word(0) {
        // These read their lines to the end.
        "address" | "command" | "route" | "rule" | "track" => true,
        name if name.starts_with("notify") => true,
        "authentication" | "email-alert" | "user" => parser.at_most(line, 3),
        _ => parser.at_most(line, 2),
    }
}

/// keepalived's words, and ours.
const OF_KEEPALIVED: [(&str, &str); 31] = [
    ("advert_int", "advert-interval"),
    ("auth_pass", "authentication pass <password>"),
    ("auth_type", "authentication pass <password>"),
    ("garp_master_delay", "garp-delay"),
    ("garp_master_refresh", "garp-refresh"),
    ("garp_master_refresh_repeat", "garp-refresh-repeat"),
    ("garp_master_repeat", "garp-repeat"),
    ("garp_lower_prio_delay", "garp-lower-prio-delay"),
    ("garp_lower_prio_repeat", "garp-lower-prio-repeat"),
    ("init_fail", "init-fail"),
    ("mcast_src_ip", "source"),
    ("no_accept", "no-accept"),
    ("notify_backup", "notify-backup"),
    ("notify_fault", "notify-fault"),
    ("notify_master", "notify-master"),
    ("notify_stop", "notify-stop"),
    ("preempt_delay", "preempt-delay"),
    ("script", "command"),
    ("smtp_alert", "email-alert"),
    ("strict_mode", "strict"),
    ("track_file", "track file"),
    ("track_interface", "track interface"),
    ("track_process", "track process"),
    ("track_script", "track script"),
    ("unicast_peer", "peer"),
    ("unicast_src_ip", "source"),
    ("use_vmac", "use-vmac"),
    ("virtual_ipaddress", "address"),
    ("virtual_router_id", "virtual-router-id"),
    ("virtual_routes", "route"),
    ("virtual_rules", "rule"),
];

/// keepalived's sections, and ours.
const SECTIONS_OF_KEEPALIVED: [(&str, &str); 4] = [
    ("vrrp_instance", "a 'vrrp' section"),
    ("vrrp_script", "a 'vrrp-script' section"),
    ("vrrp_sync_group", "a 'vrrp-group' section"),
    ("global_defs", "nothing of the kind: what it holds stands in the 'vrrp' sections"),
];

const WHERE: &str = "docs/vrrp.md has a table from keepalived to weir";

/// For a word that is keepalived's, in `section`.
pub fn hint(section: Section, word: &str) -> Option<String> {
    if !matches!(section, Section::Vrrp | Section::VrrpGroup | Section::VrrpScript) {
        return None;
    }
    let (_, ours) = OF_KEEPALIVED.iter().find(|(theirs, _)| *theirs == word)?;
    Some(format!("keepalived's '{word}' is a line '{ours}' here: {WHERE}"))
}

/// For a section's name that is keepalived's.
pub fn section_hint(word: &str) -> Option<String> {
    let (_, ours) = SECTIONS_OF_KEEPALIVED.iter().find(|(theirs, _)| *theirs == word)?;
    Some(format!("this is keepalived's language; here it is {ours}: {WHERE}"))
}

#[cfg(test)]
mod tests {
    use crate::config::environment::Environment;
    use crate::config::keywords::family;
    use crate::config::{Source, load};

    fn messages(text: &str) -> Vec<String> {
        let text = text.as_bytes().to_vec();
        let loaded = load(&[Source { name: "t.cfg".into(), bytes: text }], &Environment::default());
        let all = loaded.map_or_else(|all| all, |l| l.diagnostics);
        all.into_iter().map(|d| d.message + d.hint.as_deref().unwrap_or("")).collect()
    }

    /// No line of these sections takes a word more and ignores it.
    #[test]
    fn no_word_is_ignored() {
        let lines = [
            ("vrrp", "accept"),
            ("vrrp", "address 10.0.0.1/24"),
            ("vrrp", "advert-interval 1s"),
            ("vrrp", "authentication pass x"),
            ("vrrp", "garp-delay 1s"),
            ("vrrp", "interface eth0"),
            ("vrrp", "min-ttl 3"),
            ("vrrp", "nopreempt"),
            ("vrrp", "peer 10.0.0.2"),
            ("vrrp", "preempt-delay 3s"),
            ("vrrp", "priority 3"),
            ("vrrp", "route default"),
            ("vrrp", "rule from 10.0.0.1 table 3"),
            ("vrrp", "source 10.0.0.3"),
            ("vrrp", "start-delay 3s"),
            ("vrrp", "state backup"),
            ("vrrp", "strict"),
            ("vrrp", "track interface eth1"),
            ("vrrp", "use-vmac v0"),
            ("vrrp", "user nobody nogroup"),
            ("vrrp", "version 2"),
            ("vrrp", "virtual-router-id 3"),
            ("vrrp-group", "member VI_1"),
            ("vrrp-script", "fall 2"),
            ("vrrp-script", "init-fail"),
            ("vrrp-script", "interval 2s"),
            ("vrrp-script", "timeout 2s"),
            ("vrrp-script", "weight 2"),
        ];
        for (section, line) in lines {
            let told = messages(&format!("{section} x\n {line} @more\n"));
            let wanted = |m: &String| m.contains("@more");
            assert!(told.iter().any(wanted), "{line}: {told:?}");
            assert!(!messages(&format!("{section} x\n {line}\n")).iter().any(wanted));
        }
    }

    #[test]
    fn keepalived_s_words() {
        let check = |text: &str, expected: &str| {
            let told = messages(text);
            assert!(told.iter().any(|m| m.contains(expected)), "{text}: {told:?}");
        };
        check("vrrp_instance VI_1 {\n}\n", "here it is a 'vrrp' section: docs/vrrp.md");
        check("global\nvrrp_sync_group x {\n}\n", "here it is a 'vrrp-group' section");
        check("vrrp x\n virtual_ipaddress {\n", "'virtual_ipaddress' is a line 'address' here");
        check("vrrp-script x\n script /bin/true\n", "'script' is a line 'command' here");
        for (_, ours) in super::OF_KEEPALIVED {
            let first = ours.split(' ').next().unwrap();
            assert!(!family(first).is_empty(), "{ours}");
        }
    }
}
