//! Without an agent. A real one is in `tests/backends.rs`.

use agent_client_protocol::v1::schema::{PermissionOption, ToolCallUpdate, ToolCallUpdateFields};

use super::*;

fn asked(options: &[(&str, PermissionOptionKind)]) -> RequestPermissionRequest {
    let options =
        options.iter().map(|(id, kind)| PermissionOption::new(id.to_string(), id.to_string(), *kind)).collect();
    RequestPermissionRequest::new("session", ToolCallUpdate::new("call", ToolCallUpdateFields::default()), options)
}

#[test]
fn every_permission_is_refused() {
    use PermissionOptionKind::{AllowAlways, AllowOnce, RejectAlways, RejectOnce};
    let selected = |id: &str| RequestPermissionOutcome::Selected(SelectedPermissionOutcome::new(id.to_owned()));
    let all = [("a", AllowOnce), ("b", AllowAlways), ("c", RejectAlways), ("d", RejectOnce)];
    assert_eq!(refusal(&asked(&all)), selected("d"));
    assert_eq!(refusal(&asked(&all[..3])), selected("c"));
    assert_eq!(refusal(&asked(&all[..2])), RequestPermissionOutcome::Cancelled);
    assert_eq!(refusal(&asked(&[])), RequestPermissionOutcome::Cancelled);
}
