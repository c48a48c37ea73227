//! `stats` directives of proxies. The page is drawn elsewhere; here they are read and kept.

use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::keyword::{ANY_PROXY, Keyword, NO_DEFAULTS};
use crate::config::model::action::STATS_REALM;
use crate::config::model::{HttpAction, Reply, Rule, Stats};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::config::units::Unit;
use crate::expr::Site;

const PAGE: &str = "/haproxy?stats";

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "stats admin",
        NO_DEFAULTS,
        "{ if | unless } <cond>",
        "Allows actions from the page.",
        admin,
    ),
    Keyword::new("stats auth", ANY_PROXY, "<user>:<passwd>", "An account that may see the page.", auth),
    Keyword::new("stats enable", ANY_PROXY, "", "Enables the page at its default address.", |p, l| {
        if p.at_most(l, 2) {
            change(p, |_| {});
        }
    }),
    Keyword::new("stats hide-version", ANY_PROXY, "", "Leaves the version off the page.", |p, _| {
        change(p, |s| s.hide_version = true);
    }),
    Keyword::new(
        "stats http-request",
        NO_DEFAULTS,
        "{ allow | deny | auth [realm <realm>] } [{ if | unless } <cond>]",
        "Access rules of the page.",
        rule,
    ),
    Keyword::new(
        "stats realm",
        ANY_PROXY,
        "<realm>",
        "The realm of the page's password dialogue.",
        |p, l| {
            if let Some(realm) = p.text(l, 2, "a realm name") {
                change(p, |s| s.realm = Some(realm));
            }
        },
    ),
    Keyword::new("stats refresh", ANY_PROXY, "<delay>", "Reloads the page every so often.", |p, l| {
        if let Some(delay) = p.duration(l, 2, Unit::Seconds) {
            change(p, |s| s.refresh = Some(delay));
        }
    }),
    Keyword::new(
        "stats scope",
        ANY_PROXY,
        "{ <name> | \".\" }",
        "Shows these proxies only; '.' is this one.",
        |p, l| {
            if let Some(name) = p.text(l, 2, "a proxy name") {
                change(p, |s| s.scope.push(name));
            }
        },
    ),
    Keyword::new("stats show-desc", ANY_PROXY, "[<desc>]", "Shows a description on the page.", |p, l| {
        let text = l.words.iter().skip(2).map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
        change(p, |s| s.show_desc = Some(text));
    }),
    Keyword::new("stats show-legends", ANY_PROXY, "", "Shows more details on the page.", |p, _| {
        change(p, |s| s.show_legends = true);
    }),
    Keyword::new(
        "stats show-modules",
        ANY_PROXY,
        "",
        "Accepted: what is counted of protocols stands in columns of its own (h1sess, h1req...), there is nothing by module.",
        |p, l| {
            change(p, |s| s.show_modules = true);
            let message = "'stats show-modules' : nothing is counted by module; what is counted of protocols stands in \
                           columns of its own (h1sess, h1req...).";
            p.report(Diagnostic::at(Severity::Notice, l, 1, message));
        },
    ),
    Keyword::new("stats show-node", ANY_PROXY, "[<name>]", "Shows a host name on the page.", |p, l| {
        let name = l.word(2).to_owned();
        change(p, |s| s.show_node = Some(name));
    }),
    Keyword::new("stats uri", ANY_PROXY, "<prefix>", "Where the page is.", |p, l| {
        if let Some(uri) = p.text(l, 2, "an URI prefix") {
            change(p, |s| s.uri = uri);
        }
    }),
    Keyword::new("stats", ANY_PROXY, "<directive>", "See the directives by name.", |p, l| {
        let names = TABLE.iter().filter_map(|k| k.name.strip_prefix("stats "));
        let list = names.clone().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ");
        let message = format!("unknown stats parameter '{}', expects {list}.", l.word(1));
        let mut diagnostic = Diagnostic::at(Severity::Alert, l, 1, message);
        diagnostic.hint = suggest::hint(l.word(1), names);
        p.report(diagnostic);
    }),
];

/// Any directive enables the page.
fn change(parser: &mut Parser, apply: impl FnOnce(&mut Stats)) {
    let Some(draft) = parser.draft() else { return };
    let stats = draft.proxy.stats.get_or_insert_with(|| Stats {
        enabled: true,
        uri: PAGE.into(),
        ..Stats::default()
    });
    apply(stats);
}

fn auth(parser: &mut Parser, line: &Line) {
    let Some(account) = parser.text(line, 2, "a user:password account") else { return };
    let (user, password) = account.split_once(':').unwrap_or((&account, ""));
    let account = (user.to_owned(), password.to_owned());
    change(parser, |s| {
        s.auth.retain(|known| known.0 != account.0);
        s.auth.push(account);
    });
}

fn admin(parser: &mut Parser, line: &Line) {
    match parser.condition(line, 2, "'stats admin'", Site::HttpRequest) {
        Ok(Some(condition)) => change(parser, |s| s.admin.push(condition)),
        Ok(None) => {
            let message = "'stats admin' requires either 'if' or 'unless' followed by a condition.";
            parser.alert(line, 1, message);
        }
        Err(()) => {}
    }
}

fn rule(parser: &mut Parser, line: &Line) {
    let mut next = 3;
    let action = match line.word(2) {
        "allow" => HttpAction::Allow,
        "deny" => HttpAction::Deny(Reply { status: 403, ..Reply::default() }),
        "auth" => {
            let mut realm = Some(STATS_REALM.to_owned());
            if line.word(3) == "realm" {
                realm = parser.text(line, 4, "a realm name");
                next = 5;
            }
            HttpAction::Auth { realm }
        }
        other => {
            let message = format!("'stats http-request' expects 'allow', 'deny' or 'auth' (got '{other}').");
            let mut diagnostic = Diagnostic::at(Severity::Alert, line, 2, message);
            diagnostic.hint = suggest::hint(other, ["allow", "deny", "auth"]);
            return parser.report(diagnostic);
        }
    };
    let Ok(condition) = parser.condition(line, next, "'stats http-request'", Site::HttpRequest) else {
        return;
    };
    let rule = Rule { place: Some(line.place.clone()), condition, action };
    change(parser, |s| s.http_request.push(rule));
}
