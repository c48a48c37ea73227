//! `acl` lines.

use crate::config::keyword::{ANY_PROXY, Keyword};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::expr::{Acl, ExprError, Site};

pub const TABLE: &[Keyword] = &[Keyword::new(
    "acl",
    ANY_PROXY,
    "<aclname> <criterion> [flags] [operator] [<value>] ...",
    "Declares or completes an access list: several lines of one name are alternatives.",
    acl,
)];

fn acl(parser: &mut Parser, line: &Line) {
    let name = line.word(1);
    let context = format!("error detected while parsing ACL '{name}'");
    if name.is_empty() {
        return parser.alert(line, 0, format!("{context} : missing ACL name."));
    }
    let words: Vec<&str> = line.words.iter().skip(2).map(|w| w.text.as_str()).collect();
    let Some(draft) = parser.draft() else { return };
    // Where the ACL will be used is not known yet: what it fetches is checked at each use.
    let parsed = Acl::parse(name, &words, Site::HttpRequest, &draft.scope);
    match parsed {
        Ok(acl) => {
            if let Some(warning) = acl.without_pattern(&words) {
                parser.warning(line, 2, warning);
            }
            declare(parser, line, acl);
        }
        Err(error) => {
            let at_name = error.message.contains("acl name");
            let error = ExprError { word: if at_name { 0 } else { error.word + 1 }, ..error };
            parser.expr_error(line, 1, &context, error);
        }
    }
}

fn declare(parser: &mut Parser, line: &Line, acl: Acl) {
    let Some(draft) = parser.draft() else { return };
    if !draft.scope.acls.declare(acl) {
        parser.alert(line, 1, format!("ACL '{}' cannot be completed here.", line.word(1)));
    }
}
