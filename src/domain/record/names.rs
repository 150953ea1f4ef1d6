//! Whether two names can be one person's, and whether they clearly are.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::domain::mapping::name::is_east_asian;

/// Short forms that share no beginning with the long one.
#[rustfmt::skip]
const NICKNAMES: &[(&str, &str)] = &[
    ("bill", "william"), ("will", "william"), ("bob", "robert"), ("dick", "richard"), ("rick", "richard"),
    ("jim", "james"), ("jack", "john"), ("johnny", "john"), ("peggy", "margaret"), ("maggie", "margaret"),
    ("betty", "elizabeth"), ("liz", "elizabeth"), ("beth", "elizabeth"), ("ted", "edward"), ("ned", "edward"),
    ("kate", "catherine"), ("kate", "katherine"), ("mike", "michael"), ("tony", "anthony"), ("sasha", "alexander"),
    ("hans", "johannes"), ("sepp", "josef"), ("pepe", "jose"), ("paco", "francisco"), ("lena", "magdalena"),
    ("gina", "regina"), ("andy", "andrew"), ("andi", "andreas"), ("jenny", "jennifer"), ("charlie", "charles"),
    ("dave", "david"), ("steve", "steven"), ("steve", "stephen"), ("steven", "stephen"), ("nick", "nicholas"),
    ("nick", "nicolas"), ("len", "leonard"), ("jon", "john"), ("sara", "sarah"),
];

/// Short forms with which the long one begins.
const SHORT_FORMS: &[&str] = &[
    "abe", "al", "alex", "alf", "ann", "art", "ben", "caro", "chris", "dan", "dani", "deb", "don", "doug", "ed", "eli",
    "fred", "gabi", "greg", "gus", "jeff", "jen", "jess", "jo", "jon", "jos", "josh", "ken", "kim", "kris", "lou",
    "manu", "mat", "matt", "max", "mel", "mitch", "nat", "nic", "nik", "pam", "pat", "phil", "rafa", "ray", "reg",
    "rich", "rob", "rod", "ron", "sam", "seb", "seba", "sid", "stan", "stef", "steph", "stu", "sus", "theo", "tim",
    "tom", "val", "vic", "vin", "walt", "wes", "wil", "will", "zac", "zach",
];

/// What stands in the place of a name that nobody knows.
#[rustfmt::skip]
const NO_NAMES: &[&str] = &[
    "anonymous", "na", "nn", "nofirstname", "nolastname", "noname", "none", "notprovided", "notspecified",
    "null", "tbd", "test", "unbekannt", "undefined", "unknown",
];

/// Words that say nothing of who somebody is.
const NOISE: &[&str] = &[
    "dr", "prof", "mr", "mrs", "ms", "miss", "mme", "mlle", "herr", "frau", "sra", "srta", "dott", "ing", "dipl",
    "mgr", "mag", "lic", "dona", "dna", "sir", "von", "van", "der", "den", "de", "la", "le", "del", "di", "da", "zu",
    "phd", "md", "mba", "esq", "med", "rer", "nat", "jur", "hc", "ph", "sc", "rev", "hr", "eng", "arq",
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
/// generation (`Jr.`). Of one who says a part of the name only, that part is to be one of the other's.
///
/// What does not differ: a name that is missing, case, accents, initials, short forms, one of two last names, and a typing
/// error that makes no other name of it. Names in two scripts differ, since they cannot be compared.
pub fn names_differ(first_a: &str, last_a: &str, first_b: &str, last_b: &str) -> bool {
    let [a, b] = [parted(first_a, last_a), parted(first_b, last_b)];
    let [a, b] = [(a.0.as_str(), a.1.as_str()), (b.0.as_str(), b.1.as_str())];
    let is_missing = |(first, last): (&str, &str)| first.is_empty() && last.is_empty();
    if is_missing(a) || is_missing(b) {
        return false;
    }
    generation_of(a.0, a.1) != generation_of(b.0, b.1) || !may_be_one(a, b)
}

/// First and last name, each once: "John" and "Smith" of "John Smith" and "Smith", and one field of twice "John Smith".
fn parted(first: &str, last: &str) -> (String, String) {
    let [first, last] = [first, last].map(|name| folded_name(known_name(name)));
    let is_word_end = |rest: &&str| !last.is_empty() && (rest.starts_with(' ') || rest.ends_with(' '));
    let [behind, front] = [first.strip_prefix(&last), first.strip_suffix(&last)];
    let rest = front.filter(is_word_end).or(behind.filter(is_word_end)).map(|rest| rest.trim().to_owned());
    if first == last && last.contains(' ') { (String::new(), last) } else { (rest.unwrap_or(first), last) }
}

fn may_be_one(a: (&str, &str), b: (&str, &str)) -> bool {
    let part = |(first, last): (&str, &str)| given_words(if last.is_empty() { first } else { last });
    let is_whole = |(first, last): (&str, &str)| !first.is_empty() && !last.is_empty();
    match (is_whole(a), is_whole(b)) {
        (true, true) => {
            let is_given = |first, other| {
                let others = given_names(other);
                given_names(first).iter().any(|name| others.iter().any(|other| given_alike(name, other)))
            };
            let in_order = is_given(a.0, b.0) && alike(&words(a.1), &words(b.1), false);
            let swapped = is_given(a.0, b.1) && is_given(a.1, b.0);
            in_order || swapped || same_words(a, b)
        }
        (true, false) => is_part_of(&part(b), a),
        (false, true) => is_part_of(&part(a), b),
        (false, false) => alike(&part(a), &part(b), true),
    }
}

/// Whether first names are the same: "María José" and "María Luisa" are two people, further names or initials that only one
/// side has make no other one.
fn given_alike(a: &[String], b: &[String]) -> bool {
    let is_initial = |word: &String| word.chars().count() == 1 && !word.contains(is_east_asian);
    let long = |words: &[String]| words.iter().filter(|word| !is_initial(word)).cloned().collect::<Vec<_>>();
    let (long_a, long_b) = (long(a), long(b));
    if long_a.is_empty() || long_b.is_empty() || a.len() == b.len() {
        return alike(a, b, true);
    }
    is_same_joined(a, b) || long_a.iter().zip(&long_b).all(|(a, b)| word_is_alike(a, b, true))
}

/// Whether the words are the same and only divided otherwise into first and last name.
fn same_words(a: (&str, &str), b: (&str, &str)) -> bool {
    let in_order = |first, last| [words(first), words(last)].concat();
    let (whole_a, whole_b) = (in_order(a.0, a.1), in_order(b.0, b.1));
    let same = |one: &[String], other: &[String]| {
        one.len() == other.len() && one.iter().zip(other).all(|(one, other)| word_is_alike(one, other, true))
    };
    same(&whole_a, &whole_b) || same(&whole_a, &in_order(b.1, b.0)) || same(&in_order(a.1, a.0), &whole_b)
}

/// Whether this may be a part of that name, whichever part, or all of it in one field.
fn is_part_of(part: &[String], (first, last): (&str, &str)) -> bool {
    let (first, last) = (given_words(first), words(last));
    let is_in = |word: &String, names: &[String], given| names.iter().any(|name| word_is_alike(word, name, given));
    let joined = part.concat();
    let whole = [&first, &last].map(|words| words.concat());
    let all = [whole[0].clone(), whole[1].clone(), whole.concat(), format!("{}{}", whole[1], whole[0])];
    part.iter().all(|word| is_in(word, &first, true) || is_in(word, &last, false))
        || first.iter().chain(&last).all(|name| is_in(name, part, true))
        || all.iter().any(|name| word_is_alike(&joined, name, true))
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

/// The text if it is a name, and not what fills the place of one.
pub fn known_name(text: &str) -> &str {
    let is_filler = || NO_NAMES.contains(&all_words(text).concat().as_str());
    if text.contains('@') || !text.contains(char::is_alphabetic) || is_filler() { "" } else { text }
}

/// A word such as `Jr.`, wherever it was put; but `Sr.` in front is a Spanish title.
fn generation_of(first: &str, last: &str) -> Option<u8> {
    let words: Vec<String> = all_words(first).into_iter().chain(all_words(last)).collect();
    let behind_title = words.iter().skip(usize::from(words.first().is_some_and(|word| word == "sr")));
    behind_title.rev().find_map(|word| GENERATIONS.iter().find(|(suffix, _)| suffix == word)).map(|(_, which)| *which)
}

/// Whether the words of one are those of the other in their order, of which some may be left out, or the same in one word.
fn alike(a: &[String], b: &[String], given: bool) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut rest = long.iter();
    let in_order = short.iter().all(|word| rest.any(|other| word_is_alike(word, other, given)));
    in_order || is_same_joined(a, b)
}

/// Whether they are the same but for the spaces.
fn is_same_joined(a: &[String], b: &[String]) -> bool {
    a.len() != b.len() && squeezed(&a.concat()) == squeezed(&b.concat())
}

fn word_is_alike(a: &str, b: &str, given: bool) -> bool {
    spelt_alike(a, b, given) || spelt_alike(&plain(a), &plain(b), given)
}

/// "Mueller" as "Muller".
fn plain(word: &str) -> String {
    word.replace("ae", "a").replace("oe", "o").replace("ue", "u")
}

fn spelt_alike(a: &str, b: &str, given: bool) -> bool {
    // A syllable or a whole word is one character there, so that no slip leaves the name the same.
    if [a, b].iter().any(|word| word.contains(is_east_asian)) {
        return a == b;
    }
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
    // "Paul" and "Paula", "Mario" and "Maria" are two people; "Ann" and "Annette" may be one.
    let stem = |word: &str| word.trim_end_matches(['a', 'e', 'i', 'o']).to_owned();
    match short.chars().count() {
        1 => long.starts_with(short),
        _ if given && stem(a) == stem(b) => false,
        // "Daniel" and "Danielle", "Leo" and "Leonie" are two people; "Dan" may be short for either Daniel or Danielle.
        _ if given && long.starts_with(short) => SHORT_FORMS.contains(&short),
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

/// The words of a first name: with a hyphen it is one, and "Jean" another person than "Jean-Paul".
fn given_words(name: &str) -> Vec<String> {
    words(&name.replace(['-', '\u{2010}', '\u{2011}'], ""))
}

/// The first name without what stands in brackets, and what stands there: "Robert (Bob)" is called both.
fn given_names(name: &str) -> Vec<Vec<String>> {
    let (front, rest) = name.split_once('(').unwrap_or((name, ""));
    let (inside, behind) = rest.split_once(')').unwrap_or((rest, ""));
    let both = [given_words(&format!("{front} {behind}")), given_words(inside)];
    both.into_iter().filter(|words| !words.is_empty()).collect()
}

/// The words of a name in lower case and without accents.
fn all_words(name: &str) -> Vec<String> {
    let folded: String = name
        .to_lowercase()
        .nfkd()
        .filter(|c| !is_accent(*c))
        .map(|c| if c.is_alphanumeric() || is_combining_mark(c) { c } else { ' ' })
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

/// Marks that may be left out, of Latin, Greek, Cyrillic, Hebrew and Arabic letters; in other scripts they are vowels.
pub fn is_accent(c: char) -> bool {
    is_combining_mark(c) && c < '\u{900}'
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
            ("Stu", "Stuart"),
            ("Jenny", "Jennifer"),
            ("Steven", "Stephen"),
            ("Jon", "John"),
            ("Sara", "Sarah"),
        ] {
            check((short, "Smith"), (long, "Smith"), false);
        }
        check(("John", "Smith Jr. PhD"), ("John", "Smith Jr."), false);
        check(("Ana", "Silva Júnior"), ("Ana", "Silva Junior"), false);
        check(("Ana", "Silva Ju\u{301}nior"), ("Ana", "Silva Júnior"), false);
        check(("John", "Smith PhD"), ("John", "Smith, MD"), false);
        // Somebody of whom a part of the name is not known.
        check(("", "Hill"), ("Robert", "Hill"), false);
        check(("Robert", ""), ("Robert", "Berg"), false);
        check(("", ""), ("Robert", "Berg"), false);
        check(("", "Hill"), ("Robert", "Berg"), true);
        check(("Robert", ""), ("Anna", "Berg"), true);
        check(("", "Paul"), ("Paula", "Berg"), true);
        check(("", "Hill"), ("", "Berg"), true);
        check(("Robert", "Unknown"), ("Anna", "Berg"), true);
        check(("Robert", "Unknown"), ("Robert", "Berg"), false);
        check(("N/A", "Hill"), ("Robert", "Hill"), false);
        check(("Robert", "-"), ("Robert", "Berg"), false);
        check(("Robert", "[not provided]"), ("Robert", "Berg"), false);
        check(("Robert", "bob@berg.example"), ("Robert", "Berg"), false);
        check(("Robert", "0815"), ("Robert", "Berg"), false);
        // Names of several words, and in one field.
        for (one, other) in [
            (("José María", "García López"), ("Jose Maria", "Garcia")),
            (("John M.", "Smith"), ("John", "Smith")),
            (("John M.", "Smith"), ("John Michael", "Smith")),
            (("J.", "Smith"), ("John Michael", "Smith")),
            (("María José García", "López"), ("María José", "García López")),
            (("García María", "José"), ("María José", "García")),
            (("Jean-Paul", "Dupont"), ("Jean Paul", "Dupont")),
            (("Anna-Lena", "Groß"), ("Annalena", "Gross")),
            (("Anna", "Taylor-Jones"), ("Taylor-Jones", "Anna")),
            (("Anna", "Taylor-Jones"), ("", "Taylor-Jones")),
            (("Anna", "Taylor-Jones"), ("Anna", "Taylor")),
            (("Fiona", "O'Connor"), ("Fiona", "OConnor")),
            (("Thị Ánh", "Nguyễn"), ("Nguyễn Thị", "Ánh")),
            (("Ágnes", "Nagy Jr."), ("Jr Ágnes", "Nagy")),
            (("Sr. Juan", "Peña"), ("Juan", "Peña")),
            (("Ing. Anna", "Nováková"), ("Anna", "Novakova")),
            (("서준", "이"), ("", "이서준")),
            (("小明", "李"), ("李", "小明")),
            (("", "Ada Lovelace"), ("Ada", "Lovelace")),
            (("राम", "शर्मा"), ("शर्मा", "राम")),
            (("María José", "Peña"), ("María", "Peña")),
            (("John Michael", "Smith"), ("John", "Smith")),
            (("Mary", "Smith"), ("Mary Ann", "Smith")),
            (("Иван Петрович", "Сидоров"), ("Иван", "Сидоров")),
            (("Robert (Bob)", "Hill"), ("Bobb", "Hill")),
            (("Hanne (Pepe)", "Hill"), ("Jose", "Hill")),
            (("Dr. med. Anna", "Weber"), ("Weber, Ph.D.", "Anna")),
            (("Dr. rer. nat. h.c. Anna", "Weber"), ("Dr. jur. Anna", "Weber")),
            (("John Smith", "Smith"), ("Smith", "John")),
            (("Smith John", "Smith"), ("John Michael", "Smith")),
            (("John Smith", "John Smith"), ("John Michael", "Smith")),
            (("John", "not specified"), ("John", "Smith")),
            (("John", "N.N."), ("John", "no last name")),
        ] {
            check(one, other, false);
        }
        for (one, other) in [
            (("José María", "Peña"), ("María José", "Peña")),
            (("María José", "Peña"), ("María Luisa", "Peña")),
            (("Abdul Karim", "Smith"), ("Karim", "Smith")),
            (("John Michael (Jack)", "Smith"), ("Paul", "Smith")),
            (("Jane Smith", "Smith"), ("John", "Smith")),
            (("Jean-Paul", "Dupont"), ("Jean-Pierre", "Dupont")),
            (("Jean-Paul", "Dupont"), ("Jean", "Dupont")),
            (("Abdul Karim", "Khan"), ("Abdul Rahman", "Khan")),
            (("عبد الله", "حسن"), ("عبد الرحمن", "حسن")),
            (("Thị Ánh", "Nguyễn"), ("Nguyễn Thị", "Hoa")),
            (("John F.", "Smith"), ("John Q.", "Smith")),
            (("María", "García López"), ("María", "López Ruiz")),
            (("Anna", "O'Connor"), ("Anna", "O'Neill")),
            (("Anna", "Lee"), ("Anna", "Leeds")),
            (("Ágnes", "Nagy"), ("Jr Ágnes", "Nagy")),
            (("Leo", "Weber"), ("Leonie", "Weber")),
            (("지영", "이"), ("", "이서준")),
            (("민수", "이"), ("민수", "임")),
            (("伟", "王"), ("伟明", "王")),
            (("", "王小明"), ("芳", "王")),
            (("राज", "शर्मा"), ("रोजी", "शर्मा")),
        ] {
            check(one, other, true);
        }
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
