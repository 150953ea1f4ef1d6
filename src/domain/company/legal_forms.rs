//! Words that say in which form of law a company is run, and names that are none.

use crate::domain::mapping::name::is_east_asian;

/// Abbreviations and words of the legal forms in use, by country, in lower case without dots: of the list of entity legal
/// forms of ISO 20275, which GLEIF keeps (gleif.org, "ISO 20275: Entity Legal Forms Code List"), those that companies
/// write behind or before their name.
#[rustfmt::skip]
pub(super) const LEGAL_FORMS: &[&str] = &[
    // United States, Canada, Australia, India, Singapore, Hong Kong, Malaysia, South Africa
    "inc", "incorporated", "corp", "corporation", "co", "company", "llc", "lp", "llp", "lllp", "pllc", "ltd", "limited",
    "ulc", "ltee", "pty", "pte", "pvt", "bhd", "sdn", "opc", "npc",
    // United Kingdom, Ireland
    "plc", "cic", "cio", "dac", "clg", "teoranta", "cyf",
    // Germany, Austria, Switzerland, Liechtenstein
    "gmbh", "ggmbh", "mbh", "gesmbh", "ag", "kg", "kgaa", "ohg", "og", "gbr", "ug", "haftungsbeschrankt",
    "haftungsbeschraenkt", "eg", "ev", "ek", "ekfm", "ekfr", "partg", "partgmbb", "se", "sagl", "anstalt",
    // France, Belgium, Luxembourg
    "sa", "sas", "sasu", "sarl", "eurl", "snc", "sca", "scs", "scop", "sci", "selarl", "sprl", "srl", "bvba", "nv",
    "cvba", "scrl",
    // Netherlands
    "bv", "vof", "cv",
    // Italy, Spain, Portugal, Latin America
    "spa", "srls", "sapa", "sl", "slu", "slne", "sau", "sll", "lda", "ltda", "eireli", "sgps", "sacv", "sadecv", "srlcv",
    "sapi", "sab", "sac", "eirl", "saic",
    // Nordic and Baltic countries
    "ab", "aktiebolag", "publ", "hb", "kb", "as", "asa", "ans", "enk", "aps", "ivs", "oy", "oyj", "ky", "ehf", "hf", "ou",
    "uab", "sia",
    // Poland, Czechia, Slovakia, Hungary, Romania, Bulgaria, Slovenia, Croatia, Serbia
    "spzoo", "zoo", "sp", "spj", "spk", "sro", "spol", "vos", "kft", "zrt", "nyrt", "bt", "eood", "ood", "ead", "ad",
    "doo", "dd",
    // Greece, Turkey, Russia, Ukraine, and Bulgaria and Serbia in Cyrillic letters
    "epe", "ike", "sti", "ooo", "oao", "zao", "pao", "tov",
    "ооо", "оао", "зао", "пао", "ао", "ип", "тов", "оод", "еоод", "ад", "еад", "ет", "доо", "αε", "επε", "ικε", "οε", "εε",
    // Japan, China, Indonesia, Vietnam, Thailand, the Gulf
    "kk", "gk", "pt", "tbk", "jsc", "pcl", "fzco", "fze", "wll", "saog", "pjsc", "dmcc",
];

/// Those that stand in front of a name as a word of it.
pub(super) const WORDS_IN_FRONT: &[&str] = &["co", "company", "corp", "corporation", "limited", "incorporated"];

/// The same in several words.
pub(super) const LEGAL_PHRASES: &[&[&str]] = &[
    &["sp", "z", "oo"],
    &["sa", "de", "cv"],
    &["sapi", "de", "cv"],
    &["s", "de", "rl", "de", "cv"],
    &["s", "de", "rl"],
    &["בע", "מ"],
];

/// Those that stand in front of a name.
pub(super) const PHRASES_IN_FRONT: &[&[&str]] =
    &[&["cong", "ty", "tnhh"], &["cong", "ty", "co", "phan"], &["cong", "ty"], &["شركة"]];

/// Those that are written without a space, before or behind the name; what holds another one comes first.
pub(super) const EAST_ASIAN_FORMS: &[&str] = &[
    "株式会社",
    "有限会社",
    "合同会社",
    "合資会社",
    "(株)",
    "(有)",
    "주식회사",
    "유한회사",
    "(주)",
    "(유)",
    "股份有限公司",
    "有限责任公司",
    "有限責任公司",
    "有限公司",
];

/// The forms that stand in front of names of this script, as they are written there.
pub(super) fn forms_in_front(name: &str) -> &'static [&'static str] {
    match name.chars().next() {
        Some('\u{ac00}'..='\u{d7a3}') => &["주식회사 ", "주식회사", "(주)", "(주) "],
        Some(first) if is_east_asian(first) => &["株式会社", "株式会社 ", "(株)", "有限会社"],
        Some('\u{400}'..='\u{4ff}') => &["ООО ", "ООО \"", "ООО «", "АО \"", "АО «"],
        Some(first) if first.is_alphabetic() && first < '\u{250}' => &["AB ", "PT "],
        _ => &[],
    }
}

/// What people write where a form asks for a company and there is none, as [`super::forms`] compares it.
#[rustfmt::skip]
pub(super) const NO_NAMES: &[&str] = &[
    "unknown", "unbekannt", "inconnu", "desconocido", "none", "no company", "no", "keine", "kein", "aucun", "ninguno",
    "na", "n a", "not applicable", "not available", "not provided", "null", "nil", "tbd", "tba", "test", "xxx", "x",
    "private", "privat", "private person", "privatperson", "prive", "particulier", "particular", "personal",
    "individual", "self", "self employed", "selfemployed", "selbstandig", "selbststandig", "freelance", "freelancer",
    "student", "retired", "home", "me", "myself", "company", "firma", "company name", "my company",
];
