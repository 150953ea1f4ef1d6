//! The part of SOQL that a client of leads needs: one object, its fields, and conditions, read into a [`Query`].
//!
//! What is outside that part is refused as malformed, never ignored. As in an org, `AND` and `OR` do not mix without
//! parentheses and `NOT` stands alone in its own.

mod lexer;
mod text;

pub(super) use text::{Wild, matches};

use lexer::{Lexer, Token};

use super::error::Refusal;

/// Longest statement, in characters.
const LONGEST: usize = 100_000;
/// How deep parentheses may nest.
const DEEPEST: usize = 64;
/// Largest `OFFSET`.
const FARTHEST: usize = 2_000;

/// A name in a statement and where it stands, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub text: String,
    /// Character position in the statement, from 0.
    pub at: usize,
}

/// One statement.
#[derive(Debug, PartialEq)]
pub(super) struct Query {
    pub select: Selection,
    pub from: Word,
    pub filter: Option<Condition>,
    pub order: Vec<Order>,
    pub limit: Option<usize>,
    pub offset: usize,
}

/// What a statement asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Selection {
    Count,
    Fields(Vec<Word>),
}

#[derive(Debug, PartialEq)]
pub(super) struct Order {
    pub field: Word,
    pub descending: bool,
    pub nulls_last: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Compare { field: Word, operator: Operator, literal: Literal },
    Like { field: Word, pattern: Vec<Wild> },
    In { field: Word, negated: bool, literals: Vec<Literal> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A value as written; whether it fits its field is seen when the query runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Text(String),
    /// A number, date or time: whatever is written without quotes.
    Bare(String),
}

/// Reads a statement; any text whatever gives a query or a refusal.
pub(super) fn parse(statement: &str) -> Result<Query, Refusal> {
    if statement.chars().count() > LONGEST {
        return Err(malformed("SOQL statements cannot be longer than 100000 characters."));
    }
    let mut parser = Parser { tokens: lexer::tokens(Lexer::new(statement))?, next: 0, statement };
    let query = parser.query()?;
    match parser.tokens.get(parser.next) {
        None => Ok(query),
        Some(_) => Err(parser.unexpected()),
    }
}

/// Shows where in the statement something is wrong, as an org does.
pub(super) fn pointed(statement: &str, at: usize, message: &str) -> String {
    let start = at.saturating_sub(40);
    let snippet: String =
        statement.chars().skip(start).take(80).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let caret = " ".repeat(at - start);
    format!("\n{snippet}\n{caret}^\nERROR at Row:1:Column:{}\n{message}", at + 1)
}

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "MALFORMED_QUERY", message)
}

struct Parser<'a> {
    tokens: Vec<(Token, usize)>,
    next: usize,
    statement: &'a str,
}

impl Parser<'_> {
    fn query(&mut self) -> Result<Query, Refusal> {
        self.expect_keyword("SELECT")?;
        let select = self.selection()?;
        self.expect_keyword("FROM")?;
        let from = self.object()?;
        let filter = if self.take_keyword("WHERE") { Some(self.condition(0)?) } else { None };
        let mut order = Vec::new();
        if self.take_keyword("ORDER") {
            self.expect_keyword("BY")?;
            order.push(self.order()?);
            while self.take(&Token::Comma) {
                order.push(self.order()?);
            }
        }
        let limit = if self.take_keyword("LIMIT") { Some(self.count()?) } else { None };
        let offset = if self.take_keyword("OFFSET") { self.count()? } else { 0 };
        if offset > FARTHEST {
            return Err(Refusal::new(400, "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"));
        }
        Ok(Query { select, from, filter, order, limit, offset })
    }

    fn selection(&mut self) -> Result<Selection, Refusal> {
        let first = self.word()?;
        if first.text.eq_ignore_ascii_case("count") && self.take(&Token::Open) {
            return if self.take(&Token::Close) { Ok(Selection::Count) } else { Err(self.unexpected()) };
        }
        let mut fields = vec![first];
        while self.take(&Token::Comma) {
            fields.push(self.word()?);
        }
        Ok(Selection::Fields(fields))
    }

    fn condition(&mut self, depth: usize) -> Result<Condition, Refusal> {
        if depth > DEEPEST {
            return Err(malformed("The query is nested too deeply."));
        }
        if self.take_keyword("NOT") {
            return Ok(Condition::Not(Box::new(self.simple(depth)?)));
        }
        let first = self.simple(depth)?;
        let joined = |word: &str, parser: &mut Self| -> Result<Vec<Condition>, Refusal> {
            let mut more = Vec::new();
            while parser.take_keyword(word) {
                more.push(parser.simple(depth)?);
            }
            Ok(more)
        };
        let ands = joined("AND", self)?;
        if !ands.is_empty() {
            return Ok(Condition::All(std::iter::once(first).chain(ands).collect()));
        }
        let ors = joined("OR", self)?;
        if !ors.is_empty() {
            return Ok(Condition::Any(std::iter::once(first).chain(ors).collect()));
        }
        Ok(first)
    }

    fn simple(&mut self, depth: usize) -> Result<Condition, Refusal> {
        if self.take(&Token::Open) {
            let inner = self.condition(depth + 1)?;
            return if self.take(&Token::Close) { Ok(inner) } else { Err(self.unexpected()) };
        }
        let field = self.word()?;
        if self.take_keyword("LIKE") {
            return match self.tokens.get(self.next).cloned() {
                Some((Token::Quoted(raw), _)) => {
                    self.next += 1;
                    Ok(Condition::Like { field, pattern: text::pattern(&raw)? })
                }
                _ => Err(self.unexpected()),
            };
        }
        if self.take_keyword("IN") {
            return Ok(Condition::In { field, negated: false, literals: self.list()? });
        }
        if self.take_keyword("NOT") {
            self.expect_keyword("IN")?;
            return Ok(Condition::In { field, negated: true, literals: self.list()? });
        }
        let operator = match self.tokens.get(self.next) {
            Some((Token::Operator(operator), _)) => *operator,
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(Condition::Compare { field, operator, literal: self.literal()? })
    }

    fn list(&mut self) -> Result<Vec<Literal>, Refusal> {
        if !self.take(&Token::Open) {
            return Err(self.unexpected());
        }
        let mut literals = vec![self.literal()?];
        while self.take(&Token::Comma) {
            literals.push(self.literal()?);
        }
        if self.take(&Token::Close) { Ok(literals) } else { Err(self.unexpected()) }
    }

    fn literal(&mut self) -> Result<Literal, Refusal> {
        let literal = match self.tokens.get(self.next) {
            Some((Token::Quoted(raw), _)) => Literal::Text(text::unescape(raw)?),
            Some((Token::Bare(bare), _)) => Literal::Bare(bare.clone()),
            Some((Token::Word(word), _)) if word.eq_ignore_ascii_case("null") => Literal::Null,
            Some((Token::Word(word), _)) if word.eq_ignore_ascii_case("true") => Literal::Bool(true),
            Some((Token::Word(word), _)) if word.eq_ignore_ascii_case("false") => Literal::Bool(false),
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(literal)
    }

    fn order(&mut self) -> Result<Order, Refusal> {
        let field = self.word()?;
        let descending = self.take_keyword("DESC");
        if !descending {
            self.take_keyword("ASC");
        }
        let mut nulls_last = false;
        if self.take_keyword("NULLS") {
            nulls_last = self.take_keyword("LAST");
            if !nulls_last {
                self.expect_keyword("FIRST")?;
            }
        }
        Ok(Order { field, descending, nulls_last })
    }

    fn count(&mut self) -> Result<usize, Refusal> {
        match self.tokens.get(self.next) {
            Some((Token::Bare(digits), _)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let count = digits.parse().map_err(|_| self.unexpected())?;
                self.next += 1;
                Ok(count)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// The name of an object; one of them is a keyword elsewhere.
    fn object(&mut self) -> Result<Word, Refusal> {
        match self.tokens.get(self.next) {
            Some((Token::Word(text), at)) if text.eq_ignore_ascii_case("Group") => {
                self.next += 1;
                Ok(Word { text: text.clone(), at: *at })
            }
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Word, Refusal> {
        const RESERVED: &[&str] = &[
            "AND", "ASC", "DESC", "FROM", "GROUP", "HAVING", "IN", "LIKE", "LIMIT", "NOT", "NULL", "OR", "SELECT",
            "WHERE",
        ];
        match self.tokens.get(self.next) {
            Some((Token::Word(text), at)) if !RESERVED.iter().any(|word| word.eq_ignore_ascii_case(text)) => {
                self.next += 1;
                Ok(Word { text: text.clone(), at: *at })
            }
            _ => Err(self.unexpected()),
        }
    }

    fn take(&mut self, wanted: &Token) -> bool {
        let found = self.tokens.get(self.next).is_some_and(|(token, _)| token == wanted);
        self.next += usize::from(found);
        found
    }

    fn take_keyword(&mut self, wanted: &str) -> bool {
        let found =
            matches!(self.tokens.get(self.next), Some((Token::Word(word), _)) if word.eq_ignore_ascii_case(wanted));
        self.next += usize::from(found);
        found
    }

    fn expect_keyword(&mut self, wanted: &str) -> Result<(), Refusal> {
        if self.take_keyword(wanted) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> Refusal {
        match self.tokens.get(self.next) {
            Some((token, at)) => malformed(pointed(self.statement, *at, &format!("unexpected token: {token}"))),
            None => malformed("unexpected token: <EOF>"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(statement: &str) -> String {
        parse(statement).unwrap_err().code.into_owned()
    }

    #[test]
    fn a_statement_with_everything_is_read() {
        let query = parse(
            "select Id, Email from Lead where (Email in ('a@b.example', 'c\\'d') or Lead_Score__c >= -1.5) \
             and SystemModstamp > 2026-01-31T10:00:00Z and (not LastName like 'a\\%_%') and Title != null \
             order by SystemModstamp desc nulls last, Id limit 10 offset 5",
        )
        .unwrap();
        assert_eq!(query.from.text, "Lead");
        assert_eq!((query.limit, query.offset, query.order.len()), (Some(10), 5, 2));
        let Some(Condition::All(parts)) = query.filter else { panic!("no conjunction") };
        assert_eq!(parts.len(), 4);
        let Condition::Any(keys) = &parts[0] else { panic!("no disjunction") };
        let Condition::In { literals, .. } = &keys[0] else { panic!("no list") };
        assert_eq!(literals[1], Literal::Text("c'd".to_owned()));
        let Condition::Not(like) = &parts[2] else { panic!("no negation") };
        let Condition::Like { pattern, .. } = like.as_ref() else { panic!("no pattern") };
        assert_eq!(pattern, &[Wild::Char('a'), Wild::Char('%'), Wild::One, Wild::Any]);
    }

    #[test]
    fn what_an_org_calls_malformed_is_refused() {
        for statement in [
            "",
            "SELECT",
            "SELECT Id",
            "SELECT Id FROM",
            "SELECT Id FROM Lead WHERE",
            "SELECT Id, FROM Lead",
            "SELECT Id FROM Lead WHERE Email = 'a",
            "SELECT Id FROM Lead WHERE Email = 'a\\x'",
            "SELECT Id FROM Lead WHERE Email = 'a\\_b'",
            "SELECT Id FROM Lead WHERE Email = \"a\"",
            "SELECT Id FROM Lead WHERE Email IN ()",
            "SELECT Id FROM Lead WHERE a = 1 AND b = 2 OR c = 3",
            "SELECT Id FROM Lead WHERE NOT a = 1 AND b = 2",
            "SELECT Id FROM Lead WHERE (a = 1",
            "SELECT Id FROM Lead LIMIT -1",
            "SELECT Id FROM Lead GROUP BY Email",
            "SELECT Id FROM GROUP BY Email",
            "SELECT Id FROM Lead FOR UPDATE",
            "SELECT (SELECT Id FROM X) FROM Lead",
            "SELECT Id FROM Lead WHERE Email = :x",
            "SELECT Id FROM Lead; DROP",
            "SELECT Id FROM Lead LIMIT 99999999999999999999",
            "SELECT Id FROM Lead WHERE Email = 'a' 'b'",
            "SELECT * FROM Lead",
            "SELECT count(Id) FROM Lead",
        ] {
            assert_eq!(refused(statement), "MALFORMED_QUERY", "{statement}");
        }
        assert_eq!(refused("SELECT Id FROM Lead OFFSET 2001"), "NUMBER_OUTSIDE_VALID_RANGE");
    }

    #[test]
    fn sizes_have_ends() {
        let with = |value: &str| format!("SELECT Id FROM Lead WHERE Email = '{value}'");
        assert!(parse(&with(&"a".repeat(4_000))).is_ok());
        assert_eq!(refused(&with(&"a".repeat(4_001))), "MALFORMED_QUERY");
        let long = format!("SELECT Id FROM Lead WHERE Email IN ({}'x')", "'0123456789',".repeat(7_700));
        assert!(long.len() > 100_000);
        assert_eq!(refused(&long), "MALFORMED_QUERY");
        let deep = format!("SELECT Id FROM Lead WHERE {}a = 1{}", "(".repeat(40_000), ")".repeat(40_000));
        assert_eq!(refused(&deep), "MALFORMED_QUERY");
    }

    proptest! {
        #[test]
        fn no_statement_makes_the_parser_panic(tail in "\\PC{0,80}") {
            let _ = parse(&tail);
            let _ = parse(&format!("SELECT Id FROM Lead WHERE {tail}"));
        }

        #[test]
        fn no_mixture_of_tokens_makes_the_parser_panic(words in prop::collection::vec(prop::sample::select(vec![
            "SELECT", "Id", ",", "FROM", "Lead", "WHERE", "(", ")", "AND", "OR", "NOT", "IN", "LIKE", "'a%'", "'\\'", "=", "<", ">=", "1",
            "2026-01-31", "null", "ORDER", "BY", "NULLS", "LAST", "LIMIT", "OFFSET", "count", "\u{e9}", "'",
        ]), 0..30)) {
            let _ = parse(&words.join(" "));
        }

        #[test]
        fn an_escaped_value_comes_back_as_it_was(value in "\\PC{0,40}") {
            let escaped = value.replace('\\', "\\\\").replace('\'', "\\'");
            let query = parse(&format!("SELECT Id FROM Lead WHERE Email = '{escaped}'")).unwrap();
            let Some(Condition::Compare { literal, .. }) = query.filter else { panic!("no comparison") };
            prop_assert_eq!(literal, Literal::Text(value));
        }
    }
}
