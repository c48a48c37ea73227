//! Which of the capabilities that packet programs need the process lacks.

use std::fs;

/// Numbers of linux/capability.h.
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];
/// Stands for the last two, from before they were separate.
const SYS_ADMIN: u32 = 21;

/// # Errors
/// A sentence that names what is missing.
pub fn check() -> Result<(), String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let missing = missing(&status);
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "mode l4 needs {}, which this process does not have: start it as root, or give it CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON \
         (systemd: AmbientCapabilities=)",
        missing.join(" and ")
    ))
}

fn missing(status: &str) -> Vec<&'static str> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
    // Unreadable: let the kernel say it.
    let held = u64::from_str_radix(line.trim(), 16).unwrap_or(u64::MAX);
    let has = |number: u32| held >> number & 1 == 1;
    NEEDED
        .into_iter()
        .filter(|(number, _)| !has(*number) && (*number < SYS_ADMIN || !has(SYS_ADMIN)))
        .map(|(_, name)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_missing() {
        let check = |held: u64, expected: &[&str]| {
            assert_eq!(missing(&format!("Name:\tweir\nCapEff:\t{held:016x}\n")), expected);
        };
        check(0, &["CAP_NET_ADMIN", "CAP_PERFMON", "CAP_BPF"]);
        check(1 << 12, &["CAP_PERFMON", "CAP_BPF"]);
        check(1 << 12 | 1 << 21, &[]);
        check(1 << 12 | 1 << 38 | 1 << 39, &[]);
        check(1 << 21, &["CAP_NET_ADMIN"]);
    }
}
