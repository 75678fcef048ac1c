//! The way in for the fuzzer: a packet without the socket that it came on.

use super::*;

/// Where every packet comes from.
pub(in super::super) const STRANGER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 1);

/// Takes a packet as the reader of a socket does, while a request to the sender waits for an answer under the number
/// that the packet has.
pub(in super::super) fn take(data: &[u8]) -> (Option<Request>, Option<Response>) {
    if data.len() <= PROBE.len() || stream_id(data).is_some() {
        return (None, None);
    }
    if data[0] != RESPONSE {
        return match decode_message(data) {
            Ok(Message::Request(request)) => (Some(request), None),
            _ => (None, None),
        };
    }
    let (pending, (sender, mut answered)) = (Pending::default(), oneshot::channel());
    let tid = data.get(2..4).and_then(|tid| tid.try_into().ok()).map_or(0, u16::from_le_bytes);
    let waiting = Waiting { from: STRANGER, answer: sender };
    pending.lock().unwrap_or_else(PoisonError::into_inner).insert(tid, waiting);
    answer(&pending, STRANGER, data);
    (None, answered.try_recv().ok())
}
