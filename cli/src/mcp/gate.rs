//! What an agent may do without its owner's leave: look, and talk to the peers that the node knows.
//!
//! Whatever changes the node is the owner's: who may reach it, whom it knows and by which name, what strangers see of
//! it, and its keys. A text from a peer can talk an agent into anything that the agent can do, so the owner says tool by
//! tool what that is (`mcp.allow` in `config.json`). It is read at each call: no restart is needed.

use wopr_p2p_smol::home::Home;

use crate::config::Config;
use crate::exit::{Exit, Failure};

/// The tools that need the owner's leave.
pub(crate) const OWNERS: [&str; 10] = [
    "p2p_rotate_keys",
    "p2p_name_peer",
    "p2p_revoke_peer",
    "p2p_create_invite",
    "p2p_claim_invite",
    "p2p_grant_access",
    "p2p_join_topic",
    "p2p_leave_topic",
    "p2p_connect_peer",
    "p2p_set_profile",
];

/// Whether a tool needs the owner's leave.
pub(super) fn is_owners(tool: &str) -> bool {
    OWNERS.contains(&tool)
}

/// Lets a tool pass, or says what the owner would have to write.
///
/// # Errors
/// The owner has not allowed the tool, or the config cannot be read.
pub(super) fn pass(home: &Home, tool: &str) -> Result<(), Failure> {
    if !is_owners(tool) {
        return Ok(());
    }
    let mut allowed = Config::load(home.folder())?.mcp.allow;
    if allowed.iter().any(|name| name == tool) {
        return Ok(());
    }
    allowed.push(tool.to_owned());
    let names: Vec<String> = allowed.iter().map(|name| format!("\"{name}\"")).collect();
    let names = names.join(", ");
    let message = format!("the owner of this node has not allowed agents to use {tool}");
    let next = format!(
        "only the owner can: in plugins.data.p2p of {}, \"mcp\": {{ \"allow\": [{names}] }}; or run: wopr config set \
         mcp.allow '[{names}]'",
        crate::config::path(home.folder()).display(),
    );
    Err(Failure::new(Exit::Unauthorized, message, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_the_node_needs_the_owners_leave_tool_by_tool() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        pass(&home, "p2p_log_message").unwrap();
        for tool in OWNERS {
            let failure = pass(&home, tool).unwrap_err();
            assert_eq!(failure.exit.code(), 7);
            assert!(failure.next.contains(&format!("\"mcp\": {{ \"allow\": [\"{tool}\"] }}")), "{}", failure.next);
        }
        // The line that a refusal shows is what lets the tool pass, and no other; the next keeps it.
        let config = r#"{"plugins":{"data":{"p2p":{"mcp":{"allow":["p2p_claim_invite"]}}}}}"#;
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        pass(&home, "p2p_claim_invite").unwrap();
        let failure = pass(&home, "p2p_join_topic").unwrap_err();
        assert!(failure.next.contains(r#"["p2p_claim_invite", "p2p_join_topic"]"#), "{}", failure.next);
    }
}
