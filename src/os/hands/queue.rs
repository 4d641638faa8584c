//! What waits for the kernel: newest turn first, and one address never out of order.

use super::{Change, Request};
use crate::model::ids::{ActionId, LinkId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Turn, latest first, then order of posting.
type Place = (Reverse<u64>, u64);
/// Without the prefix length: IPv6 knows an address once on a link, whatever its length.
type Key = (LinkId, IpAddr);

/// Requests that have not been sent.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<Place, Request>,
    /// The places of each address, in order.
    places: HashMap<Key, Vec<Place>>,
    next: u64,
}

impl Queue {
    /// Takes in a request; `cancelled` hears of each older one that it makes pointless.
    ///
    /// A removal cancels everything that waits for its address: whatever the kernel has is then
    /// removed. An addition cancels an older addition; an older removal stays and moves in front of
    /// it, since it may be of other options.
    pub(super) fn push(
        &mut self,
        turn: u64,
        request: Request,
        mut cancelled: impl FnMut(ActionId),
    ) {
        let key = key(&request);
        for place in self.places.remove(&key).unwrap_or_default() {
            let Some(older) = self.waiting.remove(&place) else {
                continue;
            };
            let same = older.what.cidr == request.what.cidr;
            if same && (request.change == Change::Remove || older.change == Change::Add) {
                cancelled(older.id);
            } else {
                self.place(turn, older);
            }
        }
        self.place(turn, request);
    }

    fn place(&mut self, turn: u64, request: Request) {
        let place = (Reverse(turn), self.next);
        self.next += 1;
        self.places.entry(key(&request)).or_default().push(place);
        self.waiting.insert(place, request);
    }

    /// Moves the first `most` requests into `batch`.
    pub(super) fn take_front(&mut self, most: usize, batch: &mut Vec<Request>) {
        while batch.len() < most
            && let Some((place, request)) = self.waiting.pop_first()
        {
            let key = key(&request);
            if let Some(places) = self.places.get_mut(&key) {
                places.retain(|other| *other != place);
                if places.is_empty() {
                    self.places.remove(&key);
                }
            }
            batch.push(request);
        }
    }
}

fn key(request: &Request) -> Key {
    (request.link, request.what.cidr.addr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::addr::{Cidr, VirtualAddress};
    use Change::{Add, Remove};
    use std::sync::Arc;

    struct Post(Queue, Vec<u64>);

    impl Post {
        fn new() -> Self {
            Self(Queue::default(), Vec::new())
        }

        fn post(&mut self, turn: u64, id: u64, change: Change, last: u8, len: u8) {
            let cidr = Cidr::new(IpAddr::from([10, 0, 0, last]), len).unwrap();
            let request = Request {
                id: ActionId(id),
                link: LinkId(2),
                name: "eth0".into(),
                change,
                what: Arc::new(VirtualAddress::plain(cidr)),
            };
            self.0.push(turn, request, |id| self.1.push(id.0));
        }

        fn take(&mut self, most: usize) -> Vec<u64> {
            let mut batch = Vec::new();
            self.0.take_front(most, &mut batch);
            batch.iter().map(|request| request.id.0).collect()
        }
    }

    #[test]
    fn a_turn_keeps_its_order_and_goes_before_what_waits_of_earlier_ones() {
        let mut post = Post::new();
        for id in 0..4 {
            post.post(1, id, Add, id as u8, 24);
        }
        assert_eq!(post.take(1), [0]);
        post.post(2, 10, Add, 10, 24);
        post.post(2, 11, Add, 11, 24);
        assert_eq!(post.take(3), [10, 11, 1]);
        assert_eq!(post.take(9), [2, 3]);
        assert!(post.take(9).is_empty() && post.1.is_empty());
        assert!(post.0.places.is_empty());
    }

    #[test]
    fn a_removal_drops_a_waiting_addition_and_is_still_done() {
        let mut post = Post::new();
        post.post(1, 1, Add, 1, 24);
        post.post(2, 2, Remove, 1, 24);
        assert_eq!(post.take(9), [2]);
        assert_eq!(post.1, [1]);
    }

    #[test]
    fn an_addition_takes_a_waiting_removal_along_in_front_of_it() {
        let mut post = Post::new();
        post.post(1, 1, Add, 9, 24);
        post.post(1, 2, Remove, 1, 24);
        post.post(2, 3, Add, 1, 24);
        assert_eq!(post.take(9), [2, 3, 1]);
        assert!(post.1.is_empty());
    }

    #[test]
    fn however_often_an_address_flaps_one_removal_and_one_addition_wait() {
        let mut post = Post::new();
        for round in 0..50 {
            post.post(round, round * 2, Remove, 1, 24);
            post.post(round, round * 2 + 1, Add, 1, 24);
        }
        assert_eq!(post.take(9), [98, 99]);
        assert_eq!(post.1.len(), 98);
    }

    #[test]
    fn the_same_address_with_another_prefix_length_keeps_its_order_and_is_not_cancelled() {
        let mut post = Post::new();
        post.post(1, 1, Add, 1, 32);
        post.post(2, 2, Remove, 1, 24);
        post.post(3, 3, Add, 1, 24);
        assert_eq!(post.take(9), [1, 2, 3]);
        assert!(post.1.is_empty());
    }
}
