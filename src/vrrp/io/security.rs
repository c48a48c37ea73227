//! Who the programs run as, and whether anybody else can write to them: a script that others can change is theirs to run as us.

use crate::config::model::Config;
use crate::config::model::vrrp::{Notify, RunAs};
use crate::net::raw;
use crate::program::Program;
use crate::tasks;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// A user and group other than ours.
pub type Identity = Option<(u32, u32)>;

/// Of the sections, in their order.
#[derive(Debug, Default)]
pub struct Identities {
    pub scripts: Vec<Identity>,
    pub routers: Vec<Identity>,
    pub groups: Vec<Identity>,
}

/// Looks at all programs there are. To be called before privileges are dropped.
///
/// # Errors
/// A sentence about the first one that must not be run, with what mends it.
pub fn admit(config: &Config) -> Result<Identities, String> {
    let vrrp = &config.vrrp;
    let mut out = Identities::default();
    for script in &vrrp.scripts {
        let title = format!("vrrp-script '{}'", script.name);
        out.scripts.push(section(config, &title, script.user.as_ref(), &[&script.command])?);
    }
    for router in &vrrp.routers {
        let title = format!("vrrp '{}'", router.name);
        out.routers.push(section(config, &title, router.notify.user.as_ref(), &programs(&router.notify))?);
    }
    for group in &vrrp.groups {
        let title = format!("vrrp-group '{}'", group.name);
        out.groups.push(section(config, &title, group.notify.user.as_ref(), &programs(&group.notify))?);
    }
    Ok(out)
}

/// Looks at a program again just before it is run: what was right at the start may have been changed since.
///
/// # Errors
/// As at the start.
pub async fn look_again(program: &Program) -> Result<(), String> {
    let path = PathBuf::from(&program.command);
    let runs_as = program.identity.map_or_else(raw::effective_uid, |(uid, _)| uid);
    // Off this thread: its file system may hang.
    let seen = tasks::blocking(move || examine(&path, runs_as)).await;
    seen.unwrap_or_else(|| Err("the process is ending".to_owned()))
}

fn programs(notify: &Notify) -> Vec<&Vec<String>> {
    let all = [&notify.master, &notify.backup, &notify.fault, &notify.stop, &notify.any];
    all.into_iter().flatten().collect()
}

fn section(
    config: &Config,
    title: &str,
    user: Option<&RunAs>,
    programs: &[&Vec<String>],
) -> Result<Identity, String> {
    let ours = ours(config);
    let identity = user.map(|user| find(user, ours)).transpose().map_err(|why| format!("{title} : {why}"))?;
    let runs_as = identity.map_or(ours, |(uid, _)| uid);
    for program in programs.iter().filter_map(|words| words.first()) {
        let path = match &config.global.chroot {
            Some(root) => root.join(program.trim_start_matches('/')),
            None => PathBuf::from(program),
        };
        examine(&path, runs_as).map_err(|why| format!("{title} : {why}"))?;
    }
    // Ourselves is nobody to change to.
    Ok(identity.filter(|_| runs_as != ours))
}

/// The user this process is going to be.
fn ours(config: &Config) -> u32 {
    let global = &config.global;
    let named = global.user.as_ref().and_then(|user| raw::user_ids(user)).map(|(uid, _)| uid);
    named.or(global.uid).unwrap_or_else(raw::effective_uid)
}

fn find(user: &RunAs, ours: u32) -> Result<(u32, u32), String> {
    let (uid, own) =
        raw::user_ids(&user.user).ok_or_else(|| format!("'user' : there is no user '{}'", user.user))?;
    let gid = match &user.group {
        None => own,
        Some(group) => raw::group_id(group).ok_or_else(|| format!("'user' : there is no group '{group}'"))?,
    };
    if ours != 0 && uid != ours {
        return Err(format!(
            "'user {}' : this process runs as {}, and cannot start programs as somebody else: remove the line, or let weir \
             stay root",
            user.user,
            name(ours)
        ));
    }
    Ok((uid, gid))
}

/// Goes along the path, and along where it leads.
fn examine(path: &Path, runs_as: u32) -> Result<(), String> {
    let real = fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()))?;
    for whole in [path, &real] {
        let mut part = PathBuf::new();
        for component in whole.components() {
            part.push(component);
            if component == Component::CurDir {
                continue;
            }
            let data = fs::symlink_metadata(&part).map_err(|error| format!("{}: {error}", part.display()))?;
            if let Some((problem, remedy)) = weakness(&data, runs_as) {
                return Err(format!(
                    "{} would run as {}, but {problem} {} (owner {}, mode {:04o}): {remedy} {}",
                    path.display(),
                    name(runs_as),
                    part.display(),
                    name(data.uid()),
                    data.mode() & 0o7777,
                    part.display()
                ));
            }
        }
    }
    let data = fs::metadata(&real).map_err(|error| format!("{}: {error}", real.display()))?;
    if !data.is_file() {
        return Err(format!("{} is no program, but a directory or a device", path.display()));
    }
    if data.mode() & 0o111 == 0 {
        return Err(format!("{} is no program: chmod a+x {}", path.display(), real.display()));
    }
    Ok(())
}

/// What is wrong with a part of the path, and the command that mends it.
fn weakness(data: &Metadata, runs_as: u32) -> Option<(&'static str, &'static str)> {
    judge(data.is_symlink(), data.is_dir(), data.uid(), data.gid(), data.mode(), runs_as)
}

fn judge(
    link: bool,
    dir: bool,
    uid: u32,
    gid: u32,
    mode: u32,
    runs_as: u32,
) -> Option<(&'static str, &'static str)> {
    if uid != 0 && uid != runs_as {
        return Some(("another user owns", if link { "chown -h root" } else { "chown root" }));
    }
    // A link's own mode says nothing; in a sticky directory nobody replaces what is not theirs.
    if link || (dir && mode & 0o1000 != 0) {
        return None;
    }
    if mode & 0o002 != 0 {
        return Some(("everybody can write to", "chmod o-w"));
    }
    if mode & 0o020 != 0 && gid != 0 {
        return Some(("its group can write to", "chmod g-w"));
    }
    None
}

/// As the system's list has it, for people.
fn name(uid: u32) -> String {
    let list = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    found.unwrap_or_else(|| uid.to_string())
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn parts_of_a_path() {
        let check = |link, dir, uid, gid, mode, runs_as, expected: Option<&str>| {
            let remedy = judge(link, dir, uid, gid, mode, runs_as).map(|(_, remedy)| remedy);
            assert_eq!(remedy, expected, "{uid}:{gid} {mode:o} as {runs_as}");
        };
        check(false, false, 0, 0, 0o755, 0, None);
        check(false, false, 0, 0, 0o775, 0, None);
        check(false, false, 0, 5, 0o775, 0, Some("chmod g-w"));
        check(false, false, 0, 0, 0o757, 0, Some("chmod o-w"));
        check(false, true, 0, 0, 0o1777, 0, None);
        check(false, false, 1000, 1000, 0o755, 0, Some("chown root"));
        check(false, false, 1000, 1000, 0o755, 1000, None);
        check(false, false, 1001, 1000, 0o755, 1000, Some("chown root"));
        check(true, false, 0, 0, 0o777, 0, None);
        check(true, false, 1000, 0, 0o777, 0, Some("chown -h root"));
    }
}
