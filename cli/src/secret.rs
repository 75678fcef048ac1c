//! Secrets that let a program or a browser in: random bytes as text, and the files of a home that keep one.
//!
//! A file that others can read is refused, and not replaced behind its owner's back: what was in it has to be taken for
//! known, which its owner should hear, and so should whoever was given it. A file is read at each use, so that a new
//! one takes effect at once.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;

use subtle::ConstantTimeEq as _;
use wopr_p2p_smol::home::Home;

use crate::exit::Failure;

/// Bytes of randomness.
const BYTES: usize = 32;

/// A secret as text: hex.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// One that was written down.
    fn known(text: &str) -> Option<Self> {
        let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        (text.len() == 2 * BYTES && hex).then(|| Self(text.to_owned()))
    }

    /// Its text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is it; takes as long whatever the difference is.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

/// A file in the `p2p` folder of a home that keeps a secret.
pub(crate) struct SecretFile {
    folder: PathBuf,
    name: &'static str,
    /// What its owner does for a new one.
    renewal: &'static str,
}

impl SecretFile {
    /// The file with this name; `renewal` is what its owner does for a new secret.
    pub(crate) fn of(home: &Home, name: &'static str, renewal: &'static str) -> Self {
        Self { folder: home.p2p(), name, renewal }
    }

    /// The secret, if there is one.
    ///
    /// # Errors
    /// The file cannot be read, others can read it, or it holds something else.
    pub(crate) fn find(&self) -> Result<Option<Secret>, Failure> {
        let path = self.path();
        let read = || Ok::<_, io::Error>((fs::metadata(&path)?.permissions().mode(), fs::read_to_string(&path)?));
        match read() {
            Ok((mode, _)) if mode & 0o077 != 0 => {
                Err(self.unusable("others can read it: take it for known and make a new one"))
            }
            Ok((_, text)) => {
                Secret::known(text.trim()).map(Some).ok_or_else(|| self.unusable("it holds something else"))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unusable(&error.to_string())),
        }
    }

    /// The secret; the first use makes it.
    ///
    /// # Errors
    /// As for [`SecretFile::find`], or the file cannot be made.
    pub(crate) fn find_or_make(&self) -> Result<Secret, Failure> {
        match self.find()? {
            Some(secret) => Ok(secret),
            None => self.make(false),
        }
    }

    /// A new secret in place of the one before.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(crate) fn renew(&self) -> Result<Secret, Failure> {
        self.make(true)
    }

    fn make(&self, replace: bool) -> Result<Secret, Failure> {
        let secret = Secret::new().map_err(|error| self.unusable(&error.to_string()))?;
        match self.write(&secret, replace) {
            Ok(()) => Ok(secret),
            // Somebody made one at the same time: that is the one.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.find()?.ok_or_else(|| self.unusable("it went away"))
            }
            Err(error) => Err(self.unusable(&error.to_string())),
        }
    }

    /// Puts it in place as a whole; the temporary file is its owner's alone from the start.
    fn write(&self, secret: &Secret, replace: bool) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        writeln!(file, "{}", secret.as_str())?;
        file.as_file().sync_all()?;
        let path = self.path();
        if replace { file.persist(path) } else { file.persist_noclobber(path) }?;
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.folder.join(self.name)
    }

    fn unusable(&self, why: &str) -> Failure {
        Failure::invalid(format!("the token in {} cannot be used: {why}", self.path().display()), self.renewal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_file() -> (tempfile::TempDir, SecretFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = SecretFile::of(&Home::at(folder.path()).unwrap(), "a.token", "make a new one");
        (folder, file)
    }

    #[test]
    fn a_secret_is_its_owners_alone_and_stays_until_it_is_renewed() {
        let (_folder, file) = new_file();
        assert!(file.find().unwrap().is_none());
        let first = file.find_or_make().unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(file.path()), mode(file.folder.clone())), (0o600, 0o700));
        assert!(file.find_or_make().unwrap().is(first.as_str()));
        let second = file.renew().unwrap();
        assert!(!second.is(first.as_str()) && file.find_or_make().unwrap().is(second.as_str()));
    }

    #[test]
    fn a_secret_that_others_can_read_is_none_until_its_owner_makes_a_new_one() {
        let (_folder, file) = new_file();
        let first = file.find_or_make().unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
        let failure = file.find_or_make().err().unwrap();
        assert!(failure.message.contains("others") && failure.next == "make a new one", "{failure}");
        assert!(fs::read_to_string(file.path()).unwrap().contains(first.as_str()), "it is as it was");
        file.renew().unwrap();
        assert!(file.find_or_make().is_ok());
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let (_folder, file) = new_file();
        file.renew().unwrap();
        for text in ["", "guess\n", "00\n"] {
            fs::write(file.path(), text).unwrap();
            assert!(file.find().is_err(), "{text:?}");
        }
    }
}
