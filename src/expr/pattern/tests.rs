//! References that change while views look at them.

use super::edit::{EditError, Found};
use super::reference::Reference;
use super::store::{Store, Use};
use super::{Flags, Method, Output, View, ViewKey};
use crate::expr::sample::Sample;
use std::io::Write;
use std::sync::Arc;

fn key(method: Method, output: Output) -> ViewKey {
    ViewKey { method, flags: Flags::default(), output }
}

fn file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

fn map(content: &str, method: Method) -> (Arc<Reference>, Arc<View>) {
    let file = file(content);
    let store = Store::default();
    let reference = store.file(file.path().to_str().unwrap(), Use::Map).unwrap();
    let view = reference.view(key(method, Output::Text)).unwrap();
    store.finish();
    (reference, view)
}

fn value(view: &View, text: &str) -> Option<String> {
    view.value(&Sample::text(text.as_bytes())).map(|v| String::from_utf8(v.into_owned()).unwrap())
}

fn listed(reference: &Reference, version: Option<u32>) -> String {
    let line = |e: &super::reference::Entry| format!("{}={}", e.key, e.value.as_deref().unwrap_or("-"));
    reference.entries(version).iter().map(line).collect::<Vec<_>>().join(" ")
}

#[test]
fn changes_are_seen_at_once() {
    let (reference, view) = map("a 1\nb  2 3 \na 4\n", Method::Str);
    assert_eq!(value(&view, "a").as_deref(), Some("1"));
    reference.add(None, "c", Some("5")).unwrap();
    assert_eq!(value(&view, "c").as_deref(), Some("5"));
    reference.set("a", "6").unwrap();
    assert_eq!(listed(&reference, None), "a=6 b=2 3 a=6 c=5");
    reference.delete("a").unwrap();
    assert_eq!(value(&view, "a"), None);
    assert_eq!(reference.delete("a"), Err(EditError::NoKey));
    assert_eq!(reference.set("a", "6"), Err(EditError::NoKey));
    reference.set_or_add("a", "7");
    reference.set_or_add("a", "8");
    assert_eq!(listed(&reference, None), "b=2 3 c=5 a=8");
    let id = format!("#{:#x}", reference.entries(None)[1].id);
    reference.set(&id, "9").unwrap();
    assert_eq!(value(&view, "c").as_deref(), Some("9"));
    reference.delete(&id).unwrap();
    assert_eq!(reference.set(&id, "9"), Err(EditError::NoEntry));
    reference.clear(None);
    assert_eq!((listed(&reference, None).as_str(), value(&view, "b")), ("", None));
}

#[test]
fn a_removed_duplicate_uncovers_the_next() {
    let (reference, view) = map("a 1\na 2\n", Method::Str);
    let id = format!("#{:#x}", reference.entries(None)[0].id);
    reference.delete(&id).unwrap();
    assert_eq!(value(&view, "a").as_deref(), Some("2"));
}

#[test]
fn versions_become_current_as_a_whole() {
    let (reference, view) = map("a 1\n", Method::Beg);
    assert_eq!(reference.add(Some(1), "b", Some("2")), Err(EditError::Future));
    assert_eq!((reference.prepare(), reference.prepare()), (1, 2));
    reference.add(Some(1), "x", Some("1")).unwrap();
    reference.add(Some(2), "b", Some("2")).unwrap();
    assert_eq!((value(&view, "bb"), value(&view, "aa").as_deref()), (None, Some("1")));
    assert_eq!(reference.count(), 3);
    reference.commit(2).unwrap();
    assert_eq!((value(&view, "bb").as_deref(), value(&view, "aa")), (Some("2"), None));
    assert_eq!(reference.version_numbers(), (2, 2));
    assert_eq!(listed(&reference, Some(1)), "");
    assert_eq!(reference.commit(1), Err(EditError::OutOfRange));
    assert_eq!(reference.commit(3), Err(EditError::OutOfRange));
}

#[test]
fn views_of_one_file_share_its_entries() {
    let content = file("10.0.0.0/8 1\n");
    let name = content.path().to_str().unwrap();
    let store = Store::default();
    let reference = store.file(name, Use::Map).unwrap();
    let text = reference.view(key(Method::Str, Output::Text)).unwrap();
    let net = store.file(name, Use::AclOfMap).unwrap().view(key(Method::Ip, Output::None)).unwrap();
    let number = reference.view(key(Method::Str, Output::Int)).unwrap();
    store.finish();
    assert_eq!(store.references().len(), 1);
    assert!(reference.is_acl() && reference.is_map());
    reference.add(None, "192.168.0.0/16", Some("2")).unwrap();
    assert!(net.matches(&Sample::text(b"192.168.1.1")));
    assert_eq!(value(&text, "192.168.0.0/16").as_deref(), Some("2"));
    // What one of the views can't read changes none of them.
    let wrong = |r: Result<(), EditError>| match r {
        Err(EditError::Unreadable(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(wrong(reference.add(None, "x", Some("3"))), "'x' is not a valid IPv4 or IPv6 address");
    assert_eq!(wrong(reference.add(None, "10.1.1.1", Some("x"))), "unable to parse 'x'");
    assert_eq!(reference.entries(None).len(), 2);
    reference.delete("10.0.0.0/8").unwrap();
    assert!(!net.matches(&Sample::text(b"10.1.1.1")));
    let answers = reference.answers("192.168.0.0/16");
    let found = |value: Option<(&str, &'static str)>| {
        let value = value.map(|(v, t)| (v.to_owned(), t));
        Some(Found { key: "192.168.0.0/16".to_owned(), value })
    };
    assert_eq!(answers[0].found, found(Some(("2", "str"))));
    // What follows an address is not read, as in HAProxy.
    assert_eq!(answers[1].found.as_ref().map(|f| f.key.as_str()), Some("192.168.0.0/16"));
    assert_eq!(answers[2].found, found(Some(("2", "sint"))));
    drop(number);
}

#[test]
fn a_file_has_one_number_of_columns() {
    let content = file("a 1\n");
    let name = content.path().to_str().unwrap();
    let store = Store::default();
    let _map = store.file(name, Use::Map).unwrap();
    let error = store.file(name, Use::Acl).unwrap_err();
    assert_eq!(
        error,
        format!(
            "The file \"{name}\" is already used as two column file and cannot be used by as one column file"
        )
    );
}

#[test]
fn numbers_go_around_those_given() {
    let store = Store::default();
    let lists: Vec<_> = [None, Some(1), None]
        .iter()
        .map(|id| store.inline("path", *id, &["/x".to_owned()]).unwrap())
        .collect();
    assert_eq!(store.inline("path", Some(1), &[]).unwrap_err(), "the id is already used");
    drop(store.inline("url", None, &[]));
    store.finish();
    assert_eq!(lists.iter().map(|r| r.id()).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(store.find("#1").unwrap().description(), "acl 'path' file '' line 0");
    assert!(store.find("#3").is_none());
}

/// Entries of every method can be taken out again.
#[test]
fn every_method_forgets() {
    let cases = [
        (Method::Str, "abc", "abc"),
        (Method::Beg, "ab", "abc"),
        (Method::End, "bc", "abc"),
        (Method::Sub, "b", "abc"),
        (Method::Dir, "b", "/a/b/c"),
        (Method::Dom, "b", "a.b.c"),
        (Method::Reg, "^a", "abc"),
        (Method::Int, "5:7", "6"),
        (Method::Len, "3", "abc"),
        (Method::Ip, "10.0.0.0/8", "10.1.1.1"),
        (Method::Bin, "616263", "abc"),
    ];
    for (method, pattern, text) in cases {
        let store = Store::default();
        let reference = store.inline("x", None, &[]).unwrap();
        let view = reference.view(key(method, Output::None)).unwrap();
        let sample = Sample::text(text.as_bytes());
        assert!(!view.matches(&sample), "{method:?}");
        reference.add_if_absent(pattern);
        reference.add_if_absent(pattern);
        assert!(view.matches(&sample), "{method:?}");
        assert_eq!(reference.count(), 1, "{method:?}");
        reference.delete(pattern).unwrap();
        assert!(!view.matches(&sample), "{method:?}");
    }
}
