//! A UDX packet: twenty bytes of header, maybe selective acknowledgements or padding, and the payload.

/// The first two bytes of every packet: the protocol and its version.
const MAGIC: [u8; 2] = [0xff, 1];
const HEADER: usize = 20;

/// Bytes of a stream in a packet of 1200 bytes, which fits through any path.
pub(super) const PAYLOAD: usize = 1200 - HEADER;
/// Ranges that one packet can acknowledge: their length is told in a single byte.
pub(super) const MAX_RANGES: usize = 31;

pub(super) const DATA: u8 = 1;
pub(super) const END: u8 = 2;
pub(super) const SACK: u8 = 4;
pub(super) const DESTROY: u8 = 16;
pub(super) const HEARTBEAT: u8 = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) flags: u8,
    /// The number that the receiver of the packet gave the stream.
    pub(super) remote_id: u32,
    /// Bytes that the sender of the packet can take.
    pub(super) window: u32,
    pub(super) seq: u32,
    /// Everything before this number has arrived.
    pub(super) ack: u32,
}

impl Header {
    pub(super) fn encode(self, sack: &[(u32, u32)], payload: &[u8]) -> Vec<u8> {
        let sack = &sack[..sack.len().min(MAX_RANGES)];
        let mut packet = Vec::with_capacity(HEADER + 8 * sack.len() + payload.len());
        packet.extend(MAGIC);
        packet.extend([self.flags, 8 * sack.len() as u8]);
        for number in [self.remote_id, self.window, self.seq, self.ack] {
            packet.extend(number.to_le_bytes());
        }
        for (start, end) in sack {
            packet.extend(start.to_le_bytes());
            packet.extend(end.to_le_bytes());
        }
        packet.extend(payload);
        packet
    }

    /// The header, what stands between it and the payload, and the payload. The reference leaves the offset of the payload
    /// at zero where there is none, and selective acknowledgements follow.
    pub(super) fn decode(packet: &[u8]) -> Option<(Self, &[u8], &[u8])> {
        let (header, rest) = packet.split_first_chunk::<HEADER>()?;
        let [a, b, flags, offset, numbers @ ..] = header;
        let number = |i: usize| numbers[4 * i..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let header =
            Self { flags: *flags, remote_id: number(0)?, window: number(1)?, seq: number(2)?, ack: number(3)? };
        let (between, payload) = match usize::from(*offset) {
            0 if flags & SACK != 0 => (rest, &[][..]),
            offset => rest.split_at_checked(offset)?,
        };
        ([*a, *b] == MAGIC).then_some((header, between, payload))
    }
}

/// The number of the stream that a packet is for, if it is a UDX packet.
pub(crate) fn stream_id(packet: &[u8]) -> Option<u32> {
    let [0xff, 1, _, _, id @ ..] = packet.first_chunk::<HEADER>()? else { return None };
    id.first_chunk().map(|id| u32::from_le_bytes(*id))
}

/// Whether a stream can begin with this packet: only data comes first.
pub(crate) fn is_opening(packet: &[u8]) -> bool {
    Header::decode(packet).is_some_and(|(header, ..)| header.flags & DATA != 0 && header.flags & DESTROY == 0)
}

/// The ranges of a selective acknowledgement.
pub(super) fn ranges(sack: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    sack.chunks_exact(8).filter_map(|range| {
        let (start, end) = range.split_first_chunk::<4>()?;
        Some((u32::from_le_bytes(*start), u32::from_le_bytes(*end.first_chunk()?)))
    })
}

/// The full number that ends in these 32 bits and is nearest to `near`; `None` before the first.
pub(super) fn extend(near: u64, low: u32) -> Option<u64> {
    near.checked_add_signed(i64::from(low.wrapping_sub(near as u32) as i32))
}
