//! By what a company is known, and which record it is taken for.

use super::*;

pub(crate) fn object() -> CompanyObject {
    CompanyObject {
        object: "Account".into(),
        name: "Name".into(),
        website: "Website".into(),
        name_of_person: "Company".into(),
        website_of_person: "Website".into(),
        lookups: vec![("Contact".into(), "AccountId".into())],
    }
}

fn account(id: &str, name: &str, website: Option<&str>) -> Candidate {
    let text = |text: &str| CrmValue::Text(text.to_owned());
    let website = website.map_or(CrmValue::Null, text);
    let record = CrmRecord {
        id: id.into(),
        object: "Account".into(),
        fields: [("Name".into(), text(name)), ("Website".into(), website)].into(),
        modified_at: None,
        created_at: None,
        modified_by_us: None,
        became: None,
    };
    Candidate { record, by: MatchedBy::CompanyName }
}

fn keys(name: Option<&str>, domains: &[&str]) -> CompanyKeys {
    CompanyKeys::of(name.map(str::to_owned), domains.iter().map(ToString::to_string).collect()).unwrap()
}

#[test]
fn names_are_compared_without_legal_form_case_punctuation_and_accents() {
    #[track_caller]
    fn check(a: &str, b: &str, same: bool) {
        assert_eq!(!forms(a).is_disjoint(&forms(b)), same, "{a:?} {:?} and {b:?} {:?}", forms(a), forms(b));
    }
    for name in
        ["ACME GmbH", "Acme, Inc.", "acme S.A.", "Acme S. A.", "Acme Ltd", "Acme G.m.b.H.", "Acme GmbH & Co. KG"]
    {
        check(name, "Acme", true);
    }
    check("Müller & Söhne GmbH", "Mueller und Soehne", true);
    check("Müller & Söhne GmbH", "Muller and Sohne Inc.", true);
    check("Café Noir SARL", "CAFE NOIR", true);
    check("Smith-Jones Ltd.", "Smith Jones Limited", true);
    check("O'Neil's Pub", "ONeils Pub", true);
    check("AB Volvo", "Volvo", true);
    check("Acme sp. z o.o.", "Acme", true);
    check("Acme S.A. de C.V.", "Acme", true);
    check("Blue GmbH", "Blu GmbH", false);
    check("Acme Tools", "Acme", false);
    check("Acme Germany GmbH", "Acme France SAS", false);
    check("Limited", "Limited", true);
    check("ООО «Ромашка»", "РОМАШКА", true);
    check("Иванова ЕООД", "Иванова", true);
    check("Παπαδόπουλος Α.Ε.", "παπαδοπουλος", true);
    check("株式会社アクメ", "アクメ", true);
    check("アクメ㈱", "株式会社 アクメ", true);
    check("ガス商店", "カス商店", false);
    check("上海明星科技有限公司", "上海明星科技", true);
    check("有限公司", "有限公司", true);
    check("(주)한빛", "주식회사 한빛", true);
    check("한빛", "한별", false);
    check("כהן ובניו בע\"מ", "כהן ובניו", true);
    check("Công ty TNHH Ánh Dương", "Anh Duong", true);
    check("राज टेक", "रोजी टेक", false);
}

#[test]
fn what_stands_for_no_company_is_no_name() {
    for name in ["", " - ", "N/A", "n.a.", "Unknown", "none", "PRIVATE", "Self-employed", "Privat"] {
        assert_eq!(CompanyKeys::of(Some(name.to_owned()), BTreeSet::new()), None, "{name:?}");
    }
    let only_domain = keys(Some("n/a"), &["acme.example"]);
    assert_eq!(only_domain.external_ids(), ["domain:acme.example"]);
}

#[test]
fn keys_fit_their_field_and_differ_where_companies_do() {
    let long = |end: &str| keys(Some(&format!("{} {end}", "Very Long Name ".repeat(10))), &[]).external_ids();
    assert!(long("a").iter().all(|key| key.chars().count() <= LONGEST_KEY), "{:?}", long("a"));
    assert_ne!(long("a"), long("b"));
    assert_eq!(
        keys(Some("Müller AG"), &["m.example"]).external_ids(),
        ["domain:m.example", "name:mueller", "name:muller"]
    );
}

#[test]
fn every_spelling_begins_as_it_is_looked_for() {
    #[track_caller]
    fn check(lead: &str, account: &str) {
        let begins = |beginning: &String| {
            let mut account = account.chars();
            beginning.chars().all(|c| account.next().is_some_and(|a| c == '?' || a.to_lowercase().eq(c.to_lowercase())))
        };
        assert!(beginnings(lead).iter().any(begins), "{account:?} is not among {:?}", beginnings(lead));
    }
    check("COMPANY NR0 GMBH", "Company Nr0 Ltd");
    check("Müller & Söhne GmbH", "Mueller und Söhne");
    check("Mueller", "Müller AG");
    check("Muller", "Müller AG");
    check("Café Noir", "CAFE NOIR SARL");
    check("Cafe Noir", "Café Noir");
    check("3M Company", "3M Deutschland");
    check("O'Neil Ltd", "O'Neil");
    check("AB Volvo", "Volvo");
    check("AB Volvo", "AB Volvo (publ)");
    check("Volvo", "AB Volvo");
    // Accents that the lead leaves out, wherever they are.
    for (lead, account) in [
        ("Skoda Works", "ŠKODA Works"),
        ("Lodzkie", "Łódzkie AG"),
        ("Eclat", "Éclat SA"),
        ("Oresund", "Øresund ApS"),
        ("Oeresund", "Øresund"),
        ("Oeresund", "Öresund"),
        ("Aangstroem", "Ångström"),
        ("Uebersee", "Übersee"),
        ("Kosmicka Steel", "Košmička Steel"),
        ("Østergård", "\"Ostergard SA\""),
        ("Strasse Nord", "Straße Nord"),
        ("Istanbul Tekstil", "İstanbul Tekstil"),
    ] {
        check(lead, account);
        check(account, lead);
    }
    check("\"Ångström\" AB", "Angstrom Inc.");
    check("N\u{303}andu\u{301}, S. A.", "Ñandú");
    check("Ñandú", "N\u{303}andu\u{301} Sp. z o.o.");
    check("7 Hills GmbH & Co. KG", "7 Hills, S.p.A.");
    check("Skoda Works, S. A.", "Škoda Works");
    // Dots, apostrophes, quotes.
    for (lead, account) in [
        ("JP Carver", "J.P. Carver"),
        ("I.B.M. Corp", "IBM"),
        ("ONeils Pub", "O\u{2019}Neil\u{2019}s Pub"),
        ("O'Neil's Pub", "O\u{2019}Neil\u{2019}s Pub"),
        ("Wendys Inc.", "Wendy\u{2019}s"),
        ("\"Nordwind\" GmbH", "Nordwind"),
        ("Karcher Sud", "\"Kärcher Süd\""),
        ("J.P. CARVER, S.A.", "\"J.P. Carver, Corp.\""),
        ("Ромашка", "ООО «Ромашка»"),
        ("アクメ", "株式会社アクメ"),
        ("한빛", "(주)한빛"),
    ] {
        check(lead, account);
        check(account, lead);
    }
}

#[test]
fn a_name_is_looked_for_in_few_spellings() {
    for name in ["Siemens", "Analytical Engines", "O'Neil's Pub", "Müller & Söhne GmbH", "Nordwind Logistik", "Ромашка"]
    {
        let looked_for = beginnings(name);
        assert!(looked_for.len() <= 20, "{name:?} in {}: {looked_for:?}", looked_for.len());
    }
}

#[test]
fn the_domain_decides_before_the_name_and_doubt_goes_to_a_person() {
    #[track_caller]
    fn check(keys: &CompanyKeys, found: &[Candidate], expected: &str) {
        let told = match choose(keys, found, &object(), &"Key__c".into()) {
            CompanyMatch::Nothing => "nothing".to_owned(),
            CompanyMatch::One(record, by, _) => format!("{} by {}", record.id, by.as_str()),
            CompanyMatch::Ask { candidates, .. } => {
                let ids: Vec<&str> = candidates.iter().map(|candidate| candidate.record.id.as_str()).collect();
                format!("ask {}", ids.join(" "))
            }
        };
        assert_eq!(told, expected, "{keys:?}");
    }
    let acme = || account("1", "Acme Inc.", Some("https://www.acme.example/en"));
    let of_name = || account("2", "ACME GmbH", None);
    let both = keys(Some("Acme"), &["acme.example"]);
    check(&both, &[acme(), of_name()], "1 by company_domain");
    check(&keys(Some("Acme Holding"), &["acme.example"]), &[acme()], "1 by company_domain");
    check(&both, &[of_name()], "2 by company_name");
    check(&keys(Some("Acme"), &[]), &[acme()], "1 by company_name");
    check(&keys(Some("Acme"), &[]), &[acme(), of_name()], "ask 1 2");
    check(&both, &[], "nothing");
    check(&keys(Some("Acme Tools"), &[]), &[acme()], "nothing");
    // One domain, several companies: the name tells them apart, or nobody does.
    let france = || account("3", "Acme France", Some("acme.example"));
    check(&both, &[acme(), france()], "1 by company_domain");
    check(&keys(Some("Acme Spain"), &["acme.example"]), &[acme(), france()], "ask 1 3");
    // The same name under another ending is the same company, under another name it may be anybody's.
    check(&keys(Some("Acme"), &["acme.de"]), &[account("4", "Acme", Some("acme.fr"))], "4 by company_name");
    check(&keys(Some("Acme"), &["coyote.example"]), &[acme()], "ask 1");
    check(&keys(Some("Acme"), &["coyote.example"]), &[acme(), of_name()], "2 by company_name");
    let of_people = Candidate { by: MatchedBy::CompanyContacts, ..account("5", "Umbrella", None) };
    check(&both, std::slice::from_ref(&of_people), "5 by company_contacts");
    check(&both, &[of_people, of_name()], "2 by company_name");
    let known = CompanyKeys { known: Some(acme().record.reference()), ..keys(Some("Coyote"), &[]) };
    check(&known, &[acme()], "1 by link");
}
