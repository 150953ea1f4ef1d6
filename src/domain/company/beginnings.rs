//! How names begin that are compared as equal to a company's: CRMs look names up by their beginning, letter by letter.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;

use super::legal_forms::{LEGAL_FORMS, forms_in_front};
use super::{fold, is_form_in_front, squeezed, without_east_asian_form};
use crate::domain::mapping::name::is_east_asian;

const VOWELS: &str = "aeiouy";
/// Other letters that bear accents.
const CONSONANTS: &str = "cdglnrstz";
/// What people leave the accent off at the front, where a CRM needs a letter to look by.
const ACCENTED: &[(char, &str)] = &[
    ('a', "àáâãäåā"),
    ('c', "çćč"),
    ('d', "đď"),
    ('e', "èéêëěė"),
    ('g', "ğģ"),
    ('i', "ìíîïİ"),
    ('l', "łľ"),
    ('n', "ñňń"),
    ('o', "òóôõöøő"),
    ('r', "ř"),
    ('s', "šśşș"),
    ('t', "ťţț"),
    ('u', "ùúûüůű"),
    ('y', "ý"),
    ('z', "žźż"),
];
/// One letter that some write as two.
const IN_TWO: &[(&str, &str)] = &[("ae", "a"), ("oe", "o"), ("ue", "u"), ("aa", "a")];
/// Fewer letters say too little to look for.
const LEAST_LETTERS: usize = 2;

/// The beginnings, as they may be written, of names that are compared as equal to this one; `?` is any character.
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
    all.extend(with_accents(&folded, "").into_iter().map(|pattern| format!("\"{pattern}")));
    all.extend(["\"", "„", "«"].iter().flat_map(|quote| [format!("{quote}{begin}"), format!("{quote}{folded}")]));
    all.extend(with_punctuation(first, &core));
    all.extend(forms_in_front(&begin).iter().map(|form| format!("{form}{begin}")));
    all.retain(|text| letters_in(text) >= LEAST_LETTERS || [name, &begin].contains(&text.as_str()));
    all.remove("");
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

/// With an accent wherever one may be left out: on vowels, on the first letter, and on other letters: on any where the whole
/// name has enough that bear none, else on one, where the first letter bears none.
fn with_accents(begin: &str, core: &str) -> Vec<String> {
    let mut letters = begin.chars();
    let Some(plain) = letters.next() else { return Vec::new() };
    let on_vowels = open(letters.as_str(), |c| VOWELS.contains(c));
    let core: String = core.chars().skip(1).collect();
    let on_any = open(&core, |c| VOWELS.contains(c) || CONSONANTS.contains(c));
    let says_enough = letters_in(&on_any) >= LEAST_LETTERS;
    let accented = ACCENTED.iter().find(|(letter, _)| *letter == plain).map_or("", |(_, accented)| accented);
    let mut all: Vec<String> = Vec::new();
    for first in std::iter::once(plain).chain(accented.chars()) {
        all.push(format!("{first}{on_vowels}"));
        all.extend(says_enough.then(|| format!("{first}{on_any}")));
    }
    if !says_enough {
        let others = on_vowels.char_indices().filter(|(_, c)| CONSONANTS.contains(*c));
        all.extend(others.map(|(place, _)| format!("{plain}{}?{}", &on_vowels[..place], &on_vowels[place + 1..])));
    }
    all.retain(|pattern| letters_in(pattern) >= LEAST_LETTERS);
    all
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
        all.push(plain.chars().map(String::from).collect::<Vec<_>>().join("?"));
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
