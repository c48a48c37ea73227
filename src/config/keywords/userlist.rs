//! `userlist` sections.

use crate::config::keyword::{Keyword, USERLIST};
use crate::config::model::{User, UserGroup};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::expr::crypt;

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "group",
        USERLIST,
        "<groupname> [users <user>,<user>,(...)]",
        "Adds a group to the list.",
        group,
    ),
    Keyword::new(
        "user",
        USERLIST,
        "<username> [password|insecure-password <password>] [groups <group>,<group>,(...)]",
        "Adds a user to the list. 'password' is a crypt(3) hash, 'insecure-password' is the text itself.",
        user,
    ),
];

fn names(text: &str) -> Vec<String> {
    text.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect()
}

fn group(parser: &mut Parser, line: &Line) {
    let name = line.word(1);
    if name.is_empty() {
        return parser.alert(line, 0, "'group' expects <name> as argument.");
    }
    let users = match line.word(2) {
        "" => Vec::new(),
        "users" => names(line.word(3)),
        other => {
            return parser.alert(line, 2, format!("'group' only supports 'users' option (got '{other}')."));
        }
    };
    if parser.userlist.groups.iter().any(|g| g.name == name) {
        let message = format!("group '{name}' is already declared in this userlist; the first one is kept.");
        return parser.warning(line, 1, message);
    }
    parser.userlist.groups.push(UserGroup { name: name.to_owned(), users });
}

fn user(parser: &mut Parser, line: &Line) {
    let name = line.word(1);
    if name.is_empty() {
        return parser.alert(line, 0, "'user' expects <name> as argument.");
    }
    let mut user = User { name: name.to_owned(), password: String::new(), plain: false, groups: Vec::new() };
    let mut i = 2;
    while i < line.words.len() {
        let value = line.word(i + 1);
        match line.word(i) {
            "password" => {
                if !value.is_empty() && !crypt::is_supported(value) {
                    let message = "a password hash of this format is not supported by weir yet (only $6$, $5$ and $1$).";
                    return parser.alert(line, i + 1, message);
                }
                user.password = value.to_owned();
            }
            "insecure-password" => {
                user.password = value.to_owned();
                user.plain = true;
            }
            "groups" => user.groups = names(value),
            other => {
                let message = format!(
                    "'user' only supports 'password', 'insecure-password' and 'groups' options (got '{other}')."
                );
                return parser.alert(line, i, message);
            }
        }
        if line.words.len() <= i + 1 {
            return parser.alert(line, i, format!("'{}' expects an argument.", line.word(i)));
        }
        i += 2;
    }
    if parser.userlist.users.iter().any(|u| u.name == name) {
        return parser.warning(
            line,
            1,
            format!("user '{name}' is already declared in this userlist; the first one is kept."),
        );
    }
    parser.userlist.users.push(user);
}
