//! Whether two names can be one person's, and whether they clearly are.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;

/// Short forms that share no beginning with the long one.
const NICKNAMES: &[(&str, &str)] = &[
    ("bill", "william"),
    ("will", "william"),
    ("bob", "robert"),
    ("dick", "richard"),
    ("rick", "richard"),
    ("jim", "james"),
    ("jack", "john"),
    ("johnny", "john"),
    ("peggy", "margaret"),
    ("maggie", "margaret"),
    ("betty", "elizabeth"),
    ("liz", "elizabeth"),
    ("beth", "elizabeth"),
    ("ted", "edward"),
    ("ned", "edward"),
    ("kate", "catherine"),
    ("kate", "katherine"),
    ("mike", "michael"),
    ("tony", "anthony"),
    ("sasha", "alexander"),
    ("hans", "johannes"),
    ("sepp", "josef"),
    ("pepe", "jose"),
    ("paco", "francisco"),
    ("lena", "magdalena"),
    ("gina", "regina"),
    ("andy", "andrew"),
    ("andi", "andreas"),
];

/// Short forms of more than three letters with which the long one begins.
const SHORT_FORMS: &[&str] = &[
    "alex", "caro", "chris", "dani", "doug", "fred", "gabi", "greg", "jeff", "jess", "josh", "kris", "manu", "matt",
    "mitch", "phil", "rafa", "rich", "seba", "stan", "stef", "steph", "theo", "walt", "will", "zach",
];

/// What stands in the place of a name that nobody knows.
const NO_NAMES: &[&str] =
    &["anonymous", "na", "noname", "none", "notprovided", "null", "tbd", "test", "unbekannt", "undefined", "unknown"];

/// Words that say nothing of who somebody is.
const NOISE: &[&str] = &[
    "dr", "prof", "mr", "mrs", "ms", "herr", "frau", "von", "van", "der", "den", "de", "la", "le", "del", "di", "da",
    "zu", "phd", "md", "mba", "esq",
];

/// Words that tell the generations of a family apart, and what each stands for.
const GENERATIONS: &[(&str, u8)] =
    &[("sr", 1), ("senior", 1), ("jr", 2), ("junior", 2), ("ii", 2), ("iii", 3), ("iv", 4)];

/// Whether both first and last names clearly speak of two people.
///
/// A missing part, another order, case, accents, initials, short forms, a single typing error and another script do not.
pub fn names_contradict(first_a: &str, last_a: &str, first_b: &str, last_b: &str) -> bool {
    let [first_a, last_a, first_b, last_b] = [first_a, last_a, first_b, last_b].map(words);
    let swapped = shares_word(&first_a, &last_b) || shares_word(&last_a, &first_b);
    !swapped && !agree(&first_a, &first_b) && !agree(&last_a, &last_b)
}

/// Whether the names are not clearly one person's: a first or a last name that is another one, in either order, or another
/// generation (`Jr.`).
///
/// What does not differ: names of which a part is missing, case, accents, initials, short forms, and a typing error that
/// makes no other name of it. Names in two scripts differ, since they cannot be compared.
pub fn names_differ(first_a: &str, last_a: &str, first_b: &str, last_b: &str) -> bool {
    if ![first_a, last_a, first_b, last_b].into_iter().all(is_name) {
        return false;
    }
    let generation = generation_of(first_a, last_a) != generation_of(first_b, last_b);
    let [first_a, last_a, first_b, last_b] = [first_a, last_a, first_b, last_b].map(words);
    let in_order = alike(&first_a, &first_b, true) && alike(&last_a, &last_b, false);
    let swapped = alike(&first_a, &last_b, true) && alike(&last_a, &first_b, true);
    generation || !(in_order || swapped)
}

/// The name as it is compared: with one spelling of its accents, and in lower case.
pub fn folded_name(name: &str) -> String {
    name.trim().nfc().collect::<String>().to_lowercase()
}

/// The name with its accents as letters of their own, as nearly everybody writes it, and as it was written, each once.
pub fn spellings_of_name(name: &str) -> BTreeSet<String> {
    let name = name.trim();
    BTreeSet::from([name.nfc().collect(), name.to_owned()])
}

/// Whether the text is a name, and not what fills the place of one.
fn is_name(text: &str) -> bool {
    let words = all_words(text);
    !text.contains('@') && text.contains(char::is_alphabetic) && !NO_NAMES.contains(&words.concat().as_str())
}

/// A suffix such as `Jr.` stands last, but for degrees.
fn generation_of(first: &str, last: &str) -> Option<u8> {
    [last, first].into_iter().find_map(|name| {
        let words = all_words(name);
        let word = words.iter().rev().find(|word| !NOISE.contains(&word.as_str()))?;
        GENERATIONS.iter().find(|(suffix, _)| suffix == word).map(|(_, generation)| *generation)
    })
}

fn alike(a: &[String], b: &[String], given: bool) -> bool {
    a.iter().any(|a| b.iter().any(|b| word_is_alike(a, b, given)))
}

fn word_is_alike(a: &str, b: &str, given: bool) -> bool {
    spelt_alike(a, b, given) || spelt_alike(&plain(a), &plain(b), given)
}

/// "Mueller" as "Muller".
fn plain(word: &str) -> String {
    word.replace("ae", "a").replace("oe", "o").replace("ue", "u")
}

fn spelt_alike(a: &str, b: &str, given: bool) -> bool {
    // "René" and "Renée" are two people.
    let is_feminine_of = |long: &str, short: &str| long.strip_suffix('e') == Some(short) && short.ends_with('e');
    if given && (is_feminine_of(a, b) || is_feminine_of(b, a)) {
        return false;
    }
    // A letter typed twice or once too seldom is no other name, however short that is.
    if squeezed(a) == squeezed(b) || is_nickname(a, b) {
        return true;
    }
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    if !given {
        return long.starts_with(short) || one_slip(a, b, given);
    }
    // "Paul" and "Paula", "Mario" and "Maria" are two people; "Ann" and "Annette" may be one.
    let stem = |word: &str| word.trim_end_matches(['a', 'e', 'i', 'o']).to_owned();
    match short.chars().count() {
        1 => long.starts_with(short),
        _ if stem(a) == stem(b) => false,
        // "Daniel" and "Danielle" are two people; "Dan" may be short for either.
        letters if long.starts_with(short) => letters <= 3 || SHORT_FORMS.contains(&short),
        _ => one_slip(a, b, given),
    }
}

/// Whether long enough words differ by one slip of the fingers: a letter too many or too few, two in the wrong order, or
/// another one, which in a short first name makes another name ("Nina" and "Tina"), as does another ending ("Christian" and
/// "Christina").
fn one_slip(a: &str, b: &str, given: bool) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let shorter = a.len().min(b.len());
    let front = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let back = a[front..].iter().rev().zip(b[front..].iter().rev()).take_while(|(a, b)| a == b).count();
    if given && back == 0 {
        return false;
    }
    match (&a[front..a.len() - back], &b[front..b.len() - back]) {
        ([], [_]) | ([_], []) => shorter >= 4,
        ([a, b], [c, d]) => shorter >= 3 && a == d && b == c,
        ([_], [_]) => shorter >= if given { 6 } else { 4 },
        _ => false,
    }
}

/// Without letters that repeat the one before.
fn squeezed(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.chars().collect();
    letters.dedup();
    letters
}

fn agree(a: &[String], b: &[String]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|a| b.iter().any(|b| word_agrees(a, b)))
}

fn shares_word(a: &[String], b: &[String]) -> bool {
    a.iter().any(|word| word.chars().count() > 1 && b.contains(word))
}

fn word_agrees(a: &str, b: &str) -> bool {
    // "An" and "Anna", "D" and "Dana".
    if a.starts_with(b) || b.starts_with(a) || a.is_ascii() != b.is_ascii() {
        return true;
    }
    plain(a) == plain(b) || is_nickname(a, b) || one_error(a, b)
}

fn is_nickname(a: &str, b: &str) -> bool {
    NICKNAMES.iter().any(|(short, long)| (a, b) == (*short, *long) || (b, a) == (*short, *long))
}

/// Whether long enough words differ in one letter that is other, missing, or added.
fn one_error(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().min(b.len()) < 4 || a.len().abs_diff(b.len()) > 1 {
        return false;
    }
    let front = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let back = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    front + back + 1 >= a.len().max(b.len())
}

/// The words of a name as they are compared, without noise.
fn words(name: &str) -> Vec<String> {
    let all = all_words(name);
    let is_noise = |word: &str| NOISE.contains(&word) || GENERATIONS.iter().any(|(suffix, _)| *suffix == word);
    let telling: Vec<String> = all.iter().filter(|word| !is_noise(word)).cloned().collect();
    if telling.is_empty() { all } else { telling }
}

/// The words of a name in lower case and without accents.
fn all_words(name: &str) -> Vec<String> {
    let folded: String = name
        .to_lowercase()
        .nfkd()
        .filter(|c| !unicode_normalization::char::is_combining_mark(*c))
        .map(|c| if c.is_alphanumeric() { c } else { ' ' })
        .collect();
    let folded = folded
        .replace('ß', "ss")
        .replace('ø', "o")
        .replace('ł', "l")
        .replace('đ', "d")
        .replace('ı', "i")
        .replace('æ', "ae");
    folded.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clearly_different_people_contradict() {
        #[track_caller]
        fn check(a: (&str, &str), b: (&str, &str), contradict: bool) {
            assert_eq!(names_contradict(a.0, a.1, b.0, b.1), contradict, "{a:?} and {b:?}");
            assert_eq!(names_contradict(b.0, b.1, a.0, a.1), contradict, "{b:?} and {a:?}");
        }
        check(("Anna", "Müller"), ("Bert", "Schmidt"), true);
        check(("Dr. Anna", "von Müller"), ("Dr. Bert", "von Schmidt"), true);
        check(("Anna", "Müller"), ("ANNA", "MUELLER"), false);
        check(("Anna", "Müller"), ("Anna", "Schmidt"), false);
        check(("John", "Smith"), ("Smith", "John"), false);
        check(("D.", "Meyer"), ("Dana", "Novak"), false);
        check(("Sam", "Hill"), ("Samuel", "Berg"), false);
        check(("Bob", "Hill"), ("Robert", "Berg"), false);
        check(("", "Hill"), ("Robert", "Berg"), false);
        check(("José", "García"), ("jose", "lopez"), false);
        check(("Анна", "Иванова"), ("Anna", "Ivanova"), false);
        check(("太郎", "山田"), ("花子", "佐藤"), true);
    }

    #[test]
    fn names_differ_unless_both_parts_are_clearly_the_same() {
        #[track_caller]
        fn check(a: (&str, &str), b: (&str, &str), differ: bool) {
            assert_eq!(names_differ(a.0, a.1, b.0, b.1), differ, "{a:?} and {b:?}");
            assert_eq!(names_differ(b.0, b.1, a.0, a.1), differ, "{b:?} and {a:?}");
        }
        // One person, however it is written.
        check(("Ada", "Lovelace"), ("ADA", "LOVELACE"), false);
        check(("Ada", "Lovelace"), ("Lovelace", "Ada"), false);
        check(("Ada", "Lovelace"), ("", "Ada Lovelace"), false);
        check(("Ada", "Lovelace"), ("", "Lovelace"), false);
        check(("Ada", "Lovelace"), ("A.", "Lovelace"), false);
        check(("Ada", "Lovelace"), ("Adaa", "Lovelcae"), false);
        check(("Linus", "Torvalds"), ("Lnius", "Torvlds"), false);
        check(("José", "García"), ("Jose\u{301}", "Garcia"), false);
        check(("Jürgen", "Müller"), ("Juergen", "Mueller"), false);
        check(("Małgorzata", "Kowalska"), ("Malgorzata", "Kowalska"), false);
        check(("Bob", "Hill"), ("Robert", "Hill"), false);
        check(("Dr. Anna", "von Müller"), ("Anna", "Müller, PhD"), false);
        check(("John", "Smith Jr."), ("Smith", "John, Jr"), false);
        // Short forms and initials.
        for (short, long) in [
            ("Ben", "Benjamin"),
            ("Chris", "Christopher"),
            ("Chris", "Christine"),
            ("Alex", "Alexander"),
            ("Alex", "Alexandra"),
            ("Dan", "Danielle"),
            ("J.", "Joseph"),
            ("Ann", "Annette"),
            ("Andi", "Andreas"),
            ("Luis", "Louis"),
        ] {
            check((short, "Smith"), (long, "Smith"), false);
        }
        check(("John", "Smith Jr. PhD"), ("John", "Smith Jr."), false);
        check(("Ana", "Silva Júnior"), ("Ana", "Silva Junior"), false);
        check(("Ana", "Silva Ju\u{301}nior"), ("Ana", "Silva Júnior"), false);
        check(("John", "Smith PhD"), ("John", "Smith, MD"), false);
        // Somebody of whom a part of the name is not known.
        check(("", "Hill"), ("Robert", "Berg"), false);
        check(("Robert", ""), ("Anna", "Berg"), false);
        check(("Robert", "Unknown"), ("Robert", "Berg"), false);
        check(("N/A", "Hill"), ("Robert", "Hill"), false);
        check(("Robert", "-"), ("Robert", "Berg"), false);
        check(("Robert", "[not provided]"), ("Robert", "Berg"), false);
        check(("Robert", "bob@berg.example"), ("Robert", "Berg"), false);
        check(("Robert", "0815"), ("Robert", "Berg"), false);
        // Couples whose first names begin alike.
        for (one, other) in [
            ("Andreas", "Andrea"),
            ("Jean", "Jeanne"),
            ("Daniel", "Danielle"),
            ("Adrien", "Adrienne"),
            ("Paul", "Pauline"),
            ("Joseph", "Josephine"),
            ("René", "Renée"),
            ("Christian", "Christina"),
            ("Christian", "Christiane"),
            ("Emmanuel", "Emmanuelle"),
            ("Nicolas", "Nicola"),
        ] {
            check((one, "Smith"), (other, "Smith"), true);
            check((one, "Smith"), ("Smith", other), true);
        }
        check(("John", "Smith Jr. PhD"), ("John", "Smith PhD"), true);
        check(("Ana", "Silva Júnior"), ("Ana", "Silva"), true);
        // Two people of one family, or two colleagues, who share an address.
        check(("Anna", "Müller"), ("Bert", "Müller"), true);
        check(("Anna", "Müller"), ("Anna", "Schmidt"), true);
        check(("Maria", "Rossi"), ("Mario", "Rossi"), true);
        check(("Maria", "Rossi"), ("Rossi", "Paolo"), true);
        check(("Maria", "Rossi"), ("Rossi", "Mario"), true);
        check(("Paul", "Smith"), ("Paula", "Smith"), true);
        check(("Nina", "Smith"), ("Tina", "Smith"), true);
        check(("Alexander", "Smith"), ("Alexandra", "Smith"), true);
        check(("John", "Smith"), ("John", "Smith Jr."), true);
        check(("John", "Smith Sr"), ("John", "Smith Jr"), true);
        check(("John", "Smith II"), ("John", "Smith III"), true);
        check(("John", "Smith Jr"), ("Jane", "Jones Jr"), true);
        check(("Анна", "Иванова"), ("Anna", "Ivanova"), true);
    }
}
