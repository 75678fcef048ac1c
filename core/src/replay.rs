//! stub
use crate::error::StateError;
use crate::keys::{Nonce, PublicKey};
use crate::time::{Now, WallTime};
use alloc::vec::Vec;
use core::time::Duration;
pub enum ReplayError {
    TooOld,
    TooNew,
    Seen,
    BelowFloor,
}
pub struct ReplayWindow {}
impl ReplayWindow {
    pub fn new(window: Duration, max: usize) -> Self {
        Self {}
    }
    pub fn load(window: Duration, max: usize, log: &[u8], now: Now) -> Result<Self, StateError> {
        Ok(Self {})
    }
    pub fn check(&self, from: &PublicKey, nonce: &Nonce, ts: WallTime, now: WallTime) -> Result<(), ReplayError> {
        Ok(())
    }
    pub fn accept(&mut self, from: &PublicKey, nonce: &Nonce, ts: WallTime, now: WallTime) -> Vec<u8> {
        Vec::new()
    }
    pub fn wants_compaction(&self) -> bool {
        false
    }
    pub fn compact(&mut self) -> Vec<u8> {
        Vec::new()
    }
}
