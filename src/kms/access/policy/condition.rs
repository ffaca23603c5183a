//! Conditions: an operator, a key, and values, as AWS IAM has them ("IAM JSON
//! policy elements: Condition operators", "Single-valued vs. multivalued context
//! keys").

use super::context::{self, ConditionKey, Request, Scalar, Values};
use super::date;
use super::pattern::{Case, Pattern, Syntax, arn_parts};
use super::statement::Effect;
use crate::error::shown;

#[derive(Debug)]
pub(super) struct Condition {
    key: ConditionKey,
    quantifier: Quantifier,
    if_exists: bool,
    test: Test,
    /// Of a `…Not…` operator: what the test does not hold of.
    negated: bool,
    /// As the policy has it, for explanations.
    source: Box<str>,
}

/// How a test of one value decides on all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    Plain,
    ForAllValues,
    ForAnyValue,
}

/// What is asked of one value: whether any of these matches.
#[derive(Debug)]
enum Test {
    Text(Vec<Pattern>, IgnoreCase),
    Arn(Vec<[Pattern; 6]>),
    Number(Comparison, Vec<f64>),
    Date(Comparison, Vec<i64>),
    Bool(Vec<bool>),
    /// Of the key itself: whether it is absent.
    Null(Vec<bool>),
}

type IgnoreCase = bool;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

/// The operators' names without prefix and suffix.
#[derive(Clone, Copy)]
enum Operator {
    Text { like: bool, ignore_case: bool },
    Arn,
    Number(Comparison),
    Date(Comparison),
    Bool,
    Null,
}

impl Condition {
    /// `operator` with its prefix and suffix; `values` is never empty.
    pub(super) fn compile(
        operator: &str,
        key: &str,
        values: &[String],
        has_variables: bool,
    ) -> Result<Self, String> {
        let (quantifier, name) = match operator.split_once(':') {
            None => (Quantifier::Plain, operator),
            Some((set, name)) if set.eq_ignore_ascii_case("ForAllValues") => {
                (Quantifier::ForAllValues, name)
            }
            Some((set, name)) if set.eq_ignore_ascii_case("ForAnyValue") => {
                (Quantifier::ForAnyValue, name)
            }
            Some((set, _)) => return Err(format!("'{}' is no set operator", shown(set))),
        };
        const IF_EXISTS: &str = "IfExists";
        let suffix = name.len().checked_sub(IF_EXISTS.len());
        let (name, if_exists) = match suffix.and_then(|at| name.split_at_checked(at)) {
            Some((name, suffix)) if suffix.eq_ignore_ascii_case(IF_EXISTS) => (name, true),
            _ => (name, false),
        };
        let (kind, negated) = parse_operator(name).ok_or_else(|| unknown_operator(operator))?;
        let is_null = matches!(kind, Operator::Null);
        if is_null && (if_exists || quantifier != Quantifier::Plain) {
            return Err(unknown_operator(operator));
        }

        let parsed = ConditionKey::parse(key)
            .ok_or_else(|| format!("'{}' is no condition key that is known here", shown(key)))?;
        // Both are AWS KMS's own rules: developer guide, "AWS KMS condition
        // keys", "Using set operators with condition keys".
        if parsed.is_multivalued() && quantifier == Quantifier::Plain && !is_null {
            return Err(format!(
                "a request may have several values of {parsed}: \
                 the operator needs ForAllValues: or ForAnyValue: before it"
            ));
        }
        if parsed.is_encryption_context() && quantifier == Quantifier::ForAllValues {
            return Err(
                "OverlyPermissiveCondition: ForAllValues with a key of one value matches requests \
                 without the encryption context; remove ForAllValues"
                    .into(),
            );
        }
        let test = compile_test(kind, values, has_variables)?;
        let quoted: Vec<_> = values
            .iter()
            .map(|value| format!("'{}'", shown(value)))
            .collect();
        Ok(Condition {
            source: format!("{operator} {parsed} {}", quoted.join(", ")).into(),
            key: parsed,
            quantifier,
            if_exists,
            test,
            negated,
        })
    }

    pub(super) fn key(&self) -> &ConditionKey {
        &self.key
    }

    /// As the policy has it.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn holds(&self, request: &Request<'_>, effect: Effect) -> bool {
        let values = request.values(&self.key);
        if let Test::Null(wanted) = &self.test {
            return wanted.contains(&matches!(values, Values::Absent));
        }
        let one = |value: Scalar<'_>| self.test.matches(value, request) != self.negated;
        match (values, self.quantifier) {
            (Values::Absent, Quantifier::Plain) => self.if_exists || self.negated,
            (Values::Absent, Quantifier::ForAllValues) => true,
            (Values::Absent, Quantifier::ForAnyValue) => false,
            (Values::One(value), _) => one(value),
            (Values::Many(values), Quantifier::ForAllValues) => {
                values.iter().all(|value| one(Scalar::Text(value)))
            }
            (Values::Many(values), _) => values.iter().any(|value| one(Scalar::Text(value))),
            (Values::ContextKeys(context), Quantifier::ForAllValues) => {
                context.iter().all(|(key, _)| one(Scalar::Text(key)))
            }
            (Values::ContextKeys(context), _) => {
                context.iter().any(|(key, _)| one(Scalar::Text(key)))
            }
            // AWS does not say which of two pairs counts whose keys differ only
            // in case. Here neither gets around a policy: one is enough to
            // deny, and all must be right to allow.
            (Values::ContextPairs(context, key), quantifier) => {
                let mut values = context::pairs(context, key);
                let is_any = quantifier == Quantifier::ForAnyValue || effect == Effect::Deny;
                if is_any {
                    values.any(|value| one(Scalar::Text(value)))
                } else {
                    values.all(|value| one(Scalar::Text(value)))
                }
            }
        }
    }
}

impl Test {
    fn matches(&self, value: Scalar<'_>, request: &Request<'_>) -> bool {
        match self {
            Test::Text(patterns, ignore_case) => {
                let case = if *ignore_case {
                    Case::Ignored
                } else {
                    Case::Sensitive
                };
                value.with_text(|text| {
                    patterns
                        .iter()
                        .any(|pattern| pattern.matches(text, case, request))
                })
            }
            Test::Arn(patterns) => value.with_text(|text| {
                patterns
                    .iter()
                    .any(|pattern| arn_matches(pattern, text, request))
            }),
            Test::Number(comparison, wanted) => value
                .as_number()
                .is_some_and(|value| wanted.iter().any(|wanted| comparison.holds(&value, wanted))),
            Test::Date(comparison, wanted) => value
                .as_date()
                .is_some_and(|value| wanted.iter().any(|wanted| comparison.holds(&value, wanted))),
            Test::Bool(wanted) => value.as_bool().is_some_and(|value| wanted.contains(&value)),
            Test::Null(_) => false,
        }
    }
}

/// Each part is matched by itself: a `*` covers no colon but in the last.
pub(super) fn arn_matches(pattern: &[Pattern; 6], text: &str, request: &Request<'_>) -> bool {
    let mut parts = text.splitn(6, ':');
    pattern.iter().all(|pattern| {
        parts
            .next()
            .is_some_and(|part| pattern.matches(part, Case::Sensitive, request))
    })
}

impl Comparison {
    fn holds<T: PartialOrd>(self, value: &T, wanted: &T) -> bool {
        match self {
            Comparison::Equals => value == wanted,
            Comparison::LessThan => value < wanted,
            Comparison::LessThanEquals => value <= wanted,
            Comparison::GreaterThan => value > wanted,
            Comparison::GreaterThanEquals => value >= wanted,
        }
    }
}

fn unknown_operator(operator: &str) -> String {
    format!(
        "'{}' is no condition operator that is known here",
        shown(operator)
    )
}

/// The operator, and whether it is negated.
fn parse_operator(name: &str) -> Option<(Operator, bool)> {
    use Comparison::{Equals, GreaterThan, GreaterThanEquals, LessThan, LessThanEquals};
    let text = |like, ignore_case| Operator::Text { like, ignore_case };
    let operators = [
        ("StringEquals", text(false, false), false),
        ("StringNotEquals", text(false, false), true),
        ("StringEqualsIgnoreCase", text(false, true), false),
        ("StringNotEqualsIgnoreCase", text(false, true), true),
        ("StringLike", text(true, false), false),
        ("StringNotLike", text(true, false), true),
        ("NumericEquals", Operator::Number(Equals), false),
        ("NumericNotEquals", Operator::Number(Equals), true),
        ("NumericLessThan", Operator::Number(LessThan), false),
        (
            "NumericLessThanEquals",
            Operator::Number(LessThanEquals),
            false,
        ),
        ("NumericGreaterThan", Operator::Number(GreaterThan), false),
        (
            "NumericGreaterThanEquals",
            Operator::Number(GreaterThanEquals),
            false,
        ),
        ("DateEquals", Operator::Date(Equals), false),
        ("DateNotEquals", Operator::Date(Equals), true),
        ("DateLessThan", Operator::Date(LessThan), false),
        ("DateLessThanEquals", Operator::Date(LessThanEquals), false),
        ("DateGreaterThan", Operator::Date(GreaterThan), false),
        (
            "DateGreaterThanEquals",
            Operator::Date(GreaterThanEquals),
            false,
        ),
        ("Bool", Operator::Bool, false),
        ("Null", Operator::Null, false),
        // These two pairs are the same.
        ("ArnEquals", Operator::Arn, false),
        ("ArnLike", Operator::Arn, false),
        ("ArnNotEquals", Operator::Arn, true),
        ("ArnNotLike", Operator::Arn, true),
    ];
    let found = operators
        .into_iter()
        .find(|(known, ..)| known.eq_ignore_ascii_case(name));
    found.map(|(_, operator, negated)| (operator, negated))
}

fn compile_test(
    operator: Operator,
    values: &[String],
    has_variables: bool,
) -> Result<Test, String> {
    let variables = (!has_variables)
        .then_some("need \"Version\": \"2012-10-17\" in the policy; before, they were plain text");
    let syntax = |wildcards| Syntax {
        wildcards,
        no_variables: variables,
    };
    fn each<T>(
        values: &[String],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        values.iter().map(|value| parse(value)).collect()
    }
    fn needed<T>(parsed: Option<T>, value: &str, what: &str) -> Result<T, String> {
        parsed.ok_or_else(|| format!("'{}' is no {what}", shown(value)))
    }
    let boolean = |value: &str| needed(context::boolean(value), value, "'true' or 'false'");
    Ok(match operator {
        Operator::Text { like, ignore_case } => Test::Text(
            each(values, |value| Pattern::compile(value, syntax(like)))?,
            ignore_case,
        ),
        Operator::Arn => Test::Arn(each(values, |value| {
            let parts = arn_parts(value);
            let parts: [&str; 6] = needed(parts.try_into().ok(), value, "ARN: it needs six parts")?;
            compile_parts(parts, syntax(true))
        })?),
        Operator::Number(comparison) => Test::Number(
            comparison,
            each(values, |value| {
                needed(context::number(value), value, "number")
            })?,
        ),
        Operator::Date(comparison) => Test::Date(
            comparison,
            each(values, |value| needed(date::parse(value), value, "date"))?,
        ),
        Operator::Bool => Test::Bool(each(values, boolean)?),
        Operator::Null => Test::Null(each(values, boolean)?),
    })
}

pub(super) fn compile_parts(parts: [&str; 6], syntax: Syntax) -> Result<[Pattern; 6], String> {
    let mut compiled = [const { Pattern::Any }; 6];
    for (pattern, part) in compiled.iter_mut().zip(parts) {
        *pattern = Pattern::compile(part, syntax)?;
    }
    Ok(compiled)
}
