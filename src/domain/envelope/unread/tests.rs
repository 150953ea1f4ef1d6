use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::xml::object;
use super::*;

fn left(xml: &str) -> Option<String> {
    let left = without_unread(xml.as_bytes(), &["/a/Key".to_owned()]);
    left.map(|left| String::from_utf8(left).unwrap())
}

#[track_caller]
fn check(xml: &str, expected: Option<&str>) {
    assert_eq!(left(xml).as_deref(), expected, "{xml}");
}

#[test]
fn the_secret_s_elements_are_emptied_and_the_others_stay() {
    check("<a><b>1</b></a>", Some("<a><b>1</b></a>"));
    check("<a><Key>s</Key><b>1</b></a>", Some("<a><Key></Key><b>1</b></a>"));
    check("\u{feff}\n<a> <n:KEY t=\"x>\">s</n:KEY ><b>1</b>\n</a>", Some("<a> <n:KEY></n:KEY><b>1</b>\n</a>"));
    check("<a><Key n:nil=\"true\"/><b>1</b></a>", Some("<a><Key></Key><b>1</b></a>"));
    check("<a><Key>s<Key>t</Key>u<b/>v</Key><b>1</b></a>", Some("<a><Key></Key><b>1</b></a>"));
    for other in [
        "<sf:Key__c>1</sf:Key__c>",
        "<Web_Key t='1'>a long text of a field</Web_Key>",
        "<n:Key.x></n:Key.x>",
        "<b>the Key, and 1 &lt; 2 &gt; 0</b>",
        "<b k=\"a>\">&#228; <![CDATA[& a < b]]></b>",
        "<ä:ö>1</ä:ö>",
    ] {
        check(&format!("<a><Key>s</Key>{other}</a>"), Some(&format!("<a><Key></Key>{other}</a>")));
        check(&format!("<a>{other}<Key>s</Key></a>"), Some(&format!("<a>{other}<Key></Key></a>")));
    }
    // Of attributes by that name, too.
    check("<a Key='s' n:key='t' b='1'><b>1</b></a>", Some("<a b='1'><b>1</b></a>"));
    assert_eq!(without_unread(b"<a Id='s'/>", &["/a/@Id".to_owned()]), Some(b"<a></a>".to_vec()));
    assert_eq!(without_unread(b"<a><Key>s</Key></a>", &["/a/Key/0".to_owned()]), Some(b"<a><Key></Key></a>".to_vec()));
    assert_eq!(without_unread(b"<a/>", &["/0".to_owned()]), None);
}

#[test]
fn what_is_not_read_and_what_shows_the_secret_s_tag_goes() {
    check("<?x Key?><a><!-- <Key>s</Key> --><b>1<!-- s --></b></a>", Some("<a><b>1</b></a>"));
    check("<a>s<b>1</b>s<![CDATA[s]]></a>", Some("<a><b>1</b></a>"));
    for shown in [
        "&lt;Key&gt;s&lt;/Key&gt;",
        "&lt;x Key &gt;s",
        "&amp;lt;n:key&amp;gt;s",
        "Key>s",
        "Key&#62;s",
        "&#60;K&#101;y&#62;s",
    ] {
        check(&format!("<a><b>{shown}</b><b>1</b></a>"), Some("<a><b></b><b>1</b></a>"));
        check(&format!("<a><b k=\"{shown}\">1</b></a>"), Some("<a><b>1</b></a>"));
    }
    check("<a><b><![CDATA[<Key>s</Key>]]></b><b>1</b></a>", Some("<a><b></b><b>1</b></a>"));
    // The same in another place.
    check("<a><b>x s3cret-y</b><Key> s3cret-y </Key></a>", Some("<a><b></b><Key></Key></a>"));
    check("<a><Key/><b k='s3cret-y'>1</b><x Key>s3cret-y</x>", Some("<a><Key></Key><b>1</b>"));
}

#[test]
fn of_what_is_broken_only_what_was_whole_before_is_kept() {
    let (before, kept) = ("<a><Key>k</Key><b>1</b>", "<a><Key></Key><b>1</b>");
    for broken in [
        "<x Key>s</x><c>2</c>",
        "< Key >s</Key><c>2</c>",
        "<K&#101;y>s</K&#101;y>",
        "<Key\u{1}>s</Key>",
        "<Key t=s>s</Key>",
        "<Key t>s</Key>",
        "s</Key><c>2</c>",
        "s</a",
        "<![CDATA[s",
        "<!-- s",
        "<!DOCTYPE s>",
        "<Key",
        "<Key t=\"s",
        "<Key t='>s</Key>",
        "<c t='<Key>s</Key>'/>",
    ] {
        check(&format!("{before}{broken}"), Some(kept));
        // Before there was one, any text may be the secret.
        check(&format!("<a t='1'><b>1</b>{broken}"), Some("<a><b></b>"));
    }
    for broken in ["s", "s</Ke", "s</Key", "s</b><b>", "s<b>Key</b>", "s<Key>", "s<![CDATA[</Key>", "s<Key a='>t</Key>"]
    {
        check(&format!("{before}<Key>{broken}"), Some(&format!("{kept}<Key>")));
    }
    check(&format!("{before}<Ky>s</Key><d>2</d></a>"), Some(&format!("{kept}<Ky>")));
    check("<a/>s", Some("<a></a>"));
    let invalid = [before.as_bytes(), b"\xff<c>2</c>"].concat();
    assert_eq!(without_unread(&invalid, &["/Key".to_owned()]), Some(kept.as_bytes().to_vec()));
    for unknown in [r#"{"Key":"s"}"#, r#"{"b":"1"}"#, "s</Key><b>1</b>", "<a\0>", "Key=s", ""] {
        check(unknown, None);
    }
    check(&"<Key>s</Key".repeat(3), Some("<Key>"));
    let many: String = (0..=MOST_SECRETS).map(|n| format!("<Key>secret-number-{n}</Key>")).collect();
    check(&format!("<a>{many}</a>"), None);
}

#[test]
fn a_large_body_is_gone_through_in_time() {
    let text = "SessionId &lt;".repeat(20_000);
    for body in [
        format!("<a>{}", "<b>".repeat(200_000)),
        format!("<a>{}</a>", "<b>SessionId</b>".repeat(50_000)),
        format!("<a><b>{text}</b></a>"),
        "<SessionId".repeat(100_000),
        "<a Key".repeat(100_000),
        format!("<a{}/>", (0..100_000).map(|n| format!(" k{n}=''")).collect::<String>()),
    ] {
        let began = std::time::Instant::now();
        without_unread(body.as_bytes(), &["/a/SessionId".to_owned()]);
        assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    }
}

/// XML with secrets in it, and the same with these elements empty.
fn documents() -> impl Strategy<Value = (String, String)> {
    let same = |text: &str| (text.to_owned(), text.to_owned());
    let texts = ["", "Ada", "Key", "&amp; K&#228;", "<![CDATA[& ä]]>", "<!-- <Key> -->", "<?x Key?>", "\n "];
    let leaf = select(texts.to_vec()).prop_map(same);
    let tree = leaf.prop_recursive(4, 24, 4, move |inner| {
        let names = select(vec!["a", "b", "n:b", "Key__c", "n:Key__c", "Web_Key", "Key.x", "Keys"]);
        let tags = select(vec!["", " k='>'", " k=\"'\" ", "\n"]);
        let secret = select(vec!["Key", "n:Key", "KEY"]).prop_map(|name| (name, true));
        let name = prop_oneof![3 => names.prop_map(|name| (name, false)), 1 => secret];
        (name, tags, vec(inner, 0..4)).prop_map(|((name, is_secret), tag, inner)| {
            let (whole, emptied): (Vec<String>, Vec<String>) = inner.into_iter().unzip();
            let (whole, emptied) = (whole.concat(), emptied.concat());
            let of = |inner: &str| match inner {
                "" => format!("<{name}{tag}/>"),
                inner => format!("<{name}{tag}>{inner}</{name}{tag_end}>", tag_end = " ".repeat(tag.len() % 2)),
            };
            match is_secret {
                true => (of(&format!("s3cret{whole}")), format!("<{name}></{name}>")),
                false => (of(&whole), of(&emptied)),
            }
        })
    });
    vec(tree, 0..4).prop_map(|trees| {
        let (whole, emptied): (Vec<String>, Vec<String>) = trees.into_iter().unzip();
        (format!("<r>{}</r>", whole.concat()), format!("<r>{}</r>", emptied.concat()))
    })
}

proptest! {
    #[test]
    fn of_well_formed_xml_the_secrets_go_and_nothing_else((whole, emptied) in documents()) {
        let left = without_unread(whole.as_bytes(), &["/r/Key".to_owned()]).unwrap();
        prop_assert!(object(whole.as_bytes(), &[]).is_ok(), "{}", whole);
        prop_assert_eq!(object(&left, &[]), object(emptied.as_bytes(), &[]), "{}", whole);
        prop_assert!(!String::from_utf8_lossy(&left).contains("s3cret"), "{}", String::from_utf8_lossy(&left));
    }

    #[test]
    fn of_xml_that_breaks_off_no_secret_is_left((whole, _) in documents(), end in any::<Index>()) {
        let broken = whole.as_bytes().get(..end.index(whole.len())).unwrap();
        let left = without_unread(broken, &["/r/Key".to_owned()]).unwrap_or_default();
        prop_assert!(!String::from_utf8_lossy(&left).contains("s3"), "{}", String::from_utf8_lossy(&left));
    }
}
