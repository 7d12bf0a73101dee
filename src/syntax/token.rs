//! KDL text cut into tokens: every byte belongs to exactly one, the malformed ones included.

/// A stretch of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Its first byte.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Spaces and tabs, and a byte order mark at the very beginning.
    Space,
    /// One line break of any kind.
    Newline,
    /// `// …`, without its line break.
    LineComment,
    /// `/* … */`, nested as it may be.
    BlockComment,
    /// A backslash that carries a node on to the next line, with its comment and line break.
    Continuation,
    /// `/-`
    Slashdash,
    /// `{`
    OpenBrace,
    /// `}`
    CloseBrace,
    /// `(`
    OpenParen,
    /// `)`
    CloseParen,
    /// `;`
    Semicolon,
    /// `=`
    Equals,
    /// A string, closed.
    String(Form),
    /// What begins like a number, well-formed or not.
    Number,
    /// `#true`, `#false`, `#null`, `#inf`, `#-inf`, `#nan`.
    Keyword,
    /// Something that KDL has no place for, as far as a person would take it for one thing.
    Flawed(Flaw),
    /// The end of the text.
    End,
}

/// How a string is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `text`
    Bare,
    /// `"text"`
    Quoted,
    /// `#"text"#`
    Raw,
    /// `"""`, lines, `"""`
    Lines,
    /// `#"""`, lines, `"""#`
    RawLines,
}

/// Why a stretch of text is no token of KDL, or one that nobody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// `true`, `null`, `inf` … without `#`.
    BareKeyword,
    /// `#True`, `#yes`.
    UnknownKeyword,
    /// `# a comment of another language`, up to the end of the line.
    HashComment,
    /// `a/b`, `src\x`, `${ROOT}`, `https://…`: a text that needs quotes.
    NeedsQuotes,
    /// `'text'`
    SingleQuotes,
    /// `["a", "b"]`
    Brackets,
    /// `r"text"` or `r#"text"#`, KDL 1's raw string.
    OldRaw,
    /// A string in quotes that its line does not close.
    UnclosedQuote,
    /// A string between `"""` that is never closed.
    UnclosedLines,
    /// `"""` with text after it on its line.
    TextAfterQuotes,
    /// A comment that is never closed.
    UnclosedComment,
    /// A backslash with something after it on its line.
    Backslash,
    /// A character that a text must not hold as it is.
    Forbidden,
    /// A closing bracket that nothing opened.
    StrayBracket,
}

impl TokenKind {
    /// Whether it stands for nothing between the entries of a node.
    pub fn is_node_space(self) -> bool {
        matches!(self, Self::Space | Self::BlockComment | Self::Continuation)
    }

    /// Whether it stands for nothing between nodes.
    pub fn is_line_space(self) -> bool {
        self.is_node_space() || matches!(self, Self::Newline | Self::LineComment)
    }
}

/// Cuts a text; [`Lexer::cut`] goes on for ever with [`TokenKind::End`] once the text is over.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

/// ASCII characters that a bare string may hold.
const BARE: [bool; 128] = {
    let mut table = [false; 128];
    let mut byte = 0x21;
    while byte < 0x7f {
        table[byte] = !matches!(
            byte as u8,
            b'\\' | b'/' | b'(' | b')' | b'{' | b'}' | b'[' | b']' | b';' | b'"' | b'#' | b'='
        );
        byte += 1;
    }
    table
};

/// The spaces of KDL.
pub fn is_space(c: char) -> bool {
    matches!(
        c,
        '\t' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

/// The line breaks of KDL; a carriage return and a line feed are one.
pub fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Characters that a text must not hold as they are.
fn is_forbidden(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'
            ..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

/// Characters that a bare string may hold.
fn is_bare(c: char) -> bool {
    match u8::try_from(c) {
        Ok(byte) if byte < 128 => BARE[byte as usize],
        _ => !is_space(c) && !is_newline(c) && !is_forbidden(c),
    }
}

/// Whether a run of bare characters is meant as a number.
fn looks_like_number(word: &str) -> bool {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    unsigned.strip_prefix('.').unwrap_or(unsigned).starts_with(|c: char| c.is_ascii_digit())
}

/// The first character that a text must not hold as it is, at or after `from`, and where it stands.
///
/// The lexer itself lets them pass inside of strings and comments: whoever reads a text asks here once.
pub fn next_forbidden(text: &str, from: usize) -> Option<(usize, char)> {
    let suspicious =
        |byte: u8| (byte < 0x20 && !matches!(byte, b'\t'..=b'\r')) || matches!(byte, 0x7f | 0xe2 | 0xef);
    let mut at = from.max(if text.starts_with('\u{feff}') { 3 } else { 0 });
    while let Some(ahead) = text.as_bytes()[at..].iter().position(|&byte| suspicious(byte)) {
        at += ahead;
        let c = text[at..].chars().next().expect("these bytes begin a character");
        if is_forbidden(c) {
            return Some((at, c));
        }
        at += c.len_utf8();
    }
    None
}

impl<'a> Lexer<'a> {
    /// Begins at the beginning.
    pub fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0 }
    }

    /// Cuts the next token.
    pub fn cut(&mut self) -> Token {
        let start = self.at;
        let kind = self.kind();
        Token { kind, start, end: self.at }
    }

    fn kind(&mut self) -> TokenKind {
        let Some(byte) = self.byte(0) else { return TokenKind::End };
        match byte {
            b' ' | b'\t' => {
                self.skip_while(is_space);
                TokenKind::Space
            }
            b'\n' | b'\r' => {
                self.newline();
                TokenKind::Newline
            }
            b'"' => self.string(0),
            b'{' => self.take(TokenKind::OpenBrace, 1),
            b'}' => self.take(TokenKind::CloseBrace, 1),
            b'(' => self.take(TokenKind::OpenParen, 1),
            b')' => self.take(TokenKind::CloseParen, 1),
            b';' => self.take(TokenKind::Semicolon, 1),
            b'=' => self.take(TokenKind::Equals, 1),
            b'/' => self.slash(),
            b'\\' => self.backslash(),
            b'#' => self.hash(),
            b'[' => self.bracket(),
            b']' => self.take(TokenKind::Flawed(Flaw::StrayBracket), 1),
            _ => self.character(),
        }
    }

    fn character(&mut self) -> TokenKind {
        let c = self.char().expect("called before the end of the text");
        if is_bare(c) {
            self.word()
        } else if self.newline() {
            TokenKind::Newline
        } else if is_space(c) {
            self.skip_while(is_space);
            TokenKind::Space
        } else if c == '\u{feff}' && self.at == 0 {
            self.take(TokenKind::Space, c.len_utf8())
        } else {
            self.take(TokenKind::Flawed(Flaw::Forbidden), c.len_utf8())
        }
    }

    fn slash(&mut self) -> TokenKind {
        match self.byte(1) {
            Some(b'/') => {
                self.skip_while(|c| !is_newline(c));
                TokenKind::LineComment
            }
            Some(b'*') => self.block_comment(),
            Some(b'-') => self.take(TokenKind::Slashdash, 2),
            _ => self.unquoted(),
        }
    }

    fn block_comment(&mut self) -> TokenKind {
        let mut depth = 0_usize;
        while let Some(byte) = self.byte(0) {
            match (byte, self.byte(1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return TokenKind::BlockComment;
                    }
                }
                _ => self.at += 1,
            }
        }
        TokenKind::Flawed(Flaw::UnclosedComment)
    }

    fn backslash(&mut self) -> TokenKind {
        let start = self.at;
        self.at += 1;
        loop {
            match self.byte(0) {
                None => return TokenKind::Continuation,
                Some(b'/') if self.byte(1) == Some(b'*') => {
                    if self.block_comment() != TokenKind::BlockComment {
                        break;
                    }
                }
                Some(b'/') if self.byte(1) == Some(b'/') => {
                    self.skip_while(|c| !is_newline(c));
                    self.newline();
                    return TokenKind::Continuation;
                }
                _ if self.newline() => return TokenKind::Continuation,
                _ if self.char().is_some_and(is_space) => self.skip_while(is_space),
                _ => break,
            }
        }
        self.at = start;
        if self.byte(1).is_some_and(|byte| byte.is_ascii_alphanumeric()) {
            self.unquoted()
        } else {
            self.take(TokenKind::Flawed(Flaw::Backslash), 1)
        }
    }

    fn hash(&mut self) -> TokenKind {
        let hashes = self.hashes(0);
        if self.byte(hashes) == Some(b'"') {
            return self.string(hashes);
        }
        let start = self.at;
        self.at += 1;
        self.skip_while(is_bare);
        match &self.text[start..self.at] {
            "#true" | "#false" | "#null" | "#inf" | "#-inf" | "#nan" => TokenKind::Keyword,
            word if word.len() > 1 && word.as_bytes()[1].is_ascii_alphabetic() => {
                TokenKind::Flawed(Flaw::UnknownKeyword)
            }
            _ => {
                self.skip_while(|c| !is_newline(c));
                TokenKind::Flawed(Flaw::HashComment)
            }
        }
    }

    /// A string that begins with `hashes` times `#` and a quote.
    fn string(&mut self, hashes: usize) -> TokenKind {
        let raw = hashes > 0;
        self.at += hashes;
        if !self.bytes[self.at..].starts_with(b"\"\"\"") {
            self.at += 1;
            let body = self.at;
            if self.close(Quotes { quotes: 1, hashes, raw, lines: false }) {
                return TokenKind::String(if raw { Form::Raw } else { Form::Quoted });
            }
            if raw {
                self.skip_to_later_close(body, hashes);
            }
            return TokenKind::Flawed(Flaw::UnclosedQuote);
        }
        self.at += 3;
        let line_ends = self.newline();
        let body = self.at;
        let closed = self.close(Quotes { quotes: 3, hashes, raw, lines: true });
        match (line_ends, closed) {
            (true, true) => TokenKind::String(if raw { Form::RawLines } else { Form::Lines }),
            (true, false) => TokenKind::Flawed(Flaw::UnclosedLines),
            (false, closed) => {
                if !closed {
                    self.at = body;
                    self.skip_while(|c| !is_newline(c));
                }
                TokenKind::Flawed(Flaw::TextAfterQuotes)
            }
        }
    }

    /// Goes past the closing quotes of a raw string that its line does not close: a script of several lines is one error, and
    /// its lines are not words of the Envfile. Quotes behind those of another raw string are that one's.
    fn skip_to_later_close(&mut self, body: usize, hashes: usize) {
        let line_end = self.at;
        self.at = body;
        let closed = self.close(Quotes { quotes: 1, hashes, raw: true, lines: true });
        let opening = "#".repeat(hashes) + "\"";
        let behind = &self.text[line_end..self.at];
        let opens = |(at, _): (usize, &str)| behind[..at].ends_with(|c| is_space(c) || is_newline(c));
        if !closed || behind.match_indices(&opening).any(opens) {
            self.at = line_end;
        }
    }

    /// Goes past the closing quotes; without any, to the end of the line or (over several `lines`) of the text.
    fn close(&mut self, end: Quotes) -> bool {
        // Everything that could close, escape or break a line; 0xc2 and 0xe2 begin the line breaks outside of ASCII.
        let stops = |byte: &u8| matches!(byte, b'"' | b'\\' | b'\n'..=b'\r' | 0xc2 | 0xe2);
        while let Some(ahead) = self.bytes[self.at..].iter().position(stops) {
            self.at += ahead;
            let rest = &self.bytes[self.at..];
            match rest[0] {
                b'"' if rest.len() >= end.quotes
                    && rest[..end.quotes].iter().all(|&byte| byte == b'"')
                    && self.hashes(end.quotes) >= end.hashes =>
                {
                    self.at += end.quotes + end.hashes;
                    return true;
                }
                b'\\' if !end.raw => {
                    self.at += 1;
                    let escaped = self.at;
                    self.skip_while(|c| is_space(c) || is_newline(c));
                    if self.at == escaped {
                        self.at += self.char().map_or(0, char::len_utf8);
                    }
                }
                _ => {
                    let c = self.char().expect("a byte stands here");
                    if !end.lines && is_newline(c) {
                        return false;
                    }
                    self.at += c.len_utf8();
                }
            }
        }
        self.at = self.bytes.len();
        false
    }

    fn word(&mut self) -> TokenKind {
        let start = self.at;
        self.skip_while(is_bare);
        let word = &self.text[start..self.at];
        if word.starts_with('\'') {
            return self.single_quotes(start);
        }
        let next = (self.byte(0).unwrap_or(b' '), self.byte(1).unwrap_or(b' '));
        let runs_on = match next {
            (b'"' | b'#', _) if word == "r" && self.byte(self.hashes(0)) == Some(b'"') => {
                let hashes = self.hashes(0);
                self.at += hashes + 1;
                self.close(Quotes { quotes: 1, hashes, raw: true, lines: false });
                return TokenKind::Flawed(Flaw::OldRaw);
            }
            // `https://x` is a word with a comment in KDL, and never meant so.
            (b'/', b'/') => word.ends_with(':'),
            // `src/**/*.c` is a word with a comment and another word.
            (b'/', b'*') => self.byte(2).is_some_and(|byte| !byte.is_ascii_whitespace()),
            (b'\\', byte) => byte.is_ascii_alphanumeric(),
            (b'{' | b'(', _) => word.ends_with('$'),
            (b'/' | b'[' | b']' | b'#', _) => true,
            _ => false,
        };
        if runs_on {
            self.at = start;
            return self.unquoted();
        }
        match word {
            "true" | "false" | "null" | "inf" | "-inf" | "nan" => TokenKind::Flawed(Flaw::BareKeyword),
            _ if looks_like_number(word) => TokenKind::Number,
            _ => TokenKind::String(Form::Bare),
        }
    }

    /// `'text'`, up to the next quote on the line; without one, the word alone.
    fn single_quotes(&mut self, start: usize) -> TokenKind {
        let line = self.text[start + 1..].split(is_newline).next().unwrap_or_default();
        if let Some(end) = line.find('\'') {
            self.at = start + 1 + end + 1;
        }
        TokenKind::Flawed(Flaw::SingleQuotes)
    }

    /// What a person would take for one word, although it holds what a bare string cannot: up to the next space.
    fn unquoted(&mut self) -> TokenKind {
        while let Some(c) = self.char() {
            let in_shell = self.text[..self.at].ends_with('$');
            match c {
                '{' | '(' if in_shell => {
                    let close = if c == '{' { '}' } else { ')' };
                    self.skip_while(|c| c != close && !is_newline(c));
                    self.at += usize::from(self.char() == Some(close));
                }
                '"' => {
                    self.at += 1;
                    self.close(Quotes { quotes: 1, hashes: 0, raw: false, lines: false });
                }
                '{' | '}' | ';' => break,
                c if is_space(c) || is_newline(c) => break,
                c => self.at += c.len_utf8(),
            }
        }
        TokenKind::Flawed(Flaw::NeedsQuotes)
    }

    /// `[…]` with everything between; only the bracket if nothing closes it before the next brace.
    fn bracket(&mut self) -> TokenKind {
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(c) = self.char() {
            self.at += c.len_utf8();
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                '"' => {
                    self.close(Quotes { quotes: 1, hashes: 0, raw: false, lines: false });
                }
                '{' | '}' => break,
                _ => {}
            }
            if depth == 0 {
                // `[a-z].c` is a glob, no list.
                return match self.char() {
                    Some(c) if (is_bare(c) && c != ',') || c == '/' => self.unquoted(),
                    _ => TokenKind::Flawed(Flaw::Brackets),
                };
            }
        }
        self.at = start + 1;
        TokenKind::Flawed(Flaw::Brackets)
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn char(&self) -> Option<char> {
        match self.byte(0)? {
            byte if byte < 128 => Some(byte as char),
            _ => self.text[self.at..].chars().next(),
        }
    }

    fn hashes(&self, ahead: usize) -> usize {
        self.bytes[self.at + ahead..].iter().take_while(|&&byte| byte == b'#').count()
    }

    fn take(&mut self, kind: TokenKind, len: usize) -> TokenKind {
        self.at += len;
        kind
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        while let Some(c) = self.char().filter(|&c| wanted(c)) {
            self.at += c.len_utf8();
        }
    }

    fn newline(&mut self) -> bool {
        let Some(c) = self.char().filter(|&c| is_newline(c)) else { return false };
        self.at += if c == '\r' && self.byte(1) == Some(b'\n') { 2 } else { c.len_utf8() };
        true
    }
}

/// What closes a string, and what may stand in it.
#[derive(Clone, Copy)]
struct Quotes {
    quotes: usize,
    hashes: usize,
    /// Backslashes are only backslashes.
    raw: bool,
    /// Line breaks are part of it.
    lines: bool,
}
