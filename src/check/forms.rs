//! A file cut into the forms that it is made of, one after the other, without all of it in memory.
//!
//! A form is what stands for itself at the top: a map, an object, a word. If the whole file is one vector, list or array, its
//! elements are the forms. EDN and JSON agree on what encloses what, so that one reader does for both; what a form says is
//! for their own parsers to find out.

use std::io::BufRead;

use super::recorded::Damage;
use super::text::{DEPTH_MAX, too_deep};

/// No form that anybody records is longer.
const FORM_BYTES_MAX: usize = 256 << 20;

/// A form, and the line on which it begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Form {
    pub line: usize,
    pub text: String,
}

/// Passes over the mark of byte order with which some editors let a text begin. It says nothing.
pub fn pass_mark(reader: &mut impl BufRead) {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    // What cannot be read is told where it is read.
    if reader.fill_buf().is_ok_and(|bytes| bytes.starts_with(MARK)) {
        reader.consume(MARK.len());
    }
}

/// Reads forms.
pub struct Forms<R> {
    reader: R,
    line: usize,
    /// The bracket that encloses all forms, and the line on which it is opened.
    enclosed: Option<(u8, usize)>,
    /// Nothing more may come.
    is_closed: bool,
    begun: bool,
}

impl<R: BufRead> Forms<R> {
    pub fn new(mut reader: R) -> Self {
        pass_mark(&mut reader);
        Self { reader, line: 1, enclosed: None, is_closed: false, begun: false }
    }

    /// The next byte, without taking it.
    fn peek(&mut self) -> Result<Option<u8>, Damage> {
        loop {
            match self.reader.fill_buf() {
                Ok(bytes) => return Ok(bytes.first().copied()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Damage { line: self.line, reason: error.to_string() }),
            }
        }
    }

    fn take(&mut self, byte: u8) {
        self.line += usize::from(byte == b'\n');
        self.reader.consume(1);
    }

    /// Skips what stands between forms.
    fn skip(&mut self) -> Result<Option<u8>, Damage> {
        let mut comment = false;
        while let Some(byte) = self.peek()? {
            comment = byte == b';' || comment && byte != b'\n';
            if !comment && !byte.is_ascii_whitespace() && byte != b',' {
                return Ok(Some(byte));
            }
            self.take(byte);
        }
        Ok(None)
    }

    /// The next form; nothing at the end.
    ///
    /// # Errors
    ///
    /// Where the brackets are not closed, or something comes behind the last; where the file cannot be read, or is no text.
    pub fn read(&mut self) -> Result<Option<Form>, Damage> {
        let Some(mut byte) = self.skip()? else {
            return match self.enclosed.filter(|_| !self.is_closed) {
                Some((bracket, line)) => {
                    let bracket = char::from(bracket);
                    Err(Damage { line, reason: format!("the `{bracket}` here is never closed") })
                }
                None => Ok(None),
            };
        };
        if !std::mem::replace(&mut self.begun, true) && matches!(byte, b'[' | b'(') {
            self.enclosed = Some((byte, self.line));
            self.take(byte);
            match self.skip()? {
                Some(next) => byte = next,
                None => return self.read(),
            }
        }
        let damage = |line: usize, reason: &str| Err(Damage { line, reason: reason.to_owned() });
        if self.is_closed {
            return damage(self.line, "something comes behind the end of what encloses all");
        }
        if matches!(byte, b']' | b')' | b'}') {
            let expected = match self.enclosed {
                Some((b'[', _)) => b']',
                Some(_) => b')',
                None => 0,
            };
            if byte != expected {
                return damage(self.line, &format!("`{}` closes nothing", char::from(byte)));
            }
            self.take(byte);
            self.is_closed = true;
            return self.read();
        }
        self.form()
    }

    fn form(&mut self) -> Result<Option<Form>, Damage> {
        let begun = self.line;
        let (mut bytes, mut depth) = (Vec::new(), 0_usize);
        let (mut in_string, mut escaped, mut comment) = (false, false, false);
        loop {
            let Some(byte) = self.peek()? else {
                if depth > 0 || in_string {
                    let reason = "the file ends in the middle of what begins here".to_owned();
                    return Err(Damage { line: begun, reason });
                }
                break;
            };
            if depth == 0 && !in_string && !escaped {
                let ends = byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b')' | b'}' | b';');
                // A tag and what it is of are one form.
                let tag_alone = bytes.first() == Some(&b'#') && byte == b' ';
                if ends && !bytes.is_empty() && !tag_alone {
                    break;
                }
            }
            self.take(byte);
            bytes.push(byte);
            if bytes.len() > FORM_BYTES_MAX {
                let reason = "this is too long to be an event of a history".to_owned();
                return Err(Damage { line: begun, reason });
            }
            if comment {
                comment = byte != b'\n';
            } else if escaped {
                escaped = false;
            } else if byte == b'\\' {
                // Within a string what follows stands for itself; outside, EDN has characters like that.
                escaped = true;
            } else if byte == b'"' {
                in_string = !in_string;
                if !in_string && depth == 0 {
                    break;
                }
            } else if !in_string {
                match byte {
                    b'[' | b'(' | b'{' if depth == DEPTH_MAX => {
                        return Err(Damage { line: self.line, reason: too_deep() });
                    }
                    b'[' | b'(' | b'{' => depth += 1,
                    b']' | b')' | b'}' => {
                        depth -= 1;
                        if depth == 0 {
                            break;
                        }
                    }
                    b';' => comment = true,
                    _ => {}
                }
            }
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(Form { line: begun, text })),
            Err(error) => {
                let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = begun + before.iter().filter(|byte| **byte == b'\n').count();
                Err(Damage { line, reason: "this is not text in UTF-8".to_owned() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(text: &[u8]) -> Result<Vec<(usize, String)>, Damage> {
        let (mut forms, mut all) = (Forms::new(text), Vec::new());
        while let Some(Form { line, text }) = forms.read()? {
            all.push((line, text));
        }
        Ok(all)
    }

    #[test]
    fn forms_come_one_after_the_other_or_in_one_bracket() {
        let expected = vec![(2, "{:a \"}\\\"\", :b \\}}".to_owned()), (3, "#x.Y{:c [1\n2]}".to_owned())];
        assert_eq!(forms(b"; first\n{:a \"}\\\"\", :b \\}}\n#x.Y{:c [1\n2]}\n"), Ok(expected.clone()));
        assert_eq!(forms(b"[\n{:a \"}\\\"\", :b \\}}\n#x.Y{:c [1\n2]}]"), Ok(expected));
        assert_eq!(forms(b"(1 ,2)"), Ok(vec![(1, "1".to_owned()), (1, "2".to_owned())]));
        assert_eq!(forms(b" \n"), Ok(Vec::new()));
        assert_eq!(forms(b"[]"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_cut_off_or_closed_too_often_is_named_with_its_line() {
        let line = |text: &[u8]| forms(text).map(drop).unwrap_err().line;
        assert_eq!(line(b"{:a 1}\n{:a\n"), 2);
        assert_eq!(line(b"\n[{:a 1}\n{:a 1}\n"), 2);
        assert_eq!(line(b"[{:a 1}]\n{:a 1}\n"), 2);
        assert_eq!(line(b"{:a 1}\n}"), 2);
        assert_eq!(line(b"{:a 1}\n{:a \"\n\xff\"}"), 3);
    }
}
