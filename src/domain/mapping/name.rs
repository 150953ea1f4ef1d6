//! A person's name as first and last name, by rules that lose no word and change no letter.
//!
//! - `LAST, FIRST` is read as such, unless what follows the comma is a suffix such as `Jr.` or `PhD`.
//! - A name in Chinese, Japanese (not katakana alone) or Korean script has its family name first; unspaced, all of it is the last name.
//! - Otherwise the last word is the last name, with the particles (`von`, `de la`, …) before it and a suffix such as `Jr.`
//!   behind it. Titles stay before the first name.
//! - One word is a last name.

/// Words that belong to the last name that follows them.
const PARTICLES: &[&str] = &[
    "von", "van", "vom", "zu", "zum", "zur", "der", "den", "de", "del", "della", "dela", "di", "da", "das", "do",
    "dos", "du", "des", "la", "le", "les", "el", "al", "bin", "bint", "ibn", "ben", "ter", "ten", "te", "af", "av",
    "st.", "'t",
];

/// What may follow a comma without being a first name.
const SUFFIXES: &[&str] =
    &["jr", "sr", "ii", "iii", "iv", "phd", "md", "mba", "esq", "msc", "bsc", "ma", "ba", "cpa", "dds"];

/// Suffixes that are nobody's last name, so that they need no comma.
const SURE_SUFFIXES: &[&str] = &["jr", "sr", "ii", "iii", "iv", "phd"];

/// The two parts of a name; each is absent rather than invented.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameParts {
    pub first: Option<String>,
    pub last: Option<String>,
}

/// Splits a name; white space of any kind separates words and counts once.
pub fn split(name: &str) -> NameParts {
    if let Some((last, first)) = name.split_once(',') {
        let (last, first) = (collapse(last), collapse(first));
        if !first.is_empty() && !last.is_empty() && !first.contains(',') && !is_suffix(&first) {
            return NameParts { first: Some(first), last: Some(last) };
        }
    }
    let words: Vec<&str> = name.split_whitespace().collect();
    let (first, last) = if is_family_first(&words) {
        let (family, given) = words.split_at(1);
        (given, family)
    } else {
        words.split_at(last_name_start(&words))
    };
    let part = |words: &[&str]| (!words.is_empty()).then(|| words.join(" "));
    NameParts { first: part(first), last: part(last) }
}

fn last_name_start(words: &[&str]) -> usize {
    let Some(mut start) = words.len().checked_sub(1) else { return 0 };
    // "Anna Smith, PhD", "John Smith Jr.": the suffix stays with the last name.
    while start > 1 && (words[start - 1].ends_with(',') || SURE_SUFFIXES.contains(&bare(words[start]).as_str())) {
        start -= 1;
    }
    // A capital at the very front is more often a first name ("Ben Affleck") than a particle.
    while start > 0 && is_particle(words[start - 1]) && (start > 1 || words[0].starts_with(char::is_lowercase)) {
        start -= 1;
    }
    start
}

fn is_particle(word: &str) -> bool {
    let word = word.to_lowercase();
    PARTICLES.contains(&word.as_str())
}

fn is_suffix(text: &str) -> bool {
    text.split_whitespace().all(|word| SUFFIXES.contains(&bare(word).as_str()))
}

fn bare(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn is_family_first(words: &[&str]) -> bool {
    let mut letters = words.iter().flat_map(|word| word.chars()).peekable();
    letters.peek().is_some()
        && words.iter().flat_map(|word| word.chars()).any(|c| is_han(c) || is_hangul(c))
        && letters.all(is_east_asian)
}

/// Whether the letter is one of Chinese, Japanese or Korean script.
pub fn is_east_asian(c: char) -> bool {
    is_han(c) || is_hangul(c) || is_kana(c)
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}' | '々')
}

fn is_hangul(c: char) -> bool {
    matches!(c, '\u{ac00}'..='\u{d7a3}' | '\u{1100}'..='\u{11ff}')
}

fn is_kana(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}')
}

fn collapse(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_many_scripts_are_split_without_loss() {
        #[track_caller]
        fn check(name: &str, first: &str, last: &str) {
            let parts = split(name);
            assert_eq!(
                (parts.first.as_deref().unwrap_or(""), parts.last.as_deref().unwrap_or("")),
                (first, last),
                "{name}"
            );
        }
        check("İbrahim Çağlar", "İbrahim", "Çağlar");
        check("Nguyễn Thị Ánh", "Nguyễn Thị", "Ánh");
        check("山田 太郎", "太郎", "山田");
        check("山田\u{3000}太郎", "太郎", "山田");
        check("佐藤花子", "", "佐藤花子");
        check("王小明", "", "王小明");
        check("김민수", "", "김민수");
        check("김 민수", "민수", "김");
        check("ジョン スミス", "ジョン", "スミス");
        check("محمد العربي", "محمد", "العربي");
        check("דוד כהן", "דוד", "כהן");
        check("Анна Иванова", "Анна", "Иванова");
        check("Νίκος Παπαδόπουλος", "Νίκος", "Παπαδόπουλος");
        check("O'Brien", "", "O'Brien");
        check("Dr. Karl-Heinz von der Heide", "Dr. Karl-Heinz", "von der Heide");
        check("SMITH, JOHN", "JOHN", "SMITH");
        check("Anna Smith, PhD", "Anna", "Smith, PhD");
        check("John Smith Jr.", "John", "Smith Jr.");
        check("John von Neumann III", "John", "von Neumann III");
        check("John Smith Jr. PhD", "John", "Smith Jr. PhD");
        check("Yo-Yo Ma", "Yo-Yo", "Ma");
        check("Smith Jr.", "Smith", "Jr.");
        check("jose\u{301} garci\u{301}a", "jose\u{301}", "garci\u{301}a");
        check("  Leading And  Double Spaces ", "Leading And Double", "Spaces");
        check("🚀 Growth Team 👩\u{200d}💻", "🚀 Growth Team", "👩\u{200d}💻");
        check("Anna\u{a0}Nonbreaking", "Anna", "Nonbreaking");
        check("Acme Corporation", "Acme", "Corporation");
        check("@", "", "@");
        check("Straße STRASSE", "Straße", "STRASSE");
        check("ISTANBUL Iİıi", "ISTANBUL", "Iİıi");
        check("Ben Affleck", "Ben", "Affleck");
        check("Mohammed Ben Ali", "Mohammed", "Ben Ali");
        check("von der Heide", "", "von der Heide");
        check("", "", "");
        check(" , ", "", ",");
    }

    proptest! {
        #[test]
        fn splitting_loses_no_word(name in "\\PC{0,40}|[a-zA-Z山王김, ]{0,30}") {
            let parts = split(&name);
            let letters = |text: &str| {
                let mut letters: Vec<char> = text.chars().filter(|c| !c.is_whitespace() && *c != ',').collect();
                letters.sort_unstable();
                letters
            };
            let joined = format!("{}{}", parts.first.unwrap_or_default(), parts.last.unwrap_or_default());
            prop_assert_eq!(letters(&joined), letters(&name));
        }
    }
}
