//! Expressions over a lead, written in the Common Expression Language (CEL): `filter` and `value` in the configuration.
//!
//! Numbers are exact decimals of at most 28 digits, and there is one kind of them: `45`, `45.0` and `4.5e1` are the same
//! number, and `score * 1.1` needs no conversion. A quotient or product that needs more digits is rounded to 28.
//!
//! An expression always ends: it nests no deeper than [`MOST_NESTED`] levels, and one that goes on for more than
//! [`MOST_STEPS`] steps is stopped with an error. It reads nothing but its lead, and evaluating it never panics.

mod evaluate;
mod functions;
mod lexer;
mod operand;
mod parser;
mod scope;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::lead::Lead;
use super::value::Value;

/// How deep an expression may nest, and how long it may be in bytes.
pub const MOST_NESTED: usize = 100;
pub const LONGEST: usize = 4 * 1024;

/// How long one evaluation may take: an operation is a step, and so are sixteen bytes of text that it makes or copies.
pub const MOST_STEPS: usize = 200_000;

/// An expression that was read without a mistake. Two are equal if they are written alike.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    root: Arc<parser::Node>,
    reads: Arc<BTreeSet<String>>,
}

/// Which values of a lead's fields count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Those that it has now.
    Now,
    /// Of an emptied field the last value that it had.
    Lasting,
}

/// What is wrong in an expression as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    pub problem: String,
    pub remedy: String,
}

/// Why an expression has no value for a lead. No value of the lead is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvaluationError(pub(super) String);

impl Expression {
    /// Reads an expression; functions that do not exist, and wrong numbers of arguments, are mistakes already here.
    pub fn parse(source: &str) -> Result<Self, Mistake> {
        if source.len() > LONGEST {
            let problem = format!("the expression is longer than {LONGEST} bytes");
            return Err(Wrong::new(0, problem, "write it shorter").in_source(source));
        }
        let tokens = lexer::tokens(source).map_err(|wrong| wrong.in_source(source))?;
        let root = parser::parse(&tokens).map_err(|wrong| wrong.in_source(source))?;
        let mut reads = BTreeSet::new();
        scope::collect_reads(&root, &mut Vec::new(), &mut reads);
        Ok(Self { source: source.into(), root: Arc::new(root), reads: Arc::new(reads) })
    }

    /// The expression as it is written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The paths of the lead fields that it names: `score`, `attributes.industry`; `attributes` where it reads them all.
    pub fn reads(&self) -> &BTreeSet<String> {
        &self.reads
    }

    /// The expression's value for this lead.
    pub fn evaluate(&self, lead: &Lead, reading: Reading) -> Result<Value, EvaluationError> {
        evaluate::evaluate(&self.root, lead, reading)
    }

    /// Whether the lead is one of those that the expression describes.
    pub fn holds(&self, lead: &Lead, reading: Reading) -> Result<bool, EvaluationError> {
        match self.evaluate(lead, reading)? {
            Value::Bool(holds) => Ok(holds),
            other => {
                Err(EvaluationError(format!("gives {}, where true or false is needed", operand::kind_of_value(&other))))
            }
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.source)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 1 {
            write!(f, "line {}, ", self.line)?;
        }
        write!(f, "character {}: {}", self.column, self.problem)
    }
}

/// A mistake at a byte of the source.
struct Wrong {
    at: usize,
    problem: String,
    remedy: String,
}

impl Wrong {
    fn new(at: usize, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { at, problem: problem.into(), remedy: remedy.into() }
    }

    fn in_source(self, source: &str) -> Mistake {
        let before = source.get(..self.at).unwrap_or(source);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Mistake { line, column, problem: self.problem, remedy: self.remedy }
    }
}

#[cfg(test)]
pub(crate) mod tests;
