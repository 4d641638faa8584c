//! The Internet checksum (RFC 1071) and the pseudo-headers of RFC 9568 §5.2.8.

use std::net::IpAddr;

/// A running one's-complement sum; only the last piece added may have an odd length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of a piece alone.
    pub fn of(bytes: &[u8]) -> Self {
        Self::default().with(bytes)
    }

    /// The pseudo-header of a message of so many bytes; it sums the same in both families.
    pub fn pseudo(src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> Self {
        Self(address(src) + address(dst) + u64::from(protocol) + len as u64)
    }

    /// With these bytes added.
    pub fn with(self, bytes: &[u8]) -> Self {
        // 2^16 is 1 in this arithmetic, so words of 32 bits sum to the same as halves.
        let (words, rest) = bytes.as_chunks::<4>();
        let sum = words.iter().fold(self.0, |sum, word| {
            sum + u64::from(u32::from_be_bytes(*word))
        });
        let last = match *rest {
            [a] => [a, 0, 0, 0],
            [a, b] => [a, b, 0, 0],
            [a, b, c] => [a, b, c, 0],
            _ => [0; 4],
        };
        Self(sum + u64::from(u32::from_be_bytes(last)))
    }

    /// With another sum added.
    pub fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// As if this word had been zero.
    pub fn without(self, word: u16) -> Self {
        Self(self.0 + u64::from(!word))
    }

    /// The sum in 16 bits; 0xffff when a message with its checksum in place is sound.
    pub fn fold(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// What belongs into the checksum field, if that was zero while summing.
    pub fn checksum(self) -> u16 {
        !self.fold()
    }
}

/// The checksum of a message in which one aligned word changed (RFC 1624 eqn. 3).
pub fn replace(checksum: u16, from: u16, to: u16) -> u16 {
    Sum(u64::from(!checksum) + u64::from(!from) + u64::from(to)).checksum()
}

fn address(addr: IpAddr) -> u64 {
    match addr {
        IpAddr::V4(a) => u64::from(u32::from(a)),
        IpAddr::V6(a) => {
            let bits = u128::from(a);
            [96, 64, 32, 0]
                .into_iter()
                .map(|shift| u64::from((bits >> shift) as u32))
                .sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// RFC 1071 as its text says it, byte pair by byte pair.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            if sum > 0xffff {
                sum -= 0xffff;
            }
        }
        !(sum as u16)
    }

    #[test]
    fn the_example_of_rfc_1071_sums_to_ddf2() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::of(&bytes).fold(), 0xddf2);
    }

    #[test]
    fn nothing_sums_to_nothing() {
        assert_eq!(Sum::of(&[]).fold(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_sum_as_the_rfc_says(bytes in proptest::collection::vec(any::<u8>(), 0..2100)) {
            prop_assert_eq!(Sum::of(&bytes).checksum(), naive(&bytes));
        }

        #[test]
        fn pieces_of_even_length_sum_to_the_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            cut in 0usize..100,
        ) {
            let (a, b) = bytes.split_at((cut * 2).min(bytes.len()));
            prop_assert_eq!(Sum::of(a).with(b).fold(), Sum::of(&bytes).fold());
            prop_assert_eq!(Sum::of(a).plus(Sum::of(b)).fold(), Sum::of(&bytes).fold());
        }

        #[test]
        fn a_pseudo_header_sums_as_its_bytes_do(src: [u8; 16], dst: [u8; 16], len: u16, v6: bool) {
            let (bytes, sum) = if v6 {
                let (s, d) = (Ipv6Addr::from(src), Ipv6Addr::from(dst));
                let mut bytes = [src, dst].concat();
                bytes.extend(u32::from(len).to_be_bytes());
                bytes.extend([0, 0, 0, 112]);
                (bytes, Sum::pseudo(s.into(), d.into(), 112, len.into()))
            } else {
                let (s, d): ([u8; 4], [u8; 4]) =
                    (src[..4].try_into().expect("four"), dst[..4].try_into().expect("four"));
                let mut bytes = [s, d].concat();
                bytes.extend([0, 112]);
                bytes.extend(len.to_be_bytes());
                let (s, d) = (Ipv4Addr::from(s), Ipv4Addr::from(d));
                (bytes, Sum::pseudo(s.into(), d.into(), 112, len.into()))
            };
            prop_assert_eq!(sum.checksum(), naive(&bytes));
        }

        #[test]
        fn an_exchanged_word_gives_what_summing_anew_gives(
            mut bytes in proptest::collection::vec(any::<u8>(), 2..80),
            word in any::<prop::sample::Index>(),
            to: u16,
        ) {
            // A message is never all zeros: its version is not.
            bytes[0] = 0x31;
            bytes[1] |= 1;
            let at = word.index(bytes.len() / 2) * 2;
            let before = Sum::of(&bytes).checksum();
            let from = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            let to = if at == 0 { to | 0x3001 } else { to };
            bytes[at..at + 2].copy_from_slice(&to.to_be_bytes());
            prop_assert_eq!(replace(before, from, to), Sum::of(&bytes).checksum());
        }
    }
}
