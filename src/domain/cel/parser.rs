//! From words to a tree.

use regex::Regex;
use rust_decimal::Decimal;

use super::functions::{self, Function};
use super::lexer::Token;
use super::{MOST_NESTED, Wrong};

#[derive(Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(Decimal),
    Text(String),
    Name(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// `value.field`
    Field(Box<Node>, String),
    /// `value[key]`
    Index(Box<Node>, Box<Node>),
    /// `has(value.field)`
    Has(Box<Node>, String),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    /// `condition ? then : otherwise`
    Choice(Box<Node>, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
    /// A text against a pattern that was read with the expression.
    Matches(Box<Node>, Regex),
    Each(Each, Box<Loop>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// What is asked of each item of a list, or of each key of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Each {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

#[derive(Debug)]
pub(super) struct Loop {
    pub over: Node,
    pub item: String,
    /// For `map`: which items count; for the others: what is asked of them.
    pub condition: Option<Node>,
    /// For `map`: what becomes of an item.
    pub result: Option<Node>,
}

const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Operators by how tightly they bind, loosest first.
const LEVELS: &[&[(&str, Operator)]] = &[
    &[("||", Operator::Or)],
    &[("&&", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::Unequal),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
        ("in", Operator::In),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)],
];

/// The tree of a whole expression.
pub(super) fn parse(tokens: &[(Token, usize)]) -> Result<Node, Wrong> {
    let mut parser = Parser { tokens, place: 0, depth: 0 };
    if parser.token() == &Token::End {
        return Err(Wrong::new(0, "the expression is empty", "write one such as score >= 20"));
    }
    let root = parser.expression()?;
    if parser.token() != &Token::End {
        return Err(parser.unexpected("an operator such as && or the end"));
    }
    // A row of operators is a tree as deep as it is long.
    if root.depth() > MOST_NESTED { Err(too_deep(0)) } else { Ok(root) }
}

impl Node {
    /// What it is made of, in the order of the source.
    pub fn children(&self) -> Vec<&Node> {
        match self {
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) | Node::Name(_) => Vec::new(),
            Node::List(nodes) | Node::Call(_, nodes) => nodes.iter().collect(),
            Node::Map(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
            Node::Field(value, _) | Node::Has(value, _) | Node::Not(value) | Node::Negate(value) => vec![value],
            Node::Matches(value, _) => vec![value],
            Node::Index(left, right) | Node::Binary(_, left, right) => vec![left, right],
            Node::Choice(condition, then, otherwise) => vec![condition, then, otherwise],
            Node::Each(_, each) => [&each.over].into_iter().chain(&each.condition).chain(&each.result).collect(),
        }
    }

    /// How many levels it has; without recursion, since nothing is known of it yet.
    fn depth(&self) -> usize {
        let (mut deepest, mut open) = (0, vec![(self, 1)]);
        while let Some((node, depth)) = open.pop() {
            deepest = deepest.max(depth);
            open.extend(node.children().into_iter().map(|child| (child, depth + 1)));
        }
        deepest
    }
}

fn too_deep(at: usize) -> Wrong {
    let problem = format!("the expression nests deeper than {MOST_NESTED} levels");
    Wrong::new(at, problem, "write it shorter: x in [\"a\", \"b\"] for a row of comparisons")
}

struct Parser<'t> {
    tokens: &'t [(Token, usize)],
    place: usize,
    depth: usize,
}

impl Parser<'_> {
    fn token(&self) -> &Token {
        self.tokens.get(self.place).map_or(&Token::End, |(token, _)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.place).or(self.tokens.last()).map_or(0, |(_, at)| *at)
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.token(), Token::Sign(found) if *found == sign);
        self.place += usize::from(found);
        found
    }

    fn expects(&mut self, sign: &'static str) -> Result<(), Wrong> {
        if self.takes(sign) { Ok(()) } else { Err(self.unexpected(sign)) }
    }

    fn unexpected(&self, expected: &str) -> Wrong {
        let found = match self.token() {
            Token::Name(name) => format!("the name {name}"),
            Token::Text(_) => "a text".to_owned(),
            Token::Number(number) => format!("the number {number}"),
            Token::Sign(sign) => (*sign).to_owned(),
            Token::End => "the end".to_owned(),
        };
        Wrong::new(self.at(), format!("{found} stands here"), format!("expected: {expected}"))
    }

    /// Everything that nests comes by here, so that no input exhausts the stack.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Wrong>) -> Result<T, Wrong> {
        self.depth += 1;
        if self.depth > MOST_NESTED {
            return Err(too_deep(self.at()));
        }
        let read = inner(self);
        self.depth -= 1;
        read
    }

    fn expression(&mut self) -> Result<Node, Wrong> {
        self.deeper(|parser| {
            let condition = parser.level(0)?;
            if !parser.takes("?") {
                return Ok(condition);
            }
            let then = parser.level(0)?;
            parser.expects(":")?;
            let otherwise = parser.expression()?;
            Ok(Node::Choice(Box::new(condition), Box::new(then), Box::new(otherwise)))
        })
    }

    /// A row of operators of one level, from left to right.
    fn level(&mut self, level: usize) -> Result<Node, Wrong> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.level(level + 1)?;
        loop {
            let operator = operators.iter().find(|(word, _)| match self.token() {
                Token::Sign(sign) => sign == word,
                Token::Name(name) => name == word,
                _ => false,
            });
            let Some((_, operator)) = operator else { return Ok(left) };
            self.place += 1;
            let right = self.level(level + 1)?;
            left = Node::Binary(*operator, Box::new(left), Box::new(right));
        }
    }

    fn unary(&mut self) -> Result<Node, Wrong> {
        if self.takes("!") {
            return self.deeper(Self::unary).map(|node| Node::Not(Box::new(node)));
        }
        if self.takes("-") {
            return self.deeper(Self::unary).map(|node| match node {
                Node::Number(number) => Node::Number(-number),
                other => Node::Negate(Box::new(other)),
            });
        }
        self.member()
    }

    /// A value with what is asked of it: `.field`, `[key]`, `.function(…)`.
    fn member(&mut self) -> Result<Node, Wrong> {
        let mut node = self.primary()?;
        loop {
            if self.takes(".") {
                let at = self.at();
                let Token::Name(name) = self.token().clone() else { return Err(self.unexpected("a name")) };
                self.place += 1;
                node =
                    if self.takes("(") { self.call(&name, Some(node), at)? } else { Node::Field(Box::new(node), name) };
            } else if self.takes("[") {
                let key = self.expression()?;
                self.expects("]")?;
                node = Node::Index(Box::new(node), Box::new(key));
            } else {
                return Ok(node);
            }
        }
    }

    fn primary(&mut self) -> Result<Node, Wrong> {
        let at = self.at();
        let token = self.token().clone();
        self.place += 1;
        match token {
            Token::Number(number) => Ok(Node::Number(number)),
            Token::Text(text) => Ok(Node::Text(text)),
            Token::Name(name) => match name.as_str() {
                "null" => Ok(Node::Null),
                "true" => Ok(Node::Bool(true)),
                "false" => Ok(Node::Bool(false)),
                _ if RESERVED.contains(&name.as_str()) || name == "in" => {
                    let remedy = format!("a field of this name is written lead[{name:?}]");
                    Err(Wrong::new(at, format!("{name} is a reserved word"), remedy))
                }
                _ if self.takes("(") => self.call(&name, None, at),
                _ => Ok(Node::Name(name)),
            },
            Token::Sign("(") => {
                let inner = self.expression()?;
                self.expects(")")?;
                Ok(inner)
            }
            Token::Sign("[") => self.list("]").map(Node::List),
            Token::Sign("{") => self.map(),
            Token::Sign(_) | Token::End => {
                self.place -= 1;
                Err(self.unexpected("a value, such as a field, a number or a text in quotes"))
            }
        }
    }

    /// Expressions with commas between them, up to the closing sign.
    fn list(&mut self, close: &'static str) -> Result<Vec<Node>, Wrong> {
        let mut items = Vec::new();
        while !self.takes(close) {
            items.push(self.expression()?);
            if !self.takes(",") {
                self.expects(close)?;
                break;
            }
        }
        Ok(items)
    }

    fn map(&mut self) -> Result<Node, Wrong> {
        let mut entries = Vec::new();
        while !self.takes("}") {
            let key = self.expression()?;
            self.expects(":")?;
            entries.push((key, self.expression()?));
            if !self.takes(",") {
                self.expects("}")?;
                break;
            }
        }
        Ok(Node::Map(entries))
    }

    /// A call whose opening bracket was read; `at` is where its name stands.
    fn call(&mut self, name: &str, target: Option<Node>, at: usize) -> Result<Node, Wrong> {
        let argument_at = self.at();
        let arguments = self.list(")")?;
        match (name, target) {
            ("has", None) => has(arguments, at),
            ("all" | "exists" | "exists_one" | "existsOne" | "filter" | "map", Some(over)) => {
                each(name, over, arguments, at)
            }
            (_, target) => {
                let by_target = target.is_some();
                let arguments: Vec<Node> = target.into_iter().chain(arguments).collect();
                let function = functions::find(name, by_target, arguments.len(), at)?;
                if function == Function::Matches {
                    matches(arguments, argument_at)
                } else {
                    Ok(Node::Call(function, arguments))
                }
            }
        }
    }
}

fn has(mut arguments: Vec<Node>, at: usize) -> Result<Node, Wrong> {
    match (arguments.pop(), arguments.is_empty()) {
        (Some(Node::Field(value, field)), true) => Ok(Node::Has(value, field)),
        _ => Err(Wrong::new(
            at,
            "has() asks for one field of something, as in has(attributes.size)",
            "whether a field of the lead itself is there: score != null",
        )),
    }
}

fn each(name: &str, over: Node, arguments: Vec<Node>, at: usize) -> Result<Node, Wrong> {
    let wrong = || {
        let problem = format!("{name} takes a name for the item and what is asked of it");
        Wrong::new(at, problem, format!("write it like tags.{name}(t, t == \"vip\")"))
    };
    let mut arguments = arguments.into_iter();
    let Some(Node::Name(item)) = arguments.next() else { return Err(wrong()) };
    let (first, second) = (arguments.next().ok_or_else(wrong)?, arguments.next());
    let each = match name {
        "all" => Each::All,
        "exists" => Each::Exists,
        "filter" => Each::Filter,
        "map" => Each::Map,
        _ => Each::ExistsOne,
    };
    let (condition, result) = match (each, second) {
        (Each::Map, Some(result)) => (Some(first), Some(result)),
        (Each::Map, None) => (None, Some(first)),
        (_, None) => (Some(first), None),
        (_, Some(_)) => return Err(wrong()),
    };
    if arguments.next().is_some() {
        return Err(wrong());
    }
    Ok(Node::Each(each, Box::new(Loop { over, item, condition, result })))
}

/// The pattern is read here, so that a mistake in it is told at once and no lead can bring one along.
fn matches(arguments: Vec<Node>, at: usize) -> Result<Node, Wrong> {
    const LARGEST_PATTERN: usize = 1 << 20;
    let mut arguments = arguments.into_iter();
    let (Some(text), Some(Node::Text(pattern))) = (arguments.next(), arguments.next()) else {
        return Err(Wrong::new(
            at,
            "the pattern of matches() is no text in quotes",
            "write it there: name.matches(\"^A\")",
        ));
    };
    let pattern = regex::RegexBuilder::new(&pattern).size_limit(LARGEST_PATTERN).build().map_err(|error| {
        let reason = error.to_string();
        let last = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Wrong::new(
            at,
            format!("the pattern cannot be read: {last}"),
            "write a regular expression without look-around, as RE2 knows them",
        )
    })?;
    Ok(Node::Matches(Box::new(text), pattern))
}
