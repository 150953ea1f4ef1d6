//! Whether two names can be one person's, and whether they clearly are.

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
];

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
/// What does not differ: a missing part, case, accents, initials, short forms, and a typing error that makes no other name of
/// it. Names in two scripts differ, since they cannot be compared.
pub fn names_differ(first_a: &str, last_a: &str, first_b: &str, last_b: &str) -> bool {
    let generation = generation_of(first_a, last_a) != generation_of(first_b, last_b);
    let [first_a, last_a, first_b, last_b] = [first_a, last_a, first_b, last_b].map(words);
    let in_order = alike(&first_a, &first_b, true) && alike(&last_a, &last_b, false);
    let swapped = alike(&first_a, &last_b, true) && alike(&last_a, &first_b, true);
    generation || !(in_order || swapped)
}

/// The name with one spelling of its accents, which may be letters of their own or marks after a letter.
pub fn composed_name(name: &str) -> String {
    name.trim().nfc().collect()
}

/// The name as it is compared: composed and in lower case.
pub fn folded_name(name: &str) -> String {
    composed_name(name).to_lowercase()
}

/// A suffix such as `Jr.` stands last.
fn generation_of(first: &str, last: &str) -> Option<u8> {
    [last, first].into_iter().find_map(|name| {
        let word = name.split_whitespace().last()?.trim_end_matches('.').to_lowercase();
        GENERATIONS.iter().find(|(suffix, _)| *suffix == word).map(|(_, generation)| *generation)
    })
}

fn alike(a: &[String], b: &[String], given: bool) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|a| b.iter().any(|b| word_is_alike(a, b, given)))
}

fn word_is_alike(a: &str, b: &str, given: bool) -> bool {
    spelt_alike(a, b, given) || spelt_alike(&plain(a), &plain(b), given)
}

/// "Mueller" as "Muller".
fn plain(word: &str) -> String {
    word.replace("ae", "a").replace("oe", "o").replace("ue", "u")
}

fn spelt_alike(a: &str, b: &str, given: bool) -> bool {
    // A letter typed twice or once too seldom is no other name, however short that is.
    if squeezed(a) == squeezed(b) || is_nickname(a, b) {
        return true;
    }
    // "Paul" and "Paula", "Mario" and "Maria" are two people; "Ann" and "Annette" may be one.
    let stem = |word: &str| word.trim_end_matches(['a', 'e', 'i', 'o']).to_owned();
    if given && stem(a) == stem(b) {
        return false;
    }
    a.starts_with(b) || b.starts_with(a) || one_slip(a, b, given)
}

/// Whether long enough words differ by one slip of the fingers: a letter too many or too few, two in the wrong order, or
/// another one, which in a short first name makes another name ("Nina" and "Tina").
fn one_slip(a: &str, b: &str, given: bool) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let shorter = a.len().min(b.len());
    let front = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let back = a[front..].iter().rev().zip(b[front..].iter().rev()).take_while(|(a, b)| a == b).count();
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

/// The words of a name in lower case, without accents and without noise.
fn words(name: &str) -> Vec<String> {
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
    let all: Vec<String> = folded.split_whitespace().map(str::to_owned).collect();
    let is_noise = |word: &str| NOISE.contains(&word) || GENERATIONS.iter().any(|(suffix, _)| *suffix == word);
    let telling: Vec<String> = all.iter().filter(|word| !is_noise(word)).cloned().collect();
    if telling.is_empty() { all } else { telling }
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
        check(("Ada", "Lovelace"), ("", "Ada"), false);
        check(("Ada", "Lovelace"), ("A.", "Lovelace"), false);
        check(("Ada", "Lovelace"), ("Adaa", "Lovelcae"), false);
        check(("Linus", "Torvalds"), ("Lnius", "Torvlds"), false);
        check(("José", "García"), ("Jose\u{301}", "Garcia"), false);
        check(("Jürgen", "Müller"), ("Juergen", "Mueller"), false);
        check(("Małgorzata", "Kowalska"), ("Malgorzata", "Kowalska"), false);
        check(("Bob", "Hill"), ("Robert", "Hill"), false);
        check(("Dr. Anna", "von Müller"), ("Anna", "Müller, PhD"), false);
        check(("John", "Smith Jr."), ("Smith", "John, Jr"), false);
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
        check(("", "Hill"), ("Robert", "Berg"), true);
        check(("Анна", "Иванова"), ("Anna", "Ivanova"), true);
    }
}
