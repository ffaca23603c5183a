//! What a member of a request may be: AWS's service model in the small.

/// A member of a request.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) is_required: bool,
}

impl Member {
    pub(crate) const fn required(name: &'static str, shape: Shape) -> Self {
        Member {
            name,
            shape,
            is_required: true,
        }
    }

    pub(crate) const fn optional(name: &'static str, shape: Shape) -> Self {
        Member {
            name,
            shape,
            is_required: false,
        }
    }
}

/// The type of a member, and what AWS's model says of its values.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Characters: how many, and which.
    Text(Length, Pattern),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Bytes, in base64.
    Blob(Length),
    /// An integer: the least and the most.
    Integer(i64, i64),
    Boolean,
    /// Seconds since 1970.
    Timestamp,
    List(Length, &'static Shape),
    /// Of texts, by texts.
    Map,
    Structure(&'static [Member]),
}

/// The least and the most characters, bytes or elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length(pub(crate) usize, pub(crate) usize);

impl Length {
    /// For lists that AWS's model leaves open: the body's limit bounds them.
    pub(crate) const ANY: Length = Length(0, usize::MAX);
}

/// Which characters a text may have: AWS's regular expression, and the same as
/// a function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pattern {
    Any,
    /// The characters of this kind only.
    Of(&'static str, fn(char) -> bool),
}

impl Pattern {
    /// Aliases and grants' names.
    pub(crate) const NAME: Pattern = Pattern::Of("^[a-zA-Z0-9:/_-]+$", |c| {
        c.is_ascii_alphanumeric() || ":/_-".contains(c)
    });
    pub(crate) const PRINCIPAL: Pattern = Pattern::Of(r"^[\w+=,.@:/-]+$", |c| {
        c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c)
    });
    pub(crate) const SERVICE: Pattern = Pattern::Of(
        r"^([A-Za-z0-9\-]+)\.([A-Za-z0-9\-]+)(\.[A-Za-z0-9\-]+)+$",
        |c| c.is_ascii_alphanumeric() || "-.".contains(c),
    );
    pub(crate) const WORD: Pattern =
        Pattern::Of(r"[\w]+", |c| c.is_ascii_alphanumeric() || c == '_');
    pub(crate) const HEX: Pattern =
        Pattern::Of("^[a-f0-9]+$", |c| matches!(c, 'a'..='f' | '0'..='9'));
    pub(crate) const LATIN: Pattern = Pattern::Of(r"[\u0009\u000A\u000D\u0020-\u00FF]+", |c| {
        matches!(c, '\t' | '\n' | '\r' | ' '..='\u{ff}')
    });
    pub(crate) const MARKER: Pattern =
        Pattern::Of(r"[\u0020-\u00FF]*", |c| matches!(c, ' '..='\u{ff}'));
    pub(crate) const MATERIAL_DESCRIPTION: Pattern = Pattern::Of(r"^[a-zA-Z0-9:/_\s.-]+$", |c| {
        c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":/_.-".contains(c)
    });
    pub(crate) const XKS_KEY: Pattern = Pattern::Of("^[a-zA-Z0-9-_.]+$", |c| {
        c.is_ascii_alphanumeric() || "-_.".contains(c)
    });

    /// AWS's expression, where `text` has a character that it forbids.
    pub(crate) fn refuses(self, text: &str) -> Option<&'static str> {
        match self {
            Pattern::Any => None,
            Pattern::Of(expression, allows) => (!text.chars().all(allows)).then_some(expression),
        }
    }
}
