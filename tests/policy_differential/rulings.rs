//! Where this library and the other evaluator differ, and AWS's own text that
//! settles it.
//!
//! A ruling says a case in other words, in which that text leaves no doubt. A
//! difference is settled if the other evaluator, asked in these words, comes to
//! the verdict of this library; any other difference is a failure.

use serde_json::{Map, Value, json};

use super::case::Case;

pub(crate) struct Ruling {
    pub(crate) name: &'static str,
    /// Document, section, and what it says.
    pub(crate) source: &'static str,
    /// The case in other words; `None` where the ruling has nothing to say.
    pub(crate) reword: fn(&Case) -> Option<Case>,
}

pub(crate) const RULINGS: [Ruling; 6] = [
    Ruling {
        name: "NotPrincipal exempts who is named, and not all of a named account",
        source: "AWS IAM user guide, \"AWS JSON policy elements: NotPrincipal\", example of Bob and \
                 the root of his account: \"all principals except the user named Bob in AWS account \
                 444455556666 are explicitly denied access to a resource\". The evaluator exempts \
                 everybody in that account (and says in its source that this has to be tested).",
        reword: not_principal,
    },
    Ruling {
        name: "nothing is like a variable without a value",
        source: "AWS IAM user guide, \"IAM policy elements: Variables and tags\", \"Policy variables \
                 with no value\": \"Inverted condition operators like StringNotEquals or StringNotLike \
                 do match against a null value\", and \"the resource that includes a policy variable \
                 with no value will not match any resource\", which NotResource then does not leave \
                 out. The evaluator has neither match.",
        reword: no_value,
    },
    Ruling {
        name: "what is no number, date or ARN equals none",
        source: "AWS IAM user guide, \"IAM JSON policy elements: Condition operators\": numeric \
                 operators compare \"a key to an integer or decimal value\", and NumericNotEquals, \
                 DateNotEquals and ArnNotEquals are \"Negated matching\". The evaluator takes the \
                 digits that a text begins with for a number, and has neither of a pair match \
                 what it cannot read.",
        reword: no_number,
    },
    Ruling {
        name: "an action without resources is allowed by the resource * only",
        source: "AWS service authorization reference, \"The actions table\", on the column of resource \
                 types: \"If there is no value for this column, you must specify all resources (\"*\") \
                 to which the policy applies in the Resource element of your policy statement\". The evaluator lets any ARN in an \
                 Allow do, since it takes the * of the request for a pattern.",
        reword: keyless,
    },
    Ruling {
        name: "variables are replaced wherever they may stand",
        source: "AWS IAM user guide, \"IAM policy elements: Variables and tags\": \"You can use a \
                 policy variable for Condition values in any condition that involves the string \
                 operators or the ARN operators\"; of ${*}: \"can be used in any string where you can \
                 use regular policy variables\". The evaluator splits an ARN at the colon in a \
                 variable's name, and leaves ${*} as it is where there are no wildcards.",
        reword: replaced,
    },
    Ruling {
        name: "epoch times are seconds",
        source: "AWS IAM user guide, \"IAM JSON policy elements: Condition operators\", \"Date \
                 condition operators\": \"You must specify date/time values with one of the W3C \
                 implementations of the ISO 8601 date formats or in epoch (UNIX) time\". The evaluator \
                 compares seconds of the one with milliseconds of the other.",
        reword: epoch,
    },
];

/// Each statement of the case's policies.
fn statements(case: &mut Case) -> impl Iterator<Item = &mut Map<String, Value>> {
    let policies = case.key_policy.iter_mut().chain(&mut case.identity);
    policies
        .filter_map(|policy| policy["Statement"].as_array_mut())
        .flatten()
        .filter_map(Value::as_object_mut)
}

/// The texts of an element.
fn texts(value: &mut Value) -> Vec<&mut String> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list
            .iter_mut()
            .filter_map(|value| match value {
                Value::String(text) => Some(text),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn not_principal(case: &Case) -> Option<Case> {
    let mut reworded = case.clone();
    let mut is_changed = false;
    if case.is_root() {
        return None;
    }
    for statement in statements(&mut reworded) {
        let Some(named) = statement
            .get_mut("NotPrincipal")
            .and_then(|named| named.get_mut("AWS"))
        else {
            continue;
        };
        for text in texts(named) {
            if text.ends_with(":root") || text.len() == 12 {
                *text = "arn:aws:iam::999999999999:user/nobody".into();
                is_changed = true;
            }
        }
    }
    is_changed.then_some(reworded)
}

/// Changes the conditions: all keys of each operator.
fn conditions(
    case: &Case,
    mut change: impl FnMut(&str, &str, &mut Value) -> Option<(String, Value)>,
) -> Option<Case> {
    let mut reworded = case.clone();
    let mut is_changed = false;
    for statement in statements(&mut reworded) {
        let Some(block) = statement
            .get_mut("Condition")
            .and_then(Value::as_object_mut)
        else {
            continue;
        };
        let mut changed = Map::new();
        for (operator, mut keys) in std::mem::take(block) {
            let keys = keys.as_object_mut().expect("an object");
            for (key, mut values) in std::mem::take(keys) {
                let before = values.clone();
                let (operator, values) = match change(&operator, &key, &mut values) {
                    Some(other) => {
                        is_changed = true;
                        other
                    }
                    None => {
                        is_changed |= values != before;
                        (operator.clone(), values)
                    }
                };
                // Operators may be spelled in any case: a second one about the
                // same key.
                let is_taken = |name: &str| {
                    changed
                        .get(name)
                        .is_some_and(|keys: &Value| keys.get(&key).is_some())
                };
                let operator = if is_taken(&operator) {
                    operator.to_lowercase()
                } else {
                    operator
                };
                if is_taken(&operator) {
                    return None;
                }
                let place = changed.entry(operator).or_insert_with(|| json!({}));
                place[key] = values;
            }
        }
        *block = changed;
    }
    is_changed.then_some(reworded)
}

fn is_negated(operator: &str) -> bool {
    operator.contains("Not")
}

fn no_value(case: &Case) -> Option<Case> {
    let context = case.request_context();
    let has = |name: &str| context.keys().any(|key| key.eq_ignore_ascii_case(name));
    let is_absent = |text: &str| {
        let variable = text
            .split_once("${")
            .and_then(|(_, rest)| rest.split_once('}'));
        variable.is_some_and(|(name, _)| !name.contains(',') && name.len() > 1 && !has(name))
    };
    let reworded = conditions(case, |operator, _, values| {
        for text in texts(values) {
            if is_negated(operator) && is_absent(text) {
                *text = if operator.contains("Arn") {
                    "arn:no:value:::here".into()
                } else {
                    "no value".into()
                };
            }
        }
        None
    });
    let mut is_changed = reworded.is_some();
    let mut reworded = reworded.unwrap_or_else(|| case.clone());
    for statement in statements(&mut reworded) {
        let resources = statement.get_mut("NotResource").map(texts);
        for text in resources
            .into_iter()
            .flatten()
            .filter(|text| is_absent(text))
        {
            *text = "arn:aws:no:value::here".into();
            is_changed = true;
        }
    }
    is_changed.then_some(reworded)
}

fn no_number(case: &Case) -> Option<Case> {
    let context = case.request_context();
    conditions(case, |operator, key, _| {
        let (_, value) = context
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))?;
        let value = value.as_str()?;
        let fits = if operator.contains("Numeric") {
            value.parse::<f64>().is_ok()
        } else if operator.contains("Date") {
            value.starts_with("2026-") || value.parse::<u64>().is_ok()
        } else if operator.contains("Arn") {
            value.split(':').count() >= 6
        } else {
            true
        };
        // The key is there: this is to say that it never holds, or always.
        let never = json!(if is_negated(operator) {
            "false"
        } else {
            "true"
        });
        (!fits).then(|| ("Null".to_owned(), never))
    })
}

fn keyless(case: &Case) -> Option<Case> {
    let mut reworded = case.clone();
    if case.resource != "*" {
        return None;
    }
    // An ARN that only `*` covers.
    reworded.resource = format!("arn:aws:nothing:none:{}:none", case.account);
    Some(reworded)
}

fn replaced(case: &Case) -> Option<Case> {
    conditions(case, |operator, _, values| {
        for text in texts(values) {
            if operator.contains("Arn") {
                *text = text.replace("${aws:PrincipalAccount}", case.principal.account());
            } else if !operator.contains("Like") {
                *text = text.replace("${*}", "*");
            }
        }
        None
    })
}

fn epoch(case: &Case) -> Option<Case> {
    let now = case.request_context().get("aws:CurrentTime").cloned();
    let mut reworded = conditions(case, |operator, key, values| {
        if operator.contains("Date") {
            for text in texts(values) {
                if text.parse::<u64>().is_ok() {
                    *text = "2026-03-01T12:01:00Z".into();
                }
            }
            if key.eq_ignore_ascii_case("aws:EpochTime") {
                return Some((operator.to_owned(), values.take()));
            }
        }
        None
    })?;
    // Of the evaluator's own, this is what it compares.
    if let Some(now) = now {
        reworded.context.insert("aws:EpochTime".into(), now);
    }
    Some(reworded)
}
