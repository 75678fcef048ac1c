//! Everything that can be asked for by name: an attack, or a kind of trouble.

use crate::adversary::Kind;
use crate::scenario::Recipe;
use crate::trouble::Trouble;

/// An attack or a kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Somebody attacks.
    Attack(Kind),
    /// Something goes wrong.
    Trouble(Trouble),
}

impl Named {
    /// All of them: trouble first, then attacks.
    pub fn all() -> impl Iterator<Item = Self> {
        Trouble::ALL.into_iter().map(Self::Trouble).chain(Kind::ALL.into_iter().map(Self::Attack))
    }

    /// The one of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|named| named.name() == name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attack(kind) => kind.name(),
            Self::Trouble(trouble) => trouble.name(),
        }
    }

    /// What it is, in a sentence.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Attack(kind) => kind.about(),
            Self::Trouble(trouble) => trouble.about(),
        }
    }

    /// The recipe with this in it.
    #[must_use]
    pub fn put_into(self, recipe: Recipe) -> Recipe {
        match self {
            Self::Attack(kind) => Recipe { attack: Some(kind), trouble: None, ..recipe },
            Self::Trouble(trouble) => Recipe { attack: None, trouble: Some(trouble), ..recipe },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_its_own_and_leads_back() {
        for named in Named::all() {
            assert_eq!(Named::from_name(named.name()), Some(named));
            assert!(named.about().ends_with('.'), "{named:?}: {:?}", named.about());
        }
    }
}
