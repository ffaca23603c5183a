//! Text of a policy that the request's is compared with: wildcards, and
//! variables that stand for the request's own values.

use super::context::{ConditionKey, Request, Values, same_name};
use super::work;
use crate::error::shown;

/// `*` and `?` in a compiled pattern: bytes that no UTF-8 has, so that a
/// literal `*` is a byte as any other.
const STAR: u8 = 0xff;
const ONE: u8 = 0xfe;

#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// `*`
    Any,
    Exact(Box<str>),
    /// Text before a `*` at the end.
    Prefix(Box<str>),
    Glob(Box<[u8]>),
    Template(Box<[Piece]>),
}

#[derive(Clone, Debug)]
pub(super) enum Piece {
    Bytes(Box<[u8]>),
    Variable {
        key: ConditionKey,
        default: Option<Box<str>>,
    },
}

/// What in a text has a meaning of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Syntax {
    /// `*` and `?`
    pub(super) wildcards: bool,
    /// Why `${…}` cannot stand here, if it cannot.
    pub(super) no_variables: Option<&'static str>,
}

/// How letters are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Sensitive,
    Ignored,
}

impl Pattern {
    pub(super) fn compile(text: &str, syntax: Syntax) -> Result<Self, String> {
        let pieces = pieces(text, syntax)?;
        let bytes = match pieces.as_slice() {
            [] => &[][..],
            [Piece::Bytes(bytes)] => bytes,
            _ => return Ok(Pattern::Template(pieces.into())),
        };
        let is_wild = |bytes: &[u8]| bytes.iter().any(|byte| [STAR, ONE].contains(byte));
        let utf8 = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(Box::from);
        let simple = match bytes.split_last() {
            Some((&STAR, [])) => Some(Pattern::Any),
            Some((&STAR, prefix)) if !is_wild(prefix) => utf8(prefix).map(Pattern::Prefix),
            _ => utf8(bytes).map(Pattern::Exact),
        };
        Ok(simple.unwrap_or_else(|| Pattern::Glob(bytes.into())))
    }

    pub(super) fn matches(&self, text: &str, case: Case, request: &Request<'_>) -> bool {
        match (self, case) {
            (Pattern::Any, _) => true,
            (Pattern::Exact(exact), Case::Sensitive) => **exact == *text,
            (Pattern::Exact(exact), Case::Ignored) => same_name(exact, text),
            (Pattern::Prefix(prefix), Case::Sensitive) => text.starts_with(&**prefix),
            (Pattern::Prefix(prefix), Case::Ignored) => text
                .as_bytes()
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes())),
            (Pattern::Glob(pattern), _) => glob(pattern, text.as_bytes(), case),
            (Pattern::Template(pieces), _) => match fill_in(pieces, request) {
                // A variable without a value: nothing is equal to it, or like it.
                None => false,
                Some(pattern) => match std::str::from_utf8(&pattern) {
                    Ok(exact) if case == Case::Ignored => same_name(exact, text),
                    _ => glob(&pattern, text.as_bytes(), case),
                },
            },
        }
    }
}

/// Replaces variables; `None` when one has no value and no default, or it takes
/// too much.
fn fill_in(pieces: &[Piece], request: &Request<'_>) -> Option<Vec<u8>> {
    let mut pattern = Vec::new();
    let mut spent = 0;
    for piece in pieces {
        if !work::spend(pattern.len() - spent) {
            return None;
        }
        spent = pattern.len();
        match piece {
            Piece::Bytes(bytes) => pattern.extend_from_slice(bytes),
            Piece::Variable { key, default } => match (request.values(key), default) {
                (Values::One(value), _) => {
                    value.with_text(|text| pattern.extend_from_slice(text.as_bytes()));
                }
                (_, Some(default)) => pattern.extend_from_slice(default.as_bytes()),
                (_, None) => return None,
            },
        }
    }
    work::spend(pattern.len() - spent).then_some(pattern)
}

/// Whether a pattern matches the whole text. It goes back only to its last `*`,
/// so that its time is at most the product of the two lengths. If that is too
/// much, it gives up.
fn glob(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let same = |one: u8, other: u8| match case {
        Case::Sensitive => one == other,
        Case::Ignored => one.eq_ignore_ascii_case(&other),
    };
    let (mut at, mut position) = (0, 0);
    // After the last `*`, and where the text goes on that it does not cover.
    let mut star: Option<(usize, usize)> = None;
    // What is spent is told of each time that it goes back.
    let mut since = 0;
    while let Some(&byte) = text.get(position) {
        match pattern.get(at) {
            Some(&STAR) => {
                at += 1;
                star = Some((at, position));
                continue;
            }
            Some(&ONE) => {
                at += 1;
                position += char_length(byte);
                continue;
            }
            Some(&wanted) if same(wanted, byte) => {
                at += 1;
                position += 1;
                continue;
            }
            _ => {}
        }
        let Some((after, covered)) = star else {
            return false;
        };
        if !work::spend(position.saturating_sub(since) + 1) {
            return false;
        }
        let covered = covered + text.get(covered).map_or(1, |byte| char_length(*byte));
        star = Some((after, covered));
        (at, position) = (after, covered);
        since = covered;
    }
    pattern.iter().skip(at).all(|byte| *byte == STAR)
}

/// The length of a character of UTF-8, by its first byte.
fn char_length(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

/// Splits a text at its variables.
fn pieces(text: &str, syntax: Syntax) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        if let Some(inner) = rest.strip_prefix("${") {
            if let Some(reason) = syntax.no_variables {
                return Err(format!(
                    "policy variables, as in '{}', {reason}",
                    shown(text)
                ));
            }
            // The escapes for characters that have a meaning.
            let escaped = ["*", "?", "$"].into_iter().find_map(|char| {
                let after = inner.strip_prefix(char)?.strip_prefix('}')?;
                Some((char, after))
            });
            if let Some((char, after)) = escaped {
                bytes.extend_from_slice(char.as_bytes());
                rest = after;
                continue;
            }
            if !bytes.is_empty() {
                pieces.push(Piece::Bytes(std::mem::take(&mut bytes).into()));
            }
            let (variable, after) = variable(inner)?;
            pieces.push(variable);
            rest = after;
            continue;
        }
        let length = char.len_utf8();
        match char {
            // Several in a row mean what one does.
            '*' if syntax.wildcards && bytes.last() == Some(&STAR) => {}
            '*' if syntax.wildcards => bytes.push(STAR),
            '?' if syntax.wildcards => bytes.push(ONE),
            _ => bytes.extend_from_slice(rest.get(..length).unwrap_or_default().as_bytes()),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    if !bytes.is_empty() {
        pieces.push(Piece::Bytes(bytes.into()));
    }
    Ok(pieces)
}

/// A variable after its `${`, and what comes after its `}`:
/// `key}` or `key, 'default'}`, a quote in the default being `''`.
fn variable(inner: &str) -> Result<(Piece, &str), String> {
    let wrong = |what: &str| {
        let variable = inner.split_inclusive('}').next().unwrap_or_default();
        format!("the policy variable '${{{}' {what}", shown(variable))
    };
    let end = inner
        .find(['}', ','])
        .ok_or_else(|| wrong("has no closing brace"))?;
    let (name, after) = inner.split_at(end);
    let name = name.trim();
    let key = ConditionKey::parse(name)
        .ok_or_else(|| wrong("names no condition key that is known here"))?;
    if key.is_multivalued() {
        return Err(wrong("names a key with several values"));
    }
    if let Some(after) = after.strip_prefix('}') {
        return Ok((Piece::Variable { key, default: None }, after));
    }
    let bad_default = || wrong("has a default that is not in single quotes");
    let quoted = after.strip_prefix(',').map(str::trim_start);
    let mut rest = quoted
        .and_then(|quoted| quoted.strip_prefix('\''))
        .ok_or_else(bad_default)?;
    let mut default = String::new();
    loop {
        let quote = rest.find('\'').ok_or_else(bad_default)?;
        let (text, after) = rest.split_at(quote);
        default.push_str(text);
        let after = after.strip_prefix('\'').unwrap_or_default();
        match after.strip_prefix('\'') {
            Some(more) => {
                default.push('\'');
                rest = more;
            }
            None => {
                let after = after
                    .trim_start()
                    .strip_prefix('}')
                    .ok_or_else(bad_default)?;
                let default = Some(default.into());
                return Ok((Piece::Variable { key, default }, after));
            }
        }
    }
}

/// Splits at the first five colons that are not inside of `${…}`: the six parts
/// of an ARN, or fewer.
pub(super) fn arn_parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::with_capacity(6);
    let (mut start, mut is_inside) = (0, false);
    let mut before = '\0';
    for (at, char) in text.char_indices() {
        match char {
            '{' if before == '$' => is_inside = true,
            '}' => is_inside = false,
            ':' if !is_inside && parts.len() < 5 => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
        before = char;
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::access::Principal;
    use crate::kms::access::policy::context::ConditionContext;

    const WILD: Syntax = Syntax {
        wildcards: true,
        no_variables: None,
    };
    const PLAIN: Syntax = Syntax {
        wildcards: false,
        no_variables: None,
    };

    fn is_match(pattern: &str, syntax: Syntax, text: &str, case: Case) -> bool {
        let principal = Principal::user("111122223333", "team/alice").unwrap();
        let request = Request {
            principal: &principal,
            action: "Encrypt",
            resource: "*",
            resource_account: "111122223333",
            context: ConditionContext {
                via_service: Some("s3*"),
                ..ConditionContext::default()
            },
        };
        let pattern = Pattern::compile(pattern, syntax).unwrap();
        pattern.matches(text, case, &request)
    }

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("**", "abc", true),
            ("?", "", false),
            ("?", "ü", true),
            ("??", "ü", false),
            ("a*", "abc", true),
            ("a*", "b", false),
            ("*c", "abc", true),
            ("*b", "abc", false),
            ("a?c", "aüc", true),
            ("*ü?", "xüü", true),
            ("*?ü", "ü", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXcYbZ", false),
            ("", "", true),
            ("", "a", false),
            ("a${*}c", "a*c", true),
            ("a${*}c", "abc", false),
            ("*${?}", "abc?", true),
            ("${$}{x", "${x", true),
            ("$", "$", true),
        ] {
            assert_eq!(
                is_match(pattern, WILD, text, Case::Sensitive),
                expected,
                "{pattern} {text}"
            );
        }
        assert!(!is_match("a*", PLAIN, "abc", Case::Sensitive));
        assert!(is_match("a*", PLAIN, "a*", Case::Sensitive));
        assert!(is_match("*DATA*", WILD, "generateDataKey", Case::Ignored));
        assert!(is_match(
            "GENERATE*",
            WILD,
            "generateDataKey",
            Case::Ignored
        ));
        assert!(!is_match(
            "*DATA*",
            WILD,
            "generateDataKey",
            Case::Sensitive
        ));
    }

    /// By every pattern and text of three letters, against a plain recursion.
    #[test]
    fn as_the_definition_says() {
        fn plain(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern.split_first(), text.split_first()) {
                (None, None) => true,
                (Some((b'*', rest)), None) => plain(rest, text),
                (Some((b'*', rest)), Some((_, more))) => plain(rest, text) || plain(pattern, more),
                (Some((b'?', rest)), Some((_, more))) => plain(rest, more),
                (Some((one, rest)), Some((other, more))) => one == other && plain(rest, more),
                _ => false,
            }
        }
        let words = |letters: &[u8], longest: u32| -> Vec<String> {
            let count = letters.len();
            (0..=longest)
                .flat_map(|length| (0..count.pow(length)).map(move |number| (length, number)))
                .map(|(length, number)| {
                    let letter = |at| char::from(letters[number / count.pow(at) % count]);
                    (0..length).map(letter).collect()
                })
                .collect()
        };
        for pattern in words(b"ab*?", 5) {
            for text in words(b"ab", 5) {
                assert_eq!(
                    is_match(&pattern, WILD, &text, Case::Sensitive),
                    plain(pattern.as_bytes(), text.as_bytes()),
                    "{pattern} {text}"
                );
            }
        }
    }

    #[test]
    fn variables() {
        for (pattern, text, expected) in [
            ("home/${aws:username}/*", "home/alice/x", true),
            ("home/${aws:username}/*", "home/bob/x", false),
            ("${AWS:UserName}", "alice", true),
            // Its value is no pattern.
            ("${kms:ViaService}", "s3*", true),
            ("${kms:ViaService}", "s3.x", false),
            ("${kms:EncryptionContext:a}", "", false),
            ("${kms:EncryptionContext:a, 'x''y}'}z", "x'y}z", true),
            ("${kms:EncryptionContext:a,''}z", "z", true),
            ("${aws:username, 'x'}", "alice", true),
        ] {
            assert_eq!(
                is_match(pattern, WILD, text, Case::Sensitive),
                expected,
                "{pattern}"
            );
        }
        assert!(is_match("x${aws:username}", PLAIN, "XALICE", Case::Ignored));
        for wrong in [
            "${",
            "${aws:username",
            "${}",
            "${aws:SourceIp}",
            "${kms:GrantOperations}",
            "${aws:username, x}",
            "${aws:username, 'x}",
            "${aws:username, 'x' y}",
            "${${aws:username}}",
        ] {
            Pattern::compile(wrong, WILD).unwrap_err();
        }
        let refusing = Syntax {
            no_variables: Some("cannot stand here"),
            ..WILD
        };
        Pattern::compile("${aws:username}", refusing).unwrap_err();
        Pattern::compile("${*}", refusing).unwrap_err();
    }

    #[test]
    fn parts_of_an_arn() {
        assert_eq!(arn_parts("a:b:c:d:e:f:g"), ["a", "b", "c", "d", "e", "f:g"]);
        assert_eq!(
            arn_parts("a:${aws:username}:c"),
            ["a", "${aws:username}", "c"]
        );
        assert_eq!(arn_parts(""), [""]);
    }
}
