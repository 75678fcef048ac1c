//! Bugs on purpose: the simulator has to notice each of them, or its rules have a hole.
//!
//! They exist only in builds with `--cfg wopr_planted`, which builds without debug assertions refuse. There a node has
//! the one bug that its [`Config::planted`](crate::Config) names, and a place where a bug bites asks
//! `planted!(config, Bug)`. In every other build that is `false`, so nothing of this is left.

#[cfg(all(wopr_planted, not(debug_assertions)))]
compile_error!("`--cfg wopr_planted` builds a node with security holes: it is for the simulator's own test only");

/// Whether one of these bugs is planted.
#[cfg(wopr_planted)]
macro_rules! planted {
    ($config:expr, $($bug:ident)|+) => {
        matches!($config.planted, Some($($crate::planted::Bug::$bug)|+))
    };
}

/// No bug is planted in this build.
#[cfg(not(wopr_planted))]
macro_rules! planted {
    ($config:expr, $($bug:ident)|+) => {{
        let _ = &$config;
        false
    }};
}

#[cfg(wopr_planted)]
macro_rules! bugs {
    ($(#[doc = $doc:literal] $bug:ident)*) => {
        /// The bugs, one for a node.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $(#[doc = $doc] $bug,)*
        }

        impl Bug {
            /// Every bug.
            pub const ALL: [Self; [$(stringify!($bug)),*].len()] = [$(Self::$bug),*];

            /// What it does, in a sentence.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$bug => $doc,)*
                }
            }
        }
    };
}

#[cfg(wopr_planted)]
bugs! {
    /// A log is acknowledged before it is stored.
    AckedBeforeStored
    /// A claim is acknowledged before its grant is stored.
    ClaimAckedBeforeStored
    /// New keys are used before they are stored.
    KeysUsedBeforeStored
    /// Counters are appended to their document instead of replacing it.
    LimitsAppended
    /// A revocation holds at once, and is never stored.
    RevocationNotStored
    /// A full table of nonces is emptied.
    NoncesCleared
    /// The nonces do not outlive a restart.
    NoncesForgotten
    /// A message may be of any time.
    AnyTime
    /// A hello that names another node is answered.
    HelloForAnother
    /// A node answers its own hello.
    OwnHello
    /// The signature of a hello is not checked.
    HelloUnsigned
    /// The signature of a hello-ack is not checked.
    HelloAckUnsigned
    /// Whoever answers a dial is taken for the peer that was dialled.
    AnyListener
    /// A hello-ack may belong to another hello.
    OldHelloAck
    /// The answer to an original's hello does not name it.
    HelloAckUnbound
    /// Keys of small order may sign.
    SmallOrderKeys
    /// The lowest common version is chosen.
    LowestVersion
    /// A request of protocol 1 is served where protocol 2 was agreed on.
    Downgrade
    /// Requests are served without a handshake.
    NoHandshake
    /// A request may belong to another handshake.
    RequestUnbound
    /// The signature of a request is not checked.
    RequestUnsigned
    /// The name on a request is believed.
    NameBelieved
    /// The signature of an answer is not checked.
    AnswerUnsigned
    /// Any answer is the answer to the request that waits.
    AnyAnswer
    /// Ephemeral keys are used for ever.
    KeysNeverAge
    /// Payloads are encrypted under one and the same initialisation vector.
    SameIv
    /// The nonce of a request is the time.
    NonceIsTime
    /// Answers are encoded, but not encrypted.
    AnswerInClear
    /// Answers are encrypted under the static key.
    AnswerUnderStaticKey
    /// Who may log may ask.
    LogMeansAsk
    /// A grant on one session opens all.
    AnySession
    /// Grants do not expire.
    GrantsNeverExpire
    /// A question is answered although its asker's grant was taken back meanwhile.
    RevokedAnswered
    /// A token can be claimed again.
    TokenTwice
    /// Whoever has a token can claim it.
    TokenOfAnother
    /// Tokens do not expire.
    TokenNeverExpires
    /// Revoking a peer leaves its invites open.
    InviteSurvives
    /// A rotation needs no proof of the new key.
    RotationUnproven
    /// The signature of a rotation statement is not checked.
    RotationUnsigned
    /// A key that was given up may name a second successor.
    SecondSuccessor
    /// A key that was given up counts for a year.
    GraceUnbounded
    /// New keys are not announced.
    NewKeyUnreachable
    /// Peers are not told of new keys.
    PeersNotTold
    /// Invalid messages count against the peer that the handshake named.
    BannedByName
    /// All transport keys share one ban.
    SharedBan
    /// Requests are not counted.
    RequestsUncounted
    /// Invalid messages are not counted.
    InvalidUncounted
    /// The counters of strangers are not bounded.
    CountersUnbounded
    /// Strangers may send long lines.
    StrangersSendMuch
    /// The streams of strangers are not bounded.
    StrangersCrowd
    /// Strangers who have all the places for strangers keep them.
    StrangersStay
    /// The length of a line is checked when it has arrived.
    LineUnbounded
    /// Questions with the AI are not bounded.
    QuestionsUnbounded
    /// A message that comes again from the outbox is stored again.
    QueuedTwice
    /// The newest message of the outbox is sent first.
    QueueJumped
    /// A message of the outbox is forgotten when its peer cannot take it now.
    QueuedForgotten
    /// A line that can be read in two ways is read in one of them.
    TwoReadings
    /// A line that cannot be read is unwrapped.
    Unwrapped
    /// A timer that has fired is not set anew.
    TimerStuck
    /// A command whose peer does not answer never finishes.
    NeverFinished
}
