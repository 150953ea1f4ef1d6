//! How names begin that are compared as equal to a company's: CRMs look names up by their beginning, letter by letter.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;

use super::legal_forms::{LEGAL_FORMS, forms_in_front};
use super::{fold, is_form_in_front, squeezed, without_east_asian_form};
use crate::domain::mapping::name::is_east_asian;

const VOWELS: &str = "aeiouy";
/// Other letters that often bear accents.
const CONSONANTS: &str = "cglnsz";
/// What people leave the accent off most often at the front, where a CRM needs a letter to look by.
const ACCENTED: &[(char, &str)] = &[
    ('a', "äåá"),
    ('c', "çč"),
    ('e', "éè"),
    ('i', "íİ"),
    ('l', "ł"),
    ('n', "ñ"),
    ('o', "öøó"),
    ('s', "šş"),
    ('u', "üú"),
    ('z', "žż"),
];
/// One letter that some write as two.
const IN_TWO: &[(&str, &str)] = &[("ae", "a"), ("oe", "o"), ("ue", "u"), ("aa", "a")];
/// Fewer letters say too little to look for: among others that may be any, and alone.
const LEAST_AMONG_OTHERS: usize = 3;
const LEAST_LETTERS: usize = 2;

/// The beginnings, as they may be written, of names that are compared as equal to this one; `?` is any character. Case does not
/// matter. They are few, since the CRM is asked for all of them at once, for hundreds of companies.
pub fn beginnings(name: &str) -> BTreeSet<String> {
    let name = name.trim();
    let core = core(name);
    let first = core.split_whitespace().next().unwrap_or_default();
    let run: String = first.chars().take_while(|c| c.is_alphanumeric()).collect();
    let says_little = run.chars().count() < 3 || LEGAL_FORMS.contains(&squeezed(&run).as_str());
    let begin = if says_little { core.clone() } else { run };
    let [folded, umlauts_in_two] = [false, true].map(|in_two| fold(&begin.to_lowercase(), in_two));
    let in_one = IN_TWO.iter().fold(folded.clone(), |text, (two, one)| text.replace(two, one));
    let in_parts = begin.nfd().collect();
    let mut all =
        BTreeSet::from([name.to_owned(), begin.clone(), in_parts, folded.clone(), umlauts_in_two, in_one.clone()]);
    let sharp = folded.replace("ss", "ß");
    for spelling in BTreeSet::from([&folded, &in_one, &sharp]) {
        all.extend(with_accents(spelling, &fold(&core.to_lowercase(), false)));
    }
    all.extend(["\"", "„", "«"].map(|quote| format!("{quote}{begin}")));
    all.insert(format!("\"{}", with_accents_on_vowels(&folded)));
    all.extend(with_punctuation(first, &core));
    all.extend(forms_in_front(&begin).iter().map(|form| format!("{form}{begin}")));
    let mut seen = BTreeSet::new();
    all.retain(|text| {
        let least = if text.contains('?') { LEAST_AMONG_OTHERS } else { LEAST_LETTERS };
        letters_in(text) >= least || [name, &begin].contains(&text.as_str())
    });
    all.retain(|text| !text.is_empty() && seen.insert(text.to_lowercase()));
    all
}

/// The name without legal forms, however these are spaced, and without what stands around it.
fn core(name: &str) -> String {
    let bare =
        if name.contains(is_east_asian) { without_east_asian_form(&fold(name, false)) } else { name.nfc().collect() };
    let words: Vec<&str> = bare.split_whitespace().collect();
    let is_form = |word: &str| LEGAL_FORMS.contains(&squeezed(word).as_str());
    let is_part_of_form = |word: &str| is_form(word) || squeezed(word).chars().count() <= 2;
    let first = words.iter().position(|word| !is_form_in_front(&squeezed(word))).unwrap_or(0);
    let last = words.iter().rposition(|word| !is_part_of_form(word)).filter(|last| *last >= first);
    let last = last.or_else(|| words.iter().rposition(|word| !is_form(word)));
    let last = last.map_or(words.len(), |last| last + 1);
    words[first..last.max(first)].join(" ").trim_matches(|c: char| !c.is_alphanumeric()).to_owned()
}

/// Spellings with an accent where the lead may have left one out: on the first letter; on vowels; on all consonants that bear
/// accents if enough letters stay fixed, else on one at a time.
fn with_accents(begin: &str, core: &str) -> Vec<String> {
    let on_vowels = with_accents_on_vowels(begin);
    let mut letters = on_vowels.chars();
    let Some(plain) = letters.next() else { return Vec::new() };
    let accented = ACCENTED.iter().find(|(letter, _)| *letter == plain).map_or("", |(_, accented)| accented);
    let mut all: Vec<String> = accented.chars().map(|first| format!("{first}{}", letters.as_str())).collect();
    let core: String = core.chars().skip(1).collect();
    let on_any = open(&core, |c| VOWELS.contains(c) || CONSONANTS.contains(c));
    if letters_in(&on_any) + 1 >= LEAST_AMONG_OTHERS {
        all.push(format!("{plain}{on_any}"));
    } else {
        let others = letters.as_str().char_indices().filter(|(_, c)| CONSONANTS.contains(*c));
        let rest = letters.as_str();
        all.extend(others.map(|(place, _)| format!("{plain}{}?{}", &rest[..place], &rest[place + 1..])));
    }
    all.push(on_vowels);
    all
}

/// With any letter in place of each vowel but the first letter.
fn with_accents_on_vowels(begin: &str) -> String {
    let mut letters = begin.chars();
    let first = letters.next().map(String::from).unwrap_or_default();
    first + &open(letters.as_str(), |c| VOWELS.contains(c))
}

fn open(text: &str, is_open: impl Fn(char) -> bool) -> String {
    text.chars().map(|c| if is_open(c) || !c.is_alphanumeric() { '?' } else { c }).collect()
}

fn letters_in(pattern: &str) -> usize {
    pattern.chars().filter(|c| c.is_alphanumeric()).count()
}

/// With and without the dots and apostrophes that a first word has or may have: "I.B.M.", "O'Neil".
fn with_punctuation(first: &str, core: &str) -> Vec<String> {
    let plain: String = first.chars().filter(|c| c.is_alphanumeric()).collect();
    let letters = plain.chars().count();
    let mut all = Vec::new();
    let behind = core.strip_prefix(first).unwrap_or_default();
    if plain != first {
        all.push(if letters < 3 { format!("{plain}{behind}") } else { plain.clone() });
    }
    if (LEAST_LETTERS..=4).contains(&letters) {
        all.push(plain.chars().map(String::from).collect::<Vec<_>>().join("."));
    }
    // "Wendys" may be "Wendy's", and "ONeil" "O'Neil".
    if letters > 4 {
        let stem = plain.strip_suffix(['s', 'S']).unwrap_or(&plain);
        all.push(stem.to_owned());
        let behind = stem.strip_prefix(['o', 'd', 'l', 'O', 'D', 'L']);
        all.extend(behind.map(|rest| format!("{}?{}", &stem[..1], open(rest, |c| VOWELS.contains(c)))));
    }
    all
}
