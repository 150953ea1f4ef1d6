//! The words of an expression.

use rust_decimal::Decimal;

use super::Wrong;
use crate::domain::mapping::exact_number;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Name(String),
    Text(String),
    Number(Decimal),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Longer ones first, so that `<=` is not read as `<`.
const SIGNS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",", "(", ")", "[", "]",
    "{", "}",
];

/// Every word with the byte that it begins at; the last one is the end.
pub(super) fn tokens(source: &str) -> Result<Vec<(Token, usize)>, Wrong> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(next) = source[at..].chars().next() {
        let rest = &source[at..];
        if next.is_whitespace() {
            at += next.len_utf8();
        } else if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else {
            let (token, length) = word(rest, at)?;
            tokens.push((token, at));
            at += length;
        }
    }
    tokens.push((Token::End, source.len()));
    Ok(tokens)
}

fn word(rest: &str, at: usize) -> Result<(Token, usize), Wrong> {
    let first = rest.chars().next().unwrap_or_default();
    if let Some((raw, quoted)) = text_start(rest, at)? {
        let prefix = rest.len() - quoted.len();
        let (text, length) = text(quoted, raw, at + prefix)?;
        return Ok((Token::Text(text), prefix + length));
    }
    if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
        return number(rest, at);
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        return Ok((Token::Name(rest[..end].to_owned()), end));
    }
    if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        return Ok((Token::Sign(sign), sign.len()));
    }
    let remedy = match first {
        '=' => "two values are compared with ==".to_owned(),
        '&' | '|' => format!("write {first}{first}"),
        _ => "a name with such letters is written lead[\"…\"] or attributes[\"…\"]".to_owned(),
    };
    Err(Wrong::new(at, format!("{first:?} means nothing here"), remedy))
}

/// Whether a text begins here: whether it is raw, and what follows the prefix.
fn text_start(rest: &str, at: usize) -> Result<Option<(bool, &str)>, Wrong> {
    let quoted = rest.trim_start_matches(['r', 'R', 'b', 'B']);
    let prefix = &rest[..rest.len() - quoted.len()];
    if prefix.len() > 2 || !quoted.starts_with(['"', '\'']) {
        return Ok(None);
    }
    if prefix.contains(['b', 'B']) {
        return Err(Wrong::new(at, "bytes are not known here", "write a text without `b` before it"));
    }
    Ok(Some((!prefix.is_empty(), quoted)))
}

fn text(quoted: &str, raw: bool, at: usize) -> Result<(String, usize), Wrong> {
    let mark = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|mark| quoted.starts_with(mark)).unwrap_or("\"");
    let unclosed = || Wrong::new(at, format!("the text is not closed with {mark}"), "close it, on the same line");
    let mut text = String::new();
    let mut place = mark.len();
    loop {
        let rest = &quoted[place..];
        if rest.starts_with(mark) {
            return Ok((text, place + mark.len()));
        }
        let next = rest.chars().next().ok_or_else(unclosed)?;
        if next == '\n' && mark.len() == 1 {
            return Err(unclosed());
        }
        if next == '\\' && !raw {
            let (character, length) = escape(&rest[1..], at + place)?;
            text.push(character);
            place += 1 + length;
        } else {
            text.push(next);
            place += next.len_utf8();
        }
    }
}

/// The character that stands behind a backslash, and how long its escape is.
fn escape(rest: &str, at: usize) -> Result<(char, usize), Wrong> {
    let wrong =
        || Wrong::new(at, "is no escape", "write \\\\ for a backslash, \\n for a new line, \\u00e4 for a character");
    let coded = |from: usize, to: usize, radix: u32| {
        let digits = rest.get(from..to).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, radix).ok());
        code.and_then(char::from_u32).map(|character| (character, to)).ok_or_else(wrong)
    };
    let plain = match rest.chars().next().ok_or_else(wrong)? {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'v' => '\u{b}',
        same @ ('\\' | '\'' | '"' | '`' | '?') => same,
        'x' | 'X' => return coded(1, 3, 16),
        'u' => return coded(1, 5, 16),
        'U' => return coded(1, 9, 16),
        '0'..='3' => return coded(0, 3, 8),
        _ => return Err(wrong()),
    };
    Ok((plain, 1))
}

fn number(rest: &str, at: usize) -> Result<(Token, usize), Wrong> {
    let digits_from = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut end = digits_from(0);
    if rest[end..].starts_with('.') && digits_from(end + 1) > 0 {
        end += 1 + digits_from(end + 1);
    }
    if rest[end..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
        let digits = digits_from(end + 1 + sign);
        end += if digits > 0 { 1 + sign + digits } else { 0 };
    }
    let written = if rest.starts_with('.') { format!("0{}", &rest[..end]) } else { rest[..end].to_owned() };
    let behind = rest[end..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len() - end);
    let suffix = &rest[end..end + behind];
    let number = match suffix {
        "" | "u" | "U" => exact_number(&written),
        hex if written == "0" && hex.starts_with(['x', 'X']) => {
            i64::from_str_radix(hex[1..].trim_end_matches(['u', 'U']), 16).ok().map(Decimal::from)
        }
        _ => return Err(Wrong::new(at, "is no number", "write one such as 20 or 20.5; a name begins with a letter")),
    };
    let number =
        number.ok_or_else(|| Wrong::new(at, "the number cannot be kept exactly", "write one of at most 28 digits"))?;
    Ok((Token::Number(number), end + behind))
}
