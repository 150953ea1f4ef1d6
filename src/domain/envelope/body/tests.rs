use super::*;

fn rules() -> BodyRules {
    BodyRules { form: true, multipart: true, json_fields: vec!["data.json".into()], ..BodyRules::default() }
}

fn read(content_type: &str, body: &[u8]) -> Result<String, Unreadable> {
    let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
    as_json(body, &headers, &rules(), "").map(|json| String::from_utf8(json.into_owned()).unwrap())
}

fn code(content_type: &str, body: &[u8]) -> &'static str {
    read(content_type, body).unwrap_err().code()
}

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
const MULTIPART: &str = "multipart/form-data; boundary=xx";

#[test]
fn a_form_is_an_object_with_a_text_for_each_field() {
    let check = |body: &str, expected: &str| assert_eq!(read(FORM, body.as_bytes()).unwrap(), expected, "{body}");
    check("email=ada%40x.example&name=Ada+Love%6Cace", r#"{"email":"ada@x.example","name":"Ada Lovelace"}"#);
    check("id=9007199254740993&a&b=&=c", r#"{"id":"9007199254740993","a":"","b":"","":"c"}"#);
    check("tag=a&x=1&tag=b%26c=d", r#"{"tag":["a","b&c=d"],"x":"1"}"#);
    check("n=%C3%A4%22%5C%0A%00", "{\"n\":\"ä\\\"\\\\\\n\\u0000\"}");
    check("n=100%&m=%zz", r#"{"n":"100%","m":"%zz"}"#);
    check("data.json=%7B%22email%22%3A%5B%22a%22%5D%7D", r#"{"data.json":{"email":["a"]}}"#);
}

#[test]
fn a_multipart_form_is_one_too_and_its_files_are_left_out() {
    let body = "--xx\r\nContent-Disposition: form-data; name=\"data.json\"\r\n\r\n{\"q3\": {\"first\":\"Ada\"}}\r\n\
                --xx\r\nContent-Disposition: form-data; name=\"cv\"; filename=\"cv.pdf\"\r\nContent-Type: application/pdf\r\n\r\n\u{1}%PDF\r\n\
                --xx\r\nContent-Disposition: form-data; name=\"submissionID\"\r\n\r\n237955080346633702\r\n--xx--\r\n";
    let expected = r#"{"data.json":{"q3": {"first":"Ada"}},"submissionID":"237955080346633702"}"#;
    assert_eq!(read(MULTIPART, body.as_bytes()).unwrap(), expected);
    assert_eq!(read("Multipart/Form-Data; Boundary=\"xx\"", body.as_bytes()).unwrap(), expected);
}

#[test]
fn a_form_that_cannot_be_read_as_it_was_meant_is_refused_by_a_stable_word() {
    assert_eq!(code(FORM, b""), "empty");
    assert_eq!(code(FORM, b"name=%E4"), "not_utf8", "ISO 8859-1 must not become another name");
    assert_eq!(code(FORM, b"data.json=%7B"), "broken_json");
    assert_eq!(code(FORM, format!("data.json={}", "%5B".repeat(70)).as_bytes()), "too_deep");
    assert_eq!(code(FORM, "a=1&".repeat(MAX_FIELDS + 1).as_bytes()), "too_many_fields");
    assert_eq!(code(MULTIPART, b"name=Ada"), "broken_form");
    assert_eq!(code("multipart/form-data", b"--xx--\r\n"), "broken_form");
    let cut = b"--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nhal";
    assert_eq!(code(MULTIPART, cut), "broken_form");
    let part = "--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
    assert_eq!(code(MULTIPART, format!("{}--xx--\r\n", part.repeat(MAX_FIELDS + 1)).as_bytes()), "too_many_fields");
    assert_eq!(
        code(MULTIPART, b"--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\xe4\r\n--xx--\r\n"),
        "not_utf8"
    );
}

#[test]
fn what_is_no_form_is_left_as_it_is() {
    for kind in ["application/json", "text/plain", "", "application/cloudevents+json", "multi", "xml"] {
        assert_eq!(read(kind, b"a=b").unwrap(), "a=b", "{kind}");
    }
    for kind in ["text/xml; charset=UTF-8", "Application/XML", "application/soap+xml"] {
        assert_eq!(read(kind, b"<a>b</a>").unwrap(), r#"{"a":"b"}"#, "{kind}");
        assert!(!rules().takes(BodyKind::of(&vec![("content-type".to_owned(), kind.to_owned())])), "{kind}");
    }
    assert!(!BodyRules::default().takes(BodyKind::Form) && rules().takes(BodyKind::Multipart));
}
