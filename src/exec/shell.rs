//! Shells, and shell text that needs none.

use super::Environ;

/// The shell that shell text is given to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shell {
    /// The program and its options.
    words: Vec<String>,
}

/// Shells that stop at the first failing command (`-e`) and at unset variables (`-u`).
const STRICT: &[&str] = &["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"];

/// Those of them that do nothing else before they execute a simple command: zsh reads a file first.
const PLAIN: &[&str] = &["sh", "bash", "dash", "ash", "ksh", "mksh"];

impl Default for Shell {
    fn default() -> Self {
        Self::new("sh")
    }
}

impl Shell {
    /// The shell called `name`. `sh`, `bash` and their kin get `-eu`; what comes with options of its own, such as
    /// `bash -euo pipefail`, is taken as it stands, and so is what is no kin, such as `fish`.
    pub fn new(name: &str) -> Self {
        let mut words: Vec<String> = name.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            words.push("sh".to_owned());
        }
        if words.len() == 1 && STRICT.contains(&base_name(&words[0])) {
            words.push("-eu".to_owned());
        }
        Self { words }
    }

    /// The program and its options, without the `-c` that stands before text: `sh -eu`.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// Whether [`simple`] text may be executed directly in its place.
    pub(super) fn is_direct(&self, env: &Environ) -> bool {
        let [program, options] = &self.words[..] else { return false };
        // bash reads the file that BASH_ENV names, before anything else.
        options == "-eu"
            && PLAIN.contains(&program.as_str())
            && (program != "bash" || env.get("BASH_ENV").is_none())
    }
}

fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// What shells do by themselves, or take as the beginning of something larger: the words of dash, bash, ksh and zsh. Some
/// of them are programs as well, and a shell's `echo` or `kill` differs from the program in small ways.
#[rustfmt::skip]
const OWN_WORDS: &[&str] = &[
    // Keywords.
    "case", "coproc", "do", "done", "elif", "else", "end", "esac", "fi", "for", "foreach", "function", "if", "in", "namespace",
    "nocorrect", "repeat", "select", "then", "time", "until", "while",
    // Builtins of POSIX.
    ".", ":", "alias", "bg", "break", "cd", "command", "continue", "echo", "eval", "exec", "exit", "export", "false", "fc",
    "fg", "getopts", "hash", "jobs", "kill", "newgrp", "printf", "pwd", "read", "readonly", "return", "set", "shift", "test",
    "times", "trap", "true", "type", "ulimit", "umask", "unalias", "unset", "wait",
    // Builtins of others.
    "autoload", "bind", "bindkey", "builtin", "bye", "caller", "chdir", "compgen", "complete", "compopt", "declare", "dirs",
    "disable", "disown", "emulate", "enable", "enum", "float", "functions", "global", "help", "hist", "history", "integer",
    "let", "local", "logout", "mapfile", "nameref", "noglob", "popd", "print", "pushd", "readarray", "rehash", "setopt",
    "shopt", "source", "suspend", "typeset", "unfunction", "unhash", "unsetopt", "vared", "whence", "zle", "zmodload",
];

/// The words of shell text that needs no shell: executing them gives exactly what `sh -eu -c` would give. `None` where
/// that is not certain.
///
/// It is certain for one line of plain words and quoted ones: no expansion, no redirection, no operator, no
/// assignment, nothing that a shell does itself.
///
/// ```
/// use envrun::exec::simple;
///
/// assert_eq!(simple("cc -c 'a file.c' -o a.o").unwrap(), ["cc", "-c", "a file.c", "-o", "a.o"]);
/// assert_eq!(simple("cc -c *.c"), None);
/// assert_eq!(simple("cd src && make"), None);
/// ```
pub fn simple(text: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.trim_matches([' ', '\t', '\n']).chars();
    while let Some(char) = chars.next() {
        match char {
            ' ' | '\t' => words.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        end if end == char => break,
                        // Between double quotes these are still the shell's.
                        '$' | '`' | '\\' if char == '"' => return None,
                        inside if inside == '\0' || !inside.is_ascii() => return None,
                        inside => word.push(inside),
                    }
                }
            }
            // At the beginning of a word, and after these, it is somebody's home.
            '~' if word.as_ref().is_some_and(|word| !word.ends_with(['=', ':'])) => word.as_mut()?.push(char),
            // In the first word it would be an assignment; zsh looks for a program after one at the beginning.
            '=' if !words.is_empty() && word.is_some() => word.as_mut()?.push(char),
            'a'..='z' | 'A'..='Z' | '0'..='9' => word.get_or_insert_default().push(char),
            '_' | '-' | '.' | '/' | ':' | ',' | '+' | '@' | '%' | '^' => {
                word.get_or_insert_default().push(char)
            }
            _ => return None,
        }
    }
    words.extend(word);
    let program = words.first()?;
    let begins = program.starts_with(|first: char| first.is_ascii_alphanumeric() || "_./".contains(first));
    (begins && !OWN_WORDS.contains(&program.as_str())).then_some(words)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What `sh -eu -c` makes of the text when every program prints its own name and its words; `None` if it fails.
    fn by_shell(folder: &Path, text: &str) -> Option<Vec<String>> {
        let output = Command::new("/bin/sh")
            .args(["-eu", "-c", text])
            .env_clear()
            .env("PATH", folder)
            .env("HOME", "/home/of/somebody")
            .current_dir(folder)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).ok()?;
        let words = text.strip_suffix('\0')?.split('\0').map(str::to_owned).collect();
        output.status.success().then_some(words)
    }

    /// A folder with the programs `show` and `s`, which print their words.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["show", "s"] {
            let program = folder.path().join(name);
            std::fs::write(&program, "#!/bin/sh\nprintf '%s\\0' \"${0##*/}\" \"$@\"\n").unwrap();
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
            // Another test may be starting a process at this moment, which then holds the file open for a moment.
            while by_shell(folder.path(), name).is_none() {
                std::thread::yield_now();
            }
        }
        folder
    }

    #[test]
    fn it_gives_what_the_shell_gives() {
        let folder = folder();
        let start = "(show|s|'show'|\"s\"|sh'ow'|\\./s|  s) ?";
        let plain = "([a-c=~:^%@,.+/ -]|'[ -&(-~\n]{0,6}'|\"[ !#%-Z_a-z{-~]{0,6}\"){0,16}";
        let wild = "([a-c=~ -]|'[^']{0,6}'|\"[^\"]{0,6}\"|[ -~\n\t]){0,8}";
        let text =
            (start, prop_oneof![3 => plain, 1 => wild]).prop_map(|(start, rest)| format!("{start}{rest}"));
        let (direct, all) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(400));
        let law = |text: String| {
            all.set(all.get() + 1);
            let Some(mut words) = simple(&text) else { return Ok(()) };
            direct.set(direct.get() + 1);
            words[0] = words[0].trim_start_matches("./").to_owned();
            // Without such a program, the shell must not have found anything to do either.
            let expected = ["s", "show"].contains(&words[0].as_str()).then_some(words);
            prop_assert_eq!(by_shell(folder.path(), &text), expected);
            Ok(())
        };
        runner.run(&text, law).unwrap();
        assert!(direct.get() * 3 > all.get(), "only {} of {} texts were looked at", direct.get(), all.get());
    }

    #[test]
    fn what_needs_no_shell() {
        let words = |text: &str| simple(text).map(|words| words.join("|"));
        let check = |text: &str, expected: &str| assert_eq!(words(text).as_deref(), Some(expected), "{text}");
        check("make", "make");
        check("  npm run build --  --mode=production\n", "npm|run|build|--|--mode=production");
        check("sh -c 'echo $HOME; exit 1'", "sh|-c|echo $HOME; exit 1");
        check("git show HEAD~1 HEAD^", "git|show|HEAD~1|HEAD^");
        check("./tool '' \"a b\"c'd'", "./tool||a bcd");
        check("grep -r \"it's\" .", "grep|-r|it's|.");
        check("cc -DX='a\nb'", "cc|-DX=a\nb");
    }

    #[test]
    fn what_is_left_to_the_shell() {
        for text in [
            "",
            "  ",
            "cd src",
            "'cd' src",
            "A=b make",
            "make $X",
            "make \"$X\"",
            "a; b",
            "a\nb",
            "a | b",
            "a > b",
            "a &",
            "ls *.c",
            "ls a?",
            "ls [a]",
            "ls ~",
            "ls ~/x",
            "x a=~",
            "x a:~",
            "echo a",
            "test -f x",
            "[ -f x ]",
            "true",
            "! make",
            "{ make; }",
            "(make)",
            "a # b",
            "make `x`",
            "a \\\n b",
            "a\\ b",
            "'open",
            "\"open",
            "if x",
            "x =y",
            "%1",
            "-x",
            "touch café",
            "'' x",
            "x {a,b}",
            "exec make",
            ". ./env",
            "time make",
            "x a\0b",
            "x 'a\0b'",
        ] {
            assert_eq!(simple(text), None, "{text:?}");
        }
    }

    #[test]
    fn shells_and_their_options() {
        let words = |name: &str| Shell::new(name).words().collect::<Vec<_>>().join(" ");
        assert_eq!(words("sh"), "sh -eu");
        assert_eq!(words("/usr/bin/bash"), "/usr/bin/bash -eu");
        assert_eq!(words("bash -euo pipefail"), "bash -euo pipefail");
        assert_eq!(words("fish"), "fish");
        assert_eq!(words(""), "sh -eu");
        let direct =
            |name: &str, env: &[(&str, &str)]| Shell::new(name).is_direct(&Environ::new(env.iter().copied()));
        assert!(direct("sh", &[("BASH_ENV", "x")]));
        assert!(direct("bash", &[]));
        assert!(!direct("bash", &[("BASH_ENV", "x")]));
        assert!(!direct("bash -x", &[]));
        assert!(!direct("zsh", &[]));
        assert!(!direct("fish", &[]));
    }
}
