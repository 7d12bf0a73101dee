//! Patterns for paths: `src/**/*.c`, `{a,b}/?.[ch]`, and a name written out.
//!
//! | piece | matches |
//! |---|---|
//! | `*` | any run of characters inside one component, also none, also a leading dot |
//! | `?` | one character |
//! | `[a-z]` `[!a]` | one character of the set, or not of it |
//! | `{a,b/c}` | each alternative in turn; nests |
//! | `**` | any number of whole components, also none; at the end at least one |
//! | `\x` | the character `x` itself |
//!
//! Letters match exactly, whatever the file system thinks of case. A pattern is matched component by component, so that
//! a walk knows at every folder whether anything below it can still match, and only looks where something can.
//!
//! The matcher is our own because a walk has to carry its state from folder to folder, and because a compiled regular
//! expression per pattern costs more than all else in a run of ten thousand tasks; a test holds it to `globset`'s answers.

mod overlap;

use super::RelPath;
use super::path::RelPathError;

/// The most alternatives one pattern may stand for.
const MAX_ALTERNATIVES: usize = 1024;

/// A pattern that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// A name written out.
    Literal(RelPath),
    /// Something with `*`, `?`, `[…]` or `{…}` in it.
    Glob(Glob),
}

/// What a pattern with wildcards stands for: one alternative for each way through its braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    alternatives: Vec<Alternative>,
}

/// One way through the braces: the folder below which it can match at all, and the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// The folder that the leading components without wildcards name.
    pub prefix: RelPath,
    rest: Vec<Component>,
}

/// One component of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Component {
    /// `**`.
    Any,
    /// No wildcard.
    Literal(Vec<u8>),
    /// With wildcards.
    Wild(Vec<Token>),
}

/// One piece of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Byte(u8),
    Star,
    One,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// It names something outside the root.
    #[error(transparent)]
    Path(#[from] RelPathError),
    /// A `[` without its `]`.
    #[error("`[` without `]`; write `\\[` for the character itself")]
    OpenClass,
    /// A `{` without its `}`.
    #[error("`{{` without `}}`; write `\\{{` for the character itself")]
    OpenBrace,
    /// A range such as `[z-a]`.
    #[error("the range `{0}-{1}` goes backwards")]
    Range(char, char),
    /// A `\` at the end.
    #[error("`\\` at the end stands for nothing")]
    Escape,
    /// A `..` after a wildcard, or an escaped one.
    #[error("`..` after a wildcard or a `\\`")]
    Climb,
    /// Braces that multiply.
    #[error("the braces stand for more than {MAX_ALTERNATIVES} alternatives")]
    TooMany,
    /// Too many components.
    #[error("more than 60 components")]
    TooDeep,
}

/// Where a walk stands in an alternative: which of its components the next name may match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position(u64);

impl Position {
    /// Nothing further down can match.
    pub fn is_dead(self) -> bool {
        self.0 == 0
    }
}

/// The pattern that means this path and nothing else.
pub fn escape(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    if path.starts_with('!') {
        pattern.push_str("./");
    }
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// Whether a text has wildcards; if not, it is a name written out.
pub fn is_glob(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'{' | b'\\'))
}

impl Pattern {
    /// Reads a pattern written relative to `base`.
    pub fn parse(base: &RelPath, text: &str) -> Result<Self, GlobError> {
        if !is_glob(text) {
            return Ok(Self::Literal(base.resolve(text)?));
        }
        if text.starts_with('/') {
            return Err(RelPathError::Absolute(text.to_owned()).into());
        }
        if text.contains('\0') {
            return Err(RelPathError::Nul(text.to_owned()).into());
        }
        let mut texts = Vec::new();
        expand_braces(text, &mut texts)?;
        let alternatives =
            texts.iter().map(|one| Alternative::parse(base, one)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::Glob(Glob { alternatives }))
    }

    /// Whether it names `path`; a name written out also names everything below it.
    pub fn covers(&self, path: &RelPath) -> bool {
        match self {
            Self::Literal(literal) => path.starts_with(literal),
            Self::Glob(glob) => glob.matches(path),
        }
    }
}

impl Glob {
    /// One for each way through the braces.
    pub fn alternatives(&self) -> &[Alternative] {
        &self.alternatives
    }

    /// Whether the whole path matches.
    pub fn matches(&self, path: &RelPath) -> bool {
        self.alternatives.iter().any(|alternative| alternative.matches(path))
    }

    /// Whether everything below the folder matches, whatever it is called.
    pub fn matches_all_below(&self, folder: &RelPath) -> bool {
        self.alternatives.iter().any(|alternative| {
            alternative.position(folder).is_some_and(|at| alternative.matches_all_below(at))
        })
    }
}

impl Alternative {
    fn parse(base: &RelPath, text: &str) -> Result<Self, GlobError> {
        let mut components: Vec<Component> =
            base.components().map(|part| Component::Literal(part.to_vec())).collect();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => match components.pop() {
                    Some(Component::Literal(_)) => {}
                    Some(_) => return Err(GlobError::Climb),
                    None => return Err(RelPathError::Outside(text.to_owned()).into()),
                },
                // Two in a row say no more than one, and would be slower.
                "**" if components.last() == Some(&Component::Any) => {}
                "**" => components.push(Component::Any),
                part => components.push(Component::parse(part)?),
            }
        }
        if components.last() == Some(&Component::Any) {
            // At the end it means what lies below, not the folder itself.
            components.push(Component::Wild(vec![Token::Star]));
        }
        // The last component is never part of the prefix: the prefix is a folder.
        let mut literal = components.iter().take_while(|part| matches!(part, Component::Literal(_))).count();
        if literal == components.len() {
            literal = literal.saturating_sub(1);
        }
        let rest = components.split_off(literal);
        if rest.len() > 60 {
            return Err(GlobError::TooDeep);
        }
        let mut prefix = Vec::new();
        for component in &components {
            if let Component::Literal(name) = component {
                prefix = super::fs::join(&prefix, name);
            }
        }
        let prefix =
            RelPath::from_bytes(&prefix).expect("made of the components of a pattern, `.` and `..` folded");
        Ok(Self { prefix, rest })
    }

    /// Where a walk begins, in the folder `prefix`.
    pub fn start(&self) -> Position {
        self.close(1)
    }

    /// Where a walk stands after going down to `name`.
    pub fn step(&self, at: Position, name: &[u8]) -> Position {
        let mut next = 0;
        for (index, component) in self.rest.iter().enumerate() {
            if at.0 & (1 << index) == 0 {
                continue;
            }
            match component {
                Component::Any => next |= 1 << index,
                Component::Literal(literal) if literal == name => next |= 1 << (index + 1),
                Component::Wild(tokens) if matches(tokens, name) => next |= 1 << (index + 1),
                Component::Literal(_) | Component::Wild(_) => {}
            }
        }
        self.close(next)
    }

    /// `**` may stand for nothing, so whoever is before it is also behind it.
    fn close(&self, mut set: u64) -> Position {
        for (index, component) in self.rest.iter().enumerate() {
            if set & (1 << index) != 0 && *component == Component::Any {
                set |= 1 << (index + 1);
            }
        }
        Position(set)
    }

    /// Whether what was gone down to matches.
    pub fn accepts(&self, at: Position) -> bool {
        at.0 & (1 << self.rest.len()) != 0
    }

    /// Whether everything further down matches.
    fn matches_all_below(&self, at: Position) -> bool {
        let [.., Component::Any, Component::Wild(last)] = &self.rest[..] else { return false };
        *last == [Token::Star] && at.0 & (1 << (self.rest.len() - 2)) != 0
    }

    /// Where a walk that has come to `path` stands; `None` if `path` is not below the prefix.
    fn position(&self, path: &RelPath) -> Option<Position> {
        if !path.starts_with(&self.prefix) {
            return None;
        }
        let below = path.components().skip(self.prefix.components().count());
        Some(below.fold(self.start(), |at, name| self.step(at, name)))
    }

    fn matches(&self, path: &RelPath) -> bool {
        // The rest is never empty unless the pattern names the root, which is no name of anything.
        !self.rest.is_empty() && self.position(path).is_some_and(|at| self.accepts(at))
    }
}

impl Component {
    fn parse(text: &str) -> Result<Self, GlobError> {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '*' if tokens.last() == Some(&Token::Star) => {}
                '*' => tokens.push(Token::Star),
                '?' => tokens.push(Token::One),
                '[' => tokens.push(class(&mut chars)?),
                c => {
                    let c = if c == '\\' { chars.next().ok_or(GlobError::Escape)? } else { c };
                    tokens.extend(c.encode_utf8(&mut [0; 4]).bytes().map(Token::Byte));
                }
            }
        }
        let literal: Option<Vec<u8>> = tokens
            .iter()
            .map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None })
            .collect();
        match literal {
            // Written `\.`, which would otherwise slip past the folding of dots.
            Some(name) if name == b"." || name == b".." => Err(GlobError::Climb),
            Some(name) => Ok(Self::Literal(name)),
            None => Ok(Self::Wild(tokens)),
        }
    }
}

/// Reads a class whose `[` is already taken.
fn class(chars: &mut std::str::Chars<'_>) -> Result<Token, GlobError> {
    let mut ranges: Vec<(char, char)> = Vec::new();
    let next = |chars: &mut std::str::Chars<'_>| chars.next().ok_or(GlobError::OpenClass);
    let mut c = next(chars)?;
    let negated = c == '!' || c == '^';
    if negated {
        c = next(chars)?;
    }
    loop {
        // A `]` that stands first is a member.
        if c == ']' && !ranges.is_empty() {
            return Ok(Token::Class { negated, ranges });
        }
        if c == '\\' {
            c = next(chars)?;
        }
        let mut ahead = chars.clone();
        if ahead.next() == Some('-')
            && let Some(end) = ahead.next().filter(|end| *end != ']')
        {
            let end = if end == '\\' { ahead.next().ok_or(GlobError::OpenClass)? } else { end };
            if end < c {
                return Err(GlobError::Range(c, end));
            }
            ranges.push((c, end));
            *chars = ahead;
        } else {
            ranges.push((c, c));
        }
        c = next(chars)?;
    }
}

/// The length of the character at the front of a name: a byte that is no UTF-8 is a character of its own.
fn char_at(name: &[u8]) -> Option<(usize, Option<char>)> {
    let len = match name.first()? {
        0..0x80 => return Some((1, Some(char::from(name[0])))),
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return Some((1, None)),
    };
    let c = name
        .get(..len)
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .and_then(|text| text.chars().next());
    Some(if c.is_some() { (len, c) } else { (1, None) })
}

/// Whether the tokens match the whole name. Goes back to the last star only, so it takes at most tokens × bytes steps.
fn matches(tokens: &[Token], name: &[u8]) -> bool {
    let (mut token, mut byte) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let took = match tokens.get(token) {
            Some(Token::Star) => {
                star = Some((token, byte));
                token += 1;
                continue;
            }
            Some(Token::Byte(wanted)) => (name.get(byte) == Some(wanted)).then_some(1),
            Some(Token::One) => char_at(&name[byte..]).map(|(len, _)| len),
            Some(Token::Class { negated, ranges }) => char_at(&name[byte..]).and_then(|(len, c)| {
                let within = c.is_some_and(|c| ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)));
                (within != *negated).then_some(len)
            }),
            None if byte == name.len() => return true,
            None => None,
        };
        if let Some(len) = took {
            token += 1;
            byte += len;
            continue;
        }
        let Some((at, from)) = star else { return false };
        // A star takes whole characters, so that `?` after it cannot see half of one.
        let Some((len, _)) = char_at(&name[from..]) else { return false };
        star = Some((at, from + len));
        token = at + 1;
        byte = from + len;
    }
}

/// Writes out the first pair of braces and goes on with each result.
fn expand_braces(text: &str, into: &mut Vec<String>) -> Result<(), GlobError> {
    let bytes = text.as_bytes();
    let mut open: Option<usize> = None;
    let mut commas = Vec::new();
    let mut depth = 0usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'[' if class(&mut text[at + 1..].chars()).is_ok() => {
                let mut rest = text[at + 1..].chars();
                class(&mut rest)?;
                at = text.len() - rest.as_str().len();
                continue;
            }
            b'{' => {
                if depth == 0 {
                    open = Some(at);
                }
                depth += 1;
            }
            b',' if depth == 1 => commas.push(at),
            b'}' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    let open = open.expect("depth rose at a `{`");
                    let mut from = open + 1;
                    for end in commas.into_iter().chain([at]) {
                        let one = format!("{}{}{}", &text[..open], &text[from..end], &text[at + 1..]);
                        expand_braces(&one, into)?;
                        from = end + 1;
                    }
                    return Ok(());
                }
            }
            _ => {}
        }
        at += 1;
    }
    if depth > 0 {
        return Err(GlobError::OpenBrace);
    }
    if into.len() >= MAX_ALTERNATIVES {
        return Err(GlobError::TooMany);
    }
    into.push(text.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::from_bytes(text.as_bytes()).unwrap()
    }

    fn glob(text: &str) -> Glob {
        match Pattern::parse(&RelPath::root(), text) {
            Ok(Pattern::Glob(glob)) => glob,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        let glob = glob(pattern);
        for one in matching {
            assert!(glob.matches(&path(one)), "{pattern} should match {one}");
        }
        for one in other {
            assert!(!glob.matches(&path(one)), "{pattern} should not match {one}");
        }
    }

    #[test]
    fn pieces() {
        check("src/*.c", &["src/a.c", "src/.c", "src/.x.c"], &["src/a.h", "src/x/a.c", "a.c", "src/A.C"]);
        check("src/**", &["src/a", "src/a/b", "src/.hidden/x"], &["src", "srcs/a"]);
        check("**/*.c", &["a.c", "x/a.c", "x/y/a.c"], &["a.h", "a.c/x"]);
        check("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a", "ab", "b"]);
        check("**", &["a", "a/b"], &[]);
        check("?.[ch]", &["a.c", "é.h"], &["ab.c", ".c", "a.x"]);
        check("[!a-c]x", &["dx", "éx"], &["ax", "cx", "x"]);
        check("[]x]", &["]", "x"], &["a"]);
        check("{a,b/{c,d}}.txt", &["a.txt", "b/c.txt", "b/d.txt"], &["b.txt", "c.txt", "b/a.txt"]);
        check("x{,.gz}", &["x", "x.gz"], &["x."]);
        check("\\*[{]", &["*{"], &["a{"]);
        check("./a//b/../*.c", &["a/x.c"], &["a/b/x.c"]);
    }

    #[test]
    fn errors() {
        let error = |text: &str| Pattern::parse(&path("dir"), text).unwrap_err().to_string();
        expect_test::expect![[r"
            `[` without `]`; write `\[` for the character itself
            `{` without `}`; write `\{` for the character itself
            `..` after a wildcard or a `\`
            `../../*.c` leaves the project
            `/etc/*` is absolute; a path here is relative
            the range `z-a` goes backwards
            `\` at the end stands for nothing
            the braces stand for more than 1024 alternatives
        "]]
        .assert_eq(
            &["[a", "{a,b", "a/*/../b", "../../*.c", "/etc/*", "[z-a]", "a*\\", &"{a,b}".repeat(11)]
                .map(|text| error(text) + "\n")
                .concat(),
        );
    }

    #[test]
    fn prefixes() {
        let prefixes = |text: &str| -> Vec<String> {
            glob(text).alternatives().iter().map(|one| one.prefix.display().into_owned()).collect()
        };
        assert_eq!(prefixes("src/lib/*.c"), ["src/lib"]);
        assert_eq!(prefixes("src/{a,b}/*.c"), ["src/a", "src/b"]);
        assert_eq!(prefixes("{a,b}"), [".", "."]);
        assert_eq!(prefixes("**/x"), ["."]);
    }

    #[test]
    fn a_walk_is_pruned() {
        let glob = glob("packages/*/src/*.c");
        let one = &glob.alternatives()[0];
        let package = one.step(one.start(), b"p1");
        assert!(!package.is_dead());
        assert!(one.step(package, b"node_modules").is_dead());
        assert!(self::glob("node_modules/**").matches_all_below(&path("node_modules")));
        assert!(self::glob("**/node_modules/**").matches_all_below(&path("a/node_modules")));
        assert!(!self::glob("**/*.c").matches_all_below(&path("a")));
    }

    /// What the pieces mean, by trying everything.
    fn naive(tokens: &[Token], name: &[u8]) -> bool {
        match tokens {
            [] => name.is_empty(),
            [Token::Star, rest @ ..] => {
                naive(rest, name) || char_at(name).is_some_and(|(len, _)| naive(tokens, &name[len..]))
            }
            [Token::Byte(byte), rest @ ..] => name.first() == Some(byte) && naive(rest, &name[1..]),
            [Token::One, rest @ ..] => char_at(name).is_some_and(|(len, _)| naive(rest, &name[len..])),
            [Token::Class { negated, ranges }, rest @ ..] => char_at(name).is_some_and(|(len, c)| {
                let within = c.is_some_and(|c| ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)));
                within != *negated && naive(rest, &name[len..])
            }),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn agrees_with_globset(pattern in "(\\*\\*/)?([ab]|\\*|\\?|\\[ab\\]|\\{a,b\\}|/(\\*\\*/)?){1,6}[ab*]", name in "[abc]{1,3}(/[abc]{1,3}){0,3}") {
            let oracle = globset::GlobBuilder::new(&pattern)
                .literal_separator(true)
                .empty_alternates(true)
                .build();
            // A pattern that names the root's parent or begins at the root is refused by ours.
            prop_assume!(!pattern.starts_with('/') && !pattern.contains("//") && oracle.is_ok());
            let expected = oracle.unwrap().compile_matcher().is_match(&name);
            let found = match Pattern::parse(&RelPath::root(), &pattern).unwrap() {
                Pattern::Literal(literal) => literal == path(&name),
                Pattern::Glob(glob) => glob.matches(&path(&name)),
            };
            prop_assert_eq!(found, expected, "{} on {}", pattern, name);
        }

        #[test]
        fn agrees_with_trying_everything(pattern in "([ab*?é]|\\[!a\\]|\\[b-é\\]){0,6}", name in proptest::collection::vec(proptest::sample::select(vec![b'a', b'b', 0xc3, 0xa9, 0xff]), 0..6)) {
            if let Ok(Component::Wild(tokens)) = Component::parse(&pattern) {
                prop_assert_eq!(matches(&tokens, &name), naive(&tokens, &name));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(pattern in "[ab*?\\[\\]{},!/.\\\\é-]{0,16}", name in "[abé]{1,3}(/[ab]{1,2}){0,2}") {
            if let Ok(parsed) = Pattern::parse(&RelPath::root(), &pattern) {
                parsed.covers(&path(&name));
            }
        }
    }
}
