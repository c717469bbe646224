//! Reads TOML tables key by key and notes everything that is wrong, each with its place, instead
//! of stopping at the first: a person mends a file in one go.
//!
//! serde stops at the first error, hence this reader on `toml`'s spanned document. Keys that nobody
//! asked for are problems too, so a typo cannot silently become a default.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ffi::OsString,
    fmt,
    net::SocketAddr,
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// One thing wrong with a site file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Line and column, from 1; `None` when it is about the file as a whole.
    pub place: Option<(usize, usize)>,
    /// Where in the document, e.g. `device[3].bays[1].branch`.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if self.path.is_empty() {
            write!(f, ": {}", self.message)
        } else {
            write!(f, ": {}: {}", self.path, self.message)
        }
    }
}

/// A file being read, and what was found wrong with it so far.
pub(super) struct Source<'a> {
    file: &'a Path,
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
}

/// Where the packaged units load credentials from, all with the same prefix.
const CREDENTIALS: &str = "/etc/busbar/credentials";

fn credential(loaded: Option<OsString>, name: &str) -> PathBuf {
    match loaded {
        Some(loaded) => Path::new(&loaded).join(format!("busbar_{name}")),
        None => Path::new(CREDENTIALS).join(name),
    }
}

impl<'a> Source<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Self {
            file,
            text,
            problems: RefCell::default(),
        }
    }

    /// A path that the file gives relative to itself. `credential:NAME` is what systemd has loaded for the
    /// service (`LoadCredential=` of the unit), and for a check by hand what it would load.
    pub(super) fn beside(&self, path: &str) -> PathBuf {
        let directory = self.file.parent().unwrap_or(Path::new("."));
        match path.strip_prefix("credential:") {
            Some(name) => credential(std::env::var_os("CREDENTIALS_DIRECTORY"), name),
            None => directory.join(path),
        }
    }

    /// Notes a problem at a byte range.
    pub(super) fn problem(&self, span: Option<Range<usize>>, path: &str, message: String) {
        self.problems.borrow_mut().push(Problem {
            file: self.file.to_owned(),
            place: span.map(|s| self.line_column(s.start)),
            path: path.to_owned(),
            message,
        });
    }

    /// The problems, in the order of the file.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|p| p.place);
        problems
    }

    fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        (line, column)
    }
}

/// A value that was read, and where it stood, for checks that come later.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
    pub(super) path: String,
}

/// A table being read. [`Table::finish`] reports the keys nobody asked for.
pub(super) struct Table<'s, 'd> {
    pub(super) source: &'s Source<'s>,
    pub(super) path: String,
    pub(super) span: Range<usize>,
    entries: &'d DeTable<'d>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'s, 'd> Table<'s, 'd> {
    pub(super) fn new(
        source: &'s Source<'s>,
        path: String,
        span: Range<usize>,
        entries: &'d DeTable<'d>,
    ) -> Self {
        Self {
            source,
            path,
            span,
            entries,
            asked: RefCell::default(),
        }
    }

    /// Notes a problem with the value of `key`.
    pub(super) fn problem(&self, key: &str, message: String) {
        let span = self
            .entries
            .get(key)
            .map_or_else(|| self.span.clone(), Spanned::span);
        self.source.problem(Some(span), &self.path_of(key), message);
    }

    /// Reports unknown keys.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for key in self.entries.keys() {
            let name: &str = key.get_ref();
            if !asked.contains(name) {
                let known: Vec<&str> = asked.iter().copied().collect();
                let hint = nearest(name, &known).map_or_else(
                    || format!("known here: {}", known.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                self.source.problem(
                    Some(key.span()),
                    &self.path_of(name),
                    format!("unknown key; {hint}"),
                );
            }
        }
    }

    pub(super) fn has(&self, key: &'static str) -> bool {
        self.asked.borrow_mut().insert(key);
        self.entries.contains_key(key)
    }

    /// A number within `range`; whole numbers count as numbers.
    pub(super) fn number(&self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let value = self.required(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(i) => parse_integer(i.as_str(), i.radix()).map(|i| i as f64),
            DeValue::Float(x) => x.as_str().parse::<f64>().ok(),
            other => return self.wrong_type(key, "a number", other),
        };
        // NaN is in no range.
        match number {
            Some(x) if range.contains(&x) => Some(x),
            _ => {
                self.problem(
                    key,
                    format!("must be a number from {} to {}", range.start(), range.end()),
                );
                None
            }
        }
    }

    /// A whole number within `range`.
    pub(super) fn integer(&self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.required(key)?;
        let DeValue::Integer(text) = value.get_ref() else {
            return self.wrong_type(key, "a whole number", value.get_ref());
        };
        match parse_integer(text.as_str(), text.radix()) {
            Some(i) if range.contains(&i) => Some(i),
            _ => {
                self.problem(
                    key,
                    format!(
                        "must be a whole number from {} to {}",
                        range.start(),
                        range.end()
                    ),
                );
                None
            }
        }
    }

    /// A component id.
    pub(super) fn id(&self, key: &'static str) -> Option<i32> {
        self.integer(key, 0..=i64::from(i32::MAX))
            .and_then(|i| i32::try_from(i).ok())
    }

    /// Text that is not empty.
    pub(super) fn text(&self, key: &'static str) -> Option<&'d str> {
        let value = self.required(key)?;
        let Some(text) = value.get_ref().as_str() else {
            return self.wrong_type(key, "text", value.get_ref());
        };
        if text.trim().is_empty() {
            self.problem(key, "must not be empty".to_owned());
            return None;
        }
        Some(text)
    }

    /// A name fit for point ids and file names.
    pub(super) fn name(&self, key: &'static str) -> Option<&'d str> {
        let text = self.text(key)?;
        self.is_name(key, text).then_some(text)
    }

    /// An array of such names; empty when the key is absent.
    pub(super) fn names(&self, key: &'static str) -> Vec<&'d str> {
        let texts = self.texts(key).into_iter();
        texts.filter(|text| self.is_name(key, text)).collect()
    }

    fn is_name(&self, key: &'static str, text: &str) -> bool {
        let is = is_name(text);
        if !is {
            let text = format!("`{text}` must be 1 to 64 letters, digits, `-` and `_`");
            self.problem(key, text);
        }
        is
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        let value = self.required(key)?;
        match value.get_ref().as_bool() {
            Some(b) => Some(b),
            None => self.wrong_type(key, "true or false", value.get_ref()),
        }
    }

    /// `IP:port`.
    pub(super) fn address(&self, key: &'static str) -> Option<SocketAddr> {
        let text = self.text(key)?;
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                self.problem(
                    key,
                    format!("`{text}` is not an address such as 192.0.2.7:502"),
                );
                None
            }
        }
    }

    /// One of the given words.
    pub(super) fn word<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.problem(key, format!("`{text}` is none of {}", known.join(", ")));
        None
    }

    /// A table.
    pub(super) fn table(&self, key: &'static str) -> Option<Table<'s, 'd>> {
        let value = self.required(key)?;
        match value.get_ref().as_table() {
            Some(entries) => Some(Table::new(
                self.source,
                self.path_of(key),
                value.span(),
                entries,
            )),
            None => self.wrong_type(key, "a table", value.get_ref()),
        }
    }

    /// An array of tables; empty when the key is absent.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Table<'s, 'd>> {
        let mut tables = Vec::new();
        for (path, value) in self.elements(key) {
            match value.get_ref().as_table() {
                Some(entries) => {
                    tables.push(Table::new(self.source, path, value.span(), entries));
                }
                None => self.source.problem(
                    Some(value.span()),
                    &path,
                    format!("must be a table, not {}", value.get_ref().type_str()),
                ),
            }
        }
        tables
    }

    /// An array of texts; empty when the key is absent.
    pub(super) fn texts(&self, key: &'static str) -> Vec<&'d str> {
        let mut texts = Vec::new();
        for (path, value) in self.elements(key) {
            match value.get_ref().as_str() {
                Some(text) => texts.push(text),
                None => {
                    let found = value.get_ref().type_str();
                    let message = format!("must be a text, not {found}");
                    self.source.problem(Some(value.span()), &path, message);
                }
            }
        }
        texts
    }

    /// An array of component ids; empty when the key is absent.
    pub(super) fn ids(&self, key: &'static str) -> Vec<At<i32>> {
        let mut ids = Vec::new();
        for (path, value) in self.elements(key) {
            let id = value
                .get_ref()
                .as_integer()
                .and_then(|i| parse_integer(i.as_str(), i.radix()))
                .and_then(|i| i32::try_from(i).ok());
            match id {
                Some(id) => ids.push(At {
                    value: id,
                    span: value.span(),
                    path,
                }),
                None => {
                    self.source.problem(
                        Some(value.span()),
                        &path,
                        "must be the id of a network component".to_owned(),
                    );
                }
            }
        }
        ids
    }

    /// The value with its place, for a later check.
    pub(super) fn at<T>(&self, key: &str, value: T) -> At<T> {
        At {
            value,
            span: self
                .entries
                .get(key)
                .map_or_else(|| self.span.clone(), Spanned::span),
            path: self.path_of(key),
        }
    }

    fn elements(&self, key: &'static str) -> Vec<(String, &'d Spanned<DeValue<'d>>)> {
        if !self.has(key) {
            return Vec::new();
        }
        let Some(value) = self.entries.get(key) else {
            return Vec::new();
        };
        match value.get_ref().as_array() {
            Some(array) => array
                .iter()
                .enumerate()
                .map(|(k, value)| (format!("{}[{k}]", self.path_of(key)), value))
                .collect(),
            None => {
                self.wrong_type::<()>(key, "a list", value.get_ref());
                Vec::new()
            }
        }
    }

    fn required(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.asked.borrow_mut().insert(key);
        let value = self.entries.get(key);
        if value.is_none() {
            self.source.problem(
                Some(self.span.clone()),
                &self.path_of(key),
                "missing".to_owned(),
            );
        }
        value
    }

    fn wrong_type<T>(&self, key: &str, wanted: &str, value: &DeValue<'_>) -> Option<T> {
        self.problem(key, format!("must be {wanted}, not {}", value.type_str()));
        None
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

/// 1 to 64 letters, digits, `-` and `_`.
pub(crate) fn is_name(text: &str) -> bool {
    let fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&text.len()) && text.chars().all(fit)
}

fn parse_integer(digits: &str, radix: u32) -> Option<i64> {
    i64::from_str_radix(digits, radix).ok()
}

/// The known key that `typed` most likely meant, if one is near.
fn nearest<'k>(typed: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|k| (distance(typed, k), *k))
        .min()
        .filter(|(d, k)| *d <= 1 + k.len() / 4)
        .map(|(_, k)| k)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_what_systemd_has_loaded_or_would_load() {
        let source = Source::new(Path::new("/etc/busbar/site.toml"), "");
        assert_eq!(source.beside("key.pem"), Path::new("/etc/busbar/key.pem"));
        let loaded = Some(OsString::from("/run/credentials/busbar.service"));
        assert_eq!(
            credential(loaded, "key.pem"),
            Path::new("/run/credentials/busbar.service/busbar_key.pem")
        );
        assert_eq!(
            credential(None, "key.pem"),
            Path::new("/etc/busbar/credentials/key.pem")
        );
    }
}
