use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

const SESSION: &str = "00D5e000000OrgId!a.live.session";

const MESSAGE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <ActionId>04k5e000000ActIAAY</ActionId>
   <SessionId>00D5e000000OrgId!a.live.session</SessionId>
   <EnterpriseUrl>https://org.example/services/Soap/c/67.0</EnterpriseUrl>
   <Notification>
    <Id>04l5e00000NoTifAAE</Id>
    <sObject xsi:type="sf:Lead" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
     <sf:Id>00Q5e00001SaForCe1</sf:Id>
     <sf:LastName>F&#246;rce &amp; Söhne</sf:LastName>
    </sObject>
   </Notification>
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>"#;

fn salesforce() -> SourceRuntime {
    let preset = crate::source::preset("salesforce").expect("known");
    let (verify, read) = preset.verify.zip(preset.read).expect("of its own");
    SourceRuntime::new("s".into(), true, &verify, &["the-key".to_owned()], read, Vec::new()).expect("right")
}

/// All that is stored of a message that is proven to be the sender's, and of one that is not.
fn stored(source: &SourceRuntime, body: Vec<u8>) -> Vec<Vec<u8>> {
    let headers = vec![("content-type".to_owned(), "text/xml".to_owned())];
    let request = Incoming {
        method: "POST",
        path_and_query: "/webhooks/s",
        query: None,
        path_token: None,
        headers: &headers,
        body: Bytes::from(body),
        request_id: "r".into(),
    };
    let events = source.read(&request, Timestamp::from_seconds(0));
    let proven = events.iter().flat_map(|event| {
        let about = [event.reason.clone(), event.event_type.clone(), event.sender_id.clone()];
        about.into_iter().flatten().map(String::into_bytes).chain([event.body.to_vec()]).collect::<Vec<_>>()
    });
    proven
        .chain(source.held_form(&request.body, source.headers_to_store(&request)).map(|(body, _)| body.to_vec()))
        .collect()
}

#[track_caller]
fn assert_without_session(source: &SourceRuntime, body: &[u8]) {
    for kept in stored(source, body.to_vec()) {
        let kept = String::from_utf8_lossy(&kept).into_owned();
        assert!(!kept.contains(SESSION), "of\n{}\nis kept\n{kept}", String::from_utf8_lossy(body));
    }
}

/// One change of a message; places are taken of the bytes as they are by then.
#[derive(Clone, Debug)]
enum Edit {
    Delete(Index, Index),
    Keep(Index, Index),
    Copy(Index, Index, Index),
    Insert(Index, &'static str),
    Around(Index, Index, &'static str, &'static str),
    Case(Index, Index, bool),
    Escape(Index, Index),
    /// Every occurrence, or only the first.
    Tag(&'static str, bool),
}

fn edits() -> impl Strategy<Value = Edit> {
    let place = any::<Index>;
    let scraps =
        ["<", ">", "</", "/>", "<x>", "</x>", "<!--", "-->", "<![CDATA[", "]]>", "<?", "?>", "&lt;", "&", "=", "'"];
    let scraps = select([&scraps[..], &["\"", " ", "\0", "é", "\n", "SessionId", "<broken ", "<!DOCTYPE a>"]].concat());
    let around = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<x>", "</x>"), ("<x a='", "'/>"), ("<?x ", "?>")];
    let tags = [
        "sf:SessionId",
        "broken SessionId",
        " SessionId ",
        "SESSIONID",
        "sessionId",
        "Session&#73;d",
        "SessionId a='>'",
    ];
    let tags = select(
        [&tags[..], &["SessionId/", "x", "SessionId\u{a0}", "SessionId>", "a:b:SessionId", "SessionId a"]].concat(),
    );
    prop_oneof![
        3 => (place(), place()).prop_map(|(from, to)| Edit::Delete(from, to)),
        1 => (place(), place()).prop_map(|(from, to)| Edit::Keep(from, to)),
        1 => (place(), place(), place()).prop_map(|(from, to, at)| Edit::Copy(from, to, at)),
        3 => (place(), scraps).prop_map(|(at, scrap)| Edit::Insert(at, scrap)),
        1 => (place(), place(), select(around.to_vec())).prop_map(|(from, to, (begin, end))| Edit::Around(from, to, begin, end)),
        1 => (place(), place(), any::<bool>()).prop_map(|(from, to, upper)| Edit::Case(from, to, upper)),
        1 => (place(), place()).prop_map(|(from, to)| Edit::Escape(from, to)),
        3 => (tags, any::<bool>()).prop_map(|(tag, all)| Edit::Tag(tag, all)),
    ]
}

fn edited(body: &[u8], edit: &Edit) -> Vec<u8> {
    let span = |from: &Index, to: &Index| {
        let places = [from.index(body.len() + 1), to.index(body.len() + 1)];
        (places[0].min(places[1]), places[0].max(places[1]))
    };
    let with = |from: usize, to: usize, part: &[u8]| [&body[..from], part, &body[to..]].concat();
    match edit {
        Edit::Delete(from, to) => {
            // Short ones mostly: what is left is more like a message.
            let (from, to) = span(from, to);
            with(from, if (to - from) % 3 == 0 { to } else { to.min(from + 12) }, b"")
        }
        Edit::Keep(from, to) => {
            let (from, to) = span(from, to);
            body[from..to].to_vec()
        }
        Edit::Copy(from, to, at) => {
            let (from, to) = span(from, to);
            let at = at.index(body.len() + 1);
            with(at, at, &body[from..to])
        }
        Edit::Insert(at, scrap) => {
            let at = at.index(body.len() + 1);
            with(at, at, scrap.as_bytes())
        }
        Edit::Around(from, to, begin, end) => {
            let (from, to) = span(from, to);
            with(from, to, &[begin.as_bytes(), &body[from..to], end.as_bytes()].concat())
        }
        Edit::Case(from, to, upper) => {
            let (from, to) = span(from, to);
            let part = &body[from..to];
            with(from, to, &if *upper { part.to_ascii_uppercase() } else { part.to_ascii_lowercase() })
        }
        Edit::Escape(from, to) => {
            let (from, to) = span(from, to);
            let part = String::from_utf8_lossy(&body[from..to]);
            with(from, to, part.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").as_bytes())
        }
        Edit::Tag(tag, all) => {
            let text = String::from_utf8_lossy(body);
            text.replacen("SessionId", tag, if *all { usize::MAX } else { 1 }).into_bytes()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn however_a_message_is_changed_its_session_is_not_stored(edits in vec(edits(), 1..4)) {
        let body = edits.iter().fold(MESSAGE.as_bytes().to_vec(), |body, edit| edited(&body, edit));
        // A whole message with an element of quite another name from its beginning to its end is the sender's own.
        let source = salesforce();
        let headers = vec![("content-type".to_owned(), "text/xml".to_owned())];
        let rules = source.reader.rules();
        let is_whole = as_json(&body, &headers, &rules.bodies, &rules.records).is_ok();
        let text = String::from_utf8_lossy(&body).into_owned();
        let tag = text.split_once(SESSION).and_then(|(before, _)| before.rsplit('<').next()).unwrap_or_default();
        prop_assume!(!is_whole || tag.to_ascii_lowercase().contains("sessionid"));
        assert_without_session(&source, &body);
    }
}

#[test]
fn a_session_under_a_broken_or_a_foreign_tag_is_not_stored() {
    let source = salesforce();
    for tag in [
        "broken SessionId",
        " SessionId ",
        "SessionId a='1' b",
        "sf:SessionId",
        "a:b:SessionId",
        "sessionid",
        "Session&#73;d",
        "SessionId\u{200b}",
        "SessionId/",
    ] {
        for both in [usize::MAX, 1] {
            assert_without_session(&source, MESSAGE.replacen("SessionId", tag, both).as_bytes());
        }
    }
    let element = format!("<SessionId>{SESSION}</SessionId>");
    for hidden in [
        format!("<![CDATA[{element}]]>"),
        format!("<!-- {element} -->"),
        format!("<?x {element}?>"),
        element.replace('<', "&lt;").replace('>', "&gt;"),
        format!("<Note>{}</Note>", element.replace('<', "&lt;")),
        format!("<Note><![CDATA[{element}]]></Note>"),
        format!("<Note SessionId=\"{SESSION}\"/>"),
        format!("<Note>{element}</Note>"),
        format!("{element}<Note>{SESSION}</Note>"),
    ] {
        assert_without_session(&source, MESSAGE.replace(&element, &hidden).as_bytes());
    }
    for end in 0..=MESSAGE.len() {
        assert_without_session(&source, &MESSAGE.as_bytes()[..end]);
        assert_without_session(&source, &MESSAGE.as_bytes()[end..]);
    }
}

#[test]
fn all_but_the_session_is_stored_of_a_whole_message_and_of_one_that_breaks_off() {
    let source = salesforce();
    let kept = |body: &str| {
        let texts = stored(&source, body.as_bytes().to_vec()).into_iter();
        texts.map(|text| String::from_utf8(text).expect("a text")).collect::<Vec<_>>()
    };
    let whole = kept(MESSAGE);
    for (text, name) in [(&whole[1], "Förce & Söhne"), (&whole[2], "F&#246;rce &amp; Söhne")] {
        assert!(text.contains(name) && text.contains("04k5e000000ActIAAY") && text.contains("sf:Lead"), "{whole:?}");
    }
    let (broken, _) = MESSAGE.split_once("</sf:LastName>").expect("it is there");
    let [reason, proven, unproven] = &kept(broken)[..] else { panic!("{:?}", kept(broken)) };
    assert!(reason.starts_with("broken_xml"), "{reason}");
    for text in [proven, unproven] {
        assert!(text.contains("<sf:Id>00Q5e00001SaForCe1</sf:Id>") && !text.contains("&#246;"), "{text}");
    }
}
