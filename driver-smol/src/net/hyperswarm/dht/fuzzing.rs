//! The way in for the fuzzer: what a search makes of an answer.

use super::*;

/// Takes an answer, and gives the value in it.
pub(in super::super) fn answered(response: Response) -> Option<Vec<u8>> {
    let mut search = Search::new([7; 32]);
    let from = super::super::rpc::fuzzing::STRANGER;
    search.add(from);
    assert_eq!(search.next(), Some(from));
    let reply = search.answered(from, response);
    assert!(search.named.len() <= 1 + NEAREST && search.todo.len() <= search.named.len());
    while search.next().is_some() {}
    reply.value
}
