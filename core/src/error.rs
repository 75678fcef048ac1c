//! The errors of the crate's stored state, by what the owner can do about them.

use core::fmt;

/// A stored document cannot be used: it was damaged or edited. No message repeats the document's content, which may be
/// secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateError {
    /// The text is not JSON of the expected shape.
    Malformed {
        /// The document's file name.
        document: &'static str,
        /// The line of the fault, counted from 1.
        line: usize,
        /// The column of the fault, counted from 1.
        column: usize,
    },
    /// One member is missing or wrong.
    Member {
        /// The document's file name.
        document: &'static str,
        /// The member's name.
        member: &'static str,
        /// What is wrong with it.
        fault: MemberFault,
    },
}

/// What is wrong with a member of a stored document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberFault {
    /// It is not there.
    Missing,
    /// Its text cannot be read as what it should be.
    Unreadable,
    /// It contradicts another member.
    Contradicts(&'static str),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let document = match self {
            Self::Malformed { document, line, column } => {
                write!(f, "{document} is damaged at line {line}, column {column}")?;
                document
            }
            Self::Member { document, member, fault } => {
                match fault {
                    MemberFault::Missing => write!(f, "{document} has no \"{member}\"")?,
                    MemberFault::Unreadable => write!(f, "\"{member}\" in {document} cannot be read")?,
                    MemberFault::Contradicts(other) => {
                        write!(f, "\"{member}\" in {document} does not belong to its \"{other}\"")?;
                    }
                }
                document
            }
        };
        write!(f, ": restore {document} from a backup, or move it away to start afresh")
    }
}

impl core::error::Error for StateError {}
