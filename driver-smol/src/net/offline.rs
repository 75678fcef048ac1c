//! No network at all: for a node that only looks at its own files and changes them.

use std::future;

use smol::channel::bounded;

use super::{Dial, DialEnd, DialEvent, Incoming, NetError, Network, Task, Topic};

/// A network on which nobody is.
#[derive(Clone, Copy, Debug)]
pub struct Offline;

impl Network for Offline {
    fn listen(&self, _topic: Topic) -> Task<Result<(), NetError>> {
        Box::pin(future::ready(Err(NetError::Closed)))
    }

    fn unlisten(&self, _topic: Topic) -> Task<()> {
        Box::pin(future::ready(()))
    }

    fn dial(&self, _topic: Topic) -> Dial {
        let (report, events) = bounded(1);
        // There is room for one, and the receiver is right here.
        drop(report.try_send(DialEvent::Ended(DialEnd::NetworkDown)));
        Dial { events, _search: Box::new(()) }
    }

    fn accept(&self) -> Task<Option<Incoming>> {
        Box::pin(future::ready(None))
    }

    fn close(&self) -> Task<()> {
        Box::pin(future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_found_and_nobody_comes() {
        smol::block_on(async {
            let mut dial = Offline.dial([0; 32]);
            assert!(matches!(dial.next().await, Some(DialEvent::Ended(DialEnd::NetworkDown))));
            assert!(dial.next().await.is_none());
            assert!(Offline.accept().await.is_none());
            assert!(Offline.listen([0; 32]).await.is_err());
        });
    }
}
