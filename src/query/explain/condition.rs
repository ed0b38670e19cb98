//! Conditions of a plan, as PostgreSQL writes them: which columns of a table they choose rows by, and how.

use sqlparser::{
    ast::{BinaryOperator, Expr},
    dialect::PostgreSqlDialect,
    parser::Parser,
    tokenizer::{Token, Tokenizer},
};

use super::super::tables::DEEPEST;

/// Bytes of a condition that are read.
const LONGEST: usize = 64 << 10;

/// One of the conditions that must all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    /// A column of the table, or an expression with one, as SQL without the table's name.
    pub what: What,
    /// How it chooses rows.
    pub chooses: Chooses,
}

/// What rows are chosen by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A column.
    Column(String),
    /// A column as a value of another type.
    Cast(String, String),
    /// Anything else.
    Expression(String),
}

/// How rows are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chooses {
    /// Equal to a value or one of several, or NULL.
    Equal,
    /// Before or after a value.
    Range,
    /// LIKE and its kin, and regular expressions.
    Pattern,
    /// Arrays, JSON and texts that contain something.
    Containment,
}

/// The terms about the table that the condition calls `alias`. A condition that cannot be read has none.
pub(super) fn terms(condition: &str, alias: &str) -> Vec<Term> {
    let Some(parsed) = parse(condition) else { return Vec::new() };
    let mut terms = Vec::new();
    let mut rest = vec![&parsed];
    while let Some(expression) = rest.pop() {
        match expression {
            Expr::Nested(inner) => rest.push(inner),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => rest.extend([&**right, &**left]),
            other => terms.extend(term(other, alias)),
        }
    }
    terms
}

fn parse(condition: &str) -> Option<Expr> {
    if condition.len() > LONGEST {
        return None;
    }
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, condition).tokenize().ok()?;
    let mut parser = Parser::new(&PostgreSqlDialect {}).with_recursion_limit(2 * DEEPEST).with_tokens(tokens);
    let parsed = parser.parse_expr().ok()?;
    (parser.peek_token().token == Token::EOF).then_some(parsed)
}

fn term(expression: &Expr, alias: &str) -> Option<Term> {
    match expression {
        Expr::BinaryOp { left, op, right } => {
            let chooses = chooses(op)?;
            match (mentions(left, alias), mentions(right, alias)) {
                (true, false) => Some(Term { what: what(left, alias), chooses }),
                // `$1 @> column` asks for what is contained, which no index finds.
                (false, true) if matches!(chooses, Chooses::Equal | Chooses::Range) => {
                    Some(Term { what: what(right, alias), chooses })
                }
                _ => None,
            }
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
            let is_ours = mentions(left, alias) && !mentions(right, alias);
            // `$1 = ANY (column)` looks into arrays.
            let in_array = mentions(right, alias) && !mentions(left, alias);
            let ours = is_ours.then(|| Term { what: what(left, alias), chooses: Chooses::Equal });
            ours.or_else(|| in_array.then(|| Term { what: what(right, alias), chooses: Chooses::Containment }))
        }
        Expr::IsNull(inner) if mentions(inner, alias) => {
            Some(Term { what: what(inner, alias), chooses: Chooses::Equal })
        }
        _ => None,
    }
}

fn chooses(op: &BinaryOperator) -> Option<Chooses> {
    Some(match op {
        BinaryOperator::Eq => Chooses::Equal,
        BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq => Chooses::Range,
        BinaryOperator::PGLikeMatch
        | BinaryOperator::PGILikeMatch
        | BinaryOperator::PGRegexMatch
        | BinaryOperator::PGRegexIMatch => Chooses::Pattern,
        BinaryOperator::AtArrow
        | BinaryOperator::AtAt
        | BinaryOperator::AtQuestion
        | BinaryOperator::PGOverlap
        | BinaryOperator::Question
        | BinaryOperator::QuestionAnd
        | BinaryOperator::QuestionPipe => Chooses::Containment,
        _ => return None,
    })
}

fn what(expression: &Expr, alias: &str) -> What {
    match expression {
        Expr::Nested(inner) => what(inner, alias),
        Expr::Cast { expr, data_type, .. } => match what(expr, alias) {
            What::Column(column) => What::Cast(column, data_type.to_string().to_ascii_lowercase()),
            _ => What::Expression(without_alias(expression, alias)),
        },
        Expr::CompoundIdentifier(parts) => match &parts[..] {
            [_, column] => What::Column(column.value.clone()),
            _ => What::Expression(without_alias(expression, alias)),
        },
        _ => What::Expression(without_alias(expression, alias)),
    }
}

/// Where the table is named, as the places of its name among the tokens.
fn places(tokens: &[Token], alias: &str) -> Vec<usize> {
    let names = |pair: &[Token]| matches!(pair, [Token::Word(word), Token::Period] if word.value == alias);
    let qualifies = |place: usize| place.checked_sub(1).is_some_and(|before| tokens[before] == Token::Period);
    let pairs = tokens.windows(2).enumerate();
    pairs.filter(|(place, pair)| names(pair) && !qualifies(*place)).map(|(place, _)| place).collect()
}

fn tokens(expression: &Expr) -> Vec<Token> {
    Tokenizer::new(&PostgreSqlDialect {}, &expression.to_string()).tokenize().unwrap_or_default()
}

fn mentions(expression: &Expr, alias: &str) -> bool {
    !places(&tokens(expression), alias).is_empty()
}

fn without_alias(expression: &Expr, alias: &str) -> String {
    let tokens = tokens(expression);
    let left_out: Vec<usize> = places(&tokens, alias).into_iter().flat_map(|place| [place, place + 1]).collect();
    let kept = tokens.iter().enumerate().filter(|(place, _)| !left_out.contains(place));
    kept.map(|(_, token)| token.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_rows_are_chosen_by() {
        let column = |name: &str| What::Column(name.into());
        let expression = |text: &str| What::Expression(text.into());
        for (condition, expected) in [
            ("(t.a = $1)", vec![(column("a"), Chooses::Equal)]),
            ("($1 = t.a)", vec![(column("a"), Chooses::Equal)]),
            ("((t.a = $1) AND (t.b > $2))", vec![(column("a"), Chooses::Equal), (column("b"), Chooses::Range)]),
            ("((t.a >= $1) AND (t.a <= $2))", vec![(column("a"), Chooses::Range), (column("a"), Chooses::Range)]),
            ("(t.a = ANY ($1))", vec![(column("a"), Chooses::Equal)]),
            ("(t.a IS NULL)", vec![(column("a"), Chooses::Equal)]),
            ("(t.\"Mixed \"\"Case\" = $1)", vec![(column("Mixed \"Case"), Chooses::Equal)]),
            ("((t.a)::text = $1)", vec![(What::Cast("a".into(), "text".into()), Chooses::Equal)]),
            ("((t.a)::text = ANY (($1)::text[]))", vec![(What::Cast("a".into(), "text".into()), Chooses::Equal)]),
            ("(lower((t.a)::text) = $1)", vec![(expression("lower((a)::TEXT)"), Chooses::Equal)]),
            ("((t.a)::text ~~ $1)", vec![(What::Cast("a".into(), "text".into()), Chooses::Pattern)]),
            ("(t.a ~* $1)", vec![(column("a"), Chooses::Pattern)]),
            ("(t.a @> $1)", vec![(column("a"), Chooses::Containment)]),
            ("(t.a && $1)", vec![(column("a"), Chooses::Containment)]),
            ("($1 = ANY (t.a))", vec![(column("a"), Chooses::Containment)]),
            ("((t.a ->> $1) = $2)", vec![(expression("a ->> $1"), Chooses::Equal)]),
            // A column of another table is as good as a value.
            ("(t.a = o.id)", vec![(column("a"), Chooses::Equal)]),
            ("(o.a = $1)", vec![]),
            ("($1 @> t.a)", vec![]),
            ("(t.a = t.b)", vec![]),
            ("((t.a = $1) OR (t.b = $2))", vec![]),
            ("(t.a <> $1)", vec![]),
            ("t.a", vec![]),
            ("(NOT t.a)", vec![]),
            ("(NOT (hashed SubPlan 1))", vec![]),
            ("(t.a = ", vec![]),
            ("", vec![]),
        ] {
            let found: Vec<_> = terms(condition, "t").into_iter().map(|term| (term.what, term.chooses)).collect();
            assert_eq!(found, expected, "{condition}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(condition in "[ -~]{0,200}", alias in "[a-z\"]{0,5}") {
            terms(&condition, &alias);
        }
    }
}
