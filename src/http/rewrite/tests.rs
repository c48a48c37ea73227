use super::*;

/// `expected` is `None` where the pattern is not found. Values are haproxy 2.6's.
fn check(replace: Replacer, value: &str, pattern: &str, template: &str, expected: Option<&str>) {
    let regex = Regex::new(pattern, false).unwrap();
    let got = replace(value.as_bytes(), &regex, template.as_bytes()).unwrap();
    assert_eq!(got.map(|v| String::from_utf8(v).unwrap()).as_deref(), expected, "{value} {pattern}");
}

#[test]
fn header() {
    check(whole_value, "abc, def", "(.)(.*)", r"\2-\1", Some("bc, def-a"));
    check(whole_value, "abc, def", "b", "Z", Some("Z"));
    check(whole_value, "abc, def", "^a(.)?", r"<\0\1\2\x41\\1/x>", Some(r"<abbA\1/x>"));
    check(whole_value, "q", "b", "Z", None);
    check(whole_value, "abcd", "^a(.)(q)?(.*)$", r"\Z\3-\9-\2", Some("Zcd--"));
}

#[test]
fn value() {
    let wrapped = r#"<abc>,  def ,<aq>,"a,b","#;
    check(each_item, r#"abc,  def ,aq,"a,b","#, "^a.*", r"<\0>", Some(wrapped));
    check(each_item, "q, ax", "^a.*", r"<\0>", Some("q,<ax>"));
    check(each_item, "abc,,a,", ".*", "Z", Some("Z,Z,Z,Z"));
    check(each_item, "", ".*", "Z", Some("Z"));
    check(each_item, "a , b,a\t, a ,a", "^a", r"<\0>", Some("<a>, b,<a>,<a>,<a>"));
    check(each_item, "q, x", "^a", "Z", None);
}

#[test]
fn malformed_replacement() {
    for template in [r"z\", r"\x4", r"\xzz"] {
        assert_eq!(expand(template.as_bytes(), b"a", &[Some((0, 1))]), Err(Failure::Rewrite), "{template}");
    }
}
