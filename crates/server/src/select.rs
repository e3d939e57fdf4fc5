//! `select_metadata`: a JMESPath expression that picks from metadata (<https://jmespath.org/specification.html>).
//!
//! An expression of a few bytes can ask for more than there are atoms. So what an expression may repeat is bounded before
//! it is evaluated, what its functions may write while it is, and the length of the result when it is written down.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::LazyLock;

use girih_model::{Error, Json, Result, ResultExt};
use jmespath::ast::Ast;
use jmespath::functions::{Function, JoinFn, ToStringFn};

use jmespath::{Context, ErrorReason, JmespathError, Rcvar, Runtime, Variable};

/// Longest expression, in bytes, and most characters in it that can nest.
const MAX_BYTES: usize = 4096;
const MAX_NESTING: usize = 256;
/// How often an expression may repeat what it is given.
const MAX_GROWTH: u64 = 256;
/// A selection is there to make less of the metadata: most bytes of a result beyond twice the metadata.
const ROOM: usize = 64 << 10;
/// Most bytes of text that the functions of one evaluation may write.
const MAX_WRITTEN: usize = 32 << 20;

pub(crate) struct Selector(String);

impl Selector {
    /// Expressions are compiled where they are applied: what the library makes cannot move between threads.
    ///
    /// # Errors
    /// `Malformed` when the text is no expression, or could become too large.
    pub(crate) fn compile(text: &str) -> Result<Self> {
        // The library recurses, so what nests must be bounded first.
        let nesting = text.bytes().filter(|c| b"([{!&|.,*<>=-".contains(c)).count();
        if text.len() > MAX_BYTES || nesting > MAX_NESTING {
            return Err(malformed("parameter: the expression is too long."));
        }
        let expression = RUNTIME.compile(text).map_err(|e| refusal(&e))?;
        if growth(expression.as_ast()) > MAX_GROWTH {
            return Err(malformed(format!(
                "parameter: the result could be more than {MAX_GROWTH} times the metadata. Select fewer parts."
            )));
        }
        Ok(Self(text.to_owned()))
    }

    /// `{"selected": …}`.
    ///
    /// # Errors
    /// `Malformed` when the expression does not fit the metadata, or the result is too large.
    pub(crate) fn apply(&self, metadata: &Json) -> Result<Json> {
        let expression = RUNTIME.compile(&self.0).map_err(|e| refusal(&e))?;
        WRITTEN.set(0);
        let variable = Variable::from_serializable(metadata.to_value());
        let found = variable.and_then(|variable| expression.search(variable)).map_err(|e| refusal(&e))?;
        let limit = ROOM + 2 * metadata.text().len();
        let text = bounded(&found, limit).ok_or_else(|| {
            malformed(format!("parameter: the result has more than {limit} bytes. Select fewer parts."))
        })?;
        Json::parse(format!("{{\"selected\":{text}}}"))
            .or_error(|e| Error::internal("Internal server error").context(format!("writing a selection: {e}")))
    }
}

fn malformed(what: impl std::fmt::Display) -> Error {
    Error::malformed(format!("Malformed 'select_metadata' {what}"))
}

fn refusal(error: &JmespathError) -> Error {
    malformed(format!("parameter raised JMESPathError: {error}"))
}

/// How many times what it is given a result may be, at most: `[@,@]|[@,@]` doubles at every step.
fn growth(expression: &Ast) -> u64 {
    let sum = |parts: &mut dyn Iterator<Item = &Ast>| parts.fold(0u64, |sum, part| sum.saturating_add(growth(part)));
    match expression {
        Ast::Identity { .. } | Ast::Field { .. } | Ast::Index { .. } | Ast::Slice { .. } => 1,
        Ast::Literal { value, .. } => items(value),
        Ast::Flatten { node, .. } | Ast::ObjectValues { node, .. } | Ast::Not { node, .. } => growth(node),
        Ast::Expref { ast, .. } => growth(ast),
        Ast::MultiList { elements, .. } => sum(&mut elements.iter()),
        Ast::MultiHash { elements, .. } => sum(&mut elements.iter().map(|pair| &pair.value)),
        Ast::Comparison { lhs, rhs, .. } | Ast::And { lhs, rhs, .. } | Ast::Or { lhs, rhs, .. } => {
            growth(lhs).saturating_add(growth(rhs))
        }
        Ast::Condition { predicate, then, .. } => growth(predicate).saturating_add(growth(then)),
        Ast::Subexpr { lhs, rhs, .. } | Ast::Projection { lhs, rhs, .. } => growth(lhs).saturating_mul(growth(rhs)),
        Ast::Function { args, .. } => args.iter().fold(1, |all, arg| all.saturating_mul(1 + growth(arg))),
    }
}

/// Values in a literal, itself included: a list of ten can repeat something ten times.
fn items(value: &Rcvar) -> u64 {
    match &**value {
        Variable::Array(list) => 1 + list.iter().map(items).sum::<u64>(),
        Variable::Object(map) => 1 + map.values().map(items).sum::<u64>(),
        _ => 1,
    }
}

/// JSON of a value; `None` when it would be longer than this.
fn bounded(value: &Rcvar, limit: usize) -> Option<String> {
    let mut text = Bounded { text: Vec::new(), limit };
    serde_json::to_writer(&mut text, &**value).ok()?;
    String::from_utf8(text.text).ok()
}

struct Bounded {
    text: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if more.len() > self.limit - self.text.len() {
            return Err(io::Error::other("too long"));
        }
        self.text.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

thread_local! {
    /// Bytes that functions have written in this evaluation.
    static WRITTEN: Cell<usize> = const { Cell::new(0) };
}

/// The functions of the specification. Those that make new text from old are watched: each can double it, or more.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = Runtime::new();
    runtime.register_builtin_functions();
    runtime.register_function("join", Box::new(Join(JoinFn::new())));
    runtime.register_function("to_string", Box::new(ToString(ToStringFn::new())));
    runtime
});

struct Join(JoinFn);

impl Function for Join {
    fn evaluate(&self, args: &[Rcvar], ctx: &mut Context<'_>) -> std::result::Result<Rcvar, JmespathError> {
        if let [glue, list] = args
            && let (Some(glue), Some(list)) = (glue.as_string(), list.as_array())
        {
            let texts: usize = list.iter().filter_map(|text| text.as_string()).map(String::len).sum();
            write(texts.saturating_add(glue.len().saturating_mul(list.len())), ctx)?;
        }
        self.0.evaluate(args, ctx)
    }
}

struct ToString(ToStringFn);

impl Function for ToString {
    fn evaluate(&self, args: &[Rcvar], ctx: &mut Context<'_>) -> std::result::Result<Rcvar, JmespathError> {
        match args {
            [value] if !(value.is_string() || value.is_expref()) => {
                let text = bounded(value, MAX_WRITTEN - WRITTEN.get()).unwrap_or_default();
                write(if text.is_empty() { MAX_WRITTEN + 1 } else { text.len() }, ctx)?;
                Ok(Rcvar::new(Variable::String(text)))
            }
            _ => self.0.evaluate(args, ctx),
        }
    }
}

/// Notes that a function writes so many bytes.
fn write(bytes: usize, ctx: &Context<'_>) -> std::result::Result<(), JmespathError> {
    let written = WRITTEN.get().saturating_add(bytes);
    if written > MAX_WRITTEN {
        let reason = ErrorReason::Parse("the functions make too much text".into());
        return Err(JmespathError::from_ctx(ctx, reason));
    }
    WRITTEN.set(written);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::Value;

    use super::*;

    const METADATA: &str = r#"{"x": {"y": 1, "q": "\""}, "z": [1, 2], "names": ["a", "b", "c", "d"]}"#;

    fn select(text: &str) -> Result<Value> {
        let metadata = Json::parse(METADATA)?;
        Selector::compile(text)?.apply(&metadata).map(|json| json.to_value())
    }

    #[test]
    fn parts_are_picked() {
        for (text, expected) in [
            ("{a: x.y, b: z[1]}", r#"{"selected": {"a": 1, "b": 2}}"#),
            ("nope", r#"{"selected": null}"#),
            ("join('-', names)", r#"{"selected": "a-b-c-d"}"#),
            ("to_string(z)", r#"{"selected": "[1,2]"}"#),
            ("to_string(x.q)", r#"{"selected": "\""}"#),
            ("[@,@]|[@,@]|[@,@]|length(@)", r#"{"selected": 2}"#),
            ("names[?contains(@, 'b')]", r#"{"selected": ["b"]}"#),
        ] {
            assert_eq!(select(text).unwrap(), serde_json::from_str::<Value>(expected).unwrap(), "{text}");
        }
        assert!(select("@").is_ok());
    }

    #[test]
    fn nonsense_is_named() {
        for text in ["x.[", "nope(@)", "join(@)", "to_string()"] {
            let error = select(text).unwrap_err();
            let known = "Malformed 'select_metadata' parameter raised JMESPathError: ";
            assert!(error.message().starts_with(known), "{text}: {error}");
        }
    }

    #[test]
    fn no_expression_is_a_bomb() {
        let nested =
            |open: &str, inner: &str, close: &str, n: usize| [&open.repeat(n), inner, &close.repeat(n)].concat();
        for text in [
            ["[@,@]"; 40].join("|"),
            ["map(&[@,@], @)"; 9].join("|"),
            ["[[@,@,@,@,@,@,@,@,@,@],@]"; 3].join("|"),
            nested("to_string([", "@", "])", 60),
            nested("join('0123456789', [", "'x'", ",'y','z'])", 50),
            nested("join(", "'x'", ", names)", 60),
            nested("map(&", "@", ", `[0,0,0,0,0,0,0,0,0,0]`)", 60),
            nested("`[0,0,0,0,0,0,0,0,0,0]`[*].", "@", "", 60),
            "(".repeat(300),
            "!".repeat(3000),
            "[".repeat(4000),
        ] {
            let start = Instant::now();
            assert!(select(&text).is_err(), "{text}");
            assert!(start.elapsed() < Duration::from_secs(30), "{text}");
        }
        assert!(select("[*].{a: x, b: y}").is_ok());
    }
}
