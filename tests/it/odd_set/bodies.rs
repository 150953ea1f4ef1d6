//! Some 250 webhooks that nobody planned for, made the same way each time.

use super::histories::{self, History};

/// One webhook, and what any reader of it would say of its lead.
#[derive(Clone, Debug)]
pub struct Odd {
    pub body: Vec<u8>,
    /// The lead's ID; `None` where none can be read.
    pub lead: Option<String>,
    /// Whether it shares a person, a record or a version with another, so that the order may tell.
    pub tied: bool,
    /// Which of its lead's events it is, by version.
    pub round: usize,
}

impl Odd {
    fn lead(id_json: &str, id: &str, inside: &str) -> Self {
        let body = format!(
            r#"{{"event":"lead.created","timestamp":1760000000,"data":{{"id":{id_json},{inside},"updated_at":1760000000}}}}"#
        );
        Self { body: body.into_bytes(), lead: Some(id.to_owned()), tied: false, round: 0 }
    }

    fn nobody(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), lead: None, tied: false, round: 0 }
    }
}

/// All of them, in an order in which neighbours have nothing in common.
pub fn all() -> Vec<Odd> {
    let mut set = Vec::new();
    set.extend(every_field_with_every_kind_of_value());
    set.extend(texts());
    set.extend(ids());
    set.extend(people());
    set.extend(envelopes());
    for History { id, events } in histories::all() {
        let event = |(round, body)| Odd { body, lead: Some(id.to_owned()), tied: false, round };
        set.extend(events.into_iter().enumerate().map(event));
    }
    set
}

const FIELDS: [&str; 25] = [
    "name",
    "source",
    "score",
    "description",
    "address",
    "city",
    "state",
    "country",
    "postal_code",
    "latitude",
    "longitude",
    "phone",
    "email",
    "website",
    "rating",
    "review_count",
    "category",
    "tags",
    "source_id",
    "logo_url",
    "status",
    "attributes",
    "created_at",
    "last_interaction_at",
    "custom",
];

const VALUES: [&str; 21] = [
    "null",
    r#""""#,
    r#"" \t\r\n ""#,
    "0",
    "-1",
    "-0",
    "1e400",
    "9007199254740993",
    "0.1000000000000000055511151231257827",
    "true",
    "[]",
    r#"["x",null,1,{"a":[]}]"#,
    "{}",
    r#"{"name":"x","value":{"deep":[[[1]]]}}"#,
    r#""'; DROP TABLE Lead; -- \\ % _ ’ “""#,
    r#""@{read0.records[0].Id}""#,
    r#""\u0000""#,
    r#""\u200b\u200d\ufeff""#,
    r#""true""#,
    r#""2026-02-30""#,
    r#""=1+1|'@cmd\u202e""#,
];

/// Each field, absent once and then with six kinds of value; over all fields every kind stands in most of them.
fn every_field_with_every_kind_of_value() -> Vec<Odd> {
    let place = |number: usize| (FIELDS[number % FIELDS.len()], number / FIELDS.len());
    let odd = |number: usize| {
        let (field, round) = place(number);
        let known = [
            ("name", format!(r#""Field Person{number}""#)),
            ("email", format!(r#""person{number}@field{number}.example""#)),
            ("status", r#""new""#.to_owned()),
        ];
        let mut parts: Vec<String> = known
            .iter()
            .filter(|(name, _)| *name != field)
            .map(|(name, value)| format!(r#""{name}":{value}"#))
            .collect();
        if round > 0 {
            parts.push(format!(r#""{field}":{}"#, VALUES[(number * 8 + round) % VALUES.len()]));
        }
        let id = format!("field-{number}");
        Odd::lead(&format!("\"{id}\""), &id, &parts.join(","))
    };
    (0..FIELDS.len() * 5).map(odd).collect()
}

/// Texts and lists that are odd in the place where they stand.
fn texts() -> Vec<Odd> {
    let mut insides: Vec<String> = [
        r#""name":"X""#,
        r#""name":"👩‍👩‍👧‍👦🏳️‍🌈🇩🇪""#,
        r#""name":"?!...""#,
        r#""name":",""#,
        r#""name":"\u202Eevil\u202C Ann""#,
        r#""name":"A\u0301\u0327nn O\u2019Neil\u2028Lee""#,
        r#""name":"Ann\tvan\u00a0der\r\nHeide\u0085""#,
        r#""name":"\u0007\u001b[31mRed\u007f""#,
        r#""name":"null""#,
        r#""name":"{{7*7}} ${x} <%= x %>""#,
        r#""name":"\uFFFD\uFFFE\uFFFF\uD83D\uDE00""#,
        r#""name":"Lee, Ann, Dr., PhD, MBA""#,
        r#""email":"ANN@TEXTS.EXAMPLE ""#,
        r#""email":"mailto:ann.mail@texts.example?subject=x""#,
        r#""email":"Ann Lee <ann.lee@texts.example>""#,
        r#""email":"\"a b\"@texts.example""#,
        r#""email":"a'); --@texts.example""#,
        r#""email":"o'neil%_\\@texts.example""#,
        r#""email":"ann@münchen-texts.example""#,
        r#""email":"ann@[127.0.0.1]""#,
        r#""email":"ann@localhost""#,
        r#""email":"ann..dot@texts.example""#,
        r#""email":"@""#,
        r#""email":"ann@@texts.example""#,
        r#""email":"a@texts.example,b@texts.example""#,
        r#""email":"ann\u200b@texts.example""#,
        r#""email":"\u202Eann2@texts.example""#,
        r#""phone":"1-800-CALL-ANN","country":"US""#,
        r#""phone":"+++""#,
        r#""phone":"٠١٢٣٤٥٦٧٨٩","country":"EG""#,
        r#""phone":"+1 202-555-0150 ext. 99999""#,
        r#""phone":"tel:+12025550151;ext=7""#,
        r#""website":"javascript:alert(1)""#,
        r#""website":"http://[::1]:99999/""#,
        r#""website":"//texts.example/a b?c=@{d.e}#f""#,
        r#""website":"ftp://user:password@texts.example""#,
        r#""country":"Deutschland \uD83C\uDDE9\uD83C\uDDEA","state":"§$%&/()=?""#,
        r#""tags":["A","a"," a ","","a;b","@{x.y}","\u0000",true,3.0,null]"#,
        r#""tags":"a;b;c""#,
        r#""attributes":[{"name":"industry","value":"Steel"},{"name":"INDUSTRY","value":"Glass"},{"name":" industry ","value":"Wood"}]"#,
        r#""attributes":[{"name":"email","value":"other@attribute.example"},{"name":"id","value":"other"},{"name":"name","value":"Other"}]"#,
        r#""attributes":[{"name":"industry","value":["a","b"]},{"name":"employees","value":"1e3"},{"name":"company","value":{"a":1}}]"#,
        r#""attributes":{"industry":"Steel","employees":12.0,"company":"  Acme   &   Söhne  "}"#,
        r#""attributes":[{"name":"","value":"x"},{"name":null},{"value":1},[],null,"x",{"name":"employees","value":-0.0}]"#,
        r#""attributes":[{"name":"a.b/c~d\u0000","value":"x"},{"name":"employees","value":"99999999999999999999"}]"#,
        r#""attributes.industry":"Flat","attributes":[{"name":"industry","value":"Listed"}]"#,
        r#""score":"0087.500""#,
        r#""score":123456789012.12345678901234567890"#,
        r#""score":-1e-40"#,
        r#""score":"NaN""#,
        r#""last_interaction_at":"2026-01-31T10:00:00+01:00""#,
        r#""last_interaction_at":1760000000123"#,
        r#""last_interaction_at":-62135596800"#,
        r#""name":"First","name":"Second","city":"A","city":"B""#,
        r#""Name":"Upper","EMAIL":"upper@texts.example","Id":"upper""#,
        r#""OwnerId":"005000000000000AAA","Lead_System_Id__c":"stolen","IsConverted":true,"__proto__":{"a":1}"#,
        r#""$serde_json::private::Number":"1","$serde_json::private::RawValue":"2""#,
    ]
    .map(str::to_owned)
    .to_vec();
    insides.push(format!(r#""name":"{}""#, "N".repeat(5_000)));
    insides.push(format!(r#""name":"{}""#, "long words ".repeat(450)));
    insides.push(format!(r#""description":"{}""#, "語".repeat(70_000)));
    insides.push(format!(r#""description":"{}""#, r"\u0001".repeat(40_000)));
    insides.push(format!(r#""email":"{}@{}.example""#, "l".repeat(65), "d".repeat(64)));
    insides
        .push(format!(r#""tags":[{}]"#, (0..4_000).map(|tag| format!("\"tag {tag}\"")).collect::<Vec<_>>().join(",")));
    let attribute = |number: usize| format!(r#"{{"name":"attribute {number}","value":{number}}}"#);
    insides.push(format!(r#""attributes":[{}]"#, (0..2_000).map(attribute).collect::<Vec<_>>().join(",")));
    insides.push(format!(r#""{}":"a very long key""#, "k".repeat(20_000)));
    let odd = |(number, inside): (usize, &String)| {
        let id = format!("text-{number}");
        let name =
            if inside.starts_with(r#""name""#) { String::new() } else { format!(r#""name":"Text Person{number}","#) };
        Odd::lead(&format!("\"{id}\""), &id, &format!("{name}{inside}"))
    };
    insides.iter().enumerate().map(odd).collect()
}

/// IDs that are odd; each is a lead of its own, and case and blanks inside tell leads apart.
fn ids() -> Vec<Odd> {
    let long = |length: usize| format!("\"{}\"", "i".repeat(length));
    let jsons = [
        "4711",
        "1.50",
        "1e3",
        "-0",
        "9007199254740993",
        r#""true""#,
        r#""null""#,
        r#""A""#,
        r#""a""#,
        r#""Ä""#,
        r#""ä""#,
        r#""a/b""#,
        r#""a\\b""#,
        r#""100%""#,
        r#""a%2Fb""#,
        r#""a?b#c&d=e+f""#,
        r#""'""#,
        r#""\"""#,
        r#""' OR Id != '""#,
        r#""%_""#,
        r#""=1+1""#,
        r#""@{creates[0].id}""#,
        r#""日本語""#,
        r#""🧑‍🚀""#,
        r#""e\u0301""#,
        r#""\u00e9""#,
        r#""zero\u200bwidth""#,
        r#""zerowidth""#,
        r#""in side""#,
        r#""a;b,c""#,
        r#""\u202egnp""#,
        r#""../..""#,
        r#""<b>""#,
        r#""005000000000000AAA""#,
    ];
    let mut ids: Vec<Odd> = jsons.iter().map(|json| with_id(json)).collect();
    ids.extend([63, 64, 65, 255, 512].map(|length| with_id(&long(length))));
    // Blanks at the ends are a part of no CRM's key.
    ids.push(Odd { tied: true, ..with_id(r#"" ends ""#) });
    ids.push(Odd { tied: true, ..with_id(r#""ends""#) });
    ids
}

fn with_id(json: &str) -> Odd {
    let id = serde_json::from_str(json).unwrap_or_else(|_| json.to_owned());
    // No two have one person in common.
    let number = json.bytes().fold(json.len() as u64, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_000_007);
    Odd::lead(json, &id, &format!(r#""name":"Id{number} Person","email":"p{number}@ids{number}.example""#))
}

/// One person under several IDs, and several under one address.
fn people() -> Vec<Odd> {
    let person = |id: &str, inside: &str| Odd { tied: true, ..Odd::lead(&format!("\"{id}\""), id, inside) };
    vec![
        person("same-1", r#""name":"Sam Same","email":"sam@same.example""#),
        person("same-2", r#""name":"Sam Same","email":"SAM@SAME.example""#),
        person("same-3", r#""name":"sam same","website":"https://www.same.example/about""#),
        person("mail-1", r#""name":"Mia Mail","email":"shared@mailbox.example""#),
        person("mail-2", r#""name":"Noah Other","email":"shared@mailbox.example""#),
        person("mail-3", r#""email":"shared@mailbox.example""#),
        person("free-1", r#""name":"Fay Free","email":"fay.free.odd@gmail.com""#),
        person("free-2", r#""name":"Fay Free","email":"fay.free.odd2@gmail.com""#),
        person("bare-1", r#""name":"Bare Name""#),
        person("bare-2", r#""name":"Bare Name""#),
    ]
}

/// Bodies that are no event of a lead, or hardly.
fn envelopes() -> Vec<Odd> {
    let told = |id: &str, body: &str| Odd { lead: Some(id.to_owned()), ..Odd::nobody(body) };
    let mut odd: Vec<Odd> = [
        "",
        " ",
        "null",
        "true",
        "0",
        "\"\"",
        "\"lead.created\"",
        "[]",
        "{}",
        "[[]]",
        "{\"\":{}}",
        "nul",
        "{",
        "}",
        "\u{feff}{}",
        r#"[{"event":"lead.created","data":{"id":"in-a-list","name":"A"}}]"#,
        r#"{"event":"lead.created"}"#,
        r#"{"event":"lead.created","data":null}"#,
        r#"{"event":"lead.created","data":[]}"#,
        r#"{"event":"lead.created","data":"x"}"#,
        r#"{"event":"lead.created","data":{}}"#,
        r#"{"event":"lead.created","data":{"id":null}}"#,
        r#"{"event":"lead.created","data":{"id":true,"name":"A"}}"#,
        r#"{"event":"lead.created","data":{"id":false,"name":"B"}}"#,
        r#"{"event":"lead.created","data":{"id":[],"name":"A"}}"#,
        r#"{"event":"lead.created","data":{"id":{"a":1},"name":"A"}}"#,
        r#"{"event":"lead.created","data":{"id":"","name":"A"}}"#,
        r#"{"event":"lead.created","data":{"id":"\u00a0\u3000","name":"A"}}"#,
        r#"{"event":"lead.created","data":{"id":"a\u0000b","name":"A"}}"#,
        r#"{"event":"lead.created","data":{"id":"a\nb","name":"A"}}"#,
        r#"{"event":"lead.created","data":{"id":"\ud800","name":"A"}}"#,
        r#"{"event":"lead.created","data":{"id":"half-\udc00-pair","name":"\ud83d"}}"#,
        r#"{"event":"lead.created","data":{"id":"x1","name":"A",}}"#,
        r#"{"event":"lead.created","data":{"id":"x2","name":'A'}}"#,
        r#"{"event":"lead.created","data":{"id":"x3","score":NaN}}"#,
        r#"{"event":"lead.created","data":{"id":"x4","score":01}}"#,
        r#"{"event":"lead.created","data":{"id":"x5"}} trailing"#,
        r#"{"event":"lead.created","data":{"id":"x6"}}{"event":"lead.created","data":{"id":"x7"}}"#,
        r#"{"event":["lead.created"],"data":{"id":"x8"}}"#,
        r#"{"event":"","data":{"id":"x9"}}"#,
        r#"{"data":{"id":"x10"}}"#,
        r#"{"Event":"lead.created","data":{"id":"x11"}}"#,
    ]
    .map(Odd::nobody)
    .to_vec();
    for kind in [
        "LEAD.CREATED",
        "lead.created ",
        "lead.merged",
        "note.created",
        "note.",
        "*",
        "lead.*",
        "webhook.ping",
        "1",
        "true",
    ] {
        // Ignored, with or without a lead: nothing becomes of it.
        odd.push(Odd::nobody(format!(r#"{{"event":"{kind}","data":{{"id":"ignored","name":"Ignored"}}}}"#)));
    }
    odd.push(Odd::nobody(format!(r#"{{"event":"lead.created","data":{{"id":"{}","name":"A"}}}}"#, "i".repeat(513))));
    odd.push(Odd::nobody([&b"{\"event\":\"lead.created\",\"data\":"[..], &b"[".repeat(10_000)].concat()));
    odd.push(Odd::nobody(b"{\"event\":\"lead.created\",\"data\":{\"id\":\"x12\",\"name\":\"\xed\xa0\x80\"}}".to_vec()));
    odd.push(Odd::nobody(b"\xff\xfe{\x00}\x00".to_vec()));
    odd.push(told("last-wins", r#"{"event":"note.created","data":{"id":"first"},"event":"lead.created","data":{"id":"first","id":"last-wins","name":"Last Wins"}}"#));
    odd.push(told("never-seen", r#"{"event":"lead.deleted","timestamp":1760000000,"data":{"id":"never-seen"}}"#));
    odd.push(told("never-dated", r#"{"event":"lead.deleted","timestamp":"soon","data":{"id":"never-dated"}}"#));
    odd.push(told("4712", r#"{"event":"lead.deleted","timestamp":-1,"data":{"id":4712,"name":"X"}}"#));
    odd
}
