//! The node's random numbers, from a seed that the driver took from the operating system.
//!
//! ChaCha20 with fast key erasure (D. J. Bernstein, "Fast-key-erasure random-number generators", 2017): the key is
//! replaced before output is handed out, so whoever reads the memory later cannot compute keys that were made before.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A deterministic generator: the same seed and the same calls give the same bytes.
#[derive(ZeroizeOnDrop)]
pub struct Rng {
    key: [u8; 32],
}

impl Rng {
    /// Starts from 32 bytes of true randomness.
    #[must_use]
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { key: seed }
    }

    /// Fresh random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut stream = ChaCha20Rng::from_seed(self.key);
        self.key.zeroize();
        stream.fill_bytes(&mut self.key);
        let mut bytes = [0; N];
        stream.fill_bytes(&mut bytes);
        bytes
    }

    /// A number below `bound`, for spreading retries; a bound of zero gives zero.
    #[must_use]
    pub fn below(&mut self, bound: u64) -> u64 {
        u64::from_le_bytes(self.bytes()).checked_rem(bound).unwrap_or(0)
    }
}
