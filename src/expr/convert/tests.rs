//! Converters, with the results haproxy 2.6 gave for the same expressions (those marked so are newer than it).

use crate::config::model::VarScope;
use crate::expr::mock::Mock;
use crate::expr::{Expr, Scope, Site, Value};

fn check(expression: &str, expected: &str) {
    let mut mock = Mock::default();
    mock.vars.insert((VarScope::Transaction, "v".to_owned()), Value::Str(b"val".to_vec()));
    mock.vars.insert((VarScope::Transaction, "n".to_owned()), Value::Int(3));
    assert_eq!(mock.show(expression, Site::HttpRequest), expected, "{expression}");
}

fn check_nothing(expression: &str) {
    let (expr, _) = Expr::parse(&[expression], Site::HttpRequest, &Scope::default()).unwrap();
    assert_eq!(expr.eval(&mut Mock::default()), None, "{expression}");
}

#[test]
fn cuts_text() {
    check("str(f1_f2_f3__f5),field(5,_)", "f5");
    check("str(f1_f2_f3__f5),field(2,_,0)", "f2_f3__f5");
    check("str(f1_f2_f3__f5),field(2,_,2)", "f2_f3");
    check("str(f1_f2_f3__f5),field(-2,_,3)", "f2_f3_");
    check("str(f1_f2_f3__f5),field(-3,_,0)", "f1_f2_f3");
    check_nothing("str(f1_f2_f3__f5),field(9,_)");
    check("str(f1_f2_f3__f5),field(4,_),length", "0");
    check("str(),field(1,_),length", "0");
    check("str(f1_f2_f3__f5),word(4,_)", "f5");
    check("str(f1_f2_f3__f5),word(2,_,0)", "f2_f3__f5");
    check("str(f1_f2_f3__f5),word(3,_,2)", "f3__f5");
    check("str(f1_f2_f3__f5),word(-2,_,3)", "f1_f2_f3");
    check("str(f1_f2_f3__f5),word(-3,_,0)", "f1_f2");
    check("str(/f1/f2/f3/f4),word(1,/)", "f1");
    check("str(//a//b//),word(-1,/)", "b");
    check("str(//a//b//),word(1,/,0)", "a//b//");
    check("str(//a//b//),word(2,/,2)", "b//");
    check("str(//a//b//),word(-1,/,3)", "//a//b");
    check("str(//a//b//),word(-2,/,0)", "//a");
    check("str(//a//b//),word(1,/,2)", "a//b");
    check("str(abc),word(9,_),length", "0");
    check("str(a.b-c),field(2,.-)", "b");
    check("str(abc),bytes(1)", "bc");
    check("str(abc),bytes(9),length", "0");
    check("str(abcdef),bytes(2,3)", "cde");
    check("str(abcdef),bytes(txn.n)", "def");
    check("str(xxabcxx),rtrim(x)", "xxabc");
    check("str(xyabcyx),ltrim(xy)", "abcyx");
    check("str('a\r\nb'),cut_crlf", "a");
    check("str(abc),length", "3");
    check("src,length", "9");
    check("str(abc),reverse", "cba");
    check("str(www.example.org),reverse_dom", "org.example.www");
    check("str('a=1&b=2'),param(b)", "2");
}

#[test]
fn composes_text() {
    check("str(abc),concat(-,txn.v,+)", "abc-val+");
    check("str(abc),concat(,,+)", "abc+");
    check("str(abc),concat(-,txn.none)", "abc-");
    check("str(abc),add_item(-,txn.v,+)", "abc-val+");
    check("str(),add_item(-,txn.v,+)", "val+");
    check("str(abc),add_item(-,txn.none)", "abc");
    check("str(abc),add_item(-,,z)", "abc-z");
    check("str(abc),strcmp(txn.v)", "-21");
    check("str(val),strcmp(txn.v)", "0");
    check("str(),strcmp(txn.v)", "-1");
    check("str(values),strcmp(txn.v)", "1");
    check("str(zzz),strcmp(txn.v)", "4");
    check_nothing("str(val),strcmp(txn.none)");
    check("str(val),secure_memcmp(txn.v)", "1");
    check("int(1),iif(a,b)", "a");
    check("bool(false),iif(a,b)", "b");
    check("str(/////a///b/c/xzxyz/),regsub(/+,/,g)", "/a/b/c/xzxyz/");
    check(r#"str(foo12),regsub("(foo|bar)([0-9]+)?","\2\1",i)"#, "12foo");
    check(r#"str(foo12),regsub("(foo)([0-9]+)","[\0\x41\\\&]")"#, r"[foo12A\&]");
    check("str(abcabc),regsub(b,[&])", "a[&]cabc");
    check("str(aXbX),regsub(x,-,ig)", "a-b-");
    check("str(abc),regsub(x*,-,g)", "-a-b-c-");
    check("str(abc),regsub(b*,-,g)", "-a--c-");
    check("str('fr-CA;q=0.8,en;q=0.9'),language('fr;en')", "en");
    check("str(de),language(fr;en,it)", "it");
    check("str(fr-CA),language(fr)", "fr");
}

#[test]
fn computes() {
    for (expression, expected) in [
        ("int(5),add(3)", "8"),
        ("int(5),sub(8)", "-3"),
        ("int(5),mul(-3)", "-15"),
        ("int(17),div(5)", "3"),
        ("int(-17),div(0)", "9223372036854775807"),
        ("int(-17),div(5)", "-3"),
        ("int(17),mod(0)", "0"),
        ("int(-17),mod(5)", "-2"),
        ("int(5),neg", "-5"),
        ("int(5),not", "0"),
        ("int(0),not", "1"),
        ("int(5),bool", "1"),
        ("int(12),and(10)", "8"),
        ("int(12),or(3)", "15"),
        ("int(12),xor(10)", "6"),
        ("int(5),cpl", "-6"),
        ("int(5),even", "0"),
        ("int(5),odd", "1"),
        ("int(9223372036854775807),add(1)", "9223372036854775807"),
        ("int(9223372036854775807),mul(2)", "9223372036854775807"),
        ("int(-9223372036854775807),sub(10)", "-9223372036854775808"),
        ("str(12abc),add(1)", "13"),
        ("str(abc),add(1)", "1"),
        ("bool(true),add(1)", "2"),
        ("str(true),bool", "0"),
        ("int(5),add(txn.n)", "8"),
        ("str(1.2.3.4),ipmask(24)", "1.2.3.0"),
        ("str(2001:db8::1),ipmask(24,32)", "2001:db8::"),
        ("src,ipmask(255.0.0.0)", "192.0.0.0"),
        ("str(::ffff:1.2.3.4),ipmask(24,64)", "1.2.3.0"),
        ("str(1.2.3.4:80),ipmask(24)", "1.2.3.0"),
        ("str(01.2.3.004),ipmask(32)", "1.2.3.4"),
        ("bool(true),hex", "0000000000000001"),
    ] {
        check(expression, expected);
    }
    check_nothing("str(2001:db8::1),ipmask(24)");
    for text in ["1.2.3", "1.2.3.", "1.2.3.4.5", "256.2.3.4", "1..2.3", "+1.2.3.4"] {
        check_nothing(&format!("str({text}),ipmask(24)"));
    }
}

#[test]
fn encodes() {
    check("str(a b/c?d+e%20f),url_enc", "a%20b%2Fc%3Fd%2Be%2520f");
    check("str(a~b_c.d-e:/[]@!$),url_enc", "a~b_c.d-e%3A%2F%5B%5D%40%21%24");
    check("str(a%20b+c?d+e),url_dec", "a b+c?d e");
    check("str(a%20b+c),url_dec(1)", "a b c");
    check_nothing("str(a%2),url_dec");
    check_nothing("str(a%zz),url_dec");
    check("str(hello),base64", "aGVsbG8=");
    check("str(aGVsbG8=),b64dec", "hello");
    check_nothing("str(aGVsbG8),b64dec");
    check("str(hello),ub64enc", "aGVsbG8");
    check("str(aGVsbG8),ub64dec", "hello");
    check("str(xyz),hex", "78797A");
    check("str(ff),hex2i", "255");
    check_nothing("str(xyz),hex2i");
    check("str(WWW.h.com:80),host_only", "www.h.com");
    check("str([::1]:80),host_only", "[::1]");
    check("str([::1]),host_only", "[::1]");
    check("str(h:),host_only", "h");
    check("str([::1]:80),port_only", "80");
    check("str([::1]),port_only", "0");
    check("str(a:b:99),port_only", "99");
    check("str(é),json", "\\u00c3\\u00a9");
    check("str(é),json(utf8)", "\\u00e9");
    check("bin(ff41),json(utf8s)", "A");
    check_nothing("bin(ff41),json(utf8p)");
    check("bin(ff41),json(utf8ps)", "A");
    check_nothing("bin(ff41),json(utf8)");
    check("bin(01020304050607),be2dec(:,2)", "258:772:1286:7");
    check("bin(01020304050607),be2dec(-,2,1)", "258-772-1286");
    check("bin(01020304050607),be2hex(:,2)", "0102:0304:0506:07");
    check("bin(01020304050607),be2hex(--,2,1)", "0102--0304--0506");
    check("bin(0102030405060708),be2hex(,3,1)", "010203040506");
    check("bin(01020304),le2dec(:,2)", "513:1027");
    check("int(258),htonl,hex", "00000102");
}

#[test]
fn hashes() {
    for (converter, expected) in [
        ("sdbm", "807794786"),
        ("sdbm(1)", "659243622"),
        ("djb2", "193485963"),
        ("djb2(1)", "2235766107"),
        ("wt6", "2483038440"),
        ("wt6(1)", "266135527"),
        ("crc32", "891568578"),
        ("crc32(1)", "930845320"),
        ("crc32c", "910901175"),
        ("crc32c(1)", "1285784220"),
        ("xxh32", "852579327"),
        ("xxh32(5)", "1562728233"),
        ("xxh64", "4952883123889572249"),
        ("xxh64(7)", "-7028621457359472937"),
        ("xxh3", "8696274497037089104"),
        ("xxh3(7)", "5260018501835528466"),
        ("sha1,hex", "A9993E364706816ABA3E25717850C26C9CD0D89D"),
        ("sha2,hex", "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"),
        ("digest(md5),hex", "900150983CD24FB0D6963F7D28E17F72"),
        ("hmac(sha256,a2V5),hex", "9C196E32DC0175F86F4B1CB89289D6619DE6BEE699E4C378E68309ED97A1A6AB"),
    ] {
        check(&format!("str(abc),{converter}"), expected);
    }
}

#[test]
fn dates() {
    check("int(0),http_date", "Thu, 01 Jan 1970 00:00:00 GMT");
    check("int(10),http_date(5)", "Thu, 01 Jan 1970 00:00:15 GMT");
    check("int(1500),http_date(0,ms)", "Thu, 01 Jan 1970 00:00:01.500 GMT");
    check("int(86400),utime(%Y-%m-%d %H:%M:%S)", "1970-01-02 00:00:00");
    check("int(86400),utime(%a %d %b %Z %z)", "Fri 02 Jan GMT +0000");
    check("int(1500),ms_utime(%S.%N)", "01.500");
}

#[test]
fn queries_json() {
    const TEXT: &str = r#"{"a":{"b":[1,2.5,"x"]},"t":true,"n":null,"i":42,"my.key":"v","s":"q\u00e9\"","i2":"12","f":2.0,"big":1e3}"#;
    let mut mock = Mock::default();
    mock.request.as_mut().unwrap().add(b"x-j", TEXT.as_bytes());
    for (path, expected) in [
        ("$.i", "42"),
        ("$.a.b", ""),
        ("$.a.b[0]", "1"),
        ("$.a.b[1]", "2.5"),
        ("$.a.b[2]", "x"),
        ("$.a.b[3]", ""),
        ("$.t", "1"),
        ("$.n", ""),
        ("$.s", "qé\""),
        ("$.f", "2"),
        ("$.big", "1000"),
        ("$.none", ""),
        ("$[\"my.key\"]", "v"),
        (r"$.my\.key", "v"),
    ] {
        let text = format!("req.fhdr(x-j),json_query('{path}')");
        assert_eq!(mock.show(&text, Site::HttpRequest), expected, "{path}");
    }
    for broken in ["{", "{\"a\":[1,", "[[[[", "{\"i\":\"\\u12", "{\"a\":1 \"i\":2}", "nul"] {
        mock.request.as_mut().unwrap().set(b"x-j", broken.as_bytes());
        assert_eq!(mock.show("req.fhdr(x-j),json_query('$.i')", Site::HttpRequest), "", "{broken}");
    }
}

#[test]
fn looks_up_maps() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let map =
        file("m", "# c\nabc  value one  \nabcd v2\n10 20\nip 9.8.7.6\n\n  lead v3\nnovalue\nABC upper\n");
    let numbers = file("n", "10 ten\n11:20 teens\n");
    let nets = file("a", "127.0.0.0/8 loop\n127.0.0.1 one\n1.2.3.0/24 net\n");
    let regexes = file("r", "^(foo)([0-9]+)$ got-\\2-\\1\n");
    let ints = file("i", "a 5\nb 0x10\n");
    check(&format!("str(abc),map_str({map})"), "value one");
    check(&format!("str(ABC),map({map}),lower"), "upper");
    check(&format!("str(nope),map_str({map},dflt)"), "dflt");
    check_nothing(&format!("str(nope),map_str({map})"));
    check(&format!("str(abcdef),map_beg({map})"), "v2");
    check(&format!("str(zzabc),map_end({map})"), "value one");
    check(&format!("str(x.abc.y),map_dom({map})"), "value one");
    check(&format!("str(xabcx),map_sub({map})"), "value one");
    check(&format!("int(15),map_int({numbers})"), "teens");
    check(&format!("str(127.0.0.1),map_ip({nets})"), "one");
    check(&format!("str(127.0.0.2),map_ip({nets})"), "loop");
    check(&format!("str(foo12),map_regm({regexes})"), "got-12-foo");
    check(&format!("str(foo12),map_reg({regexes})"), "got-\\2-\\1");
    check(&format!("str(b),map_str_int({ints})"), "16");
    check(&format!("str(127.0.0.9),map_ip_key({nets})"), "127.0.0.0/8");
    let expression = format!("str(abc),map_str_int({map})");
    let e = Expr::parse(&[&expression], Site::HttpRequest, &Scope::default()).unwrap_err();
    assert!(e.message.contains(&format!("unable to parse 'value one' at line 2 of file '{map}'")), "{e:?}");
}

#[test]
fn sets_variables() {
    let mut mock = Mock::default();
    let mut check =
        |text: &str, expected: &str| assert_eq!(mock.show(text, Site::HttpRequest), expected, "{text}");
    check("str(a),set-var(txn.q)", "a");
    check("var(txn.q)", "a");
    check("str(b),set-var(txn.q,ifnotexists)", "b");
    check("var(txn.q)", "a");
    check("str(b),set-var(txn.q,ifexists,ifnotempty)", "b");
    check("var(txn.q)", "b");
    check("path,upper,set-var(txn.p),lower", "/static/logo.png");
    check("var(txn.p)", "/STATIC/LOGO.PNG");
    check("str(a),unset-var(txn.q)", "a");
    check("var(txn.q)", "");
    check("str(app),nbsrv", "2");
    check("str(app/s1),srv_is_up", "1");
}

/// haproxy 2.6 answers nothing where there is no path; this is what its manual says.
#[test]
fn shows_parts_of_tokens() {
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.eA";
    check(&format!("str({token}),jwt_header_query"), r#"{"alg":"HS256"}"#);
    check(&format!("str({token}),jwt_payload_query()"), r#"{"sub":"x"}"#);
    check(&format!("str({token}),jwt_verify(HS256,txn.v)"), "0");
    check_nothing(&format!("str({token}),jwt_verify(HS256,txn.none)"));
}

/// What haproxy 2.6 does not do.
#[test]
fn reads_messages_cut_short() {
    check_nothing("bin(08),protobuf(1,int32)");
    check("bin(0d000070c0),protobuf(1,float)", "-3");
    check("bin(0a000a03120178),protobuf(1.2)", "x");
    check("bin(200200007a7a),mqtt_is_valid", "1");
}

#[test]
fn refusals() {
    let check = |text: &str, expected: &str| {
        let e = Expr::parse(&[text], Site::HttpRequest, &Scope::default()).unwrap_err();
        assert_eq!(e.message, expected);
    };
    let field = "invalid args in converter 'field' : ";
    check("path,field()", &format!("{field}expected type 'integer' at position 1, but got nothing"));
    check("path,field(1)", &format!("{field}missing arguments (got 1/2), type 'string' expected"));
    check("path,field(x,.)", &format!("{field}failed to parse 'x' as type 'integer' at position 1"));
    check("path,field(0,_)", &format!("{field}Unexpected value 0 for index"));
    check(
        "path,map(/x,y)",
        "invalid args in converter 'map' : failed to open pattern file </x> (No such file or directory)",
    );
    check("path(x)", "fetch method 'path' : expected ')' before 'x)'");
    check("req.hdr(a,b)", "fetch method 'req.hdr' : failed to parse 'b' as type 'integer' at position 2");
    let fields = "failed to parse '1.b' as type 'Protocol buffers field number' at position 1";
    check("path,protobuf(1.b)", &format!("invalid args in converter 'protobuf' : {fields}"));
    check(
        "path,ungrpc(1,string)",
        "invalid args in converter 'ungrpc' : Wrong protocol buffer type 'string'",
    );
    check("path,fix_tag_value(0)", "invalid args in converter 'fix_tag_value' : Unknown FIX tag name '0'");
    check("path,fix_tag_value(1x)", "invalid args in converter 'fix_tag_value' : Unknown FIX tag name '1x'");
    let mqtt = "invalid args in converter 'mqtt_field_value' : Unknown MQTT ";
    check("path,mqtt_field_value(16,flags)", &format!("{mqtt}type '16'"));
    check(
        "path,mqtt_field_value(connack,username)",
        &format!("{mqtt}field name 'username' for packet type 'connack'"),
    );
    check(
        "path,jwt_verify(hs256,x)",
        "invalid args in converter 'jwt_verify' : unknown JWT algorithm: hs256",
    );
    check(
        "path,jwt_verify(RS256,/nowhere/key)",
        "invalid args in converter 'jwt_verify' : unable to read the key '/nowhere/key' (No such file or directory)",
    );
    check(
        "path,jwt_verify(ES256,txn.key)",
        "invalid args in converter 'jwt_verify' : a key's file in a variable is not supported by weir yet: name the file itself",
    );
    let gcm = "invalid args in converter 'aes_gcm_dec' : ";
    let not = "argument needs to be base64 encoded, and can either be a string or a variable";
    check("path,aes_gcm_dec(129,YQ==,YQ==,YQ==)", &format!("{gcm}key size must be 128, 192 or 256 (bits)."));
    check("path,aes_gcm_dec(128,a!,YQ==,YQ==)", &format!("{gcm}failed to parse nonce : {not}"));
    check("path,aes_gcm_dec(128,YQ==,a!,YQ==)", &format!("{gcm}failed to parse key : {not}"));
    check("path,aes_gcm_dec(128,YQ==,YQ==,a!)", &format!("{gcm}failed to parse aead_tag : {not}"));
    check(
        "path,aes_gcm_enc(128,YQ==,YQ==,YQ==)",
        "invalid args in converter 'aes_gcm_enc' : failed to parse aead_tag : a variable is expected",
    );
    check("path,aes_cbc_dec(128,a,b)", "converter 'aes_cbc_dec' is not supported by weir yet");
}
