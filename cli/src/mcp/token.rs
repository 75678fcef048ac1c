//! The token that lets a program speak to the daemon over HTTP: a file of the home that its owner alone can read.
//!
//! It is read at each request, so that a new one takes effect at once.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;

use subtle::ConstantTimeEq as _;
use wopr_p2p_smol::home::Home;

use crate::exit::Failure;

/// The file's name in the home's `p2p` folder.
const FILE: &str = "mcp.token";
/// Bytes of randomness.
const BYTES: usize = 32;

/// The token, in hex.
pub(super) struct Token(String);

impl Token {
    /// The home's token; the first use makes it.
    ///
    /// # Errors
    /// The file cannot be read or made, or others can read it.
    pub(super) fn of(home: &Home) -> Result<Self, Failure> {
        match Self::find(home)? {
            Some(token) => Ok(token),
            None => Self::make(home, false),
        }
    }

    /// A new token in place of the one before.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(super) fn renew(home: &Home) -> Result<Self, Failure> {
        Self::make(home, true)
    }

    /// The home's token, if it has one.
    ///
    /// # Errors
    /// The file cannot be read, or others can read it.
    pub(super) fn find(home: &Home) -> Result<Option<Self>, Failure> {
        let path = path(home);
        let read = || Ok::<_, io::Error>((fs::metadata(&path)?.permissions().mode(), fs::read_to_string(&path)?));
        match read() {
            Ok((mode, _)) if mode & 0o077 != 0 => {
                Err(unusable(home, "others can read it: take it for known and make a new one"))
            }
            Ok((_, text)) if is_token(text.trim_end()) => Ok(Some(Self(text.trim_end().to_owned()))),
            Ok(_) => Err(unusable(home, "it holds something else")),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(home, &error.to_string())),
        }
    }

    fn make(home: &Home, replace: bool) -> Result<Self, Failure> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(|error| unusable(home, &error.to_string()))?;
        let token = Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
        match token.write(home, replace) {
            Ok(()) => Ok(token),
            // Somebody made one at the same time: that is the one.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Self::find(home)?.ok_or_else(|| unusable(home, "it went away"))
            }
            Err(error) => Err(unusable(home, &error.to_string())),
        }
    }

    /// Puts it in place as a whole; the temporary file is its owner's alone from the start.
    fn write(&self, home: &Home, replace: bool) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home.p2p())?;
        let mut file = tempfile::NamedTempFile::new_in(home.p2p())?;
        writeln!(file, "{}", self.0)?;
        file.as_file().sync_all()?;
        let path = path(home);
        if replace { file.persist(path) } else { file.persist_noclobber(path) }?;
        Ok(())
    }

    /// Its text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is it; takes as long whatever the difference is.
    pub(super) fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

fn is_token(text: &str) -> bool {
    text.len() == 2 * BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn path(home: &Home) -> PathBuf {
    home.p2p().join(FILE)
}

fn unusable(home: &Home, why: &str) -> Failure {
    let message = format!("the token in {} cannot be used: {why}", path(home).display());
    Failure::invalid(message, "wopr mcp --new-http-token makes a new one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_its_owners_alone_and_stays_until_it_is_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        assert!(Token::find(&home).unwrap().is_none());
        let first = Token::of(&home).unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(path(&home)), mode(home.p2p())), (0o600, 0o700));
        assert!(Token::of(&home).unwrap().is(first.as_str()));
        let second = Token::renew(&home).unwrap();
        assert!(!second.is(first.as_str()) && Token::of(&home).unwrap().is(second.as_str()));
    }

    #[test]
    fn a_token_that_others_can_read_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        Token::of(&home).unwrap();
        fs::set_permissions(path(&home), fs::Permissions::from_mode(0o640)).unwrap();
        let failure = Token::of(&home).err().unwrap();
        assert!(failure.message.contains("others") && failure.next.contains("--new-http-token"), "{failure}");
        Token::renew(&home).unwrap();
        assert!(Token::of(&home).is_ok());
    }
}
