//! What a node does for its owner, one file a family: each turns what was typed into the node's command and the node's
//! reply into a result to show. The daemon and a node that runs for one command use the same code.

mod discovery;
mod failure;
mod grant;
mod identity;
mod invite;
mod message;
mod names;
mod netcheck;
mod outbox;
mod peers;
mod ping;
mod rotate;
mod status;

pub(crate) use self::failure::exit;
pub(crate) use self::names::Names;
pub(crate) use self::status::action_name;
use crate::args::{Addressed, Invite, NodeCommand, Outbox};
use crate::exit::Failure;
use crate::node::{Node, Reach};
use crate::output::{Output, Shown};

/// Has the node do what was typed. `stdin` is what was read there, if the command wants it.
///
/// # Errors
/// Why it was not done, with its exit code and the next step.
pub(crate) async fn execute(
    command: NodeCommand,
    stdin: Option<String>,
    node: &Node,
    out: Output,
) -> Result<Shown, Failure> {
    match command {
        NodeCommand::Status { peer: None } => out.render(&status::node(node).await?),
        NodeCommand::Status { peer: Some(peer) } => out.render(&status::peer(node, &peer).await?),
        NodeCommand::Netcheck => out.render(&netcheck::netcheck(node).await),
        NodeCommand::Ping { peer, count, timeout } => out.render(&ping::ping(node, peer, count, timeout).await?),
        NodeCommand::Identity { export: true } => out.render(&identity::export(node).await?),
        NodeCommand::Identity { export: false } => out.render(&identity::show(node).await?),
        NodeCommand::Invite { command } => match command {
            Invite::Create { subject, sessions, expire, capabilities } => {
                out.render(&invite::create(node, subject, sessions, expire, capabilities).await?)
            }
            Invite::Inspect { token } => out.render(&invite::inspect(node, &token).await?),
            Invite::Claim { token, timeout } => out.render(&invite::claim(node, token, timeout).await?),
            Invite::List => out.render(&invite::list(node).await?),
            Invite::Revoke { invite } => out.render(&invite::revoke(node, invite).await?),
        },
        NodeCommand::Grant(grant) => grant::grant(node, grant, out).await,
        NodeCommand::Grants { peer } => out.render(&grant::list(node, peer.as_ref()).await?),
        NodeCommand::Revoke { peer, session } => out.render(&grant::revoke_peer(node, peer, session).await?),
        NodeCommand::Peers { verbose } => out.render(&peers::list(node, verbose).await?),
        NodeCommand::Name { peer, name } => out.render(&peers::name(node, peer, name).await?),
        NodeCommand::Find { text } => out.render(&peers::find(node, &text).await?),
        NodeCommand::Topic { command } => out.render(&discovery::topic(node, command).await?),
        NodeCommand::Topics => out.render(&discovery::topics(node).await?),
        NodeCommand::Discover(discover) => out.render(&discovery::discover(node, discover).await?),
        NodeCommand::Connect(connect) => out.render(&discovery::connect(node, connect).await?),
        NodeCommand::Requests => out.render(&discovery::requests(node).await?),
        NodeCommand::Approve { request } => out.render(&discovery::approve(node, request).await?),
        NodeCommand::Deny { request } => out.render(&discovery::deny(node, request).await?),
        NodeCommand::Profile { command } => out.render(&discovery::profile(node, command).await?),
        NodeCommand::Rotate(rotate) => out.render(&rotate::rotate(node, &rotate).await?),
        NodeCommand::Log(log) => out.render(&message::log(node, log, stdin).await?),
        NodeCommand::Inject(inject) => out.render(&message::inject(node, inject, stdin).await?),
        NodeCommand::Outbox { command: Outbox::List } => out.render(&outbox::list(node).await?),
        NodeCommand::Outbox { command: Outbox::Cancel { id } } => out.render(&outbox::cancel(node, id).await?),
    }
}

impl NodeCommand {
    /// How far a node must reach to do this.
    pub(crate) const fn reach(&self) -> Reach {
        match self {
            Self::Log(_)
            | Self::Inject(_)
            | Self::Rotate(_)
            | Self::Netcheck
            | Self::Ping { .. }
            | Self::Invite { command: Invite::Claim { .. } } => Reach::Others,
            Self::Discover(_) | Self::Connect(_) => Reach::Topics,
            _ => Reach::Nobody,
        }
    }

    /// A command of a question's handler belongs to the chain of those who wait for the answer: that is in the handler's
    /// environment, and nowhere else. `words` are those that the daemon reads the command from.
    ///
    /// # Errors
    /// The variable holds something else.
    pub(crate) fn join_chain(&mut self, words: &mut Vec<String>, variable: Option<String>) -> Result<(), Failure> {
        let (Self::Inject(inject), Some(text)) = (self, variable.filter(|text| !text.is_empty())) else {
            return Ok(());
        };
        if inject.chain.is_none() {
            let chain = text.parse().map_err(|error| {
                Failure::invalid(
                    format!("WOPR_CHAIN is {text:?}: {error}"),
                    "leave it as wopr set it for the command that answers a question, or unset it",
                )
            })?;
            let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
            words.insert(end, format!("--chain={text}"));
            inject.chain = Some(chain);
        }
        Ok(())
    }

    /// Whether its text is on stdin.
    pub(crate) fn wants_stdin(&self) -> bool {
        match self {
            Self::Log(crate::args::Log { to, .. }) | Self::Inject(crate::args::Inject { to, .. }) => to.is_on_stdin(),
            _ => false,
        }
    }

    /// Whether it is for its caller's ears alone: without anybody to hear the answer, a question need not go on.
    pub(crate) const fn ends_with_its_caller(&self) -> bool {
        matches!(self, Self::Inject(_))
    }

    /// What to say while it is being done.
    pub(crate) fn waiting_for(&self) -> String {
        match self {
            Self::Log(log) => format!("finding {} and leaving the message", log.to.peer),
            Self::Inject(inject) => format!("finding {} and waiting for the answer", inject.to.peer),
            Self::Invite { command: Invite::Claim { .. } } => "finding the issuer and claiming the invite".to_owned(),
            Self::Netcheck => "looking at the network".to_owned(),
            Self::Ping { peer, .. } => format!("finding {peer} and waiting for its answers"),
            Self::Rotate(_) => "making new keys and telling the peers".to_owned(),
            Self::Discover(_) => "meeting others on the topics".to_owned(),
            Self::Connect(connect) => format!("meeting {} and asking for access", connect.peer),
            _ => "asking the node".to_owned(),
        }
    }

    /// What to say from the moment when a peer was found.
    pub(crate) const fn once_connected(&self) -> &'static str {
        match self {
            Self::Log(_) => "connected, leaving the message",
            Self::Inject(_) => "connected, waiting for the answer",
            Self::Rotate(_) => "telling the peers",
            Self::Ping { .. } => "connected, waiting for the answers",
            _ => "connected",
        }
    }
}

impl Addressed {
    fn is_on_stdin(&self) -> bool {
        self.message == crate::args::FROM_STDIN
    }
}

#[cfg(test)]
mod tests;
