//! The two messages of multicast DNS that we use: the question who is there, and a listener's answer.
//!
//! Bytes from strangers: what is not exactly such a message is nothing, and a packet holds one answer at most.

use std::net::Ipv4Addr;

use simple_dns::rdata::{A, PTR, RData, SRV, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, ResourceRecord, SimpleDnsError, TYPE, header_buffer};

use super::seal::SEALED;

/// What we are called among the services of a network.
const SERVICE: &str = "_wopr._udp.local";
/// The attribute that has the sealed key.
const ATTRIBUTE: &str = "k";
/// How long others may remember an answer, in seconds: each answer has names of its own.
const TTL: u32 = 10;
/// The most entries of one kind in a packet that we look at.
const MAX_ENTRIES: u16 = 64;

/// A listener as it described itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    pub(super) port: u16,
    pub(super) sealed: [u8; SEALED],
}

/// What somebody said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Who is there?
    Question,
    /// A listener.
    Listener(Announced),
}

/// The question who is there.
pub(super) fn question() -> Result<Vec<u8>, SimpleDnsError> {
    let mut packet = Packet::new_query(0);
    packet.questions.push(Question::new(Name::new(SERVICE)?, TYPE::PTR.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec()
}

/// The answer of a listener at this address, under a name that it has only this once.
pub(super) fn answer(listener: &Announced, address: Ipv4Addr, name: u64) -> Result<Vec<u8>, SimpleDnsError> {
    let (instance, host) = (format!("{name:016x}.{SERVICE}"), format!("{name:016x}.local"));
    let (service, instance, host) = (Name::new(SERVICE)?, Name::new(&instance)?, Name::new(&host)?);
    let record = |name: &Name<'_>, data| ResourceRecord::new(name.clone().into_owned(), CLASS::IN, TTL, data);
    let place = SRV { priority: 0, weight: 0, port: listener.port, target: host.clone() };
    let text = TXT::new().with_attribute(ATTRIBUTE, Some(&listener.sealed))?;
    let mut packet = Packet::new_reply(0);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    packet.answers.push(record(&service, RData::PTR(PTR(instance.clone()))));
    packet.additional_records = vec![
        record(&instance, RData::SRV(place)),
        record(&instance, RData::TXT(text)),
        record(&host, RData::A(A { address: address.into() })),
    ];
    packet.build_bytes_vec()
}

/// Reads a packet. The address in it is not looked at: a listener is where its answer came from.
pub(super) fn read(bytes: &[u8]) -> Option<Heard> {
    // The parser makes room for as many entries as the packet claims, before it looks whether they are there.
    let claims = [
        header_buffer::questions,
        header_buffer::answers,
        header_buffer::name_servers,
        header_buffer::additional_records,
    ];
    if !claims.iter().all(|claimed| claimed(bytes).is_ok_and(|count| count <= MAX_ENTRIES)) {
        return None;
    }
    let packet = Packet::parse(bytes).ok()?;
    let service = Name::new(SERVICE).ok()?;
    if !packet.has_flags(PacketFlag::RESPONSE) {
        let asks = |question: &Question<'_>| question.qname == service && question.qtype == TYPE::PTR.into();
        return packet.questions.iter().any(asks).then_some(Heard::Question);
    }
    let records = || packet.answers.iter().chain(&packet.additional_records);
    let (instance, port) = records().find_map(|record| match &record.rdata {
        RData::SRV(place) if record.name.is_subdomain_of(&service) => Some((&record.name, place.port)),
        _ => None,
    })?;
    let sealed = records().find_map(|record| match &record.rdata {
        RData::TXT(text) if record.name == *instance => sealed(text),
        _ => None,
    })?;
    (port != 0).then_some(Heard::Listener(Announced { port, sealed }))
}

fn sealed(text: &TXT<'_>) -> Option<[u8; SEALED]> {
    let value = text.iter_raw().find(|(name, _)| *name == ATTRIBUTE.as_bytes())?.1?;
    value.try_into().ok()
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    const LISTENER: Announced = Announced { port: 4711, sealed: [b'='; SEALED] };

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(read(&question().unwrap()), Some(Heard::Question));
        let bytes = answer(&LISTENER, Ipv4Addr::new(10, 0, 0, 1), 1).unwrap();
        assert_eq!(read(&bytes), Some(Heard::Listener(LISTENER)));
        assert!(bytes.len() < 512, "{} bytes fit every path", bytes.len());
    }

    #[test]
    fn other_services_are_none_of_our_business() {
        let mut packet = Packet::new_query(0);
        let name = Name::new("_http._tcp.local").unwrap();
        packet.questions.push(Question::new(name, TYPE::PTR.into(), CLASS::IN.into(), false));
        assert_eq!(read(&packet.build_bytes_vec().unwrap()), None);
    }

    #[test]
    fn a_packet_that_claims_more_than_it_has_room_for_is_not_parsed() {
        let mut bytes = answer(&LISTENER, Ipv4Addr::LOCALHOST, 1).unwrap();
        bytes[6..8].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(read(&bytes), None);
    }

    quickcheck! {
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>) -> bool {
            !matches!(read(&bytes), Some(Heard::Listener(Announced { port: 0, .. })))
        }

        fn a_damaged_message_is_read_without_harm(changes: Vec<(usize, u8)>, length: usize, asks: bool) -> bool {
            let whole = if asks { question() } else { answer(&LISTENER, Ipv4Addr::LOCALHOST, 1) };
            let mut bytes = whole.unwrap();
            for (at, value) in changes {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            bytes.truncate(1 + length % bytes.len());
            !matches!(read(&bytes), Some(Heard::Listener(Announced { port: 0, .. })))
        }
    }
}
