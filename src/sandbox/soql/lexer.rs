//! Cuts a statement into tokens.

use std::fmt;
use std::iter::Peekable;
use std::str::CharIndices;

use super::{Operator, malformed, pointed};
use crate::sandbox::error::Refusal;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    /// Between quotes, escapes not yet read: what they mean depends on the operator.
    Quoted(String),
    /// Begins with a digit or a sign: number, date or time.
    Bare(String),
    Operator(Operator),
    Open,
    Close,
    Comma,
}

impl fmt::Display for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Bare(text) => write!(out, "'{}'", text.chars().take(80).collect::<String>()),
            Self::Quoted(text) => write!(out, "'{}'", text.chars().take(80).collect::<String>()),
            Self::Operator(_) => out.write_str("an operator"),
            Self::Open => out.write_str("'('"),
            Self::Close => out.write_str("')'"),
            Self::Comma => out.write_str("','"),
        }
    }
}

pub(super) struct Lexer<'a> {
    statement: &'a str,
    rest: Peekable<CharIndices<'a>>,
    /// How many characters were taken.
    at: usize,
}

/// All tokens of a statement, each with the character position where it begins.
pub(super) fn tokens(mut lexer: Lexer<'_>) -> Result<Vec<(Token, usize)>, Refusal> {
    let mut tokens = Vec::new();
    while let Some(token) = lexer.token()? {
        tokens.push(token);
    }
    Ok(tokens)
}

impl<'a> Lexer<'a> {
    pub fn new(statement: &'a str) -> Self {
        Self { statement, rest: statement.char_indices().peekable(), at: 0 }
    }

    fn token(&mut self) -> Result<Option<(Token, usize)>, Refusal> {
        while self.take_if(char::is_whitespace).is_some() {}
        let at = self.at;
        let Some(first) = self.take_if(|_| true) else { return Ok(None) };
        let token = match first {
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '=' => Token::Operator(Operator::Equal),
            '!' if self.take_if(|c| c == '=').is_some() => Token::Operator(Operator::NotEqual),
            '<' if self.take_if(|c| c == '>').is_some() => Token::Operator(Operator::NotEqual),
            '<' if self.take_if(|c| c == '=').is_some() => Token::Operator(Operator::LessOrEqual),
            '<' => Token::Operator(Operator::Less),
            '>' if self.take_if(|c| c == '=').is_some() => Token::Operator(Operator::GreaterOrEqual),
            '>' => Token::Operator(Operator::Greater),
            '\'' => self.quoted(at)?,
            c if c.is_ascii_alphabetic() => {
                Token::Word(self.run(c, |c| c.is_ascii_alphanumeric() || c == '_' || c == '.'))
            }
            c if c.is_ascii_digit() || c == '-' || c == '+' => {
                Token::Bare(self.run(c, |c| c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '+' | '-')))
            }
            c => return Err(malformed(pointed(self.statement, at, &format!("unexpected token: '{c}'")))),
        };
        Ok(Some((token, at)))
    }

    fn quoted(&mut self, at: usize) -> Result<Token, Refusal> {
        let mut raw = String::new();
        loop {
            match self.take_if(|_| true) {
                None => return Err(malformed(pointed(self.statement, at, "unterminated string literal"))),
                Some('\'') => return Ok(Token::Quoted(raw)),
                Some('\\') => {
                    raw.push('\\');
                    raw.extend(self.take_if(|_| true));
                }
                Some(c) => raw.push(c),
            }
        }
    }

    fn run(&mut self, first: char, belongs: impl Fn(char) -> bool) -> String {
        let mut run = String::from(first);
        while let Some(c) = self.take_if(&belongs) {
            run.push(c);
        }
        run
    }

    fn take_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let (_, found) = self.rest.next_if(|(_, c)| wanted(*c))?;
        self.at += 1;
        Some(found)
    }
}
