//! Everything that can be asked for by name: an attack, or a kind of trouble.

use crate::adversary::Kind;
use crate::scenario::Recipe;
use crate::trouble::Trouble;

/// An enumeration of what has a name on the command line, and a sentence that says what it is.
macro_rules! catalogue {
    (
        #[doc = $all:literal] $list:ident
        $($(#[doc = $doc:literal])* $one:ident $name:literal)*
    ) => {
        #[doc = $all]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $list {
            $($(#[doc = $doc])* $one,)*
        }

        impl $list {
            /// Every one.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$one),*];

            /// Its name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$one => $name,)*
                }
            }

            /// What it is, in a sentence.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$one => concat!($($doc),*).trim_ascii(),)*
                }
            }
        }
    };
}
pub(crate) use catalogue;

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
