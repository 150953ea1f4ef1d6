//! Whether two names can be one person's.

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
    "zu",
];

/// Whether both first and last names clearly speak of two people.
///
/// A missing part, another order, case, accents, initials, short forms, a single typing error and another script do not.
pub fn names_contradict(first_a: &str, last_a: &str, first_b: &str, last_b: &str) -> bool {
    let [first_a, last_a, first_b, last_b] = [first_a, last_a, first_b, last_b].map(words);
    let swapped = shares_word(&first_a, &last_b) || shares_word(&last_a, &first_b);
    !swapped && !agree(&first_a, &first_b) && !agree(&last_a, &last_b)
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
    let plain = |word: &str| word.replace("ae", "a").replace("oe", "o").replace("ue", "u");
    plain(a) == plain(b)
        || NICKNAMES.iter().any(|(short, long)| (a, b) == (*short, *long) || (b, a) == (*short, *long))
        || one_error(a, b)
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
    let telling: Vec<String> = all.iter().filter(|word| !NOISE.contains(&word.as_str())).cloned().collect();
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
}
