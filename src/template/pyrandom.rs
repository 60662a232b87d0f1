//! Python's `random.Random(seed)`: the same seed gives the same numbers, which hosts' schedules depend on.

use sha2::{Digest, Sha512};

use crate::value::Value;

const N: usize = 624;
const M: usize = 397;

/// The Mersenne Twister (MT19937), seeded as Python seeds it; without a seed, the system's randomness.
pub(super) struct Random {
    state: Option<(Box<[u32; N]>, usize)>,
}

impl Random {
    /// A generator; `None` for one that nobody can predict.
    pub fn new(seed: Option<&Value>) -> Self {
        let Some(seed) = seed else { return Self { state: None } };
        let words = match seed {
            Value::Int(i) => words(&i.unsigned_abs().to_be_bytes()),
            Value::Bool(b) => vec![u32::from(*b)],
            other => {
                let text = super::python::text(other);
                let digest = Sha512::digest(text.as_bytes());
                words(&[text.as_bytes(), digest.as_slice()].concat())
            }
        };
        Self { state: Some((Box::new(by_array(&words)), N)) }
    }

    fn next(&mut self) -> u32 {
        let Some((state, index)) = &mut self.state else { return rand::random() };
        if *index >= N {
            twist(state);
            *index = 0;
        }
        let mut y = state[*index];
        *index += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn bits(&mut self, k: u32) -> u64 {
        if k <= 32 {
            return u64::from(self.next() >> (32 - k));
        }
        let low = u64::from(self.next());
        low | u64::from(self.next() >> (64 - k)) << 32
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let k = (64 - n.leading_zeros()).max(1);
        loop {
            let r = self.bits(k);
            if r < n {
                return r;
            }
        }
    }

    /// Puts items in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = usize::try_from(self.below(i as u64 + 1)).unwrap_or(0);
            items.swap(i, j);
        }
    }
}

/// A big-endian number's words, the lowest first.
fn words(bytes: &[u8]) -> Vec<u32> {
    let mut out: Vec<u32> =
        bytes.rchunks(4).map(|chunk| chunk.iter().fold(0, |word, byte| word << 8 | u32::from(*byte))).collect();
    while out.len() > 1 && out.last() == Some(&0) {
        out.pop();
    }
    out
}

fn by_array(key: &[u32]) -> [u32; N] {
    let mut mt = [0u32; N];
    mt[0] = 19_650_218;
    for i in 1..N {
        mt[i] = 1_812_433_253u32.wrapping_mul(mt[i - 1] ^ (mt[i - 1] >> 30)).wrapping_add(i as u32);
    }
    let (mut i, mut j) = (1, 0);
    for _ in 0..N.max(key.len()) {
        let before = mt[i - 1] ^ (mt[i - 1] >> 30);
        mt[i] = (mt[i] ^ before.wrapping_mul(1_664_525)).wrapping_add(key[j]).wrapping_add(j as u32);
        (i, j) = (i + 1, (j + 1) % key.len());
        if i >= N {
            mt[0] = mt[N - 1];
            i = 1;
        }
    }
    for _ in 0..N - 1 {
        let before = mt[i - 1] ^ (mt[i - 1] >> 30);
        mt[i] = (mt[i] ^ before.wrapping_mul(1_566_083_941)).wrapping_sub(i as u32);
        i += 1;
        if i >= N {
            mt[0] = mt[N - 1];
            i = 1;
        }
    }
    mt[0] = 0x8000_0000;
    mt
}

fn twist(mt: &mut [u32; N]) {
    for i in 0..N {
        let y = (mt[i] & 0x8000_0000) | (mt[(i + 1) % N] & 0x7fff_ffff);
        mt[i] = mt[(i + M) % N] ^ (y >> 1) ^ if y & 1 == 1 { 0x9908_b0df } else { 0 };
    }
}
